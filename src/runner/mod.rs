//! The shell around a run: threads, connections, signals, the real clock and the journal, with the
//! [`crate::controller`] in the middle, which decides in what order things happen.
//!
//! This room knows the transport, the catalog, the journal and the clock. It must not decide what follows from a
//! fact (the engine does), nor print (reporters do).

mod access;
mod attempts;
mod boot_guard;
mod clock;
mod command;
mod deployer;
mod disabled_edits;
mod environment;
mod executor;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod gate;
mod http;
mod kernel;
mod leased;
mod ledger;
mod mask;
mod monitoring;
mod output;
mod own_text;
mod power;
mod preflight;
mod probe;
mod reboot;
mod reboot_command;
mod run_loop;
mod signals;
mod silence_requests;
mod silencer;
mod steps;
mod take_over;
mod unless;
mod wait;
mod witness;
mod workspace;

pub use clock::now;
pub use command::end_commands_of;
pub use environment::read_secret;
pub use executor::{OutputSink, StepExecutor, StepExecutorParts};
pub use gate::Returns;
pub use leased::LeasedRemote;
pub use ledger::StoredFacts;
pub use mask::without_secrets;
pub use monitoring::{MonitoringAnswer, ask_monitoring};
pub use preflight::{Claim, pending_reboot, release_claim};
pub use run_loop::{LoopError, RunLoop, RunLoopParts};
pub use signals::watch as watch_signals;
pub use silencer::SilencerParts;
pub use take_over::{Fenced, Heard, NewFence, Remembered};
pub use workspace::WorkspaceState;

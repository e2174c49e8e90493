//! What looking at a worker says about its boots: has it gone down, is it back, is it a new boot, and has it
//! stayed well?
//!
//! Pure machines: each is told what one look or one exchange has shown and when, and answers with what to do
//! next. Plan runs, `run_command` and the simulator drive the same machines, each with connections (or a
//! simulated world) of its own. Every time that these machines count with is a named constant here, with its
//! argument. This room must not know how a look is carried out, nor what its answer is used for.

mod departure;
mod kernel;
mod look;
mod reboot;
mod return_watch;
mod soft;
mod step_guard;

pub use departure::{COMMAND_FAILED_GRACE, Departure, DepartureWatch, LOOK_EVERY};
pub use kernel::{KERNEL_LOOK, KernelAnswer, Need, RebootNeed, VersionOrder, fits, same_flavour};
pub use look::{CommandState, FAST_LOOK, Look, LookError, LookFailure, Next, PATIENT_LOOK, Patience, Probe};
pub use reboot::{
    Answer, CompareError, CompareMode, EXCHANGE, RebootDo, RebootEnd, RebootHeard, RebootMachine, RebootSpec,
};
pub use return_watch::InjectedWatchFault;
pub use return_watch::{AUTH_REFUSED_FOR, NotYet, Return, ReturnPhase, ReturnSpec, ReturnWatch};
pub use soft::soft_reboot_note;
pub use step_guard::{LOST_LOOK_WITHIN, LostAnswer, StepGuard};

//! `maand doctor`: everything that keeps a fleet from being worked on, found in one go, with what to type about each.
//!
//! [`look_at`] connects to one worker and carries out one script that prints what it finds; [`Answer`] reads what came
//! back, whatever it is; [`judge`] makes findings of it; [`here`] looks at this machine; [`Diagnosis`] puts all of it
//! together and says the same trouble of many workers once. The words about connections and sudo are those of the table
//! in `src/ssh/cause.rs`, which messages of single failures use, too.
//!
//! Nothing is changed: no file is made or written on a worker, no host key is stored and no journal opened here. An
//! answer that cannot be read is *unknown* and never *ok*. It must not know plans, graphs or runs.

mod answer;
mod diagnosis;
mod finding;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
pub mod here;
mod judge;
mod look;
mod power;
mod reboots;

pub use answer::{Answer, Place, Room};
pub use diagnosis::{Diagnosis, Group};
pub use finding::{Finding, Severity, State};
pub use judge::{Facts, judge};
pub use look::{Examined, FirstKeys, Look, look_at, script};
pub use power::Beside;
pub use reboots::reboot_need;

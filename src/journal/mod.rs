//! The journal of runs: one SQLite file, `data/plan.db`, to which facts are appended and from which
//! they are read back; the run lock beside it; requests from other processes; output and history.
//!
//! An append is one transaction and is durable when it returns, so that no effect comes before the
//! fact that announces it. A [`Journal`] reads, makes runs and takes requests; a [`RunWriter`] appends
//! to one run; an [`OutputWriter`] keeps what its steps write. Each blocks, has an SQLite connection of
//! its own and belongs to one thread. This room must not know what facts mean for a run (that is the
//! engine's), nor how anything is shown.

mod attempts;
mod checkout;
mod control;
mod copy;
mod db;
mod error;
mod facts;
mod failpoint;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod holder;
mod inspection;
mod lease;
mod location;
mod lock;
mod look;
mod notices;
mod outline;
mod output;
mod place;
mod postgres;
mod prune;
mod run;
mod runs;
mod schema;
mod statistics;
mod store;
#[cfg(test)]
mod testing;
mod transfer;
mod worker_end;
mod writer;

pub use attempts::{Aim, AttemptFact, Ended, TimedAttempt};
pub use control::RequestState;
pub use copy::Copied;
pub use db::{Address, AddressError, StoreError};
pub use error::{JournalError, Operation, codes};
pub use facts::{Facts, Mark, Marks};
pub use failpoint::{CRASH_AT, CRASH_WHEN};
pub use holder::Holder;
pub use inspection::Inspection;
pub use lease::{LEASE, Tenure};
pub use location::Location;
pub use lock::{LOCK_FILE, LockError, RunLock, holder_of, seen_holder_of};
pub use notices::{NoticeKey, NoticeStore, UndeliveredNotice};
pub use outline::{FleetOutline, RunOutline, WorkerOutline};
pub use output::{OUTPUT_HEAD, OUTPUT_TAIL, Output, OutputWriter};
pub use place::Place;
pub use prune::{RUNS_KEPT, RUNS_KEPT_FOR, Reclaimed, Totals};
#[cfg(test)]
pub(crate) use run::example::header as example_header;
pub use run::{RunHeader, RunId, RunSummary, StepKinds, StoredRun};
pub use statistics::Spread;
pub use store::{FILE, Journal, Mode};
pub use transfer::{FactText, RequestText, RunText, Standing};
pub use writer::{RunWriter, TellOfOutages};

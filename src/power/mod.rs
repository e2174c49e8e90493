//! What the machine beside a worker knows of it and can do to it: a baseboard management controller (BMC) that speaks
//! Redfish (DMTF DSP0266).
//!
//! [`Bmc::look`] asks for the state of power and the last entries of the log, [`Bmc::reset`] orders a reset, and neither
//! follows a link to another host, asks more than a few times or reads more than a few entries: what answers there is old
//! firmware on a network of its own, and may say anything.
//!
//! This room must not know runs, nor when a reset may be ordered.

mod bmc;
mod credentials;
mod error;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod hardware;
mod log;
mod reset;
mod seen;
mod system;

pub use bmc::Bmc;
pub use error::PowerError;
pub use hardware::{HARDWARE_LOOK, Hardware, Sameness};
pub use reset::{ResetOrder, ResetReceipt, ResetResult};
pub use system::{LogEntry, PowerReport};

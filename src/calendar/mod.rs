//! Calendars of others: an iCalendar file (RFC 5545) as the times that its events cover.
//!
//! Such a file says when nobody may be started (a change freeze), so what cannot be read is an error and never "no
//! event". Pure: text and a time zone in, moments out.

mod event;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod line;
mod read;
mod rule;
#[cfg(test)]
mod tests;
mod zone;

pub use line::CalendarError;
pub use read::{Busy, read};

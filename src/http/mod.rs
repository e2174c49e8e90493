//! Requests over HTTP that this machine sends, each with a deadline and a bound on its answer.
//!
//! This room knows sockets and TLS. It must not know what a request is for: what a status means, and whether a request may
//! be sent again, is for whoever sends it.

mod client;
mod passage;
mod retry_after;
mod trust;

pub use client::{Answer, LARGEST_ANSWER, NoAnswer, send, send_trusting};
pub use trust::Trust;

//! Plain SSH: connecting with verified host keys, running framed scripts, sending tar streams.
//!
//! This room knows the transport and the quoting. It must not know jobs, plans or what a script is
//! for; it never retries a script by itself.

mod remote;

pub use remote::*;

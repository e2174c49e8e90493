//! The sandbox, seen from outside: real SSH, real processes, and what is left of them.

mod bucket;
mod client;
mod deploy;
mod fleet;
mod killed;
mod remote;
pub(crate) mod up;

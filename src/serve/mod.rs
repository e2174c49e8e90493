//! Pages of runs over HTTP, for reading, while a controller may be at work on one of them.
//!
//! | what | where |
//! |---|---|
//! | listening, connections, their limits and deadlines | `server.rs`, `connection.rs` |
//! | which path has what | `routes.rs` |
//! | answers, their headers, errors as pages | `answer.rs` |
//! | whose requests are answered at all | `guard.rs` |
//! | who may control runs, and what a form asks for | `sessions.rs`, `wanted.rs`, `control.rs`, `control_pages.rs` |
//! | what they answer | `pages.rs`, `index.rs`, `history.rs` |
//! | reads of the journal, on threads of their own | `reads.rs` |
//! | one thread for each run that somebody looks at, shared by all who do | `watchers.rs`, `watcher.rs` |
//! | what it tells, in order | `frames.rs`; to one browser: `events.rs` |
//! | numbers of all runs, for a Prometheus | `metrics.rs` |
//!
//! The journal is opened for reading as every command that looks at a run does; nothing is written and no run lock is
//! taken, so that a controller is not disturbed. What is asked of a run is done by whoever starts the server, if it is
//! to be done at all ([`ServeControl`]). Markup is made by [`crate::page`]; this room must not make any, nor know
//! how the program is started.

mod answer;
mod connection;
mod control;
mod control_pages;
mod events;
mod frames;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod guard;
mod history;
mod index;
mod metrics;
mod pages;
mod reads;
mod routes;
mod server;
mod sessions;
mod wanted;
mod watcher;
mod watchers;

pub use answer::Trouble;
pub use control::{Ask, ServeControl};
pub use guard::{Authority, Host, NotAnAuthority};
pub use server::{Ending, ServeError, ServeOptions, Server};
pub use sessions::NoRandomness;

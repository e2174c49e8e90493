//! What this program asks of the operating system, each thing once: opening files that somebody else may have
//! put there, databases, locks between processes, the state of a process, commands of this machine and the guards that they run under, limits, durable
//! files, exchanging two files, hashes of files, death on demand, signals, words of a shell, patterns for names, and a bounded number
//! of threads.
//!
//! The lowest room: it uses no other one and must not know what a bucket, a run or a worker is. Pure
//! rooms may not use it.

mod command_guard;
pub mod descendants;
pub mod disk;
pub mod exchange;
pub mod failpoint;
mod glob;
pub mod hash;
pub mod limits;
mod local_command;
mod lock_file;
pub mod open;
mod parallel;
mod peer;
mod process;
pub mod process_group;
mod quote;
pub mod signals;
pub mod sqlite;

pub use command_guard::{COMMAND_GUARD, guard_command};
pub use glob::Glob;
pub use local_command::{CommandEnd, LocalCommand, OutputStream, end_marked};
pub use lock_file::{LockFile, is_held, record};
pub use parallel::parallel_map;
pub use peer::user_of_connection;
pub use process::{Process, ProcessState, user_name};
pub use quote::quote;

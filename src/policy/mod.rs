//! Who may start now: waves, concurrency, budgets, failure domains, windows.
//!
//! Pure and incremental: the engine tells what has happened and asks for a [`Verdict`]; time comes in
//! as a value. This room must not know steps' meaning beyond "disturbs", effects, or I/O.

mod verdict;

pub use verdict::*;

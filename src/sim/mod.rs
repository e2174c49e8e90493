//! A synthetic world under virtual time behind the very controller of real runs.
//!
//! Hosts boot, jobs run, operators interfere, the network loses answers and the controller dies, all by
//! draws from one seed; after every fact the invariants of a run are checked by books that share
//! nothing with the engine's. No I/O, no clock, no threads. This room must not know SSH, SQLite or
//! the terminal.
//!
//! All twenty-two invariants of a run ([`Invariant`]) are looked at. Of three of them a world without files and processes
//! sees only the engine's and its own part, and the rest is tested elsewhere: 11 and 12 (that the real
//! journal and the real workers refuse an older epoch, and store the plan), 17 (output that is kept
//! beside the journal). 19 is a comparison of two runs.
//!
//! Shrinking and sweeps, which only tests need, are not part of a release build. The names of deliberately broken
//! programs (`Mutation`) are, but nothing in it can break the loop or the watch of a return.

mod additions;
#[cfg(debug_assertions)]
mod admission_efficiency;
mod ahead;
mod checker;
mod config;
mod drive;
mod estimate;
mod exec;
mod fleets;
mod invariant;
mod lower_bound;
mod mutation;
mod operator;
mod plans;
mod requests;
mod rng;
mod run;
#[cfg(debug_assertions)]
mod shrink;
#[cfg(debug_assertions)]
mod sweep;
mod world;

#[cfg(debug_assertions)]
pub use admission_efficiency::admission_efficiency;

pub use config::{Shape, SimConfig};
pub use estimate::{
    Estimate, EstimateOptions, Finishes, Rate, Simulated, Timeline, WaveTime, estimate, timeline,
};
pub use invariant::{Invariant, Violation};
pub use mutation::Mutation;
pub use run::{Report, graph, run, run_on};
#[cfg(debug_assertions)]
pub use shrink::shrink;
#[cfg(debug_assertions)]
pub use sweep::{Swept, sweep};

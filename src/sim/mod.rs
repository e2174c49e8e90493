//! A made-up world under virtual time behind the very engine of real runs.
//!
//! Hosts boot, jobs run, people interfere, the network loses answers and the controller dies, all by
//! draws from one seed; after every fact the invariants of a run are checked by books that share
//! nothing with the engine's. No I/O, no clock, no threads. This room must not know SSH, SQLite or
//! the terminal.
//!
//! Of the twenty invariants these can not be asked of a pure world, and are tested elsewhere: 11
//! (epochs are the journal's and the workers'), 12 (stored plans are the journal's), 17 (secrets are
//! the runner's), and of 7 that the file parses at every instant. 18 is narrowed to the workers that
//! attempts are made for; 19 is a comparison of two runs.

mod checker;
mod drive;
mod exec;
mod fleets;
mod knobs;
mod mutation;
mod outlook;
mod person;
mod plans;
mod random;
mod run;
mod shrink;
mod sweep;
mod world;

pub use checker::Broken;
pub use knobs::Knobs;
pub use mutation::Mutation;
pub use outlook::{Outlook, OutlookOptions, Rate, WaveTime, outlook};
pub use run::{Report, graph, run, run_on};
pub use shrink::shrink;
pub use sweep::{Swept, sweep};

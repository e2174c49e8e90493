//! The only place where the world meets the engine: one loop owns the [`crate::engine::RunState`], turns
//! outcomes, timers, signals and requests into facts, makes them durable, and dispatches effects.
//!
//! This room knows the transport, the catalog, the journal and the clock. It must not decide what
//! follows from a fact (the engine does), nor print (reporters do).

mod access;
mod clock;
mod command;
mod controller;
mod deployer;
mod disabled_edits;
mod executor;
mod mask;
mod preflight;
mod probe;
mod reboot;
mod signals;
mod steps;
mod wait;
mod workspace;

pub use clock::now;
pub use controller::{Controller, ControllerParts, Ended};
pub use executor::{OutputSink, StepExecutor, StepExecutorParts};
pub use preflight::{Claim, release_claim};
pub use signals::watch as watch_signals;
pub use workspace::workspace_hash;

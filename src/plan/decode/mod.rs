//! From the tree of nodes to the model: shapes, types and values, every problem at its place.
//!
//! What one step or setting says by itself is judged here; what steps mean to each other is judged in
//! `check`. It knows no fleet.

mod boot;
mod command;
mod common;
mod gate;
mod http;
pub(super) mod keys;
mod kinds;
mod names;
mod notify;
mod plan;
mod prepare;
mod rollout;
mod silence;
mod steps;
mod values;
mod vars;
mod window;

pub use names::{bare_host, is_host_name, is_ipv6, is_job_name};
pub use notify::parse_notify;
pub(super) use plan::{Draft, decode};
pub(super) use steps::DraftStep;
pub use values::parse_duration;
pub(super) use window::open_minutes;

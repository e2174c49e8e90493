//! `maand` plans, applies and resumes rolling operations over a fleet of Linux workers by plain SSH.
//!
//! The core is **pure**: it turns facts into decisions and returns effects as data. SSH, SQLite,
//! files, threads and the terminal live at the edges. That is what makes resume, simulation and
//! rehearsal the same code as a real run.
//!
//! ```text
//! plan file --> plan --> graph --> engine <--facts-- runner <--outcomes-- ssh / catalog / timers
//!                ^         ^         |                 |  ^
//!            bucket snapshot         +----effects----->+  |
//!                                                      v  |
//!                                                   journal --facts--> report (terminal, json)
//! ```
//!
//! Each module is a room; `ARCHITECTURE.md` says what each does, what it must not know and which others it may use.
//! `tests/it/layering.rs` reads the source and fails when a room uses one that it may not.

pub mod boot;
pub mod bucket;
pub mod bundle;
pub mod calendar;
pub mod catalog;
#[cfg(not(fuzzing))]
pub mod chart;
#[cfg(not(fuzzing))]
pub mod check;
#[cfg(not(fuzzing))]
pub mod cli;
pub mod compare;
pub mod controller;
pub mod delivery;
pub mod doctor;
pub mod engine;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod graph;
pub mod http;
pub mod inventory;
pub mod journal;
pub mod metrics;
pub mod notice;
pub mod os;
pub mod page;
pub mod plan;
pub mod policy;
pub mod power;
#[cfg(not(fuzzing))]
pub mod rehearsal;
pub mod report;
pub mod review;
pub mod run;
pub mod runner;
#[cfg(not(fuzzing))]
pub mod sandbox;
pub mod serve;
pub mod silence;
#[cfg(not(fuzzing))]
pub mod sim;
pub mod ssh;
pub mod timeline;

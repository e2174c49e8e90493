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
//! | room | what it does | may use (and all that these may use) |
//! |---|---|---|
//! | [`os`] | locks between processes, durable files, signals, threads: the operating system, each thing once | nothing below, and no pure room uses it |
//! | [`plan`] | the language: source text with spans, model, validation, problems, JSON Schema | nothing below |
//! | [`bucket`] | reads and writes the files of a bucket; makes an immutable [`bucket::Fleet`] | os, plan (problems only) |
//! | [`graph`] | compiles a plan and a fleet into a petgraph DAG of (worker, step) | plan, bucket |
//! | [`policy`] | waves, concurrency, budgets, failure domains, windows | graph |
//! | [`engine`] | facts in, effects out; one statig chart per worker; recovery from facts | graph, policy |
//! | [`boot`] | machines that watch workers go down and come back | nothing below |
//! | [`controller`] | the loop of a run as a machine: inputs in, durable facts, outputs out | engine, boot |
//! | [`journal`] | SQLite: append facts, read them back, lock, history | os, engine's fact types |
//! | [`ssh`] | the `Remote` trait and its ssh2 implementation, host keys, command framing | bucket |
//! | [`catalog`] | build, deploy, health, job control | bucket, ssh |
//! | [`runner`] | threads, signals and connections around the controller | controller, journal, ssh, catalog, report |
//! | [`sim`] | a simulated world under virtual time with seeded faults; drives the same controller | controller |
//! | [`sandbox`] | a throwaway fleet: in-process SSH servers on loopback that can "reboot" | bucket |
//! | [`report`] | folds facts into a view of the run; terminal and JSON | engine's fact types |
//! | [`run`] | the life of a run: checks, consent, start, resume, control, reading | runner |
//! | [`rehearsal`] | a run on a throwaway fleet that may be broken, watched and judged from outside | run, sandbox |
//! | [`cli`] | arguments, confirmation, exit codes; the only place that knows clap | all |
//!
//! `tests/it/layering.rs` reads the source and fails when a room uses one that it may not. `ARCHITECTURE.md` says more.

pub mod boot;
pub mod bucket;
pub mod catalog;
pub mod cli;
pub mod controller;
pub mod engine;
pub mod graph;
pub mod journal;
pub mod os;
pub mod plan;
pub mod policy;
pub mod rehearsal;
pub mod report;
pub mod run;
pub mod runner;
pub mod sandbox;
pub mod sim;
pub mod ssh;

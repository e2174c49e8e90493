//! Pages in HTML: a run, finished or live, as one document that needs nothing but itself.
//!
//! Pure: a timeline, a view and texts in, markup out. Everything from outside is text: markup is made by `maud`, which
//! escapes, and control characters are made visible first. No page has a `style` attribute, a script from elsewhere or
//! a link that is not its own, so that the strictest content security policy fits. It must not know files, sockets or
//! journals.

mod axis;
mod bars;
mod control;
mod down;
mod failures;
mod forecast;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod graph;
mod groups;
mod headline;
mod history;
#[cfg(test)]
mod hostile_tests;
mod index;
mod lanes;
pub mod links;
mod live;
mod message;
mod model;
mod output;
mod plan;
mod run;
mod sections;
mod shell;
mod signs;
mod steps;
mod strip;
#[cfg(test)]
mod tests;
mod words;
mod workers;

pub use control::{
    Answer, Asked, CONTROL_MARK, ControlPanel, Operator, control_panel, login_page, question_page,
};
pub use forecast::Forecast;
pub use graph::plan_graph;
pub use history::{
    AttemptOfStep, RunOfWorker, StepOfWorker, WorkerOfRunPage, worker_of_run_page, worker_page,
};
pub use index::{IndexFilter, IndexPage, IndexRun, index_page};
pub use live::{Changes, Element, LivePage};
pub use message::message_page;
pub use model::{FailureOutput, RunPage, Served};
pub use output::{HostOutput, OutputPage, output_page};
pub use run::run_page;
pub use shell::{ICON, served_policy};

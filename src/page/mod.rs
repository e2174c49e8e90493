//! Pages in HTML: a run, finished or live, as one document that needs nothing but itself.
//!
//! Pure: a timeline, a view and texts in, markup out. Everything from outside is text: markup is made by `maud`, which
//! escapes, and control characters are made visible first. No page has a `style` attribute, a script from elsewhere or
//! a link that is not its own, so that the strictest content security policy fits. It must not know files, sockets or
//! journals.

mod axis;
mod control;
mod down;
mod index;
mod lanes;
pub mod links;
mod live;
mod message;
mod model;
mod run;
mod sections;
mod shell;
mod steps;
#[cfg(test)]
mod tests;

pub use control::{
    Answer, Asked, CONTROL_MARK, ControlPanel, Operator, control_panel, login_page, question_page,
};
pub use index::{IndexPage, IndexRun, index_page};
pub use live::{Changes, LivePage};
pub use message::message_page;
pub use model::{FailureOutput, RunPage, Served};
pub use run::run_page;
pub use shell::{ICON, served_policy};

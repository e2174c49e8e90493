//! Pages in HTML: a run, finished or live, as one document that needs nothing but itself.
//!
//! Pure: a timeline, a view and texts in, markup out. Everything from outside is text: markup is made by `maud`, which
//! escapes, and control characters are made visible first. No page has a `style` attribute, a script from elsewhere or
//! a link that is not its own, so that the strictest content security policy fits. It must not know files, sockets or
//! journals.

mod axis;
mod control;
mod down;
mod lanes;
mod model;
mod run;
mod sections;
mod shell;
mod steps;
#[cfg(test)]
mod tests;

pub use control::{Answer, Asked, ControlPanel, Operator, control_panel, login, question};
pub use model::{FailureOutput, RunPage};
pub use run::run_page;

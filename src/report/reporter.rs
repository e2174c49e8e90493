//! The trait behind which a run is shown: as lines, as JSON, on a terminal.

use crate::engine::{Millis, Stamped};

use super::{EventLine, RunView};

/// Shows a run. Nothing that it does, or fails to do, changes the run: no method fails, and none
/// blocks for long.
pub trait Reporter: Send {
    /// A fact has become durable, and `view` has just taken it.
    fn fact(&mut self, stamped: &Stamped, view: &RunView);

    /// Something that is no fact: how far an attempt under way has come. `view` has just taken it.
    fn told(&mut self, _line: &EventLine, _view: &RunView) {}

    /// About once a second, after [`RunView::refresh`].
    fn tick(&mut self, _at: Millis, _view: &RunView) {}

    /// Nothing more comes from this process. `view` is refreshed.
    fn finish(&mut self, at: Millis, view: &RunView);
}

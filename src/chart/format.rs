//! What a picture has to fit.

/// The place that a picture has, and which signs it may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// Columns; no line is wider.
    pub width: usize,
    /// Lines, where they are limited; `None`: as many as it takes.
    pub height: Option<usize>,
    /// Blocks and signs of Unicode; else ASCII alone.
    pub unicode: bool,
    /// A lane for each worker, however many there are.
    pub all: bool,
}

/// Narrower than this nothing is readable, and lines are cut.
const NARROWEST: usize = 20;

impl Format {
    /// Columns to draw for; what is wider than asked for is cut.
    pub(super) fn columns(&self) -> usize {
        self.width.max(NARROWEST)
    }
}

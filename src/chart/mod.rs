//! Pictures in text: a run over time, what is down at once, when a run is expected to end.
//!
//! Pure: a timeline, a view and a size in, lines out. Everything from outside is made visible where it becomes part of a
//! line, and no line is wider than it was asked to be. Each glyph means something without its colour. It must not know
//! where lines go, nor where facts come from.

mod bands;
mod counts;
mod forecast;
mod format;
mod glyphs;
mod lanes;
mod legend;
mod line;
mod run;
mod scale;
#[cfg(test)]
mod tests;
mod words;

pub use forecast::{Bin, WaveBar, down_chart, finish_chart, waves_chart};
pub use format::Format;
pub use line::{Ink, Line};
pub use run::{RunChart, run_chart};

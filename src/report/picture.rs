//! A picture on a terminal that is drawn again and again in its place.

use super::display::Display;
use super::row::Row;

/// Shows lines that others have drawn. As the live view does, it gives the terminal back at its end, when the process is
/// suspended and when a panic unwinds.
pub struct Picture {
    display: Display,
}

impl Picture {
    /// On standard output.
    pub fn stdout(color: bool) -> Self {
        Self { display: Display::stdout(color) }
    }

    /// Shows what `draw` makes for so many columns and lines in place of what is there: each line as text, and painted.
    pub fn show(&mut self, draw: impl FnOnce(usize, usize) -> Vec<(String, String)>) {
        self.display.show(&[], |columns, lines| {
            draw(columns, lines).into_iter().map(|(text, painted)| Row::of_picture(text, painted)).collect()
        });
    }

    /// Gives the terminal back, with a last text in place of the picture.
    pub fn close(mut self, text: &str) {
        self.display.close(text, false);
    }
}

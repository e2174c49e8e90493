//! Standard output as something to draw on: each drawing is one write, and some columns on the right
//! stay free.

use std::io::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};

use indicatif::TermLike;
use unicode_width::UnicodeWidthChar;

use super::BackgroundWriter;

/// The terminal itself echoes `^C` where the cursor stands, behind the last row; were that row full, the
/// echo would wrap, and the rows could not be cleared any more. Room for two of them and the cursor.
const FREE_COLUMNS: u16 = 5;

/// Columns and lines that may be drawn on.
pub(super) fn size() -> (u16, u16) {
    match rustix::termios::tcgetwinsize(rustix::stdio::stdout()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => usable(size.ws_col, size.ws_row),
        _ => usable(80, 24),
    }
}

fn usable(columns: u16, lines: u16) -> (u16, u16) {
    (columns.saturating_sub(FREE_COLUMNS).max(1), lines.saturating_sub(1).max(1))
}

/// A terminal that is a little narrower than the real one, drawn by the control sequences that every
/// terminal of today knows (ECMA-48).
#[derive(Debug)]
pub(super) struct Screen {
    state: Mutex<State>,
    size: fn() -> (u16, u16),
    write: fn(&str),
}

#[derive(Debug, Default)]
struct State {
    pending: String,
    column: usize,
    in_sequence: bool,
}

impl Screen {
    pub(super) fn stdout() -> Self {
        Self::new(size, |text| {
            // A terminal that has gone away stops nothing: the run continues.
            let _ = BackgroundWriter::stdout().write_all(text.as_bytes());
        })
    }

    fn new(size: fn() -> (u16, u16), write: fn(&str)) -> Self {
        Self { state: Mutex::default(), size, write }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// indicatif fills its last line up and counts on the next character to wrap; the real terminal is
    /// wider, so wrapping is done here.
    fn add(&self, text: &str) -> std::io::Result<()> {
        let width = usize::from((self.size)().0);
        let mut state = self.state();
        for c in text.chars() {
            match c {
                _ if state.in_sequence => state.in_sequence = !c.is_ascii_alphabetic(),
                '\x1b' => state.in_sequence = true,
                '\r' | '\n' => state.column = 0,
                c => {
                    let columns = c.width().unwrap_or(0);
                    if state.column + columns > width {
                        state.pending.push('\n');
                        state.column = 0;
                    }
                    state.column += columns;
                }
            }
            state.pending.push(c);
        }
        Ok(())
    }

    /// `ESC [ n letter`; nothing for 0, which would mean 1.
    fn move_by(&self, n: usize, letter: char) -> std::io::Result<()> {
        if n == 0 { Ok(()) } else { self.add(&format!("\x1b[{n}{letter}")) }
    }
}

impl TermLike for Screen {
    fn width(&self) -> u16 {
        (self.size)().0
    }

    fn height(&self) -> u16 {
        (self.size)().1
    }

    fn move_cursor_up(&self, n: usize) -> std::io::Result<()> {
        self.move_by(n, 'A')
    }

    fn move_cursor_down(&self, n: usize) -> std::io::Result<()> {
        self.move_by(n, 'B')
    }

    fn move_cursor_right(&self, n: usize) -> std::io::Result<()> {
        self.state().column += n;
        self.move_by(n, 'C')
    }

    fn move_cursor_left(&self, n: usize) -> std::io::Result<()> {
        let mut state = self.state();
        state.column = state.column.saturating_sub(n);
        drop(state);
        self.move_by(n, 'D')
    }

    fn write_line(&self, text: &str) -> std::io::Result<()> {
        self.add(text)?;
        self.add("\n")
    }

    fn write_str(&self, text: &str) -> std::io::Result<()> {
        self.add(text)
    }

    fn clear_line(&self) -> std::io::Result<()> {
        self.add("\r\x1b[2K")
    }

    fn flush(&self) -> std::io::Result<()> {
        let text = std::mem::take(&mut self.state().pending);
        (self.write)(&text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::report::testing::{FakeTerminal, rolled, some_fail};
    use crate::report::{Reporter, Terminal};

    thread_local! {
        /// A real terminal of 60 columns: what a screen of 55 writes to.
        static REAL: RefCell<FakeTerminal> = RefCell::new(FakeTerminal::new(60, 24));
    }

    fn write(text: &str) {
        REAL.with_borrow(|real| real.interpret(text));
    }

    #[test]
    fn rows_and_lines_stand_where_they_belong_and_an_echo_does_no_harm() {
        let (facts, mut view) = rolled(12, some_fail);
        let screen = Screen::new(|| usable(60, 24), write);
        let mut terminal = Terminal::on(Box::new(screen), false);
        for stamped in &facts {
            view.fold(stamped).unwrap();
            view.refresh(stamped.at);
            terminal.fact(stamped, &view);
            terminal.tick(stamped.at, &view);
        }
        write("^C");
        terminal.finish(facts.last().unwrap().at, &view);
        drop(terminal);
        let text = REAL.with_borrow(FakeTerminal::text);
        assert!(text.starts_with("plan test started on 12 workers\npreflight: 12 workers"), "{text}");
        assert!(text.contains("\nw1  succeeded in"), "{text}");
        assert!(!text.contains("[#") && !text.contains("[.") && !text.contains("^C"), "{text}");
    }
}

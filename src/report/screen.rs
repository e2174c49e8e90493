//! Standard output as something to draw on: each drawing is one write, and some columns on the right
//! stay free.

use std::io::Write;
use std::sync::{Mutex, PoisonError};

use indicatif::TermLike;

/// The terminal itself echoes `^C` where the cursor stands, behind the last row; were that row full, the
/// echo would wrap, and the rows could not be cleared any more. Room for two of them and the cursor.
const FREE_COLUMNS: u16 = 5;

/// Columns and lines that may be drawn on.
pub(super) fn size() -> (u16, u16) {
    match rustix::termios::tcgetwinsize(rustix::stdio::stdout()) {
        Ok(size) if size.ws_col > FREE_COLUMNS && size.ws_row > 1 => {
            (size.ws_col - FREE_COLUMNS, size.ws_row - 1)
        }
        Ok(size) if size.ws_col > 0 => (1, 1),
        _ => (80 - FREE_COLUMNS, 23),
    }
}

/// The terminal on standard output, by the control sequences that every terminal of today knows (ECMA-48).
#[derive(Debug, Default)]
pub(super) struct Screen {
    pending: Mutex<String>,
}

impl Screen {
    fn add(&self, text: &str) -> std::io::Result<()> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner).push_str(text);
        Ok(())
    }

    /// `ESC [ n letter`; nothing for 0, which would mean 1.
    fn move_by(&self, n: usize, letter: char) -> std::io::Result<()> {
        if n == 0 { Ok(()) } else { self.add(&format!("\x1b[{n}{letter}")) }
    }
}

impl TermLike for Screen {
    fn width(&self) -> u16 {
        size().0
    }

    fn height(&self) -> u16 {
        size().1
    }

    fn move_cursor_up(&self, n: usize) -> std::io::Result<()> {
        self.move_by(n, 'A')
    }

    fn move_cursor_down(&self, n: usize) -> std::io::Result<()> {
        self.move_by(n, 'B')
    }

    fn move_cursor_right(&self, n: usize) -> std::io::Result<()> {
        self.move_by(n, 'C')
    }

    fn move_cursor_left(&self, n: usize) -> std::io::Result<()> {
        self.move_by(n, 'D')
    }

    fn write_line(&self, text: &str) -> std::io::Result<()> {
        self.add(text)?;
        self.add("\x1b[K\n")
    }

    fn write_str(&self, text: &str) -> std::io::Result<()> {
        self.add(text)
    }

    fn clear_line(&self) -> std::io::Result<()> {
        self.add("\r\x1b[2K")
    }

    fn flush(&self) -> std::io::Result<()> {
        let text = std::mem::take(&mut *self.pending.lock().unwrap_or_else(PoisonError::into_inner));
        let mut out = std::io::stdout().lock();
        // A terminal that has gone away is nobody's problem: the run goes on.
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        Ok(())
    }
}

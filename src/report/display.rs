//! The terminal that the live view is on: who may draw on it and when, its modes, its title, and how it is given back
//! (at the end, when the process is suspended, when a panic unwinds).

use std::collections::VecDeque;
use std::io::Write;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use crate::os::signals::{self, Signal};
use crate::plan::on_screen;

use super::background::{BackgroundWriter, drain_within};
use super::keyboard::Modes;
use super::region::Region;
use super::row::{Row, Style};
use super::view::RunView;
use super::window::{Window, progress_of, title_of};

/// Columns and lines where the terminal does not say.
const USUAL_SIZE: (usize, usize) = (80, 24);

/// So many lines wait for a terminal that takes nothing; then the oldest go.
const FAR_BEHIND: usize = 10_000;

/// A terminal that is less behind, in bytes, takes its title soon.
const NEAR: usize = 64 * 1024;

/// A terminal that takes nothing delays a suspension by this at most.
const DRAINED_WITHIN: Duration = Duration::from_millis(200);

/// Columns and lines of a terminal.
type Size = Box<dyn Fn() -> (usize, usize) + Send>;

/// What is drawn on.
pub(super) struct Screen {
    out: Box<dyn Write + Send>,
    size: Size,
    region: Region,
    window: Window,
    /// What stands before a terminal that takes nothing; `None`: nothing does.
    writer: Option<BackgroundWriter>,
    /// The process has the terminal to itself, or is somewhere where there is no other.
    is_ours: fn() -> bool,
}

impl Screen {
    pub(super) fn new(out: Box<dyn Write + Send>, size: Size) -> Self {
        Self {
            out,
            size,
            region: Region::default(),
            window: Window::default(),
            writer: None,
            is_ours: || true,
        }
    }

    /// A terminal that has gone away stops nothing: the run continues.
    fn write(&mut self, text: &str) {
        if !text.is_empty() {
            let _ = self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush());
        }
    }

    /// Clears the rows away.
    fn clear(&mut self) {
        let (columns, _) = (self.size)();
        let text = self.region.frame(columns, &[], &[], false) + &self.window.restored();
        self.write(&text);
    }
}

/// The terminal, shared with the thread that hears of its suspension.
pub(super) struct Display {
    screen: Arc<Mutex<Screen>>,
    modes: Arc<Mutex<Modes>>,
    color: bool,
    /// Lines that wait for the next frame.
    above: VecDeque<Row>,
    /// Lines that were left out since the terminal has fallen behind.
    left_out: usize,
}

impl Display {
    pub(super) fn stdout(color: bool) -> Self {
        let writer = BackgroundWriter::stdout();
        let mut screen = Screen::new(Box::new(writer.clone()), Box::new(size_of_stdout));
        screen.writer = Some(writer);
        screen.window = Window::of_environment();
        screen.is_ours = Modes::is_foreground;
        let display = Self::new(screen, color);
        lock(&display.modes).silence();
        suspend_tidily(&display.screen, &display.modes);
        display
    }

    pub(super) fn new(screen: Screen, color: bool) -> Self {
        Self {
            screen: Arc::new(Mutex::new(screen)),
            modes: Arc::default(),
            color,
            above: VecDeque::new(),
            left_out: 0,
        }
    }

    pub(super) fn modes(&self) -> &Arc<Mutex<Modes>> {
        &self.modes
    }

    pub(super) fn columns(&self) -> usize {
        (lock(&self.screen).size)().0
    }

    /// Shows a line above the rows, with the next frame.
    pub(super) fn scroll(&mut self, row: Row) {
        self.above.push_back(row);
        if self.above.len() > FAR_BEHIND {
            self.above.pop_front();
            self.left_out += 1;
        }
    }

    /// One frame: lines that scroll by, and the rows that `rows` makes for a size below them. In the background of
    /// its terminal the process draws no rows: the shell has the place.
    ///
    /// A terminal that has not taken the last frame yet gets no other: of the rows only the newest are of interest,
    /// and the lines wait.
    pub(super) fn show(&mut self, above: &[Row], rows: impl FnOnce(usize, usize) -> Vec<Row>) {
        above.iter().cloned().for_each(|row| self.scroll(row));
        if lock(&self.screen).writer.as_ref().is_none_or(BackgroundWriter::is_idle) {
            self.draw(rows);
        }
    }

    fn draw(&mut self, rows: impl FnOnce(usize, usize) -> Vec<Row>) {
        if self.left_out > 0 {
            let said = format!("({} lines are left out)", std::mem::take(&mut self.left_out));
            self.above.push_front(Row::new(&said, Style::Dim));
        }
        let mut screen = lock(&self.screen);
        let (columns, lines) = (screen.size)();
        // The last column stays free: behind it some terminals wrap at once, and others later.
        let width = columns.saturating_sub(1).max(1);
        // What stays is broken between words and never cut: it is not drawn again.
        let above = self.above.drain(..).flat_map(|row| row.wrapped(width));
        let above: Vec<Row> = above.collect();
        let is_ours = (screen.is_ours)();
        let rows = if is_ours {
            lock(&self.modes).silence();
            rows(width, lines.saturating_sub(1).max(1))
        } else {
            screen.region.forget();
            lock(&self.modes).forget();
            Vec::new()
        };
        let text = screen.region.frame(columns, &above, &rows, self.color);
        screen.write(&text);
    }

    /// The window's title, and its progress in a task bar.
    pub(super) fn announce(&self, view: &RunView) {
        let mut screen = lock(&self.screen);
        if (screen.is_ours)() && screen.writer.as_ref().is_none_or(|writer| writer.waiting() < NEAR) {
            let text = screen.window.changed(title_of(view), progress_of(view));
            screen.write(&text);
        }
    }

    /// Gives the terminal back, with a last text below everything.
    pub(super) fn close(&mut self, text: &str, bell: bool) {
        self.draw(|_, _| Vec::new());
        self.give_back();
        let bell = if bell { "\x07" } else { "" };
        let text = on_screen(text).replace('\n', "\r\n");
        lock(&self.screen).write(&format!("{text}{bell}"));
    }

    fn give_back(&self) {
        lock(&self.screen).clear();
        lock(&self.modes).restore();
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        // Also when unwinding: what was drawn goes, and the prompt stands on a line of its own.
        self.give_back();
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

fn size_of_stdout() -> (usize, usize) {
    match rustix::termios::tcgetwinsize(rustix::stdio::stdout()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col.into(), size.ws_row.into()),
        _ => USUAL_SIZE,
    }
}

/// At Ctrl-Z the terminal is given back before the process is stopped; what is drawn afterwards begins anew.
fn suspend_tidily(screen: &Arc<Mutex<Screen>>, modes: &Arc<Mutex<Modes>>) {
    let (screen, modes) = (Arc::downgrade(screen), Arc::downgrade(modes));
    let suspend = move |_| {
        let (kept, held) = (Weak::upgrade(&screen), Weak::upgrade(&modes));
        // Both are held while the process is stopped, so that nothing is drawn or read before it continues.
        let mut screen = kept.as_deref().map(lock);
        let mut modes = held.as_deref().map(lock);
        if let Some(screen) = &mut screen {
            screen.clear();
            // What is on its way is to be seen before the shell's prompt.
            drain_within(DRAINED_WITHIN);
        }
        if let Some(modes) = &mut modes {
            modes.restore();
        }
        signals::suspend();
        ControlFlow::Continue(())
    };
    // Without it Ctrl-Z works as well, only less tidily.
    let _ = signals::listen(&[Signal::Suspend], suspend);
}

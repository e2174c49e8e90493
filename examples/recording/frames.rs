//! What a recording looks like at each moment, with its waits shortened.

use std::time::Duration;

use super::Result;
use super::terminal::{COLUMNS, LINES, Mark, Recording, screen};

/// What is written within this time is one picture.
const TOGETHER: Duration = Duration::from_millis(30);
/// Waits up to here, such as those between two keys, are shown as they were.
const AS_IT_WAS: f64 = 0.06;
/// What is longer passes so much faster,
const FASTER: f64 = 4.0;
/// and is never longer than this.
const LONGEST: f64 = 0.5;
/// How long the name of a key is shown.
const KEY_SECONDS: f64 = 2.0;

/// All of it.
pub(crate) struct Film {
    pub(crate) frames: Vec<Frame>,
    /// Names of keys, and from when to when they are shown.
    pub(crate) keys: Vec<(&'static str, f64, f64)>,
    /// How long it takes.
    pub(crate) seconds: f64,
}

/// The screen from a moment on.
pub(crate) struct Frame {
    /// Seconds since the beginning.
    pub(crate) at: f64,
    pub(crate) rows: Vec<Row>,
}

/// One line of the screen.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) runs: Vec<(String, Look)>,
    /// The column of the cursor, if it is here and seen.
    pub(crate) cursor: Option<u16>,
}

/// How text looks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Look {
    /// One of the 16 colours, or the terminal's own.
    pub(crate) color: Option<u8>,
    pub(crate) bold: bool,
    pub(crate) dim: bool,
}

fn rows(screen: &vt100::Screen) -> Vec<Row> {
    let cursor = Some(screen.cursor_position()).filter(|_| !screen.hide_cursor());
    let row = |y: u16| {
        let mut row = Row { cursor: cursor.filter(|at| at.0 == y).map(|at| at.1), runs: Vec::new() };
        for cell in (0..COLUMNS).filter_map(|x| screen.cell(y, x)).filter(|cell| !cell.is_wide_continuation())
        {
            let text = if cell.has_contents() { cell.contents() } else { " " };
            let color = match cell.fgcolor() {
                vt100::Color::Idx(color @ 0..16) => Some(color),
                _ => None,
            };
            let look = Look { color, bold: cell.bold(), dim: cell.dim() };
            match row.runs.last_mut() {
                // A blank looks like anything.
                Some((run, of)) if *of == look || text == " " => run.push_str(text),
                _ => row.runs.push((text.to_owned(), look)),
            }
        }
        while let Some((run, _)) = row.runs.last_mut() {
            run.truncate(run.trim_end().len());
            if !run.is_empty() {
                break;
            }
            row.runs.pop();
        }
        row
    };
    (0..LINES).map(row).collect()
}

/// The frames of a recording.
pub(crate) fn film(recording: &Recording) -> Result<Film> {
    let mut screen = screen()?;
    let (mut frames, mut keys): (Vec<Frame>, Vec<_>) = (Vec::new(), Vec::new());
    let (mut now, mut last) = (0.0, Duration::ZERO);
    let mut marks = recording.marks.iter().peekable();
    // Time passes up to this moment of the recording.
    let mut pass = |now: &mut f64, last: &mut Duration, to: Duration| {
        let wait = (to - *last).as_secs_f64();
        let wait = (wait.min(AS_IT_WAS) + (wait - AS_IT_WAS).max(0.0) / FASTER).min(LONGEST);
        let mut reading = None;
        while let Some((_, mark)) = marks.next_if(|(at, _)| *at <= to) {
            let read = reading.unwrap_or(0.0);
            match mark {
                Mark::Reads(seconds) => reading = Some(read + seconds),
                Mark::Key(name) => keys.push((*name, *now + read, *now + read + KEY_SECONDS)),
            }
        }
        let wait = reading.unwrap_or(wait);
        *now += wait;
        *last = to;
    };
    for (i, (at, bytes)) in recording.chunks.iter().enumerate() {
        screen.process(bytes);
        if recording.chunks.get(i + 1).is_some_and(|(next, _)| *next - *at < TOGETHER) {
            continue;
        }
        let rows = rows(screen.screen());
        if frames.last().is_some_and(|frame| frame.rows == rows) {
            continue;
        }
        pass(&mut now, &mut last, *at);
        frames.push(Frame { at: now, rows });
    }
    pass(&mut now, &mut last, Duration::MAX);
    if let Some(first) = frames.first_mut() {
        first.at = 0.0;
    }
    Ok(Film { frames, keys, seconds: now })
}

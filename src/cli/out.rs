//! Standard output and standard error, whole or not at all: a closed pipe ends the writing, never the program.

use std::io::{self, IsTerminal, Write};

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme};
use serde::Serialize;
use textwrap::WordSplitter;

use super::annotations;
use super::args::Annotations;
use super::document::{self, unwritable};
use super::{CliError, Exit};
use crate::plan::{Problem, json_on_screen, on_screen};
use crate::report::{self, wrapped};

/// Writes `text` to standard output.
///
/// A reader that has gone away (`maand ... | head`) is no error.
///
/// # Errors
/// When it cannot be written for another reason, such as a full disk.
pub(super) fn print(text: &str) -> Result<(), CliError> {
    let text = on_screen(text);
    report::drain();
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            let message = format!("standard output cannot be written: {error}");
            // Not that something was wrong with the input: what was to be done may be done.
            Err(CliError::new(
                Exit::Failed,
                Problem::error("maand::cli::output", message).help("is the disk full?"),
            ))
        }
        _ => Ok(()),
    }
}

/// Writes a value as JSON, indented, to standard output; `what` is its name in an error.
///
/// # Errors
/// As [`print`].
pub(super) fn print_json(what: &str, value: &impl Serialize) -> Result<(), CliError> {
    // By way of a value, so that keys are in the order in which they always were.
    let value = serde_json::to_value(value).map_err(|error| unwritable(what, &error))?;
    print(&json_on_screen(&format!("{value:#}\n")))
}

/// How errors are shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    /// As a document on standard output.
    pub(super) json: bool,
    /// With colours on standard error.
    pub(super) colors: bool,
    /// Also as annotations.
    pub(super) annotations: Annotations,
}

/// Shows an error, and says how the program ends.
pub(super) fn fail(error: &CliError, manner: Manner) -> Exit {
    annotations::write(error.problems(), manner.annotations);
    // Where it cannot be written, it is said to the operator.
    if !manner.json || document::print_error(error).is_err() {
        diagnose(error.diagnostic(), manner.colors);
    }
    error.exit
}

/// Some lines for the operator, on standard error; that it cannot be written is ignored.
pub(super) fn note(text: &str) {
    let text = if io::stderr().is_terminal() { wrapped(text, terminal_columns()) } else { text.to_owned() };
    report::drain();
    let _ = writeln!(io::stderr().lock(), "{}", on_screen(&text));
}

/// Writes diagnostics to standard error; that it cannot be written is ignored.
pub(super) fn diagnose(diagnostic: &dyn Diagnostic, colors: bool) {
    let text = render(diagnostic, colors, utf8_locale(), width());
    report::drain();
    let _ = io::stderr().lock().write_all(on_screen(&text).as_bytes());
}

/// A diagnostic as text.
pub(super) fn render(diagnostic: &dyn Diagnostic, colors: bool, unicode: bool, width: usize) -> String {
    let theme = match (colors, unicode) {
        (true, true) => GraphicalTheme::unicode(),
        (false, true) => GraphicalTheme::unicode_nocolor(),
        (true, false) => GraphicalTheme::ascii(),
        (false, false) => GraphicalTheme::none(),
    };
    let mut text = String::new();
    let handler = GraphicalReportHandler::new_themed(theme)
        .with_width(width)
        // A word of code such as `deploy-2` stays whole.
        .with_word_splitter(WordSplitter::NoHyphenation);
    if handler.render_report(&mut text, diagnostic).is_err() {
        text = format!("{diagnostic}\n");
    }
    text
}

/// Columns for messages: the terminal's, 40 to 120, or 100 without one.
fn width() -> usize {
    if !io::stderr().is_terminal() {
        return 100;
    }
    terminal_columns().clamp(40, 120)
}

/// Columns of the terminal on standard error; 100 where it does not say.
pub(super) fn terminal_columns() -> usize {
    match rustix::termios::tcgetwinsize(io::stderr()) {
        Ok(size) if size.ws_col > 0 => size.ws_col.into(),
        _ => 100,
    }
}

/// Whether the locale lets us print box drawing; without a terminal: yes, files are UTF-8.
fn utf8_locale() -> bool {
    if !io::stderr().is_terminal() {
        return true;
    }
    ["LC_ALL", "LC_CTYPE", "LANG"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
        .is_some_and(|value| value.to_ascii_lowercase().replace('-', "").contains("utf8"))
}

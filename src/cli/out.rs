//! Standard output and standard error, whole or not at all: a closed pipe ends the writing, never the program.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, Severity, SourceCode};
use serde::Serialize;
use textwrap::WordSplitter;

use super::annotations;
use super::args::Annotations;
use super::document::{self, unwritable};
use super::{CliError, Exit};
use crate::chart::Format;
use crate::plan::{Problem, json_on_screen, on_screen};
use crate::report::{self, word_separator, wrapped};

/// Columns where nobody says how many there are.
const UNKNOWN_COLUMNS: usize = 100;

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

/// As [`print`]; on a terminal lines are broken where it ends.
///
/// # Errors
/// As [`print`].
pub(super) fn print_wrapped(text: &str) -> Result<(), CliError> {
    if !io::stdout().is_terminal() {
        return print(text);
    }
    print(&wrapped(text, columns_of(io::stdout())))
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

/// As [`print_json`], in one line: where lines of a run may stand before it.
///
/// # Errors
/// As [`print`].
pub(super) fn print_json_line(what: &str, value: &impl Serialize) -> Result<(), CliError> {
    let line = serde_json::to_string(value).map_err(|error| unwritable(what, &error))?;
    print(&json_on_screen(&format!("{line}\n")))
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
    let wraps = io::stderr().is_terminal();
    let text = if wraps { wrapped(text, columns_of(io::stderr())) } else { text.to_owned() };
    report::drain();
    let _ = writeln!(io::stderr().lock(), "{}", on_screen(&text));
}

/// Writes diagnostics to standard error; that it cannot be written is ignored.
pub(super) fn diagnose(diagnostic: &dyn Diagnostic, colors: bool) {
    let text = render(diagnostic, colors, utf8_locale(), width());
    report::drain();
    let _ = io::stderr().lock().write_all(on_screen(&text).as_bytes());
}

/// A diagnostic as text; of several each by itself, for how many there are is no news.
pub(super) fn render(diagnostic: &dyn Diagnostic, colors: bool, unicode: bool, width: usize) -> String {
    let theme = match (colors, unicode) {
        (true, true) => GraphicalTheme::unicode(),
        (false, true) => GraphicalTheme::unicode_nocolor(),
        (true, false) => GraphicalTheme::ascii(),
        (false, false) => GraphicalTheme::none(),
    };
    let handler = GraphicalReportHandler::new_themed(theme)
        .with_width(width)
        .with_break_words(false)
        .with_word_separator(word_separator())
        .with_word_splitter(WordSplitter::NoHyphenation);
    let each: Vec<&dyn Diagnostic> = diagnostic.related().map(Iterator::collect).unwrap_or_default();
    let each = if each.is_empty() { vec![diagnostic] } else { each };
    let one = |one: &&dyn Diagnostic| {
        let mut text = String::new();
        match handler.render_report(&mut text, &Headed(*one)) {
            Ok(()) => text,
            Err(_) => format!("{one}\n"),
        }
    };
    each.iter().map(one).collect::<Vec<_>>().join("\n")
}

/// A diagnostic that begins with what is wrong: its code stands behind the message and not above it.
#[derive(Debug)]
struct Headed<'a>(&'a dyn Diagnostic);

impl fmt::Display for Headed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.code() {
            Some(code) => write!(f, "{} [{code}]", self.0),
            None => fmt::Display::fmt(self.0, f),
        }
    }
}

impl std::error::Error for Headed<'_> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

impl Diagnostic for Headed<'_> {
    fn severity(&self) -> Option<Severity> {
        self.0.severity()
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.0.help()
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        self.0.labels()
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.0.source_code()
    }
}

/// Columns for messages: the terminal's, 40 to 120, or 100 without one.
fn width() -> usize {
    if !io::stderr().is_terminal() {
        return UNKNOWN_COLUMNS;
    }
    columns_of(io::stderr()).clamp(40, 120)
}

/// Columns of the terminal on standard error; 100 where it does not say.
pub(super) fn terminal_columns() -> usize {
    columns_of(io::stderr())
}

/// Columns of the terminal on standard output; `None`: it is none, and lines may be as long as they are.
pub(super) fn stdout_columns() -> Option<usize> {
    io::stdout().is_terminal().then(|| columns_of(io::stdout()))
}

/// What a picture on standard output has to fit: its terminal, else 100 columns of UTF-8.
pub(super) fn picture_format() -> Format {
    let is_terminal = io::stdout().is_terminal();
    // A console of Linux has few signs.
    let is_simple =
        std::env::var_os("TERM").is_some_and(|term| term == "dumb" || (is_terminal && term == "linux"));
    let unicode = !is_simple && locale_is_utf8().unwrap_or(!is_terminal);
    Format { width: stdout_columns().unwrap_or(UNKNOWN_COLUMNS), height: None, unicode, all: false }
}

/// Columns of a terminal; 100 where it does not say.
fn columns_of(terminal: impl AsFd) -> usize {
    match rustix::termios::tcgetwinsize(terminal) {
        Ok(size) if size.ws_col > 0 => size.ws_col.into(),
        _ => UNKNOWN_COLUMNS,
    }
}

/// Whether the locale lets us print box drawing; without a terminal: yes, files are UTF-8.
fn utf8_locale() -> bool {
    !io::stderr().is_terminal() || locale_is_utf8() == Some(true)
}

/// What the locale says; `None`: there is none.
fn locale_is_utf8() -> Option<bool> {
    let value = ["LC_ALL", "LC_CTYPE", "LANG"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))?;
    Some(value.to_ascii_lowercase().replace('-', "").contains("utf8"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Problems, Source};

    #[test]
    fn a_frame_begins_with_what_is_wrong() {
        let source = Source::new("p.yaml", "steps:\r\n  - run: sleep 20\r\n  - deploy\r\n");
        let problem = |message: &str| {
            Problem::error("maand::test", message).at(&source, 17..25, "here").help("write something else")
        };
        let mut both = Problems::from(problem("the first"));
        both.push(problem("the second"));
        let text = render(&both, false, true, 100);
        insta::assert_snapshot!(text);
        assert_eq!(
            render(&problem("alone"), false, true, 100).lines().next(),
            Some("  × alone [maand::test]")
        );
    }

    #[test]
    fn neither_names_nor_commands_are_broken() {
        let help = "when deploy-2 has failed: `maand plan resume 20261130-0158-ba98`, or end it for good:\n  \
                    maand plan abort 20261130-0158-ba98 --revert";
        let problem = Problem::error("maand::test", "step deploy-2 of worker-2 has failed").help(help);
        for width in 40..80 {
            let text = render(&problem, false, true, width);
            for whole in [
                "deploy-2 has",
                "`maand plan resume 20261130-0158-ba98`",
                "maand plan abort 20261130-0158-ba98 --revert\n",
            ] {
                assert!(text.contains(whole), "{width}: {text}");
            }
        }
    }
}

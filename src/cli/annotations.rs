//! Annotations for logs of CI systems: a line each, on standard error, beside what is shown otherwise.
//!
//! GitHub's are workflow commands, `::error file=..,line=..,col=..,title=..::message`, escaped as its toolkit does
//! (`packages/core/src/command.ts`). Everything that could end a line or a property is escaped, so that foreign text
//! in a message is never a command of its own.

use std::path::Path;

use super::args::Annotations;
use super::operate::say;
use crate::plan::{Problem, Severity, visible_line};

/// A place in a file that an annotation is shown at.
pub(super) struct Place<'p> {
    pub(super) file: &'p str,
    /// Line and column, from 1.
    pub(super) at: Option<(usize, usize)>,
}

/// Writes one for each problem, if any are wanted; that they cannot be written is ignored.
pub(super) fn write<'p>(problems: impl IntoIterator<Item = &'p Problem>, wanted: Annotations) {
    if wanted == Annotations::None {
        return;
    }
    for problem in problems {
        let place = problem
            .file()
            .map(|file| Place { file, at: problem.place().map(|(_, line, column)| (line, column)) });
        let help = problem.help.as_deref().map(|help| format!("\n{help}")).unwrap_or_default();
        let severity = match problem.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        say(&github(severity, place.as_ref(), problem.code, &format!("{problem}{help}")));
    }
}

/// Writes one error that is no problem of an input, if any are wanted.
pub(super) fn write_error(place: Option<&Place<'_>>, title: &str, message: &str, wanted: Annotations) {
    if wanted == Annotations::Github {
        say(&github("error", place, title, message));
    }
}

fn github(severity: &str, place: Option<&Place<'_>>, title: &str, message: &str) -> String {
    let mut properties = Vec::new();
    // Standard input has no file that could be shown.
    if let Some(Place { file, at }) = place.filter(|place| !place.file.starts_with('<')) {
        properties.push(format!("file={}", property(&in_workspace(file))));
        if let Some((line, column)) = at {
            properties.push(format!("line={line},col={column}"));
        }
    }
    properties.push(format!("title={}", property(title)));
    format!("::{severity} {}::{}", properties.join(","), data(message))
}

/// The path as the checkout has it, where the runner says where that is.
fn in_workspace(file: &str) -> String {
    let root = std::env::var_os("GITHUB_WORKSPACE").filter(|root| !root.is_empty());
    let absolute = std::path::absolute(file).ok();
    let inside = root
        .zip(absolute)
        .and_then(|(root, file)| file.strip_prefix(Path::new(&root)).ok().map(Path::to_owned));
    inside.map_or_else(|| file.to_owned(), |inside| inside.display().to_string())
}

/// A carriage return, which GitHub's toolkit escapes too, is none any more when a line is fit to be seen.
fn data(text: &str) -> String {
    let text = text.lines().map(visible_line).collect::<Vec<_>>().join("\n");
    text.replace('%', "%25").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_escaped_as_githubs_toolkit_does() {
        let place = Place { file: "plans/a,b:c%.yaml", at: Some((3, 7)) };
        assert_eq!(
            github("error", Some(&place), "maand::plan::x", "50% of a, b: no\n::set-env name=A::b\r\nc"),
            "::error file=plans/a%2Cb%3Ac%25.yaml,line=3,col=7,title=maand%3A%3Aplan%3A%3Ax::50%25 of a, b: no%0A\
             ::set-env name=A::b%0Ac"
        );
        assert_eq!(github("warning", None, "t", "m"), "::warning title=t::m");
        let stdin = Place { file: "<stdin>", at: Some((1, 1)) };
        assert_eq!(github("warning", Some(&stdin), "t", "m"), "::warning title=t::m");
    }

    #[test]
    fn no_text_begins_another_line() {
        for text in ["a\u{2028}b", "a\u{1b}[2Jb", "a\nb", "a\rb", "a\r\nb"] {
            let line = github("error", None, text, text);
            assert!(line.chars().all(|c| !c.is_control() && c != '\u{2028}'), "{line:?}");
        }
    }
}

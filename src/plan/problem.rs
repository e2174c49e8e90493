//! Problems: what is wrong with an input, where, why, and what to do about it.
//!
//! A [`Problem`] is a [`miette::Diagnostic`] with its own source, so that problems of several files can be
//! shown together in one [`Problems`] report.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use miette::{Diagnostic, LabeledSpan, SourceCode, SourceSpan};
use schemars::JsonSchema;
use serde::Serialize;

use super::visible::{masked_in_place, visible, visible_line};
use super::words::without_error_numbers;

/// A named text that problems point into; cheap to clone.
#[derive(Clone, Debug)]
pub struct Source {
    // One pointer: a problem carries its source, and results with a problem in them stay small.
    inner: Arc<Text>,
}

#[derive(Debug)]
struct Text {
    name: String,
    text: String,
    /// Places that are not shown.
    hidden: Mutex<Vec<Range<usize>>>,
    /// What is shown of it, in as many bytes; `None`: the text itself.
    shown: OnceLock<Option<String>>,
}

impl PartialEq for Source {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner) || (self.name(), self.text()) == (other.name(), other.text())
    }
}

impl Eq for Source {}

impl Source {
    /// `name` is what messages show (usually the path as it was typed).
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        let (hidden, shown) = Default::default();
        Self { inner: Arc::new(Text { name: name.into(), text: text.into(), hidden, shown }) }
    }

    /// What stands there is a secret: it is masked where the text is shown. To be said before the first problem is shown.
    pub fn hide(&self, span: Range<usize>) {
        self.inner.hidden.lock().unwrap_or_else(PoisonError::into_inner).push(self.whole_characters(&span));
    }

    /// The name as messages show it.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// The whole text.
    pub fn text(&self) -> &str {
        &self.inner.text
    }

    /// The whole text as it may be shown, with the same offsets.
    fn shown(&self) -> &str {
        let shown = self.inner.shown.get_or_init(|| {
            let mut masked = masked_in_place(self.text());
            for span in self.inner.hidden.lock().unwrap_or_else(PoisonError::into_inner).iter() {
                let stars = |c: char| match c {
                    '\n' | '\r' => c.to_string(),
                    c => "*".repeat(c.len_utf8()),
                };
                let stars: String = masked[span.clone()].chars().map(stars).collect();
                masked.to_mut().replace_range(span.clone(), &stars);
            }
            // miette counts a line that ends with CR LF at the end of what it is given as two halves of one.
            if masked.contains("\r\n") {
                return Some(masked.replace("\r\n", " \n"));
            }
            match masked {
                Cow::Borrowed(_) => None,
                Cow::Owned(shown) => Some(shown),
            }
        });
        shown.as_deref().unwrap_or(self.text())
    }

    /// Line and column of a byte offset, both counted from 1; the column counts characters.
    pub fn line_column(&self, offset: usize) -> (usize, usize) {
        let before = &self.text()[..boundary(self.text(), offset)];
        let mut line_start = before.rfind('\n').map_or(0, |at| at + 1);
        if line_start == 0 && before.starts_with('\u{feff}') {
            // Editors do not show a byte order mark and do not count it.
            line_start = '\u{feff}'.len_utf8();
        }
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        (line, before[line_start..].chars().count() + 1)
    }

    /// `span` cut to the text and moved outwards to character boundaries.
    fn clamp(&self, span: &Range<usize>) -> Range<usize> {
        let Range { start, end } = self.whole_characters(span);
        if end - start > LONGEST_LABEL {
            return start..boundary(self.text(), start + LONGEST_LABEL).min(line_end(self.text(), start));
        }
        start..end
    }

    fn whole_characters(&self, span: &Range<usize>) -> Range<usize> {
        let start = boundary(self.text(), span.start);
        let mut end = span.end.clamp(start, self.text().len());
        while !self.text().is_char_boundary(end) {
            end += 1;
        }
        start..end
    }
}

/// A place is shown with its whole line up to this many bytes; of longer lines a part around the place.
const LONGEST_LINE: usize = 1000;
/// How much of such a line is shown before and after the place.
const AROUND: usize = 60;
/// A label covers at most so much: what is larger is pointed at by its beginning.
const LONGEST_LABEL: usize = 2000;

impl SourceCode for Source {
    /// As miette does it for text, but: columns count characters, a line without end (a file that is one
    /// line, hostile input) is cut around the place, and it takes time for the search of newlines only.
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        lines_before: usize,
        lines_after: usize,
    ) -> Result<Box<dyn miette::SpanContents<'a> + 'a>, miette::MietteError> {
        let (start, length) = (span.offset(), span.len());
        let inside =
            self.text().get(start..start + length).filter(|inside| inside.len() <= 2 * LONGEST_LABEL);
        // Places far from each other are shown in two parts.
        let inside = inside.ok_or(miette::MietteError::OutOfBounds)?;
        let (mut from, mut to) = (start, start + length);
        if lines_before > 0 {
            from = line_start(self.text(), from);
            for _ in 1..=lines_before {
                let above = line_start(self.text(), from.saturating_sub(1));
                if from - above <= LONGEST_LINE {
                    from = above;
                }
            }
            if start - from > LONGEST_LINE {
                from = boundary(self.text(), start - AROUND);
            }
        }
        if lines_after > 0 {
            to = line_end(self.text(), to);
            for _ in 1..=lines_after {
                let below = line_end(self.text(), (to + 1).min(self.text().len()));
                if below - to <= LONGEST_LINE {
                    to = below;
                }
            }
            if to - (start + length) > LONGEST_LINE {
                to = boundary(self.text(), start + length + AROUND);
            }
        }
        let (line, column) = self.line_column(from);
        let _ = inside;
        Ok(Box::new(miette::MietteSpanContents::new_named(
            visible_line(self.name()),
            &self.shown().as_bytes()[from..to],
            (from, to - from).into(),
            line - 1,
            column - 1,
            self.text()[from..to].bytes().filter(|byte| *byte == b'\n').count() + 1,
        )))
    }
}

/// Where the line that holds `at` begins.
fn line_start(text: &str, at: usize) -> usize {
    text[..boundary(text, at)].rfind('\n').map_or(0, |newline| newline + 1)
}

/// Where the line that holds `at` ends, without its newline.
fn line_end(text: &str, at: usize) -> usize {
    let at = boundary(text, at);
    text[at..].find('\n').map_or(text.len(), |newline| at + newline)
}

/// The character boundary at or before `at`.
fn boundary(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// Whether a problem stops the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The input is refused.
    Error,
    /// The input is accepted; the operator should know.
    Warning,
}

/// One thing that is wrong with an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The stable name, such as `maand::plan::unknown_worker`.
    pub code: &'static str,
    /// Whether the input is refused for it.
    pub severity: Severity,
    /// What happened, in one sentence, lower case, without a full stop.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    source: Option<Source>,
    labels: Vec<(Range<usize>, String)>,
}

impl Problem {
    /// An error; add where and what to do with the other methods.
    pub fn error(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(code, Severity::Error, message.into())
    }

    /// A warning; add where and what to do with the other methods.
    pub fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(code, Severity::Warning, message.into())
    }

    fn new(code: &'static str, severity: Severity, message: String) -> Self {
        let message = without_error_numbers(&visible(message.as_bytes()));
        Self { code, severity, message, help: None, source: None, labels: Vec::new() }
    }

    /// Underlines `span` (bytes) of `source` with `label`; the first label is the primary place.
    /// All labels of a problem are in the source that was given last. Spans outside of the text
    /// are cut to it.
    #[must_use]
    pub fn at(mut self, source: &Source, span: Range<usize>, label: impl Into<String>) -> Self {
        let label = without_error_numbers(&visible(label.into().as_bytes()));
        self.labels.push((source.clamp(&span), label));
        self.source = Some(source.clone());
        self
    }

    /// Names the file without a place in it (it is missing, or not text).
    #[must_use]
    pub fn in_file(mut self, source: &Source) -> Self {
        self.source = Some(source.clone());
        self
    }

    /// What to do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(without_error_numbers(&visible(help.into().as_bytes())));
        self
    }

    /// File name, line and column (both from 1) of the primary place, where there is one.
    pub fn place(&self) -> Option<(&str, usize, usize)> {
        let source = self.source.as_ref()?;
        let (span, _) = self.labels.first()?;
        let (line, column) = source.line_column(span.start);
        Some((source.name(), line, column))
    }

    /// The file that it is about.
    pub fn file(&self) -> Option<&str> {
        self.source.as_ref().map(Source::name)
    }

    /// The labelled byte spans, primary first.
    pub fn labels_in_bytes(&self) -> &[(Range<usize>, String)] {
        &self.labels
    }

    /// The machine-readable form.
    pub fn to_json(&self) -> ProblemJson<'_> {
        let place = self.place();
        ProblemJson {
            code: self.code,
            severity: self.severity,
            message: &self.message,
            file: self.source.as_ref().map(Source::name),
            line: place.map(|(_, line, _)| line),
            column: place.map(|(_, _, column)| column),
            length: self.labels.first().map(|(span, _)| span.len()),
            help: self.help.as_deref(),
        }
    }
}

/// A [`Problem`] in JSON documents.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ProblemJson<'a> {
    /// The stable name.
    code: &'a str,
    /// Whether the input is refused for it.
    severity: Severity,
    /// What happened, in one sentence.
    message: &'a str,
    /// Which file.
    file: Option<&'a str>,
    /// Counted from 1.
    line: Option<usize>,
    /// Counted from 1, in characters.
    column: Option<usize>,
    /// The length of the place, in bytes.
    length: Option<usize>,
    /// What to do about it.
    help: Option<&'a str>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Problem {}

impl Diagnostic for Problem {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(self.code))
    }

    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.source.as_ref().map(|source| source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        if self.labels.is_empty() {
            return None;
        }
        Some(Box::new(
            self.labels
                .iter()
                .map(|(span, label)| LabeledSpan::new(Some(label.clone()), span.start, span.len())),
        ))
    }
}

/// All problems of one input, shown together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    items: Vec<Problem>,
}

impl Problems {
    /// No problem yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one.
    pub fn push(&mut self, problem: Problem) {
        self.items.push(problem);
    }

    /// Adds all of `other`.
    pub fn extend(&mut self, other: Problems) {
        self.items.extend(other.items);
    }

    /// Whether at least one is an error.
    pub fn has_errors(&self) -> bool {
        self.items.iter().any(|problem| problem.severity == Severity::Error)
    }

    /// Whether there is none, warnings included.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// In the order found; see [`Problems::sort`].
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.items.iter()
    }

    /// Sorts by file, then place, then code; the same problem twice stays once.
    pub fn sort(&mut self) {
        self.items.sort_by(|a, b| {
            let key = |problem: &Problem| {
                let name = problem.source.as_ref().map(|source| source.name().to_owned());
                let start = problem.labels.first().map(|(span, _)| span.start);
                (name, start, problem.code, problem.message.clone())
            };
            key(a).cmp(&key(b))
        });
        self.items.dedup();
    }

    /// `Err` with everything when there is an error, else `Ok` with the warnings.
    pub fn into_result(self) -> Result<Problems, Problems> {
        if self.has_errors() { Err(self) } else { Ok(self) }
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self { items: vec![problem] }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |severity| self.items.iter().filter(|item| item.severity == severity).count();
        let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
        let plural = |n: usize| if n == 1 { "" } else { "s" };
        match (errors, warnings) {
            (0, w) => write!(f, "{w} warning{}", plural(w)),
            (e, 0) => write!(f, "{e} error{}", plural(e)),
            (e, w) => write!(f, "{e} error{} and {w} warning{}", plural(e), plural(w)),
        }
    }
}

impl std::error::Error for Problems {}

impl Diagnostic for Problems {
    fn severity(&self) -> Option<miette::Severity> {
        Some(if self.has_errors() { miette::Severity::Error } else { miette::Severity::Warning })
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        Some(Box::new(self.items.iter().map(|item| item as &dyn Diagnostic)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_counts_characters_after_multi_byte_text() {
        let source = Source::new("plan.yaml", "name: ü\nköche: x\n");
        let at = source.text().find('x').unwrap_or_default();
        let problem = Problem::error("maand::test", "no").at(&source, at..at + 1, "here");
        assert_eq!(problem.place(), Some(("plan.yaml", 2, 8)));
    }

    #[test]
    fn spans_are_cut_to_the_text() {
        let source = Source::new("plan.yaml", "ü");
        let problem = Problem::error("maand::test", "no").at(&source, 1..99, "here");
        assert_eq!(problem.labels_in_bytes()[0].0, 0..2);
    }

    #[test]
    fn numbers_of_the_system_are_not_shown() {
        let error = std::io::Error::from_raw_os_error(2);
        let problem = Problem::error("maand::test", format!("`a` cannot be read: {error}"));
        let problem = problem.help(format!("{error}; and {error}"));
        assert_eq!(problem.message, "`a` cannot be read: No such file or directory");
        assert_eq!(problem.help.as_deref(), Some("No such file or directory; and No such file or directory"));
        assert_eq!(without_error_numbers("a (os error x) (os error 2"), "a (os error x) (os error 2");
    }
}

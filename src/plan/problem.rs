//! Problems: what is wrong with an input, where, why, and what to do about it.
//!
//! A [`Problem`] is a [`miette::Diagnostic`] with its own source, so that problems of several files
//! can be shown together in one [`Problems`] report. This module must not know what the inputs
//! mean, nor print anything.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use miette::{Diagnostic, LabeledSpan, SourceCode, SourceSpan};
use serde::Serialize;

/// A named text that problems point into; cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    name: Arc<str>,
    text: Arc<str>,
}

impl Source {
    /// `name` is what is shown to people (usually the path as they typed it).
    pub fn new(name: impl Into<Arc<str>>, text: impl Into<Arc<str>>) -> Self {
        Self { name: name.into(), text: text.into() }
    }

    /// The name as shown to people.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The whole text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Line and column of a byte offset, both counted from 1; the column counts characters.
    pub fn line_column(&self, offset: usize) -> (usize, usize) {
        let mut offset = offset.min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        let before = &self.text[..offset];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        (line, before[line_start..].chars().count() + 1)
    }

    /// `span` cut to the text and moved outwards to character boundaries.
    fn clamp(&self, span: &Range<usize>) -> Range<usize> {
        let mut start = span.start.min(self.text.len());
        while !self.text.is_char_boundary(start) {
            start -= 1;
        }
        let mut end = span.end.clamp(start, self.text.len());
        while !self.text.is_char_boundary(end) {
            end += 1;
        }
        start..end
    }
}

impl SourceCode for Source {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn miette::SpanContents<'a> + 'a>, miette::MietteError> {
        let contents = self.text.as_ref().read_span(span, before, after)?;
        Ok(Box::new(miette::MietteSpanContents::new_named(
            self.name.to_string(),
            contents.data(),
            *contents.span(),
            contents.line(),
            contents.column(),
            contents.line_count(),
        )))
    }
}

/// Whether a problem stops the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The input is refused.
    Error,
    /// The input is accepted; a person should know.
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
        Self { code, severity, message, help: None, source: None, labels: Vec::new() }
    }

    /// Underlines `span` (bytes) of `source` with `label`; the first label is the primary place.
    /// All labels of a problem are in the source that was given last. Spans outside of the text
    /// are cut to it.
    #[must_use]
    pub fn at(mut self, source: &Source, span: Range<usize>, label: impl Into<String>) -> Self {
        self.labels.push((source.clamp(&span), label.into()));
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
        self.help = Some(help.into());
        self
    }

    /// File name, line and column (both from 1) of the primary place, where there is one.
    pub fn place(&self) -> Option<(&str, usize, usize)> {
        let source = self.source.as_ref()?;
        let (span, _) = self.labels.first()?;
        let (line, column) = source.line_column(span.start);
        Some((source.name(), line, column))
    }

    /// The labelled byte spans, primary first.
    pub fn labels_in_bytes(&self) -> &[(Range<usize>, String)] {
        &self.labels
    }

    /// The machine-readable form: `{code, severity, message, file, line, column, length, help}`.
    pub fn to_json(&self) -> serde_json::Value {
        let place = self.place();
        serde_json::json!({
            "code": self.code,
            "severity": self.severity,
            "message": self.message,
            "file": self.source.as_ref().map(Source::name),
            "line": place.map(|(_, line, _)| line),
            "column": place.map(|(_, _, column)| column),
            "length": self.labels.first().map(|(span, _)| span.len()),
            "help": self.help,
        })
    }
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
                let name = problem.source.as_ref().map(|source| source.name.clone());
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
}

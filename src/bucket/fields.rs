//! Taking the values out of a JSON text: types, duplicate keys and misspelt keys become problems with their
//! places, all of them.

use std::collections::BTreeMap;
use std::ops::Range;

use super::json::{self, Json, Member, Node};
use super::units::Unit;
use crate::plan::{Problem, Problems, Source};

/// Maximum number of problems that are kept of one file: more are not read, and hostile input has millions.
const MAX_PROBLEMS: usize = 100;

/// Keys of one object that are looked at for slips of the fingers.
const MAX_NEAR_MISSES: usize = 1000;

/// One file that is being read, and what is wrong with it.
pub(super) struct Doc<'a> {
    pub(super) source: &'a Source,
    problems: Vec<Problem>,
    dropped: usize,
}

/// The members of an object with each key once.
pub(super) struct Fields<'n> {
    members: &'n [Member],
    pub(super) span: Range<usize>,
}

impl<'n> Fields<'n> {
    /// The value of a key; JSON's `null` counts as absent, as it does upstream.
    pub(super) fn get(&self, key: &str) -> Option<&'n Node> {
        self.member(key).map(|member| &member.value)
    }

    /// Key and value.
    pub(super) fn member(&self, key: &str) -> Option<&'n Member> {
        self.members.iter().find(|member| &*member.key == key).filter(|m| m.value.value != Json::Null)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &'n Member> + use<'n> {
        self.members.iter()
    }
}

impl<'a> Doc<'a> {
    pub(super) fn new(source: &'a Source) -> Self {
        Self { source, problems: Vec::new(), dropped: 0 }
    }

    /// The JSON of the file, or a problem.
    pub(super) fn parse(&mut self) -> Option<Node> {
        match json::parse(self.source.text()) {
            Ok(node) => Some(node),
            Err(error) => {
                let name = self.source.name();
                let message = format!("{name} is not JSON: {}", error.message);
                let mut problem =
                    Problem::error("maand::bucket::json_syntax", message).at(self.source, error.span, "here");
                if let Some(help) = error.help {
                    problem = problem.help(help);
                }
                self.push(problem);
                None
            }
        }
    }

    pub(super) fn push(&mut self, problem: Problem) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(problem);
        } else {
            self.dropped += 1;
        }
    }

    /// An error at a place.
    pub(super) fn error(
        &mut self,
        code: &'static str,
        message: impl Into<String>,
        span: &Range<usize>,
        label: impl Into<String>,
        help: impl Into<String>,
    ) {
        let problem = Problem::error(code, message).at(self.source, span.clone(), label).help(help);
        self.push(problem);
    }

    /// A warning at a place.
    pub(super) fn warn(
        &mut self,
        code: &'static str,
        message: impl Into<String>,
        span: &Range<usize>,
        label: impl Into<String>,
        help: impl Into<String>,
    ) {
        let problem = Problem::warning(code, message).at(self.source, span.clone(), label).help(help);
        self.push(problem);
    }

    /// All that was found.
    pub(super) fn finish(self) -> Problems {
        let mut all = Problems::new();
        for problem in self.problems {
            all.push(problem);
        }
        if self.dropped > 0 {
            let message = format!("{} has {} more problems", self.source.name(), self.dropped);
            all.push(Problem::error("maand::bucket::more_problems", message).in_file(self.source));
        }
        all
    }

    fn wrong_type(&mut self, node: &Node, what: &str, wanted: &str) {
        let message = format!("{what} must be {wanted}, not {}", node.value.kind());
        self.error("maand::bucket::wrong_type", message, &node.span, "this", format!("write {wanted}"));
    }

    /// An object; unknown keys are kept and warned of when they look like one of `known`.
    pub(super) fn object<'n>(&mut self, node: &'n Node, what: &str, known: &[&str]) -> Option<Fields<'n>> {
        let Json::Object(members) = &node.value else {
            self.wrong_type(node, what, "an object");
            return None;
        };
        self.no_duplicates(members, what);
        for member in members.iter().take(MAX_NEAR_MISSES) {
            if let Some(near) = near_miss(&member.key, known) {
                self.warn(
                    "maand::bucket::unknown_key",
                    format!("{what} has no key `{}`", member.key),
                    &member.key_span,
                    "not used",
                    format!("did you mean `{near}`?"),
                );
            }
        }
        Some(Fields { members, span: node.span.clone() })
    }

    fn no_duplicates(&mut self, members: &[Member], what: &str) {
        let mut seen: BTreeMap<&str, &Range<usize>> = BTreeMap::new();
        for member in members {
            if let Some(first) = seen.insert(&member.key, &member.key_span) {
                let message = format!("{what} has the key `{}` twice", member.key);
                let problem = Problem::error("maand::bucket::duplicate_key", message)
                    .at(self.source, member.key_span.clone(), "again")
                    .at(self.source, first.clone(), "first here")
                    .help("keep one of them");
                self.push(problem);
            }
        }
    }

    pub(super) fn list<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n [Node]> {
        match &node.value {
            Json::Array(items) => Some(items),
            _ => {
                self.wrong_type(node, what, "a list");
                None
            }
        }
    }

    pub(super) fn text<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n str> {
        match &node.value {
            Json::String(text) => Some(text),
            _ => {
                self.wrong_type(node, what, "a string");
                None
            }
        }
    }

    /// A whole number inside of `range`.
    pub(super) fn integer(
        &mut self,
        node: &Node,
        what: &str,
        range: std::ops::RangeInclusive<i64>,
    ) -> Option<i64> {
        let Json::Number(text) = &node.value else {
            self.wrong_type(node, what, "a whole number");
            return None;
        };
        // `3.0` and `3e0` are whole numbers to a reader and to other JSON programs.
        let exact = text.parse::<i64>().ok().or_else(|| {
            let float = text.parse::<f64>().ok()?;
            (float.fract() == 0.0 && float.abs() < 9e15).then_some(float as i64)
        });
        match exact.filter(|value| range.contains(value)) {
            Some(value) => Some(value),
            None => {
                let (low, high) = (range.start(), range.end());
                let help = if *high == i64::MAX {
                    format!("write a whole number from {low} on")
                } else {
                    format!("write a whole number from {low} to {high}")
                };
                self.error(
                    "maand::bucket::bad_value",
                    format!("{what} cannot be {text}"),
                    &node.span,
                    "out of range",
                    help,
                );
                None
            }
        }
    }

    /// Memory in MiB or CPU in MHz: a number, or a text with a unit; an empty text is 0.
    pub(super) fn amount(&mut self, node: &Node, what: &str, unit: Unit) -> Option<f64> {
        let text = match &node.value {
            Json::Number(text) => text.to_ascii_lowercase(),
            Json::String(text) if text.trim().is_empty() => return Some(0.0),
            Json::String(text) => text.to_string(),
            _ => {
                self.wrong_type(node, what, "a number or a string with a unit");
                return None;
            }
        };
        let value = match node.value {
            Json::Number(_) => text.parse::<f64>().ok().filter(|v| (0.0..=1e15).contains(v)),
            _ => unit.parse(&text),
        };
        if value.is_none() {
            self.error(
                "maand::bucket::bad_value",
                format!("{what} cannot be {}", json::quoted(&text)),
                &node.span,
                "no such amount",
                unit.example(),
            );
        }
        value
    }

    /// A list of texts, each with its place; trimmed, empty ones are an error.
    pub(super) fn texts<'n>(&mut self, node: &'n Node, what: &str) -> Vec<(&'n str, Range<usize>)> {
        let mut all = Vec::new();
        for item in self.list(node, what).unwrap_or_default() {
            if let Some(text) = self.text(item, &format!("each of {what}")) {
                if text.trim().is_empty() {
                    self.error(
                        "maand::bucket::bad_value",
                        format!("{what} has an empty entry"),
                        &item.span,
                        "empty",
                        "remove it",
                    );
                } else {
                    all.push((text.trim(), item.span.clone()));
                }
            }
        }
        all
    }
}

/// The known key that an unknown one was probably meant to be.
pub(super) fn near_miss<'k>(key: &str, known: &[&'k str]) -> Option<&'k str> {
    if known.contains(&key) || key.len() > 64 {
        return None;
    }
    let plain = |text: &str| text.to_ascii_lowercase().replace(['-', '_', ' '], "");
    let key = plain(key);
    let allowed = |candidate: &str| candidate.len().min(8) / 4;
    known
        .iter()
        // Cheaply first: hostile files have many keys. Separators do not count.
        .filter(|candidate| plain(candidate).len().abs_diff(key.len()) <= allowed(candidate))
        .map(|candidate| (distance(&key, &plain(candidate)), *candidate))
        .filter(|(distance, candidate)| *distance <= allowed(candidate))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Edits (insert, delete, replace, swap of neighbours) between two short texts.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let same = usize::from(a[i - 1] != b[j - 1]);
            let mut best = (rows[i - 1][j] + 1).min(row[j - 1] + 1).min(rows[i - 1][j - 1] + same);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_near_misses_are_named() {
        let known = ["host", "labels", "memory", "ssh_port"];
        assert_eq!(near_miss("hosts", &known), Some("host"));
        assert_eq!(near_miss("sshPort", &known), Some("ssh_port"));
        assert_eq!(near_miss("lables", &known), Some("labels"));
        assert_eq!(near_miss("Memory", &known), Some("memory"));
        assert_eq!(near_miss("rack", &known), None);
        assert_eq!(near_miss("host", &known), None);
    }
}

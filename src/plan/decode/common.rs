//! The decoder: where problems are collected, and how maps, lists and scalars are taken apart.

use std::borrow::Cow;
use std::ops::Range;

use super::super::suggest::{all_of, one_of, suggest};
use super::super::yaml::{Key, Node, Scalar, ScalarKind, Value, shorten};
use super::super::{Located, Problem, Problems, Source, code};
use super::keys::BELONGS;
use super::vars::Variables;

/// Keys that cannot be left out where they belong.
const MUST_BE: &[&str] = &["version", "name", "steps", "timezone", "open", "close", "tag", "job"];

/// Takes a plan apart.
pub(super) struct Decoder<'s> {
    pub(super) source: &'s Source,
    pub(super) problems: Problems,
    pub(super) vars: Variables,
}

/// The entries of a map whose keys are all known.
pub(super) struct Fields<'n> {
    /// Where the map stands.
    pub(super) span: Range<usize>,
    entries: &'n [(Key, Node)],
}

impl<'n> Fields<'n> {
    /// The entries of `node`, unchecked.
    pub(super) fn of(node: &Node, entries: &'n [(Key, Node)]) -> Self {
        Self { span: node.span.clone(), entries }
    }

    /// No entries, at the place of `key`.
    pub(super) fn none(key: &Key) -> Self {
        Self { span: key.span.clone(), entries: &[] }
    }

    /// The value of `key`, if it is there.
    pub(super) fn get(&self, key: &str) -> Option<&'n Node> {
        self.entry(key).map(|(_, node)| node)
    }

    /// Key and value, if they are there.
    pub(super) fn entry(&self, key: &str) -> Option<(&'n Key, &'n Node)> {
        self.entries.iter().find(|(have, _)| have.text == key).map(|(have, node)| (have, node))
    }
}

impl Decoder<'_> {
    /// Reports an error at one place.
    pub(super) fn error(
        &mut self,
        code: &'static str,
        message: impl Into<String>,
        span: Range<usize>,
        label: impl Into<String>,
        help: impl Into<String>,
    ) {
        let problem = Problem::error(code, message).at(self.source, span, label).help(help);
        self.problems.push(problem);
    }

    /// Warns of a secret in plain text, and keeps it from being shown with the lines around it. `variable`: a name for it in an
    /// environment.
    pub(super) fn plain_secret(&mut self, what: &str, span: Range<usize>, variable: &str) {
        self.source.hide(span.clone());
        let message = format!("{what} is a secret, and stands in the plan in plain text");
        let help = format!(
            "put it into the environment of whoever runs maand, and write `{{from_env: {variable}}}` here: then it is \
             neither stored nor shown"
        );
        let problem = Problem::warning(code::PLAIN_SECRET, message);
        self.problems.push(problem.at(self.source, span, "whoever reads the plan has it").help(help));
    }

    /// Reports that `key` takes `expected` and not what `node` is.
    pub(super) fn wrong_type(&mut self, node: &Node, key: &str, expected: &str, example: &str) {
        if matches!(node.value, Value::Unusable) {
            return;
        }
        if node.is_null() {
            let message = format!("`{key}` has no value");
            let mut help = format!("write {expected}, such as `{example}`");
            if !MUST_BE.contains(&key) {
                help.push_str(", or leave the key out");
            }
            self.error(code::NO_VALUE, message, node.span.clone(), "nothing follows", help);
            return;
        }
        let found = node.describe();
        let mut help = format!("write {expected}, such as `{example}`");
        match node.scalar().map(|scalar| (scalar.text.to_ascii_lowercase(), scalar.kind)) {
            Some((text, ScalarKind::Text)) if matches!(text.as_str(), "no" | "off" | "none" | "n") => {
                help.push_str("; to go without, leave the key out");
            }
            Some((text, ScalarKind::Bool(false))) if text == "false" => {
                help.push_str("; to go without, leave the key out");
            }
            _ => {}
        }
        let message = format!("`{key}` takes {expected}, not {found}");
        self.error(code::WRONG_TYPE, message, node.span.clone(), format!("this is {found}"), help);
    }

    /// The entries of a map; unknown keys are reported. `None`: it is no map, which is reported.
    pub(super) fn fields<'n>(
        &mut self,
        node: &'n Node,
        what: &str,
        keys: &[&str],
        example: &str,
    ) -> Option<Fields<'n>> {
        let Value::Map(entries) = &node.value else {
            self.wrong_type(node, what, "a map", example);
            return None;
        };
        for (key, _) in entries {
            if !keys.contains(&key.text.as_str()) {
                self.unknown_key(key, what, keys);
            }
        }
        Some(Fields { span: node.span.clone(), entries })
    }

    /// Reports a key that `what` does not have.
    pub(super) fn unknown_key(&mut self, key: &Key, what: &str, keys: &[&str]) {
        let name = shorten(&key.text);
        let home =
            BELONGS.iter().find(|(section, inside)| inside.contains(&name.as_str()) && *section != what);
        let help = match (suggest(&name, keys.iter().copied()), home) {
            (_, Some((section, _))) if what == "the plan" => {
                format!("`{name}` belongs below `{section}:`; indent it there")
            }
            (Some(near), _) => format!("did you mean `{near}`?"),
            (None, _) => format!("known here: {}", all_of(keys.iter().copied())),
        };
        let message = if what == "the plan" {
            format!("a plan has no key `{name}`")
        } else {
            format!("`{what}` has no key `{name}`")
        };
        self.error(code::UNKNOWN_KEY, message, key.span.clone(), "unknown key", help);
    }

    /// Reports that `key` is missing in the map at `span`.
    pub(super) fn missing(&mut self, what: &str, key: &str, span: Range<usize>, help: &str) {
        let head = span.start..self.first_line_end(&span);
        let message = format!("{what} needs `{key}`");
        self.error(code::MISSING_KEY, message, head, format!("`{key}` is missing here"), help);
    }

    /// Where the first line of `span` ends: enough to point at something long.
    pub(super) fn first_line_end(&self, span: &Range<usize>) -> usize {
        let text = self.source.text().get(span.clone()).unwrap_or_default();
        let line = text.lines().next().unwrap_or_default().trim_end();
        span.start + line.len()
    }

    /// `node` with variables put in; borrowed when there are none.
    pub(super) fn resolve<'n>(&mut self, node: &'n Node) -> Cow<'n, Node> {
        match node.text() {
            Some(text) if text.contains("${") => {
                let value = self.vars.substitute(text, &node.span, self.source, &mut self.problems);
                Cow::Owned(Node { span: node.span.clone(), value })
            }
            _ => Cow::Borrowed(node),
        }
    }

    /// A text, not empty.
    pub(super) fn text(&mut self, node: &Node, key: &str, example: &str) -> Option<Located<String>> {
        let put_in = self.resolve(node);
        match (&put_in, put_in.scalar()) {
            // A variable that is a number or a truth value reads as text where text is wanted.
            (Cow::Owned(_), Some(Scalar { text, kind })) if *kind != ScalarKind::Text => {
                Some(Located { value: text.clone(), span: node.span.clone() })
            }
            _ => self.plain_text(&put_in, key, example),
        }
    }

    /// A text, not empty, in which no variables are put.
    pub(super) fn plain_text(&mut self, node: &Node, key: &str, example: &str) -> Option<Located<String>> {
        match node.scalar() {
            Some(Scalar { text, kind: ScalarKind::Text }) if text.trim().is_empty() => {
                let message = format!("`{key}` is empty");
                let help = format!("write a text, such as `{example}`, or leave the key out");
                self.error(code::EMPTY_TEXT, message, node.span.clone(), "nothing inside", help);
                None
            }
            Some(Scalar { text, kind: ScalarKind::Text }) => {
                Some(Located { value: text.clone(), span: node.span.clone() })
            }
            Some(Scalar { text, kind }) if *kind != ScalarKind::Null => {
                let found = node.describe();
                let message = format!("`{key}` takes a text, not {found}");
                let help = format!("put it in quotes: \"{}\"", shorten(text));
                self.error(code::WRONG_TYPE, message, node.span.clone(), format!("this is {found}"), help);
                None
            }
            _ => {
                self.wrong_type(node, key, "a text", example);
                None
            }
        }
    }

    /// A text, or a number or truth value as it is written.
    pub(super) fn scalar_text(&mut self, node: &Node, key: &str, example: &str) -> Option<Located<String>> {
        let node = self.resolve(node);
        match node.scalar() {
            Some(Scalar { text, kind }) if !matches!(kind, ScalarKind::Null | ScalarKind::Text) => {
                Some(Located { value: text.clone(), span: node.span.clone() })
            }
            _ => self.plain_text(&node, key, example),
        }
    }

    /// `true` or `false`.
    pub(super) fn flag(&mut self, node: &Node, key: &str) -> Option<bool> {
        let node = self.resolve(node);
        match node.scalar() {
            Some(Scalar { kind: ScalarKind::Bool(value), .. }) => Some(*value),
            Some(Scalar { text, kind: ScalarKind::Text }) => {
                let meant = match text.to_ascii_lowercase().as_str() {
                    "yes" | "on" | "y" | "true" => "true",
                    "no" | "off" | "n" | "false" => "false",
                    _ => "true` or `false",
                };
                let message = format!("`{key}` takes `true` or `false`, not {}", node.describe());
                let help = format!("write `{meant}` without quotes; YAML 1.2 knows no other truth values");
                self.error(code::WRONG_TYPE, message, node.span.clone(), "this is text", help);
                None
            }
            _ => {
                self.wrong_type(&node, key, "`true` or `false`", &format!("{key}: true"));
                None
            }
        }
    }

    /// The items of a list that is not empty.
    pub(super) fn items(&mut self, node: &Node, key: &str, of: &str, example: &str) -> Option<Vec<Node>> {
        let node = self.resolve(node);
        match node.into_owned() {
            Node { value: Value::List(items), span } => {
                if items.is_empty() {
                    let message = format!("the list `{key}` is empty");
                    let help = format!("name at least one, such as `{example}`, or leave the key out");
                    self.error(code::EMPTY_LIST, message, span, "nothing inside", help);
                    return None;
                }
                Some(items)
            }
            other => {
                self.wrong_type(&other, key, &format!("a list of {of}"), example);
                None
            }
        }
    }

    /// One of `words`: its index.
    pub(super) fn word(&mut self, node: &Node, key: &str, words: &[&str]) -> Option<usize> {
        let node = self.resolve(node);
        let choices = one_of(words.iter().copied());
        let Some(text) = node.text() else {
            self.wrong_type(
                &node,
                key,
                &choices,
                &format!("{key}: {}", words.first().copied().unwrap_or_default()),
            );
            return None;
        };
        let found = words.iter().position(|word| *word == text);
        if found.is_none() {
            let help = match suggest(text, words.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("write {choices}"),
            };
            let message = format!("`{key}` takes {choices}, not `{}`", shorten(text));
            self.error(code::UNKNOWN_VALUE, message, node.span.clone(), "unknown value", help);
        }
        found
    }
}

//! The tree of a YAML document; every node and key knows its bytes.

use std::ops::Range;

/// A value with its place.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) span: Range<usize>,
    pub(crate) value: Value,
}

/// What a node is.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
    /// It was refused, and the problem is reported: later checks say nothing about it.
    Unusable,
}

/// A scalar as written (escapes resolved) and as YAML 1.2 understands it.
#[derive(Clone, Debug)]
pub(crate) struct Scalar {
    pub(crate) text: String,
    pub(crate) kind: ScalarKind,
}

/// The type of a scalar after the core schema of YAML 1.2.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum ScalarKind {
    Null,
    Bool(bool),
    Integer(i64),
    Float(f64),
    /// A number that does not fit into 64 bits.
    Huge,
    Text,
}

/// A key of a map.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) text: String,
    pub(crate) span: Range<usize>,
}

impl Node {
    /// The scalar, if it is one.
    pub(crate) fn scalar(&self) -> Option<&Scalar> {
        match &self.value {
            Value::Scalar(scalar) => Some(scalar),
            _ => None,
        }
    }

    /// The text, if it is a scalar of type text.
    pub(crate) fn text(&self) -> Option<&str> {
        self.scalar().filter(|scalar| scalar.kind == ScalarKind::Text).map(|scalar| scalar.text.as_str())
    }

    /// Whether there is nothing: `key:`, `~`, `null`.
    pub(crate) fn is_null(&self) -> bool {
        self.scalar().is_some_and(|scalar| scalar.kind == ScalarKind::Null)
    }

    /// What it is, for a message: ``the text `no` ``.
    pub(crate) fn describe(&self) -> String {
        match &self.value {
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a map".to_owned(),
            Value::Unusable => "something unusable".to_owned(),
            Value::Scalar(scalar) => {
                let text = shorten(&scalar.text);
                match scalar.kind {
                    ScalarKind::Null => "nothing".to_owned(),
                    ScalarKind::Bool(_) => format!("the truth value `{text}`"),
                    ScalarKind::Integer(_) | ScalarKind::Float(_) | ScalarKind::Huge => {
                        format!("the number `{text}`")
                    }
                    ScalarKind::Text => format!("the text `{text}`"),
                }
            }
        }
    }
}

/// At most 40 characters of one line, fit for a message.
pub(crate) fn shorten(text: &str) -> String {
    const LONGEST: usize = 40;
    let line = text.trim_end().lines().next().unwrap_or_default();
    let mut short: String = line.chars().take(LONGEST).collect();
    if short.len() < text.trim_end().len() {
        short.push('…');
    }
    short
}

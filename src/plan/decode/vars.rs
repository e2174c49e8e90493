//! Variables: their values, `--set`, and putting them into texts.

use std::collections::BTreeMap;
use std::ops::Range;

use super::super::suggest::{all_of, did_you_mean};
use super::super::yaml::{self, MAX_BYTES, Node, Scalar, ScalarKind, Value, shorten};
use super::super::{Problem, Problems, Source, VarValue, code};
use super::names::{MOST_OF_A_VALUE, MOST_OF_ALL_VALUES, VALUE_HELP, is_variable_name, reserved};

/// All variables of a plan.
#[derive(Default)]
pub(super) struct Variables {
    items: Vec<Variable>,
    /// Names whose value was refused: no second problem where they are used.
    broken: Vec<String>,
    /// Bytes that references have been replaced with so far.
    put_in: usize,
    /// That this is too much has been reported.
    too_large: bool,
}

struct Variable {
    name: String,
    span: Range<usize>,
    /// A scalar, or a list of scalars.
    node: Node,
    used: bool,
}

impl Variables {
    /// Reads `vars:` and then applies `--set`.
    pub(super) fn read(
        node: Option<&Node>,
        overrides: &[(String, String)],
        source: &Source,
        problems: &mut Problems,
    ) -> Self {
        let mut variables = Self::default();
        let entries = match node.map(|node| &node.value) {
            Some(Value::Map(entries)) => entries.as_slice(),
            Some(Value::Unusable) | None => &[],
            Some(_) => {
                let node = node.map_or(0..0, |node| node.span.clone());
                let problem = Problem::error(code::WRONG_TYPE, "`vars` takes a map from name to value")
                    .at(source, node, "this is no map")
                    .help("write `vars: {zone: a}`, or leave the key out");
                problems.push(problem);
                &[]
            }
        };
        let mut bytes = 0;
        for (key, value) in entries {
            if !is_variable_name(&key.text) {
                let message = format!("`{}` cannot be the name of a variable", shorten(&key.text));
                let problem = Problem::error(code::BAD_VARIABLE, message)
                    .at(source, key.span.clone(), "not a name")
                    .help("names are letters, digits and _, and do not begin with a digit: they become environment \
                           variables of commands");
                problems.push(problem);
                variables.broken.push(key.text.clone());
                continue;
            }
            if let Some(why) = reserved(&key.text) {
                let problem = Problem::error(code::BAD_VARIABLE, format!("`vars` cannot set `{}`", key.text))
                    .at(source, key.span.clone(), "reserved")
                    .help(format!("{why}; choose another name"));
                problems.push(problem);
                variables.broken.push(key.text.clone());
                continue;
            }
            let set = overrides.iter().rev().find(|(name, _)| *name == key.text);
            let value = match set {
                None => variables.inner(value, source, problems),
                Some((name, text)) => overridden(name, text, value, problems).map(|mut node| {
                    node.span = value.span.clone();
                    node
                }),
            };
            let value = value.filter(|value| usable(&key.text, value, source, problems));
            bytes += value.as_ref().map_or(0, weight);
            let fits = |value: &Node| weight(value) <= MOST_OF_A_VALUE && bytes <= MOST_OF_ALL_VALUES;
            let bad = match &value {
                Some(value) if !fits(value) => Some((code::TOO_LARGE, "is too large")),
                Some(value) if has_nul(value) => Some((code::BAD_VARIABLE, "has a NUL byte in it")),
                _ => None,
            };
            if let Some((code, why)) = bad {
                let message = format!("the variable `{}` {why}: it becomes one of an environment", key.text);
                let problem =
                    Problem::error(code, message).at(source, key.span.clone(), "this one").help(VALUE_HELP);
                problems.push(problem);
                variables.broken.push(key.text.clone());
                continue;
            }
            match value {
                Some(node) => variables.items.push(Variable {
                    name: key.text.clone(),
                    span: key.span.clone(),
                    node,
                    used: false,
                }),
                None => variables.broken.push(key.text.clone()),
            }
        }
        let known: Vec<&str> = entries.iter().map(|(key, _)| key.text.as_str()).collect();
        for (name, text) in overrides {
            if !known.contains(&name.as_str()) {
                let shown = Source::new("--set", format!("{name}={text}"));
                let problem =
                    Problem::error(code::UNKNOWN_OVERRIDE, format!("the plan has no variable `{name}`"))
                        .at(&shown, 0..name.len(), "unknown variable")
                        .help(did_you_mean(name, known.iter().copied(), || match known.as_slice() {
                            [] => "it has no `vars:` at all".to_owned(),
                            known => format!("it has {}", all_of(known.iter().copied())),
                        }));
                problems.push(problem);
            }
        }
        variables
    }

    /// The value of a variable with the variables above it put in.
    fn inner(&mut self, node: &Node, source: &Source, problems: &mut Problems) -> Option<Node> {
        let mut node = node.clone();
        let mut put = |node: &mut Node| {
            if let Some(text) = node.text().filter(|text| text.contains("${")) {
                node.value = self.substitute(text, &node.span, source, problems);
            }
            !matches!(node.value, Value::Unusable)
        };
        let fine = match &mut node.value {
            // Every entry is looked at, also after a bad one.
            Value::List(items) => items.iter_mut().filter_map(|item| (!put(item)).then_some(())).count() == 0,
            _ => put(&mut node),
        };
        fine.then_some(node)
    }

    /// `text` with every `${name}` replaced; `$${` stands for `${` itself.
    pub(super) fn substitute(
        &mut self,
        text: &str,
        span: &Range<usize>,
        source: &Source,
        problems: &mut Problems,
    ) -> Value {
        let mut result = String::with_capacity(text.len());
        let mut rest = text;
        let mut fine = true;
        while let Some(at) = rest.find("${") {
            let (before, after) = (&rest[..at], &rest[at + 2..]);
            if let Some(before) = before.strip_suffix('$') {
                result.push_str(before);
                result.push_str("${");
                rest = after;
                continue;
            }
            result.push_str(before);
            let name = after.find('}').map(|end| &after[..end]);
            let Some(name) = name.filter(|name| is_variable_name(name)) else {
                let message = format!("`{}` is not a reference to a variable", shorten(&rest[at..]));
                let problem = Problem::error(code::BAD_REFERENCE, message)
                    .at(source, place_of(source, span, "${"), "this begins a reference")
                    .help("write `${name}`; for the characters `${` themselves write `$${`");
                problems.push(problem);
                return Value::Unusable;
            };
            rest = &after[name.len() + 1..];
            let whole = result.is_empty() && rest.is_empty();
            match self.items.iter_mut().find(|variable| variable.name == name) {
                Some(variable) => {
                    variable.used = true;
                    self.put_in += weight(&variable.node);
                    if self.put_in > MAX_BYTES {
                        if !std::mem::replace(&mut self.too_large, true) {
                            problems.push(grown(source, span));
                        }
                        return Value::Unusable;
                    }
                    if whole && at == 0 {
                        return moved(&variable.node, span).value;
                    }
                    match variable.node.scalar() {
                        Some(scalar) => result.push_str(&scalar.text),
                        None => {
                            let message = format!("the list `{name}` cannot be a part of a text");
                            let problem = Problem::error(code::WRONG_TYPE, message)
                                .at(source, place_of(source, span, &format!("${{{name}}}")), "this is a list")
                                .help("a list can only be the whole value: \"${name}\" and nothing else");
                            problems.push(problem);
                            fine = false;
                        }
                    }
                }
                None => {
                    fine = false;
                    if !self.broken.iter().any(|broken| broken == name) {
                        let known = self.items.iter().map(|variable| variable.name.as_str());
                        let message = format!("there is no variable `{name}`");
                        let problem = Problem::error(code::UNDEFINED_VARIABLE, message)
                            .at(source, place_of(source, span, &format!("${{{name}}}")), "undefined here")
                            .help(did_you_mean(name, known, || {
                                format!("define it below `vars:`, above its use: `{name}: ...`")
                            }));
                        problems.push(problem);
                    }
                }
            }
        }
        result.push_str(rest);
        if fine { Value::Scalar(Scalar { text: result, kind: ScalarKind::Text }) } else { Value::Unusable }
    }

    /// Notes which variables the shell text names: they reach it as environment.
    pub(super) fn used_by_command(&mut self, command: &str) {
        let words = command.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let words: std::collections::HashSet<&str> = words.collect();
        for variable in &mut self.items {
            variable.used |= words.contains(variable.name.as_str());
        }
    }

    /// A script file may use any of them.
    pub(super) fn used_by_script(&mut self) {
        for variable in &mut self.items {
            variable.used = true;
        }
    }

    /// Warns of variables that nothing uses.
    pub(super) fn unused(&self, source: &Source, problems: &mut Problems) {
        for variable in self.items.iter().filter(|variable| !variable.used) {
            let message = format!("nothing uses the variable `{}`", variable.name);
            let help = format!("use it as `${{{}}}`, or remove it", variable.name);
            let place = variable.span.clone();
            problems.push(
                Problem::warning(code::UNUSED_VARIABLE, message).at(source, place, "unused").help(help),
            );
        }
    }

    /// The values for the model.
    pub(super) fn values(&self) -> BTreeMap<String, VarValue> {
        self.items.iter().map(|variable| (variable.name.clone(), value_of(&variable.node))).collect()
    }
}

fn grown(source: &Source, span: &Range<usize>) -> Problem {
    let message = format!("with its variables put in the plan exceeds {MAX_BYTES} bytes");
    Problem::error(code::TOO_LARGE, message)
        .at(source, span.clone(), "the limit is reached here")
        .help("make the variables shorter, or use them in fewer places")
}

/// What a value costs wherever it is put in; a list entry costs more than its text.
fn weight(node: &Node) -> usize {
    match &node.value {
        Value::List(items) => items.iter().map(weight).sum(),
        Value::Scalar(scalar) => scalar.text.len() + 32,
        Value::Map(_) | Value::Unusable => 0,
    }
}

/// Where `part` stands in the text at `span`; the whole of it when it cannot be found (escapes).
fn place_of(source: &Source, span: &Range<usize>, part: &str) -> Range<usize> {
    match source.text().get(span.clone()).and_then(|text| text.find(part)) {
        Some(at) => span.start + at..span.start + at + part.len(),
        None => span.clone(),
    }
}

/// `node` with all its places at `span`.
fn moved(node: &Node, span: &Range<usize>) -> Node {
    let value = match &node.value {
        Value::List(items) => Value::List(items.iter().map(|item| moved(item, span)).collect()),
        other => other.clone(),
    };
    Node { span: span.clone(), value }
}

/// Whether a variable can have this value; reported when not.
fn usable(name: &str, node: &Node, source: &Source, problems: &mut Problems) -> bool {
    let refused = |node: &Node, in_list: bool| match &node.value {
        Value::List(_) if !in_list => None,
        Value::List(_) => Some("a list inside of a list"),
        Value::Map(_) => Some("a map"),
        Value::Unusable => Some(""),
        Value::Scalar(scalar) => match scalar.kind {
            ScalarKind::Null => Some("nothing"),
            ScalarKind::Huge => Some("a number that does not fit into 64 bits"),
            ScalarKind::Float(value) if !value.is_finite() => Some("not a finite number"),
            _ => None,
        },
    };
    let items = match &node.value {
        Value::List(items) => items.as_slice(),
        _ => &[],
    };
    let bad = refused(node, false)
        .map(|why| (node, why))
        .or_else(|| items.iter().find_map(|item| refused(item, true).map(|why| (item, why))));
    let Some((node, why)) = bad else { return true };
    if !why.is_empty() {
        let message = format!("the variable `{name}` cannot be {why}");
        let problem = Problem::error(code::BAD_VARIABLE, message)
            .at(source, node.span.clone(), format!("this is {why}"))
            .help("a variable is a text, a number, true, false, or a list of these");
        problems.push(problem);
    }
    false
}

/// The value that `--set name=text` gives to a variable whose value in the plan is `declared`.
///
/// The plan decides the type: text stays text as typed, a list is read from `[a, b]` or `a,b`.
fn overridden(name: &str, text: &str, declared: &Node, problems: &mut Problems) -> Option<Node> {
    let shown = Source::new("--set", format!("{name}={text}"));
    let place = name.len() + 1..name.len() + 1 + text.len();
    let node = |value: Value| Node { span: 0..0, value };
    let scalar = |text: &str, kind| node(Value::Scalar(Scalar { text: text.to_owned(), kind }));
    let plain = yaml::resolve_plain(text);
    let (expected, found) = match &declared.value {
        Value::List(_) if text.trim_start().starts_with('[') => {
            let mut found = Problems::new();
            let list = yaml::read(&Source::new("--set", text), &mut found);
            ("a list such as [a, b]", list.filter(|list| matches!(list.value, Value::List(_))))
        }
        Value::List(_) => {
            let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
            let items = parts.map(|part| scalar(part, ScalarKind::Text)).collect();
            ("a list", Some(node(Value::List(items))))
        }
        Value::Scalar(Scalar { kind, .. }) => match (kind, plain) {
            (ScalarKind::Bool(_), ScalarKind::Bool(_)) => ("", Some(scalar(text, plain))),
            (ScalarKind::Bool(_), _) => ("true or false", None),
            (ScalarKind::Integer(_), ScalarKind::Integer(_)) => ("", Some(scalar(text, plain))),
            (ScalarKind::Integer(_), _) => ("a whole number", None),
            (ScalarKind::Float(_), ScalarKind::Integer(_) | ScalarKind::Float(_)) => {
                ("", Some(scalar(text, plain)))
            }
            (ScalarKind::Float(_), _) => ("a number", None),
            _ => ("", Some(scalar(text, ScalarKind::Text))),
        },
        _ => return None,
    };
    if found.is_none() {
        let message = format!("the variable `{name}` takes {expected}, not `{}`", shorten(text));
        let problem = Problem::error(code::BAD_OVERRIDE, message)
            .at(&shown, place, "wrong type")
            .help(format!("write --set {name}=... with {expected}, as the value below `vars:` in the plan"));
        problems.push(problem);
    }
    found
}

fn has_nul(node: &Node) -> bool {
    match &node.value {
        Value::List(items) => items.iter().any(has_nul),
        Value::Scalar(scalar) => scalar.text.contains('\0'),
        Value::Map(_) | Value::Unusable => false,
    }
}

fn value_of(node: &Node) -> VarValue {
    match &node.value {
        Value::List(items) => VarValue::List(items.iter().map(value_of).collect()),
        Value::Scalar(scalar) => match scalar.kind {
            ScalarKind::Bool(value) => VarValue::Bool(value),
            ScalarKind::Integer(value) => VarValue::Integer(value),
            ScalarKind::Float(value) => VarValue::Float(value),
            _ => VarValue::String(scalar.text.clone()),
        },
        Value::Map(_) | Value::Unusable => VarValue::String(String::new()),
    }
}

//! Variables of hosts as tags. Tags are in the bucket, in the journal of each run and in the environment of its commands:
//! what may be a secret never becomes one by itself.

use std::collections::{BTreeMap, BTreeSet};

use super::super::import::{Gathered, Reason};
use super::document::{Value, Variables};
use super::settings::{is_own, is_template};
use crate::plan::visible_line;

/// Pieces of names of variables that hold secrets.
const SECRET_NAMES: [&str; 8] = ["pass", "pwd", "secret", "token", "key", "credential", "vault", "private"];

/// What values have that are secrets whatever they are called.
const SECRET_VALUES: [&str; 4] = ["PRIVATE KEY", "$ANSIBLE_VAULT", "Bearer ", "Basic "];

/// A tag is a short word by which workers are told apart.
const LONGEST: usize = 200;

const SECRET: Reason = ("it looks like a secret", "name it with --tags, if it is none");
const SECRET_VALUE: Reason = ("its value looks like a secret", "a secret must not become a tag");
const VAULT: Reason = ("it is encrypted by Ansible Vault", "a secret must not become a tag");
const NESTED: Reason =
    ("a tag has one plain value, and this is a list or a mapping", "make a variable of what is needed of it");
const NO_VALUE: Reason = ("it has no value", "nothing is to be done");
const TEMPLATE: Reason = ("it is a template, which Ansible fills in when it runs", "write the value itself");
const LINES: Reason = (
    "its name or value has several lines, or signs that cannot be seen",
    "a tag is one line of plain text: make another variable of it",
);
const TOO_LONG: Reason = ("a tag has at most 200 bytes", "make a shorter variable of it");
const BAD_NAME: Reason =
    ("its name cannot be that of a tag: no blanks, commas and `=`", "rename the variable");
const SAME_TAG: Reason = (
    "tags are in lower case, and another variable has the same name then",
    "rename one of the two variables",
);

/// The tags of a host. `named`: these alone, and also what looks like a secret by its name.
pub(super) fn of(
    host: &str,
    variables: &Variables,
    named: Option<&BTreeSet<String>>,
    not_taken: &mut Gathered,
) -> BTreeMap<String, String> {
    let mut tags = BTreeMap::new();
    for (name, value) in variables {
        match named {
            Some(named) if !named.contains(name) => continue,
            // Settings are told of elsewhere.
            None if is_own(name) => continue,
            _ => {}
        }
        let tag = name.to_lowercase();
        let reason = match plain(name, value, named.is_some()) {
            Ok(_) if tags.contains_key(&tag) => SAME_TAG,
            Ok(value) => {
                tags.insert(tag, value);
                continue;
            }
            Err(reason) => reason,
        };
        not_taken.push_at(reason, format!("variable {name}"), host);
    }
    tags
}

/// The value of a tag; `Err`: why it cannot be one.
fn plain(name: &str, value: &Value, is_named: bool) -> Result<String, Reason> {
    let text = match value {
        Value::Vault => return Err(VAULT),
        _ if !is_named && is_secret_name(name) => return Err(SECRET),
        Value::Null => return Err(NO_VALUE),
        Value::Nested => return Err(NESTED),
        Value::Scalar(text) => text.trim(),
    };
    let is_plain_name = |c: char| !(c.is_whitespace() || c == ',' || c == '=');
    let rules = [
        (is_secret_value(text), SECRET_VALUE),
        (visible_line(text) != text || visible_line(name) != name, LINES),
        (text.is_empty(), NO_VALUE),
        (is_template(text), TEMPLATE),
        (text.len() > LONGEST, TOO_LONG),
        (name.is_empty() || name.len() > LONGEST || !name.chars().all(is_plain_name), BAD_NAME),
    ];
    match rules.into_iter().find(|(is_broken, _)| *is_broken) {
        Some((_, reason)) => Err(reason),
        None => Ok(text.to_lowercase()),
    }
}

fn is_secret_name(name: &str) -> bool {
    let name = name.to_lowercase();
    SECRET_NAMES.iter().any(|piece| name.contains(piece))
}

fn is_secret_value(text: &str) -> bool {
    // A URL with a password in it: scheme://user:password@host.
    let in_url = text
        .split_once("://")
        .and_then(|(_, rest)| rest.split(['/', '?']).next())
        .is_some_and(|authority| authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':')));
    in_url || SECRET_VALUES.iter().any(|mark| text.contains(mark))
}

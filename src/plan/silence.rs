//! `silence`: what the monitoring system does not tell of workers that are down because of the run.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::http::{Piece, gate_placeholders, placeholders};
use super::regex::wrong_regex;
use super::{EnvValue, duration, visible_line};

/// What of a plan names the worker in a matcher, so that a silence is of this worker only.
const NAMES_A_WORKER: [&str; 2] = ["MAAND_HOST", "WORKER_IP"];

/// A silence in an Alertmanager for each worker while it is down because of the run: a lease that is extended, and ends by
/// itself.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Silence {
    /// Of the Alertmanager, without `/api/v2`; placeholders stand for values of the worker.
    pub url: String,
    /// By their names as written; values may be secrets.
    pub headers: BTreeMap<String, EnvValue>,
    /// All of them hold for an alert that is silenced; never empty, and at least one names the worker.
    pub matchers: Vec<Matcher>,
    /// So long a silence lasts that is not extended any more.
    pub lease: Duration,
    /// So long it lasts after the worker is back.
    pub tail: Duration,
    /// No worker's silence lasts longer than this, however long it is down.
    pub at_most: Duration,
    /// So long an answer is waited for.
    pub timeout: Duration,
    /// In front of what every comment says.
    pub comment: Option<String>,
}

/// As it is shown in one line, with all that is sent: a review has to see where a secret goes.
impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let matchers: Vec<String> = self.matchers.iter().map(Matcher::to_string).collect();
        let [lease, tail, at_most] = [self.lease, self.tail, self.at_most].map(duration);
        write!(
            f,
            "{} in {}: while a worker is down, {lease} at a time, {tail} after, and at most {at_most}",
            matchers.join(", "),
            self.url
        )?;
        for (name, value) in &self.headers {
            match value {
                EnvValue::Plain(_) => write!(f, "; header {name}: {}", visible_line(&value.shown(name)))?,
                EnvValue::FromEnv(from) => write!(f, "; header {name} from {from} of this machine")?,
            }
        }
        if let Some(comment) = &self.comment {
            write!(f, "; comment `{}`", visible_line(comment))?;
        }
        write!(f, "; an answer within {}", duration(self.timeout))
    }
}

/// One matcher, as Alertmanager reads it: `instance =~ "$MAAND_HOST(:\\d+)?"`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Matcher {
    /// The label.
    pub name: String,
    /// How its value is compared.
    pub op: MatchOp,
    /// With placeholders.
    pub value: String,
}

/// How a label's value is compared. A regular expression has to match all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the signs say it")]
pub enum MatchOp {
    #[serde(rename = "=")]
    Equal,
    #[serde(rename = "!=")]
    NotEqual,
    #[serde(rename = "=~")]
    Matches,
    #[serde(rename = "!~")]
    MatchesNot,
}

impl MatchOp {
    /// As it is written. Longer ones first, as they are looked for.
    const ALL: [(Self, &'static str); 4] =
        [(Self::Matches, "=~"), (Self::MatchesNot, "!~"), (Self::NotEqual, "!="), (Self::Equal, "=")];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(op, _)| *op == self).map_or("", |(_, text)| text)
    }

    /// Its value is a regular expression.
    pub fn is_regex(self) -> bool {
        matches!(self, Self::Matches | Self::MatchesNot)
    }

    /// What it says of a label is that it has this value.
    pub fn is_positive(self) -> bool {
        matches!(self, Self::Equal | Self::Matches)
    }
}

impl Matcher {
    /// Reads a matcher.
    ///
    /// # Errors
    /// Why it is none.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let text = text.trim();
        let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'));
        let (name, rest) = text.split_at(end.unwrap_or(text.len()));
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
            return Err("it begins with no name of a label");
        }
        let rest = rest.trim_start();
        let found = MatchOp::ALL.iter().find_map(|(op, sign)| Some((*op, rest.strip_prefix(sign)?)));
        let Some((op, value)) = found else { return Err("behind the label stands none of =, !=, =~ and !~") };
        let value = value.trim();
        let value = match value.strip_prefix('"') {
            None if value.contains('"') => return Err("a quote stands within the value"),
            None => value.to_owned(),
            Some(quoted) => unquoted(quoted)?,
        };
        match value.is_empty() {
            true => Err("it has no value"),
            false => Ok(Self { name: name.to_owned(), op, value }),
        }
    }

    /// Whether only alerts of one worker match it, whichever that is.
    pub fn names_the_worker(&self) -> bool {
        self.op.is_positive()
            && placeholders(&self.value).any(|piece| {
                matches!(piece, Piece::Name(name) if NAMES_A_WORKER.contains(&name) || name.starts_with("MAAND_TAG_"))
            })
    }

    /// What of a regular expression may match names of other workers: an alternative, or what stands next to the worker's
    /// name and may be a part of a longer one. `10.0.0.1.*` matches `10.0.0.10`.
    pub fn too_wide(&self) -> Option<&'static str> {
        if !(self.op == MatchOp::Matches && self.names_the_worker()) {
            return None;
        }
        let pieces: Vec<Piece<'_>> = placeholders(&self.value).collect();
        let is_any = |rest: &str| {
            ["[", "(.", "([", r"\d", r"\w", r"\S"].iter().any(|any| rest.starts_with(any))
                || rest.starts_with('.')
        };
        let mut depth = 0_u32;
        for (at, piece) in pieces.iter().enumerate() {
            let Piece::Text(text) = piece else { continue };
            let mut chars = text.chars();
            while let Some(c) = chars.next() {
                match c {
                    '\\' => drop(chars.next()),
                    '(' => depth += 1,
                    ')' => depth = depth.saturating_sub(1),
                    '|' if depth == 0 => return Some("the alternative matches whatever worker it is"),
                    _ => {}
                }
            }
            let before = at.checked_sub(1).map(|before| pieces[before]);
            if matches!(before, Some(Piece::Name(_))) && is_any(text) {
                return Some("what follows the worker's name may be a part of a longer one");
            }
            let after = pieces.get(at + 1);
            if matches!(after, Some(Piece::Name(_))) && (text.ends_with(".*") || text.ends_with(".+")) {
                return Some("what stands before the worker's name may be a part of a longer one");
            }
        }
        None
    }

    /// Why its value is no regular expression, where it has to be one.
    pub fn wrong_regex(&self) -> Option<&'static str> {
        self.op.is_regex().then(|| {
            // With some value in the place of each name: values match as they are.
            let filled: String = gate_placeholders(&self.value)
                .map(|piece| match piece {
                    Piece::Text(text) => text,
                    Piece::Name(_) => "a",
                })
                .collect();
            wrong_regex(&filled)
        })?
    }

    /// With these values in the place of their names, which match as they are also within a regular expression.
    ///
    /// # Errors
    /// The name that has no value.
    pub fn filled<'v>(&self, value_of: impl Fn(&str) -> Option<&'v str>) -> Result<Self, String> {
        let mut value = String::new();
        for piece in placeholders(&self.value) {
            match piece {
                Piece::Text(text) => value.push_str(text),
                Piece::Name(name) => {
                    let found = value_of(name).ok_or_else(|| name.to_owned())?;
                    match self.op.is_regex() {
                        true => found.chars().for_each(|c| {
                            if r"\.+*?()|[]{}^$".contains(c) {
                                value.push('\\');
                            }
                            value.push(c);
                        }),
                        false => value.push_str(found),
                    }
                }
            }
        }
        Ok(Self { name: self.name.clone(), op: self.op, value })
    }
}

/// What stands in quotes, of which the first is taken off already: `\\`, `\"` and `\n` stand for one character, and
/// other backslashes for themselves, as in Alertmanager.
fn unquoted(text: &str) -> Result<String, &'static str> {
    let mut value = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' if chars.as_str().is_empty() => return Ok(value),
            '"' => return Err("something follows the value"),
            '\\' => match chars.next() {
                Some('n') => value.push('\n'),
                Some(c @ ('"' | '\\')) => value.push(c),
                Some(c) => value.extend(['\\', c]),
                None => break,
            },
            c => value.push(c),
        }
    }
    Err("the quotes do not end")
}

/// As Alertmanager reads it.
impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n");
        write!(f, "{}{}\"{value}\"", self.name, self.op.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Matcher {
        Matcher::parse(text).unwrap_or_else(|why| panic!("{text}: {why}"))
    }

    /// What a plan sends, and where to, is told: two that send another secret are not the same.
    #[test]
    fn all_that_is_sent_is_shown() {
        let shown = |from: &str| {
            let text = format!(
                "version: 1\nname: n\nsilence:\n  url: http://a:9093\n  matchers: ['instance=\"$MAAND_HOST\"']\n  \
                 headers: {{Authorization: {{from_env: {from}}}, X-Scope: \"7\"}}\n  comment: ask ops\nsteps: [health]\n"
            );
            let source = crate::plan::Source::new("n.yaml", text);
            crate::plan::parse(&source, &[]).unwrap().silence.unwrap().to_string()
        };
        let one = shown("AM_TOKEN");
        for part in
            ["header Authorization from AM_TOKEN", "header X-Scope: 7", "comment `ask ops`", "within 5s"]
        {
            assert!(one.contains(part), "{part}: {one}");
        }
        assert_ne!(one, shown("AWS_SECRET_ACCESS_KEY"));
    }

    #[test]
    fn matchers_are_read_as_alertmanager_reads_them() {
        for (text, shown) in [
            ("instance=~\"$MAAND_HOST(:\\d+)?\"", "instance=~\"$MAAND_HOST(:\\\\d+)?\""),
            (" instance = 10.0.0.1 ", "instance=\"10.0.0.1\""),
            ("job!=\"a \\\"b\\\" \\\\ c\\n\"", "job!=\"a \\\"b\\\" \\\\ c\\n\""),
            ("severity !~ info|none", "severity!~\"info|none\""),
            ("a:b_1=~x", "a:b_1=~\"x\""),
        ] {
            let matcher = parsed(text);
            assert_eq!(matcher.to_string(), shown);
            assert_eq!(parsed(shown), matcher, "what is shown reads the same");
        }
        for wrong in [
            "",
            "=x",
            "1a=x",
            "instance",
            "instance>x",
            "instance=",
            "a=\"x",
            "a=\"x\"y",
            "a=x\"y\"",
            "ä=x",
            "a=\"x\\",
        ] {
            assert!(Matcher::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn values_match_as_they_are_and_only_positive_matchers_name_the_worker() {
        let value = |name: &str| (name == "MAAND_HOST").then_some("a.b+c-1");
        let filled = |text: &str| parsed(text).filled(value).map(|matcher| matcher.value);
        assert_eq!(filled("i=~\"$MAAND_HOST(:\\d+)?$\"").unwrap(), r"a\.b\+c-1(:\d+)?$");
        assert_eq!(filled("i=$MAAND_HOST:9100").unwrap(), "a.b+c-1:9100");
        assert_eq!(filled("i=$MAAND_TAG_RACK").unwrap_err(), "MAAND_TAG_RACK");
        for (text, wide) in [
            ("i=~\"$MAAND_HOST(:\\d+)?\"", false),
            ("i=~$MAAND_HOST", false),
            ("i=~$MAAND_HOST:.*", false),
            ("i=~\"$MAAND_HOST\\.example\\.org\"", false),
            ("i=~(node|web)-$MAAND_HOST", false),
            ("i=~$MAAND_HOST.*", true),
            ("i=~\"$MAAND_HOST\\d*\"", true),
            ("i=~$MAAND_HOST[0-9:]*", true),
            ("i=~.*$MAAND_HOST", true),
            ("i=~$MAAND_HOST|.*", true),
            ("i=.*$MAAND_HOST", false),
        ] {
            assert_eq!(parsed(text).too_wide().is_some(), wide, "{text}");
        }
        for (text, names) in [
            ("i=~$MAAND_HOST", true),
            ("i=$MAAND_TAG_FQDN", true),
            ("i=$WORKER_IP", true),
            ("i!=$MAAND_HOST", false),
            ("i!~$MAAND_HOST", false),
            ("i=~.*", false),
            ("i=$MAAND_PLAN", false),
            ("i=$MAAND_LABELS", false),
        ] {
            assert_eq!(parsed(text).names_the_worker(), names, "{text}");
        }
    }
}

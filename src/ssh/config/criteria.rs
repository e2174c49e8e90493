//! `Match`: whether its criteria hold (`ssh_config(5)`).

use super::pattern::matches_any;
use super::{BadLine, Question, tokens};

/// Whether the lines below a `Host` or `Match` apply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Applies {
    Yes,
    No,
    /// By a criterion that is not looked at here, at a place.
    Unknown {
        criterion: String,
        place: String,
    },
}

/// What a `Match` may ask about, as far as it is known when it is reached.
pub(super) struct Known<'a> {
    pub(super) question: &'a Question<'a>,
    pub(super) host_name: Option<&'a str>,
    pub(super) user: Option<&'a str>,
    pub(super) tag: Option<&'a str>,
    /// The second reading, that `Match final` asks for.
    pub(super) is_final: bool,
}

/// What a `Match` line says.
pub(super) struct Matched {
    pub(super) applies: Applies,
    pub(super) wants_final: bool,
}

pub(super) fn evaluate(values: &[String], known: &Known<'_>, place: &str) -> Result<Matched, BadLine> {
    let question = known.question;
    let mut values = values.iter().map(String::as_str);
    let mut found = Matched { applies: Applies::Yes, wants_final: false };
    let (mut count, mut all) = (0, false);
    while let Some(word) = values.next() {
        if all {
            return Err(BadLine::Match("`all` cannot be combined with what follows it".into()));
        }
        let (word, negated) = word.strip_prefix('!').map_or((word, false), |word| (word, true));
        let (word, attached) = match word.split_once('=') {
            Some((word, value)) => (word, Some(value)),
            None => (word, None),
        };
        let word = word.to_ascii_lowercase();
        count += 1;
        let mut argument = || {
            let value = attached.or_else(|| values.next());
            value.ok_or_else(|| BadLine::Match(format!("`{word}` has no value")))
        };
        let mut unknown = false;
        let holds = match word.as_str() {
            "all" => {
                all = true;
                if count > 2 {
                    return Err(BadLine::Match("`all` cannot be combined with others".into()));
                }
                true
            }
            "canonical" | "final" => {
                found.wants_final |= word == "final" && !negated;
                known.is_final
            }
            "host" => {
                let host = match known.host_name {
                    Some(name) => tokens::host_name(name, question.host)?,
                    None => question.host.to_owned(),
                };
                let host = host.to_ascii_lowercase();
                matches_any(argument()?.to_ascii_lowercase().split(','), &host)
            }
            "originalhost" => {
                let host = question.host.to_ascii_lowercase();
                matches_any(argument()?.to_ascii_lowercase().split(','), &host)
            }
            "user" => {
                let user = question.user.or(known.user).unwrap_or(question.default_user);
                matches_any(argument()?.split(','), user)
            }
            "localuser" => matches_any(argument()?.split(','), question.local_user),
            "tagged" => match (argument()?, known.tag) {
                (patterns, None) => patterns.is_empty(),
                (patterns, Some(tag)) => matches_any(patterns.split(','), tag),
            },
            // A program is run, as `ssh HOST PROGRAM` does.
            "sessiontype" => matches_any(argument()?.split(','), "exec"),
            "exec" | "localnetwork" | "version" | "command" => {
                argument()?;
                unknown = true;
                true
            }
            other => return Err(BadLine::Match(format!("there is no criterion `{other}`"))),
        };
        if unknown {
            if found.applies == Applies::Yes {
                found.applies = Applies::Unknown { criterion: word, place: place.to_owned() };
            }
        } else if holds == negated {
            found.applies = Applies::No;
        }
    }
    if count == 0 {
        return Err(BadLine::Match("it has no criterion".into()));
    }
    Ok(found)
}

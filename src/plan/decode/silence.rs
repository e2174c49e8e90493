//! `silence:`.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::http::{Piece, placeholders};
use super::super::silence::{Matcher, Silence};
use super::super::yaml::{Node, Value, shorten};
use super::super::{EnvValue, Problem, code, duration};
use super::common::Decoder;
use super::http::{Asker, beyond_server};
use super::keys::SILENCE;

/// What texts of it may name, besides tags.
const NAMES: [&str; 7] =
    ["BUCKET_ID", "MAAND_RUN", "MAAND_PLAN", "WORKER_IP", "MAAND_HOST", "MAAND_LABELS", "MAAND_TAGS"];

/// A lease is extended when a third of it has passed: below this, that would be asked without end.
const SHORTEST_LEASE: Duration = Duration::from_secs(5);
/// A silence whose run has died is not noticed for so long.
const LONGEST_LEASE: Duration = Duration::from_secs(3600);
const LONGEST_TAIL: Duration = Duration::from_secs(3600);
/// Alerts that are silenced for longer are forgotten, and not expected.
const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// Workers do not wait for it, but the end of a run does.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(30);

impl Decoder<'_> {
    /// Reads `silence:`.
    pub(super) fn silence(&mut self, node: &Node) -> Option<Silence> {
        let example =
            "silence: {url: \"http://alertmanager:9093\", matchers: ['instance =~ \"$MAAND_HOST(:\\d+)?\"']}";
        let fields = self.fields(node, "silence", SILENCE, example)?;
        for key in ["url", "matchers"] {
            if fields.get(key).is_none() {
                let help = format!("write it, such as `{example}`");
                self.missing("`silence`", key, fields.span.clone(), &help);
            }
        }
        let url = fields.get("url").and_then(|node| {
            let found = self.url(node, Asker::Worker)?;
            let Some(wrong) = beyond_server(&found) else { return Some(found) };
            let message = format!("`{}` is more than the address of an Alertmanager", shorten(&found));
            let help = format!(
                "write it as `http://alertmanager:9093`, with the prefix of its paths if it has one: {wrong}"
            );
            self.error(code::BAD_SILENCE, message, node.span.clone(), "not an address", &help);
            None
        });
        let headers = fields.get("headers").map_or_else(|| Some(BTreeMap::new()), |node| self.headers(node));
        let matchers = fields.get("matchers").and_then(|node| self.matchers(node));
        let mut time = |key: &str, usual: Duration, least: Duration, most: Duration| match fields.get(key) {
            None => Some(usual),
            Some(node) => {
                let found = self.duration(node, key, least.is_zero())?;
                let is_fine = (least..=most).contains(&found);
                if !is_fine {
                    let message =
                        format!("`{key}` of a silence is {} to {}", duration(least), duration(most));
                    let help = format!("write a time between them, such as `{key}: {}`", duration(usual));
                    self.error(code::BAD_SILENCE, message, node.span.clone(), "too short or too long", help);
                }
                is_fine.then_some(found)
            }
        };
        let seconds = Duration::from_secs;
        let lease = time("lease", seconds(300), SHORTEST_LEASE, LONGEST_LEASE);
        let tail = time("tail", seconds(120), Duration::ZERO, LONGEST_TAIL);
        let at_most = time("at_most", seconds(3600), SHORTEST_LEASE, LONGEST);
        let timeout = time("timeout", seconds(5), seconds(1), LONGEST_TIMEOUT);
        let comment = match fields.get("comment") {
            None => Some(None),
            Some(node) => self
                .text(node, "comment", "comment: \"kernel updates, ask #ops\"")
                .map(|text| Some(text.value)),
        };
        let silence = Silence {
            url: url?,
            headers: headers?,
            matchers: matchers?,
            lease: lease?,
            tail: tail?,
            at_most: at_most?,
            timeout: timeout?,
            comment: comment?,
        };
        if silence.at_most < silence.lease {
            let message = format!(
                "silences last for {} at a time, and for at most {}",
                duration(silence.lease),
                duration(silence.at_most)
            );
            let help = "write an `at_most` that is not below `lease`, or a shorter lease";
            let span = fields
                .get("at_most")
                .or(fields.get("lease"))
                .map_or(fields.span.clone(), |node| node.span.clone());
            self.error(code::BAD_SILENCE, message, span, "no room for a whole lease", help);
            return None;
        }
        let headers = silence.headers.values().filter_map(|value| match value {
            EnvValue::Plain(text) => Some(("headers", text)),
            EnvValue::FromEnv(_) => None,
        });
        let texts =
            [("url", &silence.url)].into_iter().chain(silence.comment.iter().map(|text| ("comment", text)));
        let mut is_fine = true;
        for (key, text) in texts.chain(headers) {
            for name in unknown_names(text) {
                let span = fields.get(key).map_or(fields.span.clone(), |node| node.span.clone());
                self.unknown_name(&name, span);
                is_fine = false;
            }
        }
        is_fine.then_some(silence)
    }

    fn matchers(&mut self, node: &Node) -> Option<Vec<Matcher>> {
        const EXAMPLE: &str = "matchers: ['instance =~ \"$MAAND_HOST(:\\d+)?\"']";
        let one = matches!(node.value, Value::Scalar(_)).then(|| vec![node.clone()]);
        let items = match one {
            Some(one) => Some(one),
            None => self.items(node, "matchers", "matchers", EXAMPLE),
        };
        let mut matchers = Vec::new();
        let mut fine = true;
        for item in items? {
            let Some(text) = self.text(&item, "matchers", EXAMPLE) else {
                fine = false;
                continue;
            };
            match Matcher::parse(&text.value) {
                Ok(matcher) => {
                    for name in unknown_names(&matcher.value) {
                        self.unknown_name(&name, text.span.clone());
                        fine = false;
                    }
                    if let Some(why) = matcher.wrong_regex() {
                        let message = format!("`{}` has no regular expression: {why}", shorten(&text.value));
                        let help = "write one as Alertmanager takes it (the syntax of RE2, for the whole value): 'instance =~ \
                                    \"$MAAND_HOST(:\\d+)?\"'";
                        self.error(code::BAD_SILENCE, message, text.span.clone(), "in here", help);
                        fine = false;
                    }
                    if let Some(why) = matcher.too_wide() {
                        let message = format!("`{}` may match alerts of other workers", shorten(&text.value));
                        let help = "an expression has to match the whole value: 'instance =~ \"$MAAND_HOST(:\\d+)?\"' is \
                                    `10.0.0.1` and `10.0.0.1:9100`, and not `10.0.0.10`";
                        let problem = Problem::warning(code::SILENCE_TOO_WIDE, message);
                        self.problems.push(problem.at(self.source, text.span.clone(), why).help(help));
                    }
                    matchers.push(matcher);
                }
                Err(why) => {
                    let message = format!("`{}` is no matcher: {why}", shorten(&text.value));
                    let help = "write it as Alertmanager does: 'instance =~ \"$MAAND_HOST(:\\d+)?\"', in single quotes";
                    self.error(code::BAD_SILENCE, message, text.span, "not a matcher", help);
                    fine = false;
                }
            }
        }
        if fine && !matchers.iter().any(Matcher::names_the_worker) {
            let help = "add one that does, such as 'instance =~ \"$MAAND_HOST(:\\d+)?\"' or 'host = \"$MAAND_TAG_FQDN\"'";
            self.error(
                code::BAD_SILENCE,
                "no matcher names the worker, so a silence would be for alerts of all workers",
                node.span.clone(),
                "none of these has the worker in it with = or =~",
                help,
            );
            return None;
        }
        fine.then_some(matchers)
    }

    fn unknown_name(&mut self, name: &str, span: std::ops::Range<usize>) {
        let known = NAMES.map(|name| format!("${name}")).join(", ");
        let message = format!("there is no value `${name}` in a silence");
        let help = format!("known here: {known}, $MAAND_TAG_<KEY>");
        self.error(code::BAD_SILENCE, message, span, "in here", help);
    }
}

/// Names in a text that stand for nothing here.
fn unknown_names(text: &str) -> Vec<String> {
    let is_known = |name: &str| {
        NAMES.contains(&name) || name.strip_prefix("MAAND_TAG_").is_some_and(|tag| !tag.is_empty())
    };
    let names = placeholders(text).filter_map(|piece| match piece {
        Piece::Name(name) if !is_known(name) => Some(name.to_owned()),
        _ => None,
    });
    names.collect()
}

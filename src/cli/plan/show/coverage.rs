//! What waves of coverage canaries have, and what they do not have and why.

use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::Serialize;

use crate::graph::{Coverage, NotCovered, TagValue, Uncovered};
use crate::plan::{counted, visible_line};

/// Of more values than this the first are shown.
const VALUES: usize = 8;

/// The lines below the wave.
pub(super) fn text(text: &mut String, coverage: &Coverage) {
    let indent = "       ";
    if coverage.wave.is_none() {
        let tags = coverage.tags.iter().map(|tag| tag.tag.as_str()).collect::<Vec<_>>().join(", ");
        let _ =
            writeln!(text, "{indent}no canaries for {}: no other worker adds a value", visible_line(&tags));
    }
    for tag in &coverage.tags {
        let name = visible_line(&tag.tag);
        if coverage.wave.is_some() {
            let covered = first_of(&tag.covered, shown);
            let covered = if covered.is_empty() { "no value".to_owned() } else { covered };
            let _ = writeln!(text, "{indent}{name}: {covered}");
        }
        for (why, reason) in [
            (NotCovered::AtMost, "at_most is reached"),
            (NotCovered::AlreadyDisabled, "only on workers that are disabled already"),
        ] {
            let of: Vec<&Uncovered> = tag.uncovered.iter().filter(|of| of.why == why).collect();
            if of.is_empty() {
                continue;
            }
            let list = first_of(&of, |of| {
                format!("{} ({})", shown(&of.value), counted(of.workers as usize, "worker"))
            });
            let _ = writeln!(text, "{indent}not covered, {reason}: {name} {list}");
        }
    }
}

fn first_of<T>(all: &[T], shown: impl Fn(&T) -> String) -> String {
    let first = all.iter().take(VALUES).map(shown).collect::<Vec<_>>().join(", ");
    if all.len() > VALUES { format!("{first} and {} more", all.len() - VALUES) } else { first }
}

fn shown(value: &TagValue) -> String {
    value.as_deref().map_or_else(|| "(none)".to_owned(), visible_line)
}

/// A wave of coverage canaries.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct CoverageJson<'a> {
    /// Number of the wave, counted from 1; null: no worker was needed, so there is no wave.
    wave: Option<u32>,
    tags: Vec<TagJson<'a>>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct TagJson<'a> {
    tag: &'a str,
    /// Values that the wave or an earlier one has; null is that of the workers without the tag.
    covered: Vec<Option<&'a str>>,
    /// The other values of selected workers.
    not_covered: Vec<NotCoveredJson<'a>>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct NotCoveredJson<'a> {
    /// Null is that of the workers without the tag.
    value: Option<&'a str>,
    /// Selected workers that have it.
    workers: u32,
    /// `at_most`: its limit was reached; `already_disabled`: all of these workers are disabled, and left alone.
    why: &'static str,
}

pub(super) fn json(coverage: &Coverage) -> CoverageJson<'_> {
    let not_covered = |of: &'_ Uncovered| match of.why {
        NotCovered::AtMost => "at_most",
        NotCovered::AlreadyDisabled => "already_disabled",
    };
    CoverageJson {
        wave: coverage.wave.map(|wave| wave + 1),
        tags: coverage
            .tags
            .iter()
            .map(|tag| TagJson {
                tag: &tag.tag,
                covered: tag.covered.iter().map(Option::as_deref).collect(),
                not_covered: tag
                    .uncovered
                    .iter()
                    .map(|of| NotCoveredJson {
                        value: of.value.as_deref(),
                        workers: of.workers,
                        why: not_covered(of),
                    })
                    .collect(),
            })
            .collect(),
    }
}

//! Small pieces of text that several reports share.

use crate::engine::{GatePlace, Outcome};
use crate::graph::{Lane, RolloutGraph, StepIx};
use crate::plan::visible_line;

use super::view::ErrorView;

/// `w1: reboot`, `before: announce`.
pub(super) fn step_of(graph: &RolloutGraph, lane: Lane, step: StepIx) -> String {
    format!("{}: {}", lane_name(graph, lane), graph.steps(lane)[step.index()].id)
}

/// `guard`, `gate after wave 2`.
pub(super) fn gate_at(place: GatePlace) -> String {
    match place {
        GatePlace::BeforeWave { wave } => format!("gate before wave {}", wave + 1),
        GatePlace::AfterWave { wave } => format!("gate after wave {}", wave + 1),
        GatePlace::Guard => "guard".to_owned(),
    }
}

/// The host, `before` or `after`.
pub(super) fn lane_name(graph: &RolloutGraph, lane: Lane) -> &str {
    match lane {
        Lane::Before => "before",
        Lane::After => "after",
        Lane::Worker(target) => graph.host(target),
    }
}

/// The first few, and how many more there are.
pub(super) fn some(items: impl Iterator<Item = String>, shown: usize) -> String {
    let items: Vec<_> = items.collect();
    let mut text = items.iter().take(shown).cloned().collect::<Vec<_>>().join("; ");
    if items.len() > shown {
        text += &format!("; and {} more", items.len() - shown);
    }
    text
}

/// Why an attempt failed; `None`: it went well.
pub fn error_of(outcome: &Outcome) -> Option<ErrorView> {
    let plain = |kind: &str, message: String| ErrorView { kind: kind.to_owned(), message, output: None };
    match outcome {
        Outcome::Ok { .. } => None,
        Outcome::Failed { error } | Outcome::Unexpected { error, .. } => Some(error.into()),
        Outcome::Unknown { why, .. } => Some(plain("unknown", format!("the answer was lost: {why}"))),
        Outcome::TimedOut { after, doing } => {
            let span = super::describe_span(*after);
            Some(plain("timed_out", format!("timed out after {span} waiting for {doing}")))
        }
        Outcome::NotDone { reason } => Some(plain("not_done", reason.clone())),
    }
}

/// A boot id's first eight digits, which is enough to tell boots apart; events and JSON have it whole.
pub(super) fn short_boot_id(id: &str) -> &str {
    id.split_once('-').map_or(id, |(first, _)| first)
}

/// Two boot ids, short, and whole where short they would look alike.
pub fn short_boot_ids<'a>(before: &'a str, after: &'a str) -> (&'a str, &'a str) {
    let short = (short_boot_id(before), short_boot_id(after));
    if short.0 == short.1 { (before, after) } else { short }
}

/// The first line, without control characters; what is printed in a row of its own.
pub(super) fn one_line(text: &str) -> String {
    let line = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    visible_line(line)
}

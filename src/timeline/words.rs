//! What happened to a run, in words.

use super::model::{Mark, MarkKind};
use crate::engine::PublicRunState;
use crate::graph::{Lane, RolloutGraph, StepIx, TargetIx};
use crate::plan::visible_line;

/// A mark in one line; `who` started the run.
pub fn describe_mark(mark: &Mark, graph: &RolloutGraph, who: &str) -> String {
    let host = |target: TargetIx| graph.host(target);
    let step = |lane: Lane, step: StepIx| graph.steps(lane)[step.index()].id.as_str();
    let text = match &mark.kind {
        MarkKind::Started => format!("started by {who}"),
        MarkKind::Resumed { by, from_bundle: false } => format!("resumed by {by}"),
        MarkKind::Resumed { by, from_bundle: true } => format!("taken to another machine by {by}"),
        MarkKind::ControllerGone => {
            "the controller was heard of for the last time (killed, or its machine lost)".to_owned()
        }
        MarkKind::Interrupted { by } => format!("stopped by {by}"),
        MarkKind::Paused { by, reason } => format!("paused by {by}: {reason}"),
        MarkKind::Halted { reason } => format!("halted: {reason}"),
        MarkKind::Approved { lane, step: at, by } => format!("{} approved by {by}", step(*lane, *at)),
        MarkKind::Retried { targets, by } => match targets.as_slice() {
            [one] => format!("{} taken up again by {by}", host(*one)),
            many => format!("{} workers taken up again by {by}", many.len()),
        },
        MarkKind::Skipped { target, by } => format!("{} given up by {by}", host(*target)),
        MarkKind::Aborted { by } => format!("aborted by {by}"),
        MarkKind::Finished { end } => format!("finished: {}", PublicRunState::from(*end).as_str()),
    };
    visible_line(&text)
}

//! What happened to a run, in words.

use super::model::{Mark, MarkKind};
use crate::engine::{PublicRunState, Resolution};
use crate::graph::{Lane, RolloutGraph, StepIx, TargetIx};
use crate::plan::{counted, visible_line};

/// A mark in one line; `who` started the run.
pub fn describe_mark(mark: &Mark, graph: &RolloutGraph, who: &str) -> String {
    let host = |target: TargetIx| graph.host(target);
    let step = |lane: Lane, step: StepIx| graph.steps(lane)[step.index()].id.as_str();
    let of = |lane: Lane| match lane {
        Lane::Worker(target) => format!(" on {}", host(target)),
        Lane::Before | Lane::After => String::new(),
    };
    let text = match &mark.kind {
        MarkKind::Started => format!("started by {who}"),
        MarkKind::Resumed { by, from_bundle: false } => format!("resumed by {by}"),
        MarkKind::Resumed { by, from_bundle: true } => format!("taken over by another machine: {by}"),
        MarkKind::ControllerGone => {
            "the controller was heard of for the last time (killed, or its machine lost)".to_owned()
        }
        MarkKind::Interrupted { by } => format!("stopped by {by}"),
        MarkKind::Paused { by, reason } => format!("paused by {by}: {reason}"),
        MarkKind::Halted { reason } => format!("halted: {reason}"),
        MarkKind::Approved { lane, step: at, by } => {
            format!("{}{} approved by {by}", step(*lane, *at), of(*lane))
        }
        MarkKind::Retried { targets, by } => match targets.as_slice() {
            [one] => format!("{} taken up again by {by}", host(*one)),
            many => format!("{} taken up again by {by}", counted(many.len(), "worker")),
        },
        MarkKind::Skipped { target, by } => format!("{} given up by {by}", host(*target)),
        MarkKind::InDoubt { lane, step: at } => {
            format!("{}{} is in doubt: its answer was lost", step(*lane, *at), of(*lane))
        }
        MarkKind::Settled { lane, step: at, how } => {
            let how = match how {
                Resolution::Repeat => "it does no harm to repeat it",
                Resolution::Rerun => "an operator lets it run again",
                Resolution::Done => "an operator says that it was done",
                Resolution::Skip => "an operator continues without it",
            };
            format!("{}{} is no longer in doubt: {how}", step(*lane, *at), of(*lane))
        }
        MarkKind::NotSilenced { targets, why } => match targets.as_slice() {
            [one] => format!("alerts of {} are not silenced: {why}", host(*one)),
            many => format!("alerts of {} are not silenced: {why}", counted(many.len(), "worker")),
        },
        MarkKind::Aborted { by } => format!("aborted by {by}"),
        MarkKind::Finished { end } => format!("finished: {}", PublicRunState::from(*end).as_str()),
    };
    visible_line(&text)
}

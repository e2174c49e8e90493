//! Which notice, if any, follows from a fact.

use crate::engine::{Fact, Millis, PublicWorkerState, Stamped};
use crate::plan::{NoticeEvent, counted, visible_line, visible_within};
use crate::report::{Event, EventLine, Overdue, RunView, Time, describe_span, event_of};

use super::document::Notice;

/// So many bytes of a reason are told: services cut long messages anywhere.
const REASON: usize = 1500;

/// The notice of a fact that `view` has just taken; `None`: nobody has to be told of it.
pub fn notice_of(stamped: &Stamped, view: &RunView) -> Option<Notice> {
    let event = match &stamped.fact {
        Fact::Halted { .. } => NoticeEvent::Halted,
        Fact::WorkerFailed { .. } | Fact::RevertStuck { .. } => NoticeEvent::WorkerFailed,
        // Those of an aborted run did not fail.
        Fact::WorkerReverted { target } if view.worker(*target).state == PublicWorkerState::Reverted => {
            NoticeEvent::WorkerFailed
        }
        Fact::GateClosed { opens: None, .. } => NoticeEvent::WaitsForApproval,
        Fact::InDoubt { .. } => NoticeEvent::InDoubt,
        Fact::Paused { .. } | Fact::Interrupted { .. } => NoticeEvent::Paused,
        Fact::WaveFinished { .. } => NoticeEvent::WaveDone,
        Fact::Resumed { .. } => NoticeEvent::Resumed,
        Fact::RunFinished { .. } => NoticeEvent::Finished,
        _ => return None,
    };
    let line = event_of(stamped, view)?;
    let mut notice = empty(Some(event), view, stamped.at);
    notice.seq = stamped.seq;
    tell(&mut notice, &line, view);
    Some(notice)
}

/// A run of which something takes longer than it did before. It follows from no fact, so there is one in each run.
pub fn longer_than_usual(view: &RunView, overdue: Overdue, at: Millis) -> Notice {
    let mut notice = empty(Some(NoticeEvent::LongerThanUsual), view, at);
    notice.title = format!("{}: takes longer than usual", view.plan);
    let active = view.workers.iter().filter(|worker| worker.state.is_active());
    let steps: Vec<String> = active
        .take(5)
        .filter_map(|worker| {
            let since = at - worker.step_since?.0;
            Some(format!("{}: {} for {}", worker.host, worker.step.as_ref()?, describe_span(since)))
        })
        .collect();
    let head = format!(
        "It takes {} so far, where {} were expected by earlier runs.",
        describe_span(overdue.so_far),
        describe_span(overdue.expected)
    );
    notice.reason = Some(head.clone());
    notice.text = std::iter::once(head).chain(steps).chain([foot(view, at)]).collect::<Vec<_>>().join("\n");
    notice
}

/// A marked message that shows whether a target can be told.
pub fn test_notice(bucket_id: &str, at: Millis, by: &str) -> Notice {
    Notice {
        event: None,
        bucket_id: bucket_id.to_owned(),
        run: format!("test-{at}"),
        plan: String::new(),
        seq: 0,
        at,
        title: "TEST: a test message of maand".to_owned(),
        text: format!(
            "This is a test, and nothing has happened: {} has asked for it by `maand notify test`, {}.",
            visible_line(by),
            Time(at).to_second()
        ),
        host: None,
        step: None,
        reason: None,
        wave: None,
        state: None,
    }
}

fn empty(event: Option<NoticeEvent>, view: &RunView, at: Millis) -> Notice {
    Notice {
        event,
        bucket_id: view.graph().fleet.bucket_id.clone(),
        run: view.run.clone(),
        plan: view.plan.clone(),
        seq: 0,
        at,
        title: String::new(),
        text: String::new(),
        host: None,
        step: None,
        reason: None,
        wave: None,
        state: None,
    }
}

fn tell(notice: &mut Notice, line: &EventLine, view: &RunView) {
    let plan = &view.plan;
    let reason = |text: &str| Some(visible_within(text, REASON));
    let title = match &line.event {
        Event::RunHalted { reason: why } => {
            notice.reason = reason(why);
            format!("{plan}: HALTED")
        }
        Event::WorkerFailed { host, step, failed_to_prepare, error } => {
            (notice.step, notice.reason) = (step.clone(), reason(&error.message));
            let what = if *failed_to_prepare { "failed to prepare, and was not touched" } else { "failed" };
            format!("{plan}: {host} {what}")
        }
        Event::RevertStuck { host, error } => {
            notice.reason = reason(&error.message);
            format!("{plan}: {host} failed, and could not be reverted")
        }
        Event::WorkerReverted { host } => {
            let worker = view.workers.iter().find(|worker| worker.host == *host);
            let error = worker.and_then(|worker| worker.error.as_ref());
            notice.reason = error.and_then(|error| reason(&error.message));
            format!("{plan}: {host} failed, and was reverted")
        }
        Event::StepWaits { message, .. } => {
            notice.reason = message.as_deref().and_then(reason);
            format!("{plan}: waits for an approval")
        }
        Event::InDoubt { .. } => format!("{plan}: in doubt, an operator has to decide"),
        Event::RunPaused { by, reason: why } => {
            notice.reason = reason(why);
            format!("{plan}: paused by {by}")
        }
        Event::RunInterrupted { by } => format!("{plan}: stopped by {by}"),
        Event::WaveFinished { wave, waves, .. } => {
            notice.wave = Some((*wave, *waves));
            format!("{plan}: wave {wave} of {waves} done")
        }
        Event::RunResumed { by, .. } => format!("{plan}: resumed by {by}"),
        Event::RunFinished { state } => {
            notice.state = Some(*state);
            format!("{plan}: {state}")
        }
        _ => plan.clone(),
    };
    notice.title = visible_line(&title);
    let (who, what) = line.describe();
    if let Some(who) = who.filter(|who| view.workers.iter().any(|worker| worker.host == *who)) {
        notice.host = Some(visible_line(who));
    }
    if let Event::StepWaits { scope, .. } | Event::InDoubt { scope, .. } = &line.event {
        notice.step = Some(scope.step.clone());
    }
    let what = visible_within(&what, REASON);
    let head = who.map_or(what.clone(), |who| format!("{}: {what}", visible_line(who)));
    notice.text = format!("{head}\n{}", foot(view, notice.at));
}

/// How the run stands, and which it is.
fn foot(view: &RunView, at: Millis) -> String {
    let c = &view.counts;
    let mut text = format!("{} of {} ended", c.ended(), counted(c.total as usize, "worker"));
    for (n, what) in [(c.succeeded, "succeeded"), (c.failures, "failed"), (c.active, "under way")] {
        if n > 0 {
            text.push_str(&format!(", {n} {what}"));
        }
    }
    format!("{text}.\nRun {} of plan {}, {}.", view.run, view.plan, Time(at).to_second())
}

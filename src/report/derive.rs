//! Which event, if any, a fact is to the public, and how it reads as one line.

use crate::engine::{Check, Evidence, Fact, Intent, Outcome, Resolution, RunEnd, Stamped};
use crate::graph::{Lane, RolloutGraph, StepIx, TargetIx};
use crate::plan::{StepKind, counted};

use super::event::{EVENT_SCHEMA, Event, EventLine, NotUsed, Scope};
use super::fold::halt_in_words;
use super::view::RunView;
use super::{Time, took_in_words, words};

/// The event of a fact that `view` has just taken; `None`: it is nobody's business.
pub fn event_of(stamped: &Stamped, view: &RunView) -> Option<EventLine> {
    let event = derive(stamped, view)?;
    let at = Time(stamped.at);
    Some(EventLine { schema: EVENT_SCHEMA, run: view.run.clone(), seq: stamped.seq, at, event })
}

fn scope(graph: &RolloutGraph, lane: Lane, step: StepIx) -> Scope {
    let step = &graph.steps(lane)[step.index()];
    let (list, host) = match lane {
        Lane::Before => ("before", None),
        Lane::Worker(target) => ("steps", Some(graph.host(target).to_owned())),
        Lane::After => ("after", None),
    };
    Scope { list, host, step: step.id.clone(), kind: step.kind.keyword() }
}

fn derive(stamped: &Stamped, view: &RunView) -> Option<Event> {
    let graph = view.graph();
    let host = |target: &TargetIx| graph.host(*target).to_owned();
    Some(match &stamped.fact {
        Fact::RunStarted { workers, .. } => {
            Event::RunStarted { plan: graph.plan.name.clone(), workers: *workers }
        }
        Fact::Preflight { checks } => preflight(checks, graph),
        Fact::WaveStarted { wave } => {
            let size = graph.waves.get(*wave as usize).map_or(0, |wave| wave.end - wave.start);
            Event::WaveStarted { wave: wave + 1, waves: view.waves, workers: size }
        }
        Fact::WaveFinished { wave, soak_until } => {
            Event::WaveFinished { wave: wave + 1, next_at: Time(*soak_until) }
        }
        Fact::WorkerAdmitted { target } => {
            Event::WorkerStarted { host: host(target), wave: view.worker(*target).wave }
        }
        Fact::Issued { attempt, lane, step, intent } => Event::AttemptStarted {
            scope: scope(graph, *lane, *step),
            attempt: view.open_attempts.get(attempt).map_or(1, |attempt| attempt.attempt),
            purpose: purpose(intent),
        },
        Fact::Finished { outcome, .. } => return finished(stamped.at, outcome, view),
        Fact::RetryScheduled { lane, step, due, .. } => {
            Event::RetryScheduled { scope: scope(graph, *lane, *step), due: Time(*due) }
        }
        Fact::GateClosed { lane, step, opens, expires } => {
            let message = match &graph.steps(*lane)[step.index()].kind {
                StepKind::Approve { message } => message.clone(),
                _ => None,
            };
            let (opens, expires) = (opens.map(Time), expires.map(Time));
            Event::StepWaits { scope: scope(graph, *lane, *step), opens, expires, message }
        }
        Fact::Approved { lane, step, by } => {
            Event::StepApproved { scope: scope(graph, *lane, *step), by: by.clone() }
        }
        Fact::StepIgnored { lane, step, error } => {
            Event::StepFailed { scope: scope(graph, *lane, *step), error: error.into(), ignored: true }
        }
        Fact::StepFailed { lane, step, error } => {
            Event::StepFailed { scope: scope(graph, *lane, *step), error: error.into(), ignored: false }
        }
        Fact::InDoubt { attempt } => Event::InDoubt { attempt_id: attempt.0 },
        Fact::InDoubtResolved { attempt, how } => Event::DoubtResolved {
            attempt_id: attempt.0,
            how: match how {
                Resolution::Repeat => "repeat",
                Resolution::Rerun => "rerun",
                Resolution::Done => "done",
                Resolution::Skip => "skip",
            },
        },
        Fact::WorkerSucceeded { target } => {
            let worker = view.worker(*target);
            Event::WorkerSucceeded {
                host: worker.host.clone(),
                took_ms: worker.took().unwrap_or_default(),
                boot_id_before: worker.boot_id_before.clone(),
                boot_id_after: worker.boot_id_after.clone(),
            }
        }
        Fact::WorkerFailed { target, step, error } => {
            let step = step.map(|step| graph.plan.steps[step.index()].id.clone());
            Event::WorkerFailed { host: host(target), step, error: error.into() }
        }
        Fact::RevertStarted { target } => Event::RevertStarted { host: host(target) },
        Fact::WorkerReverted { target } => Event::WorkerReverted { host: host(target) },
        Fact::RevertStuck { target, error } => Event::RevertStuck { host: host(target), error: error.into() },
        Fact::Retried { target, by } => Event::WorkerRetried { host: host(target), by: by.clone() },
        Fact::Skipped { target, by } => Event::WorkerSkipped { host: host(target), by: by.clone() },
        Fact::WorkerCancelled { target } => Event::WorkerCancelled { host: host(target) },
        Fact::Paused { by, reason } => Event::RunPaused { by: by.clone(), reason: reason.clone() },
        Fact::Interrupted { by } => Event::RunInterrupted { by: by.clone() },
        Fact::Resumed { by, .. } => Event::RunResumed { by: by.clone() },
        Fact::Halted { reason } => Event::RunHalted { reason: halt_in_words(reason, graph) },
        Fact::Aborted { by, revert } => Event::RunAborted { by: by.clone(), revert: *revert },
        Fact::RunFinished { end } => Event::RunFinished {
            state: match end {
                RunEnd::Succeeded => "succeeded",
                RunEnd::Failed => "failed",
                RunEnd::Aborted => "aborted",
            },
        },
        Fact::Observed { .. } | Fact::BeforeDone | Fact::Due { .. } => return None,
    })
}

fn preflight(checks: &[Check], graph: &RolloutGraph) -> Event {
    let (mut ready, mut unusable, mut left_alone) = (0, Vec::new(), Vec::new());
    for (target, check) in graph.target_indices().zip(checks) {
        let host = graph.host(target).to_owned();
        match check {
            Check::Ready { .. } => ready += 1,
            Check::Unreachable { error } => unusable.push(NotUsed { host, reason: error.message.clone() }),
            Check::LeftAlone { reason } => left_alone.push(NotUsed { host, reason: reason.clone() }),
        }
    }
    Event::PreflightDone { ready, unusable, left_alone }
}

fn purpose(intent: &Intent) -> Option<&'static str> {
    match intent {
        Intent::ReadBootId => Some("read_boot_id"),
        Intent::UndoEnable => Some("undo_enable"),
        Intent::UndoDeploy => Some("undo_deploy"),
        Intent::UndoStop => Some("undo_stop"),
        Intent::UndoCommand => Some("undo_command"),
        Intent::Do { .. } | Intent::Reboot { .. } | Intent::AwaitBoot { .. } => None,
    }
}

fn finished(at: i64, outcome: &Outcome, view: &RunView) -> Option<Event> {
    let last = view.attempt.as_ref()?;
    let scope = scope(view.graph(), last.lane, last.step);
    let (attempt, took_ms) = (last.attempt, (at - last.since).max(0));
    Some(match outcome {
        Outcome::Ok { evidence } => {
            let (seen, boot_id) = evidence_in_words(evidence);
            Event::AttemptSucceeded { scope, attempt, seen, boot_id, took_ms }
        }
        failed => Event::AttemptFailed { scope, attempt, error: words::error_of(failed)?, took_ms },
    })
}

fn evidence_in_words(evidence: &Evidence) -> (String, Option<String>) {
    let said = |text: &str| (text.to_owned(), None);
    match evidence {
        Evidence::Note { text } => (text.clone(), None),
        Evidence::BootId { boot_id } => ("is up".to_owned(), Some(boot_id.clone())),
        Evidence::NotNeeded => said("nothing to do"),
        Evidence::Disabled { own, others } if own.is_empty() && !others.is_empty() => {
            said("a person had disabled it already")
        }
        Evidence::Disabled { .. } => said("disabled"),
        Evidence::Rebooted { boot_id } => ("rebooted".to_owned(), Some(boot_id.clone())),
        Evidence::Departed => said("went away"),
        Evidence::Back { boot_id } => ("back".to_owned(), Some(boot_id.clone())),
    }
}

/// Whether an attempt ended well, and in words how.
pub fn outcome_in_words(outcome: &Outcome) -> (bool, String) {
    match (outcome, words::error_of(outcome)) {
        (Outcome::Ok { evidence }, _) => {
            let (seen, boot_id) = evidence_in_words(evidence);
            (true, boot_id.map_or(seen.clone(), |id| format!("{seen}, boot id {id}")))
        }
        (_, Some(error)) => (false, error.message),
        (_, None) => (false, String::new()),
    }
}

impl Event {
    /// Who it is about (`None`: the run) and what happened, for a line that people read.
    pub fn line(&self) -> (Option<&str>, String) {
        let of = |scope: &Scope, text: String| format!("{}: {text}", scope.step);
        match self {
            Self::AttemptStarted { scope, attempt, purpose } => {
                let purpose =
                    purpose.map_or_else(String::new, |purpose| format!(" ({})", purpose.replace('_', " ")));
                let again = if *attempt > 1 { format!(", try {attempt}") } else { String::new() };
                (scope.who(), of(scope, format!("started{purpose}{again}")))
            }
            Self::AttemptSucceeded { scope, seen, boot_id, took_ms, .. } => {
                let boot = boot_id
                    .as_ref()
                    .map_or_else(String::new, |id| format!(", boot id {}", words::short_boot_id(id)));
                let seen = words::one_line(seen);
                (scope.who(), of(scope, format!("{seen}{boot} ({})", took_in_words(*took_ms))))
            }
            Self::AttemptFailed { scope, attempt, error, took_ms } => {
                let span = took_in_words(*took_ms);
                (scope.who(), of(scope, format!("try {attempt} failed after {span}: {}", error.message)))
            }
            Self::RetryScheduled { scope, due } => {
                (scope.who(), of(scope, format!("tries again at {}", due.to_second())))
            }
            Self::StepWaits { scope, opens, message, .. } => {
                let what = match (opens, message) {
                    (Some(at), _) => format!("waits until {}", at.to_second()),
                    (None, Some(message)) => format!("waits for an approval: {message}"),
                    (None, None) => "waits for an approval".to_owned(),
                };
                (scope.who(), of(scope, what))
            }
            Self::StepApproved { scope, by } => (scope.who(), of(scope, format!("approved by {by}"))),
            Self::StepFailed { scope, error, ignored } => {
                let ignored = if *ignored { " (ignored, as the plan says)" } else { "" };
                (scope.who(), of(scope, format!("failed{ignored}: {}", error.message)))
            }
            Self::WorkerStarted { host, wave } => (Some(host), format!("starts (wave {wave})")),
            Self::WorkerSucceeded { host, took_ms, .. } => {
                (Some(host), format!("succeeded in {}", took_in_words(*took_ms)))
            }
            Self::WorkerFailed { host, error, .. } => (Some(host), format!("FAILED: {}", error.message)),
            Self::RevertStarted { host } => (Some(host), "its steps are being undone".to_owned()),
            Self::WorkerReverted { host } => (Some(host), "reverted: it is as it was".to_owned()),
            Self::RevertStuck { host, error } => {
                (Some(host), format!("REVERT STUCK, a person is needed: {}", error.message))
            }
            Self::WorkerRetried { host, by } => (Some(host), format!("retried by {by}")),
            Self::WorkerSkipped { host, by } => (Some(host), format!("skipped by {by}; it stays as it is")),
            Self::WorkerCancelled { host } => (Some(host), "takes no further part".to_owned()),
            about_the_run => (None, about_the_run.run_line()),
        }
    }

    fn run_line(&self) -> String {
        match self {
            Self::RunStarted { plan, workers } => {
                format!("plan {plan} started on {}", counted(*workers as usize, "worker"))
            }
            Self::PreflightDone { ready, unusable, left_alone } => {
                let mut text = format!("preflight: {} ready", are(*ready as usize));
                for (what, list) in [("cannot be used", unusable), ("left alone", left_alone)] {
                    if !list.is_empty() {
                        let each = list.iter().map(|one| format!("{} ({})", one.host, one.reason));
                        text += &format!("; {what}: {}", words::some(each, 5));
                    }
                }
                text
            }
            Self::WaveStarted { wave, waves, workers } => {
                format!("wave {wave} of {waves} begins: {}", counted(*workers as usize, "worker"))
            }
            Self::WaveFinished { wave, next_at } => {
                format!("wave {wave} has ended; what follows begins at {}", next_at.to_second())
            }
            Self::InDoubt { attempt_id } => {
                format!("attempt {attempt_id} is in doubt: a person has to say whether it ran")
            }
            Self::DoubtResolved { attempt_id, how } => format!("attempt {attempt_id} is settled: {how}"),
            Self::RunPaused { by, reason } => format!("paused by {by}: {reason}"),
            Self::RunInterrupted { by } => format!("stopping ({by}): steps in flight are finished first"),
            Self::RunResumed { by } => format!("resumed by {by}"),
            Self::RunHalted { reason } => format!("HALTED: {reason}"),
            Self::RunAborted { by, revert } => {
                format!("aborted by {by}{}", if *revert { "; started workers are reverted" } else { "" })
            }
            Self::RunFinished { state } => format!("finished: {state}"),
            // Every other event is about somebody.
            _ => String::new(),
        }
    }
}

impl Scope {
    fn who(&self) -> Option<&str> {
        Some(self.host.as_deref().unwrap_or(self.list))
    }
}

/// "1 worker is", "3 workers are".
fn are(workers: usize) -> String {
    format!("{} {}", counted(workers, "worker"), if workers == 1 { "is" } else { "are" })
}

//! Which event, if any, a fact is to the public, and how it reads as one line.

use crate::engine::{
    Check, Evidence, Fact, GatePlace, GateStanding, Intent, Outcome, Resolution, RunEnd, Stamped,
};
use crate::graph::{Lane, RolloutGraph, StepIx, TargetIx};
use crate::plan::{StepKind, counted};

use super::event::{EVENT_SCHEMA, Event, EventLine, NotUsed, Scope};
use super::fold::describe_halt;
use super::view::RunView;
use super::{Time, describe_elapsed, describe_span, text};

/// The event of a fact that `view` has just taken; `None`: a fact that only the engine needs.
pub fn event_of(stamped: &Stamped, view: &RunView) -> Option<EventLine> {
    let event = derive(stamped, view)?;
    let at = Time(stamped.at);
    Some(EventLine { schema: EVENT_SCHEMA, run: view.run.clone(), seq: stamped.seq, at, event })
}

pub(super) fn scope(graph: &RolloutGraph, lane: Lane, step: StepIx) -> Scope {
    let (list, step) = (graph.list(lane, step), &graph.steps(lane)[step.index()]);
    let host = match lane {
        Lane::Worker(target) => Some(graph.host(target).to_owned()),
        Lane::Before | Lane::After => None,
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
            Event::WaveFinished { wave: wave + 1, waves: view.waves, next_at: Time(*soak_until) }
        }
        Fact::PrepareStarted { target } => Event::WorkerPreparing { host: host(target) },
        Fact::WorkerPrepared { target } => Event::WorkerPrepared { host: host(target) },
        Fact::WorkerAdmitted { target } => {
            Event::WorkerStarted { host: host(target), wave: view.worker(*target).wave }
        }
        Fact::Issued { attempt, lane, step, intent } => Event::AttemptStarted {
            scope: scope(graph, *lane, *step),
            attempt: view.attempt_number(*attempt),
            purpose: is_special(intent).then(|| purpose(intent)),
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
        Fact::InDoubt { attempt } => Event::InDoubt { scope: scope_of_attempt(view)?, attempt_id: attempt.0 },
        Fact::InDoubtResolved { attempt, how } => Event::DoubtResolved {
            scope: scope_of_attempt(view)?,
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
            let failed_to_prepare = view.run_state.failed_to_prepare(*target);
            Event::WorkerFailed { host: host(target), step, failed_to_prepare, error: error.into() }
        }
        Fact::RevertStarted { target } => Event::RevertStarted { host: host(target) },
        Fact::WorkerReverted { target } => Event::WorkerReverted { host: host(target) },
        Fact::RevertStuck { target, error } => Event::RevertStuck { host: host(target), error: error.into() },
        Fact::Retried { target, by } => Event::WorkerRetried { host: host(target), by: by.clone() },
        Fact::Reopened { targets, by, .. } => {
            Event::RunReopened { hosts: targets.iter().map(host).collect(), by: by.clone() }
        }
        Fact::Skipped { target, by } => Event::WorkerSkipped { host: host(target), by: by.clone() },
        Fact::WorkerCancelled { target } => Event::WorkerCancelled { host: host(target) },
        Fact::GateMeasured { place, standing, says } => {
            let (place, wave) = match place {
                GatePlace::BeforeWave { wave } => ("before_wave", Some(wave + 1)),
                GatePlace::AfterWave { wave } => ("after_wave", Some(wave + 1)),
                GatePlace::Guard => ("guard", None),
            };
            let standing = match standing {
                GateStanding::Passed => "passed",
                GateStanding::Waiting => "waiting",
                GateStanding::Failed => "failed",
            };
            Event::GateMeasured { place, wave, standing, says: says.clone() }
        }
        Fact::Paused { by, reason } => Event::RunPaused { by: by.clone(), reason: reason.clone() },
        Fact::Interrupted { by } => Event::RunInterrupted { by: by.clone() },
        Fact::Resumed { by, bundle, .. } => Event::RunResumed { by: by.clone(), bundle: bundle.clone() },
        Fact::Halted { reason } => Event::RunHalted { reason: describe_halt(reason, graph) },
        Fact::Aborted { by, revert } => Event::RunAborted { by: by.clone(), revert: *revert },
        Fact::RunFinished { end } => Event::RunFinished {
            state: match end {
                RunEnd::Succeeded => "succeeded",
                RunEnd::Failed => "failed",
                RunEnd::Aborted => "aborted",
            },
        },
        Fact::Silence { target, event } => Event::WorkerSilence { host: host(target), silence: event.into() },
        Fact::Observed { .. } | Fact::ObservedChanges { .. } | Fact::BeforeDone | Fact::Due { .. } => {
            return None;
        }
    })
}

/// Whose step the newest fact's attempt is of.
fn scope_of_attempt(view: &RunView) -> Option<Scope> {
    view.attempt.as_ref().map(|attempt| scope(view.graph(), attempt.lane, attempt.step))
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

/// What an attempt is for, as in facts: `do`, `read_boot_id`, `reboot`, `await_boot`, `power_cycle` or an undo.
pub fn purpose(intent: &Intent) -> &'static str {
    match intent {
        Intent::ReadBootId => "read_boot_id",
        Intent::Do { .. } => "do",
        Intent::Reboot { .. } => "reboot",
        Intent::AwaitBoot { .. } => "await_boot",
        Intent::PowerCycle { .. } => "power_cycle",
        Intent::UndoEnable => "undo_enable",
        Intent::UndoDeploy => "undo_deploy",
        Intent::UndoStop => "undo_stop",
        Intent::UndoCommand => "undo_command",
    }
}

/// Whether the step's kind does not say by itself what an attempt with this intent does.
fn is_special(intent: &Intent) -> bool {
    intent.is_undo() || matches!(intent, Intent::ReadBootId | Intent::PowerCycle { .. })
}

fn finished(at: i64, outcome: &Outcome, view: &RunView) -> Option<Event> {
    let last = view.attempt.as_ref()?;
    let scope = scope(view.graph(), last.lane, last.step);
    let (attempt, took_ms) = (last.attempt, (at - last.since).max(0));
    Some(match outcome {
        Outcome::Ok { evidence } => {
            let (seen, boot_id) = describe_evidence(evidence);
            Event::AttemptSucceeded { scope, attempt, seen, boot_id, took_ms }
        }
        failed => Event::AttemptFailed { scope, attempt, error: text::error_of(failed)?, took_ms },
    })
}

fn describe_evidence(evidence: &Evidence) -> (String, Option<String>) {
    let said = |text: &str| (text.to_owned(), None);
    match evidence {
        Evidence::Note { text } => (text.clone(), None),
        Evidence::BootId { boot_id, .. } => ("is up".to_owned(), Some(boot_id.clone())),
        Evidence::NotNeeded { why: None } => said("nothing to do"),
        Evidence::NotNeeded { why: Some(why) } => (format!("nothing to do: {why}"), None),
        Evidence::Disabled { own, others } if own.is_empty() && !others.is_empty() => {
            said("it was disabled before")
        }
        Evidence::Disabled { .. } => said("disabled"),
        Evidence::Rebooted { boot_id } => ("rebooted".to_owned(), Some(boot_id.clone())),
        Evidence::Departed => said("went away"),
        Evidence::PowerCycled { bmc, reset, power, .. } => {
            let before = power.as_deref().unwrap_or("not told");
            (format!("a forced reset was ordered: {reset} (power before: {before}; BMC {bmc})"), None)
        }
        Evidence::Answers { what } => (format!("no reset was ordered: it answers ({what})"), None),
        Evidence::Back { boot_id, kernel } => {
            let seen = match kernel {
                None => "back".to_owned(),
                Some(kernel) => kernel.notice().unwrap_or_else(|| format!("back on {}", kernel.describe())),
            };
            (seen, Some(boot_id.clone()))
        }
    }
}

/// Whether an attempt ended well, and how, in one sentence.
pub fn describe_outcome(outcome: &Outcome) -> (bool, String) {
    match (outcome, text::error_of(outcome)) {
        (Outcome::Ok { evidence }, _) => {
            let (seen, boot_id) = describe_evidence(evidence);
            (true, boot_id.map_or(seen.clone(), |id| format!("{seen}, boot id {id}")))
        }
        (_, Some(error)) => (false, error.message),
        (_, None) => (false, String::new()),
    }
}

impl EventLine {
    /// The worker or list that the event is about (`None`: the run), and what happened, in one line of text.
    pub fn describe(&self) -> (Option<&str>, String) {
        let of = |scope: &Scope, text: String| format!("{}: {text}", scope.step);
        match &self.event {
            Event::AttemptStarted { scope, attempt, purpose } => {
                let purpose =
                    purpose.map_or_else(String::new, |purpose| format!(" ({})", purpose.replace('_', " ")));
                let again = if *attempt > 1 { format!(", attempt {attempt}") } else { String::new() };
                (scope.who(), of(scope, format!("started{purpose}{again}")))
            }
            Event::StepPhase { scope, phase, why, until, .. } => {
                let why = why.as_ref().map_or_else(String::new, |why| format!("; {}", text::one_line(why)));
                let until = until.map_or_else(String::new, |at| format!(" until {}", at.to_second()));
                (scope.who(), of(scope, format!("{}{why}{until}", phase.replace('_', " "))))
            }
            Event::AttemptSucceeded { scope, seen, boot_id, took_ms, .. } => {
                let boot = boot_id
                    .as_ref()
                    .map_or_else(String::new, |id| format!(", boot id {}", text::short_boot_id(id)));
                let seen = text::one_line(seen);
                (scope.who(), of(scope, format!("{seen}{boot} ({})", describe_elapsed(*took_ms))))
            }
            Event::AttemptFailed { scope, attempt, error, took_ms } => {
                let span = describe_elapsed(*took_ms);
                (scope.who(), of(scope, format!("attempt {attempt} failed after {span}: {}", error.message)))
            }
            Event::RetryScheduled { scope, due } => {
                (scope.who(), of(scope, format!("next attempt at {}", due.to_second())))
            }
            Event::StepWaits { scope, opens, message, .. } => {
                let what = match (opens, message) {
                    (Some(at), _) => format!("waits until {}", at.to_second()),
                    (None, Some(message)) => format!("waits for an approval: {message}"),
                    (None, None) => "waits for an approval".to_owned(),
                };
                (scope.who(), of(scope, what))
            }
            Event::StepApproved { scope, by } => (scope.who(), of(scope, format!("approved by {by}"))),
            Event::StepFailed { scope, error, ignored } => {
                let ignored = if *ignored { " (ignored: on_failure)" } else { "" };
                (scope.who(), of(scope, format!("failed{ignored}: {}", error.message)))
            }
            Event::WorkerPreparing { host } => (Some(host), "is prepared".to_owned()),
            Event::WorkerPrepared { host } => (Some(host), "prepared".to_owned()),
            Event::WorkerStarted { host, wave } => (Some(host), format!("starts (wave {wave})")),
            Event::WorkerSucceeded { host, took_ms, .. } => {
                (Some(host), format!("succeeded in {}", describe_elapsed(*took_ms)))
            }
            Event::WorkerFailed { host, failed_to_prepare: true, error, .. } => {
                (Some(host), format!("FAILED to prepare, and was not touched: {}", error.message))
            }
            Event::WorkerFailed { host, error, .. } => (Some(host), format!("FAILED: {}", error.message)),
            Event::RevertStarted { host } => {
                (Some(host), "reverting: its finished steps are undone".to_owned())
            }
            Event::WorkerReverted { host } => {
                (Some(host), "reverted: its finished steps were undone".to_owned())
            }
            Event::RevertStuck { host, error } => {
                (Some(host), format!("REVERT STUCK, needs an operator: {}", error.message))
            }
            Event::WorkerRetried { host, by } => (Some(host), format!("retried by {by}")),
            Event::WorkerSkipped { host, by } => (Some(host), format!("skipped by {by}; it stays as it is")),
            Event::WorkerSilence { host, silence } => (Some(host), silence.describe()),
            Event::WorkerCancelled { host } => (Some(host), "cancelled: the run was aborted".to_owned()),
            Event::RunStarted { plan, workers } => {
                (None, format!("plan {plan} started on {}", counted(*workers as usize, "worker")))
            }
            Event::PreflightDone { ready, unusable, left_alone } => {
                (None, describe_preflight(*ready, unusable, left_alone))
            }
            Event::WaveStarted { wave, waves, workers } => {
                let workers = counted(*workers as usize, "worker");
                (None, format!("wave {wave} of {waves} begins: {workers}"))
            }
            Event::WaveFinished { wave, waves, next_at } => {
                (None, describe_wave_end(self.at, *wave, *waves, *next_at))
            }
            Event::InDoubt { scope, .. } => {
                let what = "its answer was lost, and an operator has to say whether it ran (in doubt)";
                (scope.who(), of(scope, what.to_owned()))
            }
            Event::DoubtResolved { scope, how, .. } => {
                let what = match *how {
                    "repeat" => "its answer was lost; it may be done twice, and is done again",
                    "rerun" => "no longer in doubt: an operator lets it run again",
                    "done" => "no longer in doubt: an operator says that it was done",
                    _ => "no longer in doubt: an operator leaves it out",
                };
                (scope.who(), of(scope, what.to_owned()))
            }
            Event::GateMeasured { place, wave, standing, says } => {
                (None, describe_gate(place, *wave, standing, says))
            }
            Event::RunPaused { by, reason } => (None, describe_pause(by, reason)),
            Event::RunInterrupted { by } => {
                (None, format!("stopping ({by}): steps in flight are finished first"))
            }
            Event::RunReopened { hosts, by } => {
                (None, format!("taken up again by {by}, for {}", text::some(hosts.iter().cloned(), 5)))
            }
            Event::RunResumed { by, bundle: None } => (None, format!("resumed by {by}")),
            Event::RunResumed { by, bundle: Some(bundle) } => {
                let name = bundle.get(..12).unwrap_or(bundle);
                (None, format!("resumed by {by}, from the bundle {name} of another machine"))
            }
            Event::RunHalted { reason } => (None, format!("HALTED: {reason}")),
            Event::RunAborted { by, revert } => {
                let revert = if *revert { "; started workers are reverted" } else { "" };
                (None, format!("aborted by {by}{revert}"))
            }
            Event::RunFinished { state } => (None, format!("finished: {state}")),
        }
    }
}

/// `gate before wave 2 passed: 0.01 is at most 0.05`.
fn describe_gate(place: &str, wave: Option<u32>, standing: &str, says: &str) -> String {
    let place = match (place, wave) {
        ("before_wave", Some(wave)) => format!("gate before wave {wave}"),
        ("after_wave", Some(wave)) => format!("gate after wave {wave}"),
        _ => "guard".to_owned(),
    };
    let says = text::one_line(says);
    match standing {
        "passed" => format!("{place} passed: {says}"),
        "waiting" => format!("{place} {says}; nobody is started meanwhile"),
        _ => format!("{place} {says}"),
    }
}

/// Who paused it and why, neither of them twice.
fn describe_pause(by: &str, reason: &str) -> String {
    let who = format!("paused by {by}");
    if reason == who || reason.trim().is_empty() { who } else { format!("{who}: {reason}") }
}

fn describe_preflight(ready: u32, unusable: &[NotUsed], left_alone: &[NotUsed]) -> String {
    let mut text = format!("preflight: {} ready", are(ready as usize));
    for (what, list) in [("cannot be used", unusable), ("left alone", left_alone)] {
        if !list.is_empty() {
            let each = list.iter().map(|one| format!("{} ({})", one.host, one.reason));
            text += &format!("; {what}: {}", text::some(each, 5));
        }
    }
    text
}

/// `wave 1 done; soaking for 10s, wave 2 at 17:25:07`.
fn describe_wave_end(at: Time, wave: u32, waves: u32, next_at: Time) -> String {
    let soak = next_at.0 - at.0;
    let next =
        if wave < waves { format!(", wave {} at {}", wave + 1, next_at.of_day(at)) } else { String::new() };
    match soak {
        1.. => format!("wave {wave} done; soaking for {}{next}", describe_span(soak + 999)),
        _ => format!("wave {wave} done"),
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

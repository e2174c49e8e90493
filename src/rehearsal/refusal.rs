//! The verdict on a plan that was refused before its run began, because a fault had made a worker unusable.

use super::child::FAILED;
use super::controllers::Carried;
use super::history::{Evidence, millis};
use super::judge::promise;
use super::verdict::{SCHEMA, Verdict, WorkerPart, never_happened};
use super::watcher::Seen;
use crate::plan::counted;
use crate::sandbox::{Event, Fault};

/// `None`: without a fault, or by another exit code, it says nothing about how faults are met.
pub(super) fn refusal(
    evidence: &Evidence,
    seen: &Seen,
    faults: &[Fault],
    carried: &Carried,
) -> Option<Verdict> {
    if faults.is_empty() || carried.exit != Some(FAILED) {
        return None;
    }
    let start = seen.looks.first()?.at;
    let touched = |event: &Event| {
        matches!(
            event,
            Event::CommandBegun { .. }
                | Event::JobStarted { .. }
                | Event::JobStopped { .. }
                | Event::NotExecuted { .. }
                | Event::Executed { lock: true, .. }
                | Event::Executed { users_own: true, .. }
        )
    };
    let is_touched = |log: &[crate::sandbox::LogEntry]| {
        log.iter().any(|entry| millis(entry) > start && touched(&entry.event))
    };
    let mut broken: Vec<String> = evidence
        .iter()
        .filter(|(_, told)| is_touched(&told.log))
        .map(|(host, _)| format!("{host} was touched"))
        .collect();
    if seen.looks.len() > 1 {
        broken.push("disabled.json was changed".to_owned());
    }
    let what = format!(
        "the plan was refused before its run began (exit code {FAILED}), and {} left as found",
        match evidence.len() {
            1 => "the worker was".to_owned(),
            n => format!("all {} were", counted(n, "worker")),
        }
    );
    let promise = promise("untouched", what, &broken);
    let workers = evidence.iter().map(|(host, told)| WorkerPart {
        host: host.to_string(),
        state: "not begun",
        seconds: None,
        reboots: told.all_reboots(),
        down: Vec::new(),
    });
    Some(Verdict {
        r#type: "verdict",
        schema: SCHEMA,
        all_held: promise.held,
        interrupted: false,
        run_exit_code: carried.exit,
        most_down_at_once: 0,
        faults: faults.iter().map(ToString::to_string).collect(),
        faults_that_never_happened: never_happened(faults, evidence),
        controllers_killed: carried.kills,
        promises: vec![promise],
        workers: workers.collect(),
    })
}

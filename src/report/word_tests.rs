//! What reports say in words: every state once, nobody named twice, nothing that an operator cannot follow.

use std::sync::Arc;

use super::testing::{START, play, rolled, some_fail};
use super::{Hint, RunInfo, RunView, Suggestion, closing, event_of, status_text};
use crate::engine::{AttemptSpec, Fact, Outcome, Resolution, RunEnd, Stamped};
use crate::graph::TargetIx;
use crate::graph::testing::{command, compiled, fleet, plan, worker};

const HINT: Hint = |suggestion| match suggestion {
    Suggestion::ReadLogs { run: None, .. } => "logs".to_owned(),
    Suggestion::ReadLogs { run: Some(run), .. } => format!("logs of {run}"),
    Suggestion::EnableByHand { .. } => "enable by hand".to_owned(),
    Suggestion::RetrySkipped { .. } => "retry skipped".to_owned(),
    Suggestion::ResumeToEnable { .. } => "resume to enable".to_owned(),
    Suggestion::Approve { .. } => "approve".to_owned(),
    Suggestion::ResolveInDoubt { .. } => "resolve".to_owned(),
    Suggestion::Retry { .. } => "retry".to_owned(),
    Suggestion::Skip { .. } => "skip".to_owned(),
    Suggestion::Resume { .. } => "resume".to_owned(),
    Suggestion::ThenResume { .. } => "then resume".to_owned(),
    Suggestion::Resend { .. } => "resend".to_owned(),
    Suggestion::Abort { .. } => "abort".to_owned(),
};

/// A run of one worker whose one step is a command that must not be repeated.
fn of_one_command(ends: impl Fn(&AttemptSpec) -> Option<Outcome>) -> (Vec<Stamped>, RunView) {
    let mut plan = plan();
    plan.steps = vec![command("patch")];
    let graph = Arc::new(compiled(&plan, &fleet(vec![worker("w1", &[], &[])], &[])));
    let view = RunView::new(RunInfo { run: "R".into(), started_at: START }, Arc::clone(&graph));
    (play(graph, ends), view)
}

fn fold(view: &mut RunView, facts: &[Stamped]) {
    facts.iter().for_each(|stamped| view.fold(stamped).unwrap());
    view.refresh(facts.last().unwrap().at);
}

/// Folds one more fact and says its line.
fn then(view: &mut RunView, at: i64, fact: Fact) -> String {
    let stamped = Stamped { seq: 1000, at, epoch: 1, fact };
    fold(view, std::slice::from_ref(&stamped));
    let line = event_of(&stamped, view);
    line.map_or_else(String::new, |line| {
        let (who, what) = line.describe();
        format!("{}  {what}", who.unwrap_or("run"))
    })
}

#[test]
fn doubt_names_the_worker_and_the_step() {
    let (facts, mut view) = of_one_command(|_| Some(Outcome::unknown("the connection broke")));
    fold(&mut view, &facts);
    let doubt = facts.iter().find(|stamped| matches!(stamped.fact, Fact::InDoubt { .. })).unwrap();
    let Fact::InDoubt { attempt } = doubt.fact else { unreachable!() };
    let line = event_of(doubt, &view).unwrap();
    let (who, what) = line.describe();
    assert_eq!(who, Some("w1"));
    assert!(what.starts_with("patch: its answer was lost"), "{what}");
    assert_eq!(serde_json::to_value(&line).unwrap()["host"], "w1");
    assert_eq!(view.reason.as_deref(), Some("w1: patch is in doubt (it may have run)"));
    let said = closing(doubt.at, &view, None);
    assert!(!said.contains("?."), "{said}");
    let line = then(&mut view, doubt.at, Fact::InDoubtResolved { attempt, how: Resolution::Done });
    assert_eq!(line, "w1  patch: no longer in doubt: an operator says that it was done");
}

#[test]
fn a_pause_names_its_operator_once() {
    for (reason, line, end) in [
        ("paused by anna@vm", "run  paused by anna@vm", "is paused after 3s, by anna@vm.\n"),
        ("lunch.", "run  paused by anna@vm: lunch.", "is paused after 3s: lunch.\n"),
        ("", "run  paused by anna@vm", "is paused after 3s.\n"),
    ] {
        let (facts, mut view) = rolled(3, some_fail);
        let ready = facts.iter().position(|stamped| matches!(stamped.fact, Fact::Preflight { .. })).unwrap();
        fold(&mut view, &facts[..=ready]);
        let paused = Fact::Paused { by: "anna@vm".to_owned(), reason: reason.to_owned() };
        assert_eq!(then(&mut view, facts[ready].at, paused), line);
        view.set_orphaned(true);
        view.refresh(START);
        let said = closing(START + 60_000, &view, None);
        assert!(said.contains(end), "{said}");
    }
}

#[test]
fn an_ended_run_succeeded_and_is_not_succeeded() {
    let (facts, mut view) = rolled(1, |_| None);
    fold(&mut view, &facts);
    let said = status_text(START, &view, None);
    assert!(
        said.starts_with("Run 20261122-2315-ab3f of plan test succeeded, wave 1 of 1; started "),
        "{said}"
    );
}

#[test]
fn boots_are_shown_where_something_is_rebooted() {
    let (facts, mut view) = of_one_command(|_| None);
    fold(&mut view, &facts);
    assert!(!closing(START, &view, None).contains("boot "), "{}", closing(START, &view, None));
    let (facts, mut view) = rolled(1, |_| None);
    fold(&mut view, &facts);
    assert!(closing(START, &view, None).contains("boot 00000000-"), "{}", closing(START, &view, None));
}

#[test]
fn a_halt_whose_failure_was_skipped_is_continued_and_nothing_is_said_before() {
    let (facts, mut view) = rolled(3, some_fail);
    fold(&mut view, &facts);
    let at = facts.last().unwrap().at;
    let said = closing(at, &view, Some(HINT));
    assert!(said.contains("has halted") && said.ends_with("retry\nskip\nabort\n"), "{said}");
    then(&mut view, at, Fact::Skipped { target: TargetIx(1), by: "anna@vm".to_owned() });
    let said = closing(at, &view, Some(HINT));
    assert!(
        said.contains(" had halted after ")
            && said.contains("; it can be continued.\n")
            && !said.contains("max_failures: 0)."),
        "{said}"
    );
    assert!(said.ends_with("\nresume\nabort\n") && !said.contains("then resume"), "{said}");
}

#[test]
fn held_is_explained_once_and_a_cancelled_worker_says_how_far_it_was() {
    let (facts, mut view) = rolled(3, |_| None);
    let rebooted = facts.iter().position(|stamped| {
        matches!(&stamped.fact, Fact::Finished { outcome: Outcome::Ok { evidence }, .. }
            if *evidence == crate::engine::Evidence::Departed)
    });
    let rebooted = rebooted.unwrap();
    fold(&mut view, &facts[..=rebooted]);
    let at = facts[rebooted].at;
    then(&mut view, at, Fact::Interrupted { by: "SIGINT".to_owned() });
    let said = closing(at, &view, None);
    assert_eq!(said.matches("(held: stopped between two steps").count(), 1, "{said}");
    then(&mut view, at, Fact::Aborted { by: "anna@vm".to_owned(), revert: false });
    then(&mut view, at, Fact::WorkerCancelled { target: TargetIx(0) });
    then(&mut view, at, Fact::RunFinished { end: RunEnd::Aborted });
    let said = closing(at, &view, None);
    let line = said.lines().find(|line| line.contains("w1")).unwrap();
    assert!(
        line.contains("cancelled") && line.contains("stopped at reboot; what was done until then stays"),
        "{line}"
    );
    assert!(!said.contains("(held"), "{said}");
}

#[test]
fn a_run_that_nobody_carries_out_lasted_to_the_last_thing_that_happened() {
    let (facts, mut view) = rolled(3, |_| None);
    let half = &facts[..facts.len() / 2];
    fold(&mut view, half);
    let (last, later) = (half.last().unwrap().at, START + 3_600_000);
    assert_eq!(view.lasted(later), later - START);
    view.set_orphaned(true);
    view.refresh(later);
    assert_eq!(view.lasted(later), last - START);
}

//! What operators may do to a run.

use super::case::{Case, by, done, idempotent, lane, ok, target};
use crate::engine::PublicWorkerState::{
    Cancelled, Failed, Held, LeftAlone, Queued, Running, Skipped, Succeeded,
};
use crate::engine::{Check, Evidence, Fact, RunEnd, RunStatus, SilenceEvent};
use crate::graph::testing::{located, step};
use crate::graph::{Lane, StepIx};
use crate::plan::{Amount, Concurrency, OnFailure, Plan, StepKind, Undo};

fn one_at_a_time(plan: &mut Plan) {
    plan.rollout.concurrency.value = Concurrency::AtMost(Amount::Count(1));
}

fn resumed() -> Fact {
    Fact::Resumed { by: by(), fresh_process: false, bundle: None }
}

fn retried(worker: u32) -> Fact {
    Fact::Retried { target: target(worker), by: by() }
}

fn skipped(worker: u32) -> Fact {
    Fact::Skipped { target: target(worker), by: by() }
}

fn aborted(revert: bool) -> Fact {
    Fact::Aborted { by: by(), revert }
}

#[test]
fn what_becomes_of_a_silence_changes_nothing_also_behind_the_end() {
    let silence = |worker: u32| Fact::Silence {
        target: target(worker),
        event: SilenceEvent::Failed { why: "no answer in time".to_owned() },
    };
    let mut case = Case::new(2, one_at_a_time);
    case.says(silence(1));
    assert_eq!((case.state(1), case.active()), (Running, vec![1]));
    case.succeeds([1, 2]);
    case.says(silence(2));
    assert_eq!(case.run().status(), RunStatus::Finished(RunEnd::Succeeded));
}

#[test]
fn a_paused_run_admits_nobody_and_lets_the_active_finish() {
    let mut case = Case::new(2, one_at_a_time);
    case.says(Fact::Paused { by: by(), reason: "lunch".to_owned() });
    case.succeeds([1]);
    assert_eq!((case.state(1), case.state(2)), (Succeeded, Queued));
    assert_eq!(case.run().status(), RunStatus::Paused("lunch".to_owned()));
    case.says(resumed());
    assert_eq!(case.active(), [2]);
}

#[test]
fn after_a_signal_the_step_in_flight_finishes_and_no_other_begins() {
    let mut case = Case::new(1, |plan| {
        plan.steps.push(super::case::command("second"));
        plan.steps[1].needs = vec![0];
    });
    case.says(Fact::Interrupted { by: "SIGINT".to_owned() });
    assert_eq!((case.state(1), case.run().status()), (Running, RunStatus::Busy));
    case.succeeds([1]);
    assert_eq!((case.state(1), case.run().status()), (Held, RunStatus::Interrupted));
    case.says(resumed());
    assert_eq!(case.in_flight(1), ["second"]);
}

#[test]
fn a_retry_takes_a_failed_worker_up_again_at_its_failed_step() {
    let mut case = Case::new(1, |_| {});
    case.fails(1);
    case.says(retried(1));
    assert_eq!((case.state(1), case.run().failures().0), (Queued, 0), "the run is still halted");
    case.says(resumed());
    assert_eq!(case.in_flight(1), ["upgrade"]);
    case.succeeds([1]);
    assert_eq!(case.run().status(), RunStatus::Finished(RunEnd::Succeeded));
}

#[test]
fn only_failed_workers_are_retried() {
    let mut case = Case::new(1, |_| {});
    assert_eq!(case.refuses(retried(1)), "the worker is not in a state for this");
}

#[test]
fn a_skip_takes_a_failed_worker_out_of_the_ledger() {
    let mut case = Case::new(2, one_at_a_time);
    case.fails(1);
    case.says(skipped(1));
    case.says(resumed());
    assert_eq!((case.state(1), case.run().failures().0, case.active()), (Skipped, 0, vec![2]));
    case.succeeds([2]);
    assert_eq!(case.run().status(), RunStatus::Finished(RunEnd::Failed), "one did not end well");
}

fn reopened(workers: &[u32]) -> Fact {
    let targets = workers.iter().map(|worker| target(*worker)).collect();
    Fact::Reopened { targets, enabled: Vec::new(), by: by() }
}

/// Two workers one after the other, of which one may fail, and steps before and after them.
fn one_may_fail(plan: &mut Plan) {
    one_at_a_time(plan);
    plan.rollout.max_failures = located(Amount::Count(1));
    plan.before.push(super::case::command("silence"));
    plan.after.push(super::case::command("unsilence"));
}

/// A run that has ended, in which the first worker has failed.
fn ended_with_one_failed() -> Case {
    let mut case = Case::new(2, one_may_fail);
    case.answers_in(Lane::Before, done());
    case.fails(1);
    case.succeeds([2]);
    case.answers_in(Lane::After, done());
    assert_eq!(case.run().status(), RunStatus::Finished(RunEnd::Failed));
    case
}

#[test]
fn a_run_that_has_ended_with_failed_workers_is_taken_up_again_inside_of_before_and_after() {
    let mut case = ended_with_one_failed();
    case.says(reopened(&[1]));
    assert_eq!((case.state(1), case.state(2), case.run().failures().0), (Queued, Succeeded, 0));
    assert_eq!(case.run().status(), RunStatus::Interrupted, "nothing begins before it is resumed");
    assert!(case.active().is_empty());
    case.says(Fact::Resumed { by: by(), fresh_process: true, bundle: None });
    case.answers_in(Lane::Before, done());
    assert_eq!((case.active(), case.in_flight(1)), (vec![1], vec!["upgrade"]));
    case.succeeds([1]);
    case.answers_in(Lane::After, done());
    assert_eq!(case.run().status(), RunStatus::Finished(RunEnd::Succeeded));
}

#[test]
fn a_worker_may_fail_again_after_the_run_was_taken_up_and_the_run_be_taken_up_once_more() {
    let mut case = ended_with_one_failed();
    for _ in 0..2 {
        case.says(reopened(&[1]));
        case.says(Fact::Resumed { by: by(), fresh_process: true, bundle: None });
        case.answers_in(Lane::Before, done());
        case.fails(1);
        case.answers_in(Lane::After, done());
        assert_eq!(case.run().status(), RunStatus::Finished(RunEnd::Failed));
    }
}

#[test]
fn a_run_is_taken_up_for_failed_and_skipped_workers_only_and_not_after_an_abort() {
    let mut case = ended_with_one_failed();
    case.refuses(reopened(&[]));
    case.refuses(reopened(&[2]));
    case.refuses(reopened(&[1, 2]));
    case.refuses(reopened(&[1, 1]));
    case.refuses(reopened(&[9]));
    case.refuses(retried(1));
    case.says(skipped(1));
    assert_eq!(case.run().status(), RunStatus::Finished(RunEnd::Failed), "it has ended, and still has");
    case.says(reopened(&[1]));
    assert_eq!(case.state(1), Queued, "the operator has thought better of it");

    let mut case = Case::new(2, |plan| {
        one_at_a_time(plan);
        plan.rollout.max_failures = located(Amount::Count(1));
    });
    case.fails(1);
    case.refuses(reopened(&[1]));
    case.says(aborted(false));
    case.succeeds([2]);
    assert_eq!(case.run().status(), RunStatus::Finished(RunEnd::Aborted));
    case.refuses(reopened(&[1]));
}

#[test]
fn what_an_operator_has_enabled_since_the_end_is_no_longer_the_runs_own() {
    let mut case = Case::new(2, |plan| {
        one_at_a_time(plan);
        plan.rollout.max_failures = located(Amount::Count(2));
        plan.steps.insert(0, step("disable", StepKind::Disable { jobs: None }, &[]));
        plan.steps[1].needs = vec![0];
    });
    for worker in [1, 2] {
        case.answers(worker, ok(Evidence::Disabled { own: vec![None], others: Vec::new() }));
        case.fails(worker);
    }
    assert_eq!(case.run().left_disabled(), [target(1), target(2)]);
    case.says(Fact::Reopened { targets: vec![target(1)], enabled: vec![target(2)], by: by() });
    assert_eq!(case.run().left_disabled(), [target(1)]);
}

#[test]
fn a_skipped_worker_may_be_taken_up_again_and_one_that_was_disabled_before_may_not() {
    let mut case = Case::new(2, one_at_a_time);
    case.says(skipped(2));
    case.says(retried(2));
    assert_eq!(case.state(2), Queued);
    case.succeeds([1]);
    assert_eq!(case.active(), [2]);

    let mut case = Case::not_started(2, |_| "zone=a", one_at_a_time);
    let ready = Check::Ready { boot_id: "b".to_owned(), state_dir: "/s".to_owned() };
    case.says(Fact::Preflight { checks: vec![Check::LeftAlone { reason: "its disk".to_owned() }, ready] });
    case.refuses(retried(1));
}

#[test]
fn a_worker_whose_revert_is_stuck_is_not_retried_not_even_after_it_was_skipped() {
    let mut case = Case::new(2, |plan| {
        one_at_a_time(plan);
        plan.rollout.on_failure = OnFailure::Revert;
        let StepKind::Run(command) = &mut plan.steps[0].kind else { panic!("a command") };
        command.undo = Undo::Command("downgrade".to_owned());
    });
    case.fails(1);
    case.fails(1);
    while case.state(1) != Failed {
        case.wait(std::time::Duration::from_secs(600));
        case.fails(1);
    }
    case.refuses(retried(1));
    case.says(skipped(1));
    case.refuses(retried(1));
}

#[test]
fn a_resume_of_a_halted_run_without_a_retry_or_skip_does_nothing() {
    let mut case = Case::new(2, one_at_a_time);
    case.fails(1);
    case.says(resumed());
    assert!(matches!(case.run().status(), RunStatus::Halted(_)));
    assert!(case.active().is_empty());
}

#[test]
fn an_abort_ends_the_run_after_the_steps_in_flight() {
    let mut case = Case::new(2, one_at_a_time);
    case.says(aborted(false));
    assert_eq!(case.state(1), Running);
    case.succeeds([1]);
    assert_eq!((case.state(1), case.state(2)), (Cancelled, Queued));
    assert_eq!(case.run().status(), RunStatus::Finished(RunEnd::Aborted));
    assert_eq!(case.refuses(resumed()), "nothing follows the end of a run");
}

#[test]
fn an_abort_may_revert_the_workers_that_have_started() {
    let mut case = Case::new(1, |plan| {
        idempotent(plan);
        let StepKind::Run(command) = &mut plan.steps[0].kind else { panic!("a command") };
        command.undo = Undo::Command("downgrade".to_owned());
    });
    case.says(aborted(true));
    case.succeeds([1]);
    assert_eq!(case.intent(1), crate::engine::Intent::UndoCommand);
    case.succeeds([1]);
    assert_eq!(case.run().status(), RunStatus::Finished(RunEnd::Aborted));
}

#[test]
fn a_worker_that_an_operator_had_disabled_is_left_alone() {
    let mut case = Case::not_started(1, |_| "zone=a", |_| {});
    case.says(Fact::Preflight { checks: vec![Check::LeftAlone { reason: "its disk".to_owned() }] });
    assert_eq!(case.state(1), LeftAlone);
    assert_eq!(case.run().status(), RunStatus::Finished(RunEnd::Succeeded));
}

#[test]
fn a_refused_fact_changes_nothing() {
    let mut case = Case::new(2, |plan| {
        one_at_a_time(plan);
        plan.rollout.max_failures = located(Amount::Count(1));
    });
    case.fails(1);
    assert_eq!(case.state(1), Failed);
    case.refuses(Fact::WorkerAdmitted { target: target(1) });
    case.refuses(Fact::WorkerAdmitted { target: target(9) });
    case.refuses(Fact::WorkerSucceeded { target: target(2) });
    case.refuses(Fact::Approved { lane: lane(2), step: StepIx(0), by: by() });
    case.refuses(Fact::Approved { lane: lane(2), step: StepIx(7), by: by() });
    case.refuses(Fact::WaveStarted { wave: 1 });
    case.refuses(Fact::RunFinished { end: RunEnd::Succeeded });
    case.refuses(skipped(2));
}

//! Failures: the ledger, halts, reverts.

use super::case::{Case, by, command, done, failed, ok, seconds, target};
use crate::engine::PublicWorkerState::{Failed, Queued, Reverted, Reverting, Succeeded};
use crate::engine::{Check, ErrorKind, Evidence, Fact, HaltReason, Intent, RunEnd, RunStatus, StepError};
use crate::graph::Lane;
use crate::graph::testing::{located, step};
use crate::plan::{Amount, Concurrency, OnFailure, Plan, StepKind, Undo};

fn one_at_a_time(plan: &mut Plan) {
    plan.rollout.concurrency.value = Concurrency::AtMost(Amount::Count(1));
}

#[test]
fn a_run_halts_at_one_failure_more_than_the_plan_allows() {
    let mut case = Case::new(3, |plan| {
        one_at_a_time(plan);
        plan.rollout.max_failures = located(Amount::Count(1));
    });
    case.fails(1);
    assert_eq!(case.active(), [2], "one failure is allowed");
    case.fails(2);
    let reason = HaltReason::TooManyFailures { failed: 2, allowed: 1 };
    assert_eq!(case.run().status(), RunStatus::Halted(reason));
    assert_eq!(case.state(3), Queued);
}

#[test]
fn workers_that_have_started_go_to_their_end_in_a_halted_run() {
    let mut case = Case::new(2, |_| {});
    case.fails(1);
    case.succeeds([2]);
    assert_eq!(case.state(2), Succeeded);
    assert!(matches!(case.run().status(), RunStatus::Halted(_)));
}

#[test]
fn a_worker_that_does_not_answer_in_preflight_counts_as_failed() {
    let mut case = Case::not_started(
        2,
        |_| "zone=a",
        |plan| {
            plan.rollout.max_failures = located(Amount::Count(1));
        },
    );
    let error = StepError::new(ErrorKind::Unreachable, "no route");
    let ready = Check::Ready { boot_id: "b".to_owned(), state_dir: "/state".to_owned() };
    case.says(Fact::Preflight { checks: vec![Check::Unreachable { error }, ready] });
    assert_eq!((case.state(1), case.active(), case.run().failures()), (Failed, vec![2], (1, 1)));
    let by_this_run = case.run().taken_down().any(|down| down == target(1));
    assert!(case.run().down().contains(target(1)) && !by_this_run, "no step has taken it down");
}

#[test]
fn a_failed_before_step_halts_the_run_and_a_resume_tries_it_again() {
    let mut case = Case::new(1, |plan| plan.before = vec![step("build", StepKind::Build, &[])]);
    case.answers_in(Lane::Before, failed(ErrorKind::Controller));
    assert!(matches!(case.run().status(), RunStatus::Halted(HaltReason::LaneFailed { .. })));
    case.says(Fact::Resumed { by: by(), fresh_process: false, bundle: None });
    case.answers_in(Lane::Before, done());
    assert_eq!(case.active(), [1]);
}

/// `disable`, then a command with an undo.
fn revertible(plan: &mut Plan) {
    plan.rollout.on_failure = OnFailure::Revert;
    let mut upgrade = command("upgrade");
    let StepKind::Run(run) = &mut upgrade.kind else { panic!("a command") };
    run.undo = Undo::Command("downgrade".to_owned());
    upgrade.needs = vec![0];
    plan.steps = vec![step("disable", StepKind::Disable { jobs: None }, &[]), upgrade];
}

fn disabled() -> crate::engine::Outcome {
    ok(Evidence::Disabled { own: vec![None], others: Vec::new() })
}

#[test]
fn a_revert_undoes_the_failed_step_first_and_then_the_newest() {
    let mut case = Case::new(1, revertible);
    case.answers(1, disabled());
    assert_eq!(case.run().own_disabled(target(1)), [None]);
    case.fails(1);
    assert_eq!(case.state(1), Reverting);
    for undo in [Intent::UndoCommand, Intent::UndoEnable, Intent::UndoDeploy] {
        assert_eq!(case.intent(1), undo);
        case.succeeds([1]);
    }
    assert_eq!(case.state(1), Reverted);
    assert_eq!(
        (case.run().left_disabled(), case.run().failures().0),
        (vec![], 1),
        "it still counts as failed"
    );
}

#[test]
fn a_revert_that_fails_is_stuck_and_says_what_is_left() {
    let mut case = Case::new(1, revertible);
    case.answers(1, disabled());
    case.fails(1);
    case.fails(1);
    assert_eq!((case.state(1), case.run().left_disabled()), (Failed, vec![target(1)]));
    assert!(case.facts().any(|fact| matches!(fact, Fact::RevertStuck { .. })));
}

#[test]
fn a_run_whose_workers_all_ended_well_has_succeeded() {
    let mut case = Case::new(1, |_| {});
    case.wait(seconds(1));
    case.succeeds([1]);
    assert_eq!(case.run().status(), RunStatus::Finished(RunEnd::Succeeded));
}

//! How the steps of one worker follow each other.

use std::time::Duration;

use super::case::{Case, by, command, failed, idempotent, lane, lost, seconds};
use crate::engine::PublicWorkerState::{Failed, Retrying, Running, Succeeded, Waiting};
use crate::engine::{ErrorKind, Fact, Intent, Outcome, RunStatus};
use crate::graph::StepIx;
use crate::graph::testing::{located, step};
use crate::plan::{Amount, OnStepFailure, Plan, StepKind};

fn two_attempts(plan: &mut Plan) {
    plan.steps[0].retries.attempts = 2;
    plan.steps[0].retries.delay = seconds(10);
}

#[test]
fn a_step_begins_after_what_it_needs() {
    let mut case = Case::new(1, |plan| {
        plan.steps = vec![command("first"), command("beside"), command("last")];
        plan.steps[2].needs = vec![0, 1];
    });
    assert_eq!(case.in_flight(1), ["first", "beside"]);
    case.succeeds([1]);
    assert_eq!(case.in_flight(1), ["beside"]);
    case.succeeds([1]);
    assert_eq!(case.in_flight(1), ["last"]);
    case.succeeds([1]);
    assert_eq!(case.state(1), Succeeded);
}

#[test]
fn a_failed_step_is_tried_again_after_its_delay() {
    let mut case = Case::new(1, two_attempts);
    case.fails(1);
    assert_eq!(case.state(1), Retrying);
    case.wait(Duration::from_millis(4_999));
    assert_eq!(case.state(1), Retrying, "the delay is jittered between half and all of it");
    case.wait(seconds(10));
    assert_eq!((case.state(1), case.intent(1)), (Running, Intent::Do { repeat: true }));
}

#[test]
fn a_worker_fails_when_its_attempts_are_spent() {
    let mut case = Case::new(1, two_attempts);
    case.fails(1);
    case.wait(seconds(10));
    case.fails(1);
    assert_eq!(case.state(1), Failed);
}

#[test]
fn some_errors_are_final_at_once() {
    let mut case = Case::new(1, two_attempts);
    case.answers(1, failed(ErrorKind::HostKeyChanged));
    assert_eq!(case.state(1), Failed);
}

#[test]
fn a_failure_that_may_be_ignored_fails_nobody() {
    let mut case = Case::new(1, |plan| plan.steps[0].on_failure = OnStepFailure::Ignore);
    case.fails(1);
    assert_eq!(case.state(1), Succeeded);
}

#[test]
fn a_lost_answer_costs_no_attempt_for_the_first_two_times() {
    let mut case = Case::new(1, idempotent);
    for _ in 0..2 {
        case.answers(1, lost());
        assert_eq!(case.state(1), Retrying);
        case.wait(seconds(2));
    }
    case.answers(1, lost());
    assert_eq!(case.state(1), Failed);
}

#[test]
fn a_pause_step_opens_by_itself() {
    let pause = || step("pause", StepKind::Pause { duration: seconds(30) }, &[]);
    let mut case = Case::new(1, |plan| plan.steps = vec![pause()]);
    assert_eq!(case.state(1), Waiting);
    case.wait(seconds(29));
    assert_eq!(case.state(1), Waiting);
    case.wait(seconds(1));
    assert_eq!(case.state(1), Succeeded);
}

fn approval(plan: &mut Plan) {
    plan.steps = vec![step("approve", StepKind::Approve { message: None }, &[])];
    plan.steps[0].timeout = None;
}

#[test]
fn an_approve_step_waits_for_an_operator() {
    let mut case = Case::new(1, approval);
    assert!(
        matches!(case.run().status(), RunStatus::WaitsForOperator { gates, .. } if gates == [(lane(1), StepIx(0))])
    );
    case.says(Fact::Approved { lane: lane(1), step: StepIx(0), by: by() });
    assert_eq!(case.state(1), Succeeded);
}

#[test]
fn an_approval_that_does_not_come_in_time_is_a_failure() {
    let mut case = Case::new(1, |plan| {
        approval(plan);
        plan.steps[0].timeout = Some(seconds(60));
    });
    case.wait(seconds(60));
    assert_eq!(case.state(1), Failed);
}

#[test]
fn what_is_nobodys_failure_pauses_the_run() {
    let mut case = Case::new(2, |plan| plan.rollout.max_failures = located(Amount::Count(0)));
    case.answers(1, Outcome::NotDone { reason: "the build failed".to_owned() });
    case.succeeds([2]);
    assert_eq!(case.run().status(), RunStatus::Paused("the build failed".to_owned()));
    case.says(Fact::Resumed { by: by(), fresh_process: false, bundle: None });
    case.succeeds([1]);
    assert_eq!(case.state(1), Succeeded);
}

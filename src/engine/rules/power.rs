//! A worker that does not come back, and the one reset that a plan may order.

use super::case::{Case, failed, lost, ok, seconds};
use crate::engine::PublicWorkerState::{Failed, Succeeded};
use crate::engine::ResetOrdered::{self, NotSent, Taken, Unknown};
use crate::engine::{ErrorKind, Evidence, Fact, Intent, Outcome};
use crate::graph::testing;
use crate::plan::{OnNoReturn, Plan, StepKind};

/// `reboot`, then `wait_for_ssh` that resets what is not back after two attempts.
fn resets(plan: &mut Plan) {
    plan.steps = testing::plan().steps;
    plan.steps[1].retries.attempts = 2;
    if let StepKind::WaitForSsh { on_no_return, .. } = &mut plan.steps[1].kind {
        *on_no_return = OnNoReturn::PowerCycle;
    }
}

fn back(boot_id: &str) -> Outcome {
    ok(Evidence::Back { boot_id: boot_id.to_owned(), kernel: None })
}

fn ordered() -> Outcome {
    let (bmc, reset) = ("https://bmc".to_owned(), "ForceRestart".to_owned());
    ok(Evidence::PowerCycled { bmc, reset, power: Some("On".to_owned()), last_reset: None })
}

/// A worker that has gone away, and is not back after `attempts` waits.
fn gone(attempts: u32) -> Case {
    let mut case = Case::new(1, resets);
    case.answers(1, ok(Evidence::BootId { boot_id: "old".to_owned(), kernel: None }));
    case.answers(1, ok(Evidence::Departed));
    for _ in 0..attempts {
        case.answers(1, failed(ErrorKind::Unreachable));
        case.wait(seconds(60));
    }
    case
}

/// What the wait that is under way knows of a reset before it.
fn known(case: &Case) -> Option<ResetOrdered> {
    match case.intent(1) {
        Intent::AwaitBoot { power_cycled, not: Some(b0), .. } if b0 == "old" => {
            power_cycled.map(|reset| reset.order)
        }
        other => panic!("it waits for no boot: {other:?}"),
    }
}

fn orders(case: &Case) -> usize {
    case.facts().filter(|fact| matches!(fact, Fact::Issued { intent: Intent::PowerCycle { .. }, .. })).count()
}

#[test]
fn a_worker_that_is_not_back_is_reset_once_and_waited_for_anew() {
    let mut case = gone(1);
    assert_eq!(known(&case), None, "the attempts of the wait come first");
    case.answers(1, failed(ErrorKind::Refused));
    assert_eq!(case.intent(1), Intent::PowerCycle { boot_id: "old".to_owned() });
    case.answers(1, ordered());
    assert_eq!(known(&case), Some(Taken));
    case.answers(1, failed(ErrorKind::Unreachable));
    case.wait(seconds(60));
    case.answers(1, back("new"));
    assert_eq!((case.state(1), orders(&case)), (Succeeded, 1), "with all its attempts");
}

#[test]
fn a_worker_that_has_answered_is_never_reset() {
    for kind in
        [ErrorKind::AuthRefused, ErrorKind::NotSettled, ErrorKind::HostKeyChanged, ErrorKind::CrashLoop]
    {
        let mut case = gone(1);
        case.answers(1, failed(kind));
        assert_eq!((case.state(1), orders(&case)), (Failed, 0), "{kind:?}");
    }
    let mut case = gone(2);
    case.answers(1, ok(Evidence::Answers { what: "it lets us in".to_owned() }));
    assert_eq!(known(&case), Some(NotSent), "it is looked at again");
}

#[test]
fn a_reset_whose_answer_was_lost_is_never_sent_again() {
    let mut lose: Vec<fn(&mut Case)> = vec![|case| case.answers(1, lost()), |case| case.taken_over()];
    lose.push(|case| case.answers(1, Outcome::TimedOut { after: 1, doing: "it".to_owned() }));
    for lose in lose {
        let mut case = gone(2);
        lose(&mut case);
        assert_eq!(known(&case), Some(Unknown));
        for _ in 0..2 {
            case.answers(1, failed(ErrorKind::Unreachable));
            case.wait(seconds(60));
        }
        assert_eq!((case.state(1), orders(&case)), (Failed, 1));
        // Nor for an operator who lets the worker go on.
        case.says(Fact::Retried { target: super::case::target(1), by: super::case::by() });
        case.taken_over();
        for _ in 0..2 {
            case.answers(1, failed(ErrorKind::Unreachable));
            case.wait(seconds(60));
        }
        assert_eq!((case.state(1), orders(&case)), (Failed, 1));
    }
}

#[test]
fn a_bmc_that_refuses_fails_the_worker() {
    let mut case = gone(2);
    case.answers(1, failed(ErrorKind::Unreachable));
    assert_eq!((case.state(1), orders(&case)), (Failed, 1));
}

#[test]
fn a_reset_waits_for_the_run_to_be_resumed_after_a_signal() {
    let mut case = gone(1);
    case.says(Fact::Interrupted { by: "SIGTERM".to_owned() });
    case.answers(1, failed(ErrorKind::Unreachable));
    assert_eq!(orders(&case), 0);
    case.taken_over();
    assert_eq!(case.intent(1), Intent::PowerCycle { boot_id: "old".to_owned() });
}

#[test]
fn a_reset_is_issued_when_its_turn_has_come_and_for_the_boot_that_is_waited_for() {
    let mut case = gone(2);
    let attempt = case.attempt(1);
    case.answers(1, ordered());
    let next = crate::engine::AttemptId(attempt.0 + 2);
    let intent = Intent::PowerCycle { boot_id: "old".to_owned() };
    let (lane, step) = (super::case::lane(1), crate::graph::StepIx(1));
    let rule = case.refuses(Fact::Issued { attempt: next, lane, step, intent });
    assert_eq!(rule, "a reset is forced once, of a worker that nobody has seen since its reboot");
}

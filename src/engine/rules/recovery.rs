//! What becomes of attempts whose answer did not come: take-over, doubt, reboots.

use super::case::{Case, by, done, failed, idempotent, lane, lost, ok, seconds};
use crate::engine::PublicWorkerState::{Failed, InDoubt, Running, Succeeded};
use crate::engine::{ErrorKind, Evidence, Fact, Intent, Outcome, Resolution, RunStatus, StepError};
use crate::graph::{StepIx, testing};
use crate::plan::{Plan, StepKind};

#[test]
fn a_new_process_repeats_what_may_be_repeated() {
    let mut case = Case::new(1, idempotent);
    let first = case.attempt(1);
    assert!(!case.run().leaves_doubt(lane(1), StepIx(0)));
    case.taken_over();
    assert!(case.attempt(1) > first);
    assert_eq!(case.intent(1), Intent::Do { repeat: true });
}

#[test]
fn a_new_process_asks_about_what_may_not_be_repeated() {
    let mut case = Case::new(1, |_| {});
    let attempt = case.attempt(1);
    assert!(case.run().leaves_doubt(lane(1), StepIx(0)));
    case.taken_over();
    assert_eq!((case.state(1), case.run().undecided()), (InDoubt, vec![(attempt, lane(1))]));
    assert!(matches!(case.run().status(), RunStatus::WaitsForOperator { .. }));
    case.says(Fact::InDoubtResolved { attempt, how: Resolution::Done });
    assert_eq!(case.state(1), Succeeded);
}

#[test]
fn an_operator_may_have_an_attempt_in_doubt_run_again_or_left_out() {
    for (how, state) in [(Resolution::Rerun, Running), (Resolution::Skip, Succeeded)] {
        let mut case = Case::new(1, |_| {});
        case.answers(1, lost());
        let attempt = case.run().undecided()[0].0;
        case.says(Fact::InDoubtResolved { attempt, how });
        assert_eq!(case.state(1), state);
    }
}

#[test]
fn a_late_answer_changes_nothing() {
    let mut case = Case::new(1, idempotent);
    let late = case.attempt(1);
    case.taken_over();
    let before = case.run().clone();
    case.says(Fact::Finished { attempt: late, outcome: failed(ErrorKind::Command) });
    assert_eq!(*case.run(), before);
    case.succeeds([1]);
    assert_eq!(case.state(1), Succeeded);
}

#[test]
fn an_answer_to_what_was_never_issued_is_refused() {
    let mut case = Case::new(1, |_| {});
    let never = crate::engine::AttemptId(99);
    let rule = case.refuses(Fact::Finished { attempt: never, outcome: done() });
    assert_eq!(rule, "only what was issued can finish");
}

#[test]
fn a_new_process_sets_the_timers_again() {
    let mut case = Case::new(1, |plan| {
        plan.steps = vec![testing::step("pause", StepKind::Pause { duration: seconds(30) }, &[])];
    });
    case.wait(seconds(10));
    case.taken_over();
    case.wait(seconds(20));
    assert_eq!(case.state(1), Succeeded);
}

/// `reboot`, then `wait_for_ssh` with two attempts.
fn reboots(plan: &mut Plan) {
    plan.steps = testing::plan().steps;
    plan.steps[1].retries.attempts = 2;
}

fn read(boot_id: &str) -> Outcome {
    ok(Evidence::BootId { boot_id: boot_id.to_owned(), kernel: None })
}

fn back(boot_id: &str) -> Outcome {
    ok(Evidence::Back { boot_id: boot_id.to_owned(), kernel: None })
}

fn sent(generation: u32) -> Intent {
    Intent::Reboot { boot_id: "old".to_owned(), generation }
}

#[test]
fn a_reboot_compares_with_a_boot_id_that_is_read_once() {
    let mut case = Case::new(1, reboots);
    assert_eq!(case.intent(1), Intent::ReadBootId);
    case.answers(1, read("old"));
    assert_eq!(case.intent(1), sent(0));
    case.taken_over();
    assert_eq!(case.intent(1), sent(0), "sent again, which the worker's receipt makes harmless");
    case.answers(1, ok(Evidence::Departed));
    assert!(matches!(case.intent(1), Intent::AwaitBoot { not: Some(b0), .. } if b0 == "old"));
    case.answers(1, back("new"));
    assert_eq!(case.state(1), Succeeded);
}

#[test]
fn the_old_boot_id_is_no_new_boot() {
    let mut case = Case::new(1, reboots);
    case.answers(1, read("old"));
    case.answers(1, ok(Evidence::Departed));
    let (attempt, outcome) = (case.attempt(1), back("old"));
    assert_eq!(case.refuses(Fact::Finished { attempt, outcome }), "a success is shown by what was seen");
}

#[test]
fn a_reboot_that_did_not_happen_is_entered_again_with_the_same_boot_id() {
    let mut case = Case::new(1, reboots);
    case.answers(1, read("old"));
    case.answers(1, ok(Evidence::Departed));
    case.answers(1, failed(ErrorKind::NotRebooted));
    case.wait(seconds(1));
    assert_eq!(case.intent(1), sent(1), "the receipt of the first one is void");
}

#[test]
fn a_retry_by_an_operator_sends_a_reboot_again_that_did_not_happen() {
    let mut case = Case::new(1, |plan| plan.steps = testing::plan().steps);
    case.answers(1, read("old"));
    case.answers(1, ok(Evidence::Departed));
    case.answers(1, failed(ErrorKind::NotRebooted));
    assert_eq!(case.state(1), Failed);
    case.says(Fact::Retried { target: super::case::target(1), by: by() });
    case.says(Fact::Resumed { by: by(), fresh_process: false, bundle: None });
    assert_eq!(case.intent(1), sent(1));
}

/// Back in another boot, and not as the plan expects.
fn unexpected(boot_id: &str) -> Outcome {
    let error = StepError::new(ErrorKind::UnexpectedBoot, "an old kernel");
    Outcome::Unexpected { boot_id: boot_id.to_owned(), kernel: None, error }
}

#[test]
fn a_worker_that_has_booted_what_nobody_expects_is_looked_at_again_and_never_rebooted_again() {
    let mut case = Case::new(1, reboots);
    case.answers(1, read("old"));
    case.answers(1, ok(Evidence::Departed));
    case.answers(1, unexpected("new"));
    assert_eq!(case.state(1), Failed, "another attempt cannot help");
    for boot in ["new", "newer"] {
        case.says(Fact::Retried { target: super::case::target(1), by: by() });
        case.says(Fact::Resumed { by: by(), fresh_process: false, bundle: None });
        assert!(matches!(case.intent(1), Intent::AwaitBoot { not: Some(b0), .. } if b0 == "old"));
        case.answers(1, if boot == "new" { unexpected(boot) } else { back(boot) });
    }
    assert_eq!(case.state(1), Succeeded);
    let sent = case.facts().filter(|fact| matches!(fact, Fact::Issued { intent: Intent::Reboot { .. }, .. }));
    assert_eq!(sent.count(), 1);
}

#[test]
fn what_follows_a_boot_that_is_not_as_expected_may_follow_where_that_is_ignored() {
    let mut case = Case::new(1, |plan| {
        reboots(plan);
        plan.steps[1].on_failure = crate::plan::OnStepFailure::Ignore;
        plan.steps.push(super::case::command("after"));
        plan.steps[2].needs = vec![1];
    });
    case.answers(1, read("old"));
    case.answers(1, ok(Evidence::Departed));
    case.answers(1, unexpected("new"));
    assert!(matches!(case.intent(1), Intent::Do { .. }), "the boot itself was seen");
}

#[test]
fn only_a_new_boot_is_another_one_than_expected() {
    let mut case = Case::new(1, reboots);
    case.answers(1, read("old"));
    let (attempt, outcome) = (case.attempt(1), unexpected("new"));
    let words = "only a new boot can be another one than expected";
    assert_eq!(case.refuses(Fact::Finished { attempt, outcome }), words);
    case.answers(1, ok(Evidence::Departed));
    let (attempt, outcome) = (case.attempt(1), unexpected("old"));
    assert_eq!(case.refuses(Fact::Finished { attempt, outcome }), words);
}

#[test]
fn the_kernel_before_a_reboot_is_told_to_who_waits_for_it() {
    let mut case = Case::new(1, reboots);
    let kernel = Some("6.1.0-52-amd64".to_owned());
    case.answers(1, ok(Evidence::BootId { boot_id: "old".to_owned(), kernel: kernel.clone() }));
    case.answers(1, ok(Evidence::Departed));
    case.taken_over();
    assert!(matches!(case.intent(1), Intent::AwaitBoot { kernel: before, .. } if before == kernel));
}

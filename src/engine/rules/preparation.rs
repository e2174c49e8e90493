//! Workers are prepared ahead: all of them, before the first one is touched.

use super::case::{Case, by, command, idempotent, seconds, target};
use crate::engine::PublicWorkerState::{Failed, Queued, Skipped, Succeeded};
use crate::engine::{Fact, GatePlace, GateStanding, HaltReason, RunEnd, RunPhase, RunStatus};
use crate::graph::CompileOptions;
use crate::graph::testing::{codes, fleet, gate, located, plan, prepared, worker};
use crate::plan::{Amount, OnFailure, Plan, StepKind, Undo, Weekday, Window};
use crate::policy::{Reason, Verdict};

/// `fetch` on two workers at a time, then `upgrade` on all.
fn two_at_a_time(plan: &mut Plan) {
    prepared(plan, 2, vec![command("fetch")]);
}

fn resumed() -> Fact {
    Fact::Resumed { by: by(), fresh_process: false, bundle: None }
}

#[test]
fn all_workers_are_prepared_before_the_first_is_touched() {
    let mut case = Case::new(3, two_at_a_time);
    assert_eq!((case.run().phase(), case.active()), (RunPhase::Preparing, vec![1, 2]));
    assert_eq!(case.in_flight(1), ["fetch"]);
    assert!(case.run().down().is_empty(), "nobody is down");
    let full = Verdict::Wait(Reason::Concurrency { active: 2, allowed: 2 });
    assert_eq!(case.run().verdict(target(3), case.now()), Some(full));
    case.succeeds([1]);
    assert_eq!((case.state(1), case.active()), (Queued, vec![2, 3]));
    let others = Verdict::Wait(Reason::Preparation { under_way: 2, waiting: 0 });
    assert_eq!(case.run().verdict(target(1), case.now()), Some(others));
    case.succeeds([2]);
    assert_eq!((case.active(), case.run().phase()), (vec![3], RunPhase::Preparing), "w3 is not prepared");
    assert_eq!(
        case.refuses(Fact::WaveStarted { wave: 0 }),
        "the first wave begins when all workers are prepared"
    );
    case.succeeds([3]);
    assert_eq!((case.active(), case.run().phase()), (vec![1, 2, 3], RunPhase::Rolling));
    assert_eq!(case.in_flight(2), ["upgrade"]);
    case.succeeds(1..=3);
    assert_eq!(case.run().status(), RunStatus::Finished(RunEnd::Succeeded));
}

#[test]
fn one_that_fails_to_prepare_is_not_touched_and_the_others_continue() {
    let mut case = Case::new(3, |plan| {
        two_at_a_time(plan);
        plan.rollout.max_failures = located(Amount::Count(1));
    });
    case.fails(1);
    assert_eq!((case.state(1), case.run().failures()), (Failed, (1, 1)));
    assert!(case.run().failed_to_prepare(target(1)) && case.run().down().is_empty());
    case.succeeds([2, 3]);
    assert_eq!(case.active(), [2, 3]);
    case.succeeds([2, 3]);
    assert_eq!(case.run().status(), RunStatus::Finished(RunEnd::Failed));
    assert_eq!((case.state(1), case.state(2)), (Failed, Succeeded));
}

#[test]
fn too_many_that_fail_to_prepare_halt_the_run_before_anybody_is_touched() {
    let mut case = Case::new(3, two_at_a_time);
    case.fails(1);
    assert_eq!(case.run().phase(), RunPhase::Halted);
    assert_eq!(case.active(), [2], "what is under way is finished");
    case.succeeds([2]);
    let halted = HaltReason::TooManyFailures { failed: 1, allowed: 0 };
    assert_eq!(case.run().status(), RunStatus::Halted(halted));
    assert_eq!((case.state(2), case.state(3), case.active().len()), (Queued, Queued, 0));

    case.says(Fact::Retried { target: target(1), by: by() });
    case.says(resumed());
    assert_eq!((case.active(), case.in_flight(1)), (vec![1, 3], vec!["fetch"]), "w2 is prepared");
    case.succeeds([1, 3]);
    assert_eq!(case.active(), [1, 2, 3]);
}

#[test]
fn a_worker_that_is_skipped_is_not_waited_for() {
    let mut case = Case::new(3, two_at_a_time);
    case.fails(1);
    case.says(Fact::Skipped { target: target(1), by: by() });
    case.says(Fact::Skipped { target: target(3), by: by() });
    case.says(resumed());
    case.succeeds([2]);
    assert_eq!((case.state(1), case.state(3), case.active()), (Skipped, Skipped, vec![2]));
    assert_eq!(case.in_flight(2), ["upgrade"]);
}

/// The gate before the first wave is measured when all are prepared, and holds it.
#[test]
fn the_first_wave_waits_for_its_gate_behind_the_preparation() {
    let mut case = Case::new(2, |plan| {
        two_at_a_time(plan);
        plan.rollout.gates.before_wave = vec![gate()];
    });
    let place = GatePlace::BeforeWave { wave: 0 };
    let measured = |standing| Fact::GateMeasured { place, standing, says: String::new() };
    assert!(case.run().wants_measured(case.now()).is_empty(), "not before all are prepared");
    case.refuses(measured(GateStanding::Passed));
    case.succeeds([1, 2]);
    assert_eq!((case.active().len(), case.run().wants_measured(case.now())), (0, vec![place]));
    let waits_for_others = Verdict::Wait(Reason::Preparation { under_way: 0, waiting: 0 });
    assert_ne!(case.run().verdict(target(1), case.now()), Some(waits_for_others));
    case.says(measured(GateStanding::Failed));
    assert!(matches!(case.run().status(), RunStatus::Halted(HaltReason::GateFailed { .. })));
    case.says(resumed());
    assert_eq!(case.run().wants_measured(case.now()), [place], "it is measured anew");
    case.says(measured(GateStanding::Passed));
    assert_eq!((case.active(), case.in_flight(1)), (vec![1, 2], vec!["upgrade"]));
}

#[test]
fn one_that_is_retried_behind_the_first_wave_is_prepared_in_its_turn() {
    let mut case = Case::new(2, |plan| {
        two_at_a_time(plan);
        plan.rollout.max_failures = located(Amount::Count(1));
    });
    case.fails(1);
    case.succeeds([2]);
    assert_eq!((case.active(), case.run().phase()), (vec![2], RunPhase::Rolling));
    case.says(Fact::Retried { target: target(1), by: by() });
    assert_eq!(case.in_flight(1), ["fetch"]);
    case.succeeds([1]);
    assert_eq!(case.in_flight(1), ["upgrade"]);
}

#[test]
fn another_process_repeats_what_was_under_way_and_nothing_that_was_done() {
    let mut case = Case::new(3, |plan| {
        two_at_a_time(plan);
        idempotent(plan);
    });
    case.succeeds([1]);
    case.taken_over();
    assert_eq!((case.state(1), case.active()), (Queued, vec![2, 3]));
    assert_eq!((case.in_flight(2), case.in_flight(3)), (vec!["fetch"], vec!["fetch"]));
    case.succeeds([2, 3]);
    assert_eq!(case.in_flight(1), ["upgrade"]);
}

#[test]
fn a_pause_and_a_signal_hold_back_who_is_not_prepared() {
    let mut case = Case::new(3, two_at_a_time);
    case.says(Fact::Paused { by: by(), reason: "lunch".to_owned() });
    case.succeeds([1, 2]);
    assert_eq!((case.active().len(), case.run().status()), (0, RunStatus::Paused("lunch".to_owned())));
    case.says(resumed());
    assert_eq!(case.active(), [3]);
    case.says(Fact::Interrupted { by: "SIGINT".to_owned() });
    case.succeeds([3]);
    assert_eq!(case.run().status(), RunStatus::Interrupted);
    case.says(resumed());
    assert_eq!(case.active(), [1, 2, 3], "it was only to be said that w3 is prepared");
}

#[test]
fn a_revert_takes_back_what_prepared_a_worker_that_failed() {
    let mut case = Case::new(1, |plan| {
        let mut fetch = command("fetch");
        let StepKind::Run(run) = &mut fetch.kind else { panic!("a command") };
        run.undo = Undo::Command("rm".to_owned());
        prepared(plan, 2, vec![fetch]);
        plan.rollout.on_failure = OnFailure::Revert;
        plan.rollout.max_failures = located(Amount::Count(1));
    });
    case.fails(1);
    assert!(case.intent(1).is_undo());
    case.succeeds([1]);
    assert!(case.run().failed_to_prepare(target(1)));
    assert_eq!(case.run().status(), RunStatus::Finished(RunEnd::Failed));
}

/// At midnight, with a window from one o'clock on.
fn at_night(plan: &mut Plan, outside_window: bool) {
    use Weekday::{Fri, Mon, Sat, Sun, Thu, Tue, Wed};
    two_at_a_time(plan);
    let days = [Mon, Tue, Wed, Thu, Fri, Sat, Sun].map(Into::into).to_vec();
    plan.rollout.windows = vec![located(Window { timezone: "UTC".to_owned(), open: 60, close: 120, days })];
    plan.prepare.as_mut().unwrap().outside_window = outside_window;
}

#[test]
fn workers_are_prepared_inside_the_window_unless_the_plan_says_otherwise() {
    let mut case = Case::new(2, |plan| at_night(plan, false));
    assert!(case.active().is_empty());
    case.wait(seconds(3600));
    assert_eq!((case.active(), case.in_flight(1)), (vec![1, 2], vec!["fetch"]));

    let mut case = Case::new(2, |plan| at_night(plan, true));
    assert_eq!((case.active(), case.in_flight(1)), (vec![1, 2], vec!["fetch"]));
    case.succeeds([1, 2]);
    assert!(case.active().is_empty(), "they wait for the window with the rest");
    case.wait(seconds(3600));
    assert_eq!(case.in_flight(1), ["upgrade"]);
}

#[test]
fn a_step_that_takes_its_worker_down_cannot_prepare_it() {
    let mut plan = plan();
    plan.steps = vec![command("upgrade")];
    prepared(&mut plan, 1, vec![command("fetch")]);
    let StepKind::Run(fetch) = &mut plan.steps[0].kind else { panic!("a command") };
    fetch.disturbs = true;
    let fleet = fleet(vec![worker("w1", &[], &[])], &[]);
    assert_eq!(codes(&plan, &fleet, &CompileOptions::default()), ["not_in_prepare"]);
}

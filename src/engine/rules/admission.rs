//! Who may start.

use super::case::{Case, seconds, target};
use crate::bucket::{JobIx, WorkerIx};
use crate::engine::{Fact, GatePlace, GateStanding, HaltReason, Millis, RunPhase, RunStatus};
use crate::graph::testing::{budget, gate, located, spread};
use crate::plan::{Amount, BudgetBound, Concurrency, WaveSize, Weekday, Window};
use crate::policy::{Reason, Verdict};

#[test]
fn at_most_so_many_workers_are_active() {
    let mut case = Case::new(4, |plan| {
        plan.rollout.concurrency.value = Concurrency::AtMost(Amount::Count(2));
    });
    assert_eq!(case.active(), [1, 2]);
    let wait = Verdict::Wait(Reason::Concurrency { active: 2, allowed: 2 });
    assert_eq!(case.run().verdict(target(3), case.now()), Some(wait));
    case.succeeds([2]);
    assert_eq!(case.active(), [1, 3]);
}

#[test]
fn a_wave_begins_when_the_one_before_has_ended_and_soaked() {
    let mut case = Case::new(3, |plan| {
        plan.rollout.waves = vec![located(WaveSize::Of(Amount::Count(1))), located(WaveSize::Rest)];
        plan.rollout.soak = seconds(60);
    });
    assert_eq!(case.active(), [1], "there is room for three, but the first wave is one worker");
    case.succeeds([1]);
    assert_eq!(case.run().phase(), RunPhase::Soaking);
    case.wait(seconds(59));
    assert!(case.active().is_empty());
    case.wait(seconds(1));
    assert_eq!(case.active(), [2, 3]);
}

#[test]
fn so_many_failure_domains_are_down_at_a_time() {
    let zone = |worker| if worker <= 2 { "zone=a" } else { "zone=b" };
    let mut case = Case::with_tags(3, zone, |plan| plan.rollout.spread = spread("zone", 1));
    assert_eq!(case.active(), [1, 2], "w3 is in another zone");
    case.succeeds([1]);
    assert_eq!(case.active(), [2]);
    case.succeeds([2]);
    assert_eq!(case.active(), [3]);
}

#[test]
fn a_job_keeps_its_budget_and_is_looked_at_before_it_is_spent() {
    let keep_two = BudgetBound::MinAvailable(Amount::Count(2));
    let mut case = Case::new(3, |plan| plan.rollout.budgets = vec![budget("api", keep_two)]);
    assert!(case.active().is_empty(), "nobody knows yet how the job is");
    case.observes([]);
    assert_eq!(case.active(), [1]);
    case.succeeds([1]);
    case.observes([]);
    assert_eq!(case.active(), [2]);
}

#[test]
fn a_round_is_written_as_what_differs_from_the_last_one_also_where_that_is_a_whole_list() {
    let keep_one = BudgetBound::MinAvailable(Amount::Count(1));
    let mut case = Case::new(4, |plan| plan.rollout.budgets = vec![budget("api", keep_one)]);
    let (jobs, on) = (vec![JobIx(0)], |worker: u32| (WorkerIx(worker - 1), JobIx(0)));
    let changes = |added, removed| Fact::ObservedChanges { jobs: vec![JobIx(0)], added, removed, took: 0 };
    // As earlier versions have each.
    case.says(Fact::Observed { jobs: jobs.clone(), unavailable: vec![on(3), on(4)], took: 0 });
    let known = case.run().clone();
    assert_eq!(known.observation(jobs.clone(), vec![on(4), on(3)], 0), changes(Vec::new(), Vec::new()));
    assert_eq!(known.observation(jobs.clone(), vec![on(4), on(2)], 0), changes(vec![on(2)], vec![on(3)]));
    let list = |unavailable| Fact::Observed { jobs: vec![JobIx(0)], unavailable, took: 0 };
    assert_eq!(known.observation(jobs, Vec::new(), 0), list(Vec::new()), "that is shorter");
    let after = |fact: Fact| {
        let mut run = known.clone();
        run.replay(case.now(), &fact).unwrap();
        run
    };
    let by_list = after(list(vec![on(2), on(4)]));
    assert!(by_list == after(changes(vec![on(2)], vec![on(3)])) && by_list != known);
    // What no fleet has changes nothing.
    let nowhere = vec![(WorkerIx(u32::MAX), JobIx(0)), (WorkerIx(0), JobIx(u32::MAX))];
    assert!(after(changes(nowhere.clone(), nowhere)) == known);
}

#[test]
fn a_sick_peer_counts_against_the_budget() {
    let keep_two = BudgetBound::MinAvailable(Amount::Count(2));
    let mut case = Case::new(3, |plan| plan.rollout.budgets = vec![budget("api", keep_two)]);
    case.observes([3]);
    assert_eq!(case.active(), [3], "only the sick one takes nothing away");
}

#[test]
fn a_failed_worker_holds_its_budget() {
    let keep_two = BudgetBound::MinAvailable(Amount::Count(2));
    let mut case = Case::new(3, |plan| {
        plan.rollout.budgets = vec![budget("api", keep_two)];
        plan.rollout.max_failures = located(Amount::Count(2));
    });
    case.observes([]);
    case.fails(1);
    assert!(case.active().is_empty());
    let halted = matches!(case.run().status(), RunStatus::Halted(HaltReason::NobodyAdmissible { .. }));
    assert!(halted, "waiting would not help");
}

#[test]
fn workers_start_inside_the_window_only() {
    use Weekday::{Fri, Mon, Sat, Sun, Thu, Tue, Wed};
    // It is midnight.
    let mut case = Case::new(1, |plan| {
        plan.rollout.windows = vec![located(Window {
            timezone: "UTC".to_owned(),
            open: 60,
            close: 120,
            days: [Mon, Tue, Wed, Thu, Fri, Sat, Sun].map(Into::into).to_vec(),
        })];
    });
    assert!(case.active().is_empty());
    let hour: Millis = 3_600_000;
    assert_eq!(case.timers()[0].0, hour, "it asks again when the window opens");
    case.wait(seconds(3600));
    assert_eq!(case.active(), [1]);
}

#[test]
fn nobody_starts_before_the_guard_has_passed_and_a_failure_halts() {
    let mut case = Case::new(3, |plan| {
        plan.rollout.gates.guard = vec![gate()];
        plan.rollout.concurrency.value = Concurrency::AtMost(Amount::Count(2));
    });
    let guard = |standing| {
        let says = "0.2 is not at most 0.05".to_owned();
        Fact::GateMeasured { place: GatePlace::Guard, standing, says }
    };
    assert!(case.active().is_empty() && case.run().status() == RunStatus::Busy);
    assert_eq!(case.run().wants_measured(case.now()), [GatePlace::Guard]);
    let rule = case.refuses(Fact::WorkerAdmitted { target: target(1) });
    assert_eq!(rule, "nobody is admitted before the guard has passed");
    case.says(guard(GateStanding::Waiting));
    assert!(case.active().is_empty());
    case.says(guard(GateStanding::Passed));
    assert_eq!(case.active(), [1, 2]);
    // Who is under way goes to the end, whatever the guard says.
    case.says(guard(GateStanding::Failed));
    assert_eq!((case.active(), case.run().phase()), (vec![1, 2], RunPhase::Halted));
    case.succeeds([1, 2]);
    assert!(matches!(case.run().status(), RunStatus::Halted(HaltReason::GateFailed { .. })));
    // What was measured before a resume says nothing.
    case.taken_over();
    assert!(case.active().is_empty());
    case.says(guard(GateStanding::Passed));
    assert_eq!(case.active(), [3]);
}

#[test]
fn a_pass_of_long_ago_lets_nobody_start() {
    let mut case = Case::new(2, |plan| {
        plan.rollout.gates.guard = vec![gate()];
        plan.rollout.concurrency.value = Concurrency::AtMost(Amount::Count(1));
    });
    let passed = || Fact::GateMeasured {
        place: GatePlace::Guard,
        standing: GateStanding::Passed,
        says: String::new(),
    };
    case.says(passed());
    case.wait(seconds(600));
    case.succeeds([1]);
    assert!(case.active().is_empty() && case.run().guard_is_asked());
    case.says(passed());
    assert_eq!(case.active(), [2]);
}

#[test]
fn a_wave_begins_and_ends_when_its_gates_have_passed() {
    let mut case = Case::new(2, |plan| {
        plan.rollout.waves = vec![located(WaveSize::Of(Amount::Count(1))), located(WaveSize::Rest)];
        plan.rollout.soak = seconds(60);
        plan.rollout.gates.before_wave = vec![gate()];
        plan.rollout.gates.after_wave = vec![gate()];
    });
    let passed = |place| Fact::GateMeasured { place, standing: GateStanding::Passed, says: String::new() };
    let (before, after) = (|wave| GatePlace::BeforeWave { wave }, |wave| GatePlace::AfterWave { wave });
    assert_eq!(case.run().wants_measured(case.now()), [before(0)]);
    case.refuses(passed(before(1)));
    case.refuses(passed(after(0)));
    case.refuses(passed(GatePlace::Guard));
    case.says(passed(before(0)));
    assert_eq!(case.active(), [1]);
    case.succeeds([1]);
    assert_eq!(case.run().wants_measured(case.now()), [after(0)]);
    case.says(passed(after(0)));
    // The soak comes first.
    assert!(case.run().wants_measured(case.now()).is_empty());
    case.wait(seconds(60));
    assert_eq!(case.run().wants_measured(case.now()), [before(1)]);
    case.says(passed(before(1)));
    case.succeeds([2]);
    assert_eq!(case.run().phase(), RunPhase::Rolling);
    case.says(passed(after(1)));
    assert_eq!(case.run().phase(), RunPhase::Finished);
}

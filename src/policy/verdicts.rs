//! Verdicts one by one, with their sentences.

use super::*;
use crate::bucket::{JobIx, WorkerIx};
use crate::graph::testing::{budget, compiled, fleet, located, plan, spread, worker};
use crate::graph::{RolloutGraph, TargetIx};
use crate::plan::{Amount, BudgetBound, Concurrency, Plan, WaveSize, Weekday, Window};

const API: JobIx = JobIx(0);

/// Three workers in two zones that host `api`.
fn graph(change: impl FnOnce(&mut Plan)) -> RolloutGraph {
    let mut plan = plan();
    plan.rollout.concurrency = located(Concurrency::AtMost(Amount::Count(2)));
    change(&mut plan);
    let workers = vec![
        worker("10.0.0.1", &["api"], &["zone=a"]),
        worker("10.0.0.2", &["api"], &["zone=b"]),
        worker("10.0.0.3", &["api"], &["zone=b"]),
    ];
    compiled(&plan, &fleet(workers, &["api"]))
}

fn describe(
    graph: &RolloutGraph,
    admission: &Admission,
    target: u32,
    now_ms: i64,
    conditions: &Conditions,
) -> String {
    admission.verdict(TargetIx(target), now_ms, conditions).describe(graph)
}

#[test]
fn what_binds_all_comes_first() {
    let graph = graph(|plan| {
        plan.rollout.waves = vec![located(WaveSize::Of(Amount::Count(1))), located(WaveSize::Rest)];
    });
    let mut admission = Admission::new(&graph);
    let mut now = Conditions::default();
    assert_eq!(describe(&graph, &admission, 0, 0, &now), "may start now");
    assert_eq!(describe(&graph, &admission, 1, 0, &now), "waits: wave 2 has not begun; wave 1 is under way");
    now.current_wave = 1;
    admission.admitted(TargetIx(1));
    admission.admitted(TargetIx(2));
    let full = "waits: 2 of 2 places are taken; unblocks when one of them finishes";
    assert_eq!(describe(&graph, &admission, 0, 0, &now), full);
    now.paused = true;
    assert!(describe(&graph, &admission, 0, 0, &now).starts_with("waits: the run is paused"));
    now.failures = 1;
    assert!(
        describe(&graph, &admission, 0, 0, &now)
            .starts_with("will not start: 1 failed, and max_failures is 0")
    );
    assert_eq!(admission.active(), 2);
    admission.failed(TargetIx(1), true);
    assert_eq!((admission.active(), admission.down_now().len()), (1, 2), "a failed worker holds no place");
}

/// Both may be back, and it is not known: they do not wait for each other, and are not taken down together.
#[test]
fn workers_that_were_away_start_again_one_after_the_other() {
    let budget = budget("api", BudgetBound::MinAvailable(Amount::Count(2)));
    let budgeted = graph(|plan| plan.rollout.budgets = vec![budget]);
    let spreading = graph(|plan| plan.rollout.spread = spread("zone", 1));
    for graph in [budgeted, spreading] {
        let mut admission = Admission::new(&graph);
        let now = Conditions::default();
        admission.unreachable(TargetIx(0));
        admission.unreachable(TargetIx(1));
        assert!(describe(&graph, &admission, 0, 0, &now).starts_with("may start now"));
        admission.admitted(TargetIx(0));
        assert!(describe(&graph, &admission, 1, 0, &now).starts_with("waits: "));
        // One that this run has taken down takes nothing new.
        admission.failed(TargetIx(0), true);
        assert!(describe(&graph, &admission, 0, 0, &now).starts_with("may start now"));
        assert!(describe(&graph, &admission, 1, 0, &now).starts_with("waits: "));
        admission.succeeded(TargetIx(0));
        assert!(describe(&graph, &admission, 1, 0, &now).starts_with("may start now"));
    }
}

#[test]
fn budgets_wait_for_those_that_hold_them() {
    let graph =
        graph(|plan| plan.rollout.budgets = vec![budget("api", BudgetBound::MinAvailable(Amount::Count(2)))]);
    let mut admission = Admission::new(&graph);
    let now = Conditions::default();
    assert_eq!(
        describe(&graph, &admission, 0, 0, &now),
        "waits: the health of `api` has to be checked first"
    );
    admission.observed(&[API], &[], 0);
    assert_eq!(describe(&graph, &admission, 0, OBSERVATION_FRESH_MS, &now), "may start now");
    let stale = admission.verdict(TargetIx(0), OBSERVATION_FRESH_MS + 1, &now);
    assert!(matches!(stale, Verdict::Wait(Reason::Observation { .. })));
    admission.admitted(TargetIx(1));
    let held = "waits: job `api` has 2 of 3 available and wants 2; unblocks when 10.0.0.2 finishes";
    assert_eq!(describe(&graph, &admission, 0, 0, &now), held);
    assert_eq!(describe(&graph, &admission, 0, 99_999, &now), held, "no observation could help");
    // Back up, and not yet seen: observed before anything relies on it.
    admission.succeeded(TargetIx(1));
    assert!(matches!(admission.verdict(TargetIx(0), 0, &now), Verdict::Wait(Reason::Observation { .. })));
    admission.observed(&[API], &[(WorkerIx(1), API)], 1);
    let sick =
        "waits: job `api` has 2 of 3 available and wants 2; unblocks when its health checks pass again";
    assert_eq!(describe(&graph, &admission, 0, 1, &now), sick);
    assert_eq!(admission.verdict(TargetIx(1), 1, &now), Verdict::Admit, "the sick one itself takes nothing");
    admission.observed(&[API], &[], 0);
    assert_eq!(describe(&graph, &admission, 0, 1, &now), sick, "an older round does not count");
}

#[test]
fn a_domain_is_held_until_its_last_worker_is_back() {
    let graph = graph(|plan| plan.rollout.spread = spread("zone", 1));
    let mut admission = Admission::new(&graph);
    let now = Conditions::default();
    admission.admitted(TargetIx(1));
    assert_eq!(admission.verdict(TargetIx(2), 0, &now), Verdict::Admit, "the same zone");
    let held = "waits: at most 1 zone at a time may be disturbed, and it is in `a`; held: `b` by 10.0.0.2";
    assert_eq!(describe(&graph, &admission, 0, 0, &now), held);
    admission.unreachable(TargetIx(2));
    admission.succeeded(TargetIx(1));
    assert_eq!(admission.domains_held().collect::<Vec<_>>(), ["b"]);
    assert!(matches!(admission.verdict(TargetIx(0), 0, &now), Verdict::Wait(Reason::Spread { .. })));
    admission.succeeded(TargetIx(2));
    assert_eq!(admission.verdict(TargetIx(0), 0, &now), Verdict::Admit);
}

#[test]
fn the_window_holds_back_who_does_not_fit() {
    // 2026-11-20 is a Friday.
    let at = |text: &str| text.parse::<jiff::Timestamp>().unwrap().as_millisecond();
    let graph = graph(|plan| {
        let timezone = "Europe/Berlin".to_owned();
        let days = vec![Weekday::Fri.into()];
        plan.rollout.windows = vec![located(Window { timezone, open: 22 * 60, close: 60, days })];
    });
    let admission = Admission::new(&graph);
    let mut now = Conditions::default();
    let closed = "waits: the window is closed; it opens at 2026-11-20 22:00 +01:00";
    assert_eq!(describe(&graph, &admission, 0, at("2026-11-20T12:00:00Z"), &now), closed);
    let half_past = at("2026-11-20T23:30:00Z");
    assert_eq!(describe(&graph, &admission, 0, half_past, &now), "may start now");
    now.median_worker_ms = Some(45 * 60_000);
    let late =
        "waits: a worker takes 45m and the window closes in 30m; it opens again at 2026-11-27 22:00 +01:00";
    assert_eq!(describe(&graph, &admission, 0, half_past, &now), late);
    now.median_worker_ms = Some(4 * 3_600_000);
    assert!(matches!(
        admission.verdict(TargetIx(0), half_past, &now),
        Verdict::Refuse(Reason::WindowTooShort { .. })
    ));
}

#[test]
fn the_queue_says_whom_it_waits_with_and_asks_for_all_observations_at_once() {
    let graph =
        graph(|plan| plan.rollout.budgets = vec![budget("*", BudgetBound::MaxUnavailable(Amount::Count(1)))]);
    let mut admission = Admission::new(&graph);
    let mut queue = Queue::new(&graph, &admission);
    let now = Conditions::default();
    let wanted = Pick::Wait { target: TargetIx(0), reason: Reason::Observation { jobs: vec![API] } };
    assert_eq!(queue.pick(&admission, 0, &now), wanted);
    admission.observed(&[API], &[], 0);
    assert_eq!(queue.pick(&admission, 0, &now), Pick::Admit(TargetIx(0)));
    admission.admitted(TargetIx(0));
    assert!(matches!(
        queue.pick(&admission, 0, &now),
        Pick::Wait { target: TargetIx(1), reason: Reason::Budget { .. } }
    ));
    let halted = Conditions { failures: 1, ..now };
    assert!(matches!(queue.pick(&admission, 0, &halted), Pick::Refuse { target: TargetIx(1), .. }));
    assert!(queue.remove(TargetIx(1)) && queue.remove(TargetIx(2)) && !queue.remove(TargetIx(2)));
    assert_eq!(queue.pick(&admission, 0, &now), Pick::Empty);
    queue.push(TargetIx(0));
    admission.failed(TargetIx(0), true);
    assert_eq!(
        queue.pick(&admission, 99_999, &now),
        Pick::Admit(TargetIx(0)),
        "a retry needs no new place in a budget"
    );
}

//! What counts, what falls and what does not, and how it is written; one rule an example.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use proptest::prelude::*;

use super::bucket::LastFinished;
use super::counted::BOUNDS;
use super::*;
use crate::engine::{
    AttemptSpec, Fact, Intent, Millis, Outcome, PublicRunState, PublicWorkerState, Resolution, Stamped,
};
use crate::graph::testing::{command, compiled, fleet, located, plan, worker};
use crate::graph::{Lane, RolloutGraph, TargetIx};
use crate::plan::{Amount, Concurrency};
use crate::report::testing::{START, play, some_fail};
use crate::timeline::WaitKind;

fn graph(workers: usize) -> Arc<RolloutGraph> {
    let mut plan = plan();
    plan.rollout.concurrency = located(Concurrency::AtMost(Amount::Count(1)));
    let hosts = (1..=workers).map(|n| worker(&format!("w{n}"), &[], &[])).collect();
    Arc::new(compiled(&plan, &fleet(hosts, &[])))
}

fn fold(graph: &Arc<RolloutGraph>, facts: &[Stamped]) -> RunTally {
    let mut tally = RunTally::new(graph);
    for stamped in facts {
        tally.take(stamped).unwrap();
    }
    tally
}

fn steps(counted: &Counted) -> Vec<(&str, &'static str, u64, Millis)> {
    let steps = counted.steps.iter();
    steps.map(|((kind, how), all)| (kind.as_ref(), how.as_str(), all.count(), all.sum)).collect()
}

/// As an answer that is lost by a worker's first reboot, and by nobody else's.
fn lost(spec: &AttemptSpec) -> Option<Outcome> {
    let first = matches!(spec.lane, Lane::Worker(TargetIx(0)));
    (first && matches!(spec.intent, Intent::Reboot { .. })).then(|| Outcome::unknown("cut"))
}

#[test]
fn attempts_are_counted_by_kind_and_end_and_a_boot_id_that_was_read_is_none() {
    let graph = graph(3);
    let facts = play(Arc::clone(&graph), some_fail);
    // By the facts themselves: from each beginning to its end.
    let mut issued = HashMap::new();
    let mut took: BTreeMap<(&str, &str), Vec<Millis>> = BTreeMap::new();
    for Stamped { at, fact, .. } in &facts {
        match fact {
            Fact::Issued { attempt, intent: Intent::Reboot { .. }, .. } => {
                issued.insert(*attempt, ("reboot", *at));
            }
            Fact::Issued { attempt, intent: Intent::AwaitBoot { .. }, .. } => {
                issued.insert(*attempt, ("wait_for_ssh", *at));
            }
            Fact::Finished { attempt, outcome } => {
                if let Some((kind, since)) = issued.get(attempt) {
                    let how = if matches!(outcome, Outcome::Ok { .. }) { "ok" } else { "failed" };
                    took.entry((kind, how)).or_default().push(at - since);
                }
            }
            _ => {}
        }
    }
    let mut expected: Vec<_> = took
        .into_iter()
        .map(|((kind, how), took)| (kind, how, took.len() as u64, took.iter().sum::<Millis>()))
        .collect();
    let tally = fold(&graph, &facts);
    let mut counted = steps(tally.counted());
    counted.sort_unstable();
    expected.sort_unstable();
    assert_eq!(counted, expected);
    let counts: Vec<_> = expected.into_iter().map(|(kind, how, count, _)| (kind, how, count)).collect();
    assert_eq!(counts, [("reboot", "ok", 2), ("wait_for_ssh", "failed", 1), ("wait_for_ssh", "ok", 1)]);
    let workers = tally.workers();
    let states = [PublicWorkerState::Succeeded, PublicWorkerState::Failed, PublicWorkerState::Queued];
    assert_eq!(states.map(|state| workers[&state]), [1, 1, 1]);
    assert_eq!(workers.len(), 3);
}

#[test]
fn a_bound_is_the_longest_of_its_bucket() {
    let mut counted = Counted::default();
    for took in [0, 100, 101, 250, 3_600_000, 3_600_001] {
        counted.step("run", Ended::Ok, took);
    }
    let durations = &counted.steps[&("run".into(), Ended::Ok)];
    let mut expected = [0; BOUNDS.len() + 1];
    (expected[0], expected[1], expected[14], expected[15]) = (2, 2, 1, 1);
    assert_eq!((durations.buckets, durations.count()), (expected, 6));
    assert!(BOUNDS.windows(2).all(|pair| pair[0] < pair[1]));
    let mut twice = counted.clone();
    twice.add(&counted);
    assert_eq!(twice.steps[&("run".into(), Ended::Ok)].count(), 12);
}

#[test]
fn the_next_in_line_waits_until_it_is_admitted_and_nobody_waits_in_the_end() {
    let graph = graph(3);
    let facts = play(Arc::clone(&graph), |_| None);
    let admitted: Vec<Millis> =
        (facts.iter()).filter(|of| matches!(of.fact, Fact::WorkerAdmitted { .. })).map(|of| of.at).collect();
    let tally = fold(&graph, &facts);
    let queue = Wait::Queue(WaitKind::Concurrency);
    // One after the other: the second waits for the first, the third for the second.
    assert_eq!(tally.counted().waited[&queue], admitted[2] - admitted[0]);
    assert_eq!(tally.waits(), BTreeMap::new());
    let second = facts.iter().position(|of| matches!(of.fact, Fact::Issued { .. })).unwrap();
    let waiting = fold(&graph, &facts[..=second]);
    assert_eq!(waiting.waits(), BTreeMap::from([(queue, 1)]));
    assert_eq!(waiting.counted().waited.get(&queue), None, "it is not over");
}

#[test]
fn the_time_without_a_controller_is_nobodys_wait_and_no_attempt() {
    let graph = graph(2);
    let mut facts = play(Arc::clone(&graph), |_| None);
    let issued = facts.iter().position(|of| matches!(of.fact, Fact::Issued { .. })).unwrap();
    let lost = match facts[issued].fact {
        Fact::Issued { attempt, .. } => attempt,
        _ => unreachable!(),
    };
    facts.truncate(issued + 1);
    let last = facts[issued].clone();
    let before = fold(&graph, &facts);
    let later = |more: u64, fact| Stamped { seq: last.seq + more, at: last.at + 3_600_000, epoch: 2, fact };
    facts.push(later(1, Fact::Resumed { by: "anna@laptop".into(), fresh_process: true, bundle: None }));
    facts.push(later(2, Fact::InDoubtResolved { attempt: lost, how: Resolution::Repeat }));
    let tally = fold(&graph, &facts);
    let waited: Millis = tally.counted().waited.values().sum();
    let waited_before: Millis = before.queue_since().map_or(0, |since| last.at - since);
    assert_eq!((waited, steps(tally.counted())), (waited_before, vec![]));
}

#[test]
fn a_command_whose_answer_was_lost_waits_for_a_decision() {
    let mut plan = plan();
    plan.steps = vec![command("patch")];
    let graph = Arc::new(compiled(&plan, &fleet(vec![worker("w1", &[], &[])], &[])));
    let mut facts = play(Arc::clone(&graph), |_| Some(Outcome::unknown("cut")));
    let last = facts.last().unwrap().clone();
    let Fact::InDoubt { attempt } = last.fact else { panic!("{last:?}") };
    let tally = fold(&graph, &facts);
    assert_eq!(tally.waits(), BTreeMap::from([(Wait::Decision, 1)]));
    let counted = steps(tally.counted());
    assert_eq!(counted.iter().map(|(kind, how, ..)| (*kind, *how)).collect::<Vec<_>>(), [("run", "unknown")]);
    let fact = Fact::InDoubtResolved { attempt, how: Resolution::Done };
    facts.push(Stamped { seq: last.seq + 1, at: last.at + 5_000, epoch: 1, fact });
    let tally = fold(&graph, &facts);
    assert_eq!((tally.waits(), tally.counted().waited[&Wait::Decision]), (BTreeMap::new(), 5_000));
}

proptest! {
    /// Also where clocks are set back, answers are lost and workers fail.
    #[test]
    fn what_is_counted_never_falls(
        workers in 1usize..5,
        shifts in proptest::collection::vec(-40_000i64..4_000, 1..40),
        fails in 0..3,
    ) {
        let graph = graph(workers);
        let facts = match fails {
            0 => play(Arc::clone(&graph), |_| None),
            1 => play(Arc::clone(&graph), some_fail),
            _ => play(Arc::clone(&graph), lost),
        };
        let mut tally = RunTally::new(&graph);
        let mut before = BTreeMap::new();
        for (stamped, shift) in facts.iter().zip(shifts.iter().cycle()) {
            let at = stamped.at + shift;
            // A clock that jumps may break rules of time; then the fact is refused, and nothing has changed.
            let _ = tally.take(&Stamped { at, ..stamped.clone() });
            let now: BTreeMap<String, i64> = tally.counted().rows().into_iter().collect();
            for (name, value) in &before {
                prop_assert!(now.get(name) >= Some(value), "{name} fell at {}", stamped.seq);
            }
            before = now;
        }
        // As rows they are the same, and two of them add up.
        let counted = tally.counted();
        prop_assert_eq!(&Counted::of_rows(&counted.rows()), counted);
        let mut twice = counted.clone();
        twice.add(counted);
        let doubled: Vec<_> = counted.rows().into_iter().map(|(name, value)| (name, 2 * value)).collect();
        prop_assert_eq!(Counted::of_rows(&doubled), twice);
    }

    /// Whatever another version has written, or somebody else.
    #[test]
    fn any_row_is_taken_or_left(rows in proptest::collection::vec(("(step|wait)?( [a-z_]{1,9}| [0-9]{1,20}){0,4}", any::<i64>()), 0..9)) {
        let counted = Counted::of_rows(&rows);
        let now = BucketNow { counted, ..BucketNow::default() };
        prop_assert!(samples(&prometheus_text(now)).values().all(|value| *value >= 0.0));
    }

    /// However plans are named: no name ends a label, and there are never more than so many.
    #[test]
    fn any_name_is_a_label(names in proptest::collection::vec(any::<String>(), 1..40), bucket in any::<String>()) {
        let runs = names.iter().enumerate().map(|(at, name)| finished(name, at as Millis)).collect();
        let now = BucketNow { bucket, runs, ..BucketNow::default() };
        for text in [openmetrics(now.clone()), prometheus_text(now)] {
            let samples = samples(&text);
            let plans = samples.keys().filter(|series| series.starts_with("maand_last_finished_run_outcome")).count();
            prop_assert!((3..=21 * 3).contains(&plans), "{}", plans);
        }
    }
}

fn finished(plan: &str, at: Millis) -> RunNow {
    RunNow {
        plan: plan.to_owned(),
        state: PublicRunState::Succeeded,
        started_at: START,
        finished_at: Some(START + at),
        workers: HashMap::new(),
        waits: BTreeMap::new(),
    }
}

/// Series and values of a text; each line is looked at, and no series is there twice.
fn samples(text: &str) -> BTreeMap<String, f64> {
    let mut found = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
        assert!(series.starts_with("maand_") && series.ends_with('}'), "{line}");
        let value = value.parse().unwrap_or_else(|_| panic!("{line}"));
        // Each format has its own way with bounds of buckets, and its own place for them.
        let series = match series.split_once("le=\"") {
            Some((before, rest)) => {
                let (bound, after) = rest.split_once('"').unwrap();
                let others = format!("{before}{after}").replace(",,", ",").replace(",}", "}");
                format!("{others} {}", bound.parse::<f64>().unwrap())
            }
            None => series.to_owned(),
        };
        assert!(found.insert(series, value).is_none(), "twice: {line}");
    }
    found
}

#[test]
fn plans_beyond_the_last_twenty_are_one() {
    let mut runs: Vec<_> = (0..30).map(|at| finished(&format!("plan-{at:02}"), at * 1000)).collect();
    runs.push(RunNow { state: PublicRunState::Failed, ..finished("plan-29", 1) });
    // One with the very name of the others, and newer than all of them.
    runs.push(RunNow { state: PublicRunState::Aborted, ..finished("other", 99_000) });
    let now = BucketNow { runs, ..BucketNow::default() };
    let last = now.last_finished();
    assert_eq!(last.len(), 21);
    let newest = |plan: &str| last.get(plan).map(|LastFinished { at, state }| (at - START, *state));
    assert_eq!(newest("plan-29"), Some((29_000, PublicRunState::Succeeded)));
    assert_eq!(newest("plan-10"), Some((10_000, PublicRunState::Succeeded)));
    assert_eq!(newest("plan-09"), None);
    assert_eq!(newest("other"), Some((99_000, PublicRunState::Aborted)));
}

/// A bucket with something of everything.
fn some() -> BucketNow {
    let graph = graph(3);
    let facts = play(Arc::clone(&graph), some_fail);
    let tally = fold(&graph, &facts);
    let issued = facts.iter().position(|of| matches!(of.fact, Fact::Issued { .. })).unwrap();
    let under_way = fold(&graph, &facts[..=issued]);
    let mut counted = tally.counted().clone();
    counted.wait(Wait::Approval, 90_500);
    BucketNow {
        bucket: "/srv/fleet".to_owned(),
        at: START + 7_200_250,
        runs: vec![
            RunNow {
                plan: "rolling".to_owned(),
                state: PublicRunState::Running,
                started_at: START + 3_600_000,
                finished_at: None,
                workers: under_way.workers(),
                waits: under_way.waits(),
            },
            RunNow { state: PublicRunState::Failed, ..finished("rolling", 60_000) },
            finished("pat\"ch\\\n", 1_500),
        ],
        counted,
        unreadable: 1,
        left_disabled: Some(2),
        has_controller: true,
        journal: Some(JournalNow { schema: 2, bytes: 123_456 }),
    }
}

#[test]
fn a_bucket_as_openmetrics() {
    let text = openmetrics(some());
    assert!(text.ends_with("\n# EOF\n"));
    insta::assert_snapshot!(text.replace(env!("CARGO_PKG_VERSION"), "VERSION"));
}

#[test]
fn both_formats_say_the_same_and_a_bucket_without_a_run_says_zero() {
    let (new, old) = (openmetrics(some()), prometheus_text(some()));
    assert_eq!(samples(&new), samples(&old));
    // What the older one does not have.
    assert!(!old.contains("# UNIT") && !old.contains("# EOF"), "{old}");
    assert!(old.contains("# TYPE maand_wait_seconds_total counter\n"), "{old}");
    assert!(old.contains("# TYPE maand_build_info gauge\n"), "{old}");
    let none = samples(&prometheus_text(BucketNow { bucket: "b".to_owned(), ..BucketNow::default() }));
    assert_eq!(none["maand_runs{bucket=\"b\",state=\"running\"}"], 0.0);
    assert_eq!(none["maand_oldest_unfinished_run_age_seconds{bucket=\"b\"}"], 0.0);
    assert!(!none.keys().any(|series| series.starts_with("maand_journal") || series.contains("_started_")));
}

#[test]
fn sums_end_at_the_largest_number() {
    let mut counted = Counted::default();
    for _ in 0..2 {
        counted.step("run", Ended::Ok, Millis::MAX);
        counted.wait(Wait::Soak, Millis::MAX);
    }
    let rows = counted.rows();
    assert!(rows.contains(&("step run ok sum".to_owned(), i64::MAX)), "{rows:?}");
    assert!(rows.contains(&("step run ok 15".to_owned(), 2)), "{rows:?}");
    assert!(rows.contains(&("wait soak".to_owned(), i64::MAX)), "{rows:?}");
    let full =
        Counted::of_rows(&[("step run ok 0".to_owned(), i64::MAX), ("step run ok 1".to_owned(), i64::MAX)]);
    let mut twice = full.clone();
    twice.add(&full);
    assert_eq!(twice.steps[&("run".into(), Ended::Ok)].count(), u64::MAX);
}

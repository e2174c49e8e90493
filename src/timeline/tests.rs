//! Runs as pictures, one rule an example.

use std::sync::Arc;

use super::*;
use crate::engine::{AttemptSpec, Fact, Millis, Outcome, SilenceEvent, Stamped};
use crate::graph::testing::{compiled, fleet, located, plan, worker};
use crate::graph::{Lane, RolloutGraph, TargetIx};
use crate::plan::{Amount, Concurrency};
use crate::report::testing::{play, some_fail};

fn graph(workers: usize, at_once: u64) -> Arc<RolloutGraph> {
    graph_with_failures(workers, at_once, 0)
}

fn graph_with_failures(workers: usize, at_once: u64, failures: u64) -> Arc<RolloutGraph> {
    let mut plan = plan();
    plan.rollout.max_failures = located(Amount::Count(failures));
    plan.rollout.concurrency = located(Concurrency::AtMost(Amount::Count(at_once)));
    let zone = |n: usize| format!("zone={}", if n.is_multiple_of(2) { "a" } else { "b" });
    let hosts = (1..=workers).map(|n| worker(&format!("w{n}"), &[], &[&zone(n)])).collect();
    Arc::new(compiled(&plan, &fleet(hosts, &[])))
}

fn told(
    workers: usize,
    at_once: u64,
    fails: impl Fn(&AttemptSpec) -> Option<Outcome>,
) -> (Vec<Stamped>, Timeline) {
    let graph = graph(workers, at_once);
    let facts = play(Arc::clone(&graph), fails);
    let timeline = timeline(&graph, &facts, Millis::MAX, false).unwrap();
    (facts, timeline)
}

#[test]
fn each_step_is_a_bar_that_ends_and_the_boot_id_is_read_within_the_reboot() {
    let (facts, timeline) = told(2, 1, |_| None);
    assert_eq!((timeline.began, timeline.until), (facts[0].at, facts.last().unwrap().at));
    let workers: Vec<_> =
        timeline.lanes.iter().filter(|track| matches!(track.lane, Lane::Worker(_))).collect();
    assert_eq!(workers.len(), 2);
    for track in workers {
        let steps: Vec<_> = track.bars.iter().map(|bar| (bar.step.0, bar.attempt, bar.end)).collect();
        assert_eq!(steps, [(0, 1, BarEnd::Ok), (1, 1, BarEnd::Ok)], "{:?}", track.bars);
        assert!(track.bars.iter().all(|bar| bar.to.is_some_and(|to| to >= bar.from)));
        assert!(track.admitted.unwrap() <= track.bars[0].from);
    }
    assert!(matches!(timeline.marks[0].kind, MarkKind::Started));
    assert!(matches!(timeline.marks.last().unwrap().kind, MarkKind::Finished { .. }));
    assert_eq!(timeline.waves.len(), 1);
    assert!(timeline.holds.is_empty(), "{:?}", timeline.holds);
}

#[test]
fn down_is_what_the_engine_says_and_no_more_than_allowed() {
    let (_, timeline) = told(6, 2, |_| None);
    let down = &timeline.down;
    assert_eq!((down.at_once, down.allowed), (Some(2), 2));
    assert_eq!(down.all.most().unwrap().1, 2);
    assert_eq!(down.all.last(), 0, "all came back");
    assert_eq!(down.tag.as_deref(), Some("zone"));
    let at = |series: &Series, moment| {
        series.points.iter().rev().find(|(at, _)| *at <= moment).map_or(0, |(_, value)| *value)
    };
    for (moment, value) in &down.all.points {
        let sum: u32 = down.domains.iter().map(|domain| at(&domain.series, *moment)).sum();
        assert_eq!(sum, *value, "every worker is in one zone");
    }
    assert!(down.all.points.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 != pair[1].1));
}

#[test]
fn a_worker_that_failed_stays_down_and_the_halt_is_marked() {
    let (_, timeline) = told(3, 1, some_fail);
    assert_eq!(timeline.down.all.last(), 1);
    let halted = timeline
        .marks
        .iter()
        .any(|mark| matches!(&mark.kind, MarkKind::Halted { reason } if reason.contains("1 worker failed")));
    assert!(halted, "{:?}", timeline.marks);
    let failed = &timeline.lanes[2];
    let last = failed.bars.last().unwrap();
    assert_eq!(last.end, BarEnd::Failed);
    assert!(last.note.as_ref().unwrap().contains("has not come back"));
    assert!(timeline.holds.iter().any(|hold| hold.kind == HoldKind::Halted && hold.to.is_none()));
}

/// What `plan show` says is at stake is what is allowed, and a run that goes as the plan allows is never above it.
#[test]
fn a_failed_worker_is_down_beside_those_at_work_as_far_as_the_plan_allows() {
    let graph = graph_with_failures(6, 2, 1);
    let facts = play(Arc::clone(&graph), some_fail);
    let down = timeline(&graph, &facts, Millis::MAX, false).unwrap().down;
    assert_eq!((down.at_once, down.allowed), (Some(2), 3));
    assert_eq!(down.all.most().unwrap().1, 3, "one that failed, and two at work");
    assert!(down.domains.iter().all(|zone| zone.series.most().unwrap().1 <= zone.allowed.unwrap()));
}

#[test]
fn the_next_in_line_waits_for_a_place() {
    let (_, timeline) = told(3, 1, |_| None);
    let first = &timeline.waits[0];
    assert_eq!(first.kind, WaitKind::Concurrency);
    assert!(first.to > first.from);
    assert!(timeline.waits.windows(2).all(|pair| pair[0].to <= pair[1].from));
    let last = timeline.lanes.iter().filter_map(|track| track.admitted).max();
    assert_eq!(timeline.waits.last().map(|wait| wait.to), last, "behind the last nobody waits");
}

#[test]
fn a_controller_that_is_gone_is_marked_where_it_was_heard_last() {
    let graph = graph(2, 1);
    let mut facts = play(Arc::clone(&graph), |_| None);
    let issued = facts.iter().position(|of| matches!(of.fact, Fact::Issued { .. })).unwrap();
    facts.truncate(issued + 1);
    let last = facts[issued].clone();
    let later = last.at + 3_600_000;
    let told = timeline(&graph, &facts, later, false).unwrap();
    assert_eq!(told.until, later);
    assert_eq!(told.holds, [Hold { from: last.at, to: None, kind: HoldKind::Nobody }]);
    let carried_out = timeline(&graph, &facts, later, true).unwrap();
    assert!(carried_out.holds.is_empty());
    assert_eq!(carried_out.lanes[1].bars[0].to, None);

    let resumed = Fact::Resumed { by: "anna@laptop".to_owned(), fresh_process: true, bundle: None };
    facts.push(Stamped { seq: last.seq + 1, at: later, epoch: 2, fact: resumed });
    let told = timeline(&graph, &facts, later, true).unwrap();
    assert_eq!(told.holds, [Hold { from: last.at, to: Some(later), kind: HoldKind::Nobody }]);
    let bar = &told.lanes[1].bars[0];
    assert_eq!((bar.to, bar.end), (Some(last.at), BarEnd::Orphaned));
    let kinds: Vec<_> = told.marks.iter().map(|mark| (&mark.kind, mark.at)).collect();
    assert!(matches!(kinds[1], (MarkKind::ControllerGone, at) if at == last.at), "{kinds:?}");
    assert!(matches!(kinds[2], (MarkKind::Resumed { by, .. }, _) if by == "anna@laptop"));
}

#[test]
fn a_timeline_that_is_looked_at_in_between_is_the_same() {
    let graph = graph(4, 2);
    let facts = play(Arc::clone(&graph), some_fail);
    let mut fold = TimelineFold::new(&graph);
    for (at, stamped) in facts.iter().enumerate() {
        fold.take(stamped).unwrap();
        for (later, is_carried_out) in [(0, true), (5_000, false), (9_000, true)] {
            let now = stamped.at + later;
            fold.tell(now, is_carried_out);
            let anew = timeline(&graph, &facts[..=at], now, is_carried_out).unwrap();
            assert_eq!(*fold.timeline(), anew, "after fact {}, {later} ms later", stamped.seq);
        }
    }
}

#[test]
fn workers_that_could_not_be_silenced_at_once_are_one_mark() {
    let graph = graph(3, 3);
    let mut facts = play(Arc::clone(&graph), |_| None);
    let at = facts[facts.len() / 2].at;
    let failed = |target: u32, why: &str| Stamped {
        seq: 0,
        at,
        epoch: 1,
        fact: Fact::Silence { target: TargetIx(target), event: SilenceEvent::Failed { why: why.to_owned() } },
    };
    let middle = facts.len() / 2;
    facts.splice(middle..middle, [failed(0, "gone"), failed(1, "gone"), failed(2, "status 400")]);
    let timeline = timeline(&graph, &facts, Millis::MAX, false).unwrap();
    let said: Vec<String> = (timeline.marks.iter())
        .filter(|mark| matches!(mark.kind, MarkKind::NotSilenced { .. }))
        .map(|mark| describe_mark(mark, &graph, "me"))
        .collect();
    assert_eq!(
        said,
        ["alerts of 2 workers are not silenced: gone", "alerts of w3 are not silenced: status 400"]
    );
}

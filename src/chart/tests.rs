//! Pictures of whole runs.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::engine::{AttemptSpec, Fact, Millis, Outcome, Stamped};
use crate::graph::RolloutGraph;
use crate::graph::testing::{compiled, fleet, located, plan, worker};
use crate::plan::{Amount, Concurrency};
use crate::report::testing::{START, play, some_fail};
use crate::report::{RunInfo, RunView};
use crate::timeline::timeline;

fn graph(hosts: &[&str], at_once: u64) -> Arc<RolloutGraph> {
    let mut plan = plan();
    plan.rollout.concurrency = located(Concurrency::AtMost(Amount::Count(at_once)));
    let hosts = hosts.iter().map(|host| worker(host, &[], &["zone=a"])).collect();
    Arc::new(compiled(&plan, &fleet(hosts, &[])))
}

fn named(workers: usize) -> Vec<String> {
    (1..=workers).map(|n| format!("w{n}")).collect()
}

fn of(workers: usize, at_once: u64) -> Arc<RolloutGraph> {
    let names = named(workers);
    graph(&names.iter().map(String::as_str).collect::<Vec<_>>(), at_once)
}

fn format(width: usize) -> Format {
    Format { width, height: None, unicode: true, all: false }
}

/// The picture of these facts as of `now`.
fn drawn(
    graph: &Arc<RolloutGraph>,
    facts: &[Stamped],
    now: Millis,
    carried_out: bool,
    format: &Format,
) -> Vec<Line> {
    let info = RunInfo { run: "20261122-2315-ab3f".into(), started_at: START };
    let mut view = RunView::new(info, Arc::clone(graph));
    facts.iter().for_each(|stamped| view.fold(stamped).unwrap());
    view.set_orphaned(!carried_out);
    view.refresh(now);
    let timeline = timeline(graph, facts, now, carried_out).unwrap();
    run_chart(&RunChart { view: &view, timeline: &timeline, graph, who: "anna@vm" }, format)
}

fn text(lines: &[Line]) -> String {
    lines.iter().map(|line| line.text() + "\n").collect()
}

fn whole(
    workers: usize,
    at_once: u64,
    fails: impl Fn(&AttemptSpec) -> Option<Outcome>,
    format: &Format,
) -> String {
    let graph = of(workers, at_once);
    let facts = play(Arc::clone(&graph), fails);
    text(&drawn(&graph, &facts, facts.last().unwrap().at, false, format))
}

#[test]
fn a_run_that_ended_well() {
    insta::assert_snapshot!(whole(4, 2, |_| None, &format(100)));
}

#[test]
fn a_run_that_halted_in_ascii() {
    let ascii = Format { unicode: false, ..format(80) };
    let text = whole(3, 1, some_fail, &ascii);
    assert!(text.is_ascii());
    insta::assert_snapshot!(text);
}

#[test]
fn a_narrow_terminal() {
    insta::assert_snapshot!(whole(3, 1, some_fail, &format(40)));
}

#[test]
fn many_workers_are_cut_with_failed_ones_first_and_a_limited_height_is_kept() {
    let text_of = |format: &Format| whole(100, 10, some_fail, format);
    let cut = text_of(&format(80));
    let lanes = |text: &str| {
        let is_lane = |line: &&str| {
            let mut name = line.chars().skip(2);
            name.next() == Some('w') && name.next().is_some_and(|c| c.is_ascii_digit())
        };
        text.lines().filter(is_lane).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(lanes(&cut).len(), 40, "{cut}");
    assert!(lanes(&cut)[0].starts_with("× w2 "), "{cut}");
    assert!(cut.contains("… and 60 more: "), "{cut}");
    assert!(cut.contains("--all shows each"), "{cut}");
    let all = text_of(&Format { all: true, ..format(80) });
    assert_eq!(lanes(&all).len(), 100, "{all}");
    for height in 1..60 {
        let limited = text_of(&Format { height: Some(height), ..format(80) });
        assert!(limited.lines().count() <= height, "{height}: {limited}");
    }
    insta::assert_snapshot!(text_of(&Format { height: Some(24), ..format(80) }));
}

#[test]
fn a_controller_that_is_gone_and_a_run_taken_up_again() {
    let graph = of(3, 1);
    let mut facts = play(Arc::clone(&graph), |_| None);
    let issued = facts.iter().rposition(|of| matches!(of.fact, Fact::Issued { .. })).unwrap();
    facts.truncate(issued + 1);
    let last = facts[issued].clone();
    let later = last.at + 3_600_000;
    insta::assert_snapshot!("gone", text(&drawn(&graph, &facts, later, false, &format(80))));
    let resumed = Fact::Resumed { by: "ben@laptop".to_owned(), fresh_process: true, bundle: None };
    facts.push(Stamped { seq: last.seq + 1, at: later, epoch: 2, fact: resumed });
    insta::assert_snapshot!("taken_up", text(&drawn(&graph, &facts, later + 5000, true, &format(80))));
}

#[test]
fn a_run_of_which_nothing_is_known_but_its_start() {
    let graph = of(2, 1);
    let mut facts = play(Arc::clone(&graph), |_| None);
    facts.truncate(1);
    let at = facts[0].at;
    insta::assert_snapshot!(text(&drawn(&graph, &facts, at, true, &format(60))));
}

#[test]
fn foreign_text_is_text() {
    let mut plan = plan();
    plan.name = "boo\u{1b}[2J\u{202e}oob\r".to_owned();
    let graph = Arc::new(compiled(&plan, &fleet(vec![worker("w1", &[], &[])], &[])));
    let mut facts = play(Arc::clone(&graph), |_| None);
    facts.truncate(facts.len() / 2);
    let by =
        "ben\u{1b}]2;title\u{7}\n\n日本語の名前がとても長い人です日本語の名前がとても長い人です".to_owned();
    let (at, seq) = (facts.last().unwrap().at, facts.last().unwrap().seq);
    facts.push(Stamped {
        seq: seq + 1,
        at,
        epoch: 1,
        fact: Fact::Paused { by, reason: "\u{9b}31m".to_owned() },
    });
    let lines = drawn(&graph, &facts, at, true, &format(60));
    let said = text(&lines);
    assert!(said.contains("boo\\x1b[2J") && said.contains("ben\\x1b]2;title"), "{said}");
    assert!(!said.contains(|c: char| c.is_control() && c != '\n'), "{said:?}");
    assert!(lines.iter().all(|line| line.width() <= 60), "{said}");
}

#[test]
fn colour_is_never_the_only_sign() {
    let graph = of(3, 1);
    let facts = play(Arc::clone(&graph), some_fail);
    let lines = drawn(&graph, &facts, facts.last().unwrap().at, false, &format(80));
    let painted = lines.iter().map(|line| line.painted(true)).collect::<Vec<_>>().join("\n");
    assert!(painted.contains("\u{1b}[1;31m"), "{painted}");
    // Without its colours it is the same text.
    let plain = console::strip(&painted);
    assert_eq!(plain.lines().map(str::trim_end).collect::<Vec<_>>().join("\n"), text(&lines).trim_end());
}

/// Colours taken out.
mod console {
    pub(super) fn strip(painted: &str) -> String {
        let parts = painted.split('\u{1b}');
        parts
            .map(|part| {
                part.strip_prefix('[').and_then(|rest| rest.split_once('m')).map_or(part, |(_, rest)| rest)
            })
            .collect()
    }
}

/// A forecast of workers in two waves.
fn forecast(workers: usize, at_once: u64) -> crate::timeline::Timeline {
    let graph = of(workers, at_once);
    let facts = play(Arc::clone(&graph), |_| None);
    let until = facts.last().unwrap().at;
    timeline(&graph, &facts, until, true).unwrap()
}

#[test]
fn what_is_down_at_once_beside_what_is_allowed() {
    insta::assert_snapshot!(text(&down_chart(&forecast(7, 3), &format(60))));
    let ascii = Format { unicode: false, ..format(60) };
    insta::assert_snapshot!("down_of_many_in_ascii", text(&down_chart(&forecast(60, 25), &ascii)));
}

fn bins(runs: &[u32]) -> Vec<Bin> {
    let bin = |(number, runs): (Millis, &u32)| {
        let from = 120_000 + number * 10_000;
        Bin { from, below: from + 10_000, runs: *runs }
    };
    (0..).zip(runs).map(bin).collect()
}

#[test]
fn how_many_runs_take_how_long() {
    insta::assert_snapshot!(text(&finish_chart(&bins(&[3, 11, 0, 1]), 135_000, &format(60))));
    assert!(finish_chart(&[], 0, &format(60)).is_empty());
}

#[test]
fn waves_below_one_another() {
    let bar = |name: &str, from, to| WaveBar { name: name.into(), from, to };
    let waves = [bar("wave 1", 0, 60_000), bar("wave 2", 120_000, 400_000), bar("wave 3", 400_000, 400_000)];
    insta::assert_snapshot!(text(&waves_chart(&waves, 420_000, &format(60))));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever was cut off, whatever the clock did meanwhile, and however narrow it is.
    #[test]
    fn no_line_is_wider_than_asked_for(
        workers in 1_usize..30,
        at_once in 1_u64..5,
        fails in any::<bool>(),
        kept in any::<prop::sample::Index>(),
        jumps in prop::collection::vec(-7_200_000_i64..86_400_000, 0..4),
        later in prop_oneof![Just(0), -1_000_000_i64..1_000_000_000, Just(i64::MAX / 2)],
        carried_out in any::<bool>(),
        width in 0_usize..160,
        height in prop::option::of(1_usize..60),
        unicode in any::<bool>(),
    ) {
        let graph = of(workers, at_once);
        let mut facts = play(Arc::clone(&graph), |spec| fails.then(|| some_fail(spec)).flatten());
        facts.truncate(kept.index(facts.len()) + 1);
        let many = facts.len();
        for (number, jump) in jumps.iter().enumerate() {
            for stamped in &mut facts[many * number / jumps.len().max(1)..] {
                stamped.at += jump;
            }
        }
        let now = facts.last().unwrap().at.saturating_add(later);
        let format = Format { width, height, unicode, all: later == 0 };
        let lines = drawn(&graph, &facts, now, carried_out, &format);
        for line in &lines {
            prop_assert!(line.width() <= width, "{} > {width}: {}", line.width(), line.text());
            prop_assert!(!line.text().contains(char::is_control));
            prop_assert!(unicode || line.text().is_ascii(), "{}", line.text());
        }
        prop_assert!(height.is_none_or(|height| lines.len() <= height));
    }

    #[test]
    fn no_chart_of_a_forecast_is_wider_than_asked_for(
        workers in 1_usize..40,
        at_once in 1_u64..30,
        runs in prop::collection::vec(any::<u32>(), 0..9),
        spans in prop::collection::vec((any::<i64>(), any::<i64>()), 0..9),
        total in any::<i64>(),
        name in any::<String>(),
        width in 0_usize..140,
        unicode in any::<bool>(),
    ) {
        let format = Format { width, height: None, unicode, all: false };
        let waves: Vec<WaveBar> =
            spans.iter().map(|(from, to)| WaveBar { name: name.clone(), from: *from, to: *to }).collect();
        let charts = [
            down_chart(&forecast(workers, at_once), &format),
            finish_chart(&bins(&runs), total, &format),
            waves_chart(&waves, total, &format),
        ];
        for line in charts.iter().flatten() {
            prop_assert!(line.width() <= width, "{} > {width}: {}", line.width(), line.text());
            prop_assert!(!line.text().contains(char::is_control));
        }
    }
}

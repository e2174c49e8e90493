use std::collections::BTreeMap;

use super::*;
use crate::engine::{Fact, Intent, Stamped};
use crate::graph::Lane;
use crate::report::WaitPhase;
use crate::report::testing::{VirtualTerminal, rolled, rolled_with, some_fail};

/// The view in the middle of a run of `workers` workers, `k` at a time.
fn middle(workers: usize, k: u64) -> (Millis, RunView) {
    let (facts, mut view) = rolled_with(workers, k, some_fail);
    let half = facts.len() / 2;
    for stamped in &facts[..half] {
        view.fold(stamped).unwrap();
    }
    let at = facts[half - 1].at;
    view.refresh(at);
    (at, view)
}

/// Every step takes ten seconds.
fn outlook(workers: usize) -> Outlook {
    let ends = (1..=workers as Millis * 2).map(|n| n * 10_000).collect();
    let usual = BTreeMap::from([("boot".to_owned(), 41_000), ("reboot".to_owned(), 4_000)]);
    Outlook { usual, ends, total: workers as Millis * 20_000 }
}

fn texts(rows: &[Row]) -> String {
    rows.iter().map(|row| row.text.as_str()).collect::<Vec<_>>().join("\n")
}

/// What a terminal of this size shows.
fn frame(at: Millis, view: &RunView, outlook: Option<&Outlook>, columns: usize, lines: usize) -> String {
    let mut terminal = VirtualTerminal::new(columns, lines);
    let rows = rows(at, view, outlook, columns - 1, lines - 1);
    terminal.feed(&crate::report::region::Region::default().frame(columns, &[], &rows, true));
    let (text, screen) = (terminal.text(), terminal.screen());
    assert_eq!(text, screen, "nothing has scrolled away");
    screen
}

#[test]
fn rows_fit_every_terminal() {
    for (workers, k) in [(1, 1), (3, 1), (12, 5), (300, 100)] {
        let (at, view) = middle(workers, k);
        for width in [1, 2, 10, 39, 79, 119, 199] {
            for height in [1, 2, 3, 5, 10, 23, 60] {
                let rows = rows(at, &view, Some(&outlook(workers)), width, height);
                assert!(!rows.is_empty() && rows.len() <= height, "{} rows of {height}", rows.len());
                for row in &rows {
                    assert!(
                        row.text.width() <= width,
                        "{} columns of {width}: {}",
                        row.text.width(),
                        row.text
                    );
                }
            }
        }
    }
}

#[test]
fn frames_of_3_30_and_300_workers_at_40_80_and_200_columns() {
    let mut all = String::new();
    for (workers, k) in [(3, 1), (30, 10), (300, 100)] {
        let (at, mut view) = middle(workers, k);
        // The first that waits for its worker says how far it is.
        let waiting =
            view.open_attempts.iter().find(|(_, open)| matches!(open.intent, Intent::AwaitBoot { .. }));
        if let Some((attempt, _)) = waiting {
            let attempt = *attempt;
            view.tell(at - 3_000, attempt, WaitPhase::Down);
        }
        for columns in [40, 80, 200] {
            let frame = frame(at, &view, Some(&outlook(workers)), columns, 24);
            all += &format!("--- {workers} workers, {columns} columns\n{frame}\n");
        }
    }
    insta::assert_snapshot!(all);
}

#[test]
fn a_finished_worker_is_not_among_the_active_ones() {
    let (facts, mut view) = rolled(3, |_| None);
    for stamped in &facts {
        view.fold(stamped).unwrap();
        view.refresh(stamped.at);
        let rows = texts(&rows(stamped.at, &view, None, 79, 23));
        let done = view.workers.iter().filter(|worker| worker.state == PublicWorkerState::Succeeded);
        for worker in done {
            assert!(!rows.contains(&format!("  {}  ", worker.host)), "{rows}");
        }
    }
}

/// Folds up to the first reboot of the worker with this index.
fn until_reboot(facts: &[Stamped], view: &mut RunView, target: u32) -> Millis {
    for stamped in facts {
        view.fold(stamped).unwrap();
        let reboots = matches!(stamped.fact, Fact::Issued { lane: Lane::Worker(at), intent: Intent::Reboot { .. }, .. }
            if at.0 == target);
        if reboots {
            view.refresh(stamped.at);
            return stamped.at;
        }
    }
    panic!("it never reboots");
}

#[test]
fn a_step_that_hangs_is_late_and_the_bar_makes_no_promise() {
    let (facts, mut view) = rolled(3, |_| None);
    let at = until_reboot(&facts, &mut view, 0);
    let on_time = texts(&rows(at + 9_000, &view, Some(&outlook(3)), 79, 23));
    assert!(on_time.contains("  w1  0/2 reboot       9s of") && on_time.contains("about "), "{on_time}");
    let rows = rows(at + 60_000, &view, Some(&outlook(3)), 79, 23);
    let late = texts(&rows);
    assert!(late.contains("longer than usual (4s)") && !late.contains(" left"), "{late}");
    assert_eq!((rows[0].style, rows.last().unwrap().style), (Style::Warn, Style::Warn));
}

#[test]
fn many_workers_are_counted_by_step_and_those_to_look_at_come_first() {
    let (facts, mut view) = rolled_with(30, 20, |_| None);
    let at = until_reboot(&facts, &mut view, 19);
    let text = texts(&rows(at, &view, None, 79, 23));
    assert!(text.lines().next().unwrap().contains(" at reboot, the longest for "), "{text}");
    // Nobody hears of it any more: what is in flight is in doubt, and comes first.
    view.set_orphaned(true);
    view.refresh(at);
    let text = texts(&rows(at, &view, None, 79, 23));
    let listed: Vec<_> = text.lines().filter(|line| line.starts_with("  w")).collect();
    assert_eq!(listed.len(), LOOKED_AT, "{text}");
    assert!(listed.iter().all(|line| line.contains("in doubt")), "{text}");
    assert!(!text.contains("unblocks"), "{text}");
}

#[test]
fn finished_runs_have_a_full_bar_and_no_estimate() {
    let (facts, mut view) = rolled(4, |_| None);
    for stamped in &facts {
        view.fold(stamped).unwrap();
    }
    let at = facts.last().unwrap().at;
    view.refresh(at);
    let rows = rows(at + 60_000, &view, Some(&outlook(4)), 79, 20);
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert!(rows[0].text.starts_with(&format!("[{}]", "#".repeat(BAR))), "{rows:?}");
    assert!(!rows[0].text.contains("left"), "{rows:?}");
}

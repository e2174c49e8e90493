//! Plans that differ in one thing each.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::graph::testing::{compiled, fleet, worker};
use crate::graph::{self, CompileOptions};
use crate::plan::testing::{CALENDAR, CALENDARS, each_change};
use crate::plan::{Plan, Source, parse};
use crate::policy::Forecast;

/// Six workers in three zones, `api` on all of them.
fn outline(text: &str) -> Outline {
    on(text, 6)
}

fn on(text: &str, workers: usize) -> Outline {
    let plan = parse(&Source::new("p.yaml", text), &[]).unwrap_or_else(|problems| {
        panic!("{:?}", problems.iter().map(|problem| problem.to_string()).collect::<Vec<_>>())
    });
    let host = |n: usize| worker(&format!("w{n}"), &["api"], &[&format!("zone={}", ["a", "b", "c"][n % 3])]);
    let graph = Arc::new(compiled(&plan, &fleet((1..=workers).map(host).collect(), &["api"])));
    let forecast = Forecast::of(&graph);
    Outline::of_graph(&graph, &BTreeMap::new(), &forecast, Some(60_000 * workers as u64))
}

const PLAN: &str = "version: 1\nname: p\nvars: {level: 1}\nrollout:\n  concurrency: 2\n  spread: {tag: zone, at_most: 1}\n  \
                    budgets: [{job: api, max_unavailable: 2}]\nsteps:\n  - reboot\n  - wait_for_ssh: {settle: 10s}\n  - \
                    run: {command: \"echo one\\necho two\", unless: test -e /x, undo: none}\n";

fn diff(old: &str, new: &str) -> Diff {
    Diff::between(&outline(old), &outline(new))
}

fn edited(from: &str, to: &str) -> Diff {
    assert!(PLAN.contains(from), "{from}");
    diff(PLAN, &PLAN.replace(from, to))
}

#[test]
fn a_plan_does_not_differ_from_itself() {
    assert_eq!(diff(PLAN, PLAN), diff(PLAN, &format!("# a comment\n{PLAN}")));
    assert!(!diff(PLAN, PLAN).different && diff(PLAN, PLAN).headline.is_empty());
}

#[test]
fn a_limit_is_compared_by_what_it_allows() {
    let limit = |from: &str, to: &str| {
        let diff = edited(from, to);
        let [limit] = &diff.limits[..] else { panic!("{:?}", diff.limits) };
        (limit.name.clone(), limit.old_number, limit.new_number, limit.effect)
    };
    use Effect::{Looser, Neutral, Stricter};
    assert_eq!(limit("concurrency: 2", "concurrency: 3"), ("concurrency".into(), Some(2), Some(3), Looser));
    assert_eq!(limit("concurrency: 2", "concurrency: auto"), ("concurrency".into(), Some(2), None, Looser));
    assert_eq!(limit("concurrency: 2", "concurrency: 1"), ("concurrency".into(), Some(2), Some(1), Stricter));
    assert_eq!(limit("at_most: 1", "at_most: 2"), ("spread".into(), Some(1), Some(2), Looser));
    assert_eq!(limit("  spread: {tag: zone, at_most: 1}\n", ""), ("spread".into(), Some(1), None, Looser));
    assert_eq!(
        limit("max_unavailable: 2", "max_unavailable: 3"),
        ("budget api".into(), Some(4), Some(3), Looser)
    );
    assert_eq!(
        limit("max_unavailable: 2", "min_available: 5"),
        ("budget api".into(), Some(4), Some(5), Stricter)
    );
    assert_eq!(
        limit("concurrency: 2", "concurrency: 2\n  max_failures: 1"),
        ("max_failures".into(), Some(0), Some(1), Looser)
    );
    assert_eq!(
        limit("concurrency: 2", "concurrency: 2\n  soak: 1m"),
        ("soak".into(), Some(0), Some(60_000), Stricter)
    );
    assert_eq!(limit("concurrency: 2", "concurrency: 2\n  on_failure: revert").3, Neutral);
    let window = "concurrency: 2\n  window: {timezone: UTC, open: '22:00', close: '04:00', days: [mon]}";
    assert_eq!(limit("concurrency: 2", window).3, Stricter);
}

#[test]
fn workers_that_come_and_go_and_move_are_named() {
    let with = |order: &str| PLAN.replace("concurrency: 2", &format!("concurrency: 2\n  {order}"));
    let grown = Diff::between(&on(PLAN, 6), &on(PLAN, 8)).workers.unwrap();
    assert_eq!(
        (grown.old, grown.new, grown.added, grown.removed),
        (6, 8, vec!["w7".into(), "w8".into()], vec![])
    );
    let less = Diff::between(&on(PLAN, 6), &on(PLAN, 4));
    assert_eq!(less.workers.as_ref().unwrap().removed, ["w5", "w6"]);
    assert_eq!(less.workers.as_ref().unwrap().waves, [WaveChange { number: 1, old: Some(6), new: Some(4) }]);
    let first = diff(PLAN, &with("order: [w5]")).workers.unwrap();
    assert_eq!(first.moved, ["w5"], "the others stay as they are");
    let waves = diff(PLAN, &with("waves: [2, rest]")).workers.unwrap();
    let [change] = &waves.changed[..] else { panic!("{waves:?}") };
    assert_eq!((change.what, change.old.as_str(), change.new.as_str()), ("wave", "1", "2"));
    assert_eq!(change.hosts, ["w3", "w4", "w5", "w6"]);
}

#[test]
fn steps_are_matched_by_id_and_an_inserted_one_changes_no_other() {
    let steps = |diff: &Diff| {
        diff.steps.iter().map(|step| (step.id.clone(), step.how, step.effect)).collect::<Vec<_>>()
    };
    let inserted = edited("  - wait_for_ssh", "  - pause: 10s\n  - wait_for_ssh");
    assert_eq!(steps(&inserted), [("pause".into(), StepHow::Added, Effect::Neutral)]);
    let drained = edited("  - reboot\n", "  - approve\n  - disable\n  - reboot\n");
    assert_eq!(drained.steps.len(), 2);
    assert!(drained.steps.iter().all(|step| step.effect == Effect::Stricter), "{drained:?}");
    let unguarded = edited(", unless: test -e /x", "");
    assert_eq!(steps(&unguarded), [("run".into(), StepHow::Changed, Effect::Looser)]);
    assert_eq!(unguarded.steps[0].fields[0].old.as_deref(), Some("test -e /x"));
    let sooner = edited("settle: 10s", "settle: 5s");
    assert_eq!(steps(&sooner), [("wait_for_ssh".into(), StepHow::Changed, Effect::Looser)]);
    let renamed = edited("  - run:", "  - id: other\n    run:");
    assert_eq!(renamed.steps[0].renamed_from.as_deref(), Some("run"));
    assert_eq!(steps(&renamed), [("other".into(), StepHow::Moved, Effect::Neutral)]);
    let ignored = edited("undo: none}\n", "undo: none}\n    on_failure: ignore\n");
    assert_eq!(steps(&ignored), [("run".into(), StepHow::Changed, Effect::Looser)]);
}

#[test]
fn what_prepares_workers_is_a_list_of_its_own() {
    let prepare = "prepare: {concurrency: 50%, steps: [{run: {command: fetch, undo: none}}]}\nsteps:\n";
    let with = PLAN.replace("steps:\n", prepare);
    let added = diff(PLAN, &with);
    let steps: Vec<_> =
        added.steps.iter().map(|step| (step.list, step.id.as_str(), step.how, step.disturbs)).collect();
    assert_eq!(steps, [("prepare", "prepare-run", StepHow::Added, false)], "no other step is another one");
    let limits: Vec<_> =
        added.limits.iter().map(|one| (one.name.as_str(), one.new_number, one.effect)).collect();
    let stricter = Effect::Stricter;
    assert_eq!(limits, [("prepare concurrency", Some(3), stricter), ("prepare window", None, stricter)]);
    let wider = diff(&with, &with.replace("50%", "100%, outside_window: true"));
    assert!(
        wider.limits.len() == 2 && wider.limits.iter().all(|one| one.effect == Effect::Looser),
        "{wider:?}"
    );
    assert!(wider.steps.is_empty());
}

#[test]
fn a_script_is_compared_by_its_text() {
    let text = "version: 1\nname: p\nsteps: [{run: {script: s.sh}}]\n";
    let plan = parse(&Source::new("p.yaml", text), &[]).unwrap();
    let with =
        |script: &str| Outline::of_plan(&plan, &BTreeMap::from([("s.sh".to_owned(), script.to_owned())]));
    assert!(!Diff::between(&with("a"), &with("a")).different);
    let changed = Diff::between(&with("a"), &with("b"));
    assert_eq!(changed.steps[0].fields[0].name, "script text");
    assert!(changed.workers.is_none());
}

#[test]
fn what_is_looser_stands_first() {
    let new =
        PLAN.replace("concurrency: 2", "concurrency: 1\n  max_failures: 2").replace("level: 1", "level: 2");
    let diff = Diff::between(&on(PLAN, 6), &on(&new, 7));
    let lines: Vec<_> = diff.headline.iter().map(|line| line.render(|text| format!("<{text}>"))).collect();
    assert_eq!(lines[0], "<max_failures>: <0> is now <2>");
    assert_eq!(lines[1], "1 worker added: 6 to 7");
    assert!(lines.contains(&"<concurrency>: <2> is now <1>".to_owned()), "{lines:?}");
    assert_eq!(lines.last().unwrap(), "1 variable changed: <level>");
}

/// What is changed by hand in a plan changes what it does: the rule for every key, those that are to come included.
#[test]
fn every_key_of_the_language_is_compared() {
    let mut untold = Vec::new();
    let mut forecasts: BTreeMap<String, Forecast> = BTreeMap::new();
    let mut outlines = |path: &str, plan: &Plan| {
        let fleet = Arc::new(graph::synthetic_fleet(plan, 7));
        let files = CALENDARS.map(|name| (name.to_owned(), CALENDAR.to_owned())).into();
        let options = CompileOptions { workers: None, files };
        let graph = graph::compile(&Arc::new(plan.clone()), &fleet, &options).unwrap_or_else(|problems| {
            panic!("{path}: {:?}", problems.iter().map(ToString::to_string).collect::<Vec<_>>())
        });
        // How long it takes is no news here.
        let kind = plan.name.trim_end_matches('x').to_owned();
        let forecast = forecasts.entry(kind).or_insert_with(|| Forecast::of(&graph));
        [
            Outline::of_plan(plan, &BTreeMap::new()),
            Outline::of_graph(&graph, &BTreeMap::new(), forecast, None),
        ]
    };
    let mut olds: BTreeMap<String, [Outline; 2]> = BTreeMap::new();
    each_change(|path, old, new| {
        let olds = olds.entry(old.name.clone()).or_insert_with(|| outlines(path, old));
        for (old, new) in olds.iter().zip(&outlines(path, new)) {
            let diff = Diff::between(old, new);
            let told = diff.plan.len() + diff.limits.len() + diff.vars.len() + diff.steps.len();
            if told == 0 || !diff.different {
                untold.push(path.to_owned());
            }
            assert!(!format!("{diff:?}").contains("services/T1"), "a secret: {diff:?}");
        }
    });
    assert!(untold.is_empty(), "these are changed, and nobody is told: {untold:#?}");
}

/// Of a gate each option is compared by itself, and what it means is said where that can be told.
#[test]
fn options_of_gates_and_silences_are_compared_one_by_one() {
    let with = |more: &str| {
        PLAN.replace(
            "concurrency: 2\n",
            &format!(
                "concurrency: 2\n  guard:\n    - {{name: errors, prometheus: {{url: 'http://p', query: errors, max: 0.05}}{more}}}\n    \
                 - {{alertmanager: {{url: 'http://a', matching: ['a=\"b\"']}}}}\n"
            ),
        )
    };
    let one = |old: &str, new: &str| {
        let diff = diff(&with(old), &with(new));
        let [change] = &diff.limits[..] else { panic!("{:?}", diff.limits) };
        let side = |side: &Option<String>| side.clone().unwrap_or_default();
        (format!("{}: {} -> {}", change.name, side(&change.old), side(&change.new)), change.effect)
    };
    use Effect::{Looser, Neutral, Stricter};
    let named = |text: &str| format!("guard \"errors\" {text}");
    assert_eq!(one("", ", patience: 20m"), (named("patience: 10m -> 20m"), Neutral));
    assert_eq!(one("", ", on_fail: ignore"), (named("on_fail: halt -> ignore"), Looser));
    assert_eq!(one(", on_inconclusive: ignore", ""), (named("on_inconclusive: ignore -> wait"), Stricter));
    assert_eq!(one(", count: 3", ", count: 3, failures: 2"), (named("failures: 0 -> 2"), Looser));
    let limit = |max: &str| with("").replace("max: 0.05", max);
    for (old, new, effect) in [
        ("max: 0.05", "max: 0.5", Looser),
        ("max: 0.05", "max: -0.5", Stricter),
        ("min: -1, max: 0.05", "min: -2, max: 0.05", Looser),
        ("min: 1, max: 1.5", "max: 1.5", Looser),
    ] {
        let diff = diff(&limit(old), &limit(new));
        assert_eq!((diff.limits.len(), diff.limits[0].effect), (1, effect), "{old} {new}: {diff:?}");
    }
    let gone = diff(&with(""), PLAN);
    let measured: Vec<_> =
        gone.limits.iter().filter(|one| one.effect == Looser).map(|one| &*one.name).collect();
    assert_eq!(
        measured,
        [
            "guard \"errors\" prometheus.max",
            "guard \"errors\" prometheus.query",
            "guard alertmanager.matching"
        ]
    );
    let silence =
        |tail: &str| format!("{PLAN}silence: {{url: 'http://a', matchers: 'i=$MAAND_HOST', tail: {tail}}}\n");
    let longer = diff(&silence("1m"), &silence("5m"));
    assert_eq!(
        (longer.limits.len(), &*longer.limits[0].name, longer.limits[0].effect),
        (1, "silence tail", Looser)
    );
    let new = diff(PLAN, &silence("1m"));
    let lines: Vec<String> = new.headline.iter().map(|line| line.render(str::to_owned)).collect();
    assert_eq!(lines, ["silence matchers: none is now i=\"$MAAND_HOST\""]);
}

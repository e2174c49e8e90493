//! Pages of runs in which everything from outside is hostile, or strange.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::bucket::Fleet;
use crate::engine::{AttemptSpec, BootedKernel, ErrorKind, Millis, Outcome, RunEnd, Stamped, StepError};
use crate::graph::testing::{budget, compiled, fleet, located, plan, spread, step, worker};
use crate::graph::{Lane, RolloutGraph, StepIx, TargetIx};
use crate::plan::{Amount, BudgetBound, Freeze, Source, StepKind, Window};
use crate::report::testing::{START, play, some_fail};
use crate::report::{RunInfo, RunView};
use crate::timeline::{BarKind, Mark, MarkKind, QueueWait, Timeline, WaitKind, timeline};

/// The tags of a document in order, each with the names of its attributes; and all attributes with their values. What is
/// inside of `script` and `style` is not looked at.
fn tags(html: &str) -> (Vec<String>, Vec<(String, String)>) {
    let (mut tags, mut attributes) = (Vec::new(), Vec::new());
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '/' | '!')).unwrap();
        let mut tag = rest[..end].to_owned();
        assert!(!tag.is_empty(), "a bare `<` before {}", &rest[..rest.len().min(40)]);
        rest = &rest[end..];
        loop {
            rest = rest.trim_start();
            if let Some(after) = rest.strip_prefix('>') {
                rest = after;
                break;
            }
            let end = rest.find(['=', '>', ' ']).unwrap();
            let name = rest[..end].to_owned();
            rest = &rest[end..];
            let mut value = String::new();
            if let Some(after) = rest.strip_prefix("=\"") {
                let end = after.find('"').unwrap();
                value = after[..end].to_owned();
                rest = &after[end + 1..];
            }
            tag.push_str(&format!(" {name}"));
            attributes.push((name, value));
        }
        if tag == "script" || tag == "style" {
            let end = rest.find(&format!("</{tag}>")).unwrap();
            rest = &rest[end..];
        }
        tags.push(tag);
    }
    (tags, attributes)
}

/// Every text that a run has from outside, made by `text` from what it is.
fn page_with(text: &dyn Fn(&str) -> String) -> String {
    let graph = Arc::new(graph_with(text));
    let fails = |spec: &AttemptSpec| {
        let ends = |kind| {
            let (message, output) = (text("message"), Some(text("output")));
            Some(Outcome::Failed { error: StepError { kind, message, output } })
        };
        match (spec.lane, spec.step.0) {
            (Lane::Worker(TargetIx(1)), 1) => ends(ErrorKind::TimedOut),
            _ => None,
        }
    };
    let facts = play(Arc::clone(&graph), fails);
    let info = RunInfo { run: text("run"), started_at: START };
    let mut view = RunView::new(info, Arc::clone(&graph));
    facts.iter().for_each(|stamped| view.fold(stamped).unwrap());
    let at = facts.last().unwrap().at;
    view.refresh(at);
    view.plan = text("plan");
    view.reason = Some(text("reason"));
    view.waits_for = Some(text("wait"));
    view.left_disabled = vec![text("host")];
    for worker in &mut view.workers {
        worker.waits_for = Some(text("wait"));
        worker.step = Some(text("step"));
        worker.boot_id_before = Some(text("boot"));
        worker.boot_id_after = Some(text("boot"));
        worker.kernel = Some(BootedKernel {
            running: text("kernel"),
            before: Some(text("kernel")),
            newer: Some(text("kernel")),
            default: Some(text("kernel")),
        });
        if let Some(error) = &mut worker.error {
            error.kind = text("kind");
        }
    }
    let mut told = timeline(&graph, &facts, at, false).unwrap();
    with_marks(&mut told, text);
    let outputs = [FailureOutput {
        host: graph.host(TargetIx(1)).to_owned(),
        step: text("step"),
        text: text("output"),
        logs: text("logs"),
    }];
    run_page(&RunPage {
        view: &view,
        timeline: &told,
        graph: &graph,
        who: &text("who"),
        program: &text("program"),
        plan_text: &text("source"),
        plan_file: &text("file"),
        record: Some((facts.len() as u64, &text("hash"))),
        outputs: &outputs,
        next: &[text("next"), format!("{}\n  {}", text("next"), text("command"))],
        made_at: at,
        served: None,
        forecast: None,
    })
}

fn graph_with(text: &dyn Fn(&str) -> String) -> RolloutGraph {
    let mut plan = plan();
    plan.source = Source::new("plan.yaml", text("source"));
    plan.description = Some(text("description"));
    plan.rollout.spread = spread("zone", 2);
    plan.rollout.budgets = vec![budget("api", BudgetBound::MinAvailable(Amount::Count(1)))];
    plan.before = vec![step(&text("step"), StepKind::Approve { message: Some(text("question")) }, &[])];
    plan.steps[0].id = text("step");
    let mut workers: Vec<_> = (1..=3)
        .map(|n| worker(&format!("w{n}"), &["api"], &[&format!("zone={}{}", text("zone"), n % 2)]))
        .collect();
    for worker in &mut workers {
        // As a journal may have it that somebody else wrote.
        worker.host = serde_json::from_value(format!("{}{}", text("host"), worker.host).into()).unwrap();
    }
    let fleet: Fleet = fleet(workers, &["api"]);
    let mut graph = compiled(&plan, &fleet);
    let mut fleet = (*graph.fleet).clone();
    fleet.jobs[0].name = serde_json::from_value(text("job").into()).unwrap();
    graph.fleet = Arc::new(fleet);
    let mut plan = (*graph.plan).clone();
    if let Some(spread) = &mut plan.rollout.spread {
        spread.value.tag = text("tag");
    }
    plan.rollout.windows =
        vec![located(Window { timezone: text("timezone"), open: 0, close: 0, days: vec![] })];
    let calendars = vec![located(text("calendar"))];
    plan.rollout.freeze = Some(located(Freeze { timezone: text("timezone"), dates: vec![], calendars }));
    graph.plan = Arc::new(plan);
    graph
}

/// One mark of each kind, an approval, a wait, and a note beside each bar.
fn with_marks(told: &mut Timeline, text: &dyn Fn(&str) -> String) {
    let by = || text("by");
    let (at, step, target) = (told.until, StepIx(0), TargetIx(0));
    let lane = Lane::Worker(target);
    let kinds = [
        MarkKind::Started,
        MarkKind::ControllerGone,
        MarkKind::Resumed { by: by(), from_bundle: false },
        MarkKind::Resumed { by: by(), from_bundle: true },
        MarkKind::Interrupted { by: by() },
        MarkKind::Paused { by: by(), reason: text("reason") },
        MarkKind::Halted { reason: text("reason") },
        MarkKind::Approved { lane: Lane::Before, step, by: by() },
        MarkKind::Approved { lane, step, by: by() },
        MarkKind::Retried { targets: vec![target], by: by() },
        MarkKind::Retried { targets: vec![target; 2], by: by() },
        MarkKind::Skipped { target, by: by() },
        MarkKind::NotSilenced { targets: vec![target], why: text("why") },
        MarkKind::InDoubt { lane, step },
        MarkKind::Aborted { by: by() },
        MarkKind::Finished { end: RunEnd::Failed },
    ];
    told.marks.extend(kinds.map(|kind| Mark { at, kind }));
    told.waits.push(QueueWait { from: at - 5000, to: at, kind: WaitKind::Window, reason: text("reason") });
    for track in &mut told.lanes {
        if let (Lane::Worker(_), Some(bar)) = (track.lane, track.bars.first_mut()) {
            bar.kind = BarKind::Approval;
        }
        track.bars.iter_mut().for_each(|bar| bar.note = Some(text("note")));
    }
}

/// What a text may be made of so that it would be more than text.
const PIECES: &[&str] = &[
    "<script>alert(1)</script>",
    "</script>",
    "</style>",
    "</title>",
    "</svg>",
    "</pre>",
    "<!--",
    "-->",
    "]]>",
    "<![CDATA[",
    "\"",
    "'",
    "`",
    "<",
    ">",
    "&",
    "&lt;",
    "&#60;",
    "\" onload=\"x",
    "' onclick='x",
    "javascript:x",
    "<img src=x onerror=x>",
    "\u{0}",
    "\u{1b}[31m",
    "\u{202e}",
    "\u{2066}",
    "\u{200b}",
    "\u{feff}",
    "\t",
    "\r",
    "=",
    "/",
    "\\",
    "ä",
    "漢字",
    "\u{0301}",
    "style=",
    "http://example.org/",
    "{{x}}",
    "${x}",
    "a",
    " ",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_comes_from_outside_is_never_more_than_text(
        pieces in proptest::collection::vec(proptest::sample::select(PIECES), 1..12),
        times in prop_oneof![9 => Just(1_usize), 1 => Just(400)],
    ) {
        let nasty = pieces.concat().repeat(times);
        let hostile = page_with(&|what| format!("{what}{nasty}"));
        let harmless = page_with(&str::to_owned);
        let (tags_of, attributes) = tags(&hostile);
        // Text is in a bar where there is room for it.
        let but_labels = |tags: Vec<String>| tags.into_iter().filter(|tag| tag != "text x" && tag != "/text").collect::<Vec<_>>();
        prop_assert_eq!(but_labels(tags_of), but_labels(tags(&harmless).0));
        for (name, value) in attributes {
            prop_assert!(!name.starts_with("on") && name != "style" && name != "src", "{}", name);
            prop_assert!(name != "href" || value.starts_with('#'), "{}", value);
        }
        let unseen = |c: char| c.is_control() && c != '\n' || matches!(c, '\u{202e}' | '\u{2066}' | '\u{200b}' | '\u{feff}');
        let shown = hostile.split_once("<body>").unwrap().1.split_once("<script>").unwrap().0.to_owned();
        prop_assert!(!shown.contains(unseen));
        prop_assert!(hostile.len() < 600_000, "{} bytes", hostile.len());
    }
}

/// A run of two workers whose facts have these times.
fn page_at(times: impl Fn(usize, Millis) -> Millis, count: Option<usize>, now: Millis) -> String {
    let hosts = (1..=3).map(|n| worker(&format!("w{n}"), &[], &["zone=a"])).collect();
    let graph = Arc::new(compiled(&plan(), &fleet(hosts, &[])));
    let mut facts = play(Arc::clone(&graph), some_fail);
    facts.truncate(count.unwrap_or(usize::MAX));
    facts.iter_mut().enumerate().for_each(|(nth, stamped)| stamped.at = times(nth, stamped.at));
    page_of_facts(&graph, &facts, now)
}

fn page_of_facts(graph: &Arc<RolloutGraph>, facts: &[Stamped], now: Millis) -> String {
    let info = RunInfo { run: "20261122-2315-ab3f".into(), started_at: facts[0].at };
    let mut view = RunView::new(info, Arc::clone(graph));
    facts.iter().for_each(|stamped| view.fold(stamped).unwrap());
    view.refresh(now);
    let told = timeline(graph, facts, now, false).unwrap();
    run_page(&RunPage {
        view: &view,
        timeline: &told,
        graph,
        who: "anna",
        program: "0.1.0",
        plan_text: "",
        plan_file: "plan.yaml",
        record: None,
        outputs: &[],
        next: &[],
        made_at: now,
        served: None,
        forecast: None,
    })
}

#[test]
fn every_number_of_a_picture_is_a_bounded_number() {
    const DAY: Millis = 86_400_000;
    let pages = [
        ("as it was", page_at(|_, at| at, None, START + DAY)),
        ("all at once", page_at(|_, _| START, None, START)),
        ("backwards", page_at(|nth, _| START - nth as Millis * 60_000, None, START)),
        ("before 1970, then after", page_at(|nth, _| if nth % 2 == 0 { -DAY } else { DAY }, None, 0)),
        ("over centuries", page_at(|nth, _| nth as Millis * 40_000 * DAY, None, START)),
        ("far beyond", page_at(|nth, _| if nth < 3 { START } else { 9_000_000_000_000_000 }, None, i64::MAX)),
        ("only begun", page_at(|_, at| at, Some(1), START + 1)),
        ("nobody started", page_at(|_, at| at, Some(2), START + 90_000)),
        ("in the middle", page_at(|_, at| at, Some(9), START + 90_000)),
        ("looked at before it began", page_at(|_, at| at, Some(9), 0)),
    ];
    for (what, page) in pages {
        for (name, value) in tags(&page).1 {
            let is_number = ["x", "y", "x1", "x2", "y1", "y2", "width", "height", "viewBox", "d"]
                .contains(&name.as_str());
            if !is_number || value.is_empty() {
                continue;
            }
            let numbers = value
                .split(|c: char| !c.is_ascii_digit() && c != '.' && c != '-')
                .filter(|part| !part.is_empty());
            for number in numbers {
                let number: f64 = number.parse().unwrap_or_else(|_| panic!("{what}: {name}={value}"));
                assert!(number.abs() < 100_000.0, "{what}: {name}={value}");
            }
            let rest = value.trim_matches(|c: char| c.is_ascii_digit());
            assert!(!rest.contains("NaN") && !rest.contains("inf"), "{what}: {name}={value}");
            if name == "width" && value.ends_with('%') {
                let share: f64 = value.trim_end_matches('%').parse().unwrap();
                assert!((0.0..=100.0).contains(&share), "{what}: {value}");
            }
        }
    }
}

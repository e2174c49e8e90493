//! Pages of whole runs.

use std::sync::Arc;

use super::*;
use crate::engine::{AttemptSpec, Outcome};
use crate::graph::testing::{command, compiled, fleet, plan, worker};
use crate::plan::{Plan, Source};
use crate::report::testing::{START, play, some_fail};
use crate::report::{RunInfo, RunView};
use crate::timeline::timeline;

fn page_of(workers: usize, plan_text: &str, fails: impl Fn(&AttemptSpec) -> Option<Outcome>) -> String {
    page_of_plan(plan(), workers, plan_text, fails)
}

fn page_of_plan(
    mut plan: Plan,
    workers: usize,
    plan_text: &str,
    fails: impl Fn(&AttemptSpec) -> Option<Outcome>,
) -> String {
    plan.source = Source::new("plan.yaml", plan_text.to_owned());
    let hosts = (1..=workers).map(|n| worker(&format!("w{n}"), &[], &["zone=<b>a&\"'"]));
    let graph = Arc::new(compiled(&plan, &fleet(hosts.collect(), &[])));
    let facts = play(Arc::clone(&graph), fails);
    let mut view =
        RunView::new(RunInfo { run: "20261122-2315-ab3f".into(), started_at: START }, Arc::clone(&graph));
    facts.iter().for_each(|stamped| view.fold(stamped).unwrap());
    let at = facts.last().unwrap().at;
    view.refresh(at);
    let timeline = timeline(&graph, &facts, at, false).unwrap();
    let outputs = [FailureOutput {
        host: "w2".to_owned(),
        step: "reboot".to_owned(),
        logs: "the whole output:\n  maand plan logs --worker w2".to_owned(),
        text: "<script>alert(1)</script>\n\u{1b}[31mred\u{202e}".to_owned(),
    }];
    run_page(&RunPage {
        view: &view,
        timeline: &timeline,
        graph: &graph,
        who: "anna<script>@vm",
        program: "0.1.0",
        plan_text,
        plan_file: "plan.yaml",
        record: Some((facts.len() as u64, "00ff")),
        outputs: &outputs,
        next: &["maand plan resume --retry".to_owned()],
        made_at: at,
        served: None,
        forecast: None,
    })
}

#[test]
fn foreign_text_never_becomes_markup() {
    let text = page_of(3, "name: \"</pre><script>x</script>\"\n", some_fail);
    // The page's own script is the only one.
    assert_eq!(text.matches("<script").count(), 1, "{text}");
    assert!(text.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
    assert!(!text.contains('\u{1b}') && !text.contains('\u{202e}'), "control characters are text");
    assert!(!text.contains("<b>a"), "{text}");
    assert!(!text.contains("style=\"") && !text.contains("onclick") && !text.contains("http:"));
    assert!(!text.contains("https:"), "nothing is loaded from anywhere");
}

#[test]
fn failures_come_first_with_their_output_and_what_to_type() {
    let text = page_of(3, "name: x\n", some_fail);
    let at = |what: &str| text.find(what).unwrap_or_else(|| panic!("no {what}"));
    assert!(at("What went wrong: 1 worker") < at("id=\"timeline-title\""));
    assert!(at("maand plan resume --retry") < at("What went wrong"));
    assert!(text.contains("it has not come back within 5m"));
    let well = page_of(3, "name: x\n", |_| None);
    assert!(!well.contains("What went wrong"));
    assert!(well.contains("at most 1 (allowed: 1) down at the same time"));
}

#[test]
fn many_workers_share_lanes() {
    let text = page_of(2001, "name: x\n", some_fail);
    let lanes = text.matches("<details class=\"lane g\"").count();
    assert!((300..=400).contains(&lanes), "{lanes}");
    // The one that failed has a lane of its own, and what happened to it is linked to it.
    assert!(text.contains("<details class=\"lane\" id=\"lane-2\"") && text.contains("href=\"#lane-2\""));
    let few = page_of(300, "name: x\n", |_| None);
    assert_eq!(few.matches("data-host=\"w").count(), 600, "a lane and a row of each");
    assert!(few.len() < 600_000, "{} bytes", few.len());
}

#[test]
fn a_forecast_is_the_page_of_a_run_and_says_what_it_is() {
    let graph =
        Arc::new(compiled(&plan(), &fleet(vec![worker("w1", &[], &[]), worker("w2", &[], &[])], &[])));
    let facts = play(Arc::clone(&graph), |_| None);
    let at = facts.last().unwrap().at;
    let mut view = RunView::new(RunInfo { run: "simulated".into(), started_at: START }, Arc::clone(&graph));
    facts.iter().for_each(|stamped| view.fold(stamped).unwrap());
    view.refresh(at);
    let timeline = timeline(&graph, &facts, at, true).unwrap();
    let forecast = Forecast {
        seed: 7,
        runs: 20,
        finishes: &[(10_000, 20_000, 3), (20_000, 30_000, 17)],
        expected: 21_000,
        worst: 29_000,
        synthetic: true,
        durations: "steps take <b>long</b>",
    };
    let page = |forecast| {
        run_page(&RunPage {
            view: &view,
            timeline: &timeline,
            graph: &graph,
            who: "a simulation",
            program: "0.1.0",
            plan_text: "name: x\n",
            plan_file: "plan.yaml",
            record: None,
            outputs: &[],
            next: &[],
            served: None,
            made_at: at,
            forecast,
        })
    };
    let (of_forecast, of_run) = (page(Some(&forecast)), page(None));
    let at = |what: &str| of_forecast.find(what).unwrap_or_else(|| panic!("no {what}"));
    assert!(at("<title id=\"title\">Forecast: ") < at("A forecast: nothing of this has happened"));
    assert!(at("A forecast: nothing of this has happened") < at("id=\"headline\""));
    assert!(at("(seed 7)") < at("made up") && of_forecast.contains("20s (expected)"));
    assert!(!of_forecast.contains("<b>long"), "text stays text");
    assert!(!of_forecast.contains("All that was planned is done"), "nothing was done");
    // Below that it has the same parts with the same ids, so that both can be laid side by side.
    let ids = |page: &str| -> Vec<String> {
        let parts = page.split(" id=\"").skip(1).filter_map(|rest| rest.split_once('"'));
        parts.map(|(id, _)| id.to_owned()).filter(|id| !id.starts_with("forecast")).collect()
    };
    assert_eq!(ids(&of_forecast), ids(&of_run));
    assert!(!of_run.contains("orecast"), "a run is none");
}

#[test]
fn a_thousand_workers_with_seven_steps_are_less_than_two_megabytes() {
    let mut plan = plan();
    plan.steps.extend(["drain", "deploy", "enable", "deploy-2", "health"].map(command));
    let text = page_of_plan(plan, 1000, "name: x\n", |_| None);
    assert_eq!(text.matches("<details class=\"lane\" id=\"lane-").count(), 1000);
    assert!(text.len() < 2_000_000, "{} bytes", text.len());
}

//! Whoever reads a plan before it is carried out sees all that it sends, expects and decides.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Shown, json, text};
use crate::graph::{self, CompileOptions, RolloutGraph};
use crate::plan::testing::{CALENDAR, CALENDARS, each_change};
use crate::plan::{Plan, Problems};
use crate::policy::Forecast;

/// What of a plan is read by programs, and by an operator; without what any other text of a plan changes.
fn shown(plan: &Plan, forecast: &mut Option<Forecast>) -> (String, String) {
    let files = CALENDARS.map(|name| (name.to_owned(), CALENDAR.to_owned())).into();
    let fleet = Arc::new(graph::synthetic_fleet(plan, 9));
    let options = CompileOptions { workers: None, files };
    let graph: RolloutGraph = graph::compile(&Arc::new(plan.clone()), &fleet, &options).unwrap();
    let shown = Shown {
        graph: &graph,
        feasibility: &Problems::new(),
        // How long it takes is no news here.
        forecast: forecast.get_or_insert_with(|| Forecast::of(&graph)),
        expected: None,
        openings: None,
        pending: None,
        diffs: None,
        reviewed: None,
        probed: None,
    };
    let mut document: serde_json::Value = serde_json::from_str(&json::render(&shown).unwrap()).unwrap();
    document["graph_hash"] = "".into();
    // Where a warning stands moves with the text before it.
    document["problems"] = "".into();
    let text = text::render(&shown).replace(&graph.hash()[..16], "");
    let text = text.split_once("\nWarnings").map_or(text.as_str(), |(text, _)| text).to_owned();
    (document.to_string(), text)
}

/// What of a plan goes elsewhere than to its workers, what has to come from there, and when. Of other steps the text has what
/// they do, and the document has each option.
fn is_sent_or_expected(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    let is_below = |key: &str| parts.contains(&key);
    let all = [
        "gates",
        "guard",
        "gate",
        "silence",
        "notify",
        "http",
        "env",
        "vars",
        "window",
        "freeze",
        "on_no_return",
        "outside_window",
        "concurrency",
    ];
    all.into_iter().any(is_below)
}

#[test]
fn every_key_of_the_language_is_shown() {
    let (mut untold, mut unseen) = (Vec::new(), Vec::new());
    let mut forecast = None;
    let mut olds = BTreeMap::new();
    each_change(|path, old, new| {
        let old = olds.entry(old.name.clone()).or_insert_with(|| {
            forecast = None;
            shown(old, &mut forecast)
        });
        let new = shown(new, &mut forecast);
        if old.0 == new.0 {
            untold.push(path.to_owned());
        }
        if old.1 == new.1 && is_sent_or_expected(path) {
            unseen.push(path.to_owned());
        }
        for text in [&new.0, &new.1] {
            assert!(!text.contains("services/T1") && !text.contains("tk_abcdef"), "{path}: a secret: {text}");
        }
    });
    assert!(untold.is_empty() && unseen.is_empty(), "not in JSON: {untold:#?}\nnot in the text: {unseen:#?}");
}

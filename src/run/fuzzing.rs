//! What fuzzers call of this room.

use std::sync::{Arc, LazyLock};

use crate::bundle::{Bundle, verify_facts};
use crate::engine::{Fact, Options, PublicRunState, Stamped};
use crate::fuzzing::is_fit_to_print;
use crate::graph::{CompileOptions, RolloutGraph, compile};
use crate::page::{RunPage, run_page};
use crate::plan::{Source, parse};
use crate::report::{RunInfo, RunView, closing};
use crate::timeline::TimelineFold;

/// A run of version 1: its plan and fleet.
static RUN: LazyLock<Option<(Bundle, Arc<RolloutGraph>)>> = LazyLock::new(|| {
    let bundle = Bundle::parse("bundle", include_bytes!("../../tests/data/bundle-v1.json")).ok()?;
    let header = &bundle.header;
    let plan =
        parse(&Source::new(header.plan_file.clone(), header.plan_text.clone()), &header.overrides).ok()?;
    let options = CompileOptions { workers: header.only_workers.clone(), files: header.scripts.clone() };
    let graph = compile(&Arc::new(plan), &Arc::new(header.fleet.clone()), &options).ok()?;
    Some((bundle, Arc::new(graph)))
});

/// Facts of a run, one a line, with the seconds between them before each: whatever they say, they are replayed or
/// refused, and all who read them agree on which. What is made of them is text that harms nobody.
pub(crate) fn facts(bytes: &[u8]) {
    let Some((bundle, graph)) = &*RUN else { panic!("the example of a bundle cannot be used") };
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut at = bundle.text.facts.first().map_or(0, |first| first.at);
    let mut facts = Vec::new();
    for line in text.lines().take(200) {
        let (seconds, fact) = line.split_once(' ').unwrap_or(("1", line));
        let seconds: i64 = seconds.parse::<i32>().unwrap_or(1).into();
        let Ok(fact) = serde_json::from_str::<Fact>(fact) else { continue };
        at = (at + seconds * 1000).clamp(0, 1 << 52);
        facts.push(Stamped { seq: facts.len() as u64 + 1, at, epoch: 1, fact });
    }
    let (findings, replayed) = verify_facts(graph, Options::default(), &facts);
    findings.iter().for_each(|finding| is_fit_to_print(&crate::plan::visible(finding.what.as_bytes())));
    let mut view = RunView::new(
        RunInfo {
            run: bundle.about.run.clone(),
            started_at: bundle.text.facts.first().map_or(0, |first| first.at),
        },
        Arc::clone(graph),
    );
    let mut timeline = TimelineFold::new(graph);
    let viewed = facts.iter().try_for_each(|stamped| view.fold(stamped)).is_ok();
    let drawn = facts.iter().try_for_each(|stamped| timeline.take(stamped)).is_ok();
    assert_eq!((viewed, drawn), (replayed.is_some(), replayed.is_some()), "not all take them: {findings:?}");
    let Some(state) = replayed else { return };
    for orphaned in [true, false] {
        view.set_orphaned(orphaned);
        view.refresh(at);
        timeline.tell(at, !orphaned);
        assert_eq!(view.state, PublicRunState::of(&state.status(), orphaned));
        let said = closing(at, &view, None);
        assert!(!said.is_empty());
        let page = run_page(&RunPage {
            view: &view,
            timeline: timeline.timeline(),
            graph,
            who: &bundle.header.who,
            program: &bundle.header.program,
            plan_text: &bundle.header.plan_text,
            plan_file: &bundle.header.plan_file,
            record: Some((facts.len() as u64, "00")),
            outputs: &[],
            next: &[],
            made_at: at,
            served: None,
            forecast: None,
        });
        assert!(!page.contains("<script>alert") && !page.contains("<img"), "text of a fact is markup");
        assert_eq!(page.matches("<html").count(), 1);
    }
}

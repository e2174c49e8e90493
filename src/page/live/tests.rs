//! What is told of a page comes to what the page is.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::engine::Stamped;
use crate::graph::RolloutGraph;
use crate::graph::testing::{compiled, fleet, plan, worker};
use crate::page::lanes::row;
use crate::report::testing::{START, play, some_fail};
use crate::report::{RunInfo, RunView};
use crate::timeline::TimelineFold;

/// A run that is followed fact by fact.
struct Followed {
    graph: Arc<RolloutGraph>,
    view: RunView,
    timeline: TimelineFold,
}

impl Followed {
    fn new(workers: usize) -> (Self, Vec<Stamped>) {
        let hosts = (1..=workers).map(|n| worker(&format!("w{n}"), &[], &["zone=a"])).collect();
        let graph = Arc::new(compiled(&plan(), &fleet(hosts, &[])));
        let facts = play(Arc::clone(&graph), some_fail);
        let info = RunInfo { run: "20261122-2315-ab3f".into(), started_at: START };
        let view = RunView::new(info, Arc::clone(&graph));
        (Self { timeline: TimelineFold::new(&graph), view, graph }, facts)
    }

    fn take(&mut self, stamped: &Stamped) {
        self.view.fold(stamped).unwrap();
        self.timeline.take(stamped).unwrap();
        self.tell(stamped.at);
    }

    fn tell(&mut self, at: Millis) {
        self.view.refresh(at);
        self.timeline.tell(at, true);
    }

    fn page(&self) -> RunPage<'_> {
        RunPage {
            view: &self.view,
            timeline: self.timeline.timeline(),
            graph: &self.graph,
            who: "anna@vm",
            program: "0.1.0",
            plan_text: "name: x\n",
            plan_file: "plan.yaml",
            record: None,
            outputs: &[],
            next: &[],
            made_at: self.timeline.timeline().until,
            served: Some(Served { path: "/runs/20261122-2315-ab3f", version: "1-1" }),
            forecast: None,
        }
    }
}

fn all_rows(live: &LivePage, page: &RunPage<'_>) -> BTreeMap<String, String> {
    live.rows.iter().map(|one| (one.id.clone(), row(page, &live.axis, one).into_string())).collect()
}

#[test]
fn what_was_told_is_what_the_document_has() {
    let (mut followed, facts) = Followed::new(5);
    followed.take(&facts[0]);
    let mut live = LivePage::new(&followed.page());
    let mut shown = all_rows(&live, &followed.page());
    let (mut pages, mut told) = (0, 0);
    for stamped in &facts[1..] {
        followed.take(stamped);
        let page = followed.page();
        match live.changes(&page) {
            Changes::Page => {
                pages += 1;
                shown = all_rows(&live, &page);
            }
            Changes::Elements(mut elements) => {
                elements.extend(live.heavy_changes(&page));
                let document = live.document(&page);
                for element in elements {
                    assert!(document.contains(&element.html), "{}: {}", element.id, element.html);
                    assert!(element.html.contains(&format!("id=\"{}\"", element.id)), "{}", element.html);
                    told += 1;
                    if element.id.starts_with("lane-") {
                        shown.insert(element.id, element.html);
                    }
                }
            }
        }
        let is_open = |track: &LaneTrack| track.bars.iter().any(|bar| bar.to.is_none());
        if !page.timeline.lanes.iter().any(is_open) {
            assert_eq!(shown, all_rows(&live, &page), "after fact {}", stamped.seq);
        }
    }
    assert!(told > facts.len(), "{told} elements");
    assert!(pages < facts.len() / 3, "{pages} pages for {} facts", facts.len());
    // Where nothing has happened nothing is told.
    assert_eq!(live.changes(&followed.page()), Changes::Elements(Vec::new()));
    assert_eq!(live.heavy_changes(&followed.page()), Vec::new());
}

#[test]
fn time_alone_makes_room_now_and_then() {
    let (mut followed, facts) = Followed::new(2);
    facts[..4].iter().for_each(|stamped| followed.take(stamped));
    let mut live = LivePage::new(&followed.page());
    let mut pages = 0;
    for second in 1..=3600 {
        followed.tell(facts[3].at + second * 1000);
        let page = followed.page();
        if live.changes(&page) == Changes::Page {
            pages += 1;
        }
        assert!(live.axis.until() >= page.timeline.until);
    }
    assert!((5..40).contains(&pages), "{pages} times in an hour");
}

#[test]
fn what_all_who_are_queued_wait_for_is_told_a_few_at_a_time() {
    let (mut followed, facts) = Followed::new(200);
    facts[..4].iter().for_each(|stamped| followed.take(stamped));
    let mut live = LivePage::new(&followed.page());
    let queued = |view: &RunView| {
        view.workers.iter().filter(|worker| worker.state == PublicWorkerState::Queued).count()
    };
    let count = queued(&followed.view);
    assert!(count > 190);
    for worker in &mut followed.view.workers {
        if worker.state == PublicWorkerState::Queued {
            worker.waits_for = Some("something else".to_owned());
        }
    }
    let is_row = |element: &Element| element.id.starts_with("worker-");
    let Changes::Elements(at_once) = live.changes(&followed.page()) else { panic!("the page") };
    assert_eq!(at_once.iter().filter(|element| is_row(element)).count(), 0);
    let mut told = Vec::new();
    for _ in 0..count.div_ceil(QUEUED) {
        let large = live.heavy_changes(&followed.page());
        let rows: Vec<_> = large.into_iter().filter(is_row).map(|element| element.id).collect();
        assert!(rows.len() <= QUEUED);
        told.extend(rows);
    }
    told.sort_unstable();
    told.dedup();
    assert_eq!(told.len(), count, "each of them once");
}

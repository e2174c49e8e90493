//! A run's page that changes with its run: the whole of it once, then only what is another.
//!
//! The axis of time has room for a while beyond the present, so that what was drawn stays where it is; the browser moves
//! the present and the bars that are open. When the room is used up, the whole page is loaded anew.

use maud::{Markup, html};

use super::axis::Axis;
use super::groups::{self, group_lane};
use super::lanes::{is_grouped, lane, lane_id};
use super::model::{RunPage, Served};
use super::run::{Section, body, title};
use super::words::moment;
use super::workers::{row, row_id};
use super::{shell, strip};
use crate::engine::{Millis, PublicWorkerState};
use crate::graph::{Lane, TargetIx};
use crate::report::{PublicRunState, WorkerView};
use crate::timeline::{Down, Hold, LaneTrack, Mark, WaveTrack};

/// The axis has room for this share of what has passed.
const ROOM_SHARE: i64 = 4;
/// And for so long at least.
const ROOM_AT_LEAST: Millis = 30_000;
/// A browser without script loads a page of a run that is not over after so many seconds.
const REFRESH_SECONDS: u32 = 10;
/// Of queued workers that wait for something else than before, so many are told at a time.
const QUEUED: usize = 40;

/// An element of a page, by its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    /// The id.
    pub id: String,
    /// The whole element.
    pub html: String,
}

/// What of a page has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changes {
    /// These elements; there may be none.
    Elements(Vec<Element>),
    /// Nearly everything.
    Page,
}

/// What browsers have of a run's page.
pub struct LivePage {
    axis: Axis,
    is_over: bool,
    lanes: Vec<LaneTrack>,
    /// Workers that have a lane of their own although others share one.
    alone: Vec<TargetIx>,
    workers: Vec<WorkerView>,
    /// The next queued worker whose wait is told.
    next_queued: usize,
    marks: Vec<Mark>,
    holds: Vec<Hold>,
    waves: Vec<WaveTrack>,
    waits: usize,
    down: Down,
    light: Vec<String>,
    heavy: Vec<String>,
}

impl LivePage {
    /// Of a run as it is now.
    pub fn new(page: &RunPage<'_>) -> Self {
        let (timeline, view) = (page.timeline, page.view);
        let is_over = view.state.is_final();
        let room = ((timeline.until - timeline.began) / ROOM_SHARE).max(ROOM_AT_LEAST);
        let until = timeline.until + if is_over { 0 } else { room };
        let axis = Axis::with_room(timeline, until, view.state == PublicRunState::Running);
        let texts = |sections: [Section; 4]| {
            sections.iter().map(|section| section.element(page, &axis).into_string()).collect()
        };
        Self {
            light: texts(Section::LIGHT),
            heavy: texts(Section::HEAVY),
            is_over,
            lanes: timeline.lanes.clone(),
            alone: alone(page),
            workers: view.workers.clone(),
            next_queued: 0,
            marks: timeline.marks.clone(),
            holds: timeline.holds.clone(),
            waves: timeline.waves.clone(),
            waits: timeline.waits.len(),
            down: timeline.down.clone(),
            axis,
        }
    }

    /// The document.
    pub fn document(&self, page: &RunPage<'_>) -> String {
        let refresh = (!self.is_over).then_some(REFRESH_SECONDS);
        shell::served(&title(page), refresh, &body(page, &self.axis))
    }

    /// What is another than at the last call, and worth being told at once.
    pub fn changes(&mut self, page: &RunPage<'_>) -> Changes {
        if self.has_outgrown(page) {
            *self = Self::new(page);
            return Changes::Page;
        }
        let mut changed = Vec::new();
        match is_grouped(page) {
            true => self.changed_groups(page, &mut changed),
            false => self.changed_lanes(page, &mut changed),
        }
        self.changed_rows(page, &mut changed);
        let timeline = page.timeline;
        let is_another = timeline.marks != self.marks || timeline.holds != self.holds;
        if is_another {
            self.marks.clone_from(&timeline.marks);
            self.holds.clone_from(&timeline.holds);
            push(&mut changed, "tl-head", strip::head(page, &self.axis));
            push(&mut changed, "tl-behind", strip::behind(page, &self.axis));
        }
        sections(page, &self.axis, &Section::LIGHT, &mut self.light, &mut changed);
        Changes::Elements(changed)
    }

    /// What is another than at the last call, and large.
    pub fn heavy_changes(&mut self, page: &RunPage<'_>) -> Vec<Element> {
        let mut changed = Vec::new();
        let timeline = page.timeline;
        let is_down_another = self.down != timeline.down;
        if is_down_another || self.waves != timeline.waves || self.waits != timeline.waits.len() {
            self.waves.clone_from(&timeline.waves);
            self.waits = timeline.waits.len();
            push(&mut changed, "tl-strip", strip::rows(page, &self.axis));
        }
        for (section, was) in Section::HEAVY.iter().zip(&mut self.heavy) {
            // The right edge of its pictures is the present, which is no news.
            if *section != Section::Down || is_down_another {
                sections(
                    page,
                    &self.axis,
                    std::slice::from_ref(section),
                    std::slice::from_mut(was),
                    &mut changed,
                );
            }
        }
        if is_down_another {
            self.down = timeline.down.clone();
        }
        self.changed_waits(page, &mut changed);
        changed
    }

    /// Whether what is to be drawn has no place on the axis, or among the lanes.
    fn has_outgrown(&self, page: &RunPage<'_>) -> bool {
        let timeline = page.timeline;
        let latest = || {
            let ends = timeline.lanes.iter().filter_map(|track| track.bars.last());
            let ends = ends.map(|bar| bar.to.map_or(timeline.until, |to| to.max(bar.from)));
            ends.chain(timeline.marks.last().map(|mark| mark.at)).max()
        };
        let once = |lanes: &[LaneTrack]| {
            let is_shown = |track: Option<&LaneTrack>| track.is_some_and(|track| !track.bars.is_empty());
            (is_shown(lanes.first()), is_shown(lanes.last()))
        };
        let is_over = page.view.state.is_final();
        is_over != self.is_over
            || (!is_over && timeline.until > self.axis.until())
            || self.axis.cut_since().is_some_and(|since| latest() > Some(since))
            || once(&timeline.lanes) != once(&self.lanes)
            || (is_grouped(page) && alone(page) != self.alone)
    }

    fn changed_lanes(&mut self, page: &RunPage<'_>, changed: &mut Vec<Element>) {
        for (now, was) in page.timeline.lanes.iter().zip(&mut self.lanes) {
            if now == was {
                continue;
            }
            was.clone_from(now);
            if let Some(id) = lane_id(page, now.lane) {
                push(changed, &id, lane(page, &self.axis, now));
            }
        }
    }

    fn changed_groups(&mut self, page: &RunPage<'_>, changed: &mut Vec<Element>) {
        let lanes = &page.timeline.lanes;
        let workers = lanes.len().saturating_sub(2);
        let size = groups::size(workers);
        let all: Vec<&LaneTrack> = lanes.iter().skip(1).take(workers).collect();
        for (nth, group) in all.chunks(size).enumerate() {
            let was = self.lanes.iter().skip(1 + nth * size).take(group.len());
            if !group.iter().copied().eq(was) {
                push(changed, &groups::group_id(nth), group_lane(page, &self.axis, nth, group));
            }
        }
        for (now, was) in lanes.iter().zip(&mut self.lanes) {
            let is_alone = matches!(now.lane, Lane::Worker(target) if self.alone.contains(&target));
            let is_once = !matches!(now.lane, Lane::Worker(_));
            if now != was {
                was.clone_from(now);
                if (is_alone || is_once)
                    && let Some(id) = lane_id(page, now.lane)
                {
                    push(changed, &id, lane(page, &self.axis, now));
                }
            }
        }
    }

    fn changed_rows(&mut self, page: &RunPage<'_>, changed: &mut Vec<Element>) {
        for ((target, now), was) in page.graph.target_indices().zip(&page.view.workers).zip(&mut self.workers)
        {
            // All who are queued may wait for something else at once.
            let is_only_wait = now.state == PublicWorkerState::Queued && was.state == now.state;
            if !is_only_wait && now != was {
                was.clone_from(now);
                push(changed, &row_id(target), row(page, target));
            }
        }
    }

    /// What queued workers wait for: a few at a time, one after the other.
    fn changed_waits(&mut self, page: &RunPage<'_>, changed: &mut Vec<Element>) {
        let count = self.workers.len();
        let mut told = 0;
        for step in 0..count {
            let at = (self.next_queued + step) % count;
            let (now, was) = (&page.view.workers[at], &mut self.workers[at]);
            if now == was {
                continue;
            }
            was.clone_from(now);
            let target = TargetIx(at as u32);
            push(changed, &row_id(target), row(page, target));
            told += 1;
            if told == QUEUED {
                self.next_queued = (at + 1) % count;
                return;
            }
        }
        self.next_queued = 0;
    }
}

fn push(changed: &mut Vec<Element>, id: &str, element: Markup) {
    changed.push(Element { id: id.to_owned(), html: element.into_string() });
}

/// Sections that are another than `were`.
fn sections(
    page: &RunPage<'_>,
    axis: &Axis,
    sections: &[Section],
    were: &mut [String],
    changed: &mut Vec<Element>,
) {
    for (section, was) in sections.iter().zip(were) {
        let element = section.element(page, axis).into_string();
        if *was != element {
            was.clone_from(&element);
            changed.push(Element { id: section.id().to_owned(), html: element });
        }
    }
}

/// Workers of a large fleet that have a lane of their own.
fn alone(page: &RunPage<'_>) -> Vec<TargetIx> {
    match is_grouped(page) {
        true => groups::alone(page),
        false => Vec::new(),
    }
}

/// The bar above a page that a browser loads again after so many seconds; `None`: it stays as it is.
pub(super) fn polled_bar(reload: Option<u32>, at: Millis, links: &Markup) -> Markup {
    html! {
        nav.bar aria-label="Pages" {
            a href="/" { "All runs" }
            (links)
            @if let Some(seconds) = reload {
                span #live role="status" data-reload=(seconds) data-at=(at) { noscript { "As of " (moment(at)) } }
            }
        }
    }
}

/// The bar above the page: the way back, and whether the page is up to date.
pub(super) fn bar(page: &RunPage<'_>, served: &Served<'_>) -> Markup {
    html! {
        nav.bar aria-label="Pages" {
            a href="/" { "All runs" }
            a href=(format!("{}/report.html", served.path)) { "Download this page" }
            span #live role="status" data-events=(format!("{}/events", served.path))
                data-version=(served.version) data-at=(page.made_at) {
                noscript { "As of " (moment(page.made_at)) "; loaded anew while the run is under way." }
            }
        }
    }
}

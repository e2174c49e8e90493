//! A run's page that changes with its run: the whole of it once, then only what is another.
//!
//! The axis of time has room for a while beyond the present, so that what was drawn stays where it is; the browser moves
//! the present and the bars that are open. When the room is used up, the whole page is loaded anew.

#[cfg(test)]
mod tests;

use maud::{Markup, html};

use super::axis::Axis;
use super::lanes::{self, Row};
use super::model::{RunPage, Served};
use super::run::{Section, body, title};
use super::words::moment;
use super::{shell, strip, workers};
use crate::engine::{Millis, PublicWorkerState};
use crate::graph::TargetIx;
use crate::report::{PublicRunState, WorkerView};
use crate::timeline::{Down, Hold, LaneTrack, Mark, WaveTrack};

/// The axis has room for this share of what has passed.
const ROOM_SHARE: i64 = 4;
/// And for so long at least.
const ROOM_AT_LEAST: Millis = 30_000;
/// A browser without script loads a page of a run that is not over after so many seconds.
const REFRESH_SECONDS: u32 = 10;
/// A section that is larger is told with what is large.
const LIGHT_BYTES: usize = 16 << 10;
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
    rows: Vec<Row>,
    lanes: Vec<LaneTrack>,
    workers: Vec<WorkerView>,
    /// The next queued worker whose wait is told.
    next_queued: usize,
    marks: Vec<Mark>,
    holds: Vec<Hold>,
    waves: Vec<WaveTrack>,
    waits: usize,
    down: Down,
    /// In the order of [`Section::ALL`].
    sections: Vec<String>,
    title: String,
}

impl LivePage {
    /// Of a run as it is now.
    pub fn new(page: &RunPage<'_>) -> Self {
        let (timeline, view) = (page.timeline, page.view);
        let is_over = view.state.is_final();
        let room = ((timeline.until - timeline.began) / ROOM_SHARE).max(ROOM_AT_LEAST);
        let until = timeline.until + if is_over { 0 } else { room };
        let axis = Axis::up_to(timeline, until, view.state == PublicRunState::Running);
        let sections = Section::ALL.map(|section| section.element(page, &axis).1.into_string()).into();
        Self {
            sections,
            title: title(page),
            is_over,
            rows: lanes::rows(timeline),
            lanes: timeline.lanes.clone(),
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
        self.changed_lanes(page, &mut changed);
        self.changed_rows(page, &mut changed);
        let timeline = page.timeline;
        if (&timeline.marks, &timeline.holds) != (&self.marks, &self.holds) {
            self.marks.clone_from(&timeline.marks);
            self.holds.clone_from(&timeline.holds);
            push(&mut changed, "marks", strip::head(page, &self.axis));
            push(&mut changed, "bands", strip::behind(page, &self.axis));
        }
        self.changed_sections(page, &mut changed, |_, is_heavy| !is_heavy);
        let title = title(page);
        if title != self.title {
            push(&mut changed, "title", html! { title #title data-live { (title) } });
            self.title = title;
        }
        Changes::Elements(changed)
    }

    /// What is another than at the last call, and large.
    pub fn heavy_changes(&mut self, page: &RunPage<'_>) -> Vec<Element> {
        let mut changed = Vec::new();
        let timeline = page.timeline;
        // The right edge of these pictures is the present, which is no news.
        let is_down_another = self.down != timeline.down;
        if is_down_another || self.waves != timeline.waves || self.waits != timeline.waits.len() {
            self.waves.clone_from(&timeline.waves);
            self.waits = timeline.waits.len();
            push(&mut changed, "strip", strip::rows(page, &self.axis));
        }
        if is_down_another {
            self.down = timeline.down.clone();
        }
        let is_told =
            |section: Section, is_heavy: bool| is_heavy && (section != Section::Down || is_down_another);
        self.changed_sections(page, &mut changed, is_told);
        self.changed_waits(page, &mut changed);
        changed
    }

    /// Whether what is to be drawn has no place on the axis, or in the rows.
    fn has_outgrown(&self, page: &RunPage<'_>) -> bool {
        let timeline = page.timeline;
        let latest = || {
            let ends = timeline.lanes.iter().filter_map(|track| track.bars.last());
            let ends = ends.map(|bar| bar.to.map_or(timeline.until, |to| to.max(bar.from)));
            ends.chain(timeline.marks.last().map(|mark| mark.at)).max()
        };
        let is_over = page.view.state.is_final();
        is_over != self.is_over
            || (!is_over && timeline.until > self.axis.until())
            || self.axis.cut_since().is_some_and(|since| latest() > Some(since))
            || !lanes::rows(timeline).iter().map(|row| &row.id).eq(self.rows.iter().map(|row| &row.id))
    }

    fn changed_lanes(&mut self, page: &RunPage<'_>, changed: &mut Vec<Element>) {
        for row in &self.rows {
            let now = &page.timeline.lanes[row.tracks.clone()];
            if *now != self.lanes[row.tracks.clone()] {
                push(changed, &row.id, lanes::row(page, &self.axis, row));
            }
        }
        // Of a large fleet a worker may be in two rows.
        for (now, was) in page.timeline.lanes.iter().zip(&mut self.lanes) {
            if now != was {
                was.clone_from(now);
            }
        }
    }

    fn changed_sections(
        &mut self,
        page: &RunPage<'_>,
        changed: &mut Vec<Element>,
        is_told: impl Fn(Section, bool) -> bool,
    ) {
        for (section, was) in Section::ALL.into_iter().zip(&mut self.sections) {
            if !is_told(section, section.is_heavy() || was.len() > LIGHT_BYTES) {
                continue;
            }
            let (id, element) = section.element(page, &self.axis);
            let element = element.into_string();
            if *was != element {
                was.clone_from(&element);
                changed.push(Element { id: id.to_owned(), html: element });
            }
        }
    }

    fn changed_rows(&mut self, page: &RunPage<'_>, changed: &mut Vec<Element>) {
        for (at, (now, was)) in (0..).zip(page.view.workers.iter().zip(&mut self.workers)) {
            // All who are queued may wait for something else at once.
            let is_only_wait = now.state == PublicWorkerState::Queued && was.state == now.state;
            if !is_only_wait && now != was {
                was.clone_from(now);
                push(changed, &workers::row_id(TargetIx(at)), workers::row(page, TargetIx(at)));
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
            push(changed, &workers::row_id(target), workers::row(page, target));
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

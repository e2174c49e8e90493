//! A run's page that changes with its run: the whole of it once, then only what is another.
//!
//! The axis of time has room for a while beyond the present, so that what was drawn stays where it is; the browser moves
//! the present and the bars that are open. When the room is used up, the whole page is loaded anew.

use maud::{Markup, html};

use super::axis::Axis;
use super::lanes::{self, Row};
use super::model::{RunPage, Served};
use super::run::{Section, body, title};
use super::{sections, shell};
use crate::engine::Millis;
use crate::report::WorkerView;
use crate::timeline::{Down, Hold, LaneTrack, Mark, WaveTrack};

/// The axis has room for this share of what has passed.
const ROOM_SHARE: i64 = 4;
/// And for so long at least.
const ROOM_AT_LEAST: Millis = 30_000;
/// A browser without script loads a page of a run that is not over after so many seconds.
const REFRESH_SECONDS: u32 = 10;

/// What of a page has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changes {
    /// These elements, by id; there may be none.
    Elements(Vec<(String, String)>),
    /// Nearly everything.
    Page,
}

/// What browsers have of a run's page.
pub struct LivePage {
    axis: Axis,
    rows: Vec<Row>,
    lanes: Vec<LaneTrack>,
    workers: Vec<WorkerView>,
    marks: Vec<Mark>,
    holds: Vec<Hold>,
    waves: Vec<WaveTrack>,
    down: Down,
    sections: Vec<String>,
    is_over: bool,
}

impl LivePage {
    /// Of a run as it is now.
    pub fn new(page: &RunPage<'_>) -> Self {
        let (timeline, view) = (page.timeline, page.view);
        let is_over = view.state.is_final();
        let room = ((timeline.until - timeline.began) / ROOM_SHARE).max(ROOM_AT_LEAST);
        let axis = Axis::up_to(timeline, timeline.until + if is_over { 0 } else { room });
        let sections = Section::ALL.map(|section| section.element(page, &axis).1.into_string()).into();
        Self {
            rows: lanes::rows(timeline),
            lanes: timeline.lanes.clone(),
            workers: view.workers.clone(),
            marks: timeline.marks.clone(),
            holds: timeline.holds.clone(),
            waves: timeline.waves.clone(),
            down: timeline.down.clone(),
            sections,
            axis,
            is_over,
        }
    }

    /// The document.
    pub fn document(&self, page: &RunPage<'_>) -> String {
        let refresh = (!self.is_over).then_some(REFRESH_SECONDS);
        shell::served(&title(page), refresh, &body(page, &self.axis))
    }

    /// What is another than at the last call; `heavy`: also what is large and need not be told at once.
    pub fn changes(&mut self, page: &RunPage<'_>, heavy: bool) -> Changes {
        if self.has_outgrown(page) {
            *self = Self::new(page);
            return Changes::Page;
        }
        let mut changed = self.changed_lanes(page);
        self.changed_rows(page, &mut changed);
        let is_down_another = self.down != page.timeline.down;
        for (section, was) in Section::ALL.into_iter().zip(&mut self.sections) {
            // Its right edge is the present, which is no news.
            let is_told = section != Section::Down || is_down_another;
            if (section.is_heavy() && !heavy) || !is_told {
                continue;
            }
            let (id, element) = section.element(page, &self.axis);
            let element = element.into_string();
            if *was != element {
                changed.push((id.to_owned(), element.clone()));
                *was = element;
            }
        }
        if heavy && is_down_another {
            self.down = page.timeline.down.clone();
        }
        Changes::Elements(changed)
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

    fn changed_lanes(&mut self, page: &RunPage<'_>) -> Vec<(String, String)> {
        let timeline = page.timeline;
        let mut changed = Vec::new();
        for (number, row) in self.rows.iter().enumerate() {
            let now = &timeline.lanes[row.tracks.clone()];
            let was = &mut self.lanes[row.tracks.clone()];
            if *now != *was {
                was.clone_from_slice(now);
                changed.push((row.id.clone(), lanes::row(page, &self.axis, row, number).into_string()));
            }
        }
        let height = lanes::height(&self.rows);
        if timeline.marks != self.marks {
            self.marks.clone_from(&timeline.marks);
            changed.push(("marks".into(), lanes::marks(page, &self.axis, height).into_string()));
        }
        if (&timeline.holds, &timeline.waves) != (&self.holds, &self.waves) {
            self.holds.clone_from(&timeline.holds);
            self.waves.clone_from(&timeline.waves);
            changed.push(("bands".into(), lanes::bands(page, &self.axis, height).into_string()));
        }
        if !changed.is_empty() {
            changed.push(("now".into(), lanes::now_line(page, &self.axis, height).into_string()));
        }
        changed
    }

    fn changed_rows(&mut self, page: &RunPage<'_>, changed: &mut Vec<(String, String)>) {
        for (at, (worker, was)) in page.view.workers.iter().zip(&mut self.workers).enumerate() {
            if worker != was {
                was.clone_from(worker);
                changed.push((format!("worker-{at}"), sections::row(page, worker, at).into_string()));
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
                noscript { "As of " (crate::report::Time(page.made_at).to_second()) "; loaded anew while the run is under way." }
            }
        }
    }
}

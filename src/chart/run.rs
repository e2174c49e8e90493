//! A run over time: a lane for each worker, and around them what concerns all.

use unicode_width::UnicodeWidthStr;

use super::format::Format;
use super::glyphs::Glyphs;
use super::lanes::{self, Chosen};
use super::line::{Cell, Ink, Line, in_columns};
use super::scale::Scale;
use super::words::head;
use super::{bands, counts, legend, words};
use crate::graph::{Lane, RolloutGraph};
use crate::plan::visible_line;
use crate::report::RunView;
use crate::timeline::{LaneTrack, Timeline};

/// What the picture of a run is made of.
#[derive(Clone, Copy)]
pub struct RunChart<'a> {
    /// The view, refreshed.
    pub view: &'a RunView,
    /// What happened when.
    pub timeline: &'a Timeline,
    /// The compiled plan.
    pub graph: &'a RolloutGraph,
    /// Who started it, `user@host`.
    pub who: &'a str,
}

/// So many workers have a lane where lines are not limited.
const LANES: usize = 40;
/// Where lines are limited, at least so many.
const FEWEST_LANES: usize = 3;
/// Lines about workers that have no lane.
const OTHERS: usize = 2;
/// Names have at most this many columns, and at most a third of them.
const NAMES: usize = 24;

/// The run as lines, none wider than the format.
pub fn run_chart(chart: &RunChart<'_>, format: &Format) -> Vec<Line> {
    let glyphs = Glyphs::new(format.unicode);
    let width = format.columns();
    let mut lines = head(chart, width, glyphs);
    let legend = legend::legend(chart, width, glyphs);
    let room = match format.height {
        _ if format.all => usize::MAX,
        None => LANES,
        Some(height) => {
            let nobody = Chosen::default();
            let bare = Drawing::of(chart, &nobody, width, glyphs);
            let free = height.saturating_sub(lines.len() + bare.rows(&nobody).len());
            // Where not all have a lane, that is said, and what the signs mean is worth more than another lane.
            let all = chart.graph.targets.len();
            let said =
                OTHERS + words::numbers(chart, &nobody, &bare.scale, width, glyphs).len() + legend.len();
            if all <= free { all } else { free.saturating_sub(said).max(FEWEST_LANES) }
        }
    };
    let chosen = lanes::choose(&chart.timeline.lanes, room);
    let drawing = Drawing::of(chart, &chosen, width, glyphs);
    lines.extend(drawing.rows(&chosen));
    let numbers = words::numbers(chart, &chosen, &drawing.scale, width, glyphs);
    let events = words::events(chart, width, glyphs);
    let Some(height) = format.height else {
        for part in [numbers, legend, events].into_iter().filter(|part| !part.is_empty()) {
            lines.push(Line::default());
            lines.extend(part);
        }
        return cut(lines, format, glyphs);
    };
    lines.extend(numbers.into_iter().chain(legend));
    // Of the events the newest.
    let room = height.saturating_sub(lines.len());
    let older = events.len().saturating_sub(room);
    lines.extend(events.into_iter().skip(older));
    lines.truncate(height);
    cut(lines, format, glyphs)
}

fn cut(lines: Vec<Line>, format: &Format, glyphs: Glyphs) -> Vec<Line> {
    lines.into_iter().map(|line| line.cut(format.width, glyphs.ellipsis())).collect()
}

/// What is drawn along the time.
struct Drawing<'a> {
    chart: &'a RunChart<'a>,
    glyphs: Glyphs,
    scale: Scale,
    names: usize,
}

impl<'a> Drawing<'a> {
    fn of(chart: &'a RunChart<'a>, chosen: &Chosen<'_>, width: usize, glyphs: Glyphs) -> Self {
        let wide = |track: &&LaneTrack| visible_line(name_of(chart.graph, track.lane)).width();
        let longest = chosen.shown.iter().map(wide).max().unwrap_or(0).max("before".len());
        let names = longest.min(NAMES).min(width / 3);
        // A sign and a blank before the name, a blank behind it.
        let scale = Scale::new(chart.timeline, width.saturating_sub(names + 3));
        Self { chart, glyphs, scale, names }
    }

    /// From the axis to what is down.
    fn rows(&self, chosen: &Chosen<'_>) -> Vec<Line> {
        let mut rows = vec![self.row("", &self.scale.axis(self.glyphs, None))];
        rows.extend(self.top());
        rows.extend(self.lanes(chosen));
        rows.extend(self.bottom());
        rows
    }

    /// A row about the run.
    fn row(&self, name: &str, cells: &[Cell]) -> Line {
        let name = in_columns(name, self.names, self.glyphs.ellipsis());
        Line::of(&format!("  {name} "), Ink::Dim).with_cells(cells)
    }

    fn lane(&self, track: &LaneTrack) -> Line {
        let Self { chart, glyphs, scale, .. } = self;
        let (sign, ink) = glyphs.state(track.state);
        let name = in_columns(name_of(chart.graph, track.lane), self.names, glyphs.ellipsis());
        Line::of(&format!("{sign} "), ink)
            .with(&format!("{name} "), if ink == Ink::Bad { Ink::Bad } else { Ink::Plain })
            .with_cells(&lanes::cells(track, chart.graph, chart.timeline.heard_until(), scale, *glyphs))
    }

    fn top(&self) -> Vec<Line> {
        let timeline = self.chart.timeline;
        let mut rows = vec![self.row("events", &bands::marks(timeline, &self.scale, self.glyphs))];
        if timeline.waves.len() > 1 {
            rows.push(self.row("waves", &bands::waves(timeline, &self.scale, self.glyphs)));
        }
        rows
    }

    fn lanes(&self, chosen: &Chosen<'_>) -> Vec<Line> {
        let once = |track: &&LaneTrack| !track.bars.is_empty() && !matches!(track.lane, Lane::Worker(_));
        let all = &self.chart.timeline.lanes;
        let before = all.iter().take(1).filter(once);
        let after = all.iter().skip(1).rev().take(1).filter(once);
        let mut rows: Vec<Line> =
            before.chain(chosen.shown.iter().copied()).map(|track| self.lane(track)).collect();
        if !chosen.others.is_empty() {
            rows.push(self.others(&chosen.others));
        }
        rows.extend(after.map(|track| self.lane(track)));
        rows
    }

    /// How many of those without a lane were at work.
    fn others(&self, others: &[&LaneTrack]) -> Line {
        let (heard, until) = (self.chart.timeline.heard_until(), self.chart.timeline.until);
        let times = others.iter().flat_map(|track| &track.bars);
        let points = counts::under_way(times.map(|bar| (bar.from, bar.to.unwrap_or(heard).max(bar.from))));
        let cells = counts::heights(&points, until, &self.scale, self.glyphs, None);
        let name = format!("+{}", others.len());
        Line::of(&format!("  {} ", in_columns(&name, self.names, self.glyphs.ellipsis())), Ink::Plain)
            .with_cells(&cells)
    }

    fn bottom(&self) -> Vec<Line> {
        let Self { scale, glyphs, .. } = self;
        let timeline = self.chart.timeline;
        let mut rows = Vec::new();
        if !timeline.holds.is_empty() {
            rows.push(self.row("held", &bands::holds(timeline, scale, *glyphs)));
        }
        if !timeline.waits.is_empty() {
            rows.push(self.row("waits", &bands::waits(timeline, scale, *glyphs)));
        }
        let down = &timeline.down;
        let cells = counts::heights(&down.all.points, timeline.until, scale, *glyphs, Some(down.allowed));
        rows.push(self.row("down", &cells));
        rows
    }
}

fn name_of(graph: &RolloutGraph, lane: Lane) -> &str {
    match lane {
        Lane::Worker(target) => graph.host(target),
        Lane::Before => "before",
        Lane::After => "after",
    }
}

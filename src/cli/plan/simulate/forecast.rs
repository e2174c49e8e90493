//! The expected run of a simulation: as charts in text, and as the page of a run.

use std::sync::Arc;

use super::super::super::{CliError, Context, Exit, out};
use super::durations::Durations;
use super::text;
use crate::chart::{Bin, Format, Line, down_chart, finish_chart};
use crate::engine::Stamped;
use crate::graph::RolloutGraph;
use crate::page::{self, RunPage, run_page};
use crate::plan::Problem;
use crate::report::{RunInfo, RunView};
use crate::sim::Estimate;
use crate::timeline::{Timeline, timeline};

/// A run that nobody has carried out.
pub(super) struct Forecast<'a> {
    graph: &'a Arc<RolloutGraph>,
    view: RunView,
    timeline: Timeline,
}

/// Charts in text, in lines.
pub(super) struct Charts {
    pub(super) down: Vec<String>,
    pub(super) finish: Vec<String>,
}

impl<'a> Forecast<'a> {
    /// Of the facts of a simulated run.
    ///
    /// # Errors
    /// The engine of a simulation has written what it does not read: a bug.
    pub(super) fn of(graph: &'a Arc<RolloutGraph>, facts: Vec<Stamped>) -> Result<Self, CliError> {
        let bug = |what: String| {
            let problem =
                Problem::error("maand::cli::forecast", format!("the simulated run cannot be told: {what}"));
            CliError::new(Exit::Bug, problem.help("this is a bug in maand: please report it"))
        };
        let (began, until) =
            (facts.first().map_or(0, |first| first.at), facts.last().map_or(0, |last| last.at));
        let info = RunInfo { run: "simulated".to_owned(), started_at: began };
        let mut view = RunView::new(info, Arc::clone(graph));
        for stamped in &facts {
            view.fold(stamped).map_err(|illegal| bug(illegal.to_string()))?;
        }
        view.refresh(until);
        let timeline = timeline(graph, &facts, until, true)
            .map_err(|illegal| bug(format!("fact {}: {}", illegal.seq, illegal.violation)))?;
        Ok(Self { graph, view, timeline })
    }

    /// The same page as that of a run.
    pub(super) fn page(&self, seed: u64, answer: &Estimate, durations: &Durations) -> String {
        let plan = &self.graph.plan;
        let finishes: Vec<_> =
            answer.finishes.iter().map(|part| (part.from_ms, part.below_ms, part.runs)).collect();
        run_page(&RunPage {
            view: &self.view,
            timeline: &self.timeline,
            graph: self.graph,
            who: "a simulation",
            program: env!("CARGO_PKG_VERSION"),
            plan_text: plan.source.text(),
            plan_file: plan.source.name(),
            record: None,
            outputs: &[],
            next: &[],
            // No clock was read: the same seed gives the same page.
            made_at: self.timeline.until,
            served: None,
            forecast: Some(&page::Forecast {
                seed,
                runs: answer.runs,
                finishes: &finishes,
                expected: answer.expected_ms,
                worst: answer.worst_ms,
                synthetic: self.graph.fleet.synthetic,
                durations: text::from(durations),
            }),
        })
    }

    /// For a terminal, or whatever standard output is.
    pub(super) fn charts(&self, answer: &Estimate, context: &Context) -> Charts {
        let format = Format { width: out::picture_format().width.min(WIDEST), ..out::picture_format() };
        let bins: Vec<Bin> = answer
            .finishes
            .iter()
            .map(|part| Bin { from: part.from_ms, below: part.below_ms, runs: part.runs })
            .collect();
        let painted = |lines: Vec<Line>| lines.iter().map(|line| line.painted(context.live_colors)).collect();
        Charts {
            down: painted(down_chart(&self.timeline, &format)),
            finish: painted(finish_chart(&bins, answer.expected_ms, &format)),
        }
    }
}

/// Wider charts tell no more.
const WIDEST: usize = 120;

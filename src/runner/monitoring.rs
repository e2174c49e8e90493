//! What the monitoring systems that a plan asks say now, before anything is done: whether they are there, whether they are
//! what they are taken for, and whether they understand the question. Nothing is changed: what is sent only asks, commands
//! are not run, and no silence is made.

use std::path::Path;
use std::sync::{Arc, Mutex};

use crate::engine::{AttemptId, AttemptSpec, Intent};
use crate::graph::{Lane, RolloutGraph, StepIx, TargetIx};
use crate::os::parallel_map;
use crate::plan::{Gate, HttpMethod, Measure, Reading, StepKind};
use crate::silence::Answer;
use crate::ssh::Cancel;

use super::command::ThisMachine;
use super::environment::Place;
use super::gate::{DownWorkers, Measurement, Measuring};
use super::silence_requests::Requests;

/// So many are asked side by side.
const SIDE_BY_SIDE: usize = 8;
/// What stands for the run's name, which has no run yet.
const NO_RUN: &str = "probe";

/// What one of them says, or why it was not asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MonitoringAnswer {
    /// What of the plan asks: `guard`, `before_wave`, `after_wave`, `silence`, or the id of a step.
    pub place: String,
    /// `prometheus`, `alertmanager`, `http` or `command`.
    pub source: &'static str,
    /// What it comes to now; of a silence a pass says that one could be made. `None`: it was not asked.
    pub reading: Option<Reading>,
    /// In one line, without secrets.
    pub words: String,
}

/// One that is to be asked.
enum Question<'g> {
    Gate(String, Place, Option<u32>, &'g Gate),
    Silence(Requests),
}

/// Asks each of them once, each for no longer than the plan says. Values of a worker are those of the first one.
pub fn ask_monitoring(graph: &Arc<RolloutGraph>, cancel: &Cancel) -> Vec<MonitoringAnswer> {
    let questions = questions(graph, cancel);
    parallel_map(questions.iter(), SIDE_BY_SIDE, |question| match question {
        Question::Gate(place, values, wave, gate) => ask_gate(graph, place, values, *wave, gate, cancel),
        Question::Silence(requests) => ask_silence(requests),
    })
}

fn questions<'g>(graph: &'g Arc<RolloutGraph>, cancel: &Cancel) -> Vec<Question<'g>> {
    let first = TargetIx(0);
    let rollout = Place::of_rollout(graph, NO_RUN);
    let of_rollout = graph.plan.rollout.gates.each().map(|(name, gate)| {
        let wave = (name != "guard").then_some(0);
        Question::Gate(name.to_owned(), rollout.clone(), wave, gate)
    });
    let mut all: Vec<Question<'g>> = of_rollout.collect();
    for lane in [Lane::Before, Lane::Worker(first), Lane::After] {
        for (at, step) in graph.steps(lane).iter().enumerate() {
            let StepKind::Gate(gate) = &step.kind else { continue };
            let (attempt, step_at) = (AttemptId(0), StepIx(at as u32));
            let order = AttemptSpec { attempt, lane, step: step_at, intent: Intent::Do { repeat: false } };
            let wave = matches!(lane, Lane::Worker(_)).then_some(0);
            all.push(Question::Gate(step.id.clone(), Place::of(graph, (NO_RUN, 0), &order, 1), wave, gate));
        }
    }
    if let Some(silence) = &graph.plan.silence {
        let (graph, silence) = (Arc::clone(graph), silence.clone());
        let requests = Requests::new(graph, silence, NO_RUN.to_owned(), String::new()).until(cancel);
        all.push(Question::Silence(requests));
    }
    all
}

fn ask_gate(
    graph: &RolloutGraph,
    place: &str,
    values: &Place,
    wave: Option<u32>,
    gate: &Gate,
    cancel: &Cancel,
) -> MonitoringAnswer {
    let answer = |reading, words: String| MonitoringAnswer {
        place: place.to_owned(),
        source: gate.measure.keyword(),
        reading,
        words,
    };
    match &gate.measure {
        Measure::Command(_) => return answer(None, "a command is not run".to_owned()),
        Measure::Http(check) if !matches!(check.request.method, HttpMethod::Get | HttpMethod::Head) => {
            return answer(None, format!("a {} may change something", check.request.method.as_str()));
        }
        Measure::Http(_) | Measure::Prometheus(_) | Measure::Alertmanager(_) => {}
    }
    // No command is run.
    let machine = ThisMachine { folder: Path::new("."), guard: None, mark: String::new() };
    let down = Mutex::new(DownWorkers::default());
    let measuring = Measuring { plan: &graph.plan, place: values, wave, down: &down, machine };
    match measuring.once(gate, gate.answer_within, cancel) {
        Ok(Measurement { reading, words }) => answer(Some(reading), words),
        Err(error) => answer(Some(Reading::Inconclusive), error.message),
    }
}

fn ask_silence(requests: &Requests) -> MonitoringAnswer {
    let (reading, words) = match requests.look(TargetIx(0)) {
        Ok(()) => (Reading::Pass, "it tells its silences".to_owned()),
        Err(Answer::Refused(why) | Answer::Unavailable(why)) => (Reading::Inconclusive, why),
        Err(Answer::Gone | Answer::Held { .. }) => (Reading::Inconclusive, "it tells nothing".to_owned()),
    };
    MonitoringAnswer { place: "silence".to_owned(), source: "alertmanager", reading: Some(reading), words }
}

//! What a plan's own text does: commands, requests and measurements. In a sandbox what concerns others than its workers is
//! only recorded.

use std::time::Duration;

use crate::engine::{AttemptId, ErrorKind, GatePlace, Outcome, StepError};
use crate::graph::{Lane, TargetIx};
use crate::plan::{CommandSource, CommandStep, Gate, HttpExpect, HttpRequest, Reading};
use crate::ssh::Cancel;

use super::command::{CommandText, on_this_machine, on_worker};
use super::environment::{Environment, Place};
use super::executor::{OutputSink, StepExecutor};
use super::gate::{self, Measurement, Measuring};
use super::http;

/// What an attempt that carries out a plan's own text has to do with, whatever the text is.
#[derive(Clone, Copy)]
pub(super) struct Attempting<'a> {
    pub(super) attempt: AttemptId,
    /// The values that the text may name.
    pub(super) place: &'a Place,
    pub(super) timeout: Duration,
    pub(super) cancel: &'a Cancel,
    pub(super) sink: &'a OutputSink,
}

impl StepExecutor {
    pub(super) fn run(
        &self,
        target: TargetIx,
        command: &CommandStep,
        text: CommandText<'_>,
        of: Attempting<'_>,
    ) -> Outcome {
        match Environment::of(&self.graph.plan, Some(command), of.place) {
            Ok(environment) => {
                let access = self.access(target, of.cancel);
                let host = self.host(target);
                let live = |bytes: &[u8]| (of.sink)(Some(host), bytes);
                on_worker(&access, text, &environment, of.timeout, &live)
            }
            Err(error) => Outcome::Failed { error },
        }
    }

    pub(super) fn local(&self, command: &CommandStep, text: CommandText<'_>, of: Attempting<'_>) -> Outcome {
        if let Some(recorded) = self.only_recorded() {
            return recorded;
        }
        match Environment::of(&self.graph.plan, Some(command), of.place) {
            Ok(environment) => {
                let live = |bytes: &[u8]| (of.sink)(None, bytes);
                let machine = self.this_machine(of.attempt);
                on_this_machine(&machine, text, &environment, of.timeout, of.cancel, &live)
            }
            Err(error) => Outcome::Failed { error },
        }
    }

    /// Whether what a plan wants of others than workers is done: in a sandbox it is only recorded.
    pub fn executes_here(&self) -> bool {
        self.bucket.settings().executes_local()
    }

    /// What comes of a step on this machine that is not carried out, because the fleet is a sandbox.
    fn only_recorded(&self) -> Option<Outcome> {
        (!self.executes_here()).then(|| Outcome::noted("recorded and not executed: this fleet is a sandbox"))
    }

    pub(super) fn http(&self, request: &HttpRequest, expect: &HttpExpect, of: Attempting<'_>) -> Outcome {
        if let Some(recorded) = self.only_recorded() {
            return recorded;
        }
        http::send(request, expect, of.place, of.timeout, of.cancel, &|bytes| (of.sink)(None, bytes))
    }

    /// `lane`: of the step that is a gate.
    pub(super) fn gate(&self, lane: Lane, gate: &Gate, of: Attempting<'_>) -> Outcome {
        if let Some(recorded) = self.only_recorded() {
            return recorded;
        }
        let wave = match lane {
            Lane::Worker(target) => Some(self.graph.target(target).wave),
            Lane::Before | Lane::After => None,
        };
        let machine = self.this_machine(of.attempt);
        let measuring =
            Measuring { plan: &self.graph.plan, place: of.place, wave, down: &self.down, machine };
        gate::hold(gate, &measuring, of.timeout, of.cancel, &|bytes| (of.sink)(None, bytes))
    }

    /// Measures a gate of the rollout once. What cannot be asked at all is no pass.
    pub(super) fn measure(
        &self,
        id: u64,
        place: GatePlace,
        gate: u32,
        wave: Option<u32>,
        cancel: &Cancel,
    ) -> Measurement {
        if self.only_recorded().is_some() {
            return Measurement::new(Reading::Pass, "not measured: this fleet is a sandbox");
        }
        let Some(gate) = self.graph.plan.rollout.gates.of(place).get(gate as usize) else {
            return Measurement::new(Reading::Inconclusive, "the plan has no such gate");
        };
        let place = Place::of_rollout(&self.graph, &self.run);
        let machine = self.this_machine_for(&format!("gate-{id}"));
        let measuring = Measuring { plan: &self.graph.plan, place: &place, wave, down: &self.down, machine };
        measuring
            .once(gate, gate.answer_within, cancel)
            .unwrap_or_else(|error| Measurement::new(Reading::Inconclusive, error.message))
    }

    /// The text of a command: the plan's own, or that of its script when the run began.
    pub(super) fn text<'a>(&'a self, command: &'a CommandStep) -> Result<CommandText<'a>, Outcome> {
        let unless = command.unless.as_deref();
        match &command.action {
            CommandSource::Command(text) => Ok(CommandText { text, is_script: false, unless }),
            CommandSource::Script(path) => {
                let text = self.scripts.get(&path.value).ok_or_else(|| {
                    let message = format!("the run has no copy of the script {}", path.value);
                    Outcome::Failed { error: StepError::new(ErrorKind::Controller, message) }
                })?;
                Ok(CommandText { text, is_script: true, unless })
            }
        }
    }
}

//! What a plan's own text does: commands, requests and measurements. In a sandbox what concerns others than its workers is
//! only recorded.

use std::time::Duration;

use crate::engine::{AttemptId, AttemptSpec, ErrorKind, GatePlace, Outcome, StepError};
use crate::graph::{Lane, TargetIx};
use crate::plan::{CommandSource, CommandStep, Gate, HttpExpect, HttpRequest, Reading};
use crate::ssh::Cancel;

use super::command::{CommandText, on_this_machine, on_worker};
use super::environment::{Environment, Place};
use super::executor::{OutputSink, StepExecutor};
use super::gate::{self, Measurement, Measuring};
use super::http;

impl StepExecutor {
    #[expect(clippy::too_many_arguments, reason = "all of them belong to one call, and it has two callers")]
    pub(super) fn run(
        &self,
        target: TargetIx,
        command: &CommandStep,
        text: CommandText<'_>,
        place: &Place,
        timeout: Duration,
        cancel: &Cancel,
        sink: &OutputSink,
    ) -> Outcome {
        match Environment::of(&self.graph.plan, Some(command), place) {
            Ok(environment) => {
                let access = self.access(target, cancel);
                let host = self.host(target);
                let live = |bytes: &[u8]| sink(Some(host), bytes);
                on_worker(&access, text, &environment, timeout, &live)
            }
            Err(error) => Outcome::Failed { error },
        }
    }

    #[expect(clippy::too_many_arguments, reason = "all of them belong to one call, and it has two callers")]
    pub(super) fn local(
        &self,
        attempt: AttemptId,
        command: &CommandStep,
        text: CommandText<'_>,
        place: &Place,
        timeout: Duration,
        cancel: &Cancel,
        sink: &OutputSink,
    ) -> Outcome {
        if let Some(recorded) = self.only_recorded() {
            return recorded;
        }
        match Environment::of(&self.graph.plan, Some(command), place) {
            Ok(environment) => {
                let live = |bytes: &[u8]| sink(None, bytes);
                on_this_machine(&self.this_machine(attempt), text, &environment, timeout, cancel, &live)
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

    pub(super) fn http(
        &self,
        request: &HttpRequest,
        expect: &HttpExpect,
        place: &Place,
        timeout: Duration,
        cancel: &Cancel,
        sink: &OutputSink,
    ) -> Outcome {
        if let Some(recorded) = self.only_recorded() {
            return recorded;
        }
        http::send(request, expect, place, timeout, cancel, &|bytes| sink(None, bytes))
    }

    pub(super) fn gate(
        &self,
        order: &AttemptSpec,
        gate: &Gate,
        place: &Place,
        timeout: Duration,
        cancel: &Cancel,
        sink: &OutputSink,
    ) -> Outcome {
        if let Some(recorded) = self.only_recorded() {
            return recorded;
        }
        let wave = match order.lane {
            Lane::Worker(target) => Some(self.graph.target(target).wave),
            Lane::Before | Lane::After => None,
        };
        let machine = self.this_machine(order.attempt);
        let measuring = Measuring { plan: &self.graph.plan, place, wave, down: &self.down, machine };
        gate::hold(gate, &measuring, timeout, cancel, &|bytes| sink(None, bytes))
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

//! How an input gets to the controller, and what it hands out to the world. Between any two of these the
//! process may die, or be stopped and be replaced before it continues.

use std::sync::Arc;

use smallvec::SmallVec;

use super::super::invariant::Invariant;
use super::ledger::Gone;
use super::{Event, Round, Sim, StalledController};
use crate::bucket::{JobIx, WorkerIx};
use crate::controller::{ControllerError, Ended, Input, Output};
use crate::engine::{AttemptId, Evidence, Fact, Intent, Outcome};
use crate::graph::{Lane, RolloutGraph, StepIx, TargetSet};
use crate::plan::{Reading, StepKind};
use crate::sim::checker::Contact;
use crate::sim::mutation::Mutation;

/// A controller that was stopped continues after so long.
const SLEEP: i64 = 600_000;
/// The same in a sweep, whose runs are short.
const SHORT_SLEEP: i64 = 20_000;

impl Sim {
    /// Whether the controller dies here.
    fn dies(&mut self) -> bool {
        self.ledger.burns()
    }

    /// The controller dies, or is stopped: then what is durable and `unsent` is sent when it continues, and by
    /// then another one has taken over.
    pub(super) fn falls(&mut self, unsent: Vec<Output>) {
        let sweep = !self.config.crash_at.is_empty();
        // Before its first fact there is no run that another one could take over.
        let begun = !self.ledger.facts().is_empty();
        let stopped = self.config.stops && (sweep || self.ledger.coin()) && begun;
        if stopped && let Some(controller) = self.controller.take() {
            let stalled = StalledController { process: self.process, controller, unsent };
            self.push(if sweep { SHORT_SLEEP } else { SLEEP }, Event::Wakes(Box::new(stalled)));
        }
        self.crash();
    }

    pub(in crate::sim) fn crash(&mut self) {
        self.ends_process();
        let after =
            if self.config.crash_at.is_empty() { self.ledger.draws(100, SLEEP - 1_000) } else { 5_000 };
        self.push(after, Event::Start);
    }

    /// The process is gone, and with it all that it waited for.
    pub(in crate::sim) fn ends_process(&mut self) {
        self.process += 1;
        self.leaving = false;
        self.wakes_at = None;
        if self.config.mutation != Some(Mutation::MemoryTrusted) {
            self.controller = None;
        }
        if let Some(monitoring) = &mut self.monitoring {
            monitoring.nobody_asks();
        }
        self.flights.clear();
        self.batches = Default::default();
        self.waiters.iter_mut().for_each(SmallVec::clear);
    }

    /// A controller that was stopped sends off what it was about to, and tells its journal of a signal, which
    /// refuses an older epoch. That ends it.
    pub(super) fn wakes(&mut self, stalled: StalledController) {
        let StalledController { process, mut controller, unsent } = stalled;
        let graph = Arc::clone(controller.run().graph());
        let epoch = controller.ledger().epoch();
        self.awake.insert(process);
        for output in unsent {
            if let Output::Execute(spec) = output {
                self.execute(spec, process, epoch, &graph);
            }
        }
        let mut outputs = Vec::new();
        // Twice, as it may have heard one before it was stopped.
        for _ in 0..2 {
            let told = controller.handle(self.now, Input::Signal { name: "SIGTERM" }, &mut outputs);
            self.check_new_facts();
            if matches!(told, Err(ControllerError::Ledger(Gone::Died))) {
                self.ledger.has_died();
            }
        }
    }

    /// Tells the controller something: it commits, and what it hands out is carried out.
    pub(in crate::sim) fn commit_and_dispatch(&mut self, input: Input) {
        if self.leaving {
            return;
        }
        let Some(input) = self.distorted(input) else { return };
        let Some(controller) = &mut self.controller else { return };
        let mut outputs = std::mem::take(&mut self.outputs);
        let told = controller.handle(self.now, input, &mut outputs);
        let graph = Arc::clone(controller.run().graph());
        self.check_new_facts();
        match told {
            Ok(()) if self.ledger.has_died() => {
                self.check_replay();
                return self.falls(outputs);
            }
            Ok(()) => {}
            Err(ControllerError::Ledger(Gone::Died)) => {
                self.ledger.has_died();
                return self.falls(outputs);
            }
            Err(ControllerError::Ledger(Gone::Fenced)) => {
                return self
                    .checker
                    .breaks(Invariant::OneController, "the newest controller is refused by its journal");
            }
            Err(ControllerError::Broken(why)) => {
                return self.checker.breaks(
                    Invariant::LegalTransitions,
                    format!("the engine refuses a fact of the controller: {why}"),
                );
            }
        }
        let mut rest = outputs.drain(..);
        while let Some(output) = rest.next() {
            let ends = matches!(output, Output::End(_));
            self.carry_out(output, &graph);
            if !ends && self.dies() {
                let unsent = rest.collect();
                return self.falls(unsent);
            }
        }
        drop(rest);
        self.outputs = outputs;
        self.set_wake();
        self.silences_are_told();
    }

    /// The next timer of the controller is an event.
    fn set_wake(&mut self) {
        let Some(at) = self.controller.as_ref().and_then(|controller| controller.next_wake()) else { return };
        if self.wakes_at.is_none_or(|set| at < set) {
            self.wakes_at = Some(at);
            let process = self.process;
            self.push(at - self.now, Event::Ticks { process, at });
        }
    }

    pub(super) fn ticks(&mut self, at: i64) {
        if self.wakes_at == Some(at) {
            self.wakes_at = None;
        }
        self.commit_and_dispatch(Input::Tick);
        self.set_wake();
    }

    /// What a broken controller takes its input for; `None`: it does not hear it.
    fn distorted(&self, input: Input) -> Option<Input> {
        Some(match (self.config.mutation, input) {
            (Some(Mutation::UnknownIsOk), Input::Finished { attempt, outcome: Outcome::Unknown { .. } }) => {
                let evidence = self.invented_evidence(attempt);
                Input::Finished { attempt, outcome: Outcome::Ok { evidence } }
            }
            (Some(Mutation::FailureSwallowed), Input::Finished { outcome: Outcome::Failed { .. }, .. }) => {
                return None;
            }
            (Some(Mutation::ObservationsInvented), Input::Observed { jobs, .. }) => {
                Input::Observed { jobs, unavailable: Vec::new() }
            }
            (Some(Mutation::FailureIsPass), Input::Measured { id, reading: Reading::Fail, says }) => {
                Input::Measured { id, reading: Reading::Pass, says }
            }
            (_, input) => input,
        })
    }

    fn invented_evidence(&self, attempt: AttemptId) -> Evidence {
        let stored = self.ledger.shared.borrow();
        let issued = stored.facts.iter().rev().find_map(|(_, fact)| match fact {
            Fact::Issued { attempt: a, lane, step, intent } if *a == attempt => Some((*lane, *step, intent)),
            _ => None,
        });
        let boot_id = "invented".to_owned();
        let disables = |lane, step: StepIx| {
            matches!(self.graph.steps(lane)[step.index()].kind, StepKind::Disable { .. })
        };
        match issued {
            Some((_, _, Intent::ReadBootId)) => Evidence::BootId { boot_id, kernel: None },
            Some((_, _, Intent::Reboot { .. })) => Evidence::Departed,
            Some((_, _, Intent::AwaitBoot { .. })) => Evidence::Back { boot_id, kernel: None },
            Some((lane, step, Intent::Do { .. })) if disables(lane, step) => {
                Evidence::Disabled { own: vec![None], others: Vec::new() }
            }
            _ => Evidence::note("done"),
        }
    }

    /// Facts that were stored since are held against the invariants.
    pub(in crate::sim) fn check_new_facts(&mut self) {
        let mut stored = self.ledger.shared.borrow_mut();
        let unchecked = std::mem::take(&mut stored.unchecked);
        if !self.config.check {
            return;
        }
        let from = stored.facts.len() - unchecked.len();
        for ((at, fact), epoch) in stored.facts[from..].iter().zip(unchecked) {
            self.checker.fact(*at, epoch, fact, &self.world);
            if matches!(fact, Fact::Reopened { .. }) {
                // What encloses the workers is meant to be done again.
                self.ran_here.retain(|(lane, _), _| matches!(lane, Lane::Worker(_)));
            }
        }
    }

    fn carry_out(&mut self, output: Output, graph: &Arc<RolloutGraph>) {
        let process = self.process;
        match output {
            Output::Execute(spec) => self.execute(spec, process, self.epoch(), graph),
            Output::Observe { jobs, skip } => {
                self.push(20, Event::Looks(Box::new((process, jobs, skip))));
            }
            Output::Measure { id, place, gate, .. } => self.measures(id, place, gate),
            Output::GiveUp => {}
            Output::End(Ended::Idle(_)) => self.leaving = true,
            // It ends in the middle, and an operator resumes it.
            Output::End(Ended::ForcedStop(_)) => self.crash(),
        }
    }

    /// All enabled allocations of these jobs are looked at; those that cannot be well are asked.
    pub(super) fn looks(&mut self, jobs: Vec<JobIx>, skip: TargetSet) {
        if self.config.check {
            let graph = Arc::clone(&self.graph);
            for one in graph.enabled_allocations().iter().filter(|one| jobs.contains(&one.job)) {
                self.contacts(one.worker, Contact::Look(&jobs));
            }
        }
        // A few rounds are slow: what they saw is old when they end.
        let slow = self.config.check && self.durations.per_mille(150);
        let takes =
            if slow { self.durations.between(10_000, 29_000) } else { self.durations.between(200, 2_000) };
        let first = self.world.unhealthy(&jobs);
        let process = self.process;
        self.push(takes, Event::Looked(Box::new(Round { process, jobs, first, skip })));
    }

    /// The round ends. What was not well at its beginning or is not at its end is listed, but for workers that
    /// were down by the run: those were not looked at.
    pub(super) fn looked(&mut self, round: Round) {
        let Round { jobs, first, skip, .. } = round;
        let mut unavailable: Vec<(WorkerIx, JobIx)> = self.world.unhealthy(&jobs);
        unavailable.extend(first);
        // Two sorted lists: a merge for a sort that knows runs.
        unavailable.sort();
        unavailable.dedup();
        if !skip.is_empty() {
            let mut skipped = vec![false; self.world.hosts.len()];
            for target in skip.iter() {
                skipped[self.graph.target(target).worker.0 as usize] = true;
            }
            unavailable.retain(|(worker, _)| !skipped[worker.0 as usize]);
        }
        self.commit_and_dispatch(Input::Observed { jobs, unavailable });
    }
}

//! The life of a controller: start, preflight, replay, rest and end.

use std::sync::Arc;

use super::super::invariant::Invariant;
use super::{Event, REACTION, Sim};
use crate::controller::{Controller, Input};
use crate::engine::{Check, ErrorKind, Fact, Millis, Resolution, RunPhase, RunState, RunStatus, StepError};
use crate::sim::checker::Contact;
use crate::sim::mutation::Mutation;

impl Sim {
    /// A controller starts: the first one, or one after a crash.
    pub(super) fn start(&mut self) {
        self.resumes(Vec::new(), None);
    }

    /// A process takes the run up, with what the operator has said: facts before the resume, and what to do with
    /// attempts in doubt.
    pub(in crate::sim) fn resumes(&mut self, mut first: Vec<Fact>, in_doubt: Option<Resolution>) {
        let careless = self.config.mutation == Some(Mutation::MemoryTrusted);
        if self.controller.is_some() && !careless {
            return;
        }
        let fresh = self.ledger.shared.borrow().facts.is_empty();
        if !fresh {
            self.ledger.shared.borrow_mut().epoch += 1;
        }
        if self.controller.is_none() {
            match self.replayed() {
                Ok(run) => self.controller = Some(self.controller_of(run)),
                Err(why) => {
                    self.checker.breaks(
                        Invariant::LegalTransitions,
                        format!("the journal cannot be replayed: {why}"),
                    );
                    return;
                }
            }
        }
        if fresh {
            let workers = self.graph.targets.len() as u32;
            let hash = "made up".to_owned();
            first = vec![Fact::RunStarted { workers, graph_hash: hash, seed: self.config.seed }];
        } else if !self.is_finished() {
            first.push(Fact::Resumed { by: "the simulator".to_owned(), fresh_process: true, bundle: None });
        }
        self.commit_and_dispatch(Input::Begin { facts: first, in_doubt: in_doubt.into() });
        let before = self.state().is_some_and(|run| run.phase() == RunPhase::Preflight);
        if before {
            let process = self.process;
            self.push(2_000, Event::Preflight { process });
        }
        if self.ledger.is_asked() {
            self.commit_and_dispatch(Input::Requests);
        }
    }

    fn controller_of(&self, run: RunState) -> Controller<super::SimLedger> {
        let controller = Controller::new(
            run,
            self.ledger.of_epoch(self.epoch()),
            self.config.interactive() || self.stops_at_rest,
        );
        self.with_faults(controller)
    }

    /// Simulations of plans run in release builds, too, where nothing is broken on purpose.
    #[cfg(debug_assertions)]
    fn with_faults(&self, controller: Controller<super::SimLedger>) -> Controller<super::SimLedger> {
        controller.broken(self.config.mutation.and_then(|mutation| mutation.of_the_loop(self.process)))
    }

    #[cfg(not(debug_assertions))]
    fn with_faults(&self, controller: Controller<super::SimLedger>) -> Controller<super::SimLedger> {
        controller
    }

    pub(in crate::sim) fn replayed(&self) -> Result<RunState, String> {
        self.replayed_from(self.ledger.shared.borrow().facts.iter().map(|(at, fact)| (*at, fact)))
    }

    /// The same where the clock was set back an hour after the first fact of every moment.
    fn replayed_set_back(&self) -> Result<RunState, String> {
        let mut last = None;
        self.replayed_from(self.ledger.shared.borrow().facts.iter().map(move |(at, fact)| {
            let again = last.replace(*at) == Some(*at);
            (if again { at - 3_600_000 } else { *at }, fact)
        }))
    }

    fn replayed_from<'f>(&self, facts: impl Iterator<Item = (Millis, &'f Fact)>) -> Result<RunState, String> {
        // The plan is the stored one, whatever has become of the file.
        let mut graph = &self.engine_graph;
        if self.config.mutation == Some(Mutation::PlanReadAgain) {
            graph = self.on_disk.as_ref().unwrap_or(graph);
        }
        let mut rollout = RunState::new(Arc::clone(graph), self.options.clone());
        for (at, fact) in facts {
            rollout.replay(at, fact).map_err(|illegal| illegal.to_string())?;
        }
        Ok(rollout)
    }

    /// What is in memory is what the journal says, also where the clock was set back.
    pub(in crate::sim) fn check_replay(&mut self) {
        let Some(live) = self.state() else { return };
        let differs = |what: &str, replayed: Result<RunState, String>| match replayed {
            Ok(stored) if stored == *live => None,
            Ok(_) => Some(format!("{what}: the state in memory is not the journal's")),
            Err(why) => Some(format!("{what}: the journal cannot be replayed: {why}")),
        };
        let broken = differs("replayed", self.replayed())
            .or_else(|| differs("replayed with a clock that was set back", self.replayed_set_back()));
        match broken {
            Some(what) => self.checker.breaks(Invariant::LegalTransitions, what),
            None => {
                if let Ok(stored) = self.replayed() {
                    self.reject_illegal_facts(stored);
                }
            }
        }
    }

    pub(super) fn preflight(&mut self) {
        let mut checks = Vec::new();
        for target in self.graph.target_indices() {
            let worker = self.graph.target(target).worker;
            self.contacts(worker, Contact::Preflight);
            let gone = self.fault(20);
            if gone {
                self.world.goes_down(self.now, worker, false);
                if self.faults.coin() {
                    let boot = self.world.host(worker).boot();
                    let after = self.faults.between(1_000, 7_200_000);
                    self.push(after, Event::ComesUp { worker, boot });
                }
            }
            let entry = crate::sim::world::Entry { worker, job: None };
            let ignored = self.config.mutation == Some(Mutation::OthersCordonIgnored);
            checks.push(if self.world.file.others().contains(entry) && !ignored {
                Check::LeftAlone { reason: "an operator has disabled it".to_owned() }
            } else if self.world.host(worker).is_up() {
                self.boots_seen[worker.0 as usize] = Some(self.world.host(worker).boot());
                Check::Ready {
                    boot_id: crate::sim::world::boot_id(worker, self.world.host(worker).boot()),
                    state_dir: "/var/lib/maand".to_owned(),
                }
            } else {
                Check::Unreachable { error: StepError::new(ErrorKind::Unreachable, "no route") }
            });
        }
        // What a process learns before its loop runs is told to it like the rest.
        self.commit_and_dispatch(Input::Begin {
            facts: vec![Fact::Preflight { checks }],
            in_doubt: None.into(),
        });
    }

    /// A process that has nothing more to do ends; a run that waits for operators gets an answer after a while.
    pub(super) fn rest(&mut self) {
        if self.config.check && self.controller.is_some() {
            self.checker.rested(self.now, &self.world);
        } else {
            self.checker.nobody_in_charge();
        }
        let waits = match self.state().map(RunState::status) {
            None => false,
            Some(RunStatus::Finished(_)) => return,
            Some(_) if self.leaving => !self.stops_at_rest,
            Some(status) => status != RunStatus::Busy,
        };
        if self.leaving && !self.stops_at_rest {
            self.ends_process();
        }
        if waits && !self.reacting {
            self.reacting = true;
            self.push(REACTION, Event::Reacts);
        }
    }

    /// The end: the journal says the same as the memory, and a resume does nothing.
    pub(super) fn after_the_end(&mut self) {
        if !self.config.check {
            return;
        }
        self.check_replay();
        let Ok(mut again) = self.replayed() else { return };
        let resumed = Fact::Resumed { by: "the simulator".to_owned(), fresh_process: true, bundle: None };
        if let Ok(all) = again.apply(self.now, resumed)
            && (!all.effects.is_empty() || all.facts.len() > 1)
        {
            self.checker.breaks(
                Invariant::FinishedStaysFinished,
                format!("the resume of a finished run does {:?}", all.effects),
            );
        }
        for target in again.left_disabled() {
            self.checker.left(target, &self.world);
        }
        let left: Vec<_> =
            again.left_disabled().iter().map(|target| self.graph.target(*target).worker).collect();
        let file = &self.world.file;
        let mut ours = file.entries().without(file.others());
        if let Some(entry) = ours.find(|entry| !left.contains(&entry.worker)) {
            self.checker.breaks(
                Invariant::NothingLeftDisabled,
                format!("{entry:?} is left in the file, and nobody says so"),
            );
        }
    }
}

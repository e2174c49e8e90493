//! How a fact gets into a run: applied, committed, and what follows from it sent off. Between any two of
//! these the controller may die, or be stopped and be replaced before it goes on.

use std::sync::Arc;

use smallvec::SmallVec;

use super::{Event, Round, Sim, StalledController};
use crate::bucket::{JobIx, WorkerIx};
use crate::engine::{AttemptId, Effect, Evidence, Fact, Intent, Outcome};
use crate::graph::RolloutGraph;
use crate::plan::StepKind;
use crate::sim::checker::Contact;
use crate::sim::mutation::Mutation;

/// A controller that was stopped goes on after so long.
const SLEEP: i64 = 600_000;
/// The same in a sweep, whose runs are short.
const SHORT_SLEEP: i64 = 20_000;

impl Sim {
    /// Whether the controller dies here.
    pub(super) fn dies(&mut self) -> bool {
        self.points += 1;
        if self.config.crash_at.contains(&self.points) {
            return true;
        }
        let dies = self.crashes_left > 0 && self.crash_rng.per_mille(25);
        self.crashes_left -= u32::from(dies);
        dies
    }

    /// The controller dies, or is stopped: then what is durable and `unsent` is sent when it goes on,
    /// and by then another one has taken over.
    pub(super) fn falls(&mut self, unsent: Vec<Effect>) {
        let sweep = !self.config.crash_at.is_empty();
        let stopped = self.config.stops && (sweep || self.crash_rng.coin());
        if stopped && let Some(rollout) = &self.rollout {
            let graph = Arc::clone(rollout.graph());
            let sleeper = StalledController { process: self.process, epoch: self.epoch, graph, unsent };
            self.push(if sweep { SHORT_SLEEP } else { SLEEP }, Event::Wakes(Box::new(sleeper)));
        }
        self.crash();
    }

    pub(in crate::sim) fn crash(&mut self) {
        self.process += 1;
        if self.config.mutation != Some(Mutation::MemoryTrusted) {
            self.rollout = None;
        }
        self.flights.clear();
        self.waiters.iter_mut().for_each(SmallVec::clear);
        let after =
            if self.config.crash_at.is_empty() { self.crash_rng.between(100, SLEEP - 1_000) } else { 5_000 };
        self.push(after, Event::Start);
    }

    /// A controller that was stopped sends off what it was about to, and stores what it has heard.
    pub(super) fn wakes(&mut self, sleeper: StalledController) {
        let StalledController { process, epoch, graph, unsent } = sleeper;
        self.awake.insert(process);
        for effect in unsent {
            if let Effect::Execute(order) = effect {
                self.execute(order, process, epoch, &graph);
            }
        }
        // The journal refuses an older epoch; that ends it.
        if self.config.mutation == Some(Mutation::AppendUnfenced) {
            self.append(epoch, Fact::Interrupted { by: "a controller of yesterday".to_owned() });
        }
    }

    /// Takes a new fact: commit, then dispatch.
    pub(in crate::sim) fn commit_and_dispatch(&mut self, fact: Fact) {
        if let Err(why) = self.try_commit_and_dispatch(fact) {
            self.checker.breaks(14, format!("the engine refuses a fact of the driver: {why}"));
        }
    }

    pub(in crate::sim) fn try_commit_and_dispatch(&mut self, fact: Fact) -> Result<(), String> {
        let fact = self.distort(fact);
        let Some(rollout) = &mut self.rollout else { return Ok(()) };
        if self.config.mutation == Some(Mutation::PauseIgnored) && matches!(fact, Fact::Paused { .. }) {
            self.commit(vec![fact]);
            return Ok(());
        }
        if self.config.mutation == Some(Mutation::FailureSwallowed)
            && matches!(&fact, Fact::Finished { outcome: Outcome::Failed { .. }, .. })
        {
            return Ok(());
        }
        let all = rollout.apply(self.now, fact).map_err(|illegal| illegal.to_string())?;
        let graph = Arc::clone(rollout.graph());
        if self.dies() {
            // What was not committed is lost, and was not sent off.
            self.falls(Vec::new());
            return Ok(());
        }
        let mut late = Vec::new();
        if self.config.mutation == Some(Mutation::EffectsFirst) {
            late = all.facts;
        } else {
            self.commit(all.facts);
            if self.dies() {
                self.check_replay();
                self.falls(all.effects);
                return Ok(());
            }
        }
        let mut effects = all.effects.into_iter();
        while let Some(effect) = effects.next() {
            self.dispatch(effect, &graph);
            if self.dies() {
                self.falls(effects.collect());
                return Ok(());
            }
        }
        self.commit(late);
        Ok(())
    }

    fn distort(&mut self, fact: Fact) -> Fact {
        match (self.config.mutation, fact) {
            (Some(Mutation::UnknownIsOk), Fact::Finished { attempt, outcome: Outcome::Unknown { .. } }) => {
                let evidence = self.invented_evidence(attempt);
                Fact::Finished { attempt, outcome: Outcome::Ok { evidence } }
            }
            (Some(Mutation::ObservationsInvented), Fact::Observed { jobs, took, .. }) => {
                Fact::Observed { jobs, unavailable: Vec::new(), took }
            }
            (_, fact) => fact,
        }
    }

    fn invented_evidence(&self, attempt: AttemptId) -> Evidence {
        let issued = self.journal.iter().rev().find_map(|(_, fact)| match fact {
            Fact::Issued { attempt: a, lane, step, intent } if *a == attempt => Some((*lane, *step, intent)),
            _ => None,
        });
        let boot_id = "invented".to_owned();
        let disables =
            |lane, step: u32| matches!(self.graph.steps(lane)[step as usize].kind, StepKind::Disable { .. });
        match issued {
            Some((_, _, Intent::ReadBootId)) => Evidence::BootId { boot_id },
            Some((_, _, Intent::Reboot { .. })) => Evidence::Departed,
            Some((_, _, Intent::AwaitBoot { .. })) => Evidence::Back { boot_id },
            Some((lane, step, Intent::Do { .. })) if disables(lane, step) => {
                Evidence::Disabled { own: vec![None], others: Vec::new() }
            }
            _ => Evidence::Said { text: "done".to_owned() },
        }
    }

    fn commit(&mut self, facts: Vec<Fact>) {
        let lossy = self.config.mutation == Some(Mutation::FactLost);
        for fact in facts {
            if lossy && !self.dropped_one && matches!(fact, Fact::Finished { .. }) && self.journal.len() > 6 {
                self.dropped_one = true;
                continue;
            }
            self.append(self.epoch, fact);
        }
    }

    fn append(&mut self, epoch: u64, fact: Fact) {
        if self.config.check {
            self.checker.fact(self.now, epoch, &fact, &self.world);
        }
        self.journal.push((self.now, fact));
    }

    fn dispatch(&mut self, effect: Effect, graph: &Arc<RolloutGraph>) {
        let process = self.process;
        match effect {
            Effect::Execute(order) => self.execute(order, process, self.epoch, graph),
            Effect::Wake { at, timer } => {
                let lost = self.config.mutation == Some(Mutation::TimersLost) && process > 0;
                if !lost {
                    self.push(at - self.now, Event::Fires { process, timer });
                }
            }
            Effect::Observe { jobs } => {
                self.push(20, Event::Looks { process, jobs: jobs.into_boxed_slice() });
            }
        }
    }

    /// All enabled allocations of these jobs are looked at; those that can not be well are asked.
    pub(super) fn looks(&mut self, jobs: Vec<JobIx>) {
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
        let round = Round { process, jobs, first, began: self.now };
        self.push(takes, Event::Looked(Box::new(round)));
    }

    /// The round ends. What was not well at its beginning or is not at its end is listed.
    pub(super) fn looked(&mut self, round: Round) {
        let Round { jobs, first, began, .. } = round;
        let mut unavailable: Vec<(WorkerIx, JobIx)> = self.world.unhealthy(&jobs);
        unavailable.extend(first);
        // Two sorted lists: a merge for a sort that knows runs.
        unavailable.sort();
        unavailable.dedup();
        let took = self.now - began;
        self.commit_and_dispatch(Fact::Observed { jobs, unavailable, took });
    }
}

//! What each kind of step does in the synthetic world.

use super::super::invariant::Invariant;
use super::Arrival;
use crate::bucket::{JobIx, WorkerIx};
use crate::engine::{ErrorKind, Evidence, Intent, Outcome, StepError};
use crate::plan::{HealthScope, JobAction, Located, StepKind};
use crate::sim::checker::Contact;
use crate::sim::drive::Sim;
use crate::sim::mutation::Mutation;
use crate::sim::world::{Entry, World};

impl Sim {
    pub(super) fn on_worker(&mut self, worker: WorkerIx, arrival: &Arrival) -> Outcome {
        let careless = self.config.mutation == Some(Mutation::EnableRemovesOthers);
        let read = arrival.read.clone();
        match (&arrival.order.intent, arrival.kind()) {
            (Intent::UndoEnable, _) | (_, StepKind::Enable) => {
                match self.world.file.enable(worker, careless, read) {
                    Some(()) => Outcome::noted("enabled"),
                    None => no_file(),
                }
            }
            (Intent::UndoDeploy, _) => self.deploy(worker, None, arrival),
            (Intent::UndoStop, StepKind::Job { jobs, .. }) => {
                self.job(worker, JobAction::Start, jobs.as_deref(), arrival)
            }
            (Intent::UndoCommand, _) => Outcome::noted("undone"),
            (_, StepKind::Disable { jobs }) => {
                let jobs = jobs.as_deref().map(|jobs| self.ixs(jobs));
                disable(&mut self.world, worker, jobs, read)
            }
            (_, StepKind::Deploy { jobs, .. }) => self.deploy(worker, jobs.as_deref(), arrival),
            (_, StepKind::Job { action, jobs }) => self.job(worker, *action, jobs.as_deref(), arrival),
            (_, StepKind::SyncCheck { .. }) => self.deploy(worker, None, arrival),
            (_, StepKind::Health { jobs, scope: HealthScope::Worker, .. }) => {
                self.reaches_all(arrival);
                let jobs = jobs.as_deref().map(|jobs| self.ixs(jobs));
                let host = self.world.host(worker);
                let sick = host.allocs.iter().any(|alloc| {
                    jobs.as_ref().is_none_or(|jobs| jobs.contains(&alloc.job))
                        && !self.world.covers(worker, alloc.job)
                        && (alloc.sick || !alloc.running)
                });
                health(sick)
            }
            (_, StepKind::Local(_) | StepKind::Http(_) | StepKind::Gate(_)) => self.here(arrival),
            (_, StepKind::Run(command)) => {
                let step = arrival.order.step;
                let ran = self.world.host_mut(worker).ran.of(step);
                if command.unless.is_some() && *ran > 0 {
                    return Outcome::Ok { evidence: Evidence::NotNeeded { why: None } };
                }
                *ran += 1;
                if *ran > 1 && !command.idempotent && !self.reran.contains(&(arrival.order.lane, step)) {
                    self.checker.breaks(
                        Invariant::UnknownIsNotSuccess,
                        format!("step {step} ran twice on {worker:?}"),
                    );
                }
                Outcome::noted("ran")
            }
            // Of the lanes of the run, or for other parts of this world.
            (
                _,
                StepKind::Build
                | StepKind::Reboot { .. }
                | StepKind::WaitForSsh { .. }
                | StepKind::Health { scope: HealthScope::Fleet, .. }
                | StepKind::Pause { .. }
                | StepKind::Approve { .. },
            ) => Outcome::noted("done"),
        }
    }

    /// A command of the controller's own machine. One of a controller that was replaced is not fenced.
    fn here(&mut self, arrival: &Arrival) -> Outcome {
        let (lane, step) = (arrival.order.lane, arrival.order.step);
        // As the plan says, whatever the controller believes.
        let (unless, idempotent) = match &self.graph.steps(lane)[step.index()].kind {
            StepKind::Local(command) => (command.unless.is_some(), command.idempotent),
            StepKind::Http(step) => (false, step.idempotent),
            _ => return Outcome::noted("done"),
        };
        if arrival.epoch < self.epoch() {
            return Outcome::noted("ran");
        }
        let of = (lane, step);
        let ran = self.ran_here.entry(of).or_default();
        if unless && *ran > 0 {
            return Outcome::Ok { evidence: Evidence::NotNeeded { why: None } };
        }
        *ran += 1;
        if *ran > 1 && !idempotent && !self.reran.contains(&of) {
            self.checker.breaks(Invariant::UnknownIsNotSuccess, format!("{of:?} ran twice here"));
        }
        Outcome::noted("ran")
    }

    pub(super) fn once(&mut self, arrival: &Arrival) -> Outcome {
        match arrival.kind() {
            StepKind::Local(_) | StepKind::Http(_) | StepKind::Gate(_) => self.here(arrival),
            StepKind::Health { .. } => {
                let graph = std::sync::Arc::clone(&self.graph);
                let enabled = graph.enabled_allocations();
                for one in enabled {
                    self.contacts(one.worker, Contact::Step(arrival));
                }
                let sick = enabled.iter().any(|one| {
                    !self.world.covers(one.worker, one.job) && !self.world.is_well(one.worker, one.job)
                });
                health(sick)
            }
            _ => Outcome::noted("done"),
        }
    }

    /// A catalog that contacts everybody does so.
    fn reaches_all(&mut self, arrival: &Arrival) {
        let all = self.config.exclusive || self.config.mutation == Some(Mutation::OthersContacted);
        if all && self.config.check {
            for worker in 0..self.world.hosts.len() {
                self.contacts(WorkerIx(worker as u32), Contact::Step(arrival));
            }
        }
    }

    fn ixs(&self, names: &[Located<String>]) -> Vec<JobIx> {
        let jobs = &self.graph.fleet.jobs;
        let named = |job: usize| names.iter().any(|name| name.value == jobs[job].name.as_str());
        (0..jobs.len()).filter(|job| named(*job)).map(|job| JobIx(job as u32)).collect()
    }

    fn deploy(&mut self, worker: WorkerIx, jobs: Option<&[Located<String>]>, arrival: &Arrival) -> Outcome {
        // Entries of the run that have vanished are put back first.
        if self.world.file.ensure().is_none() {
            return no_file();
        }
        self.reaches_all(arrival);
        let jobs = jobs.map(|jobs| self.ixs(jobs));
        self.world.deploy(worker, jobs.as_deref());
        Outcome::noted("deployed")
    }

    fn job(
        &mut self,
        worker: WorkerIx,
        action: JobAction,
        jobs: Option<&[Located<String>]>,
        arrival: &Arrival,
    ) -> Outcome {
        self.reaches_all(arrival);
        let jobs = jobs.map(|jobs| self.ixs(jobs));
        for at in 0..self.world.host(worker).allocs.len() {
            let job = self.world.host(worker).allocs[at].job;
            let wanted = jobs.as_ref().is_none_or(|jobs| jobs.contains(&job));
            if wanted && !self.world.covers(worker, job) {
                self.world.set_running(worker, at, action != JobAction::Stop);
            }
        }
        Outcome::noted("job")
    }
}

fn no_file() -> Outcome {
    Outcome::NotDone { reason: "disabled.json is no good".to_owned() }
}

fn health(sick: bool) -> Outcome {
    if sick {
        Outcome::Failed { error: StepError::new(ErrorKind::Unhealthy, "a probe fails") }
    } else {
        Outcome::noted("well")
    }
}

fn disable(
    world: &mut World,
    worker: WorkerIx,
    jobs: Option<Vec<JobIx>>,
    read: Option<Option<String>>,
) -> Outcome {
    let jobs = jobs.map_or_else(|| vec![None], |jobs| jobs.into_iter().map(Some).collect());
    let wanted: Vec<Entry> = jobs.into_iter().map(|job| Entry { worker, job }).collect();
    let Some((own, others)) = world.file.disable(&wanted, read) else { return no_file() };
    let fleet = &world.graph.fleet;
    let names = |entries: Vec<Entry>| {
        let name = |entry: Entry| entry.job.map(|job| fleet.job(job).name.as_str().to_owned());
        entries.into_iter().map(name).collect()
    };
    Outcome::Ok { evidence: Evidence::Disabled { own: names(own), others: names(others) } }
}

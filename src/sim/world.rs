//! The state of a synthetic world: hosts that boot, jobs that run on them, `disabled.json`, and what was
//! really done. It must not know the engine, nor decide anything.

mod entries;
mod file;
mod kernels;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use smallvec::{SmallVec, smallvec};

use crate::boot::CommandState;
use crate::bucket::{JobIx, WorkerIx};
use crate::engine::{AttemptId, Millis};
use crate::graph::{RolloutGraph, StepIx};

pub(super) use entries::Entry;
pub(super) use file::File;
pub(super) use kernels::Kernels;

/// One life of a host, from boot to shutdown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Boot {
    pub(super) up_at: Millis,
    pub(super) down_at: Option<Millis>,
    /// A reboot step has ended it.
    pub(super) ended_by_run: bool,
}

/// A reboot command that was started on a host. It ends with the boot that it was started in.
#[derive(Clone, Copy, Debug)]
pub(super) struct RebootCommand {
    pub(super) step: StepIx,
    pub(super) boot: u32,
    pub(super) does: Does,
}

/// What a reboot command does.
#[derive(Clone, Copy, Debug)]
pub(super) enum Does {
    /// It runs until it takes its host down.
    TakesDown,
    /// It has left a shutdown to the system, and has ended.
    Schedules,
    /// It ends then, with that exit code, and nothing else happens.
    Ends(Millis, i32),
}

/// One allocation on a host.
#[derive(Clone, Copy, Debug)]
pub(super) struct Alloc {
    pub(super) job: JobIx,
    pub(super) running: bool,
    /// Its probes fail although it runs.
    pub(super) sick: bool,
    /// A run stopped it, or took its host down, and nothing has started it since.
    pub(super) by_run: bool,
}

#[derive(Clone, Debug)]
pub(super) struct SimHost {
    pub(super) boots: SmallVec<[Boot; 2]>,
    pub(super) allocs: SmallVec<[Alloc; 4]>,
    /// Receipts of reboot steps: the step and its generation.
    pub(super) receipts: SmallVec<[(StepIx, u32); 1]>,
    /// The reboot command that was started last.
    pub(super) command: Option<Box<RebootCommand>>,
    /// For each reboot step how often the run made the host go down.
    pub(super) run_reboots: Tally,
    /// For each command step how often it ran to its end.
    pub(super) ran: Tally,
    /// Accepts so many reboot commands and does nothing.
    pub(super) deaf: u32,
    /// Does not come back from the next shutdown.
    pub(super) dies: bool,
    /// Goes down once more soon after the next boot.
    pub(super) loops: bool,
    /// `unless` of a reboot says that none is needed.
    pub(super) needless: bool,
    pub(super) kernels: Kernels,
    /// How long a login takes.
    pub(super) login: Millis,
    /// So long after a boot it says that it is not done booting.
    pub(super) starting: Millis,
    /// While it is down nothing answers; else connections are refused.
    pub(super) dark: bool,
    /// What stands before it accepts connections while it is down, and keeps those up that there are.
    pub(super) holds: bool,
    /// Between these its sshd is not there although the host is.
    pub(super) refuses: (Millis, Millis),
    /// Mutating scripts hold a lock: the next one starts then.
    pub(super) busy_until: Millis,
    /// The newest controller that it has heard of.
    pub(super) epoch: u64,
}

/// For each step how often; a worker has few.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally(SmallVec<[(StepIx, u32); 1]>);

impl Tally {
    pub(super) fn of(&mut self, step: StepIx) -> &mut u32 {
        let at = self.0.iter().position(|(of, _)| *of == step).unwrap_or_else(|| {
            self.0.push((step, 0));
            self.0.len() - 1
        });
        &mut self.0[at].1
    }

    /// By the step.
    pub(super) fn sorted(&self) -> BTreeMap<u32, u32> {
        self.0.iter().map(|(step, count)| (step.0, *count)).collect()
    }
}

impl SimHost {
    pub(super) fn is_up(&self) -> bool {
        self.boots.last().is_some_and(|boot| boot.down_at.is_none())
    }

    /// Whether its sshd refuses connections.
    pub(super) fn refuses_at(&self, now: Millis) -> bool {
        (self.refuses.0..self.refuses.1).contains(&now)
    }

    /// Whether a job runs on it, and its probes pass, as far as the host is up.
    fn serves(&self, job: JobIx) -> bool {
        self.allocs.iter().any(|alloc| alloc.job == job && alloc.running && !alloc.sick)
    }

    /// How the reboot command stands that was started in this boot.
    pub(super) fn command_state(&self, now: Millis) -> Option<CommandState> {
        let command = self.command.as_deref().filter(|command| command.boot == self.boot())?;
        Some(match command.does {
            Does::TakesDown => CommandState::Running,
            Does::Schedules => CommandState::Scheduled("reboot".to_owned()),
            Does::Ends(at, _) if now < at => CommandState::Running,
            Does::Ends(_, code) => CommandState::Ended(code),
        })
    }

    /// Whether a reboot command of this step may still take the host down.
    pub(super) fn is_told_to_reboot(&self, step: StepIx, now: Millis) -> bool {
        let of_step = self.command.as_deref().is_some_and(|command| command.step == step);
        let at_work = |state| matches!(state, CommandState::Running | CommandState::Scheduled(_));
        of_step && self.command_state(now).is_some_and(at_work)
    }

    pub(super) fn boot(&self) -> u32 {
        self.boots.len() as u32 - 1
    }

    /// Whether the receipt of this step, or of a later entry of it, is there.
    pub(super) fn has_receipt(&self, step: StepIx, generation: u32) -> bool {
        self.receipts.iter().any(|(of, entry)| *of == step && *entry >= generation)
    }

    /// `false`: the receipt is there already.
    pub(super) fn takes_receipt(&mut self, step: StepIx, generation: u32) -> bool {
        let new = !self.receipts.contains(&(step, generation));
        if new {
            self.receipts.push((step, generation));
        }
        new
    }
}

/// The id that a host has in its `boot`-th life.
pub(super) fn boot_id(worker: WorkerIx, boot: u32) -> String {
    format!("{:08x}-{boot:04x}", worker.0)
}

/// Which life an id is of.
pub(super) fn boot_number(worker: WorkerIx, id: &str) -> Option<u32> {
    let (host, boot) = id.split_once('-')?;
    (u32::from_str_radix(host, 16).ok()? == worker.0).then_some(())?;
    u32::from_str_radix(boot, 16).ok()
}

/// Everything outside of the controller's process.
pub(super) struct World {
    pub(super) graph: Arc<RolloutGraph>,
    pub(super) hosts: Vec<SimHost>,
    /// `disabled.json`.
    pub(super) file: File,
    /// Attempts whose effect has really happened.
    pub(super) done: BTreeSet<AttemptId>,
    /// Of each host whether something on it may not be well: on all others all is.
    suspected: Vec<bool>,
    /// Where the enabled allocations of each worker begin, and where the last end.
    first_enabled: Vec<usize>,
}

impl World {
    pub(super) fn new(graph: &Arc<RolloutGraph>, start: Millis) -> Self {
        let fleet = &graph.fleet;
        let host = SimHost {
            boots: smallvec![Boot { up_at: start - 86_400_000, down_at: None, ended_by_run: false }],
            allocs: SmallVec::new(),
            receipts: SmallVec::new(),
            command: None,
            run_reboots: Tally::default(),
            ran: Tally::default(),
            deaf: 0,
            dies: false,
            loops: false,
            needless: false,
            kernels: Kernels::default(),
            login: 50,
            starting: 0,
            dark: false,
            holds: false,
            refuses: (0, 0),
            busy_until: 0,
            epoch: 0,
        };
        let mut hosts = vec![host; fleet.workers.len()];
        for allocation in fleet.allocations() {
            let running = !allocation.disabled;
            let alloc = Alloc { job: allocation.job, running, sick: false, by_run: false };
            hosts[allocation.worker.0 as usize].allocs.push(alloc);
        }
        Self {
            graph: Arc::clone(graph),
            hosts,
            file: File::new(graph),
            done: BTreeSet::new(),
            first_enabled: (0..=fleet.workers.len() as u32)
                .map(|worker| graph.enabled_allocations().partition_point(|one| one.worker.0 < worker))
                .collect(),
            suspected: vec![true; fleet.workers.len()],
        }
    }

    pub(super) fn host(&self, worker: WorkerIx) -> &SimHost {
        &self.hosts[worker.0 as usize]
    }

    pub(super) fn host_mut(&mut self, worker: WorkerIx) -> &mut SimHost {
        self.suspected[worker.0 as usize] = true;
        &mut self.hosts[worker.0 as usize]
    }

    /// Whether `disabled.json` covers an allocation.
    pub(super) fn covers(&self, worker: WorkerIx, job: JobIx) -> bool {
        self.file.entries().of_worker(worker).iter().any(|entry| entry.is_none_or(|of| of == job))
    }

    /// Whether an allocation could serve now.
    pub(super) fn is_well(&self, worker: WorkerIx, job: JobIx) -> bool {
        let host = self.host(worker);
        host.is_up() && host.serves(job) && !self.covers(worker, job)
    }

    /// The enabled allocations of these jobs that could not serve now.
    pub(super) fn unhealthy(&mut self, jobs: &[JobIx]) -> Vec<(WorkerIx, JobIx)> {
        let graph = Arc::clone(&self.graph);
        let enabled = graph.enabled_allocations();
        let mut unhealthy = Vec::new();
        for worker in (0..self.hosts.len() as u32).map(WorkerIx) {
            let at = worker.0 as usize;
            let entries = self.file.entries().of_worker(worker);
            if !self.suspected[at] && entries.is_empty() {
                continue;
            }
            let host = &self.hosts[at];
            let away = !host.is_up() || entries.contains(&None);
            let mut all_well = true;
            for one in &enabled[self.first_enabled[at]..self.first_enabled[at + 1]] {
                if away || !host.serves(one.job) || entries.contains(&Some(one.job)) {
                    all_well = false;
                    if jobs.contains(&one.job) {
                        unhealthy.push((worker, one.job));
                    }
                }
            }
            self.suspected[at] = !all_well;
        }
        unhealthy
    }

    /// The host shuts down.
    pub(super) fn goes_down(&mut self, at: Millis, worker: WorkerIx, by_run: bool) {
        let host = self.host_mut(worker);
        if let Some(boot) = host.boots.last_mut() {
            boot.down_at = Some(at);
            boot.ended_by_run = by_run;
        }
        for alloc in &mut host.allocs {
            alloc.by_run |= by_run && alloc.running;
        }
    }

    /// The host is back; what runs at boot runs again.
    pub(super) fn comes_up(&mut self, at: Millis, worker: WorkerIx) {
        let host = self.host_mut(worker);
        host.boots.push(Boot { up_at: at, down_at: None, ended_by_run: false });
        host.kernels.boots();
        for alloc in &mut host.allocs {
            if alloc.running {
                alloc.by_run = false;
            }
        }
    }

    /// Nothing on the host is sick any more.
    pub(super) fn recovers(&mut self, worker: WorkerIx) {
        for alloc in &mut self.host_mut(worker).allocs {
            alloc.sick = false;
        }
    }

    /// Brings a host to what the file says, for these jobs (`None`: all).
    pub(super) fn deploy(&mut self, worker: WorkerIx, jobs: Option<&[JobIx]>) {
        for at in 0..self.host(worker).allocs.len() {
            let alloc = self.host(worker).allocs[at];
            if jobs.is_some_and(|jobs| !jobs.contains(&alloc.job)) {
                continue;
            }
            let enabled = !self.covers(worker, alloc.job);
            self.set_running(worker, at, enabled);
            let by_others = self.file.others().of_worker(worker);
            if by_others.iter().any(|entry| entry.is_none_or(|of| of == alloc.job)) {
                self.host_mut(worker).allocs[at].by_run = false;
            }
        }
    }

    pub(super) fn set_running(&mut self, worker: WorkerIx, at: usize, running: bool) {
        let alloc = &mut self.host_mut(worker).allocs[at];
        alloc.by_run = !running && (alloc.by_run || alloc.running);
        alloc.running = running;
    }

    /// What an operator sees at the end: for each host its boots and jobs, and the file.
    pub(super) fn summary(&self) -> String {
        let mut text = String::new();
        for (w, host) in self.hosts.iter().enumerate() {
            let jobs: Vec<_> = host.allocs.iter().map(|a| (a.job.0, a.running)).collect();
            text += &format!(
                "{w}: up {} boots {} by the run {:?} ran {:?} jobs {jobs:?}\n",
                host.is_up(),
                host.boots.len(),
                host.run_reboots.sorted(),
                host.ran.sorted()
            );
        }
        text + &format!("file {:?}", self.file.entries().iter().collect::<BTreeSet<_>>())
    }
}

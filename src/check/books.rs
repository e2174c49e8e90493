//! How each worker is and how much is down, by facts alone: what the engine and the policy believe is not looked at.

use std::collections::HashMap;
use std::sync::Arc;

use crate::engine::{Check, Fact, Intent};
use crate::graph::{Lane, RolloutGraph, TargetIx};
use crate::policy::Exposure;

/// How one worker is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Life {
    Queued,
    /// It goes through the steps of `prepare`, and through no others.
    Preparing,
    Active,
    Succeeded,
    /// It counts as failed; `true`: it is down.
    Failed(bool),
    /// It did not answer at the start: failed, and down.
    Away,
    /// Disabled before: it takes no part.
    LeftAlone,
}

/// What never changes: which worker counts where.
#[derive(Debug)]
pub(super) struct Shape {
    /// A step takes it down.
    goes: Vec<bool>,
    /// Its index in the exposure's zones.
    zone: Vec<Option<usize>>,
    /// Its value of the tag that the plan spreads over, as a number; workers without it share one.
    domain: Vec<usize>,
    domains: usize,
}

impl Shape {
    pub(super) fn new(graph: &RolloutGraph, exposure: &Exposure) -> Self {
        let disturbs: Vec<bool> = graph.plan.steps.iter().map(|step| step.kind.traits().disturbs).collect();
        let goes = |target: &crate::graph::Target| {
            target.applies.iter().zip(&disturbs).any(|(applies, disturbs)| *applies && *disturbs)
        };
        let zones: HashMap<&str, usize> =
            exposure.zones.iter().enumerate().map(|(at, zone)| (zone.zone.as_str(), at)).collect();
        let zone = |target: &crate::graph::Target| {
            let tag = &exposure.zones_by.as_ref()?.tag;
            zones.get(graph.fleet.worker(target.worker).tags.get(tag)?.as_str()).copied()
        };
        let tag = graph.plan.rollout.spread.as_ref().map(|spread| spread.value.tag.to_lowercase());
        let mut domains: HashMap<Option<&String>, usize> = HashMap::new();
        let domain = |target: &crate::graph::Target| {
            let next = domains.len();
            let value = tag.as_ref().and_then(|tag| graph.fleet.worker(target.worker).tags.get(tag));
            *domains.entry(value).or_insert(next)
        };
        Self {
            goes: graph.targets.iter().map(goes).collect(),
            zone: graph.targets.iter().map(zone).collect(),
            domain: graph.targets.iter().map(domain).collect(),
            domains: domains.len(),
        }
    }

    pub(super) fn goes_down(&self, target: TargetIx) -> bool {
        self.goes[target.0 as usize]
    }

    pub(super) fn zone(&self, target: TargetIx) -> Option<usize> {
        self.zone[target.0 as usize]
    }
}

/// All workers.
#[derive(Clone, Debug)]
pub(super) struct Books {
    shape: Arc<Shape>,
    pub(super) lives: Vec<Life>,
    /// It has been prepared, or nothing prepares it.
    pub(super) prepared: Vec<bool>,
    /// A step that takes it down was issued.
    touched: Vec<bool>,
    pub(super) active: u32,
    /// Failed workers, those that did not answer included.
    pub(super) failures: u32,
    /// How many are down: all, of each job of the fleet, of each zone.
    pub(super) down: u32,
    pub(super) down_of_job: Vec<u32>,
    pub(super) down_of_zone: Vec<u32>,
    down_of_domain: Vec<u32>,
    /// Of each wave, those that have not ended.
    left: Vec<u32>,
}

impl Books {
    pub(super) fn new(graph: &RolloutGraph, shape: &Arc<Shape>, zones: usize) -> Self {
        let count = graph.targets.len();
        Self {
            lives: vec![Life::Queued; count],
            prepared: graph
                .targets
                .iter()
                .map(|target| {
                    !target
                        .applies
                        .iter()
                        .zip(&graph.plan.steps)
                        .any(|(applies, step)| *applies && step.prepares)
                })
                .collect(),
            touched: vec![false; count],
            active: 0,
            failures: 0,
            down: 0,
            down_of_job: vec![0; graph.fleet.jobs.len()],
            down_of_zone: vec![0; zones],
            down_of_domain: vec![0; shape.domains],
            left: graph.waves.iter().map(|wave| wave.end - wave.start).collect(),
            shape: Arc::clone(shape),
        }
    }

    /// Notes a fact of a run of `graph`, or of one that is broken on purpose: waves and jobs are those of `graph`.
    pub(super) fn note(&mut self, graph: &RolloutGraph, fact: &Fact) {
        match fact {
            Fact::Preflight { checks } => {
                for (target, check) in graph.target_indices().zip(checks) {
                    match check {
                        Check::Ready { .. } => {}
                        Check::Unreachable { .. } => self.set(graph, target, Life::Away),
                        Check::LeftAlone { .. } => self.set(graph, target, Life::LeftAlone),
                    }
                }
            }
            Fact::PrepareStarted { target } => self.set(graph, *target, Life::Preparing),
            Fact::WorkerPrepared { target } => {
                self.prepared[target.0 as usize] = true;
                self.set(graph, *target, Life::Queued);
            }
            Fact::WorkerAdmitted { target } => self.set(graph, *target, Life::Active),
            Fact::Issued { lane: Lane::Worker(target), step, intent, .. } => {
                let disturbs = graph.plan.steps[step.index()].kind.traits().disturbs;
                self.touched[target.0 as usize] |=
                    disturbs && *intent != Intent::ReadBootId && !intent.is_undo();
            }
            Fact::WorkerSucceeded { target } => self.set(graph, *target, Life::Succeeded),
            Fact::WorkerFailed { target, .. } | Fact::RevertStuck { target, .. } => {
                let touched = self.touched[target.0 as usize];
                self.set(graph, *target, Life::Failed(touched));
            }
            Fact::WorkerReverted { target } => self.set(graph, *target, Life::Failed(false)),
            _ => {}
        }
    }

    fn set(&mut self, graph: &RolloutGraph, target: TargetIx, life: Life) {
        let before = self.is_down(target);
        let was = std::mem::replace(&mut self.lives[target.0 as usize], life);
        let count = |number: &mut u32, was: bool, is: bool| {
            *number = (*number + u32::from(is)).saturating_sub(u32::from(was));
        };
        count(&mut self.active, was == Life::Active, life == Life::Active);
        let failed = |life| matches!(life, Life::Failed(_) | Life::Away);
        count(&mut self.failures, failed(was), failed(life));
        let open = |life| matches!(life, Life::Queued | Life::Preparing | Life::Active);
        count(&mut self.left[graph.target(target).wave as usize], open(was), open(life));
        let after = self.is_down(target);
        count(&mut self.down, before, after);
        for job in &graph.target(target).jobs {
            count(&mut self.down_of_job[job.0 as usize], before, after);
        }
        if let Some(zone) = self.shape.zone(target) {
            count(&mut self.down_of_zone[zone], before, after);
        }
        count(&mut self.down_of_domain[self.shape.domain[target.0 as usize]], before, after);
    }

    /// One that waits to be prepared, or is just being prepared.
    pub(super) fn not_prepared(&self) -> Option<TargetIx> {
        let is_not =
            |(life, prepared): (&Life, &bool)| !prepared && matches!(life, Life::Queued | Life::Preparing);
        self.lives.iter().zip(&self.prepared).position(is_not).map(|at| TargetIx(at as u32))
    }

    pub(super) fn life(&self, target: TargetIx) -> Life {
        self.lives[target.0 as usize]
    }

    /// Down from its admission on, and as long as a failure leaves it so.
    fn is_down(&self, target: TargetIx) -> bool {
        match self.life(target) {
            Life::Active => self.shape.goes_down(target),
            Life::Failed(down) => down,
            Life::Away => true,
            Life::Queued | Life::Preparing | Life::Succeeded | Life::LeftAlone => false,
        }
    }

    /// A wave before this one that has not ended.
    pub(super) fn open_before(&self, wave: u32) -> Option<u32> {
        self.left.iter().take(wave as usize).position(|left| *left > 0).map(|at| at as u32)
    }

    /// How many failure domains are disturbed, and whether `target` is the only one that disturbs its own.
    pub(super) fn domains(&self, target: TargetIx) -> (u64, bool) {
        let own = self.down_of_domain[self.shape.domain[target.0 as usize]];
        (self.down_of_domain.iter().filter(|down| **down > 0).count() as u64, own == 1)
    }
}

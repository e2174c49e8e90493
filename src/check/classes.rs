//! Which workers are interchangeable: alike in all that admission, steps and promises look at.

use std::collections::HashMap;

use crate::bucket::JobIx;
use crate::graph::{RolloutGraph, Target, TargetIx};
use crate::policy::ZoneTag;

/// What makes workers alike.
#[derive(PartialEq, Eq, Hash)]
struct Alike<'a> {
    wave: u32,
    applies: &'a [bool],
    jobs: &'a [JobIx],
    zone: Option<&'a str>,
    domain: Option<&'a str>,
    already_disabled: bool,
}

/// For each worker its class, and of each class what the promises ask.
#[derive(Clone, Debug)]
pub(super) struct Classes {
    of: Vec<u32>,
    pub(super) count: usize,
}

impl Classes {
    pub(super) fn new(graph: &RolloutGraph, zones: Option<&ZoneTag>) -> Self {
        let spread = graph.plan.rollout.spread.as_ref().map(|spread| spread.value.tag.to_lowercase());
        let mut known: HashMap<Alike<'_>, u32> = HashMap::new();
        let mut of = Vec::with_capacity(graph.targets.len());
        for target in &graph.targets {
            let next = known.len() as u32;
            let class = *known.entry(alike(graph, target, zones, spread.as_deref())).or_insert(next);
            of.push(class);
        }
        Self { of, count: known.len() }
    }

    pub(super) fn of(&self, target: TargetIx) -> u32 {
        self.of[target.0 as usize]
    }
}

fn alike<'a>(
    graph: &'a RolloutGraph,
    target: &'a Target,
    zones: Option<&ZoneTag>,
    spread: Option<&str>,
) -> Alike<'a> {
    let tags = &graph.fleet.worker(target.worker).tags;
    Alike {
        wave: target.wave,
        applies: &target.applies,
        jobs: &target.jobs,
        zone: zones.and_then(|by| tags.get(&by.tag)).map(String::as_str),
        domain: spread.and_then(|tag| tags.get(tag)).map(String::as_str),
        already_disabled: target.already_disabled,
    }
}

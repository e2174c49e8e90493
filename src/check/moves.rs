//! What can happen next in a state.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::books::{Books, Life};
use super::classes::Classes;
use super::world::{Bug, Ending, Witness, World};
use crate::engine::{Fact, RunStatus};
use crate::graph::{RolloutGraph, StepIx, TargetIx};
use crate::plan::OnFailure;
use crate::policy::JobNow;

/// Something that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Move {
    /// One more worker does not answer at the start.
    Away(TargetIx),
    /// All others answer, and the rollout begins.
    Begin,
    /// A worker goes to its end.
    End(TargetIx, Ending),
    /// The look at jobs that is under way ends.
    LookEnds,
    /// Admission is asked again.
    AsksAgain,
}

/// The ways in which workers of a class end, one for each that makes a difference to others.
pub(super) struct Endings {
    /// Those of workers that are being prepared apart.
    of_class: HashMap<(u32, bool), Vec<Ending>>,
}

impl Endings {
    pub(super) fn new() -> Self {
        Self { of_class: HashMap::new() }
    }

    /// Of a worker that is active in `world`. Found out once for each class, by trying each step.
    fn of(
        &mut self,
        class: u32,
        target: TargetIx,
        world: &World,
        promised: &RolloutGraph,
    ) -> Result<&[Ending], Bug> {
        Ok(match self.of_class.entry((class, world.run.is_preparing(target))) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(find_out(target, world, promised)?),
        })
    }

    /// All moves of a state in which `failures` more may happen.
    pub(super) fn moves(
        &mut self,
        world: &World,
        classes: &Classes,
        promised: &RolloutGraph,
        failures: bool,
    ) -> Result<Vec<Move>, Bug> {
        let mut moves = Vec::new();
        if matches!(world.status(), RunStatus::Finished(_)) {
            // A look that is still under way is of no use to anybody.
            return Ok(moves);
        }
        let mut known = vec![false; classes.count];
        // It makes a difference whether the last look at jobs still counts where it has seen some that are not well: else
        // it allows what a new look allows that ends at once.
        let budgets = &promised.numbers().budgets;
        let sick = |now: JobNow| now.fresh && now.unhealthy > 0;
        let counts =
            budgets.iter().any(|budget| world.run.job_now(budget.job, world.now()).is_some_and(sick));
        for target in world.run.active().iter() {
            // They are alike, and so is what follows from the end of each.
            let class = classes.of(target);
            if std::mem::replace(&mut known[class as usize], true) {
                continue;
            }
            let endings = self.of(class, target, world, promised)?.iter();
            for ending in endings.filter(|ending| failures || ending.fails_at.is_none()) {
                moves.push(Move::End(target, *ending));
                if counts {
                    moves.push(Move::End(target, Ending { soon: true, ..*ending }));
                }
            }
        }
        if world.look.is_some() {
            moves.push(Move::LookEnds);
        }
        if world.wants_to_ask() {
            moves.push(Move::AsksAgain);
        }
        Ok(moves)
    }
}

fn find_out(target: TargetIx, world: &World, promised: &RolloutGraph) -> Result<Vec<Ending>, Bug> {
    let well = Ending { fails_at: None, is_stuck: false, soon: false };
    let mut endings = vec![well];
    let mut lives: Vec<Life> = Vec::new();
    let graph = world.run.graph();
    let reverts = graph.plan.rollout.on_failure == OnFailure::Revert;
    for is_stuck in [false, true].into_iter().filter(|is_stuck| reverts || !is_stuck) {
        for step in (0..graph.plan.steps.len() as u32).map(StepIx) {
            let ending = Ending { fails_at: Some(step), is_stuck, soon: false };
            let mut tried = world.clone();
            let mut life = Life::Queued;
            // What it leads to for others is looked at when the move is made.
            let mut told = |_: &Fact, books: &Books| {
                if let end @ (Life::Failed(_) | Life::Succeeded) = books.life(target) {
                    life = end;
                }
            };
            tried.end(target, ending, &mut Witness { promised, told: &mut told })?;
            if matches!(life, Life::Failed(_)) && !lives.contains(&life) {
                lives.push(life);
                endings.push(ending);
            }
        }
    }
    Ok(endings)
}

//! Facts that cannot be: the engine refuses each, and stays as it was. It must not know why.

use std::collections::BTreeMap;

use super::super::invariant::Invariant;
use super::Sim;
use crate::engine::{
    AttemptId, ErrorKind, Evidence, Fact, GatePlace, GateStanding, Intent, Outcome, Resolution, RunEnd,
    RunPhase, RunState, SilenceEvent, StepError, WorkerState,
};
use crate::graph::{Lane, StepIx, TargetIx};

fn ok(attempt: AttemptId, evidence: Evidence) -> Fact {
    Fact::Finished { attempt, outcome: Outcome::Ok { evidence } }
}

fn note() -> Evidence {
    Evidence::note("made up")
}

impl Sim {
    /// Attempts that this journal awaits.
    fn awaited(&self) -> BTreeMap<AttemptId, (Lane, StepIx, Intent)> {
        let mut awaited = BTreeMap::new();
        for (_, fact) in &self.ledger.shared.borrow().facts {
            match fact {
                Fact::Issued { attempt, lane, step, intent } => {
                    awaited.insert(*attempt, (*lane, *step, intent.clone()));
                }
                Fact::Finished { attempt, .. } => {
                    awaited.remove(attempt);
                }
                Fact::Resumed { fresh_process: true, .. } => awaited.clear(),
                _ => {}
            }
        }
        awaited
    }

    /// Tells a run that was made from the journal what cannot be.
    pub(in crate::sim) fn reject_illegal_facts(&mut self, mut rollout: RunState) {
        let awaited = self.awaited();
        let issued = self
            .ledger
            .shared
            .borrow()
            .facts
            .iter()
            .filter(|(_, fact)| matches!(fact, Fact::Issued { .. }))
            .count() as u64;
        let never = AttemptId(issued + 7);
        let by = || "an attacker".to_owned();
        let mut illegal = vec![
            Fact::RunStarted { workers: self.graph.targets.len() as u32, graph_hash: String::new(), seed: 0 },
            Fact::InDoubt { attempt: never },
            Fact::InDoubtResolved { attempt: never, how: Resolution::Done },
            Fact::WorkerAdmitted { target: TargetIx(self.graph.targets.len() as u32) },
            Fact::WaveStarted { wave: rollout.wave().map_or(1, |wave| wave + 2) },
            Fact::WaveFinished { wave: rollout.wave().map_or(0, |wave| wave + 1), soak_until: 0 },
        ];
        let measured =
            |place| Fact::GateMeasured { place, standing: GateStanding::Passed, says: String::new() };
        illegal.push(measured(GatePlace::AfterWave { wave: rollout.wave().map_or(0, |wave| wave + 1) }));
        if self.graph.plan.rollout.gates.guard.is_empty() {
            illegal.push(measured(GatePlace::Guard));
        } else if rollout.gate_standing(GatePlace::Guard) != Some(GateStanding::Passed) {
            illegal.extend(self.graph.target_indices().map(|target| Fact::WorkerAdmitted { target }));
        }
        let nobody = TargetIx(self.graph.targets.len() as u32);
        illegal.push(Fact::Silence {
            target: nobody,
            event: SilenceEvent::Failed { why: "illegal".to_owned() },
        });
        let finished = matches!(rollout.status(), crate::engine::RunStatus::Finished(_));
        if !finished {
            illegal.push(ok(never, note()));
            illegal.push(ok(AttemptId(0), note()));
        }
        if rollout.is_aborted() {
            illegal.push(Fact::Aborted { by: by(), revert: true });
        }
        if !rollout.active().is_empty() {
            illegal.push(Fact::RunFinished { end: RunEnd::Succeeded });
        }
        for target in self.graph.target_indices() {
            let life = rollout.worker_state(target);
            if life != WorkerState::Queued {
                illegal.push(Fact::WorkerAdmitted { target });
            }
            let prepares = rollout.phase() == RunPhase::Preparing && life == WorkerState::Queued;
            if !prepares {
                illegal.push(Fact::PrepareStarted { target });
            }
            if !rollout.is_preparing(target) {
                illegal.push(Fact::WorkerPrepared { target });
            }
            if !matches!(life, WorkerState::Failed | WorkerState::Skipped) {
                illegal.push(Fact::Retried { target, by: by() });
                illegal.push(Fact::Reopened { targets: vec![target], enabled: Vec::new(), by: by() });
            }
            if !matches!(life, WorkerState::Failed | WorkerState::Queued) {
                illegal.push(Fact::Skipped { target, by: by() });
            }
            if life != WorkerState::Reverting {
                illegal.push(Fact::WorkerReverted { target });
            }
            if !life.is_active() || awaited.values().any(|(lane, ..)| *lane == Lane::Worker(target)) {
                illegal.push(Fact::WorkerSucceeded { target });
                // One that has not started may be cancelled with the others.
                if life != WorkerState::Queued {
                    illegal.push(Fact::WorkerCancelled { target });
                }
                let error = StepError::new(ErrorKind::Command, "illegal");
                illegal.push(Fact::WorkerFailed { target, step: None, error });
            }
        }
        if !rollout.rollout_is_over() {
            let targets: Vec<_> = self.graph.target_indices().collect();
            let failed = targets.into_iter().filter(|at| rollout.worker_state(*at) == WorkerState::Failed);
            illegal.push(Fact::Reopened { targets: failed.collect(), enabled: Vec::new(), by: by() });
        }
        // What was once ordered of a BMC is never ordered again.
        let ordered: Vec<(Lane, StepIx, Intent)> = {
            let shared = self.ledger.shared.borrow();
            let resets = shared.facts.iter().filter_map(|(_, fact)| match fact {
                Fact::Issued { lane, step, intent: intent @ Intent::PowerCycle { .. }, .. } => {
                    Some((*lane, *step, intent.clone()))
                }
                _ => None,
            });
            resets.collect()
        };
        for (lane, step, intent) in ordered {
            illegal.push(Fact::Issued { attempt: AttemptId(issued + 1), lane, step, intent });
        }
        for (attempt, (lane, step, intent)) in &awaited {
            let wrong = match intent {
                Intent::ReadBootId => vec![note(), Evidence::BootId { boot_id: String::new(), kernel: None }],
                Intent::Reboot { boot_id, .. } => {
                    vec![
                        note(),
                        Evidence::Rebooted { boot_id: boot_id.clone() },
                        Evidence::Back { boot_id: "new".to_owned(), kernel: None },
                    ]
                }
                Intent::PowerCycle { .. } => {
                    vec![
                        note(),
                        Evidence::Departed,
                        Evidence::Back { boot_id: "new".to_owned(), kernel: None },
                    ]
                }
                Intent::AwaitBoot { not, .. } => {
                    let mut wrong = vec![
                        note(),
                        Evidence::Departed,
                        Evidence::Back { boot_id: String::new(), kernel: None },
                    ];
                    wrong.extend(not.clone().map(|boot_id| Evidence::Back { boot_id, kernel: None }));
                    wrong
                }
                Intent::Do { .. } => {
                    vec![Evidence::Departed, Evidence::Back { boot_id: "new".to_owned(), kernel: None }]
                }
                _ => vec![Evidence::Departed],
            };
            illegal.extend(wrong.into_iter().map(|evidence| ok(*attempt, evidence)));
            // Issued already.
            let (lane, step, intent) = (*lane, *step, intent.clone());
            illegal.push(Fact::Issued { attempt: AttemptId(issued + 1), lane, step, intent });
        }
        let before = rollout.clone();
        for fact in illegal {
            let taken = rollout.replay(self.now, &fact).is_ok();
            if taken {
                self.checker.breaks(Invariant::LegalTransitions, format!("{fact:?} cannot be, and is taken"));
                return;
            }
        }
        if before != rollout {
            self.checker.breaks(Invariant::LegalTransitions, "what is refused changes the state");
        }
    }
}

//! People: at random they interfere with the run, and in the end they answer what it waits for. They
//! know what a person at a terminal knows.

use super::drive::Sim;
use super::world::Entry;
use crate::bucket::WorkerIx;
use crate::engine::{Fact, Life, Resolution, Standing};
use crate::graph::TargetIx;

/// After so many answers at rest people give up and abort.
const PATIENCE: u32 = 12;
/// After so many more the run does not end.
const MOST_REACTIONS: u32 = 60;

fn name() -> String {
    "a person".to_owned()
}

impl Sim {
    fn any_target(&mut self) -> TargetIx {
        TargetIx(self.people.index(self.graph.targets.len()) as u32)
    }

    fn any_worker(&mut self) -> WorkerIx {
        WorkerIx(self.people.index(self.world.hosts.len()) as u32)
    }

    /// Somebody interferes.
    pub(super) fn person(&mut self) {
        match self.people.below(14) {
            0..=1 => self.says(Fact::Paused { by: name(), reason: "lunch".to_owned() }),
            2 => self.says(Fact::Resumed { by: name(), fresh_process: false }),
            3 => self.says(Fact::Interrupted { by: "SIGTERM".to_owned() }),
            4 => {
                if self.people.per_mille(300) {
                    let revert = self.people.coin();
                    self.says(Fact::Aborted { by: name(), revert });
                }
            }
            5 => {
                let target = self.any_target();
                self.says(Fact::Skipped { target, by: name() });
            }
            6 => {
                let target = self.any_target();
                self.says(Fact::Retried { target, by: name() });
            }
            7..=8 => {
                let worker = self.any_worker();
                let boot = self.world.host(worker).boot();
                self.goes_down(worker, boot, None);
            }
            9 => {
                let worker = self.any_worker();
                let entry = Entry { worker, job: None };
                // One that is there already is left as it is. One of the run that somebody else took
                // out, and that is put in again, can not be told from the run's own.
                if !self.world.marks.contains(&entry) && self.world.file.insert(entry) {
                    self.world.people.insert(entry);
                }
            }
            10 => {
                // A git checkout: the run's entries are gone.
                let people = self.world.people.clone();
                self.world.file.retain(|entry| people.contains(entry));
            }
            11..=12 => {
                let worker = self.any_worker();
                let sick = self.people.coin();
                for alloc in &mut self.world.host_mut(worker).allocs {
                    alloc.sick = sick;
                }
            }
            _ => {
                if self.rollout.is_some() {
                    self.crash();
                }
            }
        }
    }

    /// What a person asks for may be refused, and then changes nothing.
    fn says(&mut self, fact: Fact) {
        if self.rollout.is_none() || self.journal.is_empty() {
            return;
        }
        let before = self.rollout.as_ref().map(Sim::standing_of);
        let count = self.journal.len();
        if self.try_feed(fact.clone()).is_err() {
            let after = self.rollout.as_ref().map(Sim::standing_of);
            if before != after || self.journal.len() != count {
                self.checker.breaks(14, format!("{fact:?} is refused, and changes {before:?} to {after:?}"));
            }
            if self.knobs.check {
                self.check_replay();
            }
        }
    }

    fn standing_of(rollout: &crate::engine::Rollout) -> Standing {
        rollout.standing()
    }

    /// The run waits for people, and one comes.
    pub(super) fn reacts(&mut self) {
        let Some(rollout) = &self.rollout else { return };
        let standing = rollout.standing();
        self.reactions += 1;
        if matches!(standing, Standing::Busy | Standing::Finished(_)) {
            return;
        }
        if self.reactions > MOST_REACTIONS {
            self.checker
                .breaks(16, format!("people answered {MOST_REACTIONS} times, and it is {standing:?}"));
            return;
        }
        if self.reactions > PATIENCE && !rollout.is_aborted() {
            for alloc in self.world.hosts.iter_mut().flat_map(|host| &mut host.allocs) {
                alloc.sick = false;
            }
            let revert = self.people.coin();
            self.says(Fact::Aborted { by: name(), revert });
            return;
        }
        match standing {
            Standing::WaitsForPeople { gates, doubts } => {
                if let Some((lane, step)) = gates.first() {
                    self.says(Fact::Approved { lane: *lane, step: *step, by: name() });
                } else if let Some((attempt, _, _)) = doubts.first() {
                    let how = [Resolution::Rerun, Resolution::Done, Resolution::Skip][self.people.index(3)];
                    self.reran |= how == Resolution::Rerun;
                    self.says(Fact::InDoubtResolved { attempt: *attempt, how });
                }
            }
            Standing::Halted(_) => {
                for alloc in self.world.hosts.iter_mut().flat_map(|host| &mut host.allocs) {
                    alloc.sick = false;
                }
                let failed: Vec<TargetIx> = match &self.rollout {
                    Some(rollout) => {
                        self.graph.target_indices().filter(|t| rollout.life(*t) == Life::Failed).collect()
                    }
                    None => Vec::new(),
                };
                for target in failed {
                    let retry = self.people.per_mille(700);
                    let by = name();
                    self.says(if retry {
                        Fact::Retried { target, by }
                    } else {
                        Fact::Skipped { target, by }
                    });
                }
                self.resume_after_all();
            }
            _ => self.resume_after_all(),
        }
    }

    fn resume_after_all(&mut self) {
        if self.people.coin() {
            self.says(Fact::Resumed { by: name(), fresh_process: false });
        } else if self.rollout.is_some() {
            // The process had ended, and a new one resumes.
            self.crash();
        }
    }
}

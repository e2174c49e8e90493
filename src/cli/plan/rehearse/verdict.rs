//! The verdict of a rehearsal: the promises checked one by one, by what the fleet says and not by what
//! the engine believes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use crate::bucket::Host;
use crate::cli::CliError;
use crate::engine::{Fact, Life, Options, Rollout};
use crate::graph::{RolloutGraph, TargetIx};
use crate::journal::{Journal, Mode};
use crate::plan::{Problem, StepKind};
use crate::policy::Limits;
use crate::sandbox::{Event, Fault, FaultKind, Sandbox};

use super::super::session::compile_stored;
use super::watcher::Seen;

/// So many workers are listed one by one.
const WORKERS_SHOWN: usize = 30;

struct Promise {
    held: bool,
    what: String,
}

/// What a worker went through.
struct WorkerTime {
    host: String,
    took: Option<Duration>,
    state: &'static str,
    reboots: usize,
}

/// The verdict.
pub(super) struct Verdict {
    promises: Vec<Promise>,
    workers: Vec<WorkerTime>,
    most_down: usize,
    run_exit: Option<i32>,
    faults: Vec<String>,
}

impl Verdict {
    /// Judges.
    pub(super) fn of(
        sandbox: &Sandbox,
        seen: &Seen,
        faults: &[Fault],
        run_exit: Option<i32>,
        execute: bool,
    ) -> Result<Self, CliError> {
        let nothing = || {
            Problem::error("maand::rehearse::no_run", "the rehearsal's run did not begin")
                .help("the message above says why; `maand plan validate` checks the plan alone")
        };
        let run = seen.run.clone().ok_or_else(nothing)?;
        let journal = Journal::open(&sandbox.bucket_dir().join("data"), Mode::ReadOnly)?;
        let header = journal.run(&run)?.header;
        let graph = compile_stored(&header)?;
        let mut rollout = Rollout::new(Arc::clone(&graph), Options::default());
        let legal = seen.facts.iter().all(|fact| rollout.replay(fact.at, &fact.fact).is_ok());
        let judge = Judge { sandbox, seen, faults, graph: &graph, rollout: &rollout };
        let mut promises = vec![judge.reboots(), judge.down(), judge.disabled_json(), judge.left_disabled()];
        promises.push(judge.successes());
        promises.push(judge.order());
        promises.push(Promise {
            held: legal && seen.facts.iter().zip(1..).all(|(fact, seq)| fact.seq == seq),
            what: format!("the journal has {} facts without a gap, each of them legal", seen.facts.len()),
        });
        if !execute {
            promises.push(judge.nothing_executed());
        }
        Ok(Self {
            promises,
            workers: judge.workers(),
            most_down: seen.looks.iter().map(|look| look.down.len()).max().unwrap_or(0),
            run_exit,
            faults: faults.iter().map(ToString::to_string).collect(),
        })
    }

    /// Whether every promise held, and the run went as its faults let it.
    pub(super) fn all_held(&self) -> bool {
        self.promises.iter().all(|promise| promise.held)
            && (self.run_exit == Some(0) || !self.faults.is_empty())
    }

    pub(super) fn to_text(&self) -> String {
        let mut text = String::from("\nWhat each worker went through\n");
        for worker in self.workers.iter().take(WORKERS_SHOWN) {
            let took =
                worker.took.map_or_else(|| "-".to_owned(), |took| format!("{:.1} s", took.as_secs_f64()));
            let _ = writeln!(
                text,
                "  {:<20} {:<10} {took:>8}   {} reboots",
                worker.host, worker.state, worker.reboots
            );
        }
        if self.workers.len() > WORKERS_SHOWN {
            let _ = writeln!(text, "  and {} more", self.workers.len() - WORKERS_SHOWN);
        }
        let _ = writeln!(text, "\nVerdict, by what the fleet says");
        for promise in &self.promises {
            let _ = writeln!(text, "  {}  {}", if promise.held { "held  " } else { "BROKEN" }, promise.what);
        }
        let exit =
            self.run_exit.map_or_else(|| "by a signal".to_owned(), |code| format!("with exit code {code}"));
        let _ = writeln!(text, "\nThe run itself ended {exit}.");
        let end = if self.all_held() {
            "All promises held. Nothing of the fleet is left."
        } else {
            "Not all is well. Nothing of the fleet is left."
        };
        let _ = writeln!(text, "{end}");
        text
    }

    pub(super) fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "type": "verdict",
            "schema": 1,
            "all_held": self.all_held(),
            "run_exit_code": self.run_exit,
            "most_down_at_once": self.most_down,
            "faults": self.faults,
            "promises": self.promises.iter().map(|promise| serde_json::json!({
                "held": promise.held,
                "what": promise.what,
            })).collect::<Vec<_>>(),
            "workers": self.workers.iter().map(|worker| serde_json::json!({
                "host": worker.host,
                "state": worker.state,
                "seconds": worker.took.map(|took| took.as_secs_f64()),
                "reboots": worker.reboots,
            })).collect::<Vec<_>>(),
        })
    }
}

struct Judge<'a> {
    sandbox: &'a Sandbox,
    seen: &'a Seen,
    faults: &'a [Fault],
    graph: &'a RolloutGraph,
    rollout: &'a Rollout,
}

impl Judge<'_> {
    fn host(&self, target: TargetIx) -> Host {
        self.graph.fleet.worker(self.graph.target(target).worker).host.clone()
    }

    /// Boots after the first one, less those that a fault makes the worker do by itself.
    fn reboots_of(&self, host: &Host) -> usize {
        let all = self.sandbox.boots(host).len().saturating_sub(1);
        let own =
            self.faults.iter().any(|fault| fault.host == *host && fault.kind == FaultKind::RebootsTwice);
        all.saturating_sub(usize::from(own))
    }

    fn reboots(&self) -> Promise {
        let mut worst = 0;
        let mut held = true;
        for target in self.graph.target_indices() {
            let steps = self.graph.plan.steps.iter().zip(self.graph.target(target).applies.iter());
            let allowed = steps
                .filter(|(step, applies)| **applies && matches!(step.kind, StepKind::Reboot { .. }))
                .count();
            let reboots = self.reboots_of(&self.host(target));
            worst = worst.max(reboots);
            held &= reboots <= allowed;
        }
        let others = self.sandbox.hosts().iter().filter(|host| !self.is_target(host));
        let untouched = others.map(|host| self.reboots_of(host)).sum::<usize>() == 0;
        Promise {
            held: held && untouched,
            what: format!(
                "no worker was rebooted more often than the plan says (most: {worst}), and no other one"
            ),
        }
    }

    fn is_target(&self, host: &Host) -> bool {
        self.graph.target_indices().any(|target| self.host(target) == *host)
    }

    fn down(&self) -> Promise {
        let limits = Limits::resolve(self.graph);
        let most = self.seen.looks.iter().max_by_key(|look| look.down.len());
        let (most, at) = most.map_or((0, Duration::ZERO), |look| (look.down.len(), look.at));
        // Failed workers stay down and hold no place any more.
        let failed = self
            .graph
            .target_indices()
            .filter(|target| self.rollout.life(*target) != Life::Succeeded)
            .count();
        let overall = limits.concurrency.is_none_or(|allowed| most <= allowed as usize + failed);
        let mut broken = Vec::new();
        for budget in &limits.budgets {
            let hosts = self.hosts_of(budget.job);
            let least = self
                .seen
                .looks
                .iter()
                .map(|look| hosts.iter().filter(|host| !look.down.contains(*host)).count())
                .min()
                .unwrap_or(hosts.len());
            if least < budget.wants as usize {
                let job = &self.graph.fleet.job(budget.job).name;
                broken.push(format!("job {job} had {least} of {}, wants {}", hosts.len(), budget.wants));
            }
        }
        let allowed = limits.concurrency.map_or_else(|| "as budgets allow".to_owned(), |n| n.to_string());
        let detail = if broken.is_empty() { String::new() } else { format!("; {}", broken.join(", ")) };
        Promise {
            held: overall && broken.is_empty(),
            what: format!(
                "never more workers down than allowed: at most {most} at once (after {:.1} s), allowed {allowed}{detail}",
                at.as_secs_f64()
            ),
        }
    }

    fn hosts_of(&self, job: crate::bucket::JobIx) -> BTreeSet<Host> {
        self.graph
            .enabled_allocations()
            .iter()
            .filter(|allocation| allocation.job == job)
            .map(|allocation| self.graph.fleet.worker(allocation.worker).host.clone())
            .collect()
    }

    fn disabled_json(&self) -> Promise {
        let mut after = self.seen.disabled_after.clone().unwrap_or_default();
        for target in self.rollout.left_disabled() {
            after.workers.remove(self.host(target).as_str());
        }
        let before = self.seen.disabled_before.clone().unwrap_or_default();
        let kept = before.workers.iter().all(|host| after.workers.contains(host))
            && before
                .jobs
                .iter()
                .all(|(job, hosts)| after.jobs.get(job).is_some_and(|now| hosts.is_subset(now)));
        Promise {
            held: kept && self.seen.unreadable == 0,
            what: format!(
                "disabled.json could be read at every look, and {} entries of others are as before",
                before.workers.len() + before.jobs.len()
            ),
        }
    }

    fn left_disabled(&self) -> Promise {
        let before = self.seen.disabled_before.clone().unwrap_or_default();
        let after = self.seen.disabled_after.clone().unwrap_or_default();
        let listed: BTreeSet<String> =
            self.rollout.left_disabled().into_iter().map(|target| self.host(target).to_string()).collect();
        let left: BTreeSet<String> = after.workers.difference(&before.workers).cloned().collect();
        Promise {
            held: left.is_subset(&listed),
            what: match left.len() {
                0 => "every worker that the run disabled is enabled again".into(),
                n => format!("{n} workers are left disabled, and the report names each of them"),
            },
        }
    }

    fn successes(&self) -> Promise {
        let reboots = self.graph.plan.steps.iter().any(|step| {
            matches!(&step.kind, StepKind::Reboot { unless: None, .. })
                && step.when == crate::plan::When::default()
        });
        let succeeded: Vec<Host> = self
            .graph
            .target_indices()
            .filter(|target| self.rollout.life(*target) == Life::Succeeded)
            .map(|target| self.host(target))
            .collect();
        let held = !reboots || succeeded.iter().all(|host| self.sandbox.boots(host).len() > 1);
        let what = if reboots {
            format!("each of the {} workers reported as rebooted has booted anew", succeeded.len())
        } else {
            format!("{} workers are reported as done", succeeded.len())
        };
        Promise { held, what }
    }

    /// No worker was asked to reboot before the journal knew.
    fn order(&self) -> Promise {
        let mut issued: BTreeMap<TargetIx, i64> = BTreeMap::new();
        for stamped in &self.seen.facts {
            if let Fact::Issued { lane: crate::graph::Lane::Worker(target), intent, .. } = &stamped.fact
                && matches!(intent, crate::engine::Intent::Reboot { .. })
            {
                issued.entry(*target).or_insert(stamped.at);
            }
        }
        let held = self.graph.target_indices().all(|target| {
            let log = self.sandbox.log(&self.host(target));
            let asked = log.iter().find(|entry| matches!(entry.event, Event::RebootAsked { .. }));
            match (asked, issued.get(&target)) {
                (Some(asked), Some(issued)) => asked.at.as_millisecond() >= *issued,
                (Some(_), None) => false,
                (None, _) => true,
            }
        });
        Promise { held, what: "no reboot was asked for before the journal had noted it".into() }
    }

    fn nothing_executed(&self) -> Promise {
        let recorded: usize = self
            .sandbox
            .hosts()
            .iter()
            .map(|host| {
                let log = self.sandbox.log(host);
                log.iter().filter(|entry| matches!(entry.event, Event::NotExecuted { .. })).count()
            })
            .sum();
        // Every command that was reported as done must have met the recorder.
        let commands: BTreeSet<_> = self
            .seen
            .facts
            .iter()
            .filter_map(|stamped| match &stamped.fact {
                Fact::Issued { attempt, lane: lane @ crate::graph::Lane::Worker(_), step, .. } => {
                    let step = &self.graph.steps(*lane)[*step as usize];
                    matches!(step.kind, StepKind::Run(_)).then_some(*attempt)
                }
                _ => None,
            })
            .collect();
        let done = self.seen.facts.iter().filter(|stamped| {
            matches!(&stamped.fact, Fact::Finished { attempt, outcome: crate::engine::Outcome::Ok { .. } } if commands.contains(attempt))
        });
        Promise {
            held: done.count() <= recorded,
            what: format!("your own commands were recorded ({recorded}) and not executed"),
        }
    }

    fn workers(&self) -> Vec<WorkerTime> {
        let mut times: BTreeMap<TargetIx, (Option<i64>, Option<i64>)> = BTreeMap::new();
        for stamped in &self.seen.facts {
            match &stamped.fact {
                Fact::WorkerAdmitted { target } => {
                    times.entry(*target).or_default().0.get_or_insert(stamped.at);
                }
                Fact::WorkerSucceeded { target }
                | Fact::WorkerFailed { target, .. }
                | Fact::WorkerReverted { target }
                | Fact::RevertStuck { target, .. } => times.entry(*target).or_default().1 = Some(stamped.at),
                _ => {}
            }
        }
        self.graph
            .target_indices()
            .map(|target| {
                let took = times.get(&target).and_then(|(from, to)| Some((*to)? - (*from)?));
                let state = match self.rollout.life(target) {
                    Life::Succeeded => "succeeded",
                    Life::Failed => "failed",
                    Life::Reverted => "reverted",
                    Life::Skipped => "skipped",
                    Life::Cancelled => "cancelled",
                    Life::Queued => "not started",
                    _ => "under way",
                };
                let host = self.host(target);
                let took = took.and_then(|took| u64::try_from(took).ok()).map(Duration::from_millis);
                WorkerTime {
                    reboots: self.sandbox.boots(&host).len().saturating_sub(1),
                    host: host.to_string(),
                    took,
                    state,
                }
            })
            .collect()
    }
}

//! The promises of a rehearsal, each held against what the workers have written down.
//!
//! The journal and the run's report are what is judged; where they are asked (which worker had failed
//! when, what was issued) it is said why they may be believed.

use std::collections::{BTreeMap, BTreeSet};

use super::history::{History, Moment, Testimony};
use super::verdict::{Case, Down, Promise, WorkerPart};
use crate::bucket::{Disabled, Host, JobIx};
use crate::engine::{Fact, Millis};
use crate::graph::TargetIx;
use crate::plan::{JobAction, Step, StepKind, counted};
use crate::policy::Limits;
use crate::report::{RunView, WorkerView};

/// One case before the judge.
pub(super) struct Judge<'a> {
    pub(super) case: &'a Case<'a>,
    pub(super) view: &'a RunView,
    pub(super) legal: bool,
    pub(super) history: History,
    /// From when on a worker that is down takes no place: it has failed, which `max_failures` allows, or it went
    /// down by itself.
    excused: BTreeMap<Host, Millis>,
}

impl<'a> Judge<'a> {
    pub(super) fn new(case: &'a Case<'a>, view: &'a RunView, legal: bool) -> Self {
        let start = case.seen.facts.first().map_or(case.header.started_at, |fact| fact.at);
        let history = History::since(start, case.evidence);
        let mut judge = Self { case, view, legal, history, excused: BTreeMap::new() };
        judge.excused = judge.excuses();
        judge
    }

    pub(super) fn promises(&self) -> Vec<Promise> {
        let mut promises = vec![
            self.reboots(),
            self.down(),
            self.others_entries(),
            self.left_disabled(),
            self.successes(),
            self.intent_first(),
        ];
        promises.extend(self.prepared_first());
        promises.extend(self.drained_first());
        promises.extend(self.host_key());
        promises.extend(self.one_command());
        promises.extend(self.unplanned_boots());
        promises.push(self.journal());
        promises.push(self.exit_code());
        if !self.case.execute {
            promises.push(self.nothing_executed());
        }
        promises
    }

    pub(super) fn host(&self, target: TargetIx) -> &Host {
        &self.case.graph.fleet.worker(self.case.graph.target(target).worker).host
    }

    pub(super) fn told(&self, host: &Host) -> Option<&Testimony> {
        self.case.evidence.get(host)
    }

    /// The steps that run on a worker, with their places.
    pub(super) fn steps(&self, target: TargetIx) -> impl Iterator<Item = (usize, &Step)> + '_ {
        let applies = self.case.graph.target(target).applies.iter();
        let steps = self.case.graph.plan.steps.iter().enumerate().zip(applies);
        steps.filter(|(_, applies)| **applies).map(|(step, _)| step)
    }

    /// A worker that has ended well is as it was: no step leaves its jobs stopped.
    pub(super) fn restores(&self, target: TargetIx) -> bool {
        let any = |what: fn(&StepKind) -> bool| self.steps(target).any(|(_, step)| what(&step.kind));
        let stops = any(|kind| matches!(kind, StepKind::Job { action: JobAction::Stop, .. }));
        let drains = any(|kind| matches!(kind, StepKind::Disable { .. }));
        !stops && (!drains || any(|kind| matches!(kind, StepKind::Enable)))
    }

    fn excuses(&self) -> BTreeMap<Host, Millis> {
        // That a worker has failed is the run's word; a run that fails workers for nothing ends with
        // another exit code than 0, which without a fault is no success either.
        let ended = self.case.seen.facts.iter().filter_map(|stamped| match &stamped.fact {
            Fact::WorkerFailed { target, .. } => Some((self.host(*target).clone(), stamped.at)),
            Fact::WorkerSucceeded { target } if !self.restores(*target) => {
                Some((self.host(*target).clone(), stamped.at))
            }
            _ => None,
        });
        let mut excused: BTreeMap<Host, Millis> = BTreeMap::new();
        for (host, at) in ended.chain(self.by_themselves()) {
            let since = excused.entry(host).or_insert(at);
            *since = at.min(*since);
        }
        excused
    }

    fn by_themselves(&self) -> impl Iterator<Item = (Host, Millis)> + '_ {
        self.case.evidence.iter().filter_map(|(host, told)| Some((host.clone(), told.went_by_itself()?)))
    }

    fn reboots(&self) -> Promise {
        let mut allowed: BTreeMap<&Host, usize> = BTreeMap::new();
        for target in self.case.graph.target_indices() {
            let reboots = self.steps(target).filter(|(_, step)| matches!(step.kind, StepKind::Reboot { .. }));
            allowed.insert(self.host(target), reboots.count());
        }
        let (mut most, mut broken) = (0, Vec::new());
        for (host, told) in self.case.evidence {
            let reboots = told.reboots();
            most = most.max(reboots);
            match allowed.get(host) {
                Some(allowed) if reboots > *allowed => {
                    broken.push(format!("{host} was {} and not {allowed}", counted(reboots, "time")));
                }
                None if reboots > 0 || self.history.has_changed(host) => {
                    broken.push(format!("{host} was touched"));
                }
                _ => {}
            }
        }
        let what = format!(
            "no worker was rebooted more often than the plan says (most: {most}), no other one touched"
        );
        promise("reboots", what, &broken)
    }

    /// The most workers that took a place at once, and when, in milliseconds since the run began.
    pub(super) fn most_down(&self) -> (usize, Millis) {
        let mut most = (0, 0);
        self.history.walk(|moment| {
            let down = self.history.down(moment).filter(|host| self.counts(host, moment)).count();
            if down > most.0 {
                most = (down, moment.at - self.history.found().at);
            }
        });
        most
    }

    fn counts(&self, host: &Host, moment: &Moment) -> bool {
        self.excused.get(host).is_none_or(|since| moment.at < *since)
    }

    fn down(&self) -> Promise {
        let limits = Limits::resolve(self.case.graph);
        let (most, at) = self.most_down();
        let mut broken = Vec::new();
        if let Some(allowed) = limits.concurrency.filter(|allowed| most > *allowed as usize) {
            broken.push(format!("{most} and not {allowed}"));
        }
        // A failed worker holds its domain and its jobs as long as it is down: only what a worker does by
        // itself is no fault of the run.
        let by_itself: BTreeMap<Host, Millis> = self.by_themselves().collect();
        let own = |host: &Host, at: Millis| by_itself.get(host).is_some_and(|since| at >= *since);
        for budget in &limits.budgets {
            let job = self.case.graph.fleet.job(budget.job).name.as_str();
            let hosts = self.hosts_of(budget.job);
            let runs = |host: &Host, moment: &Moment| {
                let now = moment.fleet.get(host);
                own(host, moment.at) || now.is_some_and(|now| now.running.contains(job))
            };
            let up = |moment: &Moment| hosts.iter().filter(|host| runs(host, moment)).count();
            let mut least = usize::MAX;
            self.history.walk(|moment| least = least.min(up(moment)));
            // Where fewer ran before, the run must not take more.
            let wants = up(self.history.found()).min(budget.wants as usize);
            if least < wants {
                broken.push(format!("job {job} had {least} of {}, wants {wants}", hosts.len()));
            }
        }
        if let Some(spread) = &limits.spread {
            let domain = |target: TargetIx| {
                self.case.graph.fleet.worker(self.case.graph.target(target).worker).tags.get(&spread.tag)
            };
            let disturbed = |moment: &Moment| {
                let down = self.case.graph.target_indices().filter(|target| {
                    let host = self.host(*target);
                    limits.disturbs(*target)
                        && self.history.is_down(host, moment)
                        && !own(host, moment.at)
                        && (self.restores(*target) || self.counts(host, moment))
                });
                down.map(domain).collect::<BTreeSet<_>>().len()
            };
            let mut most = 0;
            self.history.walk(|moment| most = most.max(disturbed(moment)));
            if most as u64 > spread.at_most {
                broken.push(format!("{most} values of the tag {} and not {}", spread.tag, spread.at_most));
            }
        }
        let allowed = limits.concurrency.map_or_else(|| "as many as fit".to_owned(), |n| n.to_string());
        let when = if most > 0 { format!(" (first after {:.1}s)", seconds(at)) } else { String::new() };
        let what = format!(
            "never more workers down than the plan allows: at most {most} at once{when}, allowed {allowed}"
        );
        promise("down", what, &broken)
    }

    fn hosts_of(&self, job: JobIx) -> BTreeSet<&Host> {
        let allocations = self.case.graph.enabled_allocations().iter();
        let of_job = allocations.filter(|allocation| allocation.job == job);
        of_job.map(|allocation| &self.case.graph.fleet.worker(allocation.worker).host).collect()
    }

    /// `disabled.json` before the run.
    fn before(&self) -> Disabled {
        self.case.seen.looks.first().map(|look| look.disabled.clone()).unwrap_or_default()
    }

    fn others_entries(&self) -> Promise {
        let seen = self.case.seen;
        let before = self.before();
        let mut broken = BTreeSet::new();
        for look in &seen.looks {
            let now = &look.disabled;
            broken.extend(before.workers.difference(&now.workers).map(|host| format!("{host} was removed")));
            for (job, hosts) in &before.jobs {
                // No host means the whole job, which is another thing than some of its hosts.
                let kept = now
                    .jobs
                    .get(job)
                    .is_some_and(|now| if hosts.is_empty() { now.is_empty() } else { hosts.is_subset(now) });
                if !kept {
                    broken.insert(format!("the entry of job {job} was changed"));
                }
            }
        }
        let mut broken: Vec<String> = broken.into_iter().collect();
        if seen.looks.is_empty() || seen.unreadable > 0 {
            broken.push(format!("it could not be read at {}", counted(seen.unreadable as usize, "look")));
        }
        let others = match before.workers.len() + before.jobs.len() {
            0 => "nothing of others was in it".to_owned(),
            1 => "the entry of others is as before".to_owned(),
            n => format!("the {n} entries of others are as before"),
        };
        promise("others_entries", format!("disabled.json could be read at every look, and {others}"), &broken)
    }

    fn left_disabled(&self) -> Promise {
        let (before, none) = (self.before(), BTreeSet::new());
        let after = self.case.seen.looks.last().map(|look| look.disabled.clone()).unwrap_or_default();
        let mut left: BTreeSet<String> = after.workers.difference(&before.workers).cloned().collect();
        let mut broken = Vec::new();
        for (job, hosts) in &after.jobs {
            match before.jobs.get(job) {
                None if hosts.is_empty() => broken.push(format!("all of job {job} is disabled")),
                // It was disabled as a whole before.
                Some(before) if before.is_empty() => {}
                then => left.extend(hosts.difference(then.unwrap_or(&none)).cloned()),
            }
        }
        let named: BTreeSet<String> = self.view.left_disabled.iter().cloned().collect();
        broken.extend(left.difference(&named).map(|host| format!("{host} is left and not named")));
        if !left.is_empty() && self.case.run_exit == Some(0) {
            broken.push("and yet the exit code is 0".to_owned());
        }
        let what = match left.len() {
            0 => "every worker that the run disabled is enabled again".to_owned(),
            1 => "1 worker is left disabled, and the report names it".to_owned(),
            n => format!("{n} workers are left disabled, and the report names each of them"),
        };
        promise("left_disabled", what, &broken)
    }

    pub(super) fn view_of(&self, target: TargetIx) -> &WorkerView {
        self.view.worker(target)
    }

    pub(super) fn workers(&self) -> Vec<WorkerPart> {
        let part = |target: TargetIx| {
            let (view, host) = (self.view_of(target), self.host(target));
            let down = self.history.times_down(host);
            WorkerPart {
                host: view.host.clone(),
                state: view.state.describe(),
                seconds: view.took().map(seconds),
                reboots: self.told(host).map_or(0, Testimony::all_reboots),
                down: down
                    .into_iter()
                    .map(|(from, to)| Down { from: seconds(from), to: to.map(seconds) })
                    .collect(),
            }
        };
        self.case.graph.target_indices().map(part).collect()
    }
}

fn seconds(millis: Millis) -> f64 {
    millis as f64 / 1000.0
}

/// `1 worker is`, `2 workers are`.
pub(super) fn are(n: usize, what: &str) -> String {
    format!("{} {}", counted(n, what), if n == 1 { "is" } else { "are" })
}

/// Held, unless something is wrong, which is then said as well.
pub(super) fn promise(name: &'static str, what: String, broken: &[String]) -> Promise {
    let held = broken.is_empty();
    let what = if held { what } else { format!("{what}; {}", broken.join(", ")) };
    Promise { name, held, what }
}

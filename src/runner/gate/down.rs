//! Which workers are down by the run, as far as gates ask for it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::engine::{Millis, RunState};
use crate::graph::TargetIx;
use crate::plan::{Measure, Plan};

/// When workers that the run had taken down came back, as its facts say: a process that resumes the run has not seen it.
#[derive(Debug, Default)]
pub struct Returns {
    down: BTreeSet<TargetIx>,
    back: BTreeMap<TargetIx, Millis>,
}

impl Returns {
    /// Whether a gate of the plan asks for it.
    pub fn are_asked_for(plan: &Plan) -> bool {
        let asks =
            |measure: &Measure| matches!(measure, Measure::Alertmanager(query) if !query.linger.is_zero());
        plan.gates().any(|gate| asks(&gate.measure))
    }

    /// The state after one more fact, of that time.
    pub fn see(&mut self, at: Millis, run: &RunState) {
        let down: BTreeSet<TargetIx> = run.taken_down().collect();
        for target in self.down.difference(&down) {
            self.back.insert(*target, at);
        }
        self.back.retain(|target, _| !down.contains(target));
        self.down = down;
    }

    /// Those that are back, and since when.
    pub fn back(&self) -> impl Iterator<Item = (TargetIx, Millis)> + '_ {
        self.back.iter().map(|(target, at)| (*target, *at))
    }
}

/// Since when a worker is back.
#[derive(Clone, Copy, Debug)]
struct Back {
    since: Instant,
    /// So long it was back already when this process began.
    before: Duration,
}

impl Back {
    fn elapsed(self) -> Duration {
        self.since.elapsed() + self.before
    }
}

/// Workers that are down, and those that were.
#[derive(Debug, Default)]
pub(in crate::runner) struct DownWorkers {
    /// By their hosts; since when each is back, `None`: it is down.
    seen: BTreeMap<String, Option<Back>>,
}

impl DownWorkers {
    /// This one was down, and is back for so long.
    pub(in crate::runner) fn was(&mut self, host: String, before: Duration) {
        self.seen.insert(host, Some(Back { since: Instant::now(), before }));
    }

    /// These are down now, and no others.
    pub(in crate::runner) fn are(&mut self, hosts: impl Iterator<Item = String>) {
        let now = Back { since: Instant::now(), before: Duration::ZERO };
        let mut before = std::mem::take(&mut self.seen);
        self.seen = hosts.map(|host| (host, None)).collect();
        before.retain(|host, _| !self.seen.contains_key(host));
        self.seen.extend(before.into_iter().map(|(host, back)| (host, Some(back.unwrap_or(now)))));
    }

    /// Those that are down, in order.
    pub(in crate::runner) fn now(&self) -> Vec<String> {
        self.seen.iter().filter(|(_, back)| back.is_none()).map(|(host, _)| host.clone()).collect()
    }

    /// Those that are down, or were a moment ago.
    pub(super) fn within(&self, moment: Duration) -> Vec<String> {
        let is_near = |back: &Option<Back>| back.is_none_or(|back| back.elapsed() < moment);
        self.seen.iter().filter(|(_, back)| is_near(back)).map(|(host, _)| host.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_come_back_is_remembered_for_a_while() {
        let mut down = DownWorkers::default();
        let hosts = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        down.are(hosts(&["a", "b"]).into_iter());
        down.are(hosts(&["b", "c"]).into_iter());
        assert_eq!(down.now(), ["b", "c"]);
        assert_eq!(down.within(Duration::from_secs(3600)), ["a", "b", "c"]);
        assert_eq!(down.within(Duration::ZERO), ["b", "c"]);
        down.are(hosts(&["a"]).into_iter());
        assert_eq!(down.now(), ["a"]);
        // Another process has seen these come back.
        let mut down = DownWorkers::default();
        down.was("a".to_owned(), Duration::from_secs(60));
        down.was("b".to_owned(), Duration::from_secs(180));
        down.are(hosts(&["c"]).into_iter());
        assert_eq!(down.within(Duration::from_secs(120)), ["a", "c"]);
        assert_eq!(down.now(), ["c"]);
    }

    #[test]
    fn a_process_that_resumes_knows_from_the_facts_who_came_back_and_when() {
        use crate::report::testing::play;
        let plan = crate::graph::testing::plan();
        let hosts = ["w1", "w2"].map(|name| crate::graph::testing::worker(name, &[], &[]));
        let fleet = crate::graph::testing::fleet(hosts.to_vec(), &[]);
        let graph = std::sync::Arc::new(crate::graph::testing::compiled(&plan, &fleet));
        let facts = play(graph.clone(), |_| None);
        let ended = |wanted: u32| {
            let is = |fact: &crate::engine::Fact| matches!(fact, crate::engine::Fact::WorkerSucceeded { target } if target.0 == wanted);
            facts.iter().find(|stamped| is(&stamped.fact)).unwrap().at
        };
        let mut run = RunState::new(graph, crate::engine::Options::default());
        let mut returns = Returns::default();
        for stamped in &facts {
            run.replay(stamped.at, &stamped.fact).unwrap();
            returns.see(stamped.at, &run);
            if stamped.at < ended(0) {
                assert_eq!(returns.back().count(), 0);
            }
        }
        let back: Vec<_> = returns.back().map(|(target, at)| (target.0, at)).collect();
        assert_eq!(back, [(0, ended(0)), (1, ended(1))]);
    }
}

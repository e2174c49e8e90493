//! All of it together: what several workers have in common, what they say of each other, and the same trouble of many
//! said once.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::finding::{Finding, Severity};
use super::look::Examined;
use crate::bucket::Host;
use crate::plan::counted;
use crate::ssh::{Cause, Layer};

/// From so many workers with clocks that are off alike, it is this machine's that is wrong.
const ALIKE: usize = 3;

/// A fleet and this machine, looked at.
#[derive(Clone, Debug, Default)]
pub struct Diagnosis {
    /// Of this machine.
    pub here: Vec<Finding>,
    /// The workers, in the fleet's order.
    pub workers: Vec<Examined>,
}

/// The same trouble of some workers.
#[derive(Clone, Debug)]
pub struct Group<'d> {
    /// How bad it is.
    pub severity: Severity,
    /// Of the first of them: what it is, and what to type for that one.
    pub cause: &'d Cause,
    /// Each of them, with what is its own.
    pub workers: Vec<(&'d Host, Option<&'d str>)>,
}

impl Diagnosis {
    /// Puts together what was found here and on each worker. `own_boot` is this machine's boot id.
    pub fn new(here: Vec<Finding>, workers: Vec<Examined>, own_boot: &str) -> Self {
        let mut all = Self { here, workers };
        all.ours_once();
        all.same_machines(own_boot);
        all.same_clock();
        all
    }

    /// What is this machine's fault is said once, however many workers have met it.
    fn ours_once(&mut self) {
        let mut ours: Vec<(Finding, usize)> = Vec::new();
        for worker in &mut self.workers {
            for finding in worker.findings.extract_if(.., |finding| finding.cause.layer == Layer::Here) {
                match ours.iter_mut().find(|(other, _)| other.cause.what == finding.cause.what) {
                    Some((_, met)) => *met += 1,
                    None => ours.push((finding, 1)),
                }
            }
        }
        let many = self.workers.len();
        for (mut finding, met) in ours {
            self.here
                .retain(|known| known.cause.code != finding.cause.code || known.severity == Severity::Note);
            finding.cause.detail =
                Some(format!("{met} of {} cannot be logged in to because of it", counted(many, "worker")));
            self.here.push(finding);
        }
    }

    /// Two entries that are one machine, or copies of one image.
    fn same_machines(&mut self, own_boot: &str) {
        let mut seen: HashMap<String, Host> = HashMap::new();
        let mut images: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (at, worker) in self.workers.iter_mut().enumerate() {
            let Some(boot) = worker.answer.valid_boot_id().map(str::to_owned) else { continue };
            let host = worker.host.clone();
            let warn = |what: String, remedy: &str| {
                Finding::warning(Cause::new("same_machine", Layer::Boot, what, remedy))
            };
            let take_out =
                "take one of the two out of workspace/workers.json: a reboot of one takes both down";
            match seen.get(&boot) {
                Some(first) => {
                    let what = format!("{host} and {first} are one machine, or containers on one");
                    worker.findings.push(warn(what, take_out));
                    continue;
                }
                None if boot == own_boot.trim() => {
                    let what = format!("{host} is this machine, or a container on it");
                    worker
                        .findings
                        .push(warn(what, "a plan that reboots it ends itself: leave it out of such plans"));
                }
                None => {}
            }
            seen.insert(boot, host);
            if let Some(image) = &worker.answer.machine_id {
                images.entry(image.clone()).or_default().push(at);
            }
        }
        for same in images.values().filter(|same| same.len() > 1) {
            for at in same {
                let remedy = format!(
                    "on {}: `sudo rm /etc/machine-id && sudo systemd-machine-id-setup`, then a reboot",
                    self.workers[*at].host
                );
                let what = format!(
                    "{} have the same machine id: copies of one image",
                    counted(same.len(), "worker")
                );
                self.workers[*at].findings.push(Finding::note(Cause::new(
                    "same_image",
                    Layer::Boot,
                    what,
                    remedy,
                )));
            }
        }
    }

    /// Where most clocks are off to the same side, it is not they.
    fn same_clock(&mut self) {
        let is_clock =
            |finding: &Finding| matches!(finding.cause.code, "clock_wrong" | "clock_off" | "clock_unset");
        let side = |finding: &Finding| {
            finding.cause.detail.as_deref().is_some_and(|detail| detail.ends_with("ahead of this machine"))
        };
        let asked = self.workers.iter().filter(|worker| worker.answer.clock.is_some()).count();
        let off: Vec<(bool, Severity)> = self
            .workers
            .iter()
            .flat_map(|worker| worker.findings.iter().filter(|finding| is_clock(finding)))
            .map(|finding| (side(finding), finding.severity))
            .collect();
        let Some((first, _)) = off.first() else { return };
        if off.len() < ALIKE || off.len() * 5 < asked * 4 || off.iter().any(|(side, _)| side != first) {
            return;
        }
        let severity = off.iter().map(|(_, severity)| *severity).max().unwrap_or(Severity::Warning);
        let how = if *first { "behind" } else { "ahead of" };
        let what = format!(
            "the clock of this machine is {how} those of {} of {}",
            off.len(),
            counted(asked, "worker")
        );
        let remedy = "`sudo timedatectl set-ntp true`, then `timedatectl` has to say that it is synchronized";
        self.here.push(Finding { severity, cause: Cause::new("clock_here", Layer::Here, what, remedy) });
        for worker in &mut self.workers {
            for finding in worker.findings.iter_mut().filter(|finding| is_clock(finding)) {
                finding.severity = Severity::Note;
            }
        }
    }

    /// What workers have in common, the worst and the earliest layer first.
    pub fn groups(&self) -> Vec<Group<'_>> {
        let mut groups: Vec<Group<'_>> = Vec::new();
        let mut known: HashMap<(&str, &str, Severity), usize> = HashMap::new();
        for worker in &self.workers {
            let mut own = BTreeSet::new();
            for Finding { severity, cause } in &worker.findings {
                if !own.insert((cause.code, cause.what.as_str())) {
                    continue;
                }
                let key = (cause.code, cause.what.as_str(), *severity);
                let at = *known.entry(key).or_insert_with(|| {
                    groups.push(Group { severity: *severity, cause, workers: Vec::new() });
                    groups.len() - 1
                });
                groups[at].workers.push((&worker.host, cause.detail.as_deref()));
            }
        }
        groups.sort_by_key(|group| {
            (std::cmp::Reverse(group.severity), group.cause.layer, std::cmp::Reverse(group.workers.len()))
        });
        groups
    }

    /// How many findings there are of a severity: of this machine, and groups of workers.
    pub fn count(&self, severity: Severity) -> usize {
        let here = self.here.iter().filter(|finding| finding.severity == severity).count();
        here + self.groups().iter().filter(|group| group.severity == severity).count()
    }

    /// Workers about which there is nothing to fix and no warning.
    pub fn healthy(&self) -> Vec<&Host> {
        let is_well = |worker: &&Examined| {
            worker.is_in() && worker.findings.iter().all(|finding| finding.severity == Severity::Note)
        };
        self.workers.iter().filter(is_well).map(|worker| &worker.host).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::{Answer, State};

    fn worker(host: &str, boot: &str, findings: Vec<Finding>) -> Examined {
        Examined {
            host: Host::parse(host).unwrap(),
            destination: None,
            layers: [(Layer::Login, State::Ok)].into(),
            findings,
            answer: Answer { boot_id: Some(boot.to_owned()), clock: Some(1), ..Answer::default() },
            next_kernel: None,
            reboot: None,
            power: None,
        }
    }

    fn cause(code: &'static str, layer: Layer) -> Cause {
        Cause::new(code, layer, code, "do it")
    }

    fn boot(n: u32) -> String {
        format!("{n:08}-9c6d-4c86-b1a8-3f2f4a7e0c11")
    }

    #[test]
    fn the_same_trouble_of_many_is_one_group_and_ours_is_said_once() {
        let key = || Finding::problem(cause("key_file", Layer::Here));
        let sudo = || Finding::problem(cause("sudo_password", Layer::Sudo));
        let note = || Finding::note(cause("kernel", Layer::Boot));
        let workers = vec![
            worker("w1", &boot(1), vec![note(), sudo()]),
            worker("w2", &boot(2), vec![sudo(), key()]),
            worker("w3", &boot(3), vec![key()]),
            worker("w4", &boot(4), vec![note()]),
        ];
        let all = Diagnosis::new(vec![key()], workers, "");
        assert_eq!(all.here.len(), 1);
        assert_eq!(
            all.here[0].cause.detail.as_deref().unwrap(),
            "2 of 4 workers cannot be logged in to because of it"
        );
        let groups = all.groups();
        let seen: Vec<_> = groups.iter().map(|group| (group.cause.code, group.workers.len())).collect();
        assert_eq!(seen, [("sudo_password", 2), ("kernel", 2)]);
        assert_eq!(all.count(Severity::Problem), 2);
        assert_eq!(all.healthy(), [&all.workers[2].host, &all.workers[3].host]);
    }

    #[test]
    fn two_names_of_one_machine_are_told() {
        let workers = vec![
            worker("w1", &boot(1), vec![]),
            worker("w2", &boot(1), vec![]),
            worker("w3", &boot(3), vec![]),
        ];
        let all = Diagnosis::new(Vec::new(), workers, &boot(3));
        let said: Vec<_> = all.groups().iter().map(|group| group.cause.what.clone()).collect();
        assert_eq!(
            said,
            ["w2 and w1 are one machine, or containers on one", "w3 is this machine, or a container on it"]
        );
    }

    #[test]
    fn where_all_clocks_are_off_alike_it_is_ours() {
        let off = |side: &str| {
            let cause = cause("clock_wrong", Layer::Clock).detail(format!("1 h {side} this machine"));
            vec![Finding::problem(cause)]
        };
        let fleet = |sides: &[&str]| {
            let workers = sides
                .iter()
                .enumerate()
                .map(|(n, side)| worker(&format!("w{n}"), &boot(n as u32), off(side)));
            Diagnosis::new(Vec::new(), workers.collect(), "")
        };
        let all = fleet(&["ahead of", "ahead of", "ahead of"]);
        assert_eq!(all.here[0].cause.what, "the clock of this machine is behind those of 3 of 3 workers");
        assert_eq!(all.count(Severity::Problem), 1);
        assert!(fleet(&["ahead of", "behind", "ahead of"]).here.is_empty());
    }
}

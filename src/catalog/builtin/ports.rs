//! Ports of jobs: numbers that were written stay, the others come from the bucket's range and stay
//! the same from build to build.
//!
//! Pure. An assigned port belongs to one job of the bucket alone; a written one may be in two jobs
//! that never meet on a worker.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use crate::bucket::{Job, JobName};

/// Port by name, of each job.
pub(crate) type Ports = BTreeMap<JobName, BTreeMap<String, u16>>;

/// The range has no free port left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OutOfPorts {
    /// Which job got none.
    pub(crate) job: JobName,
    /// Under which name.
    pub(crate) name: String,
}

/// All ports. `before` is what the last build gave: kept where it is still in the range, still free
/// of written numbers and still asked for. New ones get the lowest free number, in order of name.
pub(crate) fn assign(
    jobs: &[Job],
    before: &Ports,
    range: RangeInclusive<u16>,
) -> Result<Ports, Vec<OutOfPorts>> {
    let mut ports = Ports::new();
    let mut taken: BTreeSet<u16> = BTreeSet::new();
    for job in jobs {
        let written =
            job.resources.ports.iter().filter_map(|(name, port)| port.map(|port| (name.clone(), port)));
        let written: BTreeMap<String, u16> = written.collect();
        taken.extend(written.values());
        ports.insert(job.name.clone(), written);
    }
    let asked = || {
        jobs.iter().flat_map(|job| {
            job.resources.ports.iter().filter(|(_, port)| port.is_none()).map(|(name, _)| (&job.name, name))
        })
    };
    for (job, name) in asked() {
        if let Some(port) = before.get(job).and_then(|ports| ports.get(name))
            && range.contains(port)
            && taken.insert(*port)
        {
            ports.entry(job.clone()).or_default().insert(name.clone(), *port);
        }
    }
    let mut free = range.filter(|port| *port != 0);
    let mut missing = Vec::new();
    for (job, name) in asked() {
        let of_job = ports.entry(job.clone()).or_default();
        if of_job.contains_key(name) {
            continue;
        }
        match free.by_ref().find(|port| !taken.contains(port)) {
            Some(port) => {
                taken.insert(port);
                of_job.insert(name.clone(), port);
            }
            None => missing.push(OutOfPorts { job: job.clone(), name: name.clone() }),
        }
    }
    if missing.is_empty() { Ok(ports) } else { Err(missing) }
}

#[cfg(test)]
mod tests {
    use super::super::testing::job;
    use super::*;
    use proptest::prelude::*;

    fn with_ports(name: &str, ports: &[(&str, Option<u16>)]) -> Job {
        let mut job = job(name);
        job.resources.ports = ports.iter().map(|(n, p)| ((*n).to_owned(), *p)).collect();
        job
    }

    #[test]
    fn a_range_that_is_full_names_who_got_none() {
        let jobs = [with_ports("a", &[("x", None), ("y", None)]), with_ports("b", &[("z", None)])];
        let missing = assign(&jobs, &Ports::new(), 1..=2).unwrap_err();
        assert_eq!(missing, [OutOfPorts { job: JobName::parse("b").unwrap(), name: "z".into() }]);
    }

    proptest! {
        #[test]
        fn stable_unique_and_within_the_range(
            first in proptest::collection::btree_map("[a-d]", proptest::collection::btree_map("[p-s]", proptest::option::of(90u16..110), 0..4), 0..4),
            second in proptest::collection::btree_map("[a-d]", proptest::collection::btree_map("[p-s]", proptest::option::of(90u16..110), 0..4), 0..4),
        ) {
            let jobs = |spec: &BTreeMap<String, BTreeMap<String, Option<u16>>>| -> Vec<Job> {
                spec.iter().map(|(name, ports)| {
                    let ports: Vec<_> = ports.iter().map(|(n, p)| (n.as_str(), *p)).collect();
                    with_ports(name, &ports)
                }).collect()
            };
            let one = assign(&jobs(&first), &Ports::new(), 100..=200).unwrap();
            // The same again: nothing moves.
            prop_assert_eq!(&assign(&jobs(&first), &one, 100..=200).unwrap(), &one);
            let two = assign(&jobs(&second), &one, 100..=200).unwrap();
            let written: BTreeSet<u16> =
                second.values().flat_map(BTreeMap::values).flatten().copied().collect();
            let mut given = BTreeSet::new();
            for (job, ports) in &second {
                let job = JobName::parse(job).unwrap();
                for (name, port) in ports {
                    let got = two[&job][name];
                    match port {
                        Some(port) => prop_assert_eq!(got, *port),
                        None => {
                            prop_assert!((100..=200).contains(&got) && !written.contains(&got));
                            prop_assert!(given.insert(got));
                            let asked_before = first.get(job.as_str()).and_then(|p| p.get(name));
                            if let Some(None) = asked_before
                                && !written.contains(&one[&job][name])
                            {
                                prop_assert_eq!(got, one[&job][name]);
                            }
                        }
                    }
                }
            }
        }
    }
}

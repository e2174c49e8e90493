//! What a plan that resets workers by their BMCs needs of its bucket.

use std::collections::HashMap;

use crate::bucket::{Bucket, Host, PowerSettings};
use crate::graph::RolloutGraph;
use crate::plan::{OnNoReturn, Problem, Problems, StepKind};
use crate::power::Bmc;

/// So many workers are named.
const NAMED: usize = 5;

/// `maand.conf` has to say how BMCs are reached, and every worker has to name one. That credentials cannot be read is a
/// warning: who looks at a plan may be on another machine than who applies it.
pub(super) fn problems(graph: &RolloutGraph, bucket: &Bucket) -> Problems {
    let mut problems = Problems::new();
    let resets =
        |kind: &StepKind| matches!(kind, StepKind::WaitForSsh { on_no_return: OnNoReturn::PowerCycle, .. });
    // Machines of a sandbox have none, and it is said when one would be needed.
    let Some(step) = graph.plan.steps.iter().find(|step| resets(&step.kind)) else { return problems };
    if bucket.settings().sandbox {
        return problems;
    }
    let at =
        |problem: Problem| problem.at(&graph.plan.source, step.span.clone(), "`on_no_return: power_cycle`");
    let Some(settings) = &bucket.settings().power else {
        let message = format!(
            "`{}` resets workers by their BMCs, and maand.conf does not say how those are reached",
            step.id
        );
        let help = "write `power = \"redfish\"` into maand.conf, and what else docs/power.md says";
        problems.push(at(Problem::error("maand::plan::no_bmc", message)).help(help));
        return problems;
    };
    let workers = graph.target_indices().map(|target| graph.fleet.worker(graph.target(target).worker));
    let (mut without, mut unusable) = (Vec::new(), Vec::new());
    for worker in workers {
        match Bmc::of(settings, worker) {
            None => without.push(worker.host.as_str()),
            Some(Err(why)) => unusable.push((worker.host.as_str(), why)),
            Some(Ok(_)) => {}
        }
    }
    if !without.is_empty() {
        let mut names = without[..without.len().min(NAMED)].join(", ");
        if without.len() > NAMED {
            names = format!("{names} and {} more", without.len() - NAMED);
        }
        let message = format!("`{}` resets workers by their BMCs, and these name none: {names}", step.id);
        let help = format!(
            "give each a tag that `{}` of maand.conf names, or leave it out of the plan",
            settings.url
        );
        problems.push(at(Problem::error("maand::plan::no_bmc", message)).help(help));
    }
    if let Some((one, other)) = same(graph, settings) {
        let message = format!(
            "`{}` resets workers by their BMCs, and {one} and {other} name the same system of one",
            step.id
        );
        let help = "one of the two would be reset for the other: give each its own `bmc` tag, or say by `bmc_system` which \
                    system of the BMC it is";
        problems.push(at(Problem::error("maand::plan::same_bmc", message)).help(help));
    }
    if let Some((host, why)) = unusable.first() {
        let message = format!("the BMC of {host} cannot be asked, and it is not the only one");
        let message = if unusable.len() > 1 { message } else { format!("the BMC of {host} cannot be asked") };
        let message = format!("{message}: {why}");
        let help = "fix it before a worker needs to be reset: docs/power.md";
        problems.push(at(Problem::warning("maand::plan::bmc_unusable", message)).help(help));
    }
    problems
}

/// An address of a BMC as all of its spellings are compared: the port of its scheme may be written or not.
fn one_spelling(url: &str) -> String {
    let url = url.to_ascii_lowercase();
    let (scheme, usual) = if url.starts_with("https:") { ("https://", ":443") } else { ("http://", ":80") };
    let authority = url.strip_prefix(scheme).unwrap_or(&url);
    let host = authority.strip_suffix(usual).unwrap_or(authority);
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    match bare.and_then(|host| host.parse::<std::net::Ipv6Addr>().ok()) {
        Some(address) => format!("{scheme}{address}"),
        None => format!("{scheme}{}", host.strip_suffix('.').unwrap_or(host)),
    }
}

/// Two workers of the bucket that name one system.
fn same<'g>(graph: &'g RolloutGraph, settings: &PowerSettings) -> Option<(&'g Host, &'g Host)> {
    let mut known: HashMap<(String, Option<String>), &Host> = HashMap::new();
    for worker in &graph.fleet.workers {
        let Some(Ok(url)) = settings.url_of(worker) else { continue };
        let place = (one_spelling(&url), settings.system_of(worker));
        if let Some(other) = known.insert(place, &worker.host) {
            return Some((other, &worker.host));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_has_several_spellings() {
        for (a, b) in [
            ("https://10.1.0.1", "https://10.1.0.1:443"),
            ("https://BMC1.lan", "https://bmc1.lan."),
            ("https://[fd00::1]:443", "https://[fd00:0:0:0::1]"),
            ("http://localhost:80", "http://localhost"),
        ] {
            assert_eq!(one_spelling(a), one_spelling(b));
        }
        for (a, b) in [
            ("https://10.1.0.1", "https://10.1.0.1:8443"),
            ("https://10.1.0.1:80", "https://10.1.0.1"),
            ("https://10.1.0.1", "http://10.1.0.1"),
            ("https://[fd00::1]", "https://[fd00::1]:8443"),
        ] {
            assert_ne!(one_spelling(a), one_spelling(b));
        }
    }
}

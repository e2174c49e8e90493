//! Whether a plan's silences are each of one worker, on a fleet.

use std::collections::HashMap;

use crate::bucket::{Fleet, WorkerIx};
use crate::plan::{Plan, Problem, Problems, code};

/// So many workers are named.
const NAMED: usize = 3;

/// Every matcher has a value for each worker, and no two workers have the same silence.
pub(super) fn check(plan: &Plan, fleet: &Fleet, chosen: &[WorkerIx], problems: &mut Problems) {
    let Some(silence) = &plan.silence else { return };
    let host = |worker: &WorkerIx| fleet.worker(*worker).host.as_str();
    let mut without: Vec<(String, &str)> = Vec::new();
    let mut of: HashMap<Vec<String>, WorkerIx> = HashMap::with_capacity(chosen.len());
    let mut shared = Vec::new();
    for worker in chosen {
        let values = fleet.worker(*worker).variables();
        let value =
            |name: &str| values.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        let filled =
            silence.matchers.iter().map(|matcher| matcher.filled(value).map(|filled| filled.to_string()));
        match filled.collect::<Result<Vec<_>, _>>() {
            Err(name) => without.push((name, host(worker))),
            Ok(filled) => match of.get(&filled) {
                Some(other) => shared.push(format!("{} and {}", host(other), host(worker))),
                None => drop(of.insert(filled, *worker)),
            },
        }
    }
    let named = |all: &[String]| match all.len() {
        0..=NAMED => all.join(", "),
        more => format!("{} and {} more", all[..NAMED].join(", "), more - NAMED),
    };
    if let Some((name, _)) = without.first() {
        let hosts: Vec<String> = without.iter().map(|(_, host)| (*host).to_owned()).collect();
        let message = format!("a matcher of `silence` has no value for ${name}: {}", named(&hosts));
        let help = "give these workers that tag in workers.json, or use another value, such as $MAAND_HOST";
        problems.push(Problem::error(code::BAD_SILENCE, message).in_file(&plan.source).help(help));
    }
    if !shared.is_empty() {
        let message = format!(
            "workers would have the same silence, and each one be silenced with the other: {}",
            named(&shared)
        );
        let help = "name the worker by what no other one has, such as `instance =~ \"$MAAND_HOST(:\\d+)?\"`";
        problems.push(Problem::error(code::BAD_SILENCE, message).in_file(&plan.source).help(help));
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{command, fleet, plan, worker};
    use super::super::{CompileOptions, compile};
    use crate::plan::{Source, parse};
    use std::sync::Arc;

    fn problems(matcher: &str) -> String {
        let text = format!(
            "version: 1\nname: x\nsilence: {{url: 'http://a:9093', matchers: ['{matcher}']}}\nsteps: [deploy]\n"
        );
        let silence = parse(&Source::new("x.yaml", text), &[]).unwrap().silence;
        let mut plan = plan();
        plan.steps = vec![command("patch")];
        plan.silence = silence;
        let workers = vec![
            worker("w1", &[], &["rack=a", "fqdn=w1.x"]),
            worker("w2", &[], &["rack=a", "fqdn=w2.x"]),
            worker("w3", &[], &["rack=b"]),
        ];
        match compile(&Arc::new(plan), &Arc::new(fleet(workers, &[])), &CompileOptions::default()) {
            Ok(_) => String::new(),
            Err(problems) => problems.iter().map(|problem| problem.message.clone() + ";").collect(),
        }
    }

    #[test]
    fn each_worker_has_a_silence_of_its_own() {
        assert_eq!(problems("instance = $MAAND_HOST:9100"), "");
        assert!(problems("rack = $MAAND_TAG_RACK").contains("the same silence"));
        assert!(problems("rack = $MAAND_TAG_RACK").contains("w1 and w2"));
        let missing = problems("host = $MAAND_TAG_FQDN");
        assert!(missing.contains("no value for $MAAND_TAG_FQDN: w3"), "{missing}");
    }
}

//! Reading `workspace/disabled.json`. It knows what the entries mean, and not who wrote them.

use std::collections::BTreeSet;
use std::ops::Range;

use super::fields::Doc;
use super::fleet::{Disabled, Fleet, Host};
use super::json::Node;

/// What the file says, and the places of its names.
#[derive(Default)]
pub(super) struct Read {
    pub(super) disabled: Disabled,
    hosts: Vec<(String, Range<usize>)>,
    jobs: Vec<(String, Range<usize>)>,
}

/// Reads the file; what is wrong is reported and left out.
pub(super) fn read(doc: &mut Doc<'_>) -> Read {
    let mut found = Read::default();
    let Some(node) = doc.parse() else { return found };
    let Some(fields) = doc.object(&node, "disabled.json", &["workers", "jobs"]) else { return found };
    if let Some(node) = fields.get("workers") {
        let hosts = found.hosts_of(doc, node, "`workers`");
        found.disabled.workers = hosts;
    }
    let Some(jobs) = fields.get("jobs").and_then(|node| doc.object(node, "`jobs`", &[])) else {
        return found;
    };
    for member in jobs.iter() {
        let Some(job) = doc.object(&member.value, &format!("the job `{}`", member.key), &["allocations"])
        else {
            continue;
        };
        let hosts = match job.get("allocations") {
            Some(node) => found.hosts_of(doc, node, "`allocations`"),
            None => BTreeSet::new(),
        };
        found.jobs.push((member.key.to_string(), member.key_span.clone()));
        found.disabled.jobs.insert(member.key.to_string(), hosts);
    }
    found
}

impl Read {
    fn hosts_of(&mut self, doc: &mut Doc<'_>, node: &Node, what: &str) -> BTreeSet<String> {
        let texts = doc.texts(node, what);
        let texts: Vec<_> =
            texts.into_iter().map(|(host, span)| (Host::bare(host).to_owned(), span)).collect();
        self.hosts.extend(texts.iter().cloned());
        texts.into_iter().map(|(host, _)| host).collect()
    }

    /// Warns of names that the bucket does not have: harmless, and often a typing mistake.
    pub(super) fn warn_of_unknown(&self, doc: &mut Doc<'_>, fleet: &Fleet) {
        let code = "maand::bucket::unknown_disabled";
        let hosts: BTreeSet<&str> = fleet.workers.iter().map(|worker| worker.host.as_str()).collect();
        for (host, span) in &self.hosts {
            if !hosts.contains(host.as_str()) {
                let message = format!("the disabled worker {host} is not in workers.json");
                doc.warn(code, message, span, "has no effect", "correct or remove the entry");
            }
        }
        for (job, span) in &self.jobs {
            if !fleet.jobs.iter().any(|known| known.name.as_str() == job) {
                let message = format!("the disabled job {job} is not in workspace/jobs");
                doc.warn(code, message, span, "has no effect", "correct or remove the entry");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Source;

    #[test]
    fn no_list_and_an_empty_list_mean_the_whole_job() {
        let text = r#"{"jobs": {"a": {}, "b": {"allocations": []}, "c": {"allocations": ["h1"]}},
            "workers": ["h2"], "note": 1}"#;
        let source = Source::new("disabled.json", text);
        let mut doc = Doc::new(&source);
        let read = read(&mut doc);
        assert!(doc.finish().is_empty());
        assert_eq!(read.disabled.workers, BTreeSet::from(["h2".to_owned()]));
        assert!(read.disabled.jobs["a"].is_empty() && read.disabled.jobs["b"].is_empty());
        assert_eq!(read.disabled.jobs["c"], BTreeSet::from(["h1".to_owned()]));
    }

    #[test]
    fn wrong_shapes_are_reported() {
        for text in [
            "[]",
            "{\"workers\": \"h\"}",
            "{\"jobs\": []}",
            "{\"jobs\": {\"a\": []}}",
            "{\"jobs\": {\"a\": 1}}",
        ] {
            let source = Source::new("disabled.json", text);
            let mut doc = Doc::new(&source);
            read(&mut doc);
            assert!(doc.finish().has_errors(), "{text}");
        }
    }
}

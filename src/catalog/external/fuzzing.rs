//! What fuzzers call of this engine.

use super::sync::settled;
use crate::bucket::JobName;

/// What the upstream program prints for a dry run: a job that it does not mention is not safe.
pub(crate) fn dry_run(text: &str) {
    let jobs: Vec<JobName> = ["api", "db", "x"].iter().filter_map(|name| JobName::parse(name)).collect();
    for job in settled(text, &jobs) {
        assert!(text.contains(job.as_str()), "{job} is not mentioned");
        assert!(text.contains("skip") || text.contains("stop"), "nothing was skipped");
    }
}

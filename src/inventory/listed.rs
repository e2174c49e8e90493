//! What a command prints in the form of `workers.json`.

use crate::bucket::worker_entries;
use crate::plan::{Problems, Source};

use super::error::no_hosts;
use super::import::{Gathered, Import, Reason};

const NO_KEY: Reason = ("`workers.json` has no such key", "put it into `tags`, or leave it out");

/// The workers of a list in the form of `workers.json`. A key that it has not for a worker is not spoken of.
///
/// # Errors
/// It is no such list, or has no worker: a source that failed looks like that, too.
pub fn listed(source: &Source) -> Result<Import, Problems> {
    let (workers, unknown) = worker_entries(source)?;
    if workers.is_empty() {
        let help = "find out why the command prints none; a bucket without workers has `[]` in workspace/workers.json";
        return Err(no_hosts(source.name(), help).into());
    }
    let mut not_taken = Gathered::default();
    for (key, hosts) in unknown {
        hosts.iter().for_each(|host| not_taken.push_at(NO_KEY, format!("key {key}"), host.as_str()));
    }
    Ok(Import { workers, not_taken: not_taken.finish() })
}

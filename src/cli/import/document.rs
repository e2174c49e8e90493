//! As JSON.

use std::path::Path;

use schemars::JsonSchema;
use serde::Serialize;

use super::super::document::Document;
use super::propose::Proposal;
use crate::bucket::{Bucket, LeftThere, Worker};
use crate::inventory::NotTaken;

/// What an inventory changes.
#[derive(Serialize, JsonSchema)]
pub(in crate::cli) struct ImportDocument<'a> {
    /// Where the inventory is from: `ansible`, `ssh-config` or `command`.
    from: &'static str,
    /// How it is called: a file as it was named, `<stdin>`, or words.
    source: &'a str,
    /// The bucket's `workers.json`.
    file: &'a Path,
    /// The inventory says something else than the file did.
    different: bool,
    /// The file was written. Not where nothing is different, nor with `--check`.
    written: bool,
    /// Number of workers before.
    old: usize,
    /// Number of workers with what the inventory says.
    new: usize,
    /// Workers that the file did not have.
    added: Vec<&'a Worker>,
    /// Hosts that are removed.
    removed: &'a [String],
    /// Workers of which the inventory says something else.
    changed: Vec<ChangedJson<'a>>,
    /// What the inventory does not have, and stays.
    left: Vec<LeftJson<'a>>,
    /// What of the inventory has no place in the file.
    not_taken: &'a [NotTaken],
}

/// What is another one at a worker.
#[derive(Serialize, JsonSchema)]
struct ChangedJson<'a> {
    /// As in `workers.json`.
    host: &'a str,
    /// Each in words, such as `tag zone a -> b`.
    changes: &'a [String],
}

/// Something that stays although the inventory does not have it.
#[derive(Serialize, JsonSchema)]
struct LeftJson<'a> {
    /// `worker`, `label` or `tag`.
    what: &'static str,
    /// The label, or the tag's key; `null`: it is a worker.
    name: Option<&'a str>,
    /// The worker, or whose it is.
    host: &'a str,
}

impl<'a> LeftJson<'a> {
    fn of(left: &'a LeftThere) -> Self {
        match left {
            LeftThere::Worker(host) => Self { what: "worker", name: None, host: host.as_str() },
            LeftThere::Label(name, host) => Self { what: "label", name: Some(name), host: host.as_str() },
            LeftThere::Tag(name, host) => Self { what: "tag", name: Some(name), host: host.as_str() },
        }
    }
}

impl<'a> ImportDocument<'a> {
    pub(super) fn of(proposal: &'a Proposal<'_>, bucket: &'a Bucket, written: bool) -> Self {
        let Proposal { found, edited, difference } = proposal;
        let is_new = |worker: &&Worker| difference.added.iter().any(|host| host == worker.host.as_str());
        Self {
            from: found.kind,
            source: &found.source,
            file: &bucket.paths().workers_json,
            different: proposal.is_different(),
            written,
            old: edited.before.len(),
            new: edited.after.len(),
            added: edited.after.iter().filter(is_new).collect(),
            removed: &difference.removed,
            changed: difference.changed.iter().map(|(host, changes)| ChangedJson { host, changes }).collect(),
            left: edited.left.iter().map(LeftJson::of).collect(),
            not_taken: &found.import.not_taken,
        }
    }
}

impl Document for ImportDocument<'_> {
    const NAME: &'static str = "import";
}

//! The files of a workspace by short hashes, so that a later look can name those that differ. Bounded: where there are
//! very many, the largest jobs are one entry each.
//!
//! Whether a workspace differs says one long hash over everything; this only says where.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::os::hash::sha256;
use crate::plan::visible_line;

/// More entries than this are brought together: some 2 MB as JSON.
const MOST: usize = 20_000;
/// Hexadecimal digits of a hash: enough to tell two versions of one file.
const DIGITS: usize = 16;
/// Files of one job that are named in a line.
const NAMED: usize = 3;

/// How something differs from what was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Changed {
    Added,
    Changed,
    Removed,
}

impl Changed {
    /// As in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Changed => "changed",
            Self::Removed => "removed",
        }
    }

    /// Of something that was and is, or is not; `None`: it neither was nor is.
    pub fn of<T>(before: Option<&T>, after: Option<&T>) -> Option<Self> {
        match (before, after) {
            (None, None) => None,
            (None, Some(_)) => Some(Self::Added),
            (Some(_), Some(_)) => Some(Self::Changed),
            (Some(_), None) => Some(Self::Removed),
        }
    }
}

/// Short hashes by paths below the workspace, with `/`; a path that ends with one stands for all of a job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WorkspaceFiles(BTreeMap<String, String>);

/// What differs in one job, or beside the jobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkspaceDifference {
    /// `None`: the files beside the jobs.
    pub job: Option<String>,
    /// Of the job as a whole.
    pub change: Changed,
    /// Below the job's folder, or the workspace; empty where only the whole was compared.
    pub files: Vec<(String, Changed)>,
}

impl WorkspaceFiles {
    /// Of each path and the whole hash of what is there.
    pub fn of(all: impl IntoIterator<Item = (String, String)>) -> Self {
        let short = |hash: String| hash.chars().take(DIGITS).collect::<String>();
        let mut files = Self(all.into_iter().map(|(path, hash)| (path, short(hash))).collect());
        let mut sizes: BTreeMap<String, usize> = BTreeMap::new();
        for path in files.0.keys() {
            *sizes.entry(part_of(path).to_owned()).or_default() += 1;
        }
        let mut largest: Vec<(String, usize)> = sizes.into_iter().collect();
        largest.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        for (part, _) in largest {
            if files.0.len() <= MOST {
                break;
            }
            files.fold(&part);
        }
        files
    }

    /// Makes one entry of all of a part.
    fn fold(&mut self, part: &str) {
        if self.0.contains_key(part) {
            return;
        }
        let (of_part, others) =
            std::mem::take(&mut self.0).into_iter().partition(|(path, _)| part_of(path) == part);
        self.0 = others;
        let of_part: BTreeMap<String, String> = of_part;
        if !of_part.is_empty() {
            let lines: Vec<String> =
                of_part.iter().map(|(path, hash)| format!("{}:{path} {hash}\n", path.len())).collect();
            self.0.insert(part.to_owned(), sha256(lines.concat()).chars().take(DIGITS).collect());
        }
    }

    /// Where `after` differs from this: what is beside the jobs first, then by job.
    pub fn differences(&self, after: &Self) -> Vec<WorkspaceDifference> {
        let (mut before, mut after) = (self.clone(), after.clone());
        // What is one entry on one side is made one on the other.
        let folded = |files: &Self| -> Vec<String> {
            files.0.keys().filter(|path| path.ends_with('/')).cloned().collect()
        };
        folded(&before).iter().for_each(|part| after.fold(part));
        folded(&after).iter().for_each(|part| before.fold(part));
        let paths: BTreeSet<&String> = before.0.keys().chain(after.0.keys()).collect();
        let mut parts: BTreeMap<&str, Vec<(String, Changed)>> = BTreeMap::new();
        for path in paths {
            let (was, is) = (before.0.get(path), after.0.get(path));
            if was != is
                && let Some(change) = Changed::of(was, is)
            {
                let part = part_of(path);
                parts.entry(part).or_default().push((path[part.len()..].to_owned(), change));
            }
        }
        let has = |files: &Self, part: &str| {
            files.0.range(part.to_owned()..).next().is_some_and(|(path, _)| path.starts_with(part))
        };
        let difference = |(part, mut files): (&str, Vec<(String, Changed)>)| {
            files.retain(|(path, _)| !path.is_empty());
            let job = part.strip_prefix(JOBS).map(|job| job.trim_end_matches('/').to_owned());
            let change = match (has(&before, part), has(&after, part)) {
                (false, _) => Changed::Added,
                (_, false) => Changed::Removed,
                _ => Changed::Changed,
            };
            WorkspaceDifference { job, change, files }
        };
        parts.into_iter().map(difference).collect()
    }
}

const JOBS: &str = "jobs/";

/// The folder of the job that a path is in, with its `/`; empty: it is in none.
fn part_of(path: &str) -> &str {
    let end = path.strip_prefix(JOBS).and_then(|below| below.find('/'));
    end.map_or("", |end| &path[..JOBS.len() + end + 1])
}

impl WorkspaceDifference {
    /// `api: Makefile changed, conf/a added and 3 more`
    pub fn line(&self) -> String {
        let some = |files: &[(String, Changed)]| {
            let named: Vec<String> =
                files.iter().take(NAMED).map(|(path, change)| format!("{path} {}", change.word())).collect();
            let more = match files.len().saturating_sub(NAMED) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            format!("{}{more}", named.join(", "))
        };
        visible_line(&match (&self.job, self.change) {
            (None, _) => some(&self.files),
            (Some(job), Changed::Added) => format!("{job}: the job is new"),
            (Some(job), Changed::Removed) => format!("{job}: the job is gone"),
            (Some(job), Changed::Changed) if self.files.is_empty() => format!("{job}: changed"),
            (Some(job), Changed::Changed) => format!("{job}: {}", some(&self.files)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(all: &[(&str, &str)]) -> WorkspaceFiles {
        WorkspaceFiles::of(all.iter().map(|(path, hash)| ((*path).to_owned(), (*hash).to_owned())))
    }

    fn lines(before: &WorkspaceFiles, after: &WorkspaceFiles) -> Vec<String> {
        before.differences(after).iter().map(WorkspaceDifference::line).collect()
    }

    #[test]
    fn what_differs_is_named_by_job() {
        let before = files(&[
            ("bucket.conf", "1"),
            ("jobs/api/Makefile", "1"),
            ("jobs/api/a\u{1b}[2J\nb", "1"),
            ("jobs/api/c", "1"),
            ("jobs/api/d", "1"),
            ("jobs/old/Makefile", "1"),
            ("jobs/same/Makefile", "1"),
        ]);
        let after = files(&[
            ("bucket.conf", "1"),
            ("jobs/api/Makefile", "2"),
            ("jobs/api/b", "1"),
            ("jobs/new/Makefile", "1"),
            ("jobs/same/Makefile", "1"),
            ("workers.json", "1"),
        ]);
        let expected = [
            "workers.json added",
            "api: Makefile changed, a\\x1b[2J b removed, b added and 2 more",
            "new: the job is new",
            "old: the job is gone",
        ];
        assert_eq!(lines(&before, &after), expected);
        assert!(lines(&after, &after).is_empty());
        let kept: WorkspaceFiles = serde_json::from_str(&serde_json::to_string(&before).unwrap()).unwrap();
        assert_eq!(kept, before);
    }

    #[test]
    fn of_very_many_the_largest_jobs_are_one_entry_each() {
        let many = |changed: &str| {
            let big = (0..MOST).map(|n| (format!("jobs/big/{n}"), "1".to_owned()));
            let small = ("jobs/small/Makefile".to_owned(), changed.to_owned());
            let more = ("jobs/big/x".to_owned(), changed.to_owned());
            WorkspaceFiles::of(big.chain([small, more]))
        };
        let (before, after) = (many("1"), many("2"));
        assert_eq!(before.0.len(), 2);
        assert_eq!(lines(&before, &after), ["big: changed", "small: Makefile changed"]);
        // It has become small meanwhile, and is compared all the same.
        let few = files(&[("jobs/big/1", "1"), ("jobs/small/Makefile", "1")]);
        assert_eq!(lines(&before, &few), ["big: changed"]);
        assert_eq!(lines(&before, &files(&[("jobs/small/Makefile", "1")])), ["big: the job is gone"]);
    }
}

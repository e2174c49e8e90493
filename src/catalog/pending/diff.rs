//! Unified diffs of files that are pending. Bounded in every direction: what is long, binary or a secret is named and
//! not shown.
//!
//! By the `similar` crate: no dependencies, maintained, and in the tree already for tests. Without a deadline, so that
//! the same files have the same diff; the bounds below keep it short instead.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::Serialize;
use similar::udiff::UnifiedHunkHeader;
use similar::{ChangeTag, DiffableStr, group_diff_ops};

use super::secret::{is_secret_path, is_secret_text};
use super::{Changed, FileChange, FileState, JobVersion, PendingChanges};
use crate::bucket::JobName;
use crate::plan::line_operations;

/// A file with more bytes than this is not kept by a build, and not shown.
pub(crate) const LONGEST: u64 = 64 << 10;
/// Nor is one with more lines.
const MOST_LINES: usize = 4_000;
/// All diffs together; what comes after is named.
const ALL: usize = 1 << 20;
/// Lines around each change.
const AROUND: usize = 3;

/// What differs in one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FileDiff {
    /// The job.
    pub job: JobName,
    /// Below the job's folder.
    pub path: String,
    /// In short.
    pub change: Changed,
    /// A unified diff; `null`: it is not shown.
    pub text: Option<String>,
    /// Why it is not shown.
    pub not_shown: Option<NotShown>,
}

/// Why a content is not shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NotShown {
    /// Its mode, its name or the content says so.
    Secret,
    /// It is not UTF-8 text.
    Binary,
    /// It, or all that differs, is too long.
    TooLong,
    /// What was deployed was not kept: it was built before, or by another program.
    NotKept,
    /// The file is not as it was a moment ago, or cannot be read.
    Unreadable,
}

impl NotShown {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Secret => "a secret by its mode, name or content",
            Self::Binary => "not text",
            Self::TooLong => "too long",
            Self::NotKept => "the content that was deployed was not kept",
            Self::Unreadable => "it has changed meanwhile, or cannot be read",
        }
    }
}

/// Gives the content of a file of a job in this state.
pub(crate) type ReadContent<'a> = &'a mut dyn FnMut(&JobName, &str, &FileState) -> Result<String, NotShown>;

/// The diffs of all files that are listed: by job, each once.
pub(crate) fn diffs(pending: &PendingChanges, read: ReadContent<'_>) -> Vec<FileDiff> {
    let changes = pending.jobs.iter().map(|job| (&job.job, &job.from, &job.to, &job.files));
    let unbuilt = pending.unbuilt.jobs.iter().map(|job| (&job.job, &job.from, &job.to, &job.files));
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    let mut total = 0;
    for (job, from, to, files) in changes.chain(unbuilt) {
        for file in &files.changes {
            let key = (job, &file.path, &file.before, &file.after);
            if !seen.insert(key) {
                continue;
            }
            let text = match total > ALL {
                true => Err(NotShown::TooLong),
                false => diff(job, from.as_ref(), to.as_ref(), file, read),
            };
            total += text.as_ref().map_or(0, String::len);
            found.push(FileDiff {
                job: job.clone(),
                path: file.path.clone(),
                change: file.change,
                not_shown: text.as_ref().err().copied(),
                text: text.ok(),
            });
        }
    }
    found.sort_by(|a, b| (&a.job, &a.path).cmp(&(&b.job, &b.path)));
    found
}

fn diff(
    job: &JobName,
    from: Option<&JobVersion>,
    to: Option<&JobVersion>,
    file: &FileChange,
    read: ReadContent<'_>,
) -> Result<String, NotShown> {
    let private = |state: &Option<FileState>| matches!(state, Some(FileState::File { private: true, .. }));
    if private(&file.before) || private(&file.after) || is_secret_path(&file.path) {
        return Err(NotShown::Secret);
    }
    let mut content = |state: &Option<FileState>| match state {
        None => Ok(String::new()),
        Some(FileState::Link { target }) => Ok(format!("(a link to {target})\n")),
        Some(FileState::Folder { private }) => {
            Ok(format!("(a folder{})\n", if *private { " that others may not look into" } else { "" }))
        }
        Some(state) => read(job, &file.path, state),
    };
    let (before, after) = match (content(&file.before), content(&file.after)) {
        (Ok(before), Ok(after)) => (before, after),
        // What is not kept because of what it is, is that on both sides as a rule.
        (Err(NotShown::NotKept), Err(why)) | (Err(why), _) | (_, Err(why)) => return Err(why),
    };
    if is_secret_text(&before) || is_secret_text(&after) {
        return Err(NotShown::Secret);
    }
    // A carriage return ends a line, too.
    let lines = |text: &str| text.bytes().filter(|byte| matches!(byte, b'\n' | b'\r')).count();
    if lines(&before).max(lines(&after)) > MOST_LINES {
        return Err(NotShown::TooLong);
    }
    let name = |state: &Option<FileState>, version: Option<&JobVersion>| match (state, version) {
        (None, _) | (_, None) => "/dev/null".to_owned(),
        (Some(_), Some(version)) => format!("{job}/{} ({})", file.path, version.version),
    };
    Ok(unified(&before, &after, &name(&file.before, from), &name(&file.after, to)))
}

/// As `diff -u` writes it; nothing of texts that are the same.
fn unified(old: &str, new: &str, old_name: &str, new_name: &str) -> String {
    let (old, new) = (old.tokenize_lines(), new.tokenize_lines());
    let mut text = String::new();
    for hunk in group_diff_ops(line_operations(&old, &new), AROUND).iter().filter(|hunk| !hunk.is_empty()) {
        if text.is_empty() {
            text = format!("--- {old_name}\n+++ {new_name}\n");
        }
        text += &format!("{}\n", UnifiedHunkHeader::new(hunk));
        for change in hunk.iter().flat_map(|operation| operation.iter_changes(&old[..], &new[..])) {
            let mark = match change.tag() {
                ChangeTag::Equal => ' ',
                ChangeTag::Delete => '-',
                ChangeTag::Insert => '+',
            };
            let line: &str = change.value();
            text.push(mark);
            text += line;
            if !line.ends_with(['\n', '\r']) {
                text += "\n\\ No newline at end of file\n";
            }
        }
    }
    text
}

/// Bytes as a text that may be shown.
pub(crate) fn text_of(bytes: Vec<u8>) -> Result<String, NotShown> {
    if bytes.len() as u64 > LONGEST {
        return Err(NotShown::TooLong);
    }
    String::from_utf8(bytes).ok().filter(|text| !text.contains('\0')).ok_or(NotShown::Binary)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::catalog::{Action, Files, JobChange};

    fn pending(files: Vec<FileChange>) -> PendingChanges {
        let version = |text: &str| Some(JobVersion { version: text.into(), hash: text.into() });
        let job = JobChange {
            job: JobName::parse("api").unwrap(),
            action: Action::Restart,
            from: version("1"),
            to: version("2"),
            why: None,
            workers: Vec::new(),
            files: Files { changes: files, ..Files::default() },
        };
        PendingChanges { jobs: vec![job.clone(), job], ..PendingChanges::default() }
    }

    fn file(path: &str, before: Option<&str>, after: Option<&str>, private: bool) -> FileChange {
        let state = |text: &str| FileState::File { sha256: Some(text.to_owned()), private };
        let change = Changed::of(before.as_ref(), after.as_ref()).unwrap();
        FileChange { path: path.into(), change, before: before.map(state), after: after.map(state) }
    }

    /// The sum of a content is the content here.
    fn read(_: &JobName, _: &str, state: &FileState) -> Result<String, NotShown> {
        match state {
            FileState::File { sha256: Some(text), .. } => text_of(text.clone().into_bytes()),
            _ => Err(NotShown::NotKept),
        }
    }

    #[test]
    fn what_may_be_shown_is_and_the_rest_is_named() {
        let long = "x\n".repeat(MOST_LINES + 1);
        let huge = "x".repeat(LONGEST as usize + 1);
        let changes = vec![
            file("Makefile", Some("a\nb\nc\n"), Some("a\nB\nc\n"), false),
            file("conf/new", None, Some("one\n"), false),
            file("gone", Some("one"), None, false),
            file("private", Some("a"), Some("b"), false),
            file("mode", Some("a"), Some("b"), true),
            file("key", Some("a"), Some("-----BEGIN RSA PRIVATE KEY-----\n"), false),
            file("binary", Some("a"), Some("b\0"), false),
            file("lines", Some("a"), Some(&long), false),
            file("bytes", Some(&huge), Some("a"), false),
        ];
        // The same file of two groups is shown once.
        let found = diffs(&pending(changes), &mut read);
        let of = |path: &str| found.iter().find(|diff| diff.path == path).unwrap();
        assert_eq!(found.len(), 9);
        let makefile = "--- api/Makefile (1)\n+++ api/Makefile (2)\n@@ -1,3 +1,3 @@\n a\n-b\n+B\n c\n";
        assert_eq!(of("Makefile").text.as_deref(), Some(makefile));
        let new = "--- /dev/null\n+++ api/conf/new (2)\n@@ -0,0 +1 @@\n+one\n";
        assert_eq!(of("conf/new").text.as_deref(), Some(new));
        let gone = "--- api/gone (1)\n+++ /dev/null\n@@ -1 +0,0 @@\n-one\n\\ No newline at end of file\n";
        assert_eq!(of("gone").text.as_deref(), Some(gone));
        for path in ["private", "mode", "key"] {
            assert_eq!(of(path).not_shown, Some(NotShown::Secret), "{path}");
        }
        assert_eq!(of("binary").not_shown, Some(NotShown::Binary));
        assert_eq!(
            (of("lines").not_shown, of("bytes").not_shown),
            (Some(NotShown::TooLong), Some(NotShown::TooLong))
        );
    }

    #[test]
    fn all_of_it_is_bounded() {
        let text = |n: usize| format!("{n}{}\n", "y".repeat(60_000));
        let files = (0..40).map(|n| file(&format!("f{n:02}"), None, Some(&text(n)), false)).collect();
        let found = diffs(&pending(files), &mut read);
        let shown: usize = found.iter().filter_map(|diff| diff.text.as_ref()).map(String::len).sum();
        assert!(shown <= ALL + 2 * LONGEST as usize, "{shown}");
        assert_eq!(found[39].not_shown, Some(NotShown::TooLong));
    }

    proptest! {
        #[test]
        fn the_crate_s_own_way_writes_the_same(old in "([a-c]\r?\n|[ab]\r?){0,30}", new in "([a-c]\r?\n|[ab]\r?){0,30}") {
            let theirs = similar::TextDiff::from_lines(&old, &new);
            let theirs = theirs.unified_diff().context_radius(AROUND).header("a", "b").to_string();
            prop_assert_eq!(unified(&old, &new, "a", "b"), theirs);
        }
    }
}

//! What is pending in the workspace, as a section of `plan show`.

use std::fmt::Write as _;

use crate::catalog::{FileDiff, NotShown, PendingChanges};
use crate::plan::{counted, visible_line, visible_within};

/// Of more lines than this the first are shown; the JSON has all.
const LINES: usize = 20;
/// Lines of one diff.
const DIFF_LINES: usize = 200;
/// Bytes of one line of a diff.
const DIFF_COLUMNS: usize = 500;

/// What the plan's deploys carry out besides.
pub(super) fn section(text: &mut String, pending: &PendingChanges) {
    let _ = writeln!(text, "\nPending: {}", counted(pending.jobs.len(), "change"));
    if pending.jobs.is_empty() && pending.unknown.is_empty() {
        let _ = writeln!(text, "  the workers have what the workspace says, as far as is known here");
    }
    for line in lines(pending, LINES) {
        let _ = writeln!(text, "  {line}");
    }
    let unbuilt = &pending.unbuilt;
    if pending.built && !unbuilt.is_empty() {
        let _ = writeln!(text, "  newer than the last build (a run builds before it deploys):");
        for line in unbuilt.lines(LINES) {
            let _ = writeln!(text, "    {line}");
        }
    }
}

/// What differs in each file. Of a long one the first lines are shown, and of a long line its beginning.
pub(super) fn differences(text: &mut String, diffs: &[FileDiff]) {
    if !diffs.is_empty() {
        let _ = writeln!(text, "\nDifferences: {}", counted(diffs.len(), "file"));
    }
    for diff in diffs {
        let path = visible_line(&diff.path);
        let Some(body) = &diff.text else {
            let why = diff.not_shown.map_or("", NotShown::words);
            let _ = writeln!(text, "  {}/{path}: {}, not shown: {why}", diff.job, diff.change.word());
            continue;
        };
        let _ = writeln!(text, "  {}/{path}: {}", diff.job, diff.change.word());
        let lines = body.split_terminator('\n');
        for line in lines.clone().take(DIFF_LINES) {
            let _ = writeln!(text, "    {}", visible_within(line, DIFF_COLUMNS));
        }
        let more = lines.count().saturating_sub(DIFF_LINES);
        if more > 0 {
            let _ = writeln!(text, "    ... {more} more lines; the JSON has them");
        }
    }
}

/// A line for each change and each doubt; of more than `most` changes the first.
pub(in crate::cli) fn lines(pending: &PendingChanges, most: usize) -> Vec<String> {
    let mut lines: Vec<String> = pending.jobs.iter().take(most).map(|change| change.line()).collect();
    if pending.jobs.len() > most {
        lines.push(format!("... {} more", pending.jobs.len() - most));
    }
    lines.extend(pending.unknown.iter().cloned());
    lines
}

//! What is pending in the workspace, as a section of `plan show`.

use std::fmt::Write as _;

use crate::catalog::PendingChanges;
use crate::plan::counted;

/// Of more lines than this the first are shown; the JSON has all.
const LINES: usize = 20;

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

/// A line for each change and each doubt; of more than `most` changes the first.
pub(in crate::cli) fn lines(pending: &PendingChanges, most: usize) -> Vec<String> {
    let mut lines: Vec<String> = pending.jobs.iter().take(most).map(|change| change.line()).collect();
    if pending.jobs.len() > most {
        lines.push(format!("... {} more", pending.jobs.len() - most));
    }
    lines.extend(pending.unknown.iter().cloned());
    lines
}

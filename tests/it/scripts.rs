//! Scripts of this repository, as shellcheck sees them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::skipped;

/// Files that a shell reads, wherever they are.
fn scripts(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        let is_dir = entry.file_type().unwrap().is_dir();
        if is_dir && !["target", ".git", "corpus", "data"].iter().any(|other| name == *other) {
            scripts(&path, found);
        } else if !is_dir {
            let Ok(bytes) = fs::read(&path) else { continue };
            let first = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
            let first = String::from_utf8_lossy(first);
            if first.starts_with("#!") && first.ends_with("sh") {
                found.push(path);
            }
        }
    }
}

#[test]
fn shellcheck_finds_nothing() {
    let mut found = Vec::new();
    scripts(Path::new(env!("CARGO_MANIFEST_DIR")), &mut found);
    found.sort();
    assert!(found.iter().any(|path| path.ends_with("packaging/install.sh")), "{found:?}");
    if Command::new("shellcheck").arg("--version").output().is_err() {
        skipped("shellcheck is not installed");
        return;
    }
    // Where paths in scripts begin that say what they source.
    let mut command = Command::new("shellcheck");
    command.current_dir(env!("CARGO_MANIFEST_DIR")).args(["--external-sources", "--severity=warning"]);
    let output = command.args(&found).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

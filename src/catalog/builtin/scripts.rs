//! The scripts that run on workers, and what their exit codes mean.
//!
//! Texts are constant; all values go in as environment. What a Makefile prints can therefore never be
//! taken for an answer of ours: answers are exit codes from 100 on, and make's own never get out.

use std::time::Duration;

use super::state::{State, WorkerJson};
use crate::bucket::{Host, JobName, port_variable};
use crate::catalog::Fence;
use crate::ssh::{HostProfile, Script, Shell};

const COMMON: &str = include_str!("scripts/common.sh");

/// What is wanted of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    /// Check the tools, write worker.json and jobs.json.
    Sync,
    /// Print worker.json.
    Show,
    /// Take a job's tree and swap it in.
    Put,
    /// `make` for a deploy, with a receipt.
    Make,
    /// Remove a job's files.
    Remove,
    /// `make` for `maand job`.
    Run,
}

/// Exit codes of the scripts.
pub(crate) mod code {
    /// The job's files are not there, or not those that were asked for.
    pub(crate) const NO_FILES: i32 = 100;
    /// A tool is missing.
    pub(crate) const NO_TOOL: i32 = 101;
    /// `make` ended with an error.
    pub(crate) const MAKE_FAILED: i32 = 102;
    /// The tar stream could not be unpacked.
    pub(crate) const NOT_UNPACKED: i32 = 104;
    /// A file could not be written, moved or removed.
    pub(crate) const FILES: i32 = 105;
    /// A receipt says that it has been done already.
    pub(crate) const ALREADY_DONE: i32 = 110;
    /// There is no worker.json.
    pub(crate) const NO_WORKER_JSON: i32 = 111;
}

/// Bound for our own scripts that only move small files.
const OWN_DEADLINE: Duration = Duration::from_secs(60);
/// A tree of some gigabytes over a slow line.
const PUT_DEADLINE: Duration = Duration::from_secs(30 * 60);

/// A script, with the variables that all of them need.
pub(crate) fn script(task: Task, host: &Host, profile: &HostProfile, fence: Option<&Fence>) -> Script {
    let (text, what, deadline) = match task {
        Task::Sync => (include_str!("scripts/sync.sh"), "write worker.json", OWN_DEADLINE),
        Task::Show => (include_str!("scripts/show.sh"), "read worker.json", OWN_DEADLINE),
        Task::Put => (include_str!("scripts/put.sh"), "put files", PUT_DEADLINE),
        Task::Make => (include_str!("scripts/make.sh"), "make", OWN_DEADLINE),
        Task::Remove => (include_str!("scripts/remove.sh"), "remove files", PUT_DEADLINE),
        Task::Run => (include_str!("scripts/run.sh"), "make", OWN_DEADLINE),
    };
    let mut env = vec![
        ("MAAND_DIR".to_owned(), profile.worker_dir.to_string_lossy().into_owned()),
        ("MAAND_BOOT_ID".to_owned(), profile.boot_id.to_string_lossy().into_owned()),
        ("WORKER_IP".to_owned(), host.to_string()),
    ];
    if let Some(fence) = fence {
        env.push(("MAAND_RUN".to_owned(), fence.run.clone()));
        env.push(("MAAND_EPOCH".to_owned(), fence.epoch.to_string()));
        env.push(("MAAND_MARK".to_owned(), fence.mark.clone()));
    }
    let lock = task != Task::Show;
    Script {
        what: what.to_owned(),
        shell: Shell::Sh,
        sudo: profile.use_sudo,
        text: format!("{COMMON}\n{text}"),
        env,
        deadline,
        watchdog: true,
        silence: None,
        // The text is ours. What make runs is the user's own: a sandbox guards that by itself, with a
        // stand-in for make that runs no Makefile but its demo's.
        users_own: false,
        lock,
    }
}

/// The version of what has never run, as in the upstream program.
const NO_VERSION: &str = "0.0.0";

/// The environment of a job's Makefile, and which job it is.
pub(crate) fn job_env(state: &State, job: &JobName, current_version: Option<&str>) -> Vec<(String, String)> {
    let mut env = vec![
        ("MAAND_JOB".to_owned(), job.to_string()),
        ("BUCKET_ID".to_owned(), state.bucket_id.clone()),
        ("CURRENT_VERSION".to_owned(), current_version.unwrap_or(NO_VERSION).to_owned()),
    ];
    if let Some(row) = state.jobs.get(job) {
        env.push(("NEW_VERSION".to_owned(), row.job.version.clone()));
        env.extend(row.ports.iter().map(|(name, port)| (port_variable(name), port.to_string())));
    }
    env
}

/// How a worker's `worker.json` compares with what was last confirmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Agreement {
    /// It is the same.
    Same,
    /// There is none, or it is another one.
    Differs(String),
}

/// Compares what a worker printed with what should be there.
pub(crate) fn compare(printed: &str, expected: &WorkerJson) -> Agreement {
    let found: WorkerJson = match serde_json::from_str(printed) {
        Ok(found) => found,
        Err(error) => return Agreement::Differs(format!("worker.json there cannot be read: {error}")),
    };
    let differs = |what: &str, found: &dyn std::fmt::Display, expected: &dyn std::fmt::Display| {
        Agreement::Differs(format!("worker.json there has {what} {found}, the catalog {expected}"))
    };
    if found.bucket_id != expected.bucket_id {
        differs("bucket_id", &found.bucket_id, &expected.bucket_id)
    } else if found.worker_id != expected.worker_id {
        differs("worker_id", &found.worker_id, &expected.worker_id)
    } else if found.update_seq != expected.update_seq {
        differs("update_seq", &found.update_seq, &expected.update_seq)
    } else {
        Agreement::Same
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;
    use std::process::{Command, Stdio};

    use super::super::tree::Tree;
    use super::*;

    /// Runs a script of ours here, in a folder that plays the worker's. In place of its n-th
    /// `mv` it is killed, if that is given.
    fn run(dir: &Path, text: &str, input: &[u8], hash: &str, killed_at: Option<usize>) -> Option<i32> {
        let bin = dir.join("bin");
        fs::create_dir_all(&bin).unwrap();
        let mv = format!(
            "#!/bin/sh\nprintf x >>'{0}/calls'\n\
             [ \"$(wc -c <'{0}/calls')\" != {1} ] || {{ kill -s KILL $PPID; exit 1; }}\n\
             PATH=/usr/bin:/bin exec mv \"$@\"\n",
            dir.display(),
            killed_at.unwrap_or(0),
        );
        fs::write(bin.join("mv"), mv).unwrap();
        fs::set_permissions(bin.join("mv"), fs::Permissions::from_mode(0o755)).unwrap();
        let _ = fs::remove_file(dir.join("calls"));
        let mut child = Command::new("sh")
            .args(["-c", &format!("{COMMON}\n{text}")])
            .env("PATH", format!("{}:/usr/bin:/bin", bin.display()))
            .env("MAAND_DIR", dir.join("worker"))
            .env("MAAND_JOB", "api")
            .env("MAAND_HASH", hash)
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // One that is killed reads no more.
        let _ = child.stdin.take().unwrap().write_all(input);
        child.wait().unwrap().code()
    }

    fn read(folder: &Path) -> Result<Tree, crate::plan::Problems> {
        Tree::read(folder, &mut |_| Ok(()))
    }

    fn tree(files: &[(&str, &str)]) -> (tempfile::TempDir, Tree, Vec<u8>, String) {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let tree = read(dir.path()).unwrap();
        let hash = tree.hash("");
        let mut bytes = Vec::new();
        tree.write_tar(dir.path(), &hash, &mut bytes).unwrap();
        (dir, tree, bytes, hash)
    }

    #[test]
    fn a_swap_that_is_killed_at_any_step_is_brought_to_its_end() {
        let put = include_str!("scripts/put.sh");
        let (_old_dir, old, old_bytes, old_hash) =
            tree(&[("Makefile", "1"), ("gone", "1"), ("conf", "a file"), ("sub/x", "1"), (".hidden", "1")]);
        let (_new_dir, new, new_bytes, new_hash) = tree(&[
            ("Makefile", "2"),
            ("conf/a", "a folder"),
            ("sub", "a file"),
            (".hidden", "2"),
            ("..odd", "2"),
        ]);
        let mut rolled_forward = 0;
        for n in 1.. {
            let dir = tempfile::tempdir().unwrap();
            let job = dir.path().join("worker/jobs/api");
            assert_eq!(run(dir.path(), put, &old_bytes, &old_hash, None), Some(0));
            assert_eq!(read(&job).unwrap(), old);
            for kept in crate::bucket::WORKERS_OWN {
                fs::create_dir(job.join(kept)).unwrap();
                fs::write(job.join(kept).join("mine"), "mine").unwrap();
            }
            let ended = run(dir.path(), put, &new_bytes, &new_hash, Some(n));
            // What every script does first.
            assert_eq!(run(dir.path(), "roll_forward", b"", &new_hash, None), Some(0));
            let there = read(&job).unwrap();
            let note = fs::read_to_string(dir.path().join("worker/.maand/tree/api")).unwrap();
            assert!(
                there == old && note.trim() == old_hash || there == new && note.trim() == new_hash,
                "{n}"
            );
            rolled_forward += usize::from(ended != Some(0) && there == new);
            for kept in crate::bucket::WORKERS_OWN {
                assert_eq!(fs::read_to_string(job.join(kept).join("mine")).unwrap(), "mine");
            }
            // And the next deploy gets through in any case.
            assert_eq!(run(dir.path(), put, &new_bytes, &new_hash, None), Some(0));
            assert_eq!(read(&job).unwrap(), new);
            if ended == Some(0) {
                break;
            }
        }
        assert!(rolled_forward > 5, "killed in the middle of a swap only {rolled_forward} times");
    }

    #[test]
    fn a_stream_that_ends_early_changes_nothing() {
        let put = include_str!("scripts/put.sh");
        let (_old_dir, old, old_bytes, old_hash) = tree(&[("Makefile", "1")]);
        let (_new_dir, _, new_bytes, new_hash) = tree(&[("Makefile", "2"), ("a", "2"), ("b", "2")]);
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(run(dir.path(), put, &old_bytes, &old_hash, None), Some(0));
        for cut in (0..new_bytes.len() - 1024).step_by(512) {
            assert_eq!(
                run(dir.path(), put, &new_bytes[..cut], &new_hash, None),
                Some(code::NOT_UNPACKED),
                "{cut}"
            );
            assert_eq!(read(&dir.path().join("worker/jobs/api")).unwrap(), old);
        }
        assert!(!dir.path().join("worker/.maand/stage/api").exists());
    }
}

//! The journal as the file that it is: put back from an older copy between two processes, or deleted and replaced under
//! a running one. What a worker knows, and what is under the name, are looked at before anything is done twice.

use std::fs;
use std::path::{Path, PathBuf};

use crate::run_bench::RunBench;
use crate::run_faults::{apply_until_reboot, end, plan};
use crate::wait_until;

/// Ends the program at this commit.
fn crash(bench: &RunBench, arguments: &[&str], at: u64) {
    let mut command = bench.command(arguments);
    command.env("MAAND_CRASH_AT", at.to_string()).env("MAAND_CRASH_WHEN", "after");
    assert!(command.output().unwrap().status.code().is_none(), "it was to be killed at commit {at}");
}

/// The journal with its WAL, as a backup takes it while no process has it open.
fn copy(from: &Path, to: &Path) {
    for name in ["plan.db", "plan.db-wal", "plan.db-shm"] {
        let _ = fs::remove_file(to.join(name));
        if from.join(name).exists() {
            fs::copy(from.join(name), to.join(name)).unwrap();
        }
    }
}

/// Files of this name in the worker's state folder.
fn state_files(bench: &RunBench, i: usize, begins: &str) -> Vec<PathBuf> {
    fn find(folder: &Path, begins: &str, found: &mut Vec<PathBuf>) {
        for path in fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                find(&path, begins, found);
            } else if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(begins)) {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    find(&bench.fleet.disk(i).join("root/.maand"), begins, &mut found);
    found
}

/// Crashes before the first reboot, keeps a copy, resumes until a worker has been rebooted, and puts the copy back.
fn put_back_after_a_reboot(bench: &RunBench) -> Vec<usize> {
    let plan = plan(bench, 0);
    let (before, data) = (bench.boots(), bench.path("data"));
    let older = tempfile::tempdir().unwrap();
    crash(bench, &["plan", "apply", &plan, "--yes"], 4);
    assert_eq!(bench.boots(), before, "the copy is from before any reboot");
    copy(&data, older.path());
    let mut resumed = bench.spawn(&["plan", "resume"]);
    wait_until("the first worker has rebooted", || bench.boots() != before);
    resumed.kill().unwrap();
    resumed.wait().unwrap();
    wait_until("all answer", || bench.maand(&["run_command", "true"]).status.success());
    copy(older.path(), &data);
    bench.boots()
}

#[test]
fn a_journal_that_was_put_back_stops_the_resume_before_anything_is_done_again() {
    let Some(bench) = RunBench::new(2) else { return };
    let boots = put_back_after_a_reboot(&bench);
    let (stdout, stderr) = bench.expect(5, &["plan", "resume"]);
    assert!(
        stderr.contains("maand::journal::facts_lost") && stderr.contains("has heard of a fact"),
        "{stdout}{stderr}"
    );
    assert_eq!(bench.boots(), boots, "nothing was rebooted again");
    // It stays so, and the way out is named.
    let (_, stderr) = bench.expect(5, &["plan", "resume"]);
    assert!(stderr.contains("plan abort"), "{stderr}");
    bench.maand(&["plan", "abort"]);
    assert_eq!(bench.status()["state"], "aborted");
    assert_eq!(bench.boots(), boots);
}

#[test]
fn the_receipt_alone_keeps_a_worker_from_a_second_reboot() {
    let Some(bench) = RunBench::new(1) else { return };
    let boots = put_back_after_a_reboot(&bench);
    // As an older version left it: without a mark.
    for path in state_files(&bench, 0, "epoch") {
        fs::remove_file(path).unwrap();
    }
    assert!(!state_files(&bench, 0, "reboot-").is_empty());
    let (stdout, stderr) = bench.expect(5, &["plan", "resume"]);
    assert!(stderr.contains("was rebooted by this very step"), "{stdout}{stderr}");
    assert_eq!(bench.boots(), boots);
}

#[test]
fn a_journal_that_goes_away_under_a_running_controller_ends_it() {
    for (what, word) in [("delete", "deleted"), ("move", "moved"), ("replace", "replaced")] {
        let Some(bench) = RunBench::new(2) else { return };
        let plan = plan(&bench, 0);
        let (data, kept) = (bench.path("data"), tempfile::tempdir().unwrap());
        let child = apply_until_reboot(&bench, &plan);
        copy(&data, kept.path());
        match what {
            "delete" => fs::remove_file(data.join("plan.db")).unwrap(),
            "move" => fs::rename(data.join("plan.db"), data.join("plan.db.old")).unwrap(),
            _ => {
                fs::copy(kept.path().join("plan.db"), data.join("new.db")).unwrap();
                fs::rename(data.join("new.db"), data.join("plan.db")).unwrap();
            }
        }
        let (code, stdout, stderr) = end(child);
        assert_eq!(code, Some(5), "{what}: {stdout}{stderr}");
        assert!(stderr.contains(word) && stderr.contains("while it was in use"), "{what}: {stderr}");
        let asked = bench.requests();
        assert!(asked.iter().sum::<usize>() <= 1, "{what}: the second worker was not begun: {asked:?}");
    }
}

//! What happens to the controller of a run over real hosts: killed, stopped, signalled, replaced, without
//! room on its disk, told to pause or to give up, or kept off by another run's claim.

use std::fs;
use std::process::Child;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::run_bench::{RunBench, Watcher};
use crate::run_faults::{apply_until_reboot, crash_at_reboot, end, plan};
use crate::support::{Fault, wait_until};

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_raw(child.id().cast_signed()).unwrap(), signal).unwrap();
}

#[test]
fn changes_between_crash_and_resume_are_said_and_the_run_uses_what_it_began_with() {
    let Some(bench) = RunBench::new(2) else { return };
    let plan = plan(&bench, 0);
    let boots = bench.boots();
    crash_at_reboot(&bench, &plan);
    bench.write("own.yaml", "version: 1\nname: another\nsteps: [deploy]\n");
    bench.write("workspace/jobs/web/notes", "pending work\n");
    let (_, stderr) = bench.expect(3, &["plan", "resume"]);
    assert!(
        stderr.contains("maand::run::workspace_changed") && stderr.contains("--accept-changes"),
        "{stderr}"
    );
    let (_, stderr) = bench.expect(0, &["plan", "resume", "--accept-changes"]);
    assert!(stderr.contains("own.yaml has changed"), "{stderr}");
    bench.assert_rebooted_once(&boots, "after the resume");
    assert_eq!(fs::read_to_string(bench.on_worker(1, "jobs/web/notes")).unwrap(), "pending work\n");
}

/// Half of a fleet must not get other files by accident.
#[test]
fn a_workspace_that_changes_in_the_middle_pauses_the_run() {
    let Some(bench) = RunBench::new(2) else { return };
    let plan = plan(&bench, 0);
    let boots = bench.boots();
    let child = apply_until_reboot(&bench, &plan);
    bench.write("workspace/jobs/web/notes", "by accident\n");
    let (code, stdout, stderr) = end(child);
    assert_eq!(code, Some(5), "{stdout}{stderr}");
    assert_eq!(bench.status()["state"], "paused");
    assert!(stdout.contains("the workspace has changed since the run began"), "{stdout}");
    assert!((0..2).all(|i| !bench.on_worker(i, "jobs/web/notes").exists()));
    let (_, stderr) = bench.expect(3, &["plan", "resume"]);
    assert!(stderr.contains("maand::run::workspace_changed"), "{stderr}");
    bench.expect(0, &["plan", "resume", "--accept-changes"]);
    bench.assert_rebooted_once(&boots, "after the resume");
    assert_eq!(fs::read_to_string(bench.on_worker(1, "jobs/web/notes")).unwrap(), "by accident\n");
}

#[test]
fn a_second_apply_is_told_who_is_at_work() {
    let Some(bench) = RunBench::new(1) else { return };
    let plan = plan(&bench, 0);
    let child = apply_until_reboot(&bench, &plan);
    let (_, stderr) = bench.expect(4, &["plan", "apply", &plan, "--yes"]);
    assert!(stderr.contains(&child.id().to_string()), "{stderr}");
    bench.expect(4, &["plan", "resume"]);
    assert_eq!(end(child).0, Some(0));
}

#[test]
fn the_first_signal_stops_after_the_step_and_the_second_at_once() {
    let Some(bench) = RunBench::new(2) else { return };
    let plan = plan(&bench, 0);
    let boots = bench.boots();
    let child = apply_until_reboot(&bench, &plan);
    signal(&child, Signal::INT);
    let (code, stdout, stderr) = end(child);
    assert_eq!(code, Some(5), "{stdout}{stderr}");
    assert!(stdout.contains("plan resume"), "{stdout}");
    assert_eq!(bench.status()["state"], "interrupted");
    bench.expect(0, &["plan", "resume"]);
    bench.assert_rebooted_once(&boots, "after one signal");
    // Twice.
    let boots = bench.boots();
    bench.fleet.set(0, Fault::BootSecs(3));
    let child = apply_until_reboot(&bench, &plan);
    signal(&child, Signal::TERM);
    std::thread::sleep(Duration::from_millis(100));
    signal(&child, Signal::TERM);
    let (code, stdout, stderr) = end(child);
    assert_eq!(code, Some(5), "{stdout}{stderr}");
    assert!(stderr.contains("maand::run::cut"), "{stderr}");
    // Of a reboot nobody has to say whether it was carried out.
    let words = stderr.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("looked at or done again: `reboot`") && !words.contains("not known"), "{stderr}");
    bench.expect(0, &["plan", "resume"]);
    bench.assert_rebooted_once(&boots, "after two signals");
}

#[test]
fn a_stopped_controller_is_replaced_and_harmless_when_it_wakes() {
    let Some(bench) = RunBench::new(2) else { return };
    let bench = Arc::new(bench);
    let plan = plan(&bench, 0);
    let boots = bench.boots();
    let watcher = Watcher::start(&bench, 1);
    let child = apply_until_reboot(&bench, &plan);
    signal(&child, Signal::STOP);
    bench.expect(4, &["plan", "resume"]);
    let second = bench.spawn(&["plan", "resume", "--take-over"]);
    let asked = bench.requests();
    wait_until("the second controller is at work", || bench.requests() != asked);
    signal(&child, Signal::CONT);
    let (code, stdout, stderr) = end(child);
    assert!(code.is_some_and(|code| code != 0), "{stdout}{stderr}");
    assert!(stderr.contains("taken"), "{code:?} {stdout}{stderr}");
    let (code, stdout, stderr) = end(second);
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    bench.assert_rebooted_once(&boots, "after the take-over");
    watcher.assert_nothing_seen("take-over");
}

#[test]
fn a_full_disk_under_the_journal_stops_the_run_and_loses_nothing() {
    let Some(bench) = RunBench::new(2) else { return };
    let plan = plan(&bench, 0);
    // The journal on a small disk of its own; what is in data/ moves there.
    let data = bench.path("data");
    let mounted = Tmpfs::over(&data);
    let boots = bench.boots();
    let child = apply_until_reboot(&bench, &plan);
    mounted.fill();
    let (code, stdout, stderr) = end(child);
    assert!(code.is_some_and(|code| code != 0 && code != 70), "{code:?} {stdout}{stderr}");
    assert!(stderr.contains("full") || stderr.contains("space"), "{stderr}");
    let (_, stderr) = bench.expect(3, &["plan", "resume"]);
    assert!(stderr.contains("full") || stderr.contains("space"), "{stderr}");
    mounted.free();
    bench.expect(0, &["plan", "resume"]);
    bench.assert_rebooted_once(&boots, "after the disk had room again");
}

/// A small disk in memory over a folder.
struct Tmpfs(std::path::PathBuf);

impl Tmpfs {
    fn over(folder: &std::path::Path) -> Self {
        let sh = |text: &str| {
            let out =
                std::process::Command::new("sh").args(["-ec", text, "sh"]).arg(folder).output().unwrap();
            assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        };
        sh(
            "cp -a \"$1\" \"$1.old\"; mount -t tmpfs -o size=80m,mode=700 tmpfs \"$1\"; cp -a \"$1.old/.\" \"$1\"",
        );
        Self(folder.to_path_buf())
    }

    fn fill(&self) {
        let zeros = vec![0; 1 << 16];
        let mut file = fs::File::create(self.0.join("filler")).unwrap();
        while std::io::Write::write_all(&mut file, &zeros).is_ok() {}
        while std::io::Write::write_all(&mut file, &zeros[..512]).is_ok() {}
    }

    fn free(&self) {
        fs::remove_file(self.0.join("filler")).unwrap();
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn pause_and_abort_from_another_terminal() {
    let Some(bench) = RunBench::new(3) else { return };
    let plan = plan(&bench, 0);
    let boots = bench.boots();
    let child = apply_until_reboot(&bench, &plan);
    bench.expect(0, &["plan", "pause", "--reason", "lunch"]);
    let (code, stdout, stderr) = end(child);
    assert_eq!(code, Some(5), "{stdout}{stderr}");
    assert!(stdout.contains("lunch"), "{stdout}");
    // The one that was under way came to its end, and no other one began.
    assert_eq!(bench.requests(), [1, 0, 0]);
    assert!(bench.is_up(0) && bench.disabled().is_empty());
    let child = bench.spawn(&["plan", "resume"]);
    wait_until("the second reboots", || bench.requests()[1] == 1);
    bench.expect(0, &["plan", "abort"]);
    let (code, stdout, stderr) = end(child);
    assert_eq!(code, Some(1), "{stdout}{stderr}");
    let status = bench.status();
    assert_eq!(status["state"], "aborted");
    let left: Vec<_> = status["left_disabled"].as_array().unwrap().clone();
    let there: Vec<Value> = bench.disabled().into_iter().map(Value::from).collect();
    assert_eq!(left, there);
    if !left.is_empty() {
        assert!(stdout.contains("Left disabled"), "{stdout}");
    }
    assert_eq!(bench.requests(), [1, 1, 0]);
    assert_eq!(bench.boots()[2], boots[2]);
}

#[test]
fn the_claim_of_another_run_is_respected_until_it_is_released() {
    let Some(bench) = RunBench::new(1) else { return };
    let plan = plan(&bench, 0);
    crash_at_reboot(&bench, &plan);
    bench.fleet.wait_for_boot(0, 2);
    // The same bucket, checked out a second time.
    let copy = tempfile::tempdir().unwrap();
    let there = copy.path().join("bucket");
    let copied = std::process::Command::new("cp").arg("-a").arg(bench.dir.path()).arg(&there).status();
    assert!(copied.unwrap().success());
    for name in ["plan.db", "plan.db-wal", "plan.db-shm", "plan.lock"] {
        let _ = fs::remove_file(there.join("data").join(name));
    }
    let left: Vec<_> =
        fs::read_dir(there.join("data")).unwrap().flatten().map(|entry| entry.path()).collect();
    fs::write(there.join("workspace/disabled.json"), "{}").unwrap();
    let run = |arguments: &[&str]| {
        let out = std::process::Command::new(env!("CARGO_BIN_EXE_maand"))
            .arg("-C")
            .arg(&there)
            .args(arguments)
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        let text =
            format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        (out.status.code(), text)
    };
    let boots = bench.boots();
    let (code, text) = run(&["plan", "apply", &plan, "--yes"]);
    assert_eq!(code, Some(4), "{text} {left:?}");
    assert!(text.contains("maand::run::claimed") && text.contains("plan release"), "{text}");
    assert_eq!(bench.boots(), boots);
    let (code, text) = run(&["plan", "release", "--worker", &bench.host(0)]);
    assert_eq!(code, Some(0), "{text}");
    let (code, text) = run(&["plan", "apply", &plan, "--yes"]);
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(bench.boots(), [boots[0] + 1]);
}

#[test]
fn a_controller_killed_at_random_instants_comes_to_the_same_end() {
    let Some(bench) = RunBench::new(2) else { return };
    let bench = Arc::new(bench);
    let plan = plan(&bench, 0);
    let boots = bench.boots();
    let watcher = Watcher::start(&bench, 1);
    let mut draw = u64::from(std::process::id());
    let mut child = bench.spawn(&["plan", "apply", &plan, "--yes"]);
    let mut over = false;
    for _ in 0..40 {
        draw = draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        std::thread::sleep(Duration::from_millis(300 + (draw >> 33) % 1500));
        if let Some(status) = child.try_wait().unwrap() {
            assert_eq!(status.code(), Some(0), "{:?}", end(child));
            over = true;
            break;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let verb: &[&str] = if bench.maand(&["plan", "status"]).status.success() {
            &["plan", "resume"]
        } else {
            &["plan", "apply", &plan, "--yes"]
        };
        child = bench.spawn(verb);
    }
    if !over {
        let (code, stdout, stderr) = end(child);
        assert_eq!(code, Some(0), "{stdout}{stderr}");
    }
    bench.assert_rebooted_once(&boots, "random kills");
    watcher.assert_nothing_seen("random kills");
}

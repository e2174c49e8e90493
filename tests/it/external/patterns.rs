//! The three patterns of upstream's guide as plans, on a bucket of upstream's.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use super::bench::External;
use crate::catalog::lines;
use crate::run_apply::view_of;
use crate::run_bench::{RunBench, Watcher};

/// Pattern A, some at a time, and all that is promised about it.
fn pattern_a(n: usize, concurrency: usize) {
    let Some(bench) = External::new(n) else { return };
    // An operator's own entry, which stays as it is, byte for byte.
    let theirs = "{\n  \"jobs\": {\"other\": {\"allocations\": [\"9.9.9.9\"]}},\n  \"workers\": []\n}\n";
    bench.job("other", "1.0.0", json!({"selectors": ["nowhere"]}));
    // Another one while its worker is disabled.
    bench.write("workspace/jobs/web/own.conf.tpl", "jobs={{ own jobs }}\n");
    bench.write("workspace/disabled.json", theirs);
    bench.upstream_ok(&["build"]);
    bench.upstream_ok(&["deploy"]);
    let done_before: Vec<usize> = (0..n).map(|i| bench.done(i, "web").len()).collect();
    let at_once = format!("concurrency: {concurrency} ");
    let plan = bench.plan_with("rolling-reboot.yaml", &[("concurrency: 1 ", &at_once)]);
    let boots = bench.boots();
    let before = bench.ran().len();
    let guard = OwnWrites::start(&bench);
    let watched = Arc::new(bench.run);
    let watcher = Watcher::start(&watched, concurrency);
    let (stdout, stderr) = watched.expect(0, &["plan", "apply", &plan, "--yes", "--output", "json"]);
    watcher.assert_nothing_seen("pattern A");
    guard.assert_none();
    let Ok(run) = Arc::try_unwrap(watched) else { panic!("the watcher has ended") };
    let bench = External { run };

    let view = view_of(&stdout);
    assert_eq!(view["state"], "succeeded", "{stderr}");
    bench.assert_rebooted_once(&boots, "pattern A");
    assert_eq!(fs::read_to_string(bench.path("workspace/disabled.json")).unwrap(), theirs);
    for (i, worker) in view["workers"].as_array().unwrap().iter().enumerate() {
        assert_eq!(worker["boot_id_after"], bench.fleet.boot_id(i));
        // Stopped in good order before the reboot, and started after it, by upstream itself.
        let mut done = bench.done(i, "web").split_off(done_before[i]);
        assert_eq!(done.pop().as_deref(), Some("start"), "{done:?}");
        // Each deploy stops again what is disabled.
        assert!(
            !done.is_empty() && done.iter().all(|what| what == "stop"),
            "one start, no restart: {done:?}"
        );
        let rendered = fs::read_to_string(bench.on_worker(i, "jobs/web/own.conf")).unwrap();
        assert_eq!(rendered, "jobs=web\n");
    }
    // Job control works afterwards: that of every worker agrees.
    bench.expect(0, &["job", "status", "web"]);
    bench.assert_no_overlap();
    assert!(bench.ran().iter().all(|ran| ran.code.is_some()), "none was killed: {:?}", bench.ran());
    // Whatever raised the number is in the log: no other process has written to the database.
    let deploys = bench.ran().iter().filter(|ran| is_deploy(&ran.command)).count();
    assert_eq!(bench.database_seq(), deploys as u64);
    // At most build, deploy and, where that told no worker, a repair for each deploy step, and a health
    // check for each worker and for all.
    let most = before + 2 * n * 4 + n + 1;
    assert!(bench.ran().len() <= most, "{:#?}", bench.ran());
}

fn is_deploy(command: &str) -> bool {
    command.starts_with("deploy") && !command.contains("--dry-run")
}

#[test]
fn pattern_a_over_three_workers() {
    pattern_a(3, 1);
}

#[test]
fn pattern_a_over_ten_workers_three_at_a_time() {
    pattern_a(10, 3);
}

#[test]
fn a_worker_that_an_operator_has_drained_stays_so_and_keeps_no_other_from_starting() {
    let Some(bench) = External::new(3) else { return };
    let theirs = json!({"workers": [bench.host(2)]}).to_string();
    bench.write("workspace/disabled.json", &theirs);
    bench.upstream_ok(&["build"]);
    bench.upstream_ok(&["deploy"]);
    let plan = bench.plan("rolling-reboot.yaml");
    let boots = bench.boots();
    // Upstream looks at the health of what it is about to start, where something of the job is disabled.
    let (stdout, stderr) = bench.expect(0, &["plan", "apply", &plan, "--yes"]);
    assert_eq!(bench.boots(), [boots[0] + 1, boots[1] + 1, boots[2]], "{stdout}{stderr}");
    assert_eq!([0, 1, 2].map(|i| bench.is_up(i)), [true, true, false], "{stdout}{stderr}");
    assert_eq!(fs::read_to_string(bench.path("workspace/disabled.json")).unwrap(), theirs);
    bench.assert_no_overlap();
}

#[test]
fn pattern_b_reboots_without_draining() {
    let Some(bench) = External::new(2) else { return };
    bench.job(
        "web",
        "1.0.0",
        json!({"health_check": {"checks": [{"type": "ssh", "command": "test -d /run/sshd"}]}}),
    );
    bench.upstream_ok(&["build"]);
    bench.upstream_ok(&["deploy"]);
    let plan = bench.plan("fleet-reboot.yaml");
    let boots = bench.boots();
    let seq = bench.database_seq();
    bench.expect(0, &["plan", "apply", &plan, "--yes"]);
    assert_eq!(bench.boots(), [boots[0] + 1, boots[1] + 1]);
    assert!(!bench.path("workspace/disabled.json").exists());
    assert_eq!(bench.database_seq(), seq, "nothing was deployed");
    bench.assert_no_overlap();
}

#[test]
fn pattern_c_runs_a_command_in_batches() {
    let Some(bench) = External::new(3) else { return };
    let plan = bench.plan("ssh-only.yaml");
    let command = "command=echo \"it's $(hostname)\" > /root/ran";
    let (stdout, _) =
        bench.expect(0, &["plan", "apply", &plan, "--set", command, "--yes", "--output", "json"]);
    assert_eq!(view_of(&stdout)["waves"], 2);
    for i in 0..3 {
        assert_eq!(bench.fleet.sh_ok(i, "cat /root/ran"), format!("it's w{}", i + 1));
    }
    // The other program's run_command is never used for it.
    assert!(bench.ran().iter().all(|ran| !ran.command.starts_with("run_command")), "{:?}", bench.ran());
    bench.assert_no_overlap();
}

#[test]
fn stop_start_and_restart_are_steps_here_too() {
    let Some(bench) = External::new(2) else { return };
    let plan = bench.own_plan(
        "version: 1\nname: own\nsteps:\n  - stop: {jobs: [web]}\n  - start: {jobs: [web]}\n  - restart: {jobs: [web]}\n  - health\n",
    );
    // As a deploy without anything to do leaves it: job control would refuse.
    bench.upstream_ok(&["deploy"]);
    bench.upstream_ends(1, &["job", "status", "web"]);
    bench.expect(0, &["plan", "apply", &plan, "--yes"]);
    for i in 0..2 {
        let done = bench.done(i, "web");
        assert_eq!(
            done[done.len() - 3..],
            ["stop", "start", "restart"],
            "{:?}",
            lines(&bench.on_worker(i, "jobs/web/data/log"))
        );
    }
    bench.assert_no_overlap();
    bench.upstream_ok(&["job", "status", "web"]);
}

/// Looks all the time whether one of our own processes has the database open for writing.
struct OwnWrites {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<Vec<String>>,
}

impl OwnWrites {
    fn start(bench: &RunBench) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&stop);
        let root = fs::canonicalize(bench.dir.path()).unwrap();
        let own = fs::canonicalize(env!("CARGO_BIN_EXE_maand")).unwrap();
        let thread = std::thread::spawn(move || {
            let mut seen = Vec::new();
            while !ends.load(Ordering::Relaxed) {
                for process in fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path()) {
                    if !fs::read_link(process.join("exe")).is_ok_and(|exe| exe == own) {
                        continue;
                    }
                    for fd in fs::read_dir(process.join("fd")).into_iter().flatten().flatten() {
                        let Ok(file) = fs::read_link(fd.path()) else { continue };
                        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
                        if !file.starts_with(&root) || !matches!(name.as_str(), "maand.db" | "maand.db-wal") {
                            continue;
                        }
                        let info = process.join("fdinfo").join(fd.file_name());
                        let info = fs::read_to_string(info).unwrap_or_default();
                        // Between the two looks the number may have become another file, such as a socket.
                        let number =
                            |line: &str| line.strip_prefix("ino:").map(|text| text.trim().to_owned());
                        let inode = info.lines().find_map(number);
                        if inode != fs::metadata(&file).ok().map(|meta| meta.ino().to_string()) {
                            continue;
                        }
                        let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
                        // In octal; the last two bits are the access mode, 0 is read only.
                        if flags
                            .is_some_and(|flags| !matches!(flags.trim().as_bytes().last(), Some(b'0' | b'4')))
                        {
                            seen.push(format!("{} has {name} open: {info}", process.display()));
                        }
                    }
                }
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            seen
        });
        Self { stop, thread }
    }

    #[track_caller]
    fn assert_none(self) {
        self.stop.store(true, Ordering::Relaxed);
        let seen = self.thread.join().unwrap();
        assert!(seen.is_empty(), "{seen:?}");
    }
}

//! What the tests of whole runs share: a bucket with a job that a reboot really stops, plans with short
//! waits, and an outside watcher that never asks the program what is going on.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Value, json};

use crate::catalog::Bench;
use crate::support::{Fault, Fleet};

/// The job is up while this file is there, and a reboot loses it: /run is a host's own and in memory.
pub(crate) const MARK: &str = "run/web.up";

pub(crate) const MAKEFILE: &str = "\
start restart reload:
\t@touch /run/web.up; mkdir -p data; echo $@ >> data/log
stop:
\t@rm -f /run/web.up; mkdir -p data; echo stop >> data/log
status:
\t@test -e /run/web.up
";

/// A bucket on a fleet, with the job `web` deployed on all workers.
pub(crate) struct RunBench {
    pub(crate) bench: Bench,
}

impl std::ops::Deref for RunBench {
    type Target = Bench;
    fn deref(&self) -> &Bench {
        &self.bench
    }
}

impl RunBench {
    /// `n` workers that reboot quickly. `None` where there can be no fleet.
    #[track_caller]
    pub(crate) fn new(n: usize) -> Option<Self> {
        let bench = Self::not_deployed(n)?;
        bench.build_and_deploy();
        assert!((0..n).all(|i| bench.is_up(i)));
        Some(bench)
    }

    /// The same before the first build.
    #[track_caller]
    pub(crate) fn not_deployed(n: usize) -> Option<Self> {
        let bench = Bench::new(n)?;
        for i in 0..n {
            bench.fleet.set(i, Fault::BootSecs(0));
            bench.fleet.set(i, Fault::ShutdownSecs(0));
        }
        bench.job("web", "1.0.0", web_manifest());
        bench.write("workspace/jobs/web/Makefile", MAKEFILE);
        Some(Self { bench })
    }

    /// The project's own plan of this name with short waits, in the bucket.
    pub(crate) fn plan(&self, name: &str) -> String {
        self.plan_with(name, &[])
    }

    /// As [`RunBench::plan`], with these pieces of text replaced; each must be there.
    pub(crate) fn plan_with(&self, name: &str, changes: &[(&str, &str)]) -> String {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("plans").join(name);
        let mut text = fs::read_to_string(path).unwrap();
        for (from, to) in changes {
            assert!(text.contains(from), "{name} has no `{from}`");
            text = text.replace(from, to);
        }
        for long in ["settle: 10s", "settle: 30s"] {
            text = text.replace(long, "settle: 0s");
        }
        for long in ["soak: 10m", "soak: 1m", "soak: 10s"] {
            text = text.replace(long, "soak: 1s");
        }
        text = text.replace("delay: 10s", "delay: 1s").replace("delay: 5s", "delay: 1s");
        self.write(name, &text);
        self.path(name).display().to_string()
    }

    /// A plan of the test's own.
    pub(crate) fn own_plan(&self, text: &str) -> String {
        self.write("own.yaml", text);
        self.path("own.yaml").display().to_string()
    }

    /// Whether the job is up there, as seen from outside.
    pub(crate) fn is_up(&self, i: usize) -> bool {
        is_up(&self.fleet, i)
    }

    /// The claim that a run has written on a worker.
    pub(crate) fn claim(&self, i: usize) -> Option<String> {
        fn find(folder: &Path) -> Option<String> {
            let entries = fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
            entries.into_iter().find_map(|path| match path.is_dir() {
                true => find(&path),
                false => path.ends_with("claim").then(|| fs::read_to_string(&path).ok())?,
            })
        }
        find(&self.fleet.disk(i).join("root/.maand"))
    }

    pub(crate) fn boots(&self) -> Vec<usize> {
        (0..self.fleet.len()).map(|i| self.fleet.boots(i)).collect()
    }

    /// How often each was asked to reboot.
    pub(crate) fn requests(&self) -> Vec<usize> {
        (0..self.fleet.len()).map(|i| self.fleet.reboot_requests(i).len()).collect()
    }

    /// Hosts in `workers` of disabled.json.
    pub(crate) fn disabled(&self) -> BTreeSet<String> {
        disabled(&self.path("workspace/disabled.json")).unwrap()
    }

    pub(crate) fn status(&self) -> Value {
        self.json(0, &["plan", "status"])
    }

    /// Every worker has booted once more than in `before`, runs its job, and is enabled.
    #[track_caller]
    pub(crate) fn assert_rebooted_once(&self, before: &[usize], what: &str) {
        let expected: Vec<usize> = before.iter().map(|boots| boots + 1).collect();
        assert_eq!(self.boots(), expected, "boots: {what}");
        assert!((0..self.fleet.len()).all(|i| self.is_up(i)), "a job is not up: {what}");
        assert!(self.disabled().is_empty(), "left disabled: {what}");
    }
}

pub(crate) fn web_manifest() -> Value {
    json!({"health_check": {
        "checks": [{"type": "ssh", "command": "test -e /run/web.up"}],
        "timeout_seconds": 5,
        "wait": {"attempts": 5, "interval_seconds": 1},
    }})
}

fn is_up(fleet: &Fleet, i: usize) -> bool {
    fleet.pid(i).is_some_and(|pid| Path::new(&format!("/proc/{pid}/root/{MARK}")).exists())
}

/// `None`: it does not parse.
fn disabled(path: &Path) -> Option<BTreeSet<String>> {
    let Ok(text) = fs::read_to_string(path) else { return Some(BTreeSet::new()) };
    let value: Value = serde_json::from_str(&text).ok()?;
    let hosts = value["workers"].as_array().cloned().unwrap_or_default();
    Some(hosts.iter().filter_map(|host| host.as_str().map(str::to_owned)).collect())
}

/// Looks at the hosts and at disabled.json every 50 ms from outside the program, and remembers what
/// must never be seen.
pub(crate) struct Watcher {
    stop: Arc<AtomicBool>,
    seen: Arc<Mutex<Vec<String>>>,
    thread: Option<JoinHandle<()>>,
}

impl Watcher {
    /// At most `allowed` workers' jobs may be away at once, and at most so many entries in the file.
    pub(crate) fn start(bench: &Arc<RunBench>, allowed: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (bench, ends, notes) = (Arc::clone(bench), Arc::clone(&stop), Arc::clone(&seen));
        let file: PathBuf = bench.path("workspace/disabled.json");
        let thread = std::thread::spawn(move || {
            let note = |text: String| notes.lock().unwrap().push(text);
            while !ends.load(Ordering::Relaxed) {
                let mut down: Vec<usize> = (0..bench.fleet.len()).filter(|i| !bench.is_up(*i)).collect();
                // One may have come up while the next was looked at: only what is down twice counts.
                down.retain(|i| !bench.is_up(*i));
                if down.len() > allowed {
                    note(format!("down at once: {down:?}"));
                }
                match disabled(&file) {
                    None => note("disabled.json does not parse".into()),
                    Some(hosts) if hosts.len() > allowed => note(format!("disabled at once: {hosts:?}")),
                    Some(_) => {}
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        Self { stop, seen, thread: Some(thread) }
    }

    /// Ends it; fails with what it has seen.
    #[track_caller]
    pub(crate) fn assert_nothing_seen(mut self, what: &str) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
        let seen = self.seen.lock().unwrap();
        assert!(seen.is_empty(), "{what}: {seen:?}");
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

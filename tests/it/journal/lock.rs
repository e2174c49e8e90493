//! The run lock between real processes.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use maand::journal::{Holder, LOCK_FILE, LockError, RunLock, holder_of};
use maand::os::ProcessState;
use rustix::process::{Pid, Signal, kill_process};

use crate::wait_until;

const CHILD: &str = "MAAND_TEST_LOCK_DIR";

fn record(run: &str) -> Holder {
    Holder::this_process(Some(run.to_owned()), 1_795_392_900_000)
}

fn held(result: Result<RunLock, LockError>) -> Holder {
    match result {
        Err(LockError::Held(holder)) => *holder,
        other => panic!("expected a holder, got {other:?}"),
    }
}

/// The child's part: takes the lock and waits for its end; does nothing as a test of its own.
#[test]
fn child() {
    let Some(dir) = std::env::var_os(CHILD) else { return };
    let _lock = RunLock::acquire(Path::new(&dir), &record("child")).unwrap();
    loop {
        std::thread::park();
    }
}

struct Holding(Child);

impl Holding {
    fn start(dir: &Path) -> Self {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["journal::lock::child", "--exact", "--quiet"])
            .env(CHILD, dir)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let this = Self(child);
        let pid = this.0.id();
        wait_until("the child holds the lock", || {
            holder_of(dir).is_some_and(|holder| holder.process.pid == pid)
        });
        this
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.0.id() as i32).unwrap(), signal).unwrap();
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn one_holder_at_a_time_and_it_is_named() {
    let dir = assert_fs::TempDir::new().unwrap();
    assert_eq!(holder_of(dir.path()), None);
    let lock = RunLock::acquire(dir.path(), &record("one")).unwrap();
    let holder = held(RunLock::acquire(dir.path(), &record("two")));
    assert_eq!(holder.run.as_deref(), Some("one"));
    assert_eq!(holder.process.state(), ProcessState::Alive);
    assert_eq!(holder_of(dir.path()), Some(holder.clone()));
    let described = holder.describe();
    assert!(described.contains(&format!("process {}", std::process::id())), "{described}");
    assert!(described.contains("since 2026-11-23 00:15:00 UTC"), "{described}");
    held(RunLock::take_over(dir.path(), &record("two"), true));
    assert!(lock.is_held());
    drop(lock);
    assert_eq!(holder_of(dir.path()), None);
    RunLock::acquire(dir.path(), &record("two")).unwrap();
}

#[test]
fn the_lock_of_a_killed_process_is_free() {
    let dir = assert_fs::TempDir::new().unwrap();
    let mut child = Holding::start(dir.path());
    held(RunLock::acquire(dir.path(), &record("two")));
    child.0.kill().unwrap();
    child.0.wait().unwrap();
    let lock = RunLock::acquire(dir.path(), &record("two")).unwrap();
    assert!(lock.is_held());
}

#[test]
fn a_stopped_holder_loses_the_lock_to_a_take_over() {
    let dir = assert_fs::TempDir::new().unwrap();
    let child = Holding::start(dir.path());
    held(RunLock::take_over(dir.path(), &record("two"), true));
    child.signal(Signal::STOP);
    wait_until("the child is stopped", || {
        holder_of(dir.path()).is_some_and(|holder| holder.process.state() == ProcessState::Stopped)
    });
    let holder = held(RunLock::acquire(dir.path(), &record("two")));
    assert_eq!(holder.process.state(), ProcessState::Stopped);
    let lock = RunLock::take_over(dir.path(), &record("two"), false).unwrap();
    assert!(lock.is_held());
    assert_eq!(held(RunLock::acquire(dir.path(), &record("three"))).run.as_deref(), Some("two"));
    child.signal(Signal::CONT);
    drop(child);
    assert!(lock.is_held(), "the old holder's end changes nothing");
    assert_eq!(holder_of(dir.path()).unwrap().run.as_deref(), Some("two"));
}

#[test]
fn a_holder_elsewhere_needs_the_operators_word() {
    let dir = assert_fs::TempDir::new().unwrap();
    let mut elsewhere = record("one");
    elsewhere.process.host = "another.example".into();
    let lock = RunLock::acquire(dir.path(), &elsewhere).unwrap();
    assert_eq!(
        held(RunLock::take_over(dir.path(), &record("two"), false)).process.state(),
        ProcessState::Elsewhere
    );
    let new = RunLock::take_over(dir.path(), &record("two"), true).unwrap();
    assert!(!lock.is_held() && new.is_held());
    assert!(std::fs::read_to_string(dir.path().join(LOCK_FILE)).unwrap().contains("\"two\""));
}

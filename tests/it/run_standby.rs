//! Two checkouts of a bucket, as two machines have them, with their runs in one real PostgreSQL: the controller in one of
//! them dies or is stopped, and a standby in the other continues its run over real hosts that reboot.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::run_bench::{RunBench, Watcher};
use crate::support::postgres::Postgres;
use crate::support::{Fault, wait_until};

/// What the server gives to a lease, and how soon a standby looks.
const LEASE: Duration = Duration::from_secs(6);

/// The bucket of a bench, and another checkout of it; dropped, what runs in it ends.
pub(crate) struct TwoCheckouts {
    pub(crate) bench: Arc<RunBench>,
    pub(crate) postgres: Postgres,
    other: tempfile::TempDir,
}

impl TwoCheckouts {
    /// `None` where there can be no fleet, or no PostgreSQL.
    #[track_caller]
    pub(crate) fn new(workers: usize) -> Option<Self> {
        let postgres = Postgres::start(&[])?;
        let bench = RunBench::new(workers)?;
        let conf = fs::read_to_string(bench.path("maand.conf")).unwrap();
        bench.write("maand.conf", &format!("{conf}\nledger = \"{}\"\n", postgres.url()));
        let other = tempfile::tempdir().unwrap();
        let copied = Command::new("cp").arg("-a").arg(bench.path(".")).arg(other.path()).status().unwrap();
        assert!(copied.success());
        Some(Self { bench: Arc::new(bench), postgres, other })
    }

    pub(crate) fn other(&self) -> &Path {
        self.other.path()
    }

    /// A command in a checkout.
    pub(crate) fn command(&self, folder: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_maand"));
        command.arg("-C").arg(folder).args(arguments).stdin(Stdio::null());
        command
    }

    /// Begins a command in a checkout.
    pub(crate) fn spawn(&self, folder: &Path, arguments: &[&str]) -> Running {
        let mut command = self.command(folder, arguments);
        Running(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }

    /// How a run stands, as this checkout sees it.
    pub(crate) fn status(&self, folder: &Path) -> serde_json::Value {
        let out = self.command(folder, &["plan", "status", "--output", "json"]).output().unwrap();
        serde_json::from_slice(&out.stdout).unwrap_or_default()
    }

    /// The facts of the newest run of one kind.
    pub(crate) fn facts(&self, kind: &str) -> usize {
        let sql = format!(
            "SELECT count(*) FROM {schema}.fact WHERE run = (SELECT max(n) FROM {schema}.run) AND fact LIKE '%\"{kind}\"%'",
            schema = self.schema()
        );
        self.postgres.sql(&sql).parse().unwrap()
    }

    pub(crate) fn schema(&self) -> String {
        self.postgres.sql("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'maand_%'")
    }
}

pub(crate) struct Running(pub(crate) Child);

impl Running {
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.0.id().cast_signed()).unwrap(), signal).unwrap();
    }

    /// Its exit code and all that it has said.
    #[track_caller]
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        let (mut out, mut err) = (String::new(), String::new());
        self.0.stdout.take().unwrap().read_to_string(&mut out).unwrap();
        self.0.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        (self.0.wait().unwrap().code(), out + &err)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(None) = self.0.try_wait() {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

fn disabled(folder: &Path) -> Option<BTreeSet<String>> {
    let Ok(text) = fs::read_to_string(folder.join("workspace/disabled.json")) else {
        return Some(BTreeSet::new());
    };
    let value: serde_json::Value = serde_json::from_str(&text).ok()?;
    let hosts = value["workers"].as_array().cloned().unwrap_or_default();
    Some(hosts.iter().filter_map(|host| host.as_str().map(str::to_owned)).collect())
}

#[test]
fn a_standby_on_another_machine_continues_what_a_dead_controller_has_begun() {
    let Some(two) = TwoCheckouts::new(3) else { return };
    (0..3).for_each(|i| two.bench.fleet.set(i, Fault::BootSecs(1)));
    let plan = two.bench.plan("rolling-reboot.yaml");
    let boots = two.bench.boots();
    let here: PathBuf = two.bench.path(".");
    let watcher = Watcher::start(&two.bench, 1);
    let leader = two.spawn(&here, &["plan", "apply", &plan, "--yes"]);
    wait_until("the first worker reboots", || two.bench.requests().iter().sum::<usize>() > 0);
    let standby = two.spawn(two.other(), &["plan", "resume", "--standby"]);
    wait_until("the second worker reboots", || two.bench.requests().iter().sum::<usize>() > 1);
    leader.signal(Signal::KILL);
    let died = Instant::now();
    wait_until("the standby has the run", || two.facts("resumed") == 1);
    let taken = died.elapsed();
    assert!(taken < LEASE + Duration::from_secs(10), "{taken:?}");
    let (code, said) = standby.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("this process takes the run over"), "{said}");
    let expected: Vec<usize> = boots.iter().map(|boots| boots + 1).collect();
    assert_eq!(two.bench.boots(), expected, "{said}");
    assert_eq!(two.status(two.other())["state"], "succeeded");
    assert_eq!(two.status(&here)["state"], "succeeded");
    assert!((0..3).all(|i| two.bench.is_up(i)), "{said}");
    assert_eq!(disabled(two.other()), Some(BTreeSet::new()), "{said}");
    watcher.assert_nothing_seen(&said);
}

/// It has sent nothing when it runs again: its lease has ended by its own clock before another could have it.
#[test]
fn a_controller_that_was_stopped_does_nothing_once_it_is_replaced() {
    let Some(two) = TwoCheckouts::new(2) else { return };
    let plan = two.bench.plan("rolling-reboot.yaml");
    let boots = two.bench.boots();
    let leader = two.spawn(&two.bench.path("."), &["plan", "apply", &plan, "--yes"]);
    wait_until("the first worker reboots", || two.bench.requests().iter().sum::<usize>() > 0);
    leader.signal(Signal::STOP);
    let standby = two.spawn(two.other(), &["plan", "resume", "--standby"]);
    wait_until("the standby has the run", || two.facts("resumed") == 1);
    let requests = two.bench.requests();
    leader.signal(Signal::CONT);
    let (code, said) = leader.end();
    assert_eq!(code, Some(4), "{said}");
    assert!(said.contains("another") && !said.contains("panicked"), "{said}");
    let (code, said) = standby.end();
    assert_eq!(code, Some(0), "{said}");
    let expected: Vec<usize> = boots.iter().map(|boots| boots + 1).collect();
    assert_eq!(two.bench.boots(), expected, "{requests:?} {said}");
    assert!(two.bench.requests().iter().all(|requests| *requests == 1), "{said}");
}

/// A run waits for its server, begins nothing meanwhile, and then continues by itself.
#[test]
fn a_run_waits_for_a_server_that_is_away() {
    let Some(mut two) = TwoCheckouts::new(2) else { return };
    let plan = two.bench.plan("rolling-reboot.yaml");
    let boots = two.bench.boots();
    let run = two.spawn(&two.bench.path("."), &["plan", "apply", &plan, "--yes"]);
    wait_until("the first worker reboots", || two.bench.requests().iter().sum::<usize>() > 0);
    two.postgres.kill();
    // For longer than a lease lasts, by any clock, it is looked at all the time.
    let away = Instant::now();
    wait_until("the lease has ended", || {
        let begun = two.bench.requests().iter().sum::<usize>();
        assert_eq!(begun, 1, "something was begun while nothing could be recorded");
        away.elapsed() > LEASE + Duration::from_secs(2)
    });
    two.postgres.start_again();
    let (code, said) = run.end();
    assert_eq!(code, Some(0), "{said}");
    let expected: Vec<usize> = boots.iter().map(|boots| boots + 1).collect();
    assert_eq!(two.bench.boots(), expected, "{said}");
}

/// What an operator types on another machine reaches the controller.
#[test]
fn a_run_is_controlled_from_another_machine() {
    let Some(two) = TwoCheckouts::new(2) else { return };
    // While all this is typed.
    two.bench.fleet.set(0, Fault::BootSecs(15));
    let plan = two.bench.plan("rolling-reboot.yaml");
    let leader = two.spawn(&two.bench.path("."), &["plan", "apply", &plan, "--yes"]);
    wait_until("the first worker reboots", || two.bench.requests().iter().sum::<usize>() > 0);
    let out = two.command(two.other(), &["plan", "resume"]).output().unwrap();
    assert_eq!(out.status.code(), Some(4), "{}", String::from_utf8_lossy(&out.stderr));
    let out = two.command(two.other(), &["plan", "apply", &plan, "--yes"]).output().unwrap();
    assert_eq!(out.status.code(), Some(4), "{}", String::from_utf8_lossy(&out.stderr));
    let out = two.command(two.other(), &["plan", "pause"]).output().unwrap();
    assert_eq!(out.status.code(), Some(0), "{}", String::from_utf8_lossy(&out.stderr));
    // It takes no more workers, and ends when the one that is at work has come to its end.
    let (code, said) = leader.end();
    assert!(code != Some(0) && said.contains("paused"), "{code:?} {said}");
    assert_eq!(two.bench.requests().iter().sum::<usize>(), 1, "{said}");
    // A standby leaves it so.
    let standby = two.spawn(&two.bench.path("."), &["plan", "resume", "--standby"]);
    let looks = "SELECT count(*) > 0 FROM pg_stat_activity WHERE application_name = 'maand' AND query LIKE '%FROM lease%'";
    wait_until("the standby has looked", || two.postgres.sql(looks) == "t");
    let out = two.command(two.other(), &["plan", "resume"]).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert_eq!(out.status.code(), Some(0), "{said}");
    assert!(two.bench.requests().iter().all(|requests| *requests == 1), "{said}");
    let (code, said) = standby.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("which nobody carries out") && !said.contains("takes the run over"), "{said}");
}

/// The replica that is promoted lacks the end of the run. Workers know better, and the controller stops before it has done
/// anything on the strength of an old ledger.
#[test]
fn a_promoted_replica_that_has_lost_the_end_stops_the_run() {
    let Some(mut two) = TwoCheckouts::new(2) else { return };
    let plan = two.bench.plan("rolling-reboot.yaml");
    drop(two.command(&two.bench.path("."), &["ledger", "migrate"]).output().unwrap());
    let replica = two.postgres.replica();
    let leader = two.spawn(&two.bench.path("."), &["plan", "apply", &plan, "--yes"]);
    wait_until("the replica has begun to follow the run", || {
        replica.sql(&format!("SELECT count(*) > 3 FROM {}.fact", two.schema())) == "t"
    });
    // It hears no more: what was sent and is not read yet would count as well.
    replica.sql("ALTER SYSTEM SET primary_conninfo = ''");
    replica.sql("SELECT pg_reload_conf()");
    wait_until("the replica has stopped following", || {
        replica.sql("SELECT count(*) FROM pg_stat_wal_receiver") == "0"
    });
    wait_until("the second worker reboots", || two.bench.requests().iter().all(|requests| *requests > 0));
    leader.signal(Signal::KILL);
    two.postgres.kill();
    drop(leader);
    replica.promote();
    let conf = fs::read_to_string(two.bench.path("maand.conf")).unwrap();
    let (old, new) = (two.postgres.url(), replica.url());
    assert!(conf.contains(&old));
    two.bench.write("maand.conf", &conf.replace(&old, &new));
    wait_until("both workers are back", || (0..2).all(|i| two.bench.fleet.pid(i).is_some()));
    let (boots, requests) = (two.bench.boots(), two.bench.requests());
    let out = two.command(&two.bench.path("."), &["plan", "resume"]).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.code() != Some(0) && said.contains("facts were lost"), "{said}");
    assert_eq!(two.bench.requests(), requests, "{said}");
    assert_eq!(two.bench.boots(), boots, "{said}");
}

/// Killed at random moments, so often: `MAAND_FAILOVERS=200`. How long it took until another went on, in the middle and at
/// most, is printed.
#[test]
fn whoever_is_killed_another_goes_on() {
    let times = std::env::var("MAAND_FAILOVERS").ok().and_then(|times| times.parse().ok()).unwrap_or(1);
    let Some(two) = TwoCheckouts::new(2) else { return };
    let folders = [two.bench.path("."), two.other().to_path_buf()];
    let plan = two.bench.plan("rolling-reboot.yaml");
    let mut gaps: Vec<Duration> = Vec::new();
    for n in 0..times {
        let (boots, requests) = (two.bench.boots(), two.bench.requests());
        let watcher = Watcher::start(&two.bench, 1);
        let leader = two.spawn(&folders[n % 2], &["plan", "apply", &plan, "--yes"]);
        wait_until("the run has begun", || {
            two.bench.requests() != requests || two.status(&folders[0])["state"] == "running"
        });
        let standby = two.spawn(&folders[(n + 1) % 2], &["plan", "resume", "--standby"]);
        // At any moment of the run, which takes some seconds: a golden ratio spreads them.
        std::thread::sleep(Duration::from_millis((n as u64 * 1_618) % 4_000));
        leader.signal(Signal::KILL);
        let died = Instant::now();
        wait_until("another has gone on, or there was nothing left to do", || {
            two.facts("resumed") == 1 || two.status(&folders[0])["state"] == "succeeded"
        });
        if two.facts("resumed") == 1 {
            gaps.push(died.elapsed());
        }
        let (code, said) = standby.end();
        assert_eq!(code, Some(0), "time {n}: {said}");
        let once = |before: &[usize]| before.iter().map(|count| count + 1).collect::<Vec<_>>();
        assert_eq!(
            (two.bench.boots(), two.bench.requests()),
            (once(&boots), once(&requests)),
            "time {n}: {said}"
        );
        watcher.assert_nothing_seen(&said);
    }
    gaps.sort();
    let (middle, most) = (gaps.get(gaps.len() / 2), gaps.last());
    let _ = writeln!(
        std::io::stderr(),
        "{} of {times} taken over; in the middle after {middle:?}, at most {most:?}",
        gaps.len()
    );
}

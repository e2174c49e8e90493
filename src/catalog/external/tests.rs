//! The engine over made-up databases and shell scripts in the place of the upstream program.

use std::fs;
use std::time::{Duration, Instant};

use super::testing::{Made, host, row, snapshot};
use crate::bucket::JobName;
use crate::bucket::lock::{self, LockError};
use crate::catalog::{
    Catalog, CatalogError, DeployRequest, HealthRequest, JobRequest, Report, WorkerOutcome,
};

const LONG: Duration = Duration::from_secs(60);

fn asked(hosts: &[&str]) -> DeployRequest {
    DeployRequest { workers: Some(hosts.iter().map(|name| host(name)).collect()), ..DeployRequest::default() }
}

fn error(report: &Report, name: &str) -> String {
    match &report.workers[&host(name)] {
        WorkerOutcome::Failed { error, .. } => error.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_deploy_is_judged_by_the_database_and_leaves_job_control_working() {
    let mut before = snapshot(7, &["api", "db"], &["h1", "h2"]);
    row(&mut before, "api", "h1").previous_hash = None;
    // A deploy that started it: worker.json is written on the workers.
    let after = snapshot(8, &["api", "db"], &["h1", "h2"]);
    let made = Made::new("cp after data/maand.db; echo 'h1 | started'; echo 'x@h9 | no host' >&2", &before);
    made.prepare("after", &after);
    made.workers.agree(&after);
    let report = made.engine.deploy(&asked(&["h1"]), &made.call(LONG)).unwrap();
    let ok = WorkerOutcome::Ok { evidence: "1 started".into() };
    assert_eq!(report.workers.into_iter().collect::<Vec<_>>(), [(host("h1"), ok)]);
    assert_eq!(made.calls(), ["deploy"]);
    let lines = made.lines.lock().unwrap().clone();
    assert!(lines.contains(&"<h1> started".to_owned()) && lines.contains(&"x@h9 | no host".to_owned()));
}

#[test]
fn a_deploy_that_rolls_nothing_out_is_followed_by_a_repair_with_a_job_that_has_nothing_pending() {
    let mut now = snapshot(7, &["api", "db", "new"], &["h1", "h2"]);
    row(&mut now, "new", "h2").previous_hash = None;
    let script = r#"case "$*" in
        deploy) cp 8 data/maand.db;;
        "deploy --dry-run --jobs api,db")
            echo 'deploy dry-run: deployment required'; echo; echo 'deployment sequence 0:'
            echo '  job "api": deploy required'; echo '    h1  skip    hash=x'; echo '    h2  reload  previous_hash=y'
            echo '  job "db": deploy required'; echo '    h1  stop    previous_hash=x'; echo '    h2  skip    hash=x';;
        "deploy --sync-only --force --jobs db") cp 9 data/maand.db;;
        *) exit 1;;
    esac"#;
    let made = Made::new(script, &now);
    for seq in [8, 9] {
        now.update_seq = seq;
        made.prepare(&seq.to_string(), &now);
    }
    let report = made.engine.deploy(&asked(&["h1"]), &made.call(LONG)).unwrap();
    assert!(report.all_ok());
    let expected = ["deploy", "deploy --dry-run --jobs api,db", "deploy --sync-only --force --jobs db"];
    assert_eq!(made.calls(), expected, "{:?}", made.lines);
    // Where all that was asked for is disabled the next deploy will do it.
    let mut now = snapshot(7, &["api"], &["h1", "h2"]);
    row(&mut now, "api", "h1").disabled = true;
    let made = Made::new("cp 8 data/maand.db", &now);
    now.update_seq = 8;
    made.prepare("8", &now);
    assert!(made.engine.deploy(&asked(&["h1"]), &made.call(LONG)).unwrap().all_ok());
    assert_eq!(made.calls(), ["deploy"]);
}

#[test]
fn a_deploy_that_failed_because_a_worker_is_down_is_repeated_when_it_is_back() {
    let before = snapshot(7, &["api"], &["h1", "h2"]);
    let script = "n=$(wc -l <calls); cp $((7 + n)) data/maand.db; [ $n = 2 ] || { echo 'ssh: connect to h2: refused' >&2; exit 1; }";
    let made = Made::new(script, &before);
    for seq in [8, 9] {
        made.prepare(&seq.to_string(), &snapshot(seq, &["api"], &["h1", "h2"]));
    }
    made.workers.json.lock().unwrap().remove(&host("h2"));
    let report = std::thread::scope(|scope| {
        let deploy = scope.spawn(|| made.engine.deploy(&asked(&["h1"]), &made.call(LONG)).unwrap());
        let waits = || made.lines.lock().unwrap().iter().any(|line| line.contains("waiting for h2"));
        while !waits() {
            assert!(!deploy.is_finished());
            std::thread::sleep(Duration::from_millis(5));
        }
        // Meanwhile others may use the bucket.
        let lock = &made.engine.bucket.paths().catalog_lock;
        lock::acquire(lock, "test", Duration::ZERO, &|| false).map(drop).unwrap();
        made.workers.agree(&snapshot(9, &["api"], &["h1", "h2"]));
        deploy.join().unwrap()
    });
    assert!(report.all_ok(), "{report:?}");
    assert_eq!(made.calls(), ["deploy", "deploy"]);
}

#[test]
fn a_worker_that_keeps_a_deploy_waiting_is_named_at_once_and_blamed() {
    let now = snapshot(7, &["api"], &["h1", "h2"]);
    let made = Made::new(
        "while [ ! -e go ]; do sleep 0.02; done; cp 8 data/maand.db; echo 'h1 | is innocent'; exit 1",
        &now,
    );
    made.prepare("8", &snapshot(8, &["api"], &["h1", "h2"]));
    made.workers.json.lock().unwrap().remove(&host("h2"));
    let report = std::thread::scope(|scope| {
        let deploy = scope.spawn(|| made.engine.deploy(&asked(&["h1"]), &made.call(LONG)).unwrap());
        let named =
            |lines: &[String]| lines.iter().any(|line| line.starts_with("<h2> note: it does not answer"));
        while !named(&made.lines.lock().unwrap()) {
            assert!(!deploy.is_finished());
            std::thread::sleep(Duration::from_millis(5));
        }
        // It is back before the deploy ends, which has failed because of it all the same.
        made.workers.agree(&snapshot(8, &["api"], &["h1", "h2"]));
        fs::write(made.folder.path().join("go"), "").unwrap();
        deploy.join().unwrap()
    });
    assert!(error(&report, "h1").contains("fails it for every worker: h2 (connection to h2:22 refused)"));
    // One that does not end at all is no fault of whose turn it is.
    let made = Made::new("sleep 1000", &now);
    made.workers.json.lock().unwrap().remove(&host("h2"));
    let report = made.engine.deploy(&asked(&["h1"]), &made.call(Duration::from_millis(500))).unwrap();
    let WorkerOutcome::Unknown { why } = &report.workers[&host("h1")] else { panic!("{report:?}") };
    assert!(why.contains("did not end in time") && why.contains("h2 (connection to h2:22 refused)"), "{why}");
}

#[test]
fn the_excerpt_of_a_worker_is_what_its_own_job_has_said() {
    let now = snapshot(7, &["api", "db"], &["h1", "h2"]);
    let mut changed = now.clone();
    changed.update_seq = 8;
    row(&mut changed, "api", "h1").current_hash = Some("new".into());
    // As a real build of it prints: the failed job first, and then another one's rsync.
    let script = r#"cp 8 data/maand.db; cat <<'END' >&2; exit 1
api@h1 | building file list ... done
api@h1 | worker.json
api@h1 | jobs/api/Makefile
api@h1 | sent 1,007 bytes  received 53 bytes  2,120.00 bytes/sec
api@h1 ! the port is taken
api@h1 ! make: *** [Makefile:7: restart] Error 7
api@h1 ! Traceback (most recent call last):
api@h1 !   File "/opt/worker/b/bin/runner.py", line 73, in <module>
api@h1 !     main()
api@h1 ! subprocess.CalledProcessError: Command '['make', '-s']' returned non-zero exit status 2.
api@h1 | trying
db@h1 | building file list ... done
db@h1 | 
db@h1 | total size is 5,943  speedup is 9.57
db@h2 | building file list ... done
deploy failed:
job api: restart updated allocations: worker h1: command execution failed (exit 1)
END"#;
    let made = Made::new(script, &now);
    made.prepare("8", &changed);
    let report = made.engine.deploy(&asked(&["h1"]), &made.call(LONG)).unwrap();
    let WorkerOutcome::Failed { error, output } = &report.workers[&host("h1")] else { panic!("{report:?}") };
    assert!(error.starts_with("not deployed: api: ") && error.ends_with("failed (exit 1)"), "{error}");
    let expected = "the port is taken\nmake: *** [Makefile:7: restart] Error 7\ntrying";
    assert_eq!(output.as_deref(), Some(expected));
}

#[test]
fn a_worker_that_stays_down_is_named_when_time_is_up() {
    let made = Made::new("cp 8 data/maand.db; exit 1", &snapshot(7, &["api"], &["h1", "h2"]));
    made.prepare("8", &snapshot(8, &["api"], &["h1", "h2"]));
    made.workers.json.lock().unwrap().remove(&host("h2"));
    let report = made.engine.deploy(&asked(&["h1", "h2"]), &made.call(Duration::from_secs(2))).unwrap();
    assert!(error(&report, "h1").contains("fails it for every worker: h2 (connection to h2:22 refused)"));
    assert!(matches!(report.workers[&host("h2")], WorkerOutcome::Unreachable { .. }));
}

#[test]
fn what_was_enabled_again_is_started_first_where_the_deploy_would_wait_for_it() {
    let mut before = snapshot(7, &["api", "db"], &["h1", "h2"]);
    for job in ["api", "db"] {
        row(&mut before, job, "h1").previous_hash = None;
    }
    row(&mut before, "api", "h2").disabled = true;
    // Its files have changed meanwhile.
    let mut after = snapshot(8, &["api", "db"], &["h1", "h2"]);
    row(&mut after, "api", "h2").disabled = true;
    let new = Some("new".to_owned());
    let started = row(&mut after, "api", "h1");
    (started.current_hash, started.previous_hash) = (new.clone(), new);
    let made = Made::new("cp after data/maand.db; echo deployed", &before);
    made.prepare("after", &after);
    made.workers.agree(&after);
    let report = made.engine.deploy(&asked(&["h1"]), &made.call(LONG)).unwrap();
    assert_eq!(report.workers[&host("h1")], WorkerOutcome::Ok { evidence: "2 started".into() });
    let expected =
        ["<h1> note: api: make start, over SSH", "deployed", "<h1> note: api: make restart, over SSH"];
    assert_eq!(*made.lines.lock().unwrap(), expected, "no one waits for db, which is disabled nowhere");
}

#[test]
fn what_cannot_be_deployed_is_started_all_the_same_and_stays_a_failure() {
    let mut now = snapshot(7, &["api"], &["h1", "h2"]);
    row(&mut now, "api", "h1").previous_hash = None;
    let made = Made::new("cp 8 data/maand.db; exit 1", &now);
    now.update_seq = 8;
    made.prepare("8", &now);
    made.workers.json.lock().unwrap().remove(&host("h2"));
    let report = made.engine.deploy(&asked(&["h1"]), &made.call(Duration::from_secs(1))).unwrap();
    assert!(error(&report, "h1").ends_with("api was started over SSH (catalog pending)"), "{report:?}");
}

#[test]
fn a_command_without_end_is_ended_with_all_that_it_started_and_nothing_is_known_then() {
    let made = Made::new("sleep 1000 & echo $! >pid; wait", &snapshot(7, &["api"], &["h1"]));
    let report = std::thread::scope(|scope| {
        let deploy = scope.spawn(|| made.engine.deploy(&asked(&["h1"]), &made.call(LONG)).unwrap());
        let pid = made.folder.path().join("pid");
        while !fs::read_to_string(&pid).is_ok_and(|text| text.ends_with('\n')) {
            assert!(!deploy.is_finished());
            std::thread::sleep(Duration::from_millis(5));
        }
        // The lock is held by the command itself: by its descriptor 3, not only by us.
        let lock = &made.engine.bucket.paths().catalog_lock;
        let held = lock::acquire(lock, "test", Duration::ZERO, &|| false);
        assert!(matches!(held, Err(LockError::Held { .. })));
        let number = fs::read_to_string(&pid).unwrap();
        let three = fs::read_link(format!("/proc/{}/fd/3", number.trim())).unwrap();
        assert_eq!(three, fs::canonicalize(lock).unwrap());
        made.cancel.cancel();
        deploy.join().unwrap()
    });
    assert!(matches!(report.workers[&host("h1")], WorkerOutcome::Unknown { .. }));
    let number = fs::read_to_string(made.folder.path().join("pid")).unwrap();
    let stat = fs::read_to_string(format!("/proc/{}/stat", number.trim()));
    assert!(stat.map_or(true, |stat| stat.contains(") Z ")), "it outlives its command");
    let late = made.engine.deploy(&asked(&["h1"]), &made.call(LONG));
    assert!(matches!(late, Err(CatalogError::Cancelled(_))), "nothing begins after that: {late:?}");
}

#[test]
fn a_background_process_keeps_nobody_waiting() {
    let made = Made::new("setsid sleep 1000 & echo $! >pid; echo done", &snapshot(7, &["api"], &["h1"]));
    made.engine.build(&made.call(LONG)).unwrap();
    let lock = &made.engine.bucket.paths().catalog_lock;
    lock::acquire(lock, "test", Duration::ZERO, &|| false).map(drop).expect("it has not kept the lock");
    let number = fs::read_to_string(made.folder.path().join("pid")).unwrap();
    let process = rustix::process::Pid::from_raw(number.trim().parse().unwrap()).unwrap();
    rustix::process::kill_process(process, rustix::process::Signal::KILL).unwrap();
    assert_eq!(made.lines.lock().unwrap().last().unwrap(), "done");
}

#[test]
fn two_commands_never_run_at_once() {
    let script = "mkdir busy || exit 1; sleep 0.1; rmdir busy; cp same data/maand.db";
    let now = snapshot(7, &["api"], &["h1", "h2"]);
    let made = Made::new(script, &now);
    made.prepare("same", &now);
    let fence = Some(crate::catalog::Fence { run: "r".into(), epoch: 1, mark: "1 00".into() });
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let call = crate::catalog::Call { fence: fence.clone(), ..made.call(LONG) };
                made.engine.build(&call).unwrap();
                let request = HealthRequest { wait: true, ..HealthRequest::default() };
                let health = made.engine.health(&request, &call).unwrap();
                assert!(health.allocations.iter().all(|line| line.outcome.is_ok()));
            });
        }
    });
    assert_eq!(made.calls().len(), 8);
}

#[test]
fn what_others_did_in_between_is_said() {
    let made = Made::new("true", &snapshot(7, &["api"], &["h1"]));
    made.engine.build(&made.call(LONG)).unwrap();
    super::testing::write(&made.engine.bucket.paths().upstream_db, &snapshot(9, &["api"], &["h1"]), true);
    made.workers.agree(&snapshot(9, &["api"], &["h1"]));
    let report = made.engine.deploy(&asked(&["h1"]), &made.call(LONG)).unwrap();
    let WorkerOutcome::Ok { evidence } = &report.workers[&host("h1")] else { panic!("{report:?}") };
    assert_eq!(evidence, "nothing to do; another process deployed in between (update_seq 7 -> 9)");
    assert!(made.lines.lock().unwrap().iter().any(|line| line.contains("update_seq 7 -> 9")));
}

#[test]
fn a_job_is_run_one_allocation_at_a_time_after_the_sync_check() {
    let mut now = snapshot(7, &["api", "db"], &["h1", "h2"]);
    row(&mut now, "db", "h2").disabled = true;
    let made = Made::new("case \"$*\" in *h2) echo no >&2; exit 1;; esac", &now);
    let job = |target: &str, jobs: &[&str], hosts: Option<&[&str]>| {
        let request = JobRequest {
            target: target.into(),
            jobs: jobs.iter().map(|job| JobName::parse(job).unwrap()).collect(),
            workers: hosts.map(|hosts| hosts.iter().map(|name| host(name)).collect()),
        };
        made.engine.job(&request, &made.call(LONG))
    };
    let report = job("start", &[], None).unwrap();
    let expected = ["api h1 true", "api h2 false", "db h1 true"];
    let lines: Vec<_> = report
        .allocations
        .iter()
        .map(|line| format!("{} {} {}", line.job, line.host, line.outcome.as_ref().unwrap().is_ok()))
        .collect();
    assert_eq!(lines, expected);
    assert!(error(&report, "h2").contains("ended with 1: no"));
    let calls =
        ["job start api --allocations h1", "job start api --allocations h2", "job start db --allocations h1"];
    assert_eq!(made.calls(), calls);
    let report = job("stop", &["db"], Some(&["h2"])).unwrap();
    assert!(error(&report, "h2").contains("disabled"));
    job("logs", &["db"], None).unwrap();
    assert_eq!(made.calls().last().unwrap(), "job run db --target logs --allocations h1");
    assert!(matches!(job("start", &["none"], None), Err(CatalogError::Invalid(_))));
    // Out of date, and no job can carry the number.
    made.workers.agree(&snapshot(6, &["api", "db"], &["h1", "h2"]));
    let report = job("start", &["api"], Some(&["h1"])).unwrap();
    assert!(error(&report, "h1").contains("out of date"), "{report:?}");
    assert_eq!(made.calls().len(), 5, "the dry run said nothing, so nothing was done: {:?}", made.calls());
}

#[test]
fn health_is_what_the_program_says_and_who_answers() {
    let script = "echo 'health check passed: api'; echo 'health check skipped: plain (none)'; echo 'health check failed: db'; exit 1";
    let made = Made::new(script, &snapshot(7, &["api", "db", "plain"], &["h1", "h2"]));
    made.workers.json.lock().unwrap().remove(&host("h2"));
    let request = HealthRequest { jobs: None, workers: None, wait: true };
    let report = made.engine.health(&request, &made.call(LONG)).unwrap();
    assert!(matches!(report.workers[&host("h2")], WorkerOutcome::Unreachable { .. }));
    let seen: Vec<_> = report
        .allocations
        .iter()
        .map(|line| format!("{} {} {} {}", line.job, line.host, line.outcome.is_ok(), line.without_probes))
        .collect();
    let expected = [
        "api h1 true false",
        "api h2 false false",
        "db h1 false false",
        "db h2 false false",
        "plain h1 true true",
        "plain h2 false true",
    ];
    assert_eq!(seen, expected);
    assert_eq!(made.calls(), ["health_check --jobs api,db,plain --wait"]);
}

#[test]
fn a_database_of_another_kind_is_refused_before_anything_is_run() {
    let mut newer = snapshot(7, &["api"], &["h1"]);
    newer.schema = 2;
    let made = Made::new("true", &newer);
    let words = |error: CatalogError| match error {
        CatalogError::Invalid(problems) => problems.iter().map(ToString::to_string).collect::<String>(),
        other => other.to_string(),
    };
    let error = made.engine.build(&made.call(LONG)).unwrap_err();
    assert!(words(error).contains("schema version 2, and this program knows version 1"));
    let path = &made.engine.bucket.paths().upstream_db;
    fs::remove_file(path).unwrap();
    rusqlite::Connection::open(path).unwrap().execute_batch("CREATE TABLE bucket (bucket_id TEXT)").unwrap();
    let error = made.engine.deploy(&asked(&["h1"]), &made.call(LONG)).unwrap_err();
    assert!(words(error).contains("schema_version, worker, allocations, hash is missing"));
    fs::write(made.folder.path().join("workspace/workers.json"), r#"[{"host": "h1", "labels": ["Worker"]}]"#)
        .unwrap();
    let error = made.engine.build(&made.call(LONG)).unwrap_err();
    assert!(words(error).contains("refuses the label `worker`"));
    assert!(made.calls().is_empty());
    // Before the first build there is none.
    fs::write(made.folder.path().join("workspace/workers.json"), "[]").unwrap();
    fs::remove_file(path).unwrap();
    assert!(made.engine.allocations().unwrap().is_empty());
    made.engine.build(&made.call(LONG)).unwrap();
    assert!(
        words(made.engine.deploy(&asked(&["h1"]), &made.call(LONG)).unwrap_err()).contains("never built")
    );
    assert_eq!(made.calls(), ["build"]);
}

#[test]
fn both_forms_of_the_database_say_the_same() {
    let mut made_up = snapshot(7, &["api", "db"], &["h1", "h2"]);
    row(&mut made_up, "db", "h2").disabled = true;
    row(&mut made_up, "db", "h2").deployment_seq = 3;
    *row(&mut made_up, "api", "h2") = super::database::Row::default();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("maand.db");
    for view in [true, false] {
        super::testing::write(&path, &made_up, view);
        assert_eq!(super::database::Snapshot::read(&path).unwrap().unwrap(), made_up, "{view}");
    }
}

#[test]
fn an_operator_learns_at_once_who_holds_the_lock() {
    let made = Made::new("true", &snapshot(7, &["api"], &["h1"]));
    let lock = &made.engine.bucket.paths().catalog_lock;
    let _held = lock::acquire(lock, "maand deploy", Duration::ZERO, &|| false).unwrap();
    let began = Instant::now();
    let error = made.engine.build(&made.call(Duration::from_millis(200))).unwrap_err();
    assert!(
        matches!(&error, CatalogError::Locked { holder, .. } if holder.contains("maand deploy")),
        "{error}"
    );
    assert!(began.elapsed() < LONG && made.calls().is_empty());
}

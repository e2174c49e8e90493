//! What goes wrong with the catalog's operations, on real servers: each has its own error, the other
//! workers are served, and the next deploy takes up what is missing and repeats nothing.

use std::fs;
use std::io::Write;
use std::time::Duration;

use serde_json::{Value, json};

use crate::catalog::{BUCKET_ID, Bench, MAKEFILE, actions, lines};
use crate::support::{Fault, wait_until};

fn outcome<'r>(report: &'r Value, host: &str) -> (&'r str, &'r str) {
    let all = report["allocations"].as_array().unwrap();
    let line = all.iter().find(|line| line["host"] == host).unwrap();
    (line["outcome"].as_str().unwrap_or("none"), line["detail"].as_str().unwrap_or_default())
}

#[test]
fn a_worker_that_is_down_fails_its_own_allocations_only() {
    let Some(bench) = Bench::new(3) else { return };
    bench.job("api", "1.0.0", json!({}));
    bench.fleet.unplug(1);
    bench.expect(0, &["build"]);
    let report = bench.json(1, &["deploy"]);
    assert_eq!(outcome(&report, &bench.host(0)).0, "ok");
    assert_eq!(outcome(&report, &bench.host(1)).0, "unreachable", "{report}");
    bench.fleet.plug(1);
    assert_eq!(actions(&bench.json(0, &["deploy", "--dry-run"])).concat().matches("start").count(), 1);
    bench.expect(0, &["deploy"]);
    for i in 0..3 {
        assert_eq!(bench.done(i, "api"), ["start"]);
    }
    // A deploy that has nothing to do there does not mind that it is down.
    bench.fleet.unplug(1);
    bench.expect(0, &["deploy"]);
    // It is taken out of the bucket for good.
    bench.workers(&[0, 2]);
    bench.expect(0, &["build"]);
    let (_, said) = bench.expect(1, &["deploy"]);
    let (table, _) = bench.expect(1, &["deploy"]);
    assert!(table.contains("--force"), "{table} {said}");
    bench.expect(0, &["deploy", "--force", "--workers", &bench.host(1)]);
    assert_eq!(actions(&bench.json(0, &["deploy"])), ["api skip", "api skip"]);
}

/// The same machine under another name: its address as one number.
pub(crate) fn other_name(host: &str) -> String {
    u32::from(host.parse::<std::net::Ipv4Addr>().unwrap()).to_string()
}

#[test]
fn two_entries_for_one_machine_are_worked_on_once() {
    let Some(bench) = Bench::new(2) else { return };
    let (first, other) = (bench.host(0), bench.host(1));
    let twin = other_name(&first);
    bench.job("api", "1.0.0", json!({}));
    let entries: Vec<Value> =
        [&first, &twin, &other].iter().map(|host| json!({"host": host, "labels": ["app"]})).collect();
    bench.write("workspace/workers.json", &Value::from(entries).to_string());
    bench.expect(0, &["build"]);
    let report = bench.json(1, &["deploy"]);
    let (how, detail) = outcome(&report, &twin);
    assert!(how == "failed" && detail.contains(&format!("{twin} and {first} are one machine")), "{report}");
    assert_eq!([&first, &other].map(|host| outcome(&report, host).0), ["ok", "ok"]);
    // Whichever is named: the machine says whose it is.
    let report = bench.json(1, &["deploy", "--workers", &twin]);
    assert!(outcome(&report, &twin).1.contains("are one machine"), "{report}");
    assert_eq!(bench.json(0, &["deploy", "--force", "--workers", &first])["ok"], true);
    bench.expect(1, &["job", "restart", "api"]);
    assert_eq!(bench.done(0, "api"), ["start", "restart", "restart"]);
    let both = format!("{first},{twin}");
    let (stdout, stderr) = bench.expect(1, &["run_command", "reboot", "--workers", &both]);
    assert!(stderr.contains("it was not rebooted once more"), "{stdout}{stderr}");
    // Without the second entry all is as it should be.
    bench.workers(&[0, 1]);
    bench.expect(0, &["build"]);
    bench.expect(0, &["deploy"]);
    assert_eq!(bench.done(0, "api").len(), 3);
}

#[test]
fn each_failure_on_a_worker_has_its_own_error() {
    let Some(bench) = Bench::new(2) else { return };
    let (good, bad) = (bench.host(0), bench.host(1));
    bench.job("api", "1.0.0", json!({}));
    // A target that fails, on one worker only.
    let makefile = "start restart:\n\t@mkdir -p data && echo $@ >> data/log\n\t@if [ -e /opt/broken ]; then \
                    echo the reason >&2; exit 7; fi\nstop status:\n\t@true\n";
    bench.write("workspace/jobs/api/Makefile", makefile);
    bench.fleet.sh_ok(1, "touch /opt/broken");
    bench.expect(0, &["build"]);
    let report = bench.json(1, &["deploy"]);
    assert_eq!(outcome(&report, &good).0, "ok");
    let (how, detail) = outcome(&report, &bad);
    assert!(how == "failed" && detail.contains("make start ended with"), "{report}");
    assert!(report.to_string().contains("the reason"), "{report}");
    // Tried again by the next deploy, and only there.
    bench.fleet.sh_ok(1, "rm /opt/broken");
    bench.expect(0, &["deploy"]);
    assert_eq!((bench.done(0, "api").len(), bench.done(1, "api").len()), (1, 2));

    // One that hangs is ended; one that prints without end is heard out.
    bench.write("workspace/jobs/api/Makefile", "start restart:\n\t@sleep 600\nstop:\n\t@true\n");
    bench.expect(0, &["build"]);
    let report = bench.json(1, &["deploy", "--workers", &bad, "--make-timeout", "2"]);
    let (how, detail) = outcome(&report, &bad);
    assert!(how == "unknown" && detail.contains("did not end within 2 s"), "{report}");
    wait_until("the make that hung has ended", || !bench.fleet.sh(1, "pgrep -x sleep").status.success());
    bench.write(
        "workspace/jobs/api/Makefile",
        "start restart:\n\t@head -c 1000000000 /dev/zero\nstop:\n\t@true\n",
    );
    bench.expect(0, &["build"]);
    bench.expect(0, &["deploy", "--workers", &bad, "--quiet"]);

    // No make there.
    bench.write("workspace/jobs/api/Makefile", MAKEFILE);
    bench.expect(0, &["build"]);
    bench.fleet.set(1, Fault::NoMake);
    bench.fleet.unplug(1);
    bench.fleet.plug(1);
    let report = bench.json(1, &["deploy"]);
    assert_eq!(outcome(&report, &good).0, "ok");
    let (how, detail) = outcome(&report, &bad);
    assert!(how == "failed" && detail.contains("not installed here: make"), "{report}");
    bench.fleet.set(1, Fault::Healthy);
    bench.fleet.unplug(1);
    bench.fleet.plug(1);
    bench.expect(0, &["deploy"]);

    // sudo wants a password.
    bench.fleet.set(1, Fault::SudoPassword);
    let conf = fs::read_to_string(bench.path("maand.conf")).unwrap();
    bench.write(
        "maand.conf",
        &conf.replace("use_sudo = false", "use_sudo = true").replace("\"root\"", "\"agent\""),
    );
    let report = bench.json(1, &["deploy", "--force"]);
    assert_eq!(outcome(&report, &good).0, "ok", "{report}");
    let (how, detail) = outcome(&report, &bad);
    assert!(how == "failed" && detail.contains("wants a password"), "{report}");
    // Also of a command that would reboot: nothing was ordered, so nothing is waited for.
    let report = bench.json(1, &["run_command", "sudo reboot", "--workers", &bad]);
    let worker = &report["workers"][0];
    assert_eq!((&worker["result"], &worker["exit_code"]), (&json!("not_run"), &Value::Null), "{report}");
    assert!(worker["detail"].as_str().unwrap().contains("wants a password"), "{report}");
}

/// A list that was given and names nothing is never meant.
#[test]
fn an_empty_list_is_neither_everybody_nor_nobody() {
    let Some(bench) = Bench::new(1) else { return };
    bench.job("api", "1.0.0", json!({}));
    bench.build_and_deploy();
    for arguments in [
        ["run_command", "touch /root/ran", "--workers", ""],
        ["run_command", "touch /root/ran", "--workers", " , "],
        ["run_command", "touch /root/ran", "--labels", ""],
        ["deploy", "--force", "--workers", ""],
        ["deploy", "--force", "--jobs", ","],
        ["health_check", "--wait", "--jobs", ""],
    ] {
        let out = bench.maand(&arguments);
        assert!([Some(2), Some(3)].contains(&out.status.code()), "{arguments:?}: {out:?}");
    }
    assert!(!bench.fleet.sh(0, "test -e /root/ran").status.success());
    assert_eq!(bench.done(0, "api"), ["start"]);
}

#[test]
fn what_was_lost_or_changed_on_a_worker_is_put_back_by_force() {
    let Some(bench) = Bench::new(1) else { return };
    bench.job("api", "1.0.0", json!({}));
    bench.build_and_deploy();
    let version = bench.on_worker(0, "jobs/api/version");
    fs::write(&version, "tampered").unwrap();
    bench.expect(0, &["deploy", "--force", "--jobs", "api"]);
    assert_eq!(fs::read_to_string(&version).unwrap(), "1.0.0");
    assert_eq!(bench.done(0, "api"), ["start", "restart"]);
    // The folder is gone: job control says what brings it back, and that does.
    bench.fleet.sh_ok(0, &format!("rm -rf /opt/worker/{BUCKET_ID}/jobs/api"));
    let report = bench.json(1, &["job", "status", "api"]);
    let host = bench.host(0);
    let advice = format!("maand deploy --force --jobs api --workers {host}");
    assert!(outcome(&report, &host).1.contains(&advice), "{report}");
    bench.expect(0, &["deploy", "--force", "--jobs", "api", "--workers", &host]);
    bench.expect(0, &["job", "status", "api"]);
}

/// `bin/` outlives a deploy: what make has built there must look older than what it is built from.
#[test]
fn what_make_has_built_from_older_files_is_built_again() {
    let Some(bench) = Bench::new(1) else { return };
    bench.job("api", "1.0.0", json!({}));
    bench.write(
        "workspace/jobs/api/Makefile",
        "start restart: bin/app\nbin/app: app.src\n\t@mkdir -p bin && cp app.src bin/app\nstop:\n\t@true\n",
    );
    bench.write("workspace/jobs/api/app.src", "one");
    bench.build_and_deploy();
    let built = bench.on_worker(0, "jobs/api/bin/app");
    assert_eq!(fs::read_to_string(&built).unwrap(), "one");
    bench.write("workspace/jobs/api/app.src", "two");
    // As a checkout of an older commit has it.
    let old = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    fs::File::options()
        .write(true)
        .open(bench.path("workspace/jobs/api/app.src"))
        .and_then(|file| file.set_modified(old))
        .unwrap();
    bench.build_and_deploy();
    assert_eq!(fs::read_to_string(&built).unwrap(), "two");
}

#[test]
fn a_job_whose_stop_fails_says_how_to_be_rid_of_it() {
    let Some(bench) = Bench::new(1) else { return };
    bench.job("api", "1.0.0", json!({}));
    bench.write("workspace/jobs/api/Makefile", "start:\n\t@true\nstop:\n\t@exit 3\n");
    bench.build_and_deploy();
    fs::remove_dir_all(bench.path("workspace/jobs/api")).unwrap();
    bench.expect(0, &["build"]);
    let report = bench.json(1, &["deploy"]);
    let (how, detail) = outcome(&report, &bench.host(0));
    assert!(how == "failed" && detail.contains("fix jobs/api/Makefile on the worker"), "{report}");
}

#[test]
fn a_full_disk_and_a_cut_stream_leave_the_old_tree_whole() {
    let Some(bench) = Bench::new(1) else { return };
    bench.job("api", "1.0.0", json!({}));
    bench.build_and_deploy();
    // A small disk of its own for what is unpacked.
    bench.fleet.sh_ok(0, "mount -t tmpfs -o size=1m tmpfs /opt/worker/*/.maand");
    bench.job("api", "2.0.0", json!({}));
    let noise: Vec<u8> = (0..8_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    fs::File::create(bench.path("workspace/jobs/api/big")).unwrap().write_all(&noise).unwrap();
    bench.expect(0, &["build"]);
    let report = bench.json(1, &["deploy"]);
    assert!(outcome(&report, &bench.host(0)).1.contains("the disk of the worker is full"), "{report}");
    assert_eq!(fs::read_to_string(bench.on_worker(0, "jobs/api/version")).unwrap(), "1.0.0");
    assert!(!bench.on_worker(0, "jobs/api/big").exists());
    bench.fleet.sh_ok(0, "umount /opt/worker/*/.maand");
    // The plug is pulled in the middle of the stream.
    let noise = noise.repeat(40);
    fs::write(bench.path("workspace/jobs/api/big"), &noise).unwrap();
    bench.expect(0, &["build"]);
    let mut deploy = bench.spawn(&["deploy"]);
    let staged = bench.on_worker(0, ".maand/stage/api/big");
    wait_until("files arrive", || staged.exists() || deploy.try_wait().unwrap().is_some());
    bench.fleet.unplug(0);
    assert_eq!(deploy.wait().unwrap().code(), Some(1));
    assert_eq!(fs::read_to_string(bench.on_worker(0, "jobs/api/version")).unwrap(), "1.0.0");
    bench.fleet.plug(0);
    bench.expect(0, &["deploy"]);
    assert_eq!(fs::metadata(bench.on_worker(0, "jobs/api/big")).unwrap().len(), noise.len() as u64);
    assert_eq!(bench.done(0, "api"), ["start", "restart"]);
}

#[test]
fn a_deploy_that_is_killed_is_completed_and_repeats_nothing() {
    let Some(bench) = Bench::new(3) else { return };
    let makefile = "start restart:\n\t@mkdir -p data && echo $@ $$(cat version) >> data/log && sleep 0.2 && \
                    echo done $$(cat version) >> data/log\nstop:\n\t@true\n";
    let version = |n: usize| {
        bench.job("api", &format!("{n}.0.0"), json!({}));
        bench.write("workspace/jobs/api/Makefile", makefile);
        bench.write("workspace/jobs/api/sub/version", &format!("{n}.0.0"));
        bench.expect(0, &["build"]);
    };
    version(0);
    bench.expect(0, &["deploy"]);
    // At any moment: from before the first connection until after the last answer.
    for n in 1..=12 {
        version(n);
        let mut deploy = bench.spawn(&["deploy"]);
        std::thread::sleep(Duration::from_millis(n as u64 * 90));
        deploy.kill().unwrap();
        deploy.wait().unwrap();
        bench.expect(0, &["deploy"]);
        for i in 0..3 {
            let version = format!("{n}.0.0");
            for file in ["version", "sub/version"] {
                assert_eq!(fs::read_to_string(bench.on_worker(i, "jobs/api").join(file)).unwrap(), version);
            }
            let log = lines(&bench.on_worker(i, "jobs/api/data/log"));
            let count = |what: &str| log.iter().filter(|line| **line == format!("{what} {version}")).count();
            assert_eq!((count("restart"), count("done")), (1, 1), "killed after {} ms: {log:?}", n * 90);
        }
        assert!(actions(&bench.json(0, &["deploy", "--dry-run"])).iter().all(|line| line == "api skip"));
    }
}

#[test]
fn two_deploys_and_an_operator_at_the_same_time() {
    let Some(bench) = Bench::new(1) else { return };
    bench.job("api", "1.0.0", json!({}));
    bench.write(
        "workspace/jobs/api/Makefile",
        "start:\n\t@mkdir -p data; echo start >> data/log; while [ ! -e data/go ]; do sleep 0.05; done\nstop:\n\t@true\n",
    );
    bench.expect(0, &["build"]);
    let mut first = bench.spawn(&["deploy"]);
    wait_until("make runs", || !bench.done(0, "api").is_empty());
    // Reading waits for no lock.
    bench.expect(0, &["deploy", "--dry-run"]);
    // An operator edits meanwhile; the deploy that runs is of what was built.
    bench.write("workspace/disabled.json", &json!({"workers": [bench.host(0)]}).to_string());
    let (_, said) = bench.expect(4, &["deploy"]);
    assert!(said.contains("maand deploy") && said.contains("since"), "{said}");
    fs::write(bench.on_worker(0, "jobs/api/data/go"), "").unwrap();
    assert_eq!(first.wait().unwrap().code(), Some(0));
    assert!(fs::read_to_string(bench.path("workspace/disabled.json")).unwrap().contains(&bench.host(0)));
    assert_eq!(bench.done(0, "api"), ["start"]);
}

#[test]
fn job_control_wants_agreement_and_deploy_repairs_it() {
    let Some(bench) = Bench::new(2) else { return };
    bench.job("api", "1.0.0", json!({}));
    bench.job("web", "1.0.0", json!({}));
    bench.expect(0, &["build"]);
    let (_, said) = bench.expect(1, &["job", "status", "api"]);
    assert!(said.contains("run `maand deploy` first") || said.is_empty());
    bench.expect(0, &["deploy"]);
    // A scoped deploy breaks no job control.
    bench.job("web", "1.1.0", json!({}));
    bench.expect(0, &["build"]);
    bench.expect(0, &["deploy", "--workers", &bench.host(0)]);
    assert_eq!((bench.update_seq(0), bench.update_seq(1)), (2, 1));
    bench.expect(0, &["job", "restart", "api"]);
    bench.expect(0, &["job", "run", "api", "--target", "reload", "--allocations", &bench.host(1)]);
    assert_eq!(bench.done(1, "api"), ["start", "restart", "reload"]);
    bench.expect(3, &["job", "run", "api", "--target=-f"]);
    let (_, said) = bench.expect(3, &["job", "start", "apj"]);
    assert!(said.contains("did you mean `api`"), "{said}");
    bench.expect(0, &["deploy"]);
    // The worker has lost its worker.json: nothing is run there, until a deploy has written it again,
    // which restarts nothing that runs.
    fs::remove_file(bench.on_worker(1, "worker.json")).unwrap();
    let (table, _) = bench.expect(1, &["job", "status", "api"]);
    assert!(table.contains("run `maand deploy` first") && table.contains("version 1.0.0"), "{table}");
    bench.expect(0, &["deploy"]);
    bench.expect(0, &["job", "status", "api"]);
    assert_eq!(bench.done(1, "api"), ["start", "restart", "reload"]);
    // It was made anew: everything is put there again.
    bench.fleet.sh_ok(1, "rm -rf /opt/worker");
    bench.expect(1, &["job", "status", "api"]);
    bench.expect(0, &["deploy"]);
    assert_eq!(bench.done(1, "api"), ["start"]);
    assert_eq!(bench.done(1, "web"), ["start"]);
    // The catalog is lost: receipts say what runs.
    fs::remove_dir_all(bench.path("data")).unwrap();
    bench.build_and_deploy();
    assert_eq!(bench.done(1, "api"), ["start"]);
}

#[test]
fn health_is_what_the_probes_say() {
    let Some(bench) = Bench::new(2) else { return };
    let probe = json!({"health_check": {
        "checks": [{"type": "ssh", "command": "test -e data/well"}],
        "timeout_seconds": 5, "wait": {"attempts": 2, "interval_seconds": 0}}});
    bench.job("api", "1.0.0", probe);
    bench.job("web", "1.0.0", json!({}));
    bench.expect(0, &["build"]);
    // The probe does not pass after the start: not promoted.
    let report = bench.json(1, &["deploy"]);
    assert!(report.to_string().contains("health check"), "{report}");
    for i in 0..2 {
        fs::write(bench.on_worker(i, "jobs/api/data/well"), "").unwrap();
    }
    bench.expect(0, &["deploy"]);
    let (table, _) = bench.expect(0, &["health_check", "--verbose"]);
    assert!(table.contains("1 probe passes") && table.contains("it has no probes"), "{table}");
    // A change that makes the first worker sick does not reach the second.
    fs::remove_file(bench.on_worker(0, "jobs/api/data/well")).unwrap();
    bench.write("workspace/jobs/api/extra", "1");
    bench.expect(0, &["build"]);
    let report = bench.json(1, &["deploy", "--jobs", "api"]);
    assert_eq!(outcome(&report, &bench.host(0)).0, "failed");
    assert!(outcome(&report, &bench.host(1)).1.contains("not begun"), "{report}");
    let health = bench.json(1, &["health_check", "--jobs", "api"]);
    assert_eq!((outcome(&health, &bench.host(0)).0, outcome(&health, &bench.host(1)).0), ("failed", "ok"));
    fs::write(bench.on_worker(0, "jobs/api/data/well"), "").unwrap();
    bench.expect(0, &["deploy"]);
    bench.expect(0, &["health_check", "--wait"]);
    bench.fleet.unplug(1);
    let health = bench.json(1, &["health_check"]);
    assert_eq!(outcome(&health, &bench.host(1)).0, "unreachable");
}

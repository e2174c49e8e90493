//! The built-in catalog over real SSH, by the command line: a bucket, its fleet, and what an operator types.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::{Value, json};

use crate::support::Fleet;

/// A bucket whose workers are a fleet's.
pub(crate) struct Bench {
    pub(crate) fleet: Fleet,
    pub(crate) dir: tempfile::TempDir,
    /// Environment of each call of the program.
    pub(crate) env: Vec<(String, String)>,
}

/// The id of every bucket in these tests.
pub(crate) const BUCKET_ID: &str = "9b2f8a52-6f3c-4a43-9a38-1d8d8b1f0c11";

/// What each job's Makefile does in these tests: a line in data/log for each thing that was done.
pub(crate) const MAKEFILE: &str = "\
start stop restart reload:
\t@mkdir -p data && echo \"$@ $$(cat version) $$CURRENT_VERSION-$$NEW_VERSION\" >> data/log
status:
\t@echo \"version $$(cat version)\"
";

impl Bench {
    /// `n` workers with the label `app`; no jobs yet. `None` where there can be no fleet.
    #[track_caller]
    pub(crate) fn new(n: usize) -> Option<Self> {
        let fleet = Fleet::start(n)?;
        let dir = tempfile::tempdir().unwrap();
        let bench = Self { fleet, dir, env: Vec::new() };
        bench.lay_out(&format!("bucket_id = \"{BUCKET_ID}\"\n"));
        Some(bench)
    }

    /// `maand.conf`, `workers.json` and the key.
    pub(crate) fn lay_out(&self, conf: &str) {
        self.write(
            "maand.conf",
            &format!(
                "{conf}ssh_user = \"root\"\nssh_port = {}\nuse_sudo = false\nssh_config = false\n",
                self.fleet.port()
            ),
        );
        let hosts: Vec<usize> = (0..self.fleet.len()).collect();
        self.workers(&hosts);
        let key = self.path("secrets/worker.key");
        fs::create_dir_all(key.parent().unwrap()).unwrap();
        fs::copy(self.fleet.key(), &key).unwrap();
        for (path, mode) in [(key.as_path(), 0o600), (key.parent().unwrap(), 0o700)] {
            fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        }
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// workers.json has these hosts of the fleet.
    pub(crate) fn workers(&self, hosts: &[usize]) {
        let all: Vec<Value> =
            hosts.iter().map(|i| json!({"host": self.host(*i), "labels": ["app"]})).collect();
        self.write("workspace/workers.json", &Value::from(all).to_string());
    }

    pub(crate) fn host(&self, i: usize) -> String {
        self.fleet.host(i).to_string()
    }

    /// A job on all workers; `manifest` is merged over the defaults.
    pub(crate) fn job(&self, name: &str, version: &str, manifest: Value) {
        let mut all = json!({"version": version, "selectors": ["app"]});
        if let (Value::Object(all), Value::Object(more)) = (&mut all, manifest) {
            all.extend(more);
        }
        self.write(&format!("workspace/jobs/{name}/manifest.json"), &all.to_string());
        self.write(&format!("workspace/jobs/{name}/version"), version);
        self.write(&format!("workspace/jobs/{name}/Makefile"), MAKEFILE);
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_maand"));
        command.arg("-C").arg(self.dir.path()).args(arguments).stdin(Stdio::null());
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    pub(crate) fn maand(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    pub(crate) fn spawn(&self, arguments: &[&str]) -> Child {
        self.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Runs it; it must end with this exit code. Both outputs.
    #[track_caller]
    pub(crate) fn expect(&self, code: i32, arguments: &[&str]) -> (String, String) {
        let out = self.maand(arguments);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (stdout, stderr) = (text(&out.stdout), text(&out.stderr));
        assert_eq!(out.status.code(), Some(code), "{arguments:?}\n{stdout}\n{stderr}");
        // What the system says is said without its number.
        if let Some(&("doctor" | "notify" | "plan" | "run_command")) = arguments.first() {
            let has_number = stdout.contains("(os error") || stderr.contains("(os error");
            assert!(!has_number, "{arguments:?}\n{stdout}\n{stderr}");
        }
        (stdout, stderr)
    }

    #[track_caller]
    pub(crate) fn json(&self, code: i32, arguments: &[&str]) -> Value {
        let all = [arguments, &["--output", "json"]].concat();
        crate::document(&self.expect(code, &all).0)
    }

    #[track_caller]
    pub(crate) fn build_and_deploy(&self) {
        self.expect(0, &["build"]);
        self.expect(0, &["deploy"]);
    }

    /// The folder of a job on a worker, from outside.
    pub(crate) fn on_worker(&self, i: usize, path: &str) -> PathBuf {
        self.fleet.disk(i).join("opt/worker").join(BUCKET_ID).join(path)
    }

    /// What make has done there, one word for each.
    pub(crate) fn done(&self, i: usize, job: &str) -> Vec<String> {
        lines(&self.on_worker(i, &format!("jobs/{job}/data/log")))
            .iter()
            .filter_map(|line| line.split(' ').next().map(str::to_owned))
            .collect()
    }

    pub(crate) fn update_seq(&self, i: usize) -> u64 {
        let text = fs::read_to_string(self.on_worker(i, "worker.json")).unwrap();
        serde_json::from_str::<Value>(&text).unwrap()["update_seq"].as_u64().unwrap()
    }
}

pub(crate) fn lines(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// Action of each allocation in a report, by job and worker.
pub(crate) fn actions(report: &Value) -> Vec<String> {
    let all = report["allocations"].as_array().unwrap();
    all.iter()
        .map(|line| format!("{} {}", line["job"].as_str().unwrap(), line["action"].as_str().unwrap()))
        .collect()
}

#[test]
fn a_job_is_started_restarted_stopped_and_started_again() {
    let Some(bench) = Bench::new(2) else { return };
    bench.job("api", "1.0.0", json!({}));
    bench.expect(3, &["deploy"]);
    bench.expect(0, &["build"]);
    let dry = bench.json(0, &["deploy", "--dry-run"]);
    assert_eq!(actions(&dry), ["api start", "api start"]);
    assert!(!bench.on_worker(0, "worker.json").exists());
    let report = bench.json(0, &["deploy"]);
    assert_eq!(actions(&report), ["api start", "api start"]);
    assert_eq!(lines(&bench.on_worker(0, "jobs/api/data/log")), ["start 1.0.0 0.0.0-1.0.0"]);
    assert_eq!(bench.update_seq(0), 1);
    // Nothing to do: nothing is done, and job control works as before.
    assert_eq!(actions(&bench.json(0, &["deploy"])), ["api skip", "api skip"]);
    assert_eq!(bench.update_seq(0), 1);
    let (table, _) = bench.expect(0, &["job", "status", "api"]);
    assert_eq!(table.matches("version 1.0.0").count(), 2, "{table}");
    // A file of the worker's own and a changed file.
    fs::write(bench.on_worker(0, "jobs/api/logs"), "a mount, for all we know").unwrap();
    bench.job("api", "1.1.0", json!({}));
    bench.write("workspace/jobs/api/conf/a", "1");
    // What was built is what is deployed.
    assert_eq!(actions(&bench.json(0, &["deploy"])), ["api skip", "api skip"]);
    bench.expect(3, &["deploy", "--force"]);
    bench.build_and_deploy();
    assert_eq!(
        lines(&bench.on_worker(1, "jobs/api/data/log")),
        ["start 1.0.0 0.0.0-1.0.0", "restart 1.1.0 1.0.0-1.1.0"]
    );
    assert!(bench.on_worker(0, "jobs/api/logs").exists() && bench.on_worker(0, "jobs/api/conf/a").exists());
    // Drained and back: pattern A of upstream's guide.
    bench.write("workspace/disabled.json", &json!({"workers": [bench.host(0)]}).to_string());
    bench.build_and_deploy();
    assert_eq!(bench.done(0, "api"), ["start", "restart", "stop"]);
    assert!(bench.on_worker(0, "jobs/api/conf/a").exists());
    assert!(fs::read_to_string(bench.on_worker(0, "jobs.json")).unwrap().contains("\"disabled\":1"));
    bench.expect(1, &["job", "start", "api", "--allocations", &bench.host(0)]);
    bench.expect(0, &["deploy", "--force"]);
    assert_eq!(bench.done(0, "api"), ["start", "restart", "stop"], "a disabled one is never started");
    fs::remove_file(bench.path("workspace/disabled.json")).unwrap();
    bench.build_and_deploy();
    assert_eq!(bench.done(0, "api"), ["start", "restart", "stop", "start"]);
    assert_eq!(bench.done(1, "api"), ["start", "restart", "restart"]);
    // A folder becomes a file, and a file goes.
    fs::remove_dir_all(bench.path("workspace/jobs/api/conf")).unwrap();
    bench.write("workspace/jobs/api/conf", "a file");
    bench.build_and_deploy();
    assert_eq!(fs::read_to_string(bench.on_worker(1, "jobs/api/conf")).unwrap(), "a file");
    // Gone from one worker: stopped and removed, but for what is the worker's.
    bench.workers(&[1]);
    bench.build_and_deploy();
    assert_eq!(bench.done(0, "api").last().unwrap(), "stop");
    assert!(
        !bench.on_worker(0, "jobs/api/Makefile").exists() && bench.on_worker(0, "jobs/api/logs").exists()
    );
    assert_eq!(actions(&bench.json(0, &["deploy"])), ["api skip"]);
}

#[test]
fn files_and_manifests_are_taken_as_the_upstream_program_takes_them() {
    let Some(bench) = Bench::new(1) else { return };
    bench.job("api", "1.0.0", json!({"update_parallel_count": 5}));
    bench.job("nowhere", "1.0.0", json!({"selectors": ["App"]}));
    // A script without the executable bit, as from a checkout that has lost it, and a private file.
    bench.write("workspace/jobs/api/run.sh", "#!/bin/sh\necho \"$CURRENT_VERSION\" > data/first\n");
    bench
        .write("workspace/jobs/api/Makefile", "start:\n\t@mkdir -p data; ./run.sh\nstop restart:\n\t@true\n");
    bench.write("workspace/jobs/api/token", "secret");
    for (name, mode) in [("run.sh", 0o644), ("token", 0o600)] {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        fs::set_permissions(bench.path("workspace/jobs/api").join(name), mode).unwrap();
    }
    let (_, stderr) = bench.expect(0, &["build"]);
    assert!(stderr.contains("`update_parallel_count` is now called `max_concurrent_upgrades`"), "{stderr}");
    assert!(stderr.contains("the selector `App` matches no worker"), "{stderr}");
    assert_eq!(actions(&bench.json(0, &["deploy"])), ["api start"]);
    assert_eq!(lines(&bench.on_worker(0, "jobs/api/data/first")), ["0.0.0"]);
    let mode = |name: &str| {
        let meta = fs::metadata(bench.on_worker(0, "jobs/api").join(name)).unwrap();
        std::os::unix::fs::MetadataExt::mode(&meta) & 0o777
    };
    assert_eq!([mode("run.sh"), mode("Makefile"), mode("token")], [0o755, 0o755, 0o700]);
}

#[test]
fn policies_order_and_batches() {
    let Some(bench) = Bench::new(3) else { return };
    // One log for all, so that the order is seen: /tmp is shared by the hosts.
    let log = bench.path("order");
    let makefile = |job: &str| {
        format!(
            "start stop restart reload:\n\t@echo \"$@ {job} begin\" >> {0}; sleep 0.3; echo \"$@ {job} end\" >> {0}\n",
            log.display()
        )
    };
    let job = |name: &str, manifest: Value| {
        bench.job(name, "1.0.0", manifest);
        bench.write(&format!("workspace/jobs/{name}/Makefile"), &makefile(name));
        bench.write(&format!("workspace/jobs/{name}/app.conf"), "1");
        bench.write(&format!("workspace/jobs/{name}/notes"), "1");
    };
    let globs = json!({"restart_policy": "reload", "restart_globs": ["*.conf"]});
    job("app", json!({"max_concurrent_upgrades": 2, "commands": {"c": {"demands": {"job": "db"}}}}));
    job("db", globs);
    job("copy", json!({"restart_policy": "never"}));
    bench.build_and_deploy();
    let first = lines(&log);
    let at = |what: &str| first.iter().position(|line| line == what).unwrap();
    let last = |what: &str| first.iter().rposition(|line| line == what).unwrap();
    assert!(last("start db end") < at("start app begin"), "{first:?}");
    // All at once.
    assert!(at("start db end") > last("start db begin"), "{first:?}");
    fs::remove_file(&log).unwrap();
    for name in ["app", "db", "copy"] {
        bench.write(&format!("workspace/jobs/{name}/notes"), "2");
    }
    bench.build_and_deploy();
    let second = lines(&log);
    let of = |what: &str| second.iter().filter(|line| line.starts_with(what)).cloned().collect::<Vec<_>>();
    assert!(of("start").is_empty() && of("reload db").len() == 6, "{second:?}");
    assert!(second.iter().all(|line| !line.contains("copy")), "{second:?}");
    // Never more than one db at a time.
    assert!(of("reload db").chunks(2).all(|pair| pair == ["reload db begin", "reload db end"]), "{second:?}");
    // Two of app, then one.
    let begin_end: Vec<bool> = of("restart app").iter().map(|line| line.ends_with("begin")).collect();
    assert_eq!(begin_end, [true, true, false, false, true, false], "{second:?}");
    for i in 0..3 {
        assert_eq!(fs::read_to_string(bench.on_worker(i, "jobs/copy/notes")).unwrap(), "2");
    }
    fs::remove_file(&log).unwrap();
    bench.write("workspace/jobs/db/app.conf", "2");
    bench.build_and_deploy();
    assert_eq!(lines(&log).iter().filter(|line| line.starts_with("restart db")).count(), 6);
}

//! A bucket of upstream's on a fleet, and the stand-in's log of what ran in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::SystemTime;

use serde_json::Value;

use crate::catalog::{BUCKET_ID, Bench};
use crate::run_bench::{MAKEFILE, RunBench, web_manifest};
use crate::support::{Fault, Fleet, Options, wait_until};

/// A bucket of upstream's with the job `web` on all workers.
pub(crate) struct External {
    pub(crate) run: RunBench,
}

impl std::ops::Deref for External {
    type Target = RunBench;
    fn deref(&self) -> &RunBench {
        &self.run
    }
}

/// A command of upstream's, as its log has it.
#[derive(Clone, Debug)]
pub(crate) struct Ran {
    /// With its arguments.
    pub(crate) command: String,
    pub(crate) pid: u64,
    /// `None`: it runs, or was killed.
    pub(crate) code: Option<i64>,
}

impl External {
    /// `n` workers that reboot quickly. `None` where there can be no fleet.
    #[track_caller]
    pub(crate) fn new(n: usize) -> Option<Self> {
        let fleet = Fleet::start_with(n, &Options { upstream: true, ..Options::default() })?;
        let dir = tempfile::tempdir().unwrap();
        let env = vec![("MAAND_BIN".to_owned(), program().display().to_string())];
        let bench = Self { run: RunBench { bench: Bench { fleet, dir, env } } };
        for i in 0..n {
            bench.fleet.set(i, Fault::BootSecs(0));
            bench.fleet.set(i, Fault::ShutdownSecs(0));
        }
        // Upstream keeps the bucket's id in its database only.
        bench.lay_out("");
        // As upstream's `init` makes it.
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(bench.path("secrets"), mode).unwrap();
        bench.write("stand-in/bucket_id", BUCKET_ID);
        bench.write("stand-in/port", &bench.fleet.upstream_port().to_string());
        bench.job("web", "1.0.0", web_manifest());
        bench.write("workspace/jobs/web/Makefile", MAKEFILE);
        for command in ["init", "build", "deploy"] {
            bench.upstream_ok(&[command]);
        }
        assert!((0..n).all(|i| bench.is_up(i)));
        Some(bench)
    }

    /// A call of upstream's program, as an operator types it.
    pub(crate) fn upstream_command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program());
        command.args(arguments).current_dir(self.dir.path()).stdin(Stdio::null());
        command
    }

    pub(crate) fn upstream(&self, arguments: &[&str]) -> Output {
        self.upstream_command(arguments).output().unwrap()
    }

    pub(crate) fn upstream_spawn(&self, arguments: &[&str]) -> Child {
        let mut command = self.upstream_command(arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// It must succeed; both outputs.
    #[track_caller]
    pub(crate) fn upstream_ok(&self, arguments: &[&str]) -> (String, String) {
        self.upstream_ends(0, arguments)
    }

    /// It must end with this code; both outputs.
    #[track_caller]
    pub(crate) fn upstream_ends(&self, code: i32, arguments: &[&str]) -> (String, String) {
        let out = self.upstream(arguments);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (stdout, stderr) = (text(&out.stdout), text(&out.stderr));
        assert_eq!(out.status.code(), Some(code), "upstream {arguments:?}\n{stdout}\n{stderr}");
        (stdout, stderr)
    }

    fn log(&self) -> Vec<Value> {
        let all = fs::read_to_string(self.path("stand-in/log")).unwrap_or_default();
        all.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Every command that was begun, in order.
    pub(crate) fn ran(&self) -> Vec<Ran> {
        let mut all: Vec<Ran> = Vec::new();
        for line in self.log() {
            let pid = line["pid"].as_u64().unwrap();
            match line["event"].as_str().unwrap() {
                "start" => {
                    let words = line["args"].as_array().unwrap().iter().map(|word| word.as_str().unwrap());
                    all.push(Ran { command: words.collect::<Vec<_>>().join(" "), pid, code: None });
                }
                "end" => {
                    let of = all.iter_mut().rfind(|one| one.pid == pid).unwrap();
                    of.code = line["code"].as_i64();
                }
                _ => {}
            }
        }
        all
    }

    /// What found another command running when it began.
    pub(crate) fn overlaps(&self) -> Vec<Value> {
        self.log().into_iter().filter(|line| line["event"] == "beside").collect()
    }

    /// How often the hooks of a job have run.
    pub(crate) fn hooks(&self) -> usize {
        self.log().iter().filter(|line| line["event"] == "hook").count()
    }

    /// Gives `web` a hook that runs before a deploy.
    pub(crate) fn hooked(&self) {
        let mut manifest = web_manifest();
        manifest["commands"]["command_seed"]["executed_on"] = serde_json::json!(["pre_deploy"]);
        self.job("web", "1.0.0", manifest);
        self.write("workspace/jobs/web/Makefile", MAKEFILE);
    }

    /// A job `solo` on this worker only, with a template of its port.
    pub(crate) fn solo(&self, i: usize, template: &str) {
        let host = |at: usize| serde_json::json!({"host": self.host(at), "labels": if at == i { vec!["app", "solo"] } else { vec!["app"] }});
        let workers: Vec<Value> = (0..self.fleet.len()).map(host).collect();
        self.write("workspace/workers.json", &Value::from(workers).to_string());
        self.job(
            "solo",
            "1.0.0",
            serde_json::json!({"selectors": ["solo"], "resources": {"ports": {"solo_port": 4711}}}),
        );
        self.write("workspace/jobs/solo/Makefile", &MAKEFILE.replace("web.up", "solo.up"));
        let text = "port={{ get \"maand/bucket\" \"solo_port\" }}\n";
        self.write(&format!("workspace/jobs/solo/{template}"), text);
    }

    /// No two commands of upstream's ever ran at once in this bucket.
    #[track_caller]
    pub(crate) fn assert_no_overlap(&self) {
        let overlaps = self.overlaps();
        assert!(overlaps.is_empty(), "{overlaps:?}\nof {:#?}", self.ran());
    }

    /// From now on a command waits when it comes to this phase.
    pub(crate) fn hold(&self, phase: &str) {
        self.write(&format!("stand-in/hold.{phase}"), "");
    }

    pub(crate) fn release(&self, phase: &str) {
        fs::remove_file(self.path(&format!("stand-in/hold.{phase}"))).unwrap();
    }

    /// How often this phase was reached.
    pub(crate) fn reached(&self, phase: &str) -> usize {
        self.log().iter().filter(|line| line["event"] == "phase" && line["phase"] == phase).count()
    }

    /// Waits until a command comes to this phase that had been reached `before` times; its pid.
    #[track_caller]
    pub(crate) fn wait_for_phase(&self, phase: &str, before: usize) -> u64 {
        wait_until(&format!("upstream is at {phase}"), || self.reached(phase) > before);
        let last = self.log().into_iter().rfind(|line| line["phase"] == phase).unwrap();
        last["pid"].as_u64().unwrap()
    }

    /// `update_seq` in the database. Asked of upstream: who opens such a file leaves traces beside it.
    pub(crate) fn database_seq(&self) -> u64 {
        let (stdout, _) = self.upstream_ok(&["info"]);
        stdout.lines().find_map(|line| line.strip_prefix("update_seq: ")).unwrap().parse().unwrap()
    }

    /// The database's files with their contents.
    pub(crate) fn database(&self) -> Vec<(String, Vec<u8>)> {
        ["", "-wal", "-shm", "-journal"]
            .into_iter()
            .filter_map(|end| {
                let path = self.path(&format!("data/maand.db{end}"));
                fs::read(path).ok().map(|content| (end.to_owned(), content))
            })
            .collect()
    }
}

/// The stand-in's executable. A plain `cargo test` has built it; `cargo test --test it` has not, so it
/// is built here when it is missing or older than its sources.
pub(crate) fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let own = std::env::current_exe().unwrap();
        // target/PROFILE/deps/it-...
        let profile = own.parent().and_then(Path::parent).unwrap();
        let path = profile.join("examples/stand_in_upstream");
        let changed = |path: &Path| fs::metadata(path).and_then(|data| data.modified()).ok();
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/upstream");
        let newest = fs::read_dir(sources).unwrap().filter_map(|entry| changed(&entry.unwrap().path())).max();
        if changed(&path).unwrap_or(SystemTime::UNIX_EPOCH) < newest.unwrap() {
            let mut build = Command::new(env!("CARGO"));
            build.args(["build", "--quiet", "--offline", "--locked", "--example", "stand_in_upstream"]);
            if profile.ends_with("release") {
                build.arg("--release");
            }
            build.arg("--target-dir").arg(profile.parent().unwrap());
            build.current_dir(env!("CARGO_MANIFEST_DIR"));
            let out = build.output().unwrap();
            assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        }
        assert!(path.exists(), "{} was not built", path.display());
        path
    })
}

//! Reviewed plan files from an operator's command line: written, shown, carried out as they are, and refused with each
//! thing that has changed since.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::run_bench::{RunBench, web_manifest};

const PLAN: &str = "\
version: 1
name: monday
targets: {labels: [web]}
rollout: {waves: [1, rest], spread: {tag: zone, at_most: 1}, budgets: [{job: api, max_unavailable: 1}]}
steps:
  - deploy
  - run: {script: fix.sh, idempotent: true, env: {TOKEN: {from_env: MONDAY_TOKEN}}}
";

/// A bucket whose workers nobody has to reach.
struct Local {
    dir: tempfile::TempDir,
}

/// Exit code and both outputs.
struct Said {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Local {
    fn new() -> Self {
        let local = Self { dir: tempfile::tempdir().unwrap() };
        local.said(&["init"]);
        let workers = json!([
            {"host": "127.9.9.1", "labels": ["web"], "tags": {"zone": "a", "rack": "1"}, "memory": "8 gb",
             "cpu": 4000, "position": 1, "hostname": "one", "ssh_port": 9, "ssh_user": "ann"},
            {"host": "127.9.9.2", "labels": ["web"], "tags": {"zone": "b"}, "position": 2},
            {"host": "127.9.9.3", "labels": ["db"], "position": 3},
        ]);
        local.put("workspace/workers.json", &workers.to_string());
        local.put("workspace/jobs/api/manifest.json", &manifest().to_string());
        local.put("workspace/jobs/api/Makefile", "start stop restart:\n\ttrue\n");
        symlink("Makefile", local.at("workspace/jobs/api/link")).unwrap();
        local.put("workspace/jobs/db/manifest.json", "{}");
        local.put("workspace/jobs/db/Makefile", "start stop restart:\n\ttrue\n");
        local.put("workspace/disabled.json", r#"{"jobs": {"db": {}}}"#);
        local.put("workspace/command.sh", "uptime\n");
        local.put("monday.yaml", PLAN);
        local.put("fix.sh", "echo fixed\n");
        assert_eq!(local.said(&["build"]).code, Some(0));
        local
    }

    fn at(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    fn put(&self, path: &str, text: &str) {
        fs::create_dir_all(self.at(path).parent().unwrap()).unwrap();
        fs::write(self.at(path), text).unwrap();
    }

    fn get(&self, path: &str) -> String {
        fs::read_to_string(self.at(path)).unwrap()
    }

    /// One piece of text in a file becomes another.
    #[track_caller]
    fn edit(&self, path: &str, from: &str, to: &str) {
        let text = self.get(path);
        assert!(text.contains(from), "{path} has no {from}: {text}");
        self.put(path, &text.replacen(from, to, 1));
    }

    fn said(&self, args: &[&str]) -> Said {
        let mut command = Command::new(env!("CARGO_BIN_EXE_maand"));
        command.args(args).current_dir(self.dir.path()).stdin(Stdio::null()).env("MONDAY_TOKEN", "hunter2");
        let out = command.output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Said { code: out.status.code(), stdout: text(&out.stdout), stderr: text(&out.stderr) }
    }

    /// Reviews the plan into this file.
    #[track_caller]
    fn review(&self, file: &str) {
        let said = self.said(&["plan", "show", "monday.yaml", "--out", file]);
        assert_eq!(said.code, Some(0), "{}", said.stderr);
    }

    /// What has changed since the review.
    #[track_caller]
    fn stale(&self) -> Vec<String> {
        let said = self.said(&["plan", "apply", "monday.reviewed", "--yes", "--output", "json"]);
        assert_eq!(said.code, Some(3), "{}\n{}", said.stdout, said.stderr);
        assert!(!self.at("data/plan.db").exists(), "something was touched");
        let error = crate::document(said.stdout.lines().last().unwrap());
        let problems = error["problems"].as_array().unwrap();
        let (last, changes) = problems.split_last().unwrap();
        assert_eq!(last["code"], "maand::review::stale", "{error}");
        assert!(last["help"].as_str().unwrap().contains("maand plan show"), "{error}");
        let of = |problem: &Value| {
            assert_eq!(problem["code"], "maand::review::changed", "{error}");
            problem["message"].as_str().unwrap().to_owned()
        };
        changes.iter().map(of).collect()
    }
}

fn manifest() -> Value {
    json!({
        "version": "1.0.0",
        "selectors": ["web"],
        "max_concurrent_starts": 2,
        "max_concurrent_upgrades": 2,
        "min_allocations_count": 1,
        "restart_policy": "reload",
        "restart_globs": ["*.conf"],
        "resources": {
            "memory": {"min": "1 mb", "max": "2 mb"},
            "cpu": {"min": "1 mhz", "max": "2 mhz"},
            "ports": {"http": 8080},
        },
        "health_check": {
            "checks": [{"type": "http", "port": "http", "path": "/", "expect_status": [200], "scheme": "http"}],
            "timeout_seconds": 5,
            "wait": {"attempts": 3, "interval_seconds": 2},
        },
    })
}

/// An edit of a file, and what has to be said of it: all of these pieces, each in some change.
type Edit = (&'static str, &'static str, &'static str, &'static [&'static str]);

const EDITS: &[Edit] = &[
    // Workers, field by field.
    (
        "workspace/workers.json",
        "127.9.9.2",
        "127.9.9.7",
        &["worker 127.9.9.2 was removed (it was selected)", "worker 127.9.9.7 was added and is selected"],
    ),
    (
        "workspace/workers.json",
        r#"["db"]"#,
        r#"["db","web"]"#,
        &[
            "127.9.9.3: labels +web",
            "127.9.9.3 is selected now (wave 2)",
            "workspace/workers.json has changed",
        ],
    ),
    ("workspace/workers.json", r#""zone":"a""#, r#""zone":"c""#, &["127.9.9.1: tag zone a -> c"]),
    ("workspace/workers.json", r#","rack":"1""#, "", &["127.9.9.1: tag rack is no longer set (was 1)"]),
    ("workspace/workers.json", "8 gb", "9 gb", &["127.9.9.1: memory_mb 8192 -> 9216"]),
    ("workspace/workers.json", "4000", "5000", &["127.9.9.1: cpu_mhz 4000 -> 5000"]),
    (
        "workspace/workers.json",
        r#""position":1"#,
        r#""position":9"#,
        &["127.9.9.1: position 1 -> 9", "127.9.9.1 is in wave 2 now, and not in wave 1"],
    ),
    (
        "workspace/workers.json",
        r#""hostname":"one""#,
        r#""hostname":"two""#,
        &["127.9.9.1: hostname one -> two"],
    ),
    ("workspace/workers.json", r#""ssh_port":9"#, r#""ssh_port":10"#, &["127.9.9.1: ssh_port 9 -> 10"]),
    ("workspace/workers.json", "ann", "bob", &["127.9.9.1: ssh_user ann -> bob"]),
    ("workspace/workers.json", "[{", "[ {", &["workspace/workers.json has changed"]),
    (
        "workspace/workers.json",
        r#""hostname":"one""#,
        r#""hostname":"one","mine":1"#,
        &["workspace/workers.json has changed"],
    ),
    // disabled.json.
    (
        "workspace/disabled.json",
        r#"{"jobs""#,
        r#"{"workers": ["127.9.9.2"], "jobs""#,
        &["disabled.json: worker 127.9.9.2 is disabled now"],
    ),
    (
        "workspace/disabled.json",
        r#""db": {}"#,
        r#""db": {}, "api": {"allocations": ["127.9.9.2"]}"#,
        &["disabled.json: job api on 127.9.9.2 is disabled now", "budget of api"],
    ),
    ("workspace/disabled.json", r#""db": {}"#, "", &["disabled.json: job db is no longer disabled"]),
    (
        "workspace/disabled.json",
        "{}",
        r#"{"allocations": ["127.9.9.3"]}"#,
        &[
            "disabled.json: job db is no longer disabled",
            "disabled.json: job db on 127.9.9.3 is disabled now",
        ],
    ),
    // Manifests, field by field.
    (
        "workspace/jobs/api/manifest.json",
        "1.0.0",
        "1.1.0",
        &["job api: version 1.0.0 -> 1.1.0", "workspace/jobs/api/manifest.json has changed"],
    ),
    ("workspace/jobs/api/manifest.json", r#"["web"]"#, r#"["db"]"#, &["job api: selectors -web, +db"]),
    (
        "workspace/jobs/api/manifest.json",
        "starts\":2",
        "starts\":3",
        &["job api: max_concurrent_starts 2 -> 3"],
    ),
    (
        "workspace/jobs/api/manifest.json",
        "upgrades\":2",
        "upgrades\":3",
        &["job api: max_concurrent_upgrades 2 -> 3"],
    ),
    (
        "workspace/jobs/api/manifest.json",
        "count\":1",
        "count\":2",
        &["job api: min_allocations_count 1 -> 2"],
    ),
    ("workspace/jobs/api/manifest.json", "*.conf", "*.cfg", &["job api: restart_globs -*.conf, +*.cfg"]),
    ("workspace/jobs/api/manifest.json", "2 mb", "3 mb", &["job api: resources.memory_max_mb 2 -> 3"]),
    ("workspace/jobs/api/manifest.json", "1 mhz", "2 mhz", &["job api: resources.cpu_min_mhz 1 -> 2"]),
    ("workspace/jobs/api/manifest.json", "8080", "8081", &["job api: resources.ports.http 8080 -> 8081"]),
    (
        "workspace/jobs/api/manifest.json",
        "\"/\"",
        "\"/up\"",
        &["job api: health_check.checks.1.path / -> /up"],
    ),
    (
        "workspace/jobs/api/manifest.json",
        r#""reload","restart_globs":["*.conf"]"#,
        "\"never\"",
        &["job api: restart_policy reload -> never", "job api: restart_globs -*.conf"],
    ),
    (
        "workspace/jobs/api/manifest.json",
        "[200]",
        "[204]",
        &["job api: health_check.checks.1.expect_status -200, +204"],
    ),
    (
        "workspace/jobs/api/manifest.json",
        "timeout_seconds\":5",
        "timeout_seconds\":6",
        &["job api: health_check.timeout_seconds 5 -> 6"],
    ),
    (
        "workspace/jobs/api/manifest.json",
        "attempts\":3",
        "attempts\":4",
        &["job api: health_check.wait_attempts 3 -> 4"],
    ),
    (
        "workspace/jobs/api/manifest.json",
        "interval_seconds\":2",
        "interval_seconds\":3",
        &["job api: health_check.wait_interval_seconds 2 -> 3"],
    ),
    (
        "workspace/jobs/api/manifest.json",
        "{",
        "{\"mine\": 1, ",
        &["workspace/jobs/api/manifest.json has changed"],
    ),
    // The rest of the workspace.
    ("workspace/jobs/api/Makefile", "true", "false", &["workspace/jobs/api/Makefile has changed"]),
    ("workspace/command.sh", "uptime", "w", &["workspace/command.sh has changed"]),
    ("workspace/bucket.conf", "port_max", "# port_max", &["workspace/bucket.conf has changed"]),
    // maand.conf.
    ("maand.conf", "ssh_port = 22", "ssh_port = 2222", &["maand.conf: ssh_port 22 -> 2222"]),
    ("maand.conf", "ssh_user = \"agent\"", "ssh_user = \"bob\"", &["maand.conf: ssh_user agent -> bob"]),
    ("maand.conf", "worker.key", "other.key", &["maand.conf: ssh_key worker.key -> other.key"]),
    ("maand.conf", "use_sudo = true", "use_sudo = false", &["maand.conf: use_sudo true -> false"]),
    (
        "maand.conf",
        "host_key_check = \"accept-new\"",
        "host_key_check = \"strict\"",
        &["maand.conf: host_key_check accept-new -> strict"],
    ),
    ("maand.conf", "ssh_port = 22", "", &["maand.conf: ssh_port is no longer set (was 22)"]),
    (
        "maand.conf",
        "ssh_port",
        "worker_root = \"/srv\"\nssh_port",
        &["maand.conf: worker_root is /srv now, and was not set"],
    ),
    ("maand.conf", "ssh_port", "connect_timeout = 5\nssh_port", &["maand.conf: connect_timeout is 5 now"]),
    ("maand.conf", "ssh_port", "max_handshakes = 5\nssh_port", &["maand.conf: max_handshakes is 5 now"]),
    ("maand.conf", "ssh_port", "ssh_config = false\nssh_port", &["maand.conf: ssh_config is false now"]),
    (
        "maand.conf",
        "ssh_port",
        "job_config_selector = \"x\"\nssh_port",
        &["maand.conf: job_config_selector is x now"],
    ),
    (
        "maand.conf",
        "ssh_port",
        "their_token = \"swordfish\"\nssh_port",
        &["maand.conf: their_token has changed"],
    ),
    // The plan and its script.
    ("monday.yaml", "name: monday", "name: monday # hi", &["monday.yaml has changed (first in line 2)"]),
    ("fix.sh", "fixed", "broken", &["monday.yaml's file fix.sh has changed (first in line 1)"]),
];

#[test]
fn every_edit_between_review_and_apply_is_named() {
    let local = Local::new();
    local.review("monday.reviewed");
    let mut conf = String::new();
    for (path, from, to, expected) in EDITS {
        let before = local.get(path);
        local.edit(path, from, to);
        let changes = local.stale();
        for piece in *expected {
            assert!(
                changes.iter().any(|change| change.contains(piece)),
                "{path}: {from} -> {to}: {changes:#?}"
            );
        }
        conf += &changes.concat();
        local.put(path, &before);
    }
    assert!(!conf.contains("swordfish"), "what other programs keep in maand.conf may be a secret");
}

#[test]
fn what_comes_and_goes_is_named() {
    let local = Local::new();
    local.review("monday.reviewed");
    let said = |expected: &[&str]| {
        let changes = local.stale();
        for piece in expected {
            assert!(changes.iter().any(|change| change == piece), "{piece}: {changes:#?}");
        }
    };
    let makefile = local.at("workspace/jobs/api/Makefile");
    fs::set_permissions(&makefile, fs::Permissions::from_mode(0o755)).unwrap();
    said(&["workspace/jobs/api/Makefile was a file, and is a file that may be executed"]);
    fs::set_permissions(&makefile, fs::Permissions::from_mode(0o644)).unwrap();
    let link = local.at("workspace/jobs/api/link");
    fs::remove_file(&link).unwrap();
    said(&["workspace/jobs/api/link was removed"]);
    symlink("manifest.json", &link).unwrap();
    said(&["workspace/jobs/api/link has changed"]);
    fs::remove_file(&link).unwrap();
    symlink("Makefile", &link).unwrap();
    local.put("workspace/jobs/new/manifest.json", "{}");
    said(&["job new was added", "workspace/jobs/new was added"]);
    fs::remove_dir_all(local.at("workspace/jobs/new")).unwrap();
    fs::rename(local.at("workspace/jobs/api"), local.at("api")).unwrap();
    said(&["job api was removed", "workspace/jobs/api was removed"]);
    fs::rename(local.at("api"), local.at("workspace/jobs/api")).unwrap();
    fs::rename(local.at("workspace/disabled.json"), local.at("disabled.json")).unwrap();
    said(&["disabled.json: job db is no longer disabled"]);
    fs::rename(local.at("disabled.json"), local.at("workspace/disabled.json")).unwrap();
    fs::remove_file(local.at("fix.sh")).unwrap();
    said(&["monday.yaml's file fix.sh is gone"]);
    local.put("fix.sh", "\0");
    let changes = local.stale();
    assert!(
        changes.iter().any(|change| change.contains("fix.sh cannot be used any more: it has a NUL")),
        "{changes:?}"
    );
    local.put("fix.sh", "echo fixed\n");
    // The same content built again: hashes are the same, and so nothing has changed.
    local.put("workspace/jobs/api/Makefile", "start stop restart:\n\tfalse\n");
    assert_eq!(local.said(&["build"]).code, Some(0));
    local.put("workspace/jobs/api/Makefile", "start stop restart:\n\ttrue\n");
    said(&["job api on 127.9.9.1, 127.9.9.2: built again, with other files"]);
    assert_eq!(local.said(&["build"]).code, Some(0));
    // Everything at once.
    local.edit("maand.conf", "ssh_port = 22", "ssh_port = 2222");
    local.edit("workspace/workers.json", r#""zone":"b""#, r#""zone":"a""#);
    local.edit("monday.yaml", "max_unavailable: 1", "max_unavailable: 2");
    local.put("fix.sh", "echo ho\n");
    said(&[
        "monday.yaml has changed (first in line 4)",
        "monday.yaml's file fix.sh has changed (first in line 1)",
        "maand.conf: ssh_port 22 -> 2222",
        "127.9.9.2: tag zone b -> a",
        "spread: domains -b",
    ]);
}

#[test]
fn another_bucket_and_another_engine_are_no_place_for_it() {
    let local = Local::new();
    local.review("monday.reviewed");
    let id = local.get("maand.conf");
    let id =
        id.lines().find_map(|line| line.strip_prefix("bucket_id = ")).unwrap().trim_matches('"').to_owned();
    local.edit("maand.conf", &id, "9b2f8a52-6f3c-4a43-9a38-1d8d8b1f0c11");
    let changes = local.stale();
    assert_eq!(changes[0], format!("for bucket {id}, this is 9b2f8a52-6f3c-4a43-9a38-1d8d8b1f0c11"));
    local.edit("maand.conf", "9b2f8a52-6f3c-4a43-9a38-1d8d8b1f0c11", &id);
    // A plan that does not fit any more.
    local.put("workspace/jobs/api/manifest.json", r#"{"selectors": ["nowhere"]}"#);
    fs::rename(local.at("workspace/jobs/api"), local.at("workspace/jobs/renamed")).unwrap();
    let changes = local.stale();
    assert!(
        changes.iter().any(|change| change.starts_with("the plan does not fit any more: ")),
        "{changes:#?}"
    );
}

#[test]
fn the_same_review_is_the_same_file() {
    let local = Local::new();
    local.review("monday.reviewed");
    local.review("again.reviewed");
    let text = local.get("monday.reviewed");
    assert_eq!(text, local.get("again.reviewed"));
    assert!(!text.contains("hunter2") && text.contains("MONDAY_TOKEN"), "secrets by name only");
    assert_eq!(fs::metadata(local.at("monday.reviewed")).unwrap().permissions().mode() & 0o777, 0o600);
    // It is known by its content.
    fs::rename(local.at("again.reviewed"), local.at("again.yaml")).unwrap();
    let hash = text.split('"').nth(7).unwrap();
    let shown = local.said(&["plan", "show", "again.yaml", "--output", "json"]);
    let shown = crate::document(&shown.stdout);
    assert_eq!(shown["reviewed"], json!({"file": "again.yaml", "sha256": hash}));
    assert_eq!(
        (&shown["plan"], &shown["waves"][1]["workers"][0]["host"]),
        (&"monday".into(), &"127.9.9.2".into())
    );
    let written =
        local.said(&["plan", "show", "monday.yaml", "--out", "monday.reviewed", "--output", "json"]);
    let written = crate::document(&written.stdout);
    assert_eq!(written["reviewed"], json!({"file": "monday.reviewed", "sha256": hash}));
    let valid = local.said(&["plan", "validate", "again.yaml", "monday.yaml", "--output", "json"]);
    let valid = crate::document(&valid.stdout);
    assert_eq!(
        (&valid["files"][0]["reviewed"], &valid["files"][1]["reviewed"]),
        (&hash.into(), &Value::Null)
    );
    let valid = local.said(&["plan", "validate", "again.yaml"]);
    assert!(valid.stdout.contains("a reviewed plan file, whole"), "{}", valid.stdout);
    // What was reviewed is shown, whatever there is now.
    local.put("workspace/workers.json", "[]");
    let still = local.said(&["plan", "show", "again.yaml", "--output", "json"]);
    assert_eq!(crate::document(&still.stdout)["waves"], shown["waves"]);
    for (command, arguments) in [
        ("apply", &["--set", "a=b"][..]),
        ("apply", &["--workers", "127.9.9.1"]),
        ("show", &["--set", "a=b"]),
        ("show", &["--workers", "3"]),
        ("show", &["--out", "x.reviewed"]),
    ] {
        let said = local.said(&[&["plan", command, "monday.reviewed"], arguments].concat());
        assert_eq!(said.code, Some(2), "{command} {arguments:?}: {}", said.stderr);
    }
    let said = local.said(&["plan", "simulate", "monday.reviewed"]);
    assert!(said.code == Some(3) && said.stderr.contains("monday.yaml"), "{}", said.stderr);
    let said = local.said(&["plan", "show", "monday.yaml", "--workers", "5", "--out", "made-up.reviewed"]);
    assert!(said.code == Some(2) && !local.at("made-up.reviewed").exists(), "{}", said.stderr);
}

#[test]
fn what_is_no_whole_reviewed_file_is_refused_in_clear_words() {
    let local = Local::new();
    local.review("monday.reviewed");
    let text = local.get("monday.reviewed");
    let refused = |name: &str, bytes: &[u8], expected: &str| {
        fs::write(local.at(name), bytes).unwrap();
        for command in ["apply", "show", "validate"] {
            let said = local.said(&["plan", command, name]);
            let all = said.stdout.clone() + &said.stderr;
            let words = all.split_whitespace().filter(|word| *word != "│").collect::<Vec<_>>().join(" ");
            assert_eq!(said.code, Some(3), "{command} {name}: {all}");
            assert!(words.contains(expected), "{command} {name}: {all}");
        }
    };
    refused("cut", &text.as_bytes()[..text.len() - 10], "its end is missing: it was cut");
    refused("altered", text.replace("127.9.9.2", "127.9.9.3").as_bytes(), "it was altered or cut");
    refused("dos", text.replace('\n', "\r\n").as_bytes(), "it was");
    refused("newer", text.replace("reviewed/v1", "reviewed/v2").as_bytes(), "a newer maand has written it");
    let shown = local.said(&["plan", "show", "monday.yaml", "--output", "json"]).stdout;
    refused("shown", shown.as_bytes(), "not a reviewed plan file");
    refused("nul", &[0; 5000], "plan");
    let large = fs::File::create(local.at("large")).unwrap();
    std::io::Write::write_all(&mut &large, &text.as_bytes()[..400]).unwrap();
    large.set_len(1 << 30).unwrap();
    let said = local.said(&["plan", "apply", "large"]);
    assert!(said.code == Some(3) && said.stderr.contains("MiB"), "{}", said.stderr);

    // Nothing but a reviewed file is replaced, and never half.
    local.put("mine.txt", "mine");
    symlink("mine.txt", local.at("link")).unwrap();
    for (out, why) in [
        ("mine.txt", "is no reviewed plan file"),
        ("monday.yaml", "is no reviewed plan file"),
        ("link", "a symbolic link"),
        ("data", "a folder"),
        ("none/monday.reviewed", "no such file"),
        ("workspace/monday.reviewed", "a file of the workspace"),
    ] {
        let said = local.said(&["plan", "show", "monday.yaml", "--out", out]);
        let words = said.stderr.split_whitespace().filter(|word| *word != "│").collect::<Vec<_>>().join(" ");
        assert!(said.code == Some(3) && words.to_lowercase().contains(why), "{out}: {words}");
    }
    assert_eq!(local.get("mine.txt"), "mine");
    let left: Vec<_> =
        fs::read_dir(local.dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().starts_with(".maand-")), "{left:?}");
}

#[test]
fn exactly_what_was_reviewed_is_carried_out_and_once() {
    let Some(bench) = RunBench::new(2) else { return };
    bench.job("web", "2.0.0", web_manifest());
    bench.write("workspace/jobs/web/Makefile", crate::run_bench::MAKEFILE);
    bench.write("fix.sh", "echo \"$level $MAAND_HOST\" >> /root/fixed\n");
    let plan = bench.own_plan(
        "version: 1\nname: own\nvars: {level: low}\ntargets: {labels: [app]}\nsteps:\n  - deploy\n  \
         - run: {script: fix.sh, idempotent: true}\n",
    );
    let file = bench.path("own.reviewed").display().to_string();
    let host = bench.host(0);
    let shown =
        bench.json(0, &["plan", "show", &plan, "--set", "level=high", "--workers", &host, "--out", &file]);
    let hash = shown["reviewed"]["sha256"].as_str().unwrap().to_owned();
    // The plan and its script are gone: the file has both.
    fs::remove_file(&plan).unwrap();
    fs::remove_file(bench.path("fix.sh")).unwrap();
    let (_, stderr) = bench.expect(0, &["plan", "apply", &file, "--yes"]);
    assert!(stderr.contains("nothing has changed since") && stderr.contains("is not here"), "{stderr}");
    assert_eq!(bench.fleet.sh_ok(0, "cat /root/fixed"), format!("high {host}"));
    assert_eq!(
        bench.fleet.sh_ok(1, "ls /root/fixed 2>&1 || true"),
        "ls: cannot access '/root/fixed': No such file or directory"
    );
    assert!(fs::read_to_string(bench.on_worker(0, "jobs/web/version")).unwrap().contains("2.0.0"));
    let (status, _) = bench.expect(0, &["plan", "status"]);
    assert!(status.contains(&hash), "{status}");
    // Approved once, carried out once: a job of CI that is started again must not do it again.
    let (_, stderr) = bench.expect(3, &["plan", "apply", &file, "--yes"]);
    assert!(stderr.contains("has carried out this") && stderr.contains("--again"), "{stderr}");
    // The run has deployed what was pending: that is another plan.
    let (_, stderr) = bench.expect(3, &["plan", "apply", &file, "--yes", "--again"]);
    assert!(stderr.contains("deployed version 1.0.0 -> 2.0.0"), "{stderr}");
}

#[test]
fn the_example_is_a_file_of_its_schema() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let example = fs::read_to_string(root.join("tests/data/reviewed-v1.json")).unwrap();
    crate::document(&example);
}

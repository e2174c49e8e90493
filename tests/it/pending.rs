//! What is pending in a workspace: said before it is carried out, by `plan show`, `plan apply` and `deploy`, from real
//! buckets.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::run_bench::{MAKEFILE, RunBench, web_manifest};

const PLAN: &str = "version: 1\nname: roll\nsteps:\n  - deploy\n";

fn maand(dir: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_maand"));
    command.args(args).current_dir(dir).stdin(Stdio::null()).output().unwrap()
}

#[track_caller]
fn ok(dir: &Path, args: &[&str]) -> String {
    let out = maand(dir, args);
    assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

#[track_caller]
fn pending(dir: &Path) -> Value {
    let shown = crate::document(&ok(dir, &["plan", "show", "roll.yaml", "--output", "json"]));
    shown["pending"].clone()
}

fn write(dir: &Path, path: &str, text: &str) {
    let path = dir.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// A bucket with the job `api` on two workers, which nobody can reach.
fn bucket() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    ok(dir, &["init"]);
    let workers = json!([{"host": "127.0.0.1", "labels": ["api"]}, {"host": "127.0.0.2", "labels": ["api"]}]);
    write(dir, "workspace/workers.json", &workers.to_string());
    write(dir, "workspace/jobs/api/manifest.json", r#"{"version": "1.0.0"}"#);
    write(dir, "workspace/jobs/api/Makefile", "start stop restart:\n\ttrue\n");
    write(dir, "roll.yaml", PLAN);
    folder
}

#[test]
fn a_plan_says_what_its_deploys_would_bring_before_the_first_build_and_after() {
    let folder = bucket();
    let dir = folder.path();
    // Even a bucket that was never built has an answer, and gets no catalog by it.
    let text = ok(dir, &["plan", "show", "roll.yaml"]);
    assert!(text.contains("\nPending: 1 change\n  api 1.0.0 is new on 2 workers\n"), "{text}");
    assert!(!text.contains("newer than the last build"), "{text}");
    assert!(!dir.join("data/catalog.db").exists());
    ok(dir, &["build"]);
    assert_eq!(pending(dir)["unbuilt"], json!({"jobs": [], "workers": []}));
    // The workspace is newer now: a run builds first, so that it would bring that.
    write(dir, "workspace/jobs/api/manifest.json", r#"{"version": "1.1.0"}"#);
    write(dir, "workspace/jobs/api/conf/a", "x");
    write(dir, "workspace/jobs/web/manifest.json", r#"{"selectors": ["api"]}"#);
    write(dir, "workspace/jobs/web/Makefile", "start stop restart:\n\ttrue\n");
    let text = ok(dir, &["plan", "show", "roll.yaml"]);
    let expected = "\nPending: 2 changes\n  api 1.1.0 is new on 2 workers\n  web 0.0.0 is new on 2 workers\n  \
                    newer than the last build (a run builds before it deploys):\n    \
                    api 1.0.0 -> 1.1.0: conf/a, 1 more (1 added)\n    \
                    web 0.0.0: it is new; joins 2 workers\n";
    assert!(text.contains(expected), "{text}");
    let found = pending(dir);
    let job = &found["unbuilt"]["jobs"][0];
    assert_eq!((&job["change"], &job["from"]["version"]), (&"changed".into(), &"1.0.0".into()));
    assert_eq!(job["files"]["changes"][0]["path"], "conf/a");
    assert_eq!((&found["built"], &found["unknown"]), (&true.into(), &json!([])));
    assert_eq!(found, pending(dir), "the same bucket has the same answer");
    // A plan that deploys nothing has nothing to say about it, nor has one for a made-up fleet.
    write(dir, "look.yaml", "version: 1\nname: look\nsteps:\n  - run: {command: 'true'}\n");
    let shown = crate::document(&ok(dir, &["plan", "show", "look.yaml", "--output", "json"]));
    assert_eq!(shown["pending"], Value::Null);
    assert!(!ok(dir, &["plan", "show", "roll.yaml", "--workers", "3"]).contains("Pending"));
}

#[test]
fn a_dry_run_says_that_the_workspace_is_newer_than_the_build() {
    let folder = bucket();
    let dir = folder.path();
    ok(dir, &["build"]);
    let dry_run = || {
        let out = maand(dir, &["deploy", "--dry-run", "--output", "json"]);
        assert_eq!(out.status.code(), Some(0));
        let stderr = String::from_utf8(out.stderr).unwrap();
        (crate::document(&String::from_utf8(out.stdout).unwrap()), stderr)
    };
    let (document, stderr) = dry_run();
    assert_eq!((&document["unbuilt"]["jobs"], stderr.as_str()), (&json!([]), ""));
    write(dir, "workspace/jobs/api/Makefile", "start stop restart:\n\tfalse\n");
    let (document, stderr) = dry_run();
    assert_eq!(document["unbuilt"]["jobs"][0]["files"]["changes"][0]["path"], "Makefile");
    for words in ["maand::deploy::not_built", "api 1.0.0: Makefile", "maand build"] {
        assert!(stderr.contains(words), "{words}: {stderr}");
    }
    // A workspace that no build would take.
    fs::remove_file(dir.join("workspace/jobs/api/Makefile")).unwrap();
    let (document, stderr) = dry_run();
    assert_eq!(document["unbuilt"], Value::Null);
    assert!(stderr.contains("would refuse it") && stderr.contains("Makefile"), "{stderr}");
    let shown = ok(dir, &["plan", "show", "roll.yaml"]);
    assert!(shown.contains("would refuse it"), "{shown}");
}

#[test]
fn what_is_pending_on_deployed_workers_is_grouped_and_said_before_a_run() {
    let Some(bench) = RunBench::new(3) else { return };
    let dir = bench.path("");
    let plan = bench.own_plan(PLAN);
    bench.write("roll.yaml", PLAN);
    assert_eq!(pending(&dir)["jobs"], json!([]));
    bench.job("web", "1.1.0", web_manifest());
    bench.write("workspace/jobs/web/Makefile", MAKEFILE);
    bench.write("workspace/jobs/web/notes", "pending work\n");
    let line = "web 1.0.0 -> 1.1.0 on 3 workers: notes, 2 more (1 added)";
    let (shown, _) = bench.expect(0, &["plan", "show", &plan]);
    assert!(shown.contains(&format!("\nPending: 1 change\n  {line}\n")), "{shown}");
    // Nobody can be asked: the summary is all that happens.
    let (_, stderr) = bench.expect(2, &["plan", "apply", &plan]);
    assert!(stderr.contains(line), "{stderr}");
    let (_, stderr) = bench.expect(0, &["deploy"]);
    assert!(stderr.contains("the workspace is newer") && !stderr.contains("nothing has changed"), "{stderr}");
    bench.expect(0, &["deploy", "--build"]);
    assert_eq!(pending(&dir)["jobs"], json!([]));
    // Gone on one worker, stopped on another.
    bench.write("workspace/disabled.json", &json!({"workers": [bench.host(0)]}).to_string());
    let (shown, _) = bench.expect(0, &["plan", "show", &plan]);
    let stopped = format!("web 1.1.0 is stopped on {} (disabled)", bench.host(0));
    assert!(shown.contains(&stopped), "{shown}");
    let (_, stderr) = bench.expect(0, &["deploy"]);
    assert!(stderr.contains(&format!("web 1.1.0: disabled on {}", bench.host(0))), "{stderr}");
}

#[test]
fn differences_of_files_are_shown_and_those_of_secrets_never() {
    use std::os::unix::fs::PermissionsExt;
    let Some(bench) = RunBench::not_deployed(1) else { return };
    let plan = bench.own_plan(
        "version: 1\nname: roll\nsteps:\n  - deploy\n  - run: {command: 'true', env: {TOKEN: {from_env: PENDING_TOKEN}}}\n",
    );
    let private = |path: &str, text: &str| {
        bench.write(path, text);
        fs::set_permissions(bench.path(path), fs::Permissions::from_mode(0o600)).unwrap();
    };
    bench.write("workspace/jobs/web/conf/app", "level=1\nkey=hunter2-hunter2\n");
    bench.write("workspace/jobs/web/conf/db_password", "first-secret\n");
    private("workspace/jobs/web/private", "second-secret\n");
    bench.write("workspace/jobs/web/binary", "a\0b");
    bench.build_and_deploy();
    bench.write("workspace/jobs/web/conf/app", "level=2\u{1b}[2J\nkey=hunter2-hunter2\n");
    bench.write("workspace/jobs/web/conf/db_password", "third-secret\n");
    private("workspace/jobs/web/private", "fourth-secret\n");
    bench.write("workspace/jobs/web/binary", "a\0c");
    bench.write("workspace/jobs/web/new", "one\n");
    let show = |extra: &[&str]| {
        let mut command = bench.command(&["plan", "show", &plan, "--diff"]);
        let out = command.args(extra).env("PENDING_TOKEN", "hunter2-hunter2").output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap()
    };
    let check = || {
        let text = show(&[]);
        let app = "  web/conf/app: changed\n    --- web/conf/app (1.0.0)\n    +++ web/conf/app (1.0.0)\n    \
                   @@ -1,2 +1,2 @@\n    -level=1\n    +level=2\\x1b[2J\n     key=****";
        for words in [
            app,
            "  web/conf/db_password: changed, not shown: a secret",
            "  web/private: changed, not shown: a secret",
            "  web/binary: changed, not shown: not text",
            "  web/new: added\n    --- /dev/null\n",
        ] {
            assert!(text.contains(words), "{words}: {text}");
        }
        let json = show(&["--output", "json"]);
        for secret in ["first", "second", "third", "fourth", "hunter2"] {
            assert!(
                !text.contains(&format!("{secret}-")) && !json.contains(&format!("{secret}-")),
                "{secret}"
            );
        }
        let document = crate::document(&json);
        assert_eq!(document["diffs"].as_array().unwrap().len(), 5);
    };
    check();
    // A build takes up what is new, and what is deployed is still known.
    bench.expect(0, &["build"]);
    check();
    let catalog = fs::read(bench.path("data/catalog.db")).unwrap();
    let wal = fs::read(bench.path("data/catalog.db-wal")).unwrap_or_default();
    for secret in [&b"first-secret"[..], b"second-secret", b"fourth-secret"] {
        assert!(![&catalog, &wal].iter().any(|file| file.windows(secret.len()).any(|piece| piece == secret)));
    }
}

#[test]
fn a_changed_workspace_is_named_at_resume_and_in_the_middle_of_a_run() {
    let Some(bench) = RunBench::new(2) else { return };
    let plan = bench.own_plan(
        "version: 1\nname: p\nrollout: {concurrency: 1, waves: [1, rest]}\nbefore:\n  - approve: {}\nsteps:\n  - deploy\n",
    );
    bench.expect(5, &["plan", "apply", &plan, "--yes"]);
    bench.write("workspace/jobs/web/notes", "x");
    bench.write("workspace/jobs/web/Makefile", &format!("{MAKEFILE}\n"));
    bench.job("other", "1.0.0", json!({}));
    bench.write("workspace/disabled.json", "{}");
    let (_, stderr) = bench.expect(3, &["plan", "resume"]);
    for words in
        ["maand::run::workspace_changed", "other: the job is new", "web: Makefile changed, notes added"]
    {
        assert!(stderr.contains(words), "{words}: {stderr}");
    }
    // Put back, it is as it was.
    fs::remove_dir_all(bench.path("workspace/jobs/other")).unwrap();
    fs::remove_file(bench.path("workspace/jobs/web/notes")).unwrap();
    bench.write("workspace/jobs/web/Makefile", MAKEFILE);
    bench.expect(0, &["plan", "approve"]);
    bench.expect(0, &["plan", "resume"]);
}

#[test]
fn the_jobs_are_listed_with_the_ports_that_they_got() {
    let folder = bucket();
    let dir = folder.path();
    let manifest = json!({"resources": {"ports": {"http": 8080, "grpc": {}}}});
    write(dir, "workspace/jobs/api/manifest.json", &manifest.to_string());
    let ports = || {
        let jobs = crate::document(&ok(dir, &["cat", "jobs", "--output", "json"]));
        (ok(dir, &["cat", "jobs"]), jobs["jobs"][0]["ports"].clone())
    };
    let (text, json) = ports();
    assert!(text.contains("grpc=?,http=8080"), "{text}");
    assert_eq!(json, json!({"grpc": null, "http": 8080}));
    ok(dir, &["build"]);
    let (text, json) = ports();
    let grpc = json["grpc"].as_u64().unwrap();
    assert!(text.contains(&format!("grpc={grpc},http=8080")), "{text}");
    // Before the next build, a new one has no number yet.
    let manifest = json!({"resources": {"ports": {"http": 8081, "grpc": {}, "admin": {}}}});
    write(dir, "workspace/jobs/api/manifest.json", &manifest.to_string());
    assert_eq!(ports().1, json!({"admin": null, "grpc": grpc, "http": 8081}));
}

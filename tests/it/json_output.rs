//! Every command with `--output json`: what is on standard output is JSON, whether it went well, was refused or was
//! typed wrongly.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

fn maand(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_maand"));
    command.args(args).args(["--output", "json"]).current_dir(folder).stdin(Stdio::null());
    command.output().unwrap()
}

/// The documents on standard output: one, or one in each line.
#[track_caller]
fn documents(output: &Output, what: &str) -> Vec<Value> {
    let text = std::str::from_utf8(&output.stdout).unwrap();
    if let Ok(one) = serde_json::from_str(text) {
        return vec![one];
    }
    let line = |line: &str| serde_json::from_str(line);
    let lines: Result<Vec<Value>, _> = text.lines().map(line).collect();
    let lines = lines.unwrap_or_else(|error| panic!("{what}: {error}: {text}"));
    assert!(!lines.is_empty(), "{what}: nothing, {}", String::from_utf8_lossy(&output.stderr));
    lines
}

/// An error that fits its schema, with this exit code.
#[track_caller]
fn expect_error(output: &Output, code: i32, what: &str) -> Value {
    let error = documents(output, what).pop().unwrap();
    assert_eq!(output.status.code(), Some(code), "{what}: {error:#}");
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/error.v1.schema.json");
    let schema: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    jsonschema::validator_for(&schema)
        .unwrap()
        .validate(&error)
        .unwrap_or_else(|no| panic!("{what}: {no}: {error:#}"));
    assert_eq!((&error["type"], &error["exit_code"]), (&"error".into(), &code.into()), "{what}");
    assert!(output.stderr.is_empty(), "{what}: {}", String::from_utf8_lossy(&output.stderr));
    error
}

/// Every command that can be typed, by what `--help` lists.
fn all_commands() -> Vec<Vec<String>> {
    fn below(path: &[String], found: &mut Vec<Vec<String>>) {
        let output = Command::new(env!("CARGO_BIN_EXE_maand")).args(path).arg("--help").output().unwrap();
        let help = String::from_utf8(output.stdout).unwrap();
        let listed = help.split("Commands:\n").nth(1).unwrap_or_default();
        let lines = listed.lines().take_while(|line| !line.is_empty());
        let names = lines.filter_map(|line| line.strip_prefix("  ")).filter(|line| !line.starts_with(' '));
        let names: Vec<_> =
            names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help").collect();
        if names.is_empty() {
            found.push(path.to_vec());
        }
        for name in names {
            below(&[path, &[name.to_owned()]].concat(), found);
        }
    }
    let mut found = Vec::new();
    below(&[], &mut found);
    assert!(found.len() > 30, "{found:?}");
    found
}

/// What a command cannot do without, and what makes it end.
fn needs(path: &str) -> &'static [&'static str] {
    match path {
        "job run" => &["web", "--target", "x"],
        "job start" | "job stop" | "job restart" | "job status" => &["web"],
        "run_command" => &["true"],
        "plan new" | "plan verify" | "import ansible" => &["x"],
        "plan export" | "plan report" => &["--out", "x"],
        "plan validate" | "plan show" | "plan simulate" | "plan check" | "plan apply" | "plan rehearse" => {
            &["no.yaml"]
        }
        "plan diff" => &["no.yaml", "neither.yaml"],
        "plan explain" | "plan history" | "plan retry" | "plan skip" | "plan release" => &["--worker", "h1"],
        "sandbox up" => &["--fault", "nonsense"],
        "ledger copy" => &["--from", "file", "--to", "postgres://db/x"],
        "completions" => &["bash"],
        "man" => &["pages"],
        _ => &[],
    }
}

#[test]
fn a_wrong_command_line_is_json_too() {
    let folder = tempfile::tempdir().unwrap();
    let mut paths = all_commands();
    paths.push(Vec::new());
    for path in paths {
        let words: Vec<&str> = path.iter().map(String::as_str).collect();
        let args = [&words[..], &["--no-such-flag"]].concat();
        let error = expect_error(&maand(folder.path(), &args), 2, &args.join(" "));
        let problem = &error["problems"][0];
        assert_eq!(problem["code"], "maand::usage");
        assert!(problem["message"].as_str().unwrap().contains("--no-such-flag"), "{problem}");
    }
    expect_error(&maand(folder.path(), &[]), 2, "no command");
    expect_error(&maand(folder.path(), &["plan"]), 2, "no verb");
}

#[test]
fn what_is_refused_is_json_too() {
    for path in all_commands() {
        let folder = tempfile::tempdir().unwrap();
        let words: Vec<&str> = path.iter().map(String::as_str).collect();
        let name = words.join(" ");
        let output = maand(folder.path(), &[&words[..], needs(&name)].concat());
        match name.as_str() {
            "init" | "plan new" | "plan schema" | "completions" | "man" | "self version" => {
                documents(&output, &name);
                assert_eq!(output.status.code(), Some(0), "{name}");
            }
            // Its document says what is wrong with each file.
            "plan validate" => {
                assert_eq!(documents(&output, &name)[0]["files"][0]["ok"], false);
            }
            _ => {
                let error = expect_error(&output, 3, &name);
                assert!(error["problems"][0]["help"].is_string(), "{error:#}");
            }
        }
    }
}

#[test]
fn a_wrong_environment_is_said_with_its_variable() {
    let folder = tempfile::tempdir().unwrap();
    let run = |name: &str, value: &str, args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_maand"));
        command.args(args).env(name, value).current_dir(folder.path()).output().unwrap()
    };
    for (name, value) in [
        ("MAAND_OUTPUT", "xml"),
        ("MAAND_COLOR", "green"),
        ("MAAND_ENGINE", "steam"),
        ("MAAND_QUIET", "perhaps"),
        ("MAAND_ANNOTATIONS", "gitlab"),
    ] {
        let output = run(name, value, &["plan", "schema"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{name}: {said}");
        assert!(said.contains(name) && said.contains(value), "{said}");
        assert_eq!(run(name, "", &["plan", "schema"]).status.code(), Some(0), "{name} set to nothing");
    }
    // A flag wins, and the variable is not looked at.
    assert_eq!(run("MAAND_OUTPUT", "xml", &["plan", "schema", "--output", "text"]).status.code(), Some(0));
    let output = run("MAAND_OUTPUT", "json", &["cat", "workers"]);
    expect_error(&output, 3, "by the environment");
    let output = run("MAAND_BUCKET", "/nowhere", &["cat", "workers"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("/nowhere"));
}

#[test]
fn diagnostics_are_annotations() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a,b.yaml"), "version: 1\nname: x\nsteps:\n  - reobot\n").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_maand"));
    command
        .args(["plan", "validate", "a,b.yaml", "--annotations", "github", "-q"])
        .current_dir(folder.path());
    let output = command.env_remove("GITHUB_WORKSPACE").output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let annotations: Vec<&str> = said.lines().filter(|line| line.starts_with("::")).collect();
    let [annotation] = annotations[..] else { panic!("{said}") };
    assert!(
        annotation.starts_with("::error file=a%2Cb.yaml,line=4,col=5,title=maand%3A%3Aplan%3A%3A"),
        "{annotation}"
    );
    assert!(annotation.contains("reobot") && annotation.contains("%0A"), "{annotation}");
}

/// A throwaway fleet of another process.
struct Sandbox {
    child: Child,
    bucket: PathBuf,
    host: String,
}

impl Sandbox {
    fn start() -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_maand"));
        command.args(["sandbox", "up", "--output", "json", "--workers", "1", "--speed", "20"]);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let up: Value = serde_json::from_str(&line).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        Self { child, bucket: text(&up["bucket"]).into(), host: text(&up["workers"][0]["host"]) }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.child.wait();
    }
}

#[test]
fn what_goes_well_is_json() {
    let sandbox = Sandbox::start();
    let (bucket, host) = (sandbox.bucket.as_path(), sandbox.host.as_str());
    std::fs::write(
        bucket.join("quick.yaml"),
        "version: 1\nname: quick\nsteps:\n  - run: { command: 'true' }\n",
    )
    .unwrap();
    let gate = "version: 1\nname: gate\nsteps:\n  - approve\n  - run: { command: 'true' }\n";
    std::fs::write(bucket.join("gate.yaml"), gate).unwrap();
    let jobs = documents(&maand(bucket, &["cat", "jobs"]), "cat jobs");
    let job = jobs[0]["jobs"][0]["name"].as_str().unwrap().to_owned();
    let job = job.as_str();
    let mut done = std::collections::BTreeSet::new();
    let mut run = |args: &[&str], code: i32| -> Vec<Value> {
        let output = maand(bucket, args);
        let name = args.join(" ");
        let documents = documents(&output, &name);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{name}: {documents:#?} {said}");
        done.extend(all_names(args));
        documents
    };
    let new = bucket.join("new");
    run(&["init", new.to_str().unwrap()], 0);
    run(&["build"], 0);
    run(&["deploy"], 0);
    for verb in ["start", "restart", "status", "stop", "start"] {
        run(&["job", verb, job], 0);
    }
    run(&["job", "run", job, "--target", "status"], 0);
    run(&["health_check", "--workers", "label:worker"], 0);
    run(&["doctor"], 0);
    let inventory = new.with_extension("json");
    std::fs::write(&inventory, r#"{"_meta": {"hostvars": {"10.9.9.9": {}}}}"#).unwrap();
    run(&["import", "ansible", inventory.to_str().unwrap(), "--check"], 1);
    run(&["info"], 0);
    for what in ["workers", "jobs", "allocations", "deployments"] {
        run(&["cat", what], 0);
    }
    run(&["run_command", "true", "--worker", host], 0);
    run(&["plan", "new", "reboot"], 0);
    run(&["plan", "validate", "reboot.yaml", "quick.yaml"], 0);
    run(&["plan", "show", "reboot.yaml", "--worker", "*"], 0);
    run(&["plan", "simulate", "quick.yaml", "--runs", "1"], 0);
    run(&["plan", "check", "quick.yaml"], 0);
    run(&["plan", "diff", "quick.yaml", "gate.yaml"], 0);
    run(&["plan", "schema"], 0);
    run(&["plan", "rehearse", "quick.yaml", "--workers", "1", "--speed", "20"], 0);
    let events = run(&["plan", "apply", "quick.yaml", "--yes"], 0);
    assert_eq!(
        (&events[0]["type"], &events[0]["plan"]),
        (&"run_started".into(), &"quick".into()),
        "{events:#?}"
    );
    assert_eq!(events.last().unwrap()["type"], "run_view");
    for verb in ["status", "list", "logs"] {
        run(&["plan", verb], 0);
    }
    run(&["notify", "resend"], 0);
    run(&["ledger", "check"], 0);
    run(&["ledger", "migrate"], 0);
    run(&["plan", "history", "--worker", host], 0);
    run(&["plan", "stats"], 0);
    run(&["plan", "prune", "--dry-run"], 0);
    run(&["plan", "status", "--timeline"], 0);
    run(&["plan", "report", "--out", new.with_extension("html").to_str().unwrap()], 0);
    run(&["plan", "metrics", "--out", new.with_extension("prom").to_str().unwrap()], 0);
    let bundle = new.with_extension("bundle");
    run(&["plan", "export", "--out", bundle.to_str().unwrap()], 0);
    run(&["plan", "verify", bundle.to_str().unwrap()], 0);
    run(&["plan", "explain", "--worker", host], 0);
    run(&["plan", "release", "--worker", "label:worker"], 0);
    run(&["plan", "resume"], 0);
    // Nobody is there to open the gate, so the process ends.
    run(&["plan", "apply", "gate.yaml", "--yes"], 5);
    run(&["plan", "pause"], 0);
    run(&["plan", "approve"], 0);
    run(&["plan", "resume"], 0);
    run(&["plan", "apply", "gate.yaml", "--yes"], 5);
    run(&["plan", "abort"], 0);
    run(&["completions", "bash"], 0);
    run(&["self", "version"], 0);
    run(&["man", bucket.join("pages").to_str().unwrap()], 0);
    // What ends in a refusal: nobody has failed, and the run has ended.
    for verb in ["retry", "skip"] {
        let refused = maand(bucket, &["plan", verb, "--worker", host]);
        let code = refused.status.code().unwrap();
        assert_ne!(code, 0, "{verb}");
        expect_error(&refused, code, verb);
    }
    let all: Vec<String> = all_commands().iter().map(|path| path.join(" ")).collect();
    // A sandbox executes no command of its own, tells nobody, and has nothing of the user's.
    expect_error(&maand(bucket, &["notify", "test"]), 3, "notify test");
    for from in ["command", "ssh-config"] {
        expect_error(&maand(bucket, &["import", from]), 3, from);
    }
    // Into itself.
    expect_error(&maand(bucket, &["ledger", "copy", "--from", "file", "--to", "file"]), 2, "ledger copy");
    let without = [
        "ledger copy",
        "import command",
        "import ssh-config",
        "notify test",
        "plan retry",
        "plan skip",
        "sandbox up",
        "serve",
    ];
    let missing: Vec<_> =
        all.iter().filter(|name| !done.contains(*name) && !without.contains(&name.as_str())).collect();
    assert!(missing.is_empty(), "not tried: {missing:?}");
}

#[test]
fn quiet_says_nothing_when_all_went_well_and_verbose_says_with_what() {
    let sandbox = Sandbox::start();
    let (bucket, host) = (sandbox.bucket.as_path(), sandbox.host.as_str());
    let quick = "version: 1\nname: quick\nsteps:\n  - run: { command: 'true' }\n";
    std::fs::write(bucket.join("quick.yaml"), quick).unwrap();
    let gate = "version: 1\nname: gate\nsteps:\n  - approve\n";
    std::fs::write(bucket.join("gate.yaml"), gate).unwrap();
    let run = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_maand"));
        let output = command.args(args).current_dir(bucket).stdin(Stdio::null()).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
    };
    let nothing = |code: i32| (code, String::new(), String::new());
    let pages = bucket.join("pages");
    for args in [
        &["build"][..],
        &["deploy"],
        &["deploy", "--force"],
        &["job", "restart", "api"],
        &["health_check"],
        &["plan", "new", "reboot"],
        &["plan", "validate", "reboot.yaml"],
        &["plan", "rehearse", "quick.yaml", "--workers", "1", "--speed", "20"],
        &["plan", "apply", "quick.yaml", "--yes"],
        &["plan", "release", "--worker", host],
        &["plan", "resume"],
        &["man", pages.to_str().unwrap()],
    ] {
        assert_eq!(run(&[args, &["-q"]].concat()), nothing(0), "{args:?}");
    }
    // What is asked for is said, and so is what is left to do.
    assert!(run(&["cat", "workers", "-q"]).1.contains(host));
    let (code, stdout, _) = run(&["plan", "apply", "gate.yaml", "--yes", "-q"]);
    assert!(code == 5 && stdout.contains("maand plan approve"), "{code} {stdout}");
    assert_eq!(run(&["plan", "approve", "-q"]), nothing(0));
    assert_eq!(run(&["plan", "resume", "-q"]), nothing(0));
    let (_, _, said) = run(&["info", "-v"]);
    for words in ["maand: bucket", "engine builtin", "maand: exit code 0 after"] {
        assert!(said.contains(words), "{said}");
    }
}

/// The command that is typed, as `all_commands` names it.
fn all_names(args: &[&str]) -> Vec<String> {
    vec![args[0].to_owned(), args[..2.min(args.len())].join(" ")]
}

//! `maand plan list`, `status` and `logs` on stored runs, with the real binary.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use maand::engine::Fact;
use maand::journal::{Holder, Journal, Mode, RunLock};
use serde_json::Value;

use super::played::{boot_id, bucket, data, graph, header_of, play, stored};
use super::support::header;
use crate::wait_until;

fn maand(bucket: &Path, args: &[&str]) -> Output {
    let binary = env!("CARGO_BIN_EXE_maand");
    Command::new(binary).arg("-C").arg(bucket).args(args).stdin(Stdio::null()).output().unwrap()
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn json(output: &Output) -> Value {
    crate::document(&text(output))
}

fn valid(schema: &str, value: &Value) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas").join(schema);
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    if let Err(error) = jsonschema::validate(&schema, value) {
        panic!("{error}\n{value:#}");
    }
}

#[test]
fn a_bucket_without_a_run_has_an_empty_list_and_no_status() {
    let dir = bucket();
    assert!(text(&maand(dir.path(), &["plan", "list"])).contains("no run yet"));
    assert_eq!(json(&maand(dir.path(), &["plan", "list", "--output", "json"]))["runs"], Value::Array(vec![]));
    let status = maand(dir.path(), &["plan", "status"]);
    assert_eq!(status.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&status.stderr).contains("maand plan apply"));
    assert!(!data(dir.path()).exists(), "looking made something");
}

#[test]
fn a_halted_run_is_shown_with_everything_that_an_operator_needs() {
    let (dir, run) = stored(&["w1", "w2", "w3"]);
    let list = text(&maand(dir.path(), &["plan", "list"]));
    assert!(list.contains(run.as_str()) && list.contains("halted") && list.contains("1/3"), "{list}");

    let status = text(&maand(dir.path(), &["plan", "status"]));
    for said in [
        "has halted",
        "w1  succeeded",
        &format!("boot {} -> {}", boot_id(0, 0), boot_id(0, 1)),
        "w2 at step wait_for_ssh: w2 has not come back within 15m [timed_out]",
        "| ssh: connect to host w2: Connection timed out",
        "Left disabled by this run",
        "\n  maand plan resume --retry\n",
        "\n  maand plan resume --skip\n",
    ] {
        assert!(status.contains(said), "`{said}` is missing in\n{status}");
    }

    let view = json(&maand(dir.path(), &["plan", "status", "--output", "json", &run.as_str()[..13]]));
    valid("run-view.v1.schema.json", &view);
    assert_eq!(view["state"], "halted");
    assert_eq!(view["resumable"], true);
    assert_eq!(view["left_disabled"], serde_json::json!(["w2"]));
    assert_eq!(view["workers"][0]["boot_id_after"], boot_id(0, 1));
    assert_eq!(view["workers"][1]["error"]["kind"], "timed_out");
    assert_eq!(view["workers"][2]["state"], "queued");

    for worker in view["workers"].as_array().unwrap() {
        let host = worker["host"].as_str().unwrap();
        let explained = json(&maand(dir.path(), &["plan", "explain", "--worker", host, "--output", "json"]));
        valid("explanation.v2.schema.json", &explained);
        assert_eq!(explained["schema"], "maand/explanation/v2");
        assert_eq!(explained["state"], worker["state"], "explain and status use the same words");
    }
}

#[test]
fn a_run_without_a_controller_is_interrupted() {
    let dir = bucket();
    let graph = graph(&["w1"]);
    let appends = play(&graph);
    let mut journal = Journal::open(&data(dir.path()), Mode::ReadWrite).unwrap();
    let (run, _) = journal.create_run(&header_of(&graph), &appends[0]).unwrap();
    let newest = appends[0].len() as u64;
    let mut writer = journal.writer(&run, 1, newest).unwrap();
    writer.append(header(0).started_at, &appends[1], None).unwrap();
    let state = |args: &[&str]| json(&maand(dir.path(), args));
    assert_eq!(state(&["plan", "status", "--output", "json"])["state"], "interrupted");
    assert_eq!(state(&["plan", "list", "--output", "json"])["runs"][0]["state"], "interrupted");
    let record = Holder::this_process(Some(run.to_string()), header(0).started_at);
    let lock = RunLock::acquire(&data(dir.path()), &record).unwrap();
    assert_eq!(state(&["plan", "status", "--output", "json"])["state"], "running");
    assert_eq!(state(&["plan", "list", "--output", "json"])["runs"][0]["state"], "running");
    drop(lock);
}

#[test]
fn logs_show_what_was_written_and_can_be_narrowed() {
    let (dir, run) = stored(&["w1", "w2", "w3"]);
    let all = text(&maand(dir.path(), &["plan", "logs", run.as_str()]));
    assert!(all.contains("w1  disable") && all.contains("    | ssh: connect to host w2: refused"), "{all}");
    let narrow = ["plan", "logs", run.as_str(), "--worker", "w2", "--step", "wait_for_ssh"];
    let lines = text(&maand(dir.path(), &[&narrow[..], &["--output", "json"]].concat()));
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(!lines.is_empty());
    for line in &lines {
        assert_eq!((line["host"].as_str(), line["step"].as_str()), (Some("w2"), Some("wait_for_ssh")));
        assert_eq!(line["ok"], false);
        assert_eq!(line["output"][0]["text"], "ssh: connect to host w2: refused\n");
    }
    for (args, said) in [(["--worker", "w22"], "did you mean `w2`"), (["--step", "rebot"], "`reboot`")] {
        let wrong = maand(dir.path(), &[&["plan", "logs", run.as_str()], &args[..]].concat());
        assert_eq!(wrong.status.code(), Some(3));
        assert!(String::from_utf8_lossy(&wrong.stderr).contains(said));
    }
    let unknown = maand(dir.path(), &["plan", "logs", "20010101"]);
    assert_eq!(unknown.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains(run.as_str()), "recent runs are listed");
}

#[test]
fn a_watcher_sees_each_event_and_ends_with_the_run() {
    let dir = bucket();
    let graph = graph(&["w1", "w3"]);
    let mut appends = play(&graph).into_iter();
    let mut journal = Journal::open(&data(dir.path()), Mode::ReadWrite).unwrap();
    let first = appends.next().unwrap();
    let (run, _) = journal.create_run(&header_of(&graph), &first).unwrap();
    let mut writer = journal.writer(&run, 1, first.len() as u64).unwrap();
    let record = Holder::this_process(Some(run.to_string()), header(0).started_at);
    let lock = RunLock::acquire(&data(dir.path()), &record).unwrap();
    let mut watcher = Command::new(env!("CARGO_BIN_EXE_maand"))
        .arg("-C")
        .arg(dir.path())
        .args(["plan", "status", "--watch", "--output", "json"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let out = BufReader::new(watcher.stdout.take().unwrap());
    let (sender, lines) = std::sync::mpsc::channel();
    let reading = std::thread::spawn(move || {
        for line in out.lines() {
            sender.send(serde_json::from_str::<Value>(&line.unwrap()).unwrap()).unwrap();
        }
    });
    // The watcher shows what comes after it began to look: at its first line it certainly does.
    let mut seen = Vec::new();
    let mut at = header(0).started_at;
    let resumed = [Fact::Resumed { by: "me".into(), fresh_process: false, bundle: None }];
    wait_until("the watcher sees something", || {
        at += 1000;
        writer.append(at, &resumed, None).unwrap();
        seen.extend(lines.try_recv());
        !seen.is_empty()
    });
    for facts in appends {
        at += 1000;
        writer.append(at, &facts, None).unwrap();
    }
    drop(lock);
    seen.extend(lines.iter());
    reading.join().unwrap();
    assert!(watcher.wait().unwrap().success());
    let (view, events) = seen.split_last().unwrap();
    valid("run-view.v1.schema.json", view);
    assert_eq!(view["state"], "succeeded");
    for event in events {
        valid("event.v1.schema.json", event);
    }
    assert!(events.iter().any(|event| event["type"] == "worker_succeeded" && event["host"] == "w3"));
    assert_eq!(events.last().unwrap()["type"], "run_finished");
}

#[test]
fn another_graph_is_refused() {
    let dir = bucket();
    let graph = graph(&["w1"]);
    let mut header = header_of(&graph);
    header.graph_hash = "0".repeat(64);
    header.program = "0.0.9".into();
    let mut journal = Journal::open(&data(dir.path()), Mode::ReadWrite).unwrap();
    journal.create_run(&header, &play(&graph)[0]).unwrap();
    let status = maand(dir.path(), &["plan", "status"]);
    assert_eq!(status.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&status.stderr).contains("continue with maand 0.0.9"));
}

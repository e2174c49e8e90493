//! `maand plan history`, `list`, `stats` and `prune` on stored runs, with the real binary.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use maand::engine::{AttemptId, ErrorKind, Fact, Intent, Outcome, RunEnd, StepError};
use maand::graph::{Lane, StepIx, TargetIx};
use maand::journal::{FILE, Holder, Journal, Mode, RunHeader, RunId, RunLock};
use rusqlite::Connection;
use serde_json::Value;

use super::played::{boot_id, bucket, data, graph, header_of, play, stored};
use super::support::{header, some_facts, started};
use crate::completion::offered_once;

const DAY: i64 = 86_400_000;
/// When the stored runs were started: 2026-11-23T00:15:00Z.
const START: i64 = 1_795_392_900_000;

fn maand(bucket: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_maand"));
    command.arg("-C").arg(bucket).args(args).env("TZ", "America/New_York").stdin(Stdio::null());
    command.output().unwrap()
}

#[track_caller]
fn text(bucket: &Path, args: &[&str]) -> String {
    let output = maand(bucket, args);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The document that a command prints, which fits its schema.
#[track_caller]
fn json(bucket: &Path, args: &[&str], schema: &str) -> Value {
    let document = crate::document(&text(bucket, &[args, &["--output", "json"]].concat()));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("schemas/{schema}.schema.json"));
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    if let Err(error) = jsonschema::validate(&schema, &document) {
        panic!("{error}\n{document:#}");
    }
    document
}

#[track_caller]
fn refused(bucket: &Path, args: &[&str], code: i32) -> String {
    let output = maand(bucket, args);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
    said
}

/// A finished run of this header, a day after the other.
fn finished(journal: &mut Journal, header: RunHeader, age_days: i64) -> RunId {
    let at = START - age_days * DAY;
    let (run, _) = journal.create_run(&RunHeader { started_at: at, ..header }, &[started()]).unwrap();
    let mut writer = journal.writer(&run, 1, 1).unwrap();
    writer.append(at + 60_000, &some_facts(), None).unwrap();
    run
}

#[test]
fn the_history_of_a_worker_is_every_step_of_every_run() {
    let (dir, run) = stored(&["w1", "w2", "w3"]);
    let all = json(dir.path(), &["plan", "history", "--worker", "w1,w2"], "plan-history.v1");
    assert_eq!(all["workers"], serde_json::json!(["w1", "w2"]));
    let [told] = &all["runs"].as_array().unwrap()[..] else { panic!("{all:#}") };
    assert_eq!((told["run"].as_str(), told["by"].as_str()), (Some(run.as_str()), Some("me@here")));
    // As `plan status` and `plan logs` have it, which replay the whole run.
    let view = crate::document(&text(dir.path(), &["plan", "status", "--output", "json"]));
    for (mine, theirs) in told["workers"].as_array().unwrap().iter().zip(view["workers"].as_array().unwrap())
    {
        for field in
            ["host", "state", "boot_id_before", "boot_id_after", "started_at", "finished_at", "error"]
        {
            assert_eq!(mine[field], theirs[field], "{field} of {}", mine["host"]);
        }
        let host = mine["host"].as_str().unwrap();
        let logs = text(dir.path(), &["plan", "logs", "--worker", host, "--output", "json"]);
        let logs: Vec<Value> = logs.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let attempts: Vec<&Value> = mine["steps"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|step| step["attempts"].as_array().unwrap())
            .collect();
        assert_eq!(attempts.len(), logs.len());
        for (attempt, log) in attempts.iter().zip(&logs) {
            for field in ["attempt_id", "purpose", "started_at", "finished_at", "result"] {
                assert_eq!(attempt[field], log[field], "{field}: {log:#}");
            }
        }
    }
    let steps = |worker: usize| -> Vec<String> {
        let steps = told["workers"][worker]["steps"].as_array().unwrap().iter();
        steps
            .map(|step| format!("{} {}", step["step"].as_str().unwrap(), step["end"].as_str().unwrap()))
            .collect()
    };
    assert_eq!(steps(1).last().unwrap(), "wait_for_ssh failed");
    assert!(steps(0).contains(&"reboot done".to_owned()), "{:?}", steps(0));

    let shown = text(dir.path(), &["plan", "history", "--worker", "w2"]);
    for said in [
        run.as_str(),
        "rolling-reboot  halted",
        // In the zone of this machine.
        "2026-11-22 19:15 (",
        "by me@here\n  w2  failed in ",
        "wait_for_ssh",
        "FAILED",
        "w2 has not come back within 15m [timed_out]\n",
        "      | ssh: connect to host w2: Connection timed out\n",
    ] {
        assert!(shown.contains(said), "`{said}` is missing in\n{shown}");
    }
    assert!(!shown.contains("w1"), "{shown}");
    // Whole, as their beginnings are alike.
    let boots = format!("boot {} -> {}", boot_id(0, 0), boot_id(0, 1));
    assert!(text(dir.path(), &["plan", "history", "--worker", "w1"]).contains(&boots));
    // Only what failed.
    let failed = json(dir.path(), &["plan", "history", "--worker", "w*", "--failed"], "plan-history.v1");
    let workers = failed["runs"][0]["workers"].as_array().unwrap();
    assert_eq!((workers.len(), &workers[0]["host"]), (1, &"w2".into()));
    let ends = workers[0]["steps"].as_array().unwrap().iter().map(|step| step["end"].as_str().unwrap());
    assert_eq!(ends.collect::<Vec<_>>(), ["failed"]);
    let none = text(dir.path(), &["plan", "history", "--worker", "w1", "--failed"]);
    assert_eq!(none, "Nothing has failed on w1 in all 1 runs.\n");
}

#[test]
fn workers_of_the_journal_are_known_and_others_are_near_them() {
    let (dir, _) = stored(&["w1", "w2", "w3"]);
    // None of them is in workers.json: there is none.
    let said = refused(dir.path(), &["plan", "history", "--worker", "w22"], 3);
    assert!(said.contains("there is no worker `w22`") && said.contains("did you mean `w2`"), "{said}");
    let said = refused(dir.path(), &["plan", "history", "--worker", "label:wroker"], 3);
    assert!(said.contains("did you mean `label:worker`"), "{said}");
    let labelled = json(dir.path(), &["plan", "history", "--worker", "label:worker"], "plan-history.v1");
    assert_eq!(labelled["runs"][0]["workers"].as_array().unwrap().len(), 3);
    let said = refused(dir.path(), &["plan", "history", "--worker", "w1", "--run", "19990101"], 3);
    assert!(said.contains("no run is called"), "{said}");
    let said = refused(dir.path(), &["plan", "history"], 2);
    assert!(said.contains("--worker"), "{said}");
}

#[test]
fn runs_are_chosen_by_author_plan_state_and_time() {
    let dir = bucket();
    let mut journal = Journal::open(&data(dir.path()), Mode::ReadWrite).unwrap();
    let with = |plan: &str, who: &str| RunHeader { plan: plan.into(), who: who.into(), ..header(3) };
    let old = finished(&mut journal, with("patch", "alice@ops"), 30);
    let newer = finished(&mut journal, with("rolling-reboot", "bob@laptop"), 3);
    let (open, _) = journal.create_run(&with("patch", "bob@ci"), &[started()]).unwrap();
    drop(journal);
    let chosen = |args: &[&str]| -> Vec<String> {
        let list = json(dir.path(), &[&["plan", "list"], args].concat(), "run-list.v1");
        assert_eq!(list["total"], 3);
        assert_eq!(list["matching"], list["runs"].as_array().unwrap().len());
        let runs = list["runs"].as_array().unwrap().iter();
        runs.map(|run| run["run"].as_str().unwrap().to_owned()).collect()
    };
    for (args, expected) in [
        (&[][..], &[&open, &newer, &old][..]),
        (&["--by", "bob"], &[&open, &newer]),
        (&["--by", "*@ops"], &[&old]),
        (&["--plan", "patch"], &[&open, &old]),
        (&["--plan", "p*", "--by", "BOB"], &[&open]),
        (&["--state", "failed"], &[&newer, &old]),
        (&["--state", "failed,interrupted", "--plan", "patch"], &[&open, &old]),
        (&["--since", "2026-11-19"], &[&open, &newer]),
        // In New York the 23rd has not begun when the newest does.
        (&["--until", "2026-11-22 19:15"], &[&newer, &old]),
        (&["--until", "2026-11-22T20:00:00-05:00", "--since", "2026-11-19 20:00"], &[&open]),
        (&["--since", "2020-01-01", "--until", "2026-11-01"], &[&old]),
    ] {
        let expected: Vec<_> = expected.iter().map(|run| run.to_string()).collect();
        assert_eq!(chosen(args), expected, "{args:?}");
    }
    let list = text(dir.path(), &["plan", "list", "--limit", "1"]);
    assert!(list.contains("bob@ci") && list.contains("2026-11-22 19:15 ("), "{list}");
    assert!(list.contains("2 older runs are not shown"), "{list}");
    let none = text(dir.path(), &["plan", "list", "--plan", "ptach", "--by", "bob", "--since", "2026-11-19"]);
    assert!(none.starts_with("No run matches. There are 3, the newest "), "{none}");
    assert!(none.contains("  --plan ptach: no run; did you mean `patch`?\n  --by bob: 2 runs\n"), "{none}");
    assert!(none.contains("  --since 2026-11-19 00:00 ("), "{none}");
    for (args, said) in [
        (&["--since", "soon"][..], "2h30m"),
        (&["--state", "fialed"], "failed"),
        (&["--since", "2026-11-20", "--until", "2026-11-19"], "is not before"),
    ] {
        let refused = refused(dir.path(), &[&["plan", "list"], args].concat(), 2);
        assert!(refused.contains(said), "{refused}");
    }
    // A worker that had nothing to do in what is asked about.
    let none = text(dir.path(), &["plan", "history", "--worker", "w1", "--plan", "nightly"]);
    assert!(none.contains("--plan nightly: no run"), "{none}");
}

#[test]
fn statistics_count_what_the_facts_say() {
    let (dir, _) = stored(&["w1", "w2", "w3"]);
    let stats = json(dir.path(), &["plan", "stats"], "plan-stats.v1");
    let step = |id: &str| {
        let steps = stats["steps"].as_array().unwrap();
        steps.iter().find(|step| step["step"] == id).unwrap_or_else(|| panic!("{id}: {stats:#}")).clone()
    };
    // One worker came back, the other did not; the third was never reached.
    let wait = step("wait_for_ssh");
    assert_eq!((&wait["attempts"], &wait["runs"]), (&2.into(), &1.into()));
    assert_eq!((&wait["failed"], &wait["took"]["count"]), (&1.into(), &1.into()));
    assert_eq!(wait["slowest"][0]["host"], "w1");
    // From the fact that began it to the fact that ended it.
    let logs =
        text(dir.path(), &["plan", "logs", "--worker", "w1", "--step", "wait_for_ssh", "--output", "json"]);
    let log: Value = serde_json::from_str(&logs).unwrap();
    let at = |field: &str| log[field].as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_millisecond();
    assert_eq!(wait["took"]["median_ms"], at("finished_at") - at("started_at"));
    // Reading the boot id is part of the attempt that follows it.
    assert_eq!(step("reboot")["attempts"], 2);
    let one =
        json(dir.path(), &["plan", "stats", "--worker", "w2", "--step", "wait_for_ssh"], "plan-stats.v1");
    assert_eq!((&one["steps"][0]["attempts"], &one["steps"][0]["failed"]), (&1.into(), &1.into()));
    let shown = text(dir.path(), &["plan", "stats"]);
    assert!(shown.contains("1 (50%)"), "{shown}");
    let said = refused(dir.path(), &["plan", "stats", "--step", "rebot"], 3);
    assert!(said.contains("did you mean `reboot`?"), "{said}");
}

#[test]
fn old_runs_are_forgotten_and_the_room_comes_back() {
    let dir = bucket();
    let mut journal = Journal::open(&data(dir.path()), Mode::ReadWrite).unwrap();
    let old: Vec<_> = [40, 30, 20, 1].map(|age| finished(&mut journal, header(3), age)).to_vec();
    // Some megabytes.
    let mut output = maand::journal::OutputWriter::open(&journal, &old[0]).unwrap();
    for attempt in 0..60 {
        let mut printed = maand::journal::Output::default();
        printed.push(&vec![b'x'; 64 << 10]);
        output.write(AttemptId(attempt), &[("w1", printed)]).unwrap();
    }
    drop(output);
    let (open, _) = journal.create_run(&RunHeader { started_at: 5, ..header(1) }, &[started()]).unwrap();
    drop(journal);
    let runs = || -> Vec<String> {
        let list = json(dir.path(), &["plan", "list", "--limit", "99"], "run-list.v1");
        list["runs"].as_array().unwrap().iter().map(|run| run["run"].as_str().unwrap().to_owned()).collect()
    };
    let before = runs();
    let dry = json(dir.path(), &["plan", "prune", "--keep", "2", "--dry-run"], "plan-prune.v1");
    let gone: Vec<_> =
        dry["gone"].as_array().unwrap().iter().map(|run| run["run"].as_str().unwrap()).collect();
    assert_eq!(gone, [old[0].as_str(), old[1].as_str()]);
    assert!(dry["gone"][0]["bytes"].as_u64().unwrap() > 3 << 20, "{dry}");
    assert_eq!((runs(), dry["kept"].as_u64()), (before, Some(3)));
    // Nobody can be asked.
    let said = refused(dir.path(), &["plan", "prune", "--keep", "2"], 2);
    assert!(said.contains("--yes"), "{said}");
    // What each new run keeps by itself: all of these.
    assert!(text(dir.path(), &["plan", "prune"]).contains("No run is to go: 5 stay."));
    // Not while a controller is at work.
    let lock = RunLock::acquire(&data(dir.path()), &Holder::this_process(Some(open.to_string()), 1)).unwrap();
    let said = refused(dir.path(), &["plan", "prune", "--keep", "0", "--yes"], 4);
    assert!(said.contains("another operation is under way"), "{said}");
    assert_eq!(runs().len(), 5);
    drop(lock);
    // One who reads meanwhile keeps what it sees, and does not hold it up.
    let reader = Connection::open(data(dir.path()).join(FILE)).unwrap();
    let seen = reader.unchecked_transaction().unwrap();
    let count = |db: &Connection| -> i64 {
        db.query_row("SELECT count(*) FROM output", [], |row| row.get(0)).unwrap()
    };
    assert_eq!(count(&seen), 60);
    let done =
        json(dir.path(), &["plan", "prune", "--older-than", "25d", "--keep", "3", "--yes"], "plan-prune.v1");
    assert_eq!((done["gone"].as_array().unwrap().len(), count(&seen)), (1, 60));
    drop(seen);
    assert_eq!(count(&reader), 0);
    drop(reader);
    let done = text(dir.path(), &["plan", "prune", "--keep", "1", "--yes"]);
    assert!(done.contains("2 runs forgotten."), "{done}");
    let size = std::fs::metadata(data(dir.path()).join(FILE)).unwrap().len();
    assert!(size < 1 << 20, "{size}");
    assert_eq!(runs(), [open.to_string(), old[3].to_string()], "the unfinished one stays, however old");
    // It is whole, and continues to be a journal.
    let mut journal = Journal::open(&data(dir.path()), Mode::ReadWrite).unwrap();
    journal.verify().unwrap();
    assert_eq!(journal.read(&old[3]).unwrap().filter(Result::is_ok).count(), some_facts().len() + 1);
    journal.create_run(&header(1), &[started()]).unwrap();
}

#[test]
fn a_run_that_still_owns_entries_stays() {
    let dir = bucket();
    let graph = graph(&["w1", "w2", "w3"]);
    let mut journal = Journal::open(&data(dir.path()), Mode::ReadWrite).unwrap();
    let mut appends = play(&graph).into_iter();
    let first = appends.next().unwrap();
    let (run, _) = journal.create_run(&header_of(&graph), &first).unwrap();
    let mut writer = journal.writer(&run, 1, first.len() as u64).unwrap();
    for facts in appends {
        writer.append(START + 1000, &facts, None).unwrap();
    }
    let by = || "me@here".to_owned();
    writer.append(START + 2000, &[Fact::Aborted { by: by(), revert: false }], None).unwrap();
    writer.append(START + 2000, &[Fact::WorkerCancelled { target: TargetIx(2) }], None).unwrap();
    writer.append(START + 2000, &[Fact::RunFinished { end: RunEnd::Aborted }], None).unwrap();
    drop((writer, journal));
    let workspace = dir.path().join("workspace");
    std::fs::create_dir_all(workspace.join("jobs")).unwrap();
    std::fs::write(workspace.join("workers.json"), r#"[{"host":"w1"},{"host":"w2"},{"host":"w3"}]"#).unwrap();
    std::fs::write(workspace.join("disabled.json"), r#"{"workers": ["w2"], "jobs": {}}"#).unwrap();
    let prune = ["plan", "prune", "--keep", "0", "--yes"];
    let spared = json(dir.path(), &prune, "plan-prune.v1");
    assert_eq!((&spared["gone"], &spared["kept"]), (&Value::Array(vec![]), &1.into()));
    assert_eq!(spared["spared"][0]["hosts"], serde_json::json!(["w2"]));
    let said = text(dir.path(), &["plan", "prune", "--keep", "0", "--dry-run"]);
    assert!(said.contains(&format!("{run} stays: w2 is still disabled by it")), "{said}");
    // Another's entry is no reason.
    std::fs::write(workspace.join("disabled.json"), r#"{"workers": ["w1"], "jobs": {}}"#).unwrap();
    let gone = json(dir.path(), &prune, "plan-prune.v1");
    assert_eq!(gone["gone"][0]["run"], run.as_str());
}

/// A journal may come with a checkout, and what workers print is anybody's.
#[test]
fn texts_of_others_are_bounded_and_shown_as_text() {
    let dir = bucket();
    let mut journal = Journal::open(&data(dir.path()), Mode::ReadWrite).unwrap();
    let nasty = "\u{1b}[2J\u{1b}]0;owned\u{7}\r\u{202e}evil";
    let header = RunHeader {
        plan: format!("p{nasty}{}", "n".repeat(1 << 20)),
        who: format!("{nasty}@x"),
        hosts: vec!["w1".into(), format!("w2{nasty}"), "w3".into()],
        ..header(3)
    };
    let (run, _) = journal.create_run(&header, &[started()]).unwrap();
    let mut writer = journal.writer(&run, 1, 1).unwrap();
    let lane = Lane::Worker(TargetIx(0));
    let error = StepError {
        kind: ErrorKind::Command,
        message: format!("{nasty}\n20990101-0000-ffff  forged  succeeded{}", "m".repeat(1 << 20)),
        output: Some(format!("{}{nasty}", "o".repeat(1 << 20))),
    };
    let issued = |attempt| {
        let (attempt, intent) = (AttemptId(attempt), Intent::Do { repeat: false });
        Fact::Issued { attempt, lane, step: StepIx(4_000_000_000), intent }
    };
    let facts = [
        issued(1),
        Fact::Finished { attempt: AttemptId(1), outcome: Outcome::Failed { error } },
        issued(2),
        Fact::Finished { attempt: AttemptId(2), outcome: Outcome::noted(format!("said {nasty}")) },
        Fact::Retried { target: TargetIx(0), by: nasty.into() },
        Fact::Retried { target: TargetIx(4_000_000_000), by: nasty.into() },
    ];
    writer.append(i64::MAX - 5, &facts, None).unwrap();
    drop((writer, journal));
    for args in [
        &["plan", "list"][..],
        &["plan", "list", "--plan", "nosuch"],
        &["plan", "history", "--worker", "w*"],
        &["plan", "history", "--worker", "w*", "--failed"],
        &["plan", "stats"],
        &["plan", "prune", "--keep", "0", "--dry-run"],
    ] {
        let shown = text(dir.path(), args);
        let harmful = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!shown.contains(harmful), "{args:?}: {shown:?}");
        assert!(shown.len() < 20_000, "{args:?}: {} bytes", shown.len());
        assert!(!shown.lines().any(|line| line.starts_with("2099")), "{args:?}: {shown}");
        let document = text(dir.path(), &[args, &["--output", "json"]].concat());
        assert!(!document.contains(['\u{1b}', '\u{7}', '\u{202e}']));
        // The plan's name is data, and has a megabyte.
        assert!(document.len() < 3 << 20, "{args:?}: {} bytes", document.len());
    }
    // Rows that none of our programs writes.
    let db = Connection::open(data(dir.path()).join(FILE)).unwrap();
    db.execute("INSERT INTO fact VALUES (1, 3000, 9, 1, '{\"type\":\"issued\",\"attempt\":7,\"lane\":{\"worker\":0},', x'00')", [])
        .unwrap();
    drop(db);
    let told = text(dir.path(), &["plan", "history", "--worker", "w1"]);
    assert!(told.contains("cannot be read: "), "{told}");
    assert!(text(dir.path(), &["plan", "stats"]).contains("is left out: "));
}

#[test]
fn plans_states_authors_and_runs_are_offered_to_shells() {
    let (dir, run) = stored(&["w1", "w2", "w3"]);
    for (words, expected) in [
        (&["maand", "plan", "history", "--plan", "ro"][..], "rolling-reboot"),
        (&["maand", "plan", "list", "--plan", ""], "rolling-reboot"),
        (&["maand", "plan", "stats", "--state", "ha"], "halted"),
        (&["maand", "plan", "list", "--by", "m"], "me@here"),
        (&["maand", "plan", "history", "--run", "2026"], run.as_str()),
        (&["maand", "plan", "stats", "--step", "wait"], "wait_for_ssh"),
    ] {
        let found = offered_once(dir.path(), words, |found| found.iter().any(|one| one == expected));
        assert!(found.iter().any(|one| one == expected), "{words:?}: {found:?}");
    }
}

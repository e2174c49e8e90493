//! The numbers of a bucket, as those take them who are to read them: promtool, node_exporter and Prometheus itself.

mod examples;
mod prometheus;
mod tools;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output};

use maand::bucket::Bucket;
use maand::engine::{Fact, PublicRunState, RunEnd};
use maand::graph::TargetIx;
use maand::journal::{Journal, Mode};
use maand::metrics::{BucketNow, openmetrics, prometheus_text};
use maand::run::{Leaves, MetricsReader};

use crate::journal::{played, support::header};
use crate::run_bench::RunBench;
use crate::wait_until;
use tools::{Server, samples, tool, value};

fn maand(bucket: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_maand")).arg("-C").arg(bucket).args(arguments).output().unwrap()
}

/// What the program prints.
#[track_caller]
fn printed(bucket: &Path, arguments: &[&str]) -> String {
    let output = maand(bucket, arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn promtool_has_nothing_to_say_of_what_is_printed() {
    let Some(promtool) = tool("promtool") else { return };
    let (dir, _) = played::stored(&["w1", "w2", "w3"]);
    let text = printed(dir.path(), &["plan", "metrics"]);
    assert_eq!(value(&text, "maand_runs{state=\"halted\"}"), 1.0);
    let none = played::bucket();
    for text in [text, printed(none.path(), &["plan", "metrics"])] {
        let output = tools::fed(Command::new(&promtool).args(["check", "metrics"]), &text);
        let said = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.is_empty(), "{said}\n{text}");
    }
}

#[test]
fn node_exporter_shows_what_is_written_for_it() {
    let Some(exporter) = tool("prometheus-node-exporter") else { return };
    let (dir, _) = played::stored(&["w1", "w2", "w3"]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("maand.prom");
    printed(dir.path(), &["plan", "metrics", "--out", file.to_str().unwrap()]);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o644);
    let mut command = Command::new(exporter);
    command.arg("--collector.disable-defaults").arg("--collector.textfile");
    command.arg(format!("--collector.textfile.directory={}", folder.path().display()));
    let server = Server::start(command, |address| format!("--web.listen-address={address}"));
    let text = server.get("/metrics");
    assert!(text.contains("node_textfile_scrape_error 0"), "{text}");
    let shown: String =
        text.lines().filter(|line| line.starts_with("maand_")).map(|l| format!("{l}\n")).collect();
    // node_exporter writes numbers in its own way.
    assert_eq!(samples(&shown), samples(&fs::read_to_string(&file).unwrap()));
}

/// A plan of one step on this machine that ends when a file is there.
fn until(bench: &RunBench, file: &Path) -> String {
    let text = format!(
        "version: 1\nname: patch\nsteps:\n  - local: {{ command: 'until [ -e {} ]; do sleep 0.05; done' }}\n",
        file.display()
    );
    bench.own_plan(&text)
}

#[test]
fn a_run_keeps_its_file_from_the_beginning_to_the_end() {
    let Some(bench) = RunBench::not_deployed(1) else { return };
    bench.expect(0, &["build"]);
    let (folder, flag) = (tempfile::tempdir().unwrap(), bench.path("flag"));
    let file = folder.path().join("maand.prom");
    // A link is replaced, and not what it leads to.
    let elsewhere = folder.path().join("elsewhere");
    fs::write(&elsewhere, "mine\n").unwrap();
    symlink(&elsewhere, &file).unwrap();
    let plan = until(&bench, &flag);
    let apply = ["plan", "apply", &plan, "--yes", "--metrics-file", file.to_str().unwrap()];
    let read = || fs::read_to_string(&file).unwrap();
    let is_under_way = || {
        let text = read();
        text.contains("maand_runs") && value(&text, "maand_workers{state=\"running\"}") == 1.0
    };

    let mut killed = bench.spawn(&apply);
    wait_until("the file says what is under way", is_under_way);
    assert_eq!(value(&read(), "maand_runs{state=\"running\"}"), 1.0);
    assert_eq!(value(&read(), "maand_controller_alive"), 1.0);
    killed.kill().unwrap();
    killed.wait().unwrap();
    // The file is as it was left; who asks anew is told.
    assert_eq!(value(&read(), "maand_controller_alive"), 1.0);
    let text = printed(&bench.path("."), &["plan", "metrics"]);
    assert_eq!(value(&text, "maand_controller_alive"), 0.0);
    assert_eq!(value(&text, "maand_runs{state=\"interrupted\"}"), 1.0);
    assert!(value(&text, "maand_oldest_unfinished_run_age_seconds") > 0.0);

    fs::write(&flag, "").unwrap();
    bench.expect(0, &["plan", "resume", "--in-doubt", "rerun", "--metrics-file", file.to_str().unwrap()]);
    let text = read();
    assert_eq!(value(&text, "maand_runs{state=\"succeeded\"}"), 1.0);
    assert_eq!(value(&text, "maand_controller_alive"), 0.0);
    assert_eq!(value(&text, "maand_oldest_unfinished_run_age_seconds"), 0.0);
    assert_eq!(value(&text, "maand_last_finished_run_outcome{plan=\"patch\",outcome=\"succeeded\"}"), 1.0);
    assert_eq!(value(&text, "maand_step_duration_seconds_count{kind=\"local\",outcome=\"ok\"}"), 1.0);
    // Only the time is another one.
    let now = printed(&bench.path("."), &["plan", "metrics"]);
    let (mut file_says, mut now_says) = (samples(&text), samples(&now));
    for said in [&mut file_says, &mut now_says] {
        said.retain(|series, _| !series.contains("_updated_") && !series.contains("_journal_size_"));
    }
    assert_eq!(file_says, now_says);
    assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "mine\n");
    assert!(file.symlink_metadata().unwrap().is_file());
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o644);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "nothing is left beside it");
}

#[test]
fn a_file_that_cannot_be_written_is_warned_of_once_and_the_run_goes_well() {
    let Some(bench) = RunBench::not_deployed(1) else { return };
    bench.expect(0, &["build"]);
    let plan = bench.own_plan("version: 1\nname: patch\nsteps:\n  - run: { command: 'true' }\n");
    let folder = tempfile::tempdir().unwrap();
    // Before there is a run: what a file must not be put in the place of.
    for other in [folder.path().to_str().unwrap(), "/dev/null"] {
        let (_, stderr) = bench.expect(3, &["plan", "apply", &plan, "--yes", "--metrics-file", other]);
        assert!(stderr.contains("maand::cli::unwritable"), "{stderr}");
        let (_, stderr) = bench.expect(3, &["plan", "metrics", "--out", other]);
        assert!(stderr.contains("maand::cli::unwritable"), "{stderr}");
    }
    assert!(!bench.path("data/plan.db").exists(), "no run was made");
    let missing = folder.path().join("missing/maand.prom");
    let args = ["plan", "apply", &plan, "--yes", "--metrics-file", missing.to_str().unwrap()];
    let (stdout, stderr) = bench.expect(0, &args);
    assert_eq!(stderr.matches("maand::run::metrics_file").count(), 1, "{stdout}{stderr}");
    assert!(stderr.contains("cannot be written") && stderr.contains("missing/maand.prom"), "{stderr}");
}

/// As an operator does it.
fn prune(bucket: &Path) {
    printed(bucket, &["plan", "prune", "--keep", "0", "--older-than", "0s", "--yes"]);
}

/// Without what is of the moment.
fn lasting(now: BucketNow) -> String {
    prometheus_text(BucketNow { at: 0, journal: None, ..now })
}

#[test]
fn a_reader_takes_what_is_new_and_what_was_pruned_stays_counted() {
    let (dir, run) = played::stored(&["w1", "w2", "w3"]);
    let bucket = Bucket::open(dir.path()).unwrap();
    let mut kept = MetricsReader::new(&bucket);
    let fresh = || MetricsReader::new(&bucket).read(Leaves::No).unwrap();
    let first = kept.read(Leaves::No).unwrap();
    assert_eq!(lasting(first.clone()), lasting(fresh()));
    let count = "maand_step_duration_seconds_count{kind=\"reboot\",outcome=\"ok\"}";
    let counted = value(&prometheus_text(first.clone()), count);
    assert!(counted > 0.0);
    // What it has left disabled counts for as long as it is.
    assert_eq!(first.left_disabled, Some(0));
    fs::create_dir_all(dir.path().join("workspace")).unwrap();
    fs::write(dir.path().join("workspace/workers.json"), "[]").unwrap();
    for (text, left) in [
        (r#"{"workers": ["w1", "w2", "w3"]}"#, Some(1)),
        (r#"{"workers": ["w1"]}"#, Some(0)),
        (r#"{"workers": "#, None),
        ("{}", Some(0)),
    ] {
        fs::write(dir.path().join("workspace/disabled.json"), text).unwrap();
        assert_eq!(kept.read(Leaves::No).unwrap().left_disabled, left, "{text}");
    }
    // Nothing is new.
    assert_eq!(lasting(kept.read(Leaves::No).unwrap()), lasting(first));

    // Another run begins, whose header none of our programs has written.
    let mut journal = Journal::open(&played::data(dir.path()), Mode::ReadWrite).unwrap();
    let started = Fact::RunStarted { workers: 1, graph_hash: "11".into(), seed: 1 };
    journal.create_run(&header(1), &[started]).unwrap();
    let second = kept.read(Leaves::No).unwrap();
    assert_eq!(lasting(second.clone()), lasting(fresh()));
    assert_eq!((second.unreadable, second.runs.len()), (1, 2));
    assert_eq!(second.runs[0].state, PublicRunState::Interrupted, "nobody carries it out");

    // The first one ends, and is forgotten.
    let stored = journal.run(&run).unwrap();
    let mut writer = journal.writer(&run, stored.epoch, stored.last_seq).unwrap();
    let end = [
        Fact::Aborted { by: "anna@laptop".into(), revert: false },
        Fact::WorkerCancelled { target: TargetIx(2) },
        Fact::RunFinished { end: RunEnd::Aborted },
    ];
    writer.append(stored.header.started_at + 100_000, &end, None).unwrap();
    let ended = kept.read(Leaves::No).unwrap();
    assert_eq!(lasting(ended.clone()), lasting(fresh()));
    assert_eq!(ended.runs[1].state, PublicRunState::Aborted);
    prune(dir.path());
    let third = kept.read(Leaves::No).unwrap();
    assert_eq!(third.runs.len(), 1);
    assert_eq!(value(&openmetrics(third), count), counted, "it never falls");
    assert_eq!(value(&openmetrics(fresh()), count), counted, "also for who begins to look then");
    // A journal that is gone has counted nothing.
    drop(journal);
    for name in ["plan.db", "plan.db-wal", "plan.db-shm"] {
        let _ = fs::remove_file(played::data(dir.path()).join(name));
    }
    let none = kept.read(Leaves::No).unwrap();
    assert_eq!((none.runs.len(), none.journal), (0, None));
    assert_eq!(lasting(none), lasting(fresh()));
}

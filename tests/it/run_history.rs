//! What is told of real runs afterwards, and the pager on a terminal.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::journal::played;
use crate::run_bench::RunBench;
use crate::run_terminal::Terminal;
use crate::support::wait_until;

/// The first attempt fails on the second worker, and both on the third.
const PLAN: &str = "\
version: 1
name: patching
rollout: {concurrency: 3, max_failures: 1}
steps:
  - id: patch
    run: {script: patch.sh, idempotent: true, env: {TOKEN: {from_env: MY_TOKEN}}}
    retries: {attempts: 2, delay: 0s}
  - reboot
  - wait_for_ssh: {settle: 0s}
    timeout: 1m
";

const SCRIPT: &str = "\
# patches
echo \"the token is $TOKEN\"
case \"$(hostname)\" in
  w2) mkdir /root/tried 2>/dev/null && { echo 'the lock is held'; exit 7; } ;;
  w3) echo 'line one'; echo 'the disk is full'; exit 3 ;;
esac
touch /root/patched
";

#[test]
fn a_real_run_is_told_afterwards() {
    let Some(bench) = RunBench::new(3) else { return };
    let plan = bench.own_plan(PLAN);
    bench.write("patch.sh", SCRIPT);
    let applied =
        bench.command(&["plan", "apply", &plan, "--yes"]).env("MY_TOKEN", "hunter2hunter2").output().unwrap();
    assert_eq!(applied.status.code(), Some(1), "{}", String::from_utf8_lossy(&applied.stderr));
    let hosts = [0, 1, 2].map(|i| bench.host(i));
    let all = bench.json(0, &["plan", "history", "--worker", "*", "--since", "1h"]);
    let run = &all["runs"][0];
    let view = bench.status();
    assert_eq!(
        (&run["run"], &run["state"], &run["plan"]),
        (&view["run"], &"failed".into(), &"patching".into())
    );
    let worker = |i: usize| {
        let workers = run["workers"].as_array().unwrap();
        workers.iter().find(|worker| worker["host"] == hosts[i].as_str()).unwrap()
    };
    let step = |i: usize, id: &str| {
        let steps = worker(i)["steps"].as_array().unwrap();
        steps.iter().find(|step| step["step"] == id).cloned().unwrap_or_default()
    };
    for i in 0..2 {
        assert_eq!(worker(i)["state"], "succeeded");
        assert_eq!(worker(i)["boot_id_after"], bench.fleet.boot_id(i));
        assert_ne!(worker(i)["boot_id_before"], worker(i)["boot_id_after"]);
        assert_eq!((&step(i, "reboot")["tries"], &step(i, "reboot")["end"]), (&1.into(), &"done".into()));
    }
    let tries = [0, 1, 2].map(|i| step(i, "patch")["tries"].as_u64().unwrap());
    assert_eq!((tries, step(2, "reboot")), ([1, 2, 2], Value::Null));
    let ends = [0, 1, 2].map(|i| step(i, "patch")["end"].as_str().unwrap().to_owned());
    assert_eq!(ends, ["done", "done", "failed"]);
    let attempts = step(1, "patch")["attempts"].as_array().unwrap().len();
    assert_eq!(attempts, 2);
    // Nothing of a secret is anywhere.
    assert!(!all.to_string().contains("hunter2"));

    let (text, _) = bench.expect(0, &["plan", "history", "--worker", &format!("{},{}", hosts[1], hosts[2])]);
    assert!(text.contains("      | the disk is full\n") && text.contains("FAILED (2 attempts)"), "{text}");
    // The failure on the way to success.
    assert!(text.contains("      | the lock is held\n"), "{text}");

    let (logs, _) = bench.expect(0, &["plan", "logs", "--failed", "--tail", "1"]);
    assert_eq!(logs.matches("    | the disk is full\n").count(), 2, "{logs}");
    assert_eq!((logs.matches("FAILED after").count(), logs.contains("| line one")), (3, false), "{logs}");
    let command = "    $ script patch.sh\n      # patches\n";
    assert_eq!((logs.matches(command).count(), logs.contains("hunter2")), (1, false), "{logs}");
    assert!(logs.contains("    $ env TOKEN, a secret from MY_TOKEN of the controller\n"), "{logs}");
    let none = bench.expect(0, &["plan", "logs", "--failed", "--worker", &hosts[0]]).0;
    assert_eq!(none, "No attempt of a matching step has failed.\n");
    let lines = bench.expect(0, &["plan", "logs", "--worker", &hosts[2], "--output", "json"]).0;
    let line = crate::document(lines.lines().next().unwrap());
    assert_eq!((&line["command"]["part"], &line["command"]["script"]), (&"script".into(), &SCRIPT.into()));

    // What is expected of the next run is by the same measure.
    let stats = bench.json(0, &["plan", "stats"]);
    let learnt = bench.json(0, &["plan", "simulate", &plan]);
    let kind = &learnt["durations"]["kinds"]["run"];
    let (expected, patch) = (&stats["expected"]["run"], &stats["steps"][0]);
    assert_eq!((&expected["median_ms"], &expected["p95_ms"]), (&kind["median_ms"], &kind["tail_ms"]));
    // There is one step of this kind, and one run.
    assert_eq!((&patch["step"], &patch["took"]), (&"patch".into(), expected));
    assert_eq!((&patch["attempts"], &patch["failed"]), (&5.into(), &3.into()));

    // A worker that is gone is known by its runs.
    bench.workers(&[0, 1]);
    assert_eq!(bench.json(0, &["plan", "history", "--worker", &hosts[2]])["runs"][0], {
        let mut run = run.clone();
        run["workers"] = Value::Array(vec![worker(2).clone()]);
        run
    });
}

/// The code with which a line of shell text ended at a terminal, when all it has written was read.
fn at_terminal(folder: &Path, line: &str) -> (Option<i32>, Terminal) {
    let mut terminal = Terminal::at(folder, line);
    let code = terminal.script.wait().unwrap().code();
    (code, terminal)
}

const HISTORY: &str = "\"$MAAND\" plan history --worker 'w*'";

#[test]
fn long_text_goes_through_the_pager_of_a_terminal() {
    let (dir, run) = played::stored(&["w1", "w2", "w3"]);
    for (line, said) in [
        // The options that less(1) is given stand in its environment.
        (format!("MAAND_PAGER='echo [$LESS]; sed s/^/P:/' {HISTORY}"), "[FRX]"),
        (format!("MAAND_PAGER='sed s/^/P:/' {HISTORY}"), "P:    "),
        (format!("PAGER='sed s/^/Q:/' {HISTORY}"), "Q:    "),
        ("PAGER='sed s/^/Q:/' \"$MAAND\" plan list".to_owned(), "Q:RUN"),
        ("PAGER='sed s/^/Q:/' \"$MAAND\" plan logs".to_owned(), "Q:2026"),
        ("PAGER='sed s/^/Q:/' \"$MAAND\" plan stats".to_owned(), "Q:PLAN"),
        // As it is.
        (format!("PAGER='sed s/^/Q:/' {HISTORY} --no-pager"), "    | ssh"),
        (format!("MAAND_PAGER=cat PAGER='sed s/^/Q:/' {HISTORY}"), "    | ssh"),
        (format!("TERM=dumb PAGER='sed s/^/Q:/' {HISTORY}"), "    | ssh"),
        (format!("PAGER='sed s/^/Q:/' {HISTORY} --output json"), "\"schema\""),
        // One that is missing, by itself or for a shell.
        (format!("PAGER=nosuchpager {HISTORY}"), "    | ssh"),
        (format!("PAGER='\"nosuchpager\" -x' {HISTORY}"), "    | ssh"),
        (format!("PATH= {HISTORY}"), "    | ssh"),
        // Whatever there is by itself: it all fits on one screen of 99 lines.
        (format!("stty rows 99; unset PAGER LESS; {HISTORY}"), "    | ssh"),
    ] {
        let (code, terminal) = at_terminal(dir.path(), &line);
        assert_eq!(code, Some(0), "{line}: {}", terminal.text());
        wait_until(&format!("{line}: {said}"), || terminal.shows(said));
        let as_it_is = !said.starts_with(['P', 'Q', '[']);
        assert!(!(as_it_is && terminal.shows("Q:")), "{line}: {}", terminal.text());
        let is_said = terminal.shows("The pager `") && terminal.shows("cannot be started");
        assert_eq!(is_said, line.contains("nosuchpager"), "{line}: {}", terminal.text());
    }
    // Without a terminal there is none.
    at_terminal(dir.path(), &format!("MAAND_PAGER='touch ran' {HISTORY} | cat >out"));
    assert!(!dir.path().join("ran").exists());
    assert!(fs::read_to_string(dir.path().join("out")).unwrap().contains(run.as_str()));
}

#[test]
fn a_pager_that_is_left_early_or_interrupted_is_no_error() {
    let (dir, _) = played::stored(&["w1", "w2", "w3"]);
    for pager in ["head -n 1", "true", "false", "sh -c 'exit 9'"] {
        let (code, terminal) = at_terminal(dir.path(), &format!("MAAND_PAGER=\"{pager}\" {HISTORY}"));
        assert_eq!(code, Some(0), "{pager}: {}", terminal.text());
        assert!(!terminal.shows("cannot be") && !terminal.shows("panicked"), "{pager}: {}", terminal.text());
    }
    // Ctrl-C is the pager's.
    let line = format!(
        "export MAAND_PAGER='trap \"\" INT; touch paging; until [ -e go ]; do sleep 0.05; done; cat'; {HISTORY}; echo code $?"
    );
    let mut terminal = Terminal::at(dir.path(), &line);
    wait_until("it is there", || dir.path().join("paging").exists());
    terminal.types(b"\x03");
    // It is heard before the next key is.
    terminal.types(b"heard\n");
    terminal.wait_for("heard");
    fs::write(dir.path().join("go"), "").unwrap();
    wait_until("it has read all", || terminal.shows("    | ssh"));
    assert!(!terminal.shows("code 130"), "{}", terminal.text());
    terminal.script.wait().unwrap();
}

#[test]
fn the_list_fits_the_terminal() {
    let (dir, run) = played::stored(&["w1", "w2", "w3"]);
    let mut seen = Vec::new();
    for columns in [200, 100, 80, 60, 40] {
        let line = format!("stty cols {columns}; exec \"$MAAND\" plan list --no-pager >/dev/tty; exit 3");
        let (code, terminal) = at_terminal(dir.path(), &line);
        assert_eq!(code, Some(0));
        wait_until("it is shown", || terminal.shows(run.as_str()));
        let written = String::from_utf8(terminal.written()).unwrap();
        let widest = written.lines().map(|line| line.trim_end().chars().count()).max().unwrap();
        assert!(widest <= columns, "{widest} of {columns}: {written}");
        assert!(written.contains("halted"), "{columns}: {written}");
        seen.push((written.contains("ago)"), written.contains("me@here")));
    }
    assert_eq!(seen.first(), Some(&(true, true)));
    assert_eq!(seen.last(), Some(&(false, false)));
}

//! Gates that a real Prometheus, a real Alertmanager and commands decide about.

use std::net::TcpListener;

use rustix::process::{Pid, Signal, kill_process};

use crate::run_bench::RunBench;
use crate::run_faults::end;
use crate::support::alertmanager::Alertmanager;
use crate::support::bmc::{Reply, Server};
use crate::support::file_server::{FileServer, Served};
use crate::support::prometheus::Prometheus;
use crate::support::wait_until;

/// A plan of these steps.
fn plan(bench: &RunBench, steps: &str) -> String {
    bench.own_plan(&format!("version: 1\nname: gated\nsteps:\n{steps}"))
}

fn apply(bench: &RunBench, plan: &str) -> (Option<i32>, String) {
    let output = bench.maand(&["plan", "apply", plan, "--yes"]);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout) + &text(&output.stderr))
}

/// Without line ends, which fall where the terminal's width wants them.
fn flat(said: &str) -> String {
    said.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn a_prometheus_decides_whether_a_worker_goes_on() {
    let (Some(prometheus), Some(bench)) = (Prometheus::start(), RunBench::new(1)) else { return };
    let (url, host) = (prometheus.url(), bench.host(0));
    prometheus.tells(&format!("errors{{worker=\"{host}\"}} 0.01\nerrors{{worker=\"other\"}} 0.5"));
    let gate = |query: &str, more: &str| {
        format!(
            "  - gate: {{prometheus: {{url: '{url}', query: '{query}', max: 0.05}}, interval: 100ms{more}}}\n    timeout: 1s\n"
        )
    };
    let own = plan(&bench, &gate(r#"errors{worker="$worker"}"#, ", count: 3"));
    let shown = flat(&bench.expect(0, &["plan", "show", &own]).0);
    assert!(shown.contains("at most 0.05") && shown.contains("3 times every 100ms"), "{shown}");
    let (code, said) = apply(&bench, &own);
    assert_eq!(code, Some(0), "{said}");
    let (logs, _) = bench.expect(0, &["plan", "logs", "--worker", &host]);
    assert_eq!(logs.matches("pass: 0.01 of errors").count(), 3, "{logs}");
    for (query, more, why) in [
        ("errors", "", "the gate failed: 0.5 of errors{instance="),
        ("errors", "", "is not at most 0.05, as 1 of 2 values are not"),
        ("errors", ", count: 3, failures: 1", "(2 of 2 measurements failed)"),
        ("errors", ", on_fail: wait", "the gate failed: 0.5"),
        ("no_such_series", "", "inconclusive, until its time-out of 1s: no data"),
        ("no_such_series", ", on_inconclusive: fail", "the gate is inconclusive: no data"),
        ("errors / 0 - errors / 0", ", on_inconclusive: fail", "no number of {"),
        ("sum(", ", on_inconclusive: fail", "Prometheus says bad_data: "),
        ("errors[5m]", "", "the gate failed: 0.5"),
        ("scalar(errors{worker=\"other\"})", "", "0.5 is not at most 0.05"),
        (
            "label_replace(vector(1), \"a\", \"b\", \"\", \"\") or \"x\"",
            ", on_inconclusive: fail",
            "Prometheus says",
        ),
        ("\"text\"", ", on_inconclusive: fail", "answers with a string"),
    ] {
        let (code, said) = apply(&bench, &plan(&bench, &gate(query, more)));
        assert_eq!(code, Some(1), "{query}: {said}");
        assert!(flat(&said).contains(why), "{query}{more}: {said}");
        bench.expect(0, &["plan", "abort"]);
    }
    // Nothing and a failure may be continued with where the plan says so.
    let (code, said) = apply(&bench, &plan(&bench, &gate("no_such_series", ", on_inconclusive: ignore")));
    assert_eq!(code, Some(0), "{said}");
    let over = format!(
        "  - gate: {{prometheus: {{url: '{url}', query: 'errors{{worker=\"$worker\"}}', over: 1m, resolution: 1s, max: 0.05}}}}\n"
    );
    let (code, said) = apply(&bench, &plan(&bench, &over));
    assert_eq!(code, Some(0), "{said}");
    // What cannot be a url is sent as a form.
    let long = format!("errors{{worker=\"$worker\",x!~\"{}\"}}", "y".repeat(5000));
    let (code, said) = apply(&bench, &plan(&bench, &gate(&long, "")));
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn a_gate_waits_for_a_metric_that_recovers_and_for_a_prometheus_that_hangs() {
    let (Some(prometheus), Some(bench)) = (Prometheus::start(), RunBench::new(1)) else { return };
    prometheus.tells("errors 1");
    let gate = format!(
        "  - gate: {{prometheus: {{url: '{}', query: errors, max: 0.05}}, interval: 100ms, answer_within: 1s, on_fail: wait}}\n    \
         timeout: 60s\n",
        prometheus.url()
    );
    let mut child = bench.spawn(&["plan", "apply", &plan(&bench, &gate), "--yes"]);
    let logs = || String::from_utf8_lossy(&bench.maand(&["plan", "logs"]).stdout).into_owned();
    wait_until("it has failed", || logs().contains("fail: 1 of errors"));
    prometheus.hang();
    wait_until("there is no answer", || logs().contains("inconclusive: no answer in time"));
    prometheus.wake();
    prometheus.tells("errors 0");
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(0), "{}", logs());
}

#[test]
fn alerts_of_other_workers_fail_a_gate_and_those_of_its_own_are_expected() {
    let (Some(alertmanager), Some(bench)) = (Alertmanager::start(), RunBench::new(2)) else { return };
    let url = alertmanager.url();
    let gate = |more: &str| {
        format!(
            "  - stop\n  - gate: {{alertmanager: {{url: '{url}', matching: ['severity=\"critical\"']{more}}}}}\n  - start\n"
        )
    };
    let alert = |host: &str, severity| {
        let instance = format!("{host}:9100");
        alertmanager.fire(&[&[("alertname", "Down"), ("instance", &instance), ("severity", severity)]]);
    };
    alert("10.99.0.1", "warning");
    let (code, said) = apply(&bench, &plan(&bench, &gate("")));
    assert_eq!(code, Some(0), "{said}");
    // The first worker is expected to be noticed while it is down, and a moment after.
    alert(&bench.host(0), "critical");
    let (code, said) = apply(&bench, &plan(&bench, &gate("")));
    assert_eq!(code, Some(0), "{said}");
    let (logs, _) = bench.expect(0, &["plan", "logs"]);
    assert_eq!(logs.matches("pass: no alert fires, besides 1 of workers that are down").count(), 2, "{logs}");
    for more in [", except_down: false", ", worker_label: host"] {
        let (code, said) = apply(&bench, &plan(&bench, &gate(more)));
        assert_eq!(code, Some(1), "{more}: {said}");
        let words = format!("Down{{instance=\"{}:9100\", severity=\"critical\"}} fires", bench.host(0));
        assert!(flat(&said).contains(&words), "{said}");
        bench.expect(0, &["plan", "abort", "--revert"]);
    }
    // Before it is taken down its own alerts say something.
    let first = format!(
        "  - gate: {{alertmanager: {{url: '{url}', matching: ['severity=\"critical\"']}}}}\n  - stop\n  - start\n"
    );
    let (code, said) = apply(&bench, &plan(&bench, &first));
    assert_eq!(code, Some(1), "{said}");
    bench.expect(0, &["plan", "abort"]);
    // One that has not been down, and has another address that only begins alike.
    alert(&format!("{}0", bench.host(0)), "critical");
    let (code, said) = apply(&bench, &plan(&bench, &gate("")));
    assert_eq!(code, Some(1), "{said}");
    assert!(flat(&said).contains("fires, besides 1 of workers that are down"), "{said}");
}

#[test]
fn commands_and_servers_pass_fail_and_say_nothing() {
    let Some(bench) = RunBench::new(1) else { return };
    let server = FileServer::start();
    server.put("ok", Served::Whole(br#"{"state": "green"}"#.to_vec()));
    server.put("red", Served::Whole(br#"{"state": "red"}"#.to_vec()));
    server.put("html", Served::Whole(b"<html>log in</html>".to_vec()));
    server.put("never", Served::Never);
    let silent = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let silent = silent.local_addr().unwrap();
    let json = "expect: {json: {/state: green}}";
    let url = server.url();
    for (source, code, why) in [
        ("command: 'test \"$MAAND_HOST\" && test $MAAND_WAVE = 1'".to_owned(), 0, ""),
        (
            "command: 'echo too many errors; exit 1'".to_owned(),
            1,
            "the gate failed: exit code 1: too many errors",
        ),
        ("command: 'exit 3'".to_owned(), 1, "the gate is inconclusive: exit code 3"),
        ("command: no-such-program".to_owned(), 1, "the gate is inconclusive: exit code 127"),
        ("command: 'kill -9 $$'".to_owned(), 1, "ended by signal 9"),
        ("command: 'sleep 60'".to_owned(), 1, "it did not end in time"),
        (format!("http: {{url: '{url}/ok', {json}}}"), 0, ""),
        (
            format!("http: {{url: '{url}/red', {json}}}"),
            1,
            "the gate failed: the answer has \"red\" at `/state`",
        ),
        (format!("http: {{url: '{url}/$worker'}}"), 1, "the gate failed: the answer has the status 404"),
        (
            format!("http: {{url: '{url}/html', {json}}}"),
            1,
            "the gate is inconclusive: the answer is not JSON",
        ),
        (format!("http: {{url: '{url}/never', {json}}}"), 1, "the gate is inconclusive: no answer in time"),
        (format!("http: {{url: 'http://{silent}/'}}"), 1, "the gate is inconclusive: no answer in time"),
        ("http: {url: 'http://127.0.0.1:1/'}".to_owned(), 1, "the gate is inconclusive: no connection"),
        (
            format!("prometheus: {{url: '{url}/html', query: x, max: 1}}"),
            1,
            "the gate is inconclusive: status 404",
        ),
    ] {
        let text = format!("  - gate: {{{source}, answer_within: 500ms, on_inconclusive: fail}}\n");
        let (got, said) = apply(&bench, &plan(&bench, &text));
        assert_eq!(got, Some(code), "{source}: {said}");
        assert!(flat(&said).contains(why), "{source}: {said}");
        if code != 0 {
            bench.expect(0, &["plan", "abort"]);
        }
    }
    // In `before` nothing begins.
    let before = "version: 1\nname: gated\nbefore:\n  - gate: {command: exit 1}\nsteps:\n  - run: {command: touch /run/begun}\n";
    let (code, said) = apply(&bench, &bench.own_plan(before));
    assert_eq!(code, Some(1), "{said}");
    assert!(!bench.fleet.sh(0, "test -e /run/begun").status.success());
}

/// A plan over the whole fleet with these settings of the rollout; each worker's step takes a moment.
fn rolled(bench: &RunBench, rollout: &str) -> String {
    bench.own_plan(&format!(
        "version: 1\nname: guarded\nrollout:\n{rollout}steps:\n  - stop\n  - run: {{command: 'touch /run/begun; sleep 0.3', idempotent: true}}\n  - start\n"
    ))
}

fn has_begun(bench: &RunBench, i: usize) -> bool {
    bench.fleet.sh(i, "test -e /run/begun").status.success()
}

#[test]
fn gates_around_waves_hold_and_halt_the_rollout_and_a_resume_measures_anew() {
    let Some(bench) = RunBench::new(3) else { return };
    let log = bench.path("measured");
    let plan = rolled(
        &bench,
        &format!(
            "  waves: [1, rest]\n  concurrency: 2\n  gates:\n    before_wave: {{name: ready, command: 'echo before $MAAND_WAVE >> {log}'}}\n    \
             after_wave:\n      - {{name: errors, command: 'echo after $MAAND_WAVE >> {log}; test -e {ok} || {{ echo too many; exit 1; }}', \
             count: 2, failures: 1, interval: 100ms}}\n",
            log = log.display(),
            ok = bench.path("ok").display(),
        ),
    );
    let shown = flat(&bench.expect(0, &["plan", "show", &plan]).0);
    assert!(shown.contains("2 times every 100ms, 1 may fail") && shown.contains("exit code 0"), "{shown}");
    let (code, said) = apply(&bench, &plan);
    assert_eq!(code, Some(1), "{said}");
    let said = flat(&said);
    assert!(said.contains("gate before wave 1 passed: ready: exit code 0"), "{said}");
    assert!(
        said.contains("HALTED: the gate after wave 1 failed: errors: exit code 1: too many (2 of 2"),
        "{said}"
    );
    assert!(said.contains("maand plan resume"), "{said}");
    assert!(has_begun(&bench, 0) && !has_begun(&bench, 1) && !has_begun(&bench, 2));
    let status = String::from_utf8_lossy(&bench.maand(&["plan", "status"]).stdout).into_owned();
    assert!(flat(&status).contains("the gate after wave 1 failed"), "{status}");
    // It is measured again, and halts again, until it passes.
    bench.expect(1, &["plan", "resume", "--yes"]);
    std::fs::write(bench.path("ok"), "").unwrap();
    let (said, _) = bench.expect(0, &["plan", "resume", "--yes"]);
    assert!(flat(&said).contains("gate before wave 2 passed: ready"), "{said}");
    assert!(has_begun(&bench, 1) && has_begun(&bench, 2));
    let measured = std::fs::read_to_string(log).unwrap();
    let count = |what: &str| measured.lines().filter(|line| *line == what).count();
    assert_eq!((count("before 1"), count("before 2"), count("after 2")), (1, 1, 2), "{measured}");
    assert_eq!(count("after 1"), 2 + 2 + 2, "{measured}");
}

#[test]
fn a_guard_that_fails_halts_and_lets_finish_what_is_under_way() {
    let (Some(prometheus), Some(bench)) = (Prometheus::start(), RunBench::new(4)) else { return };
    prometheus.tells("errors 0");
    let url = prometheus.url();
    let plan = bench.own_plan(&format!(
        "version: 1\nname: guarded\nrollout:\n  concurrency: 2\n  guard:\n    - {{name: errors, prometheus: {{url: '{url}', query: errors, max: 0.05}}, \
         interval: 100ms, answer_within: 1s}}\nsteps:\n  - stop\n  - run: {{command: 'touch /run/begun; while ! test -e /run/go; do sleep 0.05; done', \
         idempotent: true}}\n  - start\n"
    ));
    let child = bench.spawn(&["plan", "apply", &plan, "--yes"]);
    wait_until("two are down", || has_begun(&bench, 0) && has_begun(&bench, 1));
    prometheus.tells("errors 1");
    let status = || bench.maand(&["plan", "status"]);
    let says = |what: &str| {
        let status = status();
        flat(&String::from_utf8_lossy(&status.stdout)).contains(what)
    };
    wait_until("it halts", || says("guard failed: errors: 1 of errors"));
    // Those that are down finish, and nobody else begins.
    for i in 0..2 {
        bench.fleet.sh(i, "touch /run/go");
    }
    let output = child.wait_with_output().unwrap();
    let said = flat(&String::from_utf8_lossy(&output.stdout));
    assert!(said.contains("HALTED: the guard failed: errors: 1 of errors"), "{said}");
    assert!(bench.is_up(0) && bench.is_up(1) && !has_begun(&bench, 2) && !has_begun(&bench, 3), "{said}");
    // One that cannot be asked holds those that are to come, and no worker that is down.
    prometheus.tells("errors 0");
    prometheus.hang();
    let child = bench.spawn(&["plan", "resume", "--yes"]);
    wait_until("it holds", || says("guard is inconclusive: errors: no answer in time"));
    assert!(!has_begun(&bench, 2));
    prometheus.wake();
    wait_until("it continues", || has_begun(&bench, 2) && has_begun(&bench, 3));
    for i in 2..4 {
        bench.fleet.sh(i, "touch /run/go");
    }
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stdout));
}

/// A gate changes nothing: a resume measures it again, and asks nobody whether it was done. What a plan reads from the
/// environment is told before the first worker, where it is not set.
#[test]
fn a_gate_that_is_given_up_is_measured_again_and_unset_secrets_are_told_at_once() {
    let Some(bench) = RunBench::new(1) else { return };
    let folder = tempfile::tempdir().unwrap();
    let open = folder.path().join("open");
    let own = bench.own_plan(&format!(
        "version: 1\nname: gated\nrollout:\n  gates:\n    after_wave:\n      \
         http: {{url: 'http://127.0.0.1:1/', headers: {{X-Token: {{from_env: NO_SUCH_TOKEN}}}}}}\n      \
         on_inconclusive: ignore\nsteps:\n  - gate: {{command: 'test -e {}', interval: 1m, on_fail: wait}}\n    timeout: 10m\n",
        open.display()
    ));
    let mut child = bench.spawn(&["plan", "apply", &own, "--yes"]);
    let logs = || String::from_utf8_lossy(&bench.maand(&["plan", "logs"]).stdout).into_owned();
    wait_until("it has failed once", || logs().contains("fail: "));
    let pid = Pid::from_raw(child.id().cast_signed()).unwrap();
    // One is enough, though the gate would wait for minutes.
    kill_process(pid, Signal::INT).unwrap();
    wait_until("the run ends", || child.try_wait().unwrap().is_some());
    let (code, stdout, stderr) = end(child);
    let said = flat(&(stdout + &stderr));
    assert_eq!(code, Some(5), "{said}");
    assert!(
        said.contains("was interrupted") && !said.contains("doubt") && !said.contains("stopped at once"),
        "{said}"
    );
    assert_eq!(bench.status()["state"], "interrupted");
    assert_eq!(bench.status()["workers"][0]["state"], "held");
    assert!(said.contains("reads NO_SUCH_TOKEN from the environment, and it is not set here"), "{said}");
    std::fs::write(&open, "").unwrap();
    bench.expect(0, &["plan", "resume"]);
}

/// A wrong address, a server that is another one, and a query with a typo are found before the run, and nothing is changed.
#[test]
fn a_probe_of_a_plan_asks_its_monitoring_and_changes_nothing() {
    let (Some(prometheus), Some(alerts), Some(bench)) =
        (Prometheus::start(), Alertmanager::start(), RunBench::new(1))
    else {
        return;
    };
    prometheus.tells("errors 0.01");
    let server = Server::start(|_| Reply::Json(200, serde_json::json!({"allowed": true})));
    let (url, ours, other) = (prometheus.url(), alerts.url(), server.address);
    let touched = bench.path("touched").display().to_string();
    let text = format!(
        "version: 1\nname: asked\n\
         rollout:\n  gates:\n    before_wave:\n      - {{alertmanager: {{url: '{ours}', matching: ['severity=\"page\"']}}}}\n\
         \x20     - {{alertmanager: {{url: '{url}', matching: ['severity=\"page\"']}}}}\n\
         \x20 guard:\n    - {{prometheus: {{url: '{url}', query: 'sum(', max: 1}}}}\n\
         \x20   - {{prometheus: {{url: 'http://127.0.0.1:1', query: errors, max: 1}}}}\n\
         silence: {{url: '{ours}', matchers: ['instance = \"$MAAND_HOST\"']}}\n\
         steps:\n\
         \x20 - id: fine\n    gate: {{prometheus: {{url: '{url}', query: 'errors{{job!=\"$worker\"}}', max: 0.05}}}}\n\
         \x20 - id: beyond\n    gate: {{prometheus: {{url: '{url}', query: errors, min: 1}}}}\n\
         \x20 - id: allowed\n    gate: {{http: {{url: 'http://{other}/$MAAND_STEP', expect: {{json: {{/allowed: true}}}}}}}}\n\
         \x20 - id: posts\n    gate: {{http: {{method: POST, url: 'http://{other}/'}}}}\n\
         \x20 - id: runs\n    gate: {{command: 'touch {touched}'}}\n\
         \x20 - run: {{command: 'true', idempotent: true}}\n"
    );
    let plan = bench.own_plan(&text);
    let shown = bench.expect(0, &["plan", "show", &plan, "--probe"]).0;
    let said = flat(&shown);
    for line in [
        "passes before_wave (alertmanager): no alert fires",
        "SAYS NOTHING before_wave (alertmanager): status 404",
        "SAYS NOTHING guard (prometheus): Prometheus says bad_data:",
        "SAYS NOTHING guard (prometheus): no connection: Connection refused (http://127.0.0.1:1)",
        "answers silence (alertmanager): it tells its silences",
        "passes fine (prometheus): 0.01 of errors",
        "FAILS beyond (prometheus): 0.01 of errors",
        "passes allowed (http): status 200, with the expected values",
        "not asked posts (http): a POST may change something",
        "not asked runs (command): a command is not run",
    ] {
        assert!(said.contains(line), "{line}: {shown}");
    }
    let asked = server.asked();
    assert!(asked.iter().all(|asked| asked.method == "GET" && asked.path == "/allowed"), "{asked:?}");
    assert!(!bench.path("touched").exists() && alerts.silences().is_empty());
    let json = bench.json(0, &["plan", "show", &plan, "--probe"]);
    let monitoring = json["monitoring"].as_array().unwrap();
    let of = |place: &str| monitoring.iter().find(|one| one["place"] == place).unwrap();
    assert_eq!((&of("guard")["reading"], &of("runs")["reading"]), (&"inconclusive".into(), &().into()));
    assert!(bench.json(0, &["plan", "show", &plan])["monitoring"].is_null());
    // A silence's Alertmanager that is none.
    let plan = bench.own_plan(&text.replacen(
        &format!("silence: {{url: '{ours}'"),
        &format!("silence: {{url: '{url}'"),
        1,
    ));
    let said = flat(&bench.expect(0, &["plan", "show", &plan, "--probe"]).0);
    assert!(said.contains(&format!("SAYS NOTHING silence (alertmanager): {url}: status 404")), "{said}");
}

/// A server that says nothing holds nobody who does not want to wait for it.
#[test]
fn a_probe_that_is_interrupted_waits_for_no_answer() {
    let Some(bench) = RunBench::new(1) else { return };
    let silent = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let plan = bench.own_plan(&format!(
        "version: 1\nname: asked\nrollout: {{guard: [{{prometheus: {{url: '{url}', query: up, max: 1}}, answer_within: 2m}}]}}\n\
         silence: {{url: '{url}', matchers: ['instance = \"$MAAND_HOST\"'], timeout: 30s}}\n\
         steps:\n  - run: {{command: 'true', idempotent: true}}\n"
    ));
    let child = bench.spawn(&["plan", "show", &plan, "--probe"]);
    let both = [silent.accept().unwrap(), silent.accept().unwrap()];
    let asked = std::time::Instant::now();
    kill_process(Pid::from_raw(child.id().cast_signed()).unwrap(), Signal::INT).unwrap();
    let (code, stdout, stderr) = end(child);
    assert_eq!(code, Some(5), "{stdout}{stderr}");
    assert!(asked.elapsed() < std::time::Duration::from_secs(20), "{stderr}");
    drop(both);
}

/// A process that resumes the run has not seen who came back before it: the facts say it.
#[test]
fn alerts_of_a_worker_that_came_back_before_a_restart_are_expected() {
    let (Some(alertmanager), Some(bench)) = (Alertmanager::start(), RunBench::new(2)) else { return };
    let own = plan(
        &bench,
        &format!(
            "  - stop\n  - start\n  - run: {{command: 'touch /run/begun; until test -e /run/go; do sleep 0.05; done', idempotent: true}}\n  \
             - gate: {{alertmanager: {{url: '{}', matching: ['severity=\"critical\"']}}}}\n",
            alertmanager.url()
        ),
    );
    bench.fleet.sh_ok(0, "touch /run/go");
    let mut child = bench.spawn(&["plan", "apply", &own, "--yes"]);
    wait_until("the second worker is under way", || has_begun(&bench, 1));
    child.kill().unwrap();
    child.wait().unwrap();
    let instance = format!("{}:9100", bench.host(0));
    alertmanager.fire(&[&[("alertname", "Down"), ("instance", &instance), ("severity", "critical")]]);
    bench.fleet.sh_ok(1, "touch /run/go");
    let (said, _) = bench.expect(0, &["plan", "resume", "--yes"]);
    let (logs, _) = bench.expect(0, &["plan", "logs"]);
    assert!(logs.contains("pass: no alert fires, besides 1 of workers that are down"), "{said}{logs}");
}

/// What is refused when a plan is validated is what it refuses, and all else it takes.
#[test]
fn alertmanager_says_the_same_of_regular_expressions() {
    const EXPRESSIONS: &[(&str, bool)] = include!("../data/regexes.in");
    let Some(alertmanager) = Alertmanager::start() else { return };
    let mut otherwise = Vec::new();
    for (text, is_fine) in EXPRESSIONS {
        let silence = serde_json::json!({
            "matchers": [
                {"name": "a", "value": text, "isRegex": true, "isEqual": true},
                {"name": "b", "value": "c", "isRegex": false, "isEqual": true},
            ],
            "startsAt": "2099-01-01T00:00:00Z", "endsAt": "2099-01-02T00:00:00Z", "createdBy": "test", "comment": "test",
        });
        let (status, said) = alertmanager.ask("POST", "/api/v2/silences", &silence);
        if (status == 200) != *is_fine {
            otherwise.push(format!("{text}: {status} {said}"));
        }
    }
    assert!(otherwise.is_empty(), "{otherwise:#?}");
}

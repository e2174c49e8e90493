//! What a run does with the BMC of a worker that does not come back: a real emulator behind TLS and a password, and BMCs
//! that lie, hang and refuse.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::run_bench::RunBench;
use crate::run_faults::{plan_with, worker};
use crate::support::Fault;
use crate::support::bmc::{Emulator, NAME, Reply, Server, name_bmc, redfish};

/// A stand-in that answers as a BMC whose computer has this state of power.
fn well_behaved(power: &'static str, entries: Value) -> Server {
    Server::start(move |asked| match redfish(&asked.path, power, &entries) {
        Some(document) => Reply::Json(200, document),
        None => Reply::Json(404, json!({})),
    })
}

/// A bucket whose first worker has its BMC at the address of this server, by plain HTTP.
fn with_bmc(bench: &RunBench, server: &Server, conf: &str) {
    let conf = format!("bmc_url = \"http://$MAAND_TAG_BMC\"\n{conf}");
    name_bmc(bench.dir.path(), &bench.host(0), &server.address.to_string(), &conf);
}

/// The error of the first worker, which does not come back from its reboot.
fn lost(bench: &RunBench) -> (String, String) {
    let plan = plan_with(bench, 1, "20s", "3s");
    bench.fleet.set(0, Fault::NeverBack);
    bench.expect(1, &["plan", "apply", &plan, "--yes"]);
    let status = bench.status();
    let error = &worker(&status, &bench.host(0))["error"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (text(&error["message"]), text(&error["output"]))
}

#[test]
fn what_a_real_bmc_says_is_in_the_error_of_a_worker_that_does_not_come_back() {
    let Some(bench) = RunBench::new(1) else { return };
    let Some(emulator) = Emulator::start("Off", None) else { return };
    // It has signed its own certificate, whose name is not its address.
    let conf = format!("bmc_ca = \"{}\"\n", emulator.certificate().display());
    name_bmc(bench.dir.path(), &bench.host(0), &emulator.address.to_string(), &conf);
    let (text, _) = bench.expect(0, &["doctor"]);
    assert!(text.contains("warning") && text.contains("its BMC could not be asked"), "{text}");
    assert!(text.contains("no trusted connection") && text.contains("mismatch"), "{text}");
    let conf = std::fs::read_to_string(bench.path("maand.conf")).unwrap();
    bench.write("maand.conf", &format!("{conf}bmc_certificate_name = \"{NAME}\"\n"));
    let (text, _) = bench.expect(0, &["doctor"]);
    assert!(text.contains("its BMC says: power Off, health OK"), "{text}");
    let (message, output) = lost(&bench);
    assert!(message.contains("not back within"), "{message}");
    assert!(
        message.contains("its BMC (https://127.0.0.1:") && message.contains("power Off, health OK"),
        "{message}"
    );
    assert!(output.contains("it names no log"), "{output}");
    assert!(!emulator.log().contains("POST"), "{}", emulator.log());
}

#[test]
fn a_certificate_that_nobody_has_vouched_for_is_not_trusted() {
    let Some(bench) = RunBench::not_deployed(1) else { return };
    let Some(emulator) = Emulator::start("On", None) else { return };
    let conf = format!("bmc_certificate_name = \"{NAME}\"\n");
    name_bmc(bench.dir.path(), &bench.host(0), &emulator.address.to_string(), &conf);
    let doctor = bench.json(0, &["doctor"]);
    let power = &doctor["workers"][0]["power"];
    assert!(power["error"].as_str().unwrap().contains("no trusted connection"), "{power}");
    assert!(!emulator.log().contains("GET"), "no password was sent: {}", emulator.log());
}

#[test]
fn the_last_entries_of_the_log_are_told_and_are_nothing_but_text() {
    let Some(bench) = RunBench::new(1) else { return };
    let entry = |at: u32, text: &str| json!({"Created": format!("2026-11-30T01:{at:02}:00Z"), "Severity": "Critical", "Message": text});
    let mut entries: Vec<Value> = (0..50).map(|at| entry(at, "an old one")).collect();
    entries.push(entry(59, "CPU 1 machine check\u{1b}[2J\u{202e}\nFORGED"));
    let server = well_behaved("On", json!(entries));
    with_bmc(&bench, &server, "");
    let (message, output) = lost(&bench);
    assert!(message.contains("power On, health Critical"), "{message}");
    assert_eq!(output.lines().count(), 4, "{output}");
    let first = output.lines().next().unwrap();
    assert!(first.starts_with("BMC log: 2026-11-30T01:59:00Z Critical CPU 1 machine check"), "{output}");
    assert!(!output.contains('\u{1b}') && !output.contains('\u{202e}'), "{output}");
    // It has been asked for nothing but to tell, by who may ask.
    assert_eq!(server.told(), 0);
    assert!(
        server
            .asked()
            .iter()
            .all(|asked| asked.authorization.as_deref() == Some("Basic bWFhbmQ6czNjcmV0IG9mIHRoZSBibWM="))
    );
}

/// Whatever it says, the worker fails with that in its words, once, and nothing else happens.
#[test]
fn a_bmc_that_answers_nonsense_costs_its_time_and_is_quoted() {
    let Some(bench) = RunBench::new(1) else { return };
    let systems = |document: Value| move || Reply::Json(200, document.clone());
    let raw = |text: &'static str| move || Reply::Raw(text.to_owned());
    type Says = Box<dyn Fn() -> Reply + Send + Sync>;
    let cases: Vec<(Says, &str)> = vec![
        (
            Box::new(raw("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>")),
            "no JSON: it begins with `<html>`",
        ),
        (Box::new(raw("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")), "it is empty"),
        (
            Box::new(raw("HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n")),
            "does not let the user `maand` in (status 401)",
        ),
        (
            Box::new(raw("HTTP/1.1 302 x\r\nLocation: http://else.invalid/\r\nContent-Length: 0\r\n\r\n")),
            "no redirection is followed",
        ),
        (Box::new(raw("HTTP/1.1 503 x\r\nContent-Length: 0\r\n\r\n")), "status 503"),
        (Box::new(raw("")), ""),
        (Box::new(raw("SSH-2.0-dropbear\r\n")), ""),
        (Box::new(systems(json!([]))), "JSON, and no object"),
        (Box::new(systems(json!({"Members": []}))), "it knows no system"),
        (
            Box::new(systems(
                json!({"Members": [{"@odata.id": "http://else.invalid/redfish/v1/Systems/1"}]}),
            )),
            "no path on this BMC",
        ),
        (
            Box::new(systems(
                json!({"Members": [{"@odata.id": "/redfish/v1/Systems/a"}, {"@odata.id": "/redfish/v1/Systems/b"}]}),
            )),
            "several systems (a, b); say which one is the worker with `bmc_system`",
        ),
        (Box::new(|| Reply::Hang), "no answer in time"),
    ];
    let now: std::sync::Arc<std::sync::Mutex<Option<Says>>> = std::sync::Arc::default();
    let says = std::sync::Arc::clone(&now);
    let server = Server::start(move |_| says.lock().unwrap().as_ref().map_or(Reply::Hang, |says| says()));
    with_bmc(&bench, &server, "bmc_timeout = 2\n");
    // Each of them as doctor hears it, and one in a run.
    for (says, words) in cases {
        *now.lock().unwrap() = Some(says);
        let doctor = bench.json(0, &["doctor"]);
        let error = doctor["workers"][0]["power"]["error"].as_str().unwrap_or_default().to_owned();
        assert!(!error.is_empty() && error.contains(words), "{words}: {doctor}");
    }
    let began = Instant::now();
    let (message, _) = lost(&bench);
    assert!(message.contains("not back within") && message.contains("could not be asked"), "{message}");
    assert!(began.elapsed() < Duration::from_secs(40));
    assert_eq!(server.told(), 0);
}

#[test]
fn a_file_of_credentials_that_others_can_read_is_not_used() {
    let Some(bench) = RunBench::not_deployed(1) else { return };
    let server = well_behaved("On", json!([]));
    with_bmc(&bench, &server, "");
    let secret = bench.path("secrets/bmc");
    std::fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let (text, _) = bench.expect(0, &["doctor"]);
    assert!(text.contains("chmod 600") && !text.contains("s3cret"), "{text}");
    assert!(server.asked().is_empty());
}

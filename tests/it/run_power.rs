//! What a run does with the BMC of a worker that does not come back: a real emulator behind TLS and a password, and BMCs
//! that lie, hang and refuse.

use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::run_bench::RunBench;
use crate::run_faults::{plan_with, worker};
use crate::support::bmc::{Asked, Emulator, NAME, Reply, Server, name_bmc, redfish, tag_bmc, tell_numbers};
use crate::support::{Fault, wait_until};

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

/// The same of the emulator, by TLS.
fn with_emulator(bench: &RunBench, emulator: &Emulator) {
    let file = emulator.certificate();
    let conf = format!("bmc_ca = \"{}\"\nbmc_certificate_name = \"{NAME}\"\n", file.display());
    name_bmc(bench.dir.path(), &bench.host(0), &emulator.address.to_string(), &conf);
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

/// As [`plan_with`], of workers that are reset when they are not back in time.
fn resetting(bench: &RunBench, failures: u32, back_within: &str) -> String {
    let path = plan_with(bench, failures, "20s", back_within);
    let text = std::fs::read_to_string(&path).unwrap();
    bench.own_plan(
        &text.replace("wait_for_ssh: {settle: 0s}", "wait_for_ssh: {settle: 0s, on_no_return: power_cycle}"),
    )
}

/// What power does to the first worker: it boots.
fn power(bench: &RunBench) -> impl Fn() + Send + Sync + 'static {
    let unplugged = bench.fleet.disk(0).join("unplugged");
    move || {
        let _ = std::fs::remove_file(&unplugged);
    }
}

fn is_reset(asked: &Asked) -> bool {
    asked.method == "POST" && asked.path.ends_with("/Actions/ComputerSystem.Reset")
}

/// A stand-in whose computer is on: what it says to an order, and to the `n`th question.
fn bmc_that(answers: impl Fn(usize, &Asked) -> Option<Reply> + Send + Sync + 'static) -> Server {
    let count = AtomicUsize::new(0);
    Server::start(move |asked| {
        let n = count.fetch_add(1, Ordering::SeqCst);
        if let Some(reply) = answers(n, asked) {
            return reply;
        }
        match redfish(&asked.path, "On", &json!([])) {
            Some(document) => Reply::Json(200, document),
            None => Reply::Json(404, json!({})),
        }
    })
}

/// The questions of a wait that has ended: where the system is, the system, its logs, the log, its entries.
const OF_THE_ERROR: usize = 5;

#[test]
fn a_worker_that_does_not_come_back_is_reset_once_and_the_run_goes_on() {
    let Some(bench) = RunBench::new(2) else { return };
    let boots = power(&bench);
    let hears = Server::start(move |_| {
        boots();
        Reply::Json(200, json!({}))
    });
    // It writes the first fields of the UUID in the other order.
    let Some(emulator) = Emulator::of(UUID_SWAPPED, "On", Some(&hears)) else { return };
    with_emulator(&bench, &emulator);
    tell_numbers(&bench.fleet, 0, &[("product_uuid", UUID), ("product_serial", "To be filled by O.E.M.")]);
    // Nobody is there, and nobody asks.
    tag_bmc(bench.dir.path(), &bench.host(1), "127.0.0.1:1");
    let before = bench.boots();
    let plan = resetting(&bench, 0, "6s");
    bench.fleet.set(0, Fault::NeverBack);
    bench.expect(0, &["plan", "apply", &plan, "--yes"]);
    bench.assert_rebooted_once(&before, "one reset, by the BMC");
    assert_eq!(hears.told(), 1, "{}", emulator.log());
    assert_eq!(emulator.log().matches("POST").count(), 1, "{}", emulator.log());
    // The receipt.
    let (logs, _) = bench.expect(0, &["plan", "logs", "--worker", &bench.host(0)]);
    assert!(
        logs.contains("(power cycle): a forced reset was ordered: ForceRestart (power before: On"),
        "{logs}"
    );
    assert_eq!(logs.matches("power cycle").count(), 1, "{logs}");
    assert!(!logs.contains("cannot be told"), "{logs}");
}

const UUID: &str = "4c4c4544-0037-4810-8052-b4c04f4d5732";
const UUID_SWAPPED: &str = "44454c4c-3700-1048-8052-b4c04f4d5732";
const ANOTHER: &str = "4c4c4544-0037-4810-8052-b4c04f4d5733";

/// A tag that names the BMC of another machine would have that one reset, which may well be at work.
#[test]
fn the_bmc_of_another_machine_is_not_told_to_reset_it() {
    let Some(bench) = RunBench::new(1) else { return };
    let hears = Server::start(|_| Reply::Json(200, json!({})));
    let Some(emulator) = Emulator::of(ANOTHER, "On", Some(&hears)) else { return };
    with_emulator(&bench, &emulator);
    tell_numbers(&bench.fleet, 0, &[("product_uuid", &UUID.to_uppercase())]);
    let (text, _) = bench.expect(0, &["doctor"]);
    let flat = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains("its BMC belongs to another machine"), "{text}");
    assert!(flat(&text).contains(&format!("UUID {ANOTHER}, and the worker is UUID {UUID}")), "{text}");
    let plan = resetting(&bench, 0, "3s");
    bench.fleet.set(0, Fault::NeverBack);
    bench.expect(1, &["plan", "apply", &plan, "--yes"]);
    let status = bench.status();
    let message = worker(&status, &bench.host(0))["error"]["message"].as_str().unwrap().to_owned();
    assert!(
        message.contains("no reset was ordered") && message.contains("belongs to another machine"),
        "{message}"
    );
    assert!(message.contains(ANOTHER) && message.contains(UUID), "{message}");
    assert!(!message.contains("power On"), "what it says of another one is not the worker's: {message}");
    // Nor by a process that has not met the worker itself.
    bench.expect(1, &["plan", "resume", "--retry"]);
    assert_eq!(hears.told(), 0, "{}", emulator.log());
    assert!(!emulator.log().contains("POST"), "{}", emulator.log());
    // Whatever stands there now, the numbers of an earlier boot are not compared with.
    let (mode, folder) = (0o777, bench.path("data/hardware"));
    let permissions = std::fs::metadata(&folder).unwrap().permissions();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&permissions) & mode, 0o700);
}

/// Whether a reset was sent cannot be known after a crash: it is not sent again, and the worker tells.
#[test]
fn a_controller_that_is_killed_between_commit_and_order_orders_nothing_again() {
    let Some(bench) = RunBench::new(1) else { return };
    let killed = Arc::new(AtomicBool::new(false));
    let is_killed = Arc::clone(&killed);
    let server =
        bmc_that(move |n, _| (n >= OF_THE_ERROR && !is_killed.load(Ordering::SeqCst)).then_some(Reply::Hang));
    with_bmc(&bench, &server, "");
    let plan = resetting(&bench, 0, "3s");
    bench.fleet.set(0, Fault::NeverBack);
    let mut child = bench.spawn(&["plan", "apply", &plan, "--yes"]);
    wait_until("the reset is about to be ordered", || server.asked().len() > OF_THE_ERROR);
    child.kill().unwrap();
    child.wait().unwrap();
    killed.store(true, Ordering::SeqCst);
    bench.expect(1, &["plan", "resume"]);
    let status = bench.status();
    let message = worker(&status, &bench.host(0))["error"]["message"].as_str().unwrap().to_owned();
    assert!(
        message.contains("is not known, and it is not ordered again")
            && message.contains("last reset 2026-11-30T01:00:00Z"),
        "{message}"
    );
    assert_eq!(server.told(), 0, "{message}");
    // Nor when an operator has helped.
    power(&bench)();
    bench.expect(0, &["plan", "resume", "--retry"]);
    assert_eq!(server.told(), 0);
}

#[test]
fn a_controller_that_is_killed_between_order_and_answer_orders_nothing_again() {
    let Some(bench) = RunBench::new(1) else { return };
    let boots = power(&bench);
    // The worker boots, and the emulator waits for this answer with its own.
    let hears = Server::start(move |_| {
        boots();
        Reply::Hang
    });
    let Some(emulator) = Emulator::start("Off", Some(&hears)) else { return };
    with_emulator(&bench, &emulator);
    let before = bench.boots();
    let plan = resetting(&bench, 0, "6s");
    bench.fleet.set(0, Fault::NeverBack);
    let mut child = bench.spawn(&["plan", "apply", &plan, "--yes"]);
    wait_until("the reset is ordered", || hears.told() == 1);
    // What is written is stored a moment later, and nothing waits for that.
    wait_until("what it has said is stored", || {
        let out = bench.maand(&["plan", "logs", "--worker", &bench.host(0)]);
        String::from_utf8_lossy(&out.stdout).contains("cannot be told")
    });
    child.kill().unwrap();
    child.wait().unwrap();
    let (resumed, _) = bench.expect(0, &["plan", "resume"]);
    bench.assert_rebooted_once(&before, "the reset that was sent");
    assert!(!resumed.contains("another machine"), "{resumed}");
    let (logs, _) = bench.expect(0, &["plan", "logs", "--worker", &bench.host(0)]);
    assert!(logs.contains("cannot be told"), "it is said that nobody could compare: {logs}");
    assert_eq!(hears.told(), 1);
    drop(hears);
    wait_until("the emulator is done", || emulator.log().contains("POST"));
    assert_eq!(emulator.log().matches("POST").count(), 1, "{}", emulator.log());
}

#[test]
fn a_worker_that_answers_again_is_not_reset() {
    let Some(bench) = RunBench::new(1) else { return };
    let boots = power(&bench);
    let address = format!("{}:{}", bench.host(0), bench.fleet.port());
    let server = bmc_that(move |n, _| {
        if n == OF_THE_ERROR {
            // It was only late: while its BMC is asked, it comes up.
            boots();
            wait_until("the worker is up", || TcpStream::connect(&address).is_ok());
        }
        None
    });
    with_bmc(&bench, &server, "");
    let before = bench.boots();
    let plan = resetting(&bench, 0, "6s");
    bench.fleet.set(0, Fault::NeverBack);
    bench.expect(0, &["plan", "apply", &plan, "--yes"]);
    bench.assert_rebooted_once(&before, "by itself");
    assert_eq!(server.told(), 0);
    let (logs, _) = bench.expect(0, &["plan", "logs", "--worker", &bench.host(0)]);
    assert!(logs.contains("no reset was ordered: it answers"), "{logs}");
}

#[test]
fn a_bmc_that_refuses_or_does_nothing_is_quoted_and_asked_once() {
    let Some(bench) = RunBench::new(1) else { return };
    let does = Arc::new(AtomicUsize::new(0));
    let which = Arc::clone(&does);
    let refusal = json!({"error": {"@Message.ExtendedInfo": [{"Message": "license\u{1b}[2J expired"}]}});
    let server = bmc_that(move |_, asked| {
        is_reset(asked).then(|| match which.load(Ordering::SeqCst) {
            0 => Reply::Json(403, refusal.clone()),
            _ => Reply::Json(200, json!({})),
        })
    });
    with_bmc(&bench, &server, "");
    let plan = resetting(&bench, 1, "3s");
    for (at, words) in ["no reset was ordered: its BMC", "a forced reset was ordered"].into_iter().enumerate()
    {
        does.store(at, Ordering::SeqCst);
        bench.fleet.set(0, Fault::NeverBack);
        bench.expect(1, &["plan", "apply", &plan, "--yes"]);
        let status = bench.status();
        let message = worker(&status, &bench.host(0))["error"]["message"].as_str().unwrap().to_owned();
        assert!(message.contains(words) && !message.contains('\u{1b}'), "{message}");
        assert!(at > 0 || message.contains("status 403: license"), "{message}");
        assert_eq!(server.told(), at + 1);
        bench.fleet.plug(0);
        bench.write("workspace/disabled.json", "{}");
    }
}

#[test]
fn a_plan_that_resets_needs_bmcs_that_are_named() {
    let Some(bench) = RunBench::new(2) else { return };
    let plan = resetting(&bench, 0, "6s");
    let (_, said) = bench.expect(3, &["plan", "apply", &plan, "--yes"]);
    assert!(said.contains("maand::plan::no_bmc") && said.contains("power = \"redfish\""), "{said}");
    let server = well_behaved("On", json!([]));
    with_bmc(&bench, &server, "");
    let (_, said) = bench.expect(3, &["plan", "apply", &plan, "--yes"]);
    assert!(said.contains("these name none") && said.contains(&bench.host(1)), "{said}");
    tag_bmc(bench.dir.path(), &bench.host(1), &server.address.to_string());
    let (_, said) = bench.expect(3, &["plan", "apply", &plan, "--yes"]);
    assert!(said.contains("maand::plan::same_bmc"), "{said}");
    assert!(server.asked().is_empty());
}

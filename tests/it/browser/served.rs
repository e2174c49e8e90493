//! Pages of `maand serve`.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use super::stored::{PLAN, Stored, Wrong, hostile};
use super::{Killed, SHOWN, assert_accessible, assert_only_text};
use crate::sandbox::up::Up;
use crate::support::browser::Browser;
use crate::support::serve::Serve;

/// So long after its commit a change may come to a page that is looked at.
const LATE: Duration = Duration::from_secs(1);
/// As many times as long on a busy machine.
const LOADED: u32 = 10;

/// Carried out by a sandbox in some seconds.
const PATCH: &str = "\
version: 1
name: patch
rollout: {concurrency: 1}
steps:
  - id: look
    run: {command: 'true', idempotent: true}
  - reboot
  - wait_for_ssh: {settle: 1s}
    timeout: 1m
";

/// What the page says of a worker.
fn state_of(host: &str) -> String {
    format!("return document.querySelector('#table tr[data-host=\"{host}\"]')?.dataset.state")
}

#[track_caller]
fn wait_for_state(browser: &Browser, host: &str, state: &str) {
    browser.wait_until(&format!("{host} {state}"), &format!("{} === '{state}'", state_of(host)));
}

#[test]
fn a_page_changes_under_the_eye_and_outlives_its_server() {
    let Some(browser) = Browser::start() else { return };
    let stored = Stored::new();
    stored.run(PLAN, 3, &Wrong::default());
    let mut run = stored.begin(PLAN, 30, &Wrong::default(), 40);
    let mut server = Serve::of(stored.path());
    let own = format!("http://{}/", server.address);

    // From the list to the run.
    browser.open(&own);
    assert!(browser.text("h1").contains("Runs"), "{}", browser.text("body"));
    assert_accessible(&browser, "the list");
    browser.click(&format!("a[href*='{}']", run.name));
    browser
        .wait_until("the page of the run", "return document.querySelector('#live')?.textContent === 'live'");
    assert_accessible(&browser, "a run");
    browser.assert_quiet(&own);

    browser.media("screen", &[("prefers-reduced-motion", "reduce")]);
    // Somebody has found some workers, is about to type on, and has moved the page a little.
    browser.focus("#find");
    browser.types("worker-2");
    browser.wait_until("what was found", "return found.textContent === '11 of 30'");
    browser.ask("window.scrollTo(0, 150); document.getElementById('find').setSelectionRange(3, 5)", &[]);
    let here = "const at = document.activeElement; return [at.id, at.value, at.selectionStart, at.selectionEnd, scrollY]";
    let before = browser.ask(here, &[]);
    assert_eq!(before, json!(["find", "worker-2", 3, 5, 150]));
    let mut late = Duration::ZERO;
    for _ in 0..3 {
        let host = run.goes_on_until_one_is_done();
        let committed = Instant::now();
        wait_for_state(&browser, &host, "succeeded");
        late = late.max(committed.elapsed());
    }
    let _ = writeln!(std::io::stderr().lock(), "on the page {late:?} after its commit (wanted: {LATE:?})");
    assert!(late < LATE * LOADED, "{late:?}");
    // What was found stays found, also of what is new, and nothing else has moved.
    assert_eq!(browser.ask(SHOWN, &[]), json!({"rows": 11, "lanes": 11}));
    assert_eq!(browser.ask(here, &[]), before);
    browser.assert_quiet(&own);

    // The server dies: the page says so, and what it shows stays.
    server.signal(Signal::KILL);
    let said = "return /not connected/.test(document.querySelector('#live').textContent)";
    browser.wait_until("that it is not connected", said);
    assert_eq!(browser.ask(SHOWN, &[]), json!({"rows": 11, "lanes": 11}));
    let host = run.goes_on_until_one_is_done();
    let server = Serve::at(&server.address.to_string(), stored.path(), &[]);
    browser
        .wait_until("that it is live again", "return document.querySelector('#live').textContent === 'live'");
    wait_for_state(&browser, &host, "succeeded");
    assert_eq!(browser.ask(SHOWN, &[]), json!({"rows": 11, "lanes": 11}));
    assert_eq!(browser.ask(here, &[]), before);
    // That nobody answered is all that the browser has to say.
    let console = browser.console();
    let others: Vec<_> = console.iter().filter(|line| !line.contains("ERR_CONNECTION_REFUSED")).collect();
    assert!(others.iter().all(|line| line.contains("/events")), "{others:?}");

    // And to its end.
    while run.goes_on() {}
    browser.wait_until("the end", "return /succeeded/.test(document.title) && /succeeded/.test(document.querySelector('h1').textContent)");
    assert_eq!(browser.ask(here, &[]), before);
    browser.assert_quiet(&format!("http://{}/", server.address));
}

#[test]
fn hostile_text_is_text_also_in_what_is_told_later() {
    let Some(browser) = Browser::start() else { return };
    let stored = Stored::new();
    let (plan, wrong) = hostile();
    let mut run = stored.begin(&plan, 5, &wrong, 3);
    let server = Serve::of(stored.path());
    let own = format!("http://{}/", server.address);
    browser.open(&own);
    assert_only_text(&browser, 1);
    browser.click(&format!("a[href*='{}']", run.name));
    browser
        .wait_until("the page of the run", "return document.querySelector('#live')?.textContent === 'live'");
    assert_only_text(&browser, 4);
    while run.goes_on() {}
    browser.wait_until("the end", "return /halted/.test(document.querySelector('h1').textContent)");
    assert_only_text(&browser, 8);
    browser.assert_quiet(&own);
}

/// A real run beside it, whose facts are of other processes.
#[test]
fn a_run_that_is_carried_out_is_followed() {
    let Some(browser) = Browser::start() else { return };
    let up = Up::new(&[]);
    let server = Serve::of(&up.bucket);
    let own = format!("http://{}/", server.address);
    browser.open(&own);
    std::fs::write(up.bucket.join("patch.yaml"), PATCH).unwrap();
    let controller = Command::new(env!("CARGO_BIN_EXE_maand"))
        .current_dir(&up.bucket)
        .args(["plan", "apply", "patch.yaml", "--yes"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut controller = Killed(controller);
    crate::wait_until("the run in the list", || {
        browser.open(&own);
        browser.ask("return document.querySelectorAll('a[href^=\"/runs/\"]').length", &[]) != 0
    });
    browser.click("a[href^='/runs/']");
    browser
        .wait_until("the page of the run", "return document.querySelector('#live')?.textContent === 'live'");
    browser.ask(WHEN_SUCCEEDED, &[]);
    browser.wait_until("the end", "return /succeeded/.test(document.querySelector('h1').textContent)");
    assert_eq!(controller.0.wait().unwrap().code(), Some(0));
    let seen = browser.wait_until("all workers", "return Object.keys(seen).length === 3 && seen");
    let status: Value = serde_json::from_str(&up.works(&["plan", "status", "--output", "json"])).unwrap();
    let mut late = 0;
    for worker in status["workers"].as_array().unwrap() {
        let (host, at) = (worker["host"].as_str().unwrap(), worker["finished_at"].as_str().unwrap());
        let at: jiff::Timestamp = at.parse().unwrap();
        late = late.max(seen[host].as_i64().unwrap() - at.as_millisecond());
    }
    let _ = writeln!(
        std::io::stderr().lock(),
        "a real run: on the page {late} ms after its fact (wanted: {LATE:?})"
    );
    assert!(u128::try_from(late).unwrap() < (LATE * LOADED).as_millis(), "{late}");
    browser.assert_quiet(&own);
}

/// When each worker was seen to have succeeded, by this machine's clock, in milliseconds.
const WHEN_SUCCEEDED: &str = "
    window.seen = {};
    const look = () => document.querySelectorAll('#table tr[data-state=succeeded]')
      .forEach((row) => { seen[row.dataset.host] ??= Date.now(); });
    new MutationObserver(look).observe(document.body, {subtree: true, childList: true, attributes: true});
    look();";

//! `maand serve --control` in a browser: by click, without script, and what other pages can do.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use super::{Killed, TAB, assert_accessible};
use crate::sandbox::up::Up;
use crate::support::browser::Browser;
use crate::support::serve::Serve;

/// Gates that the controller keeps open for a time, so that it lives meanwhile.
const WAITS: &str = "\
version: 1
name: own
rollout: {concurrency: 1}
steps:
  - id: ask
    approve: {message: 'Is <img src=x onerror=alert(1)> well?'}
    timeout: 1h
  - id: look
    run: {command: 'true', idempotent: true}
  - id: again
    approve: {}
    timeout: 1h
";

const APPROVED: &str = "return /Approved/.test(document.querySelector('#answer')?.textContent)";
const APPROVE: &str = "return document.querySelector('button[aria-label^=Approve]')?.ariaLabel";

#[test]
fn an_operator_approves_by_click_and_no_other_page_does() {
    let Some(browser) = Browser::start() else { return };
    let up = Up::new(&["--workers", "1"]);
    let mut controller = apply(&up);
    let mut server = Serve::with(&up.bucket, &["--control"]);
    let own = format!("http://{}/", server.address);
    let run = status(&up)["run"].as_str().unwrap().to_owned();
    let page = format!("{own}runs/{run}");

    // The link that was printed has the token; the page takes it out of its address.
    browser.open(server.told["login"].as_str().unwrap());
    assert_eq!(
        browser.wait_until("the token's way", "return location.hash === '' && location.href"),
        format!("{own}login")
    );
    assert_accessible(&browser, "the login");
    log_in(&browser, None);
    browser.assert_quiet(&own);

    // By click, while the page is live.
    browser.open(&page);
    let asked = browser.wait_until("what waits", APPROVE);
    assert!(asked.as_str().unwrap().starts_with("Approve ask of "), "{asked}");
    assert_eq!(browser.ask("return document.images.length", &[]), 0);
    assert_accessible(&browser, "the page of a run that waits");
    browser.assert_quiet(&own);

    // Another page, which the browser's cookie goes to as well, and which even knows what the form has.
    let field = |name: &str| {
        browser.ask("return document.querySelector(`[name=${arguments[0]}]`).value", &[name.into()])
    };
    let stolen = json!({"form": field("form"), "ticket": field("ticket"), "do": "approve", "host": field("host"), "step": "ask"});
    let other = serve_page(&attack(&page, &stolen));
    browser.open(&other);
    let tried =
        browser.wait_until("what the other page tried", "return Object.keys(tried).length === 4 && tried");
    assert_eq!(tried, json!({"read": "refused", "events": "refused", "json": "refused", "form": "refused"}));
    let console = browser.console().join("\n");
    assert!(console.contains("frame-ancestors"), "in a frame: {console}");
    browser.click("#go");
    browser.wait_until(
        "the refusal",
        &format!("return location.href === '{page}/control' && document.querySelector('h1')"),
    );
    assert!(browser.text("body").contains("a page of another origin"), "{}", browser.text("body"));
    // A name that somebody else has let point here.
    browser.open(&format!("http://rebound.test:{}/runs/{run}", server.address.port()));
    assert!(!browser.text("body").contains(&run), "{}", browser.text("body"));
    browser.console();
    browser.requests();
    assert_eq!(status(&up)["workers"][0]["state"], "waiting", "nothing of that was done");

    browser.open(&page);
    browser.wait_until("what waits", APPROVE);
    browser.click("button[aria-label^='Approve ask']");
    browser.wait_until("the answer", APPROVED);
    // The next gate comes by itself.
    browser.wait_until(
        "what waits next",
        "return /^Approve again/.test(document.querySelector('button[aria-label^=Approve]')?.ariaLabel)",
    );
    browser.assert_quiet(&own);

    // The same without script, from the login on.
    browser.click("form.who button");
    browser.cdp("Emulation.setScriptExecutionDisabled", json!({"value": true}));
    browser.open(&format!("{own}login"));
    log_in(&browser, server.told["login"].as_str().unwrap().split_once('#').map(|(_, token)| token));
    browser.open(&page);
    browser.click("button[aria-label^='Approve again']");
    browser.wait_until("the answer", APPROVED);
    assert_eq!(controller.0.wait().unwrap().code(), Some(0));
    let journal = rusqlite::Connection::open(up.bucket.join("data/plan.db")).unwrap();
    let by = "SELECT count(*) FROM request WHERE by LIKE 'ana (web) via %'";
    assert_eq!(journal.query_row(by, [], |row| row.get::<_, u32>(0)).unwrap(), 2);

    // A server that is told to end does so, also while somebody looks.
    let ended = server.signal(rustix::process::Signal::INT);
    assert_eq!(ended.code(), Some(0));
}

fn log_in(browser: &Browser, token: Option<&str>) {
    browser.focus("#name");
    browser.types("ana");
    if let Some(token) = token {
        browser.types(&format!("{TAB}{token}"));
    }
    browser.click("main form button");
    browser.wait_until("the list", "return /Runs/.test(document.querySelector('h1')?.textContent)");
}

/// A run that waits for the first approval.
fn apply(up: &Up) -> Killed {
    std::fs::write(up.bucket.join("own.yaml"), WAITS).unwrap();
    let child: Child = Command::new(env!("CARGO_BIN_EXE_maand"))
        .current_dir(&up.bucket)
        .args(["plan", "apply", "own.yaml", "--yes"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let child = Killed(child);
    crate::wait_until("the run waits for an approval", || {
        status(up).to_string().contains("waits for an approval")
    });
    child
}

fn status(up: &Up) -> Value {
    serde_json::from_slice(&up.maand(&["plan", "status", "--output", "json"]).stdout).unwrap_or_default()
}

/// What another site's page would try.
fn attack(page: &str, fields: &Value) -> String {
    format!(
        "<!doctype html><html lang=en><title>Another page</title><iframe src='{page}'></iframe>
         <form method=post action='{page}/control'></form>
         <script>
           const page = '{page}', fields = {fields}, tried = {{}};
           const form = document.querySelector('form');
           for (const [name, value] of Object.entries(fields)) {{
             form.append(Object.assign(document.createElement('input'), {{type: 'hidden', name, value}}));
           }}
           form.append(Object.assign(document.createElement('button'), {{id: 'go', textContent: 'A prize'}}));
           const note = (name, sent) => sent.then((answer) => {{ tried[name] = answer.type; }}, () => {{ tried[name] = 'refused'; }});
           const body = new URLSearchParams(fields), credentials = 'include';
           note('read', fetch(page, {{credentials}}));
           note('form', fetch(`${{page}}/control`, {{method: 'POST', mode: 'no-cors', credentials, body}}));
           note('json', fetch(`${{page}}/control`, {{method: 'POST', credentials, headers: {{'Content-Type': 'application/json'}}, body: '{{}}'}}));
           const events = new EventSource(`${{page}}/events`, {{withCredentials: true}});
           events.onopen = () => {{ tried.events = 'open'; }};
           events.onerror = () => {{ tried.events = 'refused'; events.close(); }};
         </script>"
    )
}

/// Serves one page at every path of another port; its address.
fn serve_page(html: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/", listener.local_addr().unwrap());
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{html}",
        html.len()
    );
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let answer = answer.clone();
            // A browser opens connections that it does not use.
            std::thread::spawn(move || {
                let _ = stream.read(&mut [0; 8192]);
                let _ = stream.write_all(answer.as_bytes());
            });
        }
    });
    address
}

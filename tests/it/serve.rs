//! `maand serve` beside real runs: pages over HTTP that follow a run, and answers to whatever is asked.

mod answers;
mod load;
mod stored;

use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::sandbox::up::Up;
use crate::support::http::{Answer, Events, get};
use crate::support::serve::Serve;

const PLAN: &str = "\
version: 1
name: patch
description: \"look <b>&, then boot\"
rollout: {concurrency: 2}
steps:
  - id: look
    run: {command: 'true', idempotent: true}
  - reboot
  - wait_for_ssh: {settle: 1s}
    timeout: 1m
";

fn apply(up: &Up) -> Child {
    std::fs::write(up.bucket.join("patch.yaml"), PLAN).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_maand"));
    command.current_dir(&up.bucket).args(["plan", "apply", "patch.yaml", "--yes"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// The path of the only run in the list.
fn only_run(page: &Answer) -> Option<String> {
    let (_, rest) = page.body.split_once("href=\"/runs/")?;
    Some(format!("/runs/{}", rest.split('"').next()?))
}

/// What the page says it has.
pub(super) fn version(page: &Answer) -> String {
    let (_, rest) = page.body.split_once("data-version=\"").expect("a version");
    rest.split('"').next().unwrap().to_owned()
}

#[test]
fn a_page_follows_a_run_while_it_is_carried_out() {
    let up = Up::new(&[]);
    let server = Serve::of(&up.bucket);
    let empty = get(server.address, "/");
    assert_eq!(empty.status, 200);
    assert!(empty.body.contains("maand plan apply"), "{}", empty.body);

    let mut controller = apply(&up);
    let mut run = None;
    crate::wait_until("the run in the list", || {
        run = only_run(&get(server.address, "/"));
        run.is_some()
    });
    let run = run.unwrap();
    let page = get(server.address, &run);
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert!(
        page.body.contains("look &lt;b&gt;&amp;, then boot") && !page.body.contains("<b>&"),
        "text is never markup"
    );
    let mut events =
        Events::listen(server.address, &format!("{run}/events?since={}", version(&page)), "").unwrap();
    let (mut lanes, mut rows, mut head) = (0, 0, String::new());
    while !head.contains("succeeded</span>") {
        let event = events.next().expect("the stream lasts as long as the run");
        match event.name.as_str() {
            "change" => {
                let data: Value = serde_json::from_str(&event.data).unwrap();
                for element in data["elements"].as_array().unwrap() {
                    let (id, html) = (element["id"].as_str().unwrap(), element["html"].as_str().unwrap());
                    lanes += usize::from(id.starts_with("lane-"));
                    rows += usize::from(id.starts_with("worker-"));
                    assert!(html.contains(&format!("id=\"{id}\"")), "{html}");
                    if id == "part-head" {
                        head = html.to_owned();
                    }
                }
            }
            // The page of now.
            "reload" => head = get(server.address, &run).body,
            _ => {}
        }
    }
    assert!(lanes > 3 && rows > 3, "{lanes} lanes and {rows} rows have changed");
    assert_eq!(controller.wait().unwrap().code(), Some(0));
    let page = get(server.address, &run);
    assert_eq!(page.body.matches("data-state=\"succeeded\"").count(), 6, "a lane and a row of each");
}

#[test]
fn a_controller_that_dies_is_missed_on_the_page() {
    let up = Up::new(&[]);
    let server = Serve::of(&up.bucket);
    let mut controller = apply(&up);
    let mut run = None;
    crate::wait_until("the run in the list", || {
        run = only_run(&get(server.address, "/"));
        run.is_some()
    });
    let run = run.unwrap();
    crate::wait_until("a worker under way", || {
        get(server.address, &run).body.contains("data-state=\"running\"")
    });
    controller.kill().unwrap();
    controller.wait().unwrap();
    let missed = "no controller is running it";
    crate::wait_until("that nobody carries it out", || get(server.address, &run).body.contains(missed));
    assert!(get(server.address, "/").body.contains("interrupted"));
}

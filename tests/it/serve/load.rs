//! What many viewers of a large run cost, measured from outside.

use std::io::Write;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::version;
use crate::browser::stored::{PLAN, Stored, Wrong};
use crate::support::http::{Events, get};
use crate::support::serve::Serve;

/// `WORKERSxVIEWERSxSECONDS`; a release is measured by `cargo test --release`.
const LOAD: &str = "MAAND_SERVE_LOAD";

/// Seconds of a processor that a process has used, and its memory in KB.
fn used(pid: u32) -> (f64, u64) {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: f64 = fields[11..13].iter().map(|field| field.parse::<f64>().unwrap()).sum();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    (ticks / 100.0, rss.trim().trim_end_matches(" kB").parse().unwrap())
}

#[test]
fn many_viewers_of_a_large_run_cost_little() {
    let load = std::env::var(LOAD).unwrap_or_else(|_| "200x20x3".to_owned());
    let numbers: Vec<u32> = load.split('x').map(|number| number.parse().unwrap()).collect();
    let [workers, viewers, seconds] = numbers[..] else { panic!("{LOAD}={load}") };
    let stored = Stored::new();
    let mut run = stored.begin(PLAN, workers, &Wrong::default(), 120);
    let server = Serve::of(stored.path());
    let path = format!("/runs/{}", run.name);
    let page = get(server.address, &path);
    let since = version(&page);
    let listen = || Events::listen(server.address, &format!("{path}/events?since={since}"), "").unwrap();
    let mut first = listen();
    let (sender, told) = std::sync::mpsc::channel();
    for _ in 1..viewers {
        let (mut events, sender) = (listen(), sender.clone());
        // They end with the server.
        std::thread::spawn(move || {
            while let Some(event) = events.next() {
                if sender.send(event.data.len()).is_err() {
                    return;
                }
            }
        });
    }
    let pid = server.child.id();
    let (began, before) = (Instant::now(), used(pid));
    let mut late = Duration::ZERO;
    let mut bytes = 0;
    for second in 1..=seconds {
        assert!(run.goes_on(), "the run is too short");
        let (committed, at) = (Instant::now(), jiff::Timestamp::now().as_millisecond());
        // The first viewer waits for what was told after it; of a page that is to be loaded anew no time is known.
        while let Some(event) = first.next() {
            bytes += event.data.len();
            let told = serde_json::from_str::<Value>(&event.data).unwrap()["at"].as_i64();
            if event.name == "reload" || (event.name == "change" && told >= Some(at)) {
                break;
            }
        }
        late = late.max(committed.elapsed());
        let next = began + Duration::from_secs(second.into());
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    let (after, took) = (used(pid), began.elapsed().as_secs_f64());
    let share = (after.0 - before.0) / took * 100.0;
    let others: usize = told.try_iter().sum();
    let _ = writeln!(
        std::io::stderr().lock(),
        "{workers} workers, {viewers} viewers: {share:.1} % of a processor, {} MB, {} KB a second to each, at most {late:?} late; \
         the page has {} KB",
        after.1 / 1024,
        bytes / 1024 / seconds as usize,
        page.body.len() / 1024
    );
    assert!(others > 0 || viewers == 1, "all are told");
    // A debug build on a busy machine; what is promised is measured with a release.
    assert!(late < Duration::from_secs(10) && share < 90.0, "{late:?}, {share} %");
    assert!(after.1 < 200 << 10, "{} KB", after.1);
}

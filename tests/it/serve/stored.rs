//! Runs that are stored: what is told of them afterwards, what is wrong with their journal, and that text is text.

use maand::journal::{Journal, Mode};
use rusqlite::Connection;

use super::version;
use crate::browser::stored::{Stored, hostile};
use crate::journal::played::{bucket, data, graph, header_of, play, stored};
use crate::support::http::{Events, get};
use crate::support::serve::Serve;

const HOSTS: [&str; 3] = ["w1", "w2", "w3"];

/// The path after `href="` that contains this.
#[track_caller]
fn link<'a>(page: &'a str, part: &str) -> &'a str {
    let mut links = page.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next());
    links.find(|link| link.contains(part)).unwrap_or_else(|| panic!("no link with {part}: {page}"))
}

#[test]
fn from_the_list_to_what_a_worker_wrote_by_links_alone() {
    let (folder, run) = stored(&HOSTS);
    let server = Serve::of(folder.path());
    let list = get(server.address, "/").body;
    let page = get(server.address, link(&list, "/runs/")).body;
    assert!(page.contains("What went wrong"), "{page}");
    let worker = get(server.address, link(&page, "/workers/w2")).body;
    assert!(worker.contains("w2 has not come back within 15m"), "{worker}");
    // Of the steps the one that failed says so.
    let (_, after) = worker.split_once("<td class=\"bad\">").expect("what failed");
    let output = get(server.address, link(after, "/attempts/")).body;
    assert!(output.contains("ssh: connect to host w2: refused"), "{output}");
    let history = get(server.address, link(&worker, "\u{2f}workers/w2")).body;
    assert!(history.contains(run.as_str()), "{history}");
    let history = get(server.address, "/workers/w2").body;
    assert!(history.contains(run.as_str()) && history.contains("/attempts/"), "{history}");
}

#[test]
fn the_list_is_narrowed_by_links_that_can_be_kept() {
    let (folder, run) = stored(&HOSTS);
    let server = Serve::of(folder.path());
    let has = |query: &str| get(server.address, query).body.contains(&format!("/runs/{run}\""));
    for (query, fits) in [
        ("/?state=halted", true),
        ("/?state=succeeded", false),
        ("/?plan=rolling-reboot", true),
        ("/?plan=rolling*", true),
        ("/?plan=other", false),
        ("/?by=me", true),
        ("/?by=nobody", false),
        ("/?worker=w2", true),
        ("/?worker=w9", false),
        ("/?page=2", false),
        ("/?page=99999999999999999999", true),
        ("/?state=halted&plan=rolling*&by=me&worker=w3", true),
        // What is not understood means nothing.
        ("/?state=nonsense", false),
        ("/?since=yesterday", false),
    ] {
        assert_eq!(has(query), fits, "{query}");
    }
    let page = get(server.address, "/?plan=%22%3E%3Cscript%3Ealert(1)%3C/script%3E").body;
    assert!(!page.contains("<script>alert") && page.contains("&quot;&gt;&lt;script&gt;alert"), "{page}");
}

#[test]
fn a_journal_that_grows_is_told_and_who_was_away_catches_up() {
    let dir = bucket();
    let graph = graph(&HOSTS);
    let mut appends = play(&graph).into_iter();
    let server = Serve::of(dir.path());
    assert!(get(server.address, "/").body.contains("There is no run in this bucket yet"));
    // The journal appears while the server runs.
    let mut journal = Journal::open(&data(dir.path()), Mode::ReadWrite).unwrap();
    let first = appends.next().unwrap();
    let mut header = header_of(&graph);
    let now = jiff::Timestamp::now().as_millisecond();
    header.started_at = now;
    let (run, _) = journal.create_run(&header, &first).unwrap();
    crate::wait_until("the run in the list", || get(server.address, "/").body.contains(run.as_str()));
    let path = format!("/runs/{run}");
    let page = get(server.address, &path);
    let seen = version(&page);
    let mut events = Events::listen(server.address, &format!("{path}/events?since={seen}"), "").unwrap();
    let mut writer = journal.writer(&run, 1, first.len() as u64).unwrap();
    let mut at = now;
    let mut told = Vec::new();
    for facts in appends.by_ref().take(12) {
        at += 10;
        writer.append(at, &facts, None).unwrap();
    }
    while told.len() < 2 {
        let event = events.next().unwrap();
        assert_ne!(event.name, "gone", "{}", event.data);
        if event.name == "change" {
            told.push(event);
        }
    }
    drop(events);
    // Another one that has seen the first of them gets the second, as it was.
    let id = told[0].id.clone().unwrap();
    let mut late =
        Events::listen(server.address, &format!("{path}/events"), &format!("Last-Event-ID: {id}\r\n"))
            .unwrap();
    assert_eq!(late.next().unwrap().name, "beat");
    assert_eq!(late.next().unwrap(), told[1]);
    // One of another time has to load the page.
    let mut old = Events::listen(server.address, &format!("{path}/events?since=1-1"), "").unwrap();
    assert_eq!(old.next().unwrap().name, "beat");
    assert_eq!(old.next().unwrap().name, "reload");
    // The run is forgotten while it is looked at.
    let db = Connection::open(data(dir.path()).join("plan.db")).unwrap();
    db.execute_batch(
        "PRAGMA foreign_keys = OFF; DROP TRIGGER IF EXISTS fact_is_append_only; DELETE FROM run;",
    )
    .unwrap();
    loop {
        let event = late.next().expect("it is told");
        if event.name == "gone" {
            assert!(event.data.contains("no run is called"), "{}", event.data);
            break;
        }
    }
    assert_eq!(late.next(), None);
    assert_eq!(get(server.address, &path).status, 404);
}

#[test]
fn what_is_wrong_with_a_journal_is_a_page() {
    for (sql, status, said) in [
        ("PRAGMA user_version = 9999", 500, "newer maand"),
        ("UPDATE fact SET fact = fact || ' ' WHERE seq = 9", 500, "fact 9 is not what was written"),
        ("UPDATE fact SET fact = CAST(x'ff' AS TEXT) WHERE seq = 3", 500, "invalid utf-8"),
        ("DELETE FROM fact WHERE seq > 4", 500, "missing"),
        ("UPDATE run SET state = 'sideways'", 500, "sideways"),
        ("UPDATE run_header SET header = '{}'", 500, "run"),
        ("DELETE FROM run_header", 500, "header"),
        ("DELETE FROM fact; DELETE FROM run_header; DELETE FROM run", 404, "no run"),
    ] {
        let (folder, run) = stored(&HOSTS);
        let db = Connection::open(data(folder.path()).join("plan.db")).unwrap();
        db.execute_batch("PRAGMA foreign_keys = OFF; DROP TRIGGER fact_is_append_only").unwrap();
        db.execute_batch(sql).unwrap();
        drop(db);
        let server = Serve::of(folder.path());
        for path in [
            format!("/runs/{run}"),
            format!("/runs/{run}/events"),
            format!("/runs/{run}/report.html"),
            format!("/runs/{run}/workers/w2"),
        ] {
            let answer = get(server.address, &path);
            assert_eq!(answer.status, status, "{sql}: {path}: {}", answer.body);
            assert!(answer.body.contains(said), "{sql}: {path}: {}", answer.body);
        }
        for path in ["/", "/workers/w2"] {
            let answer = get(server.address, path);
            assert!([200, 500].contains(&answer.status) && answer.body.ends_with("</html>"), "{sql}: {path}");
        }
    }
    let folder = bucket();
    std::fs::create_dir(data(folder.path())).unwrap();
    std::fs::write(
        data(folder.path()).join("plan.db"),
        "no database at all, but long enough to be looked at",
    )
    .unwrap();
    let server = Serve::of(folder.path());
    let answer = get(server.address, "/");
    assert_eq!(answer.status, 500);
    assert!(answer.body.contains("What to do"), "{}", answer.body);
}

#[test]
fn hostile_text_is_text_on_every_page() {
    let stored = Stored::new();
    let (plan, wrong) = hostile();
    let run = stored.run(&plan, 5, &wrong);
    let server = Serve::of(stored.path());
    let page = get(server.address, &format!("/runs/{run}")).body;
    let worker = get(server.address, link(&page, "/workers/%3C%2Fpre")).body;
    let attempts: Vec<String> =
        worker.split("href=\"").filter(|rest| rest.contains("/attempts/")).map(str::to_owned).collect();
    let history =
        get(server.address, link(&page, "/workers/").trim_start_matches(&format!("/runs/{run}"))).body;
    assert!(history.contains(&run), "{history}");
    let mut pages = vec![
        get(server.address, "/").body,
        get(
            server.address,
            "/?plan=%3Cimg%20src=x%20onerror=alert(1)%3E&by=%22%3E%3Cscript%3Ealert(2)%3C/script%3E",
        )
        .body,
        get(server.address, "/?state=%3Cscript%3Ealert(2)%3C/script%3E&worker=%3Cb%20id=hacked%3E%0a").body,
        get(server.address, "/runs/%3Cscript%3Ealert(2)%3C%2Fscript%3E").body,
        get(server.address, "/workers/%3Cscript%3Ealert(2)%3C%2Fscript%3E%00%1b%5b2J%e2%80%ae").body,
        get(server.address, &format!("/runs/{run}/report.html")).body,
        history,
        page,
    ];
    // What the worker wrote that failed.
    let mut written = false;
    for attempt in attempts.iter().filter_map(|rest| rest.split('"').next()) {
        let output = get(server.address, attempt).body;
        written |= output.contains("&lt;img src=x onerror=alert(1)&gt;");
        pages.push(output);
    }
    assert!(written, "its output is text");
    pages.push(worker);
    for page in pages {
        for wrong in
            ["<script>alert", "<img", "<svg onload", "<a href=javascript", "<b id=hacked", " style=\""]
        {
            assert!(!page.contains(wrong), "{wrong}: {page}");
        }
        let is_bad = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!page.contains(is_bad), "{page}");
    }
}

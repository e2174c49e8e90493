//! Answers to whatever is asked, and who may ask how much.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use rustix::process::Signal;

use crate::journal::played::{bucket, stored};
use crate::support::http::{Answer, Events, answer_from, connected, exchange, get};
use crate::support::serve::Serve;

const HOSTS: [&str; 3] = ["w1", "w2", "w3"];

/// What every answer has, whatever it is.
#[track_caller]
fn assert_guarded(answer: &Answer, what: &str) {
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "same-origin"),
        ("x-frame-options", "DENY"),
        ("cache-control", "no-store"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        assert_eq!(answer.header(name), Some(value), "{what}");
    }
    let policy = answer.header("content-security-policy").unwrap_or_else(|| panic!("{what}: no policy"));
    assert!(policy.starts_with("default-src 'none'; "), "{policy}");
    for part in ["frame-ancestors 'none'", "connect-src 'self'", "base-uri 'none'"] {
        assert!(policy.contains(part), "{what}: {policy}");
    }
    assert!(!policy.contains("unsafe") && !policy.contains('*'), "{what}: {policy}");
}

fn request(server: &Serve, first: &str) -> Answer {
    let request = format!("{first} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", server.address);
    exchange(server.address, request.as_bytes())
}

#[test]
fn whatever_is_asked_is_answered_with_a_page_and_the_right_status() {
    let (folder, run) = stored(&HOSTS);
    let server = Serve::of(folder.path());
    let long = "x".repeat(3000);
    for (asked, status) in [
        ("GET /".to_owned(), 200),
        ("GET /?state=failed&plan=rolling*&by=me&since=365d&worker=w2&page=1".to_owned(), 200),
        ("GET /?state=nonsense".to_owned(), 200),
        ("GET /?plan=%ff&page=-1&unknown=1".to_owned(), 200),
        ("GET /?plan=a&plan=b".to_owned(), 400),
        (format!("GET /runs/{run}"), 200),
        (format!("GET /runs/{run}/report.html"), 200),
        (format!("GET /runs/{run}/workers/w2"), 200),
        (format!("GET /runs/{run}/workers/w9"), 404),
        (format!("GET /runs/{run}/attempts/1"), 200),
        (format!("GET /runs/{run}/attempts/999999"), 404),
        (format!("GET /runs/{run}/attempts/-1"), 404),
        (format!("GET /runs/{run}/attempts/18446744073709551615"), 404),
        (format!("GET /runs/{run}/nothing"), 404),
        ("GET /workers/w2".to_owned(), 200),
        ("GET /workers/no-such".to_owned(), 200),
        (format!("GET /workers/{}", &long[..400]), 404),
        ("GET /runs/20200101-0000-ffff".to_owned(), 404),
        ("GET /runs/20200101-0000-ffff/events".to_owned(), 404),
        ("GET /runs/..%2f..%2fetc%2fpasswd".to_owned(), 404),
        ("GET /runs/newest".to_owned(), 404),
        ("GET /../maand.conf".to_owned(), 404),
        ("GET /maand.conf".to_owned(), 404),
        ("POST /".to_owned(), 405),
        (format!("DELETE /runs/{run}"), 405),
        ("OPTIONS /".to_owned(), 405),
        (format!("GET /{long}"), 414),
        ("HEAD /".to_owned(), 200),
        (format!("HEAD /runs/{run}"), 200),
        ("HEAD /nothing".to_owned(), 404),
    ] {
        let answer = request(&server, &asked);
        assert_eq!(answer.status, status, "{asked}: {}", answer.body);
        assert_guarded(&answer, &asked);
        if asked.starts_with("HEAD") {
            assert_eq!(answer.body, "", "{asked}");
            assert_ne!(answer.header("content-length"), Some("0"), "{asked}");
        } else {
            assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"), "{asked}");
            assert!(
                answer.body.starts_with("<!DOCTYPE html>") && answer.body.ends_with("</html>"),
                "{asked}"
            );
        }
        if status == 405 {
            assert_eq!(answer.header("allow"), Some("GET,HEAD"), "{asked}");
        }
        if status >= 400 && !asked.starts_with("HEAD") {
            assert!(answer.body.contains("href=\"/\""), "{asked}: the way back");
        }
    }
    let icon = get(server.address, "/favicon.svg");
    assert_eq!((icon.status, icon.header("content-type")), (200, Some("image/svg+xml")));
    let report = get(server.address, &format!("/runs/{run}/report.html"));
    let name = format!("attachment; filename=\"maand-{run}.html\"");
    assert_eq!(report.header("content-disposition"), Some(name.as_str()));
    assert!(!report.body.contains("/events"), "a file asks nobody");
}

#[test]
fn what_is_no_request_is_refused_and_harms_nobody() {
    let folder = bucket();
    let server = Serve::of(folder.path());
    let many = "X-A: b\r\n".repeat(200);
    let long = format!("X-A: {}\r\n", "b".repeat(40_000));
    for (what, bytes) in [
        ("nonsense", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec()),
        ("another protocol", b"GET / HTTP/3.0\r\n\r\n".to_vec()),
        ("a line without an end", vec![b'G'; 100_000]),
        ("many headers", format!("GET / HTTP/1.1\r\n{many}\r\n").into_bytes()),
        ("a long header", format!("GET / HTTP/1.1\r\n{long}\r\n").into_bytes()),
        ("a wrong length", b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n".to_vec()),
    ] {
        let mut stream = connected(server.address);
        let _ = stream.write_all(&bytes);
        let answer = answer_from(stream);
        assert!(
            answer.as_ref().is_none_or(|answer| (400..=505).contains(&answer.status)),
            "{what}: {answer:?}"
        );
        assert_eq!(get(server.address, "/").status, 200, "after {what}");
    }
}

#[test]
fn who_is_slow_or_silent_keeps_nobody_waiting() {
    let (folder, run) = stored(&HOSTS);
    let server = Serve::of(folder.path());
    // Some say nothing, some half of a request, some never read what they have asked for.
    let idle: Vec<_> = (0..100).map(|_| connected(server.address)).collect();
    let mut half: Vec<_> = (0..100).map(|_| connected(server.address)).collect();
    half.iter_mut().for_each(|stream| stream.write_all(b"GET / HT").unwrap());
    let mut deaf: Vec<_> = (0..50).map(|_| connected(server.address)).collect();
    let ask = format!("GET /runs/{run} HTTP/1.1\r\nHost: {}\r\n\r\n", server.address).repeat(20);
    deaf.iter_mut().for_each(|stream| stream.write_all(ask.as_bytes()).unwrap());
    assert_eq!(get(server.address, &format!("/runs/{run}")).status, 200);
    let mut events = Events::listen(server.address, &format!("/runs/{run}/events"), "").unwrap();
    assert_eq!(events.next().unwrap().name, "beat");
    // Their connections are bounded, and who comes too late is told so.
    let more: Vec<_> = (0..400).map(|_| connected(server.address)).collect();
    let mut refused = connected(server.address);
    let mut said = String::new();
    let _ = refused.read_to_string(&mut said);
    assert!(said.starts_with("HTTP/1.1 503 "), "{said}");
    drop((idle, half, deaf, more));
    crate::wait_until("a place", || {
        let mut stream = connected(server.address);
        let ask = format!("GET / HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", server.address);
        let _ = stream.write_all(ask.as_bytes());
        answer_from(stream).is_some_and(|answer| answer.status == 200)
    });
}

#[test]
fn it_ends_at_once_though_somebody_listens() {
    let (folder, run) = stored(&HOSTS);
    for signal in [Signal::INT, Signal::TERM] {
        let mut server = Serve::of(folder.path());
        let mut events = Events::listen(server.address, &format!("/runs/{run}/events"), "").unwrap();
        assert_eq!(events.next().unwrap().name, "beat");
        assert_eq!(server.signal(signal).code(), Some(0));
        while events.next().is_some() {}
        // The port is free again.
        drop(TcpListener::bind(server.address).unwrap());
    }
}

#[test]
fn it_writes_nothing_and_takes_no_lock() {
    let files = |folder: &Path| -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let mut left = vec![folder.to_owned()];
        while let Some(folder) = left.pop() {
            for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
                match entry.file_type().unwrap().is_dir() {
                    true => left.push(entry.path()),
                    false => _ = found.insert(entry.path().display().to_string()),
                }
            }
        }
        found
    };
    let empty = bucket();
    let server = Serve::of(empty.path());
    assert!(get(server.address, "/").body.contains("maand plan apply"));
    assert_eq!(get(server.address, "/runs/20200101-0000-ffff").status, 404);
    assert_eq!(files(empty.path()).len(), 1, "only maand.conf");

    let (folder, run) = stored(&HOSTS);
    let before = std::fs::read(folder.path().join("data/plan.db")).unwrap();
    let mut server = Serve::of(folder.path());
    for path in ["/", "/workers/w2", &format!("/runs/{run}"), &format!("/runs/{run}/workers/w2")] {
        assert_eq!(get(server.address, path).status, 200, "{path}");
    }
    assert!(!folder.path().join("data/plan.lock").exists());
    assert_eq!(server.signal(Signal::TERM).code(), Some(0));
    assert_eq!(std::fs::read(folder.path().join("data/plan.db")).unwrap(), before);
}

#[track_caller]
fn refused(arguments: &[&str]) -> (Option<i32>, String) {
    let folder = bucket();
    let mut command = Command::new(env!("CARGO_BIN_EXE_maand"));
    let Output { status, stderr, .. } = command
        .arg("serve")
        .args(arguments)
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    (status.code(), String::from_utf8(stderr).unwrap())
}

#[test]
fn where_it_can_not_or_must_not_listen_it_says_so() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, said) = refused(&["--listen", &address]);
    assert!(code == Some(3) && said.contains("choose another port"), "{code:?} {said}");
    for other in ["0.0.0.0:0", "[::]:0", "192.0.2.1:8808"] {
        let (code, said) = refused(&["--listen", other]);
        assert!(
            code == Some(2) && said.contains("--allow-remote") && said.contains("ssh -L"),
            "{code:?} {said}"
        );
    }
    // No address of this machine.
    let (code, said) = refused(&["--listen", "192.0.2.1:0", "--allow-remote"]);
    assert!(code == Some(3) && said.contains("an address of this machine"), "{code:?} {said}");
    let (code, said) = refused(&["--listen", "localhost"]);
    assert!(code == Some(2) && said.contains("--listen"), "{code:?} {said}");
}

//! Reads the source by its syntax, and fails when a room uses one that it may not, when a pure room reaches for
//! I/O, a clock or threads, when a `mod.rs` does more than declare, and when a lint is silenced by `allow`.

mod messages;
mod syntax;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use messages::{debug_formats, is_elsewhere};
use syntax::{Names, allows, names, other_items};

/// Each room and the rooms that it may name.
const ROOMS: &[(&str, &[&str])] = &[
    ("os", &[]),
    ("boot", &[]),
    ("http", &["plan"]),
    ("calendar", &[]),
    ("power", &["os", "http", "plan", "bucket"]),
    ("plan", &[]),
    ("bucket", &["os", "plan"]),
    ("inventory", &["plan", "bucket", "ssh"]),
    ("graph", &["calendar", "plan", "bucket"]),
    ("policy", &["calendar", "graph", "plan", "bucket"]),
    ("compare", &["graph", "policy", "plan", "bucket"]),
    ("engine", &["graph", "policy", "plan", "bucket"]),
    ("timeline", &["engine", "report", "graph", "policy", "plan", "bucket"]),
    ("chart", &["timeline", "engine", "report", "graph", "policy", "plan", "bucket"]),
    ("page", &["timeline", "engine", "report", "graph", "policy", "plan", "bucket"]),
    ("metrics", &["timeline", "engine", "graph", "policy", "plan", "bucket"]),
    ("check", &["engine", "graph", "policy", "plan", "bucket"]),
    ("controller", &["boot", "engine", "graph", "policy", "plan", "bucket"]),
    ("silence", &["engine", "graph", "policy", "plan", "bucket"]),
    ("journal", &["os", "engine", "graph", "policy", "plan", "bucket"]),
    ("ssh", &["boot", "os", "plan", "bucket"]),
    ("catalog", &["boot", "os", "bucket", "ssh", "plan"]),
    ("bundle", &["os", "journal", "engine", "graph", "policy", "plan", "bucket"]),
    ("report", &["os", "engine", "graph", "policy", "plan", "bucket"]),
    ("review", &["os", "catalog", "graph", "policy", "plan", "bucket"]),
    (
        "runner",
        &[
            "os",
            "boot",
            "http",
            "power",
            "controller",
            "silence",
            "engine",
            "journal",
            "ssh",
            "catalog",
            "report",
            "graph",
            "policy",
            "plan",
            "bucket",
        ],
    ),
    ("notice", &["engine", "report", "graph", "policy", "plan", "bucket"]),
    ("delivery", &["os", "http", "notice", "journal", "runner", "report", "engine", "plan"]),
    ("sim", &["boot", "controller", "silence", "engine", "report", "graph", "policy", "plan", "bucket"]),
    ("sandbox", &["os", "bucket", "plan"]),
    (
        "run",
        &[
            "os",
            "power",
            "bundle",
            "controller",
            "engine",
            "journal",
            "ssh",
            "catalog",
            "runner",
            "notice",
            "delivery",
            "timeline",
            "metrics",
            "page",
            "report",
            "review",
            "graph",
            "policy",
            "plan",
            "bucket",
        ],
    ),
    (
        "rehearsal",
        &[
            "os", "run", "runner", "sandbox", "engine", "journal", "ssh", "catalog", "report", "graph",
            "policy", "plan", "bucket",
        ],
    ),
    ("doctor", &["os", "boot", "power", "plan", "bucket", "ssh", "journal"]),
    (
        "serve",
        &[
            "os", "run", "runner", "metrics", "page", "timeline", "engine", "journal", "report", "graph",
            "plan", "bucket",
        ],
    ),
    (
        "cli",
        &[
            "os",
            "boot",
            "bundle",
            "plan",
            "bucket",
            "graph",
            "policy",
            "compare",
            "engine",
            "check",
            "controller",
            "journal",
            "ssh",
            "catalog",
            "report",
            "review",
            "inventory",
            "runner",
            "sim",
            "sandbox",
            "run",
            "rehearsal",
            "doctor",
            "serve",
            "timeline",
            "metrics",
            "chart",
            "page",
        ],
    ),
];

/// Rooms that do no I/O, read no clock and start no thread.
pub(crate) const PURE: &[&str] = &[
    "boot",
    "calendar",
    "silence",
    "plan",
    "inventory",
    "graph",
    "policy",
    "compare",
    "engine",
    "check",
    "controller",
    "sim",
    "timeline",
    "metrics",
    "notice",
    "chart",
    "page",
];

/// Of rooms that are not pure themselves, all that a pure one may name: data, and functions of it.
const DATA: &[(&str, &[&str])] = &[
    (
        "bucket",
        &[
            "Allocation",
            "Disabled",
            "DisabledEntry",
            "Fleet",
            "HealthCheck",
            "Host",
            "Job",
            "JobIx",
            "JobName",
            "Probe",
            "Resources",
            "RestartPolicy",
            "Worker",
            "WorkerEntry",
            "WorkerIx",
            "edited_disabled",
            "is_user",
            "worker_entries",
        ],
    ),
    ("ssh", &["HostLine", "matches_pattern"]),
    (
        "report",
        &[
            "Approval",
            "Decisions",
            "Event",
            "EventLine",
            "FailedWorker",
            "Overdue",
            "PublicRunState",
            "RunInfo",
            "RunView",
            "Time",
            "WorkerView",
            "describe_elapsed",
            "describe_halt",
            "describe_span",
            "describe_undelivered",
            "event_of",
            "wrapped",
        ],
    ),
];

/// Paths that a pure room must not name, nor anything below them.
const IMPURE: &[&str] = &[
    "std::env",
    "std::fs",
    "std::io",
    "std::net",
    "std::os",
    "std::process",
    "std::sync::mpsc",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "std::time::*",
    "jiff::Timestamp::now",
    "jiff::ZonedDateTime::now",
    "jiff::tz::TimeZone::system",
    "rusqlite",
    "russh",
    "rustix",
    "signal_hook",
    "ssh2",
    "tempfile",
    "tokio",
    "uuid::Uuid::new_v4",
];

/// The same by their ends, wherever they come from (a `use` of everything in a module, for example).
const IMPURE_ENDS: &[&str] = &[
    "Instant::now",
    "SystemTime::now",
    "Timestamp::now",
    "ZonedDateTime::now",
    "TimeZone::system",
    "thread::spawn",
];

/// Macros that write somewhere.
const IMPURE_MACROS: &[&str] = &["dbg", "eprint", "eprintln", "print", "println"];

fn is_below(path: &str, above: &str) -> bool {
    path.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// The rooms that `room` names and may not use.
fn misplaced(room: &str, names: &Names) -> Vec<String> {
    let may = ROOMS.iter().find(|(known, _)| *known == room).map_or(&[][..], |(_, may)| may);
    let wrong = |path: &&String| {
        let Some(of_crate) = path.strip_prefix("crate::") else { return false };
        let named = of_crate.split("::").next().unwrap_or_default();
        let is_room = named == "*" || ROOMS.iter().any(|(known, _)| *known == named);
        is_room && named != room && !may.contains(&named)
    };
    let wrong = names.paths.iter().filter(wrong);
    wrong.map(|path| format!("room `{room}` may not use `{path}`")).collect()
}

/// What a pure room must not name.
fn impure(room: &str, names: &Names) -> Vec<String> {
    if !PURE.contains(&room) {
        return Vec::new();
    }
    let is_data = |path: &str| {
        DATA.iter().all(|(other, data)| {
            let Some(rest) = path.strip_prefix(&format!("crate::{other}::")) else { return true };
            data.contains(&rest.split("::").next().unwrap_or_default())
        })
    };
    let wrong = |path: &&String| {
        IMPURE.iter().any(|impure| is_below(path, impure))
            || IMPURE_ENDS.iter().any(|end| **path == *end || path.ends_with(&format!("::{end}")))
            || !is_data(path)
    };
    let macros = names.macros.iter().filter(|name| IMPURE_MACROS.contains(&name.as_str()));
    let named = names.paths.iter().filter(wrong).chain(macros);
    named.map(|name| format!("the pure room `{room}` names `{name}`")).collect()
}

fn without_a_rule(rooms: &[String]) -> Vec<&String> {
    rooms.iter().filter(|room| !ROOMS.iter().any(|(known, _)| known == room)).collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every file of the library that is compiled outside of tests, by following `mod` from `src/lib.rs`.
fn library() -> BTreeMap<PathBuf, (String, Names)> {
    let src = root().join("src");
    let mut found = BTreeMap::new();
    let mut left: Vec<Vec<String>> =
        names(&text(&src.join("lib.rs")), &[]).modules.into_iter().map(|room| vec![room]).collect();
    while let Some(module) = left.pop() {
        let at = module.iter().fold(src.clone(), |folder, part| folder.join(part));
        let file = Some(at.with_extension("rs")).filter(|file| file.is_file());
        let file = file.unwrap_or_else(|| at.join("mod.rs"));
        let parts: Vec<&str> = module.iter().map(String::as_str).collect();
        let names = names(&text(&file), &parts);
        left.extend(names.modules.iter().map(|inner| [&module[..], std::slice::from_ref(inner)].concat()));
        found.insert(file, (module[0].clone(), names));
    }
    found
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[track_caller]
fn holds_everywhere(rule: impl Fn(&str, &Names) -> Vec<String>) {
    let library = library();
    assert!(library.len() > 200, "only {} files were found", library.len());
    let wrong = library.iter().flat_map(|(file, (room, names))| {
        let file = file.strip_prefix(root()).unwrap().display();
        rule(room, names).into_iter().map(move |what| format!("{file}: {what}"))
    });
    let wrong: Vec<_> = wrong.collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn rooms_use_only_what_they_may() {
    holds_everywhere(misplaced);
}

#[test]
fn the_core_is_pure() {
    holds_everywhere(impure);
}

#[test]
fn every_room_has_a_rule_and_every_rule_a_room() {
    let rooms = names(&text(&root().join("src/lib.rs")), &[]).modules;
    assert!(without_a_rule(&rooms).is_empty(), "no rule for {:?}", without_a_rule(&rooms));
    for entry in std::fs::read_dir(root().join("src")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(name.ends_with(".rs") || rooms.contains(&name), "src/{name} is no room of src/lib.rs");
    }
    for (room, may) in ROOMS {
        assert!([room].into_iter().chain(*may).all(|room| rooms.iter().any(|known| known == room)), "{room}");
    }
}

#[test]
fn mod_files_only_declare() {
    let mut files = Vec::new();
    rust_files(&root().join("src"), &mut files);
    let mods = files.iter().filter(|file| file.ends_with("mod.rs") || file.ends_with("lib.rs"));
    let wrong: Vec<_> = mods.filter(|file| other_items(&text(file)) > 0).collect();
    assert!(wrong.is_empty(), "code belongs in a file with a name: {wrong:?}");
}

#[test]
fn no_lint_is_silenced_by_allow() {
    let mut files = Vec::new();
    // A packaged source has no `fuzz`.
    let folders = ["src", "tests", "benches", "examples", "fuzz"].map(|folder| root().join(folder));
    for folder in folders.iter().filter(|folder| folder.is_dir()) {
        rust_files(folder, &mut files);
    }
    let wrong: Vec<_> = files.iter().filter(|file| allows(&text(file)) > 0).collect();
    assert!(wrong.is_empty(), "write `expect` with a reason: {wrong:?}");
}

/// Each source breaks the rule for rooms in its own way; the second text is what has to be named.
#[test]
fn a_room_that_reaches_too_far_is_noticed() {
    for (source, named) in [
        ("use crate::ssh::Remote;", "crate::ssh::Remote"),
        ("use crate::{plan::Plan, ssh::{Remote, Script}};", "crate::ssh::Script"),
        ("use crate::ssh as plan;", "crate::ssh"),
        ("use crate::*;", "crate::*"),
        ("use super::super::ssh::Remote;", "crate::ssh::Remote"),
        ("fn f() { crate::cli::main(); }", "crate::cli::main"),
        ("struct S { remote: Option<Box<dyn crate::ssh::Remote>> }", "crate::ssh::Remote"),
        ("impl From<crate::ssh::NotRun> for X {}", "crate::ssh::NotRun"),
        ("fn f() { format!(\"{}\", crate::ssh::visible(x)); }", "crate::ssh::visible"),
        ("macro_rules! m { () => { use $crate::{plan::Plan, ssh::Remote}; } }", "crate::ssh::Remote"),
        ("#[error(\"{}\", crate::ssh::visible(x))] struct E;", "crate::ssh::visible"),
        ("mod inner { use super::super::super::ssh::Remote; }", "crate::ssh::Remote"),
        ("#[cfg(debug_assertions)] use crate::ssh::Remote;", "crate::ssh::Remote"),
        ("#[cfg(not(test))] mod inner { use crate::ssh::Remote; }", "crate::ssh::Remote"),
    ] {
        let wrong = misplaced("engine", &names(source, &["engine", "state"]));
        assert!(wrong.iter().any(|what| what.ends_with(&format!("`{named}`"))), "{source}: {wrong:?}");
    }
}

#[test]
fn a_pure_room_that_is_not_is_noticed() {
    for source in [
        "use std::fs;",
        "use std::{collections::BTreeMap, net::{IpAddr, TcpStream}};",
        "use std::time::Instant;",
        "use std::time::*;",
        "fn f() { let now = std::time::SystemTime::now(); }",
        "fn f() { let now: fn() -> Instant = Instant::now; }",
        "use std::time as t; fn f() { t::Instant::now(); }",
        "use jiff::Timestamp as T; fn f() { T::now(); }",
        "fn f() { vec![std::env::var(\"HOME\")]; }",
        "fn f() { std::thread::sleep(d); }",
        "use std::{thread as work}; fn f() { work::sleep(d); }",
        "use tokio::sync::mpsc;",
        "fn f(db: &rusqlite::Connection) {}",
        "fn f(session: ssh2::Session) {}",
        "fn f() { rustix::process::getpid(); }",
        "fn f() { println!(\"x\"); }",
        "fn f() { if true { std::eprintln!(\"x\") } }",
        "fn f() { assert!({ dbg!(true) }); }",
        "use crate::bucket::Bucket;",
        "use crate::bucket::{Fleet, lock};",
        "use crate::bucket::*;",
        "fn f() { crate::bucket::init(x); }",
    ] {
        assert!(!impure("engine", &names(source, &["engine", "state"])).is_empty(), "{source}");
        assert!(impure("bucket", &names(source, &["bucket", "x"])).is_empty(), "not a pure room: {source}");
    }
}

#[test]
fn what_is_right_or_belongs_to_tests_is_not_noticed() {
    for source in [
        "use crate::{graph::Lane, bucket::{Fleet, JobIx}}; use std::{sync::Arc, time::Duration};",
        "#[cfg(test)] mod tests { use std::fs; fn f() { println!(\"{}\", crate::cli::x()); } }",
        "#[cfg(test)] use std::fs;",
        "#[cfg(all(test, unix))] fn f() { std::thread::sleep(d); }",
        "#[test] fn f() { std::fs::read(\"x\"); }",
        "impl S { #[cfg(test)] fn f() { std::fs::read(\"x\"); } }",
        "/// Unlike [`crate::ssh`], and `std::fs`.\nfn f() { let text = \"crate::cli std::fs println!\"; }",
        "// use crate::ssh;\nfn net(fs: u32) { self.io.now(); own::thread(fs); }",
        "use super::fs; fn f() { fs::read(); }",
    ] {
        let names = names(source, &["engine", "state"]);
        let wrong = [misplaced("engine", &names), impure("engine", &names)].concat();
        assert!(wrong.is_empty(), "{source}: {wrong:?}");
    }
}

#[test]
fn the_other_rules_notice_what_breaks_them() {
    assert_eq!(without_a_rule(&["engine".into(), "attic".into()]), ["attic"]);

    let declares = "//! Words.\nmod a;\n#[cfg(test)]\nmod b;\npub use a::*;\n";
    assert_eq!(other_items(declares), 0);
    for code in ["fn f() {}", "struct S;", "const N: u32 = 1;", "mod c { fn f() {} }", "thread_local!();"] {
        assert_eq!(other_items(&format!("{declares}{code}")), 1, "{code}");
    }

    for silenced in [
        "#![allow(dead_code)]",
        "#[allow(clippy::all)] fn f() {}",
        "#[cfg_attr(unix, allow(unused))] fn f() {}",
        "#[cfg(test)] mod tests { fn f() { #[allow(unused)] let x = 1; } }",
    ] {
        assert_eq!(allows(silenced), 1, "{silenced}");
    }
    assert_eq!(allows("#[expect(dead_code, reason = \"why\")] fn allow() { allow(); }"), 0);
}

#[test]
fn no_message_shows_debug_output() {
    let wrong: Vec<String> = library()
        .keys()
        .map(|file| (file.strip_prefix(root()).unwrap().display().to_string(), text(file)))
        .filter(|(name, _)| !is_elsewhere(name))
        .flat_map(|(name, source)| {
            debug_formats(&source)
                .into_iter()
                .map(move |format| format!("{name}: {format}"))
                .collect::<Vec<_>>()
        })
        .collect();
    assert!(wrong.is_empty(), "say it in words:\n{}", wrong.join("\n"));
}

#[test]
fn debug_output_in_a_message_is_noticed() {
    for source in [
        "fn f() { format!(\"no {x:?}\"); }",
        "fn f() { write!(out, \"{:#?}\", x); }",
        "fn f() { vec![format!(\"{x:>9?}\")]; }",
        "#[derive(Error)] enum E { #[error(\"{0:?} is wrong\")] A(String) }",
        "impl T { fn f() { x.map(|x| format!(\"{} {x:?}\", 1)); } }",
    ] {
        assert_eq!(debug_formats(source).len(), 1, "{source}");
    }
    for source in [
        "fn f() { format!(\"why? {x}\"); panic!(\"{x:?}\"); tracing::warn!(\"{x:?}\"); }",
        "#[cfg(test)] mod tests { fn f() { format!(\"{x:?}\"); } }",
        "/// Not `{x:?}`.\nfn f() { vec![if x { panic!(\"{x:?}\") }]; }",
        "const SCRIPT: &str = \"${x:?}\";",
    ] {
        assert_eq!(debug_formats(source), Vec::<String>::new(), "{source}");
    }
}

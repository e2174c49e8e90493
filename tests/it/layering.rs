//! Reads the `use` lines of every room and fails when one uses a room that it may not, or when a
//! pure room reaches for I/O, a clock or threads.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Each room and the rooms that it may name directly.
const ROOMS: &[(&str, &[&str])] = &[
    ("os", &[]),
    ("boot", &[]),
    ("plan", &[]),
    ("bucket", &["os", "plan"]),
    ("graph", &["plan", "bucket"]),
    ("policy", &["graph", "plan", "bucket"]),
    ("engine", &["graph", "policy", "plan", "bucket"]),
    ("controller", &["boot", "engine", "graph", "policy", "plan", "bucket"]),
    ("journal", &["os", "engine", "graph", "policy", "plan", "bucket"]),
    ("ssh", &["boot", "os", "bucket", "plan"]),
    ("catalog", &["boot", "os", "bucket", "ssh", "plan"]),
    ("report", &["engine", "graph", "policy", "plan", "bucket"]),
    (
        "runner",
        &[
            "os",
            "boot",
            "controller",
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
    ("sim", &["boot", "controller", "engine", "report", "graph", "policy", "plan", "bucket"]),
    ("sandbox", &["os", "bucket", "plan"]),
    (
        "run",
        &[
            "os",
            "controller",
            "engine",
            "journal",
            "ssh",
            "catalog",
            "runner",
            "report",
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
];

/// Rooms that do no I/O, read no clock and start no thread, and what gives it away.
const PURE: &[&str] = &["boot", "plan", "graph", "policy", "engine", "controller", "sim"];
const IMPURE: &[&str] = &[
    "tokio",
    "std::fs",
    "std::net",
    "std::process",
    "std::thread",
    "std::env",
    "SystemTime::now",
    "Instant::now",
    "Timestamp::now",
    "Zoned::now",
    "rusqlite",
    "ssh2::",
    "rustix",
    "russh",
    "println!",
    "eprintln!",
    "std::io",
];

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// The code of a file: comments cut off, and unit tests at its end left out (they may read files).
fn code(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    let text = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default().to_owned();
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// Every room that is named after `crate::`, in `use crate::{a::.., b::..}` too.
fn rooms_named(code: &str) -> BTreeSet<String> {
    let word = |text: &str| {
        text.trim_start().chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect::<String>()
    };
    let mut named = BTreeSet::new();
    for after in code.split("crate::").skip(1) {
        let Some(group) = after.strip_prefix('{') else {
            named.insert(word(after));
            continue;
        };
        let mut depth = 0;
        named.insert(word(group));
        for (at, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    named.insert(word(&group[at + 1..]));
                }
                _ => {}
            }
        }
    }
    named
}

#[test]
fn rooms_use_only_what_they_may() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let known: BTreeMap<_, _> = ROOMS.iter().map(|(room, may)| (*room, *may)).collect();
    let mut wrong = Vec::new();
    for (room, may) in ROOMS {
        let folder = src.join(room);
        if !folder.is_dir() {
            continue;
        }
        let mut files = Vec::new();
        rust_files(&folder, &mut files);
        for file in files {
            for named in rooms_named(&code(&file)) {
                let allowed = named == *room || may.contains(&named.as_str());
                if (known.contains_key(named.as_str()) || named == "cli") && !allowed {
                    wrong.push(format!("{}: room `{room}` may not use `{named}`", file.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_room_has_a_rule() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for entry in std::fs::read_dir(src).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "cli" {
            assert!(ROOMS.iter().any(|(room, _)| *room == name), "no rule for room `{name}`");
        }
    }
}

#[test]
fn the_core_is_pure() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    for room in PURE {
        let mut files = Vec::new();
        rust_files(&src.join(room), &mut files);
        for file in files {
            let code = code(&file);
            for word in IMPURE.iter().filter(|word| code.contains(**word)) {
                wrong.push(format!("{}: a pure room names `{word}`", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_reader_of_use_lines_sees_groups() {
    let named = rooms_named("use crate::{plan::Plan, ssh::{Remote, Script}, bucket};\ncrate::cli::x();");
    assert_eq!(named.into_iter().collect::<Vec<_>>(), ["bucket", "cli", "plan", "ssh"]);
}

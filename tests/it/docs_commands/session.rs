//! A page's commands in one shell, in the bucket of a throwaway fleet.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::pages::Page;
use crate::sandbox::up::Up;

/// How long a page may take; what waits for somebody is ended.
const PATIENCE: &str = "120";

/// A command that was carried out.
pub(super) struct Ran {
    pub(super) line: String,
    pub(super) code: i32,
    /// What it wrote, with the hosts of the page.
    pub(super) said: String,
}

/// The hosts that pages name, in the order of the fleet's.
const HOSTS: [&str; 3] = ["10.0.0.1", "10.0.0.2", "10.0.0.3"];

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// One line of the script: its output, errors and exit code in files.
fn step(at: usize, line: &str) -> String {
    format!("eval {} > \"$SAID/{at:03}\" 2>&1 < /dev/null\necho $? > \"$SAID/{at:03}.code\"\n", quoted(line))
}

/// Carries `lines` out. What the page's tables put before and after them is carried out too, and has to go well.
pub(super) fn run(page: &Page, lines: &[String], fleet: &Up) -> Vec<Ran> {
    let workers = crate::document(&fleet.works(&["cat", "workers", "--output", "json"]));
    let hosts: Vec<&str> =
        workers["workers"].as_array().unwrap().iter().map(|one| one["host"].as_str().unwrap()).collect();
    let (folder, said) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let own = |text: &str| {
        HOSTS.iter().zip(&hosts).fold(text.to_owned(), |text, (shown, host)| text.replace(shown, host))
    };
    let mut all: Vec<(String, bool)> = page.before.iter().map(|line| ((*line).to_owned(), false)).collect();
    for line in lines {
        all.push((line.clone(), true));
        let after = page.after.iter().filter(|(begin, _)| line.starts_with(begin));
        all.extend(after.map(|(_, after)| ((*after).to_owned(), false)));
    }
    let here = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let before = entries(&fleet.bucket);
    let kept = ["maand.conf", "secrets/known_hosts"].map(|file| fleet.bucket.join(file));
    let contents = kept.clone().map(|file| fs::read(file).unwrap());
    let script: String = all.iter().enumerate().map(|(at, (line, _))| step(at, &own(line))).collect();
    for sub in ["bin", "home", "work"] {
        fs::create_dir(folder.path().join(sub)).unwrap();
    }
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_maand"), folder.path().join("bin/maand")).unwrap();
    let path = std::env::var("PATH").unwrap();
    let status = Command::new("timeout")
        .args(["-k", "5", PATIENCE, "bash", "-c", &script])
        .current_dir(&fleet.bucket)
        .env_clear()
        .env("PATH", format!("{}:{path}", folder.path().join("bin").display()))
        .env("HOME", folder.path().join("home"))
        .env("WORK", folder.path().join("work"))
        .env("BUCKET", &fleet.bucket)
        .env("REPOSITORY", env!("CARGO_MANIFEST_DIR"))
        .env("SAID", said.path())
        .env("LC_ALL", "C.UTF-8")
        .env("EDITOR", "true")
        .env("MAAND_COLOR", "never")
        .env("MAAND_YES", "1")
        .stdin(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "{}: {status}", page.name);
    // The next page finds what this one has found.
    let _ = fleet.maand(&["plan", "abort", "--yes"]);
    fs::write(fleet.bucket.join("workspace/disabled.json"), "{}").unwrap();
    kept.iter().zip(contents).for_each(|(file, content)| fs::write(file, content).unwrap());
    for new in entries(&fleet.bucket).difference(&before) {
        if new.is_dir() { fs::remove_dir_all(new).unwrap() } else { fs::remove_file(new).unwrap() }
    }
    let mut ran = Vec::new();
    for (at, (line, is_typed)) in all.into_iter().enumerate() {
        let file = said.path().join(format!("{at:03}"));
        let code: i32 = read(&file.with_extension("code")).trim().parse().unwrap();
        let text =
            HOSTS.iter().zip(&hosts).fold(read(&file), |text, (shown, host)| text.replace(host, shown));
        let text = text.replace(&format!(" on {here})"), " on ops)");
        assert!(is_typed || code == 0, "{}: set-up `{line}` ended with {code}:\n{text}", page.name);
        ran.push(Ran { line, code, said: text });
    }
    ran
}

fn entries(folder: &Path) -> BTreeSet<PathBuf> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
        .into_owned()
}

/// A text as a shape: what differs from run to run and from machine to machine (numbers, names of runs, hosts and
/// operators, times, paths) is a `#`, and how lines are broken does not count.
pub(super) fn shape(text: &str) -> String {
    let varies = |word: &str| word.contains(|c: char| c.is_ascii_digit() || "/@".contains(c));
    let mut shape: Vec<&str> = Vec::new();
    for word in text.split_whitespace().filter(|word| *word != "│") {
        let word = if varies(word) { "#" } else { word };
        if word != "#" || shape.last() != Some(&"#") {
            shape.push(word);
        }
    }
    // So that a part of it is made of whole words.
    format!(" {} ", shape.join(" "))
}

#[test]
fn what_differs_from_run_to_run_is_no_difference() {
    let one = shape("  10.0.0.1  failed   0.7s  upgrade\n  × by anna@ops\n  │ since 11:50");
    assert_eq!(one, shape("127.9.8.7 failed 12s upgrade × by root@vm since\n 2026-11-30 1:02"));
    assert!(one.contains(&shape("failed 0.1s upgrade")) && !one.contains(&shape("failed 0.1s up")));
}

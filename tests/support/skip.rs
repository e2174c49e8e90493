//! What this machine has not got, tests skip: said on standard error, counted by `tests/run`, and an error with `CI=true`.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// The file that `tests/run` reads at the end: a line for each skip, the test and why, with a tab between.
const BOOK: &str = "MAAND_TESTS_SKIPPED";

/// Says that this test, or a part of it, is skipped. `false`, for filters and conditions.
///
/// # Panics
/// With `CI=true`, where everything has to be there.
#[track_caller]
pub(crate) fn skipped(why: &str) -> bool {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "CI must not skip this: {why}");
    may_skip(why)
}

/// As [`skipped`], of what not even CI has everywhere.
pub(crate) fn may_skip(why: &str) -> bool {
    let _ = writeln!(std::io::stderr().lock(), "SKIPPED: {why}");
    if let Some(book) = std::env::var_os(BOOK) {
        // With nextest each test is a process, whose thread has no name of it.
        let test = std::env::var("NEXTEST_TEST_NAME").ok();
        let test = test.or_else(|| std::thread::current().name().map(str::to_owned)).unwrap_or_default();
        // One write of one line: tests run at the same time.
        let line = format!("{test}\t{why}\n");
        let written = OpenOptions::new().append(true).create(true).open(book);
        written.and_then(|mut file| file.write_all(line.as_bytes())).unwrap();
    }
    false
}

/// A program that `tests/setup.sh` unpacks into this folder beside what is built, or that is installed; where it is not
/// here, that is said, and with `CI=true` it fails.
#[track_caller]
pub(crate) fn unpacked(folder: &str, name: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join(folder);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::iter::once(beside).chain(std::env::split_paths(&path)).map(|folder| folder.join(name));
    let found = found.into_iter().find(|path| path.is_file());
    if found.is_none() {
        skipped(&format!("no {name}: tests/setup.sh unpacks it"));
    }
    found
}

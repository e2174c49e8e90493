//! What keeps the program small and portable, as far as it can be seen without building a release.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

fn script(name: &str, args: &[&str]) -> (Output, String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    let output = Command::new(path).args(args).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output, said)
}

fn manifest() -> toml::Table {
    read("Cargo.toml").parse().unwrap()
}

#[test]
fn what_is_installed_is_one_unit_without_debug_information_and_survives_a_panic() {
    let profile = &manifest()["profile"]["release"];
    assert_eq!(profile["opt-level"].as_str(), Some("s"));
    assert_eq!(profile["lto"].as_str(), Some("fat"));
    assert_eq!(profile["codegen-units"].as_integer(), Some(1));
    assert_eq!(profile["strip"].as_str(), Some("symbols"));
    // A thread that panics is told as such in a run (src/runner/attempts.rs), and must not take the run with it.
    assert!(profile.get("panic").is_none(), "{profile}");
}

#[test]
fn the_heavy_crates_that_are_told_are_our_dependencies() {
    let manifest = manifest();
    let ours: BTreeSet<&str> =
        manifest["dependencies"].as_table().unwrap().keys().map(String::as_str).collect();
    let page = read("docs/footprint.md");
    let rows: Vec<&str> = page
        .lines()
        .skip_while(|line| !line.starts_with("| crate "))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .filter_map(|row| row.split('`').nth(1))
        .collect();
    assert!(rows.len() > 8, "{rows:?}");
    for row in &rows {
        assert!(ours.contains(row), "docs/footprint.md tells of {row}, which is no dependency");
    }
    let measured = read("benches/footprint.sh");
    let measured = measured.split("HEAVY:-").nth(1).unwrap().split('}').next().unwrap();
    let measured: Vec<&str> = measured.split_whitespace().collect();
    for row in rows {
        assert!(measured.contains(&row), "benches/footprint.sh does not measure {row}");
    }
    for name in measured {
        assert!(ours.contains(name), "benches/footprint.sh measures {name}, which is no dependency");
    }
}

/// What a test has is built for this machine, with its names and without a list of its crates.
#[test]
fn a_build_for_this_machine_is_no_portable_one() {
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let program = env!("CARGO_BIN_EXE_maand");
    let (output, said) = script("packaging/check-portable", &[program, &target]);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for what in ["not stripped", "no list of its crates", "no link to the file with names"] {
        assert!(said.contains(what), "{said}");
    }
    let (output, said) = script("packaging/check-portable", &[program, &target, "2.1"]);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("more than 2.1\n"), "{said}");
    let other = if std::env::consts::ARCH == "aarch64" { "x86_64" } else { "aarch64" };
    let (output, said) =
        script("packaging/check-portable", &[program, &format!("{other}-unknown-linux-gnu")]);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("not for "), "{said}");
    assert_eq!(
        script("packaging/check-portable", &[program, "riscv64-unknown-linux-gnu"]).0.status.code(),
        Some(2)
    );
}

#[test]
fn a_portable_build_knows_two_targets() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let (output, said) = script("packaging/build", &["x86_64-pc-windows-msvc", out.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("no target of ours: x86_64-pc-windows-msvc"), "{said}");
    assert!(!out.exists());
    let (output, said) = script("packaging/build", &[]);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("packaging/build TARGET OUTDIR"), "{said}");
}

#[test]
fn what_builds_a_release_is_pinned_by_hash() {
    let pinned = read("packaging/requirements.txt");
    let lines: Vec<&str> = pinned.lines().filter(|line| !line.starts_with('#')).collect();
    for name in ["cargo-zigbuild==", "ziglang=="] {
        let at = lines.iter().position(|line| line.starts_with(name)).unwrap();
        assert!(lines[at + 1].trim().starts_with("--hash=sha256:"), "{name}");
    }
}

//! What somebody with a fresh checkout types: README.md's two commands. `tests/newcomer` runs them on a bare machine.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A program called `name` that is found before the real one.
fn stand_in(folder: &Path, name: &str, script: &str) {
    let path = folder.join(name);
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// `cargo run --release` and `tests/run` take the same OpenSSL, and neither compiles what the other one has, as long as
/// cargo is told the same.
#[test]
fn the_tests_are_built_as_what_is_run_is_built() {
    let folder = tempfile::tempdir().unwrap();
    let bin = folder.path().join("bin");
    fs::create_dir(&bin).unwrap();
    stand_in(&bin, "cargo", "echo \"$*\" >>\"$SEEN/arguments\"; env -0 >\"$SEEN/environment\"");
    // The set-up installs nothing here.
    for tool in ["apt-get", "dpkg-deb"] {
        stand_in(&bin, tool, "exit 1");
    }
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let given = BTreeMap::from([
        ("HOME".to_owned(), folder.path().display().to_string()),
        ("PATH".to_owned(), path),
        ("SEEN".to_owned(), folder.path().display().to_string()),
    ]);
    let output = Command::new(root().join("tests/run"))
        .arg("some::filter")
        .env_clear()
        .envs(&given)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    let environment = read("environment");
    let seen: BTreeMap<_, _> =
        environment.split_terminator('\0').map(|pair| pair.split_once('=').unwrap()).collect();
    // Those of every shell, and one that only tests read.
    let others = ["PWD", "OLDPWD", "SHLVL", "_", "MAAND_TESTS_SKIPPED"];
    let more: Vec<_> = seen
        .iter()
        .filter(|(name, value)| given.get(**name).is_none_or(|given| given != *value))
        .filter(|(name, _)| !others.contains(name))
        .collect();
    assert!(more.is_empty(), "cargo is told something else than by `cargo run`: {more:?}");
    assert!(read("arguments").contains("--locked --no-fail-fast some::filter"), "{}", read("arguments"));
}

/// What `tests/newcomer` says to an ordinary user who has this README.md.
fn refusal(readme: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let open = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    fs::create_dir(folder.path().join("tests")).unwrap();
    let script = folder.path().join("tests/newcomer");
    fs::copy(root().join("tests/newcomer"), &script).unwrap();
    fs::write(folder.path().join("README.md"), readme).unwrap();
    for path in [folder.path(), &folder.path().join("tests"), &script] {
        open(path, 0o755);
    }
    open(&folder.path().join("README.md"), 0o644);
    let mut command = Command::new("setpriv");
    if rustix::process::geteuid().is_root() {
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
    }
    let output = command.arg(&script).stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(!folder.path().join("target").exists(), "something was made");
    String::from_utf8(output.stderr).unwrap()
}

/// The script takes the commands out of README.md; were they to move, it says so before it makes anything.
#[test]
fn the_bare_machine_runs_what_the_readme_says_and_is_made_by_root_only() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let said = refusal(&readme);
    assert!(said.contains("needs root"), "{said}");
    for (command, instead) in [
        ("cargo run --release -- plan rehearse plans/rolling-reboot.yaml\n```", "a\nb\n```"),
        ("```sh\ntests/run\n```", "`tests/run`"),
        ("## Run all tests", "## Tests"),
    ] {
        assert!(readme.contains(command), "{command}");
        let said = refusal(&readme.replacen(command, instead, 1));
        assert!(said.contains("no single command below '## "), "{instead}: {said}");
    }
}

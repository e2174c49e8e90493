//! `packaging/release`: versions that have to agree, files that are the same whenever they are made, and a signature that
//! finds every change.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::support::skipped;

/// What is not under test here has trials of its own, with real packages (`packaging/test-packages`).
const STAND_INS: [(&str, &str); 4] = [
    ("packaging/licences", "mkdir -p \"$1\"; echo licences >\"$1/THIRD-PARTY\""),
    ("packaging/deb", "echo deb >\"$2/maand_1.2.3-1_amd64.deb\""),
    ("packaging/rpm", "echo rpm >\"$2/maand-1.2.3-1.x86_64.rpm\""),
    ("bin/cargo", "for last; do :; done; echo '{}' >\"$last.json\""),
];

/// A source of version 1.2.3, with what `packaging/release` reads.
struct Source(tempfile::TempDir);

impl Source {
    fn new() -> Self {
        let source = Self(tempfile::tempdir().unwrap());
        for folder in ["packaging", "bin", "built"] {
            fs::create_dir(source.at(folder)).unwrap();
        }
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        for file in
            ["packaging/release", "packaging/install.sh", "README.md", "LICENSE-MIT", "LICENSE-APACHE"]
        {
            fs::copy(root.join(file), source.at(file)).unwrap();
        }
        for (file, text) in STAND_INS {
            source.program(file, text);
        }
        source.write(
            "Cargo.toml",
            "[package]\nname = \"maand\"\nversion = \"1.2.3\"\n\n[dependencies.x]\nversion = \"9\"\n",
        );
        source.write("Cargo.lock", "[[package]]\nname = \"maand\"\nversion = \"1.2.3\"\n");
        source.write("CHANGELOG.md", "# Changes\n\n## 1.2.3 - 2026-11-30\n\n- This.\n\n  And that.\n\n## 1.2.2 - 2026-01-01\n\n- Old.\n");
        source
    }

    fn at(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        fs::write(self.at(path), text).unwrap();
    }

    fn program(&self, path: &str, text: &str) {
        fs::create_dir_all(self.at(path).parent().unwrap()).unwrap();
        self.write(path, &format!("#!/bin/sh\n{text}\n"));
        fs::set_permissions(self.at(path), fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn release(&self, args: &[&str]) -> Command {
        let mut command = Command::new(self.at("packaging/release"));
        let path = std::env::var("PATH").unwrap();
        command
            .args(args)
            .current_dir(self.0.path())
            .env("PATH", format!("{}:{path}", self.at("bin").display()));
        command.env("SOURCE_DATE_EPOCH", "1700000000").env("TARGETS", target());
        command
    }

    #[track_caller]
    fn good(&self, args: &[&str]) -> String {
        let output = self.release(args).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    #[track_caller]
    fn bad(&self, args: &[&str], words: &str) {
        let output = self.release(args).output().unwrap();
        assert!(
            !output.status.success() && said(&output).contains(words),
            "no {words:?} in {}",
            said(&output)
        );
    }
}

fn target() -> String {
    format!("{}-unknown-linux-gnu", std::env::consts::ARCH)
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn tag_versions_and_changes_have_to_agree() {
    let source = Source::new();
    source.good(&["check", "v1.2.3"]);
    assert_eq!(source.good(&["notes"]), "- This.\n\n  And that.\n");
    for tag in ["v1.2.4", "1.2.3", "v1.2.3-rc1", "v1x2.3", ""] {
        source.bad(&["check", tag], "and Cargo.toml says 1.2.3");
    }
    for changes in [
        "# Changes\n\n## Unreleased\n\n- This.\n",
        "## 1.2.3\n\n- Without a day.\n",
        "## 1x2.3 - 2026-11-30\n\n- This.\n",
        "## 1.2.3 - soon\n\n- This.\n",
    ] {
        source.write("CHANGELOG.md", changes);
        source.bad(&["check", "v1.2.3"], "no section '## 1.2.3 - YYYY-MM-DD'");
    }
    source.write("CHANGELOG.md", "## 1.2.3 - 2026-11-30\n\n## 1.2.2 - 2026-01-01\n\n- Old.\n");
    source.bad(&["check", "v1.2.3"], "is empty");
    source.bad(&["notes"], "says nothing of 1.2.3");
    source.write("CHANGELOG.md", "## Unreleased\n\n- New.\n\n## 1.2.3 - 2026-11-30\n\n- This.\n");
    assert_eq!(source.good(&["notes"]), "- This.\n");
    source.write("Cargo.lock", "[[package]]\nname = \"maand\"\nversion = \"1.2.2\"\n");
    source.bad(&["check", "v1.2.3"], "Cargo.lock has another version");
}

#[test]
fn the_notes_of_today_are_not_empty() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(root.join("packaging/release")).arg("notes").output().unwrap();
    assert!(output.status.success() && output.stdout.len() > 100, "{}", said(&output));
}

#[test]
fn what_is_published_is_the_same_bytes_each_time_and_every_change_of_it_is_found() {
    let mut made = Vec::new();
    for _ in 0..2 {
        let source = Source::new();
        let program = "case $1 in --version) echo maand 1.2.3 ;; -q) echo page >\"$3/maand.1\" ;; esac";
        source.program(&format!("built/{}/maand", target()), program);
        source.good(&["assemble", "built", "out"]);
        source.bad(&["assemble", "built", "out"], "is not empty");
        source.good(&["sums", "out"]);
        made.push((fs::read_to_string(source.at("out/SHA256SUMS")).unwrap(), source));
    }
    let (sums, source) = made.pop().unwrap();
    assert_eq!(sums, made[0].0);
    let tarball = format!("maand-1.2.3-{}", target());
    let names: Vec<_> = sums.lines().map(|line| line.split_once("  ").unwrap().1).collect();
    let tar = format!("{tarball}.tar.gz");
    let mut expected = vec![
        "install.sh",
        &tar,
        "maand-1.2.3-1.x86_64.rpm",
        "maand-1.2.3.cdx.json",
        "maand_1.2.3-1_amd64.deb",
    ];
    expected.sort_unstable();
    assert_eq!(names, expected);
    let mut list = Command::new("tar");
    let listed = list.arg("-tzvf").arg(source.at("out").join(&tar)).env("TZ", "UTC").output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(
        listed.lines().all(|line| line.contains(" 0/0 ") && line.contains("2023-11-14 22:13")),
        "{listed}"
    );
    let inside: Vec<_> =
        listed.lines().map(|line| line.rsplit_once('/').unwrap().1).filter(|name| !name.is_empty()).collect();
    let wanted =
        ["CHANGELOG.md", "LICENSE-APACHE", "LICENSE-MIT", "README.md", "THIRD-PARTY", "maand", "maand.1"];
    assert_eq!(inside, wanted);

    if Command::new("minisign").arg("-v").output().is_err() {
        skipped("minisign is not installed");
        return;
    }
    for name in ["ours", "theirs"] {
        let mut command = Command::new("minisign");
        command.current_dir(source.0.path()).args(["-G", "-W", "-p", &format!("{name}.pub"), "-s", name]);
        assert!(command.output().unwrap().status.success());
    }
    source.bad(&["sign", "out"], "set MINISIGN_KEY_FILE");
    let sign = |key: &str| {
        let output =
            source.release(&["sign", "out"]).env("MINISIGN_KEY_FILE", source.at(key)).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
    };
    source.bad(&["verify", "out"], "no public key");
    fs::rename(source.at("ours.pub"), source.at("packaging/minisign.pub")).unwrap();
    sign("theirs");
    source.bad(&["verify", "out"], "the signature of SHA256SUMS is wrong");
    sign("ours");
    // The installer has neither key nor version of this release yet: it was made before there was a key.
    fs::remove_dir_all(source.at("out")).unwrap();
    source.good(&["assemble", "built", "out"]);
    let key =
        fs::read_to_string(source.at("packaging/minisign.pub")).unwrap().lines().nth(1).unwrap().to_owned();
    let installer = fs::read_to_string(source.at("out/install.sh")).unwrap();
    assert!(
        installer.contains("\nown_version='1.2.3'\n")
            && installer.contains(&format!("\npublic_key='{key}'\n"))
    );
    source.good(&["sums", "out"]);
    sign("ours");
    source.good(&["verify", "out"]);
    for name in expected {
        let whole = fs::read(source.at("out").join(name)).unwrap();
        fs::write(source.at("out").join(name), &whole[1..]).unwrap();
        source.bad(&["verify", "out"], &format!("{name}: FAILED"));
        fs::write(source.at("out").join(name), whole).unwrap();
    }
    source.write("out/SHA256SUMS", &sums);
    source.bad(&["verify", "out"], "the signature of SHA256SUMS is wrong");
}

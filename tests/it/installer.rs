//! `packaging/install.sh` with real shells, curl and wget, from a server on this machine that does wrong what can go wrong.

mod stage;

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, geteuid, kill_process_group};
use sha2::{Digest as _, Sha256};

use crate::support::file_server::Served;
use crate::support::{skipped, wait_until};
use stage::{Stage, TOOLS, on_path, script, target, text};

/// The shells that people have for `sh`.
fn shells() -> Vec<Vec<&'static str>> {
    let all = [
        vec!["dash"],
        vec!["bash"],
        vec!["bash", "--posix"],
        vec!["busybox", "sh"],
        vec!["mksh"],
        vec!["ksh93"],
    ];
    all.into_iter()
        .filter(|shell| on_path(shell[0]).is_some() || skipped(&format!("{} is not installed", shell[0])))
        .collect()
}

#[test]
fn it_installs_with_every_shell_and_over_itself() {
    for shell in shells() {
        let stage = Stage::new();
        let program = on_path(shell[0]).unwrap();
        let shell = [&[program.to_str().unwrap()], &shell[1..]].concat();
        let said = stage.installs(&mut stage.command_of(&shell, &[]));
        for word in [
            "maand 1.2.3 is installed",
            "checksum is right",
            "NOT checked",
            "not on PATH",
            "to remove it: rm '/",
        ] {
            assert!(said.contains(word), "{shell:?}: no {word:?} in {said}");
        }
        stage.publish("1.2.4", |_| ());
        assert!(stage.installs(&mut stage.command_of(&shell, &[])).contains("maand 1.2.4 is installed"));
    }
}

#[test]
fn it_installs_with_nothing_but_the_tools_of_busybox() {
    let Some(busybox) = on_path("busybox") else {
        skipped("busybox is not installed");
        return;
    };
    let stage = Stage::new();
    for tool in TOOLS.iter().filter(|tool| stage.at("bin").join(tool).exists()) {
        stage.without(tool);
    }
    let mut install = Command::new(&busybox);
    assert!(install.args(["--install", "-s"]).arg(stage.at("bin")).status().unwrap().success());
    fs::remove_file(stage.at("bin/wget")).unwrap();
    stage.installs(&mut stage.command_of(&[busybox.to_str().unwrap(), "sh"], &[]));
    let _ = fs::remove_file(stage.at("bin/curl"));
    symlink(busybox, stage.at("bin/wget")).unwrap();
    let mut with_its_wget = stage.command(&[]);
    let output = with_its_wget.output().unwrap();
    assert!(text(&output.stderr).contains("does not check certificates"), "{}", text(&output.stderr));
}

#[test]
fn it_installs_with_wget_from_a_folder_and_where_it_is_told_to() {
    let stage = Stage::new();
    stage.without("curl");
    let mut from_a_copy = stage.command(&["--version=v1.2.3"]);
    stage.installs(from_a_copy.env("MAAND_INSTALL_URL", stage.at("release")));
    if stage.with("wget") {
        stage.installs(&mut stage.command(&[]));
    } else {
        skipped("wget is not installed");
    }
    let elsewhere = stage.at("a folder/of theirs");
    let mut command = stage.command(&["--to", "../a folder/of theirs/", "--version", "1.2.3"]);
    command.env("MAAND_INSTALL_URL", stage.at("release")).env_remove("HOME");
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(elsewhere.join("maand").exists());
    // It is on PATH, where another program of this name comes first.
    stage.stand_in("maand", "echo another");
    let mut command = stage.command(&["--to", elsewhere.to_str().unwrap()]);
    let path = std::env::join_paths([stage.at("bin"), elsewhere.clone()]).unwrap();
    let output = command.env("PATH", path).env("MAAND_INSTALL_URL", stage.at("release")).output().unwrap();
    assert!(text(&output.stderr).contains("another maand comes first on PATH"), "{}", text(&output.stderr));
}

#[test]
fn what_was_changed_or_cut_off_on_its_way_is_neither_run_nor_left() {
    for tool in ["curl", "wget"] {
        let stage = Stage::new();
        stage.without("curl");
        if !stage.with(tool) {
            skipped(&format!("{tool} is not installed"));
            continue;
        }
        let (name, bytes) = stage.tarball();
        let mut changed = bytes.clone();
        changed[40] ^= 1;
        stage.server.put(&name, Served::Whole(changed));
        stage.refuses(&mut stage.command(&[]), &["is not what SHA256SUMS says", "expected", "got"]);
        stage.server.put(&name, Served::Whole(bytes[..bytes.len() / 2].to_vec()));
        stage.refuses(&mut stage.command(&[]), &["is not what SHA256SUMS says"]);
        stage.server.put(&name, Served::Whole(Vec::new()));
        stage.refuses(&mut stage.command(&[]), &["is not what SHA256SUMS says"]);
        if tool == "curl" {
            // wget asks again and again for the rest.
            stage.server.put(&name, Served::CutAt(bytes.clone(), bytes.len() / 2));
            stage.refuses(&mut stage.command(&[]), &["cannot download", &name]);
        }
        stage.server.remove(&name);
        stage.refuses(&mut stage.command(&[]), &["cannot download", &name]);
        stage.server.remove("SHA256SUMS");
        stage.refuses(&mut stage.command(&[]), &["cannot download", "/SHA256SUMS"]);
        for wrong in [
            "",
            "<html>Not found</html>\n",
            &format!("abc  {name}\n"),
            &format!("{}  ../{name}\n", "0".repeat(64)),
        ] {
            stage.sums(wrong);
            stage.refuses(&mut stage.command(&[]), &["SHA256SUMS"]);
        }
    }
}

#[test]
fn what_is_in_the_tarball_is_the_program_and_of_that_version() {
    let stage = Stage::new();
    fs::write(stage.at("secret"), "#!/bin/sh\necho maand 1.2.3\n").unwrap();
    let secret = stage.at("secret");
    let changes: [(&str, &dyn Fn(&Path)); 3] = [
        ("there is no program in", &|folder| {
            fs::remove_file(folder.join("maand")).unwrap();
            symlink(&secret, folder.join("maand")).unwrap();
        }),
        ("cannot unpack", &|folder| fs::remove_file(folder.join("maand")).unwrap()),
        ("there is no program in", &|folder| {
            fs::remove_file(folder.join("maand")).unwrap();
            fs::create_dir(folder.join("maand")).unwrap();
        }),
    ];
    for (words, change) in changes {
        stage.publish("1.2.3", change);
        stage.refuses(&mut stage.command(&[]), &[words]);
    }
    for (program, words) in [
        ("#!/bin/sh\necho maand 1.2.2\n", "says that it is maand 1.2.2"),
        ("#!/nonexistent/loader\n", "does not run here"),
        ("#!/bin/sh\nexit 1\n", "does not run here"),
    ] {
        stage.publish("1.2.3", |folder| fs::write(folder.join("maand"), program).unwrap());
        stage.refuses(&mut stage.command(&[]), &[words]);
    }
    stage.sums(&format!(
        "{0}  maand-1.2.3-{1}.tar.gz\n{0}  maand-1.2.4-{1}.tar.gz\n",
        "0".repeat(64),
        target()
    ));
    stage.refuses(&mut stage.command(&[]), &["several versions", "--version"]);
    stage.refuses(&mut stage.command(&["--version", "1.2"]), &["there is no maand 1.2 for"]);
}

#[test]
fn a_signature_that_is_wrong_or_missing_stops_it_before_the_tarball() {
    let stage = Stage::new();
    let sign = |key: &str| {
        let mut command = Command::new("minisign");
        command.current_dir(stage.at("release")).args(["-S", "-W", "-s", key, "-m", "SHA256SUMS"]);
        assert!(command.output().unwrap().status.success());
        let signature = fs::read(stage.at("release/SHA256SUMS.minisig")).unwrap();
        stage.server.put("SHA256SUMS.minisig", Served::Whole(signature));
    };
    let insist = |key: &str| {
        let mut command = stage.command(&["--require-signature"]);
        command.env("MAAND_INSTALL_KEY", key);
        command
    };
    stage.refuses(&mut insist("RWabc"), &["cannot be checked: minisign is not installed"]);
    stage.refuses(&mut insist(""), &["cannot be checked", "knows no public key"]);
    if !stage.with("minisign") {
        skipped("minisign is not installed");
        return;
    }
    for name in ["ours", "theirs"] {
        let mut command = Command::new("minisign");
        command.current_dir(stage.at("release")).args([
            "-G",
            "-W",
            "-f",
            "-p",
            &format!("{name}.pub"),
            "-s",
            name,
        ]);
        assert!(command.output().unwrap().status.success());
    }
    let public = fs::read_to_string(stage.at("release/ours.pub")).unwrap().lines().nth(1).unwrap().to_owned();
    stage.refuses(&mut insist(&public), &["cannot download", "SHA256SUMS.minisig"]);
    sign("theirs");
    stage.refuses(&mut insist(&public), &["signature", "is wrong"]);
    // Not asked for, and wrong all the same.
    stage.refuses(stage.command(&[]).env("MAAND_INSTALL_KEY", &public), &["signature", "is wrong"]);
    sign("ours");
    let (_, bytes) = stage.tarball();
    stage.sums(&format!("{}  maand-1.2.3-{}.tar.gz\n\n", hex::encode(Sha256::digest(&bytes)), target()));
    stage.refuses(&mut insist(&public), &["signature", "is wrong"]);
    assert!(!stage.server.asked().iter().any(|path| path.contains(".tar.gz")), "{:?}", stage.server.asked());
    sign("ours");
    let said = stage.installs(&mut insist(&public));
    assert!(said.contains("signature is right") && said.contains(&public), "{said}");
}

#[test]
fn machines_and_addresses_that_are_not_for_it_are_refused_before_anything_is_downloaded() {
    let stage = Stage::new();
    for (system, machine, words) in [
        ("Darwin", "arm64", "it runs on Linux"),
        ("Linux", "riscv64", "no maand for this processor (riscv64)"),
        ("Linux", "armv7l", "no maand for this processor (armv7l)"),
    ] {
        stage.stand_in("uname", &format!("case $1 in -s) echo {system} ;; *) echo {machine} ;; esac"));
        stage.refuses(&mut stage.command(&[]), &[words]);
    }
    stage.stand_in("uname", "case $1 in -s) echo Linux ;; *) echo x86_64 ;; esac");
    stage.stand_in("getconf", "case $1 in LONG_BIT) echo 32 ;; *) echo glibc 2.36 ;; esac");
    stage.refuses(&mut stage.command(&[]), &["32-bit system"]);
    for url in [
        "http://example.org/maand",
        "ftp://127.0.0.1/maand",
        "http://127.0.0.1.example.org",
        "http://localhost:x@example.org",
        "relative/folder",
        "file:///tmp",
    ] {
        stage.stand_in("getconf", "case $1 in LONG_BIT) echo 64 ;; *) echo glibc 2.36 ;; esac");
        stage.refuses(stage.command(&[]).env("MAAND_INSTALL_URL", url), &[url]);
    }
    stage.refuses(stage.command(&[]).env_remove("MAAND_INSTALL_URL"), &["MAAND_INSTALL_URL"]);
    stage.refuses(stage.command(&[]).env_remove("HOME"), &["HOME is not set", "--to"]);
    stage.refuses(&mut stage.command(&["--version", "../1"]), &["no version: ../1"]);
    stage.refuses(&mut stage.command(&["--to="]), &["--to needs a value"]);
    stage.without("curl");
    stage.refuses(&mut stage.command(&[]), &["neither curl nor wget"]);
    stage.stand_in("wget", "echo BusyBox; exit 1");
    stage.refuses(&mut stage.command(&[]), &["does not check certificates"]);
    stage.without("sha256sum");
    stage.refuses(&mut stage.command(&[]), &["sha256sum is not installed"]);
    assert_eq!(stage.server.asked(), [String::new(); 0]);
    assert_eq!(stage.command(&["--wrong"]).output().unwrap().status.code(), Some(2));
}

#[test]
fn an_old_glibc_gets_what_runs_there_and_else_nothing() {
    let stage = Stage::new();
    let glibc = |version| {
        stage
            .stand_in("getconf", &format!("case $1 in LONG_BIT) echo 64 ;; *) echo glibc {version} ;; esac"));
    };
    for version in ["2.12", "2.16"] {
        glibc(version);
        stage.refuses(&mut stage.command(&[]), &["there is no maand for", "-musl"]);
    }
    for version in ["2.17", "2.100", "3.0"] {
        glibc(version);
        stage.installs(&mut stage.command(&[]));
    }
    glibc("2.12");
    stage.publish_for(&target().replace("gnu", "musl"), "1.2.3", |_| ());
    stage.installs(&mut stage.command(&[]));
    assert!(stage.server.asked().last().unwrap().contains("musl"));
}

#[test]
fn a_folder_that_cannot_be_written_to_is_said_before_anything_is_downloaded() {
    let stage = Stage::new();
    fs::write(stage.at("in-the-way"), "").unwrap();
    let there = stage.at("in-the-way/bin");
    stage.refuses(
        &mut stage.command(&["--to", there.to_str().unwrap()]),
        &["in-the-way is no folder", "--to"],
    );
    fs::create_dir_all(stage.at("taken/maand")).unwrap();
    let taken = stage.at("taken");
    stage.refuses(&mut stage.command(&["--to", taken.to_str().unwrap()]), &["taken/maand is a folder"]);
    // The upstream program, say.
    fs::create_dir(stage.at("theirs")).unwrap();
    let theirs = stage.at("theirs/maand");
    fs::write(&theirs, "#!/bin/sh\necho 'Error: unknown flag: --version' >&2\nexit 1\n").unwrap();
    fs::set_permissions(&theirs, fs::Permissions::from_mode(0o755)).unwrap();
    let before = fs::read(&theirs).unwrap();
    stage.refuses(&mut stage.command(&["--to", "../theirs"]), &["is another program"]);
    assert_eq!(fs::read(&theirs).unwrap(), before);

    // Folders that are there and not ours, and ones that would have to be made in them.
    fs::create_dir(stage.at("closed")).unwrap();
    fs::set_permissions(stage.at("closed"), fs::Permissions::from_mode(0o555)).unwrap();
    for (to, words) in [("closed", "cannot write to"), ("closed/more", "cannot make the folder")] {
        let to = stage.at(to);
        let mut command = stage.command(&["--to", to.to_str().unwrap()]);
        if geteuid().is_root() {
            for folder in ["", "home", "tmp", "bin"] {
                fs::set_permissions(stage.at(folder), fs::Permissions::from_mode(0o777)).unwrap();
            }
            command.uid(65534).gid(65534);
        }
        stage.refuses(&mut command, &[words, "--to"]);
    }
    fs::set_permissions(stage.at("closed"), fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(stage.server.asked(), [String::new(); 0]);
}

#[test]
fn interrupted_it_leaves_nothing() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)] {
        let stage = Stage::new();
        let (name, _) = stage.tarball();
        stage.server.put(&name, Served::Never);
        let mut command = stage.command(&[]);
        let child = command.process_group(0).stderr(Stdio::piped()).spawn().unwrap();
        wait_until("the tarball is asked for", || {
            stage.server.asked().iter().any(|path| path.ends_with(&name))
        });
        kill_process_group(Pid::from_child(&child), signal).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{}", text(&output.stderr));
        assert_eq!(stage.left(), [String::new(); 0]);
    }
}

#[test]
fn cut_off_anywhere_it_does_nothing_at_all() {
    let stage = Stage::new();
    let whole = fs::read(script()).unwrap();
    // Line by line, and the last lines byte by byte; the slower shells try a part of it.
    let ends = whole.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
    let ends: Vec<_> =
        ends.chain(whole.len() - 120..whole.len()).filter(|at| *at < whole.len() - 1).collect();
    for (shell, step) in shells().into_iter().zip([1, 8, 8, 8]) {
        for at in ends.iter().copied().step_by(step).chain([whole.len() - 2]) {
            let file = stage.at("cut");
            fs::write(&file, &whole[..at]).unwrap();
            let mut command = Command::new(on_path(shell[0]).unwrap());
            command.args(&shell[1..]).stdin(fs::File::open(&file).unwrap()).env_clear();
            command.env("HOME", stage.at("home")).env("TMPDIR", stage.at("tmp")).env("PATH", stage.at("bin"));
            let output = command.env("MAAND_INSTALL_URL", stage.server.url()).output().unwrap();
            assert_eq!(text(&output.stdout), "", "{shell:?} at {at}");
        }
    }
    assert_eq!((stage.left(), stage.server.asked()), (vec![], vec![]));
}

//! What is made is for its owner's eyes only, whatever the umask is; what another user owns or can write is refused.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use rustix::fs::chown;
use rustix::process::{Uid, geteuid};

use super::World;
use crate::support::skipped;
use crate::wait_until;

fn mode(path: &std::path::Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// Runs the program under a umask.
fn under(umask: &str, folder: &std::path::Path, arguments: &[&str]) -> std::process::Child {
    Command::new("sh")
        .args(["-c", &format!("umask {umask}; exec \"$0\" \"$@\"")])
        .arg(env!("CARGO_BIN_EXE_maand"))
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn data_does_not_depend_on_the_umask() {
    for umask in ["000", "022", "0377"] {
        let world = World::new();
        fs::remove_dir(world.at("data")).unwrap();
        for command in [&["build"] as &[&str], &["plan", "apply", "plan.yaml", "--yes"]] {
            under(umask, &world.at(""), command).wait().unwrap();
        }
        assert_eq!(mode(&world.at("data")), 0o700, "{umask}");
        for name in ["catalog.lock", "catalog.db", "plan.lock", "plan.db"] {
            assert_eq!(mode(&world.at("data").join(name)), 0o600, "{umask}: {name}");
        }
    }
}

#[test]
fn a_new_bucket_does_not_depend_on_the_umask() {
    for umask in ["000", "077"] {
        let folder = tempfile::tempdir().unwrap();
        under(umask, folder.path(), &["init", "b"]).wait().unwrap();
        let at = |name: &str| mode(&folder.path().join("b").join(name));
        assert_eq!(
            (at("secrets"), at("data"), at("tmp"), at("secrets/worker.key")),
            (0o700, 0o700, 0o700, 0o600)
        );
        assert_eq!((at("workspace"), at("maand.conf")), (0o755, 0o644));
    }
}

#[test]
fn sandboxes_and_rehearsals_are_nobody_elses() {
    let folder = tempfile::tempdir().unwrap();
    let temporary = folder.path().join("tmp");
    fs::create_dir(&temporary).unwrap();
    let sandbox = |arguments: &[&str]| {
        Command::new("sh")
            .args(["-c", "umask 000; exec \"$0\" \"$@\""])
            .arg(env!("CARGO_BIN_EXE_maand"))
            .args(["sandbox", "up", "--workers", "1"])
            .args(arguments)
            .current_dir(folder.path())
            .env("TMPDIR", &temporary)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    };
    let found = folder.path().join("found");
    fs::create_dir(&found).unwrap();
    fs::set_permissions(&found, fs::Permissions::from_mode(0o777)).unwrap();
    for (arguments, parent) in
        [(&[] as &[&str], temporary.clone()), (&["--dir", "new/one"], folder.path().join("new"))]
    {
        let mut child = sandbox(arguments);
        let made = || {
            fs::read_dir(&parent)
                .ok()?
                .flatten()
                .map(|entry| entry.path())
                .find(|path| path.join("bucket/maand.conf").exists())
        };
        wait_until("the sandbox is there", || made().is_some());
        let modes = mode(&made().unwrap());
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        child.wait().unwrap();
        assert_eq!(modes, 0o700, "{arguments:?}");
    }
    // A folder in which anybody could put something meanwhile is none to live in.
    let status = sandbox(&["--dir", "found"]).wait().unwrap();
    assert!(!status.success() && fs::read_dir(&found).unwrap().count() == 0);
}

#[test]
fn what_another_user_owns_is_refused() {
    if !geteuid().is_root() {
        skipped("files of another user need root");
        return;
    }
    for place in ["data", "data/catalog.lock", "data/plan.db"] {
        let world = World::new();
        let path = world.at(place);
        if !path.exists() {
            fs::write(&path, "").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        }
        chown(&path, Some(Uid::from_raw(65_533)), None).unwrap();
        let command: &[&str] = if place.ends_with("db") { &["plan", "list"] } else { &["build"] };
        world.run(command).refused(place, "another user");
        chown(&path, Some(Uid::ROOT), None).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
        world.run(command).refused(place, "chmod o-w");
    }
}

#[test]
fn a_bucket_of_another_user_above_is_not_taken_for_ours() {
    if !geteuid().is_root() {
        skipped("files of another user need root");
        return;
    }
    let world = World::new();
    fs::create_dir(world.at("inner")).unwrap();
    let inner = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_maand"))
            .args(arguments)
            .current_dir(world.at("inner"))
            .output()
            .unwrap();
        (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert_eq!(inner(&["info"]).0, 0);
    chown(world.at("maand.conf"), Some(Uid::from_raw(65_533)), None).unwrap();
    let (code, text) = inner(&["info"]);
    assert!(code != 0 && text.contains("another user") && text.contains("-C "), "{text}");
    // Who names it, or is in it, means it.
    assert_eq!(inner(&["-C", "..", "info"]).0, 0);
    assert_eq!(world.run(&["info"]).ended("inside").code, 0);
}

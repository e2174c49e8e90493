//! The machine that a rehearsal runs on: folders that cannot be written, a full disk, another user.

use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use super::{Stage, shipped, text};

#[test]
fn a_folder_that_can_not_be_used_is_a_clear_problem() {
    let stage = Stage::new();
    let file = stage.write("file", "");
    for folder in ["/nonexistent/folder", file.to_str().unwrap(), "/proc"] {
        let mut command = stage.command(&shipped("rolling-reboot.yaml"), &[]);
        let output = command.env("TMPDIR", folder).output().unwrap();
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{folder}: {stderr}");
        assert!(stderr.contains("maand::sandbox::dir") && stderr.contains(folder), "{stderr}");
        assert!(stderr.contains("TMPDIR"), "what to do: {stderr}");
    }
}

fn is_root(test: &str) -> bool {
    rustix::process::geteuid().is_root() || crate::support::skipped(&format!("{test} needs root"))
}

/// Of several sizes, so that it is full at several moments: while the fleet is made, at the journal.
#[test]
fn a_full_disk_is_a_clear_problem() {
    if !is_root("a full disk") {
        return;
    }
    for size in ["40k", "400k", "2m"] {
        let stage = Stage::new();
        let tmp = stage.temporary();
        let script = format!(
            "mount -t tmpfs -o size={size} none \"$TMPDIR\" && \"$@\"; code=$?; ls -A \"$TMPDIR\"; exit $code"
        );
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", &script, "sh", env!("CARGO_BIN_EXE_maand"), "plan", "rehearse"]);
        command.arg(shipped("rolling-reboot.yaml")).current_dir(stage.folder.path()).env("TMPDIR", &tmp);
        let output = command.stdin(Stdio::null()).output().unwrap();
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        assert!(
            matches!(output.status.code(), Some(1 | 3 | 5)),
            "{size}: {:?}\n{stdout}{stderr}",
            output.status
        );
        let words = ["full", "No space left", "disk space", "bytes are free"];
        let said = words.iter().any(|words| stderr.contains(words));
        assert!(said && !stderr.contains("panicked"), "{size}: {stdout}{stderr}");
        assert!(!stdout.contains("maand-sandbox-"), "left behind: {stdout}");
    }
}

#[test]
fn an_ordinary_user_can_rehearse() {
    if !is_root("becoming another user") {
        return;
    }
    let stage = Stage::new();
    // The program, where that user may read it.
    let program = stage.folder.path().join("maand");
    std::fs::copy(env!("CARGO_BIN_EXE_maand"), &program).unwrap();
    let open = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    open(stage.folder.path(), 0o755);
    open(&stage.temporary(), 0o777);
    open(&program, 0o755);
    std::fs::copy(shipped("rolling-reboot.yaml"), stage.folder.path().join("plan.yaml")).unwrap();
    let output = Command::new("setpriv")
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
        .arg(&program)
        .args(["plan", "rehearse", "plan.yaml", "--speed", "10", "--workers", "2"])
        .current_dir(stage.folder.path())
        .env("TMPDIR", stage.temporary())
        .env("HOME", stage.temporary())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{stdout}{stderr}");
    assert!(stdout.contains("Every promise was kept."), "{stdout}");
    stage.assert_empty();
}

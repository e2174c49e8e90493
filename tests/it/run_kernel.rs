//! What a worker has booted: said after each reboot, held against what the plan expects, and asked before a reboot that
//! may not be required.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::run_bench::RunBench;
use crate::run_faults::worker;

const OLD: &str = "6.1.0-52-amd64";
const NEW: &str = "6.1.0-57-amd64";

/// The files of kernels below `/boot` of a host.
fn kernels(bench: &RunBench, i: usize, names: &[&str]) {
    let boot = bench.fleet.disk(i).join("boot");
    for entry in fs::read_dir(&boot).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    for name in names {
        fs::write(boot.join(format!("vmlinuz-{name}")), "a kernel").unwrap();
    }
}

/// What `uname -r` says on a host; `after`: from its next boot on.
fn runs(bench: &RunBench, i: usize, name: &str, after: Option<&str>) {
    fs::write(bench.fleet.disk(i).join("kernel"), format!("{name}\n")).unwrap();
    if let Some(after) = after {
        fs::write(bench.fleet.disk(i).join("next-kernel"), format!("{after}\n")).unwrap();
    }
}

/// A program on a host.
fn program(bench: &RunBench, i: usize, name: &str, text: &str) {
    let path = bench.fleet.disk(i).join("bin").join(name);
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn plan(bench: &RunBench, options: &str) -> String {
    bench.own_plan(&format!(
        "version: 1\nname: own\nsteps:\n  - reboot: {{down_within: 60s, {options}}}\n  - wait_for_ssh: {{settle: 0s}}\n"
    ))
}

/// On these hosts the kernel never changes: whatever is installed beside it, they come back on the same.
#[test]
fn a_kernel_that_has_not_changed_is_said_and_is_no_failure() {
    let Some(bench) = RunBench::new(1) else { return };
    let uname = Command::new("uname").arg("-r").output().unwrap();
    let running = String::from_utf8(uname.stdout).unwrap().trim().to_owned();
    let newer = format!("999.{}", running.split_once('.').unwrap().1);
    kernels(&bench, 0, &[&running, &newer, &format!("{newer}.old"), "9999.1-other"]);
    let (stdout, _) = bench.expect(0, &["plan", "apply", &plan(&bench, ""), "--yes"]);
    let words = format!("came back on {running}, though {newer} is installed");
    assert_eq!(stdout.matches(&words).count(), 2, "when it is seen and in the report: {stdout}");
    let status = bench.status();
    let kernel = &worker(&status, &bench.host(0))["kernel"];
    assert_eq!((&kernel["running"], &kernel["before"]), (&running.as_str().into(), &running.as_str().into()));
    assert_eq!(kernel["newer"], newer.as_str(), "{kernel}");
    let (why, _) = bench.expect(0, &["plan", "explain", "--worker", &bench.host(0)]);
    assert!(why.contains("all its steps were done") && why.contains(&words), "{why}");
    let page = bench.path("page.html");
    bench.expect(0, &["plan", "report", "--out", &page.display().to_string()]);
    let page = fs::read_to_string(page).unwrap();
    assert!(page.contains(&words) && page.contains("1 worker back on an older kernel"), "the page");
}

#[test]
fn a_worker_that_is_expected_on_the_newest_kernel_fails_and_is_not_rebooted_again() {
    let Some(bench) = RunBench::new(2) else { return };
    let boots = bench.boots();
    for i in 0..2 {
        kernels(&bench, i, &[OLD, NEW]);
        runs(&bench, i, OLD, (i == 0).then_some(NEW));
    }
    std::os::unix::fs::symlink(format!("vmlinuz-{OLD}"), bench.fleet.disk(1).join("boot/vmlinuz")).unwrap();
    let plan = plan(&bench, "expect: {kernel: newest}");
    let (stdout, _) = bench.expect(1, &["plan", "apply", &plan, "--yes"]);
    assert!(stdout.contains(&format!("back on kernel {NEW}, before {OLD}")), "{stdout}");
    let words =
        format!("came back on {OLD}, though {NEW} is installed; {OLD} is what its boot loader starts");
    assert!(stdout.contains(&words) && stdout.contains("[unexpected_boot]"), "{stdout}");
    let status = bench.status();
    let failed = worker(&status, &bench.host(1));
    assert_eq!((&failed["error"]["kind"], &failed["state"]), (&"unexpected_boot".into(), &"failed".into()));
    assert_eq!(failed["boot_id_after"], bench.fleet.boot_id(1), "the boot itself was seen");
    assert_eq!((bench.requests(), bench.boots()), (vec![1, 1], vec![boots[0] + 1, boots[1] + 1]));
    // A retry looks again, and sends nothing.
    let (stdout, _) = bench.expect(1, &["plan", "resume", "--retry"]);
    assert!(stdout.contains(&words), "{stdout}");
    assert_eq!(bench.requests(), [1, 1]);
    // An operator reboots it into the right one.
    fs::write(bench.fleet.disk(1).join("next-kernel"), NEW).unwrap();
    bench.fleet.unplug(1);
    bench.fleet.plug(1);
    bench.expect(0, &["plan", "resume", "--retry"]);
    assert_eq!(bench.requests(), [1, 1], "no step has sent a second one");
}

#[test]
fn what_is_expected_may_be_a_pattern_and_words_of_the_command_line() {
    let Some(bench) = RunBench::new(1) else { return };
    runs(&bench, 0, NEW, None);
    let cmdline = fs::read_to_string("/proc/cmdline").unwrap();
    let first = cmdline.split_whitespace().next().unwrap_or("*").replace('"', "");
    let good = plan(&bench, &format!("expect: {{kernel: \"6.1.*-amd64\", cmdline: \"{first}\"}}"));
    bench.expect(0, &["plan", "apply", &good, "--yes"]);
    let (stdout, _) = bench.expect(
        1,
        &[
            "plan",
            "apply",
            &plan(&bench, "expect: {kernel: \"6.12.*\", cmdline: [no-such-word, \"*\"]}"),
            "--yes",
        ],
    );
    assert!(stdout.contains(&format!("came back on {NEW}, and 6.12.* was expected")), "{stdout}");
    assert!(stdout.contains("command line lacks no-such-word"), "{stdout}");
}

#[test]
fn a_reboot_that_is_not_required_is_left_out_and_one_that_cannot_be_told_is_asked_about() {
    let Some(bench) = RunBench::new(4) else { return };
    let boots = bench.boots();
    (0..4).for_each(|i| runs(&bench, i, OLD, None));
    kernels(&bench, 0, &[OLD]);
    kernels(&bench, 1, &[OLD, NEW]);
    kernels(&bench, 2, &[OLD]);
    bench
        .fleet
        .sh_ok(2, "touch /run/reboot-required; printf 'libc6\\nlibc6\\ndbus\\n' >/run/reboot-required.pkgs");
    let own = "unless: not_required";
    let (stdout, _) = bench.expect(1, &["plan", "apply", &plan(&bench, own), "--yes"]);
    let host = |i| bench.host(i);
    assert!(stdout.contains(&format!("nothing to do: {OLD} is the newest kernel installed")), "{stdout}");
    assert!(
        stdout.contains(&format!("{} cannot tell whether it needs a reboot: no installed kernel", host(3))),
        "{stdout}"
    );
    assert_eq!(worker(&bench.status(), &host(3))["error"]["kind"], "cannot_tell");
    let (logs, _) = bench.expect(0, &["plan", "logs"]);
    assert!(logs.contains(&format!("a reboot is needed: {NEW} is installed, and {OLD} runs")), "{logs}");
    assert!(logs.contains("a reboot is needed: /run/reboot-required (dbus libc6)"), "{logs}");
    assert_eq!(bench.requests(), [0, 1, 1, 0]);
    assert_eq!(bench.boots(), [boots[0], boots[1] + 1, boots[2] + 1, boots[3]]);
    bench.maand(&["plan", "abort"]);
    let plan = plan(&bench, "unless: not_required, cannot_tell: reboot");
    let last = host(3);
    bench.expect(0, &["plan", "apply", &plan, "--yes", "--workers", &last]);
    assert_eq!(bench.requests(), [0, 1, 1, 1]);
}

/// The words of the tools are theirs: needrestart 3.6 (README.batch.md), dnf-plugins-core 4.3.1 (needs_restarting.py),
/// zypper 1.14 (zypper(8)).
#[test]
fn the_tools_of_a_worker_are_asked() {
    let Some(bench) = RunBench::new(4) else { return };
    for i in 0..4 {
        runs(&bench, i, OLD, None);
        kernels(&bench, i, &[OLD]);
    }
    let needrestart = "[ \"$*\" = '-b -k -w' ] || exit 2; echo 'NEEDRESTART-VER: 3.6'; echo 'NEEDRESTART-KCUR: 6.1.0-52-amd64'
                       echo 'NEEDRESTART-KEXP: 6.1.0-52-amd64'; echo 'NEEDRESTART-KSTA: 2'";
    program(&bench, 0, "needrestart", needrestart);
    let dnf = "case \" $* \" in *' needs-restarting -r '*) ;; *) exit 2 ;; esac
               echo 'Core libraries or services have been updated since boot-up:'; echo '  * glibc'; echo '  * kernel'; echo
               echo 'Reboot is required to fully utilize these updates.'
               echo 'More information: https://access.redhat.com/solutions/27943'; exit 1";
    program(&bench, 1, "dnf", dnf);
    program(&bench, 2, "zypper", "[ \"$*\" = '--non-interactive needs-rebooting' ] || exit 2; exit 102");
    program(&bench, 3, "dnf", "echo 'Error: Failed to download metadata' >&2; exit 1");
    let (stdout, _) = bench.expect(1, &["plan", "apply", &plan(&bench, "unless: not_required"), "--yes"]);
    let (logs, _) = bench.expect(0, &["plan", "logs"]);
    for words in [
        "needrestart: another build of the kernel is pending",
        "dnf needs-restarting (glibc, kernel)",
        "zypper needs-rebooting",
    ] {
        assert!(logs.contains(&format!("a reboot is needed: {words}")), "no `{words}` in {logs}");
    }
    assert!(stdout.contains("dnf needs-restarting has not answered (exit code 1)"), "{stdout}");
    assert_eq!(bench.requests(), [1, 1, 1, 0]);
}

#[test]
fn doctor_and_a_probe_of_a_plan_say_who_needs_a_reboot_and_why() {
    let Some(bench) = RunBench::new(3) else { return };
    (0..3).for_each(|i| runs(&bench, i, OLD, None));
    kernels(&bench, 0, &[OLD]);
    kernels(&bench, 1, &[OLD, NEW]);
    // Asked by a plan, and not by doctor, for it writes to its logs.
    program(
        &bench,
        0,
        "dnf",
        "touch /root/asked; echo 'No core libraries or services have been updated since boot-up.'
                              echo 'Reboot should not be necessary.'",
    );
    let host = |i| bench.host(i);
    let plan = plan(&bench, "unless: not_required");

    let (stdout, _) = bench.expect(0, &["plan", "show", &plan, "--probe"]);
    let needed = format!("needed          {}: {NEW} is installed, and {OLD} runs", host(1));
    for words in [
        "Reboots: needed by 1 of 3 workers; 1 cannot tell".to_owned(),
        needed,
        format!(
            "not needed      {}: {OLD} is the newest kernel installed; dnf needs-restarting: not",
            host(0)
        ),
        format!("cannot be told  {}: no installed kernel was found", host(2)),
    ] {
        assert!(stdout.contains(&words), "no `{words}` in {stdout}");
    }
    assert_eq!(bench.fleet.sh_ok(0, "rm /root/asked && echo asked"), "asked");
    let shown = bench.json(0, &["plan", "show", &plan, "--probe"]);
    let needs: Vec<_> = (0..3).map(|i| shown["reboots"][i]["need"].as_str().unwrap().to_owned()).collect();
    assert_eq!(needs, ["not_required", "required", "cannot_tell"], "{shown:#}");
    bench.fleet.sh_ok(0, "rm /root/asked");
    assert!(bench.json(0, &["plan", "show", &plan])["reboots"].is_null());

    let (stdout, _) = bench.expect(0, &["doctor"]);
    assert!(stdout.contains(&format!("{}: it needs a reboot", host(1))), "{stdout}");
    assert!(stdout.contains(&format!("{NEW} is installed, and {OLD} runs")), "{stdout}");
    assert!(stdout.contains("whether it needs a reboot cannot be told"), "{stdout}");
    let report = bench.json(0, &["doctor"]);
    let of = |i: usize| {
        let host = host(i);
        report["workers"].as_array().unwrap().iter().find(|one| one["host"] == host.as_str()).unwrap()["reboot"].clone()
    };
    assert_eq!((&of(0)["need"], &of(1)["need"]), (&"not_required".into(), &"required".into()));
    assert!(
        bench.fleet.sh(0, "test -e /root/asked").status.code() == Some(1),
        "doctor asks nothing that writes"
    );
    assert_eq!(bench.requests(), [0, 0, 0]);
}

//! What is between a login and our script: login shells of every family, startup files, forced commands, sudo as it
//! is really installed, servers that allow one session, and disks that are full.

use std::path::Path;
use std::time::{Duration, Instant};

use maand::ssh::{
    Cancel, Captured, Completion, ConnectError, NotRun, Remote, Script, Settings, Shell, Ssh2Remote,
};

use crate::run_bench::RunBench;
use crate::ssh::{connect, exited, not_run, script};
use crate::support::{Fault, Fleet, Options, may_skip};

/// Shells that somebody has as a login shell. Those that are not installed here are said to be skipped.
const SHELLS: [&str; 16] = [
    "/bin/sh",
    "/bin/dash",
    "/bin/bash",
    "/usr/bin/rbash",
    "/usr/bin/zsh",
    "/usr/bin/ksh93",
    "/usr/bin/mksh",
    "/usr/bin/yash",
    "/usr/bin/posh",
    "/usr/bin/tcsh",
    "/usr/bin/bsd-csh",
    "/usr/bin/fish",
    "/usr/bin/rc",
    "/usr/bin/elvish",
    "/usr/bin/xonsh",
    "/usr/bin/sash",
];

fn is_there(program: &str) -> bool {
    // Some of these no system of ours has.
    Path::new(program).exists() || may_skip(&format!("{program} is not installed"))
}

/// The user `agent`, whose account the test changes.
fn as_agent(fleet: &Fleet) -> Settings {
    let mut settings = Settings { user: Some("agent".into()), ..fleet.settings() };
    settings.deadlines.auth = Duration::from_secs(5);
    settings
}

fn login_shell(fleet: &Fleet, shell: &str) {
    fleet.sh_ok(0, &format!("sed -i 's|^\\(agent:.*\\):[^:]*$|\\1:{shell}|' /etc/passwd"));
}

/// A startup file of the user.
fn startup(fleet: &Fleet, name: &str, text: &str) {
    let path = fleet.disk(0).join("home/agent").join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, text).unwrap();
}

#[track_caller]
fn refused(fleet: &Fleet) -> ConnectError {
    let mut settings = as_agent(fleet);
    // Some of these wait for what nobody says.
    settings.deadlines.auth = Duration::from_secs(2);
    let remote = Ssh2Remote::new(settings);
    let until = Instant::now() + Duration::from_secs(3);
    remote.connect(&fleet.host(0), until, &Cancel::new()).err().expect("there is a shell")
}

/// Several scripts on one connection, in both shells, with and without the lock, with input.
#[track_caller]
fn scripts_run(fleet: &Fleet, what: &str) {
    let remote = Ssh2Remote::new(as_agent(fleet));
    let mut connection = connect(&remote, fleet, 0);
    for (shell, lock) in [(Shell::Sh, false), (Shell::Bash, false), (Shell::Bash, true)] {
        let mut script =
            Script { shell, lock, ..script("printf '%s|' \"$VALUE\"; cat; echo no >&2; exit 7") };
        script.env = vec![("VALUE".into(), "it's \"$HOME\" !x\n \\n %".into())];
        let mut input: &[u8] = b"in\0put!\n";
        let (code, out, err) = exited(connection.run_with_payload(&script, &mut input, 8));
        let out = String::from_utf8(out).unwrap();
        assert_eq!((code, out.as_str()), (7, "it's \"$HOME\" !x\n \\n %|in\0put!\n"), "{what}");
        // Startup files may have said something before it.
        assert!(String::from_utf8_lossy(&err).ends_with("no\n"), "{what}: {err:?}");
    }
    assert!(connection.is_usable(), "{what}");
}

#[test]
fn every_login_shell_runs_what_it_is_given() {
    let Some(fleet) = Fleet::start(1) else { return };
    for shell in SHELLS.into_iter().filter(|shell| is_there(shell)) {
        login_shell(&fleet, shell);
        scripts_run(&fleet, shell);
    }
    if is_there("/bin/busybox") || is_there("/usr/bin/busybox") {
        fleet.sh_ok(0, "ln -s \"$(command -v busybox)\" /run/ash");
        login_shell(&fleet, "/run/ash");
        scripts_run(&fleet, "busybox ash");
    }
}

#[test]
fn startup_files_may_print_be_slow_read_and_fail() {
    let Some(fleet) = Fleet::start(1) else { return };
    login_shell(&fleet, "/bin/bash");
    let noise = "echo maand-ready; echo noise >&2; head -c 50000 /dev/zero | tr '\\0' x; echo; ";
    for text in [
        noise,
        "sleep 1",
        "read -t 0.2 line; cat </dev/null",
        "false; return 3",
        "set -eu; shopt -s expand_aliases; alias read=false sh=sh; IFS=x; cd /; umask 0",
        "trap 'echo bye' EXIT; printf 'no newline'",
        "export LC_ALL=C.UTF-8 POSIXLY_CORRECT=1 BASH_ENV=/dev/null ENV=/dev/null",
    ] {
        startup(&fleet, ".bashrc", text);
        scripts_run(&fleet, text);
    }
    startup(&fleet, ".bashrc", "");
    for (shell, file, text) in [
        ("/usr/bin/zsh", ".zshenv", noise),
        ("/usr/bin/tcsh", ".cshrc", "echo noise; echo '!' $?"),
        ("/usr/bin/bsd-csh", ".cshrc", "echo noise"),
        ("/usr/bin/fish", ".config/fish/config.fish", "echo noise; echo noise >&2"),
    ] {
        if is_there(shell) {
            startup(&fleet, file, text);
            login_shell(&fleet, shell);
            scripts_run(&fleet, shell);
        }
    }
}

#[test]
fn what_swallows_the_command_is_said_to() {
    let Some(fleet) = Fleet::start(1) else { return };
    let not_executed = |what: &str, words: &str| {
        let error = refused(&fleet);
        let text = error.to_string();
        assert!(matches!(error, ConnectError::NotExecuted { .. }), "{what}: {error:?}");
        assert!(text.contains("and the command was not executed") && text.contains(words), "{what}: {text}");
        assert!(!text.contains("IFS= read"), "{what}: {text}");
    };
    for (shell, words) in
        [("/usr/sbin/nologin", "not available"), ("/bin/false", "exit code 1"), ("/bin/true", "exit code 0")]
    {
        login_shell(&fleet, shell);
        not_executed(shell, words);
    }
    if let Some(path) =
        ["/usr/bin/git-shell", "/usr/local/bin/git-shell"].into_iter().find(|path| is_there(path))
    {
        login_shell(&fleet, path);
        let text = refused(&fleet).to_string();
        assert!(text.contains("and the command was not executed"), "{text}");
    }
    login_shell(&fleet, "/bin/bash");
    for (rc, words) in [
        ("echo out of order; exit 3", "out of order"),
        ("exit 0", "exit code 0 without a word"),
        ("exec echo something else", "something else"),
        ("exec sh -c 'echo moved >&2; exit 9'", "moved"),
    ] {
        startup(&fleet, ".bashrc", rc);
        not_executed(rc, words);
    }
    // These wait for what nobody says.
    for rc in ["read line", "exec sh"] {
        startup(&fleet, ".bashrc", rc);
        let error = refused(&fleet);
        assert!(error.to_string().contains("has not got to our command"), "{rc}: {error}");
    }
}

#[test]
fn a_forced_command_is_said_to_have_taken_the_place_of_ours() {
    let sshd = "Match User agent\n  ForceCommand /bin/true\nMatch User root\n  ForceCommand cat".into();
    let Some(fleet) = Fleet::start_with(1, &Options { sshd, ..Options::default() }) else { return };
    let error = refused(&fleet);
    assert!(matches!(error, ConnectError::NotExecuted { .. }), "{error:?}");
    let mut settings = Settings { user: Some("root".into()), ..as_agent(&fleet) };
    settings.deadlines.auth = Duration::from_secs(2);
    let until = Instant::now() + Duration::from_secs(3);
    let error = Ssh2Remote::new(settings).connect(&fleet.host(0), until, &Cancel::new()).err();
    assert!(
        error.as_ref().is_some_and(|e| e.to_string().contains("has not got to our command")),
        "{error:?}"
    );
}

/// A server that allows one session at a time: the next script waits for the close of the one before, or logs in anew.
#[test]
fn one_session_at_a_time_is_enough() {
    let sshd = "MaxSessions 1".into();
    let Some(fleet) = Fleet::start_with(1, &Options { sshd, ..Options::default() }) else { return };
    let remote = Ssh2Remote::new(fleet.settings());
    let mut connection = connect(&remote, &fleet, 0);
    for n in 0..20 {
        assert_eq!(exited(connection.run(&script(&format!("exit {n}")), None)).0, n);
    }
    // What stays behind keeps its session.
    let (code, pid, _) = exited(connection.run(&script("sleep 1000 & echo $!"), None));
    assert_eq!(code, 0);
    assert_eq!(exited(connection.run(&script("exit 4"), None)).0, 4);
    fleet.sh_ok(0, &format!("kill -0 {}", String::from_utf8(pid).unwrap().trim()));
    // One that cannot be had is one that has not run.
    let (_, _, _) = exited(connection.run(&script("sleep 1000 & echo $!"), None));
    fleet.unplug(0);
    assert_eq!(not_run(connection.run(&script("exit 4"), None)), NotRun::NoChannel);
    assert!(!connection.is_usable());
}

/// Every code is the command's own, whatever it means to us or to a shell.
#[test]
fn every_exit_code_is_the_commands_own() {
    let Some(fleet) = Fleet::start(1) else { return };
    let remote = Ssh2Remote::new(fleet.settings());
    let mut connection = connect(&remote, &fleet, 0);
    for (shell, lock) in [(Shell::Sh, false), (Shell::Bash, false), (Shell::Bash, true)] {
        for code in (1..4).chain(89..113).chain([125, 126, 127, 128, 137, 143, 254, 255]) {
            let mut script = Script { shell, lock, ..script(&format!("exit {code}")) };
            script.env = vec![("MAAND_RUN".into(), "a".into()), ("MAAND_EPOCH".into(), "1".into())];
            assert_eq!(exited(connection.run(&script, None)).0, code, "{shell:?} {lock}");
        }
    }
    // Before the command begins it is ours: a name that bash does not let go is no failure of the command.
    let mut early = Script { shell: Shell::Sh, ..script("exit 5") };
    early.env = vec![("PPID".into(), "1".into())];
    match connection.run(&early, None) {
        Completion::Exited { code: 5, .. } | Completion::NotRun { reason: NotRun::Early(_), .. } => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_step_that_ends_with_a_code_of_ours_has_failed_like_any_other() {
    let Some(bench) = RunBench::new(1) else { return };
    for code in [97, 98, 92, 100] {
        let plan = bench.own_plan(&format!(
            "version: 1\nname: own\nsteps:\n  - run: {{command: \"echo mine; exit {code}\", unless: \"exit {code}\"}}\n"
        ));
        let (stdout, stderr) = bench.expect(1, &["plan", "apply", &plan, "--yes"]);
        let all = format!("{stdout}{stderr}");
        assert!(all.contains(&format!("the command ended with exit code {code}")), "{all}");
        assert!(!all.contains("taken this run over"), "{all}");
        bench.command(&["plan", "abort"]).output().unwrap();
    }
}

#[test]
fn a_full_disk_and_one_that_is_read_only_are_named() {
    let Some(fleet) = Fleet::start(1) else { return };
    let remote = Ssh2Remote::new(fleet.settings());
    let state = format!("/var/lib/maand/test-bucket/{}", fleet.host(0));
    let mut locked = script("echo ran");
    (locked.lock, locked.sudo) = (true, true);
    locked.env = vec![("MAAND_RUN".into(), "a".into()), ("MAAND_EPOCH".into(), "1".into())];
    let describe = |completion: Completion| match completion {
        Completion::NotRun { reason, stderr } => {
            assert_eq!(reason, NotRun::NoState);
            reason.describe("w1", &stderr)
        }
        other => panic!("{other:?}"),
    };
    let fill = "head -c 10M /dev/zero >/var/lib/filler 2>/dev/null";
    // With and without what is there already.
    for prepare in ["true".to_owned(), format!("mkdir -p {state} && touch {state}/lock {state}/group")] {
        fleet.sh_ok(
            0,
            &format!("mount -t tmpfs -o size=64k,nr_inodes=12 none /var/lib && {prepare} && ({fill}; true)"),
        );
        if prepare == "true" {
            // No room for a folder either.
            fleet.sh(0, "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do touch /var/lib/f$i; done");
        }
        let text = describe(connect(&remote, &fleet, 0).run(&locked, None));
        assert!(text.starts_with("the disk of w1 is full: ") && text.contains("make room there"), "{text}");
        fleet.sh_ok(0, "umount /var/lib");
    }
    fleet.sh_ok(0, &format!("mkdir -p {state} && mount -t tmpfs -o ro none /var/lib"));
    let text = describe(connect(&remote, &fleet, 0).run(&locked, None));
    assert!(text.contains("read-only file system"), "{text}");
}

/// sudo as it is installed here, in place of the fleet's own.
fn with_sudo(settings: &str) -> Option<Fleet> {
    if !is_there("/usr/bin/sudo") {
        return None;
    }
    let fleet = Fleet::start(1)?;
    fleet.set(0, Fault::SudoAbsent);
    sudoers(&fleet, settings);
    Some(fleet)
}

fn sudoers(fleet: &Fleet, settings: &str) {
    fleet.sh_ok(
        0,
        &format!(
            "umask 227; printf '%b\\n' '{settings}' >/etc/sudoers.new; mv /etc/sudoers.new /etc/sudoers"
        ),
    );
}

#[test]
fn the_real_sudo_runs_scripts_with_and_without_a_terminal_of_its_own() {
    let Some(fleet) = with_sudo("") else { return };
    let remote = Ssh2Remote::new(as_agent(&fleet));
    for settings in
        ["", "Defaults lecture=always\\n", "Defaults use_pty\\n", "Defaults use_pty,log_output\\n"]
    {
        sudoers(&fleet, &format!("{settings}agent ALL=(ALL) NOPASSWD: SETENV: ALL"));
        let mut connection = connect(&remote, &fleet, 0);
        for (shell, lock, watchdog) in
            [(Shell::Sh, true, true), (Shell::Bash, false, true), (Shell::Bash, false, false)]
        {
            let mut as_root =
                Script { shell, lock, watchdog, ..script("id -u; cat | cksum; echo err >&2; exit 6") };
            as_root.sudo = true;
            let input: Vec<u8> = (0..300_000u32).map(|n| (n % 251) as u8).collect();
            let length = input.len() as u64;
            let (code, out, err) =
                exited(connection.run_with_payload(&as_root, &mut input.as_slice(), length));
            let out = String::from_utf8(out).unwrap();
            let lines: Vec<_> = out.lines().collect();
            assert_eq!((code, lines[0]), (6, "0"), "{settings}");
            assert!(lines[1].ends_with(" 300000") && !out.contains('\r'), "{settings}: {out:?}");
            assert!(String::from_utf8_lossy(&err).ends_with("err\n"), "{settings}: {err:?}");
        }
        // And it ends at its deadline, with all that it has started.
        let mut long = script("echo $$ >/root/pid; sleep 1000 & sleep 1000");
        (long.sudo, long.deadline) = (true, Duration::from_secs(1));
        assert!(matches!(connection.run(&long, None), Completion::Unknown { .. }), "{settings}");
        crate::support::wait_until("its group is gone", || {
            !fleet.sh(0, "kill -s 0 -- -$(cat /root/pid)").status.success()
        });
    }
}

#[test]
fn each_refusal_of_the_real_sudo_has_its_help() {
    let Some(fleet) = with_sudo("") else { return };
    let remote = Ssh2Remote::new(as_agent(&fleet));
    for (settings, words) in [
        ("agent ALL=(ALL) ALL", "NOPASSWD"),
        ("Defaults lecture=always\\nagent ALL=(ALL) ALL", "NOPASSWD"),
        ("Defaults requiretty\\nagent ALL=(ALL) NOPASSWD: SETENV: ALL", "requiretty"),
        ("agent ALL=(ALL) NOPASSWD: /bin/ls", "in sudoers"),
        ("agent ALL=(ALL) NOPASSWD: /bin/ls, /bin/cat\\nDefaults !authenticate", "in sudoers"),
        ("root ALL=(ALL) ALL", "sudo"),
    ] {
        sudoers(&fleet, settings);
        let mut as_root = script("id -u");
        as_root.sudo = true;
        let completion = connect(&remote, &fleet, 0).run(&as_root, None);
        let Completion::NotRun { reason: NotRun::Sudo, stderr } = completion else {
            panic!("{settings}: {completion:?}")
        };
        let text = NotRun::Sudo.describe("w1", &stderr);
        assert!(text.contains(words) && text.contains("w1"), "{settings}: {text}");
    }
    let tty = Captured { bytes: b"sudo: sorry, you must have a tty to run sudo".to_vec(), dropped: 0 };
    assert!(NotRun::Sudo.describe("w1", &tty).contains("`Defaults:USER !requiretty`"));
}

//! Scripts over real SSH: framing, honest outcomes, output, payloads, background processes.

use std::io::Read;
use std::time::{Duration, Instant};

use maand::ssh::{Cancel, Completion, Connection, NotRun, Remote, Script, Shell, Ssh2Remote, UnknownWhy};

use crate::support::{Fleet, PATIENCE, wait_until};

pub(crate) fn script(text: &str) -> Script {
    Script {
        what: "test".into(),
        shell: Shell::Sh,
        sudo: false,
        text: text.into(),
        env: Vec::new(),
        deadline: PATIENCE,
        watchdog: true,
        silence: None,
        users_own: false,
        lock: false,
    }
}

pub(crate) fn connect(remote: &Ssh2Remote, fleet: &Fleet, i: usize) -> Box<dyn Connection> {
    remote.connect(&fleet.host(i), Instant::now() + PATIENCE, &Cancel::new()).unwrap()
}

/// Exit code, standard output, standard error.
#[track_caller]
pub(crate) fn exited(completion: Completion) -> (i32, Vec<u8>, Vec<u8>) {
    match completion {
        Completion::Exited { code, stdout, stderr } => (code, stdout.bytes, stderr.bytes),
        Completion::NotRun { reason, stderr } => panic!("{reason}: {}", stderr.text()),
        Completion::Unknown { why, stdout, stderr } => {
            panic!("unknown: {why:?}; {:?} {:?}", stdout.text(), stderr.text())
        }
    }
}

#[track_caller]
pub(crate) fn unknown(completion: Completion) -> UnknownWhy {
    match completion {
        Completion::Unknown { why, .. } => why,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
pub(crate) fn not_run(completion: Completion) -> NotRun {
    match completion {
        Completion::NotRun { reason, .. } => reason,
        other => panic!("{other:?}"),
    }
}

/// With and without what a deadline of its own needs on the worker, in both shells.
#[test]
fn every_way_to_end_gives_its_exit_code_and_exact_output() {
    let Some(fleet) = Fleet::start(1) else { return };
    for (shell, watchdog) in
        [(Shell::Sh, true), (Shell::Sh, false), (Shell::Bash, true), (Shell::Bash, false)]
    {
        every_way_to_end(&fleet, shell, watchdog);
    }
}

fn every_way_to_end(fleet: &Fleet, shell: Shell, watchdog: bool) {
    let remote = Ssh2Remote::new(fleet.settings());
    let mut connection = connect(&remote, fleet, 0);
    let mut run = |text: &str| {
        let script = Script { shell, watchdog, ..script(text) };
        let (code, out, err) = exited(connection.run(&script, None));
        (code, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
    };
    let expect = |code, out: &str, err: &str| (code, out.to_owned(), err.to_owned());
    assert_eq!(run("echo hello"), expect(0, "hello\n", ""));
    assert_eq!(run("printf 'no newline'; printf err >&2; exit 3"), expect(3, "no newline", "err"));
    assert_eq!(run("printf '\\n\\n'"), expect(0, "\n\n", ""));
    assert_eq!(run(""), expect(0, "", ""));
    assert_eq!(run("exec sh -c 'exit 7'"), expect(7, "", ""));
    assert_eq!(run("false\ntrue\nfalse"), expect(1, "", ""));
    assert_eq!(run("kill -s KILL $$").0, 137);
    assert_eq!(run("cat; echo end"), expect(0, "end\n", ""));
    assert_eq!(run("cat <<X\nhere\nX"), expect(0, "here\n", ""));
    assert_eq!(run("echo $#; echo \"${b-unset}\""), expect(0, "0\nunset\n", ""));
    assert_eq!(run("set -eu; false; echo not reached"), expect(1, "", ""));
    assert_ne!(run("echo 'unclosed").0, 0);
    assert_eq!(run("printf %s 'zwölf Boxkämpfer'; cat"), expect(0, "zwölf Boxkämpfer", ""));
    assert_eq!(run("trap 'echo bye' EXIT; exit 5"), expect(5, "bye\n", ""));
    assert_eq!(run("kill -s TERM 0; sleep 1000").0, 143, "its group is not more than it");
    assert_eq!(run(&format!("printf %s {}; cat", "x".repeat(5000))), expect(0, &"x".repeat(5000), ""));
    assert!(connection.is_usable());
}

#[test]
fn values_travel_as_environment_and_bash_is_bash() {
    let Some(fleet) = Fleet::start(1) else { return };
    let remote = Ssh2Remote::new(fleet.settings());
    let mut connection = connect(&remote, &fleet, 0);
    let value = "it's $HOME `id` \\ \"\n two\n";
    let mut bash = script("printf %s \"$VALUE\"; [[ -n $BASH_VERSION ]] || exit 9; a=(1 2); exit ${#a[@]}");
    bash.shell = Shell::Bash;
    bash.env = vec![("VALUE".into(), value.into())];
    let (code, out, _) = exited(connection.run(&bash, None));
    assert_eq!((code, String::from_utf8(out).unwrap().as_str()), (2, value));

    let mut bad = script("true");
    bad.env = vec![("A B".into(), String::new())];
    assert_eq!(not_run(connection.run(&bad, None)), NotRun::BadScript);
    bad.env = vec![("A".into(), "\0".into())];
    assert_eq!(not_run(connection.run(&bad, None)), NotRun::BadScript);
    // A secret is never in an argument that others there can see.
    let mut secret = script("cat /proc/[0-9]*/cmdline | tr '\\0' ' '");
    secret.env = vec![("VALUE".into(), "s3cr3t".into())];
    let (_, out, _) = exited(connection.run(&secret, None));
    let out = String::from_utf8_lossy(&out).into_owned();
    assert!(out.contains("maand") && !out.contains("s3cr3t"));
}

#[test]
fn a_killed_shell_is_unknown_though_its_children_hold_the_channel() {
    let Some(fleet) = Fleet::start(1) else { return };
    let remote = Ssh2Remote::new(fleet.settings());
    for watchdog in [true, false] {
        // The wrapper around the script is its parent.
        let text = "sleep 1000 & echo started; kill -s KILL $PPID; sleep 1000";
        let mut connection = connect(&remote, &fleet, 0);
        let why = unknown(connection.run(&Script { watchdog, ..script(text) }, None));
        assert!(matches!(why, UnknownWhy::ConnectionLost(_)), "{why:?}");
        assert!(!connection.is_usable());
        assert!(matches!(unknown(connection.run(&script("true"), None)), UnknownWhy::ConnectionLost(_)));
    }
    // The session's server process is killed: the connection is cut.
    let mut connection = connect(&remote, &fleet, 0);
    let text = "p=$PPID; p=$(cut -d' ' -f4 /proc/$p/stat); kill -s KILL $p; sleep 1000";
    assert!(matches!(unknown(connection.run(&script(text), None)), UnknownWhy::ConnectionLost(_)));
}

#[test]
fn a_daemon_that_keeps_the_output_open_does_not_hold_us() {
    let Some(fleet) = Fleet::start(1) else { return };
    let remote = Ssh2Remote::new(fleet.settings());
    let mut connection = connect(&remote, &fleet, 0);
    let mut pid = String::new();
    for watchdog in [true, false] {
        let daemon = Script { watchdog, ..script("sleep 1000 & echo $!") };
        let (code, out, _) = exited(connection.run(&daemon, None));
        pid = String::from_utf8(out).unwrap();
        assert_eq!(code, 0);
    }
    // It lives on, the connection can be used again, and so can the lock.
    let mut locked = script(&format!("kill -0 {} && echo alive; sleep 1000 & true", pid.trim()));
    locked.lock = true;
    for _ in 0..2 {
        let (code, out, _) = exited(connection.run(&locked, None));
        assert_eq!((code, out.as_slice()), (0, b"alive\n".as_slice()));
    }
    drop(connection);
    assert_eq!(fleet.sh_ok(0, &format!("kill -0 {} && echo alive", pid.trim())), "alive");
}

#[test]
fn a_flood_on_both_streams_is_drained_and_counted() {
    let Some(fleet) = Fleet::start(1) else { return };
    let remote = Ssh2Remote::new(fleet.settings());
    let mut connection = connect(&remote, &fleet, 0);
    let megabytes = 300;
    let text = format!(
        "head -c {megabytes}M /dev/zero | tr '\\0' x & head -c 20M /dev/zero >&2; wait; echo; echo end"
    );
    let mut seen = 0u64;
    let mut tail = Vec::new();
    let mut sink = |stream, bytes: &[u8]| {
        if stream == maand::ssh::Stream::Stdout {
            seen += bytes.len() as u64;
            tail.extend_from_slice(&bytes[bytes.len().saturating_sub(16)..]);
            tail.drain(..tail.len().saturating_sub(16));
        }
    };
    let Completion::Exited { code: 0, stdout, stderr } = connection.run(&script(&text), Some(&mut sink))
    else {
        panic!("not exited")
    };
    let total = megabytes * 1024 * 1024 + 5;
    assert_eq!(stdout.bytes.len(), maand::ssh::OUTPUT_KEPT);
    assert_eq!(stdout.bytes.len() as u64 + stdout.dropped, total);
    assert_eq!(seen, total);
    assert!(tail.ends_with(b"x\nend\n"));
    assert_eq!(stderr.bytes.len() as u64 + stderr.dropped, 20 * 1024 * 1024);
}

#[test]
fn binary_output_comes_back_byte_by_byte() {
    let Some(fleet) = Fleet::start(1) else { return };
    let remote = Ssh2Remote::new(fleet.settings());
    let mut connection = connect(&remote, &fleet, 0);
    let text =
        "head -c 700000 /dev/urandom | tee /root/random; printf '\\377\\0\\n\\n' | tee -a /root/random";
    let (code, out, _) = exited(connection.run(&script(text), None));
    assert_eq!(code, 0);
    assert!(out == std::fs::read(fleet.disk(0).join("root/random")).unwrap());
}

/// `length` bytes that depend on their place.
struct Pattern(u64);

impl Read for Pattern {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = buffer.len().min(usize::try_from(self.0).unwrap_or(usize::MAX));
        for byte in &mut buffer[..n] {
            *byte = (self.0 % 251) as u8;
            self.0 -= 1;
        }
        Ok(n)
    }
}

#[test]
fn fifty_megabytes_arrive_whole() {
    use sha2::Digest;
    let Some(fleet) = Fleet::start(1) else { return };
    let remote = Ssh2Remote::new(fleet.settings());
    let mut connection = connect(&remote, &fleet, 0);
    let length = 50 * 1024 * 1024;
    let mut hash = sha2::Sha256::new();
    let mut all = Vec::new();
    Pattern(length).read_to_end(&mut all).unwrap();
    hash.update(&all);
    let expected: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    for (shell, lock, watchdog) in [
        (Shell::Sh, false, true),
        (Shell::Sh, true, true),
        (Shell::Sh, false, false),
        (Shell::Bash, false, false),
        (Shell::Bash, false, true),
    ] {
        let sum = Script { shell, lock, watchdog, ..script("sha256sum | cut -c1-64") };
        let (code, out, err) = exited(connection.run_with_payload(&sum, &mut Pattern(length), length));
        assert_eq!((code, String::from_utf8_lossy(&out).trim()), (0, expected.as_str()), "{err:?}");
    }
    // Output as large as the input, at the same time.
    let (code, _, _) =
        exited(connection.run_with_payload(&script("cat; cat /dev/null"), &mut Pattern(length), length));
    assert_eq!(code, 0);
    // A script that does not want it ends all the same.
    let (code, out, _) = exited(connection.run_with_payload(
        &script("head -c 3 | wc -c; exit 4"),
        &mut Pattern(length),
        length,
    ));
    assert_eq!((code, String::from_utf8(out).unwrap().trim()), (4, "3"));
    // One that ends early is not passed off as whole.
    let text = "cat >/root/part; touch /root/whole";
    let why = unknown(connection.run_with_payload(&script(text), &mut Pattern(1000), 2000));
    assert!(matches!(&why, UnknownWhy::ConnectionLost(why) if why.contains("ended early")), "{why:?}");
}

#[test]
fn sixty_at_once_come_through_a_throttled_server() {
    let options = crate::support::Options { max_startups: "10:30:60".into(), ..Default::default() };
    let Some(fleet) = Fleet::start_with(1, &options) else { return };
    let remote = Ssh2Remote::new(fleet.settings());
    let results = maand::os::parallel_map(0..60, 60, |n: i32| {
        let mut connection = connect(&remote, &fleet, 0);
        exited(connection.run(&script(&format!("exit {n}")), None)).0
    });
    assert_eq!(results, (0..60).collect::<Vec<_>>());
    // Also when others fill it up: without a bound of our own, dropped handshakes are tried again.
    let greedy = maand::ssh::Settings { handshakes: 60, ..fleet.settings() };
    let remote = Ssh2Remote::new(greedy);
    let results = maand::os::parallel_map(0..60, 60, |n: i32| {
        let mut connection = connect(&remote, &fleet, 0);
        exited(connection.run(&script(&format!("exit {n}")), None)).0
    });
    assert_eq!(results, (0..60).collect::<Vec<_>>());
}

#[test]
fn a_script_ends_at_its_deadline_and_leaves_nothing() {
    let Some(fleet) = Fleet::start(1) else { return };
    let remote = Ssh2Remote::new(fleet.settings());
    let mut connection = connect(&remote, &fleet, 0);
    let mut stubborn = script("trap '' TERM; echo $$ >/root/pid; sleep 1000 & wait; wait; sleep 1000");
    stubborn.deadline = Duration::from_secs(1);
    let why = unknown(connection.run(&stubborn, None));
    assert_eq!(why, UnknownWhy::Deadline(Duration::from_secs(1)));
    wait_until("its group is gone", || !fleet.sh(0, "kill -s 0 -- -$(cat /root/pid)").status.success());
    let mut silent = script("echo $$ >/root/pid; sleep 1000");
    silent.silence = Some(Duration::from_millis(500));
    let mut connection = connect(&remote, &fleet, 0);
    assert!(matches!(unknown(connection.run(&silent, None)), UnknownWhy::Silence(_)));
    wait_until("its group is gone", || !fleet.sh(0, "kill -s 0 -- -$(cat /root/pid)").status.success());
    // One that speaks now and then is not silent.
    let mut speaks = script("for i in 1 2 3 4; do echo; sleep 0.2; done");
    speaks.silence = Some(Duration::from_secs(20));
    let mut connection = connect(&remote, &fleet, 0);
    assert_eq!(exited(connection.run(&speaks, None)).0, 0);
}

#[test]
fn a_cancelled_script_is_unknown_and_its_group_ends() {
    let Some(fleet) = Fleet::start(1) else { return };
    let remote = Ssh2Remote::new(fleet.settings());
    for (lock, watchdog) in [(false, true), (true, true), (false, false)] {
        let cancel = Cancel::new();
        let mut connection = remote.connect(&fleet.host(0), Instant::now() + PATIENCE, &cancel).unwrap();
        let text = "sleep 1000 & echo $$ $! >/root/pids; echo started; trap '' TERM; sleep 1000";
        let long = Script { lock, watchdog, ..script(text) };
        let mut sink = |_, _: &[u8]| cancel.cancel();
        assert_eq!(unknown(connection.run(&long, Some(&mut sink))), UnknownWhy::Cancelled);
        wait_until("all of it is gone", || {
            let alive = "for p in $(cat /root/pids); do kill -0 $p && exit 0; done; exit 1";
            !fleet.sh(0, alive).status.success()
        });
    }
    // The lock is free again.
    let mut next = script("echo next");
    next.lock = true;
    assert_eq!(exited(connect(&remote, &fleet, 0).run(&next, None)).0, 0);
}

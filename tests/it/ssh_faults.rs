//! Workers that misbehave: off, rebooting, closed to logins, without sudo; stopped controllers; and that
//! the fleet itself leaves nothing behind.

use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use maand::bucket::Host;
use maand::ssh::{
    Cancel, Completion, ConnectError, Endpoint, NotRun, Remote, Settings, Ssh2Remote, UnknownWhy,
};

use crate::ssh::{connect, exited, not_run, script, unknown};
use crate::support::{Fault, Fleet, PATIENCE, PORT, wait_until};

fn error_of(settings: Settings, host: &Host, within: Duration) -> Option<ConnectError> {
    Ssh2Remote::new(settings).connect(host, Instant::now() + within, &Cancel::new()).err()
}

#[test]
fn a_reboot_takes_its_time_and_brings_a_new_boot_id() {
    let Some(fleet) = Fleet::start(2) else { return };
    let remote = Ssh2Remote::new(fleet.settings());
    let boot_id = |i| {
        let (_, out, _) =
            exited(connect(&remote, &fleet, i).run(&script("cat /proc/sys/kernel/random/boot_id"), None));
        String::from_utf8(out).unwrap().trim().to_owned()
    };
    let (first, other) = (boot_id(0), boot_id(1));
    assert_eq!(first, fleet.boot_id(0));
    assert_ne!(first, other);
    fleet.set(0, Fault::ShutdownSecs(2));
    fleet.set(0, Fault::NologinSecs(3));
    let mut reboot = script("shutdown -r now; echo asked; sleep 1000");
    reboot.sudo = true;
    let why = unknown(connect(&remote, &fleet, 0).run(&reboot, None));
    assert!(matches!(why, UnknownWhy::ConnectionLost(_)), "{why:?}");
    fleet.wait_for_boot(0, 2);
    assert_eq!(fleet.reboot_requests(0), ["shutdown -r now"]);
    // Root may log in, others are told why not.
    assert_ne!(boot_id(0), first);
    let agent = || Settings { user: Some("agent".into()), ..fleet.settings() };
    let error = error_of(agent(), &fleet.host(0), PATIENCE);
    if let Some(error) = error {
        assert!(
            matches!(&error, ConnectError::NoLogin { message, .. } if message.contains("booting up")),
            "{error:?}"
        );
    } else {
        panic!("nologin was over before it was looked at");
    }
    wait_until("logins are open", || error_of(agent(), &fleet.host(0), PATIENCE).is_none());
    assert_eq!((fleet.boots(0), fleet.boots(1), boot_id(1)), (2, 1, other));
    assert_eq!(fleet.len(), 2);
}

#[test]
fn a_reboot_that_does_not_happen_or_does_not_end() {
    let Some(fleet) = Fleet::start(1) else { return };
    fleet.set(0, Fault::IgnoreReboot);
    fleet.sh_ok(0, "reboot");
    assert_eq!((fleet.reboot_requests(0).len(), fleet.boots(0)), (1, 1));
    fleet.set(0, Fault::Healthy);
    fleet.set(0, Fault::NeverBack);
    fleet.set(0, Fault::BootSecs(0));
    fleet.sh_ok(0, "reboot");
    wait_until("it is off", || fleet.pid(0).is_none());
    let error = error_of(fleet.settings(), &fleet.host(0), PATIENCE);
    assert!(matches!(error, Some(ConnectError::Refused { .. })), "{error:?}");
    fleet.plug(0);
    assert_eq!(fleet.boots(0), 2);
    assert_eq!(fleet.port(), PORT);
}

#[test]
fn each_way_not_to_be_there_has_its_own_error() {
    let Some(fleet) = Fleet::start(1) else { return };
    fleet.unplug(0);
    let error = error_of(fleet.settings(), &fleet.host(0), PATIENCE);
    assert!(matches!(error, Some(ConnectError::Refused { .. })), "{error:?}");

    // A full queue of connections: the kernel drops what else comes, as a dead host would.
    let hole = TcpListener::bind("127.0.0.1:0").unwrap();
    rustix::net::listen(&hole, 0).unwrap();
    let address = hole.local_addr().unwrap();
    let _held: Vec<_> =
        (0..4).map(|_| std::net::TcpStream::connect_timeout(&address, Duration::from_millis(200))).collect();
    let host = Host::parse("127.0.0.1").unwrap();
    let mut settings = fleet.settings();
    settings.endpoints.insert(host.clone(), Endpoint { port: Some(address.port()), user: None });
    settings.deadlines.connect = Duration::from_millis(300);
    let error = error_of(settings, &host, PATIENCE);
    assert!(matches!(error, Some(ConnectError::TimedOut { .. })), "{error:?}");

    let error = error_of(fleet.settings(), &Host::parse("no-such-host.invalid").unwrap(), PATIENCE);
    assert!(
        matches!(error, Some(ConnectError::Unresolved { .. } | ConnectError::Unreachable { .. })),
        "{error:?}"
    );

    // A server that hangs up at once is tried again until the time is over.
    let rude = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut settings = fleet.settings();
    settings
        .endpoints
        .insert(host.clone(), Endpoint { port: Some(rude.local_addr().unwrap().port()), user: None });
    let counted = std::thread::spawn(move || {
        rude.set_nonblocking(true).unwrap();
        let (until, mut count) = (Instant::now() + Duration::from_secs(2), 0);
        while Instant::now() < until {
            count += usize::from(rude.accept().is_ok());
            std::thread::sleep(Duration::from_millis(5));
        }
        count
    });
    let error = error_of(settings, &host, Duration::from_millis(1500));
    assert!(matches!(error, Some(ConnectError::Handshake { .. })), "{error:?}");
    assert!(counted.join().unwrap() > 1);

    let cancelled = Cancel::new();
    cancelled.cancel();
    let remote = Ssh2Remote::new(fleet.settings());
    let error = remote.connect(&fleet.host(0), Instant::now() + PATIENCE, &cancelled).err();
    assert!(matches!(error, Some(ConnectError::Cancelled)), "{error:?}");
}

#[test]
fn pulling_the_plug_in_the_middle_is_unknown() {
    let Some(fleet) = Fleet::start(1) else { return };
    let remote = Ssh2Remote::new(fleet.settings());
    let mut connection = connect(&remote, &fleet, 0);
    let mut sink = |_, _: &[u8]| {
        if fleet.pid(0).is_some() {
            fleet.unplug(0);
        }
    };
    let why = unknown(connection.run(&script("echo; sleep 1000"), Some(&mut sink)));
    assert!(matches!(why, UnknownWhy::ConnectionLost(_)), "{why:?}");
}

#[test]
fn sudo_that_wants_a_password_is_told_from_a_command_that_fails() {
    let Some(fleet) = Fleet::start(1) else { return };
    let as_agent = Settings { user: Some("agent".into()), ..fleet.settings() };
    let remote = Ssh2Remote::new(as_agent);
    let mut as_root = script("id -u; echo \"$VALUE\"; echo \"$MAAND_STATE_DIR\"; exit 1");
    as_root.sudo = true;
    as_root.lock = true;
    as_root.env = vec![("VALUE".into(), "it's kept".into())];
    let mut connection = connect(&remote, &fleet, 0);
    let state = format!("/var/lib/maand/test-bucket/{}", fleet.host(0));
    let (code, out, _) = exited(connection.run(&as_root, None));
    assert_eq!((code, String::from_utf8(out).unwrap()), (1, format!("0\nit's kept\n{state}\n")));
    assert_eq!(fleet.sh_ok(0, &format!("stat -c %a {state}")), "700");
    // Payloads pass through sudo, too.
    let mut count = script("wc -c");
    count.sudo = true;
    let data = vec![1u8; 1_000_000];
    let (_, out, _) = exited(connection.run_with_payload(&count, &mut data.as_slice(), 1_000_000));
    assert_eq!(String::from_utf8(out).unwrap().trim(), "1000000");

    fleet.set(0, Fault::SudoPassword);
    let completion = connection.run(&as_root, None);
    let Completion::NotRun { reason: NotRun::Sudo, stderr } = completion else { panic!("{completion:?}") };
    let text = NotRun::Sudo.describe("10.0.0.3", &stderr);
    assert!(text.starts_with("sudo on 10.0.0.3 wants a password: "), "{text}");
    fleet.set(0, Fault::Healthy);
    fleet.set(0, Fault::SudoAbsent);
    assert_eq!(not_run(connection.run(&as_root, None)), NotRun::Sudo);
    fleet.set(0, Fault::Healthy);
    assert_eq!(exited(connection.run(&as_root, None)).0, 1);
    // Without sudo the state folder is below the home.
    let mut plain = script("echo \"$MAAND_STATE_DIR\"");
    plain.lock = true;
    let (_, out, _) = exited(connection.run(&plain, None));
    let expected = format!("/home/agent/.maand/test-bucket/{}\n", fleet.host(0));
    assert_eq!(String::from_utf8(out).unwrap(), expected);
    // Root needs no sudo, even where there is none.
    fleet.set(0, Fault::SudoPassword);
    let remote = Ssh2Remote::new(fleet.settings());
    assert_eq!(exited(connect(&remote, &fleet, 0).run(&as_root, None)).0, 1);
}

#[test]
fn scripts_with_the_lock_never_overlap_and_one_that_gave_up_never_starts() {
    let Some(fleet) = Fleet::start(1) else { return };
    let remote = Ssh2Remote::new(fleet.settings());
    let mut locked =
        script("mkdir /root/inside || exit 9; sleep 0.2; rmdir /root/inside; echo . >>/root/ran");
    locked.lock = true;
    let codes = maand::os::parallel_map(vec![(); 6], 6, |()| {
        exited(connect(&remote, &fleet, 0).run(&locked, None)).0
    });
    assert_eq!(codes, [0; 6]);

    let mut holder = script("echo holding; until [ -e /root/go ]; do sleep 0.1; done");
    holder.lock = true;
    let (tell, hear) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let held = scope.spawn(|| {
            let mut sink = |_, _: &[u8]| tell.send(()).unwrap();
            exited(connect(&remote, &fleet, 0).run(&holder, Some(&mut sink))).0
        });
        hear.recv().unwrap();
        let mut late = script("touch /root/started");
        late.lock = true;
        late.deadline = Duration::from_secs(1);
        let completion = connect(&remote, &fleet, 0).run(&late, None);
        assert_eq!(not_run(completion), NotRun::Locked);
        // Given up while it waits for the lock.
        late.deadline = PATIENCE;
        late.silence = Some(Duration::from_millis(300));
        assert!(matches!(unknown(connect(&remote, &fleet, 0).run(&late, None)), UnknownWhy::Silence(_)));
        fleet.sh_ok(0, "touch /root/go");
        assert_eq!(held.join().unwrap(), 0);
    });
    // The next one has the lock after the one that gave up.
    assert_eq!(exited(connect(&remote, &fleet, 0).run(&locked, None)).0, 0);
    assert_eq!(fleet.sh_ok(0, "ls /root"), "go\nran");
}

#[test]
fn an_old_half_is_ended_before_the_repeat_begins() {
    let Some(fleet) = Fleet::start(1) else { return };
    let remote = Ssh2Remote::new(fleet.settings());
    // The wrapper is killed, so the lock is free, and the script runs on.
    let mut first = script("kill -s KILL $PPID; echo $$ >/root/old; sleep 1000");
    first.lock = true;
    unknown(connect(&remote, &fleet, 0).run(&first, None));
    wait_until("the old half runs", || fleet.sh(0, "kill -0 $(cat /root/old)").status.success());
    // A zombie runs no more.
    let text =
        "s=$(cat /proc/$(cat /root/old)/stat 2>/dev/null); case ${s##*) } in '' | Z*) exit 0 ;; esac; exit 9";
    let mut repeat = script(text);
    repeat.lock = true;
    assert_eq!(exited(connect(&remote, &fleet, 0).run(&repeat, None)).0, 0);
}

#[test]
fn a_worker_refuses_a_lower_epoch_of_the_same_run() {
    let Some(fleet) = Fleet::start(1) else { return };
    let remote = Ssh2Remote::new(fleet.settings());
    let mut connection = connect(&remote, &fleet, 0);
    let mut with = |run: &str, epoch: &str| {
        // Each of these is the script's own code, whatever else it means elsewhere.
        let mut fenced = script("echo went on; exit 97");
        fenced.lock = true;
        fenced.env = vec![("MAAND_RUN".into(), run.into()), ("MAAND_EPOCH".into(), epoch.into())];
        match connection.run(&fenced, None) {
            Completion::Exited { code: 97, stdout, .. } => stdout.text() == "went on\n",
            Completion::NotRun { reason: NotRun::Fenced, stderr } if stderr.text().contains("taken over") => {
                false
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!([with("a", "1"), with("a", "2"), with("a", "1"), with("a", "2")], [true, true, false, true]);
    assert_eq!([with("b", "1"), with("b", "10"), with("b", "9")], [true, true, false]);
}

#[test]
fn a_state_folder_that_cannot_be_written_is_named() {
    let Some(fleet) = Fleet::start(1) else { return };
    fleet.sh_ok(0, "mount -t tmpfs -o ro none /var/lib");
    let remote = Ssh2Remote::new(fleet.settings());
    let mut locked = script("echo ran");
    (locked.lock, locked.sudo) = (true, true);
    let completion = connect(&remote, &fleet, 0).run(&locked, None);
    assert_eq!(not_run(completion), NotRun::NoState);
}

#[test]
fn make_can_be_missing() {
    let Some(fleet) = Fleet::start(1) else { return };
    assert!(fleet.sh(0, "command -v make").status.success());
    fleet.set(0, Fault::NoMake);
    fleet.unplug(0);
    fleet.plug(0);
    assert!(!fleet.sh(0, "command -v make").status.success());
}

/// Not a test of its own: what the next one kills.
#[test]
fn a_fleet_to_be_killed() {
    let Ok(file) = std::env::var("MAAND_TEST_FLEET_FILE") else { return };
    let Some(fleet) = Fleet::start(1) else { return };
    let line = format!("{} {}", fleet.pid(0).unwrap(), fleet.host(0));
    std::fs::write(format!("{file}.new"), line).unwrap();
    std::fs::rename(format!("{file}.new"), &file).unwrap();
    std::thread::sleep(Duration::from_secs(3600));
}

#[test]
fn a_killed_test_leaves_no_server_behind() {
    let Some(_fleet) = Fleet::start(1) else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("fleet");
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "ssh_faults::a_fleet_to_be_killed"])
        .env("MAAND_TEST_FLEET_FILE", &file)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_until("the other fleet is up", || file.exists());
    child.kill().unwrap();
    child.wait().unwrap();
    let text = std::fs::read_to_string(&file).unwrap();
    let (pid, host) = text.split_once(' ').unwrap();
    wait_until("its server is gone", || !std::path::Path::new("/proc").join(pid).exists());
    assert!(std::net::TcpStream::connect((host, PORT)).is_err());
}

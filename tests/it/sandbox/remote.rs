//! The sandbox and our own transport, held together: framing, locks, sudo, faults as typed errors.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use maand::bucket::{Bucket, Host};
use maand::sandbox::{Blueprint, Event, Fault, FaultKind, SSH_CONFIG, Sandbox, SandboxOptions};
use maand::ssh::{
    Cancel, Completion, ConnectError, Connection, HostKeyCheck, HostProfile, NotRun, Remote, Script,
    Settings, Shell, Ssh2Remote, UnknownWhy,
};

use super::client::{PATIENCE, sandbox, sandbox_with, until};

/// The transport as the command line makes it for a sandbox's bucket.
pub(super) fn remote(sandbox: &Sandbox) -> Ssh2Remote {
    let bucket = Bucket::open(&sandbox.bucket_dir()).unwrap();
    let (conf, id) = (bucket.settings().clone(), bucket.bucket_id().unwrap().to_owned());
    let profiles = move |host: &Host| {
        let real = HostProfile::real(&conf.worker_root, &id, host, conf.use_sudo);
        let root = conf.root_of(host).unwrap();
        let below = |path: &Path| root.join(path.strip_prefix("/").unwrap());
        HostProfile {
            worker_dir: below(&real.worker_dir),
            state_dir: below(&real.state_dir),
            boot_id: below(&real.boot_id),
            nologin: below(&real.nologin),
            sandbox: true,
            ..real
        }
    };
    let conf = bucket.settings();
    Ssh2Remote::new(Settings {
        port: Some(conf.ssh_port),
        user: Some(conf.ssh_user.clone()),
        key: Some(conf.ssh_key.clone()),
        host_key_check: HostKeyCheck::Strict,
        ssh_config: Some(sandbox.bucket_dir().join(SSH_CONFIG)),
        ..Settings::bare(bucket.paths().known_hosts.clone(), Arc::new(profiles))
    })
}

pub(super) fn connect(remote: &Ssh2Remote, host: &Host) -> Result<Box<dyn Connection>, ConnectError> {
    remote.connect(host, Instant::now() + PATIENCE, &Cancel::new())
}

fn script(text: &str) -> Script {
    Script {
        what: "a test".into(),
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

/// Code and standard output of a script that came to its end.
fn exited(completion: Completion) -> (i32, String) {
    match completion {
        Completion::Exited { code, stdout, .. } => (code, stdout.text()),
        other => panic!("{other:?}"),
    }
}

pub(super) fn inject(sandbox: &Sandbox, host: &Host, kind: FaultKind, at_step: Option<&str>) {
    assert!(sandbox.inject(Fault { host: host.clone(), kind, at_step: at_step.map(str::to_owned) }));
}

#[test]
fn scripts_of_ours_run_with_lock_sudo_and_payload() {
    let sandbox = sandbox(1);
    let (remote, host) = (remote(&sandbox), &sandbox.hosts()[0]);
    let profile = remote.profile(host);
    assert!(profile.sandbox && profile.worker_dir.starts_with(sandbox.root(host).unwrap()));
    let mut connection = connect(&remote, host).unwrap();
    for (sudo, lock) in [(false, false), (true, false), (false, true), (true, true)] {
        let mut asked = script("echo \"$GREETING\"; cat \"$BOOT\"; echo \"$MAAND_STATE_DIR\"; exit 9");
        (asked.sudo, asked.lock) = (sudo, lock);
        asked.env = vec![
            ("GREETING".into(), "it's\nme".into()),
            ("BOOT".into(), profile.boot_id.to_string_lossy().into_owned()),
        ];
        let home = sandbox.root(host).unwrap().join("home").join(&profile.state_dir_in_home);
        let state = if sudo { &profile.state_dir } else { &home };
        let boot_id = &sandbox.boots(host)[0].boot_id;
        let wanted = format!("it's\nme\n{boot_id}\n{}\n", state.display());
        assert_eq!(exited(connection.run(&asked, None)), (9, wanted), "sudo {sudo}, lock {lock}");
        assert!(state.starts_with(sandbox.root(host).unwrap()));
    }
    let payload = vec![b'x'; 700_000];
    let mut asked = script("wc -c");
    asked.lock = true;
    let sent = connection.run_with_payload(&asked, &mut payload.as_slice(), payload.len() as u64);
    assert_eq!(exited(sent).1.trim(), "700000");
}

#[test]
fn the_users_own_scripts_are_answered_as_if_they_had_run() {
    let sandbox = sandbox(1);
    let (remote, host) = (remote(&sandbox), &sandbox.hosts()[0]);
    let marker = sandbox.dir().join("EXECUTED");
    let mut connection = connect(&remote, host).unwrap();
    for (shell, sudo, lock) in
        [(Shell::Bash, false, false), (Shell::Bash, true, true), (Shell::Sh, false, true)]
    {
        let mut asked = script("touch \"$MARKER\"");
        asked.env = vec![("MARKER".into(), marker.to_string_lossy().into_owned())];
        (asked.users_own, asked.shell, asked.sudo, asked.lock) = (true, shell, sudo, lock);
        assert_eq!(exited(connection.run(&asked, None)), (0, "sandbox: recorded, not executed\n".into()));
        let payload = [b'y'; 100];
        let sent = connection.run_with_payload(&asked, &mut payload.as_slice(), 100);
        assert_eq!(exited(sent).0, 0);
    }
    assert!(!marker.exists());
    let log = sandbox.log(host);
    let recorded =
        |event: &Event| matches!(event, Event::NotExecuted { text, .. } if text == "touch \"$MARKER\"");
    assert_eq!(log.iter().filter(|entry| recorded(&entry.event)).count(), 6);
}

#[test]
fn with_execute_the_users_own_scripts_run() {
    let options = SandboxOptions { execute: true, ..SandboxOptions::new(Blueprint::demo(1)) };
    let sandbox = sandbox_with(options);
    let mut connection = connect(&remote(&sandbox), &sandbox.hosts()[0]).unwrap();
    let mut asked = script("echo $((6 * 7))");
    asked.users_own = true;
    assert_eq!(exited(connection.run(&asked, None)), (0, "42\n".into()));
}

#[test]
fn faults_are_what_the_transport_calls_them() {
    let sandbox = sandbox(6);
    let remote = remote(&sandbox);
    let [sudo, before, after, hangs, key, nologin] = [0, 1, 2, 3, 4, 5].map(|at| &sandbox.hosts()[at]);

    inject(&sandbox, sudo, FaultKind::SudoPassword, None);
    let mut asked = script("exit 0");
    asked.sudo = true;
    for users_own in [false, true] {
        asked.users_own = users_own;
        let refused = connect(&remote, sudo).unwrap().run(&asked, None);
        assert!(matches!(refused, Completion::NotRun { reason: NotRun::Sudo, .. }), "{refused:?}");
    }

    let mut reboots = script("eval \"$COMMAND\"; touch ran");
    reboots.lock = true;
    reboots.env = vec![("COMMAND".into(), ": sandbox-reboot".into())];
    for (host, kind, ran) in
        [(before, FaultKind::CutsBeforeCommand, false), (after, FaultKind::CutsAfterCommand, true)]
    {
        inject(&sandbox, host, kind, None);
        let cut = connect(&remote, host).unwrap().run(&reboots, None);
        assert!(
            matches!(cut, Completion::Unknown { why: UnknownWhy::ConnectionLost(_), .. }),
            "{kind}: {cut:?}"
        );
        assert_eq!(sandbox.root(host).unwrap().join("home/ran").exists(), ran, "{kind}");
    }
    inject(&sandbox, hangs, FaultKind::Hangs, None);
    reboots.silence = Some(Duration::from_millis(300));
    let hung = connect(&remote, hangs).unwrap().run(&reboots, None);
    assert!(matches!(hung, Completion::Unknown { why: UnknownWhy::Silence(_), .. }), "{hung:?}");

    inject(&sandbox, key, FaultKind::ChangesHostKey, Some("reboot"));
    sandbox.step_begins(key, "reboot");
    let changed = until("the new key", || connect(&remote, key).err());
    assert!(matches!(changed, ConnectError::HostKeyChanged { .. }), "{changed}");

    inject(&sandbox, nologin, FaultKind::Nologin, Some("reboot"));
    sandbox.step_begins(nologin, "reboot");
    let refused = until("nologin", || connect(&remote, nologin).err());
    assert!(matches!(refused, ConnectError::NoLogin { .. }), "{refused}");
    until("logins to be on again", || connect(&remote, nologin).ok());
}

#[test]
fn a_worker_that_reboots_refuses_connections_meanwhile() {
    let sandbox = sandbox_with(SandboxOptions::new(Blueprint::demo(1)));
    let (remote, host) = (remote(&sandbox), &sandbox.hosts()[0]);
    let first =
        exited(connect(&remote, host).unwrap().run(&script("sandbox-reboot 'x y'; sleep 0.01"), None));
    assert_eq!(first.0, 0);
    let refused = until("the port to close", || connect(&remote, host).err());
    assert!(matches!(refused, ConnectError::Refused { .. } | ConnectError::Handshake { .. }), "{refused}");
    until("it to be back", || connect(&remote, host).ok());
    assert_eq!(sandbox.boots(host).len(), 2);
}

//! Who is at the other end and who are we: host keys, authentication, the user's ssh config, jump hosts.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use maand::bucket::Host;
use maand::ssh::{
    Cancel, ConnectError, Connection, Endpoint, HostKeyCheck, Notice, Remote, Settings, Ssh2Remote,
};

use crate::ssh::{connect, exited, script};
use crate::support::{Fault, Fleet, Options, PATIENCE, PORT, keygen};

pub(crate) fn attempt(settings: Settings, host: &Host) -> Result<Box<dyn Connection>, ConnectError> {
    Ssh2Remote::new(settings).connect(host, Instant::now() + PATIENCE, &Cancel::new())
}

#[track_caller]
pub(crate) fn refused(settings: Settings, host: &Host) -> ConnectError {
    attempt(settings, host).err().expect("it must not connect")
}

/// Whatever the umask is: one that others can write would be refused.
pub(crate) fn write_config(file: &Path, text: &str) {
    fs::write(file, text).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
}

/// What a script on that connection says its host's name is.
fn name_behind(settings: Settings, host: &str) -> Result<String, ConnectError> {
    let mut connection = attempt(settings, &Host::parse(host).unwrap())?;
    let (code, out, _) = exited(connection.run(&script("hostname; id -un"), None));
    assert_eq!(code, 0);
    Ok(String::from_utf8(out).unwrap().split_whitespace().collect::<Vec<_>>().join(" "))
}

#[test]
fn the_first_key_is_stored_and_a_changed_one_is_final() {
    let Some(fleet) = Fleet::start(1) else { return };
    let notices = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&notices);
    let settings = Settings {
        show: Some(Arc::new(move |notice: &Notice| heard.lock().unwrap().push(notice.clone()))),
        ..fleet.settings()
    };
    let remote = Ssh2Remote::new(settings.clone());
    maand::os::parallel_map(vec![(); 12], 12, |()| drop(connect(&remote, &fleet, 0)));
    let file = fleet.folder().join("known_hosts");
    let stored = fs::read_to_string(&file).unwrap();
    assert_eq!(stored.lines().count(), 1, "{stored}");
    assert!(stored.starts_with(&format!("[{}]:{PORT} ssh-ed25519 ", fleet.host(0))));
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let seen = notices.lock().unwrap().clone();
    assert!(matches!(seen.as_slice(), [Notice::HostKeyStored { .. }]), "{seen:?}");
    // The same fingerprint that ssh-keygen prints.
    let lines = Command::new("ssh-keygen").arg("-lf").arg(&file).output().unwrap();
    let Notice::HostKeyStored { fingerprint, .. } = &seen[0] else { unreachable!() };
    assert!(String::from_utf8_lossy(&lines.stdout).contains(fingerprint.as_str()));

    // Hashed by OpenSSH it is still known, also under `strict`.
    assert!(Command::new("ssh-keygen").args(["-q", "-Hf"]).arg(&file).status().unwrap().success());
    assert!(fs::read_to_string(&file).unwrap().starts_with("|1|"));
    let strict = Settings { host_key_check: HostKeyCheck::Strict, ..settings.clone() };
    attempt(strict, &fleet.host(0)).unwrap();

    fleet.set(0, Fault::NewHostKey);
    fleet.sh_ok(0, "reboot");
    fleet.wait_for_boot(0, 2);
    let before = fs::read_to_string(&file).unwrap();
    let error = refused(settings, &fleet.host(0));
    assert!(matches!(error, ConnectError::HostKeyChanged { .. }), "{error:?}");
    assert!(error.is_final());
    assert!(error.to_string().contains("known_hosts:1"), "{error}");
    assert_eq!(fs::read_to_string(&file).unwrap(), before);
    // Nothing was sent: not even a name to log in with.
    let log = fs::read_to_string(fleet.disk(0).join("sshd.log")).unwrap();
    assert!(!log.contains("Accepted"), "{log}");
}

#[test]
fn strict_demands_that_the_key_is_known() {
    let Some(fleet) = Fleet::start(1) else { return };
    let strict = || Settings { host_key_check: HostKeyCheck::Strict, ..fleet.settings() };
    assert!(matches!(refused(strict(), &fleet.host(0)), ConnectError::HostKeyUnknown { .. }));
    assert!(!fleet.folder().join("known_hosts").exists());
    // The user's own file counts as well; revoked there is final.
    let users = fleet.folder().join("users_known_hosts");
    let key = fs::read_to_string(fleet.disk(0).join("host_key.pub")).unwrap();
    let line = format!("[{}]:{PORT} {key}", fleet.host(0));
    fs::write(&users, &line).unwrap();
    let with_users = || Settings { more_known_hosts: vec![users.clone()], ..strict() };
    attempt(with_users(), &fleet.host(0)).unwrap();
    fs::write(&users, format!("@revoked {line}{line}")).unwrap();
    let error = refused(with_users(), &fleet.host(0));
    assert!(matches!(&error, ConnectError::HostKeyRefused { why, .. } if why.contains("revoked")), "{error}");
}

#[test]
fn the_stored_type_of_key_is_asked_for() {
    let Some(fleet) = Fleet::start(1) else { return };
    // A second host key of another type; the ed25519 one would be preferred.
    let rsa = fleet.disk(0).join("rsa_key");
    let made =
        Command::new("ssh-keygen").args(["-q", "-t", "rsa", "-b", "2048", "-N", "", "-f"]).arg(&rsa).status();
    assert!(made.unwrap().success());
    let config = fleet.disk(0).join("sshd_config");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("{text}HostKey {}\n", rsa.display())).unwrap();
    fleet.unplug(0);
    fleet.plug(0);
    let known = fs::read_to_string(rsa.with_extension("pub")).unwrap();
    fs::write(fleet.folder().join("known_hosts"), format!("[{}]:{PORT} {known}", fleet.host(0))).unwrap();
    let strict = Settings { host_key_check: HostKeyCheck::Strict, ..fleet.settings() };
    attempt(strict, &fleet.host(0)).unwrap();
}

#[test]
fn keys_that_do_not_fit_are_named() {
    let Some(fleet) = Fleet::start(1) else { return };
    let host = fleet.host(0);
    let with_key = |path: &Path| Settings { key: Some(path.into()), ..fleet.settings() };

    let stranger = fleet.folder().join("stranger.key");
    keygen(&stranger, "stranger");
    let error = refused(with_key(&stranger), &host);
    assert!(matches!(error, ConnectError::AuthRefused { .. }), "{error:?}");
    assert!(error.to_string().contains("stranger.key"), "{error}");

    fs::set_permissions(&stranger, fs::Permissions::from_mode(0o640)).unwrap();
    let error = refused(with_key(&stranger), &host);
    assert!(matches!(&error, ConnectError::KeyFile { why, .. } if why.contains("640")), "{error}");
    assert!(error.is_final());

    let error = refused(with_key(&fleet.folder().join("no.key")), &host);
    assert!(matches!(error, ConnectError::KeyFile { .. }), "{error:?}");

    let broken = fleet.folder().join("broken.key");
    fs::write(&broken, "not a key\n").unwrap();
    fs::set_permissions(&broken, fs::Permissions::from_mode(0o600)).unwrap();
    let error = refused(with_key(&broken), &host);
    assert!(matches!(error, ConnectError::KeyFile { .. }), "{error:?}");

    let unknown = Settings { user: Some("no-such-user".into()), ..fleet.settings() };
    let error = refused(unknown, &host);
    assert!(matches!(error, ConnectError::AuthRefused { .. }), "{error:?}");
}

#[test]
fn a_passphrase_is_asked_for_once() {
    let Some(fleet) = Fleet::start(1) else { return };
    let key = fleet.folder().join("locked.key");
    fs::copy(fleet.key(), &key).unwrap();
    let locked =
        Command::new("ssh-keygen").args(["-q", "-p", "-P", "", "-N", "open sesame", "-f"]).arg(&key).status();
    assert!(locked.unwrap().success());
    let settings = Settings { key: Some(key), ..fleet.settings() };
    let error = refused(settings.clone(), &fleet.host(0));
    assert!(matches!(&error, ConnectError::KeyFile { why, .. } if why.contains("passphrase")), "{error}");

    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let answer = |text: &'static str| -> Option<maand::ssh::AskPassphrase> {
        let count = Arc::clone(&count);
        Some(Arc::new(move |_: &Path| {
            count.fetch_add(1, Ordering::SeqCst);
            Some(text.to_owned())
        }))
    };
    let remote = Ssh2Remote::new(Settings { ask_passphrase: answer("open sesame"), ..settings.clone() });
    maand::os::parallel_map(vec![(); 4], 4, |()| drop(connect(&remote, &fleet, 0)));
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    let error = refused(Settings { ask_passphrase: answer("wrong"), ..settings }, &fleet.host(0));
    assert!(matches!(error, ConnectError::KeyFile { .. }), "{error:?}");
}

#[test]
fn two_jump_hosts_are_each_verified() {
    let Some(fleet) = Fleet::start(3) else { return };
    let config = fleet.folder().join("config");
    let text = format!(
        "Host inner\n  HostName {}\n  Port {PORT}\n  ProxyJump root@first:{PORT},second\n\
         Host first\n  HostName {}\nHost second\n  HostName {}\n  Port {PORT}\n  User agent\n",
        fleet.host(2),
        fleet.host(0),
        fleet.host(1),
    );
    write_config(&config, &text);
    let settings = || Settings { ssh_config: Some(config.clone()), port: None, ..fleet.settings() };
    assert_eq!(name_behind(settings(), "inner").unwrap(), "w3 root");
    let stored = fs::read_to_string(fleet.folder().join("known_hosts")).unwrap();
    assert_eq!(stored.lines().count(), 3, "{stored}");
    for i in 0..3 {
        assert!(stored.contains(&format!("[{}]:{PORT} ", fleet.host(i))));
    }
    // Large things pass through, and what is behind a cut hop is unknown.
    let remote = Ssh2Remote::new(settings());
    let inner = Host::parse("inner").unwrap();
    let mut connection = remote.connect(&inner, Instant::now() + PATIENCE, &Cancel::new()).unwrap();
    let data = vec![7u8; 5_000_000];
    let completion = connection.run_with_payload(&script("cat"), &mut data.as_slice(), data.len() as u64);
    let maand::ssh::Completion::Exited { code: 0, stdout, .. } = completion else { panic!("{completion:?}") };
    assert_eq!(stdout.bytes.len() as u64 + stdout.dropped, data.len() as u64);
    let mut sink = |_, _: &[u8]| {
        if fleet.pid(1).is_some() {
            fleet.unplug(1);
        }
    };
    let why = crate::ssh::unknown(connection.run(&script("echo; sleep 1000"), Some(&mut sink)));
    assert!(matches!(why, maand::ssh::UnknownWhy::ConnectionLost(_)), "{why:?}");
    // The hop that fails is named.
    let error = refused(settings(), &inner);
    assert!(
        matches!(&error, ConnectError::Jump { hop, .. } if hop.contains(fleet.host(1).as_str())),
        "{error}"
    );
    fleet.set(1, Fault::NewHostKey);
    fleet.plug(1);
    fleet.sh_ok(1, "reboot");
    fleet.wait_for_boot(1, fleet.boots(1) + 1);
    let error = refused(settings(), &inner);
    assert!(error.is_final(), "{error}");
    assert!(matches!(&error, ConnectError::Jump { source, .. }
        if matches!(**source, ConnectError::HostKeyChanged { .. })));
}

#[test]
fn the_users_config_is_honoured_where_the_bucket_is_silent() {
    let Some(fleet) = Fleet::start(2) else { return };
    let home = fleet.folder().join("users-home");
    fs::create_dir_all(home.join(".ssh")).unwrap();
    fs::copy(fleet.key(), home.join(".ssh/id with space")).unwrap();
    let text = format!(
        "Include more\nHost w*\n  HostName {}\n  Port={PORT}\n  IdentityFile \"~/.ssh/id with space\"\n\
         Match all\n  User nobody-at-all\n",
        fleet.host(1),
    );
    write_config(&home.join(".ssh/config"), &text);
    let more = "Host w*\n  User agent\n  UserKnownHostsFile ~/.ssh/theirs\n";
    write_config(&home.join(".ssh/more"), more);
    let settings = || Settings {
        ssh_config: Some(home.join(".ssh/config")),
        home: home.clone(),
        key: None,
        port: None,
        user: None,
        ..fleet.settings()
    };
    assert_eq!(name_behind(settings(), "w9").unwrap(), "w2 agent");
    let bucket_says = Settings { user: Some("root".into()), ..settings() };
    assert_eq!(name_behind(bucket_says, "w9").unwrap(), "w2 root");
    let mut worker_says = settings();
    let worker = Endpoint { port: None, user: Some("root".into()) };
    worker_says.endpoints.insert(Host::parse("w9").unwrap(), worker);
    assert_eq!(name_behind(worker_says, "w9").unwrap(), "w2 root");
    // The user's file of known keys is looked at, and never written.
    fs::remove_file(fleet.folder().join("known_hosts")).unwrap();
    let strict = || Settings { host_key_check: HostKeyCheck::Strict, ..settings() };
    assert!(matches!(name_behind(strict(), "w9"), Err(ConnectError::HostKeyUnknown { .. })));
    let key = fs::read_to_string(fleet.disk(1).join("host_key.pub")).unwrap();
    fs::write(home.join(".ssh/theirs"), format!("[{}]:{PORT} {key}", fleet.host(1))).unwrap();
    assert_eq!(name_behind(strict(), "w9").unwrap(), "w2 agent");
    // An error in it has its line.
    write_config(&home.join(".ssh/more"), "Port many\n");
    let error = name_behind(settings(), "w9").unwrap_err();
    assert!(error.to_string().contains("more:1"), "{error}");
}

#[test]
fn a_login_that_is_cut_or_never_answers_ends_in_time() {
    let Some(fleet) = Fleet::start(1) else { return };
    let deadlines = maand::ssh::Deadlines {
        connect: Duration::from_millis(400),
        handshake: Duration::from_millis(400),
        auth: Duration::from_millis(400),
    };
    let settings = || Settings { deadlines, ..fleet.settings() };
    fleet.freeze(0);
    let error = refused(settings(), &fleet.host(0));
    assert!(matches!(&error, ConnectError::LoginTimedOut { why, .. } if why.contains("in time")), "{error}");
    fleet.thaw(0);
    connect(&Ssh2Remote::new(fleet.settings()), &fleet, 0);
}

#[test]
fn a_forced_command_or_shell_that_is_none_is_a_refusal() {
    let options = Options {
        sshd: "Match User agent\n  ForceCommand echo no shell for you; exit 3".into(),
        ..Options::default()
    };
    let Some(fleet) = Fleet::start_with(1, &options) else { return };
    let agent = Settings { user: Some("agent".into()), ..fleet.settings() };
    let error = refused(agent, &fleet.host(0));
    assert!(
        matches!(&error, ConnectError::NotExecuted { why, .. } if why.contains("no shell for you")),
        "{error}"
    );
}

//! Whom we trust: host certificates, revoked keys, the files and settings that OpenSSH's client would go by.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use base64ct::Encoding;
use maand::ssh::{Cancel, ConnectError, Deadlines, HostKeyCheck, Remote, Settings, Ssh2Remote};

use crate::ssh_hosts::{attempt, refused, write_config};
use crate::support::{Fleet, PORT, keygen, wait_until};

fn run(program: &str, args: &[&str]) -> String {
    let out = Command::new(program).args(args).output().unwrap();
    assert!(out.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).unwrap()
}

/// The public half of a key pair.
fn public(key: &Path) -> PathBuf {
    PathBuf::from(format!("{}.pub", key.display()))
}

/// Signs a host's key; `more` are further arguments of ssh-keygen. The certificate is beside the key.
fn sign_host(fleet: &Fleet, i: usize, authority: &Path, principals: &str, more: &[&str]) -> PathBuf {
    let _ = fs::remove_file(fleet.disk(i).join("host_key-cert.pub"));
    let key = public(&fleet.disk(i).join("host_key"));
    let authority = authority.display().to_string();
    let mut args = vec!["-q", "-s", &authority, "-h", "-I", "a host", "-n", principals];
    args.extend(more);
    let key = key.display().to_string();
    args.push(&key);
    run("ssh-keygen", &args);
    fleet.disk(i).join("host_key-cert.pub")
}

/// From here on sshd has these lines, too.
fn reconfigure(fleet: &Fleet, i: usize, lines: &str) {
    let config = fleet.disk(i).join("sshd_config");
    // The first value of a keyword counts.
    fs::write(&config, format!("{lines}\n{}", read(&config))).unwrap();
    restart(fleet, i);
}

fn restart(fleet: &Fleet, i: usize) {
    fleet.unplug(i);
    fleet.plug(i);
}

fn authority(fleet: &Fleet, name: &str) -> PathBuf {
    let path = fleet.folder().join(name);
    keygen(&path, name);
    path
}

fn strict(fleet: &Fleet) -> Settings {
    Settings { host_key_check: HostKeyCheck::Strict, ..fleet.settings() }
}

#[test]
fn a_renewed_certificate_of_the_same_key_is_no_change() {
    let Some(fleet) = Fleet::start(1) else { return };
    let host = fleet.host(0);
    let ca = authority(&fleet, "ca");
    let certificate = sign_host(&fleet, 0, &ca, host.as_str(), &["-z", "1", "-V", "+1h"]);
    reconfigure(&fleet, 0, &format!("HostCertificate {}", certificate.display()));
    attempt(fleet.settings(), &host).unwrap();
    // The key was stored, not the certificate.
    let file = fleet.folder().join("known_hosts");
    let key = read(fleet.disk(0).join("host_key.pub"));
    let key: Vec<_> = key.split(' ').take(2).collect();
    assert_eq!(read(&file).trim(), format!("[{host}]:{PORT} {}", key.join(" ")));

    sign_host(&fleet, 0, &ca, host.as_str(), &["-z", "2", "-V", "+2h"]);
    restart(&fleet, 0);
    attempt(strict(&fleet), &host).unwrap();

    fs::write(&file, format!("@revoked * {}\n{}", key.join(" "), read(&file))).unwrap();
    let error = refused(fleet.settings(), &host);
    assert!(error.is_final() && error.to_string().contains("revoked"), "{error}");
    fs::write(&file, format!("@revoked * {}\n", key.join(" "))).unwrap();
    let error = refused(fleet.settings(), &host);
    assert!(error.is_final() && error.to_string().contains("revoked"), "{error}");
}

#[test]
fn every_type_of_host_key_is_known_again() {
    let Some(fleet) = Fleet::start(1) else { return };
    let host = fleet.host(0);
    let original = read(fleet.disk(0).join("sshd_config"));
    for (kind, bits) in
        [("rsa", "2048"), ("ecdsa", "256"), ("ecdsa", "384"), ("ecdsa", "521"), ("ed25519", "256")]
    {
        let key = fleet.disk(0).join(format!("{kind}-{bits}"));
        run("ssh-keygen", &["-q", "-t", kind, "-b", bits, "-N", "", "-f", &key.display().to_string()]);
        let only = original.replace(
            &format!("HostKey {}/host_key\n", fleet.disk(0).display()),
            &format!("HostKey {}\n", key.display()),
        );
        assert_ne!(only, original);
        fs::write(fleet.disk(0).join("sshd_config"), only).unwrap();
        restart(&fleet, 0);
        let _ = fs::remove_file(fleet.folder().join("known_hosts"));
        attempt(fleet.settings(), &host).unwrap();
        attempt(strict(&fleet), &host).unwrap();
        let stored = read(fleet.folder().join("known_hosts"));
        let blob = read(public(&key)).split(' ').nth(1).unwrap().to_owned();
        assert!(stored.contains(&blob), "{kind} {bits}: {stored}");
    }
}

#[test]
fn without_a_common_algorithm_both_sides_are_said() {
    let Some(fleet) = Fleet::start(1) else { return };
    reconfigure(&fleet, 0, "Ciphers aes128-cbc,aes256-cbc");
    let error = refused(fleet.settings(), &fleet.host(0));
    let text = error.to_string();
    assert!(matches!(error, ConnectError::Handshake { .. }), "{error:?}");
    for part in ["no common cipher", "it offers aes128-cbc,aes256-cbc;", "aes256-ctr"] {
        assert!(text.contains(part), "{text}");
    }
    // Asked for by name they are offered.
    attempt(with_config(&fleet, "Ciphers +aes128-cbc\n"), &fleet.host(0)).unwrap();
    let text = refused(with_config(&fleet, "KexAlgorithms nothing\n"), &fleet.host(0)).to_string();
    assert!(text.contains("KexAlgorithms at") && text.contains("config:1"), "{text}");
}

/// The fleet's settings, and an ssh config of this text.
fn with_config(fleet: &Fleet, text: &str) -> Settings {
    let file = fleet.folder().join("ssh_config");
    write_config(&file, text);
    Settings { ssh_config: Some(file), home: fleet.folder().into(), ..fleet.settings() }
}

/// `ssh-ed25519 AAAA...` of a key pair.
fn line(key: &Path) -> String {
    read(public(key)).split(' ').take(2).collect::<Vec<_>>().join(" ")
}

#[test]
fn an_authority_vouches_for_hosts() {
    let Some(fleet) = Fleet::start(1) else { return };
    let host = fleet.host(0);
    let (ca, other) = (authority(&fleet, "ca"), authority(&fleet, "other"));
    let file = fleet.folder().join("known_hosts");
    let host_key = line(&fleet.disk(0).join("host_key"));
    let note = |lines: &[String]| fs::write(&file, lines.join("\n")).unwrap();
    let trusted = format!("@cert-authority * {}", line(&ca));

    // A host without a certificate does not get in by the authority's line, nor by being new.
    note(std::slice::from_ref(&trusted));
    let error = refused(fleet.settings(), &host);
    assert!(
        matches!(&error, ConnectError::HostKeyUnknown { why, .. } if why.contains("known_hosts:1")),
        "{error}"
    );

    let certificate = sign_host(&fleet, 0, &ca, &format!("w9,{host}"), &["-z", "7", "-V", "-1h:+1h"]);
    reconfigure(&fleet, 0, &format!("HostCertificate {}", certificate.display()));
    attempt(strict(&fleet), &host).unwrap();
    assert_eq!(read(&file), trusted, "nothing is stored");
    // By the name alone too, although the port is not 22; not for other hosts.
    note(&[format!("@cert-authority {host} {}", line(&ca))]);
    attempt(strict(&fleet), &host).unwrap();
    note(&[format!("@cert-authority 10.* {}", line(&ca))]);
    assert!(matches!(refused(strict(&fleet), &host), ConnectError::HostKeyUnknown { .. }));
    // One of an authority that nobody knows is the key in it.
    note(&[format!("@cert-authority * {}", line(&other)), format!("[{host}]:{PORT} {host_key}")]);
    attempt(strict(&fleet), &host).unwrap();

    let said = |settings: Settings, words: &str| {
        let error = refused(settings, &host);
        assert!(matches!(&error, ConnectError::HostKeyRefused { .. }), "{error:?}");
        assert!(error.is_final() && error.to_string().contains(words), "{error}");
    };
    for key in [line(&ca), host_key.clone()] {
        note(&[trusted.clone(), format!("@revoked * {key}"), format!("[{host}]:{PORT} {host_key}")]);
        said(fleet.settings(), "revoked at");
    }
    note(std::slice::from_ref(&trusted));
    for revoked in [line(&ca), host_key.clone()] {
        fs::write(fleet.folder().join("revoked"), format!("# gone\n{revoked}\n")).unwrap();
        said(with_config(&fleet, "RevokedHostKeys ~/revoked\n"), "revoked:2");
    }
    fs::write(fleet.folder().join("spec"), "serial: 7\n").unwrap();
    let path = |name: &str| fleet.folder().join(name).display().to_string();
    run("ssh-keygen", &["-q", "-k", "-s", &path("ca.pub"), "-f", &path("krl"), &path("spec")]);
    said(with_config(&fleet, "RevokedHostKeys %d/krl\n"), "RevokedHostKeys at");
    said(with_config(&fleet, "RevokedHostKeys ~/missing\n"), "missing");
    let error = refused(with_config(&fleet, "HostKeyAlias w8\n"), &host);
    assert!(error.to_string().contains("is not for `w8`"), "{error}");
    attempt(with_config(&fleet, "HostKeyAlias w9\n"), &host).unwrap();
    let list = "CASignatureAlgorithms rsa-sha2-512\n";
    said(with_config(&fleet, list), "CASignatureAlgorithms");

    // A certificate whose time is over may be renewed at any moment: no trust, and not the end either.
    sign_host(&fleet, 0, &ca, host.as_str(), &["-V", "20200101:20210101"]);
    restart(&fleet, 0);
    let error = refused(fleet.settings(), &host);
    assert!(matches!(&error, ConnectError::HostKeyRefused { passes: true, .. }), "{error:?}");
    assert!(!error.is_final() && error.to_string().contains("has expired at 2021"), "{error}");
    for (principals, more, words) in [
        ("w1,*.example".into(), ["-V", "+1h"], "is not for"),
        (host.to_string(), ["-O", "critical:strange=1"], "critical option"),
    ] {
        sign_host(&fleet, 0, &ca, &principals, &more);
        restart(&fleet, 0);
        said(fleet.settings(), words);
    }
    let key = public(&fleet.disk(0).join("host_key")).display().to_string();
    run("ssh-keygen", &["-q", "-s", &path("ca"), "-I", "a user", "-n", host.as_str(), &key]);
    // sshd itself does not show it; then it is a host without one.
    restart(&fleet, 0);
    assert!(refused(fleet.settings(), &host).is_final());
}

#[test]
fn certificates_of_every_type_of_key_are_verified() {
    let Some(fleet) = Fleet::start(1) else { return };
    let host = fleet.host(0);
    let rsa = fleet.folder().join("rsa-ca");
    run("ssh-keygen", &["-q", "-t", "rsa", "-b", "2048", "-N", "", "-f", &rsa.display().to_string()]);
    fs::write(fleet.folder().join("known_hosts"), format!("@cert-authority * {}", line(&rsa))).unwrap();
    let original = read(fleet.disk(0).join("sshd_config"));
    for (kind, bits) in [("rsa", "2048"), ("ecdsa", "256"), ("ecdsa", "521"), ("ed25519", "256")] {
        let key = fleet.disk(0).join("host_key");
        for old in ["host_key", "host_key.pub"] {
            fs::remove_file(fleet.disk(0).join(old)).unwrap();
        }
        run("ssh-keygen", &["-q", "-t", kind, "-b", bits, "-N", "", "-f", &key.display().to_string()]);
        let certificate = sign_host(&fleet, 0, &rsa, host.as_str(), &["-V", "+1h"]);
        let config = format!("HostCertificate {}\n{original}", certificate.display());
        fs::write(fleet.disk(0).join("sshd_config"), config).unwrap();
        restart(&fleet, 0);
        attempt(strict(&fleet), &host).unwrap();
    }
}

#[test]
fn files_and_settings_of_the_ssh_config_decide_about_unknown_keys() {
    let Some(fleet) = Fleet::start(1) else { return };
    let host = fleet.host(0);
    let own = fleet.folder().join("known_hosts");
    let key = line(&fleet.disk(0).join("host_key"));
    for value in ["yes", "ask"] {
        let error = refused(with_config(&fleet, &format!("StrictHostKeyChecking {value}\n")), &host);
        assert!(
            matches!(&error, ConnectError::HostKeyUnknown { why, .. } if why.contains("config:1")),
            "{error}"
        );
        assert!(!own.exists());
    }
    let global = fleet.folder().join("global");
    fs::write(&global, format!("[{host}]:{PORT} {key}\n")).unwrap();
    let text = "StrictHostKeyChecking yes\nGlobalKnownHostsFile /none ~/global\n";
    attempt(with_config(&fleet, text), &host).unwrap();
    let settings = Settings { global_known_hosts: vec![global.clone()], ..strict(&fleet) };
    attempt(settings.clone(), &host).unwrap();
    fs::write(&global, format!("alias {key}\n")).unwrap();
    let error = refused(settings, &host);
    assert!(matches!(error, ConnectError::HostKeyUnknown { .. }), "{error}");
    attempt(with_config(&fleet, &format!("{text}HostKeyAlias alias\n")), &host).unwrap();
    assert!(!own.exists());
    // `off` does not let a changed key pass, and does not weaken what the bucket says.
    let stranger = authority(&fleet, "stranger");
    fs::write(&own, format!("[{host}]:{PORT} {}\n", line(&stranger))).unwrap();
    for value in ["no", "off", "accept-new"] {
        let error = refused(with_config(&fleet, &format!("StrictHostKeyChecking {value}\n")), &host);
        assert!(matches!(error, ConnectError::HostKeyChanged { .. }), "{error}");
    }
    fs::remove_file(&own).unwrap();
    let settings = with_config(&fleet, "StrictHostKeyChecking off\n");
    let settings = Settings { host_key_check: HostKeyCheck::Strict, ..settings };
    assert!(matches!(refused(settings, &host), ConnectError::HostKeyUnknown { .. }));
    // The system's file counts as well.
    let system = fleet.folder().join("system");
    write_config(&system, "StrictHostKeyChecking yes\n");
    let settings = Settings { system_ssh_config: Some(system), ..fleet.settings() };
    assert!(matches!(refused(settings, &host), ConnectError::HostKeyUnknown { .. }));
    attempt(with_config(&fleet, "StrictHostKeyChecking off\n"), &host).unwrap();
    let error = refused(with_config(&fleet, "RequiredRSASize 1024\nAddressFamily inet6\n"), &host);
    assert!(error.to_string().contains("AddressFamily"), "{error}");
}

/// A running ssh-agent; it ends when it is dropped.
struct Agent {
    socket: PathBuf,
    process: Child,
}

impl Agent {
    fn start(fleet: &Fleet, keys: &[&Path]) -> Self {
        let socket = fleet.folder().join("agent.sock");
        let process =
            Command::new("ssh-agent").args(["-D", "-a"]).arg(&socket).stdout(Stdio::null()).spawn().unwrap();
        wait_until("the agent is there", || socket.exists());
        let agent = Self { socket, process };
        keys.iter().for_each(|key| agent.add(key));
        agent
    }

    fn add(&self, key: &Path) {
        let out = Command::new("ssh-add").arg(key).env("SSH_AUTH_SOCK", &self.socket).output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_file(&self.socket);
    }
}

#[test]
fn an_agent_with_many_keys_does_not_hide_the_right_one() {
    let Some(fleet) = Fleet::start(1) else { return };
    let host = fleet.host(0);
    let strangers: Vec<_> = (0..8).map(|n| authority(&fleet, &format!("stranger{n}"))).collect();
    let agent = Agent::start(&fleet, &strangers.iter().map(PathBuf::as_path).collect::<Vec<_>>());
    agent.add(&fleet.key());
    let settings =
        |text: &str| Settings { key: None, agent: Some(agent.socket.clone()), ..with_config(&fleet, text) };
    // Six keys that do not fit, and the server hangs up: said, and not tried for ever.
    let error = refused(settings(""), &host);
    assert!(
        matches!(&error, ConnectError::AuthRefused { why, .. } if why.contains("IdentitiesOnly")),
        "{error}"
    );
    // Named, it comes first: by its file, or by its public half alone.
    attempt(settings("IdentityFile ~/worker.key\n"), &host).unwrap();
    fs::copy(public(&fleet.key()), fleet.folder().join("named.pub")).unwrap();
    attempt(settings("IdentityFile ~/named.pub\n"), &host).unwrap();
    attempt(settings("IdentityFile ~/named\nIdentitiesOnly yes\n"), &host).unwrap();
    let error = refused(settings("IdentityFile ~/stranger1.pub\nIdentitiesOnly yes\n"), &host);
    assert!(
        matches!(&error, ConnectError::AuthRefused { why, .. } if why.contains("stranger1.pub")),
        "{error}"
    );
    // By IdentityAgent alone, and not without it.
    let by_config = |text: &str| Settings { key: None, ..with_config(&fleet, text) };
    attempt(by_config("IdentityFile ~/named.pub\nIdentityAgent ~/agent.sock\n"), &host).unwrap();
    let error = refused(settings("IdentityFile ~/named.pub\nIdentityAgent none\n"), &host);
    assert!(error.to_string().contains("named.pub"), "{error}");
    let error = refused(by_config("IdentityAgent ~/nothing.sock\n"), &host);
    assert!(error.to_string().contains("nothing.sock"), "{error}");
    let text = "IdentityFile ~/named.pub\nPubkeyAcceptedAlgorithms rsa-sha2-512\nIdentitiesOnly yes\n";
    let error = refused(settings(text), &host);
    assert!(error.to_string().contains("PubkeyAcceptedAlgorithms at"), "{error}");
}

#[test]
fn an_agent_that_asks_somebody_does_not_hold_us() {
    use std::io::{Read, Write};
    let Some(fleet) = Fleet::start(1) else { return };
    // It has the key, and never signs: it waits for a confirmation that nobody gives.
    let socket = fleet.folder().join("agent.sock");
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let blob = base64ct::Base64::decode_vec(line(&fleet.key()).split(' ').nth(1).unwrap()).unwrap();
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 5];
            stream.read_exact(&mut request).unwrap();
            if request[4] == 11 {
                let length = u32::try_from(blob.len()).unwrap();
                let mut answer = vec![12, 0, 0, 0, 1];
                answer.extend(length.to_be_bytes());
                answer.extend(&blob);
                answer.extend([0; 4]);
                stream.write_all(&u32::try_from(answer.len()).unwrap().to_be_bytes()).unwrap();
                stream.write_all(&answer).unwrap();
            }
            kept.push(stream);
        }
    });
    let deadlines = Deadlines { auth: Duration::from_millis(700), ..Deadlines::default() };
    let settings = Settings { key: None, agent: Some(socket), deadlines, ..fleet.settings() };
    let remote = Ssh2Remote::new(settings);
    let until = Instant::now() + Duration::from_secs(2);
    let error = remote.connect(&fleet.host(0), until, &Cancel::new()).err().unwrap();
    assert!(matches!(&error, ConnectError::LoginTimedOut { why, .. } if why.contains("agent")), "{error}");
}

#[test]
fn default_identities_are_tried_and_never_in_the_way() {
    let Some(fleet) = Fleet::start(1) else { return };
    let host = fleet.host(0);
    let path = |name: &str| fleet.folder().join(name);
    fs::copy(fleet.key(), path("id_ed25519")).unwrap();
    let locked = path("id_ecdsa");
    run("ssh-keygen", &["-q", "-t", "ecdsa", "-N", "secret", "-f", &locked.display().to_string()]);
    fs::write(path("id_rsa"), "not a key\n").unwrap();
    fs::set_permissions(path("id_rsa"), fs::Permissions::from_mode(0o644)).unwrap();
    let identities = ["id_rsa", "id_ecdsa", "id_none", "id_ed25519"].map(path).to_vec();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let ask: maand::ssh::AskPassphrase = Arc::new(move |_: &Path| {
        count.fetch_add(1, Ordering::SeqCst);
        None
    });
    let settings = |text: &str| Settings {
        key: None,
        default_identities: identities.clone(),
        ask_passphrase: Some(Arc::clone(&ask)),
        ..with_config(&fleet, text)
    };
    attempt(settings(""), &host).unwrap();
    assert_eq!(asked.load(Ordering::SeqCst), 0, "nobody wants the locked key");
    let error = refused(settings("IdentityFile none\n"), &host);
    assert!(error.to_string().contains("no key to try"), "{error}");
    // One that the server wants is asked for.
    run(
        "ssh-keygen",
        &["-q", "-p", "-P", "", "-N", "secret", "-f", &path("id_ed25519").display().to_string()],
    );
    let error = refused(settings(""), &host);
    assert!(matches!(&error, ConnectError::KeyFile { why, .. } if why.contains("passphrase")), "{error}");
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[test]
fn certificates_of_users_get_in_by_file_and_by_agent() {
    let Some(fleet) = Fleet::start(1) else { return };
    let host = fleet.host(0);
    let ca = authority(&fleet, "user-ca");
    let lines = format!("TrustedUserCAKeys {}\nAuthorizedKeysFile none", public(&ca).display());
    reconfigure(&fleet, 0, &lines);
    let path = |name: &str| fleet.folder().join(name);
    let sign = |key: &Path, validity: &str| {
        let (ca, key) = (ca.display().to_string(), public(key).display().to_string());
        run("ssh-keygen", &["-q", "-s", &ca, "-I", "a user", "-n", "root", "-V", validity, &key]);
    };
    for kind in ["ed25519", "rsa", "ecdsa"] {
        let key = path(kind);
        run("ssh-keygen", &["-q", "-t", kind, "-N", "", "-f", &key.display().to_string()]);
        let settings = || Settings { key: Some(key.clone()), ..fleet.settings() };
        assert!(matches!(refused(settings(), &host), ConnectError::AuthRefused { .. }));
        sign(&key, "+1h");
        attempt(settings(), &host).unwrap();
    }
    // Somewhere else, named by CertificateFile; expired, which is said.
    let key = path("ed25519");
    fs::rename(path("ed25519-cert.pub"), path("elsewhere")).unwrap();
    let settings = |text: &str| Settings { key: None, ..with_config(&fleet, text) };
    let text = "IdentityFile ~/ed25519\nCertificateFile ~/elsewhere\n";
    attempt(settings(text), &host).unwrap();
    sign(&key, "20200101:20210101");
    let error = refused(settings("IdentityFile ~/ed25519\n"), &host);
    assert!(error.to_string().contains("expired"), "{error}");
    // In a file, while the key is in the agent.
    for kind in ["rsa", "ecdsa"] {
        fs::rename(path(&format!("{kind}-cert.pub")), path("certificate")).unwrap();
        let agent = Agent::start(&fleet, &[&path(kind)]);
        let text = format!("IdentityFile ~/{kind}.pub\nCertificateFile ~/certificate\nIdentitiesOnly yes\n");
        attempt(Settings { agent: Some(agent.socket.clone()), ..settings(&text) }, &host).unwrap();
        fs::rename(path("certificate"), path(&format!("{kind}-cert.pub"))).unwrap();
    }
    // RSA by SHA-2, too.
    {
        let agent = Agent::start(&fleet, &[&path("rsa")]);
        attempt(Settings { agent: Some(agent.socket.clone()), ..settings("IdentityFile none\n") }, &host)
            .unwrap();
    }
    // From an agent, with and without a name for it.
    sign(&key, "+1h");
    let agent = Agent::start(&fleet, &[&key]);
    let by_agent = |text: &str| Settings { agent: Some(agent.socket.clone()), ..settings(text) };
    attempt(by_agent(""), &host).unwrap();
    fs::rename(&key, path("moved")).unwrap();
    attempt(by_agent("IdentityFile ~/ed25519\nIdentitiesOnly yes\n"), &host).unwrap();
}

#[test]
fn addresses_of_ipv6_are_names_like_others() {
    let Some(fleet) = Fleet::start(2) else { return };
    // As the kernel writes an address of IPv4 in IPv6: the servers stay on 127.0.0.0/8.
    let mapped = |i: usize| format!("::ffff:{}", fleet.host(i));
    let text = format!(
        "Host inner\n  HostName {}\n  Port {PORT}\n  ProxyJump root@[{}]:{PORT}\nHost other\n  HostName [{}]\n",
        mapped(1),
        mapped(0),
        mapped(0)
    );
    let settings = || with_config(&fleet, &text);
    let host = |name: &str| maand::bucket::Host::parse(name).unwrap();
    attempt(settings(), &host("inner")).unwrap();
    attempt(settings(), &host("other")).unwrap();
    let stored = read(fleet.folder().join("known_hosts"));
    for i in 0..2 {
        assert!(stored.contains(&format!("[{}]:{PORT} ssh-ed25519", mapped(i))), "{stored}");
    }
    assert_eq!(stored.lines().count(), 2, "{stored}");
    attempt(Settings { host_key_check: HostKeyCheck::Strict, ..settings() }, &host("inner")).unwrap();
}

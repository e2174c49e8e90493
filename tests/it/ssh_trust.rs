//! Whom we trust: host certificates, revoked keys, the files and settings that OpenSSH's client would go by.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use maand::ssh::{ConnectError, HostKeyCheck, Settings};

use crate::ssh_hosts::{attempt, refused, write_config};
use crate::support::{Fleet, PORT, keygen};

pub(crate) fn run(program: &str, args: &[&str]) -> String {
    let out = Command::new(program).args(args).output().unwrap();
    assert!(out.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).unwrap()
}

/// The public half of a key pair.
pub(crate) fn public(key: &Path) -> PathBuf {
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
pub(crate) fn reconfigure(fleet: &Fleet, i: usize, lines: &str) {
    let config = fleet.disk(i).join("sshd_config");
    // The first value of a keyword counts.
    fs::write(&config, format!("{lines}\n{}", read(&config))).unwrap();
    restart(fleet, i);
}

fn restart(fleet: &Fleet, i: usize) {
    fleet.unplug(i);
    fleet.plug(i);
}

pub(crate) fn authority(fleet: &Fleet, name: &str) -> PathBuf {
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
pub(crate) fn with_config(fleet: &Fleet, text: &str) -> Settings {
    let file = fleet.folder().join("ssh_config");
    write_config(&file, text);
    Settings { ssh_config: Some(file), home: fleet.folder().into(), ..fleet.settings() }
}

/// `ssh-ed25519 AAAA...` of a key pair.
pub(crate) fn line(key: &Path) -> String {
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

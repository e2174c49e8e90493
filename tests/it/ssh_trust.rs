//! Whom we trust: host certificates, revoked keys, the files and settings that OpenSSH's client would go by.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use maand::ssh::{ConnectError, HostKeyCheck, Settings};

use crate::ssh_hosts::{attempt, refused};
use crate::support::{Fleet, PORT, keygen};

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
fn a_server_with_cbc_ciphers_only_is_refused() {
    let Some(fleet) = Fleet::start(1) else { return };
    reconfigure(&fleet, 0, "Ciphers aes128-cbc,aes256-cbc");
    let error = refused(fleet.settings(), &fleet.host(0));
    assert!(matches!(error, ConnectError::Handshake { .. }), "{error:?}");
}

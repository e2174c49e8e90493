use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use super::*;

/// A home with a `.ssh/config` of this text.
fn home(text: &str) -> (tempfile::TempDir, PathBuf) {
    let home = tempfile::tempdir().unwrap();
    fs::create_dir(home.path().join(".ssh")).unwrap();
    let file = home.path().join(".ssh/config");
    write(&file, text);
    (home, file)
}

fn write(file: &Path, text: &str) {
    fs::write(file, text).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o644)).unwrap();
}

fn ask<'a>(host: &'a str, home: &'a Path) -> Question<'a> {
    Question { host, user: None, default_user: "agent", local_user: "me", home }
}

fn try_config(text: &str, host: &str) -> Result<HostConfig, ConfigError> {
    let (home, file) = home(text);
    write(&home.path().join(".ssh/more.conf"), "Host w9\n  Port 99\n");
    read(Some(&file), None, &ask(host, home.path()))
}

fn config(text: &str, host: &str) -> HostConfig {
    try_config(text, host).unwrap()
}

fn values(list: &[Stated<String>]) -> Vec<&str> {
    list.iter().map(|stated| stated.value.as_str()).collect()
}

#[test]
fn the_first_value_wins() {
    let text = "Host w1\n  Port 2201\n  User=\"me too\"\nHost w* !w3\n Port 2202\n HostName 10.0.0.1\n\
                Match all\n  IdentityFile ~/.ssh/a\n  IdentityFile ~/.ssh/b\n";
    let w1 = config(text, "w1");
    assert_eq!((w1.port, w1.user.as_deref()), (Some(2201), Some("me too")));
    assert_eq!(w1.host_name.unwrap().value, "10.0.0.1");
    assert_eq!(values(&w1.identity_files), ["~/.ssh/a", "~/.ssh/b"]);
    assert_eq!(config(text, "w2").port, Some(2202));
    assert_eq!(config(text, "w3").port, None);
}

#[test]
fn the_users_file_comes_before_the_systems() {
    let (home, file) = home("Host w1\nPort 5\n");
    let system = home.path().join("system");
    write(&system, "Port 6\nUser other\n");
    let found = read(Some(&file), Some(&system), &ask("w1", home.path())).unwrap();
    assert_eq!((found.port, found.user.as_deref()), (Some(5), Some("other")));
    write(&system, "Include ~/x\n");
    let error = read(None, Some(&system), &ask("w1", home.path())).unwrap_err();
    assert!(error.to_string().contains("system:1"), "{error}");
}

#[test]
fn includes_and_matches() {
    assert_eq!(config("Include more.*\n", "w9").port, Some(99));
    assert_eq!(config("Host other\nInclude more.conf\n", "w9").port, None);
    assert_eq!(config("Match host w9,w8\nPort 5\n", "w8").port, Some(5));
    let text = "HostName 10.0.0.8\nMatch host 10.*\nPort 5\nMatch originalhost 10.*\nUser x\n";
    let found = config(text, "w8");
    assert_eq!((found.port, found.user), (Some(5), None));
    assert_eq!(config("Match host w8 user agent\nPort 5\n", "w8").port, Some(5));
    assert_eq!(config("Match host w8 !user agent\nPort 5\n", "w8").port, None);
    assert_eq!(config("Match localuser=me\nPort 5\n", "w8").port, Some(5));
    assert_eq!(config("Tag t\nMatch tagged t\nPort 5\n", "w8").port, Some(5));
    let found = config(
        "Match final all\nPort 5\nMatch all\nPort 6\nHost 10.*\nUser x\nHost w8\nHostName 10.1\n",
        "w8",
    );
    assert_eq!((found.port, found.user.as_deref()), (Some(6), Some("x")));
    assert_eq!(config("ProxyJump a@b:1,c # over there\n", "w8").proxy_jump.unwrap().value, "a@b:1,c");
    for bad in ["Match\n", "Match host\n", "Match nothing x\n", "Match all host w8\n"] {
        assert!(try_config(bad, "w8").is_err(), "{bad}");
    }
}

#[test]
fn what_cannot_be_decided_is_an_error_only_where_it_counts() {
    let undecided = |text| match try_config(text, "w8") {
        Err(ConfigError::Line { place, line: BadLine::Undecided { keyword, criterion, .. } }) => {
            Some((place.rsplit('/').next().unwrap().to_owned(), keyword, criterion))
        }
        Err(other) => panic!("{other}"),
        Ok(_) => None,
    };
    let expected = ("config:2".to_owned(), "port".to_owned(), "exec".to_owned());
    assert_eq!(undecided("Match exec true\nPort 5\n"), Some(expected));
    assert_eq!(undecided("Match host other exec true\nPort 5\n"), None);
    assert_eq!(undecided("Match exec \"gpg-connect-agent updatestartuptty /bye\"\nForwardAgent yes\n"), None);
    assert_eq!(undecided("Port 6\nMatch exec true\nPort 5\n"), None);
    assert_eq!(undecided("Match exec true\nMatch host other\nPort 5\n"), None);
}

#[test]
fn what_cannot_be_followed_is_refused_with_its_place() {
    for (text, word) in [
        ("\nKnownHostsCommand /bin/keys %H\n", "UserKnownHostsFile"),
        ("\nCanonicalizeHostname yes\n", "HostName"),
        ("\nPubkeyAuthentication no\n", "public keys"),
        ("\nPreferredAuthentications password\n", "public keys"),
        ("\nStrictHostKeyCheking yes\n", "no keyword"),
        ("\nStrictHostKeyChecking maybe\n", "accept-new"),
        ("\nUser a b\n", "more than one"),
        ("\nUser\n", "no value"),
        ("\nPort 0\n", "port"),
    ] {
        let error = try_config(text, "w").unwrap_err().to_string();
        assert!(error.contains("config:2") && error.contains(word), "{error}");
        assert!(try_config(&format!("Host other{text}"), "w").is_ok(), "{text}");
    }
    config("PubkeyAuthentication yes\nPubkeyAuthentication no\n", "w");
    config("IgnoreUnknown Use*\nUseKeychain yes\n", "w");
    config("CanonicalizeHostname no\nKnownHostsCommand none\n", "w");
}

#[test]
fn a_file_that_others_can_write_is_not_read() {
    let (home, file) = home("Include more\n");
    let more = home.path().join(".ssh/more");
    write(&more, "Port 5\n");
    let port = || read(Some(&file), None, &ask("w", home.path())).map(|found| found.port);
    assert_eq!(port().unwrap(), Some(5));
    for bad in [&file, &more] {
        for mode in [0o664, 0o646] {
            fs::set_permissions(bad, fs::Permissions::from_mode(mode)).unwrap();
            let error = port().unwrap_err();
            assert!(matches!(&error, ConfigError::Unsafe { .. }), "{error}");
            assert!(error.to_string().contains("chmod"), "{error}");
        }
        fs::set_permissions(bad, fs::Permissions::from_mode(0o644)).unwrap();
    }
    if rustix::process::getuid().is_root() {
        std::os::unix::fs::chown(&more, Some(4242), None).unwrap();
        assert!(port().unwrap_err().to_string().contains("owner 4242"));
        std::os::unix::fs::chown(&more, Some(0), None).unwrap();
    }
    // A folder among the matches says nothing, and neither does what is not there.
    fs::create_dir(home.path().join(".ssh/more.d")).unwrap();
    write(&file, "Include more*\nInclude nothing here/*\n");
    assert_eq!(port().unwrap(), Some(5));
}

#[test]
fn a_loop_of_includes_ends() {
    let (home, file) = home("Include config\n");
    let error = read(Some(&file), None, &ask("w", home.path())).unwrap_err();
    assert!(matches!(error, ConfigError::Line { line: BadLine::IncludeDepth, .. }), "{error}");
    write(&file, "Port x\n");
    assert!(read(Some(&file), None, &ask("w", home.path())).unwrap_err().to_string().contains("config:1"));
}

/// What `ssh -G` says of a host, by keyword.
fn openssh(file: &Path, host: &str) -> Vec<(String, String)> {
    let out = Command::new("ssh").args(["-G", "-F"]).arg(file).arg(host).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let text = String::from_utf8(out.stdout).unwrap();
    text.lines().filter_map(|line| line.split_once(' ')).map(|(k, v)| (k.into(), v.into())).collect()
}

#[test]
fn values_are_those_that_ssh_finds_in_the_same_files() {
    let text = "Include MORE/*/hosts\n\
        Host w1 web-*\n  User=deploy\n  Port 2201\n  HostName %h.example.com\n  IdentitiesOnly yes\n\
        Host w2 !w2b\n  HostName \"10.0.0.2\"\n  User \"first last\"\n  ProxyJump a@b:5,c\n\
        Match host 10.0.0.2\n  Port 2202\n  HostKeyAlias two\n\
        Match originalhost w3 user me3,root\n  HostKeyAlias three\n\
        Host *.example.com\n  Port 7\n\
        Match final host *.example.com\n  RevokedHostKeys /etc/revoked\n\
        Host *\n  StrictHostKeyChecking accept-new\n  UserKnownHostsFile /a /b\n\
        GlobalKnownHostsFile /g\n  IdentityFile /k1\n  IdentityFile /k2\n  CertificateFile /c1\n\
        IdentityAgent /agent.sock\n  AddressFamily inet\n  RequiredRSASize 2048\n  Port 9\n";
    let (home, file) = home(&text.replace("MORE", "/nowhere"));
    let more = home.path().join("more");
    for (folder, text) in [("a", "Host w4\n  Port 44\n"), ("b", "Host w5\n  User five\n  Port 55\n")] {
        fs::create_dir_all(more.join(folder)).unwrap();
        write(&more.join(folder).join("hosts"), text);
    }
    fs::create_dir_all(more.join("c/hosts")).unwrap();
    write(&file, &text.replace("MORE", &more.display().to_string()));
    let id = Command::new("id").arg("-un").output().unwrap().stdout;
    let local = String::from_utf8(id).unwrap();
    let local = local.trim();
    for host in ["w1", "web-7", "w2", "w2b", "w3", "w4", "w5", "x.example.com", "::1", "10.0.0.2"] {
        let question =
            Question { host, user: None, default_user: local, local_user: local, home: home.path() };
        let ours = read(Some(&file), None, &question).unwrap();
        let theirs = openssh(&file, host);
        let all = |keyword: &str| -> Vec<&str> {
            theirs.iter().filter(|(k, _)| k == keyword).map(|(_, v)| v.as_str()).collect()
        };
        let same = |keyword: &str, ours: Option<String>| {
            assert_eq!(ours.as_deref(), all(keyword).first().copied(), "{keyword} of {host}");
        };
        let name = ours.host_name.map_or(host.to_owned(), |name| host_name(&name.value, host).unwrap());
        same("hostname", Some(name));
        same("port", Some(ours.port.unwrap_or(22).to_string()));
        same("user", Some(ours.user.unwrap_or(local.into())));
        same("proxyjump", ours.proxy_jump.map(|jump| jump.value));
        same("hostkeyalias", ours.host_key_alias);
        same("revokedhostkeys", ours.revoked_host_keys.map(|file| file.value));
        same("identityagent", ours.identity_agent.map(|agent| agent.value));
        same("identitiesonly", Some(if ours.identities_only == Some(true) { "yes" } else { "no" }.into()));
        same("userknownhostsfile", ours.user_known_hosts.map(|files| files.value.join(" ")));
        same("globalknownhostsfile", ours.global_known_hosts.map(|files| files.value.join(" ")));
        same("requiredrsasize", ours.required_rsa_size.map(|bits| bits.to_string()));
        assert_eq!(values(&ours.identity_files), all("identityfile"));
        assert_eq!(values(&ours.certificate_files), all("certificatefile"));
        assert_eq!(ours.host_key_checking.unwrap().value, Checking::AcceptNew);
        same("stricthostkeychecking", Some("accept-new".into()));
        assert_eq!(ours.address_family, Some(Family::V4));
        same("addressfamily", Some("inet".into()));
    }
}

//! What fuzzers call of this room.

use std::fs::{self, Permissions};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64ct::{Base64, Encoding};

use super::budget::Budget;
use super::certificate::HostCertificate;
use super::frame::{Framed, Mark, Scanner};
use super::known_hosts::{Known, Names, Verdict, blob_kind, store};
use super::packets::Packets;
use super::route::{parse_jump, route};
use super::{Endpoint, HostProfile, Settings, agent, kexinit, private_key, revoked};
use crate::fuzzing::{choice, is_fit_to_print};

/// What a worker says on its channels, in pieces: the same output and marks wherever it is cut.
pub(crate) fn frames(bytes: &[u8]) {
    let (cut, bytes) = choice(bytes, 64);
    for stderr in [false, true] {
        let whole = scan(bytes, bytes.len().max(1), stderr);
        for cut in [1, usize::from(cut) + 1] {
            assert_eq!(scan(bytes, cut, stderr), whole, "cut into pieces of {cut}, standard error: {stderr}");
        }
        let (output, marks) = whole;
        assert!(output.len() <= bytes.len(), "more than came");
        let ends = marks.iter().filter(|mark| matches!(mark, Mark::End { .. })).count();
        assert!(ends <= 1, "{marks:?}");
        if stderr && ends == 0 {
            assert_eq!(output, bytes, "output without a mark is as it came");
        }
    }
}

fn scan(bytes: &[u8], cut: usize, stderr: bool) -> (Vec<u8>, Vec<Mark>) {
    // Short tokens, so that a fuzzer finds them.
    let framed = Framed { header: Vec::new(), body: Vec::new(), begin: "B".into(), end: "E".into() };
    let mut scanner = if stderr { Scanner::for_stderr(&framed) } else { Scanner::new(&framed) };
    let (mut output, mut marks) = (Vec::new(), Vec::new());
    for chunk in bytes.chunks(cut) {
        marks.extend(scanner.feed(chunk, &mut |bytes| output.extend_from_slice(bytes)));
    }
    output.extend(scanner.rest());
    (output, marks)
}

/// A folder of this process, for what reads files.
fn folder() -> PathBuf {
    let folder = std::env::temp_dir().join(format!(
        "maand-fuzz-{}-{:?}",
        std::process::id(),
        std::thread::current().id()
    ));
    let _ = fs::DirBuilder::new().mode(0o700).create(&folder);
    folder
}

fn written(name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder().join(name);
    let wrote =
        fs::write(&path, bytes).and_then(|()| fs::set_permissions(&path, Permissions::from_mode(0o600)));
    assert!(wrote.is_ok(), "{}: {wrote:?}", path.display());
    path
}

fn kind(verdict: &Verdict) -> u8 {
    match verdict {
        Verdict::Known => 0,
        Verdict::New => 1,
        Verdict::Changed(_) => 2,
        Verdict::Revoked(_) => 3,
    }
}

/// A file of known hosts: the order of lines decides nothing, a revoked key is revoked whatever else is there, and a
/// key that is stored is known from then on.
pub(crate) fn known_hosts(bytes: &[u8]) {
    let (which, bytes) = choice(bytes, 4);
    let text = String::from_utf8_lossy(bytes);
    let names = match which {
        0 => Names::of("w1", 22),
        1 => Names::of("w1", 2222),
        2 => Names::of("::1", 22),
        _ => Names::alias("w1"),
    };
    // `ssh-ed25519` and a key of one byte; its Base64 stands in the seeds.
    let key = b"\0\0\0\x0bssh-ed25519\0\0\0\x01A";
    let known = Known::of_text(&names, &text);
    let verdict = known.verdict(key);
    let lines: Vec<&str> = text.lines().collect();
    let turned: Vec<&str> = lines.iter().rev().copied().collect();
    let other = Known::of_text(&names, &turned.join("\n")).verdict(key);
    assert_eq!(kind(&verdict), kind(&other), "{verdict:?}, but {other:?} in another order");
    let blob = Base64::encode_string(key);
    let more = format!("{}\n@revoked {} ssh-ed25519 {blob}\n", lines.join("\n"), names.exact);
    assert_eq!(kind(&Known::of_text(&names, &more).verdict(key)), 3, "a revoked key is not seen");

    let file = written("known_hosts", bytes);
    let stored = store(&file, &names, key);
    assert_eq!(stored.as_ref().ok().map(kind), Some(kind(&verdict)), "{stored:?}");
    if verdict == Verdict::New {
        let read = Known::read(&names, [file.as_path()].into_iter());
        let read = read.map(|known| known.verdict(key));
        assert_eq!(read, Ok(Verdict::Known), "stored, and not known");
        let after = fs::read(&file).unwrap_or_default();
        assert!(after.starts_with(bytes), "what was there has changed");
    }
}

/// The user's `~/.ssh/config`, and the way to a worker by it.
pub(crate) fn ssh_config(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Some((_, name, port)) = parse_jump(text.lines().next().unwrap_or_default()) {
        assert!(!name.is_empty() && port != Some(0));
    }
    // Other files are not the fuzzer's.
    if text.to_ascii_lowercase().contains("include") {
        return;
    }
    let way = way(bytes);
    if !text.contains('\r') {
        let other = self::way(text.replace('\n', "\r\n").as_bytes());
        assert_eq!(way, other, "with the line ends of Windows");
    }
}

/// The way to a worker, in words.
fn way(bytes: &[u8]) -> Result<String, String> {
    let file = written("config", bytes);
    let profiles = Arc::new(|host: &_| HostProfile::real("/opt/worker".as_ref(), "b", host, true));
    let settings = Settings {
        ssh_config: Some(file.clone()),
        home: "/home/me".into(),
        local_user: "me".into(),
        ..Settings::bare("/bucket/secrets/known_hosts".into(), profiles)
    };
    let folder = file.parent().map(|folder| folder.display().to_string()).unwrap_or_default();
    match route(&settings, "w1", &Endpoint::default()) {
        Ok(route) => {
            assert!(route.jumps.len() <= 64, "{} jump hosts", route.jumps.len());
            let mut said = Vec::new();
            for hop in route.jumps.iter().chain([&route.target]) {
                assert!(hop.port > 0 && !hop.known_hosts.is_empty());
                let files: Vec<&Path> = hop.keys.iter().map(|key| key.path.as_path()).collect();
                said.push(format!(
                    "{}@{} {files:?} {:?} {:?}",
                    hop.user,
                    hop.address(),
                    hop.known_hosts,
                    hop.algorithms
                ));
            }
            Ok(said.join("\n").replace(&folder, ""))
        }
        Err(error) => {
            let said = error.to_string();
            assert!(!said.is_empty());
            Err(said.replace(&folder, ""))
        }
    }
}

/// What servers and agents send, and files of keys: packets, lists of algorithms, certificates, revoked keys.
pub(crate) fn wire(bytes: &[u8]) {
    let (which, bytes) = choice(bytes, 7);
    match which {
        0 => {
            if let Some(lists) = kexinit::parse(bytes) {
                assert!(lists.iter().map(String::len).sum::<usize>() <= 3 * bytes.len());
            }
        }
        1 => {
            if let Some(keys) = agent::parse(bytes) {
                assert!(keys.len() <= bytes.len() / 8, "more keys than fit");
            }
        }
        2 => {
            if let Some(answer) = agent::for_libssh2(bytes) {
                assert!(answer.len() <= bytes.len() + 8);
            }
        }
        3 => lists_of_revoked_keys(bytes),
        4 => certificate(bytes),
        5 => packets(bytes),
        _ => {
            let text = String::from_utf8_lossy(bytes);
            let outside = private_key::inspect(&text);
            if let Some(line) = outside.public_line {
                assert!(!line.contains('\n'), "{line:?}");
            }
        }
    }
}

/// A list that names a key revokes it, however it is written around that.
fn lists_of_revoked_keys(bytes: &[u8]) {
    let key = b"\0\0\0\x0bssh-ed25519\0\0\0\x01A".as_slice();
    let keys = [key];
    let certificate = revoked::Certificate { authority: b"ca", serial: 7, id: "id" };
    let shown = revoked::Shown { keys: &keys, certificate: Some(certificate) };
    let file = written("revoked", bytes);
    let found = revoked::find(&file, &shown);
    let without = revoked::find(&file, &revoked::Shown { keys: &keys, certificate: None });
    if let (Ok(None), Ok(Some(_))) = (&found, &without) {
        panic!("a certificate makes a revoked key good");
    }
    assert_eq!(
        found.is_err(),
        without.is_err(),
        "whether it can be read depends on what is shown: {found:?} {without:?}"
    );
    // A section more, which names the key.
    if bytes.starts_with(b"SSHKRL\n\0") && found.is_ok() {
        let mut more = bytes.to_vec();
        let string = |bytes: &[u8]| [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat();
        more.push(2);
        more.extend(string(&string(key)));
        assert!(matches!(revoked::find(&written("revoked", &more), &shown), Ok(Some(_))), "not seen");
    }
}

fn certificate(bytes: &[u8]) {
    let Some(Ok(certificate)) = HostCertificate::parse(bytes) else { return };
    is_fit_to_print(&certificate.describe());
    assert!(blob_kind(&certificate.key).is_some() && blob_kind(&certificate.authority).is_some());
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_764_000_000);
    for host in ["w1", "10.0.0.1", ""] {
        if let Err(bad) = certificate.check(host, now, None) {
            is_fit_to_print(&bad.why);
        }
    }
}

/// Whatever comes is handed on, in order, and no call stands still for ever.
fn packets(bytes: &[u8]) {
    let (cut, bytes) = choice(bytes, 64);
    let Ok(session) = ssh2::Session::new() else { return };
    let (mut packets, mut budget) = (Packets::default(), Budget::new());
    let (mut held, mut passed) = (Vec::new(), 0);
    for chunk in bytes.chunks(usize::from(cut) + 1) {
        held.extend_from_slice(chunk);
        loop {
            let n = packets.next(&held, &session, &mut budget);
            assert!(n <= held.len());
            if n == 0 {
                // One packet at most is waited for.
                assert!(held.len() < 6, "{} bytes are held back", held.len());
                break;
            }
            packets.passed(&held[..n], &mut budget);
            held.drain(..n);
            passed += n;
        }
    }
    assert_eq!(passed + held.len(), bytes.len());
}

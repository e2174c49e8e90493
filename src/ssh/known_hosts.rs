//! Known host keys: OpenSSH's file format (`sshd(8)`, SSH_KNOWN_HOSTS FILE FORMAT) with hashed names,
//! patterns, `[host]:port`, `@cert-authority` and `@revoked`; and storing a new key under a lock.
//!
//! A line is taken apart here and only its field of names by `ssh-key`: its reader takes a line with two
//! spaces or a tab between the fields for an error, and a `@revoked` that is overlooked is a hole. Nor does
//! it say whether a name matches.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use base64ct::{Base64, Base64Unpadded, Encoding};
use hmac::{Hmac, KeyInit, Mac};
use russh::keys::ssh_key::encoding::Decode;
use russh::keys::ssh_key::known_hosts::HostPatterns;
use rustix::fs::{FlockOperation, flock};
use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::config::matches_pattern;
use crate::os::open;

/// What a line says of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    /// It is the host's.
    Plain,
    /// `@cert-authority`: it signs certificates of such hosts.
    Authority,
    /// `@revoked`: whoever shows it, or a certificate of it or by it, is not the host.
    Revoked,
}

/// One line that speaks of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    mark: Mark,
    kind: String,
    blob: Vec<u8>,
    noted: String,
    /// By its name with the port; else by its name alone, although the port is not 22.
    exact: bool,
}

/// What the files say of one host.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    entries: Vec<Entry>,
}

/// What is to be thought of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Known,
    /// No key is known for the host.
    New,
    /// Another one is known: which and where.
    Changed(String),
    /// This one is revoked: where.
    Revoked(String),
}

/// Bytes of a file of known hosts that are read: a few hundred thousand of them.
const KNOWN_LIMIT: u64 = 64 << 20;

/// The names under which a host is noted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Names {
    /// The port is part of it unless it is 22.
    pub(super) exact: String,
    /// Without the port; only looked for when nothing else is known, as OpenSSH does.
    pub(super) bare: Option<String>,
}

impl Names {
    /// Of a host at a port.
    pub(super) fn of(host: &str, port: u16) -> Self {
        let host = host.to_ascii_lowercase();
        if port == 22 {
            return Self { exact: host, bare: None };
        }
        Self { exact: format!("[{host}]:{port}"), bare: Some(host) }
    }

    /// HostKeyAlias: a name and nothing else.
    pub(super) fn alias(name: &str) -> Self {
        Self { exact: name.to_ascii_lowercase(), bare: None }
    }
}

impl Known {
    /// Reads the files; one that is not there says nothing, one that cannot be read is an error.
    pub(super) fn read<'a>(names: &Names, files: impl Iterator<Item = &'a Path>) -> Result<Self, String> {
        let mut known = Self::default();
        for file in files {
            match open::plain(file).and_then(|opened| open::read_all(&opened, KNOWN_LIMIT)) {
                Ok(bytes) => known.add(names, &String::from_utf8_lossy(&bytes), file),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(format!("{}: {error}", file.display())),
            }
        }
        Ok(known)
    }

    fn add(&mut self, names: &Names, text: &str, file: &Path) {
        for (number, line) in text.lines().enumerate() {
            let mut words = line.split_ascii_whitespace().peekable();
            let mark = match words.next_if(|word| word.starts_with('@')) {
                None => Mark::Plain,
                Some("@cert-authority") => Mark::Authority,
                Some("@revoked") => Mark::Revoked,
                Some(_) => continue,
            };
            let (Some(hosts), Some(kind), Some(key)) = (words.next(), words.next(), words.next()) else {
                continue;
            };
            if hosts.starts_with('#') {
                continue;
            }
            let Ok(blob) = Base64::decode_vec(key) else { continue };
            // A key of SSH 1, or a line that is cut, is none. One that is revoked counts in any case.
            if mark != Mark::Revoked && blob_kind(&blob).as_deref() != Some(kind) {
                continue;
            }
            let exact = speaks_of(hosts, &names.exact);
            if exact || names.bare.as_ref().is_some_and(|bare| speaks_of(hosts, bare)) {
                let noted = format!("{}:{}", file.display(), number + 1);
                self.entries.push(Entry { mark, kind: kind.into(), blob, noted, exact });
            }
        }
    }

    fn with(&self, mark: Mark) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(move |entry| entry.mark == mark)
    }

    /// Of a key, not of a certificate.
    pub(super) fn verdict(&self, shown: &[u8]) -> Verdict {
        if let Some(place) = self.revoked(shown) {
            return Verdict::Revoked(place);
        }
        if self.with(Mark::Plain).any(|entry| entry.exact && entry.blob == shown) {
            return Verdict::Known;
        }
        match self.with(Mark::Plain).find(|entry| entry.exact) {
            Some(other) => Verdict::Changed(format!("{} ({})", fingerprint(&other.blob), other.noted)),
            None if self.with(Mark::Plain).any(|entry| entry.blob == shown) => Verdict::Known,
            None => Verdict::New,
        }
    }

    /// Where a key is revoked.
    pub(super) fn revoked(&self, blob: &[u8]) -> Option<String> {
        self.with(Mark::Revoked).find(|entry| entry.blob == blob).map(|entry| entry.noted.clone())
    }

    /// Where a key is the one of an authority for this host.
    pub(super) fn authority(&self, blob: &[u8]) -> Option<&str> {
        self.with(Mark::Authority).find(|entry| entry.blob == blob).map(|entry| entry.noted.as_str())
    }

    /// Whether there is an authority for this host.
    pub(super) fn has_authority(&self) -> bool {
        self.any_authority().is_some()
    }

    /// Where one is noted.
    pub(super) fn any_authority(&self) -> Option<&str> {
        self.with(Mark::Authority).next().map(|entry| entry.noted.as_str())
    }

    /// Whether a key of this type is known.
    pub(super) fn has(&self, kind: &str) -> bool {
        self.with(Mark::Plain).any(|entry| entry.kind == kind)
    }

    /// What one file with this text says.
    #[cfg(test)]
    pub(super) fn of(name: &str, text: &str) -> Self {
        Self::of_text(&Names { exact: name.into(), bare: None }, text)
    }

    /// The same, for a host with these names.
    #[cfg(any(test, fuzzing))]
    pub(super) fn of_text(names: &Names, text: &str) -> Self {
        let mut known = Self::default();
        known.add(names, text, Path::new("kh"));
        known
    }
}

/// `SHA256:...` of a public key blob, as `ssh-keygen -l` prints it.
pub(super) fn fingerprint(blob: &[u8]) -> String {
    format!("SHA256:{}", Base64Unpadded::encode_string(&Sha256::digest(blob)))
}

/// Whether a line's field of names speaks of `name`. A hashed name is an HMAC-SHA1 with the line's salt.
fn speaks_of(names: &str, name: &str) -> bool {
    let patterns = match names.parse() {
        Ok(HostPatterns::Patterns(patterns)) => patterns,
        Ok(HostPatterns::HashedName { salt, hash }) => {
            return Hmac::<Sha1>::new_from_slice(&salt)
                .is_ok_and(|mac| mac.chain_update(name).verify_slice(&hash).is_ok());
        }
        Err(_) => return false,
    };
    let mut found = false;
    for pattern in patterns {
        match pattern.strip_prefix('!') {
            Some(not) if matches_pattern(&not.to_ascii_lowercase(), name) => return false,
            Some(_) => {}
            None => found |= matches_pattern(&pattern.to_ascii_lowercase(), name),
        }
    }
    found
}

/// Stores a new key, unless another of us was faster: the file is read again under its lock, and what
/// it says then is the verdict ([`Verdict::New`]: it was stored now).
pub(super) fn store(file: &Path, names: &Names, shown: &[u8]) -> io::Result<Verdict> {
    let mut handle = open_private(file)?;
    flock(&handle, FlockOperation::LockExclusive)?;
    let mut text = Vec::new();
    handle.seek(SeekFrom::Start(0))?;
    handle.read_to_end(&mut text)?;
    let mut known = Known::default();
    known.add(names, &String::from_utf8_lossy(&text), file);
    let verdict = known.verdict(shown);
    if verdict == Verdict::New {
        let kind = blob_kind(shown).ok_or_else(|| io::Error::other("the key shown is malformed"))?;
        let newline = if text.is_empty() || text.ends_with(b"\n") { "" } else { "\n" };
        let line = format!("{newline}{} {kind} {}\n", names.exact, Base64::encode_string(shown));
        handle.write_all(line.as_bytes())?;
        handle.sync_data()?;
    }
    Ok(verdict)
}

fn open_private(file: &Path) -> io::Result<File> {
    file.parent().map_or(Ok(()), open::check_own_folder).and_then(|()| open::own(file)).map_err(|error| {
        let path: PathBuf = file.into();
        io::Error::new(error.kind(), format!("{}: {error}", path.display()))
    })
}

/// A public key blob begins with its type as an SSH string (RFC 4253, 6.6), which is a name (RFC 4251, 6): what is none
/// could end a line of a file of known hosts, and begin another one.
pub(super) fn blob_kind(mut blob: &[u8]) -> Option<String> {
    let is_name = |kind: &String| {
        (1..=64).contains(&kind.len()) && kind.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',')
    };
    String::decode(&mut blob).ok().filter(is_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blob(kind: &str, rest: &[u8]) -> Vec<u8> {
        let mut blob = u32::try_from(kind.len()).unwrap().to_be_bytes().to_vec();
        blob.extend_from_slice(kind.as_bytes());
        blob.extend_from_slice(rest);
        blob
    }

    fn known(name: &str, text: &str) -> Known {
        Known::of(name, text)
    }

    #[test]
    fn a_type_that_is_no_name_is_neither_shown_nor_written() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("known_hosts");
        for kind in ["", "a b", "x AAAA\n* ssh-ed25519", "ssh\u{1b}[2J", "a,b", "\u{e4}", &"x".repeat(65)] {
            let key = blob(kind, b"one");
            assert_eq!(blob_kind(&key), None, "{kind:?}");
            assert!(store(&file, &Names::of("w1", 22), &key).is_err(), "{kind:?}");
            assert_eq!(std::fs::read(&file).unwrap_or_default(), b"", "{kind:?}");
        }
        assert_eq!(blob_kind(&blob("ssh-ed25519", b"one")).as_deref(), Some("ssh-ed25519"));
    }

    #[test]
    fn plain_names_ports_patterns_and_negation() {
        let key = blob("ssh-ed25519", b"one");
        let k = Base64::encode_string(&key);
        let verdict =
            |name: &str, names: &str| known(name, &format!("{names} ssh-ed25519 {k}\n")).verdict(&key);
        assert_eq!(verdict("10.0.0.1", "10.0.0.1"), Verdict::Known);
        assert_eq!(verdict("10.0.0.1", "w1,10.0.0.1"), Verdict::Known);
        assert_eq!(verdict("[10.0.0.1]:2222", "10.0.0.1"), Verdict::New);
        assert_eq!(verdict("[10.0.0.1]:2222", "[10.0.0.1]:2222"), Verdict::Known);
        assert_eq!(verdict("w1.example", "*.example"), Verdict::Known);
        assert_eq!(verdict("w1.example", "*.example,!w1.example"), Verdict::New);
        assert_eq!(verdict("10.0.0.1", "# 10.0.0.1"), Verdict::New);
        for line in
            ["10.0.0.1 1024 3355 12345678", "10.0.0.1 ssh-rsa AAAAC3NzaC1lZDI1NTE5", "10.0.0.1 ssh-rsa"]
        {
            assert_eq!(known("10.0.0.1", line).verdict(&key), Verdict::New, "{line}");
        }
    }

    #[test]
    fn a_hashed_name_is_found() {
        // Made by `ssh-keygen -H` for the name [127.0.0.1]:2222.
        let line = "|1|bUQ48O9zblg0Wj7l1eAM491PW+k=|Zmp6qU4TS5TMbaQDqKzXeRHt3AI= ssh-ed25519 \
                    AAAAC3NzaC1lZDI1NTE5AAAAICZ/QETUn/7vAABKsJyRAv5tjTYjrfFne/XLOISLJ5F/";
        let key = Base64::decode_vec(line.rsplit(' ').next().unwrap()).unwrap();
        assert_eq!(known("[127.0.0.1]:2222", line).verdict(&key), Verdict::Known);
        assert!(matches!(known("[127.0.0.1]:2222", line).verdict(b"other"), Verdict::Changed(_)));
        assert_eq!(known("127.0.0.1", line).verdict(&key), Verdict::New);
        let revoked = format!("@revoked {line}");
        assert!(matches!(known("[127.0.0.1]:2222", &revoked).verdict(&key), Verdict::Revoked(_)));
    }

    #[test]
    fn changed_and_revoked() {
        let (one, two) = (blob("ssh-ed25519", b"one"), blob("ssh-ed25519", b"two"));
        let k = Base64::encode_string(&one);
        let text = format!("h ssh-ed25519 {k}\n");
        assert!(matches!(known("h", &text).verdict(&two), Verdict::Changed(why) if why.contains("kh:1")));
        let text = format!("@revoked h ssh-ed25519 {k}\nh ssh-ed25519 {k}\n");
        assert_eq!(known("h", &text).verdict(&one), Verdict::Revoked("kh:1".into()));
        let text = format!("@cert-authority h ssh-ed25519 {k}\n");
        assert_eq!(known("h", &text).verdict(&two), Verdict::New);
    }

    #[test]
    fn a_name_without_the_port_counts_when_none_with_it_is_known() {
        let (one, two) = (blob("ssh-ed25519", b"one"), blob("ssh-ed25519", b"two"));
        let (k1, k2) = (Base64::encode_string(&one), Base64::encode_string(&two));
        let known = |text: &str| {
            let mut known = Known::default();
            known.add(&Names::of("W1.example", 2222), text, Path::new("kh"));
            known
        };
        let bare = format!("w1.example ssh-ed25519 {k1}\n");
        assert_eq!(known(&bare).verdict(&one), Verdict::Known);
        assert_eq!(known(&bare).verdict(&two), Verdict::New);
        let both = format!("{bare}[w1.example]:2222 ssh-ed25519 {k2}\n");
        assert!(matches!(known(&both).verdict(&one), Verdict::Changed(why) if why.contains("kh:2")));
        assert_eq!(known(&both).verdict(&two), Verdict::Known);
        assert!(matches!(known(&format!("@revoked {bare}")).verdict(&one), Verdict::Revoked(_)));
        assert!(known(&format!("@cert-authority *.example ssh-ed25519 {k1}\n")).authority(&one).is_some());
        assert_eq!(Names::of("w1", 22), Names { exact: "w1".into(), bare: None });
        assert_eq!(Names::of("::1", 2222).exact, "[::1]:2222");
    }

    #[test]
    fn any_white_space_is_between_the_fields() {
        let key = blob("ssh-ed25519", b"one");
        let k = Base64::encode_string(&key);
        for line in [format!("@revoked\th  ssh-ed25519\t{k}"), format!("  @revoked h ssh-ed25519 {k}  note")]
        {
            assert!(matches!(known("h", &line).verdict(&key), Verdict::Revoked(_)), "{line}");
        }
    }

    #[test]
    fn the_first_key_is_stored_once_in_a_private_file() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("known_hosts");
        let (one, two) = (blob("ssh-ed25519", b"one"), blob("ssh-ed25519", b"two"));
        assert_eq!(store(&file, &Names::of("h", 2222), &one).unwrap(), Verdict::New);
        assert_eq!(store(&file, &Names::of("h", 2222), &one).unwrap(), Verdict::Known);
        assert!(matches!(store(&file, &Names::of("h", 2222), &two).unwrap(), Verdict::Changed(_)));
        assert_eq!(std::fs::read_to_string(&file).unwrap().lines().count(), 1);
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn no_key_is_added_to_a_file_that_a_link_leads_to() {
        let folder = tempfile::tempdir().unwrap();
        let (file, precious) = (folder.path().join("known_hosts"), folder.path().join("precious"));
        std::fs::write(&precious, "precious").unwrap();
        std::os::unix::fs::symlink(&precious, &file).unwrap();
        assert!(store(&file, &Names::of("h", 22), &blob("ssh-ed25519", b"one")).is_err());
        assert_eq!(std::fs::read_to_string(&precious).unwrap(), "precious");
    }
}

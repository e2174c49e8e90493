//! A key file as `IdentityFile` means it: a private key, or a public one whose private half an agent has;
//! with the certificates that go with it.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use russh::keys::ssh_key::{Certificate, PublicKey};

use super::ConnectError;
use super::private_key::{Outside, inspect};
use super::route::{Key, Origin};
use crate::os::open;

/// Longer files are not key files.
const LONGEST: u64 = 1024 * 1024;

/// What was found where a key file was named.
pub(super) struct Identity {
    pub(super) private: Option<Private>,
    pub(super) public: Option<Public>,
}

/// A private key, not yet decrypted.
pub(super) struct Private {
    pub(super) text: String,
    pub(super) is_encrypted: bool,
}

/// A public key or a certificate.
#[derive(Clone)]
pub(super) struct Public {
    /// As one line of a `.pub` file.
    pub(super) line: String,
    pub(super) blob: Vec<u8>,
}

impl Public {
    /// `ssh-ed25519` and the like.
    pub(super) fn kind(&self) -> &str {
        self.line.split(' ').next().unwrap_or_default()
    }

    fn key(text: &str) -> Option<Self> {
        let key = PublicKey::from_openssh(text.trim()).ok()?;
        Some(Self { line: key.to_openssh().ok()?, blob: key.to_bytes().ok()? })
    }
}

impl Identity {
    /// `Ok(None)`: there is nothing, and there does not have to be anything.
    pub(super) fn read(key: &Key) -> Result<Option<Self>, ConnectError> {
        let beside = with_suffix(&key.path, ".pub");
        let public = || read(&beside).ok().and_then(|text| Public::key(&text));
        let text = match read(&key.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return match public() {
                    Some(public) => Ok(Some(Self { private: None, public: Some(public) })),
                    None if key.origin == Origin::Bucket => Err(key_file(&key.path, &error.to_string())),
                    None => Ok(None),
                };
            }
            Err(error) => return Err(key_file(&key.path, &error.to_string())),
        };
        if let Some(public) = Public::key(&text) {
            return Ok(Some(Self { private: None, public: Some(public) }));
        }
        let mode = fs::metadata(&key.path).map_or(0, |metadata| metadata.permissions().mode()) & 0o777;
        if mode & 0o077 != 0 {
            let why = format!("it can be read by others (mode {mode:03o}); do `chmod 600` on it");
            return Err(key_file(&key.path, &why));
        }
        let Outside { is_encrypted, public_line } = inspect(&text);
        let public = public_line.as_deref().and_then(Public::key).or_else(public);
        Ok(Some(Self { private: Some(Private { text, is_encrypted }), public }))
    }

    /// The certificates of this key: those named, and the one beside its file. The second list says of
    /// others why they are not used.
    pub(super) fn certificates(&self, key: &Key, named: &[PathBuf]) -> (Vec<Public>, Vec<String>) {
        let (mut good, mut bad): (Vec<Public>, Vec<String>) = Default::default();
        let Some(public) = &self.public else { return (good, bad) };
        let mut beside = vec![with_suffix(&key.path, "-cert.pub")];
        if key.path.extension().is_some_and(|extension| extension == "pub") {
            beside.push(with_suffix(&key.path.with_extension(""), "-cert.pub"));
        }
        let now =
            SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
        for path in named.iter().chain(&beside) {
            let Ok(text) = read(path) else { continue };
            let Ok(certificate) = Certificate::from_openssh(text.trim()) else {
                bad.push(format!("{} (it is no certificate)", path.display()));
                continue;
            };
            let of_this_key = PublicKey::from(certificate.public_key().clone()).to_bytes();
            if of_this_key.ok().as_ref() != Some(&public.blob) {
                continue;
            }
            if !certificate.cert_type().is_user() {
                bad.push(format!("{} (a host's certificate)", path.display()));
            } else if now >= certificate.valid_before() {
                bad.push(format!("{} (the certificate has expired)", path.display()));
            } else if let (Ok(line), Ok(blob)) = (certificate.to_openssh(), certificate.to_bytes())
                && !good.iter().any(|known| known.blob == blob)
            {
                good.push(Public { line, blob });
            }
        }
        (good, bad)
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// A small ordinary file; opening anything else may block.
fn read(path: &Path) -> io::Result<String> {
    let bytes = open::plain(path).and_then(|file| open::read_all(&file, LONGEST))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

pub(super) fn key_file(path: &Path, why: &str) -> ConnectError {
    ConnectError::KeyFile { path: path.display().to_string(), why: why.into() }
}

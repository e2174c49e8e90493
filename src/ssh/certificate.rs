//! Host certificates (OpenSSH's PROTOCOL.certkeys): what is asked of one before the key in it is taken for
//! the host's.
//!
//! That the host has that key is libssh2's part: it checks the signature of the key exchange by the key in
//! the certificate (`hostkey.c`, the `*_init_cert` functions), and looks at nothing else in it.

use std::time::{Duration, SystemTime};

use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA512, RsaPublicKeyComponents};
use russh::keys::ssh_key::certificate::Certificate;
use russh::keys::ssh_key::encoding::Encode;
use russh::keys::ssh_key::public::KeyData;
use russh::keys::ssh_key::{Algorithm, HashAlg, PublicKey};

use super::algorithms::{admits, signatures_of};
use super::config::{Stated, matches_pattern};
use super::known_hosts::fingerprint;
use super::revoked;

/// Why a certificate is not good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bad {
    pub(super) why: String,
    /// Only now: its time has not come or is over, and the host may get another one.
    pub(super) passes: bool,
}

impl From<String> for Bad {
    fn from(why: String) -> Self {
        Self { why, passes: false }
    }
}

/// A certificate of a host, not yet to be trusted.
pub(super) struct HostCertificate<'a> {
    certificate: Certificate,
    bytes: &'a [u8],
    /// The host's key.
    pub(super) key: Vec<u8>,
    /// The one that signed it.
    pub(super) authority: Vec<u8>,
}

impl<'a> HostCertificate<'a> {
    /// `None`: it is a key, or something else.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Result<Self, String>> {
        if !super::known_hosts::blob_kind(bytes).is_some_and(|kind| super::algorithms::is_certificate(&kind))
        {
            return None;
        }
        let parsed = Certificate::from_bytes(bytes).and_then(|certificate| {
            let key = blob(certificate.public_key())?;
            let authority = blob(certificate.signature_key())?;
            Ok(Self { certificate, bytes, key, authority })
        });
        Some(parsed.map_err(|error| format!("its certificate is malformed ({error})")))
    }

    /// For messages.
    pub(super) fn describe(&self) -> String {
        let id = super::visible(self.certificate.key_id().as_bytes());
        let id: String = id.chars().take(100).collect();
        format!(
            "its certificate (`{id}`, serial {}, signed by {})",
            self.certificate.serial(),
            fingerprint(&self.authority)
        )
    }

    /// By what it may be revoked.
    pub(super) fn revocable<'s>(&'s self, keys: &'s [&'s [u8]]) -> revoked::Shown<'s> {
        let certificate = revoked::Certificate {
            authority: &self.authority,
            serial: self.certificate.serial(),
            id: self.certificate.key_id(),
        };
        revoked::Shown { keys, certificate: Some(certificate) }
    }

    /// Whether it is good for the host, its authority being trusted; else why not (`sshkey.c`,
    /// sshkey_cert_check_host).
    pub(super) fn check(
        &self,
        host: &str,
        now: SystemTime,
        algorithms: Option<&Stated<String>>,
    ) -> Result<(), Bad> {
        self.signature(algorithms)?;
        if !self.certificate.cert_type().is_host() {
            return Err("is not a host certificate, but a user's".to_owned().into());
        }
        self.names(host)?;
        if let Some((name, _)) = self.certificate.critical_options().iter().next() {
            let name = super::visible(name.as_bytes());
            return Err(format!("has a critical option that is not known: {name}").into());
        }
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
        let passes = |why| Err(Bad { why, passes: true });
        if now < self.certificate.valid_after() {
            return passes(format!("is not valid before {}", date(self.certificate.valid_after())));
        }
        if now >= self.certificate.valid_before() {
            return passes(format!("has expired at {}", date(self.certificate.valid_before())));
        }
        Ok(())
    }

    fn names(&self, host: &str) -> Result<(), String> {
        let principals = self.certificate.valid_principals();
        let host = host.to_ascii_lowercase();
        if principals.iter().any(|name| matches_pattern(&name.to_ascii_lowercase(), &host)) {
            return Ok(());
        }
        let names: Vec<_> = principals.iter().take(8).map(|name| super::visible(name.as_bytes())).collect();
        Err(match names.is_empty() {
            true => "names no host at all".into(),
            false => format!("is not for `{host}`, but for: {}", names.join(", ")),
        })
    }

    fn signature(&self, algorithms: Option<&Stated<String>>) -> Result<(), String> {
        let wrong = || "has a wrong signature".to_owned();
        let signature = self.certificate.signature();
        let algorithm = signature.algorithm();
        let named = match algorithm {
            Algorithm::Rsa { hash: Some(HashAlg::Sha512) } => vec!["rsa-sha2-512"],
            Algorithm::Rsa { hash: Some(HashAlg::Sha256) } => vec!["rsa-sha2-256"],
            Algorithm::Rsa { .. } => vec!["ssh-rsa"],
            ref other => signatures_of(other.as_str()),
        };
        if !admits(algorithms, &named) {
            let by = algorithms.map(|stated| format!(" by CASignatureAlgorithms at {}", stated.place));
            let by = by.unwrap_or_default();
            let algorithm = super::visible(algorithm.as_str().as_bytes());
            return Err(format!("is signed with {algorithm}, which is not accepted{by}"));
        }
        let KeyData::Rsa(key) = self.certificate.signature_key() else {
            // The window of time is looked at by ourselves, to say which end of it was missed.
            let trusted = self.certificate.signature_key().fingerprint(HashAlg::Sha256);
            let within = self.certificate.valid_after();
            let forever = self.certificate.valid_before() <= within;
            return match forever {
                true => Err("is never valid: it ends before it begins".into()),
                false => self.certificate.validate_at(within, [&trusted]).map_err(|_| wrong()),
            };
        };
        // ssh-key would need the crate `rsa` for this, which has an advisory (RUSTSEC-2023-0071).
        let length = signature.encoded_len_prefixed().map_err(|_| wrong())?;
        let signed = self.bytes.len().checked_sub(length).and_then(|at| self.bytes.get(..at));
        let signed = signed.ok_or_else(wrong)?;
        let part = |number: Option<&[u8]>| number.map(<[u8]>::to_vec).ok_or_else(wrong);
        let key = RsaPublicKeyComponents {
            n: part(key.n().as_positive_bytes())?,
            e: part(key.e().as_positive_bytes())?,
        };
        let parameters = match algorithm {
            Algorithm::Rsa { hash: Some(HashAlg::Sha512) } => &RSA_PKCS1_2048_8192_SHA512,
            _ => &RSA_PKCS1_2048_8192_SHA256,
        };
        key.verify(parameters, signed, signature.as_bytes()).map_err(|_| wrong())
    }
}

fn blob(key: &KeyData) -> Result<Vec<u8>, russh::keys::ssh_key::Error> {
    PublicKey::from(key.clone()).to_bytes()
}

fn date(seconds: u64) -> String {
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds).map_or("the end of time".into(), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::Command;

    use base64ct::{Base64, Encoding};
    use proptest::prelude::*;

    use super::*;

    fn keygen(dir: &Path, args: &[&str]) {
        let out = Command::new("ssh-keygen").arg("-q").args(args).current_dir(dir).output().unwrap();
        assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
    }

    /// A certificate of a fresh key by an authority of a type.
    fn made(kind: &[&str], more: &[&str]) -> Vec<u8> {
        let dir = tempfile::tempdir().unwrap();
        keygen(dir.path(), &[&["-N", "", "-f", "ca", "-t"], kind].concat());
        keygen(dir.path(), &["-N", "", "-f", "key", "-t", "ed25519"]);
        keygen(dir.path(), &[&["-s", "ca", "-I", "id"], more, &["key.pub"]].concat());
        let text = std::fs::read_to_string(dir.path().join("key-cert.pub")).unwrap();
        Base64::decode_vec(text.split(' ').nth(1).unwrap()).unwrap()
    }

    fn check(bytes: &[u8], host: &str) -> Result<(), String> {
        let checked = HostCertificate::parse(bytes).unwrap()?.check(host, SystemTime::now(), None);
        checked.map_err(|bad| if bad.passes { format!("{}, today", bad.why) } else { bad.why })
    }

    #[test]
    fn every_type_of_authority_is_verified() {
        let host = ["-h", "-n", "w1,*.example"];
        for kind in [
            &["ed25519"][..],
            &["rsa", "-b", "2048"],
            &["ecdsa", "-b", "256"],
            &["ecdsa", "-b", "384"],
            &["ecdsa", "-b", "521"],
        ] {
            let bytes = made(kind, &host);
            check(&bytes, "w1").unwrap();
            check(&bytes, "W2.example").unwrap();
            assert!(check(&bytes, "w2").unwrap_err().contains("w1, *.example"));
            // Any byte that is changed is noticed.
            for at in (40..bytes.len()).step_by(7) {
                let mut forged = bytes.clone();
                forged[at] ^= 1;
                assert!(check(&forged, "w1").is_err(), "{kind:?}: byte {at}");
            }
        }
        let sha1 = made(&["rsa"], &["-h", "-n", "w1", "-t", "ssh-rsa"]);
        assert!(check(&sha1, "w1").unwrap_err().contains("ssh-rsa"), "{:?}", check(&sha1, "w1"));
    }

    #[test]
    fn what_is_not_in_order_is_said() {
        let why = |more: &[&str]| check(&made(&["ed25519"], more), "w1").unwrap_err();
        assert!(why(&["-n", "w1"]).contains("user's"));
        assert!(why(&["-h", "-n", "w1", "-V", "20200101:20210101"]).contains("expired at 2021"));
        assert!(why(&["-h", "-n", "w1", "-V", "20200101:20210101"]).ends_with("today"));
        assert!(why(&["-h", "-n", "w1", "-V", "+1d:+2d"]).contains("not valid before"));
        assert!(why(&["-h"]).contains("no host"));
        let critical = why(&["-h", "-n", "w1", "-O", "critical:strange=1"]);
        assert!(critical.contains("strange"), "{critical}");
    }

    #[test]
    fn no_bytes_panic() {
        let good = made(&["rsa"], &["-h", "-n", "w1"]);
        for cut in 0..good.len() {
            if let Some(Ok(certificate)) = HostCertificate::parse(&good[..cut]) {
                assert!(certificate.check("w1", SystemTime::now(), None).is_err());
            }
        }
        proptest!(|(at in any::<prop::sample::Index>(), byte in any::<u8>())| {
            let mut bytes = good.clone();
            bytes[at.index(good.len())] = byte;
            if let Some(Ok(certificate)) = HostCertificate::parse(&bytes) {
                let _ = certificate.describe();
                let _ = certificate.check("w1", SystemTime::UNIX_EPOCH, None);
            }
        });
    }
}

//! What is to be thought of the key, or the certificate, that a server has shown: the rules of OpenSSH's
//! client (`sshconnect.c`, check_host_key), and stricter where it would ask the operator.

use std::time::SystemTime;

use russh::keys::ssh_key::PublicKey;

use super::certificate::{Bad, HostCertificate};
use super::known_hosts::{self, Known, Verdict, fingerprint};
use super::revoked::{self, Shown};
use super::route::Hop;
use super::settings::{Notice, Settings};
use super::{ConnectError, HostKeyCheck};

/// What the files say of a machine, before it has shown anything.
pub(super) fn known(hop: &Hop) -> Result<Known, ConnectError> {
    Known::read(&hop.names, hop.known_hosts.iter().map(std::path::PathBuf::as_path))
        .map_err(|why| ConnectError::KnownHosts { why })
}

/// Whether it is the machine that is meant; a key that is seen for the first time may be stored.
pub(super) fn check(hop: &Hop, settings: &Settings, known: &Known, shown: &[u8]) -> Result<(), ConnectError> {
    let refused = |why: String| ConnectError::HostKeyRefused {
        host: hop.names.exact.clone(),
        shown: fingerprint(shown),
        why,
        passes: false,
    };
    match HostCertificate::parse(shown) {
        None => check_key(hop, settings, known, shown),
        Some(certificate) => {
            let certificate = certificate.map_err(refused)?;
            check_revoked(hop, &certificate.revocable(&[&certificate.key, &certificate.authority]))
                .map_err(refused)?;
            for blob in [shown, &certificate.key, &certificate.authority] {
                if let Some(place) = known.revoked(blob) {
                    let what =
                        if blob == certificate.authority.as_slice() { "whose authority" } else { "which" };
                    return Err(refused(format!("{}, {what} is revoked at {place}", certificate.describe())));
                }
            }
            let Some(place) = known.authority(&certificate.authority) else {
                // As if it had shown the key alone: others may trust that authority, we do not.
                return check_key(hop, settings, known, &certificate.key);
            };
            check_length(hop, &certificate.key).map_err(refused)?;
            certificate.check(&hop.principal, SystemTime::now(), hop.algorithms.authority.as_ref()).map_err(
                |Bad { why, passes }| ConnectError::HostKeyRefused {
                    host: hop.names.exact.clone(),
                    shown: fingerprint(shown),
                    why: format!("{} at {place} {why}", certificate.describe()),
                    passes,
                },
            )
        }
    }
}

fn check_key(hop: &Hop, settings: &Settings, known: &Known, shown: &[u8]) -> Result<(), ConnectError> {
    let host = hop.names.exact.clone();
    let refused = |why: String| ConnectError::HostKeyRefused {
        host: host.clone(),
        shown: fingerprint(shown),
        why,
        passes: false,
    };
    let judged = |verdict: Verdict| match verdict {
        Verdict::Known => Ok(false),
        Verdict::New => Ok(true),
        Verdict::Revoked(place) => Err(refused(format!("it is revoked at {place}"))),
        Verdict::Changed(known) => {
            Err(ConnectError::HostKeyChanged { host: host.clone(), known, shown: fingerprint(shown) })
        }
    };
    check_revoked(hop, &Shown { keys: &[shown], certificate: None }).map_err(refused)?;
    check_length(hop, shown).map_err(refused)?;
    if !judged(known.verdict(shown))? {
        return Ok(());
    }
    if let Some(why) = only_known(hop, settings, known) {
        return Err(ConnectError::HostKeyUnknown { host, shown: fingerprint(shown), why });
    }
    let file = settings.known_hosts.clone();
    let fingerprint = fingerprint(shown);
    if !settings.stores_host_keys {
        if let Some(show) = &settings.show {
            let kind = known_hosts::blob_kind(shown).unwrap_or_default();
            show(&Notice::HostKeyNew { host, fingerprint, kind });
        }
        return Ok(());
    }
    let notice = match known_hosts::store(&file, &hop.names, shown) {
        Ok(verdict) if judged(verdict.clone())? => Notice::HostKeyStored { host, fingerprint, file },
        Ok(_) => return Ok(()),
        Err(error) => Notice::HostKeyNotStored { host, fingerprint, file, why: error.to_string() },
    };
    if let Some(show) = &settings.show {
        show(&notice);
    }
    Ok(())
}

/// Why a key that is not known is not accepted, if it is not.
fn only_known(hop: &Hop, settings: &Settings, known: &Known) -> Option<String> {
    if settings.host_key_check == HostKeyCheck::Strict {
        return Some("host_key_check is \"strict\"".into());
    }
    if let Some(stated) = &hop.only_known {
        return Some(stated.clone());
    }
    // It is to prove itself by a certificate, and has not.
    let place = known.any_authority()?;
    Some(format!("it has no certificate of the authority for it ({place})"))
}

/// RevokedHostKeys; one that cannot be read revokes all (`ssh_config(5)`).
fn check_revoked(hop: &Hop, shown: &Shown<'_>) -> Result<(), String> {
    let Some(stated) = &hop.revoked else { return Ok(()) };
    let file = &stated.value;
    match revoked::find(file, shown) {
        Ok(None) => Ok(()),
        Ok(Some(place)) => Err(format!("it is revoked by {place} (RevokedHostKeys at {})", stated.place)),
        Err(why) => Err(format!("RevokedHostKeys at {}: {}: {why}", stated.place, file.display())),
    }
}

fn check_length(hop: &Hop, blob: &[u8]) -> Result<(), String> {
    let Ok(key) = PublicKey::from_bytes(blob) else { return Ok(()) };
    let Some(bytes) = key.key_data().rsa().and_then(|key| key.n().as_positive_bytes()) else { return Ok(()) };
    let leading = bytes.first().map_or(0, |byte| byte.leading_zeros() as usize);
    let bits = bytes.len() * 8 - leading;
    match bits < hop.rsa_bits as usize {
        true => Err(format!("an RSA key of {bits} bits is too short (RequiredRSASize {})", hop.rsa_bits)),
        false => Ok(()),
    }
}

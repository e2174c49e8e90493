//! Which algorithms are offered to a server, and in which order.
//!
//! What libssh2 would offer by itself is not it: certificates come first there, which nothing of ours would have
//! checked, and CBC ciphers are among the others.

use ssh2::{MethodType, Session};

use super::known_hosts::Known;

/// The lists of an SSH_MSG_KEXINIT that decide something, in its order (RFC 4253, 7.1).
pub(super) const LISTS: [(MethodType, &str); 6] = [
    (MethodType::Kex, "key exchange"),
    (MethodType::HostKey, "host key"),
    (MethodType::CryptCs, "cipher"),
    (MethodType::CryptSc, "cipher"),
    (MethodType::MacCs, "MAC"),
    (MethodType::MacSc, "MAC"),
];

/// Whether an algorithm is a certificate's.
pub(super) fn is_certificate(algorithm: &str) -> bool {
    algorithm.contains("-cert-v")
}

/// What OpenSSH's client does not offer by itself any more (`myproposal.h`): ciphers in CBC mode and older,
/// short and broken MACs, signatures and groups by SHA-1.
fn is_weak(algorithm: &str) -> bool {
    const BROKEN: [&str; 6] = ["-cbc", "arcfour", "md5", "ripemd", "-sha1", "ssh-dss"];
    BROKEN.iter().any(|part| algorithm.contains(part))
        || algorithm.ends_with("-96")
        || algorithm == "none"
        || algorithm.starts_with("ssh-rsa")
}

/// Says what is to be offered, before the handshake.
pub(super) fn prefer(session: &Session, known: &Known) -> Result<(), ssh2::Error> {
    for (kind, _) in LISTS {
        let offer = offered(session, kind, known)?;
        session.method_pref(kind, &offer.join(","))?;
    }
    Ok(())
}

/// What is offered of a kind, best first.
pub(super) fn offered(
    session: &Session,
    kind: MethodType,
    known: &Known,
) -> Result<Vec<&'static str>, ssh2::Error> {
    let mut offer = session.supported_algs(kind)?;
    offer.retain(|algorithm| !is_weak(algorithm) && !is_certificate(algorithm));
    if matches!(kind, MethodType::HostKey) {
        offer.sort_by_key(|algorithm| !known.has(key_type(algorithm)));
    }
    Ok(offer)
}

/// The type of the key that an algorithm of signatures is for.
fn key_type(algorithm: &str) -> &str {
    match algorithm {
        "rsa-sha2-512" | "rsa-sha2-256" => "ssh-rsa",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_certificates_nor_what_is_weak_is_offered() {
        let session = Session::new().unwrap();
        for (kind, what) in LISTS {
            let offer = offered(&session, kind, &Known::default()).unwrap();
            assert!(!offer.is_empty(), "{what}");
            for bad in ["cert", "cbc", "arcfour", "md5", "sha1", "ssh-rsa", "ssh-dss"] {
                assert!(!offer.iter().any(|algorithm| algorithm.contains(bad)), "{what}: {offer:?}");
            }
        }
        prefer(&session, &Known::default()).unwrap();
    }

    #[test]
    fn stored_types_are_asked_for_first() {
        let session = Session::new().unwrap();
        let known = Known::of("h", "h ssh-rsa AAAAB3NzaC1yc2E=\n");
        let offer = offered(&session, MethodType::HostKey, &known).unwrap();
        assert_eq!(offer[..2], ["rsa-sha2-512", "rsa-sha2-256"]);
        assert!(offer.contains(&"ssh-ed25519"), "{offer:?}");
    }
}

//! Which algorithms are offered to a server, and in which order.
//!
//! What libssh2 would offer by itself is not it: certificates come first there, which nothing of ours would have
//! checked, and CBC ciphers are among the others.

use ssh2::{MethodType, Session};

use super::config::{Algorithms, Stated, matches_pattern};
use super::known_hosts::Known;
use super::packets::readable_first;

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
pub(super) fn prefer(session: &Session, known: &Known, stated: &Algorithms) -> Result<(), String> {
    for (kind, _) in LISTS {
        let offer = offered(session, kind, known, stated)?;
        session.method_pref(kind, &offer.join(",")).map_err(|error| error.message().to_owned())?;
    }
    Ok(())
}

/// What is offered of a kind, best first. Host certificates where an authority is known that could have
/// signed one.
pub(super) fn offered(
    session: &Session,
    kind: MethodType,
    known: &Known,
    stated: &Algorithms,
) -> Result<Vec<&'static str>, String> {
    let supported = session.supported_algs(kind).map_err(|error| error.message().to_owned())?;
    let (stated, keyword) = match kind {
        MethodType::Kex => (&stated.kex, "KexAlgorithms"),
        MethodType::HostKey => (&stated.host_key, "HostKeyAlgorithms"),
        MethodType::CryptCs | MethodType::CryptSc => (&stated.ciphers, "Ciphers"),
        _ => (&stated.macs, "MACs"),
    };
    let mut usual: Vec<_> = supported.iter().copied().filter(|algorithm| !is_weak(algorithm)).collect();
    if !matches!(kind, MethodType::Kex | MethodType::HostKey) {
        // Packets of a hostile server are counted exactly where their lengths can be read.
        readable_first(&mut usual);
    }
    let mut offer = match stated {
        Some(stated) => select(&stated.value, &usual, &supported),
        None => usual,
    };
    if matches!(kind, MethodType::HostKey) {
        offer.retain(|algorithm| known.has_authority() || !is_certificate(algorithm));
        // Types that are known first: the server may have others, too, and which of the admitted ones it
        // shows is of no matter for safety.
        offer.sort_by_key(|algorithm| (!is_certificate(algorithm), !known.has(key_type(algorithm))));
    }
    match stated {
        Some(stated) if offer.is_empty() => Err(format!(
            "none of the {keyword} at {} is supported here ({}); there are: {}",
            stated.place,
            stated.value,
            supported.join(",")
        )),
        _ => Ok(offer),
    }
}

/// A list as `ssh_config(5)` has them: instead of what is usual, or with `+` more than it, `-` without, `^`
/// before the others. There may be patterns in it.
fn select(list: &str, usual: &[&'static str], supported: &[&'static str]) -> Vec<&'static str> {
    let (sign, names) = match list.as_bytes().first() {
        Some(sign @ (b'+' | b'-' | b'^')) => (Some(*sign), &list[1..]),
        _ => (None, list),
    };
    let mut named = Vec::new();
    for pattern in names.split(',') {
        for algorithm in supported {
            if matches_pattern(pattern, algorithm) && !named.contains(algorithm) {
                named.push(*algorithm);
            }
        }
    }
    let others = || usual.iter().copied().filter(|algorithm| !named.contains(algorithm));
    match sign {
        None => named,
        Some(b'-') => others().collect(),
        Some(b'+') => {
            let more = named.iter().copied().filter(|algorithm| !usual.contains(algorithm));
            usual.iter().copied().chain(more).collect()
        }
        Some(_) => named.iter().copied().chain(others()).collect(),
    }
}

/// Whether a list of signature algorithms admits one of these.
pub(super) fn admits(stated: Option<&Stated<String>>, algorithms: &[&'static str]) -> bool {
    let strong: Vec<_> = algorithms.iter().copied().filter(|algorithm| !is_weak(algorithm)).collect();
    match stated {
        Some(stated) => !select(&stated.value, &strong, algorithms).is_empty(),
        None => !strong.is_empty(),
    }
}

/// The algorithms of signatures that a type of key can make (RFC 8332).
pub(super) fn signatures_of(kind: &str) -> Vec<&'static str> {
    const ALL: [&str; 13] = [
        "ssh-ed25519",
        "ecdsa-sha2-nistp256",
        "ecdsa-sha2-nistp384",
        "ecdsa-sha2-nistp521",
        "sk-ssh-ed25519@openssh.com",
        "sk-ecdsa-sha2-nistp256@openssh.com",
        "ssh-ed25519-cert-v01@openssh.com",
        "ecdsa-sha2-nistp256-cert-v01@openssh.com",
        "ecdsa-sha2-nistp384-cert-v01@openssh.com",
        "ecdsa-sha2-nistp521-cert-v01@openssh.com",
        "sk-ssh-ed25519-cert-v01@openssh.com",
        "sk-ecdsa-sha2-nistp256-cert-v01@openssh.com",
        "ssh-dss",
    ];
    match kind {
        "ssh-rsa" => vec!["rsa-sha2-512", "rsa-sha2-256", "ssh-rsa"],
        "ssh-rsa-cert-v01@openssh.com" => {
            vec!["rsa-sha2-512-cert-v01@openssh.com", "rsa-sha2-256-cert-v01@openssh.com"]
        }
        other => ALL.iter().copied().filter(|name| *name == other).collect(),
    }
}

/// The type of the key that an algorithm of signatures is for; of a certificate, that of the key in it.
fn key_type(algorithm: &str) -> &str {
    match algorithm.split_once("-cert-v").map_or(algorithm, |(plain, _)| plain) {
        "rsa-sha2-512" | "rsa-sha2-256" => "ssh-rsa",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(kind: MethodType, known: &Known, stated: &Algorithms) -> Result<Vec<&'static str>, String> {
        offered(&Session::new().unwrap(), kind, known, stated)
    }

    fn stated(value: &str) -> Option<Stated<String>> {
        Some(Stated { value: value.into(), place: "config:3".into() })
    }

    #[test]
    fn neither_certificates_nor_what_is_weak_is_offered() {
        for (kind, what) in LISTS {
            let offer = offer(kind, &Known::default(), &Algorithms::default()).unwrap();
            assert!(!offer.is_empty(), "{what}");
            for bad in ["cert", "cbc", "arcfour", "md5", "sha1", "ssh-rsa", "ssh-dss"] {
                assert!(!offer.iter().any(|algorithm| algorithm.contains(bad)), "{what}: {offer:?}");
            }
        }
        prefer(&Session::new().unwrap(), &Known::default(), &Algorithms::default()).unwrap();
    }

    #[test]
    fn stored_types_are_asked_for_first() {
        let known = Known::of("h", "h ssh-rsa AAAAB3NzaC1yc2E=\n");
        let found = offer(MethodType::HostKey, &known, &Algorithms::default()).unwrap();
        assert_eq!(found[..2], ["rsa-sha2-512", "rsa-sha2-256"]);
        assert!(found.contains(&"ssh-ed25519"), "{found:?}");
        let known = Known::of(
            "h",
            "h ssh-rsa AAAAB3NzaC1yc2E=\n@cert-authority h ssh-ed25519 AAAAC3NzaC1lZDI1NTE5\n",
        );
        let found = offer(MethodType::HostKey, &known, &Algorithms::default()).unwrap();
        assert_eq!(found[0], "rsa-sha2-512-cert-v01@openssh.com");
        assert!(found.contains(&"ssh-ed25519-cert-v01@openssh.com"), "{found:?}");
    }

    #[test]
    fn lists_of_the_users_config_are_followed() {
        let known = Known::default();
        let ciphers = |list| {
            let stated = Algorithms { ciphers: stated(list), ..Algorithms::default() };
            offer(MethodType::CryptCs, &known, &stated)
        };
        assert_eq!(ciphers("aes128-ctr,nothing").unwrap(), ["aes128-ctr"]);
        assert!(!ciphers("-aes*-ctr").unwrap().contains(&"aes128-ctr"));
        assert_eq!(ciphers("^aes192-ctr").unwrap()[0], "aes192-ctr");
        assert_eq!(ciphers("+aes128-cbc").unwrap().last(), Some(&"aes128-cbc"));
        let error = ciphers("blowfish").unwrap_err();
        assert!(error.contains("Ciphers at config:3") && error.contains("aes256-ctr"), "{error}");
        let stated = Algorithms { host_key: stated("ssh-ed25519*"), ..Algorithms::default() };
        assert_eq!(offer(MethodType::HostKey, &known, &stated).unwrap(), ["ssh-ed25519"]);
        let known = Known::of("h", "h ssh-rsa AAAAB3NzaC1yc2E=\n");
        let stated =
            Algorithms { host_key: self::stated("ssh-ed25519,rsa-sha2-256"), ..Algorithms::default() };
        assert_eq!(offer(MethodType::HostKey, &known, &stated).unwrap(), ["rsa-sha2-256", "ssh-ed25519"]);
    }

    #[test]
    fn keys_and_authorities_are_held_to_their_lists() {
        assert!(admits(None, &signatures_of("ssh-rsa")));
        assert!(!admits(None, &["ssh-rsa"]));
        assert!(!admits(stated("ssh-ed25519").as_ref(), &signatures_of("ssh-rsa")));
        assert!(admits(stated("rsa-sha2-256").as_ref(), &signatures_of("ssh-rsa")));
        assert!(!admits(stated("-ssh-ed25519").as_ref(), &signatures_of("ssh-ed25519")));
    }
}

//! What the text of a private key says without its passphrase: whether it has one, and its public half.

use russh::keys::ssh_key::PrivateKey;

/// What is known of a private key before it was decrypted.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Outside {
    /// Whether it needs a passphrase.
    pub(super) is_encrypted: bool,
    /// Its public half, as one line of a `.pub` file; `None`: the text does not show it.
    ///
    /// libssh2 would work it out from the private half, and OpenSSL tries every format that it knows for
    /// that, anew for each connection: half of what a login costs us.
    pub(super) public_line: Option<String>,
}

/// Looks at the text of a private key in OpenSSH's own format or in PEM, which says in words that it is
/// encrypted.
pub(super) fn inspect(text: &str) -> Outside {
    match PrivateKey::from_openssh(text) {
        Ok(key) => {
            Outside { is_encrypted: key.is_encrypted(), public_line: key.public_key().to_openssh().ok() }
        }
        Err(_) => Outside { is_encrypted: text.contains("ENCRYPTED"), public_line: None },
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::Command;
    use std::sync::LazyLock;

    use proptest::prelude::*;

    use super::*;

    /// A key of ssh-keygen's, and the first two words of its `.pub` file.
    fn made(file: &Path, kind: &str, cipher: Option<&str>) -> (String, String) {
        let mut command = Command::new("ssh-keygen");
        command.args(["-q", "-t", kind, "-C", "a comment", "-f"]).arg(file);
        match cipher {
            None => command.args(["-N", ""]),
            Some(cipher) => command.args(["-N", "secret", "-Z", cipher]),
        };
        assert!(command.status().unwrap().success(), "{kind} {cipher:?}");
        let public = std::fs::read_to_string(file.with_extension("pub")).unwrap();
        let words: Vec<_> = public.split_whitespace().take(2).collect();
        (std::fs::read_to_string(file).unwrap(), words.join(" "))
    }

    #[test]
    fn keys_of_ssh_keygen_are_read_with_and_without_a_passphrase() {
        let dir = tempfile::tempdir().unwrap();
        for (at, (kind, cipher)) in [
            ("ed25519", None),
            ("rsa", None),
            ("ecdsa", None),
            ("ed25519", Some("aes256-ctr")),
            ("rsa", Some("aes256-ctr")),
            ("ecdsa", Some("aes128-cbc")),
            ("ed25519", Some("aes192-cbc")),
            ("ed25519", Some("3des-cbc")),
            ("ed25519", Some("aes256-gcm@openssh.com")),
            ("ed25519", Some("chacha20-poly1305@openssh.com")),
        ]
        .into_iter()
        .enumerate()
        {
            let (text, public) = made(&dir.path().join(at.to_string()), kind, cipher);
            for text in [text.clone(), text.replace('\n', "\r\n")] {
                let outside = inspect(&text);
                assert_eq!(outside.is_encrypted, cipher.is_some(), "{kind} {cipher:?}");
                let line = outside.public_line.unwrap();
                assert!(line.starts_with(&public), "{kind} {cipher:?}: {line}");
            }
        }
    }

    #[test]
    fn pem_says_in_words_that_it_is_encrypted() {
        let outside = |is_encrypted| Outside { is_encrypted, public_line: None };
        assert_eq!(inspect("-----BEGIN ENCRYPTED PRIVATE KEY-----\n"), outside(true));
        assert_eq!(inspect("-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n"), outside(true));
        assert_eq!(inspect("-----BEGIN RSA PRIVATE KEY-----\nMII"), outside(false));
    }

    static KEY: LazyLock<String> = LazyLock::new(|| {
        let dir = tempfile::tempdir().unwrap();
        crate::bucket::init(dir.path()).unwrap();
        std::fs::read_to_string(dir.path().join("secrets/worker.key")).unwrap()
    });

    proptest! {
        #[test]
        fn no_text_panics(cut in 0usize..500, at in any::<prop::sample::Index>(), letter in any::<char>()) {
            let _ = inspect(&KEY[..cut.min(KEY.len())]);
            let at = at.index(KEY.len());
            let _ = inspect(&format!("{}{letter}{}", &KEY[..at], &KEY[at + 1..]));
        }
    }
}

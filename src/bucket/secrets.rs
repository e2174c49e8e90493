//! The private half of a bucket: its key pair, and who may read it.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

// The crate that russh uses for keys; there is no second one in the tree.
use russh::keys::ssh_key::LineEnding;
use russh::keys::ssh_key::private::{Ed25519Keypair, PrivateKey};

use super::open::shown;
use crate::plan::{Problem, Problems};

/// A fresh ed25519 key pair in OpenSSH's formats.
pub(super) struct KeyPair {
    /// The private half, without a passphrase.
    pub(super) private: String,
    /// One line for `authorized_keys`.
    pub(super) public: String,
}

/// A new ed25519 key, from the system's randomness.
///
/// # Errors
/// The system gives none.
pub fn new_key(comment: &str) -> io::Result<PrivateKey> {
    let mut seed = [0; 32];
    // Never blocks once the system is up, and needs no crate.
    fs::File::open("/dev/urandom")?.read_exact(&mut seed)?;
    let mut key = PrivateKey::from(Ed25519Keypair::from_seed(&seed));
    key.set_comment(comment);
    Ok(key)
}

/// Makes a key pair.
pub(super) fn generate(comment: &str) -> io::Result<KeyPair> {
    let key = new_key(comment)?;
    let text = |result: Result<String, _>| {
        result.map_err(|error: russh::keys::ssh_key::Error| io::Error::other(error.to_string()))
    };
    Ok(KeyPair {
        private: text(key.to_openssh(LineEnding::LF).map(|text| text.to_string()))?,
        public: text(key.public_key().to_openssh())?,
    })
}

/// Refuses secrets that others than their owner can read. What is missing is not its business.
pub fn check_secrets(folder: &Path, key: &Path) -> Result<(), Problems> {
    let mut problems = Problems::new();
    for (path, good) in [(folder, "700"), (key, "600")] {
        let Ok(meta) = fs::metadata(path) else { continue };
        let mode = meta.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            let name = shown(path);
            problems.push(
                Problem::error(
                    "maand::bucket::secrets_readable",
                    format!("{name} is open to others (mode {mode:o})"),
                )
                .help(format!("run `chmod {good} {name}`; if others have read it, make a new key")),
            );
        }
    }
    problems.into_result().map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_pair_is_one_and_no_two_are_the_same() {
        let (a, b) = (generate("maand b").unwrap(), generate("maand b").unwrap());
        assert_ne!(a.public, b.public);
        assert!(a.public.starts_with("ssh-ed25519 ") && a.public.ends_with(" maand b"), "{}", a.public);
        let read = PrivateKey::from_openssh(&a.private).unwrap();
        assert_eq!(read.public_key().to_openssh().unwrap(), a.public);
    }

    #[test]
    fn what_others_can_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (folder, key) = (dir.path().join("secrets"), dir.path().join("secrets/worker.key"));
        assert!(check_secrets(&folder, &key).is_ok());
        fs::create_dir(&folder).unwrap();
        fs::write(&key, "x").unwrap();
        for (folder_mode, key_mode, wrong) in [(0o700, 0o600, 0), (0o750, 0o600, 1), (0o755, 0o644, 2)] {
            fs::set_permissions(&key, fs::Permissions::from_mode(key_mode)).unwrap();
            fs::set_permissions(&folder, fs::Permissions::from_mode(folder_mode)).unwrap();
            let count = check_secrets(&folder, &key).map_or_else(|p| p.iter().count(), |()| 0);
            assert_eq!(count, wrong);
        }
    }
}

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

/// What others than their owner can do with a bucket's secrets: as OpenSSH's client does, a key that they can read is
/// refused, and a folder that they can look into is not. One that they can write to is, as the host keys are in
/// it. What is missing is not its business.
pub(super) fn check_secrets(folder: &Path, key: &Path) -> Problems {
    let mut problems = Problems::new();
    let mode = |path: &Path| fs::metadata(path).ok().map(|meta| meta.permissions().mode() & 0o777);
    const CODE: &str = "maand::bucket::secrets_readable";
    if let Some(mode) = mode(folder).filter(|mode| mode & 0o077 != 0) {
        let name = shown(folder);
        let message = format!("{name} is open to others (mode {mode:o})");
        let problem = match mode & 0o022 {
            0 => Problem::warning(CODE, message).help(format!("run `chmod 700 {name}`")),
            _ => Problem::error(CODE, format!("{message}: they can put other keys into it"))
                .help(format!("run `chmod 700 {name}`, and see whether everything in it is yours")),
        };
        problems.push(problem);
    }
    if let Some(mode) = mode(key).filter(|mode| mode & 0o077 != 0) {
        let name = shown(key);
        problems.push(
            Problem::error(CODE, format!("{name} is open to others (mode {mode:o})"))
                .help(format!("run `chmod 600 {name}`; if others have read it, make a new key")),
        );
    }
    problems
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
        assert!(check_secrets(&folder, &key).is_empty());
        fs::create_dir(&folder).unwrap();
        fs::write(&key, "x").unwrap();
        let modes = [
            (0o700, 0o600, (0, false)),
            // As upstream's `init` makes it.
            (0o755, 0o600, (1, false)),
            (0o755, 0o400, (1, false)),
            (0o775, 0o600, (1, true)),
            (0o700, 0o640, (1, true)),
            (0o755, 0o644, (2, true)),
        ];
        for (folder_mode, key_mode, wrong) in modes {
            fs::set_permissions(&key, fs::Permissions::from_mode(key_mode)).unwrap();
            fs::set_permissions(&folder, fs::Permissions::from_mode(folder_mode)).unwrap();
            let problems = check_secrets(&folder, &key);
            assert_eq!(
                (problems.iter().count(), problems.has_errors()),
                wrong,
                "{folder_mode:o} {key_mode:o}"
            );
        }
    }
}

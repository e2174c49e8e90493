//! Throwaway Ed25519 keys for the sandbox's hosts and its one client.

use std::io;

use russh::keys::{PrivateKey, PublicKey, ssh_key};

/// A new key.
pub(super) fn generate() -> io::Result<PrivateKey> {
    crate::bucket::new_key("maand sandbox")
}

/// The private half as a file in OpenSSH's format.
pub(super) fn private_text(key: &PrivateKey) -> Result<String, ssh_key::Error> {
    let text = key.to_openssh(ssh_key::LineEnding::LF)?;
    Ok(text.to_string())
}

/// The public half as one line, `ssh-ed25519 AAAA...`, without a comment.
pub(super) fn public_line(key: &PublicKey) -> Result<String, ssh_key::Error> {
    let text = key.to_openssh()?;
    Ok(text.split_whitespace().take(2).collect::<Vec<_>>().join(" "))
}

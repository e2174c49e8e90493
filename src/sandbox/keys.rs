//! Throwaway Ed25519 keys for the sandbox's hosts and its one client.

use russh::keys::{PrivateKey, PublicKey};

/// A new key.
pub(super) fn generate() -> Result<PrivateKey, String> {
    crate::bucket::new_key("maand sandbox").map_err(|error| error.to_string())
}

/// The private half as a file in OpenSSH's format.
pub(super) fn private_text(key: &PrivateKey) -> Result<String, String> {
    let text = key.to_openssh(russh::keys::ssh_key::LineEnding::LF).map_err(|error| error.to_string())?;
    Ok(text.to_string())
}

/// The public half as one line, `ssh-ed25519 AAAA...`, without a comment.
pub(super) fn public_line(key: &PublicKey) -> Result<String, String> {
    let text = key.to_openssh().map_err(|error| error.to_string())?;
    Ok(text.split_whitespace().take(2).collect::<Vec<_>>().join(" "))
}

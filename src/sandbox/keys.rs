//! Throwaway Ed25519 keys for the sandbox's hosts and its one client.

use russh::keys::ssh_key::private::{Ed25519Keypair, KeypairData};
use russh::keys::{PrivateKey, PublicKey};

/// A new key, from the system's randomness.
pub(super) fn generate() -> Result<PrivateKey, String> {
    // Two version-4 UUIDs would lack 12 bits of randomness: the kernel's own source it is.
    let mut seed = [0; 32];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut source| std::io::Read::read_exact(&mut source, &mut seed))
        .map_err(|error| format!("/dev/urandom: {error}"))?;
    let pair = KeypairData::from(Ed25519Keypair::from_seed(&seed));
    PrivateKey::new(pair, "maand sandbox").map_err(|error| error.to_string())
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

//! What the text of a private key says without its passphrase: whether it has one, and its public half.
//!
//! It must not know where the text is from, nor who logs in with it.

use super::base64;

/// OpenSSH's own format begins with this (`PROTOCOL.key` of OpenSSH).
const MAGIC: &[u8] = b"openssh-key-v1\0";

/// Whether it needs a passphrase: PEM says so in words, OpenSSH's own format names the cipher first.
pub(super) fn is_encrypted(text: &str) -> bool {
    match openssh(text) {
        Some(blob) => {
            fields(&blob).and_then(|rest| string(rest)).is_some_and(|(cipher, _)| cipher != b"none")
        }
        None => text.contains("ENCRYPTED"),
    }
}

/// Its public half, as one line of a `.pub` file; `None`: the text does not show it.
///
/// libssh2 would work it out from the private half, and OpenSSL tries every format that it knows for
/// that, anew for each connection: half of what a login costs us.
pub(super) fn public_line(text: &str) -> Option<String> {
    let blob = openssh(text)?;
    let (_cipher, rest) = string(fields(&blob)?)?;
    let (_kdf, rest) = string(rest)?;
    let (_options, rest) = string(rest)?;
    let (count, rest) = rest.split_first_chunk::<4>()?;
    if u32::from_be_bytes(*count) != 1 {
        return None;
    }
    let (public, _) = string(rest)?;
    let (kind, _) = string(public)?;
    let kind = std::str::from_utf8(kind).ok()?;
    Some(format!("{kind} {}", base64::encode(public)))
}

/// The content of OpenSSH's own format.
fn openssh(text: &str) -> Option<Vec<u8>> {
    let body = text.split("-----BEGIN OPENSSH PRIVATE KEY-----").nth(1)?;
    base64::decode(body.split("-----END").next()?)
}

fn fields(blob: &[u8]) -> Option<&[u8]> {
    blob.strip_prefix(MAGIC)
}

/// A string of SSH's wire format, and what is behind it (RFC 4251, section 5).
fn string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn openssh_text(strings: &[&[u8]], public: &[u8]) -> String {
        let mut blob = MAGIC.to_vec();
        let mut add = |bytes: &[u8]| {
            blob.extend(u32::try_from(bytes.len()).unwrap().to_be_bytes());
            blob.extend(bytes);
        };
        strings.iter().for_each(|bytes| add(bytes));
        blob.extend(1u32.to_be_bytes());
        blob.extend(u32::try_from(public.len()).unwrap().to_be_bytes());
        blob.extend(public);
        let body = base64::encode(&blob);
        format!("-----BEGIN OPENSSH PRIVATE KEY-----\n{body}\n-----END OPENSSH PRIVATE KEY-----\n")
    }

    #[test]
    fn a_passphrase_is_recognised() {
        assert!(is_encrypted(&openssh_text(&[b"aes256-ctr", b"bcrypt", b"salt"], b"")));
        assert!(!is_encrypted(&openssh_text(&[b"none", b"none", b""], b"")));
        assert!(is_encrypted("-----BEGIN ENCRYPTED PRIVATE KEY-----\n"));
        assert!(is_encrypted("-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n"));
        assert!(!is_encrypted("-----BEGIN RSA PRIVATE KEY-----\nMII"));
    }

    #[test]
    fn the_public_half_is_the_one_of_ssh_keygen() {
        let dir = tempfile::tempdir().unwrap();
        let key = crate::bucket::init(dir.path()).unwrap().public_key.unwrap();
        let text = std::fs::read_to_string(dir.path().join("secrets/worker.key")).unwrap();
        let line = public_line(&text).unwrap();
        assert!(key.starts_with(&line) && line.len() > 60, "{line} of {key}");
        assert_eq!(public_line("-----BEGIN RSA PRIVATE KEY-----\nMII"), None);
    }

    proptest! {
        #[test]
        fn no_text_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), cut in 0usize..300) {
            let text = openssh_text(&[b"none", b"none", &bytes], &bytes);
            let cut = &text[..cut.min(text.len())];
            let _ = (is_encrypted(cut), public_line(cut), public_line(&text));
        }
    }
}

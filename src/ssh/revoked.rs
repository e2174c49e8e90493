//! Files of RevokedHostKeys: public keys one a line, or a key revocation list as `ssh-keygen -k` makes it
//! (OpenSSH's PROTOCOL.krl).

use std::path::Path;

use base64ct::{Base64, Encoding};
use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::certificate::HostCertificate;
use crate::os::open;

const MAGIC: &[u8] = b"SSHKRL\n\0";

/// What was shown.
pub(super) struct Shown<'a> {
    /// The key, and the one of the authority if it is in a certificate.
    pub(super) keys: &'a [&'a [u8]],
    pub(super) certificate: Option<Certificate<'a>>,
}

/// By what a list may revoke a certificate.
pub(super) struct Certificate<'a> {
    pub(super) authority: &'a [u8],
    pub(super) serial: u64,
    pub(super) id: &'a str,
}

/// Bytes of a list of revoked keys that are read.
const LONGEST: u64 = 64 << 20;

/// Where something of it is revoked, `None`: nothing is. What cannot be read or understood is an error.
pub(super) fn find(file: &Path, shown: &Shown<'_>) -> Result<Option<String>, String> {
    let bytes = open::plain(file)
        .and_then(|file| open::read_all(&file, LONGEST))
        .map_err(|error| error.to_string())?;
    if bytes.starts_with(MAGIC) {
        let found = in_list(&bytes, shown).ok_or("this key revocation list is malformed or too new")?;
        return Ok(found.then(|| file.display().to_string()));
    }
    for (number, line) in String::from_utf8_lossy(&bytes).lines().enumerate() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let key = line.split_ascii_whitespace().nth(1).and_then(|word| Base64::decode_vec(word).ok());
        let key = key.ok_or_else(|| format!("line {} is no public key", number + 1))?;
        // A certificate stands for the key in it.
        let key = match HostCertificate::parse(&key) {
            Some(Ok(certificate)) => certificate.key,
            _ => key,
        };
        if shown.keys.contains(&key.as_slice()) {
            return Ok(Some(format!("{}:{}", file.display(), number + 1)));
        }
    }
    Ok(None)
}

/// The next `n` bytes.
fn take<'a>(rest: &mut &'a [u8], n: usize) -> Option<&'a [u8]> {
    let (head, tail) = rest.split_at_checked(n)?;
    *rest = tail;
    Some(head)
}

fn number(rest: &mut &[u8]) -> Option<u32> {
    take(rest, 4)?.try_into().ok().map(u32::from_be_bytes)
}

fn long(rest: &mut &[u8]) -> Option<u64> {
    take(rest, 8)?.try_into().ok().map(u64::from_be_bytes)
}

fn string<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = number(rest)?;
    take(rest, usize::try_from(length).ok()?)
}

fn in_list(bytes: &[u8], shown: &Shown<'_>) -> Option<bool> {
    let mut rest = bytes.strip_prefix(MAGIC)?;
    if number(&mut rest)? != 1 {
        return None;
    }
    // Its version, when it was made, flags; reserved, comment.
    take(&mut rest, 24)?;
    string(&mut rest)?;
    string(&mut rest)?;
    let mut found = false;
    while let Some(kind) = take(&mut rest, 1) {
        let mut section = string(&mut rest)?;
        let listed: fn(&[u8], &[u8]) -> bool = match kind[0] {
            1 => {
                found |= in_certificates(section, shown.certificate.as_ref())?;
                continue;
            }
            2 => |entry, key| entry == key,
            3 => |entry, key| entry == Sha1::digest(key).as_slice(),
            5 => |entry, key| entry == Sha256::digest(key).as_slice(),
            _ => return None,
        };
        while !section.is_empty() {
            let entry = string(&mut section)?;
            found |= shown.keys.iter().any(|key| listed(entry, key));
        }
    }
    Some(found)
}

/// Of an authority, or of all: serial numbers in lists, ranges and bitmaps, and ids. All of it is read whatever is shown,
/// for a list of which a part is malformed is none (`krl.c`, parse_revoked_certs).
fn in_certificates(mut section: &[u8], certificate: Option<&Certificate<'_>>) -> Option<bool> {
    let authority = string(&mut section)?;
    string(&mut section)?;
    let is_theirs =
        |certificate: &&Certificate<'_>| authority.is_empty() || authority == certificate.authority;
    let certificate = certificate.filter(is_theirs);
    // 0 means that none was given (`krl.c`).
    let serial = certificate.map(|certificate| certificate.serial).filter(|serial| *serial != 0);
    let mut found = false;
    while let Some(kind) = take(&mut section, 1) {
        let mut data = string(&mut section)?;
        match kind[0] {
            0x20 => {
                while !data.is_empty() {
                    found |= Some(long(&mut data)?) == serial;
                }
            }
            0x21 => {
                let (low, high) = (long(&mut data)?, long(&mut data)?);
                if low > high {
                    return None;
                }
                found |= serial.is_some_and(|serial| (low..=high).contains(&serial));
            }
            0x22 => {
                let offset = long(&mut data)?;
                // A number whose lowest bit stands for the offset.
                let bits = string(&mut data)?;
                let bit = serial.and_then(|serial| serial.checked_sub(offset));
                found |= bit.is_some_and(|bit| {
                    let from_end = usize::try_from(bit / 8).ok().and_then(|byte| byte.checked_add(1));
                    let byte = from_end.and_then(|from_end| bits.get(bits.len().checked_sub(from_end)?));
                    byte.is_some_and(|byte| byte & (1 << (bit % 8)) != 0)
                });
            }
            // Ids count with every serial number.
            0x23 => {
                while !data.is_empty() {
                    let id = string(&mut data)?;
                    found |= certificate.is_some_and(|certificate| certificate.id.as_bytes() == id);
                }
            }
            _ => return None,
        }
        if !data.is_empty() {
            return None;
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn keygen(dir: &Path, args: &[&str]) {
        let out = Command::new("ssh-keygen").arg("-q").args(args).current_dir(dir).output().unwrap();
        assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
    }

    fn blob(file: &Path) -> Vec<u8> {
        let text = std::fs::read_to_string(file).unwrap();
        Base64::decode_vec(text.split(' ').nth(1).unwrap()).unwrap()
    }

    #[test]
    fn lists_of_ssh_keygen_are_understood() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        for name in ["ca", "one", "two"] {
            keygen(dir.path(), &["-t", "ed25519", "-N", "", "-f", name]);
        }
        let (ca, one, two) = (blob(&path("ca.pub")), blob(&path("one.pub")), blob(&path("two.pub")));
        let by_key = |key: &[u8], file: &str| {
            find(&path(file), &Shown { keys: &[key], certificate: None }).unwrap().is_some()
        };
        keygen(dir.path(), &["-k", "-f", "keys", "one.pub"]);
        for (spec, prefix) in [("sha1", "sha1: "), ("sha256", "sha256: ")] {
            let text = std::fs::read_to_string(path("one.pub")).unwrap();
            std::fs::write(path("spec"), format!("{prefix}{text}")).unwrap();
            keygen(dir.path(), &["-k", "-f", spec, "spec"]);
        }
        std::fs::write(path("plain"), "# these\n\n").unwrap();
        let text = std::fs::read_to_string(path("one.pub")).unwrap();
        std::fs::write(path("plain"), format!("# these\n\n{text}")).unwrap();
        for file in ["keys", "sha1", "sha256", "plain"] {
            assert!(by_key(&one, file), "{file}");
            assert!(!by_key(&two, file), "{file}");
        }

        let spec = "serial: 5\nserial: 100-200\nserial: 300\nserial: 301\nserial: 303\nid: bad one\n";
        std::fs::write(path("spec"), spec).unwrap();
        keygen(dir.path(), &["-k", "-s", "ca.pub", "-f", "certificates", "spec"]);
        let by = |serial, id, authority: &[u8]| {
            let certificate = Some(Certificate { authority, serial, id });
            find(&path("certificates"), &Shown { keys: &[&two, authority], certificate }).unwrap().is_some()
        };
        for serial in [5, 100, 150, 200, 300, 301, 303] {
            assert!(by(serial, "", &ca), "{serial}");
            assert!(!by(serial, "", &one), "{serial} of another authority");
        }
        for serial in [0, 4, 99, 201, 299, 302, 304, u64::MAX] {
            assert!(!by(serial, "", &ca), "{serial}");
        }
        assert!(by(0, "bad one", &ca) && !by(0, "good one", &ca));
        assert!(!by_key(&one, "certificates"));

        let whole = std::fs::read(path("certificates")).unwrap();
        // Found by the target `wire` of `fuzz/`: a part that is malformed was passed over where a key was shown, and
        // ssh-keygen refuses the list.
        let string = |bytes: &[u8]| [&u32::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat();
        let eight = |number: u64| number.to_be_bytes();
        for (kind, data) in [
            (0x20, vec![1, 2, 3]),
            (0x21, [eight(5), eight(4)].concat()),
            (0x21, [eight(5), eight(6), eight(7)].concat()),
            (0x22, [&eight(5)[..], &string(b"\x01"), b"more"].concat()),
            (0x23, vec![0, 0, 0, 9, 1]),
            (0x55, Vec::new()),
        ] {
            let section = [&string(b"")[..], &string(b""), &[kind], &string(&data)].concat();
            let made = [&whole[..], &[1], &string(&section)].concat();
            std::fs::write(path("malformed"), made).unwrap();
            let by = Some(Certificate { authority: &ca, serial: 9, id: "" });
            for certificate in [None, by] {
                let shown = Shown { keys: &[&two], certificate };
                assert!(find(&path("malformed"), &shown).is_err(), "{kind:x} {data:?}");
            }
            let mut asked = Command::new("ssh-keygen");
            let asked =
                asked.args(["-Q", "-f"]).arg(path("malformed")).arg(path("two.pub")).output().unwrap();
            assert!(!asked.status.success(), "ssh-keygen takes {kind:x} {data:?}");
        }
        let shown = Shown { keys: &[&one], certificate: None };
        for cut in MAGIC.len()..whole.len() {
            std::fs::write(path("cut"), &whole[..cut]).unwrap();
            let _ = find(&path("cut"), &shown);
        }
        std::fs::write(path("cut"), &whole[..whole.len() - 1]).unwrap();
        assert!(find(&path("cut"), &shown).is_err());
        std::fs::write(path("cut"), "no key\n").unwrap();
        assert!(find(&path("cut"), &shown).is_err() && find(&path("missing"), &shown).is_err());
    }
}

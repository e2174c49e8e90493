//! SHA-256 in lower-case hex.

use std::io::{self, ErrorKind, Read};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::open;

/// Of bytes.
pub fn sha256(bytes: impl AsRef<[u8]>) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// Of what a file holds; `None`: there is none.
///
/// # Errors
/// It cannot be read, or is not a plain file; a link is none.
pub fn sha256_of_file(path: &Path) -> io::Result<Option<String>> {
    sha256_watched(path, &mut |_| Ok(()))
}

/// As [`sha256_of_file`]; `each` is told of the bytes of each piece and ends it with its error.
///
/// # Errors
/// As of [`sha256_of_file`]; or that of `each`.
pub fn sha256_watched(
    path: &Path,
    each: &mut dyn FnMut(u64) -> io::Result<()>,
) -> io::Result<Option<String>> {
    let mut file = match open::plain_no_link(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(Some(hex::encode(hasher.finalize()))),
            Ok(read) => {
                hasher.update(&buffer[..read]);
                each(read as u64)?;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_the_hash_of_its_bytes() {
        // FIPS 180-2, appendix B.1.
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256("abc"), abc);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        assert_eq!(sha256_of_file(&path).unwrap(), None);
        std::fs::write(&path, "abc").unwrap();
        assert_eq!(sha256_of_file(&path).unwrap().as_deref(), Some(abc));
        let large = vec![7; 200_000];
        std::fs::write(&path, &large).unwrap();
        assert_eq!(sha256_of_file(&path).unwrap(), Some(sha256(&large)));
        assert!(sha256_of_file(dir.path()).is_err());
        // Stands for everything that never ends.
        assert!(sha256_of_file(Path::new("/dev/zero")).is_err());
    }
}

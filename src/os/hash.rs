//! SHA-256 in lower-case hex.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use sha2::{Digest, Sha256};

/// Of bytes.
pub fn sha256(bytes: impl AsRef<[u8]>) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// Of what a file holds; `None`: there is none.
///
/// # Errors
/// It cannot be read, or is not a regular file.
pub fn sha256_of_file(path: &Path) -> io::Result<Option<String>> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(ErrorKind::InvalidInput, "not a regular file"));
    }
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(Some(hex::encode(hasher.finalize()))),
            Ok(read) => hasher.update(&buffer[..read]),
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

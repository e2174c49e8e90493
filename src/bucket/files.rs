//! Reading a file of the bucket as text, with a bound on its size and a [`Problem`] for whatever is wrong
//! with it.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use crate::plan::{Problem, Source};

/// `workers.json`: 100,000 workers with tags need some 20 MB.
pub(super) const WORKERS_LIMIT: u64 = 48 << 20;
/// `disabled.json`.
pub(super) const DISABLED_LIMIT: u64 = 16 << 20;
/// A manifest, or one of the TOML files: they are written by hand.
pub(super) const SMALL_LIMIT: u64 = 1 << 20;

/// The text of a file; `None`: there is none. Never reads more than `limit` bytes.
pub(super) fn read_text(path: &Path, name: &str, limit: u64) -> Result<Option<Source>, Problem> {
    let bytes = match read_bytes(path, name, limit)? {
        Some(bytes) => bytes,
        None => return Ok(None),
    };
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Some(Source::new(name, text))),
        Err(error) => {
            let good = error.utf8_error().valid_up_to();
            let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
            Err(Problem::error("maand::bucket::not_utf8", format!("{name} is not UTF-8 text"))
                .at(&Source::new(name, text), good..good + 3, "these bytes are no character")
                .help("save it as UTF-8"))
        }
    }
}

/// The bytes of a file; `None`: there is none.
fn read_bytes(path: &Path, name: &str, limit: u64) -> Result<Option<Vec<u8>>, Problem> {
    let unreadable = |error: std::io::Error| {
        Problem::error("maand::bucket::unreadable", format!("{name} cannot be read: {error}"))
            .help("check that it is a plain file and that you may read it")
    };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error)),
    };
    let meta = file.metadata().map_err(unreadable)?;
    if !meta.is_file() {
        return Err(Problem::error("maand::bucket::unreadable", format!("{name} is no plain file"))
            .help("put a plain file there"));
    }
    let mut bytes = Vec::with_capacity(meta.len().min(limit) as usize + 1);
    let too_large = || {
        Problem::error("maand::bucket::too_large", format!("{name} is larger than {limit} bytes"))
            .help("such a file is not read: is it the right one?")
    };
    if meta.len() > limit {
        return Err(too_large());
    }
    file.take(limit + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > limit {
        return Err(too_large());
    }
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_text_is_said_and_nothing_is_read_beyond_the_bound() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        assert_eq!(read_text(&path, "f", 10), Ok(None));
        std::fs::write(&path, b"ab\xff").unwrap();
        let problem = read_text(&path, "f", 10).unwrap_err();
        assert_eq!((problem.code, problem.place()), ("maand::bucket::not_utf8", Some(("f", 1, 3))));
        std::fs::write(&path, vec![b' '; 11]).unwrap();
        assert_eq!(read_text(&path, "f", 10).unwrap_err().code, "maand::bucket::too_large");
        assert_eq!(read_text(dir.path(), "d", 10).unwrap_err().code, "maand::bucket::unreadable");
    }

    #[test]
    fn a_pipe_does_not_hang() {
        // /dev/zero stands for everything that never ends: it is no plain file.
        assert_eq!(read_text(Path::new("/dev/zero"), "z", 10).unwrap_err().code, "maand::bucket::unreadable");
    }
}

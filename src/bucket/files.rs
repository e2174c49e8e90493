//! Reading a file of the bucket as text, with a bound on its size and a [`Problem`] for whatever is wrong
//! with it.

use std::io::{self, ErrorKind};
use std::path::Path;

use crate::os::open;
use crate::plan::{Problem, Source};

/// `workers.json`: 100,000 workers with tags need some 20 MB.
pub(super) const WORKERS_LIMIT: u64 = 24 << 20;
/// `disabled.json`.
pub(super) const DISABLED_LIMIT: u64 = 16 << 20;
/// A manifest: it is written by hand.
pub(super) const SMALL_LIMIT: u64 = 1 << 20;
/// The targets of notices: as a plan.
pub(super) const NOTIFY_LIMIT: u64 = crate::plan::MAX_BYTES as u64;
/// One of the TOML files, of which a byte can take 250 in memory. `bucket.jobs.conf` has some 50 for each job.
pub(super) const CONF_LIMIT: u64 = 256 << 10;

/// The text of a file of the bucket in `root`, out of which no link may lead; `None`: there is none. Never reads
/// more than `limit` bytes.
pub(super) fn read_text(path: &Path, root: &Path, name: &str, limit: u64) -> Result<Option<Source>, Problem> {
    let bytes = match open::plain_below(path, root).and_then(|file| open::read_all(&file, limit)) {
        Ok(bytes) => bytes,
        Err(error) if is_missing(&error, path) => return Ok(None),
        Err(error) => return Err(unreadable(name, &error, limit)),
    };
    // Such a file is an error anyway, and a large one takes memory.
    if let Some(at) = bytes.iter().position(|byte| *byte == 0) {
        let message = format!("{name} is not text: its byte {} is NUL", at + 1);
        return Err(Problem::error("maand::bucket::not_utf8", message).help("save it as UTF-8 text"));
    }
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

/// There is nothing at the path; a link to nothing is something.
fn is_missing(error: &io::Error, path: &Path) -> bool {
    error.kind() == ErrorKind::NotFound && path.symlink_metadata().is_err()
}

fn unreadable(name: &str, error: &io::Error, limit: u64) -> Problem {
    if error.kind() == ErrorKind::FileTooLarge {
        return Problem::error("maand::bucket::too_large", format!("{name} is larger than {limit} bytes"))
            .help("such a file is not read: is it the right one?");
    }
    Problem::error("maand::bucket::unreadable", format!("{name} cannot be read: {error}"))
        .help("put a plain file there that you may read; a link must stay inside of the bucket")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_text_is_said_and_nothing_is_read_beyond_the_bound() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        assert_eq!(read_text(&path, dir.path(), "f", 10), Ok(None));
        std::fs::write(&path, b"ab\xff").unwrap();
        let problem = read_text(&path, dir.path(), "f", 10).unwrap_err();
        assert_eq!((problem.code, problem.place()), ("maand::bucket::not_utf8", Some(("f", 1, 3))));
        std::fs::write(&path, vec![b' '; 11]).unwrap();
        assert_eq!(read_text(&path, dir.path(), "f", 10).unwrap_err().code, "maand::bucket::too_large");
        assert_eq!(read_text(dir.path(), dir.path(), "d", 10).unwrap_err().code, "maand::bucket::unreadable");
    }
}

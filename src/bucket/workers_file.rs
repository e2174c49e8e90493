//! Putting a new `workers.json` in the place of the one that it was made from, and of no other.

use std::fs;
use std::io;

use super::lock::Guard;
use super::open::Bucket;
use crate::os::exchange::{self, Exchange};
use crate::os::hash::sha256;
use crate::os::{disk, open};
use crate::plan::Source;

/// Why `workers.json` was not changed.
#[derive(Debug, thiserror::Error)]
pub enum WorkersError {
    /// Somebody else has written it since it was read: theirs stays.
    #[error("it was changed by somebody else in the meantime")]
    Changed,
    /// Another process has taken the bucket's lock over.
    #[error("the bucket's lock was taken over by another process")]
    LockLost,
    /// It or its folder cannot be written.
    #[error("it cannot be written: {0}")]
    Write(#[from] io::Error),
}

impl Bucket {
    /// Makes `text` the bucket's `workers.json`, given that it still is `read` (`None`: that there still is none). At every
    /// instant the name holds a whole file; the new one has mode and owner of the old one, and is on disk when this returns.
    /// `lock` is the bucket's (`Paths::catalog_lock`).
    ///
    /// # Errors
    /// Nothing was changed.
    pub fn replace_workers(
        &self,
        lock: &Guard,
        read: Option<&Source>,
        text: &str,
    ) -> Result<(), WorkersError> {
        if !lock.is_current() {
            return Err(WorkersError::LockLost);
        }
        let path = &self.paths().workers_json;
        // A link stays one; none leads out of the bucket.
        open::check_below(path, &self.paths().root)?;
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.clone());
        let expected = read.map(|read| sha256(read.text()));
        let beside = exchange::write_beside(&path, &exchange::name_beside(&path, "maand"), text)?;
        let done = exchange::exchange(&path, &beside, expected.as_deref());
        let done = match done {
            Ok(Exchange::Done) => disk::sync_folder_of(&path).map_err(WorkersError::from),
            Ok(Exchange::Changed) => {
                let ours = sha256(text);
                // Ours may be in place, with theirs beside it.
                match crate::os::hash::sha256_of_file(&path) {
                    Ok(Some(now)) if now == ours => exchange::put_back(&path, &beside, &ours)?,
                    _ => {}
                }
                Err(WorkersError::Changed)
            }
            Err(error) => Err(error.into()),
        };
        let _ = fs::remove_file(&beside);
        done
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::time::Duration;

    use super::super::lock;
    use super::*;

    #[test]
    fn only_the_file_that_was_read_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        super::super::init(dir.path()).unwrap();
        let bucket = Bucket::open(dir.path()).unwrap();
        let path = &bucket.paths().workers_json;
        let lock = lock::acquire(&bucket.paths().catalog_lock, "t", Duration::ZERO, &|| false).unwrap();
        let read = bucket.workers_text().unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o640)).unwrap();
        bucket.replace_workers(&lock, read.as_ref(), "[1]").unwrap();
        assert_eq!(fs::read_to_string(path).unwrap(), "[1]");
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o640);
        let again = bucket.replace_workers(&lock, read.as_ref(), "[2]");
        assert!(matches!(again, Err(WorkersError::Changed)));
        assert!(matches!(bucket.replace_workers(&lock, None, "[2]"), Err(WorkersError::Changed)));
        assert_eq!(fs::read_to_string(path).unwrap(), "[1]");
        fs::remove_file(path).unwrap();
        bucket.replace_workers(&lock, None, "[3]").unwrap();
        assert_eq!(fs::read_to_string(path).unwrap(), "[3]");
        let others = fs::read_dir(path.parent().unwrap()).unwrap().map(|entry| entry.unwrap().file_name());
        let hidden: Vec<_> = others.filter(|name| name.to_string_lossy().starts_with('.')).collect();
        assert!(hidden.is_empty(), "{hidden:?}");
    }

    #[test]
    fn a_link_out_of_the_bucket_is_not_followed() {
        let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        super::super::init(dir.path()).unwrap();
        let bucket = Bucket::open(dir.path()).unwrap();
        let lock = lock::acquire(&bucket.paths().catalog_lock, "t", Duration::ZERO, &|| false).unwrap();
        let theirs = elsewhere.path().join("w");
        fs::write(&theirs, "[]").unwrap();
        fs::remove_file(&bucket.paths().workers_json).unwrap();
        std::os::unix::fs::symlink(&theirs, &bucket.paths().workers_json).unwrap();
        let refused = bucket.replace_workers(&lock, Some(&Source::new("w", "[]")), "[1]");
        assert!(matches!(refused, Err(WorkersError::Write(_))), "{refused:?}");
        assert_eq!(fs::read_to_string(&theirs).unwrap(), "[]");
    }
}

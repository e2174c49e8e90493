//! Putting a new text in the place of a file by *exchanging* the two (`renameat2`): what comes out is
//! what really was there. It must not know what the texts mean.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use sha2::{Digest, Sha256};

use super::files::{DISABLED_LIMIT, read_bytes};
use super::hash::hex;

/// So often what came out is put back because something even newer had got in: a person can not do
/// that.
const TURNS: usize = 50;

/// What came of a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Swap {
    /// The new text is in place of the expected one. The file beside holds the old one, where there was
    /// one and the file system can exchange.
    Done,
    /// The file is not as expected. The new text may be in place all the same, with the other one in the
    /// file beside.
    Changed,
}

/// A file's hash.
pub(super) fn digest(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}

/// The hash of what a file holds; `None`: there is none.
pub(super) fn digest_of(path: &Path) -> io::Result<Option<String>> {
    let bytes = read_bytes(path, "disabled.json", DISABLED_LIMIT)
        .map_err(|problem| io::Error::other(problem.message))?;
    Ok(bytes.map(|bytes| hex(&Sha256::digest(&bytes))))
}

/// The name of a hidden file beside `path`.
pub(super) fn name_beside(path: &Path, what: &str) -> String {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    format!(".{name}.{what}")
}

/// Writes the new text into the file `name` beside `path`, with its mode and owner; it is on disk when
/// this returns.
pub(super) fn write_beside(path: &Path, name: &str, text: &str) -> io::Result<PathBuf> {
    let beside = path.with_file_name(name);
    let _ = fs::remove_file(&beside);
    let mut file = File::create_new(&beside)?;
    file.write_all(text.as_bytes())?;
    if let Ok(meta) = fs::metadata(path) {
        file.set_permissions(Permissions::from_mode(meta.mode() & 0o7777))?;
        // Only root can give a file away; for others it stays theirs, as with any editor.
        let _ = fchown(&file, Some(meta.uid()), Some(meta.gid()));
    }
    file.sync_all()?;
    Ok(beside)
}

/// Makes `beside` the file, given that this still has the hash `expected` (`None`: there is none).
pub(super) fn swap(path: &Path, beside: &Path, expected: Option<&str>) -> io::Result<Swap> {
    if digest_of(path)?.as_deref() != expected {
        return Ok(Swap::Changed);
    }
    let Some(expected) = expected else {
        return match renameat_with(CWD, beside, CWD, path, RenameFlags::NOREPLACE) {
            Ok(()) => Ok(Swap::Done),
            Err(Errno::EXIST) => Ok(Swap::Changed),
            Err(Errno::INVAL | Errno::NOSYS) => fs::rename(beside, path).map(|()| Swap::Done),
            Err(error) => Err(error.into()),
        };
    };
    match renameat_with(CWD, beside, CWD, path, RenameFlags::EXCHANGE) {
        Ok(()) => {}
        // Removed since we looked.
        Err(Errno::NOENT) => return Ok(Swap::Changed),
        // A file system without it: the comparison above has to do.
        Err(Errno::INVAL | Errno::NOSYS) => return fs::rename(beside, path).map(|()| Swap::Done),
        Err(error) => return Err(error.into()),
    }
    // What can not be read is not what was expected.
    let out = digest_of(beside).ok().flatten();
    Ok(if out.as_deref() == Some(expected) { Swap::Done } else { Swap::Changed })
}

/// Puts back what `beside` holds (somebody else's text, which was pushed out) in the place of ours,
/// which has the hash `ours`. If somebody was faster again, theirs stays.
pub(super) fn put_back(path: &Path, beside: &Path, ours: &str) -> io::Result<()> {
    let mut wanted_out = Some(ours.to_owned());
    for _ in 0..TURNS {
        let put_in = digest_of(beside).ok().flatten();
        match renameat_with(CWD, beside, CWD, path, RenameFlags::EXCHANGE) {
            Ok(()) => {}
            // Removed since we looked, by whoever did not want it.
            Err(Errno::NOENT) => break,
            Err(Errno::INVAL | Errno::NOSYS) => return fs::rename(beside, path),
            Err(error) => return Err(error.into()),
        }
        if digest_of(beside).ok().flatten() == wanted_out {
            break;
        }
        wanted_out = put_in;
    }
    sync_folder(path)
}

/// Removes the file, given that it still has the hash `expected`. It is moved aside first, so that what
/// is removed is what was looked at.
pub(super) fn remove(path: &Path, expected: &str) -> io::Result<()> {
    if digest_of(path)?.as_deref() == Some(expected) {
        let aside = path.with_file_name(name_beside(path, "gone"));
        fs::rename(path, &aside)?;
        if digest_of(&aside).ok().flatten().as_deref() == Some(expected) {
            fs::remove_file(&aside)?;
        } else {
            return_aside(path)?;
        }
        sync_folder(path)?;
    }
    Ok(())
}

/// What [`remove`] had moved aside, and was not what it had looked at, goes back, unless there is
/// something newer. Also after a crash in between.
pub(super) fn return_aside(path: &Path) -> io::Result<()> {
    let aside = path.with_file_name(name_beside(path, "gone"));
    match renameat_with(CWD, &aside, CWD, path, RenameFlags::NOREPLACE) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(Errno::EXIST) => fs::remove_file(&aside),
        Err(_) if !path.exists() => fs::rename(&aside, path),
        Err(error) => Err(error.into()),
    }
}

/// Makes a rename in the file's folder durable.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

//! Putting a new text in the place of a file by *exchanging* the two (`renameat2`): what comes out is
//! what really was there. A text is named by its SHA-256 in hex.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::disk::sync_folder_of;
use super::hash::sha256_of_file;

/// How often what came out is put back because something even newer had got in: no editor does
/// that.
const TURNS: usize = 50;

/// What came of a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exchange {
    /// The new text is in place of the expected one. The file beside holds the old one, where there was
    /// one and the file system can exchange.
    Done,
    /// The file is not as expected. The new text may be in place all the same, with the other one in the
    /// file beside.
    Changed,
}

/// The name of a hidden file beside `path`.
pub fn name_beside(path: &Path, what: &str) -> String {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    format!(".{name}.{what}")
}

/// Writes the new text into the file `name` beside `path`, with its mode and owner; it is on disk when
/// this returns.
pub fn write_beside(path: &Path, name: &str, text: &str) -> io::Result<PathBuf> {
    let beside = path.with_file_name(name);
    let _ = fs::remove_file(&beside);
    let mut file = File::create_new(&beside)?;
    file.set_permissions(Permissions::from_mode(0o644))?;
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
pub fn exchange(path: &Path, beside: &Path, expected: Option<&str>) -> io::Result<Exchange> {
    if sha256_of_file(path)?.as_deref() != expected {
        return Ok(Exchange::Changed);
    }
    let Some(expected) = expected else {
        return match renameat_with(CWD, beside, CWD, path, RenameFlags::NOREPLACE) {
            Ok(()) => Ok(Exchange::Done),
            Err(Errno::EXIST) => Ok(Exchange::Changed),
            Err(Errno::INVAL | Errno::NOSYS) => fs::rename(beside, path).map(|()| Exchange::Done),
            Err(error) => Err(error.into()),
        };
    };
    match renameat_with(CWD, beside, CWD, path, RenameFlags::EXCHANGE) {
        Ok(()) => {}
        // Removed since we looked.
        Err(Errno::NOENT) => return Ok(Exchange::Changed),
        // A file system without it: the comparison above has to do.
        Err(Errno::INVAL | Errno::NOSYS) => return fs::rename(beside, path).map(|()| Exchange::Done),
        Err(error) => return Err(error.into()),
    }
    // What cannot be read is not what was expected.
    let out = sha256_of_file(beside).ok().flatten();
    Ok(if out.as_deref() == Some(expected) { Exchange::Done } else { Exchange::Changed })
}

/// Puts back what `beside` holds (another writer's text, which was pushed out) in the place of ours,
/// which has the hash `ours`. If another writer was faster again, theirs stays.
pub fn put_back(path: &Path, beside: &Path, ours: &str) -> io::Result<()> {
    let mut wanted_out = Some(ours.to_owned());
    for _ in 0..TURNS {
        let put_in = sha256_of_file(beside).ok().flatten();
        match renameat_with(CWD, beside, CWD, path, RenameFlags::EXCHANGE) {
            Ok(()) => {}
            // Removed since we looked, by its writer.
            Err(Errno::NOENT) => break,
            Err(Errno::INVAL | Errno::NOSYS) => return fs::rename(beside, path),
            Err(error) => return Err(error.into()),
        }
        if sha256_of_file(beside).ok().flatten() == wanted_out {
            break;
        }
        wanted_out = put_in;
    }
    sync_folder_of(path)
}

/// Removes the file, given that it still has the hash `expected`. It is moved aside first, so that what
/// is removed is what was looked at.
pub fn remove(path: &Path, expected: &str) -> io::Result<()> {
    if sha256_of_file(path)?.as_deref() == Some(expected) {
        let aside = path.with_file_name(name_beside(path, "gone"));
        fs::rename(path, &aside)?;
        if sha256_of_file(&aside).ok().flatten().as_deref() == Some(expected) {
            fs::remove_file(&aside)?;
        } else {
            return_aside(path)?;
        }
        sync_folder_of(path)?;
    }
    Ok(())
}

/// What [`remove`] had moved aside, and was not what it had looked at, goes back, unless there is
/// something newer. Also after a crash in between.
pub fn return_aside(path: &Path) -> io::Result<()> {
    let aside = path.with_file_name(name_beside(path, "gone"));
    match renameat_with(CWD, &aside, CWD, path, RenameFlags::NOREPLACE) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(Errno::EXIST) => fs::remove_file(&aside),
        Err(_) if !path.exists() => fs::rename(&aside, path),
        Err(error) => Err(error.into()),
    }
}

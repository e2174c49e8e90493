//! Opening files that somebody else may have put there, and folders and files of our own.
//!
//! A bucket is a checkout, and so what stands at a path may be anything: a named pipe that nobody writes to, a
//! device, a link to a file of the user's. Two rules, each stated once:
//!
//! - **Foreign** files (plans, the workspace, keys) are plain files or refused, looked at before they are opened
//!   (`O_PATH`: nothing blocks, no device notices), and read up to a bound. A file of a bucket may be reached by a
//!   link that stays inside of the bucket.
//! - **Our own** files and folders (`data/`, its locks, records and databases) are never reached by a link, have one
//!   name, belong to the user or to root, and are written by no others. They are made with modes that do
//!   not depend on the umask: 0600 and 0700.

use std::fs::{self, DirBuilder, File, FileType, Metadata, Permissions};
use std::io::{self, ErrorKind, Read};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::limits;

/// Opens a plain file for reading, wherever links lead.
///
/// # Errors
/// It is something else, or cannot be read.
pub fn plain(path: &Path) -> io::Result<File> {
    open_looked_at(path, OFlags::empty(), None)
}

/// As [`plain`], for a path that an operator has typed: what a shell puts there for `<(command)`, an open descriptor of
/// this process, may be a pipe.
///
/// # Errors
/// As of [`plain`].
pub fn named_by_user(path: &Path) -> io::Result<File> {
    let inherited =
        ["/dev/fd", "/proc/self/fd"].iter().any(|folder| path.parent() == Some(Path::new(folder)));
    if inherited || path == Path::new("/dev/stdin") { File::open(path) } else { plain(path) }
}

/// As [`plain`], and links must not lead out of the folder `root`.
///
/// # Errors
/// As of [`plain`]; or it is outside of `root`.
pub fn plain_below(path: &Path, root: &Path) -> io::Result<File> {
    open_looked_at(path, OFlags::empty(), Some(root))
}

/// As [`plain`], and the last part of the path must not be a link.
///
/// # Errors
/// As of [`plain`]; or it is a link.
pub fn plain_no_link(path: &Path) -> io::Result<File> {
    open_looked_at(path, OFlags::NOFOLLOW, None)
}

fn open_looked_at(path: &Path, flags: OFlags, root: Option<&Path>) -> io::Result<File> {
    try_open(path, flags, root).inspect_err(limits::note_exhaustion)
}

fn try_open(path: &Path, flags: OFlags, root: Option<&Path>) -> io::Result<File> {
    let handle = File::from(rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC | flags, Mode::empty())?);
    let meta = handle.metadata()?;
    // null(4) stands for an empty file in settings of ssh.
    let is_null =
        root.is_none() && meta.file_type().is_char_device() && meta.rdev() == rustix::fs::makedev(1, 3);
    if !is_null {
        check_plain(meta.file_type())?;
    }
    // The very file that was looked at, whatever the path leads to by now.
    let itself = PathBuf::from(format!("/proc/self/fd/{}", handle.as_raw_fd()));
    if let Some(root) = root
        && !fs::read_link(&itself).map_err(without_proc)?.starts_with(root.canonicalize()?)
    {
        return Err(leads_out());
    }
    File::open(itself).map_err(without_proc)
}

/// Not to be taken for a file that is not there: it was looked at.
fn without_proc(error: io::Error) -> io::Error {
    match error.kind() {
        ErrorKind::NotFound => {
            io::Error::other("/proc is not mounted, and files cannot be opened safely without it")
        }
        _ => error,
    }
}

/// Whether `path` is inside of the folder `root` once all links are followed; what is not there is where its
/// folder is.
///
/// # Errors
/// It is outside, or cannot be followed.
pub fn check_below(path: &Path, root: &Path) -> io::Result<()> {
    let real = match path.canonicalize() {
        Err(error) if error.kind() == ErrorKind::NotFound && fs::symlink_metadata(path).is_err() => {
            return Ok(());
        }
        real => real?,
    };
    if real.starts_with(root.canonicalize()?) { Ok(()) } else { Err(leads_out()) }
}

fn leads_out() -> io::Error {
    io::Error::new(ErrorKind::PermissionDenied, "a link leads out of the bucket's folder")
}

/// Refuses what is not a plain file, by what it is.
pub fn check_plain(kind: FileType) -> io::Result<()> {
    if kind.is_file() {
        return Ok(());
    }
    let error = if kind.is_dir() { ErrorKind::IsADirectory } else { ErrorKind::InvalidInput };
    Err(io::Error::new(error, format!("it is {}, not a plain file", name_of(kind))))
}

fn name_of(kind: FileType) -> &'static str {
    match kind {
        _ if kind.is_file() => "a plain file",
        _ if kind.is_dir() => "a folder",
        _ if kind.is_symlink() => "a symbolic link",
        _ if kind.is_fifo() => "a named pipe",
        _ if kind.is_socket() => "a socket",
        _ => "a device",
    }
}

/// All of an open file, which must not have more than `limit` bytes.
///
/// # Errors
/// [`ErrorKind::FileTooLarge`], before anything is read where the file says its size; or it cannot be read.
pub fn read_all(file: &File, limit: u64) -> io::Result<Vec<u8>> {
    let too_large = || io::Error::new(ErrorKind::FileTooLarge, format!("it has more than {limit} bytes"));
    let size = file.metadata()?.len();
    if size > limit {
        return Err(too_large());
    }
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0) + 1);
    file.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit { Err(too_large()) } else { Ok(bytes) }
}

/// Whether more than `most` bytes of a file are holes: nobody has written them.
pub fn has_holes(file: &File, most: u64) -> bool {
    let (mut at, mut holes) = (0, 0);
    let Ok(size) = file.metadata().map(|meta| meta.len()) else { return false };
    // A file of many small pieces is not what is looked for.
    for _ in 0..1000 {
        if holes > most || at >= size {
            break;
        }
        let Ok(hole) = rustix::fs::seek(file, rustix::fs::SeekFrom::Hole(at)) else { return false };
        // There is none behind the last data.
        let end = rustix::fs::seek(file, rustix::fs::SeekFrom::Data(hole)).unwrap_or(size);
        (holes, at) = (holes + end.saturating_sub(hole), end);
    }
    holes > most
}

/// The text of a plain file of at most `limit` bytes, wherever links lead.
///
/// # Errors
/// It is something else, larger, or not UTF-8, or cannot be read.
pub fn read_text(path: &Path, limit: u64) -> io::Result<String> {
    text_of(read_all(&plain(path)?, limit)?)
}

/// The text of a file of our own of at most `limit` bytes; `None`: there is none.
///
/// # Errors
/// As of [`check_own_file`] and [`read_text`].
pub fn read_own(path: &Path, limit: u64) -> io::Result<Option<String>> {
    check_own_file(path)?;
    let file = match plain_no_link(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    text_of(read_all(&file, limit)?).map(Some)
}

fn text_of(bytes: Vec<u8>) -> io::Result<String> {
    String::from_utf8(bytes).map_err(|_| io::Error::new(ErrorKind::InvalidData, "it is not UTF-8 text"))
}

/// Opens a file of our own for reading and writing; made, with mode 0600, where it is missing.
///
/// # Errors
/// Somebody else may have put it there (see the module), or it cannot be opened.
pub fn own(path: &Path) -> io::Result<File> {
    try_own(path).inspect_err(limits::note_exhaustion)
}

fn try_own(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let private = Mode::RUSR | Mode::WUSR;
    // Twice, for one that vanishes or comes between the two.
    loop {
        match fs::symlink_metadata(path) {
            Ok(meta) => check_own(&meta)?,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                match rustix::fs::open(path, flags | OFlags::CREATE | OFlags::EXCL, private) {
                    Ok(made) => {
                        let made = File::from(made);
                        made.set_permissions(Permissions::from_mode(0o600))?;
                        return Ok(made);
                    }
                    Err(Errno::EXIST) => continue,
                    Err(error) => return Err(error.into()),
                }
            }
            Err(error) => return Err(error),
        }
        match rustix::fs::open(path, flags, private) {
            Ok(file) => {
                let file = File::from(file);
                check_own(&file.metadata()?)?;
                return Ok(file);
            }
            Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Refuses a file at `path` that would not be our own; none is fine.
///
/// # Errors
/// It is a link, has other names, is another user's or open to others.
pub fn check_own_file(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(meta) => check_own(&meta),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn check_own(meta: &Metadata) -> io::Result<()> {
    check_plain(meta.file_type())?;
    if meta.nlink() > 1 {
        return Err(refused("it has another name, too (a hard link)"));
    }
    check_owner(meta)
}

/// Makes a folder of our own, with mode 0700, where it is missing, and refuses one that is not.
///
/// # Errors
/// It is a link or no folder, is another user's or open to others, or cannot be made.
pub fn own_folder(path: &Path) -> io::Result<()> {
    if fs::symlink_metadata(path).is_err_and(|error| error.kind() == ErrorKind::NotFound) {
        match DirBuilder::new().recursive(true).mode(0o700).create(path) {
            Ok(()) => fs::set_permissions(path, Permissions::from_mode(0o700))?,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    check_own_folder(path)
}

/// As [`own_folder`], and makes nothing.
///
/// # Errors
/// As of [`own_folder`]; or it is not there.
pub fn check_own_folder(path: &Path) -> io::Result<()> {
    let meta = fs::symlink_metadata(path)?;
    if !meta.is_dir() {
        let why = format!("it is {}, not a folder", name_of(meta.file_type()));
        return Err(io::Error::new(ErrorKind::NotADirectory, why));
    }
    check_owner(&meta)
}

fn check_owner(meta: &Metadata) -> io::Result<()> {
    if !is_trusted(meta.uid()) {
        return Err(refused(&format!(
            "it belongs to another user (uid {}); run as that user, or give it to yours with `chown`",
            meta.uid()
        )));
    }
    if meta.mode() & 0o002 != 0 {
        return Err(refused(&format!(
            "every user may write to it (mode {:03o}); do `chmod o-w` on it",
            meta.mode() & 0o777
        )));
    }
    Ok(())
}

/// Whether this user, or root, has put there what stands at the path itself; false for nothing.
pub fn is_ours(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|meta| is_trusted(meta.uid()))
}

/// This user, root, and who has become root by sudo: as git decides whose a repository may be.
fn is_trusted(owner: u32) -> bool {
    let us = rustix::process::geteuid();
    let sudo = || std::env::var("SUDO_UID").ok().and_then(|uid| uid.parse().ok());
    owner == us.as_raw() || owner == 0 || (us.is_root() && sudo() == Some(owner))
}

fn refused(why: &str) -> io::Error {
    io::Error::new(ErrorKind::PermissionDenied, why)
}

#[cfg(test)]
#[path = "open_tests.rs"]
mod tests;

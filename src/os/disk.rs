//! What kind of file system a folder is on, how much room there is, and files that are written whole or
//! not at all.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::fs::statfs;

/// Magic numbers of file systems whose locks and syncs do not hold what SQLite and we need
/// (`linux/magic.h` and `man 2 statfs`).
const NETWORK: &[(u32, &str)] = &[
    (0x6969, "NFS"),
    (0x517b, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB2"),
    (0x00c3_6400, "Ceph"),
    (0x0bd0_0bd0, "Lustre"),
    (0x4750_4653, "GPFS"),
    (0x0161_1970, "GFS2"),
    (0x7461_636f, "OCFS2"),
    (0x5346_414f, "AFS"),
    (0x7375_7245, "Coda"),
    (0x0102_1997, "9P"),
];

const FUSE: u32 = 0x6573_5546;

/// FUSE alone says nothing (overlay filesystems of containers are FUSE, too); these are remote.
const REMOTE_FUSE: &[&str] =
    &["sshfs", "glusterfs", "s3fs", "rclone", "gcsfuse", "davfs", "curlftpfs", "smbnetfs", "juicefs", "mfs"];

/// The name of the network file system that `path` is on; `None`: it is a local one.
///
/// # Errors
/// There is no such path.
pub fn network_filesystem(path: &Path) -> io::Result<Option<String>> {
    // The width and sign of `f_type` differ between architectures; the numbers have 32 bits.
    let kind = statfs(path)?.f_type as u32;
    if kind == FUSE {
        let Ok(mounts) = fs::read_to_string("/proc/self/mountinfo") else { return Ok(None) };
        return Ok(remote_fuse(&mounts, &path.canonicalize().unwrap_or_else(|_| path.to_owned())));
    }
    Ok(NETWORK.iter().find(|(magic, _)| *magic == kind).map(|(_, name)| (*name).to_owned()))
}

fn remote_fuse(mountinfo: &str, place: &Path) -> Option<String> {
    let kind = mount_type(mountinfo, place)?;
    let remote = REMOTE_FUSE.contains(&kind.strip_prefix("fuse.")?);
    remote.then_some(kind)
}

/// The filesystem type of the mount that `place` is on, from /proc/self/mountinfo (proc(5)).
fn mount_type(mountinfo: &str, place: &Path) -> Option<String> {
    mountinfo
        .lines()
        .filter_map(|line| {
            let (left, right) = line.split_once(" - ")?;
            let point = left.split(' ').nth(4)?.replace("\\040", " ");
            place.starts_with(&point).then(|| (point.len(), right.split(' ').next().unwrap_or_default()))
        })
        // Of mounts on the same point the last one is seen.
        .max_by_key(|(length, _)| *length)
        .map(|(_, kind)| kind.to_owned())
}

/// Bytes that an ordinary user can still write below `path`.
///
/// # Errors
/// There is no such path.
pub fn free_bytes(path: &Path) -> io::Result<u64> {
    let stat = statfs(path)?;
    Ok(stat.f_bavail.saturating_mul(u64::try_from(stat.f_bsize).unwrap_or(0)))
}

/// Makes a file with this text and mode, whole or not at all; it is on disk when this returns.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`], or it cannot be written.
pub fn create(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    temporary(path, text, mode)?.persist_noclobber(path).map_err(|error| error.error)?;
    sync_folder_of(path)
}

/// Puts a file with this text and mode in the place of what is there; at every instant the name holds a
/// whole file, and the new one is on disk when this returns.
///
/// # Errors
/// It cannot be written; then the old one is still there.
pub fn replace(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    temporary(path, text, mode)?.persist(path).map_err(|error| error.error)?;
    sync_folder_of(path)
}

/// As [`replace`], without waiting for the disk: for what is written again soon, and of no use after a power cut.
///
/// # Errors
/// It cannot be written; then the old one is still there.
pub fn swap(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    written(path, text, mode)?.persist(path).map_err(|error| error.error).map(drop)
}

fn temporary(path: &Path, text: &str, mode: u32) -> io::Result<tempfile::NamedTempFile> {
    let file = written(path, text, mode)?;
    file.as_file().sync_all()?;
    Ok(file)
}

fn written(path: &Path, text: &str, mode: u32) -> io::Result<tempfile::NamedTempFile> {
    let mut file = tempfile::Builder::new().prefix(".maand-").tempfile_in(folder_of(path))?;
    file.write_all(text.as_bytes())?;
    file.as_file().set_permissions(Permissions::from_mode(mode))?;
    Ok(file)
}

/// Makes a new name, a rename or a removal in the file's folder durable.
///
/// # Errors
/// The folder cannot be opened, or the disk failed.
pub fn sync_folder_of(path: &Path) -> io::Result<()> {
    File::open(folder_of(path))?.sync_all()
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_temporary_folder_is_local_and_has_room() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(network_filesystem(dir.path()).unwrap(), None);
        assert!(free_bytes(dir.path()).unwrap() > 0);
        assert!(free_bytes(&dir.path().join("missing")).is_err());
    }

    #[test]
    fn the_innermost_mount_counts() {
        let mounts = "22 1 0:20 / / rw - ext4 /dev/sda1 rw\n\
                      30 22 0:30 / /home/a\\040b rw shared:1 - fuse.sshfs host: rw\n";
        assert_eq!(remote_fuse(mounts, Path::new("/home/a b/c")).as_deref(), Some("fuse.sshfs"));
        assert_eq!(remote_fuse(mounts, Path::new("/home")), None);
        let overlay = "22 1 0:20 / / rw - fuse.fuse-overlayfs overlay rw\n";
        assert_eq!(remote_fuse(overlay, Path::new("/home")), None, "containers live on these");
        assert_eq!(mount_type(mounts, Path::new("/home")).as_deref(), Some("ext4"));
    }

    #[test]
    fn a_file_is_made_once_and_replaced_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        create(&path, "one", 0o600).unwrap();
        assert_eq!(create(&path, "two", 0o644).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).unwrap(), "one");
        replace(&path, "three", 0o640).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "three");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");
    }
}

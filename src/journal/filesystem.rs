//! Is the disk fit for a journal: a filesystem whose locks and syncs are real.
//!
//! SQLite's WAL needs memory that the processes of one machine share, and locks that work
//! (<https://sqlite.org/wal.html>: "all processes using a database must be on the same host").

use std::path::Path;

use crate::bucket::disk;

const FUSE: u32 = 0x6573_5546;

/// FUSE alone says nothing (overlay filesystems of containers are FUSE, too); these are remote.
const REMOTE_FUSE: &[&str] =
    &["sshfs", "glusterfs", "s3fs", "rclone", "gcsfuse", "davfs", "curlftpfs", "smbnetfs", "juicefs", "mfs"];

/// The name of the network filesystem that a folder is on.
pub(super) fn network_filesystem(folder: &Path) -> Option<String> {
    // What cannot be seen here: opening the file will fail with better words.
    let (known, stat) = (disk::network_filesystem(folder).ok()?, rustix::fs::statfs(folder).ok()?);
    known.map(str::to_owned).or_else(|| {
        if stat.f_type as u32 != FUSE {
            return None;
        }
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
        let place = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
        remote_fuse(&mounts, &place)
    })
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

#[cfg(test)]
mod tests {
    use super::*;

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
}

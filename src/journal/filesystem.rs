//! Is the disk fit for a journal: room enough, and a filesystem whose locks and syncs are real.
//!
//! SQLite's WAL needs memory that the processes of one machine share, and locks that work
//! (<https://sqlite.org/wal.html>: "all processes using a database must be on the same host").

use std::path::Path;

use crate::bucket::disk;
use crate::plan::Problem;

use super::codes;

const FUSE: u32 = 0x6573_5546;

/// FUSE alone says nothing (overlay filesystems of containers are FUSE, too); these are remote.
const REMOTE_FUSE: &[&str] =
    &["sshfs", "glusterfs", "s3fs", "rclone", "gcsfuse", "davfs", "curlftpfs", "smbnetfs", "juicefs", "mfs"];

/// Refuses a folder on a network filesystem.
pub(super) fn refuse_network(folder: &Path) -> Result<(), Problem> {
    let (Ok(known), Ok(stat)) = (disk::network_filesystem(folder), rustix::fs::statfs(folder)) else {
        // Opening the file will fail with better words.
        return Ok(());
    };
    let found = known.map(str::to_owned).or_else(|| {
        if stat.f_type as u32 != FUSE {
            return None;
        }
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
        let place = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
        remote_fuse(&mounts, &place)
    });
    match found {
        None => Ok(()),
        Some(name) => Err(Problem::error(
            codes::NETWORK,
            format!("{} is on {name}, a filesystem that is shared with other machines", folder.display()),
        )
        .help(
            "locks and syncs do not work reliably there, and a run could be lost or carried out twice; keep the \
             bucket on a local disk of the machine that runs maand",
        )),
    }
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

/// Refuses to start with less than `needed` bytes free.
pub(super) fn check_space(folder: &Path, needed: u64) -> Result<(), Problem> {
    let free = match disk::free_bytes(folder) {
        Ok(free) => free,
        Err(error) => {
            return Err(Problem::error(
                codes::IO,
                format!("cannot see how much room is left in {}: {error}", folder.display()),
            )
            .help("see that the folder exists and can be read"));
        }
    };
    if free >= needed {
        return Ok(());
    }
    let mib = |bytes: u64| bytes.div_ceil(1 << 20);
    Err(Problem::error(
        codes::FULL,
        format!(
            "{} has {} MiB free, and this run may need {} MiB",
            folder.display(),
            free >> 20,
            mib(needed)
        ),
    )
    .help("make room, then try again; nothing has been touched"))
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

    #[test]
    fn too_little_room_is_said_with_numbers() {
        let error = check_space(Path::new("/"), u64::MAX).unwrap_err();
        assert_eq!(error.code, codes::FULL);
        assert!(error.message.contains("MiB free"), "{}", error.message);
        check_space(Path::new("/"), 1).unwrap();
    }
}

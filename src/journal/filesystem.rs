//! Is the disk fit for a journal: room enough, and a filesystem whose locks and syncs are real.

use std::path::Path;

use crate::plan::Problem;

use super::codes;

/// Filesystems that are kept on another machine, by the magic number of statfs(2) (from linux/magic.h
/// and the projects' own headers). SQLite's WAL needs shared memory between the processes of one
/// machine, and locks that work: <https://sqlite.org/wal.html>, "all processes ... on the same host".
const NETWORK: &[(u32, &str)] = &[
    (0x0000_6969, "NFS"),
    (0x0000_517b, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB2"),
    (0x0102_1997, "9p"),
    (0x00c3_6400, "Ceph"),
    (0x5346_414f, "AFS"),
    (0x7375_7245, "Coda"),
    (0x0bd0_0bd0, "Lustre"),
    (0x1983_0326, "BeeGFS"),
    (0x786f_4256, "vboxsf"),
    (0x7461_636f, "OCFS2"),
    (0x0116_1970, "GFS2"),
];

const FUSE: u32 = 0x6573_5546;

/// FUSE alone says nothing (overlay filesystems of containers are FUSE, too); these are remote.
const REMOTE_FUSE: &[&str] =
    &["sshfs", "glusterfs", "s3fs", "rclone", "gcsfuse", "davfs", "curlftpfs", "smbnetfs", "juicefs", "mfs"];

/// Refuses a folder on a network filesystem.
pub(super) fn refuse_network(folder: &Path) -> Result<(), Problem> {
    let Ok(stat) = rustix::fs::statfs(folder) else {
        // Opening the file will fail with better words.
        return Ok(());
    };
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let place = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    match network_name(stat.f_type as u32, || mount_type(&mounts, &place)) {
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

fn network_name(magic: u32, mount_type: impl FnOnce() -> Option<String>) -> Option<String> {
    if magic == FUSE {
        let kind = mount_type()?;
        let sub = kind.strip_prefix("fuse.")?;
        return REMOTE_FUSE.contains(&sub).then(|| kind.clone());
    }
    NETWORK.iter().find(|(known, _)| *known == magic).map(|(_, name)| (*name).to_owned())
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

/// Bytes that this user can still write to the disk that `folder` is on.
pub fn free_space(folder: &Path) -> std::io::Result<u64> {
    let stat = rustix::fs::statvfs(folder)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Refuses to start with less than `needed` bytes free.
pub(super) fn check_space(folder: &Path, needed: u64) -> Result<(), Problem> {
    let free = match free_space(folder) {
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
    fn network_filesystems_are_known_by_number_and_fuse_by_name() {
        let none = || None;
        assert_eq!(network_name(0x6969, none).as_deref(), Some("NFS"));
        assert_eq!(network_name(0xff53_4d42, none).as_deref(), Some("CIFS"));
        assert_eq!(network_name(0xef53, none), None, "ext4");
        assert_eq!(network_name(FUSE, || Some("fuse.sshfs".into())).as_deref(), Some("fuse.sshfs"));
        assert_eq!(network_name(FUSE, || Some("fuse.fuse-overlayfs".into())), None);
        assert_eq!(network_name(FUSE, none), None);
    }

    #[test]
    fn the_innermost_mount_counts() {
        let mounts = "22 1 0:20 / / rw - ext4 /dev/sda1 rw\n\
                      30 22 0:30 / /home/a\\040b rw shared:1 - fuse.sshfs host: rw\n";
        assert_eq!(mount_type(mounts, Path::new("/home/a b/c")).as_deref(), Some("fuse.sshfs"));
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

//! What kind of file system a folder is on, and how much room there is.

use std::io;
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

/// The name of the network file system that `path` is on; `None`: it is a local one. FUSE counts as
/// local: it tells nothing of what is behind it.
pub fn network_filesystem(path: &Path) -> io::Result<Option<&'static str>> {
    // The width and sign of `f_type` differ between architectures; the numbers have 32 bits.
    let kind = statfs(path)?.f_type as u32;
    Ok(NETWORK.iter().find(|(magic, _)| *magic == kind).map(|(_, name)| *name))
}

/// Bytes that an ordinary user can still write below `path`.
pub fn free_bytes(path: &Path) -> io::Result<u64> {
    let stat = statfs(path)?;
    Ok(stat.f_bavail.saturating_mul(u64::try_from(stat.f_bsize).unwrap_or(0)))
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
}

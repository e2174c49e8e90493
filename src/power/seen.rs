//! What a worker has said of its machine when it was last there, kept for when it is not: in a file for each worker, below
//! `data/hardware/` of the bucket. It counts for one boot only, so that no old one is ever taken for what is there now.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Hardware;
use crate::bucket::Host;
use crate::os::{disk, open};

const FOLDER: &str = "hardware";
/// Many times what is written.
const LARGEST: u64 = 16 * 1024;

#[derive(Serialize, Deserialize)]
struct Seen {
    boot_id: String,
    hardware: Hardware,
}

fn file(data: &Path, host: &Host) -> PathBuf {
    data.join(FOLDER).join(format!("{}.json", host.without_colons()))
}

impl Hardware {
    /// Keeps what a worker has said in this boot; `data`: the bucket's folder of that name. It is on disk when this returns.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn keep(&self, data: &Path, host: &Host, boot_id: &str) -> io::Result<()> {
        let seen = Seen { boot_id: boot_id.to_owned(), hardware: self.clone() };
        let text = serde_json::to_string(&seen)?;
        match fs::DirBuilder::new().mode(0o700).create(data.join(FOLDER)) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        disk::replace(&file(data, host), &format!("{text}\n"), 0o600)
    }

    /// What a worker has said in this boot; `None`: it was not asked then, or that cannot be read.
    pub fn kept(data: &Path, host: &Host, boot_id: &str) -> Option<Self> {
        let text = open::read_own(&file(data, host), LARGEST).ok()??;
        let seen: Seen = serde_json::from_str(&text).ok()?;
        (seen.boot_id == boot_id).then_some(seen.hardware)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_counts_for_its_boot_only() {
        let data = tempfile::tempdir().unwrap();
        let host = Host::parse("fd00::1").unwrap();
        let kept = |boot: &str| Hardware::kept(data.path(), &host, boot);
        assert_eq!(kept("a"), None);
        let one = Hardware::read("dmi product_serial CZJ1000ABC\n");
        one.keep(data.path(), &host, "a").unwrap();
        assert_eq!((kept("a"), kept("b")), (Some(one), None));
        Hardware::default().keep(data.path(), &host, "b").unwrap();
        assert_eq!((kept("a"), kept("b")), (None, Some(Hardware::default())));
        fs::write(file(data.path(), &host), "nonsense").unwrap();
        assert_eq!(kept("b"), None);
    }
}

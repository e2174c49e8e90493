//! Is the disk fit for a journal: room enough, and a filesystem whose locks and syncs are real.
//!
//! SQLite's WAL needs memory that the processes of one machine share, and locks that work
//! (<https://sqlite.org/wal.html>: "all processes using a database must be on the same host").

use std::path::Path;

use crate::os::disk;
use crate::plan::Problem;

use super::codes;

/// Refuses a folder on a network filesystem.
pub(super) fn refuse_network(folder: &Path) -> Result<(), Problem> {
    // Where it cannot be told, opening the file will fail with better words.
    let found = disk::network_filesystem(folder).ok().flatten();
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
    fn too_little_room_is_said_with_numbers() {
        let error = check_space(Path::new("/"), u64::MAX).unwrap_err();
        assert_eq!(error.code, codes::FULL);
        assert!(error.message.contains("MiB free"), "{}", error.message);
        check_space(Path::new("/"), 1).unwrap();
    }
}

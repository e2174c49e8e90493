//! Writing a reviewed plan file: whole or not at all, for its owner's eyes, and never over a file of another kind.

use std::fs;
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use super::{Unwritable, is_reviewed};
use crate::os::{disk, open};

/// Enough to recognise a reviewed plan file.
const HEAD: u64 = 4096;

/// Writes a file with mode 0600; it is on disk when this returns. One that is there already is replaced if it is a
/// reviewed plan file, too. `workspace` is the folder that it must not be in.
///
/// # Errors
/// See [`Unwritable`]; nothing has changed then.
pub fn write(path: &Path, bytes: &[u8], workspace: &Path) -> Result<(), Unwritable> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if folder.canonicalize()?.starts_with(workspace.canonicalize()?) {
        return Err(Unwritable::InWorkspace);
    }
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error.into()),
        Ok(meta) => {
            // A link is not followed: what it leads to may be anybody's.
            open::check_plain(meta.file_type()).map_err(|error| Unwritable::NotPlain(error.to_string()))?;
            let mut head = Vec::new();
            open::plain_no_link(path)?.take(HEAD).read_to_end(&mut head)?;
            if !is_reviewed(&head) {
                return Err(Unwritable::Foreign);
            }
        }
    }
    let text = std::str::from_utf8(bytes).map_err(io::Error::other)?;
    Ok(disk::replace(path, text, 0o600)?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn only_reviewed_plan_files_are_replaced() {
        let outer = tempfile::tempdir().unwrap();
        let workspace = outer.path().join("workspace");
        fs::create_dir(&workspace).unwrap();
        let at = |name: &str| outer.path().join(name);
        let bytes = b"{\n \"schema\": \"maand/reviewed/v1\"\n}\n";
        let put = |name: &str| write(&at(name), bytes, &workspace);
        put("new").unwrap();
        assert_eq!(fs::metadata(at("new")).unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(at("new"), fs::Permissions::from_mode(0o644)).unwrap();
        put("new").unwrap();
        assert_eq!(fs::metadata(at("new")).unwrap().permissions().mode() & 0o777, 0o600);

        for foreign in ["", "version: 1\n", "{\"schema\": \"maand/plan-show/v1\"}"] {
            fs::write(at("foreign"), foreign).unwrap();
            assert!(matches!(put("foreign"), Err(Unwritable::Foreign)), "{foreign}");
            assert_eq!(fs::read_to_string(at("foreign")).unwrap(), foreign);
        }
        symlink("new", at("link")).unwrap();
        symlink("none", at("dangling")).unwrap();
        fs::create_dir(at("folder")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, at("pipe"), rustix::fs::FileType::Fifo, 0o600.into(), 0)
            .unwrap();
        for odd in ["link", "dangling", "folder", "pipe"] {
            assert!(matches!(put(odd), Err(Unwritable::NotPlain(_))), "{odd}");
        }
        assert!(matches!(put("none/new"), Err(Unwritable::Io(_))));
        symlink("workspace", at("into")).unwrap();
        for inside in ["workspace/new", "into/new"] {
            assert!(matches!(put(inside), Err(Unwritable::InWorkspace)), "{inside}");
        }
        assert_eq!(fs::read_dir(&workspace).unwrap().count(), 0);
    }
}

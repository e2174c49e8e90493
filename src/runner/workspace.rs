//! One hash over everything in a workspace that a build reads, less `disabled.json`: half a fleet must
//! not get other code by accident while a run is under way.

use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::os::open;

/// SHA-256 in hex over paths, modes and contents below `workspace`, in the order of names. Hidden files
/// at its top (an editor's, git's) do not count, nor does `disabled.json`.
///
/// # Errors
/// The file that could not be read, in the error's text.
pub fn workspace_hash(workspace: &Path) -> io::Result<String> {
    let mut hasher = Sha256::new();
    for name in names(workspace)? {
        if name != "disabled.json" && !name.starts_with('.') && !name.ends_with('~') {
            add(&mut hasher, workspace, &name)?;
        }
    }
    Ok(hex::encode(hasher.finalize()))
}

fn names(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| named(folder, &error))? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

fn add(hasher: &mut Sha256, folder: &Path, name: &str) -> io::Result<()> {
    let path = folder.join(name);
    let meta = fs::symlink_metadata(&path).map_err(|error| named(&path, &error))?;
    let mut field = |bytes: &[u8]| {
        hasher.update((bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    field(name.as_bytes());
    if meta.is_dir() {
        field(b"dir");
        for inner in names(&path)? {
            add(hasher, &path, &inner)?;
        }
        hasher.update(b"end");
    } else if meta.is_symlink() {
        field(b"link");
        field(fs::read_link(&path)?.to_string_lossy().as_bytes());
    } else {
        field(if meta.permissions().mode() & 0o111 == 0 { b"file" } else { b"exec" });
        add_content(hasher, &path).map_err(|error| named(&path, &error))?;
    }
    Ok(())
}

/// Its length and its bytes, piece by piece: it may be larger than the memory.
fn add_content(hasher: &mut Sha256, path: &Path) -> io::Result<()> {
    let file = open::plain_no_link(path)?;
    let length = file.metadata()?.len();
    hasher.update(length.to_le_bytes());
    let mut content = BufReader::with_capacity(64 * 1024, file.take(length));
    loop {
        let piece = content.fill_buf()?;
        if piece.is_empty() {
            return Ok(());
        }
        hasher.update(piece);
        let read = piece.len();
        content.consume(read);
    }
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_build_reads_counts_and_what_it_does_not_read_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("jobs/api")).unwrap();
        fs::write(at("jobs/api/Makefile"), "start:\n").unwrap();
        let hash = || workspace_hash(folder.path()).unwrap();
        let first = hash();
        fs::write(at("disabled.json"), "{}").unwrap();
        fs::write(at(".workers.json.swp"), "x").unwrap();
        assert_eq!(hash(), first);
        fs::write(at("jobs/api/Makefile"), "start: \n").unwrap();
        let second = hash();
        assert_ne!(second, first);
        fs::rename(at("jobs/api/Makefile"), at("jobs/api/makefile")).unwrap();
        assert_ne!(hash(), second);
    }
}

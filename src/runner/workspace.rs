//! One hash over everything in a workspace that a build reads, less `disabled.json`: half a fleet must
//! not get other code by accident while a run is under way.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::bucket::{WorkspaceDifference, WorkspaceFiles};
use crate::os::open;

/// A workspace at one moment, as deploys are held to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkspaceState {
    /// SHA-256 in hex over paths, modes and contents, less `disabled.json` and hidden files at its top.
    pub hash: String,
    /// What a later look is compared with, to name what differs; `None`: a run of an earlier version has kept none.
    pub files: Option<WorkspaceFiles>,
}

impl WorkspaceState {
    /// What is there now.
    ///
    /// # Errors
    /// The file that could not be read, in the error's text.
    pub fn read(workspace: &Path) -> io::Result<Self> {
        let mut files = BTreeMap::new();
        let hash = look(workspace, &mut Some(&mut files))?;
        Ok(Self { hash, files: Some(WorkspaceFiles::of(files)) })
    }

    /// Where the workspace `now` differs; empty where that is not known.
    pub fn differences(&self, now: &Self) -> Vec<WorkspaceDifference> {
        let both = self.files.as_ref().zip(now.files.as_ref());
        both.map_or_else(Vec::new, |(files, now)| files.differences(now))
    }
}

/// SHA-256 in hex over paths, modes and contents below `workspace`, in the order of names. Hidden files
/// at its top (an editor's, git's) do not count, nor does `disabled.json`.
///
/// # Errors
/// The file that could not be read, in the error's text.
pub(super) fn workspace_hash(workspace: &Path) -> io::Result<String> {
    look(workspace, &mut None)
}

/// Of each file its path and its own hash.
type Files<'a> = Option<&'a mut BTreeMap<String, String>>;

fn look(workspace: &Path, files: &mut Files<'_>) -> io::Result<String> {
    let mut hasher = Sha256::new();
    for name in names(workspace)? {
        let shown = name.to_string_lossy();
        if shown != "disabled.json" && !shown.starts_with('.') && !shown.ends_with('~') {
            add(&mut hasher, workspace, &name, "", files)?;
        }
    }
    Ok(hex::encode(hasher.finalize()))
}

fn names(folder: &Path) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| named(folder, &error))? {
        names.push(entry?.file_name());
    }
    names.sort();
    Ok(names)
}

/// Adds what stands there to the hash of all, and to `files` by its path, which begins with `prefix`.
fn add(
    hasher: &mut Sha256,
    folder: &Path,
    name: &OsStr,
    prefix: &str,
    files: &mut Files<'_>,
) -> io::Result<()> {
    let path = folder.join(name);
    let meta = fs::symlink_metadata(&path).map_err(|error| named(&path, &error))?;
    field(hasher, name.as_bytes());
    let below = format!("{prefix}{}", name.to_string_lossy());
    if meta.is_dir() {
        field(hasher, b"dir");
        for inner in names(&path)? {
            add(hasher, &path, &inner, &format!("{below}/"), files)?;
        }
        hasher.update(b"end");
        return Ok(());
    }
    // Of the file alone, where it is asked for.
    let mut own = files.is_some().then(Sha256::new);
    let mut both = |bytes: &[u8]| {
        field(hasher, bytes);
        own.iter_mut().for_each(|own| field(own, bytes));
    };
    if meta.is_symlink() {
        both(b"link");
        both(fs::read_link(&path)?.as_os_str().as_bytes());
    } else {
        both(if meta.permissions().mode() & 0o111 == 0 { b"file" } else { b"exec" });
        add_content(&mut [Some(hasher), own.as_mut()], &path).map_err(|error| named(&path, &error))?;
    }
    if let (Some(files), Some(own)) = (files, own) {
        files.insert(below, hex::encode(own.finalize()));
    }
    Ok(())
}

fn field(hasher: &mut Sha256, bytes: &[u8]) {
    hasher.update((bytes.len() as u64).to_le_bytes());
    hasher.update(bytes);
}

/// Its length and its bytes, piece by piece: it may be larger than the memory.
fn add_content(hashers: &mut [Option<&mut Sha256>; 2], path: &Path) -> io::Result<()> {
    let file = open::plain_no_link(path)?;
    let length = file.metadata()?.len();
    let mut update = |bytes: &[u8]| hashers.iter_mut().flatten().for_each(|hasher| hasher.update(bytes));
    update(&length.to_le_bytes());
    let mut content = BufReader::with_capacity(64 * 1024, file.take(length));
    loop {
        let piece = content.fill_buf()?;
        if piece.is_empty() {
            return Ok(());
        }
        update(piece);
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
        let state = || WorkspaceState::read(folder.path()).unwrap();
        let began = state();
        assert_eq!(began.hash, first, "one look or the other");
        fs::write(at("disabled.json"), "{}").unwrap();
        fs::write(at(".workers.json.swp"), "x").unwrap();
        assert_eq!(hash(), first);
        fs::write(at("jobs/api/Makefile"), "start: \n").unwrap();
        let second = hash();
        assert_ne!(second, first);
        fs::rename(at("jobs/api/Makefile"), at("jobs/api/makefile")).unwrap();
        assert_ne!(hash(), second);
        fs::write(at("jobs/api/notes\n"), "x").unwrap();
        std::os::unix::fs::symlink("/nowhere", at("jobs/api/link")).unwrap();
        let lines: Vec<String> = began.differences(&state()).iter().map(WorkspaceDifference::line).collect();
        assert_eq!(lines, ["api: Makefile removed, link added, makefile added and 1 more"]);
        assert!(WorkspaceState::default().differences(&state()).is_empty(), "of an earlier version");
    }

    #[test]
    fn the_hash_is_the_one_of_earlier_versions() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("jobs/api")).unwrap();
        fs::write(at("jobs/api/Makefile"), "start:\n").unwrap();
        std::os::unix::fs::symlink("Makefile", at("jobs/api/link")).unwrap();
        fs::set_permissions(at("jobs/api/Makefile"), fs::Permissions::from_mode(0o644)).unwrap();
        // Worked out by the version before this one: runs of it are resumed.
        assert_eq!(
            workspace_hash(folder.path()).unwrap(),
            "d8636b5b5661f4f4cad1b11340415c4dc8290672173d093d7a414e17b700245e"
        );
    }
}

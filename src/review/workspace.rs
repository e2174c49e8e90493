//! The files of a workspace, each by its hash, so that the one that has changed can be named.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::os::hash::{sha256, sha256_of_file};

/// A file below `workspace/`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkspaceFile {
    /// Its path below `workspace/`.
    pub path: String,
    /// `file`, `exec` (a file that may be executed), `link` or `dir` (an empty folder, too).
    pub kind: String,
    /// SHA-256 of its content, or of what a link says; none of a folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// What a build reads, less `disabled.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Workspace {
    /// One hash of all of it, which deploys of the run are held to.
    pub hash: String,
    /// Each file and folder, by path.
    pub files: Vec<WorkspaceFile>,
}

/// What counts for the one hash of a workspace, one by one.
///
/// # Errors
/// One of them cannot be read; the error says which.
pub fn workspace_files(workspace: &Path) -> io::Result<Vec<WorkspaceFile>> {
    let mut files = Vec::new();
    for name in names(workspace)? {
        if name != "disabled.json" && !name.starts_with('.') && !name.ends_with('~') {
            add(&mut files, workspace, &name, &name)?;
        }
    }
    Ok(files)
}

fn names(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| named(folder, &error))? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

fn add(files: &mut Vec<WorkspaceFile>, folder: &Path, name: &str, shown: &str) -> io::Result<()> {
    let path = folder.join(name);
    let meta = fs::symlink_metadata(&path).map_err(|error| named(&path, &error))?;
    let mut file = |kind: &str, sha256: Option<String>| {
        files.push(WorkspaceFile { path: shown.to_owned(), kind: kind.to_owned(), sha256 });
    };
    if meta.is_dir() {
        file("dir", None);
        for inner in names(&path)? {
            add(files, &path, &inner, &format!("{shown}/{inner}"))?;
        }
    } else if meta.is_symlink() {
        let target = fs::read_link(&path).map_err(|error| named(&path, &error))?;
        file("link", Some(sha256(target.to_string_lossy().as_bytes())));
    } else {
        let kind = if meta.permissions().mode() & 0o111 == 0 { "file" } else { "exec" };
        file(kind, sha256_of_file(&path).map_err(|error| named(&path, &error))?);
    }
    Ok(())
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

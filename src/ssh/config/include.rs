//! Files of the configuration: which ones an `Include` means, and whether one may be read.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use super::ConfigError;
use crate::os::{Glob, open};

/// Bytes of a file of settings that are read.
const LONGEST: u64 = 4 << 20;

/// Reads a file as OpenSSH does: `None` when it is not there, nothing from a folder. With `checked`, one
/// that belongs to somebody else, or that others can write, is an error (`readconf.c`, SSHCONF_CHECKPERM).
pub(super) fn read(file: &Path, checked: bool) -> Result<Option<String>, ConfigError> {
    let unreadable = |error: io::Error| ConfigError::Unreadable {
        file: file.display().to_string(),
        why: error.to_string(),
    };
    let metadata = match fs::metadata(file) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error)),
    };
    let us = rustix::process::getuid().as_raw();
    let foreign = metadata.uid() != 0 && metadata.uid() != us;
    if checked && (foreign || metadata.mode() & 0o022 != 0) {
        return Err(ConfigError::Unsafe {
            file: file.display().to_string(),
            owner: metadata.uid(),
            mode: metadata.mode() & 0o7777,
            repair: if foreign { "chown it to yourself" } else { "do `chmod go-w` on it" },
        });
    }
    if metadata.is_dir() {
        return Ok(Some(String::new()));
    }
    let bytes = open::plain(file).and_then(|file| open::read_all(&file, LONGEST)).map_err(unreadable)?;
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

/// The paths that a pattern of glob(7) means, in their order; a name without wildcards means itself.
pub(super) fn glob(pattern: &Path) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    for component in pattern.components() {
        match component {
            Component::Normal(name) if is_pattern(&name.to_string_lossy()) => {
                let name = name.to_string_lossy();
                found = found.iter().flat_map(|folder| matching(folder, &name)).collect();
            }
            other => {
                found.iter_mut().for_each(|path| path.push(other));
                if found.len() > 1 {
                    found.retain(|path| path.exists());
                }
            }
        }
    }
    found.sort();
    found
}

fn is_pattern(name: &str) -> bool {
    name.contains(['*', '?', '['])
}

fn matching(folder: &Path, pattern: &str) -> Vec<PathBuf> {
    let Ok(glob) = Glob::parse(pattern) else { return Vec::new() };
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            glob.is_match(&name) && (pattern.starts_with('.') || !name.starts_with('.'))
        })
        .map(|entry| entry.path())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_in_folders_and_in_names() {
        let top = tempfile::tempdir().unwrap();
        for file in ["a/one.conf", "b/two.conf", "b/.hidden.conf", "b/three.txt", "c{d}/four.conf"] {
            fs::create_dir_all(top.path().join(file).parent().unwrap()).unwrap();
            fs::write(top.path().join(file), "").unwrap();
        }
        fs::create_dir(top.path().join("b/folder.conf")).unwrap();
        let found = |pattern: &str| -> Vec<String> {
            glob(&top.path().join(pattern))
                .iter()
                .map(|path| path.strip_prefix(top.path()).unwrap().display().to_string())
                .collect()
        };
        assert_eq!(found("*/*.conf"), ["a/one.conf", "b/folder.conf", "b/two.conf", "c{d}/four.conf"]);
        assert_eq!(found("[ab]/t??.conf"), ["b/two.conf"]);
        assert_eq!(found("*/one.conf"), ["a/one.conf"]);
        assert_eq!(found("c{d}/*"), ["c{d}/four.conf"]);
        assert_eq!(found("b/.h*"), ["b/.hidden.conf"]);
        assert_eq!(found("no/*"), [] as [&str; 0]);
        assert_eq!(found("no"), ["no"]);
    }
}

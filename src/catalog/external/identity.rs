//! Which file is the upstream program, and never this one: not under another name, not as a link, not
//! as a copy or another build of it.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::plan::Problem;

/// Set in the environment of the upstream program, and so of everything that it starts. Where it is set
/// no external operation begins: whatever stands for the upstream program has led back to this one.
pub const DEPTH: &str = "MAAND_EXTERNAL_DEPTH";

/// The upstream program has the same name as this one.
pub(super) const NAME: &str = "maand";
/// In every build of this program, and in no other: copies know each other by it.
const MARK: &[u8] = b"maand-mark:plans-applies-resumes:7b1f0e62-2c0e-4d1c-9a55-8f3d1a6f2e90";
/// Read at once while looking for the mark.
const CHUNK: usize = 1 << 20;

/// The upstream program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Where it is, absolute.
    pub path: PathBuf,
    /// How it was found, for `maand info`.
    pub found: String,
}

impl Program {
    /// Finds it: `named` (`--maand-bin`, `MAAND_BIN`), else the first `maand` in `path` (as in `$PATH`)
    /// that is not this program.
    ///
    /// # Errors
    /// What was looked at, and what to do.
    pub fn find(named: Option<&Path>, path: &std::ffi::OsStr) -> Result<Self, Problem> {
        let mut looked_at = Vec::new();
        if let Some(named) = named {
            let bare = named.components().count() == 1 && !named.exists();
            let places: Vec<PathBuf> = if bare { on_path(path, named) } else { vec![named.to_path_buf()] };
            for place in places {
                match usable(&place) {
                    Ok(()) => return Ok(Self::at(&place, "--maand-bin or MAAND_BIN".to_owned())),
                    Err(why) => looked_at.push(format!("{}: {why}", place.display())),
                }
            }
            if looked_at.is_empty() {
                looked_at.push(format!("{}: not on PATH", named.display()));
            }
            return Err(Problem::error(
                "maand::external::no_program",
                format!("that is not the upstream maand program: {}", looked_at.join("; ")),
            )
            .help("name the upstream program with --maand-bin FILE or MAAND_BIN, or leave both out to search PATH"));
        }
        for place in on_path(path, Path::new(NAME)) {
            match usable(&place) {
                Ok(()) => return Ok(Self::at(&place, "the first other maand on PATH".to_owned())),
                Err("not there") => {}
                Err(why) => looked_at.push(format!("{} ({why})", place.display())),
            }
        }
        let seen = match looked_at.len() {
            0 => "there is none on PATH".to_owned(),
            _ => format!("looked at {}", looked_at.join(", ")),
        };
        Err(Problem::error(
            "maand::external::no_program",
            format!("this bucket needs the upstream maand program, and it was not found: {seen}"),
        )
        .help("install it on PATH (before or behind this program), or name it with --maand-bin FILE or MAAND_BIN"))
    }

    fn at(place: &Path, found: String) -> Self {
        Self { path: std::path::absolute(place).unwrap_or_else(|_| place.to_path_buf()), found }
    }
}

/// Refuses to start the upstream program below itself.
///
/// # Errors
/// Where [`DEPTH`] is set.
pub fn refuse_nested() -> Result<(), Problem> {
    match std::env::var_os(DEPTH) {
        None => Ok(()),
        Some(_) => Err(Problem::error(
            "maand::external::nested",
            "an operation of the upstream program has led back to this program, which would start it again",
        )
        .help(format!(
            "name the real upstream program with --maand-bin or MAAND_BIN; a job's hook calls it by its own path ({DEPTH} is set here)"
        ))),
    }
}

fn on_path(path: &std::ffi::OsStr, name: &Path) -> Vec<PathBuf> {
    // An empty entry means the current folder; a program from there would be an accident.
    std::env::split_paths(path)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(name))
        .collect()
}

fn usable(place: &Path) -> Result<(), &'static str> {
    let meta = fs::metadata(place).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => "not there",
        _ => "cannot be looked at",
    })?;
    if !meta.is_file() {
        return Err("not a file");
    }
    if meta.permissions().mode() & 0o111 == 0 {
        return Err("not executable");
    }
    let ours = fs::metadata("/proc/self/exe").or_else(|_| fs::metadata(std::env::current_exe()?));
    let same_file = ours.is_ok_and(|ours| (ours.dev(), ours.ino()) == (meta.dev(), meta.ino()));
    if same_file {
        Err("this program")
    } else if has_mark(place) {
        Err("a copy of this program")
    } else {
        Ok(())
    }
}

/// Whether the mark is in the file. Only compiled programs are searched: a script that mentions it is
/// no copy of us.
pub(super) fn has_mark(place: &Path) -> bool {
    let Ok(mut file) = File::open(place) else { return false };
    let mut buffer = Vec::with_capacity(CHUNK + MARK.len());
    loop {
        let first = buffer.is_empty();
        let read = file.by_ref().take(CHUNK as u64).read_to_end(&mut buffer);
        if first && !buffer.starts_with(b"\x7fELF") {
            return false;
        }
        if contains(&buffer, MARK) {
            return true;
        }
        if !matches!(read, Ok(1..)) {
            return false;
        }
        let keep = buffer.len().saturating_sub(MARK.len() - 1);
        buffer.drain(..keep);
    }
}

/// Horspool's search: looks at about one byte in `needle.len()`.
fn contains(text: &[u8], needle: &[u8]) -> bool {
    let mut skip = [needle.len(); 256];
    for (at, byte) in needle.iter().enumerate().take(needle.len() - 1) {
        skip[usize::from(*byte)] = needle.len() - 1 - at;
    }
    let mut at = 0;
    while let Some(window) = text.get(at..at + needle.len()) {
        if window == needle {
            return true;
        }
        at += skip[usize::from(window[needle.len() - 1])];
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
        fs::create_dir_all(folder).unwrap();
        let path = folder.join(name);
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    #[test]
    fn this_program_is_passed_over_under_every_disguise() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b, c, d, e) = ("a", "b", "c", "d", "e");
        let at = |name: &str| folder.path().join(name);
        let own = std::env::current_exe().unwrap();
        fs::create_dir_all(at(a)).unwrap();
        std::os::unix::fs::symlink(&own, at(a).join("maand")).unwrap();
        fs::create_dir_all(at(b)).unwrap();
        if fs::hard_link(&own, at(b).join("maand")).is_err() {
            fs::copy(&own, at(b).join("maand")).unwrap();
        }
        fs::create_dir_all(at(c)).unwrap();
        fs::copy(&own, at(c).join("maand")).unwrap();
        // Another build of ours.
        let mut other = b"\x7fELF".to_vec();
        other.resize(CHUNK - 10, 0);
        other.extend_from_slice(MARK);
        program(&at(d), "maand", &other);
        fs::create_dir_all(at(e).join("maand")).unwrap();
        let real = program(&at("f"), "maand", b"#!/bin/sh\nexit 0\n");
        let path = |names: &[&str]| std::env::join_paths(names.iter().map(|name| at(name))).unwrap();

        let found = Program::find(None, &path(&[a, b, c, d, e, "f"])).unwrap();
        assert_eq!(found.path, real);
        let problem = Program::find(None, &path(&[a, b, c, d, e])).unwrap_err();
        assert_eq!(problem.code, "maand::external::no_program");
        assert_eq!(problem.message.matches("this program").count(), 4, "{}", problem.message);
        assert!(Program::find(None, std::ffi::OsStr::new("")).is_err());
    }

    #[test]
    fn a_named_program_is_the_one_or_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let real = program(folder.path(), "upstream", b"#!/bin/sh\n");
        let path = folder.path().as_os_str();
        assert_eq!(Program::find(Some(&real), path).unwrap().path, real);
        assert_eq!(Program::find(Some(Path::new("upstream")), path).unwrap().path, real);
        fs::set_permissions(&real, fs::Permissions::from_mode(0o644)).unwrap();
        for (named, why) in [
            (real.as_path(), "not executable"),
            (folder.path(), "not a file"),
            (Path::new("/nowhere/maand"), "not there"),
            (Path::new("nowhere"), "not there"),
            (Path::new("/proc/self/exe"), "this program"),
        ] {
            let problem = Program::find(Some(named), path).unwrap_err();
            assert!(problem.message.contains(why), "{}", problem.message);
        }
    }

    #[test]
    fn the_search_finds_what_is_there() {
        assert!(contains(b"xxabcabdxx", b"abcabd"));
        assert!(contains(b"abcabd", b"abcabd"));
        assert!(!contains(b"abcab", b"abcabd"));
        assert!(!contains(b"", b"abcabd"));
        assert!(contains(b"abcababcabd", b"abcabd"));
    }
}

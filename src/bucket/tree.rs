//! The files of one job as they travel to a worker: everything below its folder but `data/`, `logs/`
//! and `bin/`, which belong to the worker.
//!
//! Symbolic links are sent as links and never followed, as rsync does upstream: a link cannot make us read
//! something outside of the job. Pipes, sockets and devices are refused.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use crate::os::open;
use crate::plan::{Problem, Problems};

/// More entries than this in one job are refused: it is some other folder by mistake.
const MAX_ENTRIES: usize = 100_000;
/// So many bytes, too: all of them are read at each build and sent to each worker.
const MAX_BYTES: u64 = 16 << 30;
/// And a file with larger holes: it has no bytes that anybody wrote, and may have terabytes of none.
const MAX_HOLES: u64 = 64 << 20;
/// Problems of one job that are listed.
const MAX_PROBLEMS: usize = 50;
/// So deep, too.
const MAX_DEPTH: usize = 64;
/// What belongs to the worker at the top of a job's folder, whatever it is here: no deploy reads, moves
/// or removes it.
pub const WORKERS_OWN: [&str; 3] = ["data", "logs", "bin"];

/// One entry of a job's tree.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct JobFile {
    /// Relative to the job's folder, with `/`; valid UTF-8.
    pub path: String,
    /// What it is.
    pub kind: JobFileKind,
    /// 0644, 0755, 0600 or 0700; 0777 for links.
    pub mode: u32,
}

/// What an entry of a job's tree is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum JobFileKind {
    /// A folder.
    Folder,
    /// A plain file.
    File,
    /// A symbolic link, sent as it is.
    Link {
        /// Where it points, unresolved.
        target: String,
    },
}

/// The tree of a job sorted by path, folders before what is in them. All that cannot be sent is
/// reported together; `name` is the folder as messages show it.
pub fn walk(folder: &Path, name: &str) -> Result<Vec<JobFile>, Problems> {
    let mut walk = Walk { found: Vec::new(), bytes: 0, refused: 0, problems: Problems::new(), name };
    walk.folder(folder, "", 0);
    walk.found.sort();
    if walk.problems.has_errors() { Err(walk.problems) } else { Ok(walk.found) }
}

struct Walk<'a> {
    found: Vec<JobFile>,
    bytes: u64,
    refused: usize,
    problems: Problems,
    name: &'a str,
}

impl Walk<'_> {
    /// Notes a problem; after the last that is listed the walk ends.
    fn refuse(&mut self, path: &str, why: &str, help: &str) {
        self.refused += 1;
        if self.is_over() {
            let message = format!("{} has more that cannot be sent; it is not listed", self.name);
            self.problems.push(Problem::error("maand::bucket::job_file", message).help(help));
            return;
        }
        let message = format!("{} {why}", [self.name, path].join("/").trim_end_matches('/'));
        self.problems.push(Problem::error("maand::bucket::job_file", message).help(help));
    }

    /// Whether enough is wrong: looking on would cost time and tell nothing.
    fn is_over(&self) -> bool {
        self.refused > MAX_PROBLEMS
    }

    /// All that is wrong is that there is too much of it.
    fn refuse_all(&mut self, why: &str) {
        self.refuse("", why, "is this the right folder for a job?");
        self.refused = MAX_PROBLEMS + 1;
    }

    fn add(&mut self, path: String, kind: JobFileKind, mode: u32) {
        if self.found.len() == MAX_ENTRIES {
            return self.refuse_all(&format!("has more than {MAX_ENTRIES} files and folders"));
        }
        self.found.push(JobFile { path, kind, mode });
    }

    fn folder(&mut self, folder: &Path, prefix: &str, depth: usize) {
        if depth > MAX_DEPTH {
            let why = format!("is more than {MAX_DEPTH} folders deep");
            return self.refuse(prefix, &why, "is this the right folder for a job?");
        }
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) => {
                return self.refuse(prefix, &format!("cannot be read: {error}"), "check its permissions");
            }
        };
        for entry in entries {
            if self.is_over() {
                return;
            }
            match entry {
                Ok(entry) => self.entry(&entry, prefix, depth),
                Err(error) => self.refuse(prefix, &format!("cannot be read: {error}"), "try again"),
            }
        }
    }

    fn entry(&mut self, entry: &fs::DirEntry, prefix: &str, depth: usize) {
        let raw = entry.file_name();
        let Some(name) = raw.to_str().filter(|name| !name.chars().any(char::is_control)) else {
            let shown = format!("{prefix}{}", raw.to_string_lossy().escape_debug());
            return self.refuse(&shown, "has a name that is not plain UTF-8 text", "rename it");
        };
        let path = format!("{prefix}{name}");
        let meta = match entry.metadata() {
            Ok(meta) => meta,
            Err(error) => {
                return self.refuse(&path, &format!("cannot be read: {error}"), "check its permissions");
            }
        };
        let kind = meta.file_type();
        if prefix.is_empty() && WORKERS_OWN.contains(&name) {
            return;
        }
        let mode = plain_mode(meta.permissions().mode(), kind.is_dir());
        if kind.is_dir() {
            self.add(path.clone(), JobFileKind::Folder, mode);
            self.folder(&entry.path(), &format!("{path}/"), depth + 1);
        } else if kind.is_file() {
            self.file(&path, &entry.path(), &meta);
            self.add(path, JobFileKind::File, mode);
        } else if kind.is_symlink() {
            match fs::read_link(entry.path()).ok().and_then(|target| target.to_str().map(str::to_owned)) {
                Some(target) => self.add(path, JobFileKind::Link { target }, 0o777),
                None => self.refuse(&path, "is a link whose target cannot be read as text", "remove it"),
            }
        } else {
            self.refuse(&path, "is neither a file nor a folder nor a link", "remove it");
        }
    }
}

impl Walk<'_> {
    /// The size of a file must be that of something that was written.
    fn file(&mut self, path: &str, full: &Path, meta: &fs::Metadata) {
        self.bytes = self.bytes.saturating_add(meta.len());
        // Compressed files have few blocks, too, so only the holes themselves tell.
        let unwritten = meta.len().saturating_sub(meta.blocks().saturating_mul(512));
        if unwritten > MAX_HOLES
            && open::plain_no_link(full).is_ok_and(|file| open::has_holes(&file, MAX_HOLES))
        {
            let why = format!("is a sparse file: most of its {} bytes are holes", meta.len());
            self.refuse(path, &why, "remove it, or make it on the worker");
        } else if self.bytes > MAX_BYTES {
            self.refuse_all(&format!("has more than {} GiB of files", MAX_BYTES >> 30));
        }
    }
}

/// One of four modes, from the bits that a version control system and a umask leave alone.
fn plain_mode(mode: u32, folder: bool) -> u32 {
    let executable = folder || mode & 0o100 != 0;
    let private = mode & 0o004 == 0;
    match (executable, private) {
        (false, false) => 0o644,
        (true, false) => 0o755,
        (false, true) => 0o600,
        (true, true) => 0o700,
    }
}

/// What is in the folders that belong to the worker, and so stays behind: said, as a job that is started from
/// its own `bin/` misses it there.
pub(super) fn left_behind(folder: &Path, name: &str) -> Vec<Problem> {
    let filled = |own: &&str| {
        let path = folder.join(own);
        match fs::read_dir(&path) {
            Ok(mut entries) => entries.next().is_some(),
            Err(_) => fs::symlink_metadata(&path).is_ok(),
        }
    };
    let problem = |own: &str| {
        Problem::warning(
            "maand::bucket::workers_own",
            format!("{name}/{own} belongs to the worker: what is in it here is not deployed"),
        )
        .help("move it to a folder of another name; data/, logs/ and bin/ exist on workers only")
    };
    WORKERS_OWN.into_iter().filter(filled).map(problem).collect()
}

/// Features of upstream in the tree that the built-in engine does not have, by name.
pub(super) fn unsupported(files: &[JobFile]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for file in files {
        let path = file.path.as_str();
        let name = path.rsplit('/').next().unwrap_or(path);
        if name.ends_with(".tpl") {
            found.insert(format!("template {path}"));
        }
        if path == "vars.toml" {
            found.insert("key-value store (vars.toml)".to_owned());
        }
        if path == "_prometheus" || path.starts_with("_prometheus/") {
            found.insert("Prometheus files (_prometheus)".to_owned());
        }
        let script = [".py", ".ts", ".js"].iter().any(|ending| name.ends_with(ending));
        let module = path.starts_with("_modules/") || path.starts_with("modules/");
        if module && script && name.starts_with("command_") {
            found.insert(format!("job command {path}"));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workers_own_folders_stay_and_links_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["data", "conf/data"] {
            fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        for file in ["Makefile", "data/x", "conf/data/y", "conf/a.tpl"] {
            fs::write(dir.path().join(file), "x").unwrap();
        }
        std::os::unix::fs::symlink("/etc", dir.path().join("link")).unwrap();
        std::os::unix::fs::symlink("/usr/bin", dir.path().join("bin")).unwrap();
        let files = walk(dir.path(), "api").unwrap();
        let paths: Vec<_> = files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, ["Makefile", "conf", "conf/a.tpl", "conf/data", "conf/data/y", "link"]);
        assert_eq!(files[5].kind, JobFileKind::Link { target: "/etc".to_owned() });
        assert_eq!(unsupported(&files), BTreeSet::from(["template conf/a.tpl".to_owned()]));
    }

    #[test]
    fn what_stays_behind_is_said() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("logs")).unwrap();
        assert!(left_behind(dir.path(), "api").is_empty(), "empty folders are often kept in git");
        fs::create_dir(dir.path().join("bin")).unwrap();
        fs::write(dir.path().join("bin/app"), "x").unwrap();
        let said = left_behind(dir.path(), "api");
        assert_eq!(said.len(), 1);
        assert!(said[0].message.contains("api/bin"), "{said:?}");
    }

    #[test]
    fn a_pipe_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let mode = rustix::fs::Mode::RUSR;
        rustix::fs::mknodat(rustix::fs::CWD, dir.path().join("p"), rustix::fs::FileType::Fifo, mode, 0)
            .unwrap();
        let problems = walk(dir.path(), "api").unwrap_err();
        assert!(problems.iter().next().unwrap().message.contains("api/p"));
    }
}

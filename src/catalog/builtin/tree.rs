//! The files of a job with their content: its hash, and the tar stream that carries them.
//!
//! Which files there are says [`crate::bucket::walk`]. Owners and times are left out and modes are brought to
//! two, so that two checkouts of one commit have one hash.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::bucket::{self, JobFile, JobFileKind};
use crate::os::hash::sha256_watched;
use crate::os::open;
use crate::plan::{Problem, Problems};

/// The last entry of every stream. A stream that ends between two entries is a whole archive to
/// some versions of tar, so the worker looks for this one before it uses anything.
pub(crate) const END_ENTRY: &str = ".maand-end";

/// What a path in a job's folder is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// A regular file: SHA-256 of its content in hex.
    File(String),
    /// A symbolic link: where it points.
    Link(String),
    /// A folder.
    Folder,
}

/// One path in a job's folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// What it is.
    pub(crate) kind: Kind,
    /// 0755, or 0700 for what is private in the workspace.
    pub(crate) mode: u32,
}

impl Entry {
    /// Others may not read it.
    pub(crate) fn is_private(&self) -> bool {
        !matches!(self.kind, Kind::Link(_)) && self.mode & 0o077 == 0
    }
}

/// All of a job's folder, by path relative to it, with `/` between the parts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Tree(pub(crate) BTreeMap<String, Entry>);

/// A file that cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{}: {why}", path.display())]
pub(crate) struct FileError {
    path: PathBuf,
    why: io::Error,
}

impl FileError {
    fn at(path: &Path) -> impl Fn(io::Error) -> Self {
        move |why| Self { path: path.to_owned(), why }
    }
}

/// Who may read a file may run it: the upstream program gives every file of a job 0755, and Makefiles rely on it.
fn runnable(mode: u32) -> u32 {
    mode | (mode & 0o444) >> 2
}

impl Tree {
    /// Reads a job's folder; `each` is told of the bytes of each piece that was read, and ends it with its error.
    ///
    /// # Errors
    /// All that cannot be sent to a worker.
    pub(crate) fn read(folder: &Path, each: &mut dyn FnMut(u64) -> io::Result<()>) -> Result<Self, Problems> {
        let mut problems = Problems::new();
        let mut entries = BTreeMap::new();
        for JobFile { path, kind, mode } in bucket::walk(folder, &folder.display().to_string())? {
            if path == END_ENTRY {
                let message = format!("{}/{path}: this name is used by maand itself", folder.display());
                problems.push(Problem::error("maand::catalog::job_files", message).help("rename it"));
                continue;
            }
            let kind = match kind {
                JobFileKind::Folder => Kind::Folder,
                JobFileKind::Link { target } => Kind::Link(target),
                JobFileKind::File => match file_hash(&folder.join(&path), each) {
                    Ok(digest) => Kind::File(digest),
                    Err(error) => {
                        let problem = Problem::error("maand::catalog::job_files", error.to_string())
                            .help("make it readable, or move it out of the job's folder");
                        problems.push(problem);
                        // The rest would end in the same way.
                        if error.why.kind() == io::ErrorKind::Interrupted {
                            return Err(problems);
                        }
                        continue;
                    }
                },
            };
            entries.insert(path, Entry { kind, mode: runnable(mode) });
        }
        problems.into_result()?;
        Ok(Self(entries))
    }

    /// The content hash: SHA-256 over paths, kinds, modes and contents, and over `extra`, which is
    /// whatever else makes a difference to the job (its ports). Each part is prefixed by its length.
    pub(crate) fn hash(&self, extra: &str) -> String {
        let mut hasher = Sha256::new();
        let mut part = |text: &str| {
            hasher.update((text.len() as u64).to_be_bytes());
            hasher.update(text.as_bytes());
        };
        for (path, entry) in &self.0 {
            part(path);
            match &entry.kind {
                Kind::File(digest) => {
                    part("file");
                    part(digest);
                }
                Kind::Link(target) => {
                    part("link");
                    part(target);
                }
                Kind::Folder => part("folder"),
            }
            part(&format!("{:o}", entry.mode));
        }
        part(extra);
        hex::encode(hasher.finalize())
    }

    /// Paths that are not the same in both, in order.
    pub(crate) fn changed_since(&self, old: &Self) -> Vec<String> {
        let mut changed: Vec<String> = self
            .0
            .iter()
            .filter(|(path, entry)| old.0.get(*path) != Some(*entry))
            .map(|(path, _)| path.clone())
            .collect();
        changed.extend(old.0.keys().filter(|path| !self.0.contains_key(*path)).cloned());
        changed.sort();
        changed
    }

    /// Writes the folder as a tar stream into `out`, reading each file once. What is written is what
    /// this tree says: a file that has changed since is an error.
    pub(crate) fn write_tar(&self, folder: &Path, hash: &str, out: impl Write) -> Result<(), FileError> {
        let mut tar = tar::Builder::new(out);
        for (path, entry) in &self.0 {
            let full = folder.join(path);
            let failed = FileError::at(&full);
            let mut header = tar::Header::new_gnu();
            header.set_mode(entry.mode);
            header.set_mtime(0);
            header.set_uid(0);
            header.set_gid(0);
            header.set_size(0);
            match &entry.kind {
                Kind::Folder => {
                    header.set_entry_type(tar::EntryType::Directory);
                    tar.append_data(&mut header, format!("{path}/"), io::empty()).map_err(&failed)?;
                }
                Kind::Link(target) => {
                    header.set_entry_type(tar::EntryType::Symlink);
                    tar.append_link(&mut header, path, target).map_err(&failed)?;
                }
                Kind::File(digest) => {
                    let file = open::plain_no_link(&full).map_err(&failed)?;
                    let size = file.metadata().map_err(&failed)?.len();
                    header.set_size(size);
                    let mut reader =
                        Hashing { inner: BufReader::new(file).take(size), hasher: Sha256::new(), read: 0 };
                    tar.append_data(&mut header, path, &mut reader).map_err(&failed)?;
                    if reader.read != size || hex::encode(reader.hasher.finalize()) != *digest {
                        return Err(failed(io::Error::other("it changed while it was read")));
                    }
                }
            }
        }
        let failed = FileError::at(folder);
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(hash.len() as u64);
        tar.append_data(&mut header, END_ENTRY, hash.as_bytes()).map_err(&failed)?;
        tar.into_inner().and_then(|mut out| out.flush()).map_err(&failed)
    }
}

/// A job's tree as a tar stream in an unnamed temporary file: read once, sent to many workers.
pub(crate) struct Spool {
    file: File,
    /// Bytes of the stream.
    pub(crate) length: u64,
}

impl Spool {
    /// Writes `tree` into a nameless file in `scratch`.
    pub(crate) fn new(tree: &Tree, folder: &Path, hash: &str, scratch: &Path) -> Result<Self, FileError> {
        let failed = FileError::at(scratch);
        open::own_folder(scratch).map_err(&failed)?;
        let mut file = tempfile::tempfile_in(scratch).map_err(&failed)?;
        tree.write_tar(folder, hash, io::BufWriter::new(&mut file))?;
        let length = file.seek(SeekFrom::End(0)).map_err(&failed)?;
        Ok(Self { file, length })
    }

    /// A reader of its own from the start, for one worker.
    pub(crate) fn reader(&self) -> impl Read + '_ {
        SpoolReader { file: &self.file, at: 0 }
    }
}

/// Reads by position, so that many threads can read one file.
struct SpoolReader<'a> {
    file: &'a File,
    at: u64,
}

impl Read for SpoolReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = std::os::unix::fs::FileExt::read_at(self.file, buffer, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

struct Hashing<R> {
    inner: R,
    hasher: Sha256,
    read: u64,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..read]);
        self.read += read as u64;
        Ok(read)
    }
}

fn file_hash(path: &Path, each: &mut dyn FnMut(u64) -> io::Result<()>) -> Result<String, FileError> {
    let there = sha256_watched(path, each).map_err(FileError::at(path))?;
    there.ok_or_else(|| FileError::at(path)(io::ErrorKind::NotFound.into()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn read(folder: &Path) -> Result<Tree, Problems> {
        Tree::read(folder, &mut |_| Ok(()))
    }

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        dir
    }

    #[test]
    fn a_hash_is_of_content_and_not_of_time_umask_or_kept_folders() {
        let one = folder(&[("Makefile", "start:\n"), ("conf/a", "1"), ("data/x", "1")]);
        let two = folder(&[("conf/a", "1"), ("Makefile", "start:\n"), ("logs/y", "2")]);
        fs::set_permissions(two.path().join("conf/a"), fs::Permissions::from_mode(0o664)).unwrap();
        let (one, two) = (read(one.path()).unwrap(), read(two.path()).unwrap());
        assert_eq!(one.hash(""), two.hash(""));
        assert_ne!(one.hash(""), one.hash("port"));
        let other = folder(&[("Makefile", "start:\n"), ("conf/a", "2")]);
        let other = read(other.path()).unwrap();
        assert_ne!(one.hash(""), other.hash(""));
        assert_eq!(other.changed_since(&one), ["conf/a"]);
    }

    #[test]
    fn every_file_can_be_run_and_what_is_private_stays_so() {
        let dir = folder(&[("run", "x")]);
        let with_mode = |mode| {
            fs::set_permissions(dir.path().join("run"), fs::Permissions::from_mode(mode)).unwrap();
            let tree = read(dir.path()).unwrap();
            (tree.0["run"].mode, tree.hash(""))
        };
        let (plain, private) = (with_mode(0o644), with_mode(0o600));
        assert_eq!((plain.0, private.0), (0o755, 0o700));
        assert_eq!(with_mode(0o755), plain);
        assert_eq!(with_mode(0o700), private);
        assert_ne!(plain.1, private.1);
    }

    #[test]
    fn a_stream_can_be_unpacked_and_ends_with_the_end_entry() {
        let dir = folder(&[("Makefile", "start:\n"), ("a/b/c", "deep")]);
        std::os::unix::fs::symlink("a/b", dir.path().join("link")).unwrap();
        let tree = read(dir.path()).unwrap();
        let scratch = tempfile::tempdir().unwrap();
        let spool = Spool::new(&tree, dir.path(), "abc", scratch.path()).unwrap();
        let mut bytes = Vec::new();
        spool.reader().read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes.len() as u64, spool.length);
        let out = tempfile::tempdir().unwrap();
        tar::Archive::new(&bytes[..]).unpack(out.path()).unwrap();
        assert_eq!(fs::read_to_string(out.path().join(END_ENTRY)).unwrap(), "abc");
        fs::remove_file(out.path().join(END_ENTRY)).unwrap();
        assert_eq!(read(out.path()).unwrap(), tree);
    }

    #[test]
    fn a_spool_is_not_written_where_a_link_leads() {
        let dir = folder(&[("Makefile", "start:\n")]);
        let (outer, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::os::unix::fs::symlink(elsewhere.path(), outer.path().join("tmp")).unwrap();
        let tree = read(dir.path()).unwrap();
        assert!(Spool::new(&tree, dir.path(), "abc", &outer.path().join("tmp")).is_err());
        Spool::new(&tree, dir.path(), "abc", &outer.path().join("made")).unwrap();
        assert_eq!(fs::metadata(outer.path().join("made")).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_pipe_that_came_after_the_look_does_not_hang() {
        let dir = folder(&[("Makefile", "start:\n")]);
        let tree = read(dir.path()).unwrap();
        fs::remove_file(dir.path().join("Makefile")).unwrap();
        let mode = rustix::fs::Mode::RUSR;
        rustix::fs::mknodat(
            rustix::fs::CWD,
            dir.path().join("Makefile"),
            rustix::fs::FileType::Fifo,
            mode,
            0,
        )
        .unwrap();
        assert!(
            tree.write_tar(dir.path(), "abc", Vec::new()).unwrap_err().to_string().contains("named pipe")
        );
    }

    #[test]
    fn a_file_that_changed_after_the_hash_is_not_sent() {
        let dir = folder(&[("Makefile", "start:\n")]);
        let tree = read(dir.path()).unwrap();
        fs::write(dir.path().join("Makefile"), "stop:\n").unwrap();
        assert!(tree.write_tar(dir.path(), "abc", Vec::new()).is_err());
    }
}

//! Commands of the upstream program that an operator has started directly, past our lock.

use std::collections::HashMap;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::identity::{NAME, has_mark};

/// A command of `program` or another build of it that works in `folder` now, in words.
pub fn at_work(program: &Path, folder: &Path) -> Option<String> {
    Others::new(program, folder).at_work(None).map(|other| other.words)
}

/// A file, whatever its name is here or in another container.
type FileId = (u64, u64);

/// Parents that are followed: none is that deep.
const DEEPEST: usize = 64;

/// A command of the upstream program that was found at work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Other {
    /// For the operator: `` `maand deploy` (process 7) ``.
    pub(super) words: String,
    /// It stages files in `tmp/`, which it empties first, and last.
    pub(super) deploys: bool,
}

/// Looks for them in one bucket.
pub(super) struct Others {
    program: Option<FileId>,
    ourselves: Option<FileId>,
    folder: Option<FileId>,
    /// Files of the same name: whether they are the upstream program.
    known: HashMap<FileId, bool>,
}

impl Others {
    /// Of `program` and of other builds of it, in `folder`.
    pub(super) fn new(program: &Path, folder: &Path) -> Self {
        let id = |path: &Path| fs::metadata(path).ok().map(id);
        Self {
            program: id(program),
            ourselves: id(Path::new("/proc/self/exe")),
            folder: id(folder),
            known: HashMap::new(),
        }
    }

    /// One of them; not `own`, the leader of a process group of ours, nor what that has started. Those of other users can only be
    /// seen by root.
    pub(super) fn at_work(&mut self, own: Option<u32>) -> Option<Other> {
        let folder = self.folder?;
        fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
            let process = entry.path();
            let number: u32 = entry.file_name().to_str()?.parse().ok()?;
            // The upstream program takes the folder in which it is started for the bucket.
            if number == std::process::id() || id(fs::metadata(process.join("cwd")).ok()?) != folder {
                return None;
            }
            let line = fs::read(process.join("cmdline")).ok()?;
            let args: Vec<String> = line
                .split(|byte| *byte == 0)
                .filter(|arg| !arg.is_empty())
                .map(|arg| String::from_utf8_lossy(arg).into_owned())
                .collect();
            let at = if self.is_upstream(&process) { 0 } else { self.script(&process, &args)? };
            let said = args.get(at + 1).filter(|word| is_command(word))?;
            if own.is_some_and(|own| is_of(number, own)) {
                return None;
            }
            let words = format!("`maand {said}` (process {number})");
            Some(Other { words, deploys: said == "deploy" })
        })
    }

    /// Whether the process is the program, or another one of its name that is not us.
    fn is_upstream(&mut self, process: &Path) -> bool {
        let exe = process.join("exe");
        let Some(found) = fs::metadata(&exe).ok().map(id) else { return false };
        if Some(found) == self.program || Some(found) == self.ourselves {
            return Some(found) == self.program;
        }
        if fs::read_link(&exe).is_ok_and(|path| path.file_name().is_none_or(|name| name != NAME)) {
            return false;
        }
        *self.known.entry(found).or_insert_with(|| !has_mark(&exe))
    }

    /// A script runs as `interpreter script args`: where the program is among the first arguments.
    fn script(&self, process: &Path, args: &[String]) -> Option<usize> {
        let cwd = process.join("cwd");
        let same = |path: &Path| fs::metadata(path).is_ok_and(|meta| Some(id(meta)) == self.program);
        args.iter().take(3).position(|arg| same(&cwd.join(arg)))
    }
}

fn id(meta: Metadata) -> FileId {
    (meta.dev(), meta.ino())
}

/// Commands that only print something disturb nothing.
fn is_command(word: &str) -> bool {
    !word.starts_with('-') && !matches!(word, "cat" | "logs" | "help" | "info" | "completion")
}

/// Whether a process is `own`, or was started by it. Once its parent has ended only its group tells: a shell that has
/// forked still looks like the command until it executes something else.
fn is_of(process: u32, own: u32) -> bool {
    let line = std::iter::successors(Some(process), |number| family(*number).map(|(parent, _)| parent));
    line.take_while(|number| *number > 0).take(DEEPEST).any(|number| number == own)
        || family(process).is_some_and(|(_, group)| group == own)
}

/// Parent and process group.
fn family(process: u32) -> Option<(u32, u32)> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name, in brackets, may have anything in it.
    let mut fields = stat.rsplit(')').next()?.split_whitespace().skip(1).map(str::parse);
    Some((fields.next()?.ok()?, fields.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    use std::process::{Child, Command, Stdio};
    use std::time::{Duration, Instant};

    use super::*;

    fn start(program: &Path, folder: &Path, word: &str) -> Child {
        Command::new(program).arg(word).current_dir(folder).stdin(Stdio::piped()).spawn().unwrap()
    }

    fn end(mut child: Child) {
        drop(child.stdin.take());
        child.wait().unwrap();
    }

    /// Between fork and exec it is still us.
    #[track_caller]
    fn wait_for(others: &mut Others, own: Option<u32>, expected: &str) -> Other {
        let limit = Instant::now() + Duration::from_secs(60);
        loop {
            match others.at_work(own) {
                Some(other) if other.words == expected => return other,
                _ => assert!(Instant::now() < limit, "{expected} is not seen"),
            }
        }
    }

    /// What is left behind by our command is no other one, however long it takes to become something else.
    #[test]
    fn what_our_command_has_left_behind_is_not_another() {
        let bucket = tempfile::tempdir().unwrap();
        let program = bucket.path().join("upstream");
        fs::write(&program, "#!/bin/sh\n(while [ -e stay ]; do sleep 0.05; done) >&- 2>&- &\n").unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(bucket.path().join("stay"), "").unwrap();
        let mut command = Command::new(&program);
        let mut own = command.arg("build").current_dir(bucket.path()).process_group(0).spawn().unwrap();
        own.wait().unwrap();
        let mut others = Others::new(&program, bucket.path());
        let seen = (others.at_work(None), others.at_work(Some(own.id())));
        fs::remove_file(bucket.path().join("stay")).unwrap();
        assert!(seen.0.is_some_and(|other| other.words.starts_with("`maand build`")));
        assert_eq!(seen.1, None);
    }

    #[test]
    fn one_that_was_started_by_hand_is_seen_where_it_works() {
        let (bucket, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let program = elsewhere.path().join("upstream");
        fs::write(&program, "#!/bin/sh\nread line\n").unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let mut others = Others::new(&program, bucket.path());
        assert_eq!(others.at_work(None), None);
        let harmless = [start(&program, elsewhere.path(), "deploy"), start(&program, bucket.path(), "cat")];
        let deploy = start(&program, bucket.path(), "deploy");
        let words = format!("`maand deploy` (process {})", deploy.id());
        assert!(wait_for(&mut others, None, &words).deploys);
        assert_eq!(others.at_work(Some(deploy.id())), None, "its own command is no other");
        assert_eq!(others.at_work(Some(std::process::id())), None, "nor what that has started");
        end(deploy);
        assert_eq!(others.at_work(None), None, "neither `cat` nor another folder's count");
        // Another build of it, which the operator has first on PATH.
        let copy = elsewhere.path().join(NAME);
        fs::copy("/bin/cat", &copy).unwrap();
        fs::create_dir(bucket.path().join("jobs")).unwrap();
        std::os::unix::fs::symlink("/dev/stdin", bucket.path().join("build")).unwrap();
        let build = start(&copy, bucket.path(), "build");
        let words = format!("`maand build` (process {})", build.id());
        assert!(!wait_for(&mut others, None, &words).deploys);
        end(build);
        harmless.into_iter().for_each(end);
    }
}

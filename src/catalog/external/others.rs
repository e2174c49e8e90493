//! Commands of the upstream program that an operator has started directly, past our lock.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// A process of this program at work in this folder or below it: `` `maand deploy` (process 7) ``. Those
/// of other users can only be seen by root.
pub(super) fn at_work(program: &Path, folder: &Path) -> Option<String> {
    let ours = fs::metadata(program).ok().map(|meta| (meta.dev(), meta.ino()))?;
    let folder = fs::canonicalize(folder).ok()?;
    fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let process = entry.path();
        let number: u32 = entry.file_name().to_str()?.parse().ok()?;
        if number == std::process::id() || !fs::read_link(process.join("cwd")).ok()?.starts_with(&folder) {
            return None;
        }
        let line = fs::read(process.join("cmdline")).ok()?;
        let args: Vec<String> = line
            .split(|byte| *byte == 0)
            .filter(|arg| !arg.is_empty())
            .map(|arg| String::from_utf8_lossy(arg).into_owned())
            .collect();
        let same = |path: &Path| fs::metadata(path).is_ok_and(|meta| (meta.dev(), meta.ino()) == ours);
        let here = |arg: &String| same(Path::new(arg)) || same(&folder.join(arg));
        // A script runs as `interpreter script args`.
        let at = if same(&process.join("exe")) { 0 } else { args.iter().take(3).position(here)? };
        let said = args.get(at + 1).filter(|word| is_command(word))?;
        Some(format!("`maand {said}` (process {number})"))
    })
}

/// Commands that only print something disturb nothing.
fn is_command(word: &str) -> bool {
    !word.starts_with('-') && !matches!(word, "cat" | "logs" | "help" | "info" | "completion")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn one_that_was_started_by_hand_is_seen_where_it_works() {
        let (bucket, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let program = elsewhere.path().join("maand");
        fs::write(&program, "#!/bin/sh\nread line\n").unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let start = |folder: &Path, word: &str| {
            let mut command = Command::new(&program);
            command.arg(word).current_dir(folder).stdin(Stdio::piped()).spawn().unwrap()
        };
        assert_eq!(at_work(&program, bucket.path()), None);
        let mut others = vec![start(elsewhere.path(), "deploy"), start(bucket.path(), "cat")];
        let mut deploy = start(bucket.path(), "deploy");
        let limit = Instant::now() + Duration::from_secs(60);
        let expected = Some(format!("`maand deploy` (process {})", deploy.id()));
        // Between fork and exec it is still us.
        while at_work(&program, bucket.path()) != expected {
            assert!(Instant::now() < limit, "not seen");
        }
        drop(deploy.stdin.take());
        deploy.wait().unwrap();
        assert_eq!(at_work(&program, bucket.path()), None, "neither `cat` nor another folder's count");
        for other in &mut others {
            drop(other.stdin.take());
            other.wait().unwrap();
        }
    }
}

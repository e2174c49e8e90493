//! A bucket is a checkout, and a checkout is untrusted input: whatever stands in it, a command that looks at it ends
//! soon and with little memory, says what is in the way, and executes, overwrites and leaks nothing.

mod databases;
mod limits;
mod matrix;
mod modes;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{CWD, FileType, Mode, mknodat};

/// What must never be shown, sent or changed: the user's own files, outside of the bucket.
const SECRET: &str = "TOP-SECRET-42";

const PLAN: &str = "version: 1\nname: p\nsteps:\n  - run: {script: patch.sh}\n";
const MANIFEST: &str = "{\"selectors\": [\"worker\"]}\n";

/// A bucket with one worker that nothing listens for and one job, and files of its user beside it.
struct World {
    folder: tempfile::TempDir,
}

/// How a command ended.
struct Ran {
    code: i32,
    text: String,
}

impl World {
    fn new() -> Self {
        let world = Self { folder: tempfile::tempdir().unwrap() };
        for folder in ["home", "outside/tree/jobs/api", "bucket/workspace/jobs/api/conf", "bucket/data"] {
            fs::create_dir_all(world.folder.path().join(folder)).unwrap();
        }
        fs::create_dir(world.at("secrets")).unwrap();
        fs::set_permissions(world.at("secrets"), fs::Permissions::from_mode(0o700)).unwrap();
        fs::set_permissions(world.at("data"), fs::Permissions::from_mode(0o700)).unwrap();
        for (name, text) in [
            ("maand.conf", "bucket_id = \"b\"\nssh_port = 1\nssh_config = false\nuse_sudo = false\n"),
            ("workspace/workers.json", "[{\"host\": \"127.0.0.1\"}]\n"),
            ("workspace/disabled.json", "{}\n"),
            ("workspace/bucket.conf", "port_min = \"30000\"\nport_max = \"30010\"\n"),
            ("workspace/bucket.jobs.conf", ""),
            ("workspace/command.sh", "true\n"),
            ("workspace/jobs/api/manifest.json", MANIFEST),
            ("workspace/jobs/api/Makefile", "start stop restart:\n"),
            ("workspace/jobs/api/conf/x", "x\n"),
            ("plan.yaml", PLAN),
            ("patch.sh", "true\n"),
            ("durations.json", "{\"boot\": \"90s\"}\n"),
        ] {
            fs::write(world.at(name), text).unwrap();
        }
        for name in ["outside/precious", "outside/tree/workers.json", "outside/tree/jobs/api/manifest.json"] {
            fs::write(world.folder.path().join(name), format!("{SECRET} is no JSON\n")).unwrap();
        }
        world
    }

    /// A path in the bucket.
    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join("bucket").join(name)
    }

    fn precious(&self) -> PathBuf {
        self.folder.path().join("outside/precious")
    }

    /// Runs the program in the bucket with 64 MB of memory and five seconds of a processor.
    fn run(&self, arguments: &[&str]) -> Ran {
        let mut command = Command::new("sh");
        command
            .args(["-c", "ulimit -d 65536; ulimit -t 5; exec timeout -s KILL 60 \"$0\" \"$@\""])
            .arg(env!("CARGO_BIN_EXE_maand"))
            .args(arguments)
            .current_dir(self.at(""))
            .env("HOME", self.folder.path().join("home"))
            .env("NO_COLOR", "1")
            .env_remove("MAAND_BIN")
            .env_remove("SSH_AUTH_SOCK")
            .stdin(Stdio::null());
        let output = command.output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        Ran { code: output.status.code().unwrap_or(-1), text: String::from_utf8_lossy(&text).into_owned() }
    }

    /// All that is not the bucket's, with its content.
    fn outside(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut found = BTreeMap::new();
        let mut folders = vec![self.folder.path().join("outside"), self.folder.path().join("home")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    found.insert(path.clone(), fs::read(path).unwrap());
                }
            }
        }
        found
    }
}

impl Ran {
    /// It has ended by itself: no panic, no limit, no signal.
    #[track_caller]
    fn ended(self, what: &str) -> Self {
        assert!((0..=9).contains(&self.code), "{what}: exit {}: {}", self.code, self.text);
        assert!(!self.text.contains(SECRET), "{what}: {}", self.text);
        self
    }

    /// It has refused, and names the file in the way.
    #[track_caller]
    fn refused(self, what: &str, name: &str) -> Self {
        let ran = self.ended(what);
        let text: String = ran.text.replace('│', " ").split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(ran.code != 0 && text.contains(name), "{what}: exit {}: {}", ran.code, ran.text);
        ran
    }
}

/// What can stand at a path instead of what should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Pipe,
    Socket,
    Folder,
    /// A link to a file of the user's outside of the bucket.
    LinkOut,
    /// A link to a file outside that is not there yet.
    LinkToNothing,
    LinkToZero,
    /// A terabyte of nothing.
    Sparse,
    /// Another name of a file of the user's.
    HardLink,
}

impl Kind {
    fn put(self, world: &World, path: &Path) {
        match fs::symlink_metadata(path) {
            Ok(meta) if meta.is_dir() => fs::remove_dir_all(path).unwrap(),
            Ok(_) => fs::remove_file(path).unwrap(),
            Err(_) => {}
        }
        let outside = world.folder.path().join("outside");
        match self {
            Self::Pipe => mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap(),
            Self::Socket => drop(UnixListener::bind(path).unwrap()),
            Self::Folder => fs::create_dir(path).unwrap(),
            Self::LinkOut => symlink(world.precious(), path).unwrap(),
            Self::LinkToNothing => symlink(outside.join("made"), path).unwrap(),
            Self::LinkToZero => symlink("/dev/zero", path).unwrap(),
            Self::Sparse => fs::File::create(path).unwrap().set_len(1 << 40).unwrap(),
            Self::HardLink => fs::hard_link(world.precious(), path).unwrap(),
        }
    }
}

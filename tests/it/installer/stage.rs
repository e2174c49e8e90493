//! What the installer meets: a home, a server with a release, and a PATH with chosen tools.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use sha2::{Digest as _, Sha256};

use crate::support::file_server::{FileServer, Served};

/// What the script needs, and nothing that downloads.
pub(super) const TOOLS: [&str; 25] = [
    "sh",
    "awk",
    "cat",
    "chmod",
    "cp",
    "dirname",
    "getconf",
    "grep",
    "gzip",
    "head",
    "ls",
    "mkdir",
    "mktemp",
    "mv",
    "printf",
    "pwd",
    "rm",
    "rmdir",
    "sha256sum",
    "sort",
    "tar",
    "uname",
    "ldd",
    "true",
    "env",
];

pub(super) fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/install.sh")
}

pub(super) fn target() -> String {
    format!("{}-unknown-linux-gnu", std::env::consts::ARCH)
}

pub(super) fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into()])
        .map(|dir| dir.join(name))
        .find(|file| file.is_file())
}

pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A home, a server with release 1.2.3, and a PATH with chosen tools.
pub(super) struct Stage {
    dir: tempfile::TempDir,
    pub(super) server: FileServer,
}

impl Stage {
    pub(super) fn new() -> Self {
        let stage = Self { dir: tempfile::tempdir().unwrap(), server: FileServer::start() };
        for folder in ["home", "tmp", "bin", "release"] {
            fs::create_dir(stage.at(folder)).unwrap();
        }
        for tool in TOOLS {
            if let Some(file) = on_path(tool) {
                symlink(file, stage.at("bin").join(tool)).unwrap();
            }
        }
        stage.with("curl");
        stage.publish("1.2.3", |_| ());
        stage
    }

    pub(super) fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Whether this tool is here, which is then on PATH.
    pub(super) fn with(&self, tool: &str) -> bool {
        let Some(file) = on_path(tool) else { return false };
        symlink(file, self.at("bin").join(tool)).unwrap();
        true
    }

    pub(super) fn without(&self, tool: &str) {
        fs::remove_file(self.at("bin").join(tool)).unwrap();
    }

    pub(super) fn stand_in(&self, tool: &str, text: &str) {
        let file = self.at("bin").join(tool);
        let _ = fs::remove_file(&file);
        fs::write(&file, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Packs a program of this version; `change` may do something to the folder before.
    pub(super) fn publish(&self, version: &str, change: impl Fn(&Path)) {
        self.publish_for(&target(), version, change);
    }

    pub(super) fn publish_for(&self, target: &str, version: &str, change: impl Fn(&Path)) {
        let name = format!("maand-{version}-{target}");
        let folder = self.at("release").join(&name);
        fs::create_dir(&folder).unwrap();
        let program = format!("#!/bin/sh\ntouch '{}'\necho maand {version}\n", self.at("was-run").display());
        fs::write(folder.join("maand"), program).unwrap();
        fs::set_permissions(folder.join("maand"), fs::Permissions::from_mode(0o755)).unwrap();
        change(&folder);
        let file = self.at("release").join(format!("{name}.tar.gz"));
        let mut tar = Command::new("tar");
        tar.arg("-czf").arg(&file).arg("-C").arg(self.at("release")).arg(&name);
        assert!(tar.status().unwrap().success());
        fs::remove_dir_all(&folder).unwrap();
        let bytes = fs::read(&file).unwrap();
        self.sums(&format!("{}  {name}.tar.gz\n", hex::encode(Sha256::digest(&bytes))));
        self.server.put(&format!("{name}.tar.gz"), Served::Whole(bytes));
    }

    pub(super) fn sums(&self, text: &str) {
        fs::write(self.at("release/SHA256SUMS"), text).unwrap();
        self.server.put("SHA256SUMS", Served::Whole(text.into()));
    }

    pub(super) fn tarball(&self) -> (String, Vec<u8>) {
        let name = format!("maand-1.2.3-{}.tar.gz", target());
        let bytes = fs::read(self.at("release").join(&name)).unwrap();
        (name, bytes)
    }

    pub(super) fn command_of(&self, shell: &[&str], args: &[&str]) -> Command {
        let mut command = Command::new(shell[0]);
        command.args(&shell[1..]).arg(script()).args(args).env_clear().current_dir(self.at("home"));
        command.env("HOME", self.at("home")).env("TMPDIR", self.at("tmp")).env("PATH", self.at("bin"));
        command.env("MAAND_INSTALL_URL", self.server.url()).stdin(Stdio::null());
        command
    }

    pub(super) fn command(&self, args: &[&str]) -> Command {
        self.command_of(&["/bin/sh"], args)
    }

    /// Installs, which has to go well; what it says.
    #[track_caller]
    pub(super) fn installs(&self, command: &mut Command) -> String {
        let output = command.output().unwrap();
        let said = text(&output.stderr);
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(0), String::new()), "{said}");
        assert_eq!(self.left(), ["home/.local", "home/.local/bin", "home/.local/bin/maand"]);
        let mode = fs::metadata(self.at("home/.local/bin/maand")).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o755);
        said
    }

    /// Fails with these words, has run nothing, and leaves nothing.
    #[track_caller]
    pub(super) fn refuses(&self, command: &mut Command, words: &[&str]) {
        let output = command.output().unwrap();
        self.refused(&output, words);
    }

    #[track_caller]
    fn refused(&self, output: &Output, words: &[&str]) {
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        for word in words {
            assert!(said.contains(word), "no {word:?} in {said}");
        }
        assert!(!self.at("was-run").exists(), "what was not verified was run");
        assert_eq!(self.left(), [String::new(); 0], "{said}");
    }

    /// What there is below the home and the temporary folder.
    pub(super) fn left(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut open = vec![self.at("home"), self.at("tmp")];
        while let Some(folder) = open.pop() {
            for entry in fs::read_dir(folder).unwrap().flatten() {
                found.push(entry.path().strip_prefix(self.dir.path()).unwrap().display().to_string());
                if entry.file_type().unwrap().is_dir() {
                    open.push(entry.path());
                }
            }
        }
        found.sort();
        found
    }
}

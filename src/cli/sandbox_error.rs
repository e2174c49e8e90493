//! What the command line says when a sandbox cannot start: code and hint.

use std::io::ErrorKind;

use super::{CliError, Exit};
use crate::os::quote;
use crate::plan::Problem;
use crate::sandbox::{SandboxError, WORKERS_MAX};

impl From<SandboxError> for CliError {
    fn from(error: SandboxError) -> Self {
        let message = error.to_string();
        let problem = |code, help: &str| Problem::error(code, message.as_str()).help(help);
        // What was typed, as where clap sees it.
        let usage = |problem| CliError::new(Exit::Usage, problem);
        match error {
            SandboxError::Speed(_) => {
                let help = "write a number from 0.01 to 1000; 2 is twice as fast";
                return usage(problem("maand::sandbox::speed", help));
            }
            SandboxError::Workers(_) => {
                let help = format!(
                    "ask for 1 to {WORKERS_MAX}; for more there is `maand plan simulate`, which needs no processes"
                );
                return usage(problem("maand::sandbox::workers", &help));
            }
            SandboxError::NoMake => problem(
                "maand::sandbox::no_make",
                "install it (Debian: apt install make, Fedora: dnf install make)",
            ),
            SandboxError::FolderName(_) => {
                problem("maand::sandbox::dir", "choose another one with --dir")
            }
            SandboxError::NotASandbox(_) => problem(
                "maand::sandbox::dir",
                "name a folder that does not exist yet, or leave --dir out",
            ),
            SandboxError::Earlier(path) => problem(
                "maand::sandbox::dir",
                &format!(
                    "name another folder; or remove it, if nothing in it is needed any more:\n  rm -r {}",
                    quote(&path.to_string_lossy())
                ),
            ),
            SandboxError::InUse { .. } => {
                problem("maand::sandbox::dir", "end it first, or name another folder")
            }
            SandboxError::Folder { source, .. } => problem("maand::sandbox::dir", folder_help(source.kind())),
            SandboxError::Listen(_) => problem(
                "maand::sandbox::listen",
                "the sandbox needs Linux, where the whole of 127.0.0.0/8 is this machine, and free file descriptors",
            ),
            SandboxError::Start { .. } => Problem::error("maand::sandbox::start", message.as_str()),
        }
        .into()
    }
}

fn folder_help(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            "the disk is full: make room, or name a folder on another one with TMPDIR, or `sandbox up --dir`"
        }
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            "name a folder that you may write to with TMPDIR, or `sandbox up --dir`"
        }
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists => {
            "name a folder, not a file, with TMPDIR or --dir"
        }
        _ => "name another folder with TMPDIR, or `sandbox up --dir`",
    }
}

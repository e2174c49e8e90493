//! The child processes that carry a rehearsal's run: our own binary, which hears of our signals and does
//! not outlive us. It must not know what they do.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, getpid, getppid, kill_process, test_kill_process};

use super::super::super::sandbox::Signals;
use super::super::super::{CliError, Context, Exit};
use crate::os::signals;
use crate::plan::Problem;

/// Names, to a process, the rehearsal that started it. Its standard input is the life line then: it ends
/// when the rehearsal does, whatever ended that.
const REHEARSAL: &str = "MAAND_REHEARSAL";

/// Between two looks at a child, and so the longest that a signal takes to be handed on.
const LOOK: Duration = Duration::from_millis(20);

/// A run whose fleet is gone may take so long to give up what it has in flight.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// Two signals in quick succession would be one.
const BETWEEN_SIGNALS: Duration = Duration::from_millis(200);

/// Where this process was started by a rehearsal: leaves the terminal's signals to it, and ends with it.
pub(in super::super) fn obey_rehearsal() {
    let rehearsal = std::env::var(REHEARSAL).ok().and_then(|pid| pid.parse().ok()).and_then(Pid::from_raw);
    let Some(rehearsal) = rehearsal else { return };
    if getppid() != Some(rehearsal) {
        // Something that a plan's own command has started; or the rehearsal was killed just now.
        if test_kill_process(rehearsal).is_err() {
            std::process::exit(i32::from(Exit::Resumable as u8));
        }
        return;
    }
    signals::leave_interrupts_to_parent();
    let watch = || {
        let mut nothing = [0; 1];
        while !matches!(std::io::stdin().read(&mut nothing), Ok(0)) {}
        // As a person would: finish what is in flight, and then stop at once, for its workers are gone.
        // Commands that run on this machine (`--execute`) end so, too.
        for _ in 0..2 {
            let _ = kill_process(getpid(), Signal::TERM);
            std::thread::sleep(BETWEEN_SIGNALS);
        }
        std::thread::sleep(LAST_WORDS);
        std::process::exit(i32::from(Exit::Resumable as u8));
    };
    // Without a thread it outlives a rehearsal that is killed, and fails at once: nothing answers.
    let _ = std::thread::Builder::new().name("life line".into()).spawn(watch);
}

/// Runs our own binary to its end; signals that come meanwhile are handed on.
///
/// # Errors
/// It can not be started.
pub(super) fn run(
    bucket: &Path,
    arguments: &[&str],
    crash: Option<u64>,
    context: &Context,
    signals: &Signals,
) -> Result<ExitStatus, CliError> {
    let program = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("/proc/self/exe"));
    let trouble = |error: std::io::Error| {
        let message = format!("{} can not be run: {error}", program.display());
        Problem::error("maand::rehearse::child", message).help("is the machine out of memory or processes?")
    };
    let mut command = Command::new(&program);
    command.arg("-C").arg(bucket).args(arguments).stdin(Stdio::piped());
    command.env(REHEARSAL, std::process::id().to_string());
    if context.json {
        command.args(["--output", "json"]);
    }
    if context.quiet {
        command.arg("--quiet");
    }
    if let Some(crash) = crash {
        command.env(crate::journal::CRASH_AT, crash.to_string());
    }
    let mut child = command.spawn().map_err(trouble)?;
    // Nothing is ever written to it; it closes when this process ends, or here.
    let life_line = child.stdin.take();
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let status = loop {
        if let Some(status) = child.try_wait().map_err(trouble)? {
            break status;
        }
        if signals.next(LOOK) {
            // Not waited for yet, so the number is still the child's.
            let _ = pid.map(|pid| kill_process(pid, Signal::TERM));
        }
    };
    drop(life_line);
    Ok(status)
}

//! The child processes that carry a rehearsal's run out: the program itself, which is told of our signals and does
//! not outlive us. It must not know what they do.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, getpid, getppid, kill_process, test_kill_process};

use crate::os::signals::leave_interrupts_to_parent;

use super::RehearsalError;

/// Exit codes of `maand plan apply` and `maand plan resume`, as the README documents them: the run succeeded,
pub(super) const SUCCEEDED: i32 = 0;
/// it, or one of its workers, failed,
pub(super) const FAILED: i32 = 1;
/// or it stopped before its end and can be resumed.
pub(super) const RESUMABLE: i32 = 5;

/// Names, to a process, the rehearsal that started it. Its standard input is the life line then: it ends
/// when the rehearsal does, whatever ended that.
const REHEARSAL: &str = "MAAND_REHEARSAL";

/// Between two looks at a child, and so the longest that a signal takes to be handed on.
const POLL: Duration = Duration::from_millis(20);

/// What is in flight when a signal comes is finished within this; then the run stops at once. Nobody needs the rest of a
/// throwaway fleet.
const FINISH_WITHIN: Duration = Duration::from_secs(10);

/// A run whose fleet is gone gets this long to give up what it has in flight.
const FORCED_STOP_GRACE: Duration = Duration::from_secs(3);

/// Two signals in quick succession would be one.
const BETWEEN_SIGNALS: Duration = Duration::from_millis(200);

/// Where this process was started by a rehearsal: leaves the terminal's signals to it, and ends with it, by
/// calling `end` at last.
pub fn follow_parent(end: fn() -> !) {
    let rehearsal = std::env::var(REHEARSAL).ok().and_then(|pid| pid.parse().ok()).and_then(Pid::from_raw);
    let Some(rehearsal) = rehearsal else { return };
    if getppid() != Some(rehearsal) {
        // Something that a plan's own command has started; or the rehearsal was killed just now.
        if test_kill_process(rehearsal).is_err() {
            end();
        }
        return;
    }
    leave_interrupts_to_parent();
    let watch = move || {
        let mut nothing = [0; 1];
        while !matches!(std::io::stdin().read(&mut nothing), Ok(0)) {}
        // As an operator would: finish what is in flight, and then stop at once, for its workers are gone.
        // Commands that run on this machine (`--execute`) end so, too.
        for _ in 0..2 {
            let _ = kill_process(getpid(), Signal::TERM);
            std::thread::sleep(BETWEEN_SIGNALS);
        }
        std::thread::sleep(FORCED_STOP_GRACE);
        end()
    };
    // Without a thread it outlives a rehearsal that is killed, and fails at once: nothing answers.
    let _ = std::thread::Builder::new().name("life line".into()).spawn(watch);
}

/// Runs the program to its end; signals that come meanwhile are handed on. After the first one it ends within a bounded
/// time.
///
/// # Errors
/// It cannot be started.
pub(super) fn run(
    bucket: &Path,
    arguments: &[&str],
    flags: &[String],
    crash: Option<u64>,
    signals: &Receiver<()>,
) -> Result<ExitStatus, RehearsalError> {
    let program = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("/proc/self/exe"));
    let failed = |source| RehearsalError::Child { program: program.clone(), source };
    let mut command = Command::new(&program);
    command.arg("-C").arg(bucket).args(arguments).args(flags).stdin(Stdio::piped());
    command.env(REHEARSAL, std::process::id().to_string());
    if let Some(crash) = crash {
        command.env(crate::journal::CRASH_AT, crash.to_string());
    }
    let mut child = command.spawn().map_err(failed)?;
    // Nothing is ever written to it; it closes when this process ends, or here.
    let life_line = child.stdin.take();
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let mut stop_at: Option<Instant> = None;
    let status = loop {
        if let Some(status) = child.try_wait().map_err(failed)? {
            break status;
        }
        let is_asked = signals.recv_timeout(POLL).is_ok();
        if is_asked || stop_at.is_some_and(|at| Instant::now() >= at) {
            // Not waited for yet, so the number is still the child's.
            let _ = pid.map(|pid| kill_process(pid, Signal::TERM));
            stop_at = (is_asked && stop_at.is_none()).then(|| Instant::now() + FINISH_WITHIN);
        }
    };
    drop(life_line);
    Ok(status)
}

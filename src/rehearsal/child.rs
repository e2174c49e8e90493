//! The child processes that carry a rehearsal's run out: the program itself, which is told of our signals and does
//! not outlive us. It must not know what they do.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use rustix::process::{Pid, getppid, test_kill_process};

use crate::os::signals::{Signal, hand_on, leave_interrupts_to_parent};

use super::RehearsalError;

/// Exit codes of `maand plan apply` and `maand plan resume`, as `docs/scripting.md` documents them: the run succeeded,
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
        let mut said = [0; 1];
        loop {
            match std::io::stdin().read(&mut said) {
                Ok(0) => break,
                Ok(_) => {
                    Signal::ENDING.into_iter().filter(|signal| letter(*signal) == said[0]).for_each(hand_on)
                }
                Err(_) => {}
            }
        }
        // As an operator would: finish what is in flight, and then stop at once, for its workers are gone.
        // Commands that run on this machine (`--execute`) end so, too.
        for _ in 0..2 {
            hand_on(Signal::Terminate);
            std::thread::sleep(BETWEEN_SIGNALS);
        }
        std::thread::sleep(FORCED_STOP_GRACE);
        end()
    };
    // Without a thread it outlives a rehearsal that is killed, and fails at once: nothing answers.
    let _ = std::thread::Builder::new().name("life line".into()).spawn(watch);
}

/// Whether this process carries out the run of a rehearsal: its bucket and its workers are gone when it ends, and there
/// is nothing that an operator could do with them.
pub fn is_rehearsed() -> bool {
    let rehearsal = std::env::var(REHEARSAL).ok().and_then(|pid| pid.parse().ok()).and_then(Pid::from_raw);
    rehearsal.is_some_and(|rehearsal| getppid() == Some(rehearsal))
}

/// How a signal is written on the life line.
fn letter(signal: Signal) -> u8 {
    signal.name().as_bytes().get("SIG".len()).copied().unwrap_or_default()
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
    signals: &Receiver<Signal>,
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
    // A letter for each signal is written to it; it closes when this process ends, or here.
    let mut life_line = child.stdin.take();
    let mut stop_at: Option<Instant> = None;
    let status = loop {
        if let Some(status) = child.try_wait().map_err(failed)? {
            break status;
        }
        let asked = signals.recv_timeout(POLL).ok();
        let overdue = stop_at.is_some_and(|at| Instant::now() >= at).then_some(Signal::Terminate);
        if let (Some(signal), Some(line)) = (asked.or(overdue), &mut life_line) {
            // A child that has just ended does not read it any more.
            let _ = line.write_all(&[letter(signal)]);
            stop_at = (asked.is_some() && stop_at.is_none()).then(|| Instant::now() + FINISH_WITHIN);
        }
    };
    drop(life_line);
    Ok(status)
}

//! The process that one command of this machine runs under: our own binary, executed again.
//!
//! It is a subreaper, so that daemons which their parents have left come back to it, and it ends every descendant
//! when its socket to the controller closes: giving the command up and `kill -9` of the controller are the same
//! thing to it. It must not know what the command is for.

use std::ffi::OsString;
use std::io::{self, BufRead, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, WaitOptions, getpid, kill_process_group, set_child_subreaper, setsid, wait,
};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM};

use super::descendants::{descendants_of, kill_all};
use super::limits;

/// The name of the hidden subcommand that becomes such a guard.
pub const COMMAND_GUARD: &str = "__command";

/// A command that is given up, and all below it, gets this long to end by itself.
pub(super) const GRACE: Duration = Duration::from_secs(2);

/// What does not die (another user's, or in the kernel) is tried again after this.
const AGAIN: Duration = Duration::from_millis(500);

/// What a guard tells its controller, a line each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// From here on the command may have been started.
    Begun,
    /// It has not: the number and the text of the error.
    NotStarted(i32, String),
    /// It has ended by itself, and with it its process group.
    Exit(i32),
    /// A signal has ended it.
    Signal(i32),
}

impl Said {
    pub(super) fn line(&self) -> String {
        match self {
            Self::Begun => "begun\n".to_owned(),
            Self::NotStarted(code, why) => format!("not-started {code} {}\n", why.replace('\n', " ")),
            Self::Exit(code) => format!("exit {code}\n"),
            Self::Signal(signal) => format!("signal {signal}\n"),
        }
    }

    /// `None`: no such line.
    pub(super) fn read(line: &str) -> Option<Self> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        Some(match word {
            "begun" => Self::Begun,
            "exit" => Self::Exit(rest.parse().ok()?),
            "signal" => Self::Signal(rest.parse().ok()?),
            "not-started" => {
                let (code, why) = rest.split_once(' ')?;
                Self::NotStarted(code.parse().ok()?, why.to_owned())
            }
            _ => return None,
        })
    }
}

/// The whole life of a guard. Standard input is the socket to the controller, standard output and error are those of
/// the command; `arguments` are the soft limit of open files (`-`: as it is), the program and its arguments.
///
/// # Errors
/// Standard input is no such socket: the hidden command was typed by hand.
pub fn guard_command(arguments: &[OsString]) -> io::Result<()> {
    rustix::net::getpeername(io::stdin())?;
    let [limit, program, arguments @ ..] = arguments else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no command"));
    };
    // Its own session: the terminal's signals are for the controller, which ends us when it ends; and a command
    // that would ask something at the terminal learns that there is none.
    let _ = setsid();
    set_child_subreaper(Some(getpid()))?;
    let controller = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let environment = receive_environment(&controller)?;
    controller.set_nonblocking(true)?;
    let [asked, changed] = [&[SIGTERM, SIGINT, SIGHUP][..], &[SIGCHLD]].map(wakes);
    let (asked, changed) = (asked?, changed?);
    if let Some(soft) = limit.to_str().and_then(|limit| limit.parse().ok()) {
        limits::lower_open_files(soft);
    }
    let mut guard = Guard { controller, leader: None };
    guard.tell(&Said::Begun);
    let started =
        Command::new(program).args(arguments).envs(environment).stdin(Stdio::null()).process_group(0).spawn();
    // Ours would keep the pipes open.
    let nothing = std::fs::File::options().write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdout(&nothing)?;
    rustix::stdio::dup2_stderr(&nothing)?;
    match started {
        // It is collected by its number, as all others are.
        Ok(leader) => guard.leader = Some(Pid::from_child(&leader)),
        Err(error) => {
            guard.tell(&Said::NotStarted(error.raw_os_error().unwrap_or(0), error.to_string()));
            return Ok(());
        }
    }
    while guard.reap() {
        if guard.is_left() || is_woken(&asked) {
            guard.end_all();
            return Ok(());
        }
        let mut all = [&guard.controller, &asked, &changed].map(|from| PollFd::new(from, PollFlags::IN));
        let _ = poll(&mut all, None);
        let _ = is_woken(&changed);
    }
    Ok(())
}

/// Hands the command's environment to its guard: it is not the guard's own, which must start whatever is in it
/// (`LD_LIBRARY_PATH`).
pub(super) fn send_environment(mut guard: &UnixStream, values: &[(String, String)]) -> io::Result<()> {
    let mut bytes: Vec<u8> = Vec::new();
    for (name, value) in values {
        bytes.extend_from_slice(format!("{name}={value}\0").as_bytes());
    }
    // No entry is empty.
    bytes.push(0);
    guard.write_all(&bytes)
}

fn receive_environment(controller: &UnixStream) -> io::Result<Vec<(OsString, OsString)>> {
    let mut from = io::BufReader::new(controller);
    let mut values = Vec::new();
    loop {
        let mut entry = Vec::new();
        from.read_until(0, &mut entry)?;
        if entry.pop() != Some(0) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let Some(at) = entry.iter().position(|byte| *byte == b'=') else { return Ok(values) };
        let value = entry.split_off(at + 1);
        entry.truncate(at);
        values.push((OsString::from_vec(entry), OsString::from_vec(value)));
    }
}

/// A socket that has something to read after one of these signals.
fn wakes(signals: &[i32]) -> io::Result<UnixStream> {
    let (read, write) = UnixStream::pair()?;
    read.set_nonblocking(true)?;
    for signal in signals {
        signal_hook::low_level::pipe::register(*signal, write.try_clone()?)?;
    }
    Ok(read)
}

fn is_woken(mut socket: &UnixStream) -> bool {
    let mut nothing = [0; 64];
    matches!(socket.read(&mut nothing), Ok(1..))
}

struct Guard {
    controller: UnixStream,
    /// The command, while it runs.
    leader: Option<Pid>,
}

impl Guard {
    fn tell(&mut self, said: &Said) {
        // A controller that is gone needs no answer; its closed socket ends us.
        let _ = self.controller.write_all(said.line().as_bytes());
    }

    /// Whether the controller has closed its side, or is gone.
    fn is_left(&mut self) -> bool {
        let mut nothing = [0; 64];
        loop {
            match self.controller.read(&mut nothing) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return error.kind() != io::ErrorKind::WouldBlock,
            }
        }
    }

    /// Collects whatever has ended, adopted orphans too, and tells of the command's end; `false`: nothing is left.
    fn reap(&mut self) -> bool {
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) if self.leader == Some(pid) => {
                    self.leader = None;
                    // What it has left in its group ends with it, before anybody is told that it has ended. (The
                    // group has this number for as long as anybody is in it.)
                    let _ = kill_process_group(pid, Signal::TERM);
                    let _ = kill_process_group(pid, Signal::KILL);
                    self.tell(&match status.exit_status() {
                        Some(code) => Said::Exit(code),
                        None => Said::Signal(status.terminating_signal().unwrap_or(0)),
                    });
                }
                Ok(Some(_)) | Err(Errno::INTR) => {}
                Ok(None) => return true,
                Err(_) => return false,
            }
        }
    }

    /// Asks all to end, and kills what has not after a while. It stays for as long as anything does: who resumes the
    /// run finds it.
    fn end_all(&mut self) {
        let below = || descendants_of(getpid());
        below().iter().for_each(|process| process.signal(Signal::TERM));
        let until = Instant::now() + GRACE;
        while self.reap() && Instant::now() < until && !below().is_empty() {
            let _ = poll(&mut [], Some(&Timespec { tv_sec: 0, tv_nsec: 10_000_000 }));
        }
        while !kill_all(below, Some(AGAIN)).is_empty() {
            self.reap();
            std::thread::sleep(AGAIN);
        }
    }
}

/// Whether a process, by its command line, is such a guard.
pub(super) fn is_guard(pid: Pid) -> bool {
    let line = std::fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).unwrap_or_default();
    line.split(|byte| *byte == 0).nth(1) == Some(COMMAND_GUARD.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_read_back() {
        for said in [
            Said::Begun,
            Said::Exit(3),
            Said::Signal(9),
            Said::NotStarted(2, "bash: No such file or directory".to_owned()),
        ] {
            assert_eq!(Said::read(said.line().trim_end()), Some(said));
        }
        assert_eq!(Said::read("exit much"), None);
    }
}

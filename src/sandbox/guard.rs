//! The process that all processes of one worker live under: our own binary, executed again.
//!
//! It is a subreaper, so that daemons which their parents have left come back to it, and it ends every
//! descendant when its socket to the sandbox closes: a reboot, a clean end and `kill -9` of the sandbox are
//! the same thing to it.

use std::collections::HashMap;
use std::io::{self, IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags};
use rustix::process::{
    WaitId, WaitIdOptions, WaitOptions, getpid, set_child_subreaper, setsid, wait, waitid,
};
use serde::{Deserialize, Serialize};

use crate::os::descendants::{descendants_of, kill_all};

/// The name of the hidden subcommand that becomes a guard.
pub const GUARD_COMMAND: &str = "__guard";

/// One message is at most this long: a fixed bootstrap command and a clean environment, never a
/// script (those come by standard input).
pub(super) const MESSAGE_MAX: usize = 128 * 1024;

/// What to execute; its standard streams travel beside it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Launch {
    /// Comes back in [`Ended`].
    pub(super) id: u64,
    /// An absolute path.
    pub(super) program: String,
    /// Its arguments.
    pub(super) args: Vec<String>,
    /// Where it starts.
    pub(super) folder: String,
    /// Its whole environment.
    pub(super) env: Vec<(String, String)>,
}

/// A process that was launched has ended.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Ended {
    /// From [`Launch`].
    pub(super) id: u64,
    /// The exit code; 128 plus the signal for a killed one; 127 when it could not be started.
    pub(super) code: i32,
}

/// Which of our children answers to which id, and how many were ever started.
#[derive(Default)]
struct Children {
    ids: HashMap<i32, u64>,
    started: u64,
}

#[derive(Default)]
struct Shared {
    children: Mutex<Children>,
    one_more: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Children> {
        self.children.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The whole life of a guard; standard input is the socket to the sandbox.
///
/// # Errors
/// Standard input is not such a socket: the hidden command was typed by hand.
pub fn guard_main() -> io::Result<()> {
    // Its own session: a Ctrl-C or a hang-up of the terminal reaches the sandbox, which ends us.
    let _ = setsid();
    set_child_subreaper(Some(getpid()))?;
    let socket = Arc::new(io::stdin().as_fd().try_clone_to_owned()?);
    let shared = Arc::new(Shared::default());
    let reaper = (Arc::clone(&socket), Arc::clone(&shared));
    std::thread::Builder::new()
        .name("reaper".into())
        .stack_size(64 * 1024)
        .spawn(move || reap(&reaper.0, &reaper.1))?;
    let served = serve(&socket, &shared);
    let _ = kill_all(|| descendants_of(getpid()), None);
    served
}

fn serve(socket: &OwnedFd, shared: &Shared) -> io::Result<()> {
    let mut bytes = vec![0; MESSAGE_MAX];
    loop {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = rustix::net::recvmsg(
            socket,
            &mut [IoSliceMut::new(&mut bytes)],
            &mut control,
            RecvFlags::CMSG_CLOEXEC,
        );
        let length = match received {
            Ok(message) => message.bytes,
            Err(Errno::INTR) => continue,
            Err(Errno::CONNRESET) => 0,
            Err(error) => return Err(error.into()),
        };
        if length == 0 {
            return Ok(());
        }
        let streams: Vec<OwnedFd> = control
            .drain()
            .filter_map(|message| match message {
                RecvAncillaryMessage::ScmRights(fds) => Some(fds.collect::<Vec<_>>()),
                _ => None,
            })
            .flatten()
            .collect();
        let (Ok(launch), Ok(streams)) =
            (serde_json::from_slice::<Launch>(&bytes[..length]), <[OwnedFd; 3]>::try_from(streams))
        else {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "not a message of the sandbox"));
        };
        start(socket, shared, &launch, streams);
    }
}

/// Starts one; the lock is held until its id is known, so that its end is never seen before.
fn start(socket: &OwnedFd, shared: &Shared, launch: &Launch, streams: [OwnedFd; 3]) {
    let [stdin, stdout, stderr] = streams;
    let complaint = stderr.try_clone();
    let mut children = shared.lock();
    let child = Command::new(&launch.program)
        .args(&launch.args)
        .current_dir(&launch.folder)
        .env_clear()
        .envs(launch.env.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::from(stdin))
        .stdout(Stdio::from(stdout))
        .stderr(Stdio::from(stderr))
        .process_group(0)
        .spawn();
    match child {
        Ok(child) => {
            children.ids.insert(child.id().cast_signed(), launch.id);
            children.started += 1;
            shared.one_more.notify_one();
        }
        Err(error) => {
            drop(children);
            if let Ok(stderr) = complaint {
                let _ = writeln!(std::fs::File::from(stderr), "sandbox: {}: {error}", launch.program);
            }
            tell(socket, &Ended { id: launch.id, code: 127 });
        }
    }
}

/// Collects whatever ends, adopted orphans too, and tells of those that were asked for.
fn reap(socket: &OwnedFd, shared: &Shared) {
    let mut seen = 0;
    loop {
        // Looked at first and collected under the lock: a child whose exec failed is collected by
        // the standard library, which must not find it gone.
        match waitid(WaitId::All, WaitIdOptions::EXITED | WaitIdOptions::NOWAIT) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => {
                let mut children = shared.lock();
                while children.started == seen {
                    children = shared.one_more.wait(children).unwrap_or_else(PoisonError::into_inner);
                }
                seen = children.started;
                continue;
            }
        }
        let mut children = shared.lock();
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            if let Some(id) = children.ids.remove(&pid.as_raw_nonzero().get()) {
                let code = status
                    .exit_status()
                    .unwrap_or_else(|| 128 + status.terminating_signal().unwrap_or_default());
                tell(socket, &Ended { id, code });
            }
        }
    }
}

fn tell(socket: &OwnedFd, ended: &Ended) {
    if let Ok(text) = serde_json::to_vec(ended) {
        // A sandbox that is gone needs no answer; its closed socket ends us.
        let _ = rustix::net::send(socket, &text, SendFlags::NOSIGNAL);
    }
}

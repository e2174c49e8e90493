//! The sandbox's end of a guard: starts it, hands it processes to launch, and hears of their ends.
//!
//! Launching passes the three standard streams over the socket, so that the process is the guard's
//! child and yet talks to us alone.

use std::collections::HashMap;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, Shutdown, SocketFlags, SocketType,
};
use rustix::pipe::{PipeFlags, pipe_with};
use tokio::io::Interest;
use tokio::net::UnixDatagram;
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};
use tokio::sync::oneshot;

use super::guard::{Ended, GUARD_COMMAND, Launch};

/// A process that a guard has launched.
pub(super) struct Running {
    /// Dropped: end of file.
    pub(super) stdin: pipe::Sender,
    pub(super) stdout: pipe::Receiver,
    pub(super) stderr: pipe::Receiver,
    /// Its exit code; an error when the guard has gone.
    pub(super) exit: oneshot::Receiver<i32>,
}

type Waiting = Arc<Mutex<HashMap<u64, oneshot::Sender<i32>>>>;

/// One guard; its processes end when it is powered off or dropped.
pub(super) struct Guard {
    socket: Arc<UnixDatagram>,
    waiting: Waiting,
    next: AtomicU64,
    child: tokio::sync::Mutex<Child>,
}

impl Guard {
    /// Executes `program` (our own binary) as a guard. Must be called inside of a runtime.
    pub(super) fn start(program: &Path) -> io::Result<Self> {
        let (ours, theirs) =
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        rustix::io::ioctl_fionbio(&ours, true)?;
        let child = Command::new(program)
            .arg(GUARD_COMMAND)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        // The standard library has no type for sequenced packets; a datagram socket's calls fit.
        let socket = Arc::new(UnixDatagram::from_std(std::os::unix::net::UnixDatagram::from(ours))?);
        let waiting = Waiting::default();
        tokio::spawn(hear(Arc::clone(&socket), Arc::clone(&waiting)));
        Ok(Self { socket, waiting, next: AtomicU64::new(0), child: tokio::sync::Mutex::new(child) })
    }

    /// Launches `program`, an absolute path, with exactly this environment.
    pub(super) async fn launch(
        &self,
        program: &str,
        args: Vec<String>,
        folder: &str,
        env: Vec<(String, String)>,
    ) -> io::Result<Running> {
        let (stdin_read, stdin_write) = pipe_with(PipeFlags::CLOEXEC)?;
        let (stdout_read, stdout_write) = pipe_with(PipeFlags::CLOEXEC)?;
        let (stderr_read, stderr_write) = pipe_with(PipeFlags::CLOEXEC)?;
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let launch = Launch { id, program: program.into(), args, folder: folder.into(), env };
        let text = serde_json::to_vec(&launch)?;
        if text.len() > super::guard::MESSAGE_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the command is too long"));
        }
        let (sender, exit) = oneshot::channel();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(id, sender);
        let streams = [stdin_read, stdout_write, stderr_write];
        let send = || {
            let fds = [streams[0].as_fd(), streams[1].as_fd(), streams[2].as_fd()];
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            control.push(SendAncillaryMessage::ScmRights(&fds));
            let parts = [IoSlice::new(&text)];
            Ok(rustix::net::sendmsg(&*self.socket, &parts, &mut control, SendFlags::NOSIGNAL)?)
        };
        if let Err(error) = self.socket.async_io(Interest::WRITABLE, send).await {
            self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
            return Err(error);
        }
        Ok(Running {
            stdin: pipe::Sender::from_owned_fd(stdin_write)?,
            stdout: pipe::Receiver::from_owned_fd(stdout_read)?,
            stderr: pipe::Receiver::from_owned_fd(stderr_read)?,
            exit,
        })
    }

    /// Ends every process below the guard, and the guard; returns when they are gone.
    pub(super) async fn power_off(&self) {
        let _ = rustix::net::shutdown(&*self.socket, Shutdown::Both);
        let _ = self.child.lock().await.wait().await;
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // The listener task holds the socket as well: closing needs a word.
        let _ = rustix::net::shutdown(&*self.socket, Shutdown::Both);
    }
}

/// Passes on the ends of processes until the guard has gone.
async fn hear(socket: Arc<UnixDatagram>, waiting: Waiting) {
    let mut bytes = [0; 256];
    while let Ok(length) = socket.recv(&mut bytes).await {
        let Ok(ended) = serde_json::from_slice::<Ended>(&bytes[..length]) else { break };
        let sender = waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&ended.id);
        if let Some(sender) = sender {
            let _ = sender.send(ended.code);
        }
    }
    waiting.lock().unwrap_or_else(PoisonError::into_inner).clear();
}

//! Sockets: bounded connects that can be cancelled, keepalive, and one handle that can be polled and
//! shut down while libssh2 uses it.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{AddressFamily, RecvFlags, Shutdown, SocketFlags, SocketType, recv, shutdown, sockopt};

use super::{Cancel, ConnectError};
use crate::os::limits;

/// Unanswered data ends a connection after this long (`TCP_USER_TIMEOUT`, in ms). Keepalives below
/// count as data, so a half-open connection is noticed within 20 s.
const USER_TIMEOUT_MS: u32 = 15_000;
/// First keepalive after this much quiet, then at this interval.
const KEEPALIVE: Duration = Duration::from_secs(5);

/// How often a wait looks at its [`Cancel`].
pub(super) const TICK: Duration = Duration::from_millis(100);

#[derive(Debug)]
enum Kind {
    Tcp(TcpStream),
    Tunnel(UnixStream),
}

/// A socket that libssh2 and we share: one descriptor, closed with the last handle.
#[derive(Clone, Debug)]
pub(super) struct Socket(Arc<Kind>);

impl Socket {
    pub(super) fn tunnel(stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self(Arc::new(Kind::Tunnel(stream))))
    }

    /// Ends the connection for all its users; nothing blocks on it from then on.
    pub(super) fn shut_down(&self) {
        let _ = shutdown(self, Shutdown::Both);
    }

    /// Whether the other side has closed it, and all that it had sent was read.
    pub(super) fn is_closed(&self) -> bool {
        let mut byte = [0; 1];
        match recv(self, &mut byte, RecvFlags::PEEK | RecvFlags::DONTWAIT) {
            Ok((_, read)) => read == 0,
            Err(errno) => !matches!(errno, rustix::io::Errno::AGAIN | rustix::io::Errno::INTR),
        }
    }

    /// Waits until it can be read (or written, where asked for), at most `timeout`.
    pub(super) fn wait(&self, write: bool, timeout: Duration) {
        let mut flags = PollFlags::IN;
        flags.set(PollFlags::OUT, write);
        wait_any(&mut [PollFd::new(self, flags)], timeout);
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &*self.0 {
            Kind::Tcp(stream) => stream.as_fd(),
            Kind::Tunnel(stream) => stream.as_fd(),
        }
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

/// `poll(2)` whose errors (interrupted) end the wait early, which every caller's loop bears.
pub(super) fn wait_any(fds: &mut [PollFd<'_>], timeout: Duration) {
    let timeout = Timespec {
        tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: timeout.subsec_nanos().into(),
    };
    let _ = poll(fds, Some(&timeout));
}

/// `host:port` as it is written in messages, an IPv6 address in brackets.
pub(super) fn address(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// A TCP connection with keepalive, before `until`.
pub(super) fn connect(
    host: &str,
    port: u16,
    within: Duration,
    until: Instant,
    cancel: &Cancel,
) -> Result<Socket, ConnectError> {
    let addr = address(host, port);
    let until = until.min(Instant::now() + within);
    let mut last = None;
    for candidate in resolve(host, port, within, until, cancel)? {
        match connect_one(candidate, until, cancel) {
            Ok(stream) => return Ok(Socket(Arc::new(Kind::Tcp(stream)))),
            Err(Failure::Cancelled) => return Err(ConnectError::Cancelled),
            Err(Failure::Late) => return Err(ConnectError::TimedOut { addr, after: within }),
            Err(Failure::System(error)) => last = Some(error),
        }
    }
    Err(match last {
        Some(error) if error.kind() == io::ErrorKind::ConnectionRefused => ConnectError::Refused { addr },
        Some(error) if error.kind() == io::ErrorKind::TimedOut => {
            ConnectError::TimedOut { addr, after: within }
        }
        Some(error) if limits::is_exhaustion(&error) => ConnectError::Exhausted { why: error.to_string() },
        Some(error) => ConnectError::Unreachable { addr, why: error.to_string() },
        None => ConnectError::Unreachable { addr, why: "the name has no address".into() },
    })
}

enum Failure {
    Cancelled,
    Late,
    System(io::Error),
}

impl From<rustix::io::Errno> for Failure {
    fn from(errno: rustix::io::Errno) -> Self {
        Self::System(errno.into())
    }
}

fn connect_one(to: SocketAddr, until: Instant, cancel: &Cancel) -> Result<TcpStream, Failure> {
    let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let fd = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    match rustix::net::connect(&fd, &to) {
        Ok(()) => {}
        Err(rustix::io::Errno::INPROGRESS) => loop {
            if cancel.is_cancelled() {
                return Err(Failure::Cancelled);
            }
            let left = until.checked_duration_since(Instant::now()).ok_or(Failure::Late)?;
            let mut fds = [PollFd::new(&fd, PollFlags::OUT)];
            wait_any(&mut fds, left.min(TICK));
            if !fds[0].revents().is_empty() {
                sockopt::socket_error(&fd)??;
                break;
            }
        },
        Err(errno) => return Err(errno.into()),
    }
    sockopt::set_tcp_nodelay(&fd, true)?;
    sockopt::set_socket_keepalive(&fd, true)?;
    sockopt::set_tcp_keepidle(&fd, KEEPALIVE)?;
    sockopt::set_tcp_keepintvl(&fd, KEEPALIVE)?;
    #[cfg(target_os = "linux")]
    sockopt::set_tcp_user_timeout(&fd, USER_TIMEOUT_MS)?;
    Ok(TcpStream::from(fd))
}

/// Names are looked up on a thread of their own, because the system's resolver knows no deadline.
fn resolve(
    host: &str,
    port: u16,
    within: Duration,
    until: Instant,
    cancel: &Cancel,
) -> Result<Vec<SocketAddr>, ConnectError> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let unreachable = |why: String| ConnectError::Unreachable { addr: address(host, port), why };
    let (tell, hear) = mpsc::channel();
    let name = host.to_owned();
    std::thread::Builder::new()
        .name("resolve".into())
        .spawn(move || {
            let found = (name.as_str(), port).to_socket_addrs().map(Iterator::collect);
            // There is no listener any more when the connect was given up.
            let _ = tell.send(found);
        })
        .map_err(|error| ConnectError::Exhausted { why: error.to_string() })?;
    loop {
        match hear.recv_timeout(TICK) {
            Ok(found) => return found.map_err(|error: io::Error| unreachable(error.to_string())),
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                return Err(unreachable("the look-up of the name ended without an answer".into()));
            }
            Err(mpsc::RecvTimeoutError::Timeout) if cancel.is_cancelled() => {
                return Err(ConnectError::Cancelled);
            }
            Err(mpsc::RecvTimeoutError::Timeout) if Instant::now() >= until => {
                return Err(unreachable(format!("no answer about the name within {within:?}")));
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {}
        }
    }
}

/// Sleeps, unless cancelled or too late first; `false` then.
pub(super) fn pause(time: Duration, until: Instant, cancel: &Cancel) -> bool {
    let end = Instant::now() + time;
    loop {
        let now = Instant::now();
        if cancel.is_cancelled() || now >= until {
            return false;
        }
        if now >= end {
            return true;
        }
        std::thread::sleep(TICK.min(end - now).min(until - now));
    }
}

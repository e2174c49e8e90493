//! Sockets: bounded connects that can be cancelled, and keepalive.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{AddressFamily, RecvFlags, Shutdown, SocketFlags, SocketType, recv, shutdown, sockopt};

use super::config::Family;
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

/// The network's end of a connection.
#[derive(Debug)]
pub(super) struct Socket(Kind);

impl Socket {
    pub(super) fn tunnel(stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self(Kind::Tunnel(stream)))
    }

    /// Ends the connection for all its users; nothing blocks on it from then on.
    pub(super) fn shut_down(&self) {
        let _ = shutdown(self, Shutdown::Both);
    }

    /// The address at the other end; `None`: it is behind a jump host.
    pub(super) fn peer(&self) -> Option<SocketAddr> {
        match &self.0 {
            Kind::Tcp(stream) => stream.peer_addr().ok(),
            Kind::Tunnel(_) => None,
        }
    }

    /// Whether the other side has closed it, and all that it had sent was read.
    pub(super) fn is_closed(&self) -> bool {
        let mut byte = [0; 1];
        match recv(self, &mut byte, RecvFlags::PEEK | RecvFlags::DONTWAIT) {
            Ok((_, read)) => read == 0,
            Err(errno) => !matches!(errno, rustix::io::Errno::AGAIN | rustix::io::Errno::INTR),
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.0 {
            Kind::Tcp(stream) => stream.as_fd(),
            Kind::Tunnel(stream) => stream.as_fd(),
        }
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

/// A TCP connection with keepalive, before `until`, to whichever address of the name answers.
pub(super) fn connect(
    host: &str,
    port: u16,
    family: Family,
    within: Duration,
    until: Instant,
    cancel: &Cancel,
) -> Result<Socket, ConnectError> {
    let addr = address(host, port);
    let until = until.min(Instant::now() + within);
    let mut candidates = resolve(host, port, within, until, cancel)?;
    candidates.retain(|candidate| match family {
        Family::Any => true,
        Family::V4 => candidate.is_ipv4(),
        Family::V6 => candidate.is_ipv6(),
    });
    let failures = match connect_any(&candidates, until, cancel) {
        Ok(stream) => return Ok(Socket(Kind::Tcp(stream))),
        Err(failures) => failures.ok_or(ConnectError::Cancelled)?,
    };
    let all = |kind| !failures.is_empty() && failures.iter().all(|(_, error)| error.kind() == kind);
    let late = |(_, error): &(_, io::Error)| error.kind() == io::ErrorKind::TimedOut;
    if let Some((_, error)) = failures.iter().find(|(_, error)| limits::is_exhaustion(error)) {
        return Err(ConnectError::Exhausted { why: error.to_string() });
    }
    Err(match failures.as_slice() {
        [] if family != Family::Any => {
            let why = "the name has no address of the AddressFamily that the ssh config asks for".into();
            ConnectError::Unresolved { addr, why }
        }
        [] => ConnectError::Unresolved { addr, why: "the name has no address".into() },
        _ if all(io::ErrorKind::ConnectionRefused) => ConnectError::Refused { addr },
        failures if failures.iter().any(late) => ConnectError::TimedOut { addr, after: within },
        failures => {
            let each = failures.iter().map(|(to, error)| match failures {
                [_] => error.to_string(),
                _ => format!("{}: {error}", to.ip()),
            });
            let why = each.collect::<Vec<_>>().join(", ");
            ConnectError::Unreachable { addr, why, here: all(io::ErrorKind::NetworkUnreachable) }
        }
    })
}

/// One address after the other; one that does not answer leaves the others their share of the time. The
/// errors of all, `None`: cancelled.
fn connect_any(
    candidates: &[SocketAddr],
    until: Instant,
    cancel: &Cancel,
) -> Result<TcpStream, Option<Vec<(SocketAddr, io::Error)>>> {
    let mut failures = Vec::new();
    for (at, candidate) in candidates.iter().enumerate() {
        let others = u32::try_from(candidates.len() - at).unwrap_or(u32::MAX);
        let share = until.saturating_duration_since(Instant::now()) / others;
        match connect_one(*candidate, Instant::now() + share, cancel) {
            Ok(stream) => return Ok(stream),
            Err(Failure::Cancelled) => return Err(None),
            Err(Failure::Late) => failures.push((*candidate, io::ErrorKind::TimedOut.into())),
            Err(Failure::System(error)) => failures.push((*candidate, error)),
        }
    }
    Err(Some(failures))
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
    let unresolved = |why: String| ConnectError::Unresolved { addr: address(host, port), why };
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
            Ok(found) => return found.map_err(|error: io::Error| unresolved(error.to_string())),
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                return Err(unresolved("the look-up of the name ended without an answer".into()));
            }
            Err(mpsc::RecvTimeoutError::Timeout) if cancel.is_cancelled() => {
                return Err(ConnectError::Cancelled);
            }
            Err(mpsc::RecvTimeoutError::Timeout) if Instant::now() >= until => {
                return Err(unresolved(format!(
                    "no answer about the name within {}",
                    super::remote::humane(within)
                )));
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

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;

    /// A port that takes no more connections: whoever comes gets no answer.
    fn deaf() -> (rustix::fd::OwnedFd, Vec<TcpStream>, SocketAddr) {
        let fd = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        rustix::net::bind(&fd, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
        rustix::net::listen(&fd, 0).unwrap();
        let to = SocketAddr::try_from(rustix::net::getsockname(&fd).unwrap()).unwrap();
        let within = Duration::from_millis(200);
        let queued = (0..8).map_while(|_| TcpStream::connect_timeout(&to, within).ok()).collect();
        (fd, queued, to)
    }

    #[test]
    fn every_address_of_a_name_is_tried() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let there = listener.local_addr().unwrap();
        let closed = {
            let gone = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            gone.local_addr().unwrap()
        };
        let (_fd, _queued, deaf) = deaf();
        let until = || Instant::now() + Duration::from_secs(1);
        let stream = connect_any(&[closed, deaf, there], until(), &Cancel::new()).unwrap();
        assert_eq!(stream.peer_addr().unwrap(), there);
        let failures = connect_any(&[closed, deaf], until(), &Cancel::new()).unwrap_err().unwrap();
        let kinds: Vec<_> = failures.iter().map(|(_, error)| error.kind()).collect();
        assert_eq!(kinds, [io::ErrorKind::ConnectionRefused, io::ErrorKind::TimedOut]);
        let cancel = Cancel::new();
        cancel.cancel();
        assert!(connect_any(&[deaf], until(), &cancel).unwrap_err().is_none());
    }
}

//! The probes that are made from this machine: TCP and HTTP.
//!
//! A connection, and for HTTP the smallest request of HTTP/1.1 that a server must answer; only the status
//! line is read. Every read and write is bounded by one end.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use crate::bucket::Host;

/// A status line is shorter; what is longer is no HTTP.
const HEAD_BYTES: usize = 8 * 1024;

/// Whether a TCP connection can be made before `until`.
pub(super) fn tcp(host: &Host, port: u16, until: Instant) -> Result<(), String> {
    connect(host, port, until).map(drop).map_err(|why| format!("tcp port {port}: {why}"))
}

/// Whether `GET path` is answered with one of `expected` (empty: 200 to 399) before `until`.
pub(super) fn http(
    host: &Host,
    port: u16,
    path: &str,
    expected: &[u16],
    until: Instant,
) -> Result<(), String> {
    let status = status(host, port, path, until).map_err(|why| format!("http port {port} {path}: {why}"))?;
    let well = if expected.is_empty() { (200..400).contains(&status) } else { expected.contains(&status) };
    if well {
        return Ok(());
    }
    let wanted = match expected {
        [] => "200 to 399".to_owned(),
        some => some.iter().map(u16::to_string).collect::<Vec<_>>().join(" or "),
    };
    Err(format!("http port {port} {path}: status {status}, expected {wanted}"))
}

fn connect(host: &Host, port: u16, until: Instant) -> Result<TcpStream, String> {
    let addresses: Vec<SocketAddr> = match host.as_str().parse::<IpAddr>() {
        Ok(address) => vec![(address, port).into()],
        Err(_) => (host.as_str(), port).to_socket_addrs().map_err(|error| error.to_string())?.collect(),
    };
    let mut last = format!("{host} has no address");
    for address in addresses {
        match TcpStream::connect_timeout(&address, left(until)?) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error.to_string(),
        }
    }
    Err(last)
}

fn status(host: &Host, port: u16, path: &str, until: Instant) -> Result<u16, String> {
    let mut stream = connect(host, port, until)?;
    // A zone is of this machine only (RFC 6874).
    let name = host.as_str().split('%').next().unwrap_or_default();
    let name = if host.is_ipv6() { format!("[{name}]") } else { name.to_owned() };
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {name}:{port}\r\nUser-Agent: maand/{}\r\nAccept: */*\r\nConnection: close\r\n\r\n",
        target(path),
        env!("CARGO_PKG_VERSION"),
    );
    stream.set_write_timeout(Some(left(until)?)).map_err(|error| error.to_string())?;
    stream.write_all(request.as_bytes()).map_err(|error| describe_io(&error))?;
    let mut head = Vec::new();
    let mut buffer = [0; 1024];
    loop {
        stream.set_read_timeout(Some(left(until)?)).map_err(|error| error.to_string())?;
        let read = stream.read(&mut buffer).map_err(|error| describe_io(&error))?;
        head.extend_from_slice(&buffer[..read]);
        match parse(&head)? {
            // 1xx: the answer itself is still to come.
            Parsed::Status(status) => return Ok(status),
            Parsed::More if read == 0 => return Err("the answer ended before its status line".to_owned()),
            Parsed::More if head.len() > HEAD_BYTES => return Err("that is not HTTP".to_owned()),
            Parsed::More => {}
        }
    }
}

#[cfg_attr(any(test, fuzzing), derive(Debug))]
pub(super) enum Parsed {
    Status(u16),
    More,
}

/// The first status line that is not 1xx.
pub(super) fn parse(mut head: &[u8]) -> Result<Parsed, String> {
    loop {
        let Some(end) = head.iter().position(|byte| *byte == b'\n') else { return Ok(Parsed::More) };
        let line = String::from_utf8_lossy(&head[..end]).into_owned();
        let mut words = line.split_whitespace();
        let status = words
            .next()
            .filter(|version| version.starts_with("HTTP/1."))
            .and_then(|_| words.next())
            .filter(|code| code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|code| code.parse::<u16>().ok())
            .ok_or("that is not HTTP/1")?;
        if !(100..200).contains(&status) || status == 101 {
            return Ok(Parsed::Status(status));
        }
        let Some(blank) = head.windows(4).position(|four| four == b"\r\n\r\n") else {
            return Ok(Parsed::More);
        };
        head = &head[blank + 4..];
    }
}

/// The path as it may stand in a request: what may not is percent-encoded.
pub(super) fn target(path: &str) -> String {
    let mut target = String::with_capacity(path.len());
    if !path.starts_with('/') {
        target.push('/');
    }
    for byte in path.bytes() {
        match byte {
            0x21..=0x7e if !b"\"<>\\^`{|}#".contains(&byte) => target.push(byte.into()),
            other => target.push_str(&format!("%{other:02X}")),
        }
    }
    target
}

fn left(until: Instant) -> Result<Duration, String> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() { Err("no answer in time".to_owned()) } else { Ok(left) }
}

fn describe_io(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut => "no answer in time".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// Serves one connection with `answer`, after having read a request if there is one.
    fn serve(answer: &'static [u8]) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            let _ = stream.read(&mut request);
            let _ = stream.write_all(answer);
        });
        port
    }

    fn get(answer: &'static [u8], expected: &[u16]) -> Result<(), String> {
        let host = Host::parse("127.0.0.1").unwrap();
        http(&host, serve(answer), "/health", expected, Instant::now() + Duration::from_secs(20))
    }

    #[test]
    fn statuses() {
        assert_eq!(get(b"HTTP/1.1 204 No Content\r\n\r\n", &[]), Ok(()));
        assert_eq!(get(b"HTTP/1.0 503 no\r\n\r\n", &[503]), Ok(()));
        assert_eq!(get(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n", &[]), Ok(()));
        assert!(
            get(b"HTTP/1.1 500 Oh\r\n\r\n", &[]).unwrap_err().contains("status 500, expected 200 to 399")
        );
        for other in [&b"SSH-2.0-x\r\n"[..], b"HTTP/1.1 +20 OK\r\n\r\n", b"HTTP/1.1 20 OK\r\n\r\n"] {
            assert!(get(other, &[20]).unwrap_err().contains("not HTTP"));
        }
        assert!(get(b"", &[]).unwrap_err().contains("ended before"));
    }

    #[test]
    fn a_closed_port_and_a_silent_one() {
        let host = Host::parse("127.0.0.1").unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(tcp(&host, port, Instant::now() + Duration::from_secs(20)), Ok(()));
        // No accept, no answer.
        let soon = Instant::now() + Duration::from_millis(50);
        assert!(http(&host, port, "/", &[], soon).unwrap_err().contains("no answer in time"));
        drop(listener);
        assert!(tcp(&host, port, Instant::now() + Duration::from_secs(20)).is_err());
    }

    #[test]
    fn a_path_cannot_break_the_request() {
        assert_eq!(target("/a b\r\nX: y?q=1"), "/a%20b%0D%0AX:%20y?q=1");
        assert_eq!(target("health"), "/health");
    }
}

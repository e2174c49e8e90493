//! One request, one answer. No redirection is followed: another place than the one that was named is never asked.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use ureq::http::Request;
use ureq::tls::{TlsConfig, TlsProvider};
use ureq::{Agent, Error, Timeout};

use super::passage::Passage;
use super::retry_after::{date, retry_after};
use super::trust::Trust;
use crate::plan::without_error_numbers;

/// A connection is made within this time, or not at all.
const CONNECT: Duration = Duration::from_secs(30);
/// So many bytes of an answer are read.
pub const LARGEST_ANSWER: usize = 1024 * 1024;
/// How soon it is noticed that nobody wants the answer any more.
const LOOK: Duration = Duration::from_millis(50);

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Where it sends who asks, of a redirection.
    pub location: Option<String>,
    /// When it was answered, by the clock of whoever did: the `Date` of RFC 9110, as it was sent.
    pub date: Option<String>,
    /// For how long it wants to be asked nothing more: its `Retry-After`, seconds or a date. Any length, so put a bound on it.
    pub retry_after: Option<Duration>,
    /// The body, of at most [`LARGEST_ANSWER`] bytes.
    pub body: Vec<u8>,
    /// Whether that is all of the body.
    pub is_whole: bool,
}

#[cfg(any(test, fuzzing))]
impl Answer {
    /// With this body, all of it, and nothing else said.
    pub(crate) fn plain(status: u16, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        Self { status, location: None, date: None, retry_after: None, body, is_whole: true }
    }
}

/// Why there is no answer. What the system says of it is without its numbers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// No connection was made.
    #[error("{0}")]
    Unreachable(String),
    /// The other side could not show that it is who it should be.
    #[error("no trusted connection: {0}")]
    Untrusted(String),
    /// This machine could not send it.
    #[error("{0}")]
    NotSendable(String),
    /// Whoever asked did not want to wait any longer, before a connection was made.
    #[error("it was given up before anything was sent")]
    NotSent,
    /// The answer did not come in time.
    #[error("no answer in time")]
    TimedOut,
    /// The connection ended before the answer did.
    #[error("{0}")]
    Broken(String),
    /// Whoever asked did not want to wait any longer.
    #[error("it was given up")]
    GivenUp,
}

impl NoAnswer {
    /// Whether the request, or a part of it, may have arrived. If not, it has not and will not.
    pub fn may_have_arrived(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Untrusted(_) | Self::NotSendable(_) | Self::NotSent => false,
            Self::TimedOut | Self::Broken(_) | Self::GivenUp => true,
        }
    }
}

/// Sends a request, and waits for the whole answer, for at most `timeout`, and no longer than `is_given_up` says so.
///
/// Certificates are judged by what this machine trusts (`SSL_CERT_FILE` and `SSL_CERT_DIR` are heeded, as by OpenSSL).
///
/// # Errors
/// No answer, and whether the request may have arrived.
pub fn send(
    request: Request<Vec<u8>>,
    timeout: Duration,
    is_given_up: impl Fn() -> bool,
) -> Result<Answer, NoAnswer> {
    send_trusting(request, timeout, &Trust::default(), is_given_up)
}

/// As [`send`], and certificates are judged as `trust` says.
///
/// # Errors
/// As of [`send`].
pub fn send_trusting(
    request: Request<Vec<u8>>,
    timeout: Duration,
    trust: &Trust,
    is_given_up: impl Fn() -> bool,
) -> Result<Answer, NoAnswer> {
    let trust = trust.clone();
    // One that is no port counts as none, and another server would be asked.
    if request.uri().authority().is_some_and(|authority| {
        let behind_host = authority.as_str().rsplit(['@', ']']).next().unwrap_or_default();
        behind_host.contains(':') && authority.port_u16().is_none_or(|port| port == 0)
    }) {
        return Err(NoAnswer::NotSendable("its port is not a number from 1 to 65535".to_owned()));
    }
    let (to_here, answers) = mpsc::channel();
    let began = Instant::now();
    let passage = Passage::default();
    let to_pass = passage.clone();
    let ask = move || {
        // Nobody waits any more after it was given up.
        let _ = to_here.send(ask(request, timeout, &trust, &to_pass));
    };
    // On a thread of its own, so that giving up need not wait for a server that says nothing.
    std::thread::Builder::new()
        .name("http".into())
        .spawn(ask)
        .map_err(|error| NoAnswer::NotSendable(format!("no thread could be started: {}", said(&error))))?;
    loop {
        match answers.recv_timeout(LOOK.min(timeout)) {
            Ok(answer) => return answer.map_err(|error| no_answer(&error, passage.is_open())),
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                return Err(NoAnswer::Broken("the request ended without an answer".to_owned()));
            }
            Err(mpsc::RecvTimeoutError::Timeout) if is_given_up() => {
                return Err(if passage.shut() { NoAnswer::NotSent } else { NoAnswer::GivenUp });
            }
            // The resolver of the system has time-outs of its own.
            Err(mpsc::RecvTimeoutError::Timeout) if began.elapsed() > timeout + CONNECT => {
                return Err(if passage.shut() { no_connection() } else { NoAnswer::TimedOut });
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {}
        }
    }
}

fn ask(
    request: Request<Vec<u8>>,
    timeout: Duration,
    trust: &Trust,
    passage: &Passage,
) -> Result<Answer, Error> {
    let tls = TlsConfig::builder().provider(TlsProvider::NativeTls).root_certs(trust.roots());
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .timeout_global(Some(timeout))
        .timeout_connect(Some(CONNECT.min(timeout)))
        .user_agent(concat!("maand/", env!("CARGO_PKG_VERSION")))
        .tls_config(tls.build());
    let (agent, request) = trust.agent(config, request, passage)?;
    // An empty body would be announced by its length, which some servers refuse of a GET.
    let mut answer = match request.body().is_empty() {
        true => agent.run(request.map(|_| ()))?,
        false => agent.run(request)?,
    };
    let header =
        |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let (location, sent) = (header("location"), header("date"));
    let now = sent.as_deref().and_then(date).unwrap_or_else(Timestamp::now);
    let retry_after = header("retry-after").and_then(|value| retry_after(&value, now));
    let mut body = Vec::new();
    let mut reader = std::io::Read::take(answer.body_mut().as_reader(), LARGEST_ANSWER as u64 + 1);
    std::io::Read::read_to_end(&mut reader, &mut body).map_err(Error::Io)?;
    let is_whole = body.len() <= LARGEST_ANSWER;
    body.truncate(LARGEST_ANSWER);
    Ok(Answer { status: answer.status().as_u16(), location, date: sent, retry_after, body, is_whole })
}

/// What somebody else says of an error, without the numbers of the system.
fn said(error: &dyn std::fmt::Display) -> String {
    without_error_numbers(&error.to_string())
}

fn no_connection() -> NoAnswer {
    NoAnswer::Unreachable("no connection was made in time".to_owned())
}

/// The time was up; the body's reader wraps what it says of that.
fn is_late(error: &Error) -> bool {
    match error {
        Error::Timeout(_) => true,
        Error::Io(error) => {
            let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
            error.kind() == std::io::ErrorKind::TimedOut || inner.is_some_and(is_late)
        }
        _ => false,
    }
}

/// What is known of a request that got no answer; `is_sent`: a connection stood for it.
fn no_answer(error: &Error, is_sent: bool) -> NoAnswer {
    match error {
        late if is_sent && is_late(late) => NoAnswer::TimedOut,
        Error::Io(error) if is_sent => {
            NoAnswer::Broken(format!("the connection ended before the answer did: {}", said(error)))
        }
        other if is_sent => NoAnswer::Broken(said(other)),
        Error::Timeout(Timeout::Resolve) => {
            NoAnswer::Unreachable("the address of its host was not found in time".to_owned())
        }
        Error::Timeout(_) => no_connection(),
        Error::HostNotFound => NoAnswer::Unreachable("its host name is not known".to_owned()),
        Error::NativeTls(error) => NoAnswer::Untrusted(said(error)),
        Error::Tls(why) => NoAnswer::Untrusted((*why).to_owned()),
        Error::BadUri(_) | Error::Http(_) | Error::Protocol(_) => NoAnswer::NotSendable(said(error)),
        Error::Io(error) => NoAnswer::Unreachable(format!("no connection: {}", said(error))),
        other => NoAnswer::Unreachable(said(other)),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::net::{TcpListener, TcpStream};

    use super::*;

    /// The type of urls takes 80443 for no port: port 80 would be asked.
    #[test]
    fn a_port_that_is_none_asks_nobody() {
        for url in ["http://127.0.0.1:80443/x", "http://[::1]:99999/", "http://127.0.0.1:0/"] {
            let request = Request::get(url).body(Vec::new()).unwrap();
            let answer = send(request, Duration::from_secs(5), || false);
            assert!(matches!(answer, Err(NoAnswer::NotSendable(_))), "{url}: {answer:?}");
        }
        let refused = get("http://127.0.0.1:1/", Duration::from_secs(5)).unwrap_err();
        assert_eq!(refused, NoAnswer::Unreachable("no connection: Connection refused".to_owned()));
    }

    fn get(url: &str, within: Duration) -> Result<Answer, NoAnswer> {
        send(Request::get(url).body(Vec::new()).unwrap(), within, || false)
    }

    /// What the system says has a number behind it; what an operator reads has none.
    #[test]
    fn what_the_system_says_is_said_without_its_number() {
        for code in [libc_like::ECONNREFUSED, libc_like::EHOSTUNREACH, libc_like::ECONNRESET] {
            for is_sent in [false, true] {
                let error = std::io::Error::from_raw_os_error(code);
                assert!(error.to_string().contains("(os error"), "{error}");
                let said = no_answer(&Error::Io(error), is_sent).to_string();
                assert!(!said.contains("os error") && said.len() > 20, "{said}");
            }
        }
    }

    /// Numbers of Linux.
    mod libc_like {
        pub(super) const ECONNRESET: i32 = 104;
        pub(super) const ECONNREFUSED: i32 = 111;
        pub(super) const EHOSTUNREACH: i32 = 113;
    }

    /// A server to which no further connection can be made: what it has is taken from its queue by nobody.
    fn full() -> (TcpListener, Vec<TcpStream>) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        rustix::net::listen(&listener, 0).unwrap();
        let address = listener.local_addr().unwrap();
        let mut queue = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(300)) {
            queue.push(stream);
            assert!(queue.len() < 100, "its queue has no end");
        }
        (listener, queue)
    }

    /// A deadline that passes before a connection stands says that nothing was sent, however short it is.
    #[test]
    fn a_request_may_have_arrived_only_when_a_connection_stood() {
        let short = Duration::from_millis(700);
        let (server, _queue) = full();
        let to = server.local_addr().unwrap();
        let never = get(&format!("http://{to}/"), short).unwrap_err();
        assert_eq!(never, NoAnswer::Unreachable("no connection was made in time".to_owned()));
        // It takes connections, and says nothing: TLS needs an answer before anything is sent, plain HTTP does not.
        let silent = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let to = silent.local_addr().unwrap();
        let handshake = get(&format!("https://{to}/"), short).unwrap_err();
        assert!(!handshake.may_have_arrived(), "{handshake:?}");
        assert_eq!(get(&format!("http://{to}/"), short).unwrap_err(), NoAnswer::TimedOut);
        drop(silent);
        // It ends each connection as soon as it is there.
        let curt = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let to = curt.local_addr().unwrap();
        std::thread::spawn(move || {
            while let Ok((mut stream, _)) = curt.accept() {
                let _ = stream.read(&mut [0; 1]);
            }
        });
        let tls = get(&format!("https://{to}/"), short).unwrap_err();
        assert!(!tls.may_have_arrived(), "{tls:?}");
        let plain = get(&format!("http://{to}/"), short).unwrap_err();
        assert!(
            matches!(&plain, NoAnswer::Broken(why) if why.contains("before the answer did")),
            "{plain:?}"
        );
    }

    /// A network may say of a connection that stands what it says of one that was never made.
    #[test]
    fn an_error_behind_the_connect_says_nothing_of_what_has_arrived() {
        use std::io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable, TimedOut};
        for kind in [ConnectionRefused, HostUnreachable, NetworkUnreachable, TimedOut] {
            let of = |is_sent| no_answer(&Error::Io(kind.into()), is_sent).may_have_arrived();
            assert_eq!((of(false), of(true)), (false, true), "{kind:?}");
        }
        for timeout in [Timeout::Global, Timeout::Connect, Timeout::Resolve, Timeout::RecvResponse] {
            let of = |is_sent| no_answer(&Error::Timeout(timeout), is_sent).may_have_arrived();
            assert_eq!((of(false), of(true)), (false, true), "{timeout:?}");
        }
    }

    #[test]
    fn what_was_given_up_before_a_connection_stood_is_never_sent() {
        let (server, queue) = full();
        let url = format!("http://{}/", server.local_addr().unwrap());
        let request = Request::post(url).body(b"x".to_vec()).unwrap();
        let given_up = send(request, Duration::from_secs(20), || true);
        assert_eq!(given_up.unwrap_err(), NoAnswer::NotSent);
        // The connection that was being made is made now, and ends with nothing on it.
        let mut strangers = 0;
        for _ in 0..=queue.len() {
            let (mut stream, peer) = server.accept().unwrap();
            if queue.iter().all(|own| own.local_addr().unwrap() != peer) {
                strangers += 1;
                assert_eq!(stream.read(&mut [0; 1]).unwrap_or(0), 0, "something was sent");
            }
        }
        assert_eq!(strangers, 1);
    }
}

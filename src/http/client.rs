//! One request, one answer. No redirection is followed: another place than the one that was named is never asked.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use ureq::http::Request;
use ureq::tls::{TlsConfig, TlsProvider};
use ureq::{Agent, Timeout};

use super::trust::Trust;

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
    /// The body, of at most [`LARGEST_ANSWER`] bytes.
    pub body: Vec<u8>,
    /// Whether that is all of the body.
    pub is_whole: bool,
}

/// Why there is no answer. The first three say that nothing of the request has arrived; after the others it may have.
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
    let ask = move || {
        // Nobody waits any more after it was given up.
        let _ = to_here.send(ask(request, timeout, &trust));
    };
    // On a thread of its own, so that giving up need not wait for a server that says nothing.
    std::thread::Builder::new()
        .name("http".into())
        .spawn(ask)
        .map_err(|error| NoAnswer::NotSendable(format!("no thread could be started: {error}")))?;
    loop {
        match answers.recv_timeout(LOOK.min(timeout)) {
            Ok(answer) => return answer.map_err(|error| no_answer(&error)),
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                return Err(NoAnswer::Broken("the request ended without an answer".to_owned()));
            }
            Err(mpsc::RecvTimeoutError::Timeout) if is_given_up() => return Err(NoAnswer::GivenUp),
            // The resolver of the system has time-outs of its own.
            Err(mpsc::RecvTimeoutError::Timeout) if began.elapsed() > timeout + CONNECT => {
                return Err(NoAnswer::TimedOut);
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {}
        }
    }
}

fn ask(request: Request<Vec<u8>>, timeout: Duration, trust: &Trust) -> Result<Answer, ureq::Error> {
    let tls = TlsConfig::builder().provider(TlsProvider::NativeTls).root_certs(trust.roots());
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .timeout_global(Some(timeout))
        .timeout_connect(Some(CONNECT.min(timeout)))
        .user_agent(concat!("maand/", env!("CARGO_PKG_VERSION")))
        .tls_config(tls.build());
    let (agent, request) = trust.agent(config, request)?;
    // An empty body would be announced by its length, which some servers refuse of a GET.
    let mut answer = match request.body().is_empty() {
        true => agent.run(request.map(|_| ()))?,
        false => agent.run(request)?,
    };
    let header =
        |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let (location, date) = (header("location"), header("date"));
    let mut body = Vec::new();
    let mut reader = std::io::Read::take(answer.body_mut().as_reader(), LARGEST_ANSWER as u64 + 1);
    std::io::Read::read_to_end(&mut reader, &mut body).map_err(ureq::Error::Io)?;
    let is_whole = body.len() <= LARGEST_ANSWER;
    body.truncate(LARGEST_ANSWER);
    Ok(Answer { status: answer.status().as_u16(), location, date, body, is_whole })
}

/// The body's reader wraps what it says of a deadline.
fn is_late(error: &std::io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<ureq::Error>());
    matches!(inner, Some(ureq::Error::Timeout(_)))
}

/// What is known of a request that got no answer.
fn no_answer(error: &ureq::Error) -> NoAnswer {
    use std::io::ErrorKind::{
        AddrNotAvailable, ConnectionRefused, HostUnreachable, NetworkUnreachable, NotFound, TimedOut,
    };
    match error {
        ureq::Error::Timeout(Timeout::Resolve | Timeout::Connect) => {
            NoAnswer::Unreachable("no connection was made in time".to_owned())
        }
        ureq::Error::Timeout(_) => NoAnswer::TimedOut,
        ureq::Error::HostNotFound => NoAnswer::Unreachable("its host name is not known".to_owned()),
        ureq::Error::Io(error)
            if matches!(
                error.kind(),
                ConnectionRefused | HostUnreachable | NetworkUnreachable | AddrNotAvailable | NotFound
            ) =>
        {
            NoAnswer::Unreachable(format!("no connection: {error}"))
        }
        // What the body's reader says of its deadline.
        ureq::Error::Io(error) if error.kind() == TimedOut || is_late(error) => NoAnswer::TimedOut,
        ureq::Error::ConnectionFailed | ureq::Error::ConnectProxyFailed(_) | ureq::Error::InvalidProxyUrl => {
            NoAnswer::Unreachable(error.to_string())
        }
        // Before the handshake has ended nothing of a request is sent.
        ureq::Error::NativeTls(error) => NoAnswer::Untrusted(error.to_string()),
        ureq::Error::Tls(why) => NoAnswer::Untrusted((*why).to_owned()),
        ureq::Error::BadUri(_) | ureq::Error::Http(_) => NoAnswer::NotSendable(error.to_string()),
        other => NoAnswer::Broken(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The type of urls takes 80443 for no port: port 80 would be asked.
    #[test]
    fn a_port_that_is_none_asks_nobody() {
        for url in ["http://127.0.0.1:80443/x", "http://[::1]:99999/", "http://127.0.0.1:0/"] {
            let request = Request::get(url).body(Vec::new()).unwrap();
            let answer = send(request, Duration::from_secs(5), || false);
            assert!(matches!(answer, Err(NoAnswer::NotSendable(_))), "{url}: {answer:?}");
        }
        let request = Request::get("http://127.0.0.1:1/").body(Vec::new()).unwrap();
        assert!(matches!(send(request, Duration::from_secs(5), || false), Err(NoAnswer::Unreachable(_))));
    }
}

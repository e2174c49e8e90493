//! Who may ask what of the server, decided by a request's headers alone.
//!
//! A page of somebody else, open in the same browser, can send requests here. Three rules keep it out:
//!
//! - **Host**: every request, also one that only reads, names this server as it is known. A name of the attacker's that
//!   was made to point here (DNS rebinding) is none of these.
//! - **Origin**: a request that changes something comes from a page of this very scheme, host and port. Another port of
//!   the same address is somebody else.
//! - **Form**: such a request is a form, of one type and of a bounded size.
//!
//! Nothing here knows of tokens and sessions (`sessions.rs`), nor of what is asked for.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use axum::http::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderName, ORIGIN};
use axum::http::{StatusCode, Uri};

use crate::plan::{Problem, visible_within};

/// The largest form that is read, in bytes: the names of 1,000 workers fit.
pub(super) const MOST_OF_A_FORM: usize = 128 << 10;

/// Of what a request says, so much is repeated in an answer.
const REPEATED: usize = 100;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// A host as a URL has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// A name, in lower case and without a dot at its end.
    Name(String),
    /// An address.
    Address(IpAddr),
}

/// A host and perhaps a port, as in `Host` and in `--allow-host`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// The host.
    pub host: Host,
    /// The port; `None`: the one that the scheme implies.
    pub port: Option<u16>,
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Name(name) => f.write_str(name)?,
            Host::Address(IpAddr::V4(address)) => write!(f, "{address}")?,
            Host::Address(IpAddr::V6(address)) => write!(f, "[{address}]")?,
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// Not a host with an optional port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a host is a name, an IPv4 address or an IPv6 address in brackets, and may have a port, as in `ops.example:8080`"
)]
pub struct NotAnAuthority;

impl FromStr for Authority {
    type Err = NotAnAuthority;

    /// Strict: no user, no blank, no port without digits, and addresses only as browsers write them.
    fn from_str(text: &str) -> Result<Self, NotAnAuthority> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (address, rest) = rest.split_once(']').ok_or(NotAnAuthority)?;
                let address = address.parse::<Ipv6Addr>().map_err(|_| NotAnAuthority)?;
                let port = match rest {
                    "" => None,
                    rest => Some(rest.strip_prefix(':').ok_or(NotAnAuthority)?),
                };
                (Host::Address(address.into()), port)
            }
            None => {
                let (host, port) = match text.split_once(':') {
                    Some((host, port)) => (host, Some(port)),
                    None => (text, None),
                };
                (host_of(host)?, port)
            }
        };
        Ok(Self { host, port: port.map(port_of).transpose()? })
    }
}

fn host_of(text: &str) -> Result<Host, NotAnAuthority> {
    // `name.` is the same name, said absolutely; so is an address.
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    if let Ok(address) = name.parse::<Ipv4Addr>() {
        return Ok(Host::Address(address.into()));
    }
    // What ends in a number is an address, which browsers write in full (URL Standard, 3.5).
    let last = name.rsplit('.').next().unwrap_or_default();
    let hexadecimal =
        last.strip_prefix("0x").is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_hexdigit()));
    if hexadecimal || (!last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit())) {
        return Err(NotAnAuthority);
    }
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let is_name = name.len() <= 253
        && name.split('.').all(|label| !label.is_empty() && label.len() <= 63 && label.chars().all(fits));
    if is_name { Ok(Host::Name(name)) } else { Err(NotAnAuthority) }
}

fn port_of(text: &str) -> Result<u16, NotAnAuthority> {
    // Rust's own parser would take a sign.
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(NotAnAuthority);
    }
    text.parse().map_err(|_| NotAnAuthority)
}

/// What this server is called.
#[derive(Clone, Debug)]
pub(super) struct OwnNames {
    listening: SocketAddr,
    allowed: Vec<Authority>,
}

impl OwnNames {
    /// The names of a server that listens there, and those that its operator allows besides.
    pub(super) fn new(listening: SocketAddr, allowed: Vec<Authority>) -> Self {
        Self { listening, allowed }
    }

    /// The host that a request names, if it is this server's.
    ///
    /// # Errors
    /// It names none, more than one, or another one.
    pub(super) fn check_host(&self, headers: &HeaderMap, uri: &Uri) -> Result<Authority, Refusal> {
        let value = only(headers, &HOST).map_err(|count| Refusal::HostCount { count })?;
        let refused = || Refusal::Host {
            named: visible_within(&String::from_utf8_lossy(value.unwrap_or_default()), REPEATED),
            port: self.listening.port(),
        };
        let value = value.ok_or(Refusal::HostCount { count: 0 })?;
        let named: Authority =
            std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()).ok_or_else(refused)?;
        // As a proxy is asked; it would count more than the header does, so both have to say the same.
        if let Some(target) = uri.authority()
            && target.as_str().parse() != Ok(named.clone())
        {
            return Err(refused());
        }
        if self.is_own(&named) { Ok(named) } else { Err(refused()) }
    }

    fn is_own(&self, named: &Authority) -> bool {
        self.is_listened_on(named)
            || self.allowed.iter().any(|allowed| allows(allowed, named, self.listening.port()))
    }

    /// The address itself, and the names that mean this machine. No name can be made to point elsewhere among them.
    fn is_listened_on(&self, named: &Authority) -> bool {
        let is_port = named.port.unwrap_or(80) == self.listening.port();
        is_port
            && match &named.host {
                Host::Name(name) => name == "localhost",
                // A browser that is told an address asks nobody where that is.
                Host::Address(_) if self.listening.ip().is_unspecified() => true,
                Host::Address(address) => *address == self.listening.ip() || *address == Ipv6Addr::LOCALHOST,
            }
    }

    /// That a request which changes something comes from a page of this server, as a form; `host` is what
    /// [`Self::check_host`] answered. What was said of its origin besides is no secret.
    ///
    /// # Errors
    /// It comes from elsewhere, does not say from where, or is no form.
    pub(super) fn check_form(&self, headers: &HeaderMap, host: &Authority) -> Result<(), Refusal> {
        // Browsers say it of their own requests, and no page can change it; not all do, and none over plain HTTP to
        // anything but this machine.
        let site =
            only(headers, &SEC_FETCH_SITE).map_err(|_| Refusal::Foreign { origin: "several".to_owned() })?;
        let origin = only(headers, &ORIGIN).map_err(|_| Refusal::Foreign { origin: "several".to_owned() })?;
        match (origin, site) {
            // `none`: by the operator's own hand, such as a reload.
            (Some(origin), None | Some(b"same-origin" | b"none")) => {
                if !self.is_own_origin(origin, host) {
                    let origin = visible_within(&String::from_utf8_lossy(origin), REPEATED);
                    return Err(Refusal::Foreign { origin });
                }
            }
            (None, Some(b"same-origin")) => {}
            (None, None) => return Err(Refusal::NoOrigin),
            (origin, Some(site)) => {
                let origin = visible_within(&String::from_utf8_lossy(origin.unwrap_or(site)), REPEATED);
                return Err(Refusal::Foreign { origin });
            }
        }
        match only(headers, &CONTENT_TYPE) {
            Ok(Some(kind)) if is_form(kind) => Ok(()),
            _ => Err(Refusal::NotAForm),
        }
    }

    /// Whether an origin is `http://` and the very host and port that the request was sent to; `https://` only where
    /// a name is allowed that a proxy answers to.
    fn is_own_origin(&self, origin: &[u8], host: &Authority) -> bool {
        let Ok(origin) = std::str::from_utf8(origin) else { return false };
        let (rest, implied) = match (origin.strip_prefix("http://"), origin.strip_prefix("https://")) {
            (Some(rest), _) => (rest, 80),
            (_, Some(rest)) if !self.is_listened_on(host) => (rest, 443),
            _ => return false,
        };
        rest.parse::<Authority>().is_ok_and(|from| {
            from.host == host.host && from.port.unwrap_or(implied) == host.port.unwrap_or(implied)
        })
    }
}

/// A name without a port is meant on the port that is listened on, and on those of a proxy that names none.
fn allows(allowed: &Authority, named: &Authority, listening: u16) -> bool {
    allowed.host == named.host
        && match (allowed.port, named.port) {
            (None, None) => true,
            (None, Some(port)) => port == listening,
            (Some(port), Some(named)) => port == named,
            (Some(port), None) => matches!(port, 80 | 443),
        }
}

fn is_form(kind: &[u8]) -> bool {
    let kind = kind.split(|byte| *byte == b';').next().unwrap_or_default();
    kind.trim_ascii().eq_ignore_ascii_case(b"application/x-www-form-urlencoded")
}

/// The value of a header that may be there once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a [u8]>, usize> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.count()) {
        (first, 0) => Ok(first.map(axum::http::HeaderValue::as_bytes)),
        (_, more) => Err(more + 1),
    }
}

/// Why a request is refused before anybody looks at what it asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// `Host` is not there, or more than once.
    HostCount {
        /// How often.
        count: usize,
    },
    /// `Host` is not this server.
    Host {
        /// What it says.
        named: String,
        /// The port that is listened on.
        port: u16,
    },
    /// It comes from a page of another server.
    Foreign {
        /// What it says of that.
        origin: String,
    },
    /// It changes something, and does not say where it comes from.
    NoOrigin,
    /// It changes something, and is no form.
    NotAForm,
}

impl Refusal {
    /// The status of the answer.
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::HostCount { .. } => StatusCode::BAD_REQUEST,
            Self::Host { .. } | Self::Foreign { .. } | Self::NoOrigin => StatusCode::FORBIDDEN,
            Self::NotAForm => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        }
    }

    /// What is wrong, and what to do.
    pub(super) fn problem(&self) -> Problem {
        match self {
            Self::HostCount { count } => Problem::error(
                "maand::serve::host",
                format!("the request has {count} Host headers and not one: nothing was answered"),
            )
            .help("use HTTP/1.1; a proxy in front has to hand `Host` on"),
            Self::Host { named, port } => Problem::error(
                "maand::serve::host",
                format!("`{named}` is not a name of this server: nothing was answered"),
            )
            .help(format!(
                "open it as http://localhost:{port}/ (by ssh: `ssh -L {port}:127.0.0.1:{port} CONTROLLER`), or \
                 allow the name:\n  maand serve --allow-host NAME"
            )),
            Self::Foreign { origin } => Problem::error(
                "maand::serve::origin",
                format!("the request comes from a page of another origin ({origin}): nothing was done"),
            )
            .help("use the buttons of this server's own pages; other ports of this machine are other origins"),
            Self::NoOrigin => Problem::error(
                "maand::serve::origin",
                "the request does not say which page it comes from (no Origin, no Sec-Fetch-Site): nothing was done",
            )
            .help("use a browser, or the command line: `maand plan --help`"),
            Self::NotAForm => Problem::error(
                "maand::serve::form",
                "the request is no form (application/x-www-form-urlencoded): nothing was done",
            )
            .help("use a browser, or the command line: `maand plan --help`"),
        }
    }
}

#[cfg(test)]
mod tests;

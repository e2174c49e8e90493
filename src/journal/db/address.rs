//! Which PostgreSQL keeps the journal, and how it is reached.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

/// A connection is made within this time, or not at all.
const CONNECT: Duration = Duration::from_secs(5);

/// The address of a database, and the tables' schema in it.
#[derive(Clone)]
pub struct Address {
    pub(super) config: Config,
    pub(super) schema: String,
    pub(super) tls: Tls,
    /// As it is shown: without what is secret.
    shown: String,
}

/// Whether and how the server has to show who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Tls {
    /// By a certificate for its name that is signed by who is trusted: by this file, or else by this machine.
    Checked { trusted: Option<PathBuf> },
    /// Not at all: `sslmode=disable`, or a socket of this machine.
    No,
}

/// What is wrong with an address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It cannot be read.
    #[error("it is no address of a PostgreSQL: {0}")]
    Unreadable(String),
    /// Files are read by others, and are in git.
    #[error("it has a password in it")]
    Password,
    /// It would go on without TLS where the server has none.
    #[error("`sslmode={0}` does not tell the server from somebody in between")]
    Unchecked(String),
}

impl Address {
    /// Reads `postgres://USER@HOST/DATABASE`, with what libpq takes as parameters behind it as far as they concern a
    /// connection. TLS is checked unless it says `sslmode=disable` or names a socket. `bucket_id` names the schema.
    ///
    /// # Errors
    /// It is no such address, or is not safe.
    pub fn parse(url: &str, bucket_id: &str) -> Result<Self, AddressError> {
        let (front, parameters) = url.split_once('?').unwrap_or((url, ""));
        if !["postgres://", "postgresql://"].iter().any(|scheme| front.starts_with(scheme)) {
            return Err(AddressError::Unreadable("it does not begin with postgres://".to_owned()));
        }
        let (mut kept, mut mode, mut trusted) = (Vec::new(), None, None);
        for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
            match parameter.split_once('=') {
                Some(("sslmode", value)) => mode = Some(value.to_owned()),
                Some(("sslrootcert", value)) => {
                    let path = percent_encoding::percent_decode_str(value).decode_utf8_lossy();
                    trusted = Some(PathBuf::from(path.as_ref()));
                }
                _ => kept.push(parameter),
            }
        }
        let text = if kept.is_empty() { front.to_owned() } else { format!("{front}?{}", kept.join("&")) };
        let mut config: Config = text.parse().map_err(|error: tokio_postgres::Error| {
            let source = std::error::Error::source(&error).map(ToString::to_string);
            AddressError::Unreadable(source.unwrap_or_else(|| error.to_string()))
        })?;
        if config.get_password().is_some() {
            return Err(AddressError::Password);
        }
        if config.get_hosts().is_empty() {
            return Err(AddressError::Unreadable("it names no host".to_owned()));
        }
        let by_socket = config.get_hosts().iter().all(|host| matches!(host, Host::Unix(_)));
        let tls = match mode.as_deref() {
            Some("disable") => Tls::No,
            None if by_socket => Tls::No,
            None | Some("require" | "verify-ca" | "verify-full") => Tls::Checked { trusted },
            Some(other) => return Err(AddressError::Unchecked(other.to_owned())),
        };
        config
            .ssl_mode(if tls == Tls::No { SslMode::Disable } else { SslMode::Require })
            .connect_timeout(CONNECT)
            .tcp_user_timeout(super::server::ANSWER)
            .keepalives_idle(CONNECT);
        if config.get_application_name().is_none() {
            config.application_name("maand");
        }
        let letters = bucket_id.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase());
        let schema = format!("maand_{}", letters.collect::<String>());
        Ok(Self { config, schema, tls, shown: front.to_owned() })
    }

    /// The same as another user.
    #[must_use]
    pub(in crate::journal) fn with_user(mut self, name: &str) -> Self {
        self.config.user(name);
        self
    }

    /// The same with the password of the environment: `PGPASSWORD`, or a line of `PGPASSFILE` or `~/.pgpass`.
    #[must_use]
    pub(super) fn with_password(mut self, password: Option<String>) -> Self {
        if let Some(password) = password {
            self.config.password(password);
        }
        self
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

/// What is secret is not shown.
impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({}, {})", self.shown, self.schema)
    }
}

impl PartialEq for Address {
    fn eq(&self, other: &Self) -> bool {
        (&self.config, &self.schema, &self.tls) == (&other.config, &other.schema, &other.tls)
    }
}

impl Eq for Address {}

/// The password that a file in the format of libpq's `.pgpass` has for a connection: `host:port:database:user:password`,
/// where `*` fits all, and a backslash keeps a colon or a backslash from its meaning. The first line that fits counts.
pub(super) fn password_of(
    file: &str,
    (host, port, database, user): (&str, u16, &str, &str),
) -> Option<String> {
    let port = port.to_string();
    file.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let mut fields = vec![String::new()];
        let mut letters = line.chars();
        while let Some(letter) = letters.next() {
            match letter {
                '\\' => fields.last_mut()?.push(letters.next()?),
                // All behind the fourth colon is the password.
                ':' if fields.len() < 5 => fields.push(String::new()),
                other => fields.last_mut()?.push(other),
            }
        }
        let wanted = [host, &port, database, user];
        let fits = fields.len() == 5
            && fields.iter().zip(wanted).all(|(field, wanted)| field == "*" || field == wanted);
        fits.then(|| fields.swap_remove(4))
    })
}

/// Where `.pgpass` is.
pub(super) fn password_file() -> Option<PathBuf> {
    std::env::var_os("PGPASSFILE")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".pgpass")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(url: &str) -> Result<Address, AddressError> {
        Address::parse(url, "7D3C-7f5e")
    }

    #[test]
    fn an_address_is_checked_unless_it_says_otherwise() {
        let tls = |url: &str| of(url).map(|address| address.tls);
        let checked = |trusted: Option<&str>| Ok(Tls::Checked { trusted: trusted.map(PathBuf::from) });
        assert_eq!(tls("postgres://me@db/ledger"), checked(None));
        assert_eq!(tls("postgres://me@db/ledger?sslmode=require"), checked(None));
        assert_eq!(
            tls("postgres://db/x?sslmode=verify-full&sslrootcert=%2Fetc%2Fca.pem"),
            checked(Some("/etc/ca.pem"))
        );
        assert_eq!(tls("postgres://db/x?sslmode=disable"), Ok(Tls::No));
        assert_eq!(tls("postgres://%2Frun%2Fpostgresql/x"), Ok(Tls::No));
        assert_eq!(tls("postgres://db/x?sslmode=prefer"), Err(AddressError::Unchecked("prefer".to_owned())));
        assert_eq!(of("postgres://me:secret@db/x").unwrap_err(), AddressError::Password);
        assert_eq!(of("postgres://db/x?password=secret").unwrap_err(), AddressError::Password);
        for wrong in
            ["", "mysql://db/x", "postgres:///x", "postgres://db/x?sslmodus=on", "postgres://db:port/x"]
        {
            assert!(matches!(of(wrong), Err(AddressError::Unreadable(_))), "{wrong}");
        }
    }

    #[test]
    fn it_is_shown_without_its_parameters_and_has_a_schema_for_the_bucket() {
        let address = of("postgres://me@db:5433/ledger?sslmode=disable").unwrap();
        assert_eq!(address.to_string(), "postgres://me@db:5433/ledger");
        assert_eq!(address.schema, "maand_7d3c7f5e");
        let address = address.with_password(Some("secret".to_owned()));
        assert!(!format!("{address:?}").contains("secret"));
    }

    #[test]
    fn a_password_comes_from_the_first_line_that_fits() {
        let file = "# comment\nother:5432:*:me:no\ndb:5432:ledger:me:a\\:b\\\\c:d\n*:*:*:*:last\nbroken\n";
        assert_eq!(password_of(file, ("db", 5432, "ledger", "me")).as_deref(), Some("a:b\\c:d"));
        assert_eq!(password_of(file, ("db", 5433, "ledger", "me")).as_deref(), Some("last"));
        assert_eq!(password_of("a:1:b:c:d", ("db", 5432, "ledger", "me")), None);
    }
}

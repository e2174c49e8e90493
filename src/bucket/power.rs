//! `power` and the `bmc_` keys of `maand.conf`: how the machines beside the workers are reached that can tell and change
//! whether a worker has power.
//!
//! A worker names its own by a tag (`bmc`), as it names its rack: `workers.json` stays what other programs read, too, and
//! plans and inventories know tags. What all of them have in common stands in `maand.conf`, so that `maand doctor` and
//! every plan use the same; credentials stand in neither.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::conf::Entry;
use super::fields::Doc;
use super::fleet::{Host, Worker};
use super::json::quoted;
use crate::plan::http::{Piece, placeholders};

/// How long all of one look at a BMC may take, unless `bmc_timeout` says otherwise: slow ones need seconds for each answer.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Where a BMC is unless `bmc_url` says otherwise.
const URL: &str = "https://$MAAND_TAG_BMC";

/// The keys, besides `power`.
pub(super) const KEYS: &[&str] =
    &["bmc_url", "bmc_credentials", "bmc_ca", "bmc_certificate_name", "bmc_system", "bmc_timeout"];

/// How BMCs are reached: `power = "redfish"` and what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PowerSettings {
    /// With `$MAAND_TAG_BMC` or other values of the worker in it. A worker that has no such value has no BMC.
    pub url: String,
    /// A file of lines `HOST USER PASSWORD`; `None`: the environment has user and password.
    pub credentials: Option<PathBuf>,
    /// Certificates in PEM that are trusted, and no others; `None`: those that this machine trusts.
    pub ca: Option<PathBuf>,
    /// The name in their certificates, where that is not their address; may have values of the worker in it.
    pub certificate_name: Option<String>,
    /// Which of a BMC's systems is the worker; may have values of the worker in it. `None`: it has only one.
    pub system: Option<String>,
    /// How long all of one look may take.
    pub timeout: Duration,
}

impl PowerSettings {
    /// `scheme://host` or `scheme://host:port` of a worker's BMC; `None`: the worker names none.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn url_of(&self, worker: &Worker) -> Option<Result<String, String>> {
        let url = fill(&self.url, worker)?;
        Some(match address(&url) {
            Ok(()) => Ok(url.trim_end_matches('/').to_owned()),
            Err(why) => {
                Err(format!("`{}` is no address of a BMC: {why}", crate::plan::visible_within(&url, 200)))
            }
        })
    }

    /// The name in the certificate of a worker's BMC; `None`: its address.
    pub fn certificate_name_of(&self, worker: &Worker) -> Option<String> {
        fill(self.certificate_name.as_deref()?, worker)
    }

    /// Which of its BMC's systems a worker is; `None`: the only one.
    pub fn system_of(&self, worker: &Worker) -> Option<String> {
        fill(self.system.as_deref()?, worker)
    }
}

/// A text with the worker's values; `None`: it has no such value.
fn fill(text: &str, worker: &Worker) -> Option<String> {
    let values = worker.variables();
    let mut filled = String::new();
    for piece in placeholders(text) {
        match piece {
            Piece::Text(text) => filled.push_str(text),
            Piece::Name(name) => {
                let (_, value) = values.iter().find(|(known, _)| known == name)?;
                // An address of IPv6 stands in brackets.
                match value.parse::<std::net::Ipv6Addr>() {
                    Ok(_) => filled.push_str(&format!("[{value}]")),
                    Err(_) => filled.push_str(value),
                }
            }
        }
    }
    Some(filled)
}

/// Nothing but a scheme, a host and a port; and no password in clear on a network.
fn address(url: &str) -> Result<(), &'static str> {
    let (rest, is_tls) = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
        (Some(rest), _) => (rest, true),
        (None, Some(rest)) => (rest, false),
        (None, None) => return Err("it begins with https://"),
    };
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, port)) if host.parse::<std::net::Ipv6Addr>().is_ok() => (host, port),
        Some(_) => return Err("what stands in brackets is no address of IPv6"),
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    let port_fits = port.is_empty()
        || port.strip_prefix(':').and_then(|port| port.parse::<u16>().ok()).is_some_and(|port| port > 0);
    if Host::parse(host).is_none() || !port_fits {
        return Err("behind the scheme stand a host and perhaps a port, and nothing else");
    }
    let is_loopback =
        host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    if !is_tls && !is_loopback {
        return Err(
            "without TLS its password would be sent in clear: only a BMC on a loopback address may be asked by http://",
        );
    }
    Ok(())
}

/// The keys as they come.
#[derive(Default)]
pub(super) struct Keys {
    /// `power` is there, and whether it says `redfish`.
    power: Option<bool>,
    first: Option<std::ops::Range<usize>>,
    url: Option<String>,
    credentials: Option<PathBuf>,
    ca: Option<PathBuf>,
    certificate_name: Option<String>,
    system: Option<String>,
    timeout: Option<Duration>,
}

impl Keys {
    pub(super) fn take(&mut self, entry: &Entry, doc: &mut Doc<'_>, bucket: &Path) {
        if entry.key != "power" && self.first.is_none() {
            self.first = Some(entry.key_span.clone());
        }
        match entry.key.as_str() {
            "power" => {
                let word = entry.text(doc);
                self.power = Some(word.as_deref() == Some("redfish"));
                if let Some(other) = word.filter(|word| word != "redfish") {
                    let help = "write \"redfish\", or leave it out";
                    entry.bad(doc, format!("`power` cannot be {}", quoted(&other)), help);
                }
            }
            "bmc_url" => {
                if let Some(url) = entry.text(doc) {
                    // Whatever a worker has there: as much as can be said of it before.
                    let example = placeholders(&url).map(|piece| match piece {
                        Piece::Text(text) => text,
                        Piece::Name(_) => "localhost",
                    });
                    match address(&example.collect::<String>()) {
                        Err(why) => {
                            let message = format!("`bmc_url` cannot be {}: {why}", quoted(&url));
                            entry.bad(doc, message, format!("write something like {}", quoted(URL)));
                        }
                        Ok(()) => self.url = Some(url),
                    }
                }
            }
            "bmc_credentials" => self.credentials = secret(entry, doc, bucket),
            "bmc_ca" => self.ca = secret(entry, doc, bucket),
            "bmc_certificate_name" => self.certificate_name = name(entry, doc, |byte| b".-".contains(&byte)),
            "bmc_system" => self.system = name(entry, doc, |byte| b".-_:".contains(&byte)),
            _ => {
                if let Some(seconds) = entry.number(doc, 1..=600) {
                    self.timeout = Some(Duration::from_secs(seconds.unsigned_abs()));
                }
            }
        }
    }

    pub(super) fn finish(self, doc: &mut Doc<'_>) -> Option<PowerSettings> {
        if self.power != Some(true) {
            if let Some(place) = self.first.filter(|_| self.power.is_none()) {
                let message = format!("{} has `bmc_` keys and no `power`", doc.source.name());
                let help = "write `power = \"redfish\"`, or leave them out";
                doc.error("maand::bucket::missing_key", message, &place, "of no use without", help);
            }
            return None;
        }
        Some(PowerSettings {
            url: self.url.unwrap_or_else(|| URL.to_owned()),
            credentials: self.credentials,
            ca: self.ca,
            certificate_name: self.certificate_name,
            system: self.system,
            timeout: self.timeout.unwrap_or(TIMEOUT),
        })
    }
}

/// A file in `secrets/`, or an absolute path.
fn secret(entry: &Entry, doc: &mut Doc<'_>, bucket: &Path) -> Option<PathBuf> {
    let text = entry.text(doc)?;
    let path = Path::new(&text);
    let is_plain = path.components().count() == 1 && path.file_name().is_some();
    if !(is_plain || path.is_absolute()) || text.contains('\0') {
        let help = "write the name of a file in secrets/, or an absolute path";
        entry.bad(doc, format!("{} is no name of a file", quoted(&text)), help);
        return None;
    }
    // `join` takes an absolute path as it is.
    Some(bucket.join("secrets").join(path))
}

/// A name with values of the worker in it, perhaps.
fn name(entry: &Entry, doc: &mut Doc<'_>, also: fn(u8) -> bool) -> Option<String> {
    let text = entry.text(doc)?;
    let fits = |piece: Piece<'_>| match piece {
        Piece::Text(text) => text.bytes().all(|byte| byte.is_ascii_alphanumeric() || also(byte)),
        Piece::Name(_) => true,
    };
    if text.is_empty() || text.len() > 255 || !placeholders(&text).all(fits) {
        let message = format!("`{}` cannot be {}", entry.key, quoted(&text));
        entry.bad(doc, message, "write a name, perhaps with $MAAND_HOST or $MAAND_TAG_... in it");
        return None;
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::super::Settings;
    use super::*;
    use crate::plan::{Problems, Source};

    fn settings(url: &str) -> PowerSettings {
        PowerSettings {
            url: url.to_owned(),
            credentials: None,
            ca: None,
            certificate_name: Some("bmc-$MAAND_TAG_SERIAL.lan".to_owned()),
            system: None,
            timeout: TIMEOUT,
        }
    }

    fn worker(tags: &[(&str, &str)]) -> Worker {
        let tags: BTreeMap<String, String> =
            tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Worker { tags: Arc::new(tags), ..Worker::new(Host::parse("10.0.0.1").unwrap()) }
    }

    #[test]
    fn a_worker_names_its_bmc_by_a_tag_or_has_none() {
        let of = |tag: &str| settings(URL).url_of(&worker(&[("bmc", tag)])).unwrap();
        assert_eq!(settings(URL).url_of(&worker(&[])), None);
        assert_eq!(of("10.1.0.1").unwrap(), "https://10.1.0.1");
        assert_eq!(of("bmc1.lan:8443/").unwrap(), "https://bmc1.lan:8443");
        assert_eq!(of("fd00::1").unwrap(), "https://[fd00::1]");
        assert_eq!(of("[fd00::1]:444").unwrap(), "https://[fd00::1]:444");
        assert_eq!(settings(URL).certificate_name_of(&worker(&[("serial", "x1")])).unwrap(), "bmc-x1.lan");
        let always = settings("https://$MAAND_HOST-bmc.lan").url_of(&worker(&[]));
        assert_eq!(always, Some(Ok("https://10.0.0.1-bmc.lan".to_owned())));
    }

    #[test]
    fn what_is_more_than_a_host_is_no_address() {
        for tag in [
            "",
            "a b",
            "u:p@h",
            "h/redfish",
            "h?x",
            "h#x",
            "h:0",
            "h:99999",
            "h:x",
            "[::1",
            "[x]",
            "-o",
            "h\n",
        ] {
            let url = settings(URL).url_of(&worker(&[("bmc", tag)])).unwrap();
            assert!(url.is_err(), "{tag}: {url:?}");
        }
    }

    #[test]
    fn a_password_is_sent_in_clear_to_this_machine_only() {
        let of = |url: &str| settings(url).url_of(&worker(&[])).unwrap();
        assert!(
            of("http://127.0.0.2:8000").is_ok()
                && of("http://[::1]:1").is_ok()
                && of("http://localhost").is_ok()
        );
        assert!(of("http://10.0.0.1").unwrap_err().contains("in clear"));
        assert!(of("ftp://10.0.0.1").is_err());
    }

    fn read(text: &str) -> (Settings, Problems) {
        let source = Source::new("maand.conf", text);
        let mut doc = Doc::new(&source);
        let settings = Settings::read(&mut doc, Path::new("/b"));
        (settings, doc.finish())
    }

    #[test]
    fn how_bmcs_are_reached_is_said_as_a_whole_or_not_at_all() {
        let (settings, problems) =
            read("power = 'redfish'\nbmc_credentials = 'bmc'\nbmc_ca = '/etc/bmc.pem'\n");
        assert!(problems.is_empty(), "{problems:?}");
        let power = settings.power.unwrap();
        assert_eq!(power.credentials.as_deref(), Some(Path::new("/b/secrets/bmc")));
        assert_eq!(
            (power.url.as_str(), power.ca.as_deref()),
            ("https://$MAAND_TAG_BMC", Some(Path::new("/etc/bmc.pem")))
        );
        assert_eq!(read("").0.power, None);
        let (settings, problems) = read("\nbmc_ca = 'x'\n");
        assert_eq!(settings.power, None);
        assert_eq!(
            problems.iter().map(|p| (p.place().map(|at| at.1), p.code)).collect::<Vec<_>>(),
            [(Some(2), "maand::bucket::missing_key")]
        );
        let (_, problems) = read(
            "power = 'ipmi'\nbmc_url = 'http://10.0.0.1'\nbmc_credentials = '../bmc'\nbmc_ca = ''\n\
             bmc_certificate_name = 'a b'\nbmc_system = '../x'\nbmc_timeout = 0\nbmc_sytem = 'x'\n",
        );
        let lines: Vec<_> = problems.iter().filter_map(|p| p.place().map(|at| at.1)).collect();
        assert_eq!(lines, [1, 2, 3, 4, 5, 6, 7, 8], "{problems:?}");
        for url in
            ["https://h/redfish", "ftp://h", "https://u:p@h", "https://", "http://$MAAND_TAG_BMC.lan", "h"]
        {
            let (_, problems) = read(&format!("power = 'redfish'\nbmc_url = '{url}'\n"));
            assert!(problems.has_errors(), "{url}");
        }
    }
}

//! `maand.conf`: how workers are reached, and our own additions. Keys that we do not use are left in the file
//! and ignored here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::conf::{self, Entry};
use super::fields::Doc;
use super::fleet::Host;
use super::json::quoted;
use super::power::{self, PowerSettings};
use crate::os::hash::sha256;

/// What an unknown host key means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HostKeyCheck {
    /// The first key that is seen is stored and shown; a changed one is final.
    #[default]
    AcceptNew,
    /// The key must be known already.
    Strict,
}

/// `maand.conf`, with defaults filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Names the bucket on its workers; `None`: neither `maand.conf` nor upstream's database has one.
    pub bucket_id: Option<String>,
    /// Who logs in; default `agent`.
    pub ssh_user: String,
    /// The private key: a file in `secrets/` (default `worker.key`), or an absolute path.
    pub ssh_key: PathBuf,
    /// Default 22.
    pub ssh_port: u16,
    /// Whether `sudo -n` is used where root is needed; default true.
    pub use_sudo: bool,
    /// Default: accept what is new.
    pub host_key_check: HostKeyCheck,
    /// Below this the bucket's folder is on a worker; default `/opt/worker`.
    pub worker_root: PathBuf,
    /// Bound of one TCP connect; default 10 s.
    pub connect_timeout: Duration,
    /// SSH handshakes in flight per address and jump host; default 8 (sshd's `MaxStartups` drops
    /// connections at random from 10 on).
    pub max_handshakes: u32,
    /// Whether the user's `~/.ssh/config` is read for what this file does not say; default true.
    pub ssh_config: bool,
    /// Which `bucket.jobs.<selector>.conf` is read; empty: `bucket.jobs.conf`.
    pub job_config_selector: String,
    /// A bucket of the sandbox: its workers are not real.
    pub sandbox: bool,
    /// With `sandbox`: the folder that plays a worker's `/`, with `{host}` for its name ([`Host::without_colons`]).
    pub host_root: Option<String>,
    /// With `sandbox`: the factor by which settle times, soaks and pauses are shorter; else 1.
    time_scale: u32,
    timeout_scale: u32,
    shortest_timeout: Duration,
    /// With `sandbox`: text of a plan's own is executed.
    execute: bool,
    /// The command that prints the bucket's workers, for `maand import command`; shell text.
    pub inventory_command: Option<String>,
    /// How long it may take; default 60 s.
    pub inventory_timeout: Duration,
    /// The file that names who is told of what happens in runs, as it is written, in the bucket.
    pub notify: Option<String>,
    /// The PostgreSQL that keeps the runs, as it is written; `None`: a file in `data` does.
    pub ledger: Option<String>,
    /// How BMCs are reached; `None`: they are not asked.
    pub power: Option<PowerSettings>,
    stated: BTreeMap<String, String>,
}

const KNOWN: &[&str] = &[
    "bucket_id",
    "ssh_user",
    "ssh_key",
    "ssh_port",
    "use_sudo",
    "host_key_check",
    "worker_root",
    "connect_timeout",
    "max_handshakes",
    "ssh_config",
    "job_config_selector",
    "sandbox",
    "host_root",
    "hurry",
    "hurry_timeouts",
    "shortest_timeout",
    "execute",
    INVENTORY_COMMAND,
    INVENTORY_TIMEOUT,
    NOTIFY,
    LEDGER,
    "power",
    "bmc_url",
    "bmc_credentials",
    "bmc_ca",
    "bmc_certificate_name",
    "bmc_system",
    "bmc_timeout",
    // Upstream's, of no meaning here.
    "certs_ttl",
    "certs_renewal_buffer",
    "log_format",
];

/// The keys of `maand import command`.
const INVENTORY_COMMAND: &str = "inventory_command";
const INVENTORY_TIMEOUT: &str = "inventory_timeout";
/// The key of notices.
const NOTIFY: &str = "notify";
/// The key of a database for the runs.
const LEDGER: &str = "ledger";

/// A time-out that is `scale` times shorter, but not below `shortest`, nor longer than it was.
pub fn shorter_timeout(planned: Duration, scale: u32, shortest: Duration) -> Duration {
    planned.min((planned / scale.max(1)).max(shortest))
}

impl Settings {
    /// Whether the file itself has this key, so that it wins over `~/.ssh/config`.
    pub fn states(&self, key: &str) -> bool {
        self.stated.contains_key(key)
    }

    /// What the file itself says of all that a run depends on, key by key, in one form for each value, however it is
    /// written. Of keys that have no meaning here it is the hash: what stands there may be a secret of another program's.
    pub fn stated(&self) -> &BTreeMap<String, String> {
        &self.stated
    }

    /// How many times shorter settle times, soaks and pauses are: 1 for workers that are real.
    pub fn time_scale(&self) -> u32 {
        if self.sandbox { self.time_scale } else { 1 }
    }

    /// A time-out of a plan as it counts here: as it is written for workers that are real. Machines of a sandbox boot
    /// sooner, and so are given up sooner, but not before a busy machine has had the time that it needs.
    pub fn timeout(&self, planned: Duration) -> Duration {
        if self.sandbox {
            shorter_timeout(planned, self.timeout_scale, self.shortest_timeout)
        } else {
            planned
        }
    }

    /// Whether commands of a plan may be executed on this machine: always, but for a sandbox, whose
    /// owner has to have said so.
    pub fn executes_local(&self) -> bool {
        !self.sandbox || self.execute
    }

    /// The folder that plays this worker's `/` in a sandbox bucket.
    pub fn root_of(&self, host: &Host) -> Option<PathBuf> {
        let template = self.host_root.as_ref().filter(|_| self.sandbox)?;
        Some(PathBuf::from(template.replace("{host}", &host.without_colons())))
    }

    /// Reads the file; `bucket` is the bucket's folder.
    pub(super) fn read(doc: &mut Doc<'_>, bucket: &Path) -> Self {
        let mut settings = Self::defaults(bucket);
        let mut power = power::Keys::default();
        for entry in conf::parse(doc) {
            // No run depends on where the list of workers comes from, on who is told of it, nor on where it is kept.
            if ![INVENTORY_COMMAND, INVENTORY_TIMEOUT, NOTIFY, LEDGER].contains(&entry.key.as_str()) {
                let value = entry.canonical(doc);
                let known = KNOWN.contains(&entry.key.as_str());
                let value = if known { value } else { format!("sha256 {}", sha256(value)) };
                settings.stated.insert(entry.key.clone(), value);
            }
            match entry.key.as_str() {
                key if key == "power" || power::KEYS.contains(&key) => power.take(&entry, doc, bucket),
                _ => settings.take(&entry, doc, bucket),
            }
        }
        settings.power = power.finish(doc);
        if settings.sandbox && settings.host_root.is_none() {
            let message = format!("{} says `sandbox` and no `host_root`", doc.source.name());
            doc.error(
                "maand::bucket::missing_key",
                message,
                &(0..0),
                "in this file",
                "write `host_root`, a folder with {host} in its name that plays the worker's /",
            );
        }
        settings
    }

    fn defaults(bucket: &Path) -> Self {
        Self {
            bucket_id: None,
            ssh_user: "agent".to_owned(),
            ssh_key: bucket.join("secrets").join("worker.key"),
            ssh_port: 22,
            use_sudo: true,
            host_key_check: HostKeyCheck::default(),
            worker_root: PathBuf::from("/opt/worker"),
            connect_timeout: Duration::from_secs(10),
            max_handshakes: 8,
            ssh_config: true,
            job_config_selector: String::new(),
            sandbox: false,
            host_root: None,
            time_scale: 1,
            timeout_scale: 1,
            shortest_timeout: Duration::ZERO,
            execute: false,
            inventory_command: None,
            inventory_timeout: Duration::from_secs(60),
            notify: None,
            ledger: None,
            power: None,
            stated: BTreeMap::new(),
        }
    }

    fn take(&mut self, entry: &Entry, doc: &mut Doc<'_>, bucket: &Path) {
        match entry.key.as_str() {
            "bucket_id" => self.bucket_id = bucket_id(entry, doc),
            "ssh_user" => {
                if let Some(user) = entry.text(doc) {
                    if is_user(&user) {
                        self.ssh_user = user;
                    } else {
                        entry.bad(
                            doc,
                            format!("`{user}` is no user name"),
                            "letters, digits, `.`, `_` and `-`",
                        );
                    }
                }
            }
            "ssh_key" => {
                if let Some(name) = entry.text(doc) {
                    let path = Path::new(&name);
                    let plain = path.components().count() == 1 && path.file_name().is_some();
                    if !(plain || path.is_absolute()) {
                        let help = "write the name of a file in secrets/, or an absolute path";
                        entry.bad(doc, format!("`{name}` is no name of a key file"), help);
                    }
                    // `join` takes an absolute path as it is.
                    self.ssh_key = bucket.join("secrets").join(path);
                }
            }
            // Upstream takes 0 for "not stated".
            "ssh_port" => match entry.number(doc, 0..=65535) {
                Some(0) | None => {}
                Some(port) => self.ssh_port = port as u16,
            },
            "use_sudo" => self.use_sudo = entry.flag(doc).unwrap_or(self.use_sudo),
            "host_key_check" => match entry.text(doc).as_deref() {
                Some("accept-new") => self.host_key_check = HostKeyCheck::AcceptNew,
                Some("strict") => self.host_key_check = HostKeyCheck::Strict,
                Some(other) => {
                    let help = "write \"accept-new\" or \"strict\"; keys are always checked";
                    entry.bad(doc, format!("`host_key_check` cannot be {}", quoted(other)), help);
                }
                None => {}
            },
            "worker_root" => {
                if let Some(root) = entry.text(doc) {
                    if is_plain_absolute(&root) {
                        self.worker_root = PathBuf::from(root);
                    } else {
                        let help = "write an absolute path without `..`, such as /opt/worker";
                        entry.bad(doc, format!("`worker_root` cannot be {}", quoted(&root)), help);
                    }
                }
            }
            "connect_timeout" => {
                if let Some(seconds) = entry.number(doc, 1..=600) {
                    self.connect_timeout = Duration::from_secs(seconds.unsigned_abs());
                }
            }
            "max_handshakes" => {
                if let Some(count) = entry.number(doc, 1..=1000) {
                    self.max_handshakes = count as u32;
                }
            }
            "ssh_config" => self.ssh_config = entry.flag(doc).unwrap_or(self.ssh_config),
            "job_config_selector" => {
                if let Some(selector) = entry.text(doc) {
                    if selector.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)) {
                        self.job_config_selector = selector;
                    } else {
                        let help = "it is a part of a file name: letters, digits, `.`, `_` and `-`";
                        entry.bad(
                            doc,
                            format!("`job_config_selector` cannot be {}", quoted(&selector)),
                            help,
                        );
                    }
                }
            }
            "hurry" => {
                if let Some(times) = entry.number(doc, 1..=1000) {
                    self.time_scale = times as u32;
                }
            }
            "hurry_timeouts" => {
                if let Some(times) = entry.number(doc, 1..=100_000) {
                    self.timeout_scale = times as u32;
                }
            }
            "shortest_timeout" => {
                if let Some(seconds) = entry.number(doc, 1..=3600) {
                    self.shortest_timeout = Duration::from_secs(seconds.unsigned_abs());
                }
            }
            "execute" => self.execute = entry.flag(doc).unwrap_or(false),
            INVENTORY_COMMAND => match entry.text(doc) {
                Some(command) if command.is_empty() || command.contains('\0') => {
                    entry.bad(
                        doc,
                        "`inventory_command` is no command",
                        "write what a shell is to run, or leave it out",
                    );
                }
                command => self.inventory_command = command,
            },
            INVENTORY_TIMEOUT => {
                if let Some(seconds) = entry.number(doc, 1..=3600) {
                    self.inventory_timeout = Duration::from_secs(seconds.unsigned_abs());
                }
            }
            NOTIFY => match entry.text(doc) {
                Some(file) if !is_plain_relative(&file) => {
                    let help = "write the name of a file in the bucket, such as notify.yaml";
                    entry.bad(doc, format!("`notify` cannot be {}", quoted(&file)), help);
                }
                file => self.notify = file,
            },
            LEDGER => match entry.text(doc) {
                Some(url)
                    if !["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) =>
                {
                    let help =
                        "write postgres://USER@HOST/DATABASE, without a password, or leave the key out";
                    entry.bad(doc, "`ledger` is no address of a PostgreSQL", help);
                }
                url => self.ledger = url,
            },
            "sandbox" => self.sandbox = entry.flag(doc).unwrap_or(false),
            "host_root" => {
                if let Some(root) = entry.text(doc) {
                    if root.contains("{host}") {
                        self.host_root = Some(bucket.join(root).to_string_lossy().into_owned());
                    } else {
                        let help = "write a path with {host} in it, such as hosts/{host}";
                        entry.bad(doc, "`host_root` has no {host} in it", help);
                    }
                }
            }
            _ => entry.warn_if_near(doc, KNOWN),
        }
    }
}

fn bucket_id(entry: &Entry, doc: &mut Doc<'_>) -> Option<String> {
    let id = entry.text(doc)?;
    if is_bucket_id(&id) {
        return Some(id);
    }
    entry.bad(doc, format!("`bucket_id` cannot be {}", quoted(&id)), "write a UUID; `maand init` makes one");
    None
}

/// A part of paths on workers and of nothing else; a UUID is one.
pub(super) fn is_bucket_id(id: &str) -> bool {
    id.len() <= 64
        && id.starts_with(|c: char| c.is_ascii_alphanumeric())
        && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

/// A login name that no program takes for an option or a path.
pub fn is_user(name: &str) -> bool {
    name.len() <= 64
        && name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}

/// A path that leads nowhere but down.
fn is_plain_relative(path: &str) -> bool {
    let plain = !path.is_empty() && !path.chars().any(char::is_control) && path.len() <= 1024;
    plain && path.split('/').all(|part| !["", ".", ".."].contains(&part))
}

fn is_plain_absolute(path: &str) -> bool {
    let plain = !path.chars().any(char::is_control) && path.len() <= 1024;
    plain && path.starts_with('/') && !path.split('/').any(|part| part == ".." || part == ".")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Problems, Source};

    fn read(text: &str) -> (Settings, Problems) {
        let source = Source::new("maand.conf", text);
        let mut doc = Doc::new(&source);
        let settings = Settings::read(&mut doc, Path::new("/b"));
        (settings, doc.finish())
    }

    #[test]
    fn upstreams_file_is_read_as_it_is() {
        let (settings, problems) = read(
            "use_sudo = true\nssh_user = 'agent'\nssh_key = 'worker.key'\nssh_port = 22\ncerts_ttl = 60\n\
             certs_renewal_buffer = 0\nmy_own = [1]\n",
        );
        assert!(problems.is_empty(), "{problems:?}");
        assert_eq!(settings.ssh_key, Path::new("/b/secrets/worker.key"));
        assert!(settings.states("ssh_port") && !settings.states("host_key_check"));
        assert_eq!(settings.bucket_id, None);
    }

    #[test]
    fn every_wrong_value_is_reported_with_its_place() {
        let (_, problems) = read(
            "bucket_id = '../x'\nssh_user = '-oProxyCommand=x'\nssh_key = '../worker.key'\nssh_port = 70000\n\
             use_sudo = 'yes'\nhost_key_check = 'off'\nworker_root = '/opt/../etc'\nworker_rot = 1\n\
             sandbox = true\nhost_root = 'x'\n",
        );
        let places: Vec<_> = problems.iter().map(|p| (p.place().map(|at| at.1), p.code)).collect();
        let lines: Vec<_> = places.iter().filter_map(|(line, _)| *line).collect();
        assert_eq!(lines, [1, 2, 3, 4, 5, 6, 7, 8, 10, 1], "{places:?}");
    }

    #[test]
    fn where_the_list_of_workers_comes_from_is_no_part_of_what_a_run_depends_on() {
        let (settings, problems) =
            read("inventory_command = ' ./x --token y '\ninventory_timeout = 5\nother = 1\n");
        assert!(problems.is_empty(), "{problems:?}");
        assert_eq!(settings.inventory_command.as_deref(), Some("./x --token y"));
        assert_eq!(settings.inventory_timeout, Duration::from_secs(5));
        assert_eq!(settings.stated().keys().collect::<Vec<_>>(), ["other"]);
        let (_, problems) = read("inventory_command = ' '\ninventory_timeout = 0\ninventory_comand = 'x'\n");
        assert_eq!(
            problems.iter().map(|p| p.place().map(|at| at.1)).collect::<Vec<_>>(),
            [Some(1), Some(2), Some(3)]
        );
    }

    #[test]
    fn who_is_told_stands_in_a_file_of_the_bucket() {
        let (settings, problems) = read("notify = 'ops/notify.yaml'\n");
        assert!(problems.is_empty(), "{problems:?}");
        assert_eq!(settings.notify.as_deref(), Some("ops/notify.yaml"));
        assert!(settings.stated().is_empty(), "no run depends on it");
        for wrong in ["''", "'/etc/notify.yaml'", "'../notify.yaml'", "'a//b'", "'./x'", "7"] {
            let (settings, problems) = read(&format!("notify = {wrong}\n"));
            assert!(problems.has_errors() && settings.notify.is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_sandbox_worker_has_a_folder_of_its_own() {
        let (settings, problems) = read("sandbox = true\nhost_root = 'hosts/{host}'\n");
        assert!(problems.is_empty());
        let root = Host::parse("127.0.0.2").and_then(|host| settings.root_of(&host));
        assert_eq!(root, Some(PathBuf::from("/b/hosts/127.0.0.2")));
    }

    #[test]
    fn only_the_time_outs_of_a_sandbox_are_shorter() {
        let s = Duration::from_secs;
        let mut settings = Settings::defaults(Path::new("/b"));
        (settings.timeout_scale, settings.shortest_timeout) = (40, s(20));
        assert_eq!(settings.timeout(s(900)), s(900));
        settings.sandbox = true;
        assert_eq!(settings.timeout(s(3600)), s(90));
        assert_eq!(settings.timeout(s(120)), s(20));
        assert_eq!(settings.timeout(s(5)), s(5), "what is short stays as it is");
    }
}

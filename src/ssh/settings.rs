//! What [`super::Ssh2Remote`] is built from: resolved once, where the bucket and the user are known.
//!
//! It must not read files or the environment by itself, but for [`Settings::of_this_user`].

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::{HostKeyCheck, HostProfile};
use crate::bucket::Host;

/// What `workers.json` says about one worker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoint {
    /// `ssh_port`.
    pub port: Option<u16>,
    /// `ssh_user`.
    pub user: Option<String>,
}

/// Bounds of the phases of connecting. All are also bounded by the caller's `until`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// TCP connect, with the look-up of the name.
    pub connect: Duration,
    /// From the connect to the host key.
    pub handshake: Duration,
    /// Authentication and the first sign of a shell.
    pub auth: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        let each = Duration::from_secs(15);
        Self { connect: Duration::from_secs(10), handshake: each, auth: each }
    }
}

/// Something that the operator should see.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Notice {
    /// `accept-new` stored a key that was not known.
    HostKeyStored { host: String, fingerprint: String, file: PathBuf },
    /// The key could not be stored, so the next connection will not know it either.
    HostKeyNotStored { host: String, fingerprint: String, file: PathBuf, why: String },
    /// A key that is not known was taken, and nothing is stored ([`Settings::stores_host_keys`]).
    HostKeyNew { host: String, fingerprint: String, kind: String },
}

/// Asks the operator for the passphrase of a key file; `None`: there is no terminal to ask at.
pub type AskPassphrase = Arc<dyn Fn(&Path) -> Option<String> + Send + Sync>;
/// Shows a [`Notice`].
pub type Show = Arc<dyn Fn(&Notice) + Send + Sync>;
/// Where things are on a worker.
pub type Profiles = Arc<dyn Fn(&Host) -> HostProfile + Send + Sync>;

/// Everything the transport needs to know.
#[derive(Clone)]
pub struct Settings {
    /// Per worker; these come before everything else.
    pub endpoints: BTreeMap<Host, Endpoint>,
    /// `ssh_port`, where `maand.conf` states it.
    pub port: Option<u16>,
    /// `ssh_user`, where `maand.conf` states it.
    pub user: Option<String>,
    /// The user where none is stated (`agent` for a bucket).
    pub default_user: String,
    /// The bucket's key file.
    pub key: Option<PathBuf>,
    /// Tried after it where the ssh config names none (`~/.ssh/id_*`); they do not have to be there.
    pub default_identities: Vec<PathBuf>,
    /// The socket of an SSH agent, that is asked after the key files.
    pub agent: Option<PathBuf>,
    /// `secrets/known_hosts`: looked at first, and where new keys are stored.
    pub known_hosts: PathBuf,
    /// Looked at after it, never written (`~/.ssh/known_hosts`); UserKnownHostsFile is instead of it.
    pub more_known_hosts: Vec<PathBuf>,
    /// Looked at after these, never written (`/etc/ssh/ssh_known_hosts`); GlobalKnownHostsFile is instead
    /// of it.
    pub global_known_hosts: Vec<PathBuf>,
    /// What to do about a key that is not known.
    pub host_key_check: HostKeyCheck,
    /// Whether a first key that is accepted is noted in `known_hosts`: always, but for who only looks.
    pub stores_host_keys: bool,
    /// The user's `~/.ssh/config`; it does not have to be there.
    pub ssh_config: Option<PathBuf>,
    /// The system's (`/etc/ssh/ssh_config`), read after it.
    pub system_ssh_config: Option<PathBuf>,
    /// The user's home, for `~`.
    pub home: PathBuf,
    /// The user's name here: what a jump host is logged in to with, where no user is stated.
    pub local_user: String,
    /// Bounds of the phases.
    pub deadlines: Deadlines,
    /// Handshakes in flight per address and per jump host.
    pub handshakes: usize,
    /// For keys with a passphrase.
    pub ask_passphrase: Option<AskPassphrase>,
    /// For notices.
    pub show: Option<Show>,
    /// Where things are on a worker.
    pub profiles: Profiles,
}

/// sshd's `MaxStartups` begins to drop at 10 (`sshd_config(5)`); others may be logging in, too.
const HANDSHAKES: usize = 8;

/// In OpenSSH's order (`ssh_config(5)`, IdentityFile).
const DEFAULT_IDENTITIES: [&str; 5] = ["id_rsa", "id_ecdsa", "id_ecdsa_sk", "id_ed25519", "id_ed25519_sk"];

impl Settings {
    /// With the defaults, for this user's home and name, and the files that `ssh` would look at.
    pub fn of_this_user(known_hosts: PathBuf, profiles: Profiles) -> Self {
        let home = std::env::home_dir().unwrap_or_else(|| PathBuf::from("/"));
        Self {
            ssh_config: Some(home.join(".ssh/config")),
            system_ssh_config: Some("/etc/ssh/ssh_config".into()),
            default_identities: DEFAULT_IDENTITIES.iter().map(|name| home.join(".ssh").join(name)).collect(),
            more_known_hosts: ["known_hosts", "known_hosts2"].map(|name| home.join(".ssh").join(name)).into(),
            global_known_hosts: ["/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"]
                .map(PathBuf::from)
                .into(),
            local_user: crate::os::user_name().unwrap_or_else(|| {
                if rustix::process::geteuid().is_root() { "root".into() } else { "agent".into() }
            }),
            agent: std::env::var_os("SSH_AUTH_SOCK").filter(|path| !path.is_empty()).map(PathBuf::from),
            home,
            ..Self::bare(known_hosts, profiles)
        }
    }

    /// With the defaults, and nothing of the user's own.
    pub fn bare(known_hosts: PathBuf, profiles: Profiles) -> Self {
        Self {
            endpoints: BTreeMap::new(),
            port: None,
            user: None,
            default_user: "agent".into(),
            key: None,
            default_identities: Vec::new(),
            agent: None,
            known_hosts,
            more_known_hosts: Vec::new(),
            global_known_hosts: Vec::new(),
            host_key_check: HostKeyCheck::AcceptNew,
            stores_host_keys: true,
            ssh_config: None,
            system_ssh_config: None,
            home: PathBuf::from("/"),
            local_user: "root".into(),
            deadlines: Deadlines::default(),
            handshakes: HANDSHAKES,
            ask_passphrase: None,
            show: None,
            profiles,
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("key", &self.key)
            .field("known_hosts", &self.known_hosts)
            .field("host_key_check", &self.host_key_check)
            .field("ssh_config", &self.ssh_config)
            .finish_non_exhaustive()
    }
}

impl HostProfile {
    /// Where things are on a real worker: `worker_root` is `/opt/worker` unless the bucket says
    /// otherwise.
    pub fn real(worker_root: &Path, bucket_id: &str, host: &Host, use_sudo: bool) -> Self {
        Self {
            worker_dir: worker_root.join(bucket_id),
            state_dir: Path::new("/var/lib/maand").join(bucket_id).join(host.as_str()),
            state_dir_in_home: Path::new(".maand").join(bucket_id).join(host.as_str()),
            boot_id: "/proc/sys/kernel/random/boot_id".into(),
            nologin: "/run/nologin".into(),
            use_sudo,
            sandbox: false,
        }
    }
}

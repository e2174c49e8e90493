//! Where a worker is and how to log in to it: settings first, then the user's ssh config, then the
//! defaults; the same for each jump host before it.
//!
//! It must not connect.

use std::path::PathBuf;

use super::config::{
    self, Algorithms, BadLine, Checking, ConfigError, Family, HostConfig, Question, Stated, Tokens,
};
use super::known_hosts::Names;
use super::settings::Settings;
use super::socket::address;
use super::{ConnectError, Endpoint};

/// One machine to log in to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hop {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) user: String,
    pub(super) family: Family,
    /// In the order in which they are tried.
    pub(super) keys: Vec<Key>,
    /// CertificateFile: certificates of any of the keys.
    pub(super) certificates: Vec<PathBuf>,
    /// The socket of the agent.
    pub(super) agent: Option<PathBuf>,
    /// The agent is asked for these keys only.
    pub(super) identities_only: bool,
    pub(super) known_hosts: Vec<PathBuf>,
    /// Its names in them.
    pub(super) names: Names,
    /// Its name in certificates.
    pub(super) principal: String,
    /// Why a key that is not known is not accepted, where the ssh config says so.
    pub(super) only_known: Option<String>,
    pub(super) revoked: Option<Stated<PathBuf>>,
    /// RSA keys have to be that long.
    pub(super) rsa_bits: u32,
    pub(super) algorithms: Algorithms,
}

/// A key file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) path: PathBuf,
    pub(super) origin: Origin,
}

/// Who names a key file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The bucket: it has to be usable.
    Bucket,
    /// The ssh config: it may be missing, but when it is there it has to be usable.
    Config,
    /// Nobody; ssh tries it. What is wrong with it is of no matter when another key gets in.
    Default,
}

impl Hop {
    pub(super) fn address(&self) -> String {
        address(&self.host, self.port)
    }
}

/// RequiredRSASize where it is not stated (`ssh_config(5)`).
const RSA_BITS: u32 = 1024;

/// Longer chains are a loop.
const HOPS_MAX: usize = 8;

/// The way to a worker.
pub(super) struct Route {
    /// In their order.
    pub(super) jumps: Vec<Hop>,
    pub(super) target: Hop,
}

/// The way to a worker by the settings and the ssh config.
pub(super) fn route(settings: &Settings, host: &str, endpoint: &Endpoint) -> Result<Route, ConnectError> {
    let failed = |source| ConnectError::Config { host: host.to_owned(), source };
    let name = Named {
        name: host,
        user: endpoint.user.clone().or_else(|| settings.user.clone()),
        port: endpoint.port.or(settings.port),
        default_user: &settings.default_user,
    };
    let config = name.read(settings).map_err(failed)?;
    let target = hop(settings, &name, &config).map_err(failed)?;
    let jumps = jumps(settings, &target, host, &config, HOPS_MAX).map_err(failed)?;
    Ok(Route { jumps, target })
}

/// A machine as it is called, with what is said about it outside of the ssh config.
struct Named<'a> {
    name: &'a str,
    user: Option<String>,
    port: Option<u16>,
    default_user: &'a str,
}

impl Named<'_> {
    fn read(&self, settings: &Settings) -> Result<HostConfig, ConfigError> {
        let question = Question {
            host: self.name,
            user: self.user.as_deref(),
            default_user: self.default_user,
            local_user: &settings.local_user,
            home: &settings.home,
        };
        config::read(settings.ssh_config.as_deref(), settings.system_ssh_config.as_deref(), &question)
    }
}

fn jumps(
    settings: &Settings,
    target: &Hop,
    name: &str,
    config: &HostConfig,
    left: usize,
) -> Result<Vec<Hop>, ConfigError> {
    if let Some(command) = config.proxy_command.as_ref().filter(|command| command.value != "none") {
        return Err(ConfigError::ProxyCommand(command.place.clone()));
    }
    let Some(stated) = config.proxy_jump.as_ref().filter(|jump| !jump.value.eq_ignore_ascii_case("none"))
    else {
        return Ok(Vec::new());
    };
    let tokens = Tokens {
        original: name,
        host: &target.host,
        port: target.port,
        user: &target.user,
        local_user: &settings.local_user,
        home: &settings.home,
        alias: config.host_key_alias.as_deref(),
        jump: "",
    };
    let list = tokens.jump(&stated.value).map_err(|line| at(stated, line))?;
    let mut hops: Vec<Hop> = Vec::new();
    for (at, text) in list.split(',').enumerate() {
        let Some((user, name, port)) = parse_jump(text.trim()) else {
            return Err(ConfigError::JumpHost(text.to_owned()));
        };
        if hops.len() >= left {
            return Err(ConfigError::JumpLoop);
        }
        let name = Named { name: &name, user, port, default_user: &settings.local_user };
        let config = name.read(settings)?;
        let jump = hop(settings, &name, &config)?;
        // As OpenSSH: only the first of a list may need jump hosts of its own.
        if at == 0 {
            hops.extend(jumps(settings, &jump, name.name, &config, left - 1)?);
        }
        hops.push(jump);
    }
    Ok(hops)
}

/// As the error of the line where a value stands.
fn at<T>(stated: &Stated<T>, line: BadLine) -> ConfigError {
    ConfigError::Line { place: stated.place.clone(), line }
}

fn hop(settings: &Settings, name: &Named<'_>, config: &HostConfig) -> Result<Hop, ConfigError> {
    let user = name.user.clone().or_else(|| config.user.clone());
    let user = user.unwrap_or_else(|| name.default_user.to_owned());
    let port = name.port.or(config.port).unwrap_or(22);
    let host = match &config.host_name {
        Some(stated) => config::host_name(&stated.value, name.name).map_err(|line| at(stated, line))?,
        None => name.name.to_owned(),
    };
    let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(inner) => inner.to_owned(),
        None => host,
    };
    let alias = config.host_key_alias.as_deref();
    let tokens = Tokens {
        original: name.name,
        host: &host,
        port,
        user: &user,
        local_user: &settings.local_user,
        home: &settings.home,
        alias,
        jump: config.proxy_jump.as_ref().map_or("", |jump| &jump.value),
    };
    let path = |stated: &Stated<String>| tokens.path(&stated.value).map_err(|line| at(stated, line));
    let named = |list: &[Stated<String>]| -> Result<Vec<PathBuf>, ConfigError> {
        list.iter().filter(|stated| stated.value != "none").map(path).collect()
    };
    let files = |list: &Option<Stated<Vec<String>>>, usual: &[PathBuf]| match list {
        Some(stated) => {
            let files = stated.value.iter().filter(|file| *file != "none");
            let files = files.map(|file| tokens.path(file)).collect::<Result<Vec<_>, _>>();
            files.map_err(|line| at(stated, line))
        }
        None => Ok(usual.to_vec()),
    };

    let mut known_hosts = vec![settings.known_hosts.clone()];
    known_hosts.extend(files(&config.user_known_hosts, &settings.more_known_hosts)?);
    known_hosts.extend(files(&config.global_known_hosts, &settings.global_known_hosts)?);
    let revoked = match &config.revoked_host_keys {
        Some(stated) if stated.value != "none" => {
            Some(Stated { value: path(stated)?, place: stated.place.clone() })
        }
        _ => None,
    };

    let key = |origin| move |path| Key { path, origin };
    let mut keys: Vec<_> = settings.key.iter().cloned().map(key(Origin::Bucket)).collect();
    keys.extend(named(&config.identity_files)?.into_iter().map(key(Origin::Config)));
    if config.identity_files.is_empty() {
        keys.extend(settings.default_identities.iter().cloned().map(key(Origin::Default)));
    }
    let agent = match &config.identity_agent {
        Some(stated) => match stated.value.as_str() {
            "none" => None,
            "SSH_AUTH_SOCK" => settings.agent.clone(),
            variable if variable.starts_with('$') && !variable.starts_with("${") => {
                std::env::var_os(&variable[1..]).map(PathBuf::from)
            }
            _ => Some(path(stated)?),
        },
        None => settings.agent.clone(),
    };

    Ok(Hop {
        family: config.address_family.unwrap_or_default(),
        keys,
        certificates: named(&config.certificate_files)?,
        agent,
        identities_only: config.identities_only.unwrap_or(false),
        known_hosts,
        names: alias.map_or_else(|| Names::of(&host, port), Names::alias),
        principal: alias.map_or_else(|| host.clone(), str::to_owned),
        only_known: config.host_key_checking.as_ref().and_then(only_known),
        revoked,
        rsa_bits: config.required_rsa_size.unwrap_or(RSA_BITS),
        algorithms: config.algorithms.clone(),
        host,
        port,
        user,
    })
}

/// What StrictHostKeyChecking comes to. `accept-new` is what the bucket says, or less; what `off` and `no`
/// permit beyond it is not done here.
fn only_known(stated: &Stated<Checking>) -> Option<String> {
    match stated.value {
        Checking::Yes => Some(format!("StrictHostKeyChecking demands that it is ({})", stated.place)),
        Checking::Ask => {
            Some(format!("StrictHostKeyChecking is `ask` ({}), and nobody is asked here", stated.place))
        }
        Checking::AcceptNew | Checking::Off => None,
    }
}

/// `[user@]host[:port]`, an IPv6 address in brackets, and `ssh://` in front of it.
pub(super) fn parse_jump(text: &str) -> Option<(Option<String>, String, Option<u16>)> {
    let text = text.strip_prefix("ssh://").unwrap_or(text).trim_end_matches('/');
    let (user, rest) = match text.rsplit_once('@') {
        Some((user, rest)) => (Some(user.to_owned()).filter(|user| !user.is_empty()).map(Some)?, rest),
        None => (None, text),
    };
    let (host, port) = match rest.strip_prefix('[') {
        Some(inner) => {
            let (host, after) = inner.split_once(']')?;
            let port = if after.is_empty() { None } else { Some(after.strip_prefix(':')?) };
            (host, port)
        }
        None => match rest.split_once(':') {
            Some((host, port)) if !port.contains(':') => (host, Some(port)),
            _ => (rest, None),
        },
    };
    let port =
        port.map(|port| port.parse().ok().filter(|port| *port != 0)).map_or(Some(None), |p| p.map(Some))?;
    (!host.is_empty()).then(|| (user, host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::ssh::HostProfile;

    fn settings(config: &str) -> (tempfile::TempDir, Settings) {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("config");
        std::fs::write(&file, config).unwrap();
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let profiles = Arc::new(|host: &_| HostProfile::real("/opt/worker".as_ref(), "b", host, true));
        let settings = Settings {
            ssh_config: Some(file),
            home: home.path().into(),
            local_user: "me".into(),
            ..Settings::bare(home.path().join("kh"), profiles)
        };
        (home, settings)
    }

    /// The jump hosts, then the worker itself.
    fn hops(settings: &Settings, host: &str, endpoint: &Endpoint) -> Vec<Hop> {
        let Route { mut jumps, target } = route(settings, host, endpoint).unwrap();
        jumps.push(target);
        jumps
    }

    #[test]
    fn the_bucket_comes_before_the_users_config() {
        let (_home, mut settings) = settings("Host w1\nPort 5\nUser other\nHostName 10.0.0.1\n");
        let all = hops(&settings, "w1", &Endpoint::default());
        assert_eq!((all[0].address().as_str(), all[0].user.as_str()), ("10.0.0.1:5", "other"));
        settings.user = Some("agent".into());
        settings.port = Some(22);
        let all = hops(&settings, "w1", &Endpoint { port: Some(7), user: None });
        assert_eq!((all[0].address().as_str(), all[0].user.as_str()), ("10.0.0.1:7", "agent"));
        assert_eq!(hops(&settings, "w2", &Endpoint::default())[0].user, "agent");
    }

    #[test]
    fn jump_hosts_in_their_order() {
        let (_home, settings) =
            settings("Host w*\nProxyJump a@b1:5,b2\nHost b1\nProxyJump [::1]:9\nHost b2\nUser two\n");
        let all = hops(&settings, "w1", &Endpoint::default());
        let seen: Vec<_> = all.iter().map(|hop| format!("{}@{}", hop.user, hop.address())).collect();
        assert_eq!(seen, ["me@[::1]:9", "a@b1:5", "two@b2:22", "agent@w1:22"]);
    }

    #[test]
    fn what_cannot_be_followed_is_said() {
        let (_home, settings) =
            settings("Host a\nProxyJump b\nHost b\nProxyJump a\nHost c\nProxyCommand nc\n");
        let why = |host| route(&settings, host, &Endpoint::default()).map(drop).unwrap_err().to_string();
        assert!(why("a").contains("for ever"), "{}", why("a"));
        assert!(why("c").contains("ProxyCommand"));
    }

    #[test]
    fn addresses_of_jump_hosts() {
        let parse = |text| parse_jump(text).map(|(user, host, port)| (user.unwrap_or_default(), host, port));
        let some = |user: &str, host: &str, port| Some((user.to_owned(), host.to_owned(), port));
        assert_eq!(parse("[::1]:2222"), some("", "::1", Some(2222)));
        assert_eq!(parse("ssh://me@[fe80::1%eth0]/"), some("me", "fe80::1%eth0", None));
        assert_eq!(parse("a@b@c:5"), some("a@b", "c", Some(5)));
        assert_eq!(parse("::1"), some("", "::1", None));
        for bad in ["", "@b", "[::1", "[::1]x", "[::1]:", "b:0", "b:x", ":5", "[]:5"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn where_keys_and_trust_come_from() {
        let text = "Host a\nIdentityFile ~/k-%r\nIdentityAgent none\nIdentitiesOnly yes\n\
                    UserKnownHostsFile ~/mine none\nHostKeyAlias Other\nRevokedHostKeys %d/revoked\n\
                    CertificateFile ~/c\nPort 7\nHost b\nGlobalKnownHostsFile /none\nHostName [::1]\n\
                    IdentityFile none\nStrictHostKeyChecking ask\nHost c\nStrictHostKeyChecking yes\n\
                    Host d\nStrictHostKeyChecking off\nHost e\nIdentityFile %z\n";
        let (home, mut settings) = settings(text);
        settings.default_identities = vec!["/id_rsa".into()];
        settings.agent = Some("/agent".into());
        settings.more_known_hosts = vec!["/user".into()];
        settings.global_known_hosts = vec!["/global".into()];
        let target = |host| route(&settings, host, &Endpoint::default()).map(|route| route.target);
        let a = target("a").unwrap();
        let own = settings.known_hosts.clone();
        assert_eq!(a.keys, [Key { path: home.path().join("k-agent"), origin: Origin::Config }]);
        assert_eq!(a.certificates, [home.path().join("c")]);
        assert_eq!((a.agent, a.identities_only), (None, true));
        assert_eq!(a.known_hosts, [own.clone(), home.path().join("mine"), "/global".into()]);
        assert_eq!((a.names, a.principal.as_str()), (Names::alias("Other"), "Other"));
        assert_eq!(a.revoked.unwrap().value, home.path().join("revoked"));
        let b = target("b").unwrap();
        assert_eq!((b.host.as_str(), b.address().as_str(), b.keys), ("::1", "[::1]:22", vec![]));
        assert_eq!(b.known_hosts, [own, "/user".into(), "/none".into()]);
        assert_eq!(b.agent.unwrap(), PathBuf::from("/agent"));
        assert!(b.only_known.unwrap().contains("config:14"));
        assert!(target("c").unwrap().only_known.is_some());
        let d = target("d").unwrap();
        assert_eq!((d.only_known, d.keys.len()), (None, 1));
        assert!(target("e").unwrap_err().to_string().contains("config:20"));
    }
}

//! Where a worker is and how to log in to it: settings first, then the user's ssh config, then the
//! defaults; the same for each jump host before it.
//!
//! It must not connect.

use std::path::PathBuf;

use super::ConfigError;
use super::config::{self, HostConfig};
use super::known_hosts;
use super::settings::Settings;
use super::socket::address;
use super::{ConnectError, Endpoint};

/// One machine to log in to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hop {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) user: String,
    pub(super) keys: Vec<Key>,
    pub(super) known_hosts: Vec<PathBuf>,
}

/// A key file; one that the bucket names has to be usable, one of the user's config may be missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) path: PathBuf,
    pub(super) required: bool,
}

impl Hop {
    pub(super) fn address(&self) -> String {
        address(&self.host, self.port)
    }

    /// Its name in known_hosts.
    pub(super) fn known_name(&self) -> String {
        known_hosts::name_of(&self.host, self.port)
    }
}

/// Longer chains are a loop.
const HOPS_MAX: usize = 8;

/// The way to a worker.
pub(super) struct Route {
    /// In their order.
    pub(super) jumps: Vec<Hop>,
    pub(super) target: Hop,
}

/// The way to a worker by the settings and the user's ssh config.
pub(super) fn route(settings: &Settings, host: &str, endpoint: &Endpoint) -> Result<Route, ConnectError> {
    let failed = |source| ConnectError::Config { host: host.to_owned(), source };
    let config = read_config(settings, host).map_err(failed)?;
    let user = endpoint.user.clone().or_else(|| settings.user.clone());
    let port = endpoint.port.or(settings.port);
    let target = hop(settings, host, user, port, &settings.default_user, &config);
    let jumps = jumps(settings, &config, HOPS_MAX).map_err(failed)?;
    Ok(Route { jumps, target })
}

fn jumps(settings: &Settings, config: &HostConfig, left: usize) -> Result<Vec<Hop>, ConfigError> {
    if config.proxy_command.as_deref().is_some_and(|command| command != "none") {
        return Err(ConfigError::ProxyCommand);
    }
    let Some(list) = config.proxy_jump.as_deref().filter(|list| *list != "none") else {
        return Ok(Vec::new());
    };
    let mut hops: Vec<Hop> = Vec::new();
    for (at, text) in list.split(',').enumerate() {
        let Some((user, name, port)) = parse_jump(text.trim()) else {
            return Err(ConfigError::JumpHost(text.to_owned()));
        };
        if hops.len() >= left {
            return Err(ConfigError::JumpLoop);
        }
        let config = read_config(settings, &name)?;
        // As OpenSSH: only the first of a list may need jump hosts of its own.
        if at == 0 {
            hops.extend(jumps(settings, &config, left - 1)?);
        }
        hops.push(hop(settings, &name, user, port, &settings.local_user, &config));
    }
    Ok(hops)
}

fn hop(
    settings: &Settings,
    name: &str,
    user: Option<String>,
    port: Option<u16>,
    default_user: &str,
    config: &HostConfig,
) -> Hop {
    let user = user.or_else(|| config.user.clone()).unwrap_or_else(|| default_user.to_owned());
    let port = port.or(config.port).unwrap_or(22);
    let host = config.host_name.as_deref().map_or(name.to_owned(), |text| text.replace("%h", name));
    let expand = |text: &str| {
        let home = settings.home.to_string_lossy();
        let text = text.strip_prefix("~/").map_or(text.to_owned(), |rest| format!("{home}/{rest}"));
        let text = text.replace("%d", &home).replace("%h", &host).replace("%r", &user);
        PathBuf::from(text.replace("%u", &settings.local_user).replace("%p", &port.to_string()))
    };
    let bucket = settings.key.iter().map(|path| Key { path: path.clone(), required: true });
    let users = config.identity_files.iter().map(|file| Key { path: expand(file), required: false });
    let mut known_hosts = vec![settings.known_hosts.clone()];
    match &config.known_hosts_files {
        Some(files) => known_hosts.extend(files.iter().filter(|f| *f != "none").map(|f| expand(f))),
        None => known_hosts.extend(settings.more_known_hosts.iter().cloned()),
    }
    let keys = bucket.chain(users).collect();
    Hop { host, port, user, keys, known_hosts }
}

fn read_config(settings: &Settings, host: &str) -> Result<HostConfig, ConfigError> {
    let Some(file) = &settings.ssh_config else { return Ok(HostConfig::default()) };
    config::read(file, &settings.home, host)
}

/// `[user@]host[:port]`, an IPv6 address in brackets, and `ssh://` in front of it.
fn parse_jump(text: &str) -> Option<(Option<String>, String, Option<u16>)> {
    let text = text.strip_prefix("ssh://").unwrap_or(text).trim_end_matches('/');
    let (user, rest) = match text.rsplit_once('@') {
        Some((user, rest)) => (Some(user.to_owned()), rest),
        None => (None, text),
    };
    let (host, port) = if let Some(inner) = rest.strip_prefix('[') {
        let (host, after) = inner.split_once(']')?;
        (host, after.strip_prefix(':'))
    } else {
        match rest.split_once(':') {
            Some((host, port)) if !port.contains(':') => (host, Some(port)),
            _ => (rest, None),
        }
    };
    let port = port.map(str::parse).transpose().ok()?;
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
}

//! What this machine brings along for a worker, without connecting: where the login goes, and what stands at the keys
//! and the agent that it would use.

use std::io;
use std::path::{Path, PathBuf};

use super::agent::Agent;
use super::identity::Identity;
use super::route::{Hop, Key, Origin, route};
use super::{ConnectError, Settings};
use crate::bucket::Host;

/// Where a login goes, and with what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// Name or address that is connected to.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The user that is logged in as.
    pub user: String,
    /// Its name in files of known hosts.
    pub known_as: String,
    /// Key files, in the order in which they are tried.
    pub keys: Vec<NamedKey>,
    /// The socket of the agent that is asked.
    pub agent: Option<PathBuf>,
    /// The machines before it.
    pub jumps: Vec<Destination>,
}

/// A key file that a login would try.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NamedKey {
    /// Where it is.
    pub path: PathBuf,
    /// The bucket or the ssh config names it; else it is only tried, as ssh does.
    pub is_named: bool,
}

/// Where the login to a worker goes.
///
/// # Errors
/// The ssh config cannot be used for it.
pub fn destination(settings: &Settings, host: &Host) -> Result<Destination, ConnectError> {
    let endpoint = settings.endpoints.get(host).cloned().unwrap_or_default();
    let route = route(settings, host.as_str(), &endpoint)?;
    let jumps = route.jumps.iter().map(|hop| of(hop, Vec::new())).collect();
    Ok(of(&route.target, jumps))
}

fn of(hop: &Hop, jumps: Vec<Destination>) -> Destination {
    let key = |key: &Key| NamedKey { path: key.path.clone(), is_named: key.origin != Origin::Default };
    Destination {
        host: hop.host.clone(),
        port: hop.port,
        user: hop.user.clone(),
        known_as: hop.names.exact.clone(),
        keys: hop.keys.iter().map(key).collect(),
        agent: hop.agent.clone(),
        jumps,
    }
}

/// What stands at the path of a key file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyLook {
    /// The private half is there.
    pub has_private: bool,
    /// It needs a passphrase.
    pub is_encrypted: bool,
    /// The public half, as the agent lists it.
    pub public: Option<Vec<u8>>,
}

/// Looks at a key file as a login would.
///
/// # Errors
/// It is not there or cannot be used: [`ConnectError::KeyFile`].
pub fn key_look(path: &Path) -> Result<KeyLook, ConnectError> {
    let key = Key { path: path.to_owned(), origin: Origin::Bucket };
    let identity = Identity::read(&key)?;
    let private = identity.as_ref().and_then(|identity| identity.private.as_ref());
    Ok(KeyLook {
        has_private: private.is_some(),
        is_encrypted: private.is_some_and(|private| private.is_encrypted),
        public: identity.as_ref().and_then(|identity| identity.public.as_ref()).map(|key| key.blob.clone()),
    })
}

/// What an agent answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentLook {
    /// Its public keys.
    pub keys: Vec<Vec<u8>>,
}

/// Asks an agent for its keys.
///
/// # Errors
/// It does not answer.
pub fn agent_look(socket: &Path) -> io::Result<AgentLook> {
    Agent::open(socket).map(|agent| AgentLook { keys: agent.keys })
}

//! Plain SSH: connecting with verified host keys, running framed scripts, sending tar streams.
//!
//! This room knows the transport and the quoting. It must not know jobs, plans or what a script is
//! for; it never retries a script by itself.

mod agent;
mod algorithms;
mod auth;
mod bootstrap;
mod budget;
mod cause;
mod certificate;
mod client;
mod config;
mod connect_error;
mod connection;
mod destination;
mod exchange;
mod frame;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod group;
mod handshake_limiter;
mod host_key;
mod identity;
mod jump;
mod kexinit;
mod known_hosts;
mod not_run;
mod packets;
mod private_key;
mod relay;
mod remembered;
mod remote;
mod revoked;
mod route;
mod settings;
mod socket;
mod sudo;
mod wire;

pub use cause::{Cause, Layer, missing_tools, sudo_cause};
pub use client::Ssh2Remote;
pub(crate) use config::matches_pattern;
pub use config::{BadLine, ConfigError, HostLine, host_lines};
pub use connect_error::{ConnectError, Stage};
pub use destination::{AgentLook, Destination, KeyLook, NamedKey, agent_look, destination, key_look};
pub use group::{Group, end_group};
pub use not_run::NotRun;
pub use remote::*;
pub use settings::{AskPassphrase, Deadlines, Endpoint, Notice, Profiles, Settings, Show};
pub use sudo::SUDO_FOR_ROOT;

pub use crate::bucket::HostKeyCheck;
pub use crate::os::quote;
pub use crate::plan::visible;

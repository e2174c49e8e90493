//! One host of an inventory: how it is reached.

use std::collections::BTreeSet;

use super::super::import::{Gathered, Reason};
use super::document::{Value, Variables};
use super::settings::{self, is_template};
use crate::bucket::{Host, WorkerEntry, is_user};
use crate::plan::visible_line;

/// As long as the name of a machine can be (RFC 1035, 2.3.4).
const LONGEST_NAME: usize = 255;

/// Of connections that are SSH.
const SSH: [&str; 4] = ["ssh", "smart", "paramiko", "paramiko_ssh"];

const NOT_SSH: Reason = (
    "Ansible does not reach it by SSH (`ansible_connection`), and workers are reached by SSH alone",
    "nothing is to be done, if it is no Linux machine with an SSH server",
);
const TEMPLATE: Reason = (
    "how it is reached is a template, which Ansible fills in when it runs",
    "write the value itself, or leave `ansible_host` out and write HostName for it into ~/.ssh/config",
);
const LONG_NAME: Reason = ("its name is longer than that of any machine", "give it a shorter one");
const BAD_HOST: Reason = (
    "its address is no host name: letters, digits, `.`, `_` and `-`, or an address of IPv6",
    "correct `ansible_host`; `ansible-inventory --list` writes ranges such as web[01:10] out",
);
const BAD_PORT: Reason =
    ("it is no port from 1 to 65535", "correct it, or write Port for the host into ~/.ssh/config");
const BAD_USER: Reason = (
    "it is no user name: letters, digits, `.`, `_` and `-`",
    "correct it, or write User for the host into ~/.ssh/config",
);

/// The worker that a host is, without labels and tags; `Err`: why it is none. Variables that are `named` become tags.
pub(super) fn mapped(
    name: &str,
    variables: &Variables,
    named: Option<&BTreeSet<String>>,
    not_taken: &mut Gathered,
) -> Result<WorkerEntry, Reason> {
    // Whatever is said of a host names it.
    if name.len() > LONGEST_NAME {
        return Err(LONG_NAME);
    }
    let first = |names: [&'static str; 2]| {
        let found = names.into_iter().find_map(|name| variables.get(name).map(|value| (name, value)));
        found.filter(|(_, value)| **value != Value::Null)
    };
    match first(["ansible_connection"; 2]) {
        None => {}
        Some((_, Value::Scalar(text))) if is_template(text) => return Err(TEMPLATE),
        // By its short name, or with the collection that it is from.
        Some((_, Value::Scalar(text))) if SSH.iter().any(|ssh| text.rsplit('.').next() == Some(*ssh)) => {}
        Some(_) => return Err(NOT_SSH),
    }
    let address = match first(["ansible_host", "ansible_ssh_host"]) {
        None => name,
        Some((_, Value::Scalar(text))) if is_template(text) => return Err(TEMPLATE),
        Some((_, Value::Scalar(text))) => text.trim(),
        Some(_) => return Err(BAD_HOST),
    };
    let host = Host::parse(address).filter(|host| host.is_ipv6() || !address.contains(':'));
    let host = host.ok_or(BAD_HOST)?;
    let is_its_name = host.as_str() == name;
    let mut entry = WorkerEntry::new(host);
    if !is_its_name && visible_line(name) == name && !name.trim().is_empty() {
        entry = entry.called(name.trim());
    }
    let mut refuse = |reason, variable: &str| not_taken.push_at(reason, format!("variable {variable}"), name);
    if let Some((variable, value)) = first(["ansible_port", "ansible_ssh_port"]) {
        let port = match value {
            Value::Scalar(text) => text.trim().parse::<u16>().ok().filter(|port| *port != 0),
            _ => None,
        };
        match port {
            Some(port) => entry = entry.ssh_port(port),
            None => refuse(BAD_PORT, variable),
        }
    }
    if let Some((variable, value)) = first(["ansible_user", "ansible_ssh_user"]) {
        match value {
            Value::Scalar(user) if is_user(user) => entry = entry.ssh_user(user),
            _ => refuse(BAD_USER, variable),
        }
    }
    let is_named = |variable: &str| named.is_some_and(|named| named.contains(variable));
    for variable in variables.keys().filter(|variable| !is_named(variable)) {
        if let Some(reason) = settings::not_taken(variable) {
            refuse(reason, variable);
        }
    }
    Ok(entry)
}

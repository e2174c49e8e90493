//! The hosts of an ssh config: each name that is no pattern is a worker of that name. What is said of it stays where it is,
//! as the file is read whenever a worker is connected to; but for a port and a user over which `maand.conf` would win.

use std::collections::{BTreeMap, BTreeSet};

use super::error::no_hosts;
use super::import::{Gathered, Import, Reason};
use crate::bucket::{Host, WorkerEntry, is_user};
use crate::plan::Problems;
use crate::ssh::{HostLine, matches_pattern};

const PATTERN: Reason = (
    "it is a pattern, and stands for names that the file does not have",
    "write each host into workspace/workers.json, as it is called: the pattern counts for it when it is connected to",
);
const MATCH: Reason =
    ("a `Match` block names no hosts", "nothing is to be done: it counts when a worker is connected to");
const NESTED: Reason = (
    "it is in a file that another block includes, and counts only together with that one",
    "move the `Include` in front of the first `Host`",
);
const BAD_HOST: Reason = (
    "it is no host name here: letters, digits, `.`, `_` and `-`, starting with a letter or digit",
    "give it a plainer name beside this one: `Host NAME OTHER`",
);
const BAD_USER: Reason = (
    "it is no user name here, and `ssh_user` of maand.conf wins over it: letters, digits, `.`, `_` and `-`",
    "leave `ssh_user` out of maand.conf",
);
const SAME_MACHINE: Reason = (
    "another name leads to the same machine, and a machine that is there twice would be rebooted twice",
    "nothing is to be done, or choose the name with --hosts",
);

/// Where a name leads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeadsTo {
    /// The machine, the same for each name that leads there.
    pub machine: String,
    /// Its port, where `maand.conf` states another one for all workers.
    pub port: Option<u16>,
    /// Its user, where `maand.conf` states another one for all workers.
    pub user: Option<String>,
}

/// The workers that these lines name. `wanted` are patterns (`*` and `?`) of names; none: all. `leads_to` says where a name
/// leads, or why it cannot be connected to.
///
/// # Errors
/// No name is left.
pub fn ssh_config(
    source: &str,
    lines: &[HostLine],
    wanted: &[String],
    leads_to: &dyn Fn(&Host) -> Result<LeadsTo, String>,
) -> Result<Import, Problems> {
    let mut not_taken = Gathered::default();
    let mut seen: BTreeSet<String> = BTreeSet::new();
    let mut machines: BTreeMap<String, String> = BTreeMap::new();
    let mut workers = Vec::new();
    for line in lines {
        if line.is_match {
            not_taken.push_at(MATCH, format!("Match {}", line.words.join(" ")), &line.place);
            continue;
        }
        // What is excluded belongs to a pattern.
        for name in line.words.iter().filter(|name| !name.starts_with('!')) {
            if name.contains(['*', '?']) {
                not_taken.push_at(PATTERN, format!("Host {name}"), &line.place);
                continue;
            }
            if !(wanted.is_empty() || wanted.iter().any(|pattern| matches_pattern(pattern, name))) {
                continue;
            }
            let host = Host::parse(name).filter(|host| host.is_ipv6() || !name.contains(':'));
            let Some(host) = host else {
                not_taken.push_at(BAD_HOST, format!("Host {name}"), &line.place);
                continue;
            };
            if line.is_nested {
                not_taken.push_at(NESTED, format!("Host {name}"), &line.place);
                continue;
            }
            if !seen.insert(host.folded()) {
                continue;
            }
            match leads_to(&host) {
                Ok(LeadsTo { machine, port, user }) => {
                    if let Some(first) = machines.get(&machine) {
                        not_taken.push_at(SAME_MACHINE, format!("Host {name}"), first);
                        continue;
                    }
                    machines.insert(machine, name.clone());
                    let entry = WorkerEntry::new(host);
                    let entry = port.map_or(entry.clone(), |port| entry.ssh_port(port));
                    workers.push(match user {
                        Some(user) if is_user(&user) => entry.ssh_user(&user),
                        Some(_) => {
                            not_taken.push_at(BAD_USER, format!("User of {name}"), &line.place);
                            entry
                        }
                        None => entry,
                    });
                }
                Err(why) => not_taken.push_at(UNUSABLE, format!("Host {name}: {why}"), &line.place),
            }
        }
    }
    if workers.is_empty() {
        let help = "a line such as `Host web1` names one; with --hosts only those that it means are taken";
        return Err(no_hosts(source, help).into());
    }
    Ok(Import { workers, not_taken: not_taken.finish() })
}

const UNUSABLE: Reason = (
    "it cannot be connected to by this ssh config",
    "docs/ssh_config.md says what of an ssh config is understood",
);

#[cfg(test)]
mod tests {
    use super::*;

    fn line(words: &[&str], is_match: bool, is_nested: bool) -> HostLine {
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        HostLine { place: "c:1".to_owned(), words, is_match, is_nested }
    }

    #[test]
    fn names_are_workers_and_all_else_is_named() {
        let lines = [
            line(&["web1", "web2", "!x", "web*"], false, false),
            line(&["web2", "bad_1", "a b", "-o"], false, false),
            line(&["user", "x"], true, false),
            line(&["inner"], false, true),
            line(&["alias", "WEB1", "gone"], false, false),
        ];
        let to = |machine: &str| LeadsTo { machine: machine.to_owned(), ..LeadsTo::default() };
        let leads_to = |host: &Host| match host.as_str() {
            "alias" => Ok(to("web1")),
            "gone" => Err("no".to_owned()),
            "web2" => Ok(LeadsTo { port: Some(2222), user: Some("-x".to_owned()), ..to("web2") }),
            other => Ok(to(other)),
        };
        let found = ssh_config("c", &lines, &[], &leads_to).unwrap();
        let hosts: Vec<_> = found.workers.iter().map(|entry| entry.host().as_str()).collect();
        assert_eq!(hosts, ["web1", "web2", "bad_1"]);
        let not_taken: BTreeSet<(&str, Reason)> =
            found.not_taken.iter().map(|one| (one.what.as_str(), (one.why, one.help))).collect();
        let ports: Vec<_> = found.workers.iter().map(|entry| entry.worker().ssh_port).collect();
        assert_eq!(ports, [None, Some(2222), None]);
        let expected = [
            ("User of web2", BAD_USER),
            ("Host -o", BAD_HOST),
            ("Host a b", BAD_HOST),
            ("Host alias", SAME_MACHINE),
            ("Host gone: no", UNUSABLE),
            ("Host inner", NESTED),
            ("Host web*", PATTERN),
            ("Match user x", MATCH),
        ];
        assert_eq!(not_taken, BTreeSet::from(expected));
        let narrowed = ssh_config("c", &lines, &["web?".to_owned()], &leads_to).unwrap();
        assert_eq!(narrowed.workers.len(), 2);
        let none = ssh_config("c", &lines, &["db*".to_owned()], &leads_to).unwrap_err();
        assert_eq!(none.iter().next().unwrap().code, "maand::inventory::no_hosts");
    }
}

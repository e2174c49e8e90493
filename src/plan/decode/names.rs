//! Names: of hosts, jobs, steps, labels and environment variables, and lists of them.

// An address is data; the sockets are in `std::net`.
use core::net::Ipv6Addr;

use super::super::yaml::{Node, shorten};
use super::super::{Located, Problem, code};
use super::common::{Decoder, Fields};

/// Whether `text` is a host that is safe to hand to any program: a name or an address of IPv4
/// (`[A-Za-z0-9][A-Za-z0-9._:-]*`) or one of IPv6 without brackets, at most 255 bytes. The same rule as for
/// `workers.json`.
pub fn is_host_name(text: &str) -> bool {
    let is_name = text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte));
    text.len() <= 255 && (is_name || is_ipv6(text))
}

/// Whether `text` is an address of IPv6 that somebody can have, such as `::1`, perhaps with a zone (`fe80::1%eth0`).
pub fn is_ipv6(text: &str) -> bool {
    let (address, zone) = text.split_once('%').unwrap_or((text, "0"));
    let of_zone = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let is_somebodys = |address: Ipv6Addr| !address.is_unspecified();
    address.parse().is_ok_and(is_somebodys) && !zone.is_empty() && zone.bytes().all(of_zone)
}

/// A host as it is compared with others: an address of IPv6 may be given in brackets (`[::1]`), as ssh and URLs have it.
pub fn bare_host(text: &str) -> &str {
    let inner = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    inner.filter(|inner| inner.contains(':')).unwrap_or(text)
}

/// Whether `text` can be the name of a job: `[A-Za-z0-9_][A-Za-z0-9._-]*`, at most 128 bytes.
pub fn is_job_name(text: &str) -> bool {
    text.len() <= 128
        && text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// Whether `text` can be the name of an environment variable (and so of a plan's variable).
pub(super) fn is_variable_name(text: &str) -> bool {
    text.len() <= 128
        && text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Why a plan cannot set this variable, if so: each command finds it set by this program, or its shell does not let
/// it be set.
pub(super) fn reserved(name: &str) -> Option<&'static str> {
    match name {
        "BUCKET_ID" | "WORKER_IP" => Some("it says where a command runs, and is set for each"),
        "UID" | "EUID" | "PPID" | "BASHOPTS" | "SHELLOPTS" | "BASH_VERSINFO" => {
            Some("bash does not let it be set")
        }
        _ if name.starts_with("MAAND_") => {
            Some("names that begin with MAAND_ say where a command stands, and are set for each")
        }
        _ => None,
    }
}

/// A value that becomes a variable of the environment has at most this many bytes; the system takes twice as much.
pub(super) const MOST_OF_A_VALUE: usize = 64 * 1024;

/// All of them together have at most this many; the system takes 2 MiB, with all that is there already.
pub(super) const MOST_OF_ALL_VALUES: usize = 256 * 1024;

/// What to do about a value that is too large, or has a NUL byte.
pub(super) const VALUE_HELP: &str =
    "a value has at most 64 KiB, all together 256 KiB, and no NUL byte; larger data belongs in a file";

/// Tags with the values of each.
type Tags = Vec<(Located<String>, Vec<Located<String>>)>;

impl Decoder<'_> {
    /// A list of texts, each changed by `check`; entries that are there twice are a warning.
    fn names(
        &mut self,
        node: &Node,
        key: &str,
        (of, example): (&str, &str),
        mut check: impl FnMut(&mut Self, Located<String>) -> Option<Located<String>>,
    ) -> Option<Vec<Located<String>>> {
        let items = self.items(node, key, of, example)?;
        let mut names: Vec<Located<String>> = Vec::with_capacity(items.len());
        let mut seen: std::collections::HashMap<String, std::ops::Range<usize>> = Default::default();
        let mut all_fine = true;
        for item in &items {
            let name = self.text(item, key, example).and_then(|name| check(self, name));
            let Some(name) = name else {
                all_fine = false;
                continue;
            };
            if let Some(first) = seen.get(&name.value) {
                let message = format!("`{}` is in `{key}` twice", name.value);
                let problem = Problem::warning(code::REPEATED_ENTRY, message)
                    .at(self.source, name.span.clone(), "again here")
                    .at(self.source, first.clone(), "first here")
                    .help("keep one of them");
                self.problems.push(problem);
                continue;
            }
            seen.insert(name.value.clone(), name.span.clone());
            names.push(name);
        }
        all_fine.then_some(names)
    }

    /// A list of hosts.
    pub(super) fn hosts(&mut self, node: &Node, key: &str) -> Option<Vec<Located<String>>> {
        let example = format!("{key}: [10.0.0.1, 10.0.0.2]");
        self.names(node, key, ("hosts", &example), |decoder, name| {
            let fine = is_host_name(bare_host(&name.value));
            if !fine {
                let message = format!("`{}` is not a host name", shorten(&name.value));
                let help = "write the host as in workers.json: a letter or digit, then letters, digits and . _ : - \
                            (no user, no port, no options), or an address of IPv6 such as ::1";
                decoder.error(code::BAD_HOST, message, name.span.clone(), "refused: not safe as a host", help);
            }
            fine.then_some(name)
        })
    }

    /// A list of jobs.
    pub(super) fn jobs(&mut self, node: &Node, key: &str) -> Option<Vec<Located<String>>> {
        let example = format!("{key}: [api]");
        self.names(node, key, ("jobs", &example), |decoder, name| {
            let fine = decoder.job_name(&name);
            fine.then_some(name)
        })
    }

    /// Whether `name` can be a job's; reported when not.
    pub(super) fn job_name(&mut self, name: &Located<String>) -> bool {
        let fine = is_job_name(&name.value);
        if !fine {
            let message = format!("`{}` is not the name of a job", shorten(&name.value));
            let help = "write the name of a folder below workspace/jobs: letters, digits and . _ -";
            self.error(code::BAD_JOB, message, name.span.clone(), "not a job's name", help);
        }
        fine
    }

    /// The `jobs` option of a step.
    pub(super) fn jobs_option(&mut self, fields: Option<&Fields<'_>>) -> Option<Vec<Located<String>>> {
        let node = fields?.get("jobs")?;
        self.jobs(node, "jobs")
    }

    /// A list of labels, in lower case as in the bucket.
    pub(super) fn labels(&mut self, node: &Node, key: &str) -> Option<Vec<Located<String>>> {
        let example = format!("{key}: [worker]");
        self.names(node, key, ("labels", &example), |_, mut name| {
            name.value = name.value.to_lowercase();
            Some(name)
        })
    }

    /// A list of keys of tags, in lower case as in the bucket.
    pub(super) fn tag_keys(&mut self, node: &Node, key: &str) -> Option<Vec<Located<String>>> {
        let example = format!("{key}: [zone]");
        self.names(node, key, ("tags", &example), |_, mut name| {
            name.value = name.value.to_lowercase();
            Some(name)
        })
    }

    /// A map from tag to one value or a list of values, all in lower case as in the bucket.
    pub(super) fn tags(&mut self, node: &Node) -> Option<Tags> {
        let super::super::yaml::Value::Map(entries) = &node.value else {
            self.wrong_type(node, "tags", "a map from tag to values", "tags: {zone: [a, b]}");
            return None;
        };
        if entries.is_empty() {
            let help = "name at least one, such as `tags: {zone: a}`, or leave the key out";
            self.error(
                code::EMPTY_LIST,
                "the map `tags` is empty",
                node.span.clone(),
                "nothing inside",
                help,
            );
        }
        let mut tags = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            let name = Located { value: key.text.to_lowercase(), span: key.span.clone() };
            let example = format!("{}: a", shorten(&key.text));
            let value = self.resolve(value);
            let items = match &value.value {
                super::super::yaml::Value::List(_) => self.items(&value, &key.text, "values", &example),
                _ => Some(vec![value.into_owned()]),
            };
            let mut values = Vec::new();
            for item in items.unwrap_or_default() {
                if let Some(mut value) = self.scalar_text(&item, &key.text, &example) {
                    value.value = value.value.to_lowercase();
                    values.push(value);
                }
            }
            tags.push((name, values));
        }
        Some(tags)
    }

    /// An id of a step: `[a-z0-9][a-z0-9_-]*`, at most 63 characters.
    pub(super) fn id(&mut self, node: &Node, key: &str) -> Option<Located<String>> {
        let id = self.text(node, key, "id: check")?;
        let fine = id.value.len() <= 63
            && id.value.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
            && id.value.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-".contains(&b));
        if !fine {
            let message = format!("`{}` is not an id", shorten(&id.value));
            let help = "ids are 1 to 63 of a-z, 0-9, - and _, and begin with a letter or digit; free text goes into \
                        `name`";
            self.error(code::BAD_ID, message, id.span.clone(), "not an id", help);
        }
        fine.then_some(id)
    }
}

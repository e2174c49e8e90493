//! What the keywords that are honoured take for values.

use super::{BadLine, Checking, Family, HostConfig, Stated, keywords};

/// Takes one line's values, unless an earlier line has said it.
pub(super) fn take(
    keyword: &str,
    values: Vec<String>,
    place: &str,
    found: &mut HostConfig,
) -> Result<(), BadLine> {
    let all = || match values.is_empty() {
        true => Err(BadLine::NoValue(keyword.to_owned())),
        false => Ok(values.clone()),
    };
    let one = || match values.as_slice() {
        [] => Err(BadLine::NoValue(keyword.to_owned())),
        [value] if value.is_empty() => Err(BadLine::NoValue(keyword.to_owned())),
        [value] => Ok(value.clone()),
        _ => Err(BadLine::MoreValues(keyword.to_owned())),
    };
    let flag = || {
        let value = one()?;
        match value.to_ascii_lowercase().as_str() {
            "yes" | "true" => Ok(true),
            "no" | "false" => Ok(false),
            _ => Err(BadLine::Value { keyword: keyword.to_owned(), value, known: "yes, no" }),
        }
    };
    match keyword {
        "hostname" => set(&mut found.host_name, stated(one()?, place)),
        "user" => set(&mut found.user, one()?),
        "tag" => set(&mut found.tag, one()?),
        "port" => {
            let port = one()?;
            let number = port.parse().ok().filter(|number| *number != 0).ok_or(BadLine::Port(port))?;
            set(&mut found.port, number);
        }
        "addressfamily" => {
            let value = one()?;
            let family = match value.to_ascii_lowercase().as_str() {
                "any" => Family::Any,
                "inet" => Family::V4,
                "inet6" => Family::V6,
                _ => {
                    let known = "any, inet, inet6";
                    return Err(BadLine::Value { keyword: keyword.to_owned(), value, known });
                }
            };
            set(&mut found.address_family, family);
        }
        "identityfile" | "identityfile2" => add(&mut found.identity_files, stated(one()?, place)),
        "certificatefile" => add(&mut found.certificate_files, stated(one()?, place)),
        "identitiesonly" => set(&mut found.identities_only, flag()?),
        "identityagent" => set(&mut found.identity_agent, stated(one()?, place)),
        "proxyjump" if found.proxy_command.is_none() => set(&mut found.proxy_jump, stated(one()?, place)),
        "proxycommand" if found.proxy_jump.is_none() => set(&mut found.proxy_command, stated(one()?, place)),
        "proxyjump" | "proxycommand" => {}
        "userknownhostsfile" => set(&mut found.user_known_hosts, stated(all()?, place)),
        "globalknownhostsfile" => set(&mut found.global_known_hosts, stated(all()?, place)),
        "revokedhostkeys" => set(&mut found.revoked_host_keys, stated(one()?, place)),
        "hostkeyalias" => set(&mut found.host_key_alias, one()?),
        "stricthostkeychecking" => {
            let value = one()?;
            let checking = match value.to_ascii_lowercase().as_str() {
                "yes" | "true" => Checking::Yes,
                "accept-new" => Checking::AcceptNew,
                "no" | "false" | "off" => Checking::Off,
                "ask" => Checking::Ask,
                _ => {
                    let known = "yes, no, off, accept-new, ask";
                    return Err(BadLine::Value { keyword: keyword.to_owned(), value, known });
                }
            };
            set(&mut found.host_key_checking, stated(checking, place));
        }
        "requiredrsasize" => {
            let value = one()?;
            let known = "a number of bits";
            let bits = value.parse();
            let bits = bits.map_err(|_| BadLine::Value { keyword: keyword.to_owned(), value, known })?;
            set(&mut found.required_rsa_size, bits);
        }
        "kexalgorithms" => set(&mut found.algorithms.kex, stated(one()?, place)),
        "hostkeyalgorithms" => set(&mut found.algorithms.host_key, stated(one()?, place)),
        "ciphers" => set(&mut found.algorithms.ciphers, stated(one()?, place)),
        "macs" => set(&mut found.algorithms.macs, stated(one()?, place)),
        "casignaturealgorithms" => set(&mut found.algorithms.authority, stated(one()?, place)),
        "pubkeyacceptedalgorithms" | "pubkeyacceptedkeytypes" => {
            set(&mut found.algorithms.public_key, stated(one()?, place));
        }
        "ignoreunknown" => {
            let patterns = values.iter().flat_map(|value| value.split(','));
            if found.ignore_unknown.is_empty() {
                found.ignore_unknown = patterns.map(str::to_ascii_lowercase).collect();
            }
        }
        // The others are those with values that are refused.
        _ => {
            let value = values.join(" ");
            if found.seen.insert(keyword.to_owned())
                && let Some(refusal) = keywords::refusal(keyword, &value)
            {
                return Err(refusal);
            }
        }
    }
    Ok(())
}

fn stated<T>(value: T, place: &str) -> Stated<T> {
    Stated { value, place: place.to_owned() }
}

fn set<T>(slot: &mut Option<T>, value: T) {
    slot.get_or_insert(value);
}

fn add(list: &mut Vec<Stated<String>>, value: Stated<String>) {
    if !list.iter().any(|known| known.value == value.value) {
        list.push(value);
    }
}

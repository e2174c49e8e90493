//! Every keyword of `ssh_config(5)`, and what is done about it. docs/ssh_config.md says why.

use super::BadLine;

/// What is done about a keyword.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Say {
    /// As OpenSSH's client does.
    Honoured,
    /// With values that cannot be followed it is an error, with its place.
    Refused,
    /// It has no say here.
    Ignored,
}

use Say::{Honoured, Ignored, Refused};

/// In the order of the alphabet, in lower case.
#[rustfmt::skip]
const KEYWORDS: &[(&str, Say)] = &[
    ("addkeystoagent", Ignored), ("addressfamily", Honoured), ("afstokenpassing", Ignored),
    ("batchmode", Ignored), ("bindaddress", Ignored), ("bindinterface", Ignored),
    ("canonicaldomains", Ignored), ("canonicalizefallbacklocal", Ignored), ("canonicalizehostname", Refused),
    ("canonicalizemaxdots", Ignored), ("canonicalizepermittedcnames", Ignored),
    ("casignaturealgorithms", Honoured), ("certificatefile", Honoured),
    ("challengeresponseauthentication", Ignored), ("channeltimeout", Ignored), ("checkhostip", Ignored),
    ("cipher", Ignored), ("ciphers", Honoured), ("clearallforwardings", Ignored), ("compression", Ignored),
    ("compressionlevel", Ignored), ("connectionattempts", Ignored), ("connecttimeout", Ignored),
    ("controlmaster", Ignored), ("controlpath", Ignored), ("controlpersist", Ignored),
    ("dsaauthentication", Refused), ("dynamicforward", Ignored), ("enableescapecommandline", Ignored),
    ("enablesshkeysign", Ignored), ("escapechar", Ignored), ("exitonforwardfailure", Ignored),
    ("fallbacktorsh", Ignored), ("fingerprinthash", Ignored), ("forkafterauthentication", Ignored),
    ("forwardagent", Ignored), ("forwardx11", Ignored), ("forwardx11timeout", Ignored),
    ("forwardx11trusted", Ignored), ("gatewayports", Ignored), ("globalknownhostsfile", Honoured),
    ("globalknownhostsfile2", Ignored), ("gssapiauthentication", Ignored), ("gssapiclientidentity", Ignored),
    ("gssapidelegatecredentials", Ignored), ("gssapikexalgorithms", Ignored), ("gssapikeyexchange", Ignored),
    ("gssapirenewalforcesrekey", Ignored), ("gssapiserveridentity", Ignored), ("gssapitrustdns", Ignored),
    ("hashknownhosts", Ignored), ("host", Honoured), ("hostbasedacceptedalgorithms", Ignored),
    ("hostbasedauthentication", Ignored), ("hostbasedkeytypes", Ignored), ("hostkeyalgorithms", Honoured),
    ("hostkeyalias", Honoured), ("hostname", Honoured), ("identitiesonly", Honoured),
    ("identityagent", Honoured), ("identityfile", Honoured), ("identityfile2", Honoured),
    ("ignoreunknown", Honoured), ("include", Honoured), ("ipqos", Ignored),
    ("kbdinteractiveauthentication", Ignored), ("kbdinteractivedevices", Ignored), ("keepalive", Ignored),
    ("kerberosauthentication", Ignored), ("kerberostgtpassing", Ignored), ("kexalgorithms", Honoured),
    ("knownhostscommand", Refused), ("localcommand", Ignored), ("localforward", Ignored),
    ("loglevel", Ignored), ("logverbose", Ignored), ("macs", Honoured), ("match", Honoured),
    ("nohostauthenticationforlocalhost", Ignored), ("numberofpasswordprompts", Ignored),
    ("obscurekeystroketiming", Ignored), ("passwordauthentication", Ignored), ("permitlocalcommand", Ignored),
    ("permitremoteopen", Ignored), ("pkcs11provider", Ignored), ("port", Honoured),
    ("preferredauthentications", Refused), ("protocol", Ignored), ("proxycommand", Refused),
    ("proxyjump", Honoured), ("proxyusefdpass", Ignored), ("pubkeyacceptedalgorithms", Honoured),
    ("pubkeyacceptedkeytypes", Honoured), ("pubkeyauthentication", Refused), ("refuseconnection", Refused),
    ("rekeylimit", Ignored), ("remotecommand", Ignored), ("remoteforward", Ignored), ("requesttty", Ignored),
    ("requiredrsasize", Honoured), ("revokedhostkeys", Honoured), ("rhostsauthentication", Ignored),
    ("rhostsrsaauthentication", Ignored), ("rsaauthentication", Ignored), ("securitykeyprovider", Ignored),
    ("sendenv", Ignored), ("serveralivecountmax", Ignored), ("serveraliveinterval", Ignored),
    ("sessiontype", Ignored), ("setenv", Ignored), ("skeyauthentication", Ignored),
    ("smartcarddevice", Ignored), ("stdinnull", Ignored), ("streamlocalbindmask", Ignored),
    ("streamlocalbindunlink", Ignored), ("stricthostkeychecking", Honoured), ("syslogfacility", Ignored),
    ("tag", Honoured), ("tcpkeepalive", Ignored), ("tisauthentication", Ignored), ("tunnel", Ignored),
    ("tunneldevice", Ignored), ("updatehostkeys", Ignored), ("useprivilegedport", Ignored),
    ("user", Honoured), ("userknownhostsfile", Honoured), ("userknownhostsfile2", Ignored),
    ("useroaming", Ignored), ("usersh", Ignored), ("verifyhostkeydns", Ignored), ("versionaddendum", Ignored),
    ("visualhostkey", Ignored), ("warnweakcrypto", Ignored), ("xauthlocation", Ignored),
];

/// `None`: there is no such keyword.
pub(super) fn say(keyword: &str) -> Option<Say> {
    KEYWORDS.iter().find(|(name, _)| *name == keyword).map(|(_, say)| *say)
}

/// Why a value of a keyword cannot be followed here.
pub(super) fn refusal(keyword: &str, value: &str) -> Option<BadLine> {
    let lower = value.to_ascii_lowercase();
    let why = match keyword {
        "canonicalizehostname" if !matches!(lower.as_str(), "no" | "false" | "none") => {
            "names are not canonicalized here, and it would decide which host is reached; state HostName"
        }
        "knownhostscommand" if lower != "none" => {
            "no command is asked for host keys here; write them to a file that UserKnownHostsFile names"
        }
        "preferredauthentications" if !lower.split(',').any(|method| method == "publickey") => {
            "public keys are the only way to log in here"
        }
        "pubkeyauthentication" | "dsaauthentication" if matches!(lower.as_str(), "no" | "false") => {
            "public keys are the only way to log in here"
        }
        "refuseconnection" => "it says that no connection is to be made",
        _ => return None,
    };
    Some(BadLine::Refused { keyword: keyword.to_owned(), value: value.to_owned(), why })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::process::Command;

    use super::*;

    /// The rows of the table in the documentation: keyword, and the first word of the second column.
    fn documented() -> BTreeMap<String, Say> {
        let text = include_str!("../../../docs/ssh_config.md");
        let rows = text.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
        rows.filter_map(|row| {
            let mut cells = row.split(" | ");
            let keywords = cells.next()?;
            let say = match cells.next()?.split([' ', ':', ',']).next()? {
                "honoured" => Honoured,
                "refused" => Refused,
                "ignored" => Ignored,
                _ => return None,
            };
            assert!(cells.next().is_some_and(|why| why.len() > 10), "{row}");
            let names = keywords.split(", ").map(move |name| (name.to_ascii_lowercase(), say));
            Some(names.collect::<Vec<_>>())
        })
        .flatten()
        .collect()
    }

    #[test]
    fn the_documentation_has_every_keyword_once_and_says_what_is_done() {
        let documented = documented();
        for (keyword, say) in KEYWORDS {
            assert_eq!(documented.get(*keyword), Some(say), "{keyword} in docs/ssh_config.md");
        }
        for keyword in documented.keys() {
            assert!(say(keyword).is_some(), "{keyword} is not a keyword");
        }
        assert!(KEYWORDS.is_sorted_by_key(|(keyword, _)| *keyword));
    }

    #[test]
    fn every_keyword_that_openssh_knows_is_in_the_table() {
        let out = Command::new("ssh").args(["-G", "-F", "none", "localhost"]).output().unwrap();
        assert!(out.status.success());
        let text = String::from_utf8(out.stdout).unwrap();
        let keywords: Vec<_> = text.lines().filter_map(|line| line.split(' ').next()).collect();
        assert!(keywords.len() > 50, "{keywords:?}");
        for keyword in keywords {
            assert!(say(&keyword.to_ascii_lowercase()).is_some(), "{keyword}");
        }
        // The manual is not installed everywhere.
        let manual = Command::new("man").args(["-P", "cat", "5", "ssh_config"]).output();
        let manual = manual.map(|out| String::from_utf8_lossy(&out.stdout).into_owned()).unwrap_or_default();
        let heads = manual.lines().filter_map(|line| line.strip_prefix("     ")).filter_map(|line| {
            let word = line.split("  ").next()?;
            let is_keyword = word.len() > 2
                && word.starts_with(|c: char| c.is_ascii_uppercase())
                && word.chars().all(char::is_alphanumeric)
                && word.chars().skip(1).any(|c| c.is_ascii_uppercase());
            is_keyword.then(|| word.to_ascii_lowercase())
        });
        for keyword in heads {
            assert!(say(&keyword).is_some(), "{keyword} in ssh_config(5)");
        }
    }
}

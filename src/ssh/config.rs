//! The user's `~/.ssh/config`, as far as it is honoured: HostName, Port, User, IdentityFile,
//! ProxyJump, UserKnownHostsFile, under `Host` patterns, `Match all`, `Match host` and `Include`
//! (`ssh_config(5)`). As there, the first value wins, and identity files add up.
//!
//! Read here and not by a crate: what counts is what is refused, and that values stay as written until
//! a hop is put together. Patterns are ssh's own: to `globset` the brackets of an address are a class.
//!
//! Other keywords have no say here, but for ProxyCommand, which would change where a connection goes: it is
//! an error for the hosts it is meant for.

use std::path::{Path, PathBuf};

use crate::os::open;

/// What the file says about one host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct HostConfig {
    pub(super) host_name: Option<String>,
    pub(super) port: Option<u16>,
    pub(super) user: Option<String>,
    pub(super) identity_files: Vec<String>,
    pub(super) proxy_jump: Option<String>,
    pub(super) proxy_command: Option<String>,
    pub(super) known_hosts_files: Option<Vec<String>>,
}

/// Files in files in files end here.
const INCLUDE_DEPTH: usize = 8;

/// Why the user's ssh config cannot be used for a host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The file is there and cannot be read.
    #[error("ssh config: {file}: {why}")]
    Unreadable {
        /// The file.
        file: String,
        /// What the system says.
        why: String,
    },
    /// A line that applies to the host is wrong.
    #[error("ssh config: {place}: {line}")]
    Line {
        /// File and line number.
        place: String,
        /// What is wrong with it.
        line: BadLine,
    },
    /// Only ProxyJump is supported.
    #[error("the ssh config has a ProxyCommand for it, which is not supported; use ProxyJump")]
    ProxyCommand,
    /// A jump host that cannot be parsed.
    #[error("`{0}` is not a jump host ([user@]host[:port])")]
    JumpHost(String),
    /// Jump hosts of jump hosts have no end.
    #[error("its jump hosts lead through each other for ever")]
    JumpLoop,
}

/// What is wrong with a line of an ssh config.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadLine {
    /// A keyword without its value.
    #[error("{0} has no value")]
    NoValue(String),
    /// Not a number from 0 to 65535.
    #[error("`{0}` is not a port")]
    Port(String),
    /// A quoted value without an end.
    #[error("a quote is not closed")]
    OpenQuote,
    /// Files that include each other.
    #[error("files include each other too deeply")]
    IncludeDepth,
}

/// Reads what `file` says about `host`. A file that is not there says nothing.
pub(super) fn read(file: &Path, home: &Path, host: &str) -> Result<HostConfig, ConfigError> {
    let mut found = HostConfig::default();
    read_into(file, home, host, true, 0, &mut found)?;
    Ok(found)
}

/// Bytes of a file of settings that are read.
const CONFIG_LIMIT: u64 = 4 << 20;

fn read_into(
    file: &Path,
    home: &Path,
    host: &str,
    outer: bool,
    depth: usize,
    found: &mut HostConfig,
) -> Result<(), ConfigError> {
    let text = match open::plain(file).and_then(|opened| open::read_all(&opened, CONFIG_LIMIT)) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => {
            return Err(ConfigError::Unreadable { file: file.display().to_string(), why: error.to_string() });
        }
    };
    let mut applies = outer;
    for (number, line) in text.lines().enumerate() {
        let bad = |line| ConfigError::Line { place: format!("{}:{}", file.display(), number + 1), line };
        let Some((keyword, values)) = split_line(line).map_err(bad)? else { continue };
        match keyword.as_str() {
            "host" => applies = outer && matches_any(values.iter().map(String::as_str), host),
            "match" => applies = outer && match_applies(&values, host),
            _ if !applies => {}
            "include" if depth < INCLUDE_DEPTH => {
                for pattern in &values {
                    for path in expand(pattern, home) {
                        read_into(&path, home, host, true, depth + 1, found)?;
                    }
                }
            }
            "include" => return Err(bad(BadLine::IncludeDepth)),
            _ => take(&keyword, values, found).map_err(bad)?,
        }
    }
    Ok(())
}

fn take(keyword: &str, values: Vec<String>, found: &mut HostConfig) -> Result<(), BadLine> {
    let first = || values.first().cloned().ok_or_else(|| BadLine::NoValue(keyword.to_owned()));
    match keyword {
        "hostname" => set(&mut found.host_name, first()?),
        "user" => set(&mut found.user, first()?),
        "port" => {
            let port = first()?;
            let number = port.parse().map_err(|_| BadLine::Port(port))?;
            set(&mut found.port, number);
        }
        "identityfile" => {
            let file = first()?;
            if !found.identity_files.contains(&file) && file != "none" {
                found.identity_files.push(file);
            }
        }
        "proxyjump" if found.proxy_command.is_none() => set(&mut found.proxy_jump, first()?),
        "proxycommand" if found.proxy_jump.is_none() => set(&mut found.proxy_command, first()?),
        "userknownhostsfile" => set(&mut found.known_hosts_files, values),
        _ => {}
    }
    Ok(())
}

fn set<T>(slot: &mut Option<T>, value: T) {
    slot.get_or_insert(value);
}

/// `Match all` and `Match host a,b`; with another criterion it does not apply here.
fn match_applies(values: &[String], host: &str) -> bool {
    match values {
        [all] => all.eq_ignore_ascii_case("all"),
        [kind, patterns]
            if kind.eq_ignore_ascii_case("host") || kind.eq_ignore_ascii_case("originalhost") =>
        {
            matches_any(patterns.split(','), host)
        }
        _ => false,
    }
}

fn matches_any<'a>(patterns: impl Iterator<Item = &'a str>, host: &str) -> bool {
    let mut found = false;
    for pattern in patterns {
        match pattern.strip_prefix('!') {
            Some(not) if matches_pattern(not, host) => return false,
            Some(_) => {}
            None => found |= matches_pattern(pattern, host),
        }
    }
    found
}

/// `*` is any text, `?` any one character (`ssh_config(5)`, PATTERNS). Linear, whatever the pattern.
pub(super) fn matches_pattern(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t, mut retry) = (0, 0, None);
    while t < text.len() {
        if p < pattern.len() && pattern[p] == b'*' {
            retry = Some((p, t));
            p += 1;
        } else if p < pattern.len() && (pattern[p] == b'?' || pattern[p] == text[t]) {
            p += 1;
            t += 1;
        } else if let Some((star, from)) = retry {
            p = star + 1;
            t = from + 1;
            retry = Some((star, t));
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

/// `keyword value "quoted value"` or `keyword=value`; `None` for a blank line or a comment.
fn split_line(line: &str) -> Result<Option<(String, Vec<String>)>, BadLine> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let end = line.find(|c: char| c.is_ascii_whitespace() || c == '=' || c == '"').unwrap_or(line.len());
    let keyword = line[..end].to_ascii_lowercase();
    let rest = line[end..].trim_start();
    let rest = rest.strip_prefix('=').unwrap_or(rest);
    if keyword == "proxycommand" {
        // Its value is shell text to the end of the line.
        return Ok(Some((keyword, vec![rest.trim().to_owned()])));
    }
    let mut values = Vec::new();
    let mut chars = rest.chars().peekable();
    loop {
        while chars.next_if(char::is_ascii_whitespace).is_some() {}
        let Some(first) = chars.peek().copied() else { break };
        if first == '#' {
            break;
        }
        let (mut value, mut quote) = (String::new(), None);
        while let Some(c) = chars.next_if(|c| quote.is_some() || !c.is_ascii_whitespace()) {
            match (c, quote) {
                ('"' | '\'', None) => quote = Some(c),
                (c, Some(open)) if c == open => quote = None,
                ('\\', _) if chars.peek().is_some_and(|c| matches!(c, '"' | '\'' | '\\')) => {
                    value.extend(chars.next());
                }
                (c, _) => value.push(c),
            }
        }
        if quote.is_some() {
            return Err(BadLine::OpenQuote);
        }
        values.push(value);
    }
    Ok(Some((keyword, values)))
}

/// `~/`, relative to `~/.ssh`, and patterns in the last part of the path.
fn expand(pattern: &str, home: &Path) -> Vec<PathBuf> {
    let path = match pattern.strip_prefix("~/") {
        Some(rest) => home.join(rest),
        None => home.join(".ssh").join(pattern),
    };
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
    if !name.contains(['*', '?']) {
        return vec![path];
    }
    let Some(folder) = path.parent() else { return Vec::new() };
    let mut found: Vec<_> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| matches_pattern(&name, &entry.file_name().to_string_lossy()))
        .map(|entry| entry.path())
        .collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn config(text: &str, host: &str) -> HostConfig {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join(".ssh")).unwrap();
        let file = home.path().join(".ssh/config");
        std::fs::write(&file, text).unwrap();
        std::fs::write(home.path().join(".ssh/more.conf"), "Host w9\n  Port 99\n").unwrap();
        read(&file, home.path(), host).unwrap()
    }

    #[test]
    fn the_first_value_wins() {
        let text = "Host w1\n  Port 2201\n  User=\"me too\"\nHost w* !w3\n Port 2202\n HostName 10.0.0.1\n\
                    Match all\n  IdentityFile ~/.ssh/a\n  IdentityFile ~/.ssh/b\n";
        let w1 = config(text, "w1");
        assert_eq!((w1.port, w1.user.as_deref()), (Some(2201), Some("me too")));
        assert_eq!(w1.host_name.as_deref(), Some("10.0.0.1"));
        assert_eq!(w1.identity_files, ["~/.ssh/a", "~/.ssh/b"]);
        assert_eq!(config(text, "w2").port, Some(2202));
        assert_eq!(config(text, "w3").port, None);
    }

    #[test]
    fn includes_and_matches() {
        assert_eq!(config("Include more.*\n", "w9").port, Some(99));
        assert_eq!(config("Host other\nInclude more.conf\n", "w9").port, None);
        assert_eq!(config("Match host w9,w8\nPort 5\n", "w8").port, Some(5));
        assert_eq!(config("Match exec true\nPort 5\n", "w8").port, None);
        assert_eq!(config("ProxyJump a@b:1,c # over there\n", "w8").proxy_jump.as_deref(), Some("a@b:1,c"));
    }

    #[test]
    fn a_loop_of_includes_ends() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join(".ssh")).unwrap();
        let file = home.path().join(".ssh/config");
        std::fs::write(&file, "Include config\n").unwrap();
        let error = read(&file, home.path(), "w").unwrap_err();
        assert!(matches!(error, ConfigError::Line { line: BadLine::IncludeDepth, .. }), "{error}");
        std::fs::write(&file, "Port x\n").unwrap();
        assert!(read(&file, home.path(), "w").unwrap_err().to_string().contains("config:1"));
    }

    proptest! {
        #[test]
        fn no_line_panics(line in "[ -~\t\"'\\\\=#]{0,60}") {
            let _ = split_line(&line);
        }
        #[test]
        fn star_matches_all(text in "[a-z.]{0,20}") {
            prop_assert!(matches_pattern("*", &text));
            let (longer, other) = (format!("{text}*"), format!("{text}?"));
            prop_assert!(matches_pattern(&longer, &text));
            prop_assert!(matches_pattern(&text, &text));
            prop_assert!(!matches_pattern(&other, &text));
        }
    }
}

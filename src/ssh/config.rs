//! The ssh config of the user and of the system, as far as it is honoured (docs/ssh_config.md has every
//! keyword). As in `ssh_config(5)`, the first value wins, and identity files add up.
//!
//! Read here and not by a crate: what counts is what is refused, and that values stay as written until
//! a hop is put together. A keyword that is honoured, below a criterion that is not looked at here, is an
//! error: whether it applies cannot be told.

mod criteria;
mod error;
mod hosts;
mod include;
mod keywords;
mod line;
mod pattern;
mod tokens;
mod values;

use std::collections::BTreeSet;
use std::path::Path;

use criteria::{Applies, Known};
pub use error::{BadLine, ConfigError};
pub use hosts::{HostLine, host_lines};
use keywords::Say;
use line::split_line;
pub(crate) use pattern::matches_pattern;
pub(super) use tokens::{Tokens, host_name};
use values::take;

/// A value, and the file and line where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stated<T> {
    pub(super) value: T,
    pub(super) place: String,
}

/// StrictHostKeyChecking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Checking {
    Yes,
    AcceptNew,
    /// A changed key is accepted there; here it is not.
    Off,
    Ask,
}

/// AddressFamily.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Family {
    #[default]
    Any,
    V4,
    V6,
}

/// What the files say about one host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct HostConfig {
    pub(super) host_name: Option<Stated<String>>,
    pub(super) port: Option<u16>,
    pub(super) user: Option<String>,
    pub(super) address_family: Option<Family>,
    pub(super) proxy_jump: Option<Stated<String>>,
    pub(super) proxy_command: Option<Stated<String>>,
    /// `none` among them: no default ones either.
    pub(super) identity_files: Vec<Stated<String>>,
    pub(super) certificate_files: Vec<Stated<String>>,
    pub(super) identities_only: Option<bool>,
    pub(super) identity_agent: Option<Stated<String>>,
    pub(super) user_known_hosts: Option<Stated<Vec<String>>>,
    pub(super) global_known_hosts: Option<Stated<Vec<String>>>,
    pub(super) revoked_host_keys: Option<Stated<String>>,
    pub(super) host_key_alias: Option<String>,
    pub(super) host_key_checking: Option<Stated<Checking>>,
    pub(super) required_rsa_size: Option<u32>,
    pub(super) algorithms: Algorithms,
    tag: Option<String>,
    /// IgnoreUnknown, and keywords with values that may be refused: the first one counts.
    ignore_unknown: Vec<String>,
    seen: BTreeSet<String>,
}

/// Lists of algorithms, as they are written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Algorithms {
    pub(super) kex: Option<Stated<String>>,
    pub(super) host_key: Option<Stated<String>>,
    pub(super) ciphers: Option<Stated<String>>,
    pub(super) macs: Option<Stated<String>>,
    pub(super) authority: Option<Stated<String>>,
    pub(super) public_key: Option<Stated<String>>,
}

/// Files in files in files end here, as in OpenSSH.
const INCLUDE_DEPTH: usize = 16;

/// Whom the config is asked about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question<'a> {
    /// As it is called in workers.json, or in ProxyJump.
    pub(super) host: &'a str,
    /// Who logs in, where that is said outside of the config.
    pub(super) user: Option<&'a str>,
    /// Who does where nothing is said.
    pub(super) default_user: &'a str,
    /// Who we are.
    pub(super) local_user: &'a str,
    pub(super) home: &'a Path,
}

/// Whose a file is: where its relative paths lead, and what is asked of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    User,
    System,
}

/// Reads what the user's file and then the system's say about a host. A file that is not there says
/// nothing.
pub(super) fn read(
    user: Option<&Path>,
    system: Option<&Path>,
    question: &Question<'_>,
) -> Result<HostConfig, ConfigError> {
    let mut reader = Reader {
        question,
        host: question.host.to_owned(),
        is_final: false,
        wants_final: false,
        found: HostConfig::default(),
    };
    let both = |reader: &mut Reader<'_>| {
        if let Some(file) = user {
            reader.file(file, Whose::User, true, &Applies::Yes, 0)?;
        }
        if let Some(file) = system {
            reader.file(file, Whose::System, false, &Applies::Yes, 0)?;
        }
        Ok(())
    };
    both(&mut reader)?;
    if reader.wants_final {
        // `Match final`: all of it once more, with the name that was found; first values still win.
        if let Some(Stated { value, place }) = &reader.found.host_name {
            let bad = |line| ConfigError::Line { place: place.clone(), line };
            reader.host = host_name(value, question.host).map_err(bad)?;
        }
        reader.is_final = true;
        both(&mut reader)?;
    }
    Ok(reader.found)
}

struct Reader<'a> {
    question: &'a Question<'a>,
    /// What `Host` compares with.
    host: String,
    is_final: bool,
    wants_final: bool,
    found: HostConfig,
}

impl Reader<'_> {
    fn file(
        &mut self,
        file: &Path,
        whose: Whose,
        checked: bool,
        outer: &Applies,
        depth: usize,
    ) -> Result<(), ConfigError> {
        let Some(text) = include::read(file, checked)? else { return Ok(()) };
        let mut applies = outer.clone();
        for (number, line) in text.lines().enumerate() {
            let place = format!("{}:{}", file.display(), number + 1);
            let bad = |line| ConfigError::Line { place: place.clone(), line };
            let Some((keyword, values)) = split_line(line).map_err(bad)? else { continue };
            match keyword.as_str() {
                "host" => {
                    let matches = pattern::matches_any(values.iter().map(String::as_str), &self.host);
                    applies = if matches { outer.clone() } else { Applies::No };
                }
                "match" => {
                    let matched = self.criteria(&values, &place).map_err(bad)?;
                    applies = match matched {
                        Applies::Yes => outer.clone(),
                        other if *outer == Applies::Yes => other,
                        Applies::No => Applies::No,
                        Applies::Unknown { .. } => outer.clone(),
                    };
                }
                _ if applies == Applies::No => {}
                "include" if depth < INCLUDE_DEPTH => {
                    for value in &values {
                        let pattern = included(value, whose, self.question.home).map_err(bad)?;
                        for path in include::glob(&pattern) {
                            self.file(&path, whose, true, &applies, depth + 1)?;
                        }
                    }
                }
                "include" => return Err(bad(BadLine::IncludeDepth)),
                _ => self.line(&keyword, values, &applies, &place).map_err(bad)?,
            }
        }
        Ok(())
    }

    fn criteria(&mut self, values: &[String], place: &str) -> Result<Applies, BadLine> {
        let known = Known {
            question: self.question,
            host_name: self.found.host_name.as_ref().map(|name| name.value.as_str()),
            user: self.found.user.as_deref(),
            tag: self.found.tag.as_deref(),
            is_final: self.is_final,
        };
        let matched = criteria::evaluate(values, &known, place)?;
        self.wants_final |= matched.wants_final;
        Ok(matched.applies)
    }

    fn line(
        &mut self,
        keyword: &str,
        values: Vec<String>,
        applies: &Applies,
        place: &str,
    ) -> Result<(), BadLine> {
        match keywords::say(keyword) {
            Some(Say::Ignored) => return Ok(()),
            Some(Say::Honoured | Say::Refused) => {}
            None => {
                let mut patterns = self.found.ignore_unknown.iter().map(String::as_str);
                if patterns.any(|pattern| matches_pattern(pattern, keyword)) {
                    return Ok(());
                }
                return Err(BadLine::Keyword(keyword.to_owned()));
            }
        }
        let mut found = self.found.clone();
        take(keyword, values, place, &mut found)?;
        if let Applies::Unknown { criterion, place } = applies
            && found != self.found
        {
            let (criterion, place) = (criterion.clone(), place.clone());
            return Err(BadLine::Undecided { keyword: keyword.to_owned(), criterion, place });
        }
        self.found = found;
        Ok(())
    }
}

/// `~/`, and relative to `~/.ssh` or `/etc/ssh`.
fn included(value: &str, whose: Whose, home: &Path) -> Result<std::path::PathBuf, BadLine> {
    if value.is_empty() {
        return Err(BadLine::NoValue("include".into()));
    }
    let value = tokens::environment(value)?;
    match whose {
        Whose::User => {
            let path = tokens::tilde(&value, home)?;
            Ok(home.join(".ssh").join(path))
        }
        Whose::System if value.starts_with('~') => Err(BadLine::IncludeHome(value)),
        Whose::System => Ok(Path::new("/etc/ssh").join(value)),
    }
}

#[cfg(test)]
mod tests;

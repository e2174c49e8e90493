//! `%h` and the like, `${NAME}` and `~/` in values (`ssh_config(5)`, TOKENS, ENVIRONMENT VARIABLES).

use std::fmt::Write;
use std::path::{Path, PathBuf};

use sha1::{Digest, Sha1};

use super::BadLine;

/// What the tokens stand for.
#[derive(Clone, Copy, Debug)]
pub(in crate::ssh) struct Tokens<'a> {
    /// `%n`: as it is called in workers.json.
    pub(in crate::ssh) original: &'a str,
    /// `%h`: where it is.
    pub(in crate::ssh) host: &'a str,
    /// `%p`.
    pub(in crate::ssh) port: u16,
    /// `%r`: who logs in there.
    pub(in crate::ssh) user: &'a str,
    /// `%u`: who we are here.
    pub(in crate::ssh) local_user: &'a str,
    /// `%d`, and `~`.
    pub(in crate::ssh) home: &'a Path,
    /// `%k`.
    pub(in crate::ssh) alias: Option<&'a str>,
    /// `%j`.
    pub(in crate::ssh) jump: &'a str,
}

/// A value with `%` tokens.
fn expand(text: &str, value: impl Fn(char) -> Option<String>) -> Result<String, BadLine> {
    let mut expanded = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            expanded.push(c);
            continue;
        }
        match chars.next() {
            Some('%') => expanded.push('%'),
            Some(token) => match value(token) {
                Some(value) => expanded.push_str(&value),
                None => return Err(BadLine::Token(format!("%{token}"))),
            },
            None => return Err(BadLine::Token("%".into())),
        }
    }
    Ok(expanded)
}

/// HostName knows `%h` alone.
pub(in crate::ssh) fn host_name(text: &str, host: &str) -> Result<String, BadLine> {
    expand(text, |token| (token == 'h').then(|| host.to_owned()))
}

/// `${NAME}`, replaced by our environment.
pub(super) fn environment(text: &str) -> Result<String, BadLine> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (name, after) = after.split_once('}').ok_or_else(|| BadLine::Token("${".into()))?;
        let value = std::env::var(name).map_err(|_| BadLine::Variable(name.to_owned()))?;
        expanded.push_str(before);
        expanded.push_str(&value);
        rest = after;
    }
    expanded.push_str(rest);
    Ok(expanded)
}

/// `~/` at the beginning; the homes of others are not looked up.
pub(super) fn tilde(text: &str, home: &Path) -> Result<PathBuf, BadLine> {
    match text.strip_prefix('~') {
        None => Ok(text.into()),
        Some("") => Ok(home.to_owned()),
        Some(rest) => match rest.strip_prefix('/') {
            Some(rest) => Ok(home.join(rest)),
            None => Err(BadLine::Home(text.to_owned())),
        },
    }
}

impl Tokens<'_> {
    fn value(&self, token: char) -> Option<String> {
        let machine = || rustix::system::uname().nodename().to_string_lossy().into_owned();
        Some(match token {
            'n' => self.original.to_owned(),
            'h' => self.host.to_owned(),
            'p' => self.port.to_string(),
            'r' => self.user.to_owned(),
            'u' => self.local_user.to_owned(),
            'd' => self.home.display().to_string(),
            'i' => rustix::process::getuid().as_raw().to_string(),
            'k' => self.alias.unwrap_or(self.original).to_owned(),
            'j' => self.jump.to_owned(),
            'l' => machine(),
            'L' => machine().split('.').next().unwrap_or_default().to_owned(),
            'C' => {
                let all = format!("{}{}{}{}{}", machine(), self.host, self.port, self.user, self.jump);
                Sha1::digest(all).iter().fold(String::new(), |mut hex, byte| {
                    let _ = write!(hex, "{byte:02x}");
                    hex
                })
            }
            _ => return None,
        })
    }

    /// A path of the user's, with all that may stand in one.
    pub(in crate::ssh) fn path(&self, text: &str) -> Result<PathBuf, BadLine> {
        let text = environment(text)?;
        let text = tilde(&text, self.home)?;
        expand(&text.to_string_lossy(), |token| self.value(token)).map(PathBuf::from)
    }

    /// ProxyJump knows some of them.
    pub(in crate::ssh) fn jump(&self, text: &str) -> Result<String, BadLine> {
        expand(text, |token| "hnpr".contains(token).then(|| self.value(token)).flatten())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_expanded_and_unknown_ones_are_errors() {
        let tokens = Tokens {
            original: "w1",
            host: "10.0.0.1",
            port: 22,
            user: "agent",
            local_user: "me",
            home: Path::new("/home/me"),
            alias: None,
            jump: "",
        };
        let path = |text| tokens.path(text).map(|path| path.display().to_string());
        assert_eq!(path("~/.ssh/%r@%h:%p-%n-%u%%").unwrap(), "/home/me/.ssh/agent@10.0.0.1:22-w1-me%");
        assert_eq!(path("%d/%k").unwrap(), "/home/me/w1");
        assert_eq!(path("%C").unwrap().len(), 40);
        assert!(matches!(path("~other/.ssh/id"), Err(BadLine::Home(_))));
        assert!(matches!(path("%x"), Err(BadLine::Token(token)) if token == "%x"));
        assert!(matches!(path("a%"), Err(BadLine::Token(_))));
        assert!(matches!(path("${NO_SUCH_VARIABLE_HERE}"), Err(BadLine::Variable(_))));
        assert_eq!(path("${PATH}").unwrap(), std::env::var("PATH").unwrap());
        assert_eq!(host_name("%h.example%%", "w1").unwrap(), "w1.example%");
        assert!(host_name("%p", "w1").is_err());
    }
}

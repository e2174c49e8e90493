//! What very likely is a secret though a plan has it in plain text: the address of an incoming webhook, a token in a header.
//! Whoever reads the plan's author's screen, a CI log or a review need not learn it: it is masked there, and the author is
//! told to keep it elsewhere.

use sha2::{Digest, Sha256};

use super::EnvValue;

/// What the names of secrets have in them, `_` taken for `-`.
const NAMES: [&str; 10] = [
    "authorization",
    "cookie",
    "password",
    "passwd",
    "secret",
    "token",
    "api-key",
    "apikey",
    "access-key",
    "private-key",
];
/// Such a name of a value that only says where the secret is, or something about it.
const NO_SECRETS: [&str; 5] = ["-file", "-path", "-dir", "-name", "-ttl"];
/// Names of parameters in a url, besides.
const PARAMETERS: [&str; 5] = ["sig", "key", "code", "auth", "signature"];
/// A part of a url that is as long, and of letters and digits, is no word: it is there so that nobody can guess it.
const LONG: usize = 16;
/// Shorter ones are switches and numbers.
const SHORTEST: usize = 4;

/// Whether a value in plain text of a header or a variable of this name is a secret.
pub fn is_secret(name: &str, value: &str) -> bool {
    let name = name.to_ascii_lowercase().replace('_', "-");
    let names_one =
        NAMES.iter().any(|part| name.contains(part)) && !NO_SECRETS.iter().any(|end| name.ends_with(end));
    let is_value = value.len() >= SHORTEST && !value.starts_with('/') && value.parse::<f64>().is_err();
    names_one && is_value && !["true", "false", "none"].contains(&value)
}

/// Whether a url in plain text has something in it by which alone it may be used.
pub fn is_secret_url(url: &str) -> bool {
    let parts = url[authority_end(url)..].split(['/', '?', '&', '#', ';', '@', ':', '.', ',']);
    parts.into_iter().any(|part| match part.split_once('=') {
        Some((name, value)) => {
            is_secret(name, value)
                || PARAMETERS.contains(&name.to_ascii_lowercase().as_str())
                || is_random(value)
        }
        None => is_random(part),
    })
}

fn is_random(part: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    part.len() >= LONG
        && part.bytes().all(is_part)
        && part.bytes().any(|byte| byte.is_ascii_digit())
        && part.bytes().any(|byte| byte.is_ascii_alphabetic())
}

/// Where the path begins.
fn authority_end(url: &str) -> usize {
    let begin = url.find("://").map_or(0, |at| at + 3);
    url[begin..].find(['/', '?', '#']).map_or(url.len(), |at| begin + at)
}

/// What is shown in the place of a secret. Two that are not the same are shown as two; of a text that can be guessed it tells
/// no more than the hash of the plan does.
pub fn masked(secret: &str) -> String {
    let hash = Sha256::digest(secret.as_bytes());
    format!("*** (#{:02x}{:02x})", hash[0], hash[1])
}

/// A url of which only the server is shown.
pub fn masked_url(url: &str) -> String {
    let end = authority_end(url);
    match url[end..].trim_start_matches('/') {
        "" => url.to_owned(),
        rest => format!("{}/{}", &url[..end], masked(rest)),
    }
}

impl EnvValue {
    /// As the value of a header or a variable of this name may be shown: a secret in plain text is masked.
    pub fn shown(&self, name: &str) -> String {
        match self {
            Self::Plain(text) if is_secret(name, text) => masked(text),
            Self::Plain(text) => text.clone(),
            Self::FromEnv(from) => format!("from {from}"),
        }
    }

    /// As a url may be shown; `always`: whoever has it may use it, whatever it looks like.
    pub fn shown_url(&self, always: bool) -> String {
        match self {
            Self::Plain(url) if always || is_secret_url(url) => masked_url(url),
            Self::Plain(url) => url.clone(),
            Self::FromEnv(from) => format!("from {from}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_known_by_their_names_and_urls_by_what_nobody_can_guess() {
        for (name, value, secret) in [
            ("Authorization", "Bearer abc", true),
            ("X-Api-Key", "0f3e9a", true),
            ("DB_PASSWORD", "hunter2", true),
            ("PRIVATE-TOKEN", "glpat-x", true),
            ("DB_PASSWORD_FILE", "/run/secret", false),
            ("TOKEN", "/run/secrets/token", false),
            ("MAX_TOKENS", "4096", false),
            ("NO_PASSWORD", "true", false),
            ("X-Reason", "reboot of the night", false),
            ("KEY", "value", false),
        ] {
            assert_eq!(is_secret(name, value), secret, "{name}: {value}");
        }
        for (url, secret) in [
            ("https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXX1", true),
            ("https://x.webhook.office.com/webhookb2/7d0a7a3e-5c1f-4d0a-9c64-0f2f6a1b2c3d@7d/y", true),
            ("https://prod-1.logic.azure.com/workflows/invoke?api-version=1&sig=abc", true),
            ("https://discord.com/api/webhooks/1/a1b2c3d4e5f6a7b8c9", true),
            ("https://h/x?token=abcd", true),
            ("http://127.0.0.1:9093/hook", false),
            ("http://relay.internal/maand/notices?level=info", false),
            ("http://relay.internal", false),
        ] {
            assert_eq!(is_secret_url(url), secret, "{url}");
        }
    }

    #[test]
    fn what_is_masked_shows_the_server_and_whether_it_is_the_same() {
        let one = masked_url("https://hooks.slack.com/services/T1/B1/x1");
        assert!(one.starts_with("https://hooks.slack.com/*** (#") && !one.contains("services"), "{one}");
        assert_eq!(one, masked_url("https://hooks.slack.com/services/T1/B1/x1"));
        assert_ne!(one, masked_url("https://hooks.slack.com/services/T1/B1/x2"));
        assert_eq!(masked_url("http://127.0.0.1:80/"), "http://127.0.0.1:80/");
        let of = |name: &str| EnvValue::Plain("Bearer abc".to_owned()).shown(name);
        assert!(of("Authorization").starts_with("*** (#") && of("X-Other") == "Bearer abc");
    }
}

//! One try to deliver one notice.

use std::path::PathBuf;
use std::time::Duration;

use ureq::http::{HeaderName, HeaderValue, Request, Uri};

use crate::http::{self, NoAnswer};
use crate::notice::{Message, Notice, message};
use crate::plan::{EnvValue, NoticeService, NoticeTarget, duration, visible_within, without_error_numbers};
use crate::runner::{read_secret, without_secrets};

use super::command;

/// Of a notice that was sent, and not answered before nobody waited any longer.
pub(super) const UNDER_WAY: &str = "it was under way when the process ended, and may have arrived";
/// So much of an answer is shown.
const SHOWN: usize = 200;

/// What deliveries need of this machine.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Our own program, under which commands run; see [`crate::os::LocalCommand::guard`].
    pub guard: Option<PathBuf>,
    /// Where commands start.
    pub folder: PathBuf,
    /// Names whom the commands belong to.
    pub mark: String,
}

/// Why a notice was not delivered. The text has no secrets, and is fit for a terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It may well be delivered later.
    Later {
        /// Why not now.
        why: String,
        /// For so long whoever answered wants to be left alone: any length.
        after: Option<Duration>,
    },
    /// Another try would come to the same.
    Never(String),
}

impl Failure {
    /// It may well be delivered by another try, whenever that is.
    pub(super) fn later(why: impl Into<String>) -> Self {
        Self::Later { why: why.into(), after: None }
    }

    /// In one sentence.
    pub fn why(&self) -> &str {
        match self {
            Self::Later { why, .. } | Self::Never(why) => why,
        }
    }
}

/// Tries once, for at most the target's time-out; what was answered, in a few words.
///
/// # Errors
/// It was not delivered, as far as is known here.
pub fn send(
    target: &NoticeTarget,
    notice: &Notice,
    machine: &Machine,
    given_up: &dyn Fn() -> bool,
) -> Result<String, Failure> {
    let mut secrets = Vec::new();
    let mut read = |key: &str, value: &EnvValue| match value {
        EnvValue::Plain(text) => Ok(text.clone()),
        EnvValue::FromEnv(from) => {
            let secret = read_secret(key, from).map_err(|error| Failure::Never(error.message))?;
            secrets.push(secret.clone());
            Ok(secret)
        }
    };
    let message = message(target, notice, &mut read)?;
    let clean =
        |text: &str| visible_within(without_secrets(&without_error_numbers(text), &secrets).trim(), SHOWN);
    let done = match message {
        Message::Post { url, headers, body } => post(&url, headers, body, target, given_up),
        Message::Mail { program, text } => {
            let arguments = [program.as_str(), "-t", "-i"];
            command::run(&arguments, text.as_bytes(), &[], target.timeout, machine, given_up)
                .map(|()| format!("taken by {program}"))
                .map_err(|failed| failed.of_mail(&program))
        }
        Message::Command { command, environment, input } => {
            let arguments = ["bash", "-c", command.as_str()];
            command::run(&arguments, &input, &environment, target.timeout, machine, given_up)
                .map(|()| "exit code 0".to_owned())
                .map_err(command::Failed::of_command)
        }
    };
    done.map(|said| clean(&said)).map_err(|failure| match failure {
        Failure::Later { why, after } => Failure::Later { why: clean(&why), after },
        Failure::Never(why) => Failure::Never(clean(&why)),
    })
}

fn post(
    url: &str,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    target: &NoticeTarget,
    given_up: &dyn Fn() -> bool,
) -> Result<String, Failure> {
    let never = |what: &str| Failure::Never(what.to_owned());
    if let Some(wrong) = wrong_url(url) {
        return Err(never(&format!("its url {wrong}{}", read_from(target))));
    }
    let mut request = Request::builder().method("POST").uri(url);
    for (name, value) in headers {
        // What a variable holds may be anything; the error of the type would repeat it.
        let value = HeaderValue::from_str(&value)
            .map_err(|_| never(&format!("the value of the header {name} is not one line of plain text")))?;
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| never("a header has no name"))?;
        request = request.header(name, value);
    }
    let request = request.body(body).map_err(|_| never(&format!("its url is none{}", read_from(target))))?;
    match http::send(request, target.timeout, given_up) {
        Ok(answer) => {
            let body = String::from_utf8_lossy(&answer.body);
            let said = match body.trim() {
                "" => format!("status {}", answer.status),
                body => format!("status {}: {body}", answer.status),
            };
            match answer.status {
                200..=299 => Ok(said),
                300..=399 => {
                    Err(Failure::Never(format!("status {}, and no redirection is followed", answer.status)))
                }
                408 | 425 | 429 | 500.. => Err(Failure::Later { why: said, after: answer.retry_after }),
                _ => Err(Failure::Never(said)),
            }
        }
        Err(NoAnswer::TimedOut) => {
            Err(Failure::later(format!("no answer within {}", duration(target.timeout))))
        }
        Err(NoAnswer::GivenUp) => Err(Failure::later(UNDER_WAY)),
        Err(NoAnswer::NotSendable(why)) => Err(Failure::Never(why)),
        Err(no_answer) => Err(Failure::later(no_answer.to_string())),
    }
}

/// Why nothing can be sent to a url that a variable holds; what stands in a plan was judged when it was read.
fn wrong_url(url: &str) -> Option<&'static str> {
    if url.trim().is_empty() {
        return Some("is empty");
    }
    if url.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Some("has a blank or the end of a line in it");
    }
    if !(url.starts_with("http://") || url.starts_with("https://")) {
        return Some("begins with neither http:// nor https://");
    }
    let uri = url.parse::<Uri>().ok().filter(|uri| uri.host().is_some_and(|host| !host.is_empty()));
    uri.is_none().then_some("is none")
}

/// Behind what is wrong with a target's url: which variable it was read from.
fn read_from(target: &NoticeTarget) -> String {
    match target.to.url() {
        Some(EnvValue::FromEnv(name)) => format!(": it is read from the environment variable {name}"),
        _ => String::new(),
    }
}

/// The variables of this process's environment that a target needs and that it cannot use as they are, with why.
pub fn unusable_secrets(target: &NoticeTarget) -> Vec<(&str, &'static str)> {
    let url = target.to.url();
    let more: Vec<&EnvValue> = match &target.to {
        NoticeService::Webhook { headers, .. } => headers.values().collect(),
        NoticeService::Ntfy { topic, token, .. } => std::iter::once(topic).chain(token).collect(),
        _ => Vec::new(),
    };
    let wrong = |value: &EnvValue, is_url: bool| match value {
        EnvValue::FromEnv(name) => match std::env::var(name) {
            Err(std::env::VarError::NotPresent) => Some("is not set here"),
            Err(std::env::VarError::NotUnicode(_)) => Some("is not UTF-8 text"),
            Ok(value) if is_url => wrong_url(&value),
            Ok(_) => None,
        },
        EnvValue::Plain(_) => None,
    };
    let all = url.into_iter().map(|url| (url, true)).chain(more.into_iter().map(|value| (value, false)));
    all.filter_map(|(value, is_url)| match value {
        EnvValue::FromEnv(name) => Some((name.as_str(), wrong(value, is_url)?)),
        EnvValue::Plain(_) => None,
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_url_of_the_environment_is_said() {
        for (url, wrong) in [
            ("", "is empty"),
            (" \n", "is empty"),
            (" https://hooks.example.org/x", "blank"),
            ("https://hooks.example.org/x\n", "the end of a line"),
            ("https://hooks.example.org/a b", "blank"),
            ("hooks.example.org/x", "begins with neither"),
            ("https://", "is none"),
            ("https:///x", "is none"),
            ("https://[::1/x", "is none"),
        ] {
            let said = wrong_url(url).unwrap_or("nothing");
            assert!(said.contains(wrong), "{url:?}: {said}");
        }
        assert_eq!(wrong_url("https://hooks.example.org:8443/services/T0/B0?x=1"), None);
    }
}

//! One try to deliver one notice.

use std::path::PathBuf;

use ureq::http::{HeaderName, HeaderValue, Request};

use crate::http::{self, NoAnswer};
use crate::notice::{Message, Notice, message};
use crate::plan::{EnvValue, NoticeService, NoticeTarget, duration, visible_within};
use crate::runner::{read_secret, without_secrets};

use super::command;

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
    Later(String),
    /// Another try would come to the same.
    Never(String),
}

impl Failure {
    /// In one sentence.
    pub fn why(&self) -> &str {
        match self {
            Self::Later(why) | Self::Never(why) => why,
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
    let clean = |text: &str| visible_within(without_secrets(text, &secrets).trim(), SHOWN);
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
        Failure::Later(why) => Failure::Later(clean(&why)),
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
    if !(url.starts_with("http://") || url.starts_with("https://")) {
        return Err(never("the url begins with neither http:// nor https://"));
    }
    let mut request = Request::builder().method("POST").uri(url);
    for (name, value) in headers {
        // What a variable holds may be anything; the error of the type would repeat it.
        let value = HeaderValue::from_str(&value)
            .map_err(|_| never(&format!("the value of the header {name} is not one line of plain text")))?;
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| never("a header has no name"))?;
        request = request.header(name, value);
    }
    let request = request.body(body).map_err(|_| never("the url is none"))?;
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
                408 | 425 | 429 | 500.. => Err(Failure::Later(said)),
                _ => Err(Failure::Never(said)),
            }
        }
        Err(NoAnswer::TimedOut) => {
            Err(Failure::Later(format!("no answer within {}", duration(target.timeout))))
        }
        Err(no_answer) => Err(Failure::Later(no_answer.to_string())),
    }
}

/// The variables of this process's environment that a target needs and that are not set.
pub fn unset_secrets(target: &NoticeTarget) -> Vec<&str> {
    let values: Vec<&EnvValue> = match &target.to {
        NoticeService::Webhook { url, headers, .. } => std::iter::once(url).chain(headers.values()).collect(),
        NoticeService::Slack { url } | NoticeService::Teams { url } => vec![url],
        NoticeService::Ntfy { url, topic, token, .. } => [url, topic].into_iter().chain(token).collect(),
        NoticeService::Mail { .. } | NoticeService::Command(_) => Vec::new(),
    };
    let unset = |value: &&EnvValue| match value {
        EnvValue::FromEnv(name) => std::env::var(name).is_err(),
        EnvValue::Plain(_) => false,
    };
    values
        .into_iter()
        .filter(unset)
        .filter_map(|value| match value {
            EnvValue::FromEnv(name) => Some(name.as_str()),
            EnvValue::Plain(_) => None,
        })
        .collect()
}

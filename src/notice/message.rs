//! A notice as one service takes it.

use std::collections::BTreeMap;

use crate::plan::{EnvValue, NOTICE_VALUES, NoticeService, NoticeTarget};

use super::document::Notice;
use super::template::{cut, fill, fill_json};
use super::{mail, services};

/// A title is one line of a screen or two.
const TITLE: usize = 250;
/// More of a template's text is not sent anywhere.
const TEXT: usize = 64 * 1024;

/// What is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A POST.
    Post {
        /// Where to.
        url: String,
        /// Names and values.
        headers: Vec<(String, String)>,
        /// What is sent.
        body: Vec<u8>,
    },
    /// A whole mail for `sendmail -t -i`.
    Mail {
        /// The program.
        program: String,
        /// Headers and body, with line feeds as line ends.
        text: String,
    },
    /// A command.
    Command {
        /// Shell text.
        command: String,
        /// What it finds in its environment.
        environment: Vec<(String, String)>,
        /// What it finds on standard input.
        input: Vec<u8>,
    },
}

/// What is sent to a target, whose secrets are asked of `read` by the key of each.
///
/// # Errors
/// The first that `read` has.
pub fn message<E>(
    target: &NoticeTarget,
    notice: &Notice,
    read: &mut dyn FnMut(&str, &EnvValue) -> Result<String, E>,
) -> Result<Message, E> {
    let words = |encode: &dyn Fn(&str) -> String| {
        let title = match &target.title {
            Some(template) => fill(template, notice, encode),
            None => encode(&notice.title),
        };
        let text = match &target.text {
            Some(template) => fill(template, notice, encode),
            None => encode(&notice.text),
        };
        (cut(&one_line(&title), TITLE), cut(&without_controls(&text), TEXT))
    };
    let plain = || words(&str::to_owned);
    let post = |url: String, more: Vec<(String, String)>, body: Vec<u8>| {
        let mut headers = vec![
            // As draft-ietf-httpapi-idempotency-key-header has it: a string of RFC 8941.
            ("Idempotency-Key".to_owned(), format!("\"{}\"", notice.id())),
            ("X-Maand-Notice".to_owned(), notice.id()),
            ("X-Maand-Event".to_owned(), notice.event_name().to_owned()),
        ];
        let has_type = more.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        if !has_type {
            headers.push(("Content-Type".to_owned(), "application/json".to_owned()));
        }
        headers.retain(|(name, _)| !more.iter().any(|(other, _)| other.eq_ignore_ascii_case(name)));
        headers.extend(more);
        Message::Post { url, headers, body }
    };
    Ok(match &target.to {
        NoticeService::Webhook { url, headers, json } => {
            let url = read("url", url)?;
            let mut own = Vec::new();
            for (name, value) in headers {
                own.push((name.clone(), read(&format!("headers: {name}"), value)?));
            }
            let body = match json {
                Some(json) => fill_json(json, notice).to_string().into_bytes(),
                None => {
                    let (title, text) = plain();
                    encoded(&Notice { title, text, ..notice.clone() })
                }
            };
            post(url, own, body)
        }
        NoticeService::Slack { url } => {
            let (title, text) = words(&services::for_slack);
            post(read("url", url)?, Vec::new(), services::slack(&title, &text))
        }
        NoticeService::Teams { url } => {
            let (title, text) = plain();
            post(read("url", url)?, Vec::new(), services::teams(&title, &text, notice.is_urgent()))
        }
        NoticeService::Ntfy { url, topic, token, priority } => {
            let (title, text) = plain();
            let body = services::ntfy(&read("topic", topic)?, &title, &text, *priority, notice);
            let mut headers = Vec::new();
            if let Some(token) = token {
                headers.push(("Authorization".to_owned(), format!("Bearer {}", read("token", token)?)));
            }
            post(read("url", url)?, headers, body)
        }
        NoticeService::Mail { to, from, sendmail } => {
            let (title, text) = plain();
            Message::Mail { program: sendmail.clone(), text: mail::mail(to, from, &title, &text, notice) }
        }
        NoticeService::Command(command) => {
            let (title, text) = plain();
            let notice = Notice { title, text, ..notice.clone() };
            let values: BTreeMap<_, _> = NOTICE_VALUES
                .iter()
                .map(|name| ((*name).to_owned(), notice.value(name).into_owned()))
                .collect();
            Message::Command {
                command: command.clone(),
                environment: values.into_iter().collect(),
                input: encoded(&notice),
            }
        }
    })
}

/// Values are fit for a terminal already; what a template says itself is its author's, but for control characters.
fn without_controls(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && !matches!(c, '\n' | '\t') { ' ' } else { c }).collect()
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn encoded(notice: &Notice) -> Vec<u8> {
    // Texts and numbers only: there is nothing that JSON lacks.
    serde_json::to_vec(&notice.document()).unwrap_or_default()
}

//! `notify`: the targets of notices, of a plan or in a file of the bucket.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::super::http::{Piece, placeholders, strings};
use super::super::secret::{is_secret_url, masked_url};
use super::super::suggest::suggest;
use super::super::yaml::{self, Key, Node, Value, shorten};
use super::super::{
    EnvValue, NOTICE_VALUES, NoticeEvent, NoticeService, NoticeTarget, Notify, Problems, Source, code,
};
use super::common::{Decoder, Fields};
use super::http::{Asker, wrong_url};
use super::keys::{MAIL, NOTICE_SERVICES, NOTICE_TARGET, NTFY, URL_ONLY, WEBHOOK};
use super::vars::Variables;

/// How long a request may take, and a command.
const TIMEOUT: Duration = Duration::from_secs(10);
const COMMAND_TIMEOUT: Duration = Duration::from_secs(60);
/// How long it is tried again.
const GIVE_UP_AFTER: Duration = Duration::from_secs(600);
/// A longer template is none.
const LONGEST_TEMPLATE: usize = 16 * 1024;
/// More targets than this are a mistake: each has a thread.
const MOST_TARGETS: usize = 32;
const SENDMAIL: &str = "/usr/sbin/sendmail";
const EXAMPLE: &str = "ops: {slack: {url: {from_env: SLACK_URL}}, on: [halted, finished]}";

/// Reads the file in which a bucket names the targets of all of its plans: what stands below `notify` in a plan.
///
/// # Errors
/// Every problem that can be found.
pub fn parse_notify(source: &Source) -> Result<Notify, Problems> {
    // All of them are commented out: nobody is told.
    if source.text().lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
        return Ok(Notify::default());
    }
    let mut problems = Problems::new();
    let Some(root) = yaml::read(source, &mut problems) else {
        return Err(problems);
    };
    let mut decoder = Decoder { source, problems, vars: Variables::default() };
    let notify = decoder.notify(&root);
    decoder.problems.sort();
    decoder.problems.into_result()?;
    Ok(notify)
}

impl Decoder<'_> {
    /// Reads `notify`: targets by name, or `none`.
    pub(super) fn notify(&mut self, node: &Node) -> Notify {
        let mut notify = Notify::default();
        if is_none(node) {
            notify.nobody = true;
            return notify;
        }
        let Value::Map(entries) = &node.value else {
            self.wrong_type(node, "notify", "targets by name, or `none`", EXAMPLE);
            return notify;
        };
        if entries.len() > MOST_TARGETS {
            let message =
                format!("there are {} targets of notices, and at most {MOST_TARGETS}", entries.len());
            let end = self.first_line_end(&node.span);
            self.bad_notice(message, node.span.start..end, "tell fewer, and let those hand it on");
        }
        for (key, value) in entries {
            let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            if !(1..=63).contains(&key.text.len()) || !key.text.bytes().all(is_letter) {
                let message = format!("`{}` cannot be the name of a target", shorten(&key.text));
                let help = "names are 1 to 63 of a-z, 0-9 and -, such as `ops`";
                self.error(code::BAD_NAME, message, key.span.clone(), "not a name", help);
                continue;
            }
            if is_none(value) {
                notify.targets.insert(key.text.clone(), None);
            } else if let Some(target) = self.notice_target(key, value) {
                notify.targets.insert(key.text.clone(), Some(target));
            }
        }
        notify
    }

    fn notice_target(&mut self, name: &Key, node: &Node) -> Option<NoticeTarget> {
        let fields = self.fields(node, &name.text, NOTICE_TARGET, EXAMPLE)?;
        let services: Vec<_> = NOTICE_SERVICES.iter().filter_map(|key| fields.entry(key)).collect();
        let [(key, service)] = services[..] else {
            let (message, help) = match services.get(1) {
                None => (
                    format!("the target `{}` does not say where its notices go", name.text),
                    format!("add one of {}", NOTICE_SERVICES.join(", ")),
                ),
                Some((second, _)) => (
                    format!("the target `{}` has two services", name.text),
                    format!("make another target of `{}`", second.text),
                ),
            };
            let at = services.get(1).map_or(&name.span, |(second, _)| &second.span);
            self.bad_notice(message, at.clone(), &help);
            return None;
        };
        let to = self.notice_service(&key.text, service);
        let on =
            fields.get("on").map_or_else(|| Some(NoticeEvent::USUAL.into()), |node| self.notice_events(node));
        let title = fields.get("title").map(|node| self.template(node, "title"));
        let text = fields.get("text").map(|node| self.template(node, "text"));
        let default = if key.text == "command" { COMMAND_TIMEOUT } else { TIMEOUT };
        let mut time = |key: &str, default| match fields.get(key) {
            None => Some(default),
            Some(node) => self.duration(node, key, false),
        };
        let (timeout, give_up_after) = (time("timeout", default), time("give_up_after", GIVE_UP_AFTER));
        Some(NoticeTarget {
            to: to?,
            on: on?,
            title: title.map_or(Some(None), |title| title.map(Some))?,
            text: text.map_or(Some(None), |text| text.map(Some))?,
            timeout: timeout?,
            give_up_after: give_up_after?,
        })
    }

    fn notice_events(&mut self, node: &Node) -> Option<BTreeSet<NoticeEvent>> {
        let words = NoticeEvent::ALL.map(NoticeEvent::as_str);
        let items = self.items(node, "on", "events", "on: [halted, finished]")?;
        let events: Vec<_> = items.iter().map(|item| self.word(item, "on", &words)).collect();
        events.into_iter().map(|at| at.map(|at| NoticeEvent::ALL[at])).collect()
    }

    fn notice_service(&mut self, kind: &str, node: &Node) -> Option<NoticeService> {
        if kind == "command" {
            return self.command(node, kind).and_then(|text| {
                let fine = text.len() <= LONGEST_TEMPLATE;
                if !fine {
                    let message = "`command` is too long".to_owned();
                    self.bad_notice(message, node.span.clone(), "put it into a script, and name that");
                }
                fine.then_some(NoticeService::Command(text))
            });
        }
        let (keys, example) = match kind {
            "webhook" => (WEBHOOK, "webhook: {url: {from_env: HOOK_URL}}"),
            "slack" => (URL_ONLY, "slack: {url: {from_env: SLACK_URL}}"),
            "teams" => (URL_ONLY, "teams: {url: {from_env: TEAMS_URL}}"),
            "ntfy" => (NTFY, "ntfy: {url: \"https://ntfy.internal\", topic: ops}"),
            _ => (MAIL, "mail: {to: [ops@example.org], from: maand@example.org}"),
        };
        let fields = self.fields(node, kind, keys, example)?;
        for needed in match kind {
            "ntfy" => &["url", "topic"][..],
            "mail" => &["to", "from"],
            _ => &["url"],
        } {
            if fields.get(needed).is_none() {
                self.missing(&format!("`{kind}`"), needed, fields.span.clone(), &format!("write {example}"));
            }
        }
        match kind {
            "webhook" => self.webhook(&fields),
            "slack" => Some(NoticeService::Slack { url: self.notice_url(&fields, kind)? }),
            "teams" => Some(NoticeService::Teams { url: self.notice_url(&fields, kind)? }),
            "ntfy" => self.ntfy(&fields),
            _ => self.mail(&fields),
        }
    }

    fn webhook(&mut self, fields: &Fields<'_>) -> Option<NoticeService> {
        let url = self.notice_url(fields, "webhook");
        let headers = fields.get("headers").map_or_else(|| Some(BTreeMap::new()), |node| self.headers(node));
        for (name, value) in headers.iter().flatten() {
            if let (EnvValue::Plain(text), Some(node)) = (value, fields.get("headers"))
                && placeholders(text).any(|piece| matches!(piece, Piece::Name(_)))
            {
                let message = format!("the header `{name}` has a placeholder");
                let help =
                    "they stand in `title`, `text` and `json`; the id of a notice is in `Idempotency-Key`";
                self.bad_notice(message, node.span.clone(), help);
            }
        }
        let json = fields.get("json").map(|node| {
            let value = self.json_value(node)?;
            let mut texts = Vec::new();
            strings(&value, &mut texts);
            self.known_names(texts.join(" ").as_str(), node);
            Some(value)
        });
        Some(NoticeService::Webhook {
            url: url?,
            headers: headers?,
            json: json.map_or(Some(None), |json| json.map(Some))?,
        })
    }

    fn ntfy(&mut self, fields: &Fields<'_>) -> Option<NoticeService> {
        let url = self.notice_url(fields, "ntfy");
        let topic = fields.get("topic").and_then(|node| self.text_or_secret(node, "topic", "topic: ops"));
        if let (Some(EnvValue::Plain(topic)), Some(node)) = (&topic, fields.get("topic")) {
            let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
            if topic.len() > 64 || !topic.bytes().all(is_letter) {
                let message = format!("`{}` is no topic of ntfy", shorten(topic));
                self.bad_notice(message, node.span.clone(), "topics are 1 to 64 letters, digits, - and _");
            }
        }
        if let (Some(EnvValue::Plain(url)), Some(EnvValue::Plain(topic)), Some(node)) =
            (&url, &topic, fields.get("url"))
            && url.trim_end_matches('/').rsplit_once('/').is_some_and(|(_, last)| last == topic.as_str())
        {
            // There the document itself would become the message.
            let message = format!("`{}` has the topic in it", shorten(url));
            let help =
                "write the server alone, such as `https://ntfy.example.org`: the topic stands in `topic`";
            self.bad_notice(message, node.span.clone(), help);
        }
        let token = fields
            .get("token")
            .map(|node| self.text_or_secret(node, "token", "token: {from_env: NTFY_TOKEN}"));
        if let (Some(Some(EnvValue::Plain(_))), Some(node)) = (&token, fields.get("token")) {
            self.plain_secret("the token of `ntfy`", node.span.clone(), "NTFY_TOKEN");
        }
        let priority = fields.get("priority").map(|node| {
            let priority = self.small_count(node, "priority", 1)?;
            if priority > 5 {
                let message = format!("ntfy has no priority {priority}");
                self.bad_notice(message, node.span.clone(), "write a number from 1 to 5: 3 is the usual one");
            }
            u8::try_from(priority).ok()
        });
        Some(NoticeService::Ntfy {
            url: url?,
            topic: topic?,
            token: token.map_or(Some(None), |token| token.map(Some))?,
            priority: priority.map_or(Some(None), |priority| priority.map(Some))?,
        })
    }

    fn mail(&mut self, fields: &Fields<'_>) -> Option<NoticeService> {
        let to = fields.get("to").and_then(|node| {
            let one = node.scalar().is_some().then(|| vec![node.clone()]);
            let items = one.or_else(|| self.items(node, "to", "addresses", "to: [ops@example.org]"))?;
            let all: Vec<_> = items.iter().map(|item| self.address(item, "to")).collect();
            all.into_iter().collect::<Option<Vec<_>>>()
        });
        let from = fields.get("from").and_then(|node| self.address(node, "from"));
        let sendmail = fields.get("sendmail").map_or_else(
            || Some(SENDMAIL.to_owned()),
            |node| {
                let path = self.text(node, "sendmail", "sendmail: /usr/sbin/sendmail")?;
                let fine = path.value.starts_with('/') && !path.value.chars().any(char::is_control);
                if !fine {
                    let message = format!("`{}` is no absolute path of a program", shorten(&path.value));
                    self.bad_notice(message, path.span, "write it as `/usr/sbin/sendmail`");
                }
                fine.then_some(path.value)
            },
        );
        Some(NoticeService::Mail { to: to?, from: from?, sendmail: sendmail? })
    }

    /// An address as it may stand in a header: no name, no comment, nothing that a header means something by.
    fn address(&mut self, node: &Node, key: &str) -> Option<String> {
        let text = self.text(node, key, &format!("{key}: ops@example.org"))?;
        let part = |part: &str| {
            let is_plain = |c: char| c.is_ascii_alphanumeric() || ".!#$%&'*+-/=?^_`{|}~".contains(c);
            !part.is_empty() && part.chars().all(is_plain)
        };
        let fine = text.value.len() <= 254
            && !text.value.starts_with('-')
            && text.value.split_once('@').is_some_and(|(user, domain)| part(user) && part(domain));
        if fine {
            return Some(text.value);
        }
        let message = format!("`{}` is no address of mail", shorten(&text.value));
        self.bad_notice(message, text.span, "write it without a name, such as `ops@example.org`");
        None
    }

    fn text_or_secret(&mut self, node: &Node, key: &str, example: &str) -> Option<EnvValue> {
        match &node.value {
            Value::Map(_) => self.secret(node),
            _ => {
                let text = self.text(node, key, example)?;
                if text.value.chars().any(char::is_control) {
                    let message = format!("`{key}` has a control character");
                    self.bad_notice(message, text.span, "it is one line of text");
                    return None;
                }
                Some(EnvValue::Plain(text.value))
            }
        }
    }

    /// `kind`: of the service. An incoming webhook is one by its url alone.
    fn notice_url(&mut self, fields: &Fields<'_>, kind: &str) -> Option<EnvValue> {
        let is_incoming = ["slack", "teams"].contains(&kind);
        let node = fields.get("url")?;
        let url = self.text_or_secret(node, "url", "url: {from_env: HOOK_URL}")?;
        if let EnvValue::Plain(text) = &url {
            let has_name = placeholders(text).any(|piece| matches!(piece, Piece::Name(_)));
            let why = match wrong_url(text, Asker::Worker) {
                None if has_name => {
                    Some(("it has a placeholder", "they stand in `title`, `text` and `json`"))
                }
                why => why,
            };
            if let Some((why, help)) = why {
                self.not_a_url(text, node.span.clone(), why, help);
                return None;
            }
            if is_secret_url(text) || (is_incoming && masked_url(text) != *text) {
                let variable = format!("{}_URL", kind.to_ascii_uppercase());
                self.plain_secret(&format!("the url of `{kind}`"), node.span.clone(), &variable);
            }
        }
        Some(url)
    }

    fn template(&mut self, node: &Node, key: &str) -> Option<String> {
        let text = self.text(node, key, &format!("{key}: \"$MAAND_PLAN: $MAAND_TITLE\""))?;
        if text.value.len() > LONGEST_TEMPLATE {
            let message = format!("`{key}` has more than {LONGEST_TEMPLATE} bytes");
            self.bad_notice(message, text.span, "write less: services cut long messages");
            return None;
        }
        self.known_names(&text.value, node).then_some(text.value)
    }

    /// Whether each placeholder has a value; others are reported.
    fn known_names(&mut self, text: &str, node: &Node) -> bool {
        let mut fine = true;
        for piece in placeholders(text) {
            let Piece::Name(name) = piece else { continue };
            if NOTICE_VALUES.contains(&name) {
                continue;
            }
            fine = false;
            let help = match suggest(name, NOTICE_VALUES.iter().copied()) {
                Some(near) => format!("did you mean `${near}`?"),
                None => format!("known here: ${}", NOTICE_VALUES.join(", $")),
            };
            let end = self.first_line_end(&node.span);
            self.bad_notice(format!("a notice has no value `${name}`"), node.span.start..end, &help);
        }
        fine
    }

    fn bad_notice(&mut self, message: String, span: std::ops::Range<usize>, help: &str) {
        self.error(code::BAD_NOTICE, message, span, "here", help);
    }
}

fn is_none(node: &Node) -> bool {
    node.text().is_some_and(|text| text.trim() == "none")
}

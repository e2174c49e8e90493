//! `notify` as it is written. The doc comments here are what an editor shows.
#![expect(dead_code, reason = "these types describe a shape; nothing is ever made of them")]

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde_json::Value;

use super::steps::{EnvValue, FromEnv};
use super::values::{Duration, List, OneOrMore, Text};

/// Targets of notices by name, or none.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub(super) enum Notify {
    Targets(BTreeMap<String, TargetOrNone>),
    Nobody(NoneWord),
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub(super) enum NoneWord {
    None,
}

/// A target, or none: that of the bucket is left out.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub(super) enum TargetOrNone {
    Target(Box<NoticeTarget>),
    LeftOut(NoneWord),
}

/// Who is told, of what, and how: one of `webhook`, `slack`, `teams`, `ntfy`, `mail` and `command`.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct NoticeTarget {
    /// A JSON document by POST. Default: none.
    webhook: Option<Webhook>,
    /// An incoming webhook of Slack, or of what takes the same (Mattermost, Rocket.Chat). Default: none.
    slack: Option<IncomingWebhook>,
    /// A webhook of a workflow of Microsoft Teams. Default: none.
    teams: Option<IncomingWebhook>,
    /// A topic of an ntfy server. Default: none.
    ntfy: Option<Ntfy>,
    /// A mail by the sendmail of this machine. Default: none.
    mail: Option<Mail>,
    /// A command on this machine: shell text. It finds the notice in its environment, and as JSON on standard input.
    /// Default: none.
    command: Option<Text>,
    /// Of what it is told. Default: all but `wave_done` and `resumed`.
    on: Option<List<NoticeEvent>>,
    /// The first line; `$MAAND_PLAN`, `$MAAND_HOST` and others stand for values. Default: what happened, in a few words.
    title: Option<Text>,
    /// What follows it, in the same way. Default: what happened, where and why.
    text: Option<Text>,
    /// How long one try may take. Default: 10s; 60s for `command`.
    timeout: Option<Duration>,
    /// How long it is tried again while it fails. Default: 10m.
    give_up_after: Option<Duration>,
}

/// A JSON document by POST.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Webhook {
    /// Where to: http:// or https://; mostly a secret.
    url: TextOrSecret,
    /// Headers; secrets come from the environment of this machine. Default: those that every request needs.
    headers: Option<BTreeMap<String, EnvValue>>,
    /// The document, written as YAML, with placeholders such as `$MAAND_TEXT`. Default: all that is known of the event.
    json: Option<Value>,
}

/// An incoming webhook.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct IncomingWebhook {
    /// Where to: the address that the service has made; a secret.
    url: TextOrSecret,
}

/// A topic of an ntfy server.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Ntfy {
    /// The server, without the topic.
    url: TextOrSecret,
    /// The topic.
    topic: TextOrSecret,
    /// An access token. Default: none.
    token: Option<TextOrSecret>,
    /// From 1 to 5. Default: 4 of what needs an operator, else 3.
    #[schemars(range(min = 1, max = 5))]
    priority: Option<u8>,
}

/// A mail.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Mail {
    /// Addresses, without names.
    to: OneOrMore<Text>,
    /// The sender's address, without a name.
    from: Text,
    /// The program that takes the mail with `-t -i`, by its absolute path. Default: /usr/sbin/sendmail.
    sendmail: Option<Text>,
}

/// A text as it stands, or a secret.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub(super) enum TextOrSecret {
    Plain(Text),
    Secret(FromEnv),
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub(super) enum NoticeEvent {
    Halted,
    WorkerFailed,
    WaitsForApproval,
    InDoubt,
    Paused,
    LongerThanUsual,
    WaveDone,
    Resumed,
    Finished,
}

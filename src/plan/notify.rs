//! `notify`: who is told of what happens in a run, of a plan or of all plans of a bucket.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Serialize;

use super::{EnvValue, duration};

/// Targets by name, as a plan or a bucket names them.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Notify {
    /// `notify: none`: not even those of the bucket.
    pub nobody: bool,
    /// By name; `None`: the bucket's target of that name is left out.
    pub targets: BTreeMap<String, Option<NoticeTarget>>,
}

impl Notify {
    /// Whom a plan with these tells in a bucket with those: a target of the plan takes the place of the bucket's of the
    /// same name.
    pub fn within(&self, bucket: &Self) -> BTreeMap<String, NoticeTarget> {
        let mut all = if self.nobody { BTreeMap::new() } else { bucket.targets.clone() };
        all.extend(self.targets.clone());
        all.into_iter().filter_map(|(name, target)| Some((name, target?))).collect()
    }
}

impl Notify {
    /// What it says, target by target, each in one text: whoever reviews a plan approves where it sends what, and which
    /// commands it executes.
    pub fn describe(&self) -> BTreeMap<String, String> {
        let one =
            |target: &Option<NoticeTarget>| target.as_ref().map_or("none".to_owned(), NoticeTarget::describe);
        let mut all: BTreeMap<_, _> =
            self.targets.iter().map(|(name, target)| (format!("notify: {name}"), one(target))).collect();
        if self.nobody {
            all.insert("notify".to_owned(), "none".to_owned());
        }
        all
    }
}

/// Who is told, of what, and how.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NoticeTarget {
    /// Where notices go.
    pub to: NoticeService,
    /// Of what it is told.
    pub on: BTreeSet<NoticeEvent>,
    /// The first line, with placeholders; `None`: that of the event.
    pub title: Option<String>,
    /// What follows it, with placeholders; `None`: that of the event.
    pub text: Option<String>,
    /// How long one try may take.
    pub timeout: Duration,
    /// How long it is tried again.
    pub give_up_after: Duration,
}

impl NoticeTarget {
    fn describe(&self) -> String {
        let mut parts = vec![match &self.to {
            NoticeService::Webhook { url, headers, json } => {
                let mut text = format!("webhook {}", self.to.shown_url(url));
                for (name, header) in headers {
                    text.push_str(&format!(", {name}: {}", header.shown(name)));
                }
                json.iter().for_each(|json| text.push_str(&format!(", {json}")));
                text
            }
            NoticeService::Slack { url } => format!("slack {}", self.to.shown_url(url)),
            NoticeService::Teams { url } => format!("teams {}", self.to.shown_url(url)),
            NoticeService::Ntfy { url, topic, token, priority } => {
                let mut text = format!("ntfy {}, topic {}", self.to.shown_url(url), topic.shown("topic"));
                token.iter().for_each(|token| text.push_str(&format!(", token {}", token.shown("token"))));
                priority.iter().for_each(|priority| text.push_str(&format!(", priority {priority}")));
                text
            }
            NoticeService::Mail { to, from, sendmail } => {
                format!("mail to {} from {from} by {sendmail}", to.join(", "))
            }
            NoticeService::Command(command) => format!("command {command}"),
        }];
        let events: Vec<&str> = self.on.iter().map(|event| event.as_str()).collect();
        parts.push(format!("on {}", events.join(", ")));
        parts.extend(self.title.iter().map(|title| format!("title {title}")));
        parts.extend(self.text.iter().map(|text| format!("text {text}")));
        parts.push(format!("within {}, for {}", duration(self.timeout), duration(self.give_up_after)));
        parts.join("; ")
    }
}

/// What takes a notice.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeService {
    /// A JSON document by POST.
    Webhook {
        /// Where to.
        url: EnvValue,
        /// By their names as written.
        headers: BTreeMap<String, EnvValue>,
        /// The document, with placeholders; `None`: all that is known of the event.
        json: Option<serde_json::Value>,
    },
    /// An incoming webhook of Slack, or of what takes the same (Mattermost, Rocket.Chat).
    Slack {
        /// Where to.
        url: EnvValue,
    },
    /// A webhook of a workflow of Microsoft Teams.
    Teams {
        /// Where to.
        url: EnvValue,
    },
    /// A topic of an ntfy server.
    Ntfy {
        /// The server.
        url: EnvValue,
        /// The topic.
        topic: EnvValue,
        /// An access token.
        token: Option<EnvValue>,
        /// From 1 to 5; `None`: by the event.
        priority: Option<u8>,
    },
    /// A mail by the `sendmail` of this machine.
    Mail {
        /// Addresses.
        to: Vec<String>,
        /// The sender's address.
        from: String,
        /// The program, by its absolute path.
        sendmail: String,
    },
    /// A command on this machine: shell text.
    Command(String),
}

impl NoticeService {
    /// Where it is asked.
    pub fn url(&self) -> Option<&EnvValue> {
        match self {
            Self::Webhook { url, .. }
            | Self::Slack { url }
            | Self::Teams { url }
            | Self::Ntfy { url, .. } => Some(url),
            Self::Mail { .. } | Self::Command(_) => None,
        }
    }

    /// Its url as it may be shown: an incoming webhook is one by its address alone.
    pub fn shown_url(&self, url: &EnvValue) -> String {
        url.shown_url(matches!(self, Self::Slack { .. } | Self::Teams { .. }))
    }

    /// As it is written.
    pub fn keyword(&self) -> &'static str {
        match self {
            Self::Webhook { .. } => "webhook",
            Self::Slack { .. } => "slack",
            Self::Teams { .. } => "teams",
            Self::Ntfy { .. } => "ntfy",
            Self::Mail { .. } => "mail",
            Self::Command(_) => "command",
        }
    }
}

/// What somebody may be told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeEvent {
    /// The run cannot continue by itself.
    Halted,
    /// A worker has failed.
    WorkerFailed,
    /// A step waits for an operator's approval.
    WaitsForApproval,
    /// An answer was lost, and an operator has to say whether the command ran.
    InDoubt,
    /// No further worker is started: an operator, a signal or something that could not be done has paused the run.
    Paused,
    /// Something takes longer than it did in earlier runs.
    LongerThanUsual,
    /// All workers of a wave have ended.
    WaveDone,
    /// A controller continues the run.
    Resumed,
    /// The run has ended for good.
    Finished,
}

impl NoticeEvent {
    /// All, in the order in which they are offered.
    pub const ALL: [Self; 9] = [
        Self::Halted,
        Self::WorkerFailed,
        Self::WaitsForApproval,
        Self::InDoubt,
        Self::Paused,
        Self::LongerThanUsual,
        Self::WaveDone,
        Self::Resumed,
        Self::Finished,
    ];

    /// What a target is told of that does not say: what calls for an operator, and the end.
    pub const USUAL: [Self; 7] = [
        Self::Halted,
        Self::WorkerFailed,
        Self::WaitsForApproval,
        Self::InDoubt,
        Self::Paused,
        Self::LongerThanUsual,
        Self::Finished,
    ];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Halted => "halted",
            Self::WorkerFailed => "worker_failed",
            Self::WaitsForApproval => "waits_for_approval",
            Self::InDoubt => "in_doubt",
            Self::Paused => "paused",
            Self::LongerThanUsual => "longer_than_usual",
            Self::WaveDone => "wave_done",
            Self::Resumed => "resumed",
            Self::Finished => "finished",
        }
    }
}

/// The names of values that may stand in `title`, `text` and `json` as `$NAME`, and that commands find in their
/// environment. One that an event has no value for is empty.
pub const NOTICE_VALUES: [&str; 14] = [
    "BUCKET_ID",
    "MAAND_NOTICE",
    "MAAND_EVENT",
    "MAAND_RUN",
    "MAAND_PLAN",
    "MAAND_AT",
    "MAAND_TITLE",
    "MAAND_TEXT",
    "MAAND_HOST",
    "MAAND_STEP",
    "MAAND_REASON",
    "MAAND_WAVE",
    "MAAND_WAVES",
    "MAAND_STATE",
];

#[cfg(test)]
mod tests {
    use super::super::{Source, parse, parse_notify};

    fn names(plan: &str, bucket: &str) -> Vec<String> {
        let text = format!("version: 1\nname: x\nsteps: [health]\n{plan}");
        let plan = parse(&Source::new("x.yaml", text), &[]).unwrap();
        let bucket = parse_notify(&Source::new("notify.yaml", bucket)).unwrap();
        let targets = plan.notify.within(&bucket);
        targets.iter().map(|(name, target)| format!("{name} {}", target.to.keyword())).collect()
    }

    #[test]
    fn a_plan_adds_replaces_leaves_out_or_goes_without() {
        let bucket = "ops: {slack: {url: 'https://s/x'}}\nlog: {command: logger}\n";
        assert_eq!(names("", bucket), ["log command", "ops slack"]);
        assert_eq!(names("notify: none\n", bucket), [""; 0]);
        assert_eq!(names("", "# ops: {slack: {url: 'https://s/x'}}\n\n"), [""; 0], "all are commented out");
        assert_eq!(
            names("notify: {log: none, ops: {teams: {url: 'https://t/x'}}, own: {command: x}}\n", bucket),
            ["ops teams", "own command"]
        );
        assert_eq!(names("notify: {own: {command: x}}\n", "# nobody\n{}\n"), ["own command"]);
    }
}

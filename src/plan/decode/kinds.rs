//! What a step does: each kind and its options.

use std::time::Duration;

use super::super::yaml::{Key, Node, Value, in_braces};
use super::super::{HealthScope, JobAction, OnNoReturn, StepKind, code};
use super::common::{Decoder, Fields};
use super::http::Asker;
use super::keys::{COMMON, options};

/// What reboots a worker unless the plan says otherwise.
const REBOOT_COMMAND: &str = "sudo shutdown -r now";
/// sshd usually goes within seconds; systemd gives services 90 s to stop.
const DOWN_WITHIN: Duration = Duration::from_secs(120);
/// Long enough to see a worker that comes up and goes down again.
const SETTLE: Duration = Duration::from_secs(10);
const INTERVAL: Duration = Duration::from_secs(1);

impl Decoder<'_> {
    /// Reads the kind `key` with its options (`None`: a bare name). `once`: in `before` or `after`.
    pub(super) fn kind(&mut self, key: &Key, node: Option<&Node>, once: bool) -> Option<StepKind> {
        let kind = key.text.as_str();
        let node = node.filter(|node| !node.is_null());
        if kind == "pause" {
            return self.pause(key, node);
        }
        let fields = match node {
            None => None,
            Some(node) => Some(self.option_fields(kind, node)?),
        };
        let fields = fields.as_ref();
        let get = |name: &str| fields.and_then(|fields| fields.get(name));
        let before = self.problems.iter().count();
        let step = match kind {
            "disable" => StepKind::Disable { jobs: self.jobs_option(fields) },
            "enable" | "re-enable" => StepKind::Enable,
            "deploy" => StepKind::Deploy {
                jobs: self.jobs_option(fields),
                force: get("force").and_then(|node| self.flag(node, "force")).unwrap_or(false),
            },
            "build" => StepKind::Build,
            "start" => StepKind::Job { action: JobAction::Start, jobs: self.jobs_option(fields) },
            "stop" => StepKind::Job { action: JobAction::Stop, jobs: self.jobs_option(fields) },
            "restart" => StepKind::Job { action: JobAction::Restart, jobs: self.jobs_option(fields) },
            "reboot" => StepKind::Reboot {
                command: get("command")
                    .and_then(|node| self.reboot_command(node, "command"))
                    .unwrap_or_else(|| REBOOT_COMMAND.to_owned()),
                down_within: get("down_within")
                    .and_then(|node| self.duration(node, "down_within", false))
                    .unwrap_or(DOWN_WITHIN),
                unless: self.reboot_unless(get("unless"), get("cannot_tell")),
                expect: get("expect").and_then(|node| self.expected_boot(node)),
            },
            "wait_for_ssh" => StepKind::WaitForSsh {
                settle: get("settle").and_then(|node| self.duration(node, "settle", true)).unwrap_or(SETTLE),
                interval: get("interval")
                    .and_then(|node| self.duration(node, "interval", false))
                    .unwrap_or(INTERVAL),
                on_no_return: match get("on_no_return")
                    .and_then(|node| self.word(node, "on_no_return", &OnNoReturn::WORDS))
                {
                    Some(1) => OnNoReturn::PowerCycle,
                    _ => OnNoReturn::Fail,
                },
            },
            "run" | "local" => {
                let none = Fields::none(key);
                let step = self.command_step(fields.unwrap_or(&none), kind)?;
                if kind == "run" { StepKind::Run(step) } else { StepKind::Local(step) }
            }
            "http" => {
                let none = Fields::none(key);
                StepKind::Http(self.http_step(fields.unwrap_or(&none), once)?)
            }
            "gate" => {
                let none = Fields::none(key);
                let at = if once { Asker::GateOnce } else { Asker::GateOfWorker };
                StepKind::Gate(Box::new(self.gate(fields.unwrap_or(&none), at)?))
            }
            "health" => StepKind::Health {
                jobs: self.jobs_option(fields),
                wait: get("wait").and_then(|node| self.flag(node, "wait")).unwrap_or(true),
                scope: self.scope(get("scope"), once),
            },
            "sync_check" => StepKind::SyncCheck {
                repair: get("repair").and_then(|node| self.flag(node, "repair")).unwrap_or(false),
            },
            "approve" => StepKind::Approve {
                message: get("message")
                    .and_then(|node| self.text(node, "message", "message: look at the dashboard"))
                    .map(|text| text.value),
            },
            _ => return None,
        };
        // With a bad option the step is not what the plan says: its problem is enough.
        let errors = self.problems.iter().skip(before).any(|p| p.severity == super::super::Severity::Error);
        (!errors).then_some(step)
    }

    fn option_fields<'n>(&mut self, kind: &str, node: &'n Node) -> Option<Fields<'n>> {
        let known = options(kind);
        let example = match kind {
            "run" | "local" => format!("{kind}: {{command: uptime}}"),
            "http" => "http: {url: \"http://lb.internal/servers/$MAAND_HOST\"}".to_owned(),
            "gate" => super::gate::EXAMPLE.to_owned(),
            "approve" => "approve: {message: look at the dashboard}".to_owned(),
            _ => match known.first() {
                Some(_) => format!("{kind}: {{}}"),
                None => kind.to_owned(),
            },
        };
        let Value::Map(entries) = &node.value else {
            match self.meant(kind, node) {
                Some(help) => {
                    let found = node.describe();
                    let message = format!("`{kind}` takes a map of options, not {found}");
                    self.error(
                        code::WRONG_TYPE,
                        message,
                        node.span.clone(),
                        format!("this is {found}"),
                        help,
                    );
                }
                None => self.wrong_type(node, kind, "a map of options", &example),
            }
            return None;
        };
        let mut misplaced = false;
        for (key, _) in entries {
            let name = key.text.as_str();
            if COMMON.contains(&name) && !known.contains(&name) {
                misplaced = true;
                let message = format!("`{kind}` has no option `{name}`");
                let help =
                    format!("`{name}` is a key of the step: write it beside `{kind}:`, not inside of it");
                self.error(code::UNKNOWN_KEY, message, key.span.clone(), "one level too deep", help);
            }
        }
        if misplaced || known.is_empty() {
            let fields = Fields::of(node, entries);
            for (key, _) in entries {
                if known.is_empty() && !COMMON.contains(&key.text.as_str()) {
                    let message = format!("`{kind}` has no option `{}`", key.text);
                    let help = format!("`{kind}` takes no options: write just `- {kind}`");
                    self.error(code::UNKNOWN_KEY, message, key.span.clone(), "unknown option", help);
                }
            }
            return Some(fields);
        }
        self.fields(node, kind, known, &example)
    }

    /// What most likely was meant by a value in the place of the options of `kind`: its one option that is
    /// usually given. `None`: nothing is likely.
    fn meant(&self, kind: &str, node: &Node) -> Option<String> {
        if matches!(node.value, Value::Map(_) | Value::Unusable) || node.is_null() {
            return None;
        }
        let option = match kind {
            _ if options(kind).is_empty() => {
                return Some(format!("`{kind}` takes no options: write just `- {kind}`"));
            }
            "run" | "local" | "reboot" | "gate" => "command",
            "http" => "url",
            "approve" => "message",
            kind if options(kind).contains(&"jobs") => "jobs",
            _ => return None,
        };
        let value = match &node.value {
            Value::List(_) if option != "jobs" => return None,
            Value::Scalar(scalar) if scalar.text.trim_end().contains('\n') => {
                return Some(format!(
                    "put the text below its option: `{kind}:`, in the next line `{option}: |`"
                ));
            }
            Value::Scalar(scalar) if option == "jobs" => format!("[{}]", in_braces(&scalar.text)),
            Value::Scalar(scalar) => in_braces(&scalar.text),
            _ => self.source.text().get(node.span.clone()).filter(|text| !text.contains('\n'))?.to_owned(),
        };
        Some(format!("write `{kind}: {{{option}: {value}}}`"))
    }

    fn pause(&mut self, key: &Key, node: Option<&Node>) -> Option<StepKind> {
        match node {
            Some(node) => self.duration(node, "pause", false).map(|duration| StepKind::Pause { duration }),
            None => {
                let help = "write how long, such as `pause: 30s`";
                self.error(
                    code::NO_VALUE,
                    "`pause` has no duration",
                    key.span.clone(),
                    "for how long?",
                    help,
                );
                None
            }
        }
    }

    fn scope(&mut self, node: Option<&Node>, once: bool) -> HealthScope {
        let Some(node) = node else {
            return if once { HealthScope::Fleet } else { HealthScope::Worker };
        };
        match self.word(node, "scope", &["worker", "fleet"]) {
            Some(0) if once => {
                let message =
                    "`scope: worker` has no worker here: `before` and `after` run once for the whole fleet";
                let help = "leave `scope` out, or write `scope: fleet`";
                self.error(code::NOT_ONCE, message, node.span.clone(), "no worker to look at", help);
                HealthScope::Fleet
            }
            Some(0) => HealthScope::Worker,
            _ => HealthScope::Fleet,
        }
    }
}

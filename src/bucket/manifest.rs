//! `workspace/jobs/<job>/manifest.json`. It reads one file and knows nothing of other jobs or workers.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::fields::{Doc, Fields};
use super::fleet::{HealthCheck, Job, JobName, PortRef, Probe, Resources, RestartPolicy};
use super::globs::path_glob;
use super::json::{Json, Node, quoted};
use super::units::Unit;

const KNOWN: &[&str] = &[
    "version",
    "selectors",
    "max_concurrent_starts",
    "max_concurrent_upgrades",
    "min_allocations_count",
    "restart_policy",
    "restart_globs",
    "resources",
    "health_check",
    "commands",
    "certs",
    "update_parallel_count",
    "deploy_parallel_count",
];

/// Names of before, which the upstream program does not know any more.
const EARLIER: [(&str, &str); 2] = [
    ("update_parallel_count", "max_concurrent_upgrades"),
    ("deploy_parallel_count", "max_concurrent_starts"),
];

/// A job and the places of what is checked against other files.
pub(super) struct Placed {
    pub(super) job: Job,
    /// Names of ports with their places.
    pub(super) ports: BTreeMap<String, Range<usize>>,
    /// Demanded jobs with their places.
    pub(super) demands: Vec<(JobName, Range<usize>)>,
    /// Place of `selectors`, where they are stated.
    pub(super) selectors: Option<Range<usize>>,
    /// Place of `min_allocations_count`, where it is stated.
    pub(super) min_allocations: Option<Range<usize>>,
}

/// Reads a manifest; `None` when it is not even an object.
pub(super) fn read(doc: &mut Doc<'_>, name: &JobName) -> Option<Placed> {
    let node = doc.parse()?;
    let fields = doc.object(&node, "the manifest", KNOWN)?;
    let mut placed = Placed {
        job: Job {
            name: name.clone(),
            version: version(doc, &fields),
            selectors: BTreeSet::from([name.as_str().to_owned()]),
            max_concurrent_starts: batch(doc, &fields, "max_concurrent_starts", 0),
            max_concurrent_upgrades: batch(doc, &fields, "max_concurrent_upgrades", 1).max(1),
            min_allocations_count: batch(doc, &fields, "min_allocations_count", 0),
            restart_policy: RestartPolicy::Always,
            restart_globs: Vec::new(),
            resources: Resources::default(),
            health_check: None,
            demands: BTreeSet::new(),
            unsupported: BTreeSet::new(),
        },
        ports: BTreeMap::new(),
        demands: Vec::new(),
        selectors: None,
        min_allocations: fields.get("min_allocations_count").map(|node| node.span.clone()),
    };
    if let Some(node) = fields.get("selectors") {
        let selectors = doc.texts(node, "`selectors`");
        if !selectors.is_empty() {
            placed.selectors = Some(node.span.clone());
            // Labels of workers are brought to lower case, and selectors are compared as they are written.
            for (label, span) in &selectors {
                if *label != label.to_lowercase() {
                    doc.warn(
                        "maand::bucket::selector_case",
                        format!("the selector `{label}` matches no worker: labels are in lower case"),
                        span,
                        "compared as it is written",
                        "write it in lower case",
                    );
                }
            }
            placed.job.selectors = selectors.into_iter().map(|(label, _)| label.to_owned()).collect();
        }
    }
    for (earlier, key) in EARLIER {
        if let Some(old) = fields.member(earlier) {
            doc.warn(
                "maand::bucket::earlier_key",
                format!("`{earlier}` is now called `{key}`"),
                &old.key_span,
                "ignored, as the upstream program does",
                format!("rename it to `{key}`"),
            );
        }
    }
    restart(doc, &fields, &mut placed.job);
    if let Some(node) = fields.get("resources") {
        resources(doc, node, &mut placed);
    }
    if let Some(node) = fields.get("commands") {
        commands(doc, node, &mut placed);
    }
    if let Some(node) = fields.get("certs")
        && doc.object(node, "`certs`", &[]).is_some_and(|certs| certs.iter().next().is_some())
    {
        placed.job.unsupported.insert("certs".to_owned());
    }
    if let Some(node) = fields.get("health_check") {
        placed.job.health_check = health_check(doc, node, &placed.ports);
    }
    Some(placed)
}

fn version(doc: &mut Doc<'_>, fields: &Fields<'_>) -> String {
    let default = || "0.0.0".to_owned();
    let Some(node) = fields.get("version") else { return default() };
    let Some(text) = doc.text(node, "`version`").map(str::trim).filter(|text| !text.is_empty()) else {
        return default();
    };
    if !is_version(text) {
        doc.error(
            "maand::bucket::bad_value",
            format!("{} is no version", quoted(text)),
            &node.span,
            "this",
            "write one such as 1.4.0, v2.1 or 2.0.0-rc1",
        );
    }
    text.to_owned()
}

/// `major[.minor[.patch]][-prerelease]` with or without a leading `v`, as upstream takes it; `+build`
/// too, as semver has it.
fn is_version(text: &str) -> bool {
    let text = text.strip_prefix(['v', 'V']).unwrap_or(text);
    let (numbers, rest) = match text.find(['-', '+']) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    };
    let parts: Vec<&str> = numbers.split('.').collect();
    let number = |part: &&str| part.parse::<u32>().is_ok() && part.bytes().all(|b| b.is_ascii_digit());
    let tail = |rest: &str| {
        !rest.is_empty() && rest.chars().all(|c| c.is_ascii_alphanumeric() || ".-+_".contains(c))
    };
    text.len() <= 128 && parts.len() <= 3 && parts.iter().all(number) && rest.is_none_or(tail)
}

/// One of the batch sizes; upstream's earlier name of the key is taken with a warning.
fn batch(doc: &mut Doc<'_>, fields: &Fields<'_>, key: &str, default: u32) -> u32 {
    let Some(member) = fields.member(key) else { return default };
    let what = format!("`{}`", member.key);
    doc.integer(&member.value, &what, 0..=1_000_000).map_or(default, |value| value as u32)
}

fn restart(doc: &mut Doc<'_>, fields: &Fields<'_>, job: &mut Job) {
    if let Some(node) = fields.get("restart_policy")
        && let Some(text) = doc.text(node, "`restart_policy`")
    {
        match text {
            "always" | "" => {}
            "reload" => job.restart_policy = RestartPolicy::Reload,
            "never" => job.restart_policy = RestartPolicy::Never,
            other => doc.error(
                "maand::bucket::bad_value",
                format!("`restart_policy` cannot be {}", quoted(other)),
                &node.span,
                "this",
                "write \"always\", \"reload\" or \"never\"",
            ),
        }
    }
    if let Some(node) = fields.get("restart_globs") {
        for (glob, span) in doc.texts(node, "`restart_globs`") {
            match path_glob(glob) {
                Ok(_) => job.restart_globs.push(glob.to_owned()),
                Err(error) => doc.error(
                    "maand::bucket::bad_value",
                    format!("`{glob}` is no pattern for paths: {error}"),
                    &span,
                    "this",
                    "such as \"*.conf\" or \"conf/**\"; write \"[[]\" for a bracket itself",
                ),
            }
        }
        if !job.restart_globs.is_empty() && job.restart_policy != RestartPolicy::Reload {
            doc.error(
                "maand::bucket::bad_value",
                "`restart_globs` need `restart_policy` to be \"reload\"",
                &node.span,
                "have no effect",
                "add \"restart_policy\": \"reload\", or remove the globs",
            );
        }
    }
}

fn resources(doc: &mut Doc<'_>, node: &Node, placed: &mut Placed) {
    let Some(fields) = doc.object(node, "`resources`", &["memory", "cpu", "ports"]) else { return };
    let (min, max) = bounds(doc, &fields, "memory", Unit::Memory);
    (placed.job.resources.memory_min_mb, placed.job.resources.memory_max_mb) = (min, max);
    let (min, max) = bounds(doc, &fields, "cpu", Unit::Cpu);
    (placed.job.resources.cpu_min_mhz, placed.job.resources.cpu_max_mhz) = (min, max);
    if let Some(node) = fields.get("ports") {
        ports(doc, node, placed);
    }
}

/// `{min, max}`; an absent or zero `max` is the `min`, as upstream has it.
fn bounds(doc: &mut Doc<'_>, fields: &Fields<'_>, key: &str, unit: Unit) -> (f64, f64) {
    let Some(node) = fields.get(key) else { return (0.0, 0.0) };
    let Some(inner) = doc.object(node, &format!("`{key}`"), &["min", "max"]) else { return (0.0, 0.0) };
    let mut amount = |name: &str| {
        inner.get(name).and_then(|node| doc.amount(node, &format!("`{key}.{name}`"), unit)).unwrap_or(0.0)
    };
    let (min, max) = (amount("min"), amount("max"));
    if max > 0.0 && min > max {
        doc.error(
            "maand::bucket::bad_value",
            format!("`{key}.min` is greater than `{key}.max`"),
            &node.span,
            "here",
            "swap or correct them",
        );
    }
    (min, if max > 0.0 { max } else { min })
}

/// `MAAND_PORT_<NAME>`: how a Makefile knows a port. Upper-cased, with `_` for what cannot be in a variable's name.
pub fn port_variable(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    format!("MAAND_PORT_{}", name.chars().map(plain).collect::<String>())
}

fn ports(doc: &mut Doc<'_>, node: &Node, placed: &mut Placed) {
    let Some(fields) = doc.object(node, "`ports`", &[]) else { return };
    let mut variables = BTreeMap::new();
    for member in fields.iter() {
        let name = member.key.as_ref();
        let good = name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
        if !good {
            doc.error(
                "maand::bucket::bad_value",
                format!("{} is no name for a port", quoted(name)),
                &member.key_span,
                "this",
                "letters, digits and `_`, starting with a letter, such as http_port",
            );
            continue;
        }
        let port = match &member.value.value {
            Json::Object(inner) if inner.is_empty() => Some(None),
            Json::Number(_) => {
                doc.integer(&member.value, &format!("the port `{name}`"), 1..=65535).map(|p| Some(p as u16))
            }
            _ => {
                doc.error(
                    "maand::bucket::wrong_type",
                    format!("the port `{name}` must be a number or {{}}, not {}", member.value.value.kind()),
                    &member.value.span,
                    "this",
                    "write a fixed port, or {} and the build assigns one",
                );
                None
            }
        };
        let variable = port_variable(name);
        if let Some(other) = variables.get(&variable) {
            let message =
                format!("the ports `{other}` and `{name}` are both {variable} to the job's Makefile");
            let help = "rename one of them: the variable has large letters, and `_` for `-`";
            doc.error("maand::bucket::port_names", message, &member.key_span, "the same variable", help);
        }
        variables.insert(variable, name.to_owned());
        placed.ports.insert(name.to_owned(), member.key_span.clone());
        placed.job.resources.ports.insert(name.to_owned(), port.flatten());
    }
}

/// `commands`: what they demand gives the order of deployment; commands that would have to be run are
/// not built in.
fn commands(doc: &mut Doc<'_>, node: &Node, placed: &mut Placed) {
    let Some(fields) = doc.object(node, "`commands`", &[]) else { return };
    for member in fields.iter() {
        let what = format!("the command `{}`", member.key);
        let Some(command) = doc.object(&member.value, &what, &["executed_on", "demands"]) else { continue };
        let events =
            command.get("executed_on").map(|node| doc.texts(node, "`executed_on`")).unwrap_or_default();
        let demanded = command.get("demands").and_then(|node| {
            let demands = doc.object(node, "`demands`", &["job", "command", "config"])?;
            let node = demands.get("job")?;
            let text = doc.text(node, "`job`").map(str::trim).filter(|text| !text.is_empty())?;
            let name = JobName::parse(text);
            if name.is_none() {
                let message = format!("{} cannot be a job's name", quoted(text));
                doc.error(
                    "maand::bucket::bad_value",
                    message,
                    &node.span,
                    "this",
                    "write a job's folder name",
                );
            }
            Some((name?, node.span.clone()))
        });
        match demanded {
            Some((name, span)) => {
                placed.job.demands.insert(name.clone());
                placed.demands.push((name, span));
            }
            None if !events.is_empty() => {
                let events: Vec<&str> = events.iter().map(|(event, _)| *event).collect();
                let feature = format!("job command {} (on {})", member.key, events.join(", "));
                placed.job.unsupported.insert(feature);
            }
            None => {}
        }
    }
}

fn health_check(
    doc: &mut Doc<'_>,
    node: &Node,
    ports: &BTreeMap<String, Range<usize>>,
) -> Option<HealthCheck> {
    let fields = doc.object(node, "`health_check`", &["checks", "timeout_seconds", "wait"])?;
    let mut check =
        HealthCheck { checks: Vec::new(), timeout_seconds: 5, wait_attempts: 30, wait_interval_seconds: 1 };
    let seconds = |doc: &mut Doc<'_>, fields: &Fields<'_>, key: &str, default: u32| match fields.get(key) {
        // Upstream takes 0 for "not stated".
        Some(node) => match doc.integer(node, &format!("`{key}`"), 0..=86_400) {
            Some(0) | None => default,
            Some(value) => value as u32,
        },
        None => default,
    };
    check.timeout_seconds = seconds(doc, &fields, "timeout_seconds", check.timeout_seconds);
    if let Some(wait) =
        fields.get("wait").and_then(|node| doc.object(node, "`wait`", &["attempts", "interval_seconds"]))
    {
        check.wait_attempts = seconds(doc, &wait, "attempts", check.wait_attempts);
        check.wait_interval_seconds = seconds(doc, &wait, "interval_seconds", check.wait_interval_seconds);
    }
    let items = fields.get("checks").and_then(|node| doc.list(node, "`checks`")).unwrap_or_default();
    for item in items {
        check.checks.extend(probe(doc, item, ports));
    }
    (!check.checks.is_empty()).then_some(check)
}

fn probe(doc: &mut Doc<'_>, item: &Node, ports: &BTreeMap<String, Range<usize>>) -> Option<Probe> {
    let known = ["type", "port", "path", "expect_status", "scheme", "command"];
    let fields = doc.object(item, "a check", &known)?;
    let missing = |doc: &mut Doc<'_>, key: &str, help: &str| {
        let start = item.span.start;
        let message = format!("a check has no `{key}`");
        doc.error("maand::bucket::missing_key", message, &(start..start + 1), "this one", help);
    };
    let Some(kind) = fields.get("type") else {
        missing(doc, "type", "add \"type\": \"tcp\", \"http\" or \"ssh\"");
        return None;
    };
    match doc.text(kind, "`type`")?.trim().to_ascii_lowercase().as_str() {
        "ssh" => match fields.get("command").and_then(|node| doc.text(node, "`command`")) {
            Some(command) if !command.trim().is_empty() => Some(Probe::Ssh { command: command.to_owned() }),
            _ => {
                missing(doc, "command", "add the command that is run on the worker; exit 0 is well");
                None
            }
        },
        "tcp" => Some(Probe::Tcp { port: port_ref(doc, &fields, ports, missing)? }),
        "http" => {
            let port = port_ref(doc, &fields, ports, missing);
            let path = fields.get("path").and_then(|node| Some((doc.text(node, "`path`")?, node)));
            let path = match path {
                None | Some(("", _)) => "/".to_owned(),
                Some((text, node)) => {
                    if !text.starts_with('/') || text.chars().any(|c| c.is_control() || c == ' ') {
                        let message = format!("the path {} cannot be requested", quoted(text));
                        let help = "it starts with `/` and has no spaces";
                        doc.error("maand::bucket::bad_value", message, &node.span, "this", help);
                    }
                    text.to_owned()
                }
            };
            let scheme = fields.get("scheme").and_then(|node| Some((doc.text(node, "`scheme`")?, node)));
            let scheme = match scheme.map(|(text, node)| (text.to_ascii_lowercase(), node)) {
                None => "http".to_owned(),
                Some((text, _)) if text.is_empty() => "http".to_owned(),
                Some((text, node)) => {
                    if text != "http" && text != "https" {
                        let message = format!("`scheme` cannot be {}", quoted(&text));
                        doc.error(
                            "maand::bucket::bad_value",
                            message,
                            &node.span,
                            "this",
                            "\"http\" or \"https\"",
                        );
                    }
                    text
                }
            };
            Some(Probe::Http { port: port?, path, expect_status: statuses(doc, &fields), scheme })
        }
        other => {
            let message = format!("there is no check of type {}", quoted(other));
            let help = "write \"tcp\", \"http\" or \"ssh\"";
            doc.error("maand::bucket::bad_value", message, &kind.span, "this", help);
            None
        }
    }
}

/// `expect_status`: a number, or a list of them; 0 is "not stated", as upstream has it.
fn statuses(doc: &mut Doc<'_>, fields: &Fields<'_>) -> Vec<u16> {
    let Some(node) = fields.get("expect_status") else { return Vec::new() };
    let items = match &node.value {
        Json::Array(items) => items.as_slice(),
        _ => std::slice::from_ref(node),
    };
    let mut all = Vec::new();
    for item in items {
        match doc.integer(item, "`expect_status`", 0..=599) {
            Some(0) | None => {}
            Some(status) => all.push(status as u16),
        }
    }
    all
}

fn port_ref(
    doc: &mut Doc<'_>,
    fields: &Fields<'_>,
    ports: &BTreeMap<String, Range<usize>>,
    missing: impl Fn(&mut Doc<'_>, &str, &str),
) -> Option<PortRef> {
    let Some(node) = fields.get("port") else {
        missing(doc, "port", "add a port by its name in `resources.ports`, or by number");
        return None;
    };
    match &node.value {
        Json::Number(_) => doc.integer(node, "`port`", 1..=65535).map(|port| PortRef::Number(port as u16)),
        Json::String(text) if ports.contains_key(text.trim()) => Some(PortRef::Name(text.trim().to_owned())),
        Json::String(text) => match text.trim().parse::<u16>() {
            Ok(number) if number > 0 => Some(PortRef::Number(number)),
            _ => {
                let known: Vec<&str> = ports.keys().map(String::as_str).collect();
                let help = if known.is_empty() {
                    "add it to `resources.ports`, or write a number".to_owned()
                } else {
                    format!("`resources.ports` has {}", known.join(", "))
                };
                let message = format!("the job has no port called {}", quoted(text));
                doc.error("maand::bucket::unknown_port", message, &node.span, "this", help);
                None
            }
        },
        _ => {
            doc.text(node, "`port`");
            None
        }
    }
}

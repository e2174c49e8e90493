//! `maand doctor`: the first look at a fleet, as text or JSON; what is looked at, and what it means, is the library's.

use std::fmt::Write;
use std::time::Duration;

use clap::Args;
use schemars::JsonSchema;
use serde::Serialize;

use super::checking::Checking;
use super::document::{self, Document};
use super::hosts::HostPattern;
use super::open_bucket::connector;
use super::{CliError, Context, Exit, engine, hosts, interrupt, out};
use crate::boot::RebootNeed;
use crate::bucket::{Bucket, Host, Worker};
use crate::doctor::{
    Beside, Diagnosis, Examined, Finding, FirstKeys, Group, Look, Severity, State, here, look_at,
};
use crate::os::parallel_map;
use crate::plan::{Problems, counted, visible_line};
use crate::run::Engine;
use crate::ssh::{Cancel, Layer, Ssh2Remote, destination};

/// Arguments of `maand doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Look at these workers [default: all]
    #[arg(short, long, visible_alias = "worker", value_delimiter = ',', value_name = "HOST,..")]
    #[arg(add = crate::cli::complete::hosts())]
    workers: Vec<HostPattern>,
}

/// Workers that are looked at side by side, as before a run; handshakes are bounded by the transport.
const SIDE_BY_SIDE: usize = 64;
/// For a connection, besides the time that `connect_timeout` gives it.
const BESIDES: Duration = Duration::from_secs(20);
/// So many workers of a group are named.
const NAMED: usize = 3;
/// So many lines of what is each worker's own are shown; of host keys more, as each is to be compared.
const DETAILS: usize = 3;
const KEYS: usize = 100;

/// Programs that scripts need on a worker: those of plans and deploys, and what the texts of our own scripts call
/// (src/ssh/bootstrap.rs, src/runner/, src/catalog/builtin/scripts/).
const TOOLS: &[&str] = &[
    "bash", "make", "tar", "flock", "cat", "env", "find", "grep", "head", "id", "mkdir", "mv", "rm", "rmdir",
    "sleep", "sync", "tr",
];
/// What the upstream program asks for there (its `deploy/execute.go`), and what we need besides.
const UPSTREAM_TOOLS: &[&str] = &[
    "bash", "make", "rsync", "python3", "timeout", "flock", "cat", "env", "find", "grep", "head", "id",
    "mkdir", "mv", "rm", "rmdir", "sleep", "sync", "tr",
];
/// On this machine: commands of `local` steps, and what the upstream program calls.
const HERE: &[&str] = &["bash"];
const UPSTREAM_HERE: &[&str] = &["bash", "ssh", "rsync", "python3"];

/// As JSON.
#[derive(Serialize, JsonSchema)]
pub(super) struct DoctorDocument<'a> {
    /// There is nothing to fix: no problem, here or on a worker that was looked at.
    ok: bool,
    /// Number of different problems.
    problems: usize,
    /// Number of different warnings.
    warnings: usize,
    /// Number of workers that were looked at.
    of: usize,
    /// The workers without problems and warnings.
    healthy: Vec<&'a str>,
    /// Findings on this machine.
    here: Vec<FindingJson<'a>>,
    /// The workers, in the fleet's order.
    workers: Vec<ExaminedJson<'a>>,
}

impl Document for DoctorDocument<'_> {
    const NAME: &'static str = "doctor";
}

/// One thing that was found.
#[derive(Serialize, JsonSchema)]
struct FindingJson<'a> {
    /// Its kind, such as `key_refused`; of the bucket's files `maand::bucket::...`.
    code: &'a str,
    /// `problem` (something to fix), `warning` or `note`.
    severity: &'static str,
    /// Where it shows: `here`, `jump_host`, `address`, `port`, `host_key`, `login`, `shell`, `sudo`, `tools`, `folders`,
    /// `disk`, `clock`, `boot` or `power` (the BMC beside the worker).
    layer: &'static str,
    /// What it is, in one sentence.
    message: &'a str,
    /// What of it is this worker's own: a fingerprint, what a server said.
    detail: Option<&'a str>,
    /// What to type about it, or to look at.
    remedy: &'a str,
}

impl<'a> FindingJson<'a> {
    fn of(finding: &'a Finding) -> Self {
        let Finding { severity, cause } = finding;
        Self {
            code: cause.code,
            severity: severity.name(),
            layer: cause.layer.name(),
            message: &cause.what,
            detail: cause.detail.as_deref(),
            remedy: &cause.remedy,
        }
    }
}

/// A worker that was looked at.
#[derive(Serialize, JsonSchema)]
struct ExaminedJson<'a> {
    /// As in `workers.json`.
    host: &'a str,
    /// The name or address that was connected to; `null`: the ssh config does not say.
    address: Option<&'a str>,
    /// Its port.
    port: Option<u16>,
    /// The user that was logged in as.
    user: Option<&'a str>,
    /// Each layer, in the order in which a connection gets to it.
    layers: Vec<LayerJson>,
    /// What was found.
    findings: Vec<FindingJson<'a>>,
    /// The kernel that runs.
    kernel: Option<&'a str>,
    /// The kernel that would boot, as far as the worker's files say.
    next_kernel: Option<&'a str>,
    /// The boot id.
    boot_id: Option<&'a str>,
    /// Whether it needs a reboot; `null`: it was not asked.
    reboot: Option<RebootJson<'a>>,
    /// What the BMC beside it says; `null`: it names none, or `maand.conf` has no `power`.
    power: Option<PowerJson<'a>>,
}

/// What a worker's BMC says.
#[derive(Serialize, JsonSchema)]
struct PowerJson<'a> {
    /// Where it is; `null`: its address, or what is needed to ask it, cannot be used.
    url: Option<&'a str>,
    /// The state of power, such as `On` or `Off`; `null`: it does not say.
    state: Option<&'a str>,
    /// `OK`, `Warning` or `Critical`; `null`: it does not say.
    health: Option<&'a str>,
    /// Why it could not be asked.
    error: Option<String>,
}

impl<'a> PowerJson<'a> {
    fn of(beside: &'a Beside) -> Self {
        let report = beside.said.as_ref().ok();
        Self {
            url: beside.url.as_deref(),
            state: report.and_then(|report| report.power.as_deref()),
            health: report.and_then(|report| report.health.as_deref()),
            error: beside.said.as_ref().err().map(ToString::to_string),
        }
    }
}

/// Whether a worker needs a reboot.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct RebootJson<'a> {
    /// `required`, `not_required` or `cannot_tell`.
    need: &'static str,
    /// By what that is known, or what is missing for an answer.
    why: &'a [String],
}

impl<'a> RebootJson<'a> {
    pub(super) fn of(need: &'a RebootNeed) -> Self {
        Self { need: need.need.name(), why: &need.why }
    }
}

/// A layer of a worker.
#[derive(Serialize, JsonSchema)]
struct LayerJson {
    /// Its name, as in findings.
    layer: &'static str,
    /// `ok`, `warning`, `problem`, `unknown` (asked, and the answer cannot be read) or `not_looked_at`.
    state: &'static str,
    /// With `not_looked_at`: the layer that was in the way.
    because: Option<&'static str>,
}

impl<'a> ExaminedJson<'a> {
    fn of(worker: &'a Examined) -> Self {
        let to = worker.destination.as_ref();
        let layer = |(layer, state): (&Layer, &State)| LayerJson {
            layer: layer.name(),
            state: state.name(),
            because: match state {
                State::NotLookedAt(before) => Some(before.name()),
                _ => None,
            },
        };
        Self {
            host: worker.host.as_str(),
            address: to.map(|to| to.host.as_str()),
            port: to.map(|to| to.port),
            user: to.map(|to| to.user.as_str()),
            layers: worker.layers.iter().map(layer).collect(),
            findings: worker.findings.iter().map(FindingJson::of).collect(),
            kernel: worker.answer.kernel.as_deref(),
            next_kernel: worker.next_kernel.as_deref(),
            boot_id: worker.answer.valid_boot_id(),
            reboot: worker.reboot.as_ref().map(RebootJson::of),
            power: worker.power.as_ref().map(PowerJson::of),
        }
    }
}

/// Runs the command.
pub(super) fn run(args: &DoctorArgs, context: &Context) -> Result<Exit, CliError> {
    let bucket = Bucket::find(context.bucket.as_deref())?;
    let (workers, problems) = workers_of(&bucket);
    let known: Vec<_> = workers.iter().map(hosts::Known::from).collect();
    let chosen = hosts::choose(&args.workers, &known, hosts::Whose::Bucket)?;
    let chosen: Vec<&Host> = workers
        .iter()
        .map(|worker| &worker.host)
        .filter(|host| args.workers.is_empty() || chosen.contains(&host.as_str()))
        .collect();
    let cancel = Cancel::new();
    interrupt::listen(&cancel, "interrupted: what is under way is given up", context.manner())?;
    let engine = context.engine_for(&bucket);
    let examined = examine(&bucket, &workers, &chosen, engine, context, &cancel);
    if cancel.is_cancelled() {
        let problem = crate::plan::Problem::error("maand::interrupted", "interrupted; nothing was changed");
        return Err(CliError::new(Exit::Resumable, problem));
    }
    let destinations: Vec<_> = examined.iter().filter_map(|worker| worker.destination.as_ref()).collect();
    let program = (engine == Engine::External).then(|| engine::program(context).err()).flatten();
    let scene = here::Scene {
        bucket: &bucket,
        problems: &problems,
        destinations: &destinations,
        logged_in: (examined.iter().filter(|worker| worker.is_in()).count(), examined.len()),
        engine: program.as_ref(),
        tools: if engine == Engine::External { UPSTREAM_HERE } else { HERE },
    };
    let here = here::look(&scene);
    let own_boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let all = Diagnosis::new(here, examined, &own_boot);
    if context.json {
        document::print(&DoctorDocument {
            ok: all.count(Severity::Problem) == 0,
            problems: all.count(Severity::Problem),
            warnings: all.count(Severity::Warning),
            of: all.workers.len(),
            healthy: all.healthy().into_iter().map(Host::as_str).collect(),
            here: all.here.iter().map(FindingJson::of).collect(),
            workers: all.workers.iter().map(ExaminedJson::of).collect(),
        })?;
    } else {
        let least = if context.quiet { Severity::Warning } else { Severity::Note };
        out::print(&text(&all, least))?;
    }
    Ok(if all.count(Severity::Problem) == 0 { Exit::Done } else { Exit::Failed })
}

/// The workers, and what is wrong with the bucket's files; those of a bucket with a broken job are known all the same.
fn workers_of(bucket: &Bucket) -> (Vec<Worker>, Problems) {
    match bucket.load() {
        Ok((fleet, warnings)) => (fleet.workers, warnings),
        Err(problems) => (bucket.workers_alone(), problems),
    }
}

fn examine(
    bucket: &Bucket,
    all: &[Worker],
    chosen: &[&Host],
    engine: Engine,
    context: &Context,
    cancel: &Cancel,
) -> Vec<Examined> {
    let first_keys = FirstKeys::default();
    let mut settings = connector(context).looking(bucket, all);
    settings.show = Some(first_keys.hear());
    let patience = settings.deadlines.connect + BESIDES;
    let remote = Ssh2Remote::new(settings.clone());
    let tools = if engine == Engine::External { UPSTREAM_TOOLS } else { TOOLS };
    let look = Look { remote: &remote, first_keys, tools, patience, cancel };
    let shown = Checking::new(context);
    shown.begins(chosen.iter().map(|host| host.to_string()).collect());
    parallel_map(chosen.iter().copied(), SIDE_BY_SIDE, |host| {
        let mut examined = look_at(&look, host, destination(&settings, host));
        if let Some(power) = &bucket.settings().power
            && let Some(worker) = all.iter().find(|worker| worker.host == *host)
        {
            examined.ask_bmc(power, worker, cancel);
        }
        shown.ends(host.as_str());
        examined
    })
}

/// This machine, then the workers: what is the same is said once.
fn text(all: &Diagnosis, least: Severity) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    if all.here.iter().any(|finding| finding.severity >= least) {
        text.push_str("This machine\n");
        for Finding { severity, cause } in all.here.iter().filter(|finding| finding.severity >= least) {
            let _ = writeln!(text, "  {:<8} {}", severity.name(), visible_line(&cause.what));
            if let Some(detail) = &cause.detail {
                let _ = writeln!(text, "           {}", visible_line(detail));
            }
            let _ = writeln!(text, "           -> {}", visible_line(&cause.remedy));
        }
    }
    let groups = all.groups();
    let healthy = all.healthy();
    if !all.workers.is_empty() {
        let _ = writeln!(text, "{}", counted(all.workers.len(), "worker"));
        groups.iter().filter(|group| group.severity >= least).for_each(|group| say(group, &mut text));
        if !healthy.is_empty() {
            let names: Vec<&str> = healthy.iter().map(|host| host.as_str()).collect();
            let _ = writeln!(text, "  {:<8} {}", "ok", list(&names, "are fine", "is fine"));
        }
    }
    let (problems, warnings) = (all.count(Severity::Problem), all.count(Severity::Warning));
    let _ = match problems {
        0 => writeln!(text, "Nothing to fix; {}. Nothing was changed.", counted(warnings, "warning")),
        _ => writeln!(
            text,
            "{} to fix, {}; {} of {} without either. Nothing was changed.",
            counted(problems, "problem"),
            counted(warnings, "warning"),
            healthy.len(),
            counted(all.workers.len(), "worker")
        ),
    };
    text
}

fn say(group: &Group<'_>, text: &mut String) {
    let Group { severity, cause, workers } = group;
    let names: Vec<&str> = workers.iter().map(|(host, _)| host.as_str()).collect();
    let what = visible_line(&cause.what);
    let _ = match names.as_slice() {
        [one] => writeln!(text, "  {:<8} {one}: {what}", severity.name()),
        many => writeln!(
            text,
            "  {:<8} {}: {what}: {}",
            severity.name(),
            counted(many.len(), "worker"),
            some(many)
        ),
    };
    // Fingerprints are to be compared, each of them.
    let is_key = cause.layer == Layer::HostKey;
    let own: Vec<_> = workers.iter().filter_map(|(host, detail)| Some((host, (*detail)?))).collect();
    let same = own.windows(2).all(|pair| pair[0].1 == pair[1].1);
    if same && let Some((_, detail)) = own.first() {
        let _ = writeln!(text, "           {}", visible_line(detail));
    } else {
        let most = if is_key { KEYS } else { DETAILS };
        for (host, detail) in own.iter().take(most) {
            let _ = writeln!(text, "           {host}  {}", visible_line(detail));
        }
        if own.len() > most {
            let _ = writeln!(text, "           {} more: --output json has all", own.len() - most);
        }
    }
    let likewise =
        if names.len() > 1 && cause.remedy.contains(names[0]) { "; the others likewise" } else { "" };
    let _ = writeln!(text, "           -> {}{likewise}", visible_line(&cause.remedy));
}

/// `w1, w2, 20 more`.
fn some(names: &[&str]) -> String {
    let shown = if names.len() > NAMED { NAMED - 1 } else { names.len() };
    let first = names[..shown].join(", ");
    match names.len() - shown {
        0 => first,
        more => format!("{first}, {more} more"),
    }
}

fn list(names: &[&str], many: &str, one: &str) -> String {
    match names {
        [name] => format!("{name} {one}"),
        names => format!("{} {many}: {}", counted(names.len(), "worker"), some(names)),
    }
}

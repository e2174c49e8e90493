//! Who of a plan's workers needs a reboot, and why, and what the monitoring systems of the plan say: asked of them, where
//! nothing is changed.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::super::super::checking::Checking;
use super::super::super::doctor::RebootJson;
use super::super::super::open_bucket::connector;
use super::super::super::{CliError, Context, Exit, interrupt};
use crate::boot::{Need, RebootNeed};
use crate::bucket::{Bucket, Host, Worker};
use crate::cli::markdown::{Section, code};
use crate::doctor::reboot_need;
use crate::graph::RolloutGraph;
use crate::os::parallel_map;
use crate::plan::{Problem, Reading, counted, visible_line};
use crate::runner::{MonitoringAnswer, ask_monitoring};
use crate::ssh::{Cancel, Ssh2Remote};

/// Workers that are asked side by side, as by `doctor`; handshakes are bounded by the transport.
const SIDE_BY_SIDE: usize = 64;
/// For a connection, besides the time that `connect_timeout` gives it.
const BESIDES: Duration = Duration::from_secs(20);
/// So many workers with one answer are named.
const NAMED: usize = 5;

/// All that was asked.
pub(super) struct Probed {
    reboots: Vec<RebootOf>,
    monitoring: Vec<MonitoringAnswer>,
}

/// A monitoring system and what it says.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct MonitoringJson<'a> {
    /// What of the plan asks it: `guard`, `before_wave`, `after_wave`, `silence`, or the id of a step.
    place: &'a str,
    /// `prometheus`, `alertmanager`, `http` or `command`.
    source: &'static str,
    /// `pass`, `fail` or `inconclusive`; `null`: it was not asked, as that might change something.
    reading: Option<&'static str>,
    /// What it says, or why it was not asked.
    said: &'a str,
}

/// A worker and what it says.
pub(super) struct RebootOf {
    pub(super) host: String,
    pub(super) need: RebootNeed,
}

/// A worker and whether it needs a reboot.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct RebootOfJson<'a> {
    /// As in `workers.json`.
    host: &'a str,
    #[serde(flatten)]
    reboot: RebootJson<'a>,
}

impl Probed {
    pub(super) fn reboots_json(&self) -> Vec<RebootOfJson<'_>> {
        let all = self.reboots.iter();
        all.map(|of| RebootOfJson { host: &of.host, reboot: RebootJson::of(&of.need) }).collect()
    }

    pub(super) fn monitoring_json(&self) -> Vec<MonitoringJson<'_>> {
        self.monitoring.iter().map(MonitoringJson::of).collect()
    }
}

impl<'a> MonitoringJson<'a> {
    fn of(answer: &'a MonitoringAnswer) -> Self {
        let reading = answer.reading.map(|reading| match reading {
            Reading::Pass => "pass",
            Reading::Fail => "fail",
            Reading::Inconclusive => "inconclusive",
        });
        Self { place: &answer.place, source: answer.source, reading, said: &answer.words }
    }
}

/// Asks all selected workers, in their order, and then the monitoring systems; those of a sandbox's plans are asked nothing.
pub(super) fn ask(bucket: &Bucket, graph: &Arc<RolloutGraph>, context: &Context) -> Result<Probed, CliError> {
    let cancel = Cancel::new();
    interrupt::listen(&cancel, "interrupted: what is under way is given up", context.manner())?;
    let workers: Vec<Worker> = graph.fleet.workers.clone();
    let settings = connector(context).looking(bucket, &workers);
    let patience = settings.deadlines.connect + BESIDES;
    let remote = Ssh2Remote::new(settings);
    let hosts: Vec<&Host> =
        graph.targets.iter().map(|target| &graph.fleet.worker(target.worker).host).collect();
    let shown = Checking::new(context);
    shown.begins(hosts.iter().map(|host| host.to_string()).collect());
    let reboots = parallel_map(hosts.iter().copied(), SIDE_BY_SIDE, |host| {
        let need = reboot_need(&remote, host, patience, &cancel);
        shown.ends(host.as_str());
        RebootOf { host: host.as_str().to_owned(), need }
    });
    let is_asked = bucket.settings().executes_local();
    let monitoring = if is_asked { ask_monitoring(graph, &cancel) } else { Vec::new() };
    if cancel.is_cancelled() {
        let problem = Problem::error("maand::interrupted", "interrupted; nothing was changed");
        return Err(CliError::new(Exit::Resumable, problem));
    }
    Ok(Probed { reboots, monitoring })
}

fn word(need: Need) -> &'static str {
    match need {
        Need::Required => "needed",
        Need::NotRequired => "not needed",
        Need::CannotTell => "cannot be told",
    }
}

/// Answers in their order, those that need a reboot first; and the workers that have given each.
fn groups(reboots: &[RebootOf]) -> Vec<(&RebootNeed, Vec<&str>)> {
    let mut groups: Vec<(&RebootNeed, Vec<&str>)> = Vec::new();
    for need in [Need::Required, Need::CannotTell, Need::NotRequired] {
        for of in reboots.iter().filter(|of| of.need.need == need) {
            match groups.iter_mut().find(|(known, _)| **known == of.need) {
                Some((_, hosts)) => hosts.push(&of.host),
                None => groups.push((&of.need, vec![&of.host])),
            }
        }
    }
    groups
}

fn named(hosts: &[&str]) -> String {
    let more = hosts.len().saturating_sub(NAMED);
    let first = hosts[..hosts.len() - more].join(", ");
    if more == 0 { first } else { format!("{first} and {}", counted(more, "other")) }
}

/// `Reboots: 2 of 5 workers need one`, and by what that is known; and what the monitoring systems say.
pub(super) fn section(text: &mut String, probed: &Probed) {
    reboots_section(text, &probed.reboots);
    monitoring_section(text, &probed.monitoring);
}

fn says(reading: Option<Reading>) -> &'static str {
    match reading {
        Some(Reading::Pass) => "passes",
        Some(Reading::Fail) => "FAILS",
        Some(Reading::Inconclusive) => "SAYS NOTHING",
        None => "not asked",
    }
}

/// How it is said for what asks: a silence does not pass.
fn word_of(answer: &MonitoringAnswer) -> &'static str {
    match answer.reading {
        Some(Reading::Pass) if answer.place == "silence" => "answers",
        reading => says(reading),
    }
}

fn monitoring_section(text: &mut String, answers: &[MonitoringAnswer]) {
    if answers.is_empty() {
        return;
    }
    text.push_str("\nMonitoring, as it answers now\n");
    for answer in answers {
        let (who, said) = (format!("{} ({})", answer.place, answer.source), visible_line(&answer.words));
        let _ = writeln!(text, "  {:<14}  {who}: {said}", word_of(answer));
    }
}

fn reboots_section(text: &mut String, reboots: &[RebootOf]) {
    let count = |need| reboots.iter().filter(|of| of.need.need == need).count();
    let unclear = match count(Need::CannotTell) {
        0 => String::new(),
        unclear => format!("; {unclear} cannot tell"),
    };
    let _ = writeln!(
        text,
        "\nReboots: needed by {} of {}{unclear}",
        count(Need::Required),
        counted(reboots.len(), "worker")
    );
    for (need, hosts) in groups(reboots) {
        let why = visible_line(&need.reasons());
        let _ = writeln!(text, "  {:<14}  {}: {why}", word(need.need), named(&hosts));
    }
}

/// The same for a pull request.
pub(super) fn markdown(probed: &Probed) -> Vec<Section> {
    let mut reboots = Section::table("Reboots, as the workers say", &["reboot", "workers", "why"]).opened();
    for (need, hosts) in groups(&probed.reboots) {
        reboots.row(&[word(need.need).to_owned(), code(&named(&hosts)), code(&need.reasons())]);
    }
    let mut monitoring =
        Section::table("Monitoring, as it answers", &["answer", "asked by", "what it says"]).opened();
    for answer in &probed.monitoring {
        let by = code(&format!("{} ({})", answer.place, answer.source));
        monitoring.row(&[word_of(answer).to_owned(), by, code(&answer.words)]);
    }
    let monitoring = (!probed.monitoring.is_empty()).then_some(monitoring);
    std::iter::once(reboots).chain(monitoring).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_needs_one_comes_first_and_the_same_is_said_once() {
        let of = |host: &str, need, why: &str| RebootOf {
            host: host.to_owned(),
            need: RebootNeed { need, why: vec![why.to_owned()] },
        };
        let reboots = [
            of("w1", Need::NotRequired, "newest"),
            of("w2", Need::Required, "57 is installed\u{1b}"),
            of("w3", Need::CannotTell, "no kernel"),
            of("w4", Need::NotRequired, "newest"),
        ];
        let mut text = String::new();
        reboots_section(&mut text, &reboots);
        let expected = "\nReboots: needed by 1 of 4 workers; 1 cannot tell\n  needed          w2: 57 is \
                        installed\\x1b\n  cannot be told  w3: no kernel\n  not needed      w1, w4: newest\n";
        assert_eq!(text, expected);
        assert_eq!(named(&["w"; 7]), "w, w, w, w, w and 2 others");
    }
}

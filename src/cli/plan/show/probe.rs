//! Who of a plan's workers needs a reboot, and why: asked of the workers, where nothing is changed.

use std::fmt::Write as _;
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
use crate::plan::{Problem, counted, visible_line};
use crate::ssh::{Cancel, Ssh2Remote};

/// Workers that are asked side by side, as by `doctor`; handshakes are bounded by the transport.
const SIDE_BY_SIDE: usize = 64;
/// For a connection, besides the time that `connect_timeout` gives it.
const BESIDES: Duration = Duration::from_secs(20);
/// So many workers with one answer are named.
const NAMED: usize = 5;

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

pub(super) fn json(reboots: &[RebootOf]) -> Vec<RebootOfJson<'_>> {
    reboots.iter().map(|of| RebootOfJson { host: &of.host, reboot: RebootJson::of(&of.need) }).collect()
}

/// Asks all selected workers, in their order.
pub(super) fn ask(
    bucket: &Bucket,
    graph: &RolloutGraph,
    context: &Context,
) -> Result<Vec<RebootOf>, CliError> {
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
    if cancel.is_cancelled() {
        let problem = Problem::error("maand::interrupted", "interrupted; nothing was changed");
        return Err(CliError::new(Exit::Resumable, problem));
    }
    Ok(reboots)
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

/// `Reboots: 2 of 5 workers need one`, and by what that is known.
pub(super) fn section(text: &mut String, reboots: &[RebootOf]) {
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
pub(super) fn markdown(reboots: &[RebootOf]) -> Section {
    let mut section = Section::table("Reboots, as the workers say", &["reboot", "workers", "why"]).opened();
    for (need, hosts) in groups(reboots) {
        section.row(&[word(need.need).to_owned(), code(&named(&hosts)), code(&need.reasons())]);
    }
    section
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
        section(&mut text, &reboots);
        let expected = "\nReboots: needed by 1 of 4 workers; 1 cannot tell\n  needed          w2: 57 is \
                        installed\\x1b\n  cannot be told  w3: no kernel\n  not needed      w1, w4: newest\n";
        assert_eq!(text, expected);
        assert_eq!(named(&["w"; 7]), "w, w, w, w, w and 2 others");
    }
}

//! Workers as they are named on a command line, by every command alike: a host, a pattern of hosts, or a label.
//!
//! One item is, in this order: the host that it spells exactly; after `label:` a label; and else a host, in
//! which `*` stands for any text and `?` for any one character. An address of IP version 6 may stand in
//! brackets, which mean nothing else. Several items add up.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::net::Ipv6Addr;
use std::str::FromStr;
use std::sync::Arc;

use super::CliError;
use crate::bucket::{Fleet, Host, Worker};
use crate::graph::{self, CompileOptions, RolloutGraph};
use crate::plan::suggest::{all_of, suggest};
use crate::plan::{Plan, Problem, Problems};
use crate::ssh::matches_pattern;

/// What stands before a label.
const LABEL: &str = "label:";

/// So many workers are listed to choose from.
const SHOWN: usize = 5;

/// One item of `--workers HOST,..`, as it was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HostPattern(String);

impl FromStr for HostPattern {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.trim().to_owned()))
    }
}

/// What an item means where it spells no host exactly.
enum Meaning<'i> {
    Label(&'i str),
    Host(&'i str),
}

impl HostPattern {
    /// The workers with a label.
    pub(super) fn label(label: &str) -> Self {
        Self(format!("{LABEL}{}", label.trim()))
    }

    /// As it was typed, without blanks around it.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    fn meaning(&self) -> Meaning<'_> {
        match self.0.strip_prefix(LABEL) {
            Some(label) => Meaning::Label(label.trim()),
            None => Meaning::Host(without_brackets(&self.0)),
        }
    }

    /// Which of these it names by its host: as it is spelled, or another spelling of its address.
    fn named(&self, known: &[Known<'_>]) -> Option<usize> {
        let host = without_brackets(&self.0);
        let spelled = |text: &str| known.iter().position(|worker| worker.host == text);
        let address = |host: &str| host.parse::<Ipv6Addr>().ok();
        spelled(&self.0).or_else(|| spelled(host)).or_else(|| {
            let wanted = address(host)?;
            known.iter().position(|worker| address(without_brackets(worker.host)) == Some(wanted))
        })
    }

    /// It can mean several workers, so that only who knows them can say which.
    pub(super) fn is_pattern(&self) -> bool {
        match self.meaning() {
            Meaning::Label(_) => true,
            Meaning::Host(host) => is_wild(host),
        }
    }

    /// Which of these it means.
    fn meant(&self, known: &[Known<'_>]) -> Vec<usize> {
        if let Some(named) = self.named(known) {
            return vec![named];
        }
        let those = |means: &dyn Fn(&Known<'_>) -> bool| -> Vec<usize> {
            (0..known.len()).filter(|at| means(&known[*at])).collect()
        };
        match self.meaning() {
            Meaning::Label(label) => {
                let label = label.to_lowercase();
                those(&|worker| worker.labels.iter().any(|carried| matches_pattern(&label, carried)))
            }
            Meaning::Host(host) if is_wild(host) => those(&|worker| matches_pattern(host, worker.host)),
            Meaning::Host(_) => Vec::new(),
        }
    }
}

fn without_brackets(host: &str) -> &str {
    host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host)
}

fn is_wild(text: &str) -> bool {
    text.contains(['*', '?'])
}

/// A worker that can be named.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known<'w> {
    pub(super) host: &'w str,
    pub(super) labels: &'w BTreeSet<String>,
}

impl<'w> Known<'w> {
    /// One of which only the host is known.
    pub(super) fn without_labels(host: &'w str) -> Self {
        static NONE: BTreeSet<String> = BTreeSet::new();
        Self { host, labels: &NONE }
    }
}

impl<'w> From<&'w Worker> for Known<'w> {
    fn from(worker: &'w Worker) -> Self {
        Self { host: worker.host.as_str(), labels: &worker.labels }
    }
}

/// Whose workers are named, for what is said about one that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// The bucket's.
    Bucket,
    /// The bucket's, of which some are shown.
    Shown,
    /// Those that a plan selects.
    Plan,
    /// Those of a stored run.
    Run,
    /// Those of a stored run that have failed.
    Failed,
}

/// The hosts that the items mean, each once and in the order of `known`; no item at all means nobody.
///
/// # Errors
/// Every item that means nobody, with what was probably meant; a list that names nothing, which is what a script
/// gives whose variable is empty.
pub(super) fn choose<'w>(
    items: &[HostPattern],
    known: &[Known<'w>],
    whose: Whose,
) -> Result<Vec<&'w str>, CliError> {
    not_blank(items)?;
    let mut chosen = BTreeSet::new();
    let mut problems = Problems::new();
    for item in items.iter().filter(|item| !item.0.is_empty()) {
        let meant = item.meant(known);
        if meant.is_empty() {
            problems.push(nobody(item, known, whose));
        }
        chosen.extend(meant);
    }
    match problems.is_empty() {
        true => Ok(chosen.into_iter().map(|at| known[at].host).collect()),
        false => Err(problems.into()),
    }
}

/// A list that was given and names nothing, as `--workers "$HOSTS"` with an empty variable: neither all nor none is
/// what was meant.
///
/// # Errors
/// Wrong usage.
pub(super) fn not_blank(items: &[HostPattern]) -> Result<(), CliError> {
    super::operate::not_blank(&items.iter().map(|item| item.0.clone()).collect::<Vec<_>>(), "worker")
}

/// Those of a bucket's fleet.
///
/// # Errors
/// As [`choose`].
pub(super) fn of_fleet(items: &[HostPattern], fleet: &Fleet) -> Result<Vec<String>, CliError> {
    let known: Vec<Known<'_>> = fleet.workers.iter().map(Known::from).collect();
    Ok(owned(choose(items, &known, Whose::Bucket)?))
}

/// Those of a run, or of a plan on a fleet.
///
/// # Errors
/// As [`choose`].
pub(super) fn of_run(items: &[HostPattern], graph: &RolloutGraph) -> Result<Vec<String>, CliError> {
    Ok(owned(choose(items, &targets(graph), Whose::Run)?))
}

/// Those of a run that have failed; a host that is named is left for the run to judge.
///
/// # Errors
/// As [`choose`], of patterns.
pub(super) fn of_failed(
    items: &[HostPattern],
    graph: &RolloutGraph,
    failed: &[&str],
) -> Result<Vec<String>, CliError> {
    let all = targets(graph);
    let (mut hosts, patterns) = told_apart(items, &all)?;
    let failed: Vec<Known<'_>> = all.into_iter().filter(|worker| failed.contains(&worker.host)).collect();
    if !patterns.is_empty() {
        hosts.extend(owned(choose(&patterns, &failed, Whose::Failed)?));
    }
    let mut seen = BTreeSet::new();
    hosts.retain(|host| seen.insert(host.clone()));
    Ok(hosts)
}

/// The hosts of a list without patterns, which is left for others to judge.
///
/// # Errors
/// It names nothing.
pub(super) fn as_typed(items: &[HostPattern]) -> Result<Vec<String>, CliError> {
    Ok(told_apart(items, &[])?.0)
}

/// The hosts to which `--workers` narrows a plan; `None`: it was not given. Patterns mean workers that the plan
/// selects; whether it selects a host that is named is left to the plan's compiler.
///
/// # Errors
/// As [`choose`], and what is wrong with the plan on this fleet.
pub(super) fn narrow(
    items: &[HostPattern],
    plan: &Arc<Plan>,
    fleet: &Arc<Fleet>,
) -> Result<Option<Vec<String>>, CliError> {
    let known: Vec<Known<'_>> = fleet.workers.iter().map(Known::from).collect();
    let (mut hosts, patterns) = told_apart(items, &known)?;
    if !patterns.is_empty() {
        // When workers may be started says nothing of which.
        let mut at_any_time = Plan::clone(plan);
        at_any_time.rollout.freeze = None;
        let graph = graph::compile(&Arc::new(at_any_time), fleet, &CompileOptions::default())?;
        hosts.extend(owned(choose(&patterns, &targets(&graph), Whose::Plan)?));
    }
    Ok((!items.is_empty()).then_some(hosts))
}

/// Those of a bucket whose catalog may know more workers than `known`: a host that is not among these is left for it
/// to judge. `None`: no list was given.
///
/// # Errors
/// As [`choose`], of patterns; what cannot be a host.
pub(super) fn of_catalog(items: &[HostPattern], known: &[Known<'_>]) -> Result<Option<Vec<Host>>, CliError> {
    let (mut names, patterns) = told_apart(items, known)?;
    if !patterns.is_empty() {
        names.extend(owned(choose(&patterns, known, Whose::Bucket)?));
    }
    let mut seen = BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    super::operate::hosts(&names)
}

/// The hosts that are named, as `known` spells them, and the patterns.
fn told_apart(
    items: &[HostPattern],
    known: &[Known<'_>],
) -> Result<(Vec<String>, Vec<HostPattern>), CliError> {
    not_blank(items)?;
    let (mut names, mut patterns) = (Vec::new(), Vec::new());
    for item in items.iter().filter(|item| !item.0.is_empty()) {
        match item.named(known) {
            Some(at) => names.push(known[at].host.to_owned()),
            None if item.is_pattern() => patterns.push(item.clone()),
            None => names.push(without_brackets(&item.0).to_owned()),
        }
    }
    Ok((names, patterns))
}

fn targets(graph: &RolloutGraph) -> Vec<Known<'_>> {
    let worker = |target| Known::from(graph.fleet.worker(graph.target(target).worker));
    graph.target_indices().map(worker).collect()
}

fn owned(hosts: Vec<&str>) -> Vec<String> {
    hosts.into_iter().map(str::to_owned).collect()
}

/// What is said of an item that means nobody.
fn nobody(item: &HostPattern, known: &[Known<'_>], whose: Whose) -> Problem {
    let (of, list) = match whose {
        Whose::Bucket | Whose::Shown => ("", "`maand cat workers` shows them with their labels"),
        Whose::Plan => (" that the plan selects", "`maand plan show` says whom the plan selects"),
        Whose::Run => (" of this run", "`maand plan status` shows its workers"),
        Whose::Failed => (" that has failed in this run", "`maand plan status` shows its workers"),
    };
    let code = match whose {
        Whose::Bucket | Whose::Plan => "maand::unknown_worker",
        Whose::Shown => "maand::cat::unknown",
        Whose::Run | Whose::Failed => "maand::run::unknown_worker",
    };
    match item.meaning() {
        meaning if known.is_empty() => {
            let what = match meaning {
                Meaning::Label(label) => format!("with the label `{label}`"),
                Meaning::Host(host) => format!("`{host}`"),
            };
            Problem::error(code, format!("there is no worker {what}: there is none{of} at all")).help(list)
        }
        Meaning::Label(label) => {
            let labels: BTreeSet<&str> =
                known.iter().flat_map(|worker| worker.labels.iter().map(String::as_str)).collect();
            let message = format!("no worker{of} has the label `{label}`");
            let help = match suggest(&label.to_lowercase(), labels.iter().copied()) {
                Some(near) => format!("did you mean `{LABEL}{near}`?"),
                None => format!("the labels are {}; {list}", some(labels.into_iter())),
            };
            Problem::error("maand::unknown_label", message).help(help)
        }
        Meaning::Host(host) if is_wild(host) => {
            let near = alike(host, known);
            let help = format!("there are, for example, {}; {list}", some(near.into_iter()));
            Problem::error(code, format!("no worker{of} matches `{host}`")).help(help)
        }
        Meaning::Host(host) => {
            let message = match whose {
                Whose::Bucket | Whose::Shown => format!("there is no worker `{host}`"),
                Whose::Plan => format!("`{host}` is not a worker that the plan selects"),
                Whose::Run | Whose::Failed => format!("`{host}` is not a worker of this run"),
            };
            let is_label = known.iter().any(|worker| worker.labels.contains(&host.to_lowercase()));
            let help = match suggest(host, known.iter().map(|worker| worker.host)) {
                _ if is_label => format!("did you mean `{LABEL}{host}`, the workers with that label?"),
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("{list}; hosts are written as in workers.json"),
            };
            Problem::error(code, message).help(help)
        }
    }
}

/// Workers whose host begins as the pattern does, as far as any does.
fn alike<'w>(pattern: &str, known: &[Known<'w>]) -> Vec<&'w str> {
    let literal = pattern.split(['*', '?']).next().unwrap_or_default();
    let mut ends: Vec<usize> = literal.char_indices().map(|(at, _)| at).collect();
    ends.push(literal.len());
    let begin = |end: &usize| -> Vec<&'w str> {
        let hosts = known.iter().map(|worker| worker.host);
        hosts.filter(|host| host.starts_with(&literal[..*end])).collect()
    };
    ends.iter().rev().map(begin).find(|found| !found.is_empty()).unwrap_or_default()
}

/// The first of them, and how many more.
fn some<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    let more = names.len().saturating_sub(SHOWN);
    let names: Vec<&str> = names.take(SHOWN).collect();
    match more {
        0 => all_of(names),
        more => format!("`{}` and {more} more", names.join("`, `")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(of: &[&str]) -> BTreeSet<String> {
        of.iter().map(|label| (*label).to_owned()).collect()
    }

    /// What a list means among some workers, or the messages and the help of what it does not.
    fn chosen(list: &str, whose: Whose) -> Result<Vec<String>, String> {
        let (api, db) = (labels(&["worker", "api"]), labels(&["worker", "db"]));
        let known = [
            ("10.0.0.1", &api),
            ("10.0.0.2", &db),
            ("10.0.0.10", &api),
            ("db-1.example", &db),
            ("2001:db8::1", &db),
            ("label:odd", &db),
        ]
        .map(|(host, labels)| Known { host, labels });
        let items: Vec<HostPattern> = list.split(',').map(|item| item.parse().unwrap()).collect();
        choose(&items, &known, whose).map(owned).map_err(|error| {
            let said = |problem: &Problem| format!("{problem}: {}", problem.help.as_deref().unwrap());
            error.problems().into_iter().map(said).collect::<Vec<_>>().join("\n")
        })
    }

    #[test]
    fn an_item_is_a_host_a_label_or_a_pattern() {
        for (list, expected) in [
            ("10.0.0.1", &["10.0.0.1"][..]),
            (" 10.0.0.2 , 10.0.0.1,,10.0.0.2", &["10.0.0.1", "10.0.0.2"]),
            ("10.0.0.1*", &["10.0.0.1", "10.0.0.10"]),
            ("10.0.0.?", &["10.0.0.1", "10.0.0.2"]),
            ("*.example", &["db-1.example"]),
            ("label:API", &["10.0.0.1", "10.0.0.10"]),
            ("label: a*,db-1.example", &["10.0.0.1", "10.0.0.10", "db-1.example"]),
            // Exactly as it is spelled comes first.
            ("label:odd", &["label:odd"]),
            ("2001:db8::1", &["2001:db8::1"]),
            ("[2001:db8::1]", &["2001:db8::1"]),
            ("[2001:DB8:0::1]", &["2001:db8::1"]),
            ("[2001:db8::*]", &["2001:db8::1"]),
            ("2001:*", &["2001:db8::1"]),
        ] {
            assert_eq!(chosen(list, Whose::Bucket).unwrap(), expected, "{list}");
        }
        assert_eq!(chosen("*", Whose::Bucket).unwrap().len(), 6);
    }

    #[test]
    fn what_means_nobody_is_said_with_what_was_meant() {
        for (list, whose, expected) in [
            ("10.0.0.3", Whose::Bucket, "there is no worker `10.0.0.3`: did you mean `10.0.0.1`?"),
            ("10.0.0.3", Whose::Run, "`10.0.0.3` is not a worker of this run: did you mean `10.0.0.1`?"),
            (
                "api",
                Whose::Bucket,
                "there is no worker `api`: did you mean `label:api`, the workers with that label?",
            ),
            ("label:apj", Whose::Run, "no worker of this run has the label `apj`: did you mean `label:api`?"),
            (
                "label:xyzzy",
                Whose::Bucket,
                "no worker has the label `xyzzy`: the labels are `api`, `db` and `worker`; `maand cat workers` shows \
                 them with their labels",
            ),
            (
                "10.0.1.*",
                Whose::Plan,
                "no worker that the plan selects matches `10.0.1.*`: there are, for example, `10.0.0.1`, `10.0.0.2` \
                 and `10.0.0.10`; `maand plan show` says whom the plan selects",
            ),
            // Brackets are an address's, not a choice of characters.
            ("10.0.0.[12]", Whose::Bucket, "there is no worker `10.0.0.[12]`: did you mean `10.0.0.1`?"),
            (
                "10.0.0.1,nosuchhost",
                Whose::Bucket,
                "there is no worker `nosuchhost`: `maand cat workers` shows them with their labels; hosts are written as in workers.json",
            ),
            (
                "label:,10.0.0.9",
                Whose::Bucket,
                "no worker has the label ``: the labels are `api`, `db` and `worker`; `maand cat workers` shows them with their labels\nthere is no worker `10.0.0.9`: did you mean `10.0.0.1`?",
            ),
        ] {
            assert_eq!(chosen(list, whose).unwrap_err(), expected, "{list}");
        }
    }

    #[test]
    fn a_list_that_names_nothing_is_an_error() {
        for blank in ["", " , "] {
            let items: Vec<HostPattern> = blank.split(',').map(|item| item.parse().unwrap()).collect();
            assert_eq!(choose(&items, &[], Whose::Bucket).unwrap_err().exit, super::super::Exit::Usage);
        }
        assert!(choose(&[], &[], Whose::Bucket).unwrap().is_empty());
        let error = choose(&[HostPattern::label("api")], &[], Whose::Failed).unwrap_err();
        let message =
            "there is no worker with the label `api`: there is none that has failed in this run at all";
        assert_eq!(error.problems()[0].message, message);
    }
}

//! Reads what is compared: a plan for the bucket's fleet of this moment, a reviewed plan with the fleet that it was
//! reviewed for, or a run with the fleet that it began with.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use super::super::expect::expected;
use super::super::read::{Given, read_given, shown_name};
use super::super::show::{choose_fleet, look_at_pending};
use super::super::simulate::Durations;
use super::DiffArgs;
use crate::bucket::Bucket;
use crate::catalog::PendingChanges;
use crate::cli::{CliError, Context};
use crate::compare::Outline;
use crate::graph::{self, RolloutGraph};
use crate::plan::{self, Plan, Problem, Problems, Severity, Source, code};
use crate::policy::{self, Forecast};
use crate::review::Document;
use crate::run::{RunReader, read_files};

/// The newest run.
const LAST: &str = "last";

/// One of the two.
pub(super) struct Side {
    /// `plan`, `reviewed plan` or `run`.
    pub(super) what: &'static str,
    /// The file, or the run.
    pub(super) name: String,
    pub(super) outline: Outline,
    /// The file that it was read from, where that is a reviewed one.
    pub(super) reviewed: Option<Document>,
}

/// What a side was read as.
struct Read {
    what: &'static str,
    name: String,
    plan: Arc<Plan>,
    scripts: BTreeMap<String, String>,
    /// `None`: it could not be compiled for a fleet.
    graph: Option<Arc<RolloutGraph>>,
    /// What its deploys carry out besides; `None`: that is not known.
    pending: Option<PendingChanges>,
    reviewed: Option<Document>,
}

/// What a side can be.
enum Named {
    Plan(Arc<Plan>),
    Other(Box<Read>),
}

/// Both sides, and what could not be compared.
///
/// # Errors
/// One of them cannot be read; the new one cannot be compiled for its fleet.
pub(super) fn read_both(args: &DiffArgs, context: &Context) -> Result<(Side, Side, Vec<String>), CliError> {
    if args.old == "-" && args.new == "-" {
        let help = "name a file for one of them; `<(git show main:plan.yaml)` is one, too";
        return Err(CliError::usage("both plans cannot be read from standard input", help));
    }
    let mut notes = Vec::new();
    let mut unused = args.set.clone();
    let new = match named(&args.new, args, &mut unused, context)? {
        Named::Other(read) => *read,
        Named::Plan(plan) => on_fleet(plan, args, context, &mut notes)?,
    };
    let old = match named(&args.old, args, &mut unused, context)? {
        Named::Other(read) => *read,
        Named::Plan(plan) => {
            let mut own = Vec::new();
            match on_fleet(Arc::clone(&plan), args, context, &mut own) {
                Ok(read) => {
                    notes.extend(own);
                    read
                }
                Err(error) => {
                    let why = error.problems().first().map(|problem| problem.to_string()).unwrap_or_default();
                    notes.push(format!(
                        "the old plan cannot be compiled for the fleet as it is now, so workers, order, numbers and \
                         times are not compared: {why}"
                    ));
                    Read::of_plan(plan)
                }
            }
        }
    };
    if let Some((name, _)) = unused.first() {
        let message = format!("`--set {name}=..`: neither plan has a variable `{name}`");
        return Err(CliError::usage(message, "check its name below `vars:` of the plans"));
    }
    // The same figures for both: what differs is then the plans' doing.
    let durations = Durations::learnt(&new.plan, context);
    if let Some(graph) = &new.graph {
        let never = policy::feasibility(graph);
        let errors = never.iter().filter(|problem| problem.severity == Severity::Error);
        notes.extend(errors.map(|problem| format!("the new plan can never be carried out: {problem}")));
    }
    Ok((side(old, &durations), side(new, &durations), notes))
}

impl Read {
    /// A plan alone.
    fn of_plan(plan: Arc<Plan>) -> Self {
        let name = plan.source.name().to_owned();
        Self {
            what: "plan",
            name,
            plan,
            scripts: BTreeMap::new(),
            graph: None,
            pending: None,
            reviewed: None,
        }
    }
}

fn side(read: Read, durations: &Durations) -> Side {
    let Read { what, name, plan, scripts, graph, pending, reviewed } = read;
    let mut outline = match &graph {
        None => Outline::of_plan(&plan, &scripts),
        Some(graph) => {
            let forecast = Forecast::of(graph);
            let on_paper = forecast.expected.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
            let simulated = expected(graph, durations).and_then(|run| u64::try_from(run.total_ms).ok());
            Outline::of_graph(graph, &scripts, &forecast, on_paper.and(simulated.or(on_paper)))
        }
    };
    outline.pending = pending.as_ref().map(words_of);
    Side { what, name, outline, reviewed }
}

/// What a side is, by what was typed.
fn named(
    text: &str,
    args: &DiffArgs,
    unused: &mut Vec<(String, String)>,
    context: &Context,
) -> Result<Named, CliError> {
    if let Some(run) = as_run(text, context)? {
        return Ok(Named::Other(Box::new(run)));
    }
    match read_given(text)? {
        Given::Plan(source) => Ok(Named::Plan(parse(&source, &args.set, unused)?)),
        Given::Reviewed(reviewed) => Ok(Named::Other(Box::new(Read {
            what: "reviewed plan",
            name: shown_name(text).to_owned(),
            plan: Arc::clone(reviewed.plan()),
            scripts: reviewed.scripts(),
            graph: Some(Arc::clone(reviewed.graph())),
            pending: reviewed.document().inputs.pending.clone(),
            reviewed: Some(reviewed.document().clone()),
        }))),
    }
}

/// A run, if that is what is named. A file of that name wins; `./last` is always a file.
fn as_run(name: &str, context: &Context) -> Result<Option<Read>, CliError> {
    if !looks_like_a_run(name) || fs::symlink_metadata(name).is_ok() {
        return Ok(None);
    }
    let bucket = Bucket::find(context.bucket.as_deref())?;
    let run = RunReader::open(&bucket, (name != LAST).then_some(name))?;
    Ok(Some(Read {
        what: "run",
        name: run.id.to_string(),
        plan: Arc::clone(&run.graph.plan),
        scripts: run.header.scripts.clone(),
        graph: Some(Arc::clone(&run.graph)),
        pending: None,
        reviewed: None,
    }))
}

/// By job, with what it becomes, so that other content is another text; and what the last build has not seen.
fn words_of(pending: &PendingChanges) -> BTreeMap<String, String> {
    let mut words: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for change in &pending.jobs {
        let content = change.to.as_ref().map(|to| format!(" [{}]", to.hash.get(..12).unwrap_or(&to.hash)));
        let line = change.line() + &content.unwrap_or_default();
        words.entry(change.job.to_string()).or_default().push(line);
    }
    for job in &pending.unbuilt.jobs {
        words.entry(job.job.to_string()).or_default().push(format!("not built: {}", job.line()));
    }
    for worker in &pending.unbuilt.workers {
        words.entry(worker.host.to_string()).or_default().push(format!("not built: {}", worker.line()));
    }
    words.into_iter().map(|(name, lines)| (name, lines.join("\n"))).collect()
}

/// `20261130-0158-ba98`, or the beginning or the end of it.
fn looks_like_a_run(name: &str) -> bool {
    let is_part = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c) || c == '-';
    name == LAST || (name.len() >= 2 && name.chars().all(is_part))
}

/// A plan with those of `set` that it has; they are taken out of `unused`.
fn parse(
    source: &Source,
    set: &[(String, String)],
    unused: &mut Vec<(String, String)>,
) -> Result<Arc<Plan>, Problems> {
    let of = |known: &Plan| -> Vec<(String, String)> {
        set.iter().filter(|(name, _)| known.vars.contains_key(name)).cloned().collect()
    };
    let all = plan::parse(source, set);
    let unknown = |problems: &Problems| problems.iter().any(|problem| problem.code == code::UNKNOWN_OVERRIDE);
    let plan = match all {
        Err(problems) if unknown(&problems) => match plan::parse(source, &[]) {
            Ok(known) => plan::parse(source, &of(&known))?,
            Err(_) => return Err(problems),
        },
        all => all?,
    };
    unused.retain(|(name, _)| !plan.vars.contains_key(name));
    Ok(Arc::new(plan))
}

/// A plan for the fleet that it would be applied to at this moment.
fn on_fleet(
    plan: Arc<Plan>,
    args: &DiffArgs,
    context: &Context,
    notes: &mut Vec<String>,
) -> Result<Read, CliError> {
    let chosen = choose_fleet(&plan, &args.workers, context)?;
    let graph = graph::compile(&plan, &chosen.fleet, &chosen.options)?;
    let root = chosen.bucket.as_ref().map(|bucket| bucket.paths().root.clone());
    let scripts = read_files(&plan, root.as_deref()).unwrap_or_else(|problems| {
        let why = |problem: &Problem| format!("{}: {problem}", plan.source.name());
        notes.extend(problems.iter().map(why));
        BTreeMap::new()
    });
    let name = plan.source.name().to_owned();
    let pending = match &chosen.bucket {
        Some(bucket) => look_at_pending(bucket, &graph, context)?,
        None => None,
    };
    Ok(Read { what: "plan", name, plan, scripts, graph: Some(Arc::new(graph)), pending, reviewed: None })
}

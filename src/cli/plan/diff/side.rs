//! Reads what is compared: a plan for the bucket's fleet of this moment, or a run with the fleet that it began with.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use super::super::expect::expected;
use super::super::read::read_plan;
use super::super::show::choose_fleet;
use super::super::simulate::Durations;
use super::DiffArgs;
use crate::bucket::Bucket;
use crate::cli::{CliError, Context};
use crate::compare::Outline;
use crate::graph::{self, RolloutGraph};
use crate::plan::{self, Plan, Problem, Problems, Severity, Source, code};
use crate::policy::{self, Forecast};
use crate::run::{RunReader, read_scripts};

/// The newest run.
const LAST: &str = "last";

/// One of the two.
pub(super) struct Side {
    /// `plan` or `run`.
    pub(super) what: &'static str,
    /// The file, or the run.
    pub(super) name: String,
    pub(super) outline: Outline,
}

/// What a side was read as.
struct Read {
    what: &'static str,
    name: String,
    plan: Arc<Plan>,
    scripts: BTreeMap<String, String>,
    /// `None`: it could not be compiled for a fleet.
    graph: Option<Arc<RolloutGraph>>,
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
    let new = match as_run(&args.new, context)? {
        Some(run) => run,
        None => {
            let plan = parse(&read_plan(&args.new)?, &args.set, &mut unused)?;
            on_fleet(plan, args, context, &mut notes)?
        }
    };
    let old = match as_run(&args.old, context)? {
        Some(run) => run,
        None => {
            let plan = parse(&read_plan(&args.old)?, &args.set, &mut unused)?;
            match on_fleet(Arc::clone(&plan), args, context, &mut notes) {
                Ok(read) => read,
                Err(error) => {
                    let why = error.problems().first().map(|problem| problem.to_string()).unwrap_or_default();
                    notes.push(format!(
                        "the old plan cannot be compiled for the fleet as it is now, so workers, order, numbers and \
                         times are not compared: {why}"
                    ));
                    let name = plan.source.name().to_owned();
                    Read { what: "plan", name, plan, scripts: BTreeMap::new(), graph: None }
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

fn side(read: Read, durations: &Durations) -> Side {
    let Read { what, name, plan, scripts, graph } = read;
    let outline = match &graph {
        None => Outline::of_plan(&plan, &scripts),
        Some(graph) => {
            let forecast = Forecast::of(graph);
            let on_paper = forecast.expected.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
            let simulated = expected(graph, durations).and_then(|run| u64::try_from(run.total_ms).ok());
            Outline::of_graph(graph, &scripts, &forecast, on_paper.and(simulated.or(on_paper)))
        }
    };
    Side { what, name, outline }
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
    }))
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
    let scripts = read_scripts(&plan, root.as_deref()).unwrap_or_else(|problems| {
        let why = |problem: &Problem| format!("{}: {problem}", plan.source.name());
        notes.extend(problems.iter().map(why));
        BTreeMap::new()
    });
    let name = plan.source.name().to_owned();
    Ok(Read { what: "plan", name, plan, scripts, graph: Some(Arc::new(graph)) })
}

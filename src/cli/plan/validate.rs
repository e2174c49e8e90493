//! `maand plan validate`: every problem of every file, and nothing touched.

use clap::Args;
use schemars::JsonSchema;
use serde::Serialize;

use super::super::annotations;
use super::super::document::{self, Document};
use super::super::{CliError, Context, Exit, out};
use super::read::{Given, parse_set, read_given, shown_name};
use crate::bucket::Bucket;
use crate::plan::{self, Problem, ProblemJson, Problems, Source};
use crate::run::read_files;

/// Arguments of `maand plan validate`.
#[derive(Debug, Args)]
pub struct ValidateArgs {
    /// Plan files, or reviewed ones; `-` reads standard input
    #[arg(required = true, value_name = "PLAN", add = crate::cli::complete::plan_and_reviewed_files())]
    plans: Vec<String>,
    /// Set a variable of the plans; may be given more than once
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_set)]
    set: Vec<(String, String)>,
}

/// Checks each file; exit code 0 when all are valid, 3 when one is not.
pub(super) fn run(args: &ValidateArgs, context: &Context) -> Result<Exit, CliError> {
    if context.json {
        return as_json(args, context);
    }
    let mut all_valid = true;
    for path in &args.plans {
        let (problems, reviewed) = check(path, &args.set, context);
        annotations::write(problems.iter(), context.annotations);
        let valid = !problems.has_errors();
        all_valid &= valid;
        if !problems.is_empty() && (!valid || !context.quiet) {
            out::diagnose(&problems, context.colors);
        }
        if !context.quiet {
            let verdict = match (valid, problems.is_empty()) {
                (true, true) => reviewed.map_or("ok".to_owned(), |hash| {
                    format!(
                        "ok, a reviewed plan file, whole ({}); `maand plan apply` says whether it is stale",
                        &hash[..16]
                    )
                }),
                (true, false) => format!("ok, with {problems}"),
                (false, _) => problems.to_string(),
            };
            out::print(&format!("{}: {verdict}\n", shown_name(path)))?;
        }
    }
    Ok(if all_valid { Exit::Done } else { Exit::Invalid })
}

/// As JSON.
#[derive(Serialize, JsonSchema)]
pub(in crate::cli) struct ValidateDocument<'a> {
    /// In the order in which they were given.
    files: Vec<FileJson<'a>>,
}

/// What is to be said of one file.
#[derive(Serialize, JsonSchema)]
struct FileJson<'a> {
    /// As it was given.
    file: &'a str,
    /// It is a valid plan, or a reviewed plan file that is whole.
    ok: bool,
    /// SHA-256 that a reviewed plan file names; `null`: it is a plan.
    reviewed: Option<String>,
    /// Errors and warnings, by their place.
    problems: Vec<ProblemJson<'a>>,
}

impl Document for ValidateDocument<'_> {
    const NAME: &'static str = "plan-validate";
}

fn as_json(args: &ValidateArgs, context: &Context) -> Result<Exit, CliError> {
    let found: Vec<(Problems, Option<String>)> =
        args.plans.iter().map(|path| check(path, &args.set, context)).collect();
    found.iter().for_each(|(problems, _)| annotations::write(problems.iter(), context.annotations));
    let files = args.plans.iter().zip(&found).map(|(path, (problems, reviewed))| FileJson {
        file: path,
        ok: !problems.has_errors(),
        reviewed: reviewed.clone(),
        problems: problems.iter().map(Problem::to_json).collect(),
    });
    document::print(&ValidateDocument { files: files.collect() })?;
    Ok(if found.iter().any(|(problems, _)| problems.has_errors()) { Exit::Invalid } else { Exit::Done })
}

/// All problems of one file, warnings included; and the hash of one that was reviewed.
fn check(path: &str, set: &[(String, String)], context: &Context) -> (Problems, Option<String>) {
    match read_given(path) {
        Ok(Given::Plan(source)) => (check_plan(&source, set, context), None),
        Ok(Given::Reviewed(_)) if !set.is_empty() => {
            let message =
                format!("`{}` is a reviewed plan file, whose variables are fixed", shown_name(path));
            let problem = Problem::error("maand::review::set_given", message);
            (problem.help("leave `--set` out, or name the plan").into(), None)
        }
        Ok(Given::Reviewed(reviewed)) => (Problems::new(), Some(reviewed.sha256().to_owned())),
        Err(problem) => (problem.into(), None),
    }
}

fn check_plan(source: &Source, set: &[(String, String)], context: &Context) -> Problems {
    match plan::parse(source, set) {
        Ok(plan) => {
            let mut problems = plan.warnings.clone();
            problems.extend(super::show::check_against_bucket(&plan, context));
            let bucket = Bucket::find_if_any(context.bucket.as_deref()).ok().flatten();
            if let Err(scripts) =
                read_files(&plan, bucket.as_ref().map(|bucket| bucket.paths().root.as_path()))
            {
                problems.extend(scripts);
            }
            problems.sort();
            problems
        }
        Err(problems) => problems,
    }
}

//! `maand plan validate`: every problem of every file, and nothing touched.

use clap::Args;
use serde_json::json;

use super::super::{CliError, Context, Exit, out};
use super::read::{parse_set, read_plan};
use crate::plan::{self, Problem, Problems};

/// Arguments of `maand plan validate`.
#[derive(Debug, Args)]
pub struct ValidateArgs {
    /// Plan files; `-` reads standard input
    #[arg(required = true, value_name = "PLAN")]
    plans: Vec<String>,
    /// Sets a variable of the plans; may be given more than once
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_set)]
    set: Vec<(String, String)>,
}

/// Checks each file; exit code 0 when all are valid, 3 when one is not.
pub(super) fn run(args: &ValidateArgs, context: &Context) -> Result<Exit, CliError> {
    let mut files = Vec::new();
    let mut all_valid = true;
    for path in &args.plans {
        let problems = check(path, &args.set, context);
        let valid = !problems.has_errors();
        all_valid &= valid;
        if context.json {
            let problems: Vec<_> = problems.iter().map(Problem::to_json).collect();
            files.push(json!({ "file": path, "ok": valid, "problems": problems }));
            continue;
        }
        if !problems.is_empty() && (!valid || !context.quiet) {
            out::diagnose(&problems, context.colors);
        }
        if !context.quiet {
            let verdict = match (valid, problems.is_empty()) {
                (true, true) => "ok".to_owned(),
                (true, false) => format!("ok, with {problems}"),
                (false, _) => problems.to_string(),
            };
            out::print(&format!("{path}: {verdict}\n"))?;
        }
    }
    if context.json {
        out::print_json(&json!({ "schema": "maand.plan.validate/1", "files": files }))?;
    }
    Ok(if all_valid { Exit::Done } else { Exit::Invalid })
}

/// All problems of one file, warnings included.
fn check(path: &str, set: &[(String, String)], context: &Context) -> Problems {
    let source = match read_plan(path) {
        Ok(source) => source,
        Err(problem) => return problem.into(),
    };
    match plan::parse(&source, set) {
        Ok(plan) => {
            let mut problems = plan.warnings.clone();
            problems.extend(super::show::check_against_bucket(&plan, context));
            problems.sort();
            problems
        }
        Err(problems) => problems,
    }
}

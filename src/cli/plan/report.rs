//! `maand plan report`: a run as a page that needs nothing but itself.

use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};
use schemars::JsonSchema;
use serde::Serialize;

use super::super::document::{self, Document};
use super::super::{CliError, Context, Exit, out};
use super::carry_out::hints;
use super::page_file;
use crate::bucket::Bucket;
use crate::engine::{AttemptId, Fact, Outcome, Stamped};
use crate::graph::Lane;
use crate::journal::Mark;
use crate::page::{FailureOutput, RunPage, run_page};
use crate::report::{RunView, Suggestion, next_steps};
use crate::run::RunReader;
use crate::runner::now;

/// So many lines of a failed step's output are on the page.
const LINES: usize = 30;
/// And so many bytes of each.
const LINE_BYTES: usize = 400;
/// The output of so many failed workers is on the page.
const OUTPUTS: usize = 50;

/// Arguments of `maand plan report`.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// The run; the beginning or the end of its name will do [default: the newest]
    #[arg(value_name = "RUN", add = crate::cli::complete::run_names())]
    run: Option<String>,
    /// The file to write, in place of what is there; `-` writes to standard output
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    out: PathBuf,
}

/// As JSON.
#[derive(Serialize, JsonSchema)]
pub(in crate::cli) struct ReportDocument<'a> {
    /// The run's name.
    run: &'a str,
    /// The file that was written.
    file: &'a Path,
    /// Its size.
    bytes: usize,
}

impl Document for ReportDocument<'_> {
    const NAME: &'static str = "plan-report";
}

/// Runs the command.
pub(super) fn run(args: &ReportArgs, context: &Context) -> Result<Exit, CliError> {
    let bucket = Bucket::find(context.bucket.as_deref())?;
    let run = RunReader::open(&bucket, args.run.as_deref())?;
    let page = page(&run, context)?;
    if args.out.as_os_str() == "-" {
        out::print(&page)?;
        return Ok(Exit::Done);
    }
    page_file::write(&args.out, &page)?;
    if context.json {
        document::print(&ReportDocument { run: run.id.as_str(), file: &args.out, bytes: page.len() })?;
    } else if !context.quiet {
        out::print(&format!(
            "Wrote {} ({} KB): the page of run {}.\n",
            args.out.display(),
            page.len().div_ceil(1000),
            run.id
        ))?;
    }
    Ok(Exit::Done)
}

/// The page of a run as of now.
fn page(run: &RunReader, context: &Context) -> Result<String, CliError> {
    let facts = run.facts_after(0)?.collect::<Result<Vec<Stamped>, _>>()?;
    let view = run.view_of(&facts)?;
    let made_at = now();
    let timeline = run.timeline(&facts)?;
    let mark = run.newest_mark()?;
    let hash = mark.as_ref().map(Mark::hash);
    let outputs = outputs(run, &facts, &view)?;
    let hint = hints(context);
    let next = next_steps(&view, hint);
    Ok(run_page(&RunPage {
        view: &view,
        timeline: &timeline,
        graph: &run.graph,
        who: &run.header.who,
        program: &run.header.program,
        plan_text: &run.header.plan_text,
        plan_file: &run.header.plan_file,
        record: mark.zip(hash.as_deref()).map(|(mark, hash)| (mark.seq(), hash)),
        outputs: &outputs,
        next: &next,
        logs: &|host| hint(&Suggestion::ReadLogs { run: Some(run.id.as_str()), host }),
        made_at,
        forecast: None,
    }))
}

/// The end of what the last failed attempt of each failed worker wrote.
fn outputs(run: &RunReader, facts: &[Stamped], view: &RunView) -> Result<Vec<FailureOutput>, CliError> {
    let mut last: std::collections::BTreeMap<u32, (AttemptId, u32)> = std::collections::BTreeMap::new();
    let mut issued = std::collections::HashMap::new();
    for stamped in facts {
        match &stamped.fact {
            Fact::Issued { attempt, lane: Lane::Worker(target), step, .. } => {
                issued.insert(*attempt, (target.0, step.0));
            }
            Fact::Finished { attempt, outcome } if !matches!(outcome, Outcome::Ok { .. }) => {
                if let Some((target, step)) = issued.get(attempt) {
                    last.insert(*target, (*attempt, *step));
                }
            }
            _ => {}
        }
    }
    let mut outputs = Vec::new();
    for (target, (attempt, step)) in last {
        let worker = &view.workers[target as usize];
        if worker.error.is_none() || outputs.len() == OUTPUTS {
            continue;
        }
        for (host, output) in run.output(attempt)? {
            if host == worker.host {
                let step = run.graph.plan.steps[step as usize].id.clone();
                outputs.push(FailureOutput { host, step, text: last_lines(&output.text()) });
            }
        }
    }
    Ok(outputs)
}

/// The last lines of a text, each cut.
fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let first = lines.len().saturating_sub(LINES);
    let cut = |line: &&str| {
        let end = (0..=LINE_BYTES.min(line.len())).rev().find(|at| line.is_char_boundary(*at)).unwrap_or(0);
        line[..end].to_owned()
    };
    lines[first..].iter().map(cut).collect::<Vec<_>>().join("\n")
}

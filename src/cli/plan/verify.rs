//! `maand plan verify`: whether a bundle, or a run of the journal, is what was written, and came about by the rules.

use std::fmt::Write;
use std::path::Path;

use clap::Args;
use schemars::JsonSchema;
use serde::Serialize;

use super::super::document::{self, Document};
use super::super::{CliError, Context, Exit, out};
use crate::bucket::Bucket;
use crate::bundle::{Bundle, Check, Checked, Finding, NOT_KNOWN_OFFLINE, Verdict, verify};
use crate::engine::PublicRunState;
use crate::journal::{JournalError, RunHeader, RunText};
use crate::plan::{Problem, ProblemJson, Problems, counted};
use crate::run::open_run;

/// Arguments of `maand plan verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// A file of `maand plan export`; or a run of this bucket, or the beginning of its name
    #[arg(value_name = "FILE|RUN", value_hint = clap::ValueHint::FilePath)]
    what: String,
}

/// As JSON.
#[derive(Serialize, JsonSchema)]
pub(in crate::cli) struct VerifyDocument<'a> {
    /// Nothing is wrong.
    ok: bool,
    /// The file, or the run of this bucket's journal, as it was named.
    what: &'a str,
    /// The run; `null`, as what follows: the file is not whole.
    run: Option<String>,
    /// The plan's name.
    plan: Option<&'a str>,
    /// The bucket that the run belongs to.
    bucket_id: Option<&'a str>,
    /// Who began it, `user@host`.
    author: Option<&'a str>,
    /// The version of maand that began it.
    program: Option<&'a str>,
    /// The epoch of its newest controller.
    epoch: Option<u64>,
    /// Number of facts.
    facts: Option<usize>,
    /// How the run stands after them.
    state: Option<PublicRunState>,
    /// What was verified, in order; empty where the file is not whole.
    checks: &'a [Checked],
    /// All that is wrong with the facts.
    findings: &'a [Finding],
    /// All that is wrong with the file.
    problems: Vec<ProblemJson<'a>>,
    /// What cannot be known without asking workers.
    not_known: &'a [&'a str],
}

impl Document for VerifyDocument<'_> {
    const NAME: &'static str = "plan-verify";
}

/// Runs the command.
pub(super) fn run(args: &VerifyArgs, context: &Context) -> Result<Exit, CliError> {
    let (text, header) = match read(args, context)? {
        Ok(run) => run,
        Err(problems) => {
            if !context.json {
                return Err(CliError::new(Exit::Failed, problems));
            }
            let found = problems.iter().map(Problem::to_json).collect();
            document::print(&document_of(args, None, &Verdict::default(), found))?;
            return Ok(Exit::Failed);
        }
    };
    let verdict = verify(&text, &header);
    if context.json {
        document::print(&document_of(args, Some((&text, &header)), &verdict, Vec::new()))?;
    } else {
        if !context.quiet || !verdict.is_ok() {
            out::print(&describe(args, &text, &header, &verdict))?;
        }
    }
    Ok(if verdict.is_ok() { Exit::Done } else { Exit::Failed })
}

/// What is to be verified; `Err` within: the file is no whole bundle.
fn read(args: &VerifyArgs, context: &Context) -> Result<Result<(RunText, RunHeader), Problems>, CliError> {
    let path = Path::new(&args.what);
    // A run's name has no slash and no dot.
    if path.exists() || args.what.contains(['/', '.']) {
        return Ok(Bundle::read(path).map(|bundle| (bundle.text, bundle.header)));
    }
    let bucket = Bucket::find(context.bucket.as_deref())?;
    let (journal, id) = open_run(&bucket, Some(&args.what))?;
    let text = journal.text_of(&id)?;
    let header = serde_json::from_str(&text.header)
        .map_err(|source| JournalError::NewerHeader { run: id.clone(), source })?;
    Ok(Ok((text, header)))
}

fn document_of<'a>(
    args: &'a VerifyArgs,
    run: Option<(&'a RunText, &'a RunHeader)>,
    verdict: &'a Verdict,
    problems: Vec<ProblemJson<'a>>,
) -> VerifyDocument<'a> {
    let header = run.map(|(_, header)| header);
    VerifyDocument {
        ok: problems.is_empty() && verdict.is_ok(),
        what: &args.what,
        run: run.map(|(text, _)| text.id.to_string()),
        plan: header.map(|header| header.plan.as_str()),
        bucket_id: header.map(|header| header.fleet.bucket_id.as_str()),
        author: header.map(|header| header.who.as_str()),
        program: header.map(|header| header.program.as_str()),
        epoch: run.map(|(text, _)| text.epoch),
        facts: run.map(|(text, _)| text.facts.len()),
        state: verdict.state(),
        checks: &verdict.checks,
        findings: &verdict.findings,
        problems,
        not_known: NOT_KNOWN_OFFLINE,
    }
}

fn describe(args: &VerifyArgs, text: &RunText, header: &RunHeader, verdict: &Verdict) -> String {
    let mut shown = format!(
        "{}: run {} of plan {}, begun by {} with maand {}; {}, epoch {}\n",
        args.what,
        text.id,
        header.plan,
        header.who,
        header.program,
        counted(text.facts.len(), "fact"),
        text.epoch
    );
    for Checked { check, ok, what } in &verdict.checks {
        let (mark, what) = match ok {
            Some(true) => ("ok", what.as_str()),
            Some(false) => ("WRONG", ""),
            None => ("?", "not looked at, as what it rests on is wrong"),
        };
        let line = format!("  {mark:<6} {:<9} {what}", name(*check));
        let _ = writeln!(shown, "{}", line.trim_end());
        for finding in verdict.findings.iter().filter(|finding| finding.check == *check) {
            let _ = writeln!(shown, "         {}", finding.what);
        }
    }
    if let Some(state) = verdict.state() {
        let _ = writeln!(shown, "The run is {} after its last fact.", state.as_str());
    }
    shown.push_str("Not known offline:\n");
    for what in NOT_KNOWN_OFFLINE {
        let _ = writeln!(shown, "  - {what}");
    }
    shown
}

fn name(check: Check) -> &'static str {
    match check {
        Check::Chain => "chain",
        Check::Graph => "graph",
        Check::Legality => "legality",
        Check::Reboots => "reboots",
        Check::Limits => "limits",
    }
}

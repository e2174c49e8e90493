//! `maand plan logs`: what the steps of a run wrote, attempt by attempt, and by which command.

mod command;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use clap::Args;
use command::{CommandOf, command_of};
use schemars::JsonSchema;
use serde::Serialize;

use super::super::document::{self, Document};
use super::super::hosts::{self, HostPattern};
use super::super::pager::{Pager, PagerArgs};
use super::super::{CliError, Context, Exit};
use crate::bucket::Bucket;
use crate::engine::{AttemptId, Fact, Intent, Millis, Stamped};
use crate::graph::{Lane, RolloutGraph, StepIx};
use crate::journal::Output;
use crate::plan::{Problem, suggest, visible};
use crate::report::{Time, describe_elapsed, describe_outcome, purpose};
use crate::run::RunReader;
use crate::runner::watch_signals;

/// `--follow` reads what is new this often.
const POLL: Duration = Duration::from_millis(300);

/// Arguments of `maand plan logs`.
#[derive(Debug, Args)]
pub struct LogsArgs {
    /// The run; the beginning or the end of its name will do [default: the newest]
    #[arg(value_name = "RUN", add = crate::cli::complete::run_names())]
    run: Option<String>,
    /// Only the steps of these workers
    #[arg(long = "worker", visible_alias = "workers", value_delimiter = ',', value_name = "HOST,..")]
    #[arg(add = crate::cli::complete::hosts())]
    workers: Vec<HostPattern>,
    /// Only this step
    #[arg(long, value_name = "ID", add = crate::cli::complete::steps())]
    step: Option<String>,
    /// Only attempts that failed
    #[arg(long)]
    failed: bool,
    /// Of what an attempt has written only the last lines
    #[arg(long, value_name = "N")]
    tail: Option<usize>,
    /// Also show what running steps write, until the run ends or no controller is running it any more
    #[arg(long)]
    follow: bool,
    #[command(flatten)]
    pager: PagerArgs,
}

/// Runs the command.
pub(super) fn run(args: &LogsArgs, context: &Context) -> Result<Exit, CliError> {
    let bucket = Bucket::find(context.bucket.as_deref())?;
    let run = RunReader::open(&bucket, args.run.as_deref())?;
    let filter = Filter::new(args, &run.graph)?;
    let (sender, signals) = channel();
    if args.follow {
        let _ = watch_signals(sender.clone(), |name| name);
    }
    let mut log = Log {
        run: &run,
        filter,
        tail: args.tail,
        json: context.json,
        open: BTreeMap::new(),
        shown: BTreeMap::new(),
        commands: BTreeSet::new(),
        any: false,
    };
    // What is followed is watched, not read.
    let mut pager = if args.follow { Pager::none() } else { args.pager.start(context) };
    let mut last = 0;
    loop {
        let alive = args.follow && run.controller().is_some();
        for stamped in run.facts_after(last)? {
            let stamped = stamped?;
            last = stamped.seq;
            let text = log.take(&stamped)?;
            if !text.is_empty() && !pager.print(&text)? {
                return Ok(Exit::Done);
            }
        }
        if !alive {
            break;
        }
        if !context.json && !args.failed {
            pager.print(&log.running()?)?;
        }
        match signals.recv_timeout(POLL) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(_) | Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    drop(sender);
    if !args.failed {
        pager.print(&log.rest()?)?;
    }
    if !log.any && !context.json {
        pager.print(match args.failed {
            true => "No attempt of a matching step has failed.\n",
            false => "No matching step has been started.\n",
        })?;
    }
    pager.finish()?;
    Ok(Exit::Done)
}

/// Which attempts are shown.
struct Filter<'a> {
    /// `None`: those of all, and of `before` and `after`.
    workers: Option<Vec<String>>,
    step: Option<&'a str>,
    /// Only attempts that did not end well.
    failed: bool,
}

impl<'a> Filter<'a> {
    fn new(args: &'a LogsArgs, graph: &RolloutGraph) -> Result<Self, CliError> {
        let workers = hosts::of_run(&args.workers, graph)?;
        let workers = (!args.workers.is_empty()).then_some(workers);
        let filter = Self { workers, step: args.step.as_deref(), failed: args.failed };
        if let Some(step) = filter.step {
            let lists = [Lane::Before, Lane::After].map(|lane| graph.steps(lane));
            let all = lists.into_iter().flatten().chain(&graph.plan.steps);
            let mut ids: Vec<_> = all.map(|step| step.id.as_str()).collect();
            if !ids.contains(&step) {
                // A list may have a step with the id of one in another list.
                let mut seen = BTreeSet::new();
                ids.retain(|id| seen.insert(*id));
                let help = format!("its steps are {}", suggest::all_of(ids));
                let message = format!("`{step}` is not a step of this run's plan");
                return Err(Problem::error("maand::run::unknown_step", message).help(help).into());
            }
        }
        Ok(filter)
    }

    fn fits(&self, graph: &RolloutGraph, lane: Lane, step: StepIx) -> bool {
        let worker = match lane {
            Lane::Worker(target) => Some(graph.host(target)),
            Lane::Before | Lane::After => None,
        };
        let id = graph.steps(lane)[step.index()].id.as_str();
        let is_wanted = |wanted: &Vec<String>| wanted.iter().any(|host| worker == Some(host.as_str()));
        self.workers.as_ref().is_none_or(is_wanted) && self.step.is_none_or(|wanted| id == wanted)
    }
}

/// An attempt that was issued and has no outcome yet.
struct Issued {
    lane: Lane,
    step: StepIx,
    at: Millis,
    intent: Intent,
}

struct Log<'a> {
    run: &'a RunReader,
    filter: Filter<'a>,
    /// So many of the last lines of each output.
    tail: Option<usize>,
    json: bool,
    open: BTreeMap<AttemptId, Issued>,
    /// How many bytes of a running attempt's output were shown, by host.
    shown: BTreeMap<(AttemptId, String), u64>,
    /// Steps, and what for, whose command was shown: it is the same for each worker.
    commands: BTreeSet<(&'static str, StepIx, bool)>,
    any: bool,
}

impl Log<'_> {
    /// What running attempts have written since the last look, in whole lines.
    fn running(&mut self) -> Result<String, CliError> {
        let mut text = String::new();
        for (attempt, issued) in &self.open {
            let graph = &self.run.graph;
            let step = &graph.steps(issued.lane)[issued.step.index()].id;
            for (host, output) in self.run.output(*attempt)? {
                let shown = self.shown.entry((*attempt, host.clone())).or_default();
                let new = output.since(*shown);
                let Some(end) = new.iter().rposition(|byte| *byte == b'\n') else { continue };
                *shown = output.total() - (new.len() - end - 1) as u64;
                write_lines(&mut text, &format!("{host}  {step} "), &new[..end]);
                self.any = true;
            }
        }
        Ok(text)
    }

    /// What a fact adds to the log: attempts are shown when they have ended.
    fn take(&mut self, stamped: &Stamped) -> Result<String, CliError> {
        match &stamped.fact {
            Fact::Issued { attempt, lane, step, intent } => {
                if self.filter.fits(&self.run.graph, *lane, *step) {
                    let intent = intent.clone();
                    let issued = Issued { lane: *lane, step: *step, at: stamped.at, intent };
                    self.open.insert(*attempt, issued);
                }
                Ok(String::new())
            }
            Fact::Finished { attempt, outcome } => match self.open.remove(attempt) {
                Some(issued) => {
                    let (well, how) = describe_outcome(outcome);
                    if well && self.filter.failed {
                        return Ok(String::new());
                    }
                    self.show(*attempt, &issued, Some((stamped.at, well, how)))
                }
                None => Ok(String::new()),
            },
            _ => Ok(String::new()),
        }
    }

    /// Attempts that have not ended.
    fn rest(&mut self) -> Result<String, CliError> {
        let open = std::mem::take(&mut self.open);
        open.iter().map(|(attempt, issued)| self.show(*attempt, issued, None)).collect()
    }

    fn show(
        &mut self,
        attempt: AttemptId,
        issued: &Issued,
        end: Option<(Millis, bool, String)>,
    ) -> Result<String, CliError> {
        self.any = true;
        let outputs = self.run.output(attempt)?;
        let graph = &self.run.graph;
        let step = &graph.steps(issued.lane)[issued.step.index()];
        let list = graph.list(issued.lane, issued.step);
        let host = match issued.lane {
            Lane::Worker(target) => Some(graph.host(target)),
            Lane::Before | Lane::After => None,
        };
        let first = self.commands.insert((list, issued.step, issued.intent.is_undo()));
        let command = command_of(step, &issued.intent, &self.run.header.scripts);
        if self.json {
            return document::line(&AttemptDocument {
                r#type: "attempt_log",
                run: self.run.id.to_string(),
                attempt_id: attempt.0,
                list,
                host,
                step: &step.id,
                kind: step.kind.keyword(),
                purpose: purpose(&issued.intent),
                started_at: Time(issued.at),
                finished_at: end.as_ref().map(|(at, ..)| Time(*at)),
                ok: end.as_ref().map(|(_, well, _)| *well),
                result: end.as_ref().map(|(.., how)| how.as_str()),
                command: if first { command } else { command.map(CommandOf::without_script) },
                output: outputs.iter().map(|output| OutputJson::of(output, self.tail)).collect(),
            });
        }
        let who = host.unwrap_or(list);
        let what_for = match &issued.intent {
            Intent::Do { .. } | Intent::Reboot { .. } | Intent::AwaitBoot { .. } => String::new(),
            other => format!(" ({})", purpose(other).replace('_', " ")),
        };
        let how = match &end {
            None => "has not ended".to_owned(),
            Some((at, true, how)) => format!("{how} ({})", describe_elapsed(at - issued.at)),
            Some((at, false, how)) => format!("FAILED after {}: {how}", describe_elapsed(at - issued.at)),
        };
        let mut text = format!("{}  {who}  {}{what_for}: {how}\n", Time(issued.at).to_second(), step.id);
        if let Some(command) = command.filter(|_| first) {
            command.write(&mut text);
        }
        for (host, output) in &outputs {
            let of = if outputs.len() > 1 { format!("    {host} ") } else { "    ".to_owned() };
            let shown = self.shown.remove(&(attempt, host.clone())).unwrap_or(0);
            write_lines(&mut text, &of, last_lines(&output.since(shown), self.tail));
        }
        Ok(text)
    }
}

/// The last lines of what was written; `None`: all.
fn last_lines(bytes: &[u8], lines: Option<usize>) -> &[u8] {
    let Some(lines) = lines else { return bytes };
    let end = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let mut breaks = end.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n');
    match lines.checked_sub(1) {
        None => &bytes[bytes.len()..],
        Some(before) => breaks.nth(before).map_or(bytes, |(at, _)| &bytes[at + 1..]),
    }
}

fn write_lines(text: &mut String, head: &str, bytes: &[u8]) {
    for line in String::from_utf8_lossy(bytes).lines() {
        let line = visible(line.as_bytes());
        let _ = writeln!(text, "{head}| {line}");
    }
}

/// One attempt in JSON; `maand plan logs --output json` prints one in each line.
#[derive(Serialize, JsonSchema)]
pub(in crate::cli) struct AttemptDocument<'a> {
    /// Always `attempt_log`.
    r#type: &'static str,
    /// The run's name.
    run: String,
    /// Its number within the run.
    attempt_id: u64,
    /// `before`, `prepare`, `steps` or `after`.
    list: &'static str,
    /// The worker; `null` for `before` and `after`.
    host: Option<&'a str>,
    /// The step's id.
    step: &'a str,
    /// The step's kind.
    kind: &'static str,
    /// What for: `do`, `read_boot_id`, `reboot`, `await_boot`, or an undo.
    purpose: &'static str,
    /// When it was issued.
    started_at: Time,
    /// When it ended; `null`: it has not.
    finished_at: Option<Time>,
    /// It ended well.
    ok: Option<bool>,
    /// How it ended, in one sentence.
    result: Option<&'a str>,
    /// What it gave to a shell of the plan's text; secrets by name only.
    command: Option<CommandOf<'a>>,
    /// What it wrote, by host.
    output: Vec<OutputJson<'a>>,
}

/// What an attempt wrote on one host, or on the controller, in JSON.
#[derive(Serialize, JsonSchema)]
struct OutputJson<'a> {
    /// The worker; empty: on the controller.
    host: &'a str,
    /// Its beginning and its end; with `--tail` its last lines.
    text: String,
    /// How many bytes were written.
    total_bytes: u64,
    /// How many of these, between beginning and end, were not kept.
    left_out_bytes: u64,
}

impl<'a> OutputJson<'a> {
    fn of((host, output): &'a (String, Output), tail: Option<usize>) -> Self {
        let text = output.text();
        let from = text.len() - last_lines(text.as_bytes(), tail).len();
        Self {
            host,
            text: text[from..].to_owned(),
            total_bytes: output.total(),
            left_out_bytes: output.left_out(),
        }
    }
}

impl Document for AttemptDocument<'_> {
    const NAME: &'static str = "attempt-log";
}

#[cfg(test)]
mod tests {
    use super::last_lines;

    #[test]
    fn the_last_lines_are_whole() {
        let text = b"one\ntwo\n\nfour\n";
        for (lines, expected) in
            [(0, &b""[..]), (1, b"four\n"), (2, b"\nfour\n"), (3, b"two\n\nfour\n"), (4, text), (99, text)]
        {
            assert_eq!(last_lines(text, Some(lines)), expected, "{lines}");
        }
        assert_eq!(last_lines(b"one\ntwo", Some(1)), b"two");
        assert_eq!((last_lines(b"", Some(1)), last_lines(text, None)), (&b""[..], &text[..]));
    }
}

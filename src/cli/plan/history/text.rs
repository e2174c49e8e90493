//! The history of workers as text: a block for each run and worker, a line for each step.

use std::fmt::Write as _;

use unicode_width::UnicodeWidthStr;

use super::super::super::table::name;
use super::super::super::when::LocalClock;
use super::super::list::lasted;
use super::json::took;
use crate::engine::Millis;
use crate::plan::visible_within;
use crate::report::{ErrorView, describe_elapsed, describe_span, short_boot_ids};
use crate::run::{AttemptInRun, RunOnWorkers, StepInRun, WorkerInRun};

/// Bytes of a message in a line.
const SHOWN: usize = 500;

/// One run.
pub(super) fn of_run(on: &RunOnWorkers<'_>, clock: &LocalClock) -> String {
    let run = &on.run.run;
    let by = if on.by.is_empty() { String::new() } else { format!(", by {}", name(&on.by)) };
    let span = describe_span(lasted(run, on.run.state, clock.now));
    let mut text = format!(
        "{}  {}  {} ({span})  {}{by}\n",
        run.id,
        name(&run.plan),
        on.run.state.as_str(),
        clock.both(run.started_at),
    );
    if let Some(why) = &on.unreadable {
        let _ = writeln!(text, "  cannot be read: {}", line(&why.to_string()));
    }
    for worker in &on.workers {
        of_worker(&mut text, run.started_at, worker, clock);
    }
    text
}

fn of_worker(text: &mut String, run_started: Millis, worker: &WorkerInRun, clock: &LocalClock) {
    let span = took(worker.started_at, worker.finished_at)
        .map_or_else(String::new, |span| format!(" in {}", describe_elapsed(span)));
    let boots = match (&worker.boot_id_before, &worker.boot_id_after) {
        (Some(before), Some(after)) => {
            let (before, after) = short_boot_ids(before, after);
            format!(", boot {} -> {}", name(before), name(after))
        }
        _ => String::new(),
    };
    let _ = writeln!(text, "  {}  {}{span}{boots}", name(&worker.host), worker.state.describe());
    let names: Vec<String> = worker.steps.iter().map(name_of).collect();
    let width = names.iter().map(|name| name.width()).max().unwrap_or(0);
    let mut last = run_started;
    for (step, name) in worker.steps.iter().zip(&names) {
        let at = match clock.same_day(last, step.started_at) {
            true => clock.of_day(step.started_at),
            false => clock.second(step.started_at),
        };
        last = step.started_at;
        let pad = " ".repeat(width - name.width());
        let span = took(Some(step.started_at), step.finished_at).map_or("-".to_owned(), describe_elapsed);
        let _ = writeln!(text, "    {at}  {name}{pad}  {span:>6}  {}", line(&step.describe()));
        // What failed on the way is said, also where the step went well in the end.
        for attempt in step.attempts.iter().filter(|attempt| attempt.error.is_some()) {
            failed_attempt(text, step, attempt, clock);
        }
    }
    // Where no step says so.
    if let Some(error) = worker.error.as_ref().filter(|error| !is_told(worker, error)) {
        let _ = writeln!(text, "    {}", line(&error.message));
    }
    for act in &worker.acts {
        let by = act.by.as_ref().map_or_else(String::new, |by| format!(" by {}", name(by)));
        let _ = writeln!(text, "    {}  {}{by}", clock.second(act.at), act.what);
    }
}

fn is_told(worker: &WorkerInRun, error: &ErrorView) -> bool {
    let attempts = worker.steps.iter().flat_map(|step| &step.attempts);
    attempts.filter_map(|attempt| attempt.error.as_ref()).any(|told| told.message == error.message)
}

fn name_of(step: &StepInRun) -> String {
    let undo = if step.undo { "undo " } else { "" };
    let kind = if step.kind == step.id || step.kind.is_empty() {
        String::new()
    } else {
        format!(" ({})", name(&step.kind))
    };
    format!("{undo}{}{kind}", name(&step.id))
}

fn failed_attempt(text: &mut String, step: &StepInRun, attempt: &AttemptInRun, clock: &LocalClock) {
    let Some(error) = &attempt.error else { return };
    let when = match step.attempts.len() {
        1 => String::new(),
        _ => format!("{}  ", clock.of_day(attempt.started_at)),
    };
    let _ = writeln!(text, "      {when}{} [{}]", line(&error.message), name(&error.kind));
    let last =
        error.output.as_deref().and_then(|output| output.lines().rfind(|line| !line.trim().is_empty()));
    if let Some(last) = last {
        let _ = writeln!(text, "      | {}", line(last));
    }
}

/// A text of others in one line, and no longer than a line may be.
fn line(text: &str) -> String {
    visible_within(text, SHOWN).replace(['\n', '\t'], " ")
}

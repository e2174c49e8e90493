//! `plan status --timeline`: a run as a picture in text, once or until it ends.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use super::super::super::{CliError, Context, Exit, document, out};
use super::super::carry_out::{hints, is_live};
use super::POLL;
use super::document::TimelineDocument;
use crate::chart::{Format, Line, RunChart, run_chart};
use crate::engine::Stamped;
use crate::report::{Picture, RunView, next_steps, wrapped};
use crate::run::{RunError, RunReader};
use crate::runner::{now, watch_signals};

/// A picture whose time moves is drawn again so often.
const REDRAW: Duration = Duration::from_secs(1);
/// Drawing takes at most one part of so many of the time.
const SHARE: u32 = 10;

/// Shows it once.
pub(super) fn once(run: &RunReader, all: bool, context: &Context) -> Result<Exit, CliError> {
    let facts = run.facts_after(0)?.collect::<Result<Vec<Stamped>, _>>()?;
    let (view, _) = run.view()?;
    if context.json {
        let timeline = run.timeline(&facts)?;
        document::print(&TimelineDocument::of(&view, &timeline, &run.graph, &run.header.who))?;
        return Ok(Exit::Done);
    }
    out::print(&whole(run, &facts, &view, all, context)?)?;
    Ok(Exit::Done)
}

/// All of the picture, and what to type next.
fn whole(
    run: &RunReader,
    facts: &[Stamped],
    view: &RunView,
    all: bool,
    context: &Context,
) -> Result<String, CliError> {
    let format = Format { all, ..out::picture_format() };
    let timeline = run.timeline(facts)?;
    let chart = RunChart { view, timeline: &timeline, graph: &run.graph, who: &run.header.who };
    let lines = run_chart(&chart, &format);
    let mut text: String = lines.iter().map(|line| line.painted(context.live_colors) + "\n").collect();
    let next = next_steps(view, hints(context));
    if !next.is_empty() {
        text.push('\n');
        let next: String = next.iter().map(|step| format!("{step}\n")).collect();
        text.push_str(&out::stdout_columns().map_or(next.clone(), |columns| wrapped(&next, columns)));
    }
    Ok(text)
}

/// Draws it again until the run ends, or no controller is at work on it any more; without a terminal only then.
pub(super) fn watch(run: &RunReader, all: bool, context: &Context) -> Result<Exit, CliError> {
    let (sender, signals) = channel();
    // Without them Ctrl-C works as well, only less tidily.
    let _ = watch_signals(sender.clone(), |name| name);
    let mut picture = is_live(context).then(|| Picture::stdout(context.live_colors));
    let (mut view, mut last) = run.view()?;
    let mut facts =
        run.facts_after(0)?.take_while(|fact| is_at_most(fact, last)).collect::<Result<Vec<_>, _>>()?;
    let mut next_drawn = Instant::now();
    loop {
        // Asked before reading: what the controller wrote last is then read in this round.
        let alive = run.controller().is_some();
        for stamped in run.facts_after(last)? {
            let stamped = stamped?;
            last = stamped.seq;
            run.fold(&mut view, &stamped)?;
            facts.push(stamped);
        }
        view.set_orphaned(!alive);
        view.refresh(now());
        if !alive || view.state.is_final() {
            break;
        }
        if let Some(picture) = picture.as_mut().filter(|_| next_drawn <= Instant::now()) {
            let began = Instant::now();
            let timeline = run.timeline(&facts)?;
            let chart =
                RunChart { view: &view, timeline: &timeline, graph: &run.graph, who: &run.header.who };
            let usual = out::picture_format();
            picture.show(|columns, lines| {
                let format = Format { width: columns, height: Some(lines), all: false, ..usual };
                let painted = |line: Line| (line.text(), line.painted(true));
                run_chart(&chart, &format).into_iter().map(painted).collect()
            });
            next_drawn = Instant::now() + REDRAW.max(began.elapsed() * SHARE);
        }
        match signals.recv_timeout(POLL) {
            Err(RecvTimeoutError::Timeout) => {}
            // A signal ends the watching, not the run. (A sender is held here.)
            Ok(_) | Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    drop(sender);
    let text = whole(run, &facts, &view, all, context)?;
    match picture {
        Some(picture) => picture.close(&text),
        None => out::print(&text)?,
    }
    Ok(Exit::Done)
}

/// What was written since is read in the next round, and folded into the view too.
fn is_at_most(fact: &Result<Stamped, RunError>, last: u64) -> bool {
    fact.as_ref().map_or(true, |stamped| stamped.seq <= last)
}

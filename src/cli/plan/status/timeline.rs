//! `plan status --timeline`: a run as a picture in text, once or until it ends.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use super::super::super::{CliError, Context, Exit, document, out};
use super::super::carry_out::is_live;
use super::POLL;
use super::document::TimelineDocument;
use crate::chart::{Format, Line, RunChart, run_chart};
use crate::report::{Picture, wrapped};
use crate::run::FollowedRun;
use crate::runner::{now, watch_signals};

/// A picture whose time moves is drawn again so often.
const REDRAW: Duration = Duration::from_secs(1);
/// Drawing takes at most one part of so many of the time.
const SHARE: u32 = 10;

/// Shows it once.
pub(super) fn once(run: &FollowedRun, all: bool, context: &Context) -> Result<Exit, CliError> {
    if context.json {
        let page = run.page();
        document::print(&TimelineDocument::of(page.view, page.timeline, page.graph, page.who))?;
    } else {
        out::print(&whole(run, all, context))?;
    }
    Ok(Exit::Done)
}

/// What is drawn.
fn chart(run: &FollowedRun, format: &Format) -> Vec<Line> {
    let page = run.page();
    run_chart(
        &RunChart { view: page.view, timeline: page.timeline, graph: page.graph, who: page.who },
        format,
    )
}

/// All of the picture, and what to type next.
fn whole(run: &FollowedRun, all: bool, context: &Context) -> String {
    let lines = chart(run, &Format { all, ..out::picture_format() });
    let mut text: String = lines.iter().map(|line| line.painted(context.live_colors) + "\n").collect();
    let next: String = run.page().next.iter().map(|step| format!("{step}\n")).collect();
    if !next.is_empty() {
        text.push('\n');
        text.push_str(&out::stdout_columns().map_or(next.clone(), |columns| wrapped(&next, columns)));
    }
    text
}

/// Draws it again until the run ends, or no controller is at work on it any more; without a terminal only then.
pub(super) fn watch(run: &mut FollowedRun, all: bool, context: &Context) -> Result<Exit, CliError> {
    let (sender, signals) = channel();
    // Without them Ctrl-C works as well, only less tidily.
    let _ = watch_signals(sender.clone(), |name| name);
    let mut picture = is_live(context).then(|| Picture::stdout(context.live_colors));
    let mut next_drawn = Instant::now();
    loop {
        // Asked before reading: what the controller wrote last is then read in this round.
        let is_carried_out = run.reader().controller().is_some();
        run.look()?;
        run.tell(now())?;
        if !is_carried_out || run.view().state.is_final() {
            break;
        }
        if let Some(picture) = picture.as_mut().filter(|_| next_drawn <= Instant::now()) {
            let began = Instant::now();
            let usual = out::picture_format();
            picture.show(|columns, lines| {
                let format = Format { width: columns, height: Some(lines), all: false, ..usual };
                let painted = |line: Line| (line.text(), line.painted(true));
                chart(run, &format).into_iter().map(painted).collect()
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
    let text = whole(run, all, context);
    match picture {
        Some(picture) => picture.close(&text),
        None => out::print(&text)?,
    }
    Ok(Exit::Done)
}

//! `plan status --timeline`: a run as a picture in text, once or until it ends.

use std::sync::mpsc::{RecvTimeoutError, channel};

use super::super::super::{CliError, Context, Exit, document, out};
use super::super::carry_out::{hints, is_live};
use super::document::TimelineDocument;
use super::{POLL, StatusArgs};
use crate::bucket::Bucket;
use crate::chart::{Format, Line, RunChart, run_chart};
use crate::engine::Millis;
use crate::page::RunPage;
use crate::report::{Picture, wrapped};
use crate::run::{FollowedRun, News, RunError};
use crate::runner::{now, watch_signals};

/// A picture whose time moves is drawn again so often.
const REDRAW: Millis = 1_000;

/// Shows it once, or (`--watch`) until it ends.
pub(super) fn run(args: &StatusArgs, bucket: &Bucket, context: &Context) -> Result<Exit, CliError> {
    let open = || FollowedRun::open(bucket, args.run.as_deref(), hints(context), now());
    let mut run = open()?;
    if context.json {
        let RunPage { view, timeline, graph, who, .. } = run.page();
        document::print(&TimelineDocument::of(view, timeline, graph, who))?;
        return Ok(Exit::Done);
    }
    let picture = if args.watch { watch(&mut run, &open, context)? } else { None };
    let text = whole(&run, args.all, context);
    match picture {
        Some(picture) => picture.close(&text),
        None => out::print(&text)?,
    }
    Ok(Exit::Done)
}

/// All of the picture, and what to type next.
fn whole(run: &FollowedRun, all: bool, context: &Context) -> String {
    let page = run.page();
    let lines = run_chart(&chart(&page), &Format { all, ..out::picture_format() });
    let mut text: String = lines.iter().map(|line| line.painted(context.live_colors) + "\n").collect();
    if !page.next.is_empty() {
        let next: String = page.next.iter().map(|step| format!("{step}\n")).collect();
        text.push('\n');
        text.push_str(&out::stdout_columns().map_or(next.clone(), |columns| wrapped(&next, columns)));
    }
    text
}

fn chart<'a>(page: &RunPage<'a>) -> RunChart<'a> {
    RunChart { view: page.view, timeline: page.timeline, graph: page.graph, who: page.who }
}

/// Draws it again and again until the run ends, no controller is at work on it any more, or a signal comes; without a
/// terminal it only waits. What is on the terminal then.
fn watch(
    run: &mut FollowedRun,
    open: &dyn Fn() -> Result<FollowedRun, RunError>,
    context: &Context,
) -> Result<Option<Picture>, CliError> {
    let (sender, signals) = channel();
    // Without them Ctrl-C works as well, only less tidily.
    let _ = watch_signals(sender.clone(), |name| name);
    let mut picture: Option<Picture> = None;
    let mut drawn: Option<Millis> = None;
    loop {
        // Who carries it out is asked before its facts are read: what the controller wrote last is then read in this round.
        run.tell(now())?;
        let is_over = !run.is_carried_out();
        if run.look()? == News::OtherRecord {
            *run = open()?;
        }
        run.tell(now())?;
        if is_over || run.view().state.is_final() {
            break;
        }
        let at = now();
        let is_due = drawn.is_none_or(|drawn| !(drawn..drawn + REDRAW).contains(&at));
        if is_due && is_live(context) {
            let picture = picture.get_or_insert_with(|| Picture::stdout(context.live_colors));
            let (page, usual) = (run.page(), out::picture_format());
            picture.show(|columns, lines| {
                let format = Format { width: columns, height: Some(lines), all: false, ..usual };
                let painted = |line: Line| (line.text(), line.painted(true));
                run_chart(&chart(&page), &format).into_iter().map(painted).collect()
            });
            drawn = Some(at);
        }
        match signals.recv_timeout(POLL) {
            Err(RecvTimeoutError::Timeout) => {}
            // A signal ends the watching, not the run. (A sender is held here.)
            Ok(_) | Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    drop(sender);
    Ok(picture)
}

//! The result of a check as text.

use std::fmt::Write as _;

use super::super::show::sentence;
use super::{Made, Verdict};
use crate::check::{Checked, CutShort};
use crate::plan::{counted, visible_within};

/// Of more jobs or zones than this the first are shown.
const SHOWN: usize = 12;
/// The longest name that is shown whole.
const NAME: usize = 60;

/// Writing into a `String` cannot fail, so results of `writeln!` are dropped.
pub(super) fn render(made: &Made<'_>) -> String {
    let mut text = String::new();
    head(&mut text, made);
    match made.verdict {
        Verdict::Proven => proven(&mut text, made),
        Verdict::Broken => broken(&mut text, made),
        Verdict::NotExhausted => not_exhausted(&mut text, made),
    }
    text
}

fn head(text: &mut String, made: &Made<'_>) {
    let graph = made.graph;
    let synthetic = if graph.fleet.synthetic { " (made up)" } else { "" };
    let workers = counted(graph.targets.len(), "worker");
    let name = visible_within(&graph.plan.name, NAME);
    let _ = writeln!(
        text,
        "{name}: every order of ends and failures over {workers}{synthetic}; no host was contacted"
    );
}

fn size(checked: &Checked) -> String {
    format!("{} and {}", counted(checked.states, "state"), counted(checked.moves, "move"))
}

/// Which failures were tried.
fn failing(checked: &Checked) -> String {
    match checked.failures {
        0 => "where no worker fails".to_owned(),
        _ if checked.any_failures => "for any number of failures".to_owned(),
        failures => format!("for at most {}", counted(failures as usize, "failure")),
    }
}

fn proven(text: &mut String, made: &Made<'_>) {
    let checked = made.checked;
    let _ = writeln!(text, "\nProven {}: all was looked at ({})", failing(checked), size(checked));
    numbers(text, made);
    let _ = writeln!(
        text,
        "  budgets, spread, concurrency, waves and max_failures are kept; the rollout always comes to its end, or halts\n  \
         because of max_failures"
    );
    if made.graph.plan.prepares() > 0 {
        let _ = writeln!(text, "  nobody starts before all are prepared, or have failed to be");
    }
}

/// Each bound, and how near to it any order comes.
fn numbers(text: &mut String, made: &Made<'_>) {
    let Made { graph, checked, .. } = made;
    let (exposure, reached) = (&checked.exposure, &checked.reached);
    let near = |reached: u32, down: u32| {
        if reached == down {
            "; some order reaches it".to_owned()
        } else {
            format!("; no order was seen beyond {reached}")
        }
    };
    let run = &exposure.run;
    let _ = writeln!(text, "  all: {}{}", sentence(graph, " workers", run), near(reached.run, run.down));
    for (job, most) in exposure.jobs.iter().zip(&reached.jobs).take(SHOWN) {
        let name = visible_within(graph.fleet.job(job.job).name.as_str(), NAME);
        let _ =
            writeln!(text, "  {name}: {}{}", sentence(graph, "", &job.stake), near(*most, job.stake.down));
    }
    more(text, exposure.jobs.len(), "job");
    let tag = exposure.zones_by.as_ref().map_or("", |by| by.tag.as_str());
    for (zone, most) in exposure.zones.iter().zip(&reached.zones).take(SHOWN) {
        let name = format!("{} {}", visible_within(tag, NAME), visible_within(&zone.zone, NAME));
        let _ = writeln!(
            text,
            "  {name}: {}{}",
            sentence(graph, " workers", &zone.stake),
            near(*most, zone.stake.down)
        );
    }
    more(text, exposure.zones.len(), "zone");
}

fn more(text: &mut String, count: usize, what: &str) {
    if count > SHOWN {
        let _ = writeln!(
            text,
            "  ... {}; all of them: --output json",
            counted(count - SHOWN, &format!("more {what}"))
        );
    }
}

fn broken(text: &mut String, made: &Made<'_>) {
    let Some(broken) = &made.checked.broken else { return };
    let _ = writeln!(text, "\nA promise is broken: {}", visible_within(&broken.what, 8 * NAME));
    for (number, event) in (1..).zip(&broken.story) {
        let _ = writeln!(text, "  {number}. {}", visible_within(&event.describe(made.graph), 4 * NAME));
    }
    let _ = writeln!(text, "No shorter story breaks one ({}).", size(made.checked));
}

fn not_exhausted(text: &mut String, made: &Made<'_>) {
    let checked = made.checked;
    let why = match checked.cut_short {
        Some(CutShort::States) => "--states allows no more".to_owned(),
        Some(CutShort::Memory) => "--memory allows no more".to_owned(),
        _ if made.interrupted => "it was interrupted".to_owned(),
        _ => format!("{} are over (--seconds)", counted(made.seconds as usize, "second")),
    };
    let _ = writeln!(text, "\nNot all was looked at: {why}");
    let within = match checked.depth {
        1 => "one start or end of a worker".to_owned(),
        depth => format!("{depth} starts and ends of workers"),
    };
    let _ = writeln!(
        text,
        "  looked at: all that can happen within {within}, {} ({})",
        failing(checked),
        size(checked)
    );
    let _ = writeln!(text, "  no promise is broken there; what comes later is not known");
    let _ = writeln!(
        text,
        "\nThe bounds of `maand plan show` follow from the plan's limits and hold all the same; this is how near to them the search came:"
    );
    numbers(text, made);
}

//! A comparison as text. Long lists are shortened to what fits a screen or two, unless all of them is asked for.

use std::fmt::Write as _;

use super::{Compared, Side};
use crate::compare::{Change, Effect, Line, StepChange, StepHow, Workers, line_diff, ranges};
use crate::plan::{counted, visible, visible_line};
use crate::report::describe_span;

/// Of more ranges of hosts than this the first are shown.
const RANGES: usize = 12;
/// Of more items than this in one list the first are shown.
const ITEMS: usize = 30;
/// Of more lines than this in one text the first are shown.
const LINES: usize = 40;

/// How much of long lists is shown.
#[derive(Clone, Copy)]
struct Shown {
    all: bool,
}

impl Shown {
    /// The first of a list, and how many more there are.
    fn of<T>(self, items: &[T], most: usize) -> (&[T], usize) {
        let shown = if self.all { items.len() } else { items.len().min(most) };
        (&items[..shown], items.len() - shown)
    }
}

/// Writing into a `String` cannot fail, so results of `writeln!` are dropped.
pub(super) fn render(compared: &Compared, all: bool) -> String {
    let (diff, shown) = (&compared.diff, Shown { all });
    let mut text = String::new();
    for (which, side) in [("old", &compared.old), ("new", &compared.new)] {
        let _ = writeln!(text, "{which}  {}", describe(side));
    }
    for note in &compared.notes {
        let _ = writeln!(text, "note: {}", visible_line(note));
    }
    if !diff.different {
        let _ = writeln!(text, "\nNo difference in what they would do");
        return text;
    }
    if !diff.headline.is_empty() {
        let _ = writeln!(text, "\nWhat matters most");
        for line in &diff.headline {
            let _ = writeln!(text, "  {:<8}  {}", word(line.effect), line.render(one_line));
        }
    }
    changes(&mut text, "Plan", &diff.plan, shown);
    changes(&mut text, "Limits", &diff.limits, shown);
    if let Some(of) = &diff.workers {
        workers(&mut text, of, shown);
    }
    steps(&mut text, &diff.steps, shown);
    changes(&mut text, "Variables", &diff.vars, shown);
    changes(&mut text, "Jobs on workers that go down", &diff.jobs, shown);
    changes(&mut text, "May be down at once, at most", &diff.exposure, shown);
    changes(&mut text, "Pending in the workspace", &diff.pending, shown);
    if !diff.reviewed.is_empty() {
        let _ = writeln!(text, "\nBetween the two reviews");
        let (first, more) = shown.of(&diff.reviewed, ITEMS);
        for line in first {
            let _ = writeln!(text, "  {}", one_line(line));
        }
        rest(&mut text, more);
    }
    changes(&mut text, "Time", &diff.time.iter().map(in_words).collect::<Vec<_>>(), shown);
    text
}

/// `plan new.yaml: rolling-reboot on 12 of 14 workers`.
pub(super) fn describe(side: &Side) -> String {
    let on = match &side.outline.on_fleet {
        Some(on) => format!(" on {} of {}", on.workers.len(), counted(on.fleet as usize, "worker")),
        None => String::new(),
    };
    format!("{} {}: {}{on}", side.what, visible_line(&side.name), side.outline.plan)
}

fn word(effect: Effect) -> &'static str {
    match effect {
        Effect::Looser => "looser",
        Effect::Stricter => "stricter",
        Effect::Neutral => "",
    }
}

/// Times as spans.
pub(super) fn in_words(change: &Change) -> Change {
    let times = matches!(change.name.as_str(), "expected" | "longest");
    let side = |number: Option<u64>| match number {
        Some(number) if times => describe_span(i64::try_from(number).unwrap_or(i64::MAX)),
        Some(number) => number.to_string(),
        None => "no end".to_owned(),
    };
    Change { old: Some(side(change.old_number)), new: Some(side(change.new_number)), ..change.clone() }
}

/// What stands for a side that has none.
pub(super) const NONE: &str = "none";

fn changes(text: &mut String, title: &str, changes: &[Change], shown: Shown) {
    if changes.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n{title}");
    let (first, more) = shown.of(changes, ITEMS);
    for change in first {
        one(text, "  ", change, shown);
    }
    rest(text, more);
}

fn rest(text: &mut String, more: usize) {
    if more > 0 {
        let _ = writeln!(text, "  ... {more} more: --all shows them");
    }
}

/// In one line where it is one, else line by line.
fn one(text: &mut String, indent: &str, change: &Change, shown: Shown) {
    let effect = match change.effect {
        Effect::Neutral => String::new(),
        effect => format!("  ({})", word(effect)),
    };
    let name = one_line(&change.name);
    let is_long = |side: &Option<String>| side.as_ref().is_some_and(|side| side.contains('\n'));
    if !is_long(&change.old) && !is_long(&change.new) {
        let side = |side: &Option<String>| side.as_deref().map_or_else(|| NONE.to_owned(), one_line);
        let _ = writeln!(text, "{indent}{name}: {} -> {}{effect}", side(&change.old), side(&change.new));
        return;
    }
    let _ = writeln!(text, "{indent}{name}{effect}");
    let old = visible(change.old.as_deref().unwrap_or_default().as_bytes());
    let new = visible(change.new.as_deref().unwrap_or_default().as_bytes());
    let lines = line_diff(&old, &new);
    let (first, more) = shown.of(&lines, LINES);
    for line in first {
        let _ = match line {
            Line::Same(line) => writeln!(text, "{indent}    {line}"),
            Line::Old(line) => writeln!(text, "{indent}  - {line}"),
            Line::New(line) => writeln!(text, "{indent}  + {line}"),
            Line::LeftOut(lines) => writeln!(text, "{indent}    ... {} as before", counted(*lines, "line")),
        };
    }
    rest(text, more);
}

fn one_line(text: &str) -> String {
    const SHOWN: usize = 200;
    let line = visible_line(text);
    match line.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line,
    }
}

fn workers(text: &mut String, workers: &Workers, shown: Shown) {
    if workers.are_the_same() {
        return;
    }
    let _ = writeln!(text, "\nWorkers: {} -> {}", workers.old, workers.new);
    let lists = [("+", &workers.added), ("-", &workers.removed), ("moved:", &workers.moved)];
    for (mark, hosts) in lists.iter().filter(|(_, hosts)| !hosts.is_empty()) {
        let _ = writeln!(text, "  {mark} {}", in_ranges(hosts, shown));
    }
    let (first, more) = shown.of(&workers.changed, ITEMS);
    for change in first {
        let (old, new) = (one_line(&change.old), one_line(&change.new));
        let _ = writeln!(text, "  {}: {old} -> {new}: {}", change.what, in_ranges(&change.hosts, shown));
    }
    rest(text, more);
    let (first, more) = shown.of(&workers.waves, ITEMS);
    for wave in first {
        let side =
            |side: Option<u32>| side.map_or_else(|| NONE.to_owned(), |size| counted(size as usize, "worker"));
        let _ = writeln!(text, "  wave {}: {} -> {}", wave.number, side(wave.old), side(wave.new));
    }
    rest(text, more);
}

fn in_ranges(hosts: &[String], shown: Shown) -> String {
    let all = ranges(hosts.iter().map(String::as_str));
    let (first, more) = shown.of(&all, RANGES);
    let mut text = first.join(", ");
    if more > 0 {
        let _ = write!(text, ", ... {more} more: --all shows them");
    }
    text
}

/// What stands before a step.
pub(super) fn mark(how: StepHow) -> &'static str {
    match how {
        StepHow::Added => "+",
        StepHow::Removed => "-",
        StepHow::Changed => "~",
        StepHow::Moved => "moved:",
    }
}

fn steps(text: &mut String, steps: &[StepChange], shown: Shown) {
    if steps.is_empty() {
        return;
    }
    let _ = writeln!(text, "\nSteps");
    let (first, more) = shown.of(steps, ITEMS);
    for step in first {
        let from =
            step.renamed_from.as_deref().map(|from| format!(", was {}", one_line(from))).unwrap_or_default();
        let down = if step.disturbs { ", takes its worker down" } else { "" };
        let (mark, list, id, kind) = (mark(step.how), step.list, one_line(&step.id), step.kind);
        let _ = writeln!(text, "  {mark} {list}: {id} ({kind}{down}{from})");
        for field in &step.fields {
            match (step.how, field.old.as_ref().or(field.new.as_ref())) {
                (StepHow::Added | StepHow::Removed, Some(value)) if !value.contains('\n') => {
                    let _ = writeln!(text, "      {}: {}", one_line(&field.name), one_line(value));
                }
                _ => one(text, "      ", field, shown),
            }
        }
    }
    rest(text, more);
}

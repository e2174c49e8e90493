//! What matters most of a comparison, in a few lines: first what is looser, then who is touched, then what is done.

use schemars::JsonSchema;
use serde::Serialize;

use super::diff::{Change, Diff, Effect};
use super::settings::is_part;
use super::steps::{StepChange, StepHow};
use crate::plan::counted;

/// So many lines of one kind; of more their number.
const SHOWN: usize = 8;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Headline {
    /// What it means for safety.
    pub effect: Effect,
    /// In words, in our own ones: names of the plan's are in `about`.
    pub text: String,
    /// What of the plan or the fleet it is about, in this order; each stands for a `{}` of the text.
    pub about: Vec<String>,
}

impl Headline {
    fn new(effect: Effect, text: &str, about: &[&str]) -> Self {
        Self { effect, text: text.to_owned(), about: about.iter().map(|part| (*part).to_owned()).collect() }
    }

    /// The text, with what it is about put in as `quote` says.
    pub fn render(&self, quote: impl Fn(&str) -> String) -> String {
        let mut parts = self.text.split("{}");
        let mut shown = parts.next().unwrap_or_default().to_owned();
        for (part, about) in parts.zip(&self.about) {
            shown += &quote(about);
            shown += part;
        }
        shown
    }
}

pub(super) fn headline(diff: &Diff) -> Vec<Headline> {
    let mut lines = Vec::new();
    let of = |effect: Effect| {
        let limits = diff.limits.iter().filter(move |one| one.effect == effect).map(limit);
        let steps = diff.steps.iter().filter(move |one| one.effect == effect).flat_map(step);
        limits.chain(steps).collect::<Vec<_>>()
    };
    some(&mut lines, of(Effect::Looser), Effect::Looser, "more that is looser");
    let stake = |change: &Change| {
        let side = |side: &Option<String>| side.clone().unwrap_or_else(|| "none".to_owned());
        let about = [change.name.as_str(), &side(&change.old), &side(&change.new)];
        Headline::new(change.effect, "may be down at once, {}: {} is now {}", &about)
    };
    let more = diff.exposure.iter().filter(|one| one.effect == Effect::Looser).map(stake).collect();
    some(&mut lines, more, Effect::Looser, "more of which more may be down at once");
    if let Some(workers) = &diff.workers {
        let mut words = Vec::new();
        for (hosts, what) in [(&workers.added, "added"), (&workers.removed, "left out")] {
            if !hosts.is_empty() {
                words.push(format!("{} {what}", counted(hosts.len(), "worker")));
            }
        }
        if !words.is_empty() {
            let effect = if workers.added.is_empty() { Effect::Neutral } else { Effect::Looser };
            let text = format!("{}: {} to {}", words.join(", "), workers.old, workers.new);
            lines.push(Headline::new(effect, &text, &[]));
        }
        if !workers.moved.is_empty() {
            let text = format!("another order: {} moved", counted(workers.moved.len(), "worker"));
            lines.push(Headline::new(Effect::Neutral, &text, &[]));
        }
    }
    let touched: Vec<_> = diff.jobs.iter().filter(|job| job.effect == Effect::Looser).map(job).collect();
    some(&mut lines, touched, Effect::Looser, "more jobs that were not touched before");
    let rest = [
        (StepHow::Added, "added"),
        (StepHow::Removed, "removed"),
        (StepHow::Changed, "changed"),
        (StepHow::Moved, "moved or renamed"),
    ];
    let mut words = Vec::new();
    for (how, what) in rest {
        let number = diff.steps.iter().filter(|step| step.how == how).count();
        if number > 0 {
            words.push(format!("{} {what}", counted(number, "step")));
        }
    }
    if !words.is_empty() {
        lines.push(Headline::new(Effect::Neutral, &words.join(", "), &[]));
    }
    some(&mut lines, of(Effect::Stricter), Effect::Stricter, "more that is stricter");
    // Of a gate that is new or gone, what it measures has been said.
    let is_said = |one: &Change| {
        let is_whole = one.old.is_some() && one.new.is_some();
        is_part(&one.name) && !is_whole && one.name != "silence matchers"
    };
    let neutral = diff.limits.iter().filter(|one| one.effect == Effect::Neutral && !is_said(one));
    let neutral = neutral.map(limit).collect();
    some(&mut lines, neutral, Effect::Neutral, "more settings");
    if !diff.pending.is_empty() {
        let names: Vec<&str> = diff.pending.iter().map(|one| one.name.as_str()).collect();
        let text = "its deploys carry out other changes of the workspace: {}";
        lines.push(Headline::new(Effect::Neutral, text, &[&names[..names.len().min(SHOWN)].join(", ")]));
    }
    if !diff.vars.is_empty() {
        let names: Vec<&str> = diff.vars.iter().map(|var| var.name.as_str()).collect();
        let text = format!("{} changed: {{}}", counted(names.len(), "variable"));
        lines.push(Headline::new(Effect::Neutral, &text, &[&names[..names.len().min(SHOWN)].join(", ")]));
    }
    lines
}

/// The first, and how many more there are.
fn some(lines: &mut Vec<Headline>, mut found: Vec<Headline>, effect: Effect, more: &str) {
    let left = found.len().saturating_sub(SHOWN);
    found.truncate(SHOWN);
    lines.extend(found);
    if left > 0 {
        lines.push(Headline::new(effect, &format!("{left} {more}"), &[]));
    }
}

fn limit(change: &Change) -> Headline {
    let none = match change.name.as_str() {
        "expect" => "any number",
        name if is_part(name) => "none",
        _ => "no limit",
    };
    let side = |side: &Option<String>| side.clone().unwrap_or_else(|| none.to_owned());
    Headline::new(change.effect, "{}: {} is now {}", &[&change.name, &side(&change.old), &side(&change.new)])
}

fn job(change: &Change) -> Headline {
    let new = change.new.as_deref().unwrap_or_default();
    Headline::new(change.effect, "job {} was not touched and now is: {}", &[&change.name, new])
}

fn step(step: &StepChange) -> Vec<Headline> {
    let name = if step.list == "steps" { step.id.clone() } else { format!("{}: {}", step.list, step.id) };
    let down = if step.disturbs { ", which takes its worker down" } else { "" };
    let line = |text: &str| vec![Headline::new(step.effect, text, &[&name, step.kind])];
    match step.how {
        StepHow::Added => line(&format!("step {{}} ({{}}) is new{down}")),
        StepHow::Removed => line("step {} ({}) is gone"),
        StepHow::Changed | StepHow::Moved => {
            let decisive: Vec<_> = step.fields.iter().filter(|field| field.effect == step.effect).collect();
            if decisive.is_empty() {
                return line("step {} is now {}");
            }
            let field = |field: &&Change| {
                let side = |side: &Option<String>| side.clone().unwrap_or_else(|| "none".to_owned());
                let about = [name.as_str(), &field.name, &side(&field.old), &side(&field.new)];
                Headline::new(step.effect, "step {}: {} {} is now {}", &about)
            };
            decisive.iter().map(field).collect()
        }
    }
}

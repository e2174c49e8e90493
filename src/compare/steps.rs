//! Steps of two plans, matched by their ids.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Serialize;

use super::diff::{Change, Effect};
use super::fields::{fields_of, leeway_of_gate};
use super::workers::moved;
use crate::plan::{Step, parse_duration};

/// The names of the lists of a plan.
pub(super) const LISTS: [&str; 4] = ["before", "prepare", "steps", "after"];

/// One step of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepOutline {
    /// Unique in its list.
    pub id: String,
    /// Its keyword.
    pub kind: &'static str,
    /// It takes its worker down.
    pub disturbs: bool,
    /// Its options, those that are not given left out.
    pub fields: BTreeMap<String, String>,
    /// Number of workers that it applies to; `None`: it is done once, or there is no fleet.
    pub applies_to: Option<u32>,
}

pub(super) fn outline_of(steps: &[Step], scripts: &BTreeMap<String, String>) -> Vec<StepOutline> {
    let one = |(at, step): (usize, &Step)| StepOutline {
        id: step.id.clone(),
        kind: step.kind.keyword(),
        // What runs on this machine takes no worker down.
        disturbs: step.kind.traits().disturbs && !step.kind.is_here(),
        fields: fields_of(steps, at, scripts),
        applies_to: None,
    };
    steps.iter().enumerate().map(one).collect()
}

/// A step that is not the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct StepChange {
    /// `before`, `prepare`, `steps` or `after`.
    pub list: &'static str,
    /// Its id; the new one if it was renamed.
    pub id: String,
    /// Its keyword in the plan; the new one if it is another.
    pub kind: &'static str,
    /// What happened to it.
    pub how: StepHow,
    /// Its former id, where only that is another.
    pub renamed_from: Option<String>,
    /// It takes its worker down.
    pub disturbs: bool,
    /// What that means for safety.
    pub effect: Effect,
    /// Options that are not the same; of a step that was added or removed all that are given.
    pub fields: Vec<Change>,
}

/// What happened to a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StepHow {
    /// Only in the new plan.
    Added,
    /// Only in the old plan.
    Removed,
    /// Other options.
    Changed,
    /// The same at another place in its list, or under another id.
    Moved,
}

/// Steps of one list, in the order of the new plan; those that are gone come last.
pub(super) fn compare(list: &'static str, old: &[StepOutline], new: &[StepOutline]) -> Vec<StepChange> {
    let find = |steps: &[StepOutline], id: &str| steps.iter().position(|step| step.id == id);
    let mut partner: Vec<Option<usize>> = new.iter().map(|step| find(old, &step.id)).collect();
    let mut gone: Vec<usize> = (0..old.len()).filter(|at| find(new, &old[*at].id).is_none()).collect();
    for (at, step) in new.iter().enumerate() {
        if partner[at].is_some() {
            continue;
        }
        // Under another id, and otherwise the same.
        let same = |other: &StepOutline| other.kind == step.kind && other.fields == step.fields;
        if let Some(found) = gone.iter().position(|at| same(&old[*at])) {
            partner[at] = Some(gone.remove(found));
        }
    }
    let both: Vec<usize> = partner.iter().flatten().copied().collect();
    let moved: BTreeSet<usize> = moved(&both).into_iter().map(|at| both[at]).collect();
    let mut changes = Vec::new();
    for (step, partner) in new.iter().zip(&partner) {
        match partner {
            None => changes.push(alone(list, step, StepHow::Added)),
            Some(at) => changes.extend(both_of(list, &old[*at], step, moved.contains(at))),
        }
    }
    changes.extend(gone.into_iter().map(|at| alone(list, &old[at], StepHow::Removed)));
    changes
}

fn alone(list: &'static str, step: &StepOutline, how: StepHow) -> StepChange {
    let guards =
        matches!(step.kind, "approve" | "gate" | "health" | "wait_for_ssh" | "sync_check" | "disable");
    let effect = match (how == StepHow::Added, guards, step.disturbs) {
        (true, true, _) | (false, false, true) => Effect::Stricter,
        (true, false, true) | (false, true, _) => Effect::Looser,
        _ => Effect::Neutral,
    };
    let field = |(name, text): (&String, &String)| {
        let (old, new) = if how == StepHow::Added { (None, Some(text)) } else { (Some(text), None) };
        Change::new(name, old.cloned(), new.cloned(), Effect::Neutral)
    };
    StepChange {
        list,
        id: step.id.clone(),
        kind: step.kind,
        how,
        renamed_from: None,
        disturbs: step.disturbs,
        effect,
        // That a failure fails the worker goes without saying.
        fields: step
            .fields
            .iter()
            .filter(|(name, text)| *name != "on_failure" || *text != "fail")
            .map(field)
            .collect(),
    }
}

fn both_of(list: &'static str, old: &StepOutline, new: &StepOutline, moved: bool) -> Option<StepChange> {
    let names: BTreeSet<&String> = old.fields.keys().chain(new.fields.keys()).collect();
    let mut fields = Vec::new();
    if old.kind != new.kind {
        fields.push(Change::new(
            "kind",
            Some(old.kind.to_owned()),
            Some(new.kind.to_owned()),
            Effect::Neutral,
        ));
    }
    for name in names {
        let (old, new) = (old.fields.get(name), new.fields.get(name));
        if old != new {
            fields.push(Change::new(name, old.cloned(), new.cloned(), effect_of(name, old, new)));
        }
    }
    if let (Some(before), Some(after)) = (old.applies_to, new.applies_to)
        && (before == 0) != (after == 0)
    {
        let workers = |number: u32| Some(crate::plan::counted(number as usize, "worker"));
        fields.push(Change::new("applies to", workers(before), workers(after), Effect::Neutral));
    }
    let renamed_from = (old.id != new.id).then(|| old.id.clone());
    let how = match (fields.is_empty(), moved || renamed_from.is_some()) {
        (true, false) => return None,
        (true, true) => StepHow::Moved,
        (false, _) => StepHow::Changed,
    };
    let turned = match (old.disturbs, new.disturbs) {
        (false, true) if old.kind != new.kind => Effect::Looser,
        (true, false) if old.kind != new.kind => Effect::Stricter,
        _ => Effect::Neutral,
    };
    Some(StepChange {
        list,
        id: new.id.clone(),
        kind: new.kind,
        how,
        renamed_from,
        disturbs: new.disturbs,
        effect: Effect::of_all(fields.iter().map(|field| field.effect).chain([turned])),
        fields,
    })
}

/// Whether another value of an option lets more happen or go wrong.
fn effect_of(name: &str, old: Option<&String>, new: Option<&String>) -> Effect {
    let is = |side: Option<&String>, text: &str| side.is_some_and(|side| side == text);
    // A guard that is gone, or new.
    let guard = |old: bool, new: bool| match (old, new) {
        (true, false) => Effect::Looser,
        (false, true) => Effect::Stricter,
        _ => Effect::Neutral,
    };
    match name {
        "on_failure" => guard(is(old, "fail"), is(new, "fail")),
        // What does not count as down is not counted by budgets either.
        "disturbs" => guard(is(old, "true"), is(new, "true")),
        "idempotent" | "fenced" | "force" | "repair" => guard(is(old, "false"), is(new, "false")),
        "unless" | "unless.not_required" | "expect.kernel" | "expect.cmdline" => {
            guard(old.is_some(), new.is_some())
        }
        "settle" => {
            let time =
                |side: Option<&String>| side.and_then(|text| parse_duration(text).ok()).unwrap_or_default();
            guard(time(old) > time(new), time(new) > time(old))
        }
        // What does not matter to a gate that is new or gone says nothing by itself.
        _ => match (old.zip(new))
            .and_then(|(old, new)| Some((leeway_of_gate(name, old)?, leeway_of_gate(name, new)?)))
        {
            Some((old, new)) => Effect::by_leeway(old, new),
            None => Effect::Neutral,
        },
    }
}

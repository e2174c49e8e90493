//! What a plan says of the rollout as a whole, with the numbers that it comes to on a fleet.

use std::collections::BTreeMap;
use std::time::Duration;

use super::fields::{fields_of_all, flatten, gate_options, json, leeway_of_gate, text_of};
use crate::graph::{JobBudget, RolloutGraph};
use crate::plan::{
    Concurrency, Expect, Plan, RolloutGates, Targets, VarValue, Window, duration, parse_duration,
};

/// Keys of `rollout` that have a setting of their own below; any other is shown as serde has it.
const KNOWN: &[&str] = &[
    "concurrency",
    "waves",
    "order",
    "spread",
    "budgets",
    "max_failures",
    "on_failure",
    "soak",
    "windows",
    "freeze",
    "gates",
];

/// One setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The key in the plan; of a budget with its job: `budget api`.
    pub name: String,
    /// In words.
    pub shown: String,
    /// The number that applies, in the unit of the setting (times in milliseconds); `None`: it has none, or no bound.
    pub number: Option<u64>,
    /// How much may happen at once or go wrong: more of it is looser. `None`: there is no more or less about it.
    pub leeway: Option<u64>,
    /// The leeway of a plan that does not have the setting; `None`: it cannot be compared with one that has.
    pub absent: Option<u64>,
    /// Leeways compare only where this is the same; empty: always.
    pub unit: String,
}

impl Setting {
    fn new(name: &str, shown: String) -> Self {
        // What is not there limits nothing.
        let absent = Some(u64::MAX);
        Self { name: name.to_owned(), shown, number: None, leeway: None, absent, unit: String::new() }
    }

    /// One of several options of something that a plan has or does not have.
    fn part(name: String, shown: String, leeway: Option<u64>) -> Self {
        Self { name, shown, number: None, leeway, absent: None, unit: String::new() }
    }

    fn number(self, number: u64) -> Self {
        Self { number: Some(number), ..self }
    }

    fn leeway(self, leeway: u64) -> Self {
        Self { leeway: Some(leeway), ..self }
    }
}

/// The settings of a plan; with a graph as numbers on its fleet, else as written.
pub(super) fn settings(plan: &Plan, graph: Option<&RolloutGraph>) -> Vec<Setting> {
    let rollout = &plan.rollout;
    let numbers = graph.map(RolloutGraph::numbers);
    let mut all = vec![Setting::new("targets", targets(&plan.targets))];
    if let Some(expect) = &plan.targets.expect {
        all.push(expected(expect.value));
    }
    all.push(match (rollout.concurrency.value, numbers.and_then(|numbers| numbers.concurrency.as_ref())) {
        (Concurrency::Auto, _) => {
            Setting::new("concurrency", "as many as budgets, spread and wave allow".to_owned())
                .leeway(u64::MAX)
        }
        (Concurrency::AtMost(_), Some(resolved)) => {
            Setting::new("concurrency", with_how(resolved.value.into(), &resolved.how))
                .number(resolved.value.into())
                .leeway(resolved.value.into())
        }
        (Concurrency::AtMost(of), None) => Setting::new("concurrency", of.to_string()),
    });
    all.push(Setting::new("waves", waves(plan)));
    all.push(Setting::new("order", text_of(&rollout.order)));
    if let Some(silence) = &plan.silence {
        all.extend(fields_of_all(silence).into_iter().map(|(key, text)| {
            // So long nobody hears of a worker that is not well.
            let is_unheard = matches!(key.as_str(), "lease" | "tail" | "at_most");
            let leeway = is_unheard.then(|| parse_duration(&text).ok().map(millis)).flatten();
            Setting::part(format!("{SILENCE}{key}"), text, leeway)
        }));
    }
    all.extend(gates(&rollout.gates));
    if let Some(spread) = &rollout.spread {
        let spread = &spread.value;
        let shown = format!("at most {} of tag `{}` disturbed at a time", spread.at_most, spread.tag);
        let setting = Setting::new("spread", shown).number(spread.at_most).leeway(spread.at_most);
        all.push(Setting { unit: spread.tag.to_lowercase(), ..setting });
    }
    match (graph, numbers) {
        (Some(graph), Some(numbers)) => {
            all.extend(numbers.budgets.iter().map(|budget| budget_on(graph, budget)));
        }
        _ => all.extend(rollout.budgets.iter().map(|budget| {
            Setting::new(&format!("budget {}", budget.value.job.value), budget.value.bound.to_string())
        })),
    }
    all.push(match numbers.map(|numbers| &numbers.max_failures) {
        Some(resolved) => {
            let allowed = u64::from(resolved.value);
            Setting::new("max_failures", with_how(allowed, &resolved.how)).number(allowed).leeway(allowed)
        }
        None => Setting::new("max_failures", rollout.max_failures.value.to_string()),
    });
    all.push(Setting::new("on_failure", text_of(&rollout.on_failure)));
    let soak = millis(rollout.soak);
    all.push(Setting::new("soak", duration(rollout.soak)).number(soak).leeway(u64::MAX - soak));
    if !rollout.windows.is_empty() {
        let windows: Vec<_> = rollout.windows.iter().map(|window| window.value.to_string()).collect();
        let open = rollout.windows.iter().map(|window| open_in_four_weeks(&window.value)).sum();
        all.push(Setting::new("window", windows.join("; ")).leeway(open));
    }
    if let Some(freeze) = &rollout.freeze {
        all.push(Setting::new("freeze", freeze.value.to_string()));
    }
    if let Some(prepare) = &plan.prepare {
        let resolved = numbers.and_then(|numbers| numbers.prepare.as_ref());
        all.push(match resolved.map(|resolved| (u64::from(resolved.value), &resolved.how)) {
            Some((value, how)) => {
                Setting::new("prepare concurrency", with_how(value, how)).number(value).leeway(value)
            }
            None => Setting::new("prepare concurrency", prepare.concurrency.value.to_string()),
        });
        let when =
            if prepare.outside_window { "at any time that is not frozen" } else { "as workers are started" };
        let when = Setting::new("prepare window", when.to_owned());
        all.push(when.leeway(u64::from(prepare.outside_window)));
    }
    let mut others = BTreeMap::new();
    if let serde_json::Value::Object(keys) = json(rollout) {
        keys.iter().filter(|(key, _)| !KNOWN.contains(&key.as_str())).for_each(|(key, value)| {
            flatten(key, value, &mut others);
        });
    }
    all.extend(others.into_iter().map(|(name, shown)| Setting::new(&name, shown)));
    all
}

/// Whom a plan selects, how it takes them and what decides besides, by the names of settings, as it is written.
pub fn plan_options(plan: &Plan) -> BTreeMap<String, String> {
    settings(plan, None).into_iter().map(|setting| (setting.name, setting.shown)).collect()
}

/// What begins the names of the options of the silence, and of a gate.
const SILENCE: &str = "silence ";
const PLACES: [&str; 3] = ["before_wave", "after_wave", "guard"];

/// Whether a setting is an option of something that is there or is not: on its own it is no limit.
pub(super) fn is_part(name: &str) -> bool {
    name.starts_with(SILENCE) || PLACES.iter().any(|place| name.starts_with(place))
}

/// The options of all gates of the rollout, each by itself. A gate is known by its place and its name, or else by its number
/// among those without one.
fn gates(gates: &RolloutGates) -> Vec<Setting> {
    let mut all = Vec::new();
    let mut seen = BTreeMap::new();
    for (place, gate) in gates.each() {
        let named = match &gate.name {
            Some(name) => format!("{place} \"{name}\""),
            None => place.to_owned(),
        };
        let number: &mut u32 = seen.entry(named.clone()).or_default();
        *number += 1;
        let label = if *number == 1 { named } else { format!("{named} {number}") };
        for (key, text) in gate_options(gate) {
            let name = format!("{label} {key}");
            all.push(match key.as_str() {
                // What it measures says that it is there: nothing holds the rollout back where it is not.
                "prometheus.query" | "alertmanager.matching" | "http.url" | "command" => {
                    Setting::new(&name, text).leeway(0)
                }
                // A bound that is not there bounds nothing.
                "prometheus.max" | "prometheus.min" => {
                    let leeway = leeway_of_gate(&key, &text);
                    Setting { leeway, ..Setting::new(&name, text) }
                }
                _ => {
                    let leeway = leeway_of_gate(&key, &text);
                    Setting::part(name, text, leeway)
                }
            });
        }
    }
    all
}

fn budget_on(graph: &RolloutGraph, budget: &JobBudget) -> Setting {
    let plain = budget.how == budget.wants.to_string();
    let how = if plain { String::new() } else { format!(" ({})", budget.how) };
    let shown = format!("{} of {} stay available{how}", budget.wants, budget.of);
    Setting::new(&format!("budget {}", graph.fleet.job(budget.job).name), shown)
        .number(budget.wants.into())
        .leeway(budget.of.saturating_sub(budget.wants).into())
}

fn expected(expect: Expect) -> Setting {
    let bound = |bound: Option<u64>| bound.map_or_else(|| "any".to_owned(), |bound| bound.to_string());
    let shown = format!("min {}, max {}", bound(expect.min), bound(expect.max));
    let width = expect.max.map_or(u64::MAX, |max| max.saturating_sub(expect.min.unwrap_or(0)));
    Setting::new("expect", shown).leeway(width)
}

/// As in a plan, with variables put in.
fn waves(plan: &Plan) -> String {
    let sizes = &plan.rollout.waves;
    if sizes.is_empty() {
        return "one with all".to_owned();
    }
    sizes.iter().map(|size| size.value.to_string()).collect::<Vec<_>>().join(", ")
}

/// Who is selected, as the plan says it.
fn targets(targets: &Targets) -> String {
    let mut plain = targets.clone();
    let exclude = plain.exclude.take();
    plain.expect = None;
    let mut parts = BTreeMap::new();
    flatten("", &json(&plain), &mut parts);
    let named = |(name, text): (String, String)| format!("{} {text}", name.trim_start_matches('.'));
    let mut text: Vec<String> = parts.into_iter().map(named).collect();
    if text.is_empty() {
        text.push("every worker".to_owned());
    }
    if let Some(exclude) = exclude {
        text.push(format!("without ({})", self::targets(&exclude)));
    }
    text.join("; ")
}

/// Minutes.
fn open_in_four_weeks(window: &Window) -> u64 {
    const DAY: u64 = 24 * 60;
    let (open, close) = (u64::from(window.open), u64::from(window.close));
    let length = if close > open { close - open } else { DAY - open + close };
    length * window.days.iter().map(|day| if day.nth.is_some() { 1 } else { 4 }).sum::<u64>()
}

/// "1 (10% of 12 is 1.2, rounded down to 1)"; a plain number explains itself.
fn with_how(value: u64, how: &str) -> String {
    if how == value.to_string() { how.to_owned() } else { format!("{value} ({how})") }
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The variables of a plan, as its commands get them.
pub fn variables(vars: &BTreeMap<String, VarValue>) -> BTreeMap<String, String> {
    vars.iter().map(|(name, value)| (name.clone(), super::fields::variable(value))).collect()
}

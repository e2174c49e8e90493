//! Every command of a plan in full: whoever reviews a plan approves what it executes.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::Serialize;

use crate::graph::RolloutGraph;
use crate::plan::{
    CommandSource, EnvValue, Gate, HttpRequest, HttpUndo, Plan, RebootUnless, Step, StepKind, Undo, duration,
    visible, visible_line,
};

/// One text that a shell gets.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::cli::plan) struct CommandJson<'a> {
    /// `command`, `script` (a file's path), `request` (method, url and body) and `expects` (what makes its answer a success),
    /// `measure` and `passes` (what a gate asks, and its limit), `unless` or `undo`.
    pub(in crate::cli::plan) part: &'static str,
    pub(in crate::cli::plan) text: Cow<'a, str>,
}

/// A variable of a command's environment, beside those of `vars`.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::cli::plan) struct EnvJson<'a> {
    pub(in crate::cli::plan) name: &'a str,
    /// The variable of this machine that a secret is read from; `null`: the value is in the plan.
    pub(in crate::cli::plan) from_env: Option<&'a str>,
    /// The value in the plan, with its placeholders; what looks like a secret is masked; `null`: it is read from the
    /// environment.
    pub(in crate::cli::plan) value: Option<String>,
}

impl<'a> EnvJson<'a> {
    fn new(name: &'a str, value: &'a EnvValue) -> Self {
        let (from_env, value) = match value {
            EnvValue::Plain(_) => (None, Some(value.shown(name))),
            EnvValue::FromEnv(from) => (Some(from.as_str()), None),
        };
        Self { name, from_env, value }
    }
}

/// What a step executes of the plan's own text.
pub(in crate::cli::plan) fn commands(step: &Step) -> Vec<CommandJson<'_>> {
    let text = |part, text| CommandJson { part, text: Cow::Borrowed(text) };
    let request = |part, request: &HttpRequest| CommandJson { part, text: Cow::Owned(request.to_string()) };
    let mut found = Vec::new();
    match &step.kind {
        StepKind::Reboot { command, unless, .. } => {
            found.push(text("command", command.as_str()));
            if let Some(RebootUnless::Command(unless)) = unless {
                found.push(text("unless", unless));
            }
        }
        StepKind::Run(command) | StepKind::Local(command) => {
            found.push(match &command.action {
                CommandSource::Command(command) => text("command", command),
                CommandSource::Script(path) => text("script", &path.value),
            });
            found.extend(command.unless.as_deref().map(|unless| text("unless", unless)));
            if let Undo::Command(undo) = &command.undo {
                found.push(text("undo", undo));
            }
        }
        StepKind::Http(step) => {
            found.push(request("request", &step.request));
            found.push(CommandJson { part: "expects", text: Cow::Owned(step.expect.to_string()) });
            if let HttpUndo::Request(undo) = &step.undo {
                found.push(request("undo", undo));
            }
        }
        StepKind::Gate(gate) => found.extend(measured(gate)),
        _ => {}
    }
    found
}

/// What a gate asks, and what its limit is.
fn measured(gate: &Gate) -> [CommandJson<'_>; 2] {
    let (within, interval) = (duration(gate.answer_within), duration(gate.interval));
    let anew = if gate.count == 1 { format!(", anew every {interval}") } else { String::new() };
    let passes = format!(
        "{} ({}{anew}; an answer within {within}; {})",
        gate.measure.limit(),
        gate.rhythm(),
        gate.consequences()
    );
    [("measure", gate.measure.to_string()), ("passes", passes)]
        .map(|(part, text)| CommandJson { part, text: Cow::Owned(text) })
}

/// What a gate of the rollout asks: where it stands, what it asks and passes, and the variables that it reads.
pub(in crate::cli::plan) struct RolloutGate<'a> {
    /// As in the plan: `guard`, `after_wave`, with a number where there are several.
    pub(in crate::cli::plan) place: String,
    pub(in crate::cli::plan) gate: &'a Gate,
    pub(in crate::cli::plan) parts: [CommandJson<'a>; 2],
    pub(in crate::cli::plan) env: Vec<EnvJson<'a>>,
}

/// All gates of the rollout.
pub(in crate::cli::plan) fn rollout_gates(plan: &Plan) -> Vec<RolloutGate<'_>> {
    let mut numbers = BTreeMap::new();
    let gates = plan.rollout.gates.each().map(|(place, gate)| {
        let number: &mut u32 = numbers.entry(place).or_default();
        *number += 1;
        let place = if *number == 1 { place.to_owned() } else { format!("{place} {number}") };
        let env = gate.measure.headers().map(env_of).unwrap_or_default();
        RolloutGate { place, gate, parts: measured(gate), env }
    });
    gates.collect()
}

/// Headers, each as a variable of what is sent.
pub(super) fn env_of(headers: &BTreeMap<String, EnvValue>) -> Vec<EnvJson<'_>> {
    headers.iter().map(|(name, value)| EnvJson::new(name, value)).collect()
}

/// The variables that a step's command gets.
pub(in crate::cli::plan) fn env(step: &Step) -> Vec<EnvJson<'_>> {
    let environment = step.kind.environment().into_iter();
    environment.map(|(name, value)| EnvJson::new(name, value)).collect()
}

/// `LEVEL: 3`, or `TOKEN, from MY_TOKEN of this machine`.
pub(super) fn in_words(variable: &EnvJson<'_>) -> String {
    match (variable.from_env, &variable.value) {
        (Some(from), _) => format!("{}, from {from} of this machine", variable.name),
        (None, value) => format!("{}: {}", variable.name, value.as_deref().unwrap_or_default()),
    }
}

/// All commands of a plan, each line behind a bar.
pub(super) fn section(text: &mut String, graph: &RolloutGraph) {
    let lists = graph.plan.lists();
    let steps = lists.iter().flat_map(|(list, steps)| steps.iter().map(move |step| (list, step)));
    let shown: Vec<_> = steps.filter(|(_, step)| !commands(step).is_empty()).collect();
    let gates = rollout_gates(&graph.plan);
    if shown.is_empty() && gates.is_empty() {
        return;
    }
    let _ = writeln!(text, "\nCommands");
    let mut one = |title: String, commands: &[CommandJson<'_>], env: Vec<EnvJson<'_>>| {
        let _ = writeln!(text, "  {title}");
        for command in commands {
            // Escaped before it is cut into lines: what a terminal takes for a line is only a line feed here.
            let escaped = visible(command.text.as_bytes());
            for (at, line) in escaped.trim_end_matches('\n').split('\n').enumerate() {
                let part = if at == 0 { command.part } else { "" };
                let _ = writeln!(text, "    {part:<8}| {line}");
            }
        }
        for variable in env {
            let _ = writeln!(text, "    {:<8}| {}", "env", visible_line(&in_words(&variable)));
        }
    };
    for RolloutGate { place, parts, env, .. } in gates {
        one(format!("{place} (rollout, gate)"), &parts, env);
    }
    for (list, step) in shown {
        one(format!("{} ({list}, {})", step.id, step.kind.keyword()), &commands(step), env(step));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::testing::{compiled, fleet, worker};

    #[test]
    fn nothing_of_a_command_is_left_out_and_nothing_forges_a_row() {
        let source = crate::plan::Source::new(
            "p.yaml",
            "version: 1\nname: p\nsteps:\n  - run:\n      command: \"one\\nSteps of a worker\\r   2  health\\e[2Jx\"\n      \
             unless: test -e /done\n      undo: rm -f /done\n      env: {TOKEN: {from_env: MY_TOKEN}, LEVEL: '3'}\n",
        );
        let plan = std::sync::Arc::new(crate::plan::parse(&source, &[]).unwrap());
        let graph = compiled(&plan, &fleet(vec![worker("w1", &[], &[])], &[]));
        let mut text = String::new();
        section(&mut text, &graph);
        let expected = "\nCommands\n  run (steps, run)\n    command | one\n            | Steps of a worker\\r   2  \
                        health\\x1b[2Jx\n    unless  | test -e /done\n    undo    | rm -f /done\n    env     | LEVEL: 3\n    \
                        env     | TOKEN, from MY_TOKEN of this machine\n";
        assert_eq!(text, expected);
    }
}

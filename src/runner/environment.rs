//! What a command of a plan finds in its environment: the plan's variables, its own `env`, and where it stands.

use crate::engine::{AttemptSpec, ErrorKind, Outcome, StepError};
use crate::graph::{Lane, RolloutGraph, TargetIx};
use crate::plan::http::{Piece, gate_placeholders, placeholders};
use crate::plan::{CommandStep, EnvValue, Plan, StepKind, VarValue};

use super::mask::{Secrets, masked};

/// Where a command stands: `MAAND_HOST`, `MAAND_STEP` and others, as `docs/language.md` documents them.
#[derive(Clone, Debug, Default)]
pub(super) struct Place {
    values: Vec<(String, String)>,
    /// Texts are those of a gate, where words such as `$worker` stand for values, too.
    is_of_gate: bool,
}

impl Place {
    /// Of an attempt, the `number`th of its step, as the report counts them.
    pub(super) fn of(
        graph: &RolloutGraph,
        (run, epoch): (&str, u64),
        order: &AttemptSpec,
        number: u32,
    ) -> Self {
        let list = graph.list(order.lane, order.step);
        let mut values = vec![
            ("BUCKET_ID".to_owned(), graph.fleet.bucket_id.clone()),
            ("MAAND_RUN".to_owned(), run.to_owned()),
            ("MAAND_PLAN".to_owned(), graph.plan.name.clone()),
            ("MAAND_LIST".to_owned(), list.to_owned()),
            ("MAAND_STEP".to_owned(), graph.steps(order.lane)[order.step.index()].id.clone()),
            ("MAAND_ATTEMPT".to_owned(), number.to_string()),
        ];
        if matches!(graph.steps(order.lane)[order.step.index()].kind, StepKind::Local(_)) {
            values.push(("MAAND_EPOCH".to_owned(), epoch.to_string()));
        }
        if let Lane::Worker(target) = order.lane {
            values.extend(graph.fleet.worker(graph.target(target).worker).variables());
        }
        Self { values, is_of_gate: false }
    }

    /// Of the run as a whole.
    pub(super) fn of_rollout(graph: &RolloutGraph, run: &str) -> Self {
        let values = vec![
            ("BUCKET_ID".to_owned(), graph.fleet.bucket_id.clone()),
            ("MAAND_RUN".to_owned(), run.to_owned()),
            ("MAAND_PLAN".to_owned(), graph.plan.name.clone()),
        ];
        Self { values, is_of_gate: false }
    }

    /// The same place for a gate: with the number of the wave, counted from 1, and the workers that are down.
    #[must_use]
    pub(super) fn of_gate(mut self, wave: Option<u32>, down: &[String]) -> Self {
        self.is_of_gate = true;
        self.values.extend(wave.map(|wave| ("MAAND_WAVE".to_owned(), (wave + 1).to_string())));
        self.values.push(("MAAND_DOWN".to_owned(), down.join(",")));
        // A regular expression; a dot stands for itself in every kind of quotes.
        let pattern: Vec<String> = down.iter().map(|host| host.replace('.', "[.]")).collect();
        self.values.push(("MAAND_DOWN_PATTERN".to_owned(), pattern.join("|")));
        self
    }

    /// The parts of a text: names of values, and what is between them.
    pub(super) fn pieces<'t>(&self, text: &'t str) -> Vec<Piece<'t>> {
        if self.is_of_gate { gate_placeholders(text).collect() } else { placeholders(text).collect() }
    }

    /// Of a worker, whatever it is at.
    pub(super) fn of_worker(graph: &RolloutGraph, run: &str, target: TargetIx) -> Self {
        let mut place = Self::of_rollout(graph, run);
        place.values.extend(graph.fleet.worker(graph.target(target).worker).variables());
        place
    }

    /// What stands for this name.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        let name = match name {
            "worker" => "MAAND_HOST",
            "wave" => "MAAND_WAVE",
            "down" => "MAAND_DOWN_PATTERN",
            name => name,
        };
        self.values.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    #[cfg(test)]
    pub(super) fn with(values: &[(&str, &str)]) -> Self {
        Self {
            values: values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            is_of_gate: false,
        }
    }
}

/// Reads a secret from the environment of this process, for this key of the plan.
///
/// # Errors
/// It is not set, or is no text.
pub fn read_secret(key: &str, from: &str) -> Result<String, StepError> {
    std::env::var(from).map_err(|error| {
        let what = match error {
            std::env::VarError::NotPresent => "is not set here",
            std::env::VarError::NotUnicode(_) => "is not UTF-8 text",
        };
        let message = format!("the environment variable {from} {what}: `{key}` is read from it");
        StepError::new(ErrorKind::Controller, message)
    })
}

/// The environment of a command. No name is in it twice.
pub(super) struct Environment {
    pub(super) values: Vec<(String, String)>,
    pub(super) secrets: Secrets,
}

impl Environment {
    /// Reads secrets from the environment of this process.
    ///
    /// # Errors
    /// The name of a variable that is not set, or is not text.
    pub(super) fn of(plan: &Plan, step: Option<&CommandStep>, place: &Place) -> Result<Self, StepError> {
        let mut values: Vec<(String, String)> = Vec::new();
        let mut secrets = Vec::new();
        let mut set = |name: &str, value: String| {
            values.retain(|(other, _)| other != name);
            values.push((name.to_owned(), value));
        };
        for (name, value) in &plan.vars {
            set(name, env_text(value));
        }
        for (name, value) in step.iter().flat_map(|step| &step.env) {
            let value = match value {
                EnvValue::Plain(value) => value.clone(),
                EnvValue::FromEnv(from) => {
                    let secret = read_secret(&format!("env: {name}"), from)?;
                    secrets.push(secret.clone());
                    secret
                }
            };
            set(name, value);
        }
        // Validation keeps a plan from having any of these itself.
        for (name, value) in &place.values {
            set(name, value.clone());
        }
        Ok(Self { values, secrets: Secrets::of(&secrets) })
    }

    /// `text` without secrets.
    pub(super) fn mask(&self, text: &str) -> String {
        masked(text, &self.secrets)
    }

    pub(super) fn mask_outcome(&self, outcome: Outcome) -> Outcome {
        outcome.masked(|text| self.mask(text))
    }
}

fn env_text(value: &VarValue) -> String {
    match value {
        VarValue::String(text) => text.clone(),
        VarValue::Integer(number) => number.to_string(),
        VarValue::Float(number) => number.to_string(),
        VarValue::Bool(yes) => yes.to_string(),
        VarValue::List(items) => items.iter().map(env_text).collect::<Vec<_>>().join(","),
    }
}

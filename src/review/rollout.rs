//! What a compiled plan would do, in rows: the half of a reviewed plan file that is there to be read.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::graph::{Lane, Resolved, RolloutGraph, TargetIx};
use crate::plan::Step;
use crate::policy::Limits;

/// What would happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rollout {
    /// SHA-256 of the compiled graph.
    pub graph: String,
    /// Number of selected workers.
    pub selected: u32,
    /// Maximum number of active workers; `null`: as many as fit.
    pub concurrency: Option<Number>,
    /// Maximum number of workers that are prepared at a time; left out: the plan prepares nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prepare: Option<Number>,
    /// Maximum number of failed workers; one more halts the run.
    pub max_failures: Number,
    /// What must stay available, job by job.
    pub budgets: Vec<BudgetRow>,
    /// Failure domains.
    pub spread: Option<SpreadRow>,
    /// The plan's steps.
    pub steps: StepRows,
    /// The waves with their workers, in the order in which they are taken.
    pub waves: Vec<WaveRow>,
}

/// A number that the plan may give as a share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Number {
    /// The number that applies.
    pub value: u32,
    /// How it came about.
    pub how: String,
}

/// What must stay available of one job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BudgetRow {
    /// The job's name.
    pub job: String,
    /// Its enabled allocations in the whole bucket.
    pub allocations: u32,
    /// Minimum number of them that stays available.
    pub stays_available: u32,
    /// How that number came about.
    pub how: String,
}

/// `spread`, resolved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SpreadRow {
    /// The tag whose values are the failure domains.
    pub tag: String,
    /// Maximum number of its values that are disturbed at a time.
    pub at_most: u64,
    /// Its values on the selected workers.
    pub domains: Vec<String>,
}

/// The plan's steps, list by list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StepRows {
    /// Once, before the first worker.
    pub before: Vec<StepRow>,
    /// On every worker, before the first one is touched.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prepare: Vec<StepRow>,
    /// On every worker.
    pub steps: Vec<StepRow>,
    /// Once, after the last worker.
    pub after: Vec<StepRow>,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StepRow {
    /// Its id.
    pub id: String,
    /// Its kind, as the plan spells it.
    pub kind: String,
    /// Number of workers that it applies to; of a step that is done once: 1.
    pub applies_to: u32,
}

/// One wave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WaveRow {
    /// How its size came about.
    pub how: String,
    /// Its workers, in the order in which they are taken.
    pub workers: Vec<String>,
}

impl From<&Resolved> for Number {
    fn from(resolved: &Resolved) -> Self {
        Self { value: resolved.value, how: resolved.how.clone() }
    }
}

impl Rollout {
    /// Of a compiled plan.
    pub fn of(graph: &RolloutGraph, limits: &Limits) -> Self {
        let numbers = graph.numbers();
        let budget = |budget: &crate::graph::JobBudget| BudgetRow {
            job: graph.fleet.job(budget.job).name.to_string(),
            allocations: budget.of,
            stays_available: budget.wants,
            how: budget.how.clone(),
        };
        let host = |at: u32| graph.host(TargetIx(at)).to_owned();
        let waves = graph.waves.iter().zip(&numbers.waves);
        let mut prepare = steps(graph, Lane::Worker(TargetIx(0)));
        let main = prepare.split_off(graph.plan.prepares());
        Self {
            graph: graph.hash(),
            selected: graph.targets.len() as u32,
            concurrency: numbers.concurrency.as_ref().map(Number::from),
            prepare: numbers.prepare.as_ref().map(Number::from),
            max_failures: Number::from(&numbers.max_failures),
            budgets: limits.budgets.iter().map(budget).collect(),
            spread: limits.spread.as_ref().map(|spread| SpreadRow {
                tag: spread.tag.clone(),
                at_most: spread.at_most,
                domains: spread.domains.clone(),
            }),
            steps: StepRows {
                before: steps(graph, Lane::Before),
                steps: main,
                prepare,
                after: steps(graph, Lane::After),
            },
            waves: waves
                .map(|(range, size)| WaveRow {
                    how: size.how.clone(),
                    workers: range.clone().map(host).collect(),
                })
                .collect(),
        }
    }
}

fn steps(graph: &RolloutGraph, lane: Lane) -> Vec<StepRow> {
    let applies_to = |at: usize| match lane {
        Lane::Worker(_) => graph.targets.iter().filter(|target| target.applies[at]).count() as u32,
        Lane::Before | Lane::After => 1,
    };
    let row = |(at, step): (usize, &Step)| StepRow {
        id: step.id.clone(),
        kind: step.kind.keyword().to_owned(),
        applies_to: applies_to(at),
    };
    graph.steps(lane).iter().enumerate().map(row).collect()
}

//! A plan and the workers that it is tried on, without contacting any: what `plan check` and `plan simulate` take.

use std::sync::Arc;

use clap::Args;

use super::super::hosts::HostPattern;
use super::super::{CliError, Context};
use super::read::{parse_set, read_plan};
use super::show::{Chosen, choose_fleet, with};
use crate::graph::{self, RolloutGraph};
use crate::{plan, policy};

/// The arguments that name them.
#[derive(Debug, Args)]
pub(super) struct PlanOnFleet {
    /// The plan file; `-` reads standard input
    #[arg(value_name = "PLAN", add = crate::cli::complete::plan_files())]
    plan: String,
    /// Only these of the plan's workers, or a number: a made-up fleet of that size
    #[arg(long, visible_alias = "worker", value_delimiter = ',', value_name = "N|HOST,..")]
    #[arg(add = crate::cli::complete::hosts())]
    workers: Vec<HostPattern>,
    /// Set a variable of the plan; may be given more than once
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_set)]
    set: Vec<(String, String)>,
}

impl PlanOnFleet {
    /// The plan compiled for the fleet.
    ///
    /// # Errors
    /// What is wrong with the plan, or why it could never be carried out on these workers.
    pub(super) fn compile(&self, context: &Context) -> Result<RolloutGraph, CliError> {
        let plan = Arc::new(plan::parse(&read_plan(&self.plan)?, &self.set)?);
        let Chosen { fleet, options, warnings, .. } = choose_fleet(&plan, &self.workers, context)?;
        let graph = graph::compile(&plan, &fleet, &options).map_err(|problems| with(warnings, problems))?;
        let feasibility = policy::feasibility(&graph);
        if feasibility.has_errors() {
            return Err(feasibility.into());
        }
        Ok(graph)
    }
}

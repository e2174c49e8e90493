//! A rehearsal from its checks to its verdict.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use crate::bucket::Host;
use crate::os::signals::Signal;
use crate::plan::suggest::suggest;
use crate::plan::{Plan, Problem, Problems, StepKind};
use crate::run::{Connector, read_files};
use crate::sandbox::{Fault, Sandbox, SandboxOptions};
use crate::ssh::Cancel;

use super::bucket::Timeouts;
use super::controllers::Controllers;
use super::verdict::Verdict;
use super::watcher::Watcher;
use super::{Difference, Likeness, RehearsalError, RehearsalOptions, Stage, bucket, deploy_jobs};

/// A plan that can be rehearsed: its faults and scripts were checked.
pub struct Rehearsal {
    plan: Plan,
    likeness: Likeness,
    options: RehearsalOptions,
    faults: Vec<Fault>,
    scripts: BTreeMap<String, String>,
}

/// A rehearsal that has come to a verdict. Its fleet and its journal are there until this is dropped.
pub struct Rehearsed {
    /// The verdict.
    pub verdict: Verdict,
    sandbox: Arc<Sandbox>,
}

impl Rehearsed {
    /// The bucket of the throwaway fleet, with the run's journal.
    pub fn bucket_dir(&self) -> PathBuf {
        self.sandbox.bucket_dir()
    }
}

impl Rehearsal {
    /// Checks the faults and reads the plan's scripts.
    ///
    /// # Errors
    /// A fault that could not happen, or a script that cannot be read or has no place in the rehearsal's bucket.
    pub fn new(plan: Plan, likeness: Likeness, options: RehearsalOptions) -> Result<Self, RehearsalError> {
        let faults = faults(&plan, &options.faults, &likeness.hosts)?;
        let scripts = read_files(&plan, likeness.bucket.as_deref())?;
        let inside = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
        if let Some(path) = scripts.keys().find(|path| !Path::new(path).components().all(inside)) {
            return Err(RehearsalError::ScriptOutside(path.clone()));
        }
        Ok(Self { plan, likeness, options, faults, scripts })
    }

    /// How it will differ from a real run of the plan.
    pub fn differences(&self) -> Vec<Difference> {
        let plan = &self.plan;
        let any = |wanted: fn(&StepKind) -> bool| {
            plan.before.iter().chain(&plan.steps).chain(&plan.after).any(|step| wanted(&step.kind))
        };
        let commands = any(|kind| matches!(kind, StepKind::Run(_)) || kind.is_here());
        let all = [
            (Difference::Shorter, true),
            (Difference::OpenWindow, !plan.rollout.windows.is_empty() || plan.rollout.freeze.is_some()),
            (Difference::NotExecuted, commands && !self.options.execute),
            (Difference::Approved, any(|kind| matches!(kind, StepKind::Approve { .. }))),
        ];
        all.into_iter().filter_map(|(difference, holds)| holds.then_some(difference)).collect()
    }

    /// Starts the fleet, carries the run out, and judges. `cancel` ends the set-up; each message of
    /// `signals` is handed on to the process that carries the run out. `show` is told how far it is.
    ///
    /// # Errors
    /// There is no verdict: the fleet or the run could not be started, or it was interrupted before.
    pub fn carry_out(
        &self,
        cancel: &Cancel,
        signals: &Receiver<Signal>,
        show: &mut dyn FnMut(Stage),
    ) -> Result<Rehearsed, RehearsalError> {
        let mut options = SandboxOptions::new(self.likeness.blueprint.clone());
        options.execute = self.options.execute;
        options.speed = self.options.speed;
        let timeouts = Timeouts::of(self.options.speed, self.likeness.hosts.len());
        options.late = timeouts.late(&self.plan);
        let sandbox = Sandbox::start(options)?;
        let plan_file = bucket::prepare(&sandbox.bucket_dir(), &self.plan, timeouts, &self.scripts)?;
        deploy_jobs(&sandbox, &Connector::default(), cancel)
            .map_err(|error| if cancel.is_cancelled() { RehearsalError::Interrupted } else { error })?;
        show(Stage::Ready);
        let sandbox = Arc::new(sandbox);
        let ids = self.plan.steps.iter().map(|step| step.id.clone()).collect();
        let watcher = Watcher::start(&sandbox, &self.faults, ids)?;
        let controllers =
            Controllers { bucket: &sandbox.bucket_dir(), plan_file, options: &self.options, cancel, signals };
        let carried = controllers.carry_out(show)?;
        let seen = watcher.stop();
        if seen.run.is_none() && cancel.is_cancelled() {
            return Err(RehearsalError::Interrupted);
        }
        let verdict = Verdict::of(&sandbox, &seen, &self.faults, &carried, self.options.execute)?;
        Ok(Rehearsed { verdict, sandbox })
    }
}

/// The faults that are asked for; one for a step that the plan does not have would never happen.
fn faults(plan: &Plan, asked: &[String], hosts: &[Host]) -> Result<Vec<Fault>, Problems> {
    let mut problems = Problems::new();
    let mut faults = Vec::new();
    let names = || plan.steps.iter().flat_map(|step| [step.id.as_str(), step.kind.keyword()]);
    for text in asked {
        let fault = match Fault::parse(text, hosts) {
            Ok(fault) => fault,
            Err(problem) => {
                problems.push(problem);
                continue;
            }
        };
        if let Some(step) = fault.at_step.as_deref().filter(|step| !names().any(|name| name == *step)) {
            let ids = plan.steps.iter().map(|step| format!("`{}`", step.id)).collect::<Vec<_>>().join(", ");
            let near = suggest(step, names()).map(|near| format!("did you mean `{near}`? "));
            let file = plan.source.name();
            let message = format!("the fault `{fault}` is for a step that {file} does not have");
            problems.push(
                Problem::error("maand::rehearse::fault", message)
                    .help(format!("{}the steps of a worker are {ids}", near.unwrap_or_default())),
            );
        }
        faults.push(fault);
    }
    problems.into_result()?;
    Ok(faults)
}

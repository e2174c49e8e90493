//! Which step kind is carried out by what.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::boot::{LookError, LookFailure, PATIENT_LOOK, ReturnSpec};
use crate::bucket::{DisabledEntry, Host, JobName};
use crate::catalog::{HealthReport, HealthRequest, JobRequest, Report};
use crate::engine::{AttemptSpec, ErrorKind, Intent, Outcome, StepError};
use crate::graph::{StepIx, TargetIx};
use crate::plan::{
    CommandSource, CommandStep, HealthScope, JobAction, Located, Step, StepKind, Undo, counted,
};
use crate::ssh::Cancel;

use super::command::{Environment, on_this_machine, on_worker};
use super::deployer::{Kind, outcome_of, refused, said};
use super::disabled_edits::DisabledEdits;
use super::executor::{OutputSink, StepExecutor};
use super::probe;
use super::reboot::{self, RebootOrder, reboot};
use super::wait::wait;

/// Reading a boot id: one exchange, with a few tries for a busy sshd.
const READ_TRIES: u32 = 5;

impl StepExecutor {
    pub(super) fn on_worker(
        &self,
        order: &AttemptSpec,
        target: TargetIx,
        step: &Step,
        cancel: &Cancel,
        sink: &OutputSink,
    ) -> Outcome {
        let timeout = Self::timeout(step);
        let host = self.host(target);
        let drain = DisabledEdits {
            bucket: &self.bucket,
            lock: &self.lock,
            own: &self.own,
            run: &self.fence.run,
            cancel,
        };
        match (&order.intent, &step.kind) {
            (Intent::ReadBootId, _) => self.read_boot_id(target, cancel),
            (Intent::UndoEnable, _) | (Intent::Do { .. }, StepKind::Enable) => drain.enable(host),
            (Intent::UndoDeploy, _) => {
                self.deploy(Kind { jobs: None, force: false }, host, timeout, cancel, sink)
            }
            (Intent::UndoStop, StepKind::Job { jobs, .. }) => {
                self.job(JobAction::Start, target, jobs.as_ref(), timeout, cancel, sink)
            }
            (Intent::UndoCommand, StepKind::Run(command)) => match &command.undo {
                Undo::Command(text) => self.run(target, command, text, None, timeout, cancel, sink),
                Undo::Unstated | Undo::Nothing => said("nothing to undo"),
            },
            (Intent::UndoCommand, StepKind::Local(command)) => match &command.undo {
                Undo::Command(text) => self.local(command, text, None, timeout, cancel, sink),
                Undo::Unstated | Undo::Nothing => said("nothing to undo"),
            },
            (Intent::Reboot { boot_id, generation }, StepKind::Reboot { .. }) => {
                self.reboot(target, order.step, step, boot_id, *generation, cancel)
            }
            (Intent::AwaitBoot { .. }, StepKind::WaitForSsh { settle, interval }) => {
                self.wait(target, order, *settle, *interval, timeout, cancel)
            }
            (_, StepKind::Disable { jobs }) => {
                let entries = match self.jobs_here(target, jobs.as_ref()) {
                    None => vec![DisabledEntry::Worker(host.clone())],
                    Some(jobs) => {
                        jobs.into_iter().map(|job| DisabledEntry::Allocation(job, host.clone())).collect()
                    }
                };
                drain.disable(&entries)
            }
            (_, StepKind::Deploy { jobs, force }) => {
                let kind = Kind { jobs: names(jobs.as_ref()), force: *force };
                self.deploy(kind, host, timeout, cancel, sink)
            }
            (_, StepKind::Job { action, jobs }) => {
                self.job(*action, target, jobs.as_ref(), timeout, cancel, sink)
            }
            (_, StepKind::Run(command)) => match self.text(command) {
                Ok(text) => self.run(target, command, text, command.unless.as_deref(), timeout, cancel, sink),
                Err(outcome) => outcome,
            },
            (_, StepKind::Health { jobs, wait, scope }) => {
                let here = matches!(scope, HealthScope::Worker).then(|| vec![host.clone()]);
                let jobs = match here {
                    Some(_) => self.jobs_here(target, jobs.as_ref()),
                    None => names(jobs.as_ref()),
                };
                self.health(jobs, here, *wait, timeout, cancel, sink)
            }
            (_, StepKind::SyncCheck { repair }) => self.sync_check(host, *repair, timeout, cancel, sink),
            _ => self.once(order, step, cancel, sink),
        }
    }

    /// Steps that do not belong to one worker.
    pub(super) fn once(
        &self,
        order: &AttemptSpec,
        step: &Step,
        cancel: &Cancel,
        sink: &OutputSink,
    ) -> Outcome {
        let timeout = Self::timeout(step);
        match &step.kind {
            StepKind::Build => self.deployer.build(&self.call(timeout, cancel, Some(sink))),
            StepKind::Deploy { jobs, force } => {
                let hosts = self.graph.target_indices().map(|target| self.host(target).clone()).collect();
                let kind = Kind { jobs: names(jobs.as_ref()), force: *force };
                let call = self.call(timeout, cancel, Some(sink));
                worst(self.deployer.deploy(kind, hosts, &call))
            }
            StepKind::Local(command) => match self.text(command) {
                Ok(text) => self.local(command, text, command.unless.as_deref(), timeout, cancel, sink),
                Err(outcome) => outcome,
            },
            StepKind::Health { jobs, wait, .. } => {
                self.health(names(jobs.as_ref()), None, *wait, timeout, cancel, sink)
            }
            other => {
                // Validation keeps such a plan from being run; an error is better than a panic.
                let message = format!("`{}` has no meaning in {:?}", other.keyword(), order.lane);
                Outcome::Failed { error: StepError::new(ErrorKind::Controller, message) }
            }
        }
    }

    fn read_boot_id(&self, target: TargetIx, cancel: &Cancel) -> Outcome {
        let access = self.access(target, cancel);
        let mut last = StepError::new(ErrorKind::BootIdUnreadable, "no boot id was read");
        for tries in 0..READ_TRIES {
            match probe::probe(&access, PATIENT_LOOK) {
                Ok(seen) => {
                    return Outcome::Ok {
                        evidence: crate::engine::Evidence::BootId { boot_id: seen.boot_id },
                    };
                }
                Err(LookError { failure, error }) => {
                    last = error;
                    if failure == LookFailure::Final {
                        break;
                    }
                }
            }
            if !access.pause(Duration::from_millis(500) * (tries + 1)) {
                break;
            }
        }
        Outcome::Failed { error: last }
    }

    fn reboot(
        &self,
        target: TargetIx,
        at: StepIx,
        step: &Step,
        boot_id: &str,
        generation: u32,
        cancel: &Cancel,
    ) -> Outcome {
        let StepKind::Reboot { command, down_within, unless } = &step.kind else {
            return said("not a reboot");
        };
        let access = self.access(target, cancel);
        let environment = match Environment::of(&self.graph.plan, None) {
            Ok(environment) => environment,
            Err(error) => return Outcome::Failed { error },
        };
        let receipt = self.receipt(at);
        let sudo = access.profile.use_sudo;
        let unless = unless.as_ref().map(|text| {
            reboot::users_script("unless", text, environment.values.clone(), sudo, Self::timeout(step))
        });
        let order = RebootOrder {
            boot_id,
            generation,
            receipt: &receipt,
            command: &reboot::command_for(&access.profile, command),
            unless,
            down_within: *down_within,
        };
        reboot(&access, &order)
    }

    fn receipt(&self, step: StepIx) -> String {
        reboot::receipt_name(&self.fence.run, &self.graph.plan.steps[step.index()].id)
    }

    fn wait(
        &self,
        target: TargetIx,
        order: &AttemptSpec,
        settle: Duration,
        interval: Duration,
        timeout: Duration,
        cancel: &Cancel,
    ) -> Outcome {
        let Intent::AwaitBoot { not, reboot_step, reboot_issued } = &order.intent else {
            return said("not a wait");
        };
        let access = self.access(target, cancel);
        let down_within = reboot_step
            .and_then(|at| match &self.graph.plan.steps[at.index()].kind {
                StepKind::Reboot { down_within, .. } => Some(*down_within),
                _ => None,
            })
            .unwrap_or_default();
        let spec = ReturnSpec {
            not: not.clone(),
            down_within,
            ordered_before: reboot_issued.map(reboot::passed_since).unwrap_or_default(),
            grace_after_absence: Duration::ZERO,
            settle: settle / self.bucket.settings().time_scale(),
            interval,
            timeout,
            seed: order.attempt.0,
        };
        wait(&access, spec, &|| reboot_step.and_then(|at| reboot::command_output(&access, &self.receipt(at))))
    }

    fn deploy(
        &self,
        kind: Kind,
        host: &Host,
        timeout: Duration,
        cancel: &Cancel,
        sink: &OutputSink,
    ) -> Outcome {
        let call = self.call(timeout, cancel, Some(sink));
        let hosts = BTreeSet::from([host.clone()]);
        worst(self.deployer.deploy(kind, hosts, &call))
    }

    fn job(
        &self,
        action: JobAction,
        target: TargetIx,
        jobs: Option<&Vec<Located<String>>>,
        timeout: Duration,
        cancel: &Cancel,
        sink: &OutputSink,
    ) -> Outcome {
        let jobs = self.jobs_here(target, jobs);
        if jobs.as_ref().is_some_and(Vec::is_empty) {
            return said("none of these jobs is on this worker");
        }
        let word = match action {
            JobAction::Start => "start",
            JobAction::Stop => "stop",
            JobAction::Restart => "restart",
        };
        let request = JobRequest {
            target: word.into(),
            jobs: jobs.unwrap_or_default(),
            workers: Some(vec![self.host(target).clone()]),
        };
        match self.catalog.job(&request, &self.call(timeout, cancel, Some(sink))) {
            Ok(report) => of_report(&report),
            Err(error) => refused(error),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "all of them belong to one call, and it has two callers")]
    fn run(
        &self,
        target: TargetIx,
        command: &CommandStep,
        text: &str,
        unless: Option<&str>,
        timeout: Duration,
        cancel: &Cancel,
        sink: &OutputSink,
    ) -> Outcome {
        match Environment::of(&self.graph.plan, Some(command)) {
            Ok(environment) => {
                let access = self.access(target, cancel);
                let host = self.host(target);
                let live = |bytes: &[u8]| sink(Some(host), bytes);
                on_worker(&access, text, unless, &environment, timeout, &live)
            }
            Err(error) => Outcome::Failed { error },
        }
    }

    fn local(
        &self,
        command: &CommandStep,
        text: &str,
        unless: Option<&str>,
        timeout: Duration,
        cancel: &Cancel,
        sink: &OutputSink,
    ) -> Outcome {
        if !self.bucket.settings().executes_local() {
            return said("recorded and not executed: this fleet is a sandbox");
        }
        match Environment::of(&self.graph.plan, Some(command)) {
            Ok(environment) => {
                let live = |bytes: &[u8]| sink(None, bytes);
                on_this_machine(&self.folder(), text, unless, &environment, timeout, cancel, &live)
            }
            Err(error) => Outcome::Failed { error },
        }
    }

    /// The text of a command: the plan's own, or that of its script when the run began.
    fn text<'a>(&'a self, command: &'a CommandStep) -> Result<&'a str, Outcome> {
        match &command.action {
            CommandSource::Command(text) => Ok(text),
            CommandSource::Script(path) => {
                self.scripts.get(&path.value).map(String::as_str).ok_or_else(|| {
                    let message = format!("the run has no copy of the script {}", path.value);
                    Outcome::Failed { error: StepError::new(ErrorKind::Controller, message) }
                })
            }
        }
    }

    fn health(
        &self,
        jobs: Option<Vec<JobName>>,
        workers: Option<Vec<Host>>,
        wait: bool,
        timeout: Duration,
        cancel: &Cancel,
        sink: &OutputSink,
    ) -> Outcome {
        let request = HealthRequest { jobs, workers, wait };
        match self.catalog.health(&request, &self.call(timeout, cancel, Some(sink))) {
            Ok(report) => of_health(&report),
            Err(error) => refused(error),
        }
    }

    fn sync_check(
        &self,
        host: &Host,
        repair: bool,
        timeout: Duration,
        cancel: &Cancel,
        sink: &OutputSink,
    ) -> Outcome {
        let call = self.call(timeout, cancel, Some(sink));
        let checked = match self.catalog.sync_check(std::slice::from_ref(host), &call) {
            Ok(report) => of_report(&report),
            Err(error) => refused(error),
        };
        match checked {
            Outcome::Failed { .. } if repair => {
                self.deploy(Kind { jobs: None, force: false }, host, timeout, cancel, sink)
            }
            Outcome::Failed { error } if error.kind == ErrorKind::Catalog => {
                Outcome::Failed { error: StepError { kind: ErrorKind::OutOfSync, ..error } }
            }
            other => other,
        }
    }
}

fn names(jobs: Option<&Vec<Located<String>>>) -> Option<Vec<JobName>> {
    jobs.map(|jobs| jobs.iter().filter_map(|job| JobName::parse(&job.value)).collect())
}

/// Of several workers' outcomes the one that decides: the first that is not well.
fn worst(outcomes: BTreeMap<Host, Outcome>) -> Outcome {
    let several = outcomes.len() > 1;
    let mut well = said("nothing to do");
    for (host, outcome) in outcomes {
        match outcome {
            Outcome::Ok { .. } if several => well = said("done"),
            Outcome::Ok { evidence } => well = Outcome::Ok { evidence },
            Outcome::Failed { error } if several => {
                let message = format!("{host}: {}", error.message);
                return Outcome::Failed { error: StepError { message, ..error } };
            }
            other => return other,
        }
    }
    well
}

fn of_report(report: &Report) -> Outcome {
    let mut well = Vec::new();
    let all = report.workers.values().chain(report.allocations.iter().filter_map(|a| a.outcome.as_ref()));
    for outcome in all {
        match outcome_of(outcome) {
            Outcome::Ok { evidence: crate::engine::Evidence::Said { text } } => {
                if !well.contains(&text) {
                    well.push(text);
                }
            }
            other => return other,
        }
    }
    said(if well.is_empty() { "nothing to do".into() } else { well.join(", ") })
}

fn of_health(report: &HealthReport) -> Outcome {
    let mut sick = Vec::new();
    for (host, outcome) in &report.workers {
        if !outcome.is_ok() {
            sick.push(format!("{host}: {}", super::deployer::words_of(outcome)));
        }
    }
    for health in &report.allocations {
        if !health.outcome.is_ok() {
            sick.push(format!(
                "{} on {}: {}",
                health.job,
                health.host,
                super::deployer::words_of(&health.outcome)
            ));
        }
    }
    if sick.is_empty() {
        let probed = report.allocations.iter().filter(|health| !health.without_probes).count();
        let workers = report.workers.len();
        return said(format!(
            "{} {}, {} {} probes",
            counted(workers, "worker"),
            if workers == 1 { "answers" } else { "answer" },
            counted(probed, "allocation"),
            if probed == 1 { "passes its" } else { "pass their" },
        ));
    }
    let output = Some(sick.join("\n"));
    let message = format!("{} not well: {}", sick.len(), sick[0]);
    Outcome::Failed { error: StepError { kind: ErrorKind::Unhealthy, message, output } }
}

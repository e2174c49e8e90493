//! Which step kind is carried out by what.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::boot::{AUTH_REFUSED_FOR, LookError, LookFailure, PATIENT_LOOK, ReturnSpec};
use crate::bucket::{DisabledEntry, Host, JobName};
use crate::catalog::{HealthReport, HealthRequest, JobRequest, Report};
use crate::engine::{AttemptId, AttemptSpec, ErrorKind, Evidence, Intent, Outcome, StepError};
use crate::graph::{Lane, StepIx, TargetIx};
use crate::plan::{
    CommandStep, HealthScope, HttpExpect, HttpStep, HttpUndo, JobAction, Located, RebootUnless, StatusRange,
    Step, StepKind, Undo, counted,
};
use crate::report::purpose;
use crate::ssh::{Cancel, Connection};

use super::command::CommandText;
use super::deployer::{DeployKind, describe, outcome_of, refused};
use super::disabled_edits::DisabledEdits;
use super::environment::{Environment, Place};
use super::executor::{OutputSink, StepExecutor};
use super::own_text::Attempting;
use super::reboot::{self, RebootOrder, Unless, reboot};
use super::wait::wait;
use super::{kernel, probe};

/// Reading a boot id: one exchange, with a few tries for a busy sshd.
const READ_TRIES: u32 = 5;

impl StepExecutor {
    pub(super) fn on_worker(
        &self,
        order: &AttemptSpec,
        target: TargetIx,
        step: &Step,
        place: &Place,
        cancel: &Cancel,
        sink: &OutputSink,
    ) -> Outcome {
        let (attempt, timeout) = (order.attempt, self.timeout(step));
        let host = self.host(target);
        if let Err(error) = self.journal_knows(target, &order.intent, step, cancel) {
            return Outcome::Failed { error };
        }
        let of = Attempting { attempt, place, timeout, cancel, sink };
        let drain =
            DisabledEdits { bucket: &self.bucket, lock: &self.lock, own: &self.own, run: &self.run, cancel };
        match (&order.intent, &step.kind) {
            (Intent::ReadBootId, StepKind::Reboot { .. }) => self.read_boot_id(target, cancel),
            (Intent::UndoEnable, _) | (Intent::Do { .. }, StepKind::Enable) => drain.enable(host),
            (Intent::UndoDeploy, _) => {
                self.deploy(attempt, DeployKind { jobs: None, force: false }, host, timeout, cancel, sink)
            }
            (Intent::UndoStop, StepKind::Job { jobs, .. }) => {
                self.job(JobAction::Start, target, jobs.as_ref(), timeout, cancel, sink)
            }
            (Intent::UndoCommand, StepKind::Run(command @ CommandStep { undo: Undo::Command(text), .. })) => {
                let undo = CommandText { text, is_script: false, unless: None };
                self.run(target, command, undo, of)
            }
            (
                Intent::UndoCommand,
                StepKind::Local(command @ CommandStep { undo: Undo::Command(text), .. }),
            ) => {
                let undo = CommandText { text, is_script: false, unless: None };
                self.local(command, undo, of)
            }
            (Intent::UndoCommand, StepKind::Http(HttpStep { undo: HttpUndo::Request(undo), .. })) => {
                let success = HttpExpect { status: vec![StatusRange::SUCCESS], json: Vec::new() };
                self.http(undo, &success, of)
            }
            (
                Intent::Reboot { boot_id, generation },
                StepKind::Reboot { command, down_within, unless, .. },
            ) => {
                let access = self.access(target, cancel);
                let environment = match Environment::of(&self.graph.plan, None, place) {
                    Ok(environment) => environment,
                    Err(error) => return Outcome::Failed { error },
                };
                let sudo = access.profile.use_sudo;
                let script = |text: &str| {
                    reboot::users_script("unless", text, environment.values.clone(), sudo, timeout)
                };
                let order = RebootOrder {
                    boot_id,
                    generation: *generation,
                    receipt: &self.receipt(order.step),
                    command: &reboot::command_for(&access.profile, command),
                    environment: &environment,
                    unless: unless.as_ref().map(|unless| match unless {
                        RebootUnless::Command(text) => Unless::Command(script(text)),
                        RebootUnless::NotRequired { cannot_tell } => Unless::NotRequired(*cannot_tell),
                    }),
                    down_within: self.bucket.settings().timeout(*down_within),
                };
                reboot(&access, &order, &|bytes| sink(Some(host), bytes))
            }
            (
                Intent::AwaitBoot { not, reboot_step, reboot_issued, kernel, power_cycled },
                StepKind::WaitForSsh { settle, interval, .. },
            ) => {
                let spec = ReturnSpec {
                    not: not.clone(),
                    down_within: reboot_step.map(|at| self.down_within(at)).unwrap_or_default(),
                    ordered_before: reboot_issued.map(reboot::passed_since).unwrap_or_default(),
                    grace_after_absence: Duration::ZERO,
                    away_at_first: false,
                    auth_refused_for: AUTH_REFUSED_FOR,
                    settle: *settle / self.bucket.settings().time_scale(),
                    interval: *interval,
                    timeout,
                    seed: order.attempt.0,
                };
                let access = self.access(target, cancel);
                let output = || reboot_step.and_then(|at| reboot::command_output(&access, &self.receipt(at)));
                let say = |words: &str| sink(Some(host), format!("note: {words}\n").as_bytes());
                let late = |error: &mut StepError| {
                    self.ask_bmc(target, not.as_deref(), *power_cycled, cancel, error)
                };
                let outcome = wait(&access, spec, &|phase| self.tell(attempt, phase), &output, &say, &late);
                match (outcome, reboot_step.map(|at| &self.graph.plan.steps[at.index()].kind)) {
                    (
                        Outcome::Ok { evidence: Evidence::Back { boot_id, .. } },
                        Some(StepKind::Reboot { expect, .. }),
                    ) => kernel::prove(&access, boot_id, kernel.clone(), expect.as_ref(), &say),
                    (Outcome::Failed { mut error }, Some(StepKind::Reboot { command, .. }))
                        if error.kind == ErrorKind::NotRebooted =>
                    {
                        error.message.push_str(crate::boot::soft_reboot_note(command));
                        Outcome::Failed { error }
                    }
                    (outcome, _) => outcome,
                }
            }
            (Intent::PowerCycle { boot_id }, StepKind::WaitForSsh { .. }) => {
                let say = |words: &str| sink(Some(host), format!("note: {words}\n").as_bytes());
                self.power_cycle(target, boot_id, &say, cancel)
            }
            (Intent::Do { .. }, StepKind::Disable { jobs }) => {
                let entries = match self.jobs_here(target, jobs.as_ref()) {
                    None => vec![DisabledEntry::Worker(host.clone())],
                    Some(jobs) => {
                        jobs.into_iter().map(|job| DisabledEntry::Allocation(job, host.clone())).collect()
                    }
                };
                drain.disable(&entries)
            }
            (Intent::Do { .. }, StepKind::Deploy { jobs, force }) => {
                let kind = DeployKind { jobs: names(jobs.as_ref()), force: *force };
                self.deploy(attempt, kind, host, timeout, cancel, sink)
            }
            (Intent::Do { .. }, StepKind::Job { action, jobs }) => {
                self.job(*action, target, jobs.as_ref(), timeout, cancel, sink)
            }
            (Intent::Do { .. }, StepKind::Run(command)) => match self.text(command) {
                Ok(text) => self.run(target, command, text, of),
                Err(outcome) => outcome,
            },
            (Intent::Do { .. }, StepKind::Health { jobs, wait, scope }) => {
                let here = matches!(scope, HealthScope::Worker).then(|| vec![host.clone()]);
                let jobs = match here {
                    Some(_) => self.jobs_here(target, jobs.as_ref()),
                    None => names(jobs.as_ref()),
                };
                let outcome = self.health(jobs, here, *wait, timeout, cancel, sink);
                if self.rebooted_as_it_was(order.step) { ended_by_the_reboot(outcome) } else { outcome }
            }
            (Intent::Do { .. }, StepKind::SyncCheck { repair }) => {
                self.sync_check(attempt, host, *repair, timeout, cancel, sink)
            }
            (Intent::Do { .. }, _) => self.once(order, step, place, cancel, sink),
            _ => mismatch(order, step),
        }
    }

    /// Steps that do not belong to one worker.
    pub(super) fn once(
        &self,
        order: &AttemptSpec,
        step: &Step,
        place: &Place,
        cancel: &Cancel,
        sink: &OutputSink,
    ) -> Outcome {
        let timeout = self.timeout(step);
        if !matches!(order.intent, Intent::Do { .. }) {
            return mismatch(order, step);
        }
        let of = Attempting { attempt: order.attempt, place, timeout, cancel, sink };
        match &step.kind {
            StepKind::Build => {
                let call = self.call(timeout, cancel, Some(sink));
                self.deployer.build(&call, &|phase| self.tell(order.attempt, phase))
            }
            StepKind::Deploy { jobs, force } => {
                let hosts = self.graph.target_indices().map(|target| self.host(target).clone()).collect();
                let kind = DeployKind { jobs: names(jobs.as_ref()), force: *force };
                let call = self.call(timeout, cancel, Some(sink));
                let tell = |phase| self.tell(order.attempt, phase);
                worst(self.deployer.deploy(kind, hosts, &call, &tell))
            }
            StepKind::Local(command) => match self.text(command) {
                Ok(text) => self.local(command, text, of),
                Err(outcome) => outcome,
            },
            StepKind::Http(HttpStep { request, expect, .. }) => self.http(request, expect, of),
            StepKind::Gate(gate) => self.gate(order.lane, gate, of),
            StepKind::Health { jobs, wait, .. } => {
                self.health(names(jobs.as_ref()), None, *wait, timeout, cancel, sink)
            }
            _ => mismatch(order, step),
        }
    }

    /// Whether this step comes after a reboot of a worker that was not drained, with nothing between that starts jobs.
    fn rebooted_as_it_was(&self, step: StepIx) -> bool {
        let steps = &self.graph.plan.steps;
        let (mut todo, mut seen) = (steps[step.index()].needs.clone(), BTreeSet::new());
        while let Some(at) = todo.pop() {
            match &steps[at].kind {
                _ if !seen.insert(at) => {}
                StepKind::Reboot { .. } => return true,
                // What was disabled is started by the deploy behind this.
                StepKind::Enable | StepKind::Job { action: JobAction::Start | JobAction::Restart, .. } => {}
                _ => todo.extend(&steps[at].needs),
            }
        }
        false
    }

    fn read_boot_id(&self, target: TargetIx, cancel: &Cancel) -> Outcome {
        let access = self.access(target, cancel);
        let mut last = StepError::new(ErrorKind::BootIdUnreadable, "no boot id was read");
        for tries in 0..READ_TRIES {
            let (kernel, hardware) = (RefCell::new(None), RefCell::new(None));
            let ask = |connection: &mut dyn Connection| {
                kernel.replace(kernel::running(&access, connection));
                hardware.replace(self.hardware(target, &access, connection));
            };
            match probe::probe_and(&access, PATIENT_LOOK, &ask) {
                Ok(seen) => {
                    let kernel = kernel.take();
                    self.keep_hardware(&access.host, &seen.boot_id, hardware.take());
                    return Outcome::Ok { evidence: Evidence::BootId { boot_id: seen.boot_id, kernel } };
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

    /// Within which time the command of a reboot step takes its worker down.
    fn down_within(&self, reboot: StepIx) -> Duration {
        match &self.graph.plan.steps[reboot.index()].kind {
            StepKind::Reboot { down_within, .. } => self.bucket.settings().timeout(*down_within),
            _ => Duration::ZERO,
        }
    }

    fn receipt(&self, step: StepIx) -> String {
        reboot::receipt_name(&self.run, &self.graph.plan.steps[step.index()].id)
    }

    fn deploy(
        &self,
        attempt: AttemptId,
        kind: DeployKind,
        host: &Host,
        timeout: Duration,
        cancel: &Cancel,
        sink: &OutputSink,
    ) -> Outcome {
        let call = self.call(timeout, cancel, Some(sink));
        let hosts = BTreeSet::from([host.clone()]);
        worst(self.deployer.deploy(kind, hosts, &call, &|phase| self.tell(attempt, phase)))
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
            return Outcome::noted("none of these jobs is on this worker");
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
        attempt: AttemptId,
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
                self.deploy(attempt, DeployKind { jobs: None, force: false }, host, timeout, cancel, sink)
            }
            Outcome::Failed { error } if error.kind == ErrorKind::Catalog => {
                Outcome::Failed { error: StepError { kind: ErrorKind::OutOfSync, ..error } }
            }
            other => other,
        }
    }
}

/// The engine issues no such attempt, and validation keeps such a step from being run where it has no meaning.
fn mismatch(order: &AttemptSpec, step: &Step) -> Outcome {
    let list = match order.lane {
        Lane::Before => "before",
        Lane::Worker(_) if step.prepares => "prepare",
        Lane::Worker(_) => "steps",
        Lane::After => "after",
    };
    let (what, kind) = (purpose(&order.intent), step.kind.keyword());
    let message = format!("`{what}` has no meaning for the step `{}` ({kind}) of `{list}`", step.id);
    Outcome::Failed { error: StepError::new(ErrorKind::Controller, message) }
}

fn names(jobs: Option<&Vec<Located<String>>>) -> Option<Vec<JobName>> {
    jobs.map(|jobs| jobs.iter().filter_map(|job| JobName::parse(&job.value)).collect())
}

/// Of several workers' outcomes the one that decides: the first that is not well.
fn worst(outcomes: BTreeMap<Host, Outcome>) -> Outcome {
    let several = outcomes.len() > 1;
    let mut well = Outcome::noted("nothing to do");
    for (host, outcome) in outcomes {
        match outcome {
            Outcome::Ok { .. } if several => well = Outcome::noted("done"),
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
            Outcome::Ok { evidence: Evidence::Note { text } } => {
                if !well.contains(&text) {
                    well.push(text);
                }
            }
            other => return other,
        }
    }
    Outcome::noted(if well.is_empty() { "nothing to do".into() } else { well.join(", ") })
}

/// A job that is not well after such a reboot very likely does not run.
fn ended_by_the_reboot(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Failed { error } if matches!(error.kind, ErrorKind::Unhealthy | ErrorKind::Catalog) => {
            let message = format!(
                "{}; the worker was not drained: what the reboot has ended is started by `maand job start JOB`",
                error.message
            );
            Outcome::Failed { error: StepError { message, ..error } }
        }
        outcome => outcome,
    }
}

fn of_health(report: &HealthReport) -> Outcome {
    let mut sick = Vec::new();
    for (host, outcome) in &report.workers {
        if !outcome.is_ok() {
            sick.push(format!("{host}: {}", describe(outcome)));
        }
    }
    for health in &report.allocations {
        if !health.outcome.is_ok() {
            sick.push(format!("{} on {}: {}", health.job, health.host, describe(&health.outcome)));
        }
    }
    if sick.is_empty() {
        let probed = report.allocations.iter().filter(|health| !health.without_probes).count();
        let workers = report.workers.len();
        return Outcome::noted(format!(
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

//! What a worker's BMC says of one that does not come back, and the one reset that a plan may order of it.
//!
//! A reset is sent by nobody but the attempt that was issued for it. Whatever keeps it from being sent is found out before:
//! what the BMC knows, and whether somebody answers at the worker after all.

use std::fmt::Display;
use std::time::{Duration, Instant};

use crate::boot::PATIENT_LOOK;
use crate::bucket::Host;
use crate::engine::{ErrorKind, Evidence, Outcome, PowerCycled, ResetOrdered, StepError};
use crate::graph::TargetIx;
use crate::plan::{OnNoReturn, StepKind, duration, without_error_numbers};
use crate::power::{Bmc, HARDWARE_LOOK, Hardware, PowerReport, ResetResult, Sameness};
use crate::ssh::{Cancel, ConnectError, Connection};

use super::access::{Access, plain};
use super::executor::StepExecutor;
use super::reboot::passed_since;

/// For a look that reads three small files.
const ASKED_WITHIN: Duration = Duration::from_secs(20);

impl StepExecutor {
    /// Puts into the error of a worker that is away what its BMC says. Where BMCs are not named, or this worker has none,
    /// nothing is asked; one that cannot be asked is a part of the error, and changes nothing else.
    /// `before`: the boot that it was in; `power_cycled`: the reset that was issued before.
    pub(super) fn ask_bmc(
        &self,
        target: TargetIx,
        before: Option<&str>,
        power_cycled: Option<PowerCycled>,
        cancel: &Cancel,
        error: &mut StepError,
    ) {
        if let Some(PowerCycled { at, order }) = power_cycled {
            let before = duration(Duration::from_secs(passed_since(at).as_secs()));
            error.message.push_str(&match order {
                ResetOrdered::Taken => format!("; a forced reset was ordered {before} before"),
                ResetOrdered::NotSent => String::new(),
                ResetOrdered::Unknown => format!(
                    "; whether the forced reset of {before} before was made is not known, and it is not ordered again"
                ),
            });
        }
        let Some(settings) = &self.bucket.settings().power else { return };
        let worker = self.graph.fleet.worker(self.graph.target(target).worker);
        let Some(bmc) = Bmc::of(settings, worker) else { return };
        let said = match bmc {
            Err(why) => format!("its BMC could not be asked: {why}"),
            Ok(bmc) => match bmc.look(&|| cancel.is_cancelled()) {
                Err(why) => format!("its BMC ({}) could not be asked: {why}", bmc.url()),
                Ok(report) => self.beside(target, before, power_cycled.is_some(), &bmc, &report, error),
            },
        };
        error.message = format!("{}; {}", error.message, without_error_numbers(&said));
    }

    /// What a BMC has said, in words; its log becomes the output of the error. Another machine's says nothing of the worker.
    fn beside(
        &self,
        target: TargetIx,
        before: Option<&str>,
        is_reset: bool,
        bmc: &Bmc,
        report: &PowerReport,
        error: &mut StepError,
    ) -> String {
        if let Sameness::Other(both) = self.is_own_bmc(target, before, report) {
            return of_another(bmc, &both);
        }
        error.output = Some(report.log_lines().join("\n")).filter(|lines| !lines.is_empty());
        let last = report.last_reset.as_deref().filter(|_| is_reset);
        let last = last.map_or_else(String::new, |last| format!(", last reset {last}"));
        format!("its BMC ({}) says: {}{last}", bmc.url(), report.state())
    }

    /// Asks a worker which machine it is, where a step of the plan may have it reset.
    pub(super) fn hardware(
        &self,
        target: TargetIx,
        access: &Access,
        connection: &mut dyn Connection,
    ) -> Option<Hardware> {
        let resets = |kind: &StepKind| {
            matches!(kind, StepKind::WaitForSsh { on_no_return: OnNoReturn::PowerCycle, .. })
        };
        let settings = self.bucket.settings().power.as_ref().filter(|_| !access.profile.sandbox)?;
        let worker = self.graph.fleet.worker(self.graph.target(target).worker);
        if settings.url_of(worker).is_none() || !self.graph.plan.steps.iter().any(|step| resets(&step.kind)) {
            return None;
        }
        let script = access.script("which machine it is", HARDWARE_LOOK, ASKED_WITHIN);
        Some(Hardware::read(&plain(&access.host, connection.run(&script, None)).ok()?))
    }

    /// Keeps what a worker has said of its machine in this boot, for when it is away. Without, it cannot be compared, which
    /// is said then.
    pub(super) fn keep_hardware(&self, host: &Host, boot_id: &str, hardware: Option<Hardware>) {
        if let Some(hardware) = hardware {
            let _ = hardware.keep(&self.bucket.paths().data, host, boot_id);
        }
    }

    /// Whether a BMC that has said this belongs to the worker, which was in the boot `before` when it was last there.
    fn is_own_bmc(&self, target: TargetIx, before: Option<&str>, report: &PowerReport) -> Sameness {
        let kept = before.and_then(|boot| Hardware::kept(&self.bucket.paths().data, self.host(target), boot));
        match kept {
            Some(worker) => report.hardware.is_of(&worker),
            None => Sameness::CannotTell(
                "the worker was not asked which machine it is before it went away".to_owned(),
            ),
        }
    }

    /// Orders one forced reset of a worker that is not back from the boot `before`.
    pub(super) fn power_cycle(
        &self,
        target: TargetIx,
        before: &str,
        say: &dyn Fn(&str),
        cancel: &Cancel,
    ) -> Outcome {
        let host = self.host(target);
        let not_ordered = |why: &dyn Display| {
            let message = format!("{host} is not back, and no reset was ordered: {why}");
            Outcome::Failed { error: StepError::new(ErrorKind::Unreachable, message) }
        };
        let settings = match &self.bucket.settings().power {
            Some(settings) if !self.bucket.settings().sandbox => settings,
            Some(_) | None => return not_ordered(&"maand.conf does not say how BMCs are reached (`power`)"),
        };
        let bmc = match Bmc::of(settings, self.graph.fleet.worker(self.graph.target(target).worker)) {
            Some(Ok(bmc)) => bmc,
            Some(Err(why)) => return not_ordered(&why),
            None => return not_ordered(&"it names no BMC"),
        };
        let is_given_up = || cancel.is_cancelled();
        let order = match bmc.reset_order(&is_given_up) {
            Ok(order) => order,
            Err(why) => return not_ordered(&format!("its BMC ({}): {why}", bmc.url())),
        };
        match self.is_own_bmc(target, Some(before), &order.report) {
            Sameness::Same => {}
            Sameness::Other(both) => return not_ordered(&of_another(&bmc, &both)),
            Sameness::CannotTell(why) => {
                say(&format!(
                    "whether its BMC ({}) belongs to this machine cannot be told: {why}",
                    bmc.url()
                ));
            }
        }
        // The last thing before it is sent: a worker that answers may be writing.
        match self.is_away(target, cancel) {
            Presence::Away => {}
            Presence::Answers(what) => return Outcome::Ok { evidence: Evidence::Answers { what } },
            Presence::Unclear(why) => return not_ordered(&format!("it cannot be looked at before: {why}")),
        }
        if is_given_up() {
            return Outcome::unknown("given up before a reset was ordered");
        }
        if !self.lock.wait_until_held(&is_given_up) {
            return not_ordered(&"another controller has taken this run over");
        }
        match bmc.reset(&order, &is_given_up) {
            ResetResult::Ordered(receipt) => {
                let PowerReport { power, last_reset, .. } = order.report;
                let (bmc, reset) = (bmc.url().to_owned(), receipt.reset);
                Outcome::Ok { evidence: Evidence::PowerCycled { bmc, reset, power, last_reset } }
            }
            ResetResult::NotDone(why) => not_ordered(&format!("its BMC ({}): {why}", bmc.url())),
            ResetResult::Unknown(why) => Outcome::unknown(format!(
                "whether {host} was reset is not known: its BMC ({}): {why}",
                bmc.url()
            )),
        }
    }

    /// One look, by the connection alone.
    fn is_away(&self, target: TargetIx, cancel: &Cancel) -> Presence {
        match self.access(target, cancel).connect(Instant::now() + PATIENT_LOOK) {
            Ok(_) => Presence::Answers("it lets us in".to_owned()),
            Err(
                ConnectError::Refused { .. }
                | ConnectError::TimedOut { .. }
                | ConnectError::Unreachable { here: false, .. },
            ) => Presence::Away,
            // It was met, however little it said.
            Err(
                error @ (ConnectError::Handshake { .. }
                | ConnectError::LoginTimedOut { .. }
                | ConnectError::AuthRefused { .. }
                | ConnectError::NotExecuted { .. }
                | ConnectError::NoLogin { .. }),
            ) => Presence::Answers(error.to_string()),
            // A jump host that is down, a name that is not known, another host's key: nothing is known of the worker.
            Err(error) => Presence::Unclear(error.to_string()),
        }
    }
}

/// What is said of a BMC that is not the worker's; `both`: the numbers of both machines.
fn of_another(bmc: &Bmc, both: &str) -> String {
    format!("its BMC ({}) belongs to another machine: {both}; put right which BMC it names", bmc.url())
}

/// Whether somebody is there.
enum Presence {
    /// Nobody: nothing listens, or nothing answers.
    Away,
    /// Somebody: what was seen.
    Answers(String),
    /// It could not be looked at, and why.
    Unclear(String),
}

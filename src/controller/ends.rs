//! What came of watching a worker, as the outcome of an attempt.

use std::time::Duration;

use crate::boot::{CommandState, NotYet, RebootEnd, Return, soft_reboot_note};
use crate::engine::{ErrorKind, Evidence, Outcome, StepError};
use crate::plan::duration;

/// The outcome of a `wait_for_ssh` on `host` whose time-out was `timeout`.
pub fn return_outcome(host: &str, end: Return<StepError>, timeout: Duration) -> Outcome {
    let error = match end {
        Return::Back { boot_id, .. } => {
            return Outcome::Ok { evidence: Evidence::Back { boot_id, kernel: None } };
        }
        Return::NotRebooted { boot_id, since } => old_boot(host, &boot_id, since),
        Return::CrashLoop { first, then } => StepError::new(
            ErrorKind::CrashLoop,
            format!("{host} booted again and again while settling ({first}, then {then}): a crash loop"),
        ),
        Return::Failed(error) => error,
        Return::TimedOut { last: None } => StepError::new(
            ErrorKind::TimedOut,
            format!("{host} did not stay well for the settle time within {}", duration(timeout)),
        ),
        Return::TimedOut { last: Some(last) } => {
            let last = match last {
                NotYet::Unseen(error) => error,
                NotYet::OldBoot { boot_id, since } => old_boot(host, &boot_id, since),
                NotYet::Unsettled { why } => StepError::new(ErrorKind::NotSettled, format!("{host}: {why}")),
            };
            StepError {
                message: format!("not back within {}; last: {}", duration(timeout), last.message),
                ..last
            }
        }
    };
    Outcome::Failed { error }
}

fn old_boot(host: &str, boot_id: &str, since: Duration) -> StepError {
    let seconds = since.as_secs();
    StepError::new(
        ErrorKind::NotRebooted,
        format!(
            "{host} still has the boot id {boot_id} {seconds}s after the reboot command: it did not reboot"
        ),
    )
}

/// The outcome of a step on `host`, which was seen in another boot than the step began in.
pub fn booted_by_itself(host: &str, boot_id: String) -> Outcome {
    Outcome::Unknown {
        why: format!(
            "{host} has booted by itself meanwhile: what the step had begun there is not running any more"
        ),
        boot_id: Some(boot_id),
    }
}

/// The outcome of a reboot step on `host`, whose `command` was to take it down `within`.
pub fn reboot_outcome(
    host: &str,
    before: &str,
    command: &str,
    within: Duration,
    end: RebootEnd<StepError>,
) -> Outcome {
    match end {
        RebootEnd::Rebooted { boot_id } => Outcome::Ok { evidence: Evidence::Rebooted { boot_id } },
        RebootEnd::Departed => Outcome::Ok { evidence: Evidence::Departed },
        RebootEnd::NotNeeded => Outcome::Ok { evidence: Evidence::NotNeeded { why: None } },
        RebootEnd::NotRebooted { command: state } => {
            let within = duration(within);
            let message = match state {
                Some(CommandState::Ended(code)) if code != 0 => format!(
                    "`{command}` ended with exit code {code}, and {host} still has the boot id {before}: it did not go \
                     down"
                ),
                Some(CommandState::Running) => format!(
                    "{host} still has the boot id {before} {within} after `{command}`, which still runs there and may \
                     take it down later: a retry waits for it and starts no second one"
                ),
                Some(CommandState::Scheduled(what)) => format!(
                    "{host} still has the boot id {before} {within} after `{command}`, and has a shutdown scheduled \
                     ({what}): a retry waits for it and starts no second one; `shutdown -c` on the worker cancels it"
                ),
                _ => format!(
                    "{host} still has the boot id {before} {within} after `{command}`: it did not go down{}",
                    soft_reboot_note(command)
                ),
            };
            Outcome::Failed { error: StepError::new(ErrorKind::NotRebooted, message) }
        }
        RebootEnd::Unchanged(error) => Outcome::unknown(format!(
            "the reboot command was sent, {}, and the boot id is as before",
            error.message
        )),
        RebootEnd::Unanswered(error) => {
            Outcome::unknown(format!("looking before the reboot: {}", error.message))
        }
        RebootEnd::Failed(error) => Outcome::Failed { error },
    }
}

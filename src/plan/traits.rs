//! What the rest of the program asks of a kind of step, in one table: a new kind is a new row here.

use std::time::Duration;

use super::{CommandStep, JobAction, RebootUnless, StepKind};

/// What a step of some kind, with its options, is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepTraits {
    /// It takes its worker down: budgets and failure domains count the worker from its admission on.
    pub disturbs: bool,
    /// When it times out, it may still be changing something.
    pub touches: bool,
    /// It may be carried out again when it is not known whether it was.
    pub repeatable: bool,
    /// A success shows that the worker is there.
    pub reaches_worker: bool,
    /// An engine that contacts every worker cannot do it while one of them is down.
    pub catalog_operation: bool,
    /// Programs that the worker must have, besides a POSIX shell.
    pub tools: &'static [Tool],
    /// What it usually takes. Rules of thumb for small virtual machines: files are edited at once, a deploy is
    /// an SSH session and a `make`, a machine boots in about a minute.
    pub usual_duration: Duration,
}

/// A program on a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tool {
    /// The shell of plans' commands.
    Bash,
    /// Deploys of the built-in engine.
    Make,
    /// Deploys of the built-in engine.
    Tar,
    /// One script at a time.
    Flock,
}

impl Tool {
    /// The name of the program.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bash => "bash",
            Self::Make => "make",
            Self::Tar => "tar",
            Self::Flock => "flock",
        }
    }
}

impl StepKind {
    /// It changes nothing, may be repeated, and ends nothing that an earlier step has begun: nothing is lost by giving it up.
    /// (A worker that was sent into a reboot is waited for.)
    pub fn only_looks(&self) -> bool {
        let traits = self.traits();
        !traits.touches && traits.repeatable && !matches!(self, Self::WaitForSsh { .. })
    }

    /// What a step of this kind is like.
    pub fn traits(&self) -> StepTraits {
        use Tool::{Bash, Flock, Make, Tar};
        // On the controller.
        const fn row(seconds: u64) -> StepTraits {
            StepTraits {
                disturbs: false,
                touches: true,
                repeatable: true,
                reaches_worker: false,
                catalog_operation: false,
                tools: &[],
                usual_duration: Duration::from_secs(seconds),
            }
        }
        const fn on_worker(seconds: u64) -> StepTraits {
            StepTraits { reaches_worker: true, ..row(seconds) }
        }
        const fn catalog(seconds: u64) -> StepTraits {
            StepTraits { catalog_operation: true, ..on_worker(seconds) }
        }
        let repeatable = |command: &CommandStep| command.idempotent || command.unless.is_some();
        match self {
            // The `deploy` after it stops the jobs.
            Self::Disable { .. } => StepTraits { disturbs: true, ..row(1) },
            Self::Enable => row(1),
            Self::Deploy { .. } => StepTraits { tools: &[Make, Tar, Flock], ..catalog(20) },
            Self::Build => row(3),
            Self::Job { action, .. } => StepTraits { disturbs: *action != JobAction::Start, ..catalog(10) },
            Self::Reboot { unless, .. } => {
                let is_command = matches!(unless, Some(RebootUnless::Command(_)));
                let tools: &[Tool] = if is_command { &[Bash, Flock] } else { &[Flock] };
                StepTraits { disturbs: true, tools, ..on_worker(15) }
            }
            Self::WaitForSsh { settle, .. } => StepTraits {
                touches: false,
                usual_duration: Duration::from_secs(60).saturating_add(*settle),
                ..on_worker(0)
            },
            Self::Run(command) => StepTraits {
                disturbs: command.disturbs,
                repeatable: repeatable(command),
                tools: &[Bash, Flock],
                ..on_worker(30)
            },
            Self::Local(command) => StepTraits { repeatable: repeatable(command), ..row(10) },
            Self::Http(step) => {
                // What only asks changes nothing, unless the plan says that it must not be sent twice.
                let touches = !step.request.method.is_safe() || !step.idempotent;
                StepTraits { touches, repeatable: step.idempotent, ..row(1) }
            }
            Self::Gate(gate) => StepTraits {
                touches: false,
                usual_duration: gate.least().saturating_add(Duration::from_secs(1)),
                ..row(1)
            },
            Self::Health { .. } => StepTraits { touches: false, ..catalog(5) },
            Self::SyncCheck { .. } => catalog(2),
            Self::Pause { duration } => StepTraits { touches: false, usual_duration: *duration, ..row(0) },
            Self::Approve { .. } => StepTraits { touches: false, ..row(0) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::CannotTell;
    use super::*;

    fn reboot(unless: Option<RebootUnless>) -> StepTraits {
        let (command, down_within) = ("reboot".to_owned(), Duration::ZERO);
        StepKind::Reboot { command, down_within, unless, expect: None }.traits()
    }

    #[test]
    fn only_what_takes_a_worker_down_disturbs_it() {
        let job = |action| StepKind::Job { action, jobs: None }.traits();
        assert!(reboot(None).disturbs && StepKind::Disable { jobs: None }.traits().disturbs);
        assert!(job(JobAction::Stop).disturbs && job(JobAction::Restart).disturbs);
        assert!(!job(JobAction::Start).disturbs && !StepKind::Enable.traits().disturbs);
    }

    #[test]
    fn a_reboot_needs_bash_only_for_its_condition() {
        assert_eq!(reboot(None).tools, [Tool::Flock]);
        let command = RebootUnless::Command("true".to_owned());
        assert_eq!(reboot(Some(command)).tools, [Tool::Bash, Tool::Flock]);
        let built_in = RebootUnless::NotRequired { cannot_tell: CannotTell::Fail };
        assert_eq!(reboot(Some(built_in)).tools, [Tool::Flock]);
    }
}

//! The things that every run keeps, whatever fails: what the simulator checks after every fact.

use std::fmt;

/// A promise of every run. The order is that of [`Invariant::number`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Invariant {
    /// Budgets, concurrency, failure domains and windows hold at every instant.
    Limits,
    /// A worker reboots once per reboot step.
    OneReboot,
    /// The intent is durable before its effect.
    IntentFirst,
    /// The plan's order is kept.
    PlanOrder,
    /// A worker takes part again only after its new boot is verified.
    VerifiedBoot,
    /// What a run disables is enabled again, or listed.
    NothingLeftDisabled,
    /// Entries of others in `disabled.json` are never touched.
    OthersEntries,
    /// A worker that an operator disabled stays disabled.
    OperatorsWorkers,
    /// A resume reaches the end of the undisturbed run.
    ResumeReachesEnd,
    /// A finished run is finished.
    FinishedStaysFinished,
    /// There is one controller.
    OneController,
    /// A run carries out its own stored plan.
    StoredPlan,
    /// Too many failures end admission.
    FailureLimit,
    /// Only legal transitions.
    LegalTransitions,
    /// What is not known is not taken for success.
    UnknownIsNotSuccess,
    /// Waits are bounded, and runs end.
    BoundedWaits,
    /// Secrets stay secret.
    NoSecretStored,
    /// Only selected workers are contacted.
    OnlySelectedContacted,
    /// A seed determines its trace.
    SameSeedSameTrace,
    /// A paused run admits no worker.
    PauseAdmitsNobody,
    /// Machines that boot by themselves are noticed and named.
    UnplannedBoots,
    /// Nobody is disturbed before all are prepared.
    PreparedFirst,
    /// Gates that fail or say nothing hold the rollout.
    GatesHold,
    /// A worker is reset by force once, after it is stored, and never while it answers.
    OneForcedReset,
    /// Silences are for workers that the run holds down, and end.
    Silences,
}

impl Invariant {
    /// Its number, from 1, by which design and commit messages name it.
    pub fn number(self) -> u8 {
        self as u8 + 1
    }

    /// What always holds, in one sentence.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Limits => {
                "no more workers are down at any instant than the plan allows, per job, per failure domain and overall"
            }
            Self::OneReboot => "each reboot step reboots a worker at most once in a run",
            Self::IntentFirst => "nothing touches a worker before the intent to do so is durable",
            Self::PlanOrder => "a step begins after all steps that it needs have succeeded or were skipped",
            Self::VerifiedBoot => {
                "a worker is enabled after a reboot only when its new boot has been verified"
            }
            Self::NothingLeftDisabled => {
                "whatever the run disabled is enabled at its end, or it is listed and the run does not succeed"
            }
            Self::OthersEntries => {
                "entries of others in disabled.json are never changed, and the file can be parsed at every instant"
            }
            Self::OperatorsWorkers => "a run never enables or touches a worker that an operator has disabled",
            Self::ResumeReachesEnd => {
                "a resume after any crash, or any two, reaches the end of the undisturbed run"
            }
            Self::FinishedStaysFinished => "a resume of a finished run does nothing",
            Self::OneController => {
                "one controller acts at a time: the epochs that a worker sees never go back"
            }
            Self::StoredPlan => "a run carries out the plan that it stored, whatever the file says now",
            Self::FailureLimit => "no worker is admitted once more workers have failed than max_failures",
            Self::LegalTransitions => {
                "every change of state is a legal one, facts have no gaps, and final states are final"
            }
            Self::UnknownIsNotSuccess => "an unknown outcome becomes a success only by an observation",
            Self::BoundedWaits => {
                "every wait but for approvals and windows is bounded, and a run without faults ends well"
            }
            Self::NoSecretStored => "no secret gets into facts, logs, arguments or reports",
            Self::OnlySelectedContacted => {
                "only selected workers are contacted, except by operations that the plan's summary names"
            }
            Self::SameSeedSameTrace => "the same seed gives the same trace",
            Self::PauseAdmitsNobody => "a paused run admits no worker, and active workers reach a safe state",
            Self::Silences => {
                "alerts are silenced of workers that the run holds down, or held a moment ago, of all of them, and for no longer than the plan says"
            }
            Self::UnplannedBoots => {
                "a worker that boots by itself in the middle of a step is noticed soon, and each boot that is seen and that the run has not made is named, no other one"
            }
            Self::PreparedFirst => {
                "no worker is disturbed before every selected worker has been prepared, or has failed to be"
            }
            Self::GatesHold => {
                "no worker starts and no wave begins or ends while a gate there fails or says nothing"
            }
            Self::OneForcedReset => {
                "a worker that does not come back from a reboot step is reset by force at most once, never before that is durable, and never while it answers"
            }
        }
    }
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invariant {} ({})", self.number(), self.describe())
    }
}

/// A broken invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which one.
    pub invariant: Invariant,
    /// What was seen instead, with the workers and steps concerned.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is broken: {}", self.invariant, self.what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_design() {
        let named = [
            (Invariant::Limits, 1),
            (Invariant::ResumeReachesEnd, 9),
            (Invariant::LegalTransitions, 14),
            (Invariant::PauseAdmitsNobody, 20),
            (Invariant::UnplannedBoots, 21),
            (Invariant::PreparedFirst, 22),
            (Invariant::GatesHold, 23),
            (Invariant::OneForcedReset, 24),
            (Invariant::Silences, 25),
        ];
        for (invariant, number) in named {
            assert_eq!(invariant.number(), number, "{invariant}");
        }
    }
}

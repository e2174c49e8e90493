//! What stands against continuing a run from a bundle: another controller may drive it, or knows more of it.

use crate::engine::StepError;
use crate::journal::{Holder, RunId};
use crate::runner::Claim;

/// One thing that stands against it.
#[derive(Clone, Debug, PartialEq)]
pub enum Obstacle {
    /// The process that carries the run out lives, on this machine.
    ControllerLives(Holder),
    /// It is stopped, or on another machine or in another container: it may live.
    ControllerMayLive(Holder),
    /// Nothing is known of it.
    ControllerUnknown,
    /// A worker has heard of a fact that the bundle does not have.
    Newer {
        /// The worker.
        host: String,
        /// The fact's number there.
        seq: String,
        /// The number of the bundle's newest fact.
        ends: u64,
    },
    /// A controller with a higher epoch has had the run since; it has recorded nothing there that the bundle lacks.
    TakenSince {
        /// The worker.
        host: String,
        /// The epoch that it has heard of.
        epoch: u64,
        /// The bundle's.
        known: u64,
        /// What stands there.
        claim: Option<Claim>,
    },
    /// Another run has been there since the run claimed it.
    UsedSince {
        /// The worker.
        host: String,
        /// The other run.
        run: String,
    },
    /// Another run's claim stands there.
    Claimed {
        /// The worker.
        host: String,
        /// The claim.
        claim: Claim,
    },
    /// The run had claimed it, and the claim is gone.
    ClaimGone {
        /// The worker.
        host: String,
    },
    /// The run had claimed it, and it remembers nothing of the run.
    Forgotten {
        /// The worker.
        host: String,
    },
    /// It cannot be asked, so the controller before may still drive it.
    NotAsked {
        /// The worker.
        host: String,
        /// Why.
        error: StepError,
    },
    /// It has heard of something between two looks: another controller is at work this moment.
    AtWork {
        /// The worker.
        host: String,
    },
    /// A script of a step is still at work there.
    StillRuns {
        /// The worker.
        host: String,
    },
    /// No worker at all could be asked.
    NobodyAsked,
}

impl Obstacle {
    /// Whether an operator who knows that no other controller lives may continue all the same.
    pub fn yields_to_take_over(&self) -> bool {
        match self {
            Self::ControllerMayLive(_)
            | Self::ControllerUnknown
            | Self::TakenSince { .. }
            | Self::ClaimGone { .. }
            | Self::Forgotten { .. }
            | Self::NotAsked { .. } => true,
            Self::ControllerLives(_)
            | Self::Newer { .. }
            | Self::UsedSince { .. }
            | Self::Claimed { .. }
            | Self::AtWork { .. }
            | Self::StillRuns { .. }
            | Self::NobodyAsked => false,
        }
    }

    /// What stands against it, for an operator.
    pub fn describe(&self) -> String {
        match self {
            Self::ControllerLives(holder) => format!("its controller lives: {}", holder.describe()),
            Self::ControllerMayLive(holder) => {
                format!("its controller may still live: {} has not left the run", holder.describe())
            }
            Self::ControllerUnknown => {
                "its controller may still live: the bundle does not say who it was".to_owned()
            }
            Self::Newer { host, seq, ends } => format!(
                "{host} has heard of a fact of this run that the bundle does not have (number {}; the bundle ends at \
                 {ends})",
                crate::ssh::visible(seq.as_bytes())
            ),
            Self::TakenSince { host, epoch, known, claim } => {
                let by = claim.as_ref().map_or_else(String::new, |claim| {
                    format!("; {} has claimed it, in {}", claim.who, claim.bucket)
                });
                format!(
                    "{host} has heard from a newer controller of this run (epoch {epoch}, the bundle's is {known}{by})"
                )
            }
            Self::UsedSince { host, run } => {
                let run = crate::ssh::visible(run.as_bytes());
                format!("{host} has been used by run {run} since this run claimed it")
            }
            Self::Claimed { host, claim } => {
                format!("{host} is claimed by run {} of {} (bucket {})", claim.run, claim.who, claim.bucket)
            }
            Self::ClaimGone { host } => {
                format!(
                    "{host} has no claim of this run any more: the run has ended elsewhere, or was released"
                )
            }
            Self::Forgotten { host } => format!("{host} remembers nothing of this run, which had claimed it"),
            Self::NotAsked { host, error } => {
                let whose = if error.message.contains(host.as_str()) { "" } else { host.as_str() };
                let colon = if whose.is_empty() { "" } else { ": " };
                format!("{whose}{colon}{}; the controller before may still drive it", error.message)
            }
            Self::AtWork { host } => {
                format!("{host} has heard of something this moment: another controller is at work")
            }
            Self::StillRuns { host } => format!("a step of the run is still at work on {host}"),
            Self::NobodyAsked => {
                "no worker of the run could be asked, so no other controller can be kept out".to_owned()
            }
        }
    }
}

/// A run is not continued from a bundle: what stands against it, all of it.
#[derive(Debug, thiserror::Error)]
#[error("run {run} is not taken from the bundle: {}", fenced_text(.fenced))]
pub struct NotTaken {
    /// The run.
    pub run: RunId,
    /// What stands against it.
    pub obstacles: Vec<Obstacle>,
    /// Workers that refuse the controller before from now on all the same.
    pub fenced: Vec<String>,
}

fn fenced_text(fenced: &[String]) -> String {
    if fenced.is_empty() {
        return "nothing was touched".to_owned();
    }
    format!("{} refuse the controller before already", fenced.join(", "))
}

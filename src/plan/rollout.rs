//! `rollout:` as it is in memory: how workers are taken, and what holds them back.

use std::time::Duration;

use serde::Serialize;

use super::{Freeze, Gate, Located, Window};

/// A number or a percentage, 0 to 100, of the selected workers (for budgets: of a job's allocations).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Amount {
    /// Exactly this many.
    Count(u64),
    /// This share.
    Percent(u8),
}

/// `rollout:` how the workers are taken.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RolloutSettings {
    /// How many at a time.
    pub concurrency: Located<Concurrency>,
    /// Sizes of the waves; empty: one wave with all.
    pub waves: Vec<Located<WaveSize>>,
    /// In which order the workers are taken.
    pub order: Order,
    /// How many failure domains may be disturbed at a time.
    pub spread: Option<Located<Spread>>,
    /// How much of each job must stay available, counted over the allocations of the whole bucket.
    pub budgets: Vec<Located<Budget>>,
    /// Maximum number of failed workers; the run halts at one more.
    pub max_failures: Located<Amount>,
    /// What happens to a worker whose step failed.
    pub on_failure: OnFailure,
    /// The pause after each wave, before the next.
    pub soak: Duration,
    /// New workers are admitted only within one of them; none: at any time.
    pub windows: Vec<Located<Window>>,
    /// No workers are admitted then, whatever the windows say.
    pub freeze: Option<Located<Freeze>>,
    /// What has to pass before and after each wave, and while workers are down.
    #[serde(skip_serializing_if = "RolloutGates::is_empty")]
    pub gates: RolloutGates,
}

/// Gates of the rollout, by their places.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RolloutGates {
    /// Before each wave, after the soak of the one before.
    pub before_wave: Vec<Gate>,
    /// After each wave, before its soak.
    pub after_wave: Vec<Gate>,
    /// While workers are under way, and before one is started.
    pub guard: Vec<Gate>,
}

impl RolloutGates {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.each().next().is_none()
    }

    /// All, each with its place as in a plan.
    pub fn each(&self) -> impl Iterator<Item = (&'static str, &Gate)> {
        let all =
            [("before_wave", &self.before_wave), ("after_wave", &self.after_wave), ("guard", &self.guard)];
        all.into_iter().flat_map(|(place, gates)| gates.iter().map(move |gate| (place, gate)))
    }
}

/// How many workers at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Concurrency {
    /// At most this many; percentages round down, to at least 1.
    AtMost(Amount),
    /// As many as budgets, spread and wave allow.
    Auto,
}

/// The size of one wave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WaveSize {
    /// This many; percentages round down, to at least 1.
    Of(Amount),
    /// Coverage canaries; never as the last size.
    Cover(Cover),
    /// All that are left; only as the last size.
    Rest,
}

/// A wave that has every value of these tags that no earlier wave has had, with as few workers as can be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cover {
    /// Keys of tags, in lower case; not empty.
    pub tags: Vec<Located<String>>,
    /// At most this many workers, also where they do not have every value; percentages round down, to at least 1.
    pub at_most: Option<Amount>,
}

/// In which order workers are taken.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// By `position` in `workers.json`.
    Position,
    /// By `position`, last first.
    Reverse,
    /// By host name.
    Host,
    /// These first, the others after them by position.
    Explicit(Vec<Located<String>>),
}

/// `spread: {tag: zone, at_most: 1}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Spread {
    /// The tag whose values are the failure domains.
    pub tag: String,
    /// How many of them may be disturbed at a time; at least 1.
    pub at_most: u64,
}

/// One entry of `budgets`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Budget {
    /// A job's name, or `*` for every job without an entry of its own.
    pub job: Located<String>,
    /// How much must stay available.
    pub bound: BudgetBound,
}

/// What must stay available of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BudgetBound {
    /// At least this many allocations available; percentages round up.
    MinAvailable(Amount),
    /// At most this many unavailable; percentages round down.
    MaxUnavailable(Amount),
}

/// What happens to a worker whose step failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// Leave it as it is.
    Halt,
    /// Undo its finished steps first, newest first.
    Revert,
}

//! `prepare:` what is done on all workers ahead, while none of them is down.
//!
//! Its steps are the first ones of [`Plan::steps`] and carry [`Step::prepares`]: a worker's attempts, failures and
//! answers are told of them as of all others. The rest of its steps begins behind all of them.

use std::borrow::Cow;

use serde::Serialize;

use super::{Amount, Located, Plan, Step};

/// `prepare:` without its steps.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Prepare {
    /// How many workers at a time; percentages are of the selected workers and round down, to at least 1.
    pub concurrency: Located<Amount>,
    /// Workers are prepared also while the windows are closed; a freeze holds all the same.
    pub outside_window: bool,
}

impl Prepare {
    /// How many workers at a time, where the plan does not say: a mirror or a registry serves that many, and a fleet
    /// of hundreds is prepared in tens of rounds.
    pub const CONCURRENCY: u64 = 10;
}

impl Plan {
    /// The steps of `prepare`.
    pub fn prepare_steps(&self) -> &[Step] {
        &self.steps[..self.prepares()]
    }

    /// The steps that follow when a worker's turn has come: those of `steps`.
    pub fn main_steps(&self) -> &[Step] {
        &self.steps[self.prepares()..]
    }

    /// Each list by itself, by its key: what its steps need is counted from its own first step.
    pub fn lists(&self) -> [(&'static str, Cow<'_, [Step]>); 4] {
        let ahead = self.prepares();
        let main = match ahead {
            0 => Cow::Borrowed(&self.steps[..]),
            _ => self.main_steps().iter().map(|step| alone(step, ahead)).collect(),
        };
        [
            ("before", Cow::Borrowed(&self.before[..])),
            ("prepare", Cow::Borrowed(self.prepare_steps())),
            ("steps", main),
            ("after", Cow::Borrowed(&self.after[..])),
        ]
    }

    /// How many of [`Plan::steps`] are `prepare`'s.
    pub fn prepares(&self) -> usize {
        self.steps.partition_point(|step| step.prepares)
    }
}

/// The step as if the first ones of its list were not there.
fn alone(step: &Step, without: usize) -> Step {
    let needs = step.needs.iter().filter_map(|need| need.checked_sub(without)).collect();
    Step { needs, ..step.clone() }
}

//! Whether one more worker may be prepared now. It holds no place, no domain and no budget: nothing of it is down.

use super::window::Schedule;
use super::{Admission, Conditions, Reason, Verdict};
use crate::graph::RolloutGraph;

/// What binds the preparation of workers.
#[derive(Clone, Debug, PartialEq)]
pub struct PrepareLimit {
    /// How many at a time.
    pub concurrency: u32,
    /// When; `None`: at any time.
    pub window: Option<Schedule>,
    /// The plan has a window whose time zone is not known here: never.
    pub window_unknown: bool,
}

impl PrepareLimit {
    /// Of a compiled plan; `None`: it prepares nobody.
    pub(super) fn resolve(graph: &RolloutGraph) -> Option<Self> {
        let prepare = graph.plan.prepare.as_ref()?;
        let concurrency = graph.numbers().prepare.as_ref()?.value;
        let schedule = if prepare.outside_window { Schedule::of_freezes(graph) } else { Schedule::of(graph) };
        let window_unknown = matches!(schedule, Some(Err(_)));
        Some(Self { concurrency, window: schedule.and_then(Result::ok), window_unknown })
    }
}

impl Admission {
    /// Whether one more worker may be prepared now, with so many under way (`now_ms`: milliseconds since 1970, UTC).
    pub fn may_prepare(&self, under_way: u32, now_ms: i64, conditions: &Conditions) -> Verdict {
        let Some(limit) = &self.limits().prepare else { return Verdict::Admit };
        // No worker has gone through its steps yet, and how long those take is no matter here.
        let conditions = Conditions { median_worker_ms: None, ..*conditions };
        if let Some(verdict) = self.stopped(&conditions) {
            return verdict;
        }
        let outside = Self::outside(limit.window.as_ref(), limit.window_unknown, now_ms, &conditions);
        let full = under_way >= limit.concurrency;
        let places = || full.then_some(Reason::Concurrency { active: under_way, allowed: limit.concurrency });
        outside.or_else(|| places().map(Verdict::Wait)).unwrap_or(Verdict::Admit)
    }
}

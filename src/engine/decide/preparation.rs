//! The part of `decide` that is about who is prepared next, before the first wave.

use super::super::Fact;
use super::Decide;
use crate::policy::Verdict;

impl Decide<'_> {
    /// The next worker that is prepared; behind the last one the first wave.
    pub(super) fn next_preparation(&mut self) -> Option<Fact> {
        let run = self.run;
        let Some(target) = run.preparation.next() else {
            return if run.all_are_prepared() { self.next_wave() } else { None };
        };
        let under_way = run.lanes.active().len() as u32;
        match run.admission.may_prepare(under_way, self.at, &run.conditions()) {
            Verdict::Admit => Some(Fact::PrepareStarted { target }),
            Verdict::Wait(_) if run.hold.paused().is_some() => None,
            Verdict::Wait(reason) => self.wait(target, &reason),
            Verdict::Refuse(reason) => self.halt_if_nobody_is_active(target, &reason),
        }
    }
}

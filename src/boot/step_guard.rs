//! Looks beside a step: has the worker booted by itself (a panic, a reset, a power cut) while the step waits for it?
//!
//! Where the worker itself is asked, a boot cuts the connection. A NAT, a jump host or a load balancer keeps it open, and
//! the step would wait for its whole time-out. So a worker that is silent is looked at beside the step from time to time,
//! and so is one whose answer was lost.

use std::time::Duration;

use super::look::{Look, Next, Probe};

/// After so much silence a look is due, and again after as much.
const LOOK_BESIDE_EVERY: Duration = Duration::from_secs(30);

/// After a lost answer a worker that boots is looked for so long: what it shows decides whether an operator is asked.
pub const LOST_LOOK_WITHIN: Duration = Duration::from_secs(60);

/// Between two looks after a lost answer.
const LOST_LOOK_EVERY: Duration = Duration::from_secs(1);

/// Says when a worker is looked at beside its step, and what a look means.
#[derive(Clone, Debug)]
pub struct StepGuard {
    /// The boot that was seen last. The step began in it, or in one that nobody has seen.
    before: String,
    every: Duration,
    /// When the last look ended, counted from the beginning of the step.
    looked: Duration,
}

impl StepGuard {
    /// `before` is the boot in which the worker was seen last. The times between looks are divided by `scale`: 1, but for
    /// a rehearsal.
    pub fn new(before: String, scale: u32) -> Self {
        Self { before, every: LOOK_BESIDE_EVERY / scale.max(1), looked: Duration::ZERO }
    }

    /// The time between two looks.
    pub fn every(&self) -> Duration {
        self.every
    }

    /// When the next look is due, where the step was heard of last at `heard`; both are counted from its beginning.
    pub fn due(&self, heard: Duration) -> Duration {
        heard.max(self.looked) + self.every
    }

    /// A look that began at `began` has ended at `now`, both counted from the beginning of the step. A boot that has come
    /// since is the answer: what the step had begun is not running any more.
    pub fn saw<E>(&mut self, began: Duration, now: Duration, look: Look<E>) -> Option<String> {
        self.looked = now;
        let probe = look.ok()?;
        let is_new = has_booted_since(&self.before, began, &probe);
        if !is_new {
            // It has booted between two steps, if it is another one.
            self.before = probe.boot_id;
            return None;
        }
        Some(probe.boot_id)
    }

    /// The answer of the step was lost, or did not come in time, so long after its beginning: the worker is looked at
    /// until it shows a boot, at most `within` ([`LOST_LOOK_WITHIN`], but for a rehearsal).
    pub fn lost(self, after: Duration, within: Duration) -> LostAnswer {
        LostAnswer { before: self.before, after, within }
    }
}

/// Whether a worker that was asked so long after the beginning of a step is in a boot that has come since. Without a word
/// of how long it is up, another boot than that of before is taken for one.
fn has_booted_since(before: &str, asked: Duration, probe: &Probe) -> bool {
    probe.boot_id != before && probe.up_for.is_none_or(|up_for| up_for < asked)
}

/// Looks for a worker whose answer was lost.
#[derive(Clone, Debug)]
pub struct LostAnswer {
    before: String,
    /// How long the step had lasted.
    after: Duration,
    within: Duration,
}

impl LostAnswer {
    /// A look that began at `began` has ended at `now`, both counted from the loss. The end says which other boot the
    /// worker is in, if that has come since the step began.
    pub fn next<E>(&self, began: Duration, now: Duration, look: Look<E>) -> Next<Option<String>> {
        match look {
            Ok(probe) => {
                let is_new = has_booted_since(&self.before, self.after + began, &probe);
                Next::Done(is_new.then_some(probe.boot_id))
            }
            Err(_) if now >= self.within => Next::Done(None),
            Err(_) => Next::LookAgain { pause: LOST_LOOK_EVERY, bound: super::PATIENT_LOOK },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{LookError, LookFailure};
    use super::*;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn up(id: &str, seconds: u64) -> Look<&'static str> {
        Ok(Probe { up_for: Some(s(seconds)), ..Probe::settled(id) })
    }

    fn nobody() -> Look<&'static str> {
        Err(LookError { failure: LookFailure::NoAnswer, error: "why" })
    }

    fn guard() -> StepGuard {
        StepGuard::new("b0".to_owned(), 1)
    }

    #[test]
    fn a_silent_worker_is_looked_at_every_thirty_seconds_and_another_boot_ends_the_step() {
        let mut guard = guard();
        assert_eq!(guard.due(s(0)), s(30));
        assert_eq!(guard.due(s(25)), s(55), "who is heard is not looked at");
        assert_eq!(guard.saw(s(30), s(31), up("b0", 9000)), None);
        assert_eq!(guard.due(s(0)), s(61));
        assert_eq!(guard.saw(s(61), s(76), nobody()), None);
        assert_eq!(guard.saw(s(106), s(107), up("b1", 20)), Some("b1".to_owned()));
    }

    /// What it had begun runs on: ending it would be wrong, and saying so as well.
    #[test]
    fn a_worker_that_booted_before_the_step_began_has_not_booted_in_its_middle() {
        let mut guard = guard();
        assert_eq!(guard.saw(s(30), s(31), up("b1", 90)), None);
        assert_eq!(guard.saw(s(61), s(62), up("b1", 121)), None);
        assert_eq!(guard.saw(s(92), s(93), up("b2", 12)), Some("b2".to_owned()));
        let lost = |after: u64| self::guard().lost(s(after), s(60));
        assert_eq!(lost(1).next(s(0), s(1), up("b1", 90)), Next::Done(None));
    }

    #[test]
    fn without_a_word_of_its_age_another_boot_is_a_new_one() {
        let silent = || Ok::<_, LookError<()>>(Probe::settled("b1"));
        assert_eq!(guard().saw(s(30), s(31), silent()), Some("b1".to_owned()));
        assert_eq!(guard().lost(s(1), s(60)).next(s(0), s(1), silent()), Next::Done(Some("b1".to_owned())));
    }

    #[test]
    fn after_a_lost_answer_a_worker_is_looked_for_until_it_shows_a_boot() {
        let lost = guard().lost(s(5), LOST_LOOK_WITHIN);
        assert!(matches!(lost.next(s(0), s(15), nobody()), Next::LookAgain { .. }));
        assert_eq!(lost.next(s(19), s(20), up("b1", 4)), Next::Done(Some("b1".to_owned())));
        assert_eq!(lost.next(s(19), s(20), up("b0", 9000)), Next::Done(None));
        assert_eq!(lost.next(s(45), s(60), nobody()), Next::Done(None));
    }

    #[test]
    fn a_rehearsal_has_shorter_times() {
        assert_eq!(StepGuard::new("b0".to_owned(), 60).due(s(0)), Duration::from_millis(500));
    }
}

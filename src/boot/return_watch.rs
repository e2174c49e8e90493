//! Is a worker back: reachable, booted anew where a reboot came before, done booting, and well through the
//! settle time?
//!
//! There is no back-off: a worker that is back is to be noticed soon. What a look costs is taken into account
//! instead (see [`Patience`]).

use std::time::Duration;

use super::look::{Look, LookError, LookFailure, Next, Patience, Probe};

/// Keys may be mounted late in a boot: in a plan's wait, a login that is refused for less than this is not yet an
/// answer.
pub const AUTH_REFUSED_FOR: Duration = Duration::from_secs(60);

/// A worker that answers nothing for so long while it settles is away: so long a connection to one that is there
/// may take.
const UNHEARD_FOR: Duration = Duration::from_secs(10);

/// So many boots more may follow the first one that was seen, as when firmware is updated, or after a dump of the
/// kernel's memory: a machine that boots more often is in a crash loop.
const MORE_BOOTS: usize = 2;

/// What to wait for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReturnSpec {
    /// Another boot id than this has to be seen; `None`: any boot will do.
    pub not: Option<String>,
    /// Seeing `not` for longer than this since the reboot was ordered means that there was no reboot.
    pub down_within: Duration,
    /// How long before the beginning of the watch the reboot was ordered.
    pub ordered_before: Duration,
    /// Seeing `not` within this after the worker was away proves nothing: its sshd may have been stopped first.
    pub grace_after_absence: Duration,
    /// It was away when the watch began, as the watch before this one has seen.
    pub away_at_first: bool,
    /// A login that is refused for so long ends the watch.
    pub auth_refused_for: Duration,
    /// How long it has to stay well.
    pub settle: Duration,
    /// Between two looks, before jitter.
    pub interval: Duration,
    /// The most that the whole watch may take, from its beginning.
    pub timeout: Duration,
    /// Draws the jitter.
    pub seed: u64,
}

/// How the watch has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Return<E> {
    /// It is back, and has stayed well through the settle time.
    Back {
        /// Its boot id.
        boot_id: String,
        /// The boots that it had begun to settle in before, the oldest first.
        earlier: Vec<String>,
    },
    /// It still has the boot id that it was to lose.
    NotRebooted {
        /// The boot id from before the reboot.
        boot_id: String,
        /// How long ago the reboot was ordered.
        since: Duration,
    },
    /// It has booted once more while settling, and more often than a machine does that is well.
    CrashLoop {
        /// The boot id that was settling.
        first: String,
        /// The one after it.
        then: String,
    },
    /// Looking again cannot help, or the login was refused for too long.
    Failed(E),
    /// Its time is up.
    TimedOut {
        /// What the last look has shown that was not as it should be.
        last: Option<NotYet<E>>,
    },
}

/// Why a worker that was seen is not back yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotYet<E> {
    /// It was not reached, or did not answer as a worker does.
    Unseen(E),
    /// It has the boot id that it was to lose.
    OldBoot {
        /// The boot id from before the reboot.
        boot_id: String,
        /// How long ago the reboot was ordered.
        since: Duration,
    },
    /// It is not done booting.
    Unsettled {
        /// What is still starting or has failed, from systemd.
        why: String,
    },
}

impl<E> Return<E> {
    /// The same with another kind of error.
    pub fn map_error<F>(self, map: impl Fn(E) -> F) -> Return<F> {
        match self {
            Self::Back { boot_id, earlier } => Return::Back { boot_id, earlier },
            Self::NotRebooted { boot_id, since } => Return::NotRebooted { boot_id, since },
            Self::CrashLoop { first, then } => Return::CrashLoop { first, then },
            Self::Failed(error) => Return::Failed(map(error)),
            Self::TimedOut { last } => Return::TimedOut {
                last: last.map(|last| match last {
                    NotYet::Unseen(error) => NotYet::Unseen(map(error)),
                    NotYet::OldBoot { boot_id, since } => NotYet::OldBoot { boot_id, since },
                    NotYet::Unsettled { why } => NotYet::Unsettled { why },
                }),
            },
        }
    }
}

/// Ways in which the watch can be broken on purpose, to show that the simulator's checks notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InjectedWatchFault {
    /// What is seen while settling never makes it begin anew.
    SettleNeverRestarts,
    /// A look that its own bound has cut short makes settling begin anew.
    SlowLoginRestarts,
    /// The boot id from before the reboot is taken for a new one.
    OldBootTaken,
    /// The settle time is not waited for.
    SettleIgnored,
}

/// Watches one worker come back.
#[derive(Clone, Debug)]
pub struct ReturnWatch<E> {
    spec: ReturnSpec,
    looks: u32,
    patience: Patience,
    /// The boot that is settling, and since when it has been well.
    settling: Option<(String, Option<Duration>)>,
    /// Those before it.
    earlier: Vec<String>,
    auth_refused_since: Option<Duration>,
    away_at: Option<Duration>,
    /// When the first began of the looks in a row to which nothing answered.
    unanswered_since: Option<Duration>,
    last: Option<NotYet<E>>,
    /// Always `None` in a release build.
    injected: Option<InjectedWatchFault>,
}

impl<E> ReturnWatch<E> {
    /// A watch that begins now.
    pub fn new(spec: ReturnSpec) -> Self {
        let away_at = spec.away_at_first.then_some(Duration::ZERO);
        Self {
            spec,
            looks: 0,
            patience: Patience::default(),
            settling: None,
            earlier: Vec::new(),
            auth_refused_since: None,
            away_at,
            unanswered_since: None,
            last: None,
            injected: None,
        }
    }

    /// Breaks the watch on purpose.
    #[cfg(any(test, debug_assertions))]
    #[must_use]
    pub fn broken(mut self, fault: Option<InjectedWatchFault>) -> Self {
        self.injected = fault;
        self
    }

    fn is_broken(&self, fault: InjectedWatchFault) -> bool {
        cfg!(any(test, debug_assertions)) && self.injected == Some(fault)
    }

    /// The bound of the next look.
    pub fn bound(&self) -> Duration {
        self.patience.bound()
    }

    /// A look that began at `began` has ended at `now`, both counted from the beginning of the watch.
    pub fn next(&mut self, began: Duration, now: Duration, look: Look<E>) -> Next<Return<E>> {
        let done = match look {
            Ok(probe) => {
                self.patience.succeeded(now.saturating_sub(began));
                (self.auth_refused_since, self.unanswered_since) = (None, None);
                // What was seen holds for the end of the look, not for its beginning.
                self.saw(now, probe)
            }
            Err(LookError { failure, error }) => self.saw_nothing(began, now, failure, error),
        };
        if let Some(done) = done {
            return Next::Done(done);
        }
        if now >= self.spec.timeout {
            return Next::Done(Return::TimedOut { last: self.last.take() });
        }
        self.looks += 1;
        Next::LookAgain { pause: self.pause(now), bound: self.patience.bound() }
    }

    /// The interval, jittered by a fifth either way so that many waits do not look in step, and no shorter than
    /// a look takes. The look that may be the last comes when it is due.
    fn pause(&self, now: Duration) -> Duration {
        let draw = (self.spec.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ u64::from(self.looks))
            .wrapping_mul(0xD6E8_FEB8_6659_FD93)
            >> 40;
        let jittered = self.spec.interval.mul_f64(0.8 + 0.4 * (draw as f64 / (1u64 << 24) as f64));
        let pause = jittered.max(self.patience.cost());
        match &self.settling {
            Some((_, Some(since))) if *since + self.spec.settle > now => {
                pause.min(*since + self.spec.settle - now)
            }
            _ => pause,
        }
    }

    fn saw(&mut self, now: Duration, probe: Probe) -> Option<Return<E>> {
        let Probe { boot_id, unsettled, .. } = probe;
        let is_old = self.spec.not.as_deref() == Some(boot_id.as_str());
        if is_old && !self.is_broken(InjectedWatchFault::OldBootTaken) {
            let since = self.spec.ordered_before + now;
            let proven = self.away_at.is_none_or(|away| now >= away + self.spec.grace_after_absence);
            if since > self.spec.down_within && proven {
                return Some(Return::NotRebooted { boot_id, since });
            }
            self.last = Some(NotYet::OldBoot { boot_id, since });
            return None;
        }
        if let Some((first, _)) = self.settling.take_if(|(settling, _)| *settling != boot_id) {
            if self.earlier.len() == MORE_BOOTS {
                return Some(Return::CrashLoop { first, then: boot_id });
            }
            // It settles again, in this boot.
            self.earlier.push(first);
        }
        if let Some(why) = unsettled {
            if !self.is_broken(InjectedWatchFault::SettleNeverRestarts) {
                self.settling = Some((boot_id, None));
            }
            self.last = Some(NotYet::Unsettled { why });
            return None;
        }
        let since = match self.settling.take() {
            Some((_, Some(since))) => since,
            _ => now,
        };
        let settled = now.saturating_sub(since) >= self.spec.settle;
        if settled || self.is_broken(InjectedWatchFault::SettleIgnored) {
            return Some(Return::Back { boot_id, earlier: std::mem::take(&mut self.earlier) });
        }
        self.settling = Some((boot_id, Some(since)));
        None
    }

    fn saw_nothing(
        &mut self,
        began: Duration,
        now: Duration,
        failure: LookFailure,
        error: E,
    ) -> Option<Return<E>> {
        self.patience.failed(failure);
        if failure == LookFailure::NoAnswer {
            self.unanswered_since.get_or_insert(began);
        } else {
            self.unanswered_since = None;
        }
        if failure == LookFailure::AuthRefused {
            let since = *self.auth_refused_since.get_or_insert(now);
            if now.saturating_sub(since) >= self.spec.auth_refused_for {
                return Some(Return::Failed(error));
            }
        } else {
            self.auth_refused_since = None;
        }
        match failure {
            LookFailure::Final => return Some(Return::Failed(error)),
            // Our own bound came first: that is no evidence against the worker. If it has gone, the next look
            // that succeeds shows another boot.
            LookFailure::CutShort if !self.is_broken(InjectedWatchFault::SlowLoginRestarts) => {}
            // One packet may be lost; a worker that is not heard for as long as any connection takes is away.
            LookFailure::NoAnswer
                if self.unanswered_since.is_some_and(|since| now.saturating_sub(since) < UNHEARD_FOR)
                    && !self.is_broken(InjectedWatchFault::SlowLoginRestarts) => {}
            // Settling begins anew, with the same boot.
            _ if !self.is_broken(InjectedWatchFault::SettleNeverRestarts) => {
                if let Some((_, since)) = &mut self.settling {
                    *since = None;
                }
            }
            _ => {}
        }
        if matches!(failure, LookFailure::Refused | LookFailure::NoAnswer | LookFailure::Lost) {
            self.away_at = Some(now);
        }
        self.last = Some(NotYet::Unseen(error));
        None
    }
}

#[cfg(test)]
mod tests;

//! One look at a worker, what it can show, and how long it may take.

use std::time::Duration;

/// The bound of a look at a worker of which no look has succeeded yet: where packets vanish, a connect takes
/// its whole bound, and a worker that is back has to be noticed within two seconds or so.
pub const FAST_LOOK: Duration = Duration::from_millis(2500);

/// The bound of every fourth look while none succeeds, and the most that a bound grows to by looks that were
/// cut short: no login that anybody puts up with takes longer.
pub const PATIENT_LOOK: Duration = Duration::from_secs(15);

/// After a login that took t, a look may take so many times t: logins vary with the load of the worker, which
/// is high after a boot.
const LOGIN_FACTOR: u32 = 3;

/// What a look has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Identifies the boot; the kernel draws it anew at each.
    pub boot_id: String,
    /// Why the worker is not done booting (or is going down), if so.
    pub unsettled: Option<String>,
    /// What is known of the reboot command that was started there, where that was asked.
    pub command: Option<CommandState>,
    /// How long its kernel has been running, where it says that.
    pub up_for: Option<Duration>,
}

impl Probe {
    /// A worker that is done booting.
    pub fn settled(boot_id: impl Into<String>) -> Self {
        Self { boot_id: boot_id.into(), unsettled: None, command: None, up_for: None }
    }
}

/// What a worker knows of a reboot command that was started there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandState {
    /// It, or a process that it has started, still runs, and may take the worker down at any time.
    Running,
    /// The system has a shutdown scheduled, as `shutdown -r +10` leaves it: when and which, as the system says it.
    Scheduled(String),
    /// It has ended with this exit code, and nothing of it is left.
    Ended(i32),
}

impl CommandState {
    /// It has failed, and nothing is left that may still take the worker down.
    pub fn has_failed(&self) -> bool {
        matches!(self, Self::Ended(code) if *code != 0)
    }
}

/// What kind of failure a look has met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookFailure {
    /// Looking again cannot help until an operator has acted: another host key, for example.
    Final,
    /// Nobody listens there, or the way there is closed: the port refuses, there is no route, the name is not known.
    Refused,
    /// Nothing answered within the bound of the look.
    NoAnswer,
    /// A worker is there, and the bound of the look came before the end of the login.
    CutShort,
    /// The connection broke before or after the login.
    Lost,
    /// The worker refuses the login.
    AuthRefused,
    /// The worker says that it lets nobody in now: it is booting or going down.
    NoLogin,
    /// It was reached and did not answer as a worker does.
    Strange,
}

/// A look that has shown nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LookError<E> {
    /// Its kind.
    pub failure: LookFailure,
    /// The error of whoever looked.
    pub error: E,
}

/// The result of one look.
pub type Look<E> = Result<Probe, LookError<E>>;

/// What to do after a look.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Next<T> {
    /// Look again.
    LookAgain {
        /// How long to wait before the look.
        pause: Duration,
        /// The most that the look may take.
        bound: Duration,
    },
    /// There is nothing more to see.
    Done(T),
}

/// How long looks may take, learnt from those before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Patience {
    /// The longest of the looks that have succeeded.
    login: Option<Duration>,
    /// Looks in a row that were not answered.
    unanswered: u32,
    /// Looks in a row that the bound has cut short.
    cut_short: u32,
}

impl Patience {
    /// The bound of the next look.
    pub fn bound(&self) -> Duration {
        let learnt = self.login.map_or(FAST_LOOK, |took| FAST_LOOK.max(took * LOGIN_FACTOR));
        if self.unanswered % 4 == 3 {
            return learnt.max(PATIENT_LOOK);
        }
        // Each one that was cut short wanted more: twice as much, up to what a patient look gets.
        let doubled = learnt * 2u32.saturating_pow(self.cut_short.min(8));
        doubled.min(learnt.max(PATIENT_LOOK))
    }

    /// What a look costs the worker: looking is never the larger part of its work.
    pub fn cost(&self) -> Duration {
        self.login.unwrap_or_default()
    }

    /// A look has succeeded, and took this long.
    pub fn succeeded(&mut self, took: Duration) {
        self.login = Some(self.login.map_or(took, |longest| longest.max(took)));
        (self.unanswered, self.cut_short) = (0, 0);
    }

    /// A look has failed.
    pub fn failed(&mut self, failure: LookFailure) {
        match failure {
            LookFailure::CutShort => {
                self.cut_short += 1;
                self.unanswered = 0;
            }
            LookFailure::NoAnswer | LookFailure::Refused | LookFailure::Lost => self.unanswered += 1,
            _ => (self.unanswered, self.cut_short) = (0, 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_login_of_six_seconds_a_look_may_take_eighteen() {
        let mut patience = Patience::default();
        assert_eq!(patience.bound(), FAST_LOOK);
        patience.failed(LookFailure::CutShort);
        assert_eq!(patience.bound(), FAST_LOOK * 2);
        patience.failed(LookFailure::CutShort);
        assert_eq!(patience.bound(), FAST_LOOK * 4);
        patience.succeeded(Duration::from_secs(6));
        assert_eq!(patience.bound(), Duration::from_secs(18));
    }

    #[test]
    fn every_fourth_look_at_a_worker_that_does_not_answer_is_patient() {
        let mut patience = Patience::default();
        let bounds: Vec<_> = (0..5)
            .map(|_| {
                let bound = patience.bound();
                patience.failed(LookFailure::NoAnswer);
                bound
            })
            .collect();
        assert_eq!(bounds, [FAST_LOOK, FAST_LOOK, FAST_LOOK, PATIENT_LOOK, FAST_LOOK]);
    }
}

//! Has a worker that was told to go down gone? Until another boot is seen, or it is gone, or its time is up.

use std::time::Duration;

use super::look::{CommandState, Look, LookError, LookFailure, Next, PATIENT_LOOK, Patience};

/// Between two looks: a shutdown takes seconds, and being late here is late for the whole worker.
pub const LOOK_EVERY: Duration = Duration::from_millis(700);

/// So many looks in a row that find nobody mean that the worker has gone; one alone may be a busy sshd. Gone is
/// not taken for a reboot, so that being wrong costs time, not safety.
const GONE_AFTER_FAILURES: u32 = 2;

/// A command that has failed may have been ended by the very shutdown that it asked for; a worker that is still there
/// so much later does not go down.
pub const COMMAND_FAILED_GRACE: Duration = Duration::from_secs(5);

/// How the watch has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Departure<E> {
    /// Another boot id than that of before.
    Rebooted {
        /// The boot id that was seen.
        boot_id: String,
    },
    /// Nobody answers there any more. Whether it reboots is not known.
    Departed,
    /// It had its time, and the boot it was in still runs as far as anybody knows.
    StillThere {
        /// The last look has seen that boot. Otherwise the worker let nobody in, as one does that goes down.
        seen: bool,
        /// What was known last of the command that was to take it down.
        command: Option<CommandState>,
    },
    /// Looking again cannot help.
    Failed(E),
}

/// Watches one worker go down.
#[derive(Clone, Debug)]
pub struct DepartureWatch {
    before: String,
    /// Counted from the beginning of the watch.
    within: Duration,
    gone: u32,
    /// The last look has seen the boot of before.
    seen: bool,
    command: Option<CommandState>,
    /// When the command was first seen to have failed.
    failed_at: Option<Duration>,
    patience: Patience,
}

impl DepartureWatch {
    /// `within` is counted from the beginning of the watch.
    pub fn new(before: String, within: Duration) -> Self {
        Self {
            before,
            within,
            gone: 0,
            seen: false,
            command: None,
            failed_at: None,
            patience: Patience::default(),
        }
    }

    /// The bound of the first look.
    pub fn bound(&self) -> Duration {
        self.patience.bound()
    }

    /// A look that began at `began` has ended at `now`, both counted from the beginning of the watch.
    pub fn next<E>(&mut self, began: Duration, now: Duration, look: Look<E>) -> Next<Departure<E>> {
        self.seen = look.is_ok();
        match look {
            Ok(probe) if probe.boot_id != self.before => {
                return Next::Done(Departure::Rebooted { boot_id: probe.boot_id });
            }
            Ok(probe) => {
                self.patience.succeeded(now.saturating_sub(began));
                self.gone = 0;
                if probe.command.is_some() {
                    self.command = probe.command;
                }
            }
            Err(LookError { failure, error }) => {
                self.patience.failed(failure);
                match failure {
                    LookFailure::Final => return Next::Done(Departure::Failed(error)),
                    LookFailure::Refused | LookFailure::NoAnswer | LookFailure::Lost => self.gone += 1,
                    // Something accepts connections and lets no login come to its end, however long it gets:
                    // a machine that hangs, or what stands before it (a jump host, a load balancer).
                    LookFailure::CutShort if now.saturating_sub(began) >= PATIENT_LOOK => self.gone += 1,
                    // Its sshd is there: it says so, or is busy with our login.
                    LookFailure::AuthRefused
                    | LookFailure::NoLogin
                    | LookFailure::CutShort
                    | LookFailure::Strange => {}
                }
            }
        }
        if self.gone >= GONE_AFTER_FAILURES {
            return Next::Done(Departure::Departed);
        }
        if self.command.as_ref().is_some_and(CommandState::has_failed) {
            self.failed_at.get_or_insert(now);
        }
        let failed = self.failed_at.is_some_and(|at| now >= at + COMMAND_FAILED_GRACE) && self.seen;
        if now >= self.within || failed {
            return Next::Done(Departure::StillThere { seen: self.seen, command: self.command.take() });
        }
        let pause = LOOK_EVERY.max(self.patience.cost()).min(self.within - now);
        Next::LookAgain { pause, bound: self.patience.bound() }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Probe;
    use super::*;

    const B0: &str = "b0";

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn up(boot_id: &str) -> Look<&'static str> {
        Ok(Probe::settled(boot_id))
    }

    fn fails(failure: LookFailure) -> Look<&'static str> {
        Err(LookError { failure, error: "why" })
    }

    fn watch() -> DepartureWatch {
        DepartureWatch::new(B0.to_owned(), s(120))
    }

    #[test]
    fn one_refused_connection_is_a_busy_sshd_and_two_are_a_departure() {
        let mut watch = watch();
        assert!(matches!(watch.next(s(0), s(0), fails(LookFailure::Refused)), Next::LookAgain { .. }));
        assert!(matches!(watch.next(s(1), s(1), up(B0)), Next::LookAgain { .. }));
        assert!(matches!(watch.next(s(2), s(2), fails(LookFailure::Refused)), Next::LookAgain { .. }));
        assert_eq!(watch.next(s(3), s(3), fails(LookFailure::NoAnswer)), Next::Done(Departure::Departed));
    }

    #[test]
    fn a_login_that_our_own_bound_cuts_short_is_no_departure() {
        let mut watch = watch();
        for at in 0..30 {
            let next = watch.next(s(at), s(at + 2), fails(LookFailure::CutShort));
            assert!(matches!(next, Next::LookAgain { .. }), "{next:?} after {at} s");
        }
    }

    #[test]
    fn what_lets_no_login_end_in_fifteen_seconds_has_gone() {
        let mut watch = watch();
        let patient = || fails(LookFailure::CutShort);
        assert!(matches!(watch.next(s(10), s(25), patient()), Next::LookAgain { .. }));
        assert_eq!(watch.next(s(26), s(41), patient()), Next::Done(Departure::Departed));
    }

    #[test]
    fn another_boot_id_is_a_reboot_and_the_same_one_in_the_end_is_none() {
        assert_eq!(
            watch().next(s(5), s(5), up("b1")),
            Next::Done(Departure::Rebooted { boot_id: "b1".to_owned() })
        );
        assert_eq!(
            watch().next(s(120), s(120), up(B0)),
            Next::Done(Departure::StillThere { seen: true, command: None })
        );
    }

    #[test]
    fn one_that_lets_nobody_in_when_its_time_is_up_was_not_seen_to_stay() {
        let mut watch = watch();
        assert!(matches!(watch.next(s(1), s(1), up(B0)), Next::LookAgain { .. }));
        let next = watch.next(s(120), s(120), fails(LookFailure::NoLogin));
        assert_eq!(next, Next::Done(Departure::StillThere { seen: false, command: None }));
    }

    #[test]
    fn a_command_that_has_failed_costs_seconds_and_not_the_whole_time() {
        let knows =
            |command| Ok::<_, LookError<&str>>(Probe { command: Some(command), ..Probe::settled(B0) });
        let mut watch = watch();
        let failed = || knows(CommandState::Ended(127));
        assert!(matches!(watch.next(s(1), s(1), failed()), Next::LookAgain { .. }));
        // It may have been ended by the shutdown that it asked for.
        assert!(matches!(watch.next(s(5), s(5), fails(LookFailure::NoLogin)), Next::LookAgain { .. }));
        let end = Departure::StillThere { seen: true, command: Some(CommandState::Ended(127)) };
        assert_eq!(watch.next(s(6), s(6), failed()), Next::Done(end));
    }

    #[test]
    fn one_that_has_succeeded_or_still_runs_gets_all_of_its_time() {
        for command in
            [CommandState::Ended(0), CommandState::Running, CommandState::Scheduled("04:00".into())]
        {
            let mut watch = watch();
            let look =
                || Ok::<_, LookError<&str>>(Probe { command: Some(command.clone()), ..Probe::settled(B0) });
            assert!(matches!(watch.next(s(1), s(1), look()), Next::LookAgain { .. }));
            assert!(matches!(watch.next(s(119), s(119), look()), Next::LookAgain { .. }));
            let end = Departure::StillThere { seen: true, command: Some(command.clone()) };
            assert_eq!(watch.next(s(120), s(120), look()), Next::Done(end));
        }
    }

    #[test]
    fn another_host_key_ends_it_at_once() {
        assert_eq!(watch().next(s(1), s(1), fails(LookFailure::Final)), Next::Done(Departure::Failed("why")));
    }
}

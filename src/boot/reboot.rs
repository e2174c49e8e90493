//! Compare-and-reboot, as seen from the controller: a compare-and-swap on the boot id that the worker itself
//! carries out, and then a watch of its departure.
//!
//! The worker compares its boot id with the one that was read before and keeps a receipt, so that a lost
//! answer, a second sender or a repeat after a crash cannot cause a second reboot. Its answer is only a hint:
//! the machine ends when another boot id is seen or when the worker has gone away.

use std::time::Duration;

use super::departure::{Departure, DepartureWatch, LOOK_EVERY};
use super::look::{CommandState, Look, LookFailure, Next};

/// The bound of one exchange with the worker, connecting included.
pub const EXCHANGE: Duration = Duration::from_secs(30);

/// What a reboot is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RebootSpec {
    /// The boot id that the worker has to lose.
    pub before: String,
    /// Ask first whether a reboot is needed.
    pub ask_unless: bool,
    /// So long after the order the worker may take to go down.
    pub down_within: Duration,
}

/// What the script on the worker is to do after it has compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompareMode {
    /// Nothing: only look for the receipt.
    Look,
    /// Write the receipt and start the reboot command, unless the receipt is there.
    Reboot,
}

/// What the script has said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The boot id is another one already.
    Already {
        /// The boot id that the worker has.
        boot_id: String,
    },
    /// The receipt is there: the command was started, by us or by an earlier controller.
    Pending,
    /// It only looked, and there is no receipt.
    Nothing,
}

/// Why the script, or the plan's `unless`, gave no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CompareError<E> {
    /// There was no connection: nothing was sent.
    NotReached(LookFailure, E),
    /// It was sent, and the answer was lost.
    AnswerLost(E),
    /// The worker ran it, and it failed.
    Failed(E),
}

/// What the machine wants.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum RebootDo<E> {
    /// Run the script on the worker, within [`EXCHANGE`].
    Compare {
        /// How long to wait before it.
        pause: Duration,
        /// What it is to do.
        mode: CompareMode,
    },
    /// Ask the plan's `unless`.
    AskUnless,
    /// Look at the worker.
    Look {
        /// How long to wait before the look.
        pause: Duration,
        /// The most that the look may take.
        bound: Duration,
    },
    /// There is nothing more to do.
    Done(RebootEnd<E>),
}

/// What the machine is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RebootHeard<E> {
    /// The script's answer.
    Compared(Result<Answer, CompareError<E>>),
    /// Whether `unless` says that no reboot is needed.
    Unless(Result<bool, CompareError<E>>),
    /// A look.
    Looked {
        /// When it began, counted from the beginning of the machine.
        began: Duration,
        /// What it has shown.
        look: Look<E>,
    },
}

/// How a reboot step has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RebootEnd<E> {
    /// Another boot id was seen.
    Rebooted {
        /// The boot id that was seen.
        boot_id: String,
    },
    /// The worker has gone away: only a watch of its return can tell whether it reboots.
    Departed,
    /// `unless` says that none is needed.
    NotNeeded,
    /// It accepted the command and did not go down.
    NotRebooted {
        /// What was known last of the command.
        command: Option<CommandState>,
    },
    /// The command was sent, the answer was lost, and the boot id is as before.
    Unchanged(E),
    /// The answer was lost before the command was sent.
    Unanswered(E),
    /// It is known that nothing was started.
    Failed(E),
}

impl<E> RebootEnd<E> {
    /// The same with another kind of error.
    pub fn map_error<F>(self, map: impl Fn(E) -> F) -> RebootEnd<F> {
        match self {
            Self::Rebooted { boot_id } => RebootEnd::Rebooted { boot_id },
            Self::Departed => RebootEnd::Departed,
            Self::NotNeeded => RebootEnd::NotNeeded,
            Self::NotRebooted { command } => RebootEnd::NotRebooted { command },
            Self::Unchanged(error) => RebootEnd::Unchanged(map(error)),
            Self::Unanswered(error) => RebootEnd::Unanswered(map(error)),
            Self::Failed(error) => RebootEnd::Failed(map(error)),
        }
    }
}

#[derive(Clone, Debug)]
enum State<E> {
    Comparing(CompareMode),
    AskingUnless,
    Watching {
        watch: DepartureWatch,
        /// When the watch began.
        since: Duration,
        /// The answer to the command was lost.
        lost: Option<E>,
    },
}

/// Carries out one attempt of a reboot step.
#[derive(Clone, Debug)]
pub struct RebootMachine<E> {
    spec: RebootSpec,
    state: State<E>,
}

impl<E> RebootMachine<E> {
    /// The machine and its first wish.
    pub fn start(spec: RebootSpec) -> (Self, RebootDo<E>) {
        let mode = if spec.ask_unless { CompareMode::Look } else { CompareMode::Reboot };
        (Self { spec, state: State::Comparing(mode) }, RebootDo::Compare { pause: Duration::ZERO, mode })
    }

    /// Takes what was heard at `now`, counted from the beginning of the machine.
    pub fn next(&mut self, now: Duration, heard: RebootHeard<E>) -> RebootDo<E> {
        match heard {
            RebootHeard::Compared(answer) => self.compared(now, answer),
            RebootHeard::Unless(Ok(true)) => RebootDo::Done(RebootEnd::NotNeeded),
            RebootHeard::Unless(Ok(false)) => {
                self.state = State::Comparing(CompareMode::Reboot);
                RebootDo::Compare { pause: Duration::ZERO, mode: CompareMode::Reboot }
            }
            // Nothing was sent yet that reboots: not known, and free to be asked again.
            RebootHeard::Unless(Err(CompareError::AnswerLost(error))) => {
                RebootDo::Done(RebootEnd::Unanswered(error))
            }
            RebootHeard::Unless(Err(CompareError::NotReached(_, error) | CompareError::Failed(error))) => {
                RebootDo::Done(RebootEnd::Failed(error))
            }
            RebootHeard::Looked { began, look } => self.looked(began, now, look),
        }
    }

    fn compared(&mut self, now: Duration, answer: Result<Answer, CompareError<E>>) -> RebootDo<E> {
        let mode = match &self.state {
            State::Comparing(mode) => *mode,
            State::AskingUnless | State::Watching { .. } => CompareMode::Reboot,
        };
        match answer {
            Ok(Answer::Already { boot_id }) => RebootDo::Done(RebootEnd::Rebooted { boot_id }),
            Ok(Answer::Nothing) if mode == CompareMode::Look => {
                self.state = State::AskingUnless;
                RebootDo::AskUnless
            }
            // The command begins just now: connecting to a busy worker takes nothing off its time to go down. One that an
            // earlier controller or attempt has started gets all of it, too: how far it is, nobody knows.
            Ok(Answer::Pending | Answer::Nothing) => self.watch(now, self.spec.down_within, None),
            // A repeat after a crash may find the worker on its way down or up: what an earlier controller sent
            // is at work. It is tried again for as long as one that goes down is waited for.
            Err(CompareError::NotReached(failure, _))
                if failure != LookFailure::Final && now < self.spec.down_within =>
            {
                RebootDo::Compare { pause: LOOK_EVERY, mode }
            }
            // One that is gone may have been sent away by an earlier attempt: only the wait can tell, and it
            // takes nothing but another boot id for a reboot.
            Err(CompareError::NotReached(LookFailure::Refused | LookFailure::NoAnswer, _)) => {
                RebootDo::Done(RebootEnd::Departed)
            }
            // The answer was lost: the worker knows, so look at it.
            Err(CompareError::AnswerLost(error)) if mode == CompareMode::Reboot => {
                let left = self.spec.down_within.saturating_sub(now);
                self.watch(now, left, Some(error))
            }
            Err(CompareError::AnswerLost(error)) => RebootDo::Done(RebootEnd::Unanswered(error)),
            Err(CompareError::NotReached(_, error) | CompareError::Failed(error)) => {
                RebootDo::Done(RebootEnd::Failed(error))
            }
        }
    }

    fn watch(&mut self, now: Duration, within: Duration, lost: Option<E>) -> RebootDo<E> {
        let watch = DepartureWatch::new(self.spec.before.clone(), within);
        let bound = watch.bound();
        self.state = State::Watching { watch, since: now, lost };
        RebootDo::Look { pause: Duration::ZERO, bound }
    }

    fn looked(&mut self, began: Duration, now: Duration, look: Look<E>) -> RebootDo<E> {
        let State::Watching { watch, since, lost } = &mut self.state else {
            // Nobody asked for a look: what it shows may be late, and is not used.
            return self.again();
        };
        let since = *since;
        match watch.next(began.saturating_sub(since), now.saturating_sub(since), look) {
            Next::LookAgain { pause, bound } => RebootDo::Look { pause, bound },
            Next::Done(end) => RebootDo::Done(match end {
                Departure::Rebooted { boot_id } => RebootEnd::Rebooted { boot_id },
                Departure::Departed => RebootEnd::Departed,
                Departure::Failed(error) => RebootEnd::Failed(error),
                Departure::StillThere { command, .. } => match lost.take() {
                    // The worker knows what became of the command, whatever answer was lost.
                    Some(error) if command.is_none() => RebootEnd::Unchanged(error),
                    _ => RebootEnd::NotRebooted { command },
                },
            }),
        }
    }

    fn again(&self) -> RebootDo<E> {
        match &self.state {
            State::Comparing(mode) => RebootDo::Compare { pause: Duration::ZERO, mode: *mode },
            State::AskingUnless => RebootDo::AskUnless,
            State::Watching { watch, .. } => RebootDo::Look { pause: LOOK_EVERY, bound: watch.bound() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{LookError, Probe};
    use super::*;

    const NOW: Duration = Duration::from_secs(1);

    fn machine(ask_unless: bool) -> RebootMachine<&'static str> {
        let spec = RebootSpec { before: "b0".to_owned(), ask_unless, down_within: Duration::from_secs(120) };
        RebootMachine::start(spec).0
    }

    fn compared(answer: Result<Answer, CompareError<&'static str>>) -> RebootHeard<&'static str> {
        RebootHeard::Compared(answer)
    }

    fn sees(boot_id: &str) -> RebootHeard<&'static str> {
        let look = Ok(Probe::settled(boot_id));
        RebootHeard::Looked { began: NOW, look }
    }

    #[test]
    fn a_worker_that_has_another_boot_already_is_not_rebooted_again() {
        let answer = Answer::Already { boot_id: "b1".to_owned() };
        let end = machine(false).next(NOW, compared(Ok(answer)));
        assert_eq!(end, RebootDo::Done(RebootEnd::Rebooted { boot_id: "b1".to_owned() }));
    }

    #[test]
    fn unless_is_asked_only_where_no_receipt_is() {
        let mut fresh = machine(true);
        assert_eq!(fresh.next(NOW, compared(Ok(Answer::Nothing))), RebootDo::AskUnless);
        assert_eq!(fresh.next(NOW, RebootHeard::Unless(Ok(true))), RebootDo::Done(RebootEnd::NotNeeded));
        let mut sent = machine(true);
        assert!(matches!(sent.next(NOW, compared(Ok(Answer::Pending))), RebootDo::Look { .. }));
    }

    #[test]
    fn a_lost_answer_is_looked_after_and_never_sent_again() {
        let mut machine = machine(false);
        let next = machine.next(NOW, compared(Err(CompareError::AnswerLost("cut"))));
        assert!(matches!(next, RebootDo::Look { .. }));
        assert!(matches!(machine.next(NOW, sees("b0")), RebootDo::Look { .. }));
        let late = Duration::from_secs(121);
        let look = Ok(Probe::settled("b0"));
        let end = machine.next(late, RebootHeard::Looked { began: late, look });
        assert_eq!(end, RebootDo::Done(RebootEnd::Unchanged("cut")));
    }

    /// After a crash nobody knows how far the command is.
    #[test]
    fn one_whose_receipt_is_there_gets_the_whole_of_its_time() {
        let mut machine = machine(false);
        let at = Duration::from_secs;
        let _ = machine.next(at(100), compared(Ok(Answer::Pending)));
        let looks = |seconds| RebootHeard::Looked { began: at(seconds), look: Ok(Probe::settled("b0")) };
        assert!(matches!(machine.next(at(219), looks(219)), RebootDo::Look { .. }));
        let end = machine.next(at(220), looks(220));
        assert_eq!(end, RebootDo::Done(RebootEnd::NotRebooted { command: None }));
    }

    #[test]
    fn a_worker_that_cannot_be_reached_is_tried_again_and_then_counts_as_departed() {
        let mut machine = machine(false);
        let refused = || compared(Err(CompareError::NotReached(LookFailure::Refused, "refused")));
        assert!(matches!(machine.next(NOW, refused()), RebootDo::Compare { .. }));
        let end = machine.next(Duration::from_secs(120), refused());
        assert_eq!(end, RebootDo::Done(RebootEnd::Departed));
    }

    #[test]
    fn another_host_key_is_final_before_and_after_the_command() {
        let end =
            machine(false).next(NOW, compared(Err(CompareError::NotReached(LookFailure::Final, "key"))));
        assert_eq!(end, RebootDo::Done(RebootEnd::Failed("key")));
        let mut sent = machine(false);
        let _ = sent.next(NOW, compared(Ok(Answer::Pending)));
        let look = Err(LookError { failure: LookFailure::Final, error: "key" });
        let end = sent.next(NOW, RebootHeard::Looked { began: NOW, look });
        assert_eq!(end, RebootDo::Done(RebootEnd::Failed("key")));
    }
}

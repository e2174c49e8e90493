//! What an operator can do next about a run, as data: which command does it is known to whoever shows it.

/// Something that an operator can do next. The run, host and list are those of the report that it stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suggestion<'a> {
    /// Read what the steps of a worker wrote.
    ReadLogs {
        /// The run's name; `None`: it is the one that is open.
        run: Option<&'a str>,
        /// The worker that failed.
        host: &'a str,
    },
    /// Enable workers by hand that a finished run has left disabled, once they are healthy.
    EnableByHand {
        /// The workers.
        hosts: &'a [String],
    },
    /// Retry the failed workers of a halted run, which enables them again.
    RetryToEnable,
    /// Resume a stopped run, which enables its workers again.
    ResumeToEnable {
        /// The run's name.
        run: &'a str,
    },
    /// Open the gates that wait for an approval.
    Approve {
        /// The run's name.
        run: &'a str,
    },
    /// Say whether commands ran whose answers were lost, and resume with that.
    ResolveInDoubt {
        /// The run's name.
        run: &'a str,
    },
    /// Fix a failed worker and let it continue at its failed step.
    Retry {
        /// The run's name.
        run: &'a str,
        /// The worker.
        host: &'a str,
    },
    /// Continue without a failed worker.
    Skip {
        /// The run's name.
        run: &'a str,
        /// The worker.
        host: &'a str,
    },
    /// Resume the run: nothing else has to be done first.
    Resume {
        /// The run's name.
        run: &'a str,
    },
    /// Resume the run, after what was suggested before.
    ThenResume {
        /// The run's name.
        run: &'a str,
    },
    /// End the run for good.
    Abort {
        /// The run's name.
        run: &'a str,
    },
}

/// Says a suggestion to the operator, in one line or more, without the last line feed.
pub type Hint = fn(&Suggestion<'_>) -> String;

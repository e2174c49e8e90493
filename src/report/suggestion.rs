//! What an operator can do next about a run, as data: which command does it is known to whoever shows it.

/// Something that an operator can do next. The run, host and list are those of the report that it stands in; a run that
/// commands mean by themselves is `None`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suggestion<'a> {
    /// Read what the steps of a worker wrote.
    ReadLogs {
        /// The run's name.
        run: Option<&'a str>,
        /// The worker that failed.
        host: &'a str,
    },
    /// Enable workers by hand that a finished run has left disabled, once they are healthy.
    EnableByHand {
        /// The workers.
        hosts: &'a [&'a str],
    },
    /// Resume a stopped run, which enables its workers again.
    ResumeToEnable {
        /// The run's name.
        run: Option<&'a str>,
    },
    /// Open the gates that wait for an approval.
    Approve {
        /// The run's name.
        run: Option<&'a str>,
    },
    /// Say whether commands ran whose answers were lost, and resume with that.
    ResolveInDoubt {
        /// The run's name.
        run: Option<&'a str>,
        /// Their workers; none: they ran on this machine, or are many.
        hosts: &'a [&'a str],
    },
    /// Fix the cause and let failed workers continue at their failed steps.
    Retry {
        /// The run's name.
        run: Option<&'a str>,
        /// So many have failed.
        workers: u32,
    },
    /// Take up workers after all that were skipped.
    RetrySkipped {
        /// The run's name.
        run: Option<&'a str>,
        /// The workers.
        hosts: &'a [&'a str],
    },
    /// Continue without the failed workers.
    Skip {
        /// The run's name.
        run: Option<&'a str>,
    },
    /// Resume the run: nothing else has to be done first.
    Resume {
        /// The run's name.
        run: Option<&'a str>,
    },
    /// Resume the run, after what was suggested before.
    ThenResume {
        /// The run's name.
        run: Option<&'a str>,
    },
    /// Send the notices that were not delivered once more.
    Resend {
        /// The run's name.
        run: Option<&'a str>,
    },
    /// End the run for good.
    Abort {
        /// The run's name.
        run: Option<&'a str>,
    },
}

/// Says a suggestion to the operator, in one line or more, without the last line feed. A command stands on a line of
/// its own.
pub type Hint = fn(&Suggestion<'_>) -> String;

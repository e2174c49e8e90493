//! Who holds the run lock, and what somebody who wanted it is told.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::engine::Millis;
use crate::os::{Process, ProcessState, user_name};
use crate::plan::Problem;

/// The record in the lock file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Holder {
    /// The run, where it has a name already.
    pub run: Option<String>,
    /// `user@host`.
    pub who: String,
    /// Since when, in milliseconds since 1970, UTC.
    pub since: Millis,
    /// Which process.
    #[serde(flatten)]
    pub process: Process,
}

impl Holder {
    /// The record of this process.
    pub fn this_process(run: Option<String>, since: Millis) -> Self {
        let process = Process::this();
        let user = user_name().unwrap_or_else(|| format!("uid{}", rustix::process::getuid().as_raw()));
        Self { run, who: format!("{user}@{}", process.host), since, process }
    }

    /// In words: who, which process, since when.
    pub fn described(&self) -> String {
        let Process { pid, host, .. } = &self.process;
        if *pid == 0 {
            return "a process that has not said who it is".to_owned();
        }
        let since = jiff::Timestamp::from_millisecond(self.since).map_or_else(
            |_| "some time".to_owned(),
            |time| time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
        );
        let run = self.run.as_ref().map_or_else(String::new, |run| format!(" with run {run}"));
        format!("{} (process {pid} on {host}){run} since {since}", self.who)
    }

    /// The problem of somebody who wanted the lock.
    pub fn problem(&self) -> Problem {
        let name = self.run.as_deref().unwrap_or_default();
        let (state, help) = match self.process.state() {
            ProcessState::Alive => (
                "",
                format!(
                    "wait until it has ended; `maand plan status {name}` shows how far it is, `maand plan pause \
                     {name}` and `maand plan abort {name}` stop it"
                ),
            ),
            ProcessState::Stopped => (
                " and is stopped",
                format!(
                    "continue it with `kill -CONT {}`, or take the run over with `maand plan resume {name} \
                     --take-over`",
                    self.process.pid
                ),
            ),
            ProcessState::Gone => (
                " and is gone, but a process that it started still holds the lock",
                format!("take the run over with `maand plan resume {name} --take-over`"),
            ),
            ProcessState::Elsewhere => (
                "",
                format!(
                    "it is on another machine or in another container; when you have seen that it is dead: \
                     `maand plan resume {name} --take-over`"
                ),
            ),
        };
        Problem::error(
            "maand::lock::held",
            format!("another operation is going on: {}{state}", self.described()),
        )
        .help(help)
    }
}

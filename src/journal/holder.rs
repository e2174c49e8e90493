//! Who holds the run lock.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::engine::Millis;
use crate::os::{Process, user_name};

/// The record in the lock file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Holder {
    /// The run, where it has a name already.
    pub run: Option<String>,
    /// `user@host`.
    pub who: String,
    /// When it took the lock, in milliseconds since 1970, UTC.
    pub since: Millis,
    /// The process that holds the lock for as long as it lives.
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

    /// The operator, the process and since when it holds the lock, for a message.
    pub fn describe(&self) -> String {
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
}

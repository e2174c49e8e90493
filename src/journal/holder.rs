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
    /// What it does, such as `maand plan apply`, where it has no run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
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
        Self { run, operation: None, who: format!("{user}@{}", process.host), since, process }
    }

    /// The same for what this process does before it has a run.
    #[must_use]
    pub fn doing(self, operation: &str) -> Self {
        Self { operation: Some(operation.to_owned()), ..self }
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
        let what = match (&self.run, &self.operation) {
            (Some(run), _) => format!(" with run {run}"),
            (None, Some(operation)) => format!(" with `{operation}`, which has begun no run yet,"),
            (None, None) => String::new(),
        };
        format!("{} (process {pid} on {host}){what} since {since}", self.who)
    }
}

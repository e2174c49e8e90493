//! Who holds the run lock, and whether that process is alive.

use serde::{Deserialize, Serialize};

use crate::engine::Millis;
use crate::plan::Problem;

/// The record in the lock file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The run, where it has a name already.
    pub run: Option<String>,
    /// `user@host`.
    pub who: String,
    /// Name of the machine.
    pub host: String,
    /// Process number there.
    pub pid: u32,
    /// Since when, in milliseconds since 1970, UTC.
    pub since: Millis,
    /// When the process was started, in ticks since the machine's boot: numbers of processes come again.
    #[serde(default)]
    pub started: Option<u64>,
    /// The pid namespace: in another container the number means another process.
    #[serde(default)]
    pub pid_namespace: Option<String>,
}

/// Whether a holder is alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HolderState {
    /// It runs.
    Alive,
    /// It has been stopped (SIGSTOP, a debugger, a frozen terminal).
    Stopped,
    /// No such process, or a dead one.
    Gone,
    /// On another machine, or in another container: it can not be told.
    Elsewhere,
}

impl Holder {
    /// The record of this process.
    pub fn this_process(run: Option<String>, since: Millis) -> Self {
        let uname = rustix::system::uname();
        let host = uname.nodename().to_string_lossy().into_owned();
        Self {
            run,
            who: format!("{}@{host}", user_name()),
            host,
            pid: std::process::id(),
            since,
            started: stat_of(std::process::id()).map(|(_, started)| started),
            pid_namespace: pid_namespace(),
        }
    }

    /// Whether the process that wrote the record is alive.
    pub fn state(&self) -> HolderState {
        let here = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let namespaces = (&self.pid_namespace, pid_namespace());
        if self.host != here || matches!(&namespaces, (Some(theirs), Some(ours)) if **theirs != *ours) {
            return HolderState::Elsewhere;
        }
        match stat_of(self.pid) {
            None => HolderState::Gone,
            Some((_, started)) if self.started.is_some_and(|theirs| theirs != started) => HolderState::Gone,
            Some(('T' | 't', _)) => HolderState::Stopped,
            Some(('Z' | 'X', _)) => HolderState::Gone,
            Some(_) => HolderState::Alive,
        }
    }

    /// In words: who, which process, since when.
    pub fn described(&self) -> String {
        if self.pid == 0 {
            return "a process that has not said who it is".to_owned();
        }
        let since = jiff::Timestamp::from_millisecond(self.since).map_or_else(
            |_| "some time".to_owned(),
            |time| time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
        );
        let run = self.run.as_ref().map_or_else(String::new, |run| format!(" with run {run}"));
        format!("{} (process {} on {}){run} since {since}", self.who, self.pid, self.host)
    }

    /// The problem of somebody who wanted the lock.
    pub fn problem(&self) -> Problem {
        let name = self.run.as_deref().unwrap_or_default();
        let (state, help) = match self.state() {
            HolderState::Alive => (
                "",
                format!(
                    "wait until it has ended; `maand plan status {name}` shows how far it is, `maand plan pause \
                     {name}` and `maand plan abort {name}` stop it"
                ),
            ),
            HolderState::Stopped => (
                " and is stopped",
                format!(
                    "continue it with `kill -CONT {}`, or take the run over with `maand plan resume {name} \
                     --take-over`",
                    self.pid
                ),
            ),
            HolderState::Gone => (
                " and is gone, but a process that it started still holds the lock",
                format!("take the run over with `maand plan resume {name} --take-over`"),
            ),
            HolderState::Elsewhere => (
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

fn user_name() -> String {
    ["USER", "LOGNAME"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
        .unwrap_or_else(|| format!("uid{}", rustix::process::getuid().as_raw()))
}

fn pid_namespace() -> Option<String> {
    Some(std::fs::read_link("/proc/self/ns/pid").ok()?.to_string_lossy().into_owned())
}

/// State letter and start time of a process, from `/proc/PID/stat`, fields 3 and 22 (proc(5)).
fn stat_of(pid: u32) -> Option<(char, u64)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything, parentheses too.
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.nth(18)?.parse().ok()?))
}

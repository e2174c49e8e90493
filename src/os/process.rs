//! A process as another one wrote it down: which it is, and what has become of it.
//!
//! Numbers of processes come again, and in another container a number means another process; both are told
//! apart.

use nix::unistd::{Uid, User};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which process, on which machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Process {
    /// Name of the machine.
    pub host: String,
    /// Its number there.
    pub pid: u32,
    /// When it was started, in ticks since the machine's boot: numbers of processes come again.
    #[serde(default)]
    pub started: Option<u64>,
    /// The pid namespace: in another container the number means another process.
    #[serde(default)]
    pub pid_namespace: Option<String>,
}

/// What has become of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProcessState {
    /// It runs.
    Alive,
    /// It has been stopped (SIGSTOP, a debugger, a frozen terminal) and may wake up again.
    Stopped,
    /// No such process, or a dead one.
    Gone,
    /// On another machine, or in another container: it cannot be told.
    Elsewhere,
}

impl Process {
    /// This one.
    pub fn this() -> Self {
        let pid = std::process::id();
        Self {
            host: machine(),
            pid,
            started: stat_of(pid).map(|(_, started)| started),
            pid_namespace: pid_namespace(),
        }
    }

    /// What has become of it.
    pub fn state(&self) -> ProcessState {
        let namespaces = (&self.pid_namespace, pid_namespace());
        if self.host != machine() || matches!(&namespaces, (Some(theirs), Some(ours)) if **theirs != *ours) {
            return ProcessState::Elsewhere;
        }
        match stat_of(self.pid) {
            None => ProcessState::Gone,
            Some((_, started)) if self.started.is_some_and(|theirs| theirs != started) => ProcessState::Gone,
            Some(('T' | 't', _)) => ProcessState::Stopped,
            Some(('Z' | 'X', _)) => ProcessState::Gone,
            Some(_) => ProcessState::Alive,
        }
    }
}

/// The name of the user who runs this process: as the environment says it, else as the system's list of users does,
/// wherever that is kept (NSS); `None`: neither has one.
pub fn user_name() -> Option<String> {
    user_by(|name| std::env::var(name).ok())
}

fn user_by(variable: impl Fn(&str) -> Option<String>) -> Option<String> {
    let said =
        ["USER", "LOGNAME"].iter().find_map(|name| variable(name).filter(|value| !value.trim().is_empty()));
    said.or_else(|| Some(User::from_uid(Uid::current()).ok()??.name))
}

fn machine() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whom_no_variable_names_the_list_of_users_does() {
        let output = std::process::Command::new("id").arg("-un").output().unwrap();
        let name = String::from_utf8(output.stdout).unwrap().trim().to_owned();
        assert_eq!(user_by(|_| None), Some(name.clone()));
        assert_eq!(user_by(|variable| (variable == "USER").then(|| " ".to_owned())), Some(name));
        assert_eq!(
            user_by(|variable| (variable == "LOGNAME").then(|| "anna".to_owned())).as_deref(),
            Some("anna")
        );
    }

    #[test]
    fn a_number_that_was_used_again_is_another_process() {
        let mut process = Process::this();
        assert_eq!(process.state(), ProcessState::Alive);
        process.started = process.started.map(|started| started + 1);
        assert_eq!(process.state(), ProcessState::Gone, "the pid was used again");
        process.host.push('x');
        assert_eq!(process.state(), ProcessState::Elsewhere);
        let container = Process { pid_namespace: Some("pid:[1]".to_owned()), ..Process::this() };
        assert_eq!(container.state(), ProcessState::Elsewhere);
    }
}

//! Processes that others have started, however deep, and ending them: all below one process, or all that carry a
//! mark in their environment.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};

/// Between two looks.
const TICK: Duration = Duration::from_millis(10);

/// A living process, and its parent when it was listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its number.
    pub pid: Pid,
    parent: i32,
}

impl Listed {
    /// Sends a signal, if it is still the one that was listed and not a stranger with its number.
    pub fn signal(self, signal: Signal) {
        let is_the_same = || status_of(self.pid).is_some_and(|(parent, _)| parent == self.parent);
        match pidfd_open(self.pid, PidfdFlags::empty()) {
            Ok(handle) if is_the_same() => drop(pidfd_send_signal(handle, signal)),
            // A kernel before 5.3.
            Err(Errno::NOSYS) if is_the_same() => drop(kill_process(self.pid, signal)),
            _ => {}
        }
    }

    /// Its number and the name of its program, for messages.
    pub fn describe(self) -> String {
        let name = std::fs::read_to_string(format!("/proc/{}/comm", self.pid.as_raw_nonzero()));
        let name: String = name.unwrap_or_default().trim().chars().filter(|c| !c.is_control()).collect();
        format!("{} ({name})", self.pid.as_raw_nonzero())
    }
}

/// Every living descendant of a process; zombies are left out.
pub fn descendants_of(ancestor: Pid) -> Vec<Listed> {
    let parents: HashMap<i32, (Pid, i32, char)> = processes()
        .filter_map(|pid| {
            status_of(pid).map(|(parent, state)| (pid.as_raw_nonzero().get(), (pid, parent, state)))
        })
        .collect();
    let belongs = |mut number: i32| {
        // A chain is never longer than there are processes; a process cannot be its own ancestor.
        for _ in 0..parents.len() {
            match parents.get(&number) {
                Some((_, parent, _)) if *parent == ancestor.as_raw_nonzero().get() => return true,
                Some((_, parent, _)) => number = *parent,
                None => return false,
            }
        }
        false
    };
    parents
        .iter()
        .filter(|(number, (_, _, state))| is_alive(*state) && belongs(**number))
        .map(|(_, (pid, parent, _))| Listed { pid: *pid, parent: *parent })
        .collect()
}

/// Every living process whose environment had, when it was started, the variable `name` with a value that `matches`.
/// Processes of other users do not show theirs.
pub fn marked(name: &str, matches: impl Fn(&str) -> bool) -> Vec<Listed> {
    let has_mark = |pid: &Pid| {
        let Ok(environment) = std::fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero())) else {
            return false;
        };
        environment.split(|byte| *byte == 0).any(|entry| {
            let Some((found, value)) =
                std::str::from_utf8(entry).ok().and_then(|entry| entry.split_once('='))
            else {
                return false;
            };
            found == name && matches(value)
        })
    };
    processes()
        .filter(has_mark)
        .filter_map(|pid| status_of(pid).map(|(parent, state)| (pid, parent, state)))
        .filter(|(_, _, state)| is_alive(*state))
        .map(|(pid, parent, _)| Listed { pid, parent })
        .collect()
}

/// Kills what `list` finds, again and again (one may fork while we look), until it finds nothing or `patience`, if
/// there is an end to it, is over. What is left then does not die, or is another user's.
pub fn kill_all(list: impl Fn() -> Vec<Listed>, patience: Option<Duration>) -> Vec<Listed> {
    let until = patience.map(|patience| Instant::now() + patience);
    loop {
        let found = list();
        if found.is_empty() || until.is_some_and(|until| Instant::now() >= until) {
            return found;
        }
        found.iter().for_each(|process| process.signal(Signal::KILL));
        std::thread::sleep(TICK);
    }
}

fn processes() -> impl Iterator<Item = Pid> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| {
        entry.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw)
    })
}

fn is_alive(state: char) -> bool {
    !matches!(state, 'Z' | 'X')
}

/// Parent and state of a process, from `/proc/PID/stat`; the name in it may contain anything.
fn status_of(pid: Pid) -> Option<(i32, char)> {
    let text = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((fields.next()?.parse().ok()?, state))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn marked_processes_are_found_by_their_mark_and_killed() {
        let name = "MAAND_TEST_MARK";
        let mark = format!("one@{}", std::process::id());
        let start = |mark: &str| Command::new("sleep").arg("600").env(name, mark).spawn().unwrap();
        let (mut ours, mut other) = (start(&mark), start("another"));
        let list = || marked(name, |value| value == mark);
        assert_eq!(list().iter().map(|found| found.pid).collect::<Vec<_>>(), [Pid::from_child(&ours)]);
        assert!(list()[0].describe().ends_with("(sleep)"));
        assert_eq!(kill_all(list, Some(Duration::from_secs(60))), []);
        assert!(!ours.wait().unwrap().success());
        assert!(other.try_wait().unwrap().is_none());
        other.kill().unwrap();
        other.wait().unwrap();
    }
}

//! The end of a command that runs in a process group of its own, with all that it has started.

use std::io;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

/// Between two looks.
const TICK: Duration = Duration::from_millis(20);

/// Whether the leader has ended. It is not reaped: its number must stay that of its group.
pub fn has_ended(leader: &Child) -> bool {
    let Some(pid) = pid(leader) else { return true };
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    !matches!(waitid(WaitId::Pid(pid), options), Ok(None) | Err(rustix::io::Errno::INTR))
}

/// Ends what is left of the group, by SIGTERM and after `grace` by SIGKILL, and reaps the leader, which
/// must not have been waited for before.
///
/// # Errors
/// It cannot be waited for.
pub fn end(leader: &mut Child, grace: Duration) -> io::Result<ExitStatus> {
    if let Some(group) = pid(leader) {
        let until = Instant::now() + grace;
        if is_alive(group) {
            let _ = kill_process_group(group, Signal::TERM);
        }
        while is_alive(group) && Instant::now() < until {
            std::thread::sleep(TICK);
        }
        let _ = kill_process_group(group, Signal::KILL);
    }
    leader.wait()
}

fn pid(child: &Child) -> Option<Pid> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw)
}

/// Whether a process of the group is neither a zombie nor gone (`proc_pid_stat(5)`).
fn is_alive(group: Pid) -> bool {
    let Ok(all) = std::fs::read_dir("/proc") else { return false };
    let stats = all.flatten().filter(|entry| entry.file_name().as_encoded_bytes()[0].is_ascii_digit());
    stats.filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok()).any(|stat| {
        // The name stands in parentheses and may hold anything, so the fields are counted after it.
        let Some((_, fields)) = stat.rsplit_once(')') else { return false };
        let mut fields = fields.split_whitespace();
        let state = fields.next().unwrap_or("Z");
        let its_group = fields.nth(1).and_then(|text| text.parse().ok());
        its_group == Some(group.as_raw_nonzero().get()) && !matches!(state, "Z" | "X")
    })
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::process::{CommandExt, ExitStatusExt};
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn what_does_not_listen_is_killed_with_all_that_it_started() {
        // The child's child has the pipe as well: it closes when both are gone.
        let script = "trap '' TERM; sleep 600 & echo up; wait; wait";
        let mut leader =
            Command::new("sh").args(["-c", script]).stdout(Stdio::piped()).process_group(0).spawn().unwrap();
        let mut up = [0; 3];
        let mut out = leader.stdout.take().unwrap();
        out.read_exact(&mut up).unwrap();
        assert!(!has_ended(&leader));
        let status = end(&mut leader, Duration::from_millis(100)).unwrap();
        assert_eq!(status.signal(), Some(9));
        assert_eq!(out.read(&mut up).unwrap(), 0);
    }

    #[test]
    fn who_has_ended_keeps_its_exit_code() {
        let mut leader = Command::new("sh").args(["-c", "exit 7"]).process_group(0).spawn().unwrap();
        while !has_ended(&leader) {
            std::thread::sleep(TICK);
        }
        assert_eq!(end(&mut leader, Duration::from_secs(60)).unwrap().code(), Some(7));
    }
}

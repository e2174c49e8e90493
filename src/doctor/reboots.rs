//! Whether a worker needs a reboot, asked of the worker itself. Nothing is changed there but logs of its own tools.

use std::time::{Duration, Instant};

use crate::boot::{KERNEL_LOOK, KernelAnswer, RebootNeed};
use crate::bucket::Host;
use crate::plan::visible_line;
use crate::ssh::{Cancel, Completion, Connection, HostProfile, Remote, Script, Shell};

/// The script's own bound; each of the worker's tools has [`TOOL_SECONDS`] of it.
const SCRIPT: Duration = Duration::from_secs(100);
/// They read the packages that are installed.
const TOOL_SECONDS: &str = "25";

/// Which of a worker's tools are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tools {
    /// Those that write nothing, not even a log.
    Quiet,
    /// All.
    All,
}

fn script(sudo: bool, tools: Tools) -> Script {
    let tools = match tools {
        Tools::Quiet => "quiet",
        Tools::All => "all",
    };
    Script {
        what: "kernels".into(),
        shell: Shell::Sh,
        sudo,
        text: KERNEL_LOOK.into(),
        env: vec![("TOOLS".into(), tools.into()), ("TOOL_SECONDS".into(), TOOL_SECONDS.into())],
        deadline: SCRIPT,
        watchdog: true,
        silence: None,
        users_own: false,
        lock: false,
    }
}

/// Asks over a connection, as root where the profile says so and it is let; others are told less.
pub(super) fn ask(
    connection: &mut dyn Connection,
    profile: &HostProfile,
    tools: Tools,
) -> (KernelAnswer, RebootNeed) {
    if profile.sandbox {
        let why = "a sandbox's kernel is this machine's";
        return (KernelAnswer::default(), RebootNeed::unanswered(why));
    }
    let mut completion = connection.run(&script(profile.use_sudo, tools), None);
    if profile.use_sudo && matches!(completion, Completion::NotRun { .. }) {
        completion = connection.run(&script(false, tools), None);
    }
    let why = match completion {
        Completion::Exited { code: 0, stdout, .. } => {
            let answer = KernelAnswer::read(&stdout.bytes);
            let need = answer.need();
            return (answer, need);
        }
        Completion::Exited { code, stderr, .. } => {
            format!("the look ended with exit code {code} {}", visible_line(stderr.text().trim()))
        }
        Completion::Unknown { why, .. } => why.to_string(),
        Completion::NotRun { reason, .. } => reason.to_string(),
    };
    (KernelAnswer::default(), RebootNeed::unanswered(why.trim()))
}

/// Whether `host` needs a reboot, by all that may know it there, tools included that write to their logs. One that cannot be reached cannot tell. `patience` is for the connection.
pub fn reboot_need(remote: &dyn Remote, host: &Host, patience: Duration, cancel: &Cancel) -> RebootNeed {
    match remote.connect(host, Instant::now() + patience, cancel) {
        Ok(mut connection) => ask(connection.as_mut(), &remote.profile(host), Tools::All).1,
        Err(error) => RebootNeed::unanswered(error.told()),
    }
}

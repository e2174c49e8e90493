//! Asking a worker about its kernels: which one it runs and could, and whether it needs a reboot.

use std::time::{Duration, Instant};

use crate::boot::{KERNEL_LOOK, KernelAnswer, Need, RebootNeed};
use crate::controller::proven_outcome;
use crate::engine::{ErrorKind, Outcome, StepError};
use crate::plan::{CannotTell, ExpectedBoot};
use crate::ssh::{Connection, Script};

use super::access::{Access, ScriptError, plain};
use super::command::Sink;
use super::unless::NoAnswer;

/// For a look that lists files and starts nothing that takes its time.
const PATIENCE: Duration = Duration::from_secs(20);
/// For one with the worker's own tools, of which two may take their time twice.
const WITH_TOOLS: Duration = Duration::from_secs(150);
/// For each of these tools. They read the packages that are installed.
const TOOL_SECONDS: &str = "30";
/// So often a worker is asked whose plan expects something of it; a look may be cut off by what is still starting there.
const TRIES: u32 = 4;

/// The script of a look.
fn script(access: &Access, with_tools: bool) -> Script {
    let (tools, patience) = if with_tools { ("all", WITH_TOOLS) } else { ("no", PATIENCE) };
    let mut script = access.script("kernels", KERNEL_LOOK, patience);
    script.env.push(("TOOLS".into(), tools.into()));
    script.env.push(("TOOL_SECONDS".into(), TOOL_SECONDS.into()));
    script
}

fn ask(
    access: &Access,
    connection: &mut dyn Connection,
    with_tools: bool,
) -> Result<KernelAnswer, ScriptError> {
    let said = plain(&access.host, connection.run(&script(access, with_tools), None))?;
    Ok(KernelAnswer::read(said.as_bytes()))
}

fn look(access: &Access, with_tools: bool) -> Result<KernelAnswer, ScriptError> {
    let mut connection = access.connect(Instant::now() + PATIENCE).map_err(ScriptError::Connect)?;
    ask(access, connection.as_mut(), with_tools)
}

/// The kernel that runs, where the worker says so. A sandbox's is this machine's.
pub(super) fn running(access: &Access, connection: &mut dyn Connection) -> Option<String> {
    if access.profile.sandbox {
        return None;
    }
    ask(access, connection, false).ok()?.running().map(str::to_owned)
}

/// What came of a wait for a worker that has settled in a new boot.
pub(super) fn prove(
    access: &Access,
    boot_id: String,
    before: Option<String>,
    expect: Option<&ExpectedBoot>,
    say: &dyn Fn(&str),
) -> Outcome {
    let host = access.host.as_str();
    if access.profile.sandbox {
        if expect.is_some() {
            say("what the plan expects of the boot was not looked at: this fleet is a sandbox");
        }
        return proven_outcome(host, boot_id, before, Err("it is a sandbox"), None);
    }
    let tries = if expect.is_some() { TRIES } else { 1 };
    let mut why = String::new();
    for attempt in 1..=tries {
        match look(access, false) {
            Ok(answer) => return proven_outcome(host, boot_id, before, Ok(&answer), expect),
            Err(error) => why = error.into_error(&access.host, "asking for its kernels").message,
        }
        if access.cancel.is_cancelled() {
            return Outcome::unknown("given up while looking at what the worker has booted");
        }
        if attempt < tries && !access.pause(Duration::from_secs(1) * attempt) {
            return Outcome::unknown("given up while looking at what the worker has booted");
        }
    }
    say(&format!("which kernel it has booted is not known: {why}"));
    proven_outcome(host, boot_id, before, Err(why.as_str()), expect)
}

/// `unless: not_required`: `Some` is why no reboot is needed. What it is known by goes to `sink`.
pub(super) fn why_not(
    access: &Access,
    connection: &mut dyn Connection,
    cannot_tell: CannotTell,
    sink: Sink<'_>,
) -> Result<Option<String>, NoAnswer> {
    if access.profile.sandbox {
        sink(b"`unless: not_required`: a sandbox's workers are rebooted\n");
        return Ok(None);
    }
    let RebootNeed { need, why } = ask(access, connection, true).map_err(NoAnswer::Script)?.need();
    let why = why.join("; ");
    let say = |words: &str| sink(format!("`unless: not_required`: {words}\n").as_bytes());
    match (need, cannot_tell) {
        (Need::NotRequired, _) => {
            say(&format!("no reboot is needed: {why}"));
            Ok(Some(why))
        }
        (Need::Required, _) => {
            say(&format!("a reboot is needed: {why}"));
            Ok(None)
        }
        (Need::CannotTell, CannotTell::Reboot) => {
            say(&format!("it cannot be told, so that it is rebooted: {why}"));
            Ok(None)
        }
        (Need::CannotTell, CannotTell::Fail) => {
            let message = format!(
                "{} cannot tell whether it needs a reboot: {why}; nothing was sent (`cannot_tell: reboot` would reboot it)",
                access.host
            );
            say(&message);
            Err(NoAnswer::CannotTell(StepError::new(ErrorKind::CannotTell, message)))
        }
    }
}

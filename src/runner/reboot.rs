//! Compare-and-reboot: a compare-and-swap on the boot id, carried out on the worker.
//!
//! The worker itself compares its boot id with B0 and keeps a receipt, so that a lost answer, a second
//! sender or a repeat after a crash can not cause a second reboot. The answer is only a hint: the step
//! ends when another boot id is seen or when the worker has gone away, by looking.

use std::time::{Duration, Instant};

use crate::engine::{ErrorKind, Evidence, Millis, Outcome, StepError};
use crate::ssh::{ConnectError, Script, Shell};

use super::access::{Access, ScriptError, command_error, connect_error, last_lines, unknown_words};
use super::{clock, probe};

/// Seconds before the command starts on the worker: long enough for the answer to leave it, and the answer
/// is only a hint. A `sleep` that knows no fractions waits for a whole second.
const COMMAND_DELAY_S: &str = "0.5";

/// One exchange with the worker, connecting included.
const EXCHANGE: Duration = Duration::from_secs(30);

/// Between two looks at a worker that was told to reboot.
const LOOK_EVERY: Duration = Duration::from_millis(700);

/// A connection that fails so often in a row means that the worker has gone away; one alone may be a
/// busy sshd. Departed is not taken for a reboot, so that being wrong costs time, not safety.
const GONE_AFTER_FAILURES: u32 = 2;

/// What the worker does. `B0`, `GENERATION`, `RECEIPT`, `COMMAND` come in as environment.
///
const COMPARE_AND_REBOOT: &str = r#"
set -u
umask 077
now=$(cat "$BOOT_ID_FILE") || exit 91
if [ "$now" != "$B0" ]; then echo "ALREADY $now"; exit 0; fi
mkdir -p "$MAAND_STATE_DIR" || exit 92
receipt="$MAAND_STATE_DIR/$RECEIPT"
if [ -f "$receipt" ]; then
  read -r generation boot < "$receipt" || generation=
  if [ "$boot" = "$B0" ] && [ "${generation:-0}" -ge "$GENERATION" ]; then echo PENDING; exit 0; fi
fi
if [ "$MODE" = look ]; then echo NONE; exit 0; fi
find "$MAAND_STATE_DIR" -maxdepth 1 -name 'reboot-*' -mtime +30 ! -name "$RECEIPT*" -exec rm -f {} + 2>/dev/null
printf '%s %s\n' "$GENERATION" "$B0" > "$receipt.new" || exit 92
sync "$receipt.new" 2>/dev/null || sync
mv "$receipt.new" "$receipt" || exit 92
sync "$MAAND_STATE_DIR" 2>/dev/null || sync
start='sleep "$DELAY" 2>/dev/null || sleep 1
eval "$SUDO_FOR_ROOT$COMMAND"
echo "[exit code $?]"'
export COMMAND DELAY SUDO_FOR_ROOT
if command -v setsid >/dev/null 2>&1; then
  setsid sh -c "$start" > "$receipt.out" 2>&1 < /dev/null 9>&- &
else
  ( trap '' HUP; exec sh -c "$start" ) > "$receipt.out" 2>&1 < /dev/null 9>&- &
fi
echo ACK
"#;

/// What a reboot step is told.
pub(super) struct RebootOrder<'a> {
    pub(super) boot_id: &'a str,
    pub(super) generation: u32,
    /// Name of the receipt below the state folder: one for each (run, step).
    pub(super) receipt: &'a str,
    pub(super) command: &'a str,
    /// Exit 0: not needed.
    pub(super) unless: Option<Script>,
    pub(super) down_within: Duration,
}

/// Carries it out.
pub(super) fn reboot(access: &Access, order: &RebootOrder<'_>) -> Outcome {
    let started = Instant::now();
    if let Some(unless) = &order.unless {
        match compare_patiently(access, order, "look", started) {
            Ok(Answer::Already(boot_id)) => return rebooted(boot_id),
            Ok(Answer::Nothing) => match is_needless(access, unless) {
                Ok(true) => return Outcome::Ok { evidence: Evidence::NotNeeded },
                Ok(false) => {}
                Err(outcome) => return outcome,
            },
            Ok(Answer::Pending) => return watch(access, order, started),
            Err(ScriptError::Connect(error)) => return not_there(&error),
            Err(trouble) => return trouble.into_outcome(&access.host, "looking before the reboot"),
        }
    }
    match compare_patiently(access, order, "reboot", started) {
        Ok(Answer::Already(boot_id)) => rebooted(boot_id),
        // It has begun just now: connecting to a busy worker takes nothing off its time to go down.
        Ok(Answer::Pending | Answer::Nothing) => watch(access, order, Instant::now()),
        // The answer was lost: the worker knows, so look at it.
        Err(ScriptError::Unknown(why)) => match watch(access, order, started) {
            Outcome::Failed { error } if error.kind == ErrorKind::NotRebooted => Outcome::Unknown {
                why: format!(
                    "the reboot command was sent, {}, and the boot id is as before",
                    unknown_words(&why)
                ),
            },
            seen => seen,
        },
        Err(ScriptError::Connect(error)) => not_there(&error),
        Err(trouble) => trouble.into_outcome(&access.host, "the reboot script"),
    }
}

/// A repeat after a crash may find the worker on its way down or booting: what an earlier controller
/// sent is at work. So a worker that can not be reached is tried again, for as long as one that goes
/// down is waited for.
fn compare_patiently(
    access: &Access,
    order: &RebootOrder<'_>,
    mode: &str,
    started: Instant,
) -> Result<Answer, ScriptError> {
    loop {
        match compare(access, order, mode) {
            Err(ScriptError::Connect(error))
                if !error.is_final()
                    && !access.cancel.is_cancelled()
                    && started.elapsed() < order.down_within =>
            {
                std::thread::sleep(LOOK_EVERY);
            }
            done => return done,
        }
    }
}

/// It could not be reached all that time. One that is gone may have been sent away by an earlier
/// attempt: only the wait can tell, and it takes nothing but another boot id for a reboot.
fn not_there(error: &ConnectError) -> Outcome {
    match error {
        ConnectError::Refused { .. } | ConnectError::Unreachable { .. } | ConnectError::TimedOut { .. } => {
            Outcome::Ok { evidence: Evidence::Departed }
        }
        ConnectError::Cancelled => Outcome::Unknown { why: "given up before the reboot command".into() },
        error => Outcome::Failed { error: connect_error(error) },
    }
}

enum Answer {
    Already(String),
    /// The receipt is there: the command was started, by us or by an earlier controller.
    Pending,
    /// Looked, and there was no receipt.
    Nothing,
}

fn compare(access: &Access, order: &RebootOrder<'_>, mode: &str) -> Result<Answer, ScriptError> {
    let mut script = access.script("reboot", COMPARE_AND_REBOOT, EXCHANGE);
    let env = [
        ("B0", order.boot_id.to_owned()),
        ("GENERATION", order.generation.to_string()),
        ("RECEIPT", order.receipt.to_owned()),
        ("COMMAND", order.command.to_owned()),
        ("MODE", mode.to_owned()),
        ("SUDO_FOR_ROOT", crate::ssh::SUDO_FOR_ROOT.to_owned()),
        ("DELAY", COMMAND_DELAY_S.to_owned()),
    ];
    script.env.extend(env.map(|(name, value)| (name.to_owned(), value)));
    let said = access.change(script, Instant::now() + EXCHANGE)?;
    let mut words = said.split_whitespace();
    match (words.next(), words.next()) {
        (Some("ALREADY"), Some(boot_id)) if probe::is_boot_id(boot_id) => {
            Ok(Answer::Already(boot_id.to_owned()))
        }
        (Some("ACK" | "PENDING"), _) => Ok(Answer::Pending),
        (Some("NONE"), _) => Ok(Answer::Nothing),
        _ => Err(ScriptError::Unknown(crate::ssh::UnknownWhy::ConnectionLost(format!(
            "the worker answered `{}`",
            said.trim()
        )))),
    }
}

fn is_needless(access: &Access, unless: &Script) -> Result<bool, Outcome> {
    match access.run(unless, Instant::now() + EXCHANGE) {
        Ok(_) => Ok(true),
        Err(ScriptError::Exit { code, stdout, stderr }) => {
            let error = command_error(&access.host, "`unless`", code, &stdout, &stderr);
            if error.kind == ErrorKind::Command { Ok(false) } else { Err(Outcome::Failed { error }) }
        }
        Err(trouble) => Err(trouble.into_outcome(&access.host, "`unless`")),
    }
}

fn rebooted(boot_id: String) -> Outcome {
    Outcome::Ok { evidence: Evidence::Rebooted { boot_id } }
}

/// Until another boot id is seen, the worker is gone, or `down_within` has passed.
fn watch(access: &Access, order: &RebootOrder<'_>, started: Instant) -> Outcome {
    let mut failures = 0;
    loop {
        if access.cancel.is_cancelled() {
            return Outcome::Unknown { why: "given up while waiting for the worker to go down".into() };
        }
        let left = order.down_within.saturating_sub(started.elapsed());
        match probe::look(access, Instant::now() + probe::patience(failures)) {
            Ok(seen) if seen.boot_id != order.boot_id => return rebooted(seen.boot_id),
            Ok(_) => failures = 0,
            Err(probe::ProbeError::Connect(error)) if error.is_final() => {
                return Outcome::Failed { error: connect_error(&error) };
            }
            Err(probe::ProbeError::Connect(
                ConnectError::NoLogin { .. } | ConnectError::AuthRefused { .. },
            )) => {}
            Err(probe::ProbeError::Connect(_) | probe::ProbeError::Lost(_)) => failures += 1,
            Err(probe::ProbeError::Error(_)) => {}
        }
        if failures >= GONE_AFTER_FAILURES {
            return Outcome::Ok { evidence: Evidence::Departed };
        }
        if left.is_zero() {
            return Outcome::Failed { error: not_rebooted(access, order) };
        }
        std::thread::sleep(LOOK_EVERY.min(left));
    }
}

/// The error, with what the command printed.
pub(super) fn not_rebooted(access: &Access, order: &RebootOrder<'_>) -> StepError {
    let message = format!(
        "{} still has the boot id {} {:?} after `{}`: it did not go down",
        access.host, order.boot_id, order.down_within, order.command
    );
    StepError { kind: ErrorKind::NotRebooted, message, output: command_output(access, order.receipt) }
}

/// What the reboot command printed, as far as the worker can still tell.
pub(super) fn command_output(access: &Access, receipt: &str) -> Option<String> {
    let mut script = access.script(
        "read the reboot command's output",
        r#"tail -c 4000 "$MAAND_STATE_DIR/$RECEIPT.out""#,
        EXCHANGE,
    );
    script.env.push(("RECEIPT".into(), receipt.to_owned()));
    let said = access.run(&script, Instant::now() + EXCHANGE).ok()?;
    let said = crate::ssh::Captured { bytes: said.into_bytes(), dropped: 0 };
    last_lines(&said, &crate::ssh::Captured::default())
}

/// What makes the worker reboot. A sandbox never executes a plan's own text: its worker has a command
/// that plays the reboot, and only records what it was asked for.
pub(super) fn command_for(profile: &crate::ssh::HostProfile, command: &str) -> String {
    if profile.sandbox {
        format!("sandbox-reboot {}", crate::ssh::quote(command))
    } else {
        command.to_owned()
    }
}

/// Name of the receipt of a step.
pub(super) fn receipt_name(run: &str, step: &str) -> String {
    format!("reboot-{run}-{step}")
}

/// When `issued` was, as an instant of this process: what has passed since then has passed.
pub(super) fn instant_of(issued: Millis) -> Instant {
    let ago = Duration::from_millis(u64::try_from(clock::now() - issued).unwrap_or(0));
    Instant::now().checked_sub(ago).unwrap_or_else(Instant::now)
}

/// A user's own command as a script.
pub(super) fn users_script(
    what: &str,
    text: &str,
    env: Vec<(String, String)>,
    sudo: bool,
    deadline: Duration,
) -> Script {
    Script {
        what: what.to_owned(),
        shell: Shell::Bash,
        sudo,
        text: format!("{}{text}", crate::ssh::SUDO_FOR_ROOT),
        env,
        deadline,
        watchdog: true,
        silence: None,
        users_own: true,
        lock: false,
    }
}

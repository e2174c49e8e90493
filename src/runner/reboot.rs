//! Compare-and-reboot: a compare-and-swap on the boot id, carried out on the worker.
//!
//! The worker itself compares its boot id with B0 and keeps a receipt; what the answers mean and what comes next
//! is decided by [`crate::boot::RebootMachine`]. This file carries out what the machine wants.

use std::time::{Duration, Instant};

use crate::boot::{
    Answer, CompareError, CompareMode, EXCHANGE, RebootDo, RebootEnd, RebootHeard, RebootMachine, RebootSpec,
};
use crate::controller::reboot_outcome;
use crate::engine::{ErrorKind, Evidence, Millis, Outcome, StepError};
use crate::plan::CannotTell;
use crate::ssh::{Script, Shell};

use super::access::{Access, ScriptError, connect_error, describe_unknown, last_lines};
use super::command::Sink;
use super::environment::Environment;
use super::mask::Secrets;
use super::unless::{self, Needless, NoAnswer};
use super::{clock, kernel, probe, reboot_command};

/// Seconds before the command starts on the worker: long enough for the answer to leave it, and the answer
/// is only a hint. A `sleep` that knows no fractions waits for a whole second.
const COMMAND_DELAY_S: &str = "0.2";

/// The script that the worker runs. A command of an earlier attempt that is still at work is adopted: it gets its time
/// again, and no second one is started beside it. B0 is read once for an order, so a receipt of it for another boot id
/// is from an order that took effect and was forgotten. The command has a shell of its own, since it may say `exit`.
/// `B0`, `GENERATION`, `RECEIPT`, `MODE` and `COMMAND` are environment variables; those of the command itself are
/// `MAAND_VALUE_1` to `MAAND_VALUE_$VALUES`, each `NAME=value`.
const COMPARE_AND_REBOOT: &str = r#"
set -u
umask 077
now=$(cat "$BOOT_ID_FILE") || exit 91
if [ "$now" != "$B0" ]; then echo "ALREADY $now"; exit 0; fi
mkdir -p "$MAAND_STATE_DIR" || exit 92
receipt="$MAAND_STATE_DIR/$RECEIPT"
pending=
if [ -f "$receipt" ]; then
  read -r generation boot < "$receipt" || generation=
  if [ "${generation:-0}" -ge "$GENERATION" ]; then
    if [ "$boot" = "$B0" ]; then echo PENDING; else echo "TOOK_EFFECT $boot"; fi
    exit 0
  fi
  if [ "$boot" = "$B0" ]; then
    if maand_command_runs "$receipt.pid" || maand_scheduled >/dev/null; then pending=yes; fi
  fi
fi
if [ "$pending" = yes ] && [ "$MODE" = look ]; then echo PENDING; exit 0; fi
if [ "$MODE" = look ]; then echo NONE; exit 0; fi
for other in "$MAAND_STATE_DIR"/reboot-*.pid; do
  if [ "$other" != "$receipt.pid" ] && maand_command_runs "$other"; then echo "OTHER ${other##*/}"; exit 0; fi
done
find "$MAAND_STATE_DIR" -maxdepth 1 -name 'reboot-*' -mtime +30 ! -name "$RECEIPT*" \
  ! -exec grep -qsF -e "$B0" {} ';' -exec rm -f {} + 2>/dev/null
printf '%s %s\n' "$GENERATION" "$B0" > "$receipt.new" || exit 92
sync "$receipt.new" 2>/dev/null || sync
mv "$receipt.new" "$receipt" || exit 92
sync "$MAAND_STATE_DIR" 2>/dev/null || sync
if [ "$pending" = yes ]; then echo PENDING; exit 0; fi
start='sleep "$DELAY" 2>/dev/null || sleep 1
set -- "$SUDO_FOR_ROOT$COMMAND" "$VALUES"
unset B0 GENERATION RECEIPT MODE COMMAND VALUES DELAY SUDO_FOR_ROOT
unset BOOT_ID_FILE NOLOGIN_FILE LOOK_AT_SYSTEMD MAAND_EPOCH MAAND_MARK
while [ "$2" -gt 0 ]; do
  eval "export \"\$MAAND_VALUE_$2\"; unset MAAND_VALUE_$2"
  set -- "$1" "$(($2 - 1))"
done
( eval "shift 2; $1" )
echo "[exit code $?]"'
export COMMAND DELAY SUDO_FOR_ROOT
if command -v setsid >/dev/null 2>&1; then
  setsid sh -c "$start" > "$receipt.out" 2>&1 < /dev/null 9>&- &
else
  ( trap '' HUP; exec sh -c "$start" ) > "$receipt.out" 2>&1 < /dev/null 9>&- &
fi
pid=$!
if { read -r stat <"/proc/$pid/stat"; } 2>/dev/null; then
  set -f; set -- ${stat##*) }
  printf '%s %s %s\n' "$pid" "${20}" "$B0" > "$receipt.pid"
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
    /// For the command, and for `unless`, which has it already.
    pub(super) environment: &'a Environment,
    /// What says that it is not needed.
    pub(super) unless: Option<Unless>,
    pub(super) down_within: Duration,
}

/// What is asked before anything is sent.
pub(super) enum Unless {
    /// A command of the user's; exit 0: not needed.
    Command(Script),
    /// The worker's own tools and kernels.
    NotRequired(CannotTell),
}

/// Carries out one attempt of a reboot step. What `unless` prints and says goes to `sink`.
pub(super) fn reboot(access: &Access, order: &RebootOrder<'_>, sink: Sink<'_>) -> Outcome {
    let began = Instant::now();
    let mut why_not = None;
    let (mut machine, mut wish) = RebootMachine::start(RebootSpec {
        before: order.boot_id.to_owned(),
        ask_unless: order.unless.is_some(),
        down_within: order.down_within,
    });
    loop {
        let heard = match wish {
            RebootDo::Compare { pause, mode } => {
                if !access.pause(pause) {
                    return given_up("given up before the reboot command");
                }
                RebootHeard::Compared(compare(access, order, mode))
            }
            RebootDo::AskUnless => RebootHeard::Unless(match &order.unless {
                Some(unless) => is_needless(access, unless, &order.environment.secrets, sink, &mut why_not),
                None => Ok(false),
            }),
            RebootDo::Look { pause, bound } => {
                if !access.pause(pause) {
                    return given_up("given up while waiting for the worker to go down");
                }
                let looked = began.elapsed();
                RebootHeard::Looked {
                    began: looked,
                    look: probe::probe_departure(access, bound, order.receipt),
                }
            }
            RebootDo::Done(RebootEnd::NotNeeded) => {
                return Outcome::Ok { evidence: Evidence::NotNeeded { why: why_not } };
            }
            RebootDo::Done(end) => {
                let (host, within) = (access.host.as_str(), order.down_within);
                return with_output(reboot_outcome(host, order.boot_id, order.command, within, end), || {
                    command_output(access, order.receipt)
                });
            }
        };
        if access.cancel.is_cancelled() {
            return given_up("given up in the middle of a reboot");
        }
        wish = machine.next(began.elapsed(), heard);
    }
}

fn given_up(why: &str) -> Outcome {
    Outcome::unknown(why.to_owned())
}

/// A reboot that did not happen is told with what its command printed.
pub(super) fn with_output(outcome: Outcome, output: impl FnOnce() -> Option<String>) -> Outcome {
    match outcome {
        Outcome::Failed { error } if error.kind == ErrorKind::NotRebooted => {
            Outcome::Failed { error: StepError { output: output(), ..error } }
        }
        other => other,
    }
}

fn compare(
    access: &Access,
    order: &RebootOrder<'_>,
    mode: CompareMode,
) -> Result<Answer, CompareError<StepError>> {
    let text = format!("{}{COMPARE_AND_REBOOT}", reboot_command::FUNCTIONS);
    let mut script = access.script("reboot", &text, EXCHANGE);
    let mode = match mode {
        CompareMode::Look => "look",
        CompareMode::Reboot => "reboot",
    };
    let env = [
        ("B0", order.boot_id.to_owned()),
        ("GENERATION", order.generation.to_string()),
        ("RECEIPT", order.receipt.to_owned()),
        ("COMMAND", order.command.to_owned()),
        ("VALUES", order.environment.values.len().to_string()),
        ("MODE", mode.to_owned()),
        ("SUDO_FOR_ROOT", crate::ssh::SUDO_FOR_ROOT.to_owned()),
        ("DELAY", COMMAND_DELAY_S.to_owned()),
    ];
    script.env.extend(env.map(|(name, value)| (name.to_owned(), value)));
    let values = (1..).zip(&order.environment.values);
    script
        .env
        .extend(values.map(|(n, (name, value))| (format!("MAAND_VALUE_{n}"), format!("{name}={value}"))));
    let text = access
        .change(script, Instant::now() + EXCHANGE)
        .map_err(|error| without_answer(access, error, "the reboot script"))?;
    let mut words = text.split_whitespace();
    match (words.next(), words.next()) {
        (Some("ALREADY"), Some(boot_id)) if probe::is_boot_id(boot_id) => {
            Ok(Answer::Already { boot_id: boot_id.to_owned() })
        }
        (Some("ACK" | "PENDING"), _) => Ok(Answer::Pending),
        (Some("NONE"), _) => Ok(Answer::Nothing),
        (Some("TOOK_EFFECT"), Some(boot_id)) => {
            let message = format!(
                "{} was rebooted by this very step (its boot id was {}), which the journal does not have: facts were lost",
                access.host,
                crate::ssh::visible(boot_id.as_bytes())
            );
            Err(CompareError::Failed(StepError::new(ErrorKind::JournalBehind, message)))
        }
        (Some("OTHER"), Some(name)) => {
            let host = &access.host;
            let name = crate::ssh::visible(name.trim_end_matches(".pid").as_bytes());
            let message = format!(
                "an earlier reboot command still runs on {host} ({name}) and may take it down at any time: nothing was \
                 sent; wait for it, or end it there"
            );
            Err(CompareError::Failed(StepError::new(ErrorKind::RebootPending, message)))
        }
        _ => Err(lost(format!("the worker answered `{}`", text.trim()))),
    }
}

/// `why_not`: by what it is known that none is needed, where more than an exit code is.
fn is_needless(
    access: &Access,
    unless: &Unless,
    secrets: &Secrets,
    sink: Sink<'_>,
    why_not: &mut Option<String>,
) -> Result<bool, CompareError<StepError>> {
    let answer = match access.connect(Instant::now() + EXCHANGE) {
        Ok(mut connection) => match unless {
            Unless::Command(script) => unless::on_worker(access, connection.as_mut(), script, secrets, sink)
                .map(|Needless(needless)| needless),
            Unless::NotRequired(cannot_tell) => {
                kernel::why_not(access, connection.as_mut(), *cannot_tell, sink).map(|why| {
                    *why_not = why;
                    why_not.is_some()
                })
            }
        },
        Err(error) => Err(NoAnswer::Script(ScriptError::Connect(error))),
    };
    match answer {
        Ok(needless) => Ok(needless),
        Err(NoAnswer::CannotTell(error)) => Err(CompareError::Failed(error)),
        Err(NoAnswer::Script(error)) => Err(without_answer(access, error, "`unless`")),
    }
}

/// A script that has not said how it ended.
fn without_answer(access: &Access, error: ScriptError, what: &str) -> CompareError<StepError> {
    match error {
        ScriptError::Connect(error) => CompareError::NotReached(error.look_failure(), connect_error(&error)),
        ScriptError::Unknown(why) => lost(describe_unknown(&why)),
        error => CompareError::Failed(error.into_error(&access.host, what)),
    }
}

fn lost(why: String) -> CompareError<StepError> {
    CompareError::AnswerLost(StepError::new(ErrorKind::Unknown, why))
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

/// What has passed since `issued`, which may have been another process's doing.
pub(super) fn passed_since(issued: Millis) -> Duration {
    Duration::from_millis(u64::try_from(clock::now() - issued).unwrap_or(0))
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

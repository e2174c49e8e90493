//! One look at a worker: is it there, with which boot, and is it done booting?

use std::time::{Duration, Instant};

use crate::boot::{CommandState, Look, LookError, LookFailure, Probe};
use crate::engine::{ErrorKind, StepError};

use crate::ssh::Connection;

use super::access::{Access, ScriptError, command_error, connect_error, describe_unknown, plain};
use super::reboot_command;

/// The script of a look, without sudo: nothing of it needs root, and a worker that is booting may not
/// have sudo working yet.
const LOOK: &str = r#"
printf 'boot_id '; cat "$BOOT_ID_FILE" || echo
{ read -r maand_up maand_idle <"${BOOT_ID_FILE%/sys/kernel/random/boot_id}/uptime"; } 2>/dev/null && echo "up $maand_up"
[ -e "$NOLOGIN_FILE" ] && echo nologin
if [ "$LOOK_AT_SYSTEMD" = yes ] && [ -d /run/systemd/system ] && command -v systemctl >/dev/null 2>&1; then
  printf 'systemd '; systemctl is-system-running 2>/dev/null || :
fi
exit 0
"#;

/// After the login the script itself gets at least this: what it runs is `cat` and `systemctl`.
const SCRIPT: Duration = Duration::from_secs(20);

/// Looks once, over a fresh, fully authenticated connection: at most `bound` for the login and at most
/// [`SCRIPT`] for the script.
pub(super) fn probe(access: &Access, bound: Duration) -> Look<StepError> {
    look(access, bound, &|_| None)
}

/// As [`probe`], and does something `besides` over the same connection when it has shown a boot.
pub(super) fn probe_and(
    access: &Access,
    bound: Duration,
    besides: &dyn Fn(&mut dyn Connection),
) -> Look<StepError> {
    look(access, bound, &|connection| {
        besides(connection);
        None
    })
}

/// As [`probe`], of a worker that was told to go down: what it knows of the command, too. That may be root's to know, so
/// it is asked apart; without an answer nothing is known.
pub(super) fn probe_departure(access: &Access, bound: Duration, receipt: &str) -> Look<StepError> {
    let text = format!("{}{}", reboot_command::FUNCTIONS, reboot_command::STATE);
    let mut script = access.script("how the reboot command stands", &text, SCRIPT);
    script.env.push(("RECEIPT".into(), receipt.to_owned()));
    look(access, bound, &|connection| {
        let said = plain(&access.host, connection.run(&script, None)).ok()?;
        reboot_command::state(said.trim())
    })
}

/// Asks a connection that has shown a boot.
type Ask<'a> = &'a dyn Fn(&mut dyn Connection) -> Option<CommandState>;

fn look(access: &Access, bound: Duration, ask: Ask<'_>) -> Look<StepError> {
    let mut script = access.script("look", LOOK, SCRIPT);
    script.sudo = false;
    let strange = |error| LookError { failure: LookFailure::Strange, error };
    let connected = loop {
        match access.connect(Instant::now() + bound) {
            // This machine could not look, which is no look at the worker.
            Err(error) if error.is_exhausted() && !access.cancel.is_cancelled() => {}
            connected => break connected,
        }
    };
    let looked = connected.map_err(ScriptError::Connect).and_then(|mut connection| {
        let text = plain(&access.host, connection.run(&script, None))?;
        let seen = read(&text).map(|probe| Probe { command: ask(connection.as_mut()), ..probe });
        Ok((seen, text))
    });
    match looked {
        Ok((seen, text)) => seen.ok_or_else(|| {
            let message = format!("{} has no readable boot id: `{}`", access.host, text.trim());
            strange(StepError::new(ErrorKind::BootIdUnreadable, message))
        }),
        Err(ScriptError::Connect(error)) => {
            Err(LookError { failure: error.look_failure(), error: connect_error(&error) })
        }
        // Until an operator has changed the worker, no look gets any further.
        Err(ScriptError::NotRun(error)) if error.kind == ErrorKind::SudoWantsPassword => {
            Err(LookError { failure: LookFailure::Final, error })
        }
        Err(ScriptError::NotRun(error)) => Err(strange(error)),
        Err(ScriptError::Unknown(why)) => {
            let error = StepError::new(ErrorKind::Unreachable, describe_unknown(&why));
            Err(LookError { failure: LookFailure::Lost, error })
        }
        Err(ScriptError::Exit { code, stdout, stderr }) => {
            Err(strange(command_error("looking", code, &stdout, &stderr)))
        }
    }
}

pub(super) fn read(text: &str) -> Option<Probe> {
    let mut seen = Probe::settled("");
    for line in text.lines() {
        match line.split_once(' ').unwrap_or((line, "")) {
            ("boot_id", id) => seen.boot_id = id.trim().to_owned(),
            ("up", seconds) => {
                let seconds = seconds.trim().parse().ok();
                seen.up_for = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
            }
            ("nologin", _) => seen.unsettled = Some("logins are still off (nologin)".into()),
            // systemctl(1): everything but these two is on its way up or down, or wants an operator.
            ("systemd", "running" | "degraded" | "offline" | "unknown" | "") => {}
            ("systemd", state) => seen.unsettled = Some(format!("systemd is {state}")),
            _ => {}
        }
    }
    is_boot_id(&seen.boot_id).then_some(seen)
}

/// A UUID as Linux prints it.
pub(super) fn is_boot_id(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "3e1a9df5-9c6d-4c86-b1a8-3f2f4a7e0c11";

    #[test]
    fn a_look_is_read() {
        let seen = read(&format!("boot_id {ID}\nup 350735.47\nnologin\n")).unwrap();
        assert_eq!((seen.boot_id.as_str(), seen.up_for), (ID, Some(Duration::from_millis(350_735_470))));
        for odd in ["-1", "NaN", "1e99", "soon", ""] {
            assert_eq!(read(&format!("boot_id {ID}\nup {odd}\n")).unwrap().up_for, None, "{odd}");
        }
        assert!(seen.unsettled.unwrap().contains("nologin"));
        assert_eq!(read(&format!("boot_id {ID}\nsystemd degraded\n")).unwrap().unsettled, None);
        assert!(read(&format!("boot_id {ID}\nsystemd starting\n")).unwrap().unsettled.is_some());
    }

    #[test]
    fn anything_else_is_no_answer() {
        for text in ["", "boot_id \n", "boot_id x", "hello", &format!("boot_id {ID}0\n")] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}

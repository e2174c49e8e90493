//! What a worker knows of reboot commands that were started there: beside its receipt each has a file with its session,
//! so that a command which outlives the time it was given is found again, whoever looks.

use crate::boot::CommandState;
use crate::report::Time;

/// A worker may say anything.
const PENDING_SHOWN: usize = 3;

/// Functions for scripts on the worker, with `BOOT_ID_FILE` and `LOOK_AT_SYSTEMD` in the environment.
///
/// A command runs as long as a process of its session does (`proc_pid_stat(5)`: fields 3, 6 and 22 are the state, the
/// session and the start time, which tells a process from a later one with the same number). What a command leaves to
/// the system is seen where systemd keeps it (`shutdown(8)`, `systemd-logind`).
pub(super) const FUNCTIONS: &str = r#"
maand_command_runs() {
  maand_p= maand_t= maand_b= maand_s=
  [ -f "$1" ] && read -r maand_p maand_t maand_b <"$1" || return 1
  [ "$maand_b" = "$(cat "$BOOT_ID_FILE")" ] || return 1
  set -f
  if { read -r maand_s <"/proc/$maand_p/stat"; } 2>/dev/null; then
    set -- ${maand_s##*) }
    [ "${20}" = "$maand_t" ] || { set +f; return 1; }
    [ "$1" = Z ] || { set +f; return 0; }
  fi
  set +f
  for maand_f in /proc/[0-9]*/stat; do
    { read -r maand_s <"$maand_f"; } 2>/dev/null || continue
    set -f; set -- ${maand_s##*) }; set +f
    [ "$4" != "$maand_p" ] || [ "$1" = Z ] || return 0
  done
  return 1
}
maand_scheduled() {
  [ "$LOOK_AT_SYSTEMD" = yes ] && [ -f /run/systemd/shutdown/scheduled ] || return 1
  echo scheduled $(sed -n 's/^USEC=\([0-9]\{1,17\}\).*/\1/p; s/^MODE=\([a-z-]\{1,20\}\).*/\1/p' /run/systemd/shutdown/scheduled)
}
"#;

/// Says how the command of `RECEIPT` stands; with nothing to say it says nothing.
pub(super) const STATE: &str = r#"
receipt="$MAAND_STATE_DIR/$RECEIPT"
[ -f "$receipt.pid" ] || exit 0
if maand_command_runs "$receipt.pid"; then echo running; exit 0; fi
maand_scheduled || tail -n 1 "$receipt.out" 2>/dev/null | sed -n 's/^\[exit code \([0-9]\{1,3\}\)\]$/ended \1/p'
"#;

/// Any command that may take the worker down: `runs NAME`, or what [`STATE`] says of what is scheduled.
pub(super) const ANY: &str = r#"
for maand_any in "$MAAND_STATE_DIR"/reboot-*.pid; do
  if maand_command_runs "$maand_any"; then echo "runs ${maand_any##*/}"; fi
done
maand_scheduled || :
"#;

/// Reads a line of [`STATE`].
pub(super) fn state(line: &str) -> Option<CommandState> {
    let mut words = line.split_whitespace();
    match (words.next()?, words.next(), words.next()) {
        ("running", ..) => Some(CommandState::Running),
        ("ended", Some(code), _) => code.parse().ok().map(CommandState::Ended),
        ("scheduled", usec, mode) => {
            let at = usec
                .and_then(|usec| usec.parse::<i64>().ok())
                .map(|usec| Time(usec / 1000).rfc3339().replace(".000Z", "Z"));
            let words =
                [mode.map(|mode| crate::ssh::visible(mode.as_bytes())), at.map(|at| format!("at {at}"))];
            Some(CommandState::Scheduled(words.into_iter().flatten().collect::<Vec<_>>().join(" ")))
        }
        _ => None,
    }
}

/// Reads what [`ANY`] says: in words, what may take the worker down.
pub(super) fn pending(said: &str) -> Option<String> {
    let words = said.lines().filter_map(|line| match line.split_once(' ') {
        Some(("runs", name)) => {
            let name = crate::ssh::visible(name.trim_end_matches(".pid").as_bytes());
            Some(format!("an earlier reboot command still runs there ({name})"))
        }
        Some(("scheduled", _)) => match state(line)? {
            CommandState::Scheduled(what) => Some(format!("a shutdown is scheduled there: {what}")),
            _ => None,
        },
        _ => None,
    });
    let words: Vec<String> = words.take(PENDING_SHOWN).collect();
    (!words.is_empty()).then(|| words.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scheduled_shutdown_is_said_with_its_time() {
        let seen = state("scheduled 1764457200000000 reboot").unwrap();
        assert_eq!(seen, CommandState::Scheduled("reboot at 2025-11-29T23:00:00Z".to_owned()));
        assert_eq!(state("scheduled"), Some(CommandState::Scheduled(String::new())));
        // Found by the target `answers` of `fuzz/`.
        let seen = state("scheduled 0 re\x1b[2Jboot").unwrap();
        assert_eq!(seen, CommandState::Scheduled("re\\x1b[2Jboot at 1970-01-01T00:00:00Z".to_owned()));
    }

    #[test]
    fn what_is_no_answer_says_nothing() {
        for line in ["", "ended", "ended x", "ended 99999999999", "hello 1 2"] {
            assert_eq!(state(line), None, "{line}");
        }
        assert_eq!(pending("boot_id x\n"), None);
        let both = pending("runs reboot-r-s.pid\nscheduled 1764457200000000 reboot\n").unwrap();
        assert!(both.contains("(reboot-r-s); a shutdown is scheduled there: reboot at 2025-11-29"), "{both}");
    }
}

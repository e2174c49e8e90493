//! What is done to a script from outside of it: ending its process group over a fresh connection, and
//! refusing a stopped controller that wakes up.

use std::time::{Duration, Instant};

use super::{Cancel, Completion, Remote, Script, Shell};
use crate::bucket::Host;

/// A process group on a worker; the start time of its leader (in clock ticks since the boot,
/// `proc_pid_stat(5)` field 22) tells it from a later one with the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its id, which is also its leader's.
    pub group: u32,
    /// When the leader started.
    pub started: u64,
}

/// SIGTERM, and SIGKILL when that did not do in a second. (`kill -0 --` is an error in dash.)
const END: &str = r#"[ -r "/proc/$MAAND_GROUP/stat" ] || exit 0
read -r s <"/proc/$MAAND_GROUP/stat" || exit 0
set -f; set -- ${s##*) }
[ "${20}" = "$MAAND_STARTED" ] || exit 0
kill -s TERM -- "-$MAAND_GROUP" || exit 1
for i in 1 2 3 4 5 6 7 8 9 10; do
  kill -s 0 -- "-$MAAND_GROUP" 2>/dev/null || exit 0
  sleep 0.1 2>/dev/null || sleep 1
done
kill -s KILL -- "-$MAAND_GROUP""#;

/// Ends what a script that was given up may have left running; at most `within`. `true` when the group
/// is known to be gone.
pub fn end_group(remote: &dyn Remote, host: &Host, group: Group, sudo: bool, within: Duration) -> bool {
    let until = Instant::now() + within;
    let Ok(mut connection) = remote.connect(host, until, &Cancel::new()) else { return false };
    let script = Script {
        what: "end what is still running".into(),
        shell: Shell::Sh,
        sudo,
        text: END.into(),
        env: vec![
            ("MAAND_GROUP".into(), group.group.to_string()),
            ("MAAND_STARTED".into(), group.started.to_string()),
        ],
        deadline: until.saturating_duration_since(Instant::now()).max(Duration::from_secs(1)),
        watchdog: true,
        silence: None,
        users_own: false,
        lock: false,
    };
    matches!(connection.run(&script, None), Completion::Exited { code: 0, .. })
}

/// What the worker says, before a script begins, when a newer controller has taken over its run.
pub(super) const FENCED: i32 = 97;
/// And when nothing can be written in the state folder.
pub(super) const NO_STATE: i32 = 98;

/// What every script with the lock does before it begins: with `MAAND_RUN` and `MAAND_EPOCH` in its environment it
/// refuses when the worker has already heard from a higher epoch of the same run, and else notes its own in
/// `$MAAND_STATE_DIR/epoch`, with the mark of the newest fact that the sender's journal has (`MAAND_MARK`): run, epoch,
/// number, hash. What is the fence's own is not the script's to see.
pub(super) const FENCE: &str = r#"if [ -n "${MAAND_RUN:-}" ] && [ -n "${MAAND_EPOCH:-}" ]; then
  maand_run= maand_epoch= maand_mark=
  [ ! -e "$MAAND_STATE_DIR/epoch" ] || read -r maand_run maand_epoch maand_mark <"$MAAND_STATE_DIR/epoch"
  if [ "$maand_run" = "$MAAND_RUN" ] && [ "$maand_epoch" -gt "$MAAND_EPOCH" ]; then
    echo "maand: this run was taken over (epoch $maand_epoch, this is $MAAND_EPOCH)" >&2
    exit 97
  fi
  if [ "$maand_run $maand_epoch $maand_mark" != "$MAAND_RUN $MAAND_EPOCH ${MAAND_MARK:-}" ]; then
    (umask 077; printf '%s %s %s\n' "$MAAND_RUN" "$MAAND_EPOCH" "${MAAND_MARK:-}" >"$MAAND_STATE_DIR/epoch.new") &&
      mv -f "$MAAND_STATE_DIR/epoch.new" "$MAAND_STATE_DIR/epoch" || {
      cat /proc/self/stat >"$MAAND_STATE_DIR/try"
      rm -f "$MAAND_STATE_DIR/try"
      exit 98
    }
  fi
  unset maand_run maand_epoch maand_mark MAAND_EPOCH MAAND_MARK
fi
"#;

//! One look at a worker: is it there, with which boot, and is it done booting?

use std::time::{Duration, Instant};

use crate::engine::{ErrorKind, StepError};
use crate::ssh::{ConnectError, UnknownWhy};

use super::access::{Access, ScriptError, command_error};

/// The script of a look, without sudo: nothing of it needs root, and a worker that is booting may not
/// have sudo working yet.
const LOOK: &str = r#"
printf 'boot_id '; cat "$BOOT_ID_FILE" || echo
[ -e "$NOLOGIN_FILE" ] && echo nologin
if [ "$LOOK_AT_SYSTEMD" = yes ] && [ -d /run/systemd/system ] && command -v systemctl >/dev/null 2>&1; then
  printf 'systemd '; systemctl is-system-running 2>/dev/null || :
fi
exit 0
"#;

/// What a look has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Probe {
    pub(super) boot_id: String,
    /// Why it is not done booting (or is going down), if so.
    pub(super) unsettled: Option<String>,
}

/// Why nothing was seen.
pub(super) enum ProbeError {
    Connect(ConnectError),
    /// The connection was lost on the way.
    Lost(UnknownWhy),
    /// It answered, and not with what a worker answers.
    Error(StepError),
}

/// Connecting to a worker that is down takes its whole bound when packets vanish, and one that is back
/// must be noticed within two seconds: looks are short, and every fourth one is patient for the sake
/// of slow machines.
pub(super) fn patience(failures: u32) -> Duration {
    if failures % 4 == 3 { Duration::from_secs(15) } else { Duration::from_millis(2500) }
}

/// Looks once, over a fresh, fully authenticated connection.
pub(super) fn look(access: &Access, until: Instant) -> Result<Probe, ProbeError> {
    let mut script = access.script("look", LOOK, Duration::from_secs(20));
    script.sudo = false;
    match access.run(&script, until) {
        Ok(said) => read(&said).ok_or_else(|| {
            let message = format!("{} has no readable boot id: `{}`", access.host, said.trim());
            ProbeError::Error(StepError::new(ErrorKind::BootIdUnreadable, message))
        }),
        Err(ScriptError::Connect(error)) => Err(ProbeError::Connect(error)),
        Err(ScriptError::NotRun(error)) => Err(ProbeError::Error(error)),
        Err(ScriptError::Unknown(why)) => Err(ProbeError::Lost(why)),
        Err(ScriptError::Exit { code, stdout, stderr }) => {
            Err(ProbeError::Error(command_error(&access.host, "looking", code, &stdout, &stderr)))
        }
    }
}

fn read(said: &str) -> Option<Probe> {
    let mut seen = Probe { boot_id: String::new(), unsettled: None };
    for line in said.lines() {
        match line.split_once(' ').unwrap_or((line, "")) {
            ("boot_id", id) => seen.boot_id = id.trim().to_owned(),
            ("nologin", _) => seen.unsettled = Some("logins are still off (nologin)".into()),
            // systemctl(1): everything but these two is on its way up or down, or wants a person.
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
        let seen = read(&format!("boot_id {ID}\nnologin\n")).unwrap();
        assert_eq!(seen.boot_id, ID);
        assert!(seen.unsettled.unwrap().contains("nologin"));
        assert_eq!(read(&format!("boot_id {ID}\nsystemd degraded\n")).unwrap().unsettled, None);
        assert!(read(&format!("boot_id {ID}\nsystemd starting\n")).unwrap().unsettled.is_some());
    }

    #[test]
    fn anything_else_is_no_answer() {
        for said in ["", "boot_id \n", "boot_id x", "hello", &format!("boot_id {ID}0\n")] {
            assert_eq!(read(said), None, "{said}");
        }
    }
}

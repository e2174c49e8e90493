//! Whether a command means to take its worker down, by its words.

/// What a command says about a reboot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum RebootIntent {
    /// Nothing.
    None,
    /// A word for it occurs; it may be a file's name as well.
    Possible,
    /// It calls a program that reboots the worker, or that takes it down for good: either way the
    /// worker goes away.
    Certain,
}

const WORDS: [&str; 6] = ["reboot", "shutdown", "poweroff", "halt", "kexec", "telinit"];
/// Words before the program's name that do not change what is run.
const BEFORE: [&str; 9] = ["sudo", "env", "nohup", "exec", "command", "setsid", "time", "nice", "then"];

/// Reads a command's words. It is a guess with a safe side: what is mentioned is waited for.
pub(super) fn reboot_intent(command: &str) -> RebootIntent {
    let lower = command.to_ascii_lowercase();
    let called = lower.split([';', '&', '|', '\n', '(', ')', '{', '}', '`', '"', '\'']).map(call).max();
    let mentioned = WORDS.iter().any(|word| contains_word(&lower, word));
    match called {
        Some(RebootIntent::Certain) => RebootIntent::Certain,
        _ if mentioned => RebootIntent::Possible,
        _ => RebootIntent::None,
    }
}

/// What one simple command is.
fn call(text: &str) -> RebootIntent {
    let mut words = text.split_whitespace().skip_while(|word| {
        let assignment = word.split_once('=').is_some_and(|(name, _)| !name.contains('/'));
        BEFORE.contains(word) || word.starts_with('-') || assignment
    });
    let program = words.next().unwrap_or_default();
    let program = program.rsplit('/').next().unwrap_or_default();
    let rest: Vec<&str> = words.collect();
    let has = |options: &[&str]| rest.iter().any(|word| options.contains(word));
    match program {
        // What is cancelled, only announced, or for later does not happen now.
        "shutdown" if has(&["-c", "--help", "-k", "--show"]) => RebootIntent::Possible,
        "shutdown" if rest.iter().any(|word| is_later(word)) => RebootIntent::Possible,
        "shutdown" => RebootIntent::Certain,
        "reboot" | "poweroff" | "halt" if has(&["--help", "-w", "--wtmp-only"]) => RebootIntent::Possible,
        "reboot" | "poweroff" | "halt" | "sandbox-reboot" => RebootIntent::Certain,
        "systemctl" if has(&["reboot", "kexec", "poweroff", "halt"]) => RebootIntent::Certain,
        "init" | "telinit" if has(&["6", "0"]) => RebootIntent::Certain,
        _ => RebootIntent::None,
    }
}

/// `+5` or `23:30`; `+0` is now.
fn is_later(word: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let minutes = word.strip_prefix('+').is_some_and(|n| digits(n) && !n.trim_start_matches('0').is_empty());
    minutes || word.split_once(':').is_some_and(|(hour, minute)| digits(hour) && digits(minute))
}

fn contains_word(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(at, _)| {
        let letter = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        !letter(text[..at].chars().next_back()) && !letter(text[at + word.len()..].chars().next())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_reboots_is_told_from_what_speaks_of_it() {
        for command in [
            "sudo shutdown -r now",
            "shutdown -r +0",
            "reboot",
            "sync; /sbin/reboot -f",
            "test -e /x && sudo -n systemctl reboot",
            "nohup sh -c 'sleep 1; reboot' &",
            "LANG=C init 6",
            "SUDO SHUTDOWN -R NOW",
            "poweroff",
            "sudo shutdown now",
            "systemctl poweroff",
        ] {
            assert_eq!(reboot_intent(command), RebootIntent::Certain, "{command}");
        }
        for command in [
            "last reboot",
            "shutdown -c",
            "shutdown -r +5",
            "shutdown -r 23:30",
            "./reboot-node.sh",
            "ls /run/reboot-required",
        ] {
            assert_eq!(reboot_intent(command), RebootIntent::Possible, "{command}");
        }
        for command in ["", "uptime", "systemctl restart docker", "rebooted", "initdb 6", "echo asphalt"] {
            assert_eq!(reboot_intent(command), RebootIntent::None, "{command}");
        }
    }
}

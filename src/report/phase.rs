//! How far an attempt under way has come. Only the process that waits knows it: it is no fact, and is told to whoever
//! watches that process.

use crate::engine::Millis;

use super::{describe_span, text};

/// After so long what was waited for is not waited for any more, unless it is said again.
const SAID_FOR: Millis = 8_000;

/// How far a `wait_for_ssh` has come, or what another step waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WaitPhase {
    /// It still has the boot that it is to lose.
    GoingDown,
    /// Nobody answers there.
    Down,
    /// It answers, and is not ready yet.
    Answers {
        /// What is missing, in a few words.
        why: String,
    },
    /// It is well, and has to stay so.
    Settling {
        /// When it began.
        since: Millis,
        /// When it has stayed well for long enough.
        until: Millis,
    },
    /// Something of this machine is not free: a lock, another deploy. It is said again and again while that is so.
    Waits {
        /// What, and who has it.
        r#for: String,
    },
}

impl WaitPhase {
    /// As in JSON.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::GoingDown => "going_down",
            Self::Down => "down",
            Self::Answers { .. } => "answers",
            Self::Settling { .. } => "settling",
            Self::Waits { .. } => "waiting",
        }
    }
}

/// A phase and when it began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Phase {
    pub(super) phase: WaitPhase,
    pub(super) since: Millis,
}

impl Phase {
    pub(super) fn is_over(&self, at: Millis) -> bool {
        matches!(self.phase, WaitPhase::Waits { .. }) && at - self.since > SAID_FOR
    }
}

/// At this moment; `boot`: how long a worker is usually down.
pub(super) fn describe_phase(at: Millis, phase: &Phase, boot: Option<Millis>) -> String {
    match &phase.phase {
        WaitPhase::Down => {
            let usually = boot.map_or_else(String::new, |boot| format!(", usually {}", describe_span(boot)));
            format!("down for {}{usually}", describe_span(at - phase.since))
        }
        WaitPhase::Settling { since, until } => {
            let seconds = |span: Millis| span.max(0) / 1000;
            let all = seconds(until - since);
            format!("settling {}/{all}s", seconds(at - since).min(all))
        }
        WaitPhase::Waits { r#for } => format!("waits for {}", text::one_line(r#for)),
        WaitPhase::GoingDown => "going down".to_owned(),
        WaitPhase::Answers { why } => format!("answers; {}", text::one_line(why)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_phase_says_what_is_waited_for() {
        let said = |at, phase, boot| describe_phase(at, &Phase { phase, since: 1_000 }, boot);
        assert_eq!(said(5_000, WaitPhase::GoingDown, Some(41_000)), "going down");
        assert_eq!(said(39_000, WaitPhase::Down, Some(41_000)), "down for 38s, usually 41s");
        assert_eq!(said(39_000, WaitPhase::Down, None), "down for 38s");
        let why = "systemd is starting: 3 jobs\n".to_owned();
        assert_eq!(said(0, WaitPhase::Answers { why }, None), "answers; systemd is starting: 3 jobs");
        let settling = WaitPhase::Settling { since: 1_000, until: 11_000 };
        assert_eq!(said(4_500, settling.clone(), None), "settling 3/10s");
        assert_eq!(said(99_000, settling, None), "settling 10/10s");
    }
}

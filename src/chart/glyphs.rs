//! The signs of a picture: each is told apart by its form alone, in Unicode and in ASCII.

use super::line::Ink;
use crate::engine::{PublicRunState, PublicWorkerState};
use crate::timeline::{Activity, HoldKind, MarkKind, WaitKind};

/// One of the two sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Glyphs {
    unicode: bool,
}

impl Glyphs {
    pub(super) fn new(unicode: bool) -> Self {
        Self { unicode }
    }

    fn one(self, unicode: char, ascii: char) -> char {
        if self.unicode { unicode } else { ascii }
    }

    /// Where something was cut.
    pub(super) fn ellipsis(self) -> char {
        self.one('…', '~')
    }

    /// Before the number of what is left out.
    pub(super) fn and_more(self) -> &'static str {
        if self.unicode { "…" } else { "..." }
    }

    /// An attempt that did not end well.
    pub(super) fn bad(self) -> char {
        self.one('×', 'X')
    }

    /// The end of what is still under way.
    pub(super) fn open(self) -> char {
        self.one('▸', '>')
    }

    /// A time that was cut out.
    pub(super) fn cut(self) -> char {
        self.one('┊', ':')
    }

    pub(super) fn activity(self, activity: Activity) -> char {
        let (unicode, ascii) = match activity {
            Activity::Drain => ('▄', '-'),
            Activity::Deploy => ('▓', 'D'),
            Activity::Reboot => ('█', 'R'),
            Activity::Return => ('▒', 'w'),
            Activity::Health => ('░', 'h'),
            Activity::Command => ('▚', 'c'),
            Activity::Approval => ('?', '?'),
            Activity::Idle => ('·', '.'),
            Activity::Undo => ('◂', 'u'),
        };
        self.one(unicode, ascii)
    }

    /// How a worker stands.
    pub(super) fn state(self, state: Option<PublicWorkerState>) -> (char, Ink) {
        match state {
            None => (' ', Ink::Plain),
            Some(PublicWorkerState::Queued) => (self.one('○', '.'), Ink::Dim),
            Some(PublicWorkerState::Succeeded) => (self.one('✓', '+'), Ink::Good),
            Some(PublicWorkerState::Failed) => (self.one('×', 'X'), Ink::Bad),
            Some(PublicWorkerState::InDoubt) => ('?', Ink::Bad),
            Some(PublicWorkerState::Reverted) => (self.one('↺', 'u'), Ink::Warn),
            Some(
                PublicWorkerState::Skipped | PublicWorkerState::LeftAlone | PublicWorkerState::Cancelled,
            ) => (self.one('–', '-'), Ink::Dim),
            Some(
                PublicWorkerState::Running
                | PublicWorkerState::Retrying
                | PublicWorkerState::Waiting
                | PublicWorkerState::Held
                | PublicWorkerState::Reverting,
            ) => (self.one('▸', '>'), Ink::Plain),
        }
    }

    /// How a run stands.
    pub(super) fn run(self, state: PublicRunState) -> (char, Ink) {
        match state {
            PublicRunState::Succeeded => (self.one('✓', '+'), Ink::Good),
            PublicRunState::Failed | PublicRunState::Halted | PublicRunState::Aborted => {
                (self.one('×', 'X'), Ink::Bad)
            }
            PublicRunState::Running => (self.one('▸', '>'), Ink::Plain),
            PublicRunState::Waiting | PublicRunState::Paused | PublicRunState::Interrupted => {
                (self.one('‖', '='), Ink::Warn)
            }
        }
    }

    pub(super) fn mark(self, mark: &MarkKind) -> (char, Ink) {
        match mark {
            MarkKind::Resumed { from_bundle: true, .. } => (self.one('⇄', 'T'), Ink::Warn),
            MarkKind::Started | MarkKind::Resumed { .. } => (self.one('▸', '>'), Ink::Plain),
            MarkKind::ControllerGone => (self.one('✖', 'X'), Ink::Bad),
            MarkKind::Interrupted { .. } => (self.one('■', '#'), Ink::Warn),
            MarkKind::Paused { .. } => (self.one('‖', '='), Ink::Warn),
            MarkKind::Halted { .. } => ('!', Ink::Bad),
            MarkKind::InDoubt { .. } => ('?', Ink::Bad),
            MarkKind::Approved { .. } | MarkKind::Settled { .. } => (self.one('✓', '+'), Ink::Good),
            MarkKind::Retried { .. } => (self.one('↻', 'r'), Ink::Plain),
            MarkKind::Skipped { .. } => (self.one('–', '-'), Ink::Plain),
            MarkKind::NotSilenced { .. } => (self.one('♪', 's'), Ink::Warn),
            MarkKind::Aborted { .. } => (self.one('⊗', 'A'), Ink::Bad),
            MarkKind::Finished { .. } => (self.one('●', 'o'), Ink::Plain),
        }
    }

    pub(super) fn hold(self, hold: HoldKind) -> (char, Ink) {
        match hold {
            HoldKind::Soak => ('~', Ink::Dim),
            HoldKind::Paused => (self.one('‖', '='), Ink::Warn),
            HoldKind::Stopped => (self.one('■', '#'), Ink::Warn),
            HoldKind::Halted => ('!', Ink::Bad),
            HoldKind::Nobody => (self.one('✖', 'X'), Ink::Bad),
        }
    }

    /// A letter that the word of the reason has.
    pub(super) fn wait(self, wait: WaitKind) -> char {
        match wait {
            WaitKind::Concurrency => 'c',
            WaitKind::Wave => 'v',
            WaitKind::Spread => 's',
            WaitKind::Budget => 'b',
            WaitKind::Observation => 'o',
            WaitKind::Window => 'w',
            WaitKind::Failures => 'f',
            WaitKind::Preparation => 'r',
            WaitKind::Paused => 'p',
        }
    }

    /// From a beginning on.
    pub(super) fn rule(self) -> char {
        self.one('─', '-')
    }

    /// Where a time stands on the axis.
    pub(super) fn tick(self) -> char {
        self.one('╷', '|')
    }

    /// So many eighths of a line.
    pub(super) fn area(self, eighths: u32) -> char {
        const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
        self.one(BLOCKS[eighths.clamp(1, 8) as usize - 1], '#')
    }

    /// What is allowed.
    pub(super) fn limit(self) -> char {
        self.one('┄', '-')
    }

    /// A number up to `top` as a height, or as a digit. Nothing is nothing.
    pub(super) fn height(self, number: u32, top: u32) -> char {
        if number == 0 {
            return ' ';
        }
        if !self.unicode {
            return char::from_digit(number, 10).unwrap_or('+');
        }
        self.area((u64::from(number) * 8).div_ceil(u64::from(top.max(1))).min(8) as u32)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_activity_has_a_sign_of_its_own_and_ascii_is_ascii() {
        for unicode in [true, false] {
            let glyphs = Glyphs::new(unicode);
            let mut signs: BTreeSet<char> =
                Activity::ALL.iter().map(|activity| glyphs.activity(*activity)).collect();
            assert_eq!(signs.len(), Activity::ALL.len());
            assert!(signs.insert(glyphs.bad()) && signs.insert(glyphs.open()), "told apart from activities");
            assert!(unicode || signs.iter().all(char::is_ascii), "{signs:?}");
        }
    }
}

//! Facts that may not follow: which rule they break.

use std::fmt;

use super::Fact;

/// Why a fact is refused, at run time and at replay alike. Shown is the rule: the rest is for whoever looks for a bug.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleViolation {
    /// The rule, as a sentence.
    pub rule: &'static str,
    /// The fact that broke it, as it is stored (JSON).
    pub detail: String,
}

impl RuleViolation {
    pub(super) fn new(rule: &'static str, fact: &Fact) -> Self {
        Self { rule, detail: serde_json::to_string(fact).unwrap_or_default() }
    }
}

impl fmt::Display for RuleViolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.rule)
    }
}

impl std::error::Error for RuleViolation {}

/// Why [`super::RunState::apply`] gave nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// The given fact may not follow; the state is as it was. An operator who asked for it is told.
    #[error(transparent)]
    Refused(RuleViolation),
    /// A fact that the engine itself derived may not follow: a bug. The state in memory is ahead of the
    /// journal by an unknown part of the decision, so that the process must stop before it does anything more.
    #[error("the engine derived a fact that its own rules refuse: {violation}: {detail}", violation = .0, detail = .0.detail)]
    Broken(RuleViolation),
}

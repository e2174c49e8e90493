//! What was found: how bad it is, and what it says of a layer.

use serde::{Serialize, Serializer};

use crate::ssh::{Cause, Layer};

/// How bad something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Nothing is wrong: something to know.
    Note,
    /// It may be meant; nothing is kept from being done.
    Warning,
    /// Something to fix: a run, or a part of it, would fail.
    Problem,
}

impl Severity {
    /// As it is written in JSON and shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Problem => "problem",
        }
    }
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What it is, and what to do about it.
    pub cause: Cause,
}

impl Finding {
    /// Something to fix.
    pub fn problem(cause: Cause) -> Self {
        Self { severity: Severity::Problem, cause }
    }

    /// Something that may be meant.
    pub fn warning(cause: Cause) -> Self {
        Self { severity: Severity::Warning, cause }
    }

    /// Something to know.
    pub fn note(cause: Cause) -> Self {
        Self { severity: Severity::Note, cause }
    }
}

/// How a layer of a worker is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It was looked at, and nothing is wrong.
    Ok,
    /// There is a warning about it.
    Warning,
    /// There is something to fix.
    Problem,
    /// It was asked, and the answer cannot be read.
    Unknown,
    /// It could not be looked at, because of this layer before it.
    NotLookedAt(Layer),
}

impl State {
    /// As it is written in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Problem => "problem",
            Self::Unknown => "unknown",
            Self::NotLookedAt(_) => "not_looked_at",
        }
    }
}

impl Serialize for State {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

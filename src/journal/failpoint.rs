//! The two sides of a commit as points where the process can be made to die, for crash tests and for
//! `maand plan rehearse --kill-controller`. A run must survive a kill at any instant anyway.

use crate::os::failpoint::Failpoint;

/// `MAAND_CRASH_AT=N`: this process ends by SIGKILL at its Nth commit, counted from 1. Counted are
/// the transactions that create a run, append facts, or raise an epoch; not output nor requests.
pub const CRASH_AT: &str = "MAAND_CRASH_AT";

/// `MAAND_CRASH_WHEN=before|after`: just before the commit (the facts are lost), or just after it
/// (they are durable, and nothing has been done about them yet). `after` unless given.
pub const CRASH_WHEN: &str = "MAAND_CRASH_WHEN";

static BEFORE: Failpoint = Failpoint::new(|| wanted(true));
static AFTER: Failpoint = Failpoint::new(|| wanted(false));

fn wanted(before: bool) -> Option<u64> {
    let at = std::env::var(CRASH_AT).ok()?.parse().ok()?;
    (std::env::var(CRASH_WHEN).is_ok_and(|when| when == "before") == before).then_some(at)
}

/// A transaction that is counted is about to be committed.
pub(super) fn before_commit() {
    BEFORE.reach();
}

/// It is durable.
pub(super) fn after_commit() {
    AFTER.reach();
}

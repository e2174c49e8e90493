//! Death on demand: the process kills itself at a chosen commit, for crash tests and for
//! `maand plan rehearse --kill-controller`.
//!
//! It is honoured in every build, so that what is tested is the program that is shipped. It gives
//! nobody power that they lack: who sets the environment of a process can kill it as well, and a run
//! must survive a kill at any instant anyway.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::bucket::failpoint::die;

/// `MAAND_CRASH_AT=N`: this process ends by SIGKILL at its Nth commit, counted from 1. Counted are
/// the transactions that create a run, append facts, or raise an epoch; not output nor requests.
pub const CRASH_AT: &str = "MAAND_CRASH_AT";

/// `MAAND_CRASH_WHEN=before|after`: just before the commit (the facts are lost), or just after it
/// (they are durable, and nothing has been done about them yet). `after` unless given.
pub const CRASH_WHEN: &str = "MAAND_CRASH_WHEN";

static COMMITS: AtomicU64 = AtomicU64::new(0);

fn wanted() -> Option<(u64, bool)> {
    static WANTED: OnceLock<Option<(u64, bool)>> = OnceLock::new();
    *WANTED.get_or_init(|| {
        let at = std::env::var(CRASH_AT).ok()?.parse().ok()?;
        Some((at, std::env::var(CRASH_WHEN).is_ok_and(|when| when == "before")))
    })
}

/// Commits `transaction`, with the failpoints on both sides.
pub(super) fn commit(transaction: rusqlite::Transaction<'_>) -> rusqlite::Result<()> {
    let number = COMMITS.fetch_add(1, Ordering::Relaxed) + 1;
    let here = wanted().filter(|(at, _)| *at == number).map(|(_, before)| before);
    if here == Some(true) {
        die();
    }
    transaction.commit()?;
    if here == Some(false) {
        die();
    }
    Ok(())
}

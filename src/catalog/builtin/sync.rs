//! The sync check: does `worker.json` on a worker agree with what was last confirmed for it?
//!
//! Where it does not, that is noted, so that the next deploy has something to do for the worker: it
//! writes the file again and looks at the receipt of each of its jobs.

use std::collections::BTreeMap;

use super::engine::Builtin;
use super::scripts::{Agreement, Task, code, compare};
use super::state::{State, WorkerJson, WorkerRow};
use super::store::Store;
use super::wire::{PARALLEL, Wire};
use crate::bucket::Host;
use crate::catalog::locking;
use crate::catalog::{Call, CatalogError, Report, WorkerOutcome};
use crate::os::parallel_map;

/// What the check saw on one worker.
pub(super) struct SyncCheck {
    /// For the report.
    pub(super) outcome: WorkerOutcome,
    /// It has to be noted that it disagrees.
    pub(super) to_be_noted: bool,
}

/// As [`crate::catalog::Catalog::sync_check`].
pub(super) fn sync_check(
    engine: &Builtin,
    state: &State,
    workers: &[Host],
    call: &Call,
) -> Result<Report, CatalogError> {
    let wire = Wire::new(engine.remote.as_ref(), call);
    let seen = check_workers(&wire, state, workers);
    let to_be_noted: Vec<Host> =
        seen.iter().filter(|(_, seen)| seen.to_be_noted).map(|(host, _)| host.clone()).collect();
    if !to_be_noted.is_empty() {
        let _lock = locking::take(&engine.bucket, "job", call)?;
        let (mut store, mut state) = engine.write_state()?;
        note(&mut store, &mut state, &to_be_noted)?;
    }
    let workers = seen.into_iter().map(|(host, seen)| (host, seen.outcome)).collect();
    Ok(Report { workers, allocations: Vec::new() })
}

/// Reads `worker.json` on each.
pub(super) fn check_workers(wire: &Wire<'_>, state: &State, workers: &[Host]) -> BTreeMap<Host, SyncCheck> {
    let seen = parallel_map(workers, PARALLEL, |host| check_worker(wire, state, host));
    workers.iter().cloned().zip(seen).collect()
}

fn check_worker(wire: &Wire<'_>, state: &State, host: &Host) -> SyncCheck {
    let disagrees = |why: String, to_be_noted| SyncCheck {
        outcome: WorkerOutcome::Failed { error: format!("{why}: run `maand deploy` first"), output: None },
        to_be_noted,
    };
    let row = state.workers.get(host);
    let (Some(row), Some(expected)) = (row, state.worker_json(host, row.map_or(0, |row| row.confirmed_seq)))
    else {
        return disagrees("it is not in the catalog".to_owned(), false);
    };
    if row.confirmed_seq == 0 && row.sent_seq == 0 {
        return disagrees("nothing was ever deployed there".to_owned(), false);
    }
    // Where the last write is in doubt the next deploy repeats it anyway.
    let to_be_noted = row.sent_seq == row.confirmed_seq && !row.out_of_sync;
    match wire.run(host, wire.script(Task::Show, host), false) {
        Err(outcome) => SyncCheck { outcome, to_be_noted: false },
        Ok(ran) if ran.code == code::NO_WORKER_JSON => {
            disagrees("there is no worker.json".to_owned(), to_be_noted)
        }
        Ok(ran) if ran.code != 0 => {
            SyncCheck { outcome: ran.failure("reading worker.json"), to_be_noted: false }
        }
        Ok(ran) => match compare(&ran.stdout(), &expected) {
            Agreement::Same => SyncCheck {
                outcome: WorkerOutcome::Ok { evidence: format!("update_seq {}", expected.update_seq) },
                to_be_noted: false,
            },
            Agreement::Differs(why) => {
                let other = another_worker(&ran.stdout(), state, host);
                let words = other.map_or_else(String::new, |other| {
                    format!(", and that is {other}: the two may be one machine, which the deploy tells")
                });
                disagrees(format!("{why}{words}"), to_be_noted)
            }
        },
    }
}

/// The other worker of the bucket that a `worker.json` names.
fn another_worker<'s>(printed: &str, state: &'s State, host: &Host) -> Option<&'s Host> {
    let found: WorkerJson = serde_json::from_str(printed).ok()?;
    let is_it = |(other, row): &(&Host, &WorkerRow)| {
        *other != host && !row.removed && row.worker_id == found.worker_id
    };
    state.workers.iter().find(is_it).map(|(other, _)| other)
}

/// Notes that these disagree. The caller holds the lock.
pub(super) fn note(store: &mut Store, state: &mut State, workers: &[Host]) -> Result<(), CatalogError> {
    for host in workers {
        if let Some(row) = state.workers.get_mut(host) {
            row.out_of_sync = true;
        }
    }
    store.touch(state, &[], workers)
}

//! Rows of `catalog.db`: how workers, jobs and allocations are written into columns and read back. What
//! does not fit is an error of the database, never a guess.

use rusqlite::{Row, params};

use super::state::{AllocationKey, AllocationRow, Attempt, JobRow, WorkerRow};
use crate::bucket::{Host, JobName};
use crate::catalog::Action;

pub(super) const PUT_WORKER: &str = "INSERT OR REPLACE INTO worker VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
pub(super) const PUT_ALLOCATION: &str =
    "INSERT OR REPLACE INTO allocation VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";
pub(super) const DELETE_ALLOCATION: &str = "DELETE FROM allocation WHERE host = ?1 AND job = ?2";

pub(super) fn put_worker(
    put: &mut rusqlite::Statement<'_>,
    host: &Host,
    row: &WorkerRow,
) -> Result<(), rusqlite::Error> {
    put.execute(params![
        host.as_str(),
        row.worker_id,
        json(&row.worker)?,
        row.removed,
        row.sent_seq as i64,
        row.confirmed_seq as i64,
        row.out_of_sync,
    ])?;
    Ok(())
}

pub(super) fn put_allocation(
    put: &mut rusqlite::Statement<'_>,
    key: &AllocationKey,
    row: &AllocationRow,
) -> Result<(), rusqlite::Error> {
    let attempt = row.attempt.as_ref();
    put.execute(params![
        key.host.as_str(),
        key.job.as_str(),
        row.disabled,
        row.removed,
        row.current_hash,
        row.current_version,
        row.previous_hash,
        row.stopped,
        attempt.map(|attempt| &attempt.deploy_id),
        attempt.map(|attempt| action_name(attempt.action)),
        attempt.map(|attempt| &attempt.hash),
        attempt.is_some_and(|attempt| attempt.failed),
    ])?;
    Ok(())
}

/// Rows share the names of the tables before them instead of making new ones.
pub(super) struct Names<'a> {
    pub(super) workers: &'a std::collections::BTreeMap<Host, WorkerRow>,
    pub(super) jobs: &'a std::collections::BTreeMap<JobName, JobRow>,
}

pub(super) fn worker_row(row: &Row<'_>) -> Result<(Host, WorkerRow), rusqlite::Error> {
    let worker: crate::bucket::Worker = parse(row, 2)?;
    let host = Host::parse(row.get_ref(0)?.as_str()?).ok_or_else(|| corrupt(0, "not a host"))?;
    Ok((
        host,
        WorkerRow {
            worker_id: row.get(1)?,
            worker,
            removed: row.get(3)?,
            sent_seq: number(row.get(4)?),
            confirmed_seq: number(row.get(5)?),
            out_of_sync: row.get(6)?,
        },
    ))
}

pub(super) fn job_row(row: &Row<'_>) -> Result<(JobName, JobRow), rusqlite::Error> {
    let name = JobName::parse(row.get_ref(0)?.as_str()?).ok_or_else(|| corrupt(0, "not a job's name"))?;
    Ok((
        name,
        JobRow {
            job: parse(row, 1)?,
            hash: row.get(2)?,
            deployment_seq: row.get(3)?,
            ports: parse(row, 4)?,
            removed: row.get(5)?,
        },
    ))
}

pub(super) fn allocation_row(
    row: &Row<'_>,
    names: &mut Names<'_>,
) -> Result<(AllocationKey, AllocationRow), rusqlite::Error> {
    let host = Host::parse(row.get_ref(0)?.as_str()?).ok_or_else(|| corrupt(0, "not a host"))?;
    let job = JobName::parse(row.get_ref(1)?.as_str()?).ok_or_else(|| corrupt(1, "not a job's name"))?;
    let host = names.workers.get_key_value(&host).map_or(host.clone(), |(known, _)| known.clone());
    let job = names.jobs.get_key_value(&job).map_or(job.clone(), |(known, _)| known.clone());
    let attempt = match row.get::<_, Option<String>>(8)? {
        None => None,
        Some(deploy_id) => Some(Attempt {
            deploy_id,
            action: action_of(row.get_ref(9)?.as_str()?).ok_or_else(|| corrupt(9, "not an action"))?,
            hash: row.get(10)?,
            failed: row.get(11)?,
        }),
    };
    Ok((
        AllocationKey { host, job },
        AllocationRow {
            disabled: row.get(2)?,
            removed: row.get(3)?,
            current_hash: row.get(4)?,
            current_version: row.get(5)?,
            previous_hash: row.get(6)?,
            stopped: row.get(7)?,
            attempt,
        },
    ))
}

const ACTIONS: [(Action, &str); 7] = [
    (Action::Start, "start"),
    (Action::Restart, "restart"),
    (Action::Reload, "reload"),
    (Action::Stop, "stop"),
    (Action::Sync, "sync"),
    (Action::Remove, "remove"),
    (Action::Skip, "skip"),
];

/// The name of an action in the database, in receipts, in JSON and as a Makefile target.
pub fn action_name(action: Action) -> &'static str {
    ACTIONS.iter().find(|(known, _)| *known == action).map_or("", |(_, name)| name)
}

fn action_of(name: &str) -> Option<Action> {
    ACTIONS.iter().find(|(_, known)| *known == name).map(|(action, _)| *action)
}

pub(super) fn json(value: &impl serde::Serialize) -> Result<String, rusqlite::Error> {
    serde_json::to_string(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

fn parse<T: serde::de::DeserializeOwned>(row: &Row<'_>, column: usize) -> Result<T, rusqlite::Error> {
    serde_json::from_str(row.get_ref(column)?.as_str()?).map_err(|error| corrupt(column, &error.to_string()))
}

fn corrupt(column: usize, why: &str) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, why.to_owned().into())
}

/// Sequence numbers are never negative; a negative one counts as never.
pub(super) fn number(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

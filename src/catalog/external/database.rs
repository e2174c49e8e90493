//! What upstream's database says, read in one short look: never written, never kept open.
//!
//! What is assumed about it (schema version 1): of one allocation `current_hash` is what was last
//! staged, `previous_hash` what was last promoted (empty: it has to be started, as a new or a
//! re-enabled one), `previous_files` the MD5 sums of what was promoted, `current_version` the version that was promoted, `new_version` that of the last build.
//! So an allocation is as the last deploy wanted it when both pairs are equal. A disabled one keeps them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rusqlite::Connection;

use super::verify;
use crate::bucket::{Host, JobName, read_upstream};
use crate::catalog::{BrokenCatalog, CatalogAllocation, CatalogError};
use crate::plan::{Problem, Problems};

/// The newest schema that this program knows.
pub const KNOWN_SCHEMA: i64 = 1;

/// The version of a job that states none.
const NO_VERSION: &str = "0.0.0";

/// The tables behind the view `cat_deployments`, in its terms: a view may come with a checkout and is not used.
const ALLOCATIONS: &str = "SELECT a.alloc_id, a.worker_ip, a.job, a.disabled, a.removed, h.current_hash, \
     h.previous_hash, h.current_version, a.new_version, a.deployment_seq \
     FROM allocations a LEFT JOIN hash h ON h.namespace = a.job || '_allocation' AND h.key = a.alloc_id";

/// More workers or allocations than this are refused: a file that came with a checkout may have any number.
const MAX_ROWS: usize = 100_000;

/// One look at the database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Snapshot {
    pub(super) schema: i64,
    pub(super) bucket_id: String,
    /// Goes up with each deploy, also one that fails.
    pub(super) update_seq: i64,
    /// Ids by host.
    pub(super) workers: BTreeMap<Host, String>,
    /// All allocations.
    pub(super) rows: BTreeMap<(JobName, Host), Row>,
    /// Jobs with probes or a hook that checks health; `None`: the database does not tell.
    pub(super) checked: Option<BTreeSet<String>>,
    /// Jobs with a hook that runs whenever their files are staged, by a dry run, too.
    pub(super) hooked: BTreeSet<String>,
}

/// One allocation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) disabled: bool,
    pub(super) removed: bool,
    pub(super) current_hash: Option<String>,
    pub(super) previous_hash: Option<String>,
    pub(super) current_version: Option<String>,
    pub(super) new_version: Option<String>,
    pub(super) deployment_seq: u32,
    /// MD5 sums of some files of the job as they were last promoted; empty where that is not known.
    pub(super) files: BTreeMap<String, String>,
}

impl Row {
    /// Whether the last deploy brought it to what was staged then and to the version of the last build.
    pub(super) fn is_promoted(&self) -> bool {
        self.previous_hash.is_some() && self.previous_hash == self.current_hash && self.has_version()
    }

    /// Whether it runs, or ran before it was disabled.
    pub(super) fn was_started(&self) -> bool {
        self.previous_hash.is_some()
    }

    /// Whether the version that was promoted is that of the last build.
    pub(super) fn has_version(&self) -> bool {
        let version = |text: &Option<String>| text.clone().unwrap_or_else(|| NO_VERSION.to_owned());
        version(&self.current_version) == version(&self.new_version)
    }
}

impl Snapshot {
    /// Reads it; `None`: there is no database yet.
    pub(super) fn read(db: &Path) -> Result<Option<Self>, CatalogError> {
        if db.symlink_metadata().is_err() {
            return Ok(None);
        }
        match read_upstream(db, load) {
            Ok(Ok(snapshot)) => Ok(Some(snapshot)),
            Ok(Err(problem)) => Err(CatalogError::Invalid(Problems::from(*problem))),
            Err(source) => Err(BrokenCatalog::Upstream { path: db.to_owned(), source }.into()),
        }
    }

    /// The allocations as callers of the catalog see them.
    pub(super) fn allocations(&self) -> Vec<CatalogAllocation> {
        let seen = self.rows.iter().map(|((job, host), row)| CatalogAllocation {
            job: job.clone(),
            host: host.clone(),
            disabled: row.disabled,
            removed: row.removed,
            deployment_seq: row.deployment_seq,
            current_hash: row.previous_hash.clone(),
            new_hash: row.current_hash.clone(),
            current_version: row.current_version.clone(),
            new_version: row.new_version.clone(),
        });
        seen.collect()
    }

    /// Whether a deploy looks at the job's health, as far as can be known.
    pub(super) fn is_checked(&self, job: &JobName) -> bool {
        self.checked.as_ref().is_none_or(|checked| checked.contains(job.as_str()))
    }

    /// Jobs that are disabled on all their workers.
    pub(super) fn disabled_everywhere(&self) -> BTreeSet<&JobName> {
        let here = self.rows.iter().filter(|(_, row)| !row.removed);
        let (disabled, enabled): (Vec<_>, Vec<_>) = here.partition(|(_, row)| row.disabled);
        let enabled: BTreeSet<&JobName> = enabled.into_iter().map(|((job, _), _)| job).collect();
        disabled.into_iter().map(|((job, _), _)| job).filter(|job| !enabled.contains(job)).collect()
    }

    /// Jobs with an enabled allocation on any of these workers.
    pub(super) fn enabled_jobs<'s>(&'s self, hosts: Option<&[Host]>) -> BTreeSet<&'s JobName> {
        let enabled = self.rows.iter().filter(|((_, host), row)| {
            !row.disabled && !row.removed && hosts.is_none_or(|hosts| hosts.contains(host))
        });
        enabled.map(|((job, _), _)| job).collect()
    }
}

/// What `info` says of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SchemaVersion {
    /// The version of its schema.
    pub schema: i64,
    /// Goes up with each deploy, also one that fails.
    pub update_seq: i64,
}

/// Looks at a database of the upstream program; `None`: there is none yet.
///
/// # Errors
/// When it cannot be read, or is of a newer kind than this program knows.
pub fn read_version(db: &Path) -> Result<Option<SchemaVersion>, CatalogError> {
    let snapshot = Snapshot::read(db)?;
    Ok(snapshot.map(|snapshot| SchemaVersion { schema: snapshot.schema, update_seq: snapshot.update_seq }))
}

type Loaded = Result<Snapshot, Box<Problem>>;

fn load(connection: &Connection) -> rusqlite::Result<Loaded> {
    let mut names = connection.prepare("SELECT name FROM sqlite_master WHERE type = 'table'")?;
    let names: BTreeSet<String> = names.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let has = |name: &str| names.contains(name);
    let missing: Vec<&str> = ["schema_version", "bucket", "worker", "allocations", "hash"]
        .into_iter()
        .filter(|name| !has(name))
        .collect();
    let schema: i64 = if has("schema_version") {
        connection.query_row("SELECT ifnull(max(version), 0) FROM schema_version", [], |row| row.get(0))?
    } else {
        0
    };
    if schema > KNOWN_SCHEMA {
        return Ok(Err(Box::new(
            Problem::error(
                "maand::external::schema",
                format!("data/maand.db has schema version {schema}, and this program knows version {KNOWN_SCHEMA}"),
            )
            .help("use a newer version of this program, or the upstream program that belongs to that schema; nothing was touched"),
        )));
    }
    if !missing.is_empty() {
        let what = missing.join(", ");
        return Ok(Err(Box::new(
            Problem::error(
                "maand::external::schema",
                format!("data/maand.db is not a database of the upstream program, or an old one: {what} is missing"),
            )
            .help("run the upstream program's `maand init`, which brings an old database up to date"),
        )));
    }
    let mut snapshot = Snapshot { schema, ..Snapshot::default() };
    let bucket = connection.query_row(
        "SELECT ifnull(bucket_id, ''), ifnull(update_seq, 0) FROM bucket LIMIT 1",
        [],
        |row| Ok((row.get(0)?, row.get(1)?)),
    );
    match bucket {
        Ok((id, seq)) => (snapshot.bucket_id, snapshot.update_seq) = (id, seq),
        Err(rusqlite::Error::QueryReturnedNoRows) => {}
        Err(error) => return Err(error),
    }
    let mut workers = connection.prepare("SELECT worker_ip, ifnull(worker_id, '') FROM worker")?;
    let mut workers = workers.query([])?;
    while let Some(row) = workers.next()? {
        if snapshot.workers.len() == MAX_ROWS {
            return Ok(Err(too_many("workers")));
        }
        if let Some(host) = Host::parse(&row.get::<_, String>(0)?) {
            snapshot.workers.insert(host, row.get(1)?);
        }
    }
    snapshot.checked = checked(connection).ok();
    let mut rows = connection.prepare(ALLOCATIONS)?;
    let mut rows = rows.query([])?;
    while let Some(row) = rows.next()? {
        let text = |at: usize| -> rusqlite::Result<Option<String>> {
            Ok(row.get::<_, Option<String>>(at)?.filter(|text| !text.is_empty()))
        };
        let flag =
            |at: usize| -> rusqlite::Result<bool> { Ok(row.get::<_, Option<i64>>(at)?.unwrap_or(0) != 0) };
        let host = Host::parse(&row.get::<_, String>(1)?);
        let job = JobName::parse(&row.get::<_, String>(2)?);
        let (Some(host), Some(job)) = (host, job) else { continue };
        let seq = row.get::<_, Option<i64>>(9)?.unwrap_or(0);
        let found = Row {
            disabled: flag(3)?,
            removed: flag(4)?,
            current_hash: text(5)?,
            previous_hash: text(6)?,
            current_version: text(7)?,
            new_version: text(8)?,
            deployment_seq: u32::try_from(seq).unwrap_or(0),
            files: BTreeMap::new(),
        };
        if snapshot.rows.len() == MAX_ROWS {
            return Ok(Err(too_many("allocations")));
        }
        snapshot.rows.insert((job, host), found);
    }
    // Builds of before have no such column.
    let _ = promoted_files(connection, &mut snapshot);
    snapshot.hooked = hooked(connection).unwrap_or_default();
    Ok(Ok(snapshot))
}

fn promoted_files(connection: &Connection, snapshot: &mut Snapshot) -> rusqlite::Result<()> {
    let mut rows = connection.prepare(
        "SELECT a.job, a.worker_ip, h.previous_files FROM allocations a
         JOIN hash h ON h.namespace = a.job || '_allocation' AND h.key = a.alloc_id",
    )?;
    let mut rows = rows.query([])?;
    while let Some(row) = rows.next()? {
        let key = (JobName::parse(&row.get::<_, String>(0)?), Host::parse(&row.get::<_, String>(1)?));
        let text = row.get::<_, Option<String>>(2)?.unwrap_or_default();
        let (Some(job), Some(host)) = key else { continue };
        let Some(found) = snapshot.rows.get_mut(&(job, host)) else { continue };
        let mut all: BTreeMap<String, String> = serde_json::from_str(&text).unwrap_or_default();
        all.retain(|name, _| verify::FILES.contains(&name.as_str()));
        found.files = all;
    }
    Ok(())
}

/// Jobs with a hook that runs whenever their files are staged, by a dry run, too.
fn hooked(connection: &Connection) -> rusqlite::Result<BTreeSet<String>> {
    let query = "SELECT job FROM job_commands WHERE executed_on LIKE '%pre_deploy%'";
    connection.prepare(query)?.query_map([], |row| row.get(0))?.collect()
}

fn too_many(what: &str) -> Box<Problem> {
    let message = format!("data/maand.db has more than {MAX_ROWS} {what}");
    let help = "if the upstream program has made that, use it without this one";
    Box::new(Problem::error("maand::external::too_many", message).help(help))
}

/// Jobs whose health a deploy looks at. Not every build has these columns.
fn checked(connection: &Connection) -> rusqlite::Result<BTreeSet<String>> {
    let query = "SELECT name FROM job WHERE ifnull(health_check, '') NOT IN ('', 'null', '{}')
         UNION SELECT job FROM job_commands WHERE executed_on LIKE '%health_check%' LIMIT 100001";
    let names: BTreeSet<String> =
        connection.prepare(query)?.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    // So many are not told.
    if names.len() > MAX_ROWS { Err(rusqlite::Error::QueryReturnedMoreThanOneRow) } else { Ok(names) }
}

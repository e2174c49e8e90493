//! What the last build of the upstream program has seen of the workspace, from its database: the ports that it gave,
//! and the files that it took.

use std::collections::BTreeMap;

use rusqlite::Connection;

use crate::bucket::{Bucket, JobName, read_upstream};
use crate::catalog::{AssignedPorts, BrokenCatalog, CatalogError};
use crate::os::hash::sha256;

/// More rows than this are not read: a file that came with a checkout may have any number.
const MAX_ROWS: usize = 100_000;

/// Longer files are compared by their length alone: the program keeps them whole in its database.
const COMPARED: u64 = 512 << 10;

/// The ports that the last build gave; none before the first.
///
/// # Errors
/// The database cannot be read, or is of a kind that keeps none.
pub fn assigned_ports(bucket: &Bucket) -> Result<AssignedPorts, CatalogError> {
    let db = &bucket.paths().upstream_db;
    if db.symlink_metadata().is_err() {
        return Ok(AssignedPorts::new());
    }
    read_upstream(db, ports).map_err(|source| BrokenCatalog::Upstream { path: db.clone(), source }.into())
}

fn ports(connection: &Connection) -> rusqlite::Result<AssignedPorts> {
    let mut rows = connection.prepare(
        "SELECT j.name, p.name, p.port FROM job_ports p JOIN job j ON j.job_id = p.job_id LIMIT 100000",
    )?;
    let mut rows = rows.query([])?;
    let mut ports = AssignedPorts::new();
    while let Some(row) = rows.next()? {
        let (job, name): (String, String) = (row.get(0)?, row.get(1)?);
        let port = row.get::<_, i64>(2).ok().and_then(|port| u16::try_from(port).ok());
        if let (Some(job), Some(port)) = (JobName::parse(&job), port) {
            ports.entry(job).or_default().insert(name, port);
        }
    }
    Ok(ports)
}

/// A file as the last build took it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum BuiltFile {
    /// SHA-256 of its content.
    Sum(String),
    /// Its length in bytes.
    Long(u64),
}

impl BuiltFile {
    /// That of a file with this content.
    pub(super) fn of(content: &[u8]) -> Self {
        match content.len() as u64 {
            length if length > COMPARED => Self::Long(length),
            _ => Self::Sum(sha256(content)),
        }
    }

    /// As a text that no other one has.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Sum(sum) => sum.clone(),
            Self::Long(length) => format!("{length} bytes"),
        }
    }

    /// That of a file of this length, which is not to be read where that is enough.
    pub(super) fn by_length(length: u64) -> Option<Self> {
        (length > COMPARED).then_some(Self::Long(length))
    }
}

/// Files by their paths below the job's folder.
pub(super) type BuiltFiles = BTreeMap<String, BuiltFile>;

/// The files of each job as the last build took them; `None`: the database is of a kind that does not tell.
pub(super) fn built_files(bucket: &Bucket) -> Option<BTreeMap<JobName, BuiltFiles>> {
    read_upstream(&bucket.paths().upstream_db, files).ok()
}

fn files(connection: &Connection) -> rusqlite::Result<BTreeMap<JobName, BuiltFiles>> {
    let mut all: BTreeMap<JobName, BuiltFiles> = BTreeMap::new();
    let mut jobs = connection.prepare("SELECT name FROM job LIMIT 100000")?;
    for job in jobs.query_map([], |row| row.get::<_, String>(0))? {
        if let Some(job) = JobName::parse(&job?) {
            all.insert(job, BuiltFiles::new());
        }
    }
    // The length is known without the content, and long ones are never loaded.
    let mut rows = connection.prepare(
        "SELECT j.name, f.path, length(f.content), CASE WHEN length(f.content) <= ?1 THEN f.content END
         FROM job_files f JOIN job j ON j.job_id = f.job_id WHERE NOT ifnull(f.isdir, 0) LIMIT ?2",
    )?;
    let mut rows = rows.query([COMPARED as i64, MAX_ROWS as i64 + 1])?;
    let mut count = 0;
    while let Some(row) = rows.next()? {
        count += 1;
        if count > MAX_ROWS {
            return Err(rusqlite::Error::QueryReturnedMoreThanOneRow);
        }
        let (job, path): (String, String) = (row.get(0)?, row.get(1)?);
        let (Some(job), Some(path)) = (JobName::parse(&job), path.strip_prefix(&format!("{job}/"))) else {
            continue;
        };
        let file = match row.get_ref(3)?.as_bytes_or_null().unwrap_or_default() {
            Some(content) => BuiltFile::of(content),
            None => BuiltFile::Long(u64::try_from(row.get::<_, Option<i64>>(2)?.unwrap_or(0)).unwrap_or(0)),
        };
        all.entry(job).or_default().insert(path.to_owned(), file);
    }
    Ok(all)
}

/// The content of a file as the last build took it, where it has at most `most` bytes.
pub(super) fn built_content(bucket: &Bucket, job: &JobName, path: &str, most: u64) -> Option<Vec<u8>> {
    let read = |connection: &Connection| {
        connection.query_row(
            "SELECT f.content FROM job_files f JOIN job j ON j.job_id = f.job_id
             WHERE j.name = ?1 AND f.path = ?2 AND length(f.content) <= ?3 AND NOT ifnull(f.isdir, 0)",
            rusqlite::params![job.as_str(), format!("{job}/{path}"), most as i64],
            |row| Ok(row.get_ref(0)?.as_bytes_or_null().unwrap_or_default().map(<[u8]>::to_vec)),
        )
    };
    read_upstream(&bucket.paths().upstream_db, read).ok().flatten()
}

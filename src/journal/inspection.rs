//! Whether a journal is what it has to be: for whoever sets a database up, or has just copied runs.

use super::db::{Db, values};
use super::error::failed;
use super::{Journal, JournalError, Operation};

/// What was found of a journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// The engine and its version.
    pub engine: String,
    /// The version of the tables.
    pub tables: i64,
    /// How many runs there are.
    pub runs: usize,
    /// And facts of them.
    pub facts: usize,
    /// What is not what was written, one line each.
    pub damage: Vec<String>,
    /// What this user may not do, of what a controller has to; empty for who only reads.
    pub missing_rights: Vec<String>,
}

impl Journal {
    /// Looks at every run: its facts by the hash chain, and what the journal lets this user do.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn inspect(&self) -> Result<Inspection, JournalError> {
        let reads = failed(&self.place, Operation::Read);
        let sql = match self.db {
            Db::Sqlite(_) => "SELECT 'SQLite ' || sqlite_version()",
            Db::Postgres(_) => "SELECT 'PostgreSQL ' || current_setting('server_version')",
        };
        let engine = self.db.one(sql, values![], |row| row.get(0)).map_err(reads)?;
        let tables = self.schema_version()?;
        let mut found = Inspection {
            engine,
            tables,
            runs: 0,
            facts: 0,
            damage: Vec::new(),
            missing_rights: self.missing_rights()?,
        };
        for run in self.runs()? {
            found.runs += 1;
            match self.text_of(&run.id) {
                Ok(text) => {
                    found.facts += text.facts.len();
                    let faults = text.chain_faults().into_iter();
                    found.damage.extend(faults.map(|fault| format!("run {}: {fault}", run.id)));
                }
                Err(JournalError::Corrupt { what, .. }) => found.damage.push(what),
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    fn missing_rights(&self) -> Result<Vec<String>, JournalError> {
        if !self.is_shared() {
            return Ok(Vec::new());
        }
        let mut missing = Vec::new();
        for (table, right) in RIGHTS {
            let sql = "SELECT has_table_privilege(?1::text, ?2::text)";
            let has = self.db.one(sql, values![*table, *right], |row| row.get::<bool>(0));
            if !has.map_err(failed(&self.place, Operation::Read))? {
                missing.push(format!("{right} on {table}"));
            }
        }
        Ok(missing)
    }
}

/// What a controller does with which table.
const RIGHTS: &[(&str, &str)] = &[
    ("run", "INSERT"),
    ("run", "UPDATE"),
    ("run", "DELETE"),
    ("run_header", "INSERT"),
    ("fact", "INSERT"),
    ("worker_end", "INSERT"),
    ("worker_end", "UPDATE"),
    ("output", "INSERT"),
    ("output", "UPDATE"),
    ("request", "INSERT"),
    ("request", "UPDATE"),
    ("notice", "INSERT"),
    ("notice", "UPDATE"),
    ("forgotten", "INSERT"),
    ("forgotten", "UPDATE"),
    ("lease", "UPDATE"),
    ("run_checkout", "INSERT"),
    ("run_checkout", "UPDATE"),
];

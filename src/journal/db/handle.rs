//! A connection to an engine, and what is done in one transaction.

use std::ops::Deref;

use rusqlite::Connection;

use super::server::Server;
use super::{Row, StoreError, Value};
use crate::journal::failpoint;

/// A connection. It belongs to one thread.
#[derive(Debug)]
pub(in crate::journal) enum Db {
    /// To a file.
    Sqlite(Connection),
    /// To a server.
    Postgres(Box<Server>),
}

/// What a transaction is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::journal) enum Access {
    /// To see all of one moment.
    Read,
    /// To change something: nobody else does meanwhile.
    Write,
}

impl Db {
    /// By this connection.
    pub(in crate::journal) fn postgres(server: Server) -> Self {
        Self::Postgres(Box::new(server))
    }

    /// Carries a statement out; answers with the number of rows that it has changed.
    pub(in crate::journal) fn execute(
        &self,
        sql: &'static str,
        values: &[&dyn Value],
    ) -> Result<u64, StoreError> {
        match self {
            Self::Sqlite(db) => Ok(db.prepare_cached(sql)?.execute(sqlite_values(values))? as u64),
            Self::Postgres(server) => server.execute(sql, values),
        }
    }

    /// Calls `each` with every row of an answer, one after the other.
    /// `failed` says what the engine's errors are for the caller.
    pub(in crate::journal) fn each<E>(
        &self,
        sql: &'static str,
        values: &[&dyn Value],
        failed: impl Fn(StoreError) -> E,
        each: impl FnMut(&Row<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        match self {
            Self::Sqlite(db) => {
                let failed = |error: rusqlite::Error| failed(error.into());
                let mut each = each;
                let mut statement = db.prepare_cached(sql).map_err(failed)?;
                let mut rows = statement.query(sqlite_values(values)).map_err(failed)?;
                while let Some(row) = rows.next().map_err(failed)? {
                    each(&Row::Sqlite(row))?;
                }
                Ok(())
            }
            Self::Postgres(server) => server.each(sql, values, failed, each),
        }
    }

    /// All rows of an answer.
    pub(in crate::journal) fn all<T>(
        &self,
        sql: &'static str,
        values: &[&dyn Value],
        of: impl Fn(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        let mut all = Vec::new();
        self.each(
            sql,
            values,
            |error| error,
            |row| {
                all.push(of(row)?);
                Ok(())
            },
        )?;
        Ok(all)
    }

    /// The first row of an answer, where it has one.
    pub(in crate::journal) fn first<T>(
        &self,
        sql: &'static str,
        values: &[&dyn Value],
        of: impl Fn(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        match self {
            Self::Sqlite(db) => {
                let mut statement = db.prepare_cached(sql)?;
                let mut rows = statement.query(sqlite_values(values))?;
                rows.next()?.map(|row| of(&Row::Sqlite(row))).transpose()
            }
            Self::Postgres(_) => Ok(self.all(sql, values, of)?.into_iter().next()),
        }
    }

    /// The one row of an answer.
    ///
    /// # Errors
    /// [`StoreError::NoRow`].
    pub(in crate::journal) fn one<T>(
        &self,
        sql: &'static str,
        values: &[&dyn Value],
        of: impl Fn(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.first(sql, values, of)?.ok_or(StoreError::NoRow)
    }

    /// Begins a transaction, which is undone unless it is committed.
    pub(in crate::journal) fn begin(&self, access: Access) -> Result<Moment<'_>, StoreError> {
        match self {
            Self::Sqlite(db) => db.execute_batch(match access {
                Access::Read => "BEGIN DEFERRED",
                Access::Write => "BEGIN IMMEDIATE",
            })?,
            Self::Postgres(server) => server.begin(match access {
                Access::Read => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
                Access::Write => "BEGIN ISOLATION LEVEL READ COMMITTED",
            })?,
        }
        Ok(Moment { db: self, is_open: true })
    }

    /// Of the tables.
    pub(in crate::journal) fn version(&self) -> Result<i64, StoreError> {
        match self {
            Self::Sqlite(db) => Ok(db.pragma_query_value(None, "user_version", |row| row.get(0))?),
            Self::Postgres(_) => self.one("SELECT version FROM ledger", &[], |row| row.get(0)),
        }
    }

    /// Another number after each commit of another connection.
    pub(in crate::journal) fn data_version(&self) -> Result<i64, StoreError> {
        match self {
            Self::Sqlite(db) => Ok(db.pragma_query_value(None, "data_version", |row| row.get(0))?),
            // Of which transactions the effects are seen: another one after any commit that changes something.
            Self::Postgres(_) => {
                let sql = "SELECT hashtextextended(pg_current_snapshot()::text, 0)";
                self.one(sql, &[], |row| row.get(0))
            }
        }
    }

    fn end(&self, how: &str) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(db) => Ok(db.execute_batch(how)?),
            Self::Postgres(server) => server.end(how),
        }
    }
}

fn sqlite_values<'v>(
    values: &'v [&'v dyn Value],
) -> rusqlite::ParamsFromIter<impl Iterator<Item = &'v dyn rusqlite::ToSql>> {
    rusqlite::params_from_iter(values.iter().map(|value| *value as &dyn rusqlite::ToSql))
}

/// A transaction.
#[derive(Debug)]
pub(in crate::journal) struct Moment<'d> {
    db: &'d Db,
    is_open: bool,
}

impl Moment<'_> {
    /// Makes what was done in it durable.
    pub(in crate::journal) fn commit(mut self) -> Result<(), StoreError> {
        let done = self.db.end("COMMIT");
        // Whether it was done is not known of a server that is away: there is nothing to undo on another connection.
        self.is_open = matches!(self.db, Db::Sqlite(_)) && done.is_err();
        done
    }

    /// The same for what a run cannot do without, with the failpoints on both sides.
    pub(in crate::journal) fn commit_facts(self) -> Result<(), StoreError> {
        failpoint::before_commit();
        self.commit()?;
        failpoint::after_commit();
        Ok(())
    }
}

impl Deref for Moment<'_> {
    type Target = Db;

    fn deref(&self) -> &Db {
        self.db
    }
}

impl Drop for Moment<'_> {
    fn drop(&mut self) {
        if self.is_open {
            // Where the engine is gone, it has undone it, or does so when it notices.
            let _ = self.db.end("ROLLBACK");
        }
    }
}

//! What an engine says.

use std::error::Error;
use std::fmt::Display;

/// What went wrong in the engine that keeps the journal.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite says so.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    /// PostgreSQL has refused a statement.
    #[error("{}", said(.0))]
    Postgres(tokio_postgres::Error),
    /// PostgreSQL cannot be reached, or has stopped answering: what it was asked for may have been done.
    #[error("{0}")]
    Away(String),
    /// This user may not look into the schema with this name: whether there are tables in it cannot be told.
    #[error("permission denied for schema {0}")]
    NoUsage(String),
    /// This machine has not what a connection needs.
    #[error("{0}")]
    Here(String),
    /// A row that must be there is not.
    #[error("there is no such row")]
    NoRow,
    /// A value is of another kind than those that are written.
    #[error("{0}")]
    Value(String),
}

/// What may be said of an error: without the values of rows, which PostgreSQL tells apart, in its details.
fn said(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(refused) => format!("{} ({})", refused.message(), refused.code().code()),
        None => error.to_string(),
    }
}

/// All causes, the last one behind the others: the first alone says "error connecting to server".
fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

impl From<tokio_postgres::Error> for StoreError {
    fn from(error: tokio_postgres::Error) -> Self {
        let Some(refused) = error.as_db_error() else {
            return match error.source().is_some_and(|source| source.is::<tokio_postgres::types::WrongType>())
            {
                true => Self::Value(with_causes(&error)),
                false => Self::Away(with_causes(&error)),
            };
        };
        // It is shutting down, starting up, or has ended this session; classes of PostgreSQL's appendix A.
        match refused.code().code() {
            // Or it has no connection left, or an older session of ours holds a row until its time is over.
            code if ["57P", "08"].iter().any(|class| code.starts_with(class))
                || ["53300", "53400", "25P03", "55P03", "57014"].contains(&code) =>
            {
                Self::Away(said(&error))
            }
            _ => Self::Postgres(error),
        }
    }
}

impl StoreError {
    /// What goes wrong on this machine.
    pub(super) fn here(error: impl Display) -> Self {
        Self::Here(error.to_string())
    }

    /// Whether the server is away: what it was asked for may have been done.
    pub(in crate::journal) fn is_away(&self) -> bool {
        matches!(self, Self::Away(_))
    }

    /// Whether stored values are none that any of our programs writes.
    pub(in crate::journal) fn is_about_values(&self) -> bool {
        match self {
            Self::Value(_) => true,
            Self::Sqlite(error) => matches!(
                error,
                rusqlite::Error::IntegralValueOutOfRange(..)
                    | rusqlite::Error::FromSqlConversionFailure(..)
                    | rusqlite::Error::InvalidColumnType(..)
                    | rusqlite::Error::Utf8Error(..)
            ),
            _ => false,
        }
    }
}

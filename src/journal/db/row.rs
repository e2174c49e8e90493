//! Values on their way into a statement, and out of a row.

use super::StoreError;

/// What can be put in for a parameter of a statement.
pub(in crate::journal) trait Value:
    rusqlite::ToSql + tokio_postgres::types::ToSql + Sync
{
}

impl<T: rusqlite::ToSql + tokio_postgres::types::ToSql + Sync> Value for T {}

/// What a column can be read as.
pub(in crate::journal) trait Column:
    rusqlite::types::FromSql + for<'a> tokio_postgres::types::FromSql<'a>
{
}

impl<T: rusqlite::types::FromSql + for<'a> tokio_postgres::types::FromSql<'a>> Column for T {}

/// The parameters of a statement.
macro_rules! values {
    ($($value:expr),* $(,)?) => {
        &[$(&$value as &dyn $crate::journal::db::Value),*]
    };
}
pub(in crate::journal) use values;

/// A row of an answer.
pub(in crate::journal) enum Row<'r> {
    Sqlite(&'r rusqlite::Row<'r>),
    Postgres(&'r tokio_postgres::Row),
}

impl Row<'_> {
    /// The column with this number, from 0.
    pub(in crate::journal) fn get<T: Column>(&self, column: usize) -> Result<T, StoreError> {
        match self {
            Self::Sqlite(row) => Ok(row.get(column)?),
            Self::Postgres(row) => Ok(row.try_get(column)?),
        }
    }

    /// A text, without a copy.
    pub(in crate::journal) fn text(&self, column: usize) -> Result<&str, StoreError> {
        match self {
            Self::Sqlite(row) => {
                let text = row.get_ref(column)?.as_str();
                text.map_err(|error| StoreError::Value(error.to_string()))
            }
            Self::Postgres(row) => Ok(row.try_get(column)?),
        }
    }

    /// A number that is never below 0.
    pub(in crate::journal) fn count(&self, column: usize) -> Result<u64, StoreError> {
        Ok(self.get::<i64>(column)?.unsigned_abs())
    }

    /// The same of a few.
    pub(in crate::journal) fn small(&self, column: usize) -> Result<u32, StoreError> {
        let number = self.get::<i64>(column)?;
        u32::try_from(number).map_err(|_| StoreError::Value(format!("{number} is no count")))
    }
}

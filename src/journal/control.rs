//! Requests from other processes: a row that the runner picks up within a second.

use rusqlite::{TransactionBehavior, params};

use crate::engine::{Control, Millis};

use super::error::failed;
use super::run::RunId;
use super::{Journal, JournalError, Operation};

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestState {
    /// The runner has not looked yet.
    Pending,
    /// Facts followed from it.
    Taken,
    /// It could not be done; why.
    Refused(String),
}

impl Journal {
    /// Leaves a request for whoever carries the run out; answers with its number.
    ///
    /// # Errors
    /// [`JournalError::UnknownRun`], [`JournalError::Finished`]; others when the file cannot be written.
    pub fn request(&mut self, id: &RunId, verb: &Control, by: &str, at: Millis) -> Result<i64, JournalError> {
        let row = self.row(id)?;
        if row.end.state.is_final() {
            return Err(JournalError::Finished { run: id.clone() });
        }
        let text =
            serde_json::to_string(verb).map_err(|source| JournalError::Encode { what: "request", source })?;
        let failed = failed(&self.path, Operation::Write);
        let transaction =
            self.db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        transaction
            .execute(
                "INSERT INTO request (run, verb, by, at) VALUES (?1, ?2, ?3, ?4)",
                params![row.n, text, by, at],
            )
            .map_err(failed)?;
        let n = transaction.last_insert_rowid();
        transaction.commit().map_err(failed)?;
        Ok(n)
    }

    /// What became of a request.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn request_state(&self, n: i64) -> Result<RequestState, JournalError> {
        self.db
            .query_row("SELECT taken_at, refused FROM request WHERE n = ?1", [n], |row| {
                Ok(match (row.get::<_, Option<Millis>>(0)?, row.get(1)?) {
                    (None, _) => RequestState::Pending,
                    (Some(_), None) => RequestState::Taken,
                    (Some(_), Some(why)) => RequestState::Refused(why),
                })
            })
            .map_err(failed(&self.path, Operation::Read))
    }
}

//! Requests from other processes: a row that the runner picks up within a second.

use crate::engine::{Control, Millis};

use super::db::values;
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
        let failed = failed(&self.place, Operation::Write);
        let sql = "INSERT INTO request (run, verb, by, at) VALUES (?1, ?2, ?3, ?4) RETURNING n";
        self.db.one(sql, values![row.n, text, by, at], |row| row.get(0)).map_err(failed)
    }

    /// What became of a request.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn request_state(&self, n: i64) -> Result<RequestState, JournalError> {
        self.db
            .one("SELECT taken_at, refused FROM request WHERE n = ?1", values![n], |row| {
                Ok(match (row.get::<Option<Millis>>(0)?, row.get(1)?) {
                    (None, _) => RequestState::Pending,
                    (Some(_), None) => RequestState::Taken,
                    (Some(_), Some(why)) => RequestState::Refused(why),
                })
            })
            .map_err(failed(&self.place, Operation::Read))
    }
}

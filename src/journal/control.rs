//! Requests from other processes: a row that the runner picks up within a second.

use rusqlite::{TransactionBehavior, params};

use crate::engine::{Control, Millis, Request};
use crate::plan::Problem;

use super::error::problem;
use super::run::{RunId, finished};
use super::{Journal, codes};

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
    /// [`codes::UNKNOWN_RUN`], [`codes::FINISHED`].
    pub fn request(&mut self, id: &RunId, verb: &Control, by: &str, at: Millis) -> Result<i64, Problem> {
        let row = self.row(id)?;
        if row.end.state.is_final() {
            return Err(finished(id));
        }
        let text = serde_json::to_string(verb).map_err(|error| {
            Problem::error(codes::SQLITE, format!("the request can not be written: {error}"))
        })?;
        let path = self.path.clone();
        let failed = |error| problem(&path, "write to", error);
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

    /// Requests that nobody has dealt with, oldest first. Each is to be settled by passing its number
    /// to [`Journal::append`] together with the facts that follow from it, or by
    /// [`Journal::refuse_request`]; until then it comes again.
    ///
    /// # Errors
    /// See [`codes`].
    pub fn pending_requests(&self, id: &RunId) -> Result<Vec<Request>, Problem> {
        let failed = |error| problem(&self.path, "read", error);
        let mut statement = self
            .db
            .prepare(
                "SELECT request.n, verb, by, at FROM request JOIN run ON run.n = request.run
                 WHERE run.id = ?1 AND taken_at IS NULL ORDER BY request.n",
            )
            .map_err(failed)?;
        let rows = statement
            .query_map([id.as_str()], |row| {
                Ok((row.get(0)?, row.get::<_, String>(1)?, row.get(2)?, row.get(3)?))
            })
            .map_err(failed)?;
        let mut requests = Vec::new();
        for row in rows {
            let (n, text, by, at) = row.map_err(failed)?;
            // A verb that only a newer program knows waits for that program.
            if let Ok(verb) = serde_json::from_str(&text) {
                requests.push(Request { n, verb, by, at });
            }
        }
        Ok(requests)
    }

    /// Settles a request that can not be done.
    ///
    /// # Errors
    /// See [`codes`].
    pub fn refuse_request(&mut self, n: i64, at: Millis, why: &str) -> Result<(), Problem> {
        self.db
            .execute("UPDATE request SET taken_at = ?2, refused = ?3 WHERE n = ?1", params![n, at, why])
            .map(drop)
            .map_err(|error| problem(&self.path, "write to", error))
    }

    /// What became of a request.
    ///
    /// # Errors
    /// See [`codes`].
    pub fn request_state(&self, n: i64) -> Result<RequestState, Problem> {
        self.db
            .query_row("SELECT taken_at, refused FROM request WHERE n = ?1", [n], |row| {
                Ok(match (row.get::<_, Option<Millis>>(0)?, row.get(1)?) {
                    (None, _) => RequestState::Pending,
                    (Some(_), None) => RequestState::Taken,
                    (Some(_), Some(why)) => RequestState::Refused(why),
                })
            })
            .map_err(|error| problem(&self.path, "read", error))
    }
}

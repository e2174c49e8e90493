//! In which checkout of the bucket a run was carried out last: what it has put into `disabled.json` stands there, and
//! not in the others. Kept with runs that several machines use; a file is beside its only checkout.

use super::db::values;
use super::error::failed;
use super::{Journal, JournalError, Operation, RunId};

impl Journal {
    /// The id of the checkout that the run was carried out in last; `None`: in the only one, or in none yet.
    ///
    /// # Errors
    /// The server cannot be asked.
    pub fn checkout_of(&self, run: &RunId) -> Result<Option<String>, JournalError> {
        if !self.is_shared() {
            return Ok(None);
        }
        let sql = "SELECT c.checkout FROM run_checkout c JOIN run ON run.n = c.run WHERE run.id = ?1";
        let found = self.db.first(sql, values![run.as_str()], |row| row.get(0));
        found.map_err(failed(&self.place, Operation::Read))
    }

    /// Notes that the run is carried out in the checkout with this id from now on.
    ///
    /// # Errors
    /// The server cannot be told.
    pub fn set_checkout(&self, run: &RunId, id: &str) -> Result<(), JournalError> {
        if !self.is_shared() {
            return Ok(());
        }
        let sql = "INSERT INTO run_checkout (run, checkout) SELECT n, ?2 FROM run WHERE id = ?1
                   ON CONFLICT (run) DO UPDATE SET checkout = excluded.checkout";
        let written = self.db.execute(sql, values![run.as_str(), id]);
        written.map(drop).map_err(failed(&self.place, Operation::Write))
    }
}

//! Taking a run out of a bucket, whether or not a controller is at work on it.

use crate::bucket::{Bucket, DisabledFile};
use crate::journal::{Holder, Journal, JournalError, LOCK_FILE, RunId, RunText};
use crate::os;

use super::format::{Bundle, Controller};

/// Takes a run out of a bucket's journal: a snapshot of one moment.
///
/// # Errors
/// The header says what this program does not know.
pub fn export(bucket: &Bucket, journal: &Journal, id: &RunId) -> Result<Bundle, JournalError> {
    // The lock after the journal: who had left when it is looked at has written all that there is.
    let text = journal.text_of(id)?;
    let controller = match journal.is_shared() {
        false => controller_of(bucket, &text),
        true => controller_by_lease(journal, &text)?,
    };
    // A record that cannot be read says nothing; the facts do.
    let own = DisabledFile::own_entries_of(bucket, id.as_str()).ok().flatten();
    Bundle::new(text, controller, own).map_err(|source| JournalError::NewerHeader { run: id.clone(), source })
}

/// A lease that was given back has nobody; one that has ended by itself may have had somebody who lives.
fn controller_by_lease(journal: &Journal, text: &RunText) -> Result<Controller, JournalError> {
    Ok(match journal.holder()? {
        Some(holder) if holder.run.as_deref() == Some(text.id.as_str()) => Controller::MayLive { holder },
        None if journal.is_deserted(&text.id)? => Controller::Unknown,
        _ => Controller::Left,
    })
}

fn controller_of(bucket: &Bucket, text: &RunText) -> Controller {
    let path = bucket.paths().data.join(LOCK_FILE);
    match os::record::<Holder>(&path) {
        Some(holder) if holder.run.as_deref() == Some(text.id.as_str()) => Controller::MayLive { holder },
        // Held by what is about another run, or by none: of ours nobody has died there.
        Some(_) => Controller::Left,
        None if os::is_held(&path) => Controller::Unknown,
        // A lock that was given back is an empty file.
        None if path.metadata().is_ok_and(|meta| meta.len() == 0) => Controller::Left,
        None => Controller::Unknown,
    }
}

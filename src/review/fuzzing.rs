//! What fuzzers call of this room.

use super::{Reviewed, Unreadable, format};
use crate::fuzzing::choice;
use crate::os::hash::sha256;

/// A reviewed plan file that somebody else has written; with a hash that is right, as whoever writes one can make it.
pub(crate) fn reviewed(bytes: &[u8]) {
    let (raw, content) = choice(bytes, 2);
    let file = if raw == 1 { content.to_vec() } else { format::with_hash(content, &sha256(content)) };
    let _ = format::document_kind(&file);
    assert!(raw == 1 || format::is_reviewed(&file));
    match Reviewed::read(file.clone()) {
        Ok(read) => {
            // What is read is what would be written.
            let document = read.document();
            let again = format::encode(document);
            let Ok((again, _)) = again else { panic!("it was read, and cannot be written") };
            let again = Reviewed::read(again);
            assert!(again.is_ok_and(|again| again.document() == document), "written and read again");
        }
        Err(error) => {
            assert!(raw == 1 || !content.ends_with(b"\n}\n") || !matches!(error, Unreadable::Cut), "{error}");
            assert!(!error.to_string().is_empty());
        }
    }
}

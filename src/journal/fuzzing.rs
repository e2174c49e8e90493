//! What fuzzers call of this room.

use super::attempts::{Stored, quick};
use super::outline::{Beginning, RunOutline, beginning};
use super::{Marks, RunHeader, RunId};
use crate::engine::{Fact, PublicRunState};

/// A fact as a journal has it: what its first bytes say is what all of it says, and it is written as it was read.
pub(crate) fn fact(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = (RunId::parse(text), PublicRunState::parse(text), Marks::default().include(text, text));
    let _ = (serde_json::from_str::<RunOutline>(text), serde_json::from_str::<RunHeader>(text));
    let first = beginning(text);
    let Ok(fact) = serde_json::from_str::<Fact>(text) else { return };
    let written = serde_json::to_string(&fact).unwrap_or_default();
    assert_eq!(serde_json::from_str::<Fact>(&written).ok().as_ref(), Some(&fact), "{written}");
    // Of what this program itself writes, the short ways say what the long one does.
    let short = quick(&written, 5);
    let long = serde_json::from_str::<Stored<'_>>(&written).ok().and_then(|stored| stored.fact(5));
    assert!(short.is_none() || short == long, "{written}: {short:?}, but {long:?}");
    match (&fact, beginning(&written)) {
        (Fact::Issued { attempt, .. }, Beginning::Issued { attempt: first, .. })
        | (Fact::Finished { attempt, .. }, Beginning::Finished { attempt: first, .. }) => {
            assert_eq!(attempt.0, first, "{written}");
        }
        (Fact::Observed { .. } | Fact::ObservedChanges { .. }, Beginning::Nobody) => {}
        (
            Fact::Issued { .. }
            | Fact::Finished { .. }
            | Fact::Observed { .. }
            | Fact::ObservedChanges { .. },
            other,
        ) => {
            panic!("{written}: {other:?}");
        }
        (_, other) => assert_eq!(other, Beginning::Other, "{written}"),
    }
    if written == text {
        assert_eq!(beginning(text), first);
    }
}

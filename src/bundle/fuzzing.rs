//! What fuzzers call of this room.

use super::format::first_line;
use super::{Bundle, verify};
use crate::fuzzing::{can_be_shown, choice};
use crate::os::hash::sha256;

/// A bundle that somebody else has written; with hashes that are right, as whoever writes one can make them.
pub(crate) fn bundle(bytes: &[u8]) {
    let (raw, content) = choice(bytes, 2);
    let file =
        if raw == 1 { content.to_vec() } else { [first_line(&sha256(content)).as_bytes(), content].concat() };
    match Bundle::parse("x.maand-run", &file) {
        Ok(bundle) => {
            let verdict = verify(&bundle.text, &bundle.header);
            assert!(verdict.is_ok() || !verdict.findings.is_empty());
            assert!(!verdict.checks.is_empty());
            if let Some((_, state)) = &verdict.run {
                let _ = state.status();
            }
            let text = bundle.to_text();
            let again = text.ok().and_then(|text| Bundle::parse("again", text.as_bytes()).ok());
            let Some(again) = again else { panic!("it was read, and cannot be written") };
            assert_eq!((again.about, again.text), (bundle.about, bundle.text));
        }
        Err(problems) => {
            assert!(problems.has_errors());
            can_be_shown(&String::from_utf8_lossy(&file), problems.iter());
        }
    }
}

//! What fuzzers call of this room.

use super::answer::Answer;
use super::judge::{Facts, judge};
use crate::fuzzing::is_fit_to_print;

/// What a worker answers to the doctor: what is made of it can be printed, and is the same each time.
pub(crate) fn doctor(bytes: &[u8]) {
    let answer = Answer::read(bytes);
    assert_eq!(Answer::read(bytes), answer);
    let texts = [&answer.shell, &answer.kernel, &answer.claim, &answer.scheduled, &answer.boot_id];
    texts.into_iter().flatten().for_each(|text| is_fit_to_print(text));
    for (use_sudo, is_sandbox) in [(true, false), (false, false), (true, true)] {
        let facts = Facts {
            host: "w1",
            user: "agent",
            use_sudo,
            tools: &["tar", "make"],
            asked: (1_764_000_000, 1_764_000_003),
            is_sandbox,
        };
        let (findings, states) = judge(&answer, &facts);
        assert!(!states.is_empty());
        for finding in findings {
            is_fit_to_print(&finding.cause.what);
            is_fit_to_print(&finding.cause.remedy);
            assert!(!finding.cause.what.is_empty() && !finding.cause.remedy.is_empty(), "{finding:?}");
            if let Some(detail) = &finding.cause.detail {
                is_fit_to_print(detail);
            }
        }
    }
}

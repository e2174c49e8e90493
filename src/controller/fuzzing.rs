//! What fuzzers call of this room.

use super::proven_outcome;
use crate::boot::{KernelAnswer, Need};
use crate::engine::{Evidence, Outcome};
use crate::fuzzing::{choice, is_fit_to_print};
use crate::plan::{ExpectedBoot, ExpectedKernel, visible};

/// What a worker answers about its kernels, and what follows from it: whether it needs a reboot, and whether it has
/// booted what a plan expects.
pub(crate) fn kernels(bytes: &[u8]) {
    let (which, bytes) = choice(bytes, 3);
    let answer = KernelAnswer::read(bytes);
    let names = [answer.running(), answer.would_boot(), answer.newest(), answer.newer()];
    for name in names.into_iter().flatten() {
        is_fit_to_print(name);
        assert!(!name.contains(['/', ' ', '\n']) && name.len() <= 128, "{name}");
    }
    assert!(answer.newer().is_none_or(|newer| answer.newest() == Some(newer) && answer.running().is_some()));
    let need = answer.need();
    assert!(!need.why.is_empty(), "{need:?}");
    is_fit_to_print(&visible(need.reasons().as_bytes()));
    // What is cut off is never "no".
    let cut = KernelAnswer::read(&bytes[..bytes.len() / 2]).need();
    let has_end = bytes[..bytes.len() / 2].windows(4).any(|part| part == b"\nend");
    assert!(cut.need != Need::NotRequired || has_end, "{cut:?}");

    let kernel = match which {
        0 => None,
        1 => Some(ExpectedKernel::Newest),
        _ => Some(ExpectedKernel::Like("6.*-amd64".to_owned())),
    };
    let expect = ExpectedBoot { kernel, cmdline: vec!["ro".to_owned(), "hugepages=*".to_owned()] };
    let seen = |expect| proven_outcome("w1", "new".to_owned(), Some("6.1.0".to_owned()), Ok(&answer), expect);
    assert!(matches!(seen(None), Outcome::Ok { evidence: Evidence::Back { .. } }), "nothing was expected");
    let outcome = seen(Some(&expect));
    if let Outcome::Unexpected { error, .. } = &outcome {
        is_fit_to_print(&visible(error.message.as_bytes()));
        assert!(error.message.len() < 4096, "{} bytes", error.message.len());
    } else {
        let words = answer.cmdline().unwrap_or_default();
        assert!(words.split_whitespace().any(|word| word == "ro"), "{words}");
    }
    let kept = serde_json::to_string(&outcome).unwrap_or_default();
    assert_eq!(serde_json::from_str::<Outcome>(&kept).ok().as_ref(), Some(&outcome), "{kept}");
}

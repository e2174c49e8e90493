//! Which lines two texts have in common.

use similar::DiffOp;
use similar::algorithms::{Capture, Compact, Replace, myers};

/// What makes the new lines from the old ones, neighbours joined, by Myers' algorithm.
///
/// The crate's own functions for this choose among six algorithms when they are called, so that all of them are
/// compiled in, for each kind of text: a third of a megabyte.
pub fn line_operations(old: &[&str], new: &[&str]) -> Vec<DiffOp> {
    let mut hook = Compact::new(Replace::new(Capture::new()), old, new);
    let Ok(()) = myers::diff(&mut hook, old, 0..old.len(), new, 0..new.len());
    hook.into_inner().into_inner().into_ops()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use similar::{Algorithm, capture_diff_slices};

    use super::*;

    proptest! {
        #[test]
        fn the_same_as_by_the_crate_s_own_way(
            old in proptest::collection::vec("[a-d]", 0..40), new in proptest::collection::vec("[a-d]", 0..40),
        ) {
            let old: Vec<&str> = old.iter().map(String::as_str).collect();
            let new: Vec<&str> = new.iter().map(String::as_str).collect();
            prop_assert_eq!(line_operations(&old, &new), capture_diff_slices(Algorithm::Myers, &old, &new));
        }
    }
}

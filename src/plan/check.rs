//! What the parts of a plan mean to each other: order, cycles, rules of steps, time.
//!
//! Works on drafts, so that everything that can be judged is, even where another part was refused. It
//! knows no fleet: whether workers, labels and jobs exist is decided in `graph`.

mod limits;
mod order;
mod rules;
mod time;

use super::decode::{Draft, DraftStep};
use super::{Problems, Source};

/// For each step of a list the indices of the steps that it needs.
pub(super) type Needs = Vec<Vec<usize>>;

/// The order of the three lists of a plan.
pub(super) struct Orders {
    pub(super) before: Needs,
    pub(super) steps: Needs,
    pub(super) after: Needs,
}

/// Checks the whole plan.
pub(super) fn check(source: &Source, draft: &Draft, problems: &mut Problems) -> Orders {
    let mut list = |steps: &[DraftStep], of_worker: bool| {
        let order = order::order(source, steps, problems);
        for step in steps {
            rules::step(source, step, problems);
        }
        rules::undo(source, steps, draft, of_worker, problems);
        if of_worker {
            limits::failures(source, steps, draft, problems);
        }
        if of_worker && let Some(ancestors) = &order.ancestors {
            rules::together(source, steps, ancestors, problems);
            time::window(source, steps, &order.needs, draft, problems);
        }
        order.needs
    };
    Orders {
        before: list(&draft.before, false),
        steps: list(&draft.steps, true),
        after: list(&draft.after, false),
    }
}

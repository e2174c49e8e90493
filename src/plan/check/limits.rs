//! Whether the limits of a rollout leave each other room. Knows numbers as they are written; shares of a fleet are
//! looked at where there is one (`policy`).

use super::super::decode::{Draft, DraftStep};
use super::super::{Amount, OnFailure, Problem, Problems, Source, code};

/// Warns of failures that are allowed and would never be counted: a failed worker stays down and keeps its domain.
pub(super) fn failures(source: &Source, steps: &[DraftStep], draft: &Draft, problems: &mut Problems) {
    let rollout = &draft.rollout;
    let disturbs = steps.iter().any(|step| step.kind.as_ref().is_some_and(|kind| kind.traits().disturbs));
    let (Some(spread), Amount::Count(allowed)) = (&rollout.spread, rollout.max_failures.value) else {
        return;
    };
    if !disturbs || rollout.on_failure == OnFailure::Revert || allowed < spread.value.at_most {
        return;
    }
    let tag = &spread.value.tag;
    let message = format!(
        "`max_failures: {allowed}` has no effect beyond `spread`: a failed worker stays down, and its {tag} counts as \
         disturbed"
    );
    let at_most = spread.value.at_most;
    let problem = Problem::warning(code::FAILURES_MOOT, message)
        .at(source, rollout.max_failures.span.clone(), "never reached")
        .at(
            source,
            spread.span.clone(),
            format!("with {at_most} of them disturbed no other {tag} begins: the run halts"),
        )
        .help(format!(
            "allow more (`at_most: {}`), let failed workers be put back (`on_failure: revert`), or leave \
             `max_failures` out",
            allowed + 1
        ));
    problems.push(problem);
}

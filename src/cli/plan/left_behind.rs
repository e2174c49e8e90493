//! Workers that earlier runs have left disabled: while they are, no run of this bucket is all well.

use crate::plan::{Problem, Problems};
use crate::run::LeftBehind;

/// What takes such a worker up again.
pub(super) fn retry_command(left: &LeftBehind) -> String {
    format!("maand plan resume {} --retry {}", left.run, left.host)
}

/// One problem for each.
pub(super) fn problems(left_behind: &[LeftBehind]) -> Problems {
    let mut problems = Problems::new();
    for left in left_behind {
        let way_on = if left.can_be_retried {
            format!("take it up again:\n  {}\nor, if that is meant,", retry_command(left))
        } else {
            "remove its entry from workspace/disabled.json and deploy; or, if that is meant,".to_owned()
        };
        problems.push(
            Problem::error("maand::run::left_behind", format!("still disabled: {}", left.describe()))
                .help(format!("{way_on} pass --leave-drained")),
        );
    }
    problems
}

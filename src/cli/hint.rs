//! What an operator can do next about a run, with the command that does it.

use crate::report::{Hint, Suggestion};
use crate::run::Engine;

/// How suggestions of a report are said for a bucket with this engine.
pub(super) fn hint(engine: Engine) -> Hint {
    match engine {
        Engine::Builtin => |suggestion| words(suggestion, Engine::Builtin),
        Engine::External => |suggestion| words(suggestion, Engine::External),
    }
}

fn words(suggestion: &Suggestion<'_>, engine: Engine) -> String {
    match suggestion {
        Suggestion::ReadLogs { run, host } => format!("more: maand plan logs {run} --worker {host}"),
        Suggestion::EnableByHand { hosts } => {
            let hosts = hosts.join(",");
            let commands = match engine {
                Engine::Builtin => format!(
                    "maand build && maand deploy --workers {hosts} && maand health_check --workers {hosts} --wait"
                ),
                // The upstream program deploys to all workers, and has no such flag.
                Engine::External => "maand build && maand deploy && maand health_check --wait".to_owned(),
            };
            format!(
                "When a worker is healthy, remove its entries from workspace/disabled.json, then:\n  \
                 {commands}"
            )
        }
        Suggestion::RetryToEnable => {
            "`maand plan retry` continues and enables them again; after `maand plan skip` they stay disabled."
                .to_owned()
        }
        Suggestion::ResumeToEnable { run } => {
            format!("The run enables them again when it continues:\n  maand plan resume {run}")
        }
        Suggestion::Approve { run } => format!("Approve with: maand plan approve {run}"),
        Suggestion::ResolveInDoubt { run } => {
            format!(
                "See whether it ran, and continue with: maand plan resume {run} --in-doubt done (or rerun, or skip)"
            )
        }
        Suggestion::Retry { run, host } => {
            format!(
                "Fix the cause and let {host} continue at its failed step: maand plan retry {run} --worker {host}"
            )
        }
        Suggestion::Skip { run, host } => {
            format!("Or continue without it: maand plan skip {run} --worker {host}")
        }
        Suggestion::Resume { run } => format!("Continue with: maand plan resume {run}"),
        Suggestion::ThenResume { run } => format!("Then: maand plan resume {run}"),
        Suggestion::Abort { run } => format!("Or end it for good: maand plan abort {run}"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::graph::testing::{compiled, fleet, plan, worker};
    use crate::report::testing::{START, play, some_fail};
    use crate::report::{RunInfo, RunView, closing};

    #[test]
    fn what_is_typed_to_the_upstream_program_has_none_of_our_flags() {
        let hosts = ["w1".to_owned(), "w2".to_owned()];
        let said = |engine| hint(engine)(&Suggestion::EnableByHand { hosts: &hosts });
        assert!(
            said(Engine::Builtin)
                .contains("maand deploy --workers w1,w2 && maand health_check --workers w1,w2")
        );
        assert!(said(Engine::External).contains("maand build && maand deploy && maand health_check --wait"));
    }

    #[test]
    fn a_halted_run_says_how_to_continue() {
        let hosts = (1..=3).map(|n| worker(&format!("w{n}"), &[], &[])).collect();
        let graph = Arc::new(compiled(&plan(), &fleet(hosts, &[])));
        let mut view = RunView::new(RunInfo { run: "R".into(), started_at: START }, Arc::clone(&graph));
        let facts = play(graph, some_fail);
        facts.iter().for_each(|stamped| view.fold(stamped).unwrap());
        view.refresh(facts.last().unwrap().at);
        let text = closing(facts.last().unwrap().at, &view, Some(hint(Engine::Builtin)));
        let commands: Vec<_> = text.lines().filter(|line| line.contains("maand ")).collect();
        let expected = [
            "    more: maand plan logs R --worker w2",
            "Fix the cause and let w2 continue at its failed step: maand plan retry R --worker w2",
            "Or continue without it: maand plan skip R --worker w2",
            "Then: maand plan resume R",
            "Or end it for good: maand plan abort R",
        ];
        assert_eq!(commands, expected, "{text}");
    }
}

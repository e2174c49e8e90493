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

/// Each command stands on a line of its own, to be copied. An open run is not named: a bucket has one at most.
fn words(suggestion: &Suggestion<'_>, engine: Engine) -> String {
    let typed = |command: &str, run: &Option<&str>, rest: &str| {
        let run = run.map_or_else(String::new, |run| format!(" {run}"));
        let rest = if rest.is_empty() { String::new() } else { format!(" {rest}") };
        format!("\n  {command}{run}{rest}")
    };
    match suggestion {
        Suggestion::ReadLogs { run, host } => {
            format!("the whole output:{}", typed("maand plan logs", run, &format!("--worker {host}")))
        }
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
        Suggestion::ResumeToEnable { run } => {
            format!("The run enables them again when it continues:{}", typed("maand plan resume", run, ""))
        }
        Suggestion::Approve { run } => format!("Approve with:{}", typed("maand plan approve", run, "")),
        Suggestion::ResolveInDoubt { run, hosts } => {
            let each: Vec<_> = hosts.iter().map(|host| format!("{host}=done")).collect();
            let how = if each.is_empty() { "done".to_owned() } else { each.join(",") };
            format!(
                "See whether it ran, and continue with the answer: done, rerun or skip:{}",
                typed("maand plan resume", run, &format!("--in-doubt {how}"))
            )
        }
        Suggestion::Retry { run, workers } => {
            let who = if *workers == 1 { "the worker" } else { "the workers" };
            format!(
                "Fix the cause, and let {who} continue at the failed step:{}",
                typed("maand plan resume", run, "--retry")
            )
        }
        Suggestion::RetrySkipped { run, hosts } => {
            let hosts = hosts.join(",");
            format!(
                "When it is fixed, take up what was skipped:{}",
                typed("maand plan resume", run, &format!("--retry {hosts}"))
            )
        }
        Suggestion::Skip { run } => {
            format!(
                "Or leave them as they are, and continue with the others:{}",
                typed("maand plan resume", run, "--skip")
            )
        }
        Suggestion::Resume { run } => format!("Continue with:{}", typed("maand plan resume", run, "")),
        Suggestion::ThenResume { run } => format!("Then:{}", typed("maand plan resume", run, "")),
        Suggestion::Resend { run } => {
            format!("Send what was not delivered once more:{}", typed("maand notify resend", run, ""))
        }
        Suggestion::Abort { run } => format!("To end it for good:{}", typed("maand plan abort", run, "")),
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
        let hosts = ["w1", "w2"];
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
            "      maand plan logs --worker w2",
            "  maand plan resume --retry",
            "  maand plan resume --skip",
            "  maand plan abort",
        ];
        assert_eq!(commands, expected, "{text}");
    }
}

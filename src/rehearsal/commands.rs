//! The promise that nothing of the user's own is executed: each command that a run reports as done was
//! recorded by its worker, word by word.

use std::collections::BTreeMap;

use super::judge::{Judge, promise};
use super::verdict::Promise;
use crate::bucket::Host;
use crate::engine::{AttemptId, Evidence, Fact, Intent, Outcome, Stamped};
use crate::graph::{Lane, StepIx};
use crate::plan::{CommandSource, CommandStep, StepKind, Undo, counted};
use crate::sandbox::Event;

impl Judge<'_> {
    pub(super) fn nothing_executed(&self) -> Promise {
        let graph = self.case.graph;
        let mut broken = Vec::new();
        let mut recorded: BTreeMap<&Host, Vec<&str>> = BTreeMap::new();
        for (host, told) in self.case.evidence {
            for entry in &told.log {
                match &entry.event {
                    Event::NotExecuted { text, .. } => recorded.entry(host).or_default().push(text),
                    Event::Executed { users_own: true, .. } => broken.push(format!("{host} executed one")),
                    _ => {}
                }
            }
        }
        // Each command that is reported as done was recorded by its worker, word by word.
        let issued: BTreeMap<_, _> = self.case.seen.facts.iter().filter_map(issued).collect();
        let mut done = 0;
        for stamped in &self.case.seen.facts {
            let Fact::Finished { attempt, outcome: Outcome::Ok { evidence } } = &stamped.fact else {
                continue;
            };
            let Some((lane, step, intent)) = issued.get(attempt) else { continue };
            let step = &graph.steps(*lane)[step.index()];
            let here = match lane {
                Lane::Worker(target) => self.host(*target).to_string(),
                Lane::Before | Lane::After => "this machine".to_owned(),
            };
            match (&step.kind, lane) {
                (StepKind::Run(command), Lane::Worker(target)) => {
                    let Some(text) = self.text(command, intent, evidence) else { continue };
                    done += 1;
                    let log = recorded.get(self.host(*target));
                    if !log.is_some_and(|log| log.iter().any(|entry| entry.contains(text.trim()))) {
                        broken.push(format!("`{}` left no trace on {here}", step.id));
                    }
                }
                (StepKind::Local(_) | StepKind::Http(_) | StepKind::Gate(_), _) => {
                    done += 1;
                    if !matches!(evidence, Evidence::Note { text } if text.contains("not executed")
                        || text.contains("nothing to undo"))
                    {
                        broken.push(format!("`{}` ran on {here}", step.id));
                    }
                }
                _ => {}
            }
        }
        let what = match done {
            0 => "the run had no command of yours to execute".to_owned(),
            n => format!("{} of yours: recorded, not executed", counted(n, "command")),
        };
        promise("nothing_executed", what, &broken)
    }

    /// What of a command was sent, by what came of it.
    fn text<'b>(&'b self, command: &'b CommandStep, intent: &Intent, evidence: &Evidence) -> Option<&'b str> {
        match (intent, evidence, &command.action) {
            (Intent::UndoCommand, ..) => match &command.undo {
                Undo::Command(text) => Some(text),
                Undo::Unstated | Undo::Nothing => None,
            },
            (_, Evidence::NotNeeded { .. }, _) => command.unless.as_deref(),
            (_, _, CommandSource::Command(text)) => Some(text),
            (_, _, CommandSource::Script(path)) => {
                self.case.header.scripts.get(&path.value).map(String::as_str)
            }
        }
    }
}

type Issued<'a> = (AttemptId, (Lane, StepIx, &'a Intent));

fn issued(stamped: &Stamped) -> Option<Issued<'_>> {
    match &stamped.fact {
        Fact::Issued { attempt, lane, step, intent } => Some((*attempt, (*lane, *step, intent))),
        _ => None,
    }
}

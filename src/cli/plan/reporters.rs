//! What the command line wraps around the reporter of a run: silence when all went well, annotations of what did not.

use std::sync::Arc;

use super::super::annotations::{Place, write_error};
use super::super::args::Annotations;
use crate::engine::{Millis, PublicRunState, PublicWorkerState, Stamped};
use crate::plan::Plan;
use crate::report::{EventLine, Reporter, RunView};

/// `-q`: the report at the end only where something is left to do.
pub(super) struct OnlyTrouble(pub(super) Box<dyn Reporter>);

impl Reporter for OnlyTrouble {
    fn fact(&mut self, stamped: &Stamped, view: &RunView) {
        self.0.fact(stamped, view);
    }

    fn tick(&mut self, at: Millis, view: &RunView) {
        self.0.tick(at, view);
    }

    fn told(&mut self, line: &EventLine, view: &RunView) {
        self.0.told(line, view);
    }

    fn finish(&mut self, at: Millis, view: &RunView) {
        if view.state != PublicRunState::Succeeded || !view.left_disabled.is_empty() {
            self.0.finish(at, view);
        }
    }
}

/// `--annotations`: one for each failed worker at the end, at the step that failed.
pub(super) struct Annotated {
    pub(super) inner: Box<dyn Reporter>,
    pub(super) wanted: Annotations,
    pub(super) plan: Arc<Plan>,
}

impl Annotated {
    fn place(&self, step: Option<&str>) -> Place<'_> {
        let Plan { source, before, steps, after, .. } = self.plan.as_ref();
        let step = step.and_then(|id| steps.iter().chain(before).chain(after).find(|step| step.id == id));
        Place { file: source.name(), at: step.map(|step| source.line_column(step.span.start)) }
    }
}

impl Reporter for Annotated {
    fn fact(&mut self, stamped: &Stamped, view: &RunView) {
        self.inner.fact(stamped, view);
    }

    fn tick(&mut self, at: Millis, view: &RunView) {
        self.inner.tick(at, view);
    }

    fn told(&mut self, line: &EventLine, view: &RunView) {
        self.inner.told(line, view);
    }

    fn finish(&mut self, at: Millis, view: &RunView) {
        self.inner.finish(at, view);
        let failed = |state| matches!(state, PublicWorkerState::Failed | PublicWorkerState::Reverted);
        for worker in view.workers.iter().filter(|worker| failed(worker.state)) {
            let step = worker.step.as_deref();
            let why = worker.error.as_ref().map_or("", |error| error.message.as_str());
            let message = match step {
                Some(step) => format!("{} failed at `{step}`: {why}", worker.host),
                None => format!("{} failed: {why}", worker.host),
            };
            let title = format!("run {} of {}", view.run, view.plan);
            write_error(Some(&self.place(step)), &title, &message, self.wanted);
        }
    }
}

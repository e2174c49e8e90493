//! A stored run as its page shows it, looked at once or again and again: what is new is read, nothing twice.

use std::collections::{BTreeMap, HashMap};

use crate::bucket::Bucket;
use crate::engine::{AttemptId, Fact, Millis, Outcome, Stamped};
use crate::graph::Lane;
use crate::journal::Mark;
use crate::page::{FailureOutput, RunPage};
use crate::report::{Hint, RunView, Suggestion, next_steps};
use crate::timeline::TimelineFold;

use super::{RunError, RunReader};

/// So many lines of a failed step's output are on the page.
const LINES: usize = 30;
/// And so many bytes of each.
const LINE_BYTES: usize = 400;
/// The output of so many failed workers is on the page.
const OUTPUTS: usize = 50;

/// A run and all that its page shows.
pub struct FollowedRun {
    reader: RunReader,
    hint: Hint,
    view: RunView,
    timeline: TimelineFold,
    mark: Option<Mark>,
    hash: String,
    failures: LastFailures,
    outputs: Vec<FailureOutput>,
    next: Vec<String>,
    told_at: Millis,
    carried_out: bool,
}

/// What has come of a look at a followed run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// Nothing.
    None,
    /// Facts.
    Facts,
    /// The facts that were read before are not those of the run any more: it has to be opened anew.
    OtherRecord,
}

impl FollowedRun {
    /// Opens a run as [`RunReader::open`] does. `hint` says what to type next.
    ///
    /// # Errors
    /// There is no such run, or it cannot be read.
    pub fn open(bucket: &Bucket, name: Option<&str>, hint: Hint, now: Millis) -> Result<Self, RunError> {
        let reader = RunReader::open(bucket, name)?;
        let mut run = Self {
            view: reader.empty_view(),
            timeline: TimelineFold::new(&reader.graph),
            reader,
            hint,
            mark: None,
            hash: String::new(),
            failures: LastFailures::default(),
            outputs: Vec::new(),
            next: Vec::new(),
            told_at: now,
            carried_out: false,
        };
        run.look()?;
        run.tell(now)?;
        Ok(run)
    }

    /// The run.
    pub fn reader(&self) -> &RunReader {
        &self.reader
    }

    /// The view, as of the last [`Self::tell`].
    pub fn view(&self) -> &RunView {
        &self.view
    }

    /// Whether a process carried it out at the last [`Self::tell`].
    pub fn is_carried_out(&self) -> bool {
        self.carried_out
    }

    /// Reads the facts that have come since the last look.
    ///
    /// # Errors
    /// The run is gone, or cannot be read.
    pub fn look(&mut self) -> Result<News, RunError> {
        let newest = self.reader.newest_mark()?;
        if newest == self.mark {
            return Ok(News::None);
        }
        let known = self.mark.as_ref().map_or(0, Mark::seq);
        let upto = newest.as_ref().map_or(0, Mark::seq);
        if upto <= known {
            return Ok(News::OtherRecord);
        }
        // Facts may have come in between: they are read by the next look.
        for stamped in self.reader.facts_after(known)?.take((upto - known) as usize) {
            let stamped = stamped?;
            self.reader.fold(&mut self.view, &stamped)?;
            self.timeline.take(&stamped).map_err(|illegal| RunError::IllegalFact {
                run: self.reader.id.clone(),
                seq: illegal.seq,
                violation: illegal.violation,
            })?;
            self.failures.take(&stamped);
        }
        self.mark = newest;
        Ok(News::Facts)
    }

    /// Brings all that depends on the time, or on whether somebody carries the run out, to a moment.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub fn tell(&mut self, now: Millis) -> Result<(), RunError> {
        let carried_out = self.reader.seen_controller().is_some();
        self.view.set_orphaned(!carried_out);
        self.view.set_has_to_be_named(self.reader.has_to_be_named()?);
        self.view.refresh(now);
        self.timeline.tell(now, carried_out);
        self.hash = self.mark.as_ref().map(Mark::hash).unwrap_or_default();
        self.outputs = self.failures.outputs(&self.reader, &self.view, self.hint)?;
        self.next = next_steps(&self.view, self.hint);
        (self.told_at, self.carried_out) = (now, carried_out);
        Ok(())
    }

    /// The page, as of the last [`Self::tell`].
    pub fn page(&self) -> RunPage<'_> {
        let header = &self.reader.header;
        RunPage {
            view: &self.view,
            timeline: self.timeline.timeline(),
            graph: &self.reader.graph,
            who: &header.who,
            program: &header.program,
            plan_text: &header.plan_text,
            plan_file: &header.plan_file,
            record: self.mark.as_ref().map(|mark| (mark.seq(), self.hash.as_str())),
            outputs: &self.outputs,
            next: &self.next,
            made_at: self.told_at,
            served: None,
            forecast: None,
        }
    }
}

/// The last failed attempt of each worker, and the end of what it wrote.
#[derive(Default)]
struct LastFailures {
    /// Attempts without an outcome: worker and step.
    issued: HashMap<AttemptId, (u32, u32)>,
    last: BTreeMap<u32, (AttemptId, u32)>,
    /// What was read already.
    read: HashMap<AttemptId, FailureOutput>,
}

impl LastFailures {
    fn take(&mut self, stamped: &Stamped) {
        match &stamped.fact {
            Fact::Issued { attempt, lane: Lane::Worker(target), step, .. } => {
                self.issued.insert(*attempt, (target.0, step.0));
            }
            Fact::Finished { attempt, outcome } => {
                let issued = self.issued.remove(attempt);
                if let (Some((target, step)), false) = (issued, matches!(outcome, Outcome::Ok { .. })) {
                    let before = self.last.insert(target, (*attempt, step));
                    before.and_then(|(attempt, _)| self.read.remove(&attempt));
                }
            }
            _ => {}
        }
    }

    /// Of workers that have an error, by host.
    fn outputs(
        &mut self,
        run: &RunReader,
        view: &RunView,
        hint: Hint,
    ) -> Result<Vec<FailureOutput>, RunError> {
        let mut outputs = Vec::new();
        for (target, (attempt, step)) in &self.last {
            let worker = &view.workers[*target as usize];
            if worker.error.is_none() {
                continue;
            }
            if outputs.len() == OUTPUTS {
                break;
            }
            if !self.read.contains_key(attempt) {
                let mut written = run.output(*attempt)?.into_iter();
                let step = &run.graph.plan.steps[*step as usize].id;
                let of_worker = written.find(|(host, _)| *host == worker.host);
                let logs = Suggestion::ReadLogs { run: Some(run.id.as_str()), host: &worker.host };
                let output = FailureOutput {
                    host: worker.host.clone(),
                    step: step.clone(),
                    text: of_worker.map(|(_, output)| last_lines(&output.text())).unwrap_or_default(),
                    logs: hint(&logs),
                };
                self.read.insert(*attempt, output);
            }
            outputs.extend(self.read.get(attempt).cloned());
        }
        Ok(outputs)
    }
}

/// The last lines of a text, each cut.
fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let first = lines.len().saturating_sub(LINES);
    let cut = |line: &&str| {
        let end = (0..=LINE_BYTES.min(line.len())).rev().find(|at| line.is_char_boundary(*at)).unwrap_or(0);
        line[..end].to_owned()
    };
    lines[first..].iter().map(cut).collect::<Vec<_>>().join("\n")
}

//! Who is told of a run: by the process that carries it out, and when an operator asks for it.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::bucket::Bucket;
use crate::delivery::{Courier, Machine, Telling, send, unusable_secrets};
use crate::engine::Stamped;
use crate::journal::{NoticeStore, UndeliveredNotice};
use crate::notice::{Notice, notice_of, test_notice};
use crate::os::signals::{Signal, listen};
use crate::plan::{NoticeTarget, Notify, Plan, Problem, Problems};
use crate::report::{Outlook, Reporter, RunView};
use crate::runner::now;

use super::reader::controller_of;
use super::site::this_operator;
use super::stored::{Stored, empty_view, fold};
use super::{Run, RunError, Site};

/// Whom a plan tells in this bucket; nobody in a sandbox that executes nothing of plans.
///
/// # Errors
/// What is wrong with the bucket's own targets.
pub fn targets_of(bucket: &Bucket, plan: Option<&Plan>) -> Result<BTreeMap<String, NoticeTarget>, Problems> {
    let own = Notify::default();
    let targets = plan.map_or(&own, |plan| &plan.notify).within(&bucket.notify()?);
    Ok(if bucket.settings().executes_local() { targets } else { BTreeMap::new() })
}

/// Variables that targets need, and that are not set here or hold what is of no use: their notices cannot be sent.
pub(super) fn warnings(bucket: &Bucket, plan: &Plan) -> Result<Problems, Problems> {
    let mut problems = Problems::new();
    for (name, target) in targets_of(bucket, Some(plan))? {
        for (variable, wrong) in unusable_secrets(&target) {
            let message = format!("notices to `{name}` cannot be sent: {variable} {wrong}");
            let help = "set it in the environment of this process; `maand notify test` shows whether a target can be told";
            problems.push(Problem::warning("maand::run::notice_secret", message).help(help));
        }
    }
    Ok(problems)
}

/// Tells whoever is to be told of a run that this process carries out.
pub(super) struct Notices(Arc<Courier>);

impl Run {
    /// Begins to tell: also what happened before, and was not delivered. `None`: nobody is to be told.
    pub(super) fn begin_to_tell(&self, guard: Option<&Path>) -> Result<Option<Notices>, RunError> {
        let targets = targets_of(&self.bucket, Some(&self.stored.graph.plan))?;
        if targets.is_empty() {
            return Ok(None);
        }
        let machine = machine(&self.bucket, self.stored.id.as_str(), guard);
        let newest = self.stored.last_seq();
        let courier = Courier::start(&self.journal, &self.stored.id, targets, &machine, newest)?;
        if self.stored.epoch > 1 {
            each_notice(&self.stored, |notice| courier.tell(&notice))?;
        }
        Ok(Some(Notices(Arc::new(courier))))
    }
}

impl Notices {
    pub(super) fn beside(
        &self,
        reporter: Box<dyn Reporter>,
        outlook: Option<Arc<OnceLock<Outlook>>>,
    ) -> Box<dyn Reporter> {
        let outlook = outlook.filter(|_| self.0.wants_longer_than_usual());
        Box::new(Telling::new(reporter, Arc::clone(&self.0), outlook))
    }

    /// Waits for the last ones, for so long at most; `on_signals`: until the next signal.
    pub(super) fn finish(self, within: Duration, on_signals: bool) -> Vec<UndeliveredNotice> {
        let given_up = Arc::new(AtomicBool::new(false));
        if on_signals && !self.0.is_idle() {
            let asked = Arc::clone(&given_up);
            // Without it the wait ends all the same.
            let _ = listen(&Signal::ENDING, move |_| {
                asked.store(true, Ordering::Relaxed);
                ControlFlow::Break(())
            });
        }
        self.0.finish(within, &|| given_up.load(Ordering::Relaxed))
    }
}

fn machine(bucket: &Bucket, run: &str, guard: Option<&Path>) -> Machine {
    Machine {
        guard: guard.map(Path::to_path_buf),
        folder: bucket.paths().root.clone(),
        // Not that of the run's own commands: what a resume ends first.
        mark: format!("notice of {run}"),
    }
}

/// All notices that follow from the stored facts of a run.
fn each_notice(stored: &Stored, mut tell: impl FnMut(Notice)) -> Result<(), RunError> {
    let mut view = empty_view(&stored.id, &stored.header, &stored.graph);
    let mut one = |view: &mut RunView, stamped: &Stamped| {
        fold(view, &stored.id, stamped)?;
        notice_of(stamped, view).into_iter().for_each(&mut tell);
        Ok(())
    };
    stored.facts.iter().try_for_each(|stamped| one(&mut view, stamped))
}

/// What became of one notice to one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The target's name.
    pub target: String,
    /// As in the plan: `slack`, `mail` and others.
    pub service: &'static str,
    /// The id that was sent.
    pub notice: String,
    /// What was answered, or why it was not delivered.
    pub answer: Result<String, String>,
}

/// Sends a marked message to each target of a bucket (and a plan), or to one of them, a single try each.
///
/// # Errors
/// What is wrong with the bucket's targets.
pub fn test_notices(
    bucket: &Bucket,
    plan: Option<&Plan>,
    only: Option<&str>,
    guard: Option<&Path>,
) -> Result<Vec<Told>, RunError> {
    let notice = test_notice(bucket.bucket_id()?, now(), &this_operator());
    let machine = machine(bucket, &notice.run, guard);
    let targets = targets_of(bucket, plan)?;
    let wanted = targets.iter().filter(|(name, _)| only.is_none_or(|only| only == *name));
    Ok(wanted.map(|(name, target)| told(name, target, &notice, &machine)).collect())
}

/// Sends what was not delivered of a run that no process carries out, a single try each.
///
/// # Errors
/// There is no such run, its controller is at work, or the journal cannot be read or written.
pub fn resend_notices(site: &Site, run: Option<&str>, guard: Option<&Path>) -> Result<Vec<Told>, RunError> {
    let journal = site.journal_of_runs()?;
    let id = journal.find(run)?;
    if let Some(holder) = controller_of(&journal, &id) {
        return Err(RunError::Locked(Box::new(holder)));
    }
    let stored = Stored::load(&journal, id)?;
    let targets = targets_of(&site.bucket, Some(&stored.graph.plan))?;
    if targets.is_empty() {
        return Ok(Vec::new());
    }
    let machine = machine(&site.bucket, stored.id.as_str(), guard);
    let store = NoticeStore::open(&journal, &stored.id)?;
    let mut notices = Vec::new();
    each_notice(&stored, |notice| notices.push(notice))?;
    let mut all = Vec::new();
    for (name, target) in &targets {
        let since = store.told_since(name, stored.last_seq(), now())?;
        let delivered = store.delivered(name)?;
        for notice in &notices {
            let key = (notice.seq, notice.event_name().to_owned());
            let is_wanted = notice.event.is_some_and(|event| target.on.contains(&event));
            if !is_wanted || notice.seq <= since || delivered.contains(&key) {
                continue;
            }
            let one = told(name, target, notice, &machine);
            store.settle(name, &key, now(), one.answer.as_ref().err().map(String::as_str))?;
            all.push(one);
        }
    }
    Ok(all)
}

fn told(name: &str, target: &NoticeTarget, notice: &Notice, machine: &Machine) -> Told {
    let answer = send(target, notice, machine, &|| false).map_err(|failure| failure.why().to_owned());
    Told { target: name.to_owned(), service: target.to.keyword(), notice: notice.id(), answer }
}

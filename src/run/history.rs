//! The runs of a bucket that a look back is about: chosen by author, plan, state and time.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};

use crate::bucket::Bucket;
use crate::engine::{Millis, PublicRunState};
use crate::journal::{Journal, JournalError, Location, RunId};
use crate::ssh::matches_pattern;

use super::RunError;
use super::list::{ListedRun, listed};

/// Which runs are meant; an empty part means all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunFilter {
    /// Who started it: a piece of `user@host`, or a pattern of it with `*` and `?`; case does not matter.
    pub by: Option<String>,
    /// The plan's name, or a pattern of it.
    pub plan: Option<String>,
    /// Where it stands: in one of these states.
    pub states: Vec<PublicRunState>,
    /// Something happened in it at this time or later.
    pub since: Option<Millis>,
    /// It began before this time.
    pub until: Option<Millis>,
    /// This very run.
    pub run: Option<RunId>,
}

/// One part of a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "as of the filter's fields")]
pub enum FilterPart {
    By,
    Plan,
    States,
    Since,
    Until,
    Run,
}

impl FilterPart {
    const ALL: [Self; 6] = [Self::Run, Self::Plan, Self::By, Self::States, Self::Since, Self::Until];
}

impl RunFilter {
    /// The filter with this part alone; `None`: it has no such part.
    fn only(&self, part: FilterPart) -> Option<Self> {
        let none = Self::default();
        let only = match part {
            FilterPart::By => Self { by: self.by.clone(), ..none },
            FilterPart::Plan => Self { plan: self.plan.clone(), ..none },
            FilterPart::States => Self { states: self.states.clone(), ..none },
            FilterPart::Since => Self { since: self.since, ..none },
            FilterPart::Until => Self { until: self.until, ..none },
            FilterPart::Run => Self { run: self.run.clone(), ..none },
        };
        (only != Self::default()).then_some(only)
    }

    /// Whether a run is meant, but for its author.
    fn fits(&self, ListedRun { run, state }: &ListedRun) -> bool {
        self.run.as_ref().is_none_or(|wanted| *wanted == run.id)
            && self.plan.as_ref().is_none_or(|wanted| means(wanted, &run.plan, str::eq))
            && (self.states.is_empty() || self.states.contains(state))
            // One that is under way lasts until now.
            && self.since.is_none_or(|since| *state == PublicRunState::Running || run.last_at >= since)
            && self.until.is_none_or(|until| run.started_at < until)
    }

    fn fits_author(&self, author: &str) -> bool {
        self.by.as_ref().is_none_or(|wanted| means(wanted, author, |author, wanted| author.contains(wanted)))
    }
}

/// Whether `wanted` means `text`: by a pattern, or else as `plainly` says, in lower case.
fn means(wanted: &str, text: &str, plainly: impl Fn(&str, &str) -> bool) -> bool {
    let (wanted, text) = (wanted.to_lowercase(), text.to_lowercase());
    match wanted.contains(['*', '?']) {
        true => matches_pattern(&wanted, &text),
        false => plainly(&text, &wanted),
    }
}

/// The journal of a bucket with the list of its runs, open for looking back.
pub struct History {
    /// All runs, newest first.
    pub runs: Vec<ListedRun>,
    /// `None`: there is none yet, and so no run.
    pub(super) journal: Option<Journal>,
    authors: RefCell<HashMap<RunId, Option<String>>>,
}

impl History {
    /// Opens the journal of a bucket; makes none where there is none.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub fn open(bucket: &Bucket) -> Result<Self, RunError> {
        let journal = Location::of(bucket)?.open_if_any()?;
        let runs = journal.as_ref().map(listed).transpose()?.unwrap_or_default();
        Ok(Self { runs, journal, authors: RefCell::default() })
    }

    /// The run that `name` means: a name, or its beginning or end.
    ///
    /// # Errors
    /// There is none, or several.
    pub fn find(&self, name: &str) -> Result<RunId, RunError> {
        match &self.journal {
            Some(journal) => Ok(journal.find(Some(name))?),
            None => Err(JournalError::NoRun.into()),
        }
    }

    /// Who started a run, `user@host`; `None`: its header cannot be read.
    pub fn author(&self, run: &RunId) -> Option<String> {
        let read = || self.journal.as_ref()?.author(run).ok();
        self.authors.borrow_mut().entry(run.clone()).or_insert_with(read).clone()
    }

    /// The runs that a filter means, newest first.
    pub fn select(&self, filter: &RunFilter) -> Vec<&ListedRun> {
        let by_author = |run: &ListedRun| {
            filter.by.is_none() || self.author(&run.run.id).is_some_and(|author| filter.fits_author(&author))
        };
        self.runs.iter().filter(|run| filter.fits(run) && by_author(run)).collect()
    }

    /// How many runs each part of a filter means by itself: where nothing fits all of it, this says why.
    pub fn parts(&self, filter: &RunFilter) -> Vec<(FilterPart, usize)> {
        let each = FilterPart::ALL.into_iter();
        each.filter_map(|part| Some((part, self.select(&filter.only(part)?).len()))).collect()
    }

    /// The names of all plans that were run, and how often.
    pub fn plans(&self) -> BTreeMap<&str, usize> {
        let mut plans = BTreeMap::new();
        for run in &self.runs {
            *plans.entry(run.run.plan.as_str()).or_default() += 1;
        }
        plans
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::RunSummary;

    fn run(plan: &str, started_at: Millis, last_at: Millis, state: PublicRunState) -> ListedRun {
        let id = RunId::draw(started_at);
        let plan = plan.to_owned();
        let run = RunSummary {
            id,
            plan,
            workers: 1,
            succeeded: 0,
            failed: 0,
            skipped: 0,
            started_at,
            last_at,
            finished_at: None,
            state,
        };
        ListedRun { run, state }
    }

    #[test]
    fn each_part_of_a_filter_narrows() {
        let done = run("rolling-reboot", 100, 200, PublicRunState::Succeeded);
        let running = run("rolling-reboot", 100, 200, PublicRunState::Running);
        let filter = RunFilter::default;
        for (filter, fits) in [
            (filter(), true),
            (RunFilter { plan: Some("rolling-reboot".into()), ..filter() }, true),
            (RunFilter { plan: Some("Rolling-*".into()), ..filter() }, true),
            (RunFilter { plan: Some("rolling".into()), ..filter() }, false),
            (RunFilter { states: vec![PublicRunState::Failed], ..filter() }, false),
            (RunFilter { states: vec![PublicRunState::Failed, PublicRunState::Succeeded], ..filter() }, true),
            // It lasted from 100 to 200.
            (RunFilter { since: Some(200), ..filter() }, true),
            (RunFilter { since: Some(201), ..filter() }, false),
            (RunFilter { until: Some(101), ..filter() }, true),
            (RunFilter { until: Some(100), ..filter() }, false),
            (RunFilter { run: Some(done.run.id.clone()), ..filter() }, true),
            (RunFilter { run: Some(RunId::draw(0)), ..filter() }, false),
        ] {
            assert_eq!(filter.fits(&done), fits, "{filter:?}");
        }
        assert!(RunFilter { since: Some(201), ..filter() }.fits(&running), "it is under way");
        for (by, fits) in [
            ("alice", true),
            ("ALICE@", true),
            ("ops", true),
            ("*@ops", true),
            ("a*e", false),
            ("bob", false),
        ] {
            let filter = RunFilter { by: Some(by.into()), ..filter() };
            assert_eq!(filter.fits_author("alice@ops"), fits, "{by}");
        }
    }
}

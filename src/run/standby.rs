//! Waits beside the controller of a run, and continues it when that one has died or is not heard of any more.

use std::time::{Duration, Instant};

use crate::engine::PublicRunState;
use crate::graph::RolloutGraph;
use crate::journal::{Journal, JournalError, LEASE, Location, Mode, RunId};
use crate::plan::StepKind;

use super::site::pick;
use super::{Engine, Resume, Run, RunError, Site, TakeOver};

/// How often it is looked whether the controller's lease has ended.
const POLL: Duration = Duration::from_millis(500);

/// What a standby tells whoever waits with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StandbyNews {
    /// It waits for this run to be deserted.
    StandsBy {
        /// The run.
        run: RunId,
        /// Its controller, as an operator knows it; `None`: it has none, and an operator has stopped it.
        controller: Option<String>,
    },
    /// The server cannot be asked, which is tried again.
    Away(String),
    /// The run's controller has died, or is not heard of: this process takes the run over.
    TakesOver(RunId),
}

/// How a standby's wait has ended.
#[must_use]
pub enum Standby {
    /// Others have brought the run to its end.
    Ended(RunId, PublicRunState),
    /// This process is the run's controller.
    TookOver(Box<Run>),
    /// It was given up.
    GivenUp,
}

impl Run {
    /// Waits until a run is deserted and then makes this process its controller, or until the run has ended. A run that
    /// an operator has stopped is at rest and not deserted. `tell` hears of each change.
    ///
    /// # Errors
    /// [`RunError::NotShared`], [`RunError::NotFenced`]; and those of [`Run::resume`].
    pub fn stand_by(
        site: &Site,
        resume: &Resume,
        tell: &mut dyn FnMut(StandbyNews),
        is_given_up: &dyn Fn() -> bool,
    ) -> Result<Standby, RunError> {
        let location = Location::of(&site.bucket)?;
        if !location.is_shared() {
            return Err(RunError::NotShared);
        }
        let mut watch: Option<(Journal, RunId)> = None;
        let mut told = None;
        let mut news = |one: StandbyNews| {
            if told.as_ref() != Some(&one) {
                tell(one.clone());
                told = Some(one);
            }
        };
        while !is_given_up() {
            let looked = match watch.take() {
                Some(open) => Ok(open),
                None => watched(site, &location, resume.run.as_deref()),
            };
            let looked = looked.and_then(|(journal, run)| {
                let step = look(&journal, &run, &mut news)?;
                Ok((journal, run, step))
            });
            match looked {
                Err(RunError::Journal(error @ JournalError::Away { .. })) => {
                    news(StandbyNews::Away(error.to_string()));
                }
                Err(error) => return Err(error),
                Ok((_, run, Look::Ended(state))) => return Ok(Standby::Ended(run, state)),
                Ok((_, run, Look::Deserted)) => {
                    let resume =
                        Resume { run: Some(run.to_string()), take_over: TakeOver::Dead, ..resume.clone() };
                    match take(site, resume, &mut news) {
                        // Another standby was faster, the controller has come back, or the server has gone again.
                        Err(
                            RunError::Locked(_)
                            | RunError::Journal(JournalError::Changed { .. } | JournalError::Away { .. }),
                        ) => {}
                        Err(error) => return Err(error),
                        Ok(run) => return Ok(Standby::TookOver(Box::new(run))),
                    }
                }
                Ok((journal, run, Look::NotYet)) => watch = Some((journal, run)),
            }
            let until = Instant::now() + POLL;
            while !is_given_up() && Instant::now() < until {
                std::thread::sleep(POLL / 10);
            }
        }
        Ok(Standby::GivenUp)
    }
}

enum Look {
    NotYet,
    Deserted,
    Ended(PublicRunState),
}

/// The run that is waited for; none may be taken over that cannot be fenced.
fn watched(site: &Site, location: &Location, run: Option<&str>) -> Result<(Journal, RunId), RunError> {
    let journal = location.open(Mode::ReadOnly)?;
    let run = pick(&journal, run)?;
    let stored = super::stored::Stored::load(&journal, run.clone())?;
    refuse_unfenced(site, &run, &stored.graph)?;
    Ok((journal, run))
}

fn look(journal: &Journal, run: &RunId, news: &mut dyn FnMut(StandbyNews)) -> Result<Look, RunError> {
    let state = journal.state(run)?;
    if state.is_final() {
        return Ok(Look::Ended(state));
    }
    // What waits for an operator, who has paused or stopped it, or by whose limits it has halted, goes on waiting.
    if state == PublicRunState::Running && journal.is_deserted(run)? {
        return Ok(Look::Deserted);
    }
    let controller = journal.holder()?.map(|holder| holder.describe());
    news(StandbyNews::StandsBy { run: run.clone(), controller });
    Ok(Look::NotYet)
}

fn take(site: &Site, resume: Resume, news: &mut dyn FnMut(StandbyNews)) -> Result<Run, RunError> {
    if let Some(run) = resume.run.clone() {
        let journal = Location::of(&site.bucket)?.open(Mode::ReadOnly)?;
        news(StandbyNews::TakesOver(journal.find(Some(&run))?));
    }
    Run::resume(site, resume)
}

/// Commands of this machine, and the upstream program, go on when their controller is cut off: nothing on the other side
/// knows of the epoch that refuses them.
fn refuse_unfenced(site: &Site, run: &RunId, graph: &RolloutGraph) -> Result<(), RunError> {
    let plan = &graph.plan;
    let all = plan.before.iter().chain(&plan.steps).chain(&plan.after);
    let mut what: Vec<String> = all
        .filter(|step| matches!(&step.kind, StepKind::Local(command) if !command.fenced))
        .map(|step| format!("`{}`", step.id))
        .collect();
    let uses_catalog = super::review::uses_catalog(plan);
    if uses_catalog && site.connector.engine_for(&site.bucket) == Engine::External {
        what.push("deploys by the upstream program".to_owned());
    }
    if what.is_empty() {
        return Ok(());
    }
    Err(RunError::NotFenced { run: run.clone(), what })
}

/// How long after the death of a controller a standby has its run, at most, beside what a look takes.
pub const TAKEN_OVER_WITHIN: Duration = LEASE.saturating_add(POLL);

//! A run comes to this machine in a bundle, and is this machine's from then on: every worker is asked what it has
//! heard of the run, then each is fenced off against the controller before, and only then the run is put into the
//! journal. A resume continues it like any other.
//!
//! The order matters. Looking changes nothing, so that a run which must not be taken is left as it is, whoever carries
//! it out. The fence is a compare-and-swap on each worker, the first of them before all others, so that of two machines
//! that take a run at the same time one succeeds. The new epoch has a random part: two never have the same one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::bucket::{DisabledEntry, JobName};
use crate::bundle::{self, Bundle, Controller};
use crate::engine::{Check, ErrorKind, Fact, PublicWorkerState, RunState, RunStatus, StepError};
use crate::graph::{RolloutGraph, TargetIx};
use crate::journal::{Journal, Location, Marks, RunId, RunLock, Standing};
use crate::os::ProcessState;
use crate::plan::{Problem, Problems};
use crate::report::Time;
use crate::runner::{Claim, Fenced, NewFence, Remembered, StepExecutor, StepExecutorParts, now};
use crate::ssh::Cancel;

use super::carry_out::looker;
use super::changes::changes;
use super::checkout::adopt;
use super::obstacle::{NotTaken, Obstacle};
use super::site::holder;
use super::take_up::{own_entries, unfinished};
use super::{Change, RunError, Site};

/// A worker that may be in the middle of a reboot is waited for this long.
const MAY_BOOT: Duration = Duration::from_secs(300);

/// Between two looks at a worker that does not answer.
const AGAIN: Duration = Duration::from_millis(500);

/// How a run is taken from a bundle.
pub struct Import<'a> {
    /// The bundle.
    pub bundle: &'a Bundle,
    /// The operator knows that no other controller of the run lives.
    pub take_over: bool,
    /// The run may have ended, as failed workers are to be retried.
    pub may_have_ended: bool,
    /// The workspace may differ from the one that the run began with.
    pub accept_changes: bool,
    /// The operator, recorded with the run.
    pub by: String,
    /// Told of workers that are waited for.
    pub waits: &'a dyn Fn(&str),
}

/// A run that is in this machine's journal now.
#[derive(Debug)]
pub struct Imported {
    /// The run.
    pub run: RunId,
    /// Facts that were not here before.
    pub facts: u64,
    /// What stood against it, and was overruled.
    pub overruled: Vec<Obstacle>,
}

/// A worker with what it remembers, or why it could not be asked.
type Asked = (TargetIx, Result<Remembered, StepError>);

/// What the bundle's facts say.
struct Known {
    graph: Arc<RolloutGraph>,
    state: RunState,
    marks: Marks,
    /// Workers that the run has claimed, and has not let go.
    claimed: BTreeSet<TargetIx>,
}

impl Known {
    fn has_ended(&self) -> bool {
        matches!(self.state.status(), RunStatus::Finished(_))
    }
}

impl Import<'_> {
    /// Takes the run: afterwards it is in the journal, the controller before is refused by every worker that could be
    /// asked, and a resume continues it.
    ///
    /// # Errors
    /// [`RunError::NotTaken`] with all that stands against it; [`RunError::Input`] where the bundle is not to be
    /// believed or is another bucket's; [`RunError::NewerHere`], [`RunError::OtherHere`], [`RunError::Unfinished`],
    /// [`RunError::Finished`], [`RunError::WorkspaceChanged`], [`RunError::Locked`].
    pub fn take(&self, site: &Site) -> Result<Imported, RunError> {
        let bundle = self.bundle;
        let id = bundle.text.id.clone();
        self.check_bucket(site)?;
        let known = self.check_facts()?;
        if let RunStatus::Finished(end) = known.state.status()
            && !self.may_have_ended
        {
            return Err(RunError::Finished { run: id, end, failed: 0 });
        }
        let (changes, _) = changes(&site.bucket, &bundle.header)?;
        if changes.iter().any(|change| matches!(change, Change::Workspace(_))) && !self.accept_changes {
            return Err(RunError::WorkspaceChanged { run: id, changes });
        }
        let lock = self.lock(site, &id)?;
        let mut journal = site.journal()?;
        let (here, epoch_here) = self.check_journal(&journal)?;
        let lock = Arc::new(lock);
        let connected = site.connector.connect_under(&lock, &site.bucket, &known.graph.fleet)?;
        let executor = StepExecutor::new(StepExecutorParts {
            run: id.to_string(),
            ..looker(&site.bucket, &known.graph, &connected, &lock)
        });
        let (asked, of_workers) = self.ask(&executor, &known);
        let mut obstacles: Vec<Obstacle> = self.of_controller().into_iter().chain(of_workers).collect();
        self.judge(&obstacles, &[])?;
        let heard = |(_, answer): &Asked| {
            let heard = answer.as_ref().ok()?.heard().filter(|heard| heard.run == id.as_str());
            heard.map(|heard| heard.epoch)
        };
        let highest =
            asked.iter().filter_map(heard).max().unwrap_or(0).max(epoch_here).max(bundle.text.epoch);
        let fence = NewFence {
            run: id.to_string(),
            epoch: highest.saturating_add(1 + u64::from(random_step())),
            mark: bundle.text.mark(),
        };
        obstacles.extend(self.fence(&executor, &known, (&asked, &fence), site)?);
        self.adopt(site, &known)?;
        let resumed =
            Fact::Resumed { by: self.by.clone(), fresh_process: true, bundle: Some(bundle.sha256.clone()) };
        // Whoever retries workers of a run that has ended takes it up again with that.
        let then = if known.has_ended() { Vec::new() } else { vec![resumed] };
        journal.put_in(&bundle.text, fence.epoch, (now(), &then))?;
        let facts = bundle.text.facts.len() as u64 - here;
        Ok(Imported { run: id, facts, overruled: obstacles })
    }

    fn check_bucket(&self, site: &Site) -> Result<(), RunError> {
        let (here, theirs) = (site.bucket.bucket_id()?, self.bundle.about.bucket_id.as_str());
        if here == theirs {
            return Ok(());
        }
        let theirs = crate::plan::visible(theirs.as_bytes());
        let message = format!("the bundle is of the bucket {theirs}, and this one is {here}");
        Err(Problem::error("maand::bundle::other_bucket", message)
            .help("continue the run in a checkout of the bucket that it was begun in")
            .into())
    }

    /// Every fact has to follow from the ones before it, as this program sees it.
    fn check_facts(&self) -> Result<Known, RunError> {
        let verdict = bundle::verify(&self.bundle.text, &self.bundle.header);
        let program = &self.bundle.about.program;
        let mut problems = Problems::new();
        // Another version may have admitted workers by other rules; what it did was lawful then.
        let same = program == env!("CARGO_PKG_VERSION");
        for finding in
            verdict.findings.iter().filter(|finding| same || finding.check != bundle::Check::Limits)
        {
            problems.push(Problem::error("maand::bundle::not_lawful", finding.what.as_str()).help(format!(
                "`maand plan verify` says all that was checked; the run was begun with maand {}",
                crate::plan::visible(program.as_bytes())
            )));
        }
        let Some((graph, state)) = verdict.run.filter(|_| problems.is_empty()) else {
            return Err(problems.into());
        };
        let checks = verdict.facts.iter().find_map(|stamped| match &stamped.fact {
            Fact::Preflight { checks } => Some(checks.as_slice()),
            _ => None,
        });
        let ready = |(_, check): &(TargetIx, &Check)| matches!(check, Check::Ready { .. });
        let ended = matches!(state.status(), RunStatus::Finished(_));
        let claimed = graph.target_indices().zip(checks.unwrap_or_default()).filter(ready);
        let claimed = claimed.map(|(target, _)| target).filter(|_| !ended).collect();
        Ok(Known { graph, state, marks: self.bundle.text.marks(), claimed })
    }

    fn lock(&self, site: &Site, id: &RunId) -> Result<RunLock, RunError> {
        if self.take_over {
            return Ok(Location::of(&site.bucket)?.take_over(&holder(Some(id)), true)?);
        }
        site.lock(Some(id))
    }

    /// The journal here must not know more of the run, nor have another one that is not finished.
    fn check_journal(&self, journal: &Journal) -> Result<(u64, u64), RunError> {
        let text = &self.bundle.text;
        let (standing, epoch) = journal.standing(text)?;
        let run = text.id.clone();
        let here = match standing {
            Standing::Absent => 0,
            Standing::Has(here) => here,
            Standing::Ahead(here) => {
                return Err(RunError::NewerHere { run, here, there: text.facts.len() as u64 });
            }
            Standing::Diverged(seq) => return Err(RunError::OtherHere { run, seq }),
        };
        match journal.unfinished()?.filter(|other| *other != text.id) {
            Some(other) => Err(unfinished(journal, other)?),
            None => Ok((here, epoch)),
        }
    }

    /// The process that carried the run out last.
    fn of_controller(&self) -> Option<Obstacle> {
        match &self.bundle.about.controller {
            Controller::Left => None,
            Controller::Unknown => Some(Obstacle::ControllerUnknown),
            Controller::MayLive { holder } => match holder.process.state() {
                ProcessState::Gone => None,
                ProcessState::Alive => Some(Obstacle::ControllerLives(holder.clone())),
                ProcessState::Stopped | ProcessState::Elsewhere => {
                    Some(Obstacle::ControllerMayLive(holder.clone()))
                }
            },
        }
    }

    /// Asks every worker of the run; one that may be in the middle of a reboot is waited for.
    fn ask(&self, executor: &StepExecutor, known: &Known) -> (Vec<Asked>, Vec<Obstacle>) {
        let Known { graph, state, .. } = known;
        let mut open: Vec<TargetIx> = graph.target_indices().collect();
        let mut asked: BTreeMap<TargetIx, Result<Remembered, StepError>> = BTreeMap::new();
        let until = Instant::now() + MAY_BOOT;
        let mut told = false;
        while !open.is_empty() {
            let answers = executor.remembered(&open, &Cancel::new());
            asked.extend(open.iter().copied().zip(answers));
            open.retain(|target| {
                let away = asked.get(target).is_some_and(|answer| answer.as_ref().is_err_and(may_pass));
                away && state.public_worker_state(*target).is_active()
            });
            if open.is_empty() || Instant::now() >= until {
                break;
            }
            if !std::mem::replace(&mut told, true) {
                let hosts: Vec<&str> = open.iter().map(|target| graph.host(*target)).collect();
                (self.waits)(&hosts.join(", "));
            }
            std::thread::sleep(AGAIN);
        }
        let asked: Vec<Asked> = asked.into_iter().collect();
        let mut obstacles: Vec<Obstacle> =
            asked.iter().filter_map(|(target, answer)| self.of_worker(known, *target, answer)).collect();
        if !asked.is_empty() && asked.iter().all(|(_, answer)| answer.is_err()) {
            obstacles.push(Obstacle::NobodyAsked);
        }
        (asked, obstacles)
    }

    /// What a worker's answer stands against.
    fn of_worker(
        &self,
        known: &Known,
        target: TargetIx,
        answer: &Result<Remembered, StepError>,
    ) -> Option<Obstacle> {
        let text = &self.bundle.text;
        let host = known.graph.host(target).to_owned();
        let claimed = known.claimed.contains(&target);
        let remembered = match answer {
            Ok(remembered) => remembered,
            // The run does not touch it, whoever carries it out.
            Err(_) if known.state.public_worker_state(target) == PublicWorkerState::LeftAlone => return None,
            Err(error) => return Some(Obstacle::NotAsked { host, error: error.clone() }),
        };
        let ours = |run: &str| run == text.id.as_str();
        if let Some(claim) = remembered.claim.as_ref().filter(|claim| !ours(&claim.run)) {
            return Some(Obstacle::Claimed { host, claim: claim.clone() });
        }
        match remembered.heard() {
            Some(heard) if ours(heard.run) => {
                if let Some((seq, chain)) = heard.mark
                    && !known.marks.include(seq, chain)
                {
                    let ends = text.facts.len() as u64;
                    return Some(Obstacle::Newer { host, seq: seq.to_owned(), ends });
                }
                if heard.epoch > text.epoch {
                    let (epoch, known, claim) = (heard.epoch, text.epoch, remembered.claim.clone());
                    return Some(Obstacle::TakenSince { host, epoch, known, claim });
                }
            }
            Some(heard) if claimed => {
                return Some(Obstacle::UsedSince { host, run: heard.run.to_owned() });
            }
            None if claimed => return Some(Obstacle::Forgotten { host }),
            _ => {}
        }
        (claimed && remembered.claim.is_none()).then_some(Obstacle::ClaimGone { host })
    }

    /// Refuses with all obstacles, if one of them stands. `fenced`: workers that have a new fence already.
    fn judge(&self, obstacles: &[Obstacle], fenced: &[String]) -> Result<(), RunError> {
        if obstacles.iter().all(|obstacle| self.take_over && obstacle.yields_to_take_over()) {
            return Ok(());
        }
        let (run, obstacles, fenced) = (self.bundle.text.id.clone(), obstacles.to_vec(), fenced.to_vec());
        Err(NotTaken { run, obstacles, fenced }.into())
    }

    /// The first worker, and when that is ours all others: whoever comes second finds that out before it has touched
    /// any other.
    fn fence(
        &self,
        executor: &StepExecutor,
        known: &Known,
        (asked, fence): (&[Asked], &NewFence),
        site: &Site,
    ) -> Result<Vec<Obstacle>, RunError> {
        let claim = Claim {
            run: fence.run.clone(),
            epoch: fence.epoch,
            who: self.by.clone(),
            since: Time(now()).rfc3339(),
            bucket: site.bucket.paths().root.display().to_string(),
        };
        let mut orders: Vec<(TargetIx, &Remembered, Option<&Claim>)> = Vec::new();
        for (target, remembered) in asked {
            if let Ok(remembered) = remembered {
                let claimed = remembered.claim.is_some() || known.claimed.contains(target);
                orders.push((*target, remembered, claimed.then_some(&claim)));
            }
        }
        let (mut fenced, mut obstacles) = (Vec::new(), Vec::new());
        let (first, others) = orders.split_at(orders.len().min(1));
        for orders in [first, others] {
            let answers = executor.fence_off(orders, fence, &Cancel::new());
            for ((target, ..), answer) in orders.iter().zip(answers) {
                let host = known.graph.host(*target).to_owned();
                match answer {
                    Ok(Fenced::Done) => fenced.push(host),
                    Ok(Fenced::Busy) => obstacles.push(Obstacle::StillRuns { host }),
                    Ok(Fenced::Moved) => obstacles.push(Obstacle::AtWork { host }),
                    Ok(Fenced::Claimed(claim)) => obstacles.push(Obstacle::Claimed { host, claim }),
                    Err(error) => obstacles.push(Obstacle::NotAsked { host, error }),
                }
            }
            self.judge(&obstacles, &fenced)?;
        }
        Ok(obstacles)
    }

    /// Puts the run's own entries into this checkout's `disabled.json`.
    fn adopt(&self, site: &Site, Known { graph, state, .. }: &Known) -> Result<(), RunError> {
        let by_facts = own_entries(graph, state);
        let mut own = self.bundle.about.own_disabled.clone().unwrap_or_else(|| by_facts.clone());
        // Whatever the record says, a run has entries of its own workers only.
        let hosts: BTreeSet<&str> = graph.target_indices().map(|target| graph.host(target)).collect();
        own.retain(|entry| {
            let of_job = match entry {
                DisabledEntry::Worker(_) => true,
                DisabledEntry::Allocation(job, _) => JobName::parse(job.as_str()).is_some(),
            };
            of_job && hosts.contains(entry.host().as_str())
        });
        adopt(&site.bucket, &self.bundle.text.id, by_facts, &own)
    }
}

/// A worker that is on its way down or up does not answer for a while.
fn may_pass(error: &StepError) -> bool {
    matches!(
        error.kind,
        ErrorKind::Refused
            | ErrorKind::Unreachable
            | ErrorKind::TimedOut
            | ErrorKind::Handshake
            | ErrorKind::NoLogin
            | ErrorKind::Unknown
    )
}

/// So that two machines which take a run at the same time have different epochs, and a controller that counts its own
/// up by one with each resume never comes near.
fn random_step() -> u32 {
    let random = uuid::Uuid::new_v4();
    let [a, b, c, ..] = random.as_bytes();
    // The first bytes of such a UUID are random.
    1000 + (u32::from(*a) << 12 | u32::from(*b) << 4 | u32::from(*c) >> 4)
}

//! Facts in, timeline out.

mod queue;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::down::Down;
use super::model::*;
use crate::engine::{
    AttemptId, Evidence, Fact, Intent, Millis, Options, Outcome, RuleViolation, RunState, RunStatus,
    SilenceEvent, Stamped, Timer,
};
use crate::graph::{Lane, RolloutGraph, StepIx, TargetIx};
use crate::report::describe_halt;

/// The timeline of a run of `graph`. `now` is the moment up to which one that has not ended is told; `carried_out`:
/// a controller is at work on it.
///
/// # Errors
/// [`IllegalFact`].
pub fn timeline<'a>(
    graph: &Arc<RolloutGraph>,
    facts: impl IntoIterator<Item = &'a Stamped>,
    now: Millis,
    carried_out: bool,
) -> Result<Timeline, IllegalFact> {
    let mut fold = TimelineFold::new(graph);
    for stamped in facts {
        fold.take(stamped)?;
    }
    fold.tell(now, carried_out);
    Ok(fold.timeline)
}

/// A fact that cannot follow the ones before it.
#[derive(Clone, Debug, PartialEq)]
pub struct IllegalFact {
    /// Its number.
    pub seq: u64,
    /// What is wrong with it.
    pub violation: RuleViolation,
}

/// A timeline that grows with its run: it takes one fact after the other, and can be looked at in between.
pub struct TimelineFold {
    state: RunState,
    timeline: Timeline,
    /// Attempts without an outcome: their lane and bar.
    open: HashMap<AttemptId, (usize, usize)>,
    /// Waits of steps that have not ended: their bar.
    waiting: HashMap<(Lane, StepIx), (usize, usize)>,
    attempts: HashMap<(Lane, StepIx), u32>,
    /// For each lane the bar whose attempt has only read the boot id so far: the reboot continues it.
    boot_id_read: HashMap<usize, usize>,
    queued: BTreeSet<TargetIx>,
    /// The last of the waits has not ended.
    is_waiting: bool,
    /// Attempts that were issued: their lane and step.
    steps: HashMap<AttemptId, (Lane, StepIx)>,
    last_at: Millis,
    /// What was added to tell of a moment; the next fact may say otherwise.
    told: Told,
}

/// No picture goes beyond year 9999, whatever facts say: differences of such times never overflow.
const LATEST: Millis = 253_402_300_799_999;

/// What [`TimelineFold::tell`] has added.
#[derive(Default)]
struct Told {
    /// A mark and a hold, because the controller is gone.
    gone: bool,
    /// The end of the last wait as facts say it.
    wait_to: Option<Millis>,
}

impl TimelineFold {
    /// Of a run of `graph` of which no fact is known yet.
    pub fn new(graph: &Arc<RolloutGraph>) -> Self {
        let workers = graph.target_indices().map(Lane::Worker);
        let lanes = std::iter::once(Lane::Before).chain(workers).chain([Lane::After]);
        let track = |lane| LaneTrack { lane, admitted: None, state: None, bars: Vec::new() };
        Self {
            state: RunState::new(Arc::clone(graph), Options::default()),
            timeline: Timeline {
                began: 0,
                until: 0,
                lanes: lanes.map(track).collect(),
                marks: Vec::new(),
                holds: Vec::new(),
                waves: Vec::new(),
                down: Down::new(graph),
                waits: Vec::new(),
                window: None,
            },
            open: HashMap::new(),
            waiting: HashMap::new(),
            attempts: HashMap::new(),
            boot_id_read: HashMap::new(),
            queued: graph.target_indices().collect(),
            is_waiting: false,
            steps: HashMap::new(),
            last_at: 0,
            told: Told::default(),
        }
    }

    /// Takes the next fact.
    ///
    /// # Errors
    /// It cannot follow the ones before it; nothing has changed then.
    pub fn take(&mut self, stamped: &Stamped) -> Result<(), IllegalFact> {
        self.replay(stamped).map_err(|violation| IllegalFact { seq: stamped.seq, violation })
    }

    /// The timeline as of the last [`Self::tell`].
    pub fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    fn replay(&mut self, stamped: &Stamped) -> Result<(), RuleViolation> {
        let at = self.forward(stamped.at);
        // What the run was doing while nothing was heard of it.
        let was_busy = matches!(self.state.status(), RunStatus::Busy) && !self.state.is_interrupted();
        self.state.replay(stamped.at, &stamped.fact)?;
        self.take_back();
        self.note(at, &stamped.fact, was_busy);
        self.timeline.down.note(at, self.state.down());
        self.note_queue(at);
        self.last_at = at;
        Ok(())
    }

    /// A moment as it is drawn: another machine's clock may be behind the one before, and a picture never goes back.
    fn forward(&self, at: Millis) -> Millis {
        at.clamp(0, LATEST).max(self.last_at)
    }

    /// Brings the timeline to a moment: `now` as of [`timeline`].
    pub fn tell(&mut self, now: Millis, carried_out: bool) {
        self.take_back();
        let is_over = matches!(self.state.status(), RunStatus::Finished(_));
        let until = if is_over { self.last_at } else { self.forward(now) };
        let is_gone = matches!(self.state.status(), RunStatus::Busy) && !self.state.is_interrupted();
        if !is_over && !carried_out && is_gone {
            self.controller_gone(self.last_at, None);
            self.told.gone = true;
        }
        if let Some(wait) = self.timeline.waits.last_mut()
            && self.is_waiting
            && !is_over
        {
            self.told.wait_to = Some(wait.to);
            wait.to = until;
        }
        for track in &mut self.timeline.lanes {
            if let Lane::Worker(target) = track.lane {
                track.state = Some(self.state.public_worker_state(target));
            }
        }
        self.timeline.until = until;
        self.timeline.window = self.window();
    }

    fn take_back(&mut self) {
        let told = std::mem::take(&mut self.told);
        if told.gone {
            self.timeline.marks.pop();
            self.timeline.holds.pop();
        }
        if let (Some(to), Some(wait)) = (told.wait_to, self.timeline.waits.last_mut()) {
            wait.to = to;
        }
    }

    fn note(&mut self, at: Millis, fact: &Fact, was_busy: bool) {
        match fact {
            Fact::RunStarted { .. } => {
                self.timeline.began = at;
                self.mark(at, MarkKind::Started);
            }
            Fact::WaveStarted { wave } => {
                self.end_holds(at, &[HoldKind::Soak]);
                self.timeline.waves.push(WaveTrack { wave: *wave, from: at, to: None });
            }
            Fact::WaveFinished { wave, soak_until } => {
                let open = self.timeline.waves.iter_mut().rev().find(|track| track.wave == *wave);
                if let Some(track) = open {
                    track.to = Some(at);
                }
                if *soak_until > at {
                    self.hold(at, HoldKind::Soak);
                }
            }
            Fact::PrepareStarted { target } => drop(self.queued.remove(target)),
            Fact::WorkerPrepared { target } => drop(self.queued.insert(*target)),
            Fact::WorkerAdmitted { target } => {
                self.queued.remove(target);
                let track = self.lane_of(Lane::Worker(*target));
                self.timeline.lanes[track].admitted.get_or_insert(at);
            }
            Fact::Issued { attempt, lane, step, intent } => self.issued(at, *attempt, *lane, *step, intent),
            Fact::Finished { attempt, outcome } => self.finished(at, *attempt, outcome),
            Fact::RetryScheduled { lane, step, .. } => self.wait(at, *lane, *step, BarKind::Backoff),
            Fact::GateClosed { lane, step, opens, .. } => {
                let kind = if opens.is_some() { BarKind::Pause } else { BarKind::Approval };
                self.wait(at, *lane, *step, kind);
            }
            Fact::Due { timer: Timer::Retry { lane, step } | Timer::Gate { lane, step } } => {
                self.end_wait(at, *lane, *step, BarEnd::Ok);
            }
            Fact::Approved { lane, step, by } => {
                self.end_wait(at, *lane, *step, BarEnd::Ok);
                self.mark(at, MarkKind::Approved { lane: *lane, step: *step, by: by.clone() });
            }
            Fact::StepIgnored { lane, step, .. } | Fact::StepFailed { lane, step, .. } => {
                self.end_wait(at, *lane, *step, BarEnd::Failed);
            }
            Fact::WorkerFailed { target, .. }
            | Fact::WorkerReverted { target }
            | Fact::RevertStuck { target, .. }
            | Fact::WorkerCancelled { target } => {
                self.queued.remove(target);
                self.end_waits_of(at, Lane::Worker(*target));
            }
            Fact::RevertStarted { target } => {
                self.end_waits_of(at, Lane::Worker(*target));
                self.count_anew(*target);
            }
            Fact::Retried { target, by } => {
                self.queue_again(*target);
                self.mark(at, MarkKind::Retried { targets: vec![*target], by: by.clone() });
            }
            Fact::Reopened { targets, by, .. } => {
                targets.iter().for_each(|target| self.queue_again(*target));
                self.attempts.retain(|(lane, _), _| matches!(lane, Lane::Worker(_)));
                self.mark(at, MarkKind::Retried { targets: targets.clone(), by: by.clone() });
                self.timeline.holds.push(Hold { from: self.last_at, to: None, kind: HoldKind::Stopped });
            }
            Fact::InDoubt { attempt } => {
                if let Some((lane, step)) = self.steps.get(attempt).copied() {
                    self.mark(at, MarkKind::InDoubt { lane, step });
                }
            }
            Fact::InDoubtResolved { attempt, how } => {
                if let Some((lane, step)) = self.steps.get(attempt).copied() {
                    self.mark(at, MarkKind::Settled { lane, step, how: *how });
                }
            }
            Fact::Skipped { target, by } => {
                self.queued.remove(target);
                self.mark(at, MarkKind::Skipped { target: *target, by: by.clone() });
            }
            Fact::Paused { by, reason } => {
                self.hold(at, HoldKind::Paused);
                self.mark(at, MarkKind::Paused { by: by.clone(), reason: reason.clone() });
            }
            Fact::Interrupted { by } => {
                self.hold(at, HoldKind::Stopped);
                self.mark(at, MarkKind::Interrupted { by: by.clone() });
            }
            Fact::GateMeasured { .. } => {}
            Fact::Halted { reason } => {
                self.hold(at, HoldKind::Halted);
                let reason = describe_halt(reason, self.state.graph());
                self.mark(at, MarkKind::Halted { reason });
            }
            Fact::Resumed { by, fresh_process, bundle } => {
                if *fresh_process && was_busy && self.last_at > self.timeline.began {
                    self.controller_gone(self.last_at, Some(at));
                }
                if *fresh_process {
                    self.orphan(self.last_at);
                }
                self.end_holds(at, &[HoldKind::Paused, HoldKind::Stopped, HoldKind::Halted]);
                self.mark(at, MarkKind::Resumed { by: by.clone(), from_bundle: bundle.is_some() });
            }
            Fact::Aborted { by, .. } => {
                self.end_holds(at, &[HoldKind::Paused, HoldKind::Stopped, HoldKind::Halted, HoldKind::Soak]);
                self.mark(at, MarkKind::Aborted { by: by.clone() });
            }
            Fact::RunFinished { end } => {
                let all = [HoldKind::Paused, HoldKind::Stopped, HoldKind::Halted, HoldKind::Soak];
                self.end_holds(at, &all);
                self.mark(at, MarkKind::Finished { end: *end });
            }
            Fact::Silence { target, event: SilenceEvent::Failed { why } } => {
                self.not_silenced(at, *target, why)
            }
            Fact::Silence { .. } => {}
            Fact::Preflight { .. }
            | Fact::Observed { .. }
            | Fact::ObservedChanges { .. }
            | Fact::BeforeDone
            | Fact::WorkerSucceeded { .. }
            | Fact::Due { .. } => {}
        }
    }

    fn issued(&mut self, at: Millis, attempt: AttemptId, lane: Lane, step: StepIx, intent: &Intent) {
        self.end_wait(at, lane, step, BarEnd::Ok);
        self.steps.insert(attempt, (lane, step));
        let track = self.lane_of(lane);
        let continues =
            matches!(intent, Intent::Reboot { .. }).then(|| self.boot_id_read.remove(&track)).flatten();
        let count = self.attempts.entry((lane, step)).or_insert(0);
        let reads = matches!(intent, Intent::ReadBootId);
        if continues.is_none() {
            *count += 1;
        }
        let number = *count;
        let bars = &mut self.timeline.lanes[track].bars;
        let bar = match continues {
            Some(bar) => {
                (bars[bar].to, bars[bar].end) = (None, BarEnd::Open);
                bar
            }
            None => {
                let kind = if intent.is_undo() { BarKind::Undo } else { BarKind::Attempt };
                bars.push(Bar {
                    step,
                    kind,
                    attempt: number,
                    from: at,
                    to: None,
                    end: BarEnd::Open,
                    note: None,
                });
                bars.len() - 1
            }
        };
        if reads {
            self.boot_id_read.insert(track, bar);
        }
        self.open.insert(attempt, (track, bar));
    }

    fn finished(&mut self, at: Millis, attempt: AttemptId, outcome: &Outcome) {
        let Some((track, bar)) = self.open.remove(&attempt) else { return };
        let (end, note) = match outcome {
            Outcome::Ok { evidence } => (BarEnd::Ok, note_of(evidence)),
            Outcome::Failed { error } | Outcome::Unexpected { error, .. } => {
                (BarEnd::Failed, Some(error.message.clone()))
            }
            Outcome::TimedOut { doing, .. } => (BarEnd::TimedOut, Some(doing.clone())),
            Outcome::NotDone { reason } => (BarEnd::NotDone, Some(reason.clone())),
            Outcome::Unknown { why, .. } => (BarEnd::Unknown, Some(why.clone())),
        };
        if end != BarEnd::Ok {
            self.boot_id_read.remove(&track);
        }
        let bar = &mut self.timeline.lanes[track].bars[bar];
        (bar.to, bar.end, bar.note) = (Some(at), end, note);
    }

    fn wait(&mut self, at: Millis, lane: Lane, step: StepIx, kind: BarKind) {
        let track = self.lane_of(lane);
        let attempt = self.attempts.get(&(lane, step)).copied().unwrap_or(0).max(1);
        let bars = &mut self.timeline.lanes[track].bars;
        bars.push(Bar { step, kind, attempt, from: at, to: None, end: BarEnd::Open, note: None });
        self.waiting.insert((lane, step), (track, bars.len() - 1));
    }

    fn end_wait(&mut self, at: Millis, lane: Lane, step: StepIx, end: BarEnd) {
        if let Some((track, bar)) = self.waiting.remove(&(lane, step)) {
            let bar = &mut self.timeline.lanes[track].bars[bar];
            (bar.to, bar.end) = (Some(at), end);
        }
    }

    fn end_waits_of(&mut self, at: Millis, lane: Lane) {
        let steps: Vec<StepIx> =
            self.waiting.keys().filter(|(of, _)| *of == lane).map(|(_, step)| *step).collect();
        steps.into_iter().for_each(|step| self.end_wait(at, lane, step, BarEnd::Failed));
    }

    /// Attempts without an outcome lost their controller at this moment at the earliest.
    fn orphan(&mut self, at: Millis) {
        for (_, (track, bar)) in self.open.drain() {
            let bar = &mut self.timeline.lanes[track].bars[bar];
            (bar.to, bar.end) = (Some(at.max(bar.from)), BarEnd::Orphaned);
        }
        self.boot_id_read.clear();
    }

    fn controller_gone(&mut self, since: Millis, until: Option<Millis>) {
        self.mark(since, MarkKind::ControllerGone);
        self.timeline.holds.push(Hold { from: since, to: until, kind: HoldKind::Nobody });
    }

    fn queue_again(&mut self, target: TargetIx) {
        self.count_anew(target);
        self.queued.insert(target);
    }

    /// Attempts of undos and of an operator's retry count from 1.
    fn count_anew(&mut self, target: TargetIx) {
        self.attempts.retain(|(lane, _), _| *lane != Lane::Worker(target));
    }

    fn hold(&mut self, at: Millis, kind: HoldKind) {
        if !self.timeline.holds.iter().any(|hold| hold.kind == kind && hold.to.is_none()) {
            self.timeline.holds.push(Hold { from: at, to: None, kind });
        }
    }

    fn end_holds(&mut self, at: Millis, kinds: &[HoldKind]) {
        let open = self.timeline.holds.iter_mut().filter(|hold| hold.to.is_none());
        open.filter(|hold| kinds.contains(&hold.kind)).for_each(|hold| hold.to = Some(at));
    }

    /// Of all that it is told of at once there is one mark.
    fn not_silenced(&mut self, at: Millis, target: TargetIx, reason: &str) {
        match self.timeline.marks.last_mut() {
            Some(Mark { kind: MarkKind::NotSilenced { targets, why }, .. }) if why == reason => {
                targets.push(target)
            }
            _ => self.mark(at, MarkKind::NotSilenced { targets: vec![target], why: reason.to_owned() }),
        }
    }

    fn mark(&mut self, at: Millis, kind: MarkKind) {
        self.timeline.marks.push(Mark { at, kind });
    }

    /// Index of a lane.
    fn lane_of(&self, lane: Lane) -> usize {
        match lane {
            Lane::Before => 0,
            Lane::Worker(target) => target.0 as usize + 1,
            Lane::After => self.timeline.lanes.len() - 1,
        }
    }
}

fn note_of(evidence: &Evidence) -> Option<String> {
    match evidence {
        Evidence::Note { text } => Some(text.clone()),
        Evidence::BootId { boot_id, .. } => Some(format!("boot {}", beginning(boot_id))),
        Evidence::Back { boot_id, kernel: Some(kernel) } => {
            let kernel = kernel.notice().unwrap_or_else(|| format!("back, {}", kernel.describe()));
            Some(format!("{kernel}, boot {}", beginning(boot_id)))
        }
        Evidence::Rebooted { boot_id } | Evidence::Back { boot_id, kernel: None } => {
            Some(format!("back, boot {}", beginning(boot_id)))
        }
        Evidence::NotNeeded { why: None } => Some("not needed".to_owned()),
        Evidence::NotNeeded { why: Some(why) } => Some(format!("not needed: {why}")),
        Evidence::Departed => Some("went away".to_owned()),
        Evidence::PowerCycled { reset, .. } => Some(format!("a forced reset was ordered: {reset}")),
        Evidence::Answers { what } => Some(format!("no reset was ordered: it answers ({what})")),
        Evidence::Disabled { .. } => None,
    }
}

/// As much of a boot id as tells it from others; the table of workers has more of it.
fn beginning(boot_id: &str) -> &str {
    boot_id.char_indices().nth(8).map_or(boot_id, |(end, _)| &boot_id[..end])
}

//! The machine itself; see the room's documentation.

use std::collections::BTreeMap;

use crate::bucket::{JobIx, WorkerIx};
use crate::engine::{
    ApplyError, AttemptId, DoubtAnswers, Effect, Fact, Millis, Outcome, Request, RuleViolation, RunState,
    RunStatus, describe_refusal, facts_of,
};
use crate::graph::{Lane, StepIx, TargetSet};
use crate::plan::Reading;

use super::fault::LoopFault;
use super::gauges::Gauges;
use super::io::{ControllerError, Ended, Input, Output};
use super::ledger::Ledger;
use super::timers::Timers;

/// What a round of observation has seen counts from its beginning, but never as older than this: it would be
/// too old for an admission (30 s) whenever some worker takes that long to give no answer.
pub const MAX_OBSERVATION_AGE: Millis = 20_000;

/// One process that carries a run on.
pub struct Controller<L: Ledger> {
    run: RunState,
    ledger: L,
    /// An operator sits at a terminal: waiting for an approval makes sense.
    interactive: bool,
    timers: Timers,
    gauges: Gauges,
    in_flight: BTreeMap<AttemptId, (Lane, StepIx)>,
    /// When the round of observation that is under way began.
    observing_since: Option<Millis>,
    /// Workers of which something was asked since that round began.
    disturbed: TargetSet,
    signals: u32,
    ended: bool,
    /// Always `None` in a release build.
    fault: Option<LoopFault>,
    /// Facts that a loop which was broken on purpose has not stored yet.
    late: Vec<(Millis, Vec<Fact>)>,
}

impl<L: Ledger> Controller<L> {
    /// A controller for a run whose stored facts `run` has all taken.
    pub fn new(run: RunState, ledger: L, interactive: bool) -> Self {
        Self {
            run,
            ledger,
            interactive,
            timers: Timers::default(),
            gauges: Gauges::default(),
            in_flight: BTreeMap::new(),
            observing_since: None,
            disturbed: TargetSet::default(),
            signals: 0,
            ended: false,
            fault: None,
            late: Vec::new(),
        }
    }

    /// Breaks the loop on purpose.
    #[cfg(any(test, debug_assertions))]
    #[must_use]
    pub fn broken(mut self, fault: Option<LoopFault>) -> Self {
        self.fault = fault;
        self
    }

    fn is_broken(&self, fault: LoopFault) -> bool {
        cfg!(any(test, debug_assertions)) && self.fault == Some(fault)
    }

    /// The state of the run.
    pub fn run(&self) -> &RunState {
        &self.run
    }

    /// The ledger.
    pub fn ledger(&self) -> &L {
        &self.ledger
    }

    /// The ledger, for what its owner does besides.
    pub fn ledger_mut(&mut self) -> &mut L {
        &mut self.ledger
    }

    /// When [`Input::Tick`] is due next.
    pub fn next_wake(&self) -> Option<Millis> {
        [self.timers.next(), self.gauges.next(&self.run)].into_iter().flatten().min()
    }

    /// Takes one input at `now`: what follows from it is made durable, and then handed out in `outputs`.
    ///
    /// # Errors
    /// The process must stop. What `outputs` holds by then is durable; whether it is carried out or not, a
    /// resume looks.
    pub fn handle(
        &mut self,
        now: Millis,
        input: Input,
        outputs: &mut Vec<Output>,
    ) -> Result<(), ControllerError<L::Error>> {
        for (at, facts) in std::mem::take(&mut self.late) {
            self.ledger.append(at, facts, None).map_err(ControllerError::Ledger)?;
        }
        match input {
            Input::Begin { facts, in_doubt } => self.begin(now, facts, &in_doubt, outputs)?,
            Input::Finished { attempt, outcome } => self.finished(now, attempt, outcome, outputs)?,
            Input::Observed { jobs, unavailable } => self.observed(now, jobs, unavailable, outputs)?,
            Input::Measured { id, reading, says } => {
                let taken_for =
                    if self.is_broken(LoopFault::SilenceIsPass) && reading == Reading::Inconclusive {
                        Reading::Pass
                    } else {
                        reading
                    };
                self.gauges.take(now, &self.run, id, taken_for, &says);
            }
            Input::Silence { target, event } => self.apply(now, Fact::Silence { target, event }, outputs)?,
            Input::Signal { name } => {
                self.signals += 1;
                if self.signals > 1 {
                    self.force_stop(outputs);
                    return Ok(());
                }
                if !self.is_broken(LoopFault::SignalIgnored) {
                    self.apply(now, Fact::Interrupted { by: name.to_owned() }, outputs)?;
                }
            }
            Input::Tick => {
                // One of them may be the end of the run: those that are due with it have nothing to say any more.
                while !matches!(self.run.status(), RunStatus::Finished(_))
                    && let Some(timer) = self.timers.due(now)
                {
                    self.apply(now, Fact::Due { timer }, outputs)?;
                }
            }
            Input::Requests => self.take_requests(now, outputs)?,
        }
        self.measure(now, outputs)?;
        if self.idle_status().is_some() {
            // Whoever asked while this process was busy or about to begin gets an answer before it ends, and
            // may have given it something to do.
            self.take_requests(now, outputs)?;
            self.measure(now, outputs)?;
        }
        if let Some(status) = self.idle_status() {
            self.ended = true;
            outputs.push(Output::End(Ended::Idle(status)));
        }
        Ok(())
    }

    /// What the gates of the rollout come to, and which of them are measured next.
    fn measure(&mut self, now: Millis, outputs: &mut Vec<Output>) -> Result<(), ControllerError<L::Error>> {
        if self.run.graph().plan.rollout.gates.is_empty() {
            return Ok(());
        }
        self.gauges.give_up_late(now, &self.run);
        while let Some(fact) = self.gauges.news(now, &self.run) {
            self.apply(now, fact, outputs)?;
        }
        self.gauges.follow(now, &self.run);
        self.gauges.begin(now, &self.run, outputs);
        Ok(())
    }

    fn take_requests(
        &mut self,
        now: Millis,
        outputs: &mut Vec<Output>,
    ) -> Result<(), ControllerError<L::Error>> {
        for request in self.ledger.pending_requests().map_err(ControllerError::Ledger)? {
            self.request(now, &request, outputs)?;
        }
        Ok(())
    }

    fn begin(
        &mut self,
        now: Millis,
        facts: Vec<Fact>,
        in_doubt: &DoubtAnswers,
        outputs: &mut Vec<Output>,
    ) -> Result<(), ControllerError<L::Error>> {
        for fact in facts {
            // An abort with nothing under way is the end at once.
            if matches!(self.run.status(), RunStatus::Finished(_)) {
                return Ok(());
            }
            self.apply(now, fact, outputs)?;
        }
        for (attempt, lane) in self.run.undecided() {
            if let Some(how) = in_doubt.of(lane) {
                self.apply(now, Fact::InDoubtResolved { attempt, how }, outputs)?;
            }
        }
        Ok(())
    }

    fn finished(
        &mut self,
        now: Millis,
        attempt: AttemptId,
        outcome: Outcome,
        outputs: &mut Vec<Output>,
    ) -> Result<(), ControllerError<L::Error>> {
        self.in_flight.remove(&attempt);
        if self.is_broken(LoopFault::OutcomeDropped) && attempt.0 % 5 == 3 {
            return Ok(());
        }
        self.apply(now, Fact::Finished { attempt, outcome }, outputs)
    }

    fn observed(
        &mut self,
        now: Millis,
        jobs: Vec<JobIx>,
        mut unavailable: Vec<(WorkerIx, JobIx)>,
        outputs: &mut Vec<Output>,
    ) -> Result<(), ControllerError<L::Error>> {
        let Some(began) = self.observing_since.take() else { return Ok(()) };
        // Who was down during the round, and is not any more, was not looked at since.
        let graph = self.run.graph();
        let active = self.run.active();
        if !self.is_broken(LoopFault::DisturbedCountAsSeen) {
            let enabled = graph.enabled_allocations();
            for target in self.disturbed.iter().filter(|target| !active.contains(*target)) {
                let worker = graph.target(target).worker;
                let first = enabled.partition_point(|one| one.worker < worker);
                let of_worker = enabled[first..].iter().take_while(|one| one.worker == worker);
                let asked = of_worker.filter(|one| jobs.contains(&one.job));
                unavailable.extend(asked.map(|one| (one.worker, one.job)));
            }
        }
        let took = (now - began).clamp(0, MAX_OBSERVATION_AGE);
        let fact = self.run.observation(jobs, unavailable, took);
        self.apply(now, fact, outputs)
    }

    fn request(
        &mut self,
        now: Millis,
        request: &Request,
        outputs: &mut Vec<Output>,
    ) -> Result<(), ControllerError<L::Error>> {
        if self.is_broken(LoopFault::RequestLost) {
            return Ok(());
        }
        let refused = match facts_of(&self.run, request) {
            Ok(facts) => {
                let mut refused = None;
                for (at, fact) in facts.into_iter().enumerate() {
                    let answers = (at == 0).then_some(request.n);
                    let again = self.is_broken(LoopFault::RequestAppliedTwice).then(|| fact.clone());
                    // Of a request for several gates the others may have been opened meanwhile.
                    if let Err(why) = self.try_apply(now, fact, answers, outputs)?
                        && at == 0
                    {
                        refused = Some(describe_refusal(&self.run, request, &why));
                        break;
                    }
                    if let Some(again) = again {
                        self.apply(now, again, outputs)?;
                    }
                }
                refused
            }
            Err(why) => Some(why),
        };
        match refused {
            Some(why) => self.ledger.refuse(request.n, now, &why).map_err(ControllerError::Ledger),
            None => Ok(()),
        }
    }

    /// Gives everything up at once; nothing is recorded about it, so that a resume looks.
    fn force_stop(&mut self, outputs: &mut Vec<Output>) {
        self.ended = true;
        let in_flight = self.in_flight.values().copied().collect();
        outputs.push(Output::GiveUp);
        outputs.push(Output::End(Ended::ForcedStop(in_flight)));
    }

    /// The status of the run, where there is nothing more to do for this process.
    fn idle_status(&self) -> Option<RunStatus> {
        let status = self.run.status();
        let idle = match &status {
            RunStatus::Busy => self.is_broken(LoopFault::EndsEarly) && self.in_flight.len() > 1,
            RunStatus::WaitsForOperator { undecided, .. } => !self.interactive || !undecided.is_empty(),
            RunStatus::Finished(_) | RunStatus::Halted(_) | RunStatus::Interrupted | RunStatus::Paused(_) => {
                true
            }
        };
        (idle && !self.ended).then_some(status)
    }

    /// A fact of the controller's own: being refused is a bug.
    fn apply(
        &mut self,
        now: Millis,
        fact: Fact,
        outputs: &mut Vec<Output>,
    ) -> Result<(), ControllerError<L::Error>> {
        self.try_apply(now, fact, None, outputs)?.map_err(ControllerError::Broken)
    }

    /// One fact and what follows from it: commit, then hand out. `Ok(Err(_))`: the fact was refused, and
    /// nothing has changed.
    fn try_apply(
        &mut self,
        now: Millis,
        fact: Fact,
        answers: Option<i64>,
        outputs: &mut Vec<Output>,
    ) -> Result<Result<(), RuleViolation>, ControllerError<L::Error>> {
        let decision = match self.run.apply(now, fact) {
            Ok(decision) => decision,
            Err(ApplyError::Refused(why)) => return Ok(Err(why)),
            Err(ApplyError::Broken(why)) => return Err(ControllerError::Broken(why)),
        };
        if self.is_broken(LoopFault::DispatchBeforeCommit) {
            self.late.push((now, decision.facts));
        } else {
            self.ledger.append(now, decision.facts, answers).map_err(ControllerError::Ledger)?;
        }
        self.hand_out(now, decision.effects, outputs);
        Ok(Ok(()))
    }

    fn hand_out(&mut self, now: Millis, effects: Vec<Effect>, outputs: &mut Vec<Output>) {
        for effect in effects {
            match effect {
                Effect::Execute(spec) => {
                    self.in_flight.insert(spec.attempt, (spec.lane, spec.step));
                    if let Lane::Worker(target) = spec.lane {
                        self.disturbed.insert(target);
                    }
                    outputs.push(Output::Execute(spec));
                }
                Effect::Wake { at, timer } => {
                    let forgotten = (self.is_broken(LoopFault::TimerForgotten) && at % 3 == 0)
                        || self.is_broken(LoopFault::AllTimersForgotten);
                    if !forgotten {
                        self.timers.set(at, timer);
                    }
                }
                Effect::Observe { jobs } => {
                    let skip = self.run.active().clone();
                    self.observing_since = Some(now);
                    self.disturbed.clone_from(&skip);
                    outputs.push(Output::Observe { jobs, skip });
                }
            }
        }
    }
}

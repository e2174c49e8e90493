//! The loop that owns a [`RunState`]: one completion, timer, signal or request at a time becomes a fact;
//! the facts that follow are made durable; only then are effects dispatched.
//!
//! Whoever sends messages to the loop never touches the run's state. The loop never blocks on a worker.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use crate::bucket::{JobIx, WorkerIx};
use crate::engine::{
    ApplyError, AttemptId, AttemptSpec, Effect, ErrorKind, Fact, Millis, Outcome, Request, Resolution,
    RuleViolation, RunState, RunStatus, StepError, Timer, facts_of,
};
use crate::journal::{OutputWriter, RunWriter};
use crate::plan::Problem;
use crate::report::{Reporter, RunView};
use crate::ssh::Cancel;

use super::clock::Clock;
use super::executor::{OutputSink, StepExecutor};
use super::steps::target_of;

/// Requests from other processes are looked for this often: "within a second".
const REQUESTS_EVERY: Duration = Duration::from_millis(500);

/// A step's thread does little itself: it waits. (libssh2 wants some.)
const STACK: usize = 512 * 1024;

/// After the second signal, threads get this long to cut their connections.
const FORCED_STOP_GRACE: Duration = Duration::from_millis(1500);

/// What a round of looks has seen counts from its begin, but never as older than this: it would be too
/// old for an admission (30 s) whenever some worker takes that long to give no answer.
const MAX_OBSERVATION_AGE: Duration = Duration::from_secs(20);

/// What the loop is told.
pub(super) enum Message {
    Finished(AttemptId, Outcome),
    Observed { jobs: Vec<JobIx>, unavailable: Vec<(WorkerIx, JobIx)>, began: Instant },
    Output { attempt: AttemptId, host: String, bytes: Vec<u8> },
    Signal(&'static str),
}

/// How a controller came to its end.
#[derive(Clone, Debug, PartialEq)]
pub enum Ended {
    /// The run is in a state in which this process has nothing more to do.
    Idle(RunStatus),
    /// A second signal: these attempts were in flight, and resume will look.
    ForcedStop(Vec<String>),
}

/// One process that carries a run on.
pub struct Controller {
    rollout: RunState,
    writer: RunWriter,
    output: OutputWriter,
    world: Arc<StepExecutor>,
    view: RunView,
    reporter: Box<dyn Reporter>,
    /// A person sits at a terminal: waiting for an approval makes sense.
    interactive: bool,
    sender: Sender<Message>,
    receiver: Receiver<Message>,
    clock: Clock,
    timers: BinaryHeap<Reverse<(Millis, u64)>>,
    timer_of: BTreeMap<u64, Timer>,
    next_timer: u64,
    in_flight: BTreeMap<AttemptId, (Cancel, String)>,
    observing: Cancel,
    /// Workers of which something was asked since the latest round of looks began.
    disturbed: BTreeSet<WorkerIx>,
    signals: u32,
}

/// What a controller is made of.
pub struct ControllerParts {
    /// The run's state, every stored fact replayed.
    pub rollout: RunState,
    /// Appends to the run, under this process's epoch.
    pub writer: RunWriter,
    /// Keeps what steps write.
    pub output: OutputWriter,
    /// What stands behind the effects.
    pub world: Arc<StepExecutor>,
    /// The view, with the same facts.
    pub view: RunView,
    /// Who shows it.
    pub reporter: Box<dyn Reporter>,
    /// A person sits at a terminal.
    pub interactive: bool,
}

impl Controller {
    /// Puts the parts together.
    pub fn new(parts: ControllerParts) -> Self {
        let (sender, receiver) = channel();
        let clock = Clock::not_before(parts.rollout.last_at());
        Self {
            rollout: parts.rollout,
            writer: parts.writer,
            output: parts.output,
            world: parts.world,
            view: parts.view,
            reporter: parts.reporter,
            interactive: parts.interactive,
            sender,
            receiver,
            clock,
            timers: BinaryHeap::new(),
            timer_of: BTreeMap::new(),
            next_timer: 0,
            in_flight: BTreeMap::new(),
            observing: Cancel::new(),
            disturbed: BTreeSet::new(),
            signals: 0,
        }
    }

    /// Where signals go.
    ///
    /// # Errors
    /// The system refuses to tell us of signals.
    pub fn watch_signals(&self) -> std::io::Result<()> {
        super::signals::watch(self.sender.clone(), Message::Signal)
    }

    /// Begins with `first` (the facts that this process has learnt so far), settles attempts in doubt
    /// as a person says, and goes on until there is nothing more to do.
    ///
    /// # Errors
    /// The journal can not be written, or this controller was replaced: nothing more was dispatched.
    pub fn run(&mut self, first: Vec<Fact>, in_doubt: Option<Resolution>) -> Result<Ended, Problem> {
        let ended = self.begin(first, in_doubt).and_then(|()| self.go_on());
        self.view.refresh(self.clock.now());
        self.reporter.finish(self.clock.now(), &self.view);
        ended
    }

    fn begin(&mut self, first: Vec<Fact>, in_doubt: Option<Resolution>) -> Result<(), Problem> {
        for fact in first {
            // An abort with nothing under way is the end at once.
            if matches!(self.rollout.status(), RunStatus::Finished(_)) {
                return Ok(());
            }
            self.apply(fact, None)?;
        }
        if let Some(how) = in_doubt {
            for attempt in self.rollout.undecided() {
                self.apply(Fact::InDoubtResolved { attempt, how }, None)?;
            }
        }
        Ok(())
    }

    fn go_on(&mut self) -> Result<Ended, Problem> {
        let mut last_look = Instant::now() - REQUESTS_EVERY;
        loop {
            self.fire_timers()?;
            if last_look.elapsed() >= REQUESTS_EVERY {
                last_look = Instant::now();
                self.take_requests()?;
                self.view.refresh(self.clock.now());
                self.reporter.tick(self.clock.now(), &self.view);
            }
            let status = self.rollout.status();
            if self.may_rest(&status) {
                return Ok(Ended::Idle(status));
            }
            let patience = self.until_next();
            match self.receiver.recv_timeout(patience) {
                Ok(message) => {
                    if let Some(ended) = self.take(message)? {
                        return Ok(ended);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                // The loop itself holds a sender.
                Err(RecvTimeoutError::Disconnected) => return Ok(Ended::ForcedStop(Vec::new())),
            }
        }
    }

    fn may_rest(&self, status: &RunStatus) -> bool {
        match status {
            RunStatus::Busy => false,
            RunStatus::WaitsForPeople { undecided, .. } => !self.interactive || !undecided.is_empty(),
            RunStatus::Finished(_) | RunStatus::Halted(_) | RunStatus::Interrupted | RunStatus::Paused(_) => {
                true
            }
        }
    }

    fn take(&mut self, message: Message) -> Result<Option<Ended>, Problem> {
        match message {
            Message::Finished(attempt, outcome) => {
                self.in_flight.remove(&attempt);
                self.apply(Fact::Finished { attempt, outcome }, None)?;
            }
            Message::Observed { jobs, mut unavailable, began } => {
                // Whoever was down during the round, and is not any more, was not looked at since.
                let down = self.active_workers();
                let enabled = self.rollout.graph().enabled_allocations();
                let missed = enabled.iter().filter(|allocation| {
                    let worker = &allocation.worker;
                    jobs.contains(&allocation.job)
                        && self.disturbed.contains(worker)
                        && !down.contains(worker)
                });
                unavailable.extend(missed.map(|allocation| (allocation.worker, allocation.job)));
                let took = began.elapsed().min(MAX_OBSERVATION_AGE).as_millis() as Millis;
                self.apply(Fact::Observed { jobs, unavailable, took }, None)?;
            }
            // Output that can not be kept is no reason to stop a run.
            Message::Output { attempt, host, bytes } => {
                let _ = self.output.add(attempt, &host, &bytes);
            }
            Message::Signal(name) => {
                self.signals += 1;
                if self.signals > 1 {
                    return Ok(Some(self.cut()));
                }
                self.apply(Fact::Interrupted { by: name.to_owned() }, None)?;
            }
        }
        Ok(None)
    }

    /// Gives everything up at once; nothing is recorded about it, so that a resume looks.
    fn cut(&mut self) -> Ended {
        self.observing.cancel();
        let unknown = self.in_flight.values().map(|(_, what)| what.clone()).collect();
        for (cancel, _) in self.in_flight.values() {
            cancel.cancel();
        }
        let end = Instant::now() + FORCED_STOP_GRACE;
        while !self.in_flight.is_empty() {
            match self.receiver.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(Message::Finished(attempt, _)) => {
                    self.in_flight.remove(&attempt);
                }
                Ok(_) => {}
                Err(_) => break,
            }
        }
        Ended::ForcedStop(unknown)
    }

    /// A fact of this process's own. Being illegal is a bug.
    fn apply(&mut self, fact: Fact, handled: Option<i64>) -> Result<(), Problem> {
        self.apply_asked(fact, handled)?.map_err(|illegal| bug(&illegal))
    }

    /// One fact and what follows from it: commit, then dispatch. `Ok(Err(_))`: a person asked for
    /// something that may not be; nothing has changed.
    fn apply_asked(
        &mut self,
        fact: Fact,
        handled: Option<i64>,
    ) -> Result<Result<(), RuleViolation>, Problem> {
        let at = self.clock.now();
        let all = match self.rollout.apply(at, fact) {
            Ok(all) => all,
            Err(ApplyError::Refused(why)) => return Ok(Err(why)),
            Err(ApplyError::Broken(why)) => return Err(bug(&why)),
        };
        let stamped = self.writer.append(at, &all.facts, handled)?;
        for fact in &stamped {
            self.view.fold(fact).map_err(|illegal| bug(&illegal))?;
            self.reporter.fact(fact, &self.view);
        }
        for effect in all.effects {
            self.dispatch(effect);
        }
        Ok(Ok(()))
    }

    fn dispatch(&mut self, effect: Effect) {
        match effect {
            Effect::Execute(order) => self.execute(order),
            Effect::Wake { at, timer } => {
                self.next_timer += 1;
                self.timers.push(Reverse((at, self.next_timer)));
                self.timer_of.insert(self.next_timer, timer);
            }
            Effect::Observe { jobs } => self.observe(jobs),
        }
    }

    fn execute(&mut self, order: AttemptSpec) {
        let attempt = order.attempt;
        let step = &self.rollout.graph().steps(order.lane)[order.step as usize];
        let place = match target_of(order.lane) {
            Some(target) => {
                self.disturbed.insert(self.rollout.graph().target(target).worker);
                self.world.host(target).to_string()
            }
            None => "this machine".to_owned(),
        };
        let what = format!("`{}` on {place}", step.id);
        let cancel = Cancel::new();
        self.in_flight.insert(attempt, (cancel.clone(), what.clone()));
        let (world, sender) = (Arc::clone(&self.world), self.sender.clone());
        let output = self.sender.clone();
        let sink: OutputSink = Arc::new(move |host, bytes| {
            let host = host.map_or_else(|| "this machine".to_owned(), ToString::to_string);
            let _ = output.send(Message::Output { attempt, host, bytes: bytes.to_vec() });
        });
        let spawned = std::thread::Builder::new()
            .name(format!("attempt {}", attempt.0))
            .stack_size(STACK)
            .spawn(move || {
                // A panic in a step is a bug of ours; what the step did is not known.
                let work = std::panic::AssertUnwindSafe(|| world.execute(&order, &cancel, &sink));
                let outcome = std::panic::catch_unwind(work).unwrap_or_else(|_| Outcome::Unknown {
                    why: "a bug in maand ended the step (see the message above)".into(),
                });
                let _ = sender.send(Message::Finished(attempt, outcome));
            });
        if let Err(error) = spawned {
            let message = format!("no thread for {what}: {error}");
            let error = StepError::new(ErrorKind::Controller, message);
            let _ = self.sender.send(Message::Finished(attempt, Outcome::Failed { error }));
        }
    }

    fn observe(&mut self, jobs: Vec<JobIx>) {
        let (skip, began) = (self.active_workers(), Instant::now());
        self.disturbed.clone_from(&skip);
        let (world, sender, cancel) = (Arc::clone(&self.world), self.sender.clone(), self.observing.clone());
        let look = move || {
            let unavailable = world.observe(&jobs, &skip, &cancel);
            let _ = sender.send(Message::Observed { jobs, unavailable, began });
        };
        // Without a thread the look takes place here: late, but not lost.
        let builder = std::thread::Builder::new().name("observe".into()).stack_size(STACK);
        if builder.spawn(look.clone()).is_err() {
            look();
        }
    }

    fn active_workers(&self) -> BTreeSet<WorkerIx> {
        let graph = self.rollout.graph();
        self.rollout.active().iter().map(|target| graph.target(target).worker).collect()
    }

    fn fire_timers(&mut self) -> Result<(), Problem> {
        while let Some(Reverse((at, number))) = self.timers.peek().copied() {
            if at > self.clock.now() {
                break;
            }
            self.timers.pop();
            if let Some(timer) = self.timer_of.remove(&number) {
                self.apply(Fact::Due { timer }, None)?;
            }
        }
        Ok(())
    }

    fn until_next(&mut self) -> Duration {
        let next = self.timers.peek().map(|Reverse((at, _))| at - self.clock.now());
        let next = next.map_or(REQUESTS_EVERY, |left| Duration::from_millis(left.max(0) as u64));
        next.min(REQUESTS_EVERY)
    }

    fn take_requests(&mut self) -> Result<(), Problem> {
        for request in self.writer.pending_requests()? {
            if let Err(why) = self.take_request(&request)? {
                self.writer.refuse_request(request.n, self.clock.now(), &why)?;
            }
        }
        Ok(())
    }

    /// `Ok(Err(why))`: it can not be done.
    fn take_request(&mut self, request: &Request) -> Result<Result<(), String>, Problem> {
        let facts = match facts_of(&self.rollout, request) {
            Ok(facts) => facts,
            Err(why) => return Ok(Err(why)),
        };
        for (at, fact) in facts.into_iter().enumerate() {
            let handled = (at == 0).then_some(request.n);
            match self.apply_asked(fact, handled)? {
                Ok(()) => {}
                Err(illegal) if at == 0 => return Ok(Err(illegal.to_string())),
                // The rest of a request for several gates: somebody was faster.
                Err(_) => {}
            }
        }
        Ok(Ok(()))
    }

    /// The state of the run.
    pub fn rollout(&self) -> &RunState {
        &self.rollout
    }

    /// The view of the run.
    pub fn view(&self) -> &RunView {
        &self.view
    }
}

/// A rule of our own is broken: that is a bug, and the run stops before anything more is done.
fn bug(illegal: &RuleViolation) -> Problem {
    Problem::error("maand::bug", format!("the engine refused its own fact: {illegal}"))
        .help("this is a bug in maand: nothing more was dispatched; please report it with `maand plan logs`")
}

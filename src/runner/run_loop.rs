//! The shell around a run's [`Controller`]: the real clock, threads, signals and the journal. It takes one message
//! at a time, hands it to the controller, and carries out what comes back.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use crate::bucket::{JobIx, WorkerIx};
use crate::controller::{Controller, ControllerError, Ended, Input, Output};
use crate::engine::{
    AttemptId, DoubtAnswers, ErrorKind, Fact, GatePlace, Millis, Outcome, RuleViolation, RunState, RunStatus,
    SilenceEvent,
};
use crate::graph::{TargetIx, TargetSet};
use crate::journal::{JournalError, OutputWriter, RunWriter, Tenure};
use crate::plan::Reading;
use crate::report::{Reporter, RunView, WaitPhase};
use crate::ssh::Cancel;

use super::attempts::Attempts;
use super::clock::Clock;
use super::executor::StepExecutor;
use super::gate::Measurement;
use super::ledger::StoredFacts;
use super::output::OutputStore;
use super::silencer::{Silencer, SilencerParts};

/// Requests from other processes are looked for this often: "within a second".
const REQUESTS_EVERY: Duration = Duration::from_millis(500);

/// How soon it is noticed at the end of a run that nothing more is to be said of silences.
const SILENCES_EVERY: Duration = Duration::from_millis(5);

/// What is said where another process has had the lease.
const LEASE_LOST: &str =
    "this controller was not heard of for longer than its lease lasts, and another process has had it since";

/// After a second signal, attempts get this long to cut their connections.
const FORCED_STOP_GRACE: Duration = Duration::from_millis(1500);

/// What the loop is told. Output is not among it: it goes its own way, so that it never stands before these.
pub(super) enum Message {
    Finished(AttemptId, Outcome),
    Observed {
        jobs: Vec<JobIx>,
        unavailable: Vec<(WorkerIx, JobIx)>,
    },
    Measured(u64, Measurement),
    Signal(&'static str),
    Silence(TargetIx, SilenceEvent),
    /// How far an attempt under way has come: a handful for each attempt.
    Told(AttemptId, WaitPhase),
}

/// Why a loop had to stop.
#[derive(Debug, thiserror::Error)]
pub enum LoopError {
    /// The journal did not take what follows. Nothing more was begun.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A worker knows facts of the run that the journal does not have. Nothing more was begun.
    #[error("{0}")]
    FactsLost(String),
    /// A worker refuses this controller: one on another machine has the run now. Nothing more was begun.
    #[error("{0}")]
    TakenOver(String),
    /// A rule of our own is broken, which is a bug. Nothing more was begun, and the run can be resumed.
    #[error("the engine refused its own fact: {0}")]
    Broken(RuleViolation),
}

impl From<ControllerError<JournalError>> for LoopError {
    fn from(error: ControllerError<JournalError>) -> Self {
        match error {
            ControllerError::Ledger(error) => Self::Journal(error),
            ControllerError::Broken(why) => Self::Broken(why),
        }
    }
}

/// What a loop is made of.
pub struct RunLoopParts {
    /// The run's state, every stored fact replayed.
    pub run: RunState,
    /// Appends to the run, under this process's epoch.
    pub writer: RunWriter,
    /// Keeps what steps print.
    pub output: OutputWriter,
    /// What stands behind the effects.
    pub executor: Arc<StepExecutor>,
    /// The view, with the same facts.
    pub view: RunView,
    /// Who shows it.
    pub reporter: Box<dyn Reporter>,
    /// An operator sits at a terminal.
    pub interactive: bool,
}

/// One process that carries a run on.
pub struct RunLoop {
    controller: Controller<StoredFacts>,
    attempts: Attempts,
    executor: Arc<StepExecutor>,
    view: RunView,
    reporter: Box<dyn Reporter>,
    sender: Sender<Message>,
    receiver: Receiver<Message>,
    clock: Clock,
    observing: Cancel,
    /// The plan measures something.
    has_gates: bool,
    /// A round of observation for which there was no thread yet.
    unobserved: Option<(Vec<JobIx>, TargetSet)>,
    silencer: Option<Silencer>,
    /// A journal that is away is not waited for any longer.
    is_told_to_stop: Arc<AtomicBool>,
}

impl RunLoop {
    /// Puts the parts together.
    pub fn new(mut parts: RunLoopParts) -> Self {
        let is_told_to_stop: Arc<AtomicBool> = Arc::default();
        parts.writer.give_up_when(Arc::clone(&is_told_to_stop));
        let (sender, receiver) = channel();
        let has_gates = parts.run.graph().plan.has_gates();
        let clock = Clock::not_before(parts.run.last_at());
        let output = OutputStore::new(parts.output);
        let told = sender.clone();
        parts.executor.tell_to(Box::new(move |attempt, phase| {
            // A loop that has ended wants to know nothing more.
            let _ = told.send(Message::Told(attempt, phase));
        }));
        Self {
            controller: Controller::new(parts.run, StoredFacts::new(parts.writer), parts.interactive),
            attempts: Attempts::new(Arc::clone(&parts.executor), output, sender.clone()),
            executor: parts.executor,
            view: parts.view,
            reporter: parts.reporter,
            sender,
            receiver,
            clock,
            observing: Cancel::new(),
            unobserved: None,
            has_gates,
            silencer: None,
            is_told_to_stop,
        }
    }

    /// Keeps the plan's silences from now on, if it has any.
    pub fn keep_silences(&mut self, parts: SilencerParts<'_>) {
        let sender = self.sender.clone();
        let hear = move |target, event| sender.send(Message::Silence(target, event)).is_ok();
        self.silencer = Silencer::begin(parts, hear);
    }

    /// Hears signals from now on.
    ///
    /// # Errors
    /// The system refuses to tell us of signals.
    pub fn watch_signals(&self) -> std::io::Result<()> {
        let is_told = Arc::clone(&self.is_told_to_stop);
        super::signals::watch(self.sender.clone(), move |name| {
            is_told.store(true, Ordering::SeqCst);
            Message::Signal(name)
        })
    }

    /// Begins with `first` (the facts that this process has learnt so far), settles attempts in doubt as the
    /// operator says, and continues until there is nothing more to do.
    ///
    /// # Errors
    /// The journal cannot be written, this controller was replaced, or a rule of our own is broken: nothing more
    /// was begun.
    pub fn run(&mut self, first: Vec<Fact>, in_doubt: DoubtAnswers) -> Result<Ended, LoopError> {
        let ended = self.until_the_end(first, in_doubt);
        let ended = ended.and_then(|ended| self.close_silences().map(|()| ended));
        if ended.is_err() {
            self.give_up();
        }
        // Nobody carries it out from here on; attempts may be left without an answer.
        self.view.set_orphaned(true);
        self.show();
        self.reporter.finish(self.clock.now(), &self.view);
        ended
    }

    /// Says how long silences of workers that are back last, and hears what became of that, for no longer than an answer may
    /// take.
    fn close_silences(&mut self) -> Result<(), LoopError> {
        let Some(silencer) = self.silencer.take() else { return Ok(()) };
        let until = Instant::now() + silencer.close();
        loop {
            let is_over = silencer.has_ended() || Instant::now() >= until;
            while let Ok(message) = self.receiver.try_recv() {
                let Message::Silence(target, event) = message else { continue };
                match self.take(Input::Silence { target, event }) {
                    // Whoever has taken up a run that has ended adds to it now, and not this process.
                    Err(_) if matches!(self.controller.run().status(), RunStatus::Finished(_)) => {
                        return Ok(());
                    }
                    taken => drop(taken?),
                }
            }
            if is_over {
                return Ok(());
            }
            std::thread::sleep(SILENCES_EVERY);
        }
    }

    fn until_the_end(&mut self, first: Vec<Fact>, in_doubt: DoubtAnswers) -> Result<Ended, LoopError> {
        let mut ended = self.take(Input::Begin { facts: first, in_doubt })?;
        let mut looked_at = None::<Instant>;
        loop {
            if ended.is_none() && self.until_wake() == Some(Duration::ZERO) {
                ended = self.take(Input::Tick)?;
            }
            if ended.is_none() && looked_at.is_none_or(|at| at.elapsed() >= REQUESTS_EVERY) {
                looked_at = Some(Instant::now());
                self.attempts.begin_waiting();
                if let Some((jobs, skip)) = self.unobserved.take() {
                    self.observe(jobs, skip);
                }
                ended = self.take(Input::Requests)?;
                self.show();
                self.reporter.tick(self.clock.now(), &self.view);
            }
            if let Some(ended) = ended {
                return Ok(ended);
            }
            let patience = self.until_wake().map_or(REQUESTS_EVERY, |left| left.min(REQUESTS_EVERY));
            ended = match self.receiver.recv_timeout(patience) {
                Ok(message) => self.hear(message)?,
                // The loop itself holds a sender: it is never disconnected.
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => None,
            };
        }
    }

    /// How long until the controller's next timer.
    fn until_wake(&mut self) -> Option<Duration> {
        let now = self.clock.now();
        let at = self.controller.next_wake()?;
        Some(Duration::from_millis(u64::try_from(at - now).unwrap_or(0)))
    }

    fn hear(&mut self, message: Message) -> Result<Option<Ended>, LoopError> {
        if self.executor.lock.is_lease() && self.executor.lock.tenure() == Tenure::Lost {
            // What has ended since may have ended for that alone.
            return Err(LoopError::TakenOver(LEASE_LOST.to_owned()));
        }
        match message {
            Message::Finished(attempt, outcome) => {
                let outcome = self.attempts.ended(attempt, outcome);
                if let Outcome::Failed { error } = &outcome {
                    // Not recorded: it would be built upon facts that are not the run's, or continue what is another's.
                    match error.kind {
                        ErrorKind::JournalBehind => return Err(LoopError::FactsLost(error.message.clone())),
                        // By one on this machine: the journal says so, and by whom.
                        ErrorKind::Fenced if self.executor.lock.tenure() != Tenure::Lost => {
                            return Err(LoopError::TakenOver(error.message.clone()));
                        }
                        _ => {}
                    }
                }
                self.take(Input::Finished { attempt, outcome })
            }
            Message::Silence(target, event) => self.take(Input::Silence { target, event }),
            Message::Observed { jobs, unavailable } => self.take(Input::Observed { jobs, unavailable }),
            Message::Measured(id, Measurement { reading, words }) => {
                self.take(Input::Measured { id, reading, says: words })
            }
            Message::Told(attempt, phase) => {
                if let Some(line) = self.view.tell(self.clock.now(), attempt, phase) {
                    self.reporter.told(&line, &self.view);
                }
                Ok(None)
            }
            Message::Signal(name) => self.take(Input::Signal { name }),
        }
    }

    /// Tells the controller something and carries out what follows; answers with its end.
    fn take(&mut self, input: Input) -> Result<Option<Ended>, LoopError> {
        let mut outputs = Vec::new();
        let now = self.clock.now();
        let taken = self.controller.handle(now, input, &mut outputs);
        for stamped in self.controller.ledger_mut().take_stamped() {
            if matches!(stamped.fact, Fact::RunFinished { .. }) {
                // Before that is said. An observation may outlive it, and looks only.
                self.executor.lock.give_back();
            }
            self.view.fold(&stamped).map_err(LoopError::Broken)?;
            self.reporter.fact(&stamped, &self.view);
        }
        taken?;
        if self.controller.run().is_interrupted() {
            self.attempts.finish_those_at_work();
        }
        if let Some(silencer) = &mut self.silencer {
            for (target, event) in silencer.tell(self.controller.run()) {
                // The loop itself has the other end.
                let _ = self.sender.send(Message::Silence(target, event));
            }
        }
        self.executor.set_mark(&self.controller.ledger().mark());
        if self.has_gates {
            self.executor.set_down(self.controller.run().taken_down());
        }
        let mut ended = None;
        for output in outputs {
            match output {
                Output::Execute(spec) => {
                    let number = self.view.attempt_number(spec.attempt);
                    self.attempts.begin(spec, number);
                }
                Output::Observe { jobs, skip } => self.observe(jobs, skip),
                Output::Measure { id, place, gate, wave } => self.measure(id, place, gate, wave),
                Output::GiveUp => self.give_up(),
                Output::End(end) => ended = Some(end),
            }
        }
        Ok(ended)
    }

    fn show(&mut self) {
        self.view.refresh(self.clock.now());
    }

    /// All that is in flight is given up, and gets a moment to cut its connections.
    fn give_up(&mut self) {
        self.observing.cancel();
        self.attempts.give_up();
        let until = Instant::now() + FORCED_STOP_GRACE;
        while !self.attempts.are_idle() {
            match self.receiver.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(Message::Finished(attempt, outcome)) => drop(self.attempts.ended(attempt, outcome)),
                Ok(_) => {}
                Err(_) => break,
            }
        }
    }

    /// Looks at the jobs, on a thread of its own. A machine that has none for it is asked again: what was not looked at
    /// is no fault of a worker.
    fn observe(&mut self, jobs: Vec<JobIx>, skip: TargetSet) {
        let graph = self.controller.run().graph();
        let skipped: BTreeSet<WorkerIx> = skip.iter().map(|target| graph.target(target).worker).collect();
        let (executor, sender) = (Arc::clone(&self.executor), self.sender.clone());
        let (cancel, of_thread) = (self.observing.clone(), jobs.clone());
        let spawned = std::thread::Builder::new().name("observe".into()).spawn(move || {
            let unavailable = executor.observe(&of_thread, &skipped, &cancel);
            let _ = sender.send(Message::Observed { jobs: of_thread, unavailable });
        });
        if spawned.is_err() {
            // This machine has no thread for it: asked again with the requests.
            self.unobserved = Some((jobs, skip));
        }
    }

    /// Measures a gate of the rollout, on a thread of its own.
    fn measure(&self, id: u64, place: GatePlace, gate: u32, wave: Option<u32>) {
        let (executor, sender) = (Arc::clone(&self.executor), self.sender.clone());
        let cancel = self.observing.clone();
        let spawned = std::thread::Builder::new().name("measure".into()).spawn(move || {
            let measured = executor.measure(id, place, gate, wave, &cancel);
            let _ = sender.send(Message::Measured(id, measured));
        });
        if let Err(error) = spawned {
            let measured =
                Measurement::new(Reading::Inconclusive, format!("no thread could be started: {error}"));
            let _ = self.sender.send(Message::Measured(id, measured));
        }
    }

    /// The state of the run.
    pub fn state(&self) -> &RunState {
        self.controller.run()
    }

    /// The view of the run.
    pub fn view(&self) -> &RunView {
        &self.view
    }

    /// The loop's time: that of the system, which never goes back.
    pub fn now(&mut self) -> Millis {
        self.clock.now()
    }
}

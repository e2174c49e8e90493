//! Keeps the silences of a run, on a thread of its own. The run only tells it who is down, and never waits for it but at its
//! end, for no longer than an answer may take.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::engine::{Millis, RunState, SilenceEvent, Stamped};
use crate::graph::{RolloutGraph, TargetIx};
use crate::plan::without_error_numbers;
use crate::silence::{Next, Silences, Terms, expected_down};

use super::clock::Clock;
use super::silence_requests::Requests;

/// Until something is told.
const LONG: Duration = Duration::from_secs(3600);

/// What it is told.
enum Told {
    /// These workers are expected to be down, and no others.
    Down(Vec<TargetIx>),
    /// The process ends.
    Close,
}

/// The thread, and what it was told last.
pub(super) struct Silencer {
    tell: Sender<Told>,
    down: Vec<TargetIx>,
    /// Or why there is none.
    thread: Result<JoinHandle<()>, String>,
    timeout: Duration,
}

/// What a plan's silences are made of.
pub struct SilencerParts<'f> {
    /// The compiled plan.
    pub graph: Arc<RolloutGraph>,
    /// The run's name.
    pub run: String,
    /// Who carries it out, `user@host`.
    pub by: String,
    /// What is stored of it.
    pub facts: &'f [Stamped],
}

impl Silencer {
    /// Begins to keep the silences of a plan, if it has any; what becomes of them is handed to `hear`.
    pub(super) fn begin(
        parts: SilencerParts<'_>,
        hear: impl Fn(TargetIx, SilenceEvent) -> bool + Send + 'static,
    ) -> Option<Self> {
        let SilencerParts { graph, run, by, facts } = parts;
        let silence = graph.plan.silence.clone()?;
        let mut silences = Silences::new(Terms::from(&silence));
        silences.replay(facts.iter().map(|stamped| (stamped.at, &stamped.fact)));
        let clock = Clock::not_before(facts.last().map_or(0, |last| last.at));
        let timeout = silence.timeout;
        let requests = Requests::new(graph, silence, run, by);
        let (tell, told) = channel();
        let keep = move || keep(silences, &requests, clock, &told, &hear);
        let thread = std::thread::Builder::new().name("silences".into()).spawn(keep);
        let thread = thread.map_err(|error| {
            format!("this machine has no thread for it: {}", without_error_numbers(&error.to_string()))
        });
        Some(Self { tell, down: Vec::new(), thread, timeout })
    }

    /// Tells who is expected to be down. Returns what is known already.
    pub(super) fn tell(&mut self, run: &RunState) -> Vec<(TargetIx, SilenceEvent)> {
        let down = expected_down(run);
        if down == self.down {
            return Vec::new();
        }
        let before = std::mem::replace(&mut self.down, down.clone());
        match &self.thread {
            Ok(_) => {
                // One that has ended has a bug of ours, and the run does without.
                let _ = self.tell.send(Told::Down(down));
                Vec::new()
            }
            Err(why) => {
                let new = down.into_iter().filter(|target| !before.contains(target));
                new.map(|target| (target, SilenceEvent::Failed { why: why.clone() })).collect()
            }
        }
    }

    /// The process ends. How long it may wait for [`Silencer::has_ended`].
    pub(super) fn close(&self) -> Duration {
        let _ = self.tell.send(Told::Close);
        self.timeout
    }

    /// There is nothing more to do.
    pub(super) fn has_ended(&self) -> bool {
        self.thread.as_ref().map_or(true, JoinHandle::is_finished)
    }
}

fn keep(
    mut silences: Silences,
    requests: &Requests,
    mut clock: Clock,
    told: &Receiver<Told>,
    hear: &dyn Fn(TargetIx, SilenceEvent) -> bool,
) {
    let mut is_closing = false;
    // Of a run that is taken up nothing is known before it is told who is down.
    let mut wait = LONG;
    loop {
        match told.recv_timeout(wait) {
            Ok(Told::Down(down)) => silences.set_down(clock.now(), down),
            Ok(Told::Close) => {
                silences.close();
                is_closing = true;
            }
            Err(RecvTimeoutError::Timeout) => {}
            // The run has ended otherwise: silences end by themselves.
            Err(RecvTimeoutError::Disconnected) if !is_closing => return,
            Err(RecvTimeoutError::Disconnected) => {}
        }
        let mut events = silences.passed(clock.now());
        wait = match silences.next(clock.now()) {
            Next::Ask(ask) => {
                let answer = requests.ask(&ask, &mut || clock.now());
                events.extend(silences.answered(clock.now(), &ask, answer));
                Duration::ZERO
            }
            _ if is_closing => Duration::MAX,
            Next::At(at) => until(at, clock.now()),
            Next::Nothing => LONG,
        };
        let is_heard = events.into_iter().all(|(target, event)| hear(target, event));
        if !is_heard || wait == Duration::MAX {
            return;
        }
    }
}

fn until(at: Millis, now: Millis) -> Duration {
    Duration::from_millis(u64::try_from(at - now).unwrap_or(0)).min(LONG)
}

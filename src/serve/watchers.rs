//! Who watches which run: one thread for each run that somebody looks at.

use std::collections::{HashMap, VecDeque};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Bytes;
use tokio::sync::{broadcast, oneshot};

use super::answer::{Trouble, Words};
use super::reads::{broken, within};
use super::watcher;
use crate::bucket::Bucket;
use crate::journal::RunId;
use crate::report::{Decisions, Hint};

/// So many runs are watched at the same time.
const RUNS: usize = 8;

/// What a watcher is asked.
pub(super) enum Ask {
    /// The page of its run.
    Page(oneshot::Sender<Result<Bytes, Trouble>>),
    /// What an operator can decide about its run.
    Decisions(oneshot::Sender<Result<Decisions, Trouble>>),
    /// All that is told from a version on.
    Listen { since: String, to: oneshot::Sender<Result<Told, Trouble>> },
}

/// What was missed, and all that follows.
pub(super) type Told = (VecDeque<Bytes>, broadcast::Receiver<Bytes>);

/// All watchers of a server.
#[derive(Clone)]
pub(super) struct Watchers(Arc<Shared>);

struct Shared {
    bucket: Arc<Bucket>,
    hint: Hint,
    words: Words,
    running: Mutex<HashMap<RunId, Sender<Ask>>>,
}

impl Watchers {
    pub(super) fn new(bucket: Arc<Bucket>, hint: Hint, words: Words) -> Self {
        Self(Arc::new(Shared { bucket, hint, words, running: Mutex::default() }))
    }

    pub(super) fn bucket(&self) -> &Bucket {
        &self.0.bucket
    }

    pub(super) fn hint(&self) -> Hint {
        self.0.hint
    }

    pub(super) fn words(&self) -> Words {
        self.0.words
    }

    /// The page of a run.
    pub(super) async fn page(&self, run: &RunId) -> Result<Bytes, Trouble> {
        let (answer, page) = oneshot::channel();
        self.ask(run, Ask::Page(answer))?;
        within(async { page.await.unwrap_or_else(|_| Err(broken())) }).await
    }

    /// What an operator can decide about a run.
    pub(super) async fn decisions(&self, run: &RunId) -> Result<Decisions, Trouble> {
        let (answer, decisions) = oneshot::channel();
        self.ask(run, Ask::Decisions(answer))?;
        within(async { decisions.await.unwrap_or_else(|_| Err(broken())) }).await
    }

    /// What has happened in a run since a version of its page, and what will.
    pub(super) async fn listen(&self, run: &RunId, since: String) -> Result<Told, Trouble> {
        let (to, told) = oneshot::channel();
        self.ask(run, Ask::Listen { since, to })?;
        within(async { told.await.unwrap_or_else(|_| Err(broken())) }).await
    }

    fn ask(&self, run: &RunId, ask: Ask) -> Result<(), Trouble> {
        let mut running = self.running();
        // One whose thread has panicked is forgotten.
        let ask = match running.get(run) {
            Some(watcher) => match watcher.send(ask) {
                Ok(()) => return Ok(()),
                Err(refused) => refused.0,
            },
            None => ask,
        };
        running.remove(run);
        if running.len() >= RUNS {
            return Err(Trouble::busy("too many runs are looked at"));
        }
        let (sender, asked) = channel();
        // It cannot be closed: `asked` is here.
        let _ = sender.send(ask);
        let (watchers, of) = (self.clone(), run.clone());
        let thread = std::thread::Builder::new().name(format!("watch {run}"));
        match thread.spawn(move || watcher::watch(&watchers, &of, &asked)) {
            Ok(_) => {
                running.insert(run.clone(), sender);
                Ok(())
            }
            Err(_) => Err(Trouble::busy("this machine has no room for another thread")),
        }
    }

    /// Forgets a watcher, unless somebody has just asked it something.
    pub(super) fn leave_if_idle(&self, run: &RunId, asked: &Receiver<Ask>) -> Option<Ask> {
        // Whoever asks holds the same lock.
        let mut running = self.running();
        let ask = asked.try_recv().ok();
        if ask.is_none() {
            running.remove(run);
        }
        ask
    }

    /// Forgets a watcher; what it was asked and has not answered.
    pub(super) fn leave(&self, run: &RunId, asked: &Receiver<Ask>) -> Vec<Ask> {
        let mut running = self.running();
        running.remove(run);
        asked.try_iter().collect()
    }

    fn running(&self) -> MutexGuard<'_, HashMap<RunId, Sender<Ask>>> {
        self.0.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! One session with the upstream program: it has no lock of its own, and two of its commands at once destroy
//! each other's work. So there is one at a time, of this process and of all others that ask.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use super::database::Snapshot;
use super::engine::External;
use super::others::Others;
use super::process::{self, Ended};
use super::watch::Beside;
use crate::bucket::Host;
use crate::bucket::lock::Guard;
use crate::catalog::locking::{self, WAIT};
use crate::catalog::{BrokenCatalog, Call, CatalogError};

/// Between two tries.
const POLL: Duration = Duration::from_millis(50);

/// What the last command of this process left, to notice what others have done since.
#[derive(Default)]
pub(super) struct LastSeen {
    snapshot: Option<Snapshot>,
    /// What others have done, in words, until a deploy's report has said it.
    external_changes: Vec<String>,
}

/// The right to run commands, one after the other.
pub(super) struct UpstreamSession<'e> {
    engine: &'e External,
    call: &'e Call,
    left: MutexGuard<'e, LastSeen>,
    /// Until it is given back.
    lock: Option<Held>,
}

/// The catalog's lock.
enum Held {
    /// For this session.
    Own(Guard),
    /// By an operation of which this session is a part.
    Lent(Arc<Guard>),
}

impl Held {
    fn guard(&self) -> &Guard {
        match self {
            Self::Own(guard) => guard,
            Self::Lent(guard) => guard,
        }
    }
}

impl<'e> UpstreamSession<'e> {
    /// Waits for it; `what` is shown to others who wait.
    pub(super) fn take(engine: &'e External, what: &str, call: &'e Call) -> Result<Self, CatalogError> {
        // A step of a run waits as long as it may, since what it waits for is bounded itself.
        let until = if call.fence.is_some() { call.until } else { call.until.min(Instant::now() + WAIT) };
        let left = own_turn(&engine.left, until, call)?;
        let lock = match &engine.lent {
            Some(guard) => Held::Lent(Arc::clone(guard)),
            None => Held::Own(locking::take_until(&engine.bucket, what, call, until)?),
        };
        let mut session = Self { engine, call, left, lock: Some(lock) };
        session.wait_for_others()?;
        Ok(session)
    }

    /// An operator may have typed the program's own name: its command knows no lock, so it is waited for.
    fn wait_for_others(&mut self) -> Result<(), CatalogError> {
        let mut said = false;
        let mut others = Others::new(&self.engine.program.path, self.folder());
        while let Some(other) = others.at_work(None) {
            let other = other.words;
            if !said {
                said = true;
                self.note(format!("{other} was started by hand; waiting for its end"));
            }
            if self.call.cancel.is_cancelled() {
                return Err(CatalogError::Cancelled(format!("cancelled while waiting for {other}")));
            }
            if Instant::now() >= self.call.until {
                return Err(CatalogError::Locked {
                    what: "the upstream program".to_owned(),
                    holder: format!("{other}, started by hand"),
                });
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    /// What the database says now; `None`: there is none yet. What others have changed since our last
    /// command is said.
    pub(super) fn read(&mut self) -> Result<Option<Snapshot>, CatalogError> {
        let now = match self.engine.snapshot() {
            Err(CatalogError::Broken(BrokenCatalog::Upstream { .. })) => {
                // One that was ended in the middle of a write (in a rollback journal, as older builds
                // have it) has to be followed by a writer before it can be read. Printing is enough.
                self.start(&["cat", "workers"])?;
                self.engine.snapshot()?
            }
            now => now?,
        };
        let words = match (self.left.snapshot.as_ref(), &now) {
            (Some(left), Some(now)) if left.update_seq != now.update_seq => Some(format!(
                "another process deployed in between (update_seq {} -> {})",
                left.update_seq, now.update_seq
            )),
            (Some(left), Some(now)) if left != now => {
                Some("another process built in between: upstream's database has changed".to_owned())
            }
            _ => None,
        };
        if let Some(words) = words {
            self.note(words);
        }
        self.left.snapshot.clone_from(&now);
        Ok(now)
    }

    /// As [`UpstreamSession::read`]; an error where nothing was built yet.
    pub(super) fn built(&mut self) -> Result<Snapshot, CatalogError> {
        self.read()?.ok_or(CatalogError::NotBuilt { upstream: true })
    }

    /// Runs `maand ARGS` and looks at what it left.
    pub(super) fn run(&mut self, args: &[&str]) -> Result<(Ended, Option<Snapshot>), CatalogError> {
        let ended = self.start(args)?;
        let after = self.engine.snapshot()?;
        self.left.snapshot.clone_from(&after);
        Ok((ended, after))
    }

    fn start(&self, args: &[&str]) -> Result<Ended, CatalogError> {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let mut hosts: BTreeSet<Host> =
            self.left.snapshot.iter().flat_map(|left| left.workers.keys().cloned()).collect();
        hosts.extend(self.engine.workers.iter().cloned());
        let Some(lock) = &self.lock else {
            return Err(BrokenCatalog::LockGivenBack.into());
        };
        let known = |host: &Host| hosts.contains(host);
        let ended =
            process::run(&self.engine.program, self.folder(), &args, lock.guard(), &known, self.call)?;
        let Beside { harmful, other } = &ended.beside;
        if let Some(words) = harmful.as_ref().or(other.as_ref()) {
            self.engine.note(None, &format!("`maand {}`: {words}", args.join(" ")), self.call);
        }
        Ok(ended)
    }

    fn folder(&self) -> &'e std::path::Path {
        &self.engine.bucket.paths().root
    }

    fn note(&mut self, words: String) {
        self.engine.note(None, &words, self.call);
        self.left.external_changes.push(words);
    }

    /// What others have done and was not reported yet.
    pub(super) fn external_changes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.left.external_changes)
    }
}

impl Drop for UpstreamSession<'_> {
    fn drop(&mut self) {
        // The commands have ended; something that a job's hook left running must not keep the lock. A
        // panic may have come between: then only the end of all that runs frees it.
        if let Some(Held::Own(lock)) = self.lock.take().filter(|_| !std::thread::panicking()) {
            lock.release();
        }
    }
}

fn own_turn<'e>(
    left: &'e Mutex<LastSeen>,
    until: Instant,
    call: &Call,
) -> Result<MutexGuard<'e, LastSeen>, CatalogError> {
    loop {
        match left.try_lock() {
            Ok(guard) => return Ok(guard),
            // What it holds is only for noticing others.
            Err(TryLockError::Poisoned(poisoned)) => return Ok(PoisonError::into_inner(poisoned)),
            Err(TryLockError::WouldBlock) => {}
        }
        if call.cancel.is_cancelled() {
            return Err(CatalogError::Cancelled("cancelled while waiting for another step".to_owned()));
        }
        if Instant::now() >= until {
            return Err(CatalogError::Locked {
                what: "the upstream program".to_owned(),
                holder: "another step of this run".to_owned(),
            });
        }
        std::thread::sleep(POLL);
    }
}

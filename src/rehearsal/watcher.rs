//! Looks at a rehearsal from outside, all the time: what `disabled.json` says, and what the journal has
//! learnt. It shares nothing with the engine, and judges nothing.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::bucket::{Bucket, Disabled, Host};
use crate::engine::{Fact, Millis, Stamped};
use crate::graph::{Lane, TargetIx};
use crate::journal::{Journal, Mode, RunHeader, RunId};
use crate::runner::now;
use crate::sandbox::{Fault, Sandbox};

use super::RehearsalError;

/// Between two looks.
const EVERY: Duration = Duration::from_millis(50);

/// `disabled.json` as it was from a moment on.
#[derive(Debug)]
pub(super) struct Look {
    /// As facts are stamped.
    pub(super) at: Millis,
    pub(super) disabled: Disabled,
}

/// What was seen.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Looks at which something had changed; the first is from before the run.
    pub(super) looks: Vec<Look>,
    /// How often `disabled.json` could not be read.
    pub(super) unreadable: u32,
    pub(super) facts: Vec<Stamped>,
    pub(super) run: Option<RunId>,
}

/// A watcher at work.
pub(super) struct Watcher {
    stop: Arc<AtomicBool>,
    reader: Arc<Mutex<Reader>>,
    thread: Option<JoinHandle<Looks>>,
}

impl Watcher {
    /// Begins. `faults` that name a step wake up when the journal says that the step has begun: by its
    /// kind, or by its id in `ids`, the plan's steps in order.
    pub(super) fn start(
        sandbox: &Arc<Sandbox>,
        faults: &[Fault],
        ids: Vec<String>,
    ) -> Result<Self, RehearsalError> {
        let reader = Reader { data: sandbox.bucket_dir().join("data"), ids, ..Reader::default() };
        let reader = Arc::new(Mutex::new(reader));
        // The sandbox asks for as long as it lives, and is not to live for as long as it asks.
        let (of, asked): (Weak<Sandbox>, _) = (Arc::downgrade(sandbox), Arc::clone(&reader));
        sandbox.ask(Box::new(move || {
            if let Some(sandbox) = of.upgrade() {
                locked(&asked).read(&sandbox);
            }
        }));
        for fault in faults {
            sandbox.inject(fault.clone());
        }
        let stop = Arc::new(AtomicBool::new(false));
        let (sandbox, ended, facts) = (Arc::clone(sandbox), Arc::clone(&stop), Arc::clone(&reader));
        let thread = std::thread::Builder::new()
            .name("watcher".into())
            .spawn(move || watch(&sandbox, &facts, &ended))
            .map_err(RehearsalError::Watcher)?;
        Ok(Self { stop, reader, thread: Some(thread) })
    }

    /// Ends, after one last look.
    pub(super) fn stop(mut self) -> Seen {
        let looks = self.end();
        let mut reader = locked(&self.reader);
        Seen {
            looks: looks.changes,
            unreadable: looks.unreadable,
            facts: std::mem::take(&mut reader.facts),
            run: reader.run.take(),
        }
    }

    fn end(&mut self) -> Looks {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.take().and_then(|thread| thread.join().ok()).unwrap_or_default()
    }
}

/// The thread has its share of the sandbox, which would outlive an early return.
impl Drop for Watcher {
    fn drop(&mut self) {
        self.end();
    }
}

fn locked(reader: &Mutex<Reader>) -> MutexGuard<'_, Reader> {
    reader.lock().unwrap_or_else(PoisonError::into_inner)
}

fn watch(sandbox: &Sandbox, reader: &Mutex<Reader>, stop: &AtomicBool) -> Looks {
    let bucket = sandbox.bucket_dir();
    let mut looks = Looks::default();
    loop {
        let last = stop.load(Ordering::SeqCst);
        looks.look(&bucket);
        locked(reader).read(sandbox);
        if last {
            return looks;
        }
        std::thread::sleep(EVERY);
    }
}

/// `disabled.json` over time.
#[derive(Default)]
struct Looks {
    changes: Vec<Look>,
    unreadable: u32,
    /// The file's bytes at the last look; no file is no bytes.
    text: Option<Vec<u8>>,
}

impl Looks {
    fn look(&mut self, bucket: &Path) {
        let at = now();
        let text = match std::fs::read(bucket.join("workspace/disabled.json")) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(_) => return self.unreadable += 1,
        };
        if self.text.as_ref() == Some(&text) {
            return;
        }
        // The bucket's own reader says what it means; it may see a newer file than the bytes above, and
        // then the next look sees a change.
        match Bucket::open(bucket).and_then(|bucket| bucket.load()) {
            Ok((fleet, _)) => {
                self.text = Some(text);
                self.changes.push(Look { at, disabled: fleet.disabled });
            }
            Err(_) => self.unreadable += 1,
        }
    }
}

/// The journal, read on from where it was.
#[derive(Default)]
struct Reader {
    data: PathBuf,
    ids: Vec<String>,
    journal: Option<Journal>,
    run: Option<RunId>,
    header: Option<RunHeader>,
    facts: Vec<Stamped>,
}

impl Reader {
    fn read(&mut self, sandbox: &Sandbox) {
        if self.journal.is_none() {
            self.journal = Journal::open(&self.data, Mode::ReadOnly).ok();
        }
        let Some(journal) = &self.journal else { return };
        if self.run.is_none() {
            self.run = journal.find(None).ok();
            self.header = self.run.as_ref().and_then(|run| journal.run(run).ok()).map(|run| run.header);
        }
        let Some(run) = &self.run else { return };
        let after = self.facts.last().map_or(0, |fact| fact.seq);
        let Ok(facts) = journal.read_after(run, after) else { return };
        for stamped in facts.map_while(Result::ok) {
            self.begins(&stamped.fact, sandbox);
            self.facts.push(stamped);
        }
    }

    /// Wakes the faults that wait for a step, or for a worker's end.
    fn begins(&self, fact: &Fact, sandbox: &Sandbox) {
        let Some(header) = &self.header else { return };
        let host = |target: &TargetIx| header.hosts.get(target.0 as usize).and_then(|host| Host::parse(host));
        if let Fact::WorkerSucceeded { target } = fact
            && let Some(host) = host(target)
        {
            sandbox.worker_is_done(&host);
        }
        let Fact::Issued { lane: Lane::Worker(target), step, .. } = fact else { return };
        sandbox.run_begins();
        let Some(host) = host(target) else { return };
        let (kind, id) = (header.kinds.steps.get(step.index()), self.ids.get(step.index()));
        for name in kind.into_iter().chain(id.filter(|id| Some(*id) != kind)) {
            sandbox.step_begins(&host, name);
        }
    }
}

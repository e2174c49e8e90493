//! Output of steps: bounded at its source, and stored by a thread of its own.
//!
//! What a step prints goes into the step's own buffer, which keeps the beginning and the end, and nowhere else: it
//! never waits for the disk, and never stands before a signal. A writer stores what has changed a few times a
//! second; what is left when the step ends, the step's own thread stores before its outcome is told, so that
//! whoever reads an outcome finds its output.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::engine::AttemptId;
use crate::journal::{JournalError, Output, OutputWriter};

use super::executor::OutputSink;

/// Between two rounds of storing: `maand plan logs --follow` shows output that is no older than this.
const STORE_EVERY: Duration = Duration::from_millis(250);

/// Hosts whose output is stored in one transaction: some 4 MB, so that facts do not wait long for the file.
const AT_ONCE: usize = 64;

/// Ended attempts whose output could not be stored wait for another round, the last so many of them.
const UNSTORED: usize = 256;

/// What one attempt has printed.
#[derive(Debug)]
struct Buffer {
    attempt: AttemptId,
    hosts: Mutex<BTreeMap<String, Printed>>,
    ended: AtomicBool,
}

#[derive(Debug, Default)]
struct Printed {
    output: Output,
    /// Of so many bytes in total is stored what is kept of them.
    stored: u64,
}

impl Printed {
    fn is_stored(&self) -> bool {
        self.stored == self.output.total()
    }
}

#[derive(Debug)]
struct Shared {
    writer: Mutex<OutputWriter>,
    buffers: Mutex<Vec<Arc<Buffer>>>,
    ending: Mutex<bool>,
    wake: Condvar,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Whoever panicked while holding it has left bytes and counts, which are whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// Waits until the store ends, for at most `pause`; whether it ends.
    fn ends_within(&self, pause: Duration) -> bool {
        let ending = locked(&self.ending);
        let waited = self.wake.wait_timeout_while(ending, pause, |ending| !*ending);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Stores what of a buffer is not stored; `between` runs after each transaction, with the time it took.
    fn store(&self, buffer: &Buffer, between: &dyn Fn(Duration)) -> Result<(), JournalError> {
        // Asked once: who prints on meanwhile waits for the next round.
        let changed: Vec<String> = locked(&buffer.hosts)
            .iter()
            .filter(|(_, printed)| !printed.is_stored())
            .map(|(host, _)| host.clone())
            .collect();
        for hosts in changed.chunks(AT_ONCE) {
            let began = Instant::now();
            buffer.store(hosts, &mut locked(&self.writer))?;
            between(began.elapsed());
        }
        Ok(())
    }

    /// Stores what has changed, and forgets what has ended and is stored.
    fn round(&self) {
        let buffers: Vec<Arc<Buffer>> = locked(&self.buffers).clone();
        for buffer in buffers {
            // As long as a transaction takes the file is left to the facts. What fails is tried again.
            let _ = self.store(&buffer, &|took| {
                self.ends_within(took);
            });
        }
        let mut buffers = locked(&self.buffers);
        buffers.retain(|buffer| !buffer.ended.load(Ordering::Acquire) || !buffer.is_stored());
        let mut too_many = buffers.iter().filter(|buffer| buffer.ended.load(Ordering::Acquire)).count();
        too_many = too_many.saturating_sub(UNSTORED);
        buffers.retain(|buffer| {
            let goes = too_many > 0 && buffer.ended.load(Ordering::Acquire);
            too_many -= usize::from(goes);
            !goes
        });
    }
}

impl Buffer {
    fn push(&self, host: &str, bytes: &[u8]) {
        let mut hosts = locked(&self.hosts);
        if !hosts.contains_key(host) {
            hosts.insert(host.to_owned(), Printed::default());
        }
        if let Some(printed) = hosts.get_mut(host) {
            printed.output.push(bytes);
        }
    }

    fn is_stored(&self) -> bool {
        locked(&self.hosts).values().all(Printed::is_stored)
    }

    fn store(&self, hosts: &[String], writer: &mut OutputWriter) -> Result<(), JournalError> {
        // A copy of at most some 64 KB a host, so that the step does not wait for the disk.
        let outputs: Vec<(&str, Output)> = {
            let printed = locked(&self.hosts);
            let found =
                hosts.iter().filter_map(|host| Some((host.as_str(), printed.get(host)?.output.clone())));
            found.collect()
        };
        writer.write(self.attempt, &outputs)?;
        let mut printed = locked(&self.hosts);
        for (host, output) in outputs {
            if let Some(printed) = printed.get_mut(host) {
                printed.stored = output.total();
            }
        }
        Ok(())
    }
}

/// Stores the output of a run's steps while it lives.
#[derive(Debug)]
pub(super) struct OutputStore {
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
}

impl OutputStore {
    /// Begins to store. Without a thread of its own, output is stored when a step ends.
    pub(super) fn new(writer: OutputWriter) -> Self {
        let shared = Arc::new(Shared {
            writer: Mutex::new(writer),
            buffers: Mutex::default(),
            ending: Mutex::default(),
            wake: Condvar::new(),
        });
        let of_thread = Arc::clone(&shared);
        let writer = std::thread::Builder::new()
            .name("output".into())
            .spawn(move || {
                loop {
                    let ending = of_thread.ends_within(STORE_EVERY);
                    of_thread.round();
                    if ending {
                        return;
                    }
                }
            })
            .ok();
        Self { shared, writer }
    }

    /// Takes the output of an attempt.
    pub(super) fn begin(&self, attempt: AttemptId) -> AttemptOutput {
        let buffer = Arc::new(Buffer { attempt, hosts: Mutex::default(), ended: AtomicBool::new(false) });
        locked(&self.shared.buffers).push(Arc::clone(&buffer));
        AttemptOutput { shared: Arc::clone(&self.shared), buffer }
    }
}

impl Drop for OutputStore {
    /// Stores what is left.
    fn drop(&mut self) {
        *locked(&self.shared.ending) = true;
        self.shared.wake.notify_all();
        if let Some(writer) = self.writer.take() {
            // It panics for nothing that it could be asked about.
            let _ = writer.join();
        }
    }
}

/// The output of one attempt.
#[derive(Debug)]
pub(super) struct AttemptOutput {
    shared: Arc<Shared>,
    buffer: Arc<Buffer>,
}

impl AttemptOutput {
    /// Where the attempt prints to.
    pub(super) fn sink(&self) -> OutputSink {
        let buffer = Arc::clone(&self.buffer);
        Arc::new(move |host, bytes| {
            buffer.push(host.map_or("this machine", |host| host.as_str()), bytes);
        })
    }
}

impl Drop for AttemptOutput {
    /// The attempt has ended, or could not be begun: what is left is stored. Output that cannot be stored is no reason
    /// to stop a run.
    fn drop(&mut self) {
        let _ = self.shared.store(&self.buffer, &|_| {});
        self.buffer.ended.store(true, Ordering::Release);
        if self.buffer.is_stored() {
            locked(&self.shared.buffers).retain(|buffer| !Arc::ptr_eq(buffer, &self.buffer));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bucket::Host;
    use crate::engine::Fact;
    use crate::journal::{Journal, Mode, example_header};

    #[test]
    fn what_a_step_has_printed_is_stored_when_it_ends() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(dir.path(), Mode::ReadWrite).unwrap();
        let first = Fact::RunStarted { workers: 1, graph_hash: "11".into(), seed: 1 };
        let (run, _) = journal.create_run(&example_header(), &[first]).unwrap();
        let store = OutputStore::new(OutputWriter::open(&journal, &run).unwrap());
        for attempt in (1..=50).map(AttemptId) {
            let output = store.begin(attempt);
            let sink = output.sink();
            for host in 1..=3 {
                sink(Some(&Host::parse(&format!("w{host}")).unwrap()), b"hello\n");
            }
            sink(None, format!("attempt {}", attempt.0).as_bytes());
            drop(output);
            let stored = journal.read_output(&run, attempt).unwrap();
            assert_eq!(stored.len(), 4);
            assert_eq!(stored[0].1.text(), format!("attempt {}", attempt.0));
            assert_eq!(stored[3].1.text(), "hello\n");
        }
        assert!(locked(&store.shared.buffers).is_empty(), "nothing is kept of what is stored");
    }

    #[test]
    fn what_could_not_be_stored_is_tried_again_and_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(dir.path(), Mode::ReadWrite).unwrap();
        let first = Fact::RunStarted { workers: 1, graph_hash: "11".into(), seed: 1 };
        let (run, _) = journal.create_run(&example_header(), &[first]).unwrap();
        let store = OutputStore::new(OutputWriter::open(&journal, &run).unwrap());
        let file = rusqlite::Connection::open(dir.path().join("plan.db")).unwrap();
        file.execute_batch("ALTER TABLE output RENAME TO away").unwrap();
        for attempt in (1..=300).map(AttemptId) {
            let output = store.begin(attempt);
            output.sink()(None, b"hello\n");
            drop(output);
        }
        store.shared.round();
        assert_eq!(locked(&store.shared.buffers).len(), UNSTORED);
        file.execute_batch("ALTER TABLE away RENAME TO output").unwrap();
        store.shared.round();
        assert!(locked(&store.shared.buffers).is_empty());
        assert_eq!(journal.read_output(&run, AttemptId(300)).unwrap()[0].1.text(), "hello\n");
    }
}

//! Output of steps: bounded at its source, and stored by a thread of its own.
//!
//! What a step prints goes into the step's own buffer, which keeps the beginning and the end, and nowhere else: it
//! never waits for the disk, and never stands before an outcome or a signal. A writer stores the buffers that
//! have changed a few times a second.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::engine::AttemptId;
use crate::journal::{Output, OutputWriter};

use super::executor::OutputSink;

/// Between two rounds of storing: `maand plan logs --follow` shows output that is no older than this.
const STORE_EVERY: Duration = Duration::from_millis(250);

/// What one attempt has printed, by host.
#[derive(Debug)]
struct Buffer {
    attempt: AttemptId,
    hosts: Mutex<BTreeMap<String, Output>>,
    changed: AtomicBool,
}

#[derive(Debug, Default)]
struct Shared {
    buffers: Mutex<Vec<Arc<Buffer>>>,
    ending: Mutex<bool>,
    wake: Condvar,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Whoever panicked while holding it has left bytes and counts, which are whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Stores the output of a run's steps while it lives.
#[derive(Debug)]
pub(super) struct OutputStore {
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
}

impl OutputStore {
    /// Begins to store. Without a thread of its own nothing is stored: output that cannot be kept is no reason to
    /// stop a run.
    pub(super) fn new(mut writer: OutputWriter) -> Self {
        let shared = Arc::new(Shared::default());
        let of_thread = Arc::clone(&shared);
        let writer = std::thread::Builder::new()
            .name("output".into())
            .spawn(move || {
                loop {
                    let ending = *of_thread
                        .wake
                        .wait_timeout_while(locked(&of_thread.ending), STORE_EVERY, |ending| !*ending)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0;
                    store(&of_thread, &mut writer);
                    if ending {
                        return;
                    }
                }
            })
            .ok();
        Self { shared, writer }
    }

    /// Takes the output of an attempt.
    pub(super) fn sink(&self, attempt: AttemptId) -> OutputSink {
        let buffer = Arc::new(Buffer { attempt, hosts: Mutex::default(), changed: AtomicBool::new(false) });
        locked(&self.shared.buffers).push(Arc::clone(&buffer));
        Arc::new(move |host, bytes| {
            let host = host.map_or("this machine", |host| host.as_str());
            let mut hosts = locked(&buffer.hosts);
            match hosts.get_mut(host) {
                Some(output) => output.push(bytes),
                None => hosts.entry(host.to_owned()).or_default().push(bytes),
            }
            buffer.changed.store(true, Ordering::Release);
        })
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

/// Stores what has changed, and forgets what has ended.
fn store(shared: &Shared, writer: &mut OutputWriter) {
    let buffers: Vec<Arc<Buffer>> = locked(&shared.buffers).clone();
    for buffer in &buffers {
        if !buffer.changed.swap(false, Ordering::Acquire) {
            continue;
        }
        // A copy of at most some 100 KB, so that the step does not wait for the disk.
        let hosts: Vec<(String, Output)> =
            locked(&buffer.hosts).iter().map(|(host, output)| (host.clone(), output.clone())).collect();
        for (host, output) in hosts {
            let _ = writer.write(buffer.attempt, &host, &output);
        }
    }
    drop(buffers);
    // The sink of an attempt that has ended is gone.
    locked(&shared.buffers)
        .retain(|buffer| Arc::strong_count(buffer) > 1 || buffer.changed.load(Ordering::Acquire));
}

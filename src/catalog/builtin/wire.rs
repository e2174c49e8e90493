//! Talking to workers during one operation: one connection per worker, kept between scripts, and
//! completions turned into outcomes.
//!
//! A worker that could not be reached once is not tried again by the same operation, so that a dead one costs
//! one time-out and not one for each job.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::scripts::{self, Task, code};
use crate::bucket::Host;
use crate::catalog::{Call, WorkerOutcome};
use crate::ssh::{
    Captured, Completion, ConnectError, Connection, HostProfile, Remote, Script, Stream, UnknownWhy,
};

/// Workers that are talked to at the same time: each has a thread of its own meanwhile.
pub(crate) const PARALLEL: usize = 64;
/// Connections that are kept open between scripts; beyond it they are made again.
const KEPT_OPEN: usize = 256;
/// Bytes of output that go into a report, and lines.
const TAIL_BYTES: usize = 4096;
const TAIL_LINES: usize = 20;
/// A longer line is cut for live output: what a program prints without line ends is not kept.
const LINE_BYTES: usize = 4096;

/// What is said of a worker on which the operation was ended alone.
const CUT: &str = "it was ended there, as the worker has booted by itself meanwhile";

/// The workers, for one operation.
pub(crate) struct Wire<'a> {
    remote: &'a dyn Remote,
    pub(crate) call: &'a Call,
    open: Mutex<BTreeMap<Host, Box<dyn Connection>>>,
    unreachable: Mutex<BTreeMap<Host, String>>,
}

/// A script that ran to its end.
pub(crate) struct Ran {
    /// Its exit code.
    pub(crate) code: i32,
    stdout: Captured,
    stderr: Captured,
}

impl<'a> Wire<'a> {
    pub(crate) fn new(remote: &'a dyn Remote, call: &'a Call) -> Self {
        Self { remote, call, open: Mutex::default(), unreachable: Mutex::default() }
    }

    /// Where things are there.
    pub(crate) fn profile(&self, host: &Host) -> HostProfile {
        self.remote.profile(host)
    }

    /// A script of ours for this worker, ready but for its own variables.
    pub(crate) fn script(&self, task: Task, host: &Host) -> Script {
        scripts::script(task, host, &self.remote.profile(host), self.call.fence.as_ref())
    }

    /// Whether the operation should begin nothing more, and why.
    pub(crate) fn stopped(&self) -> Option<&'static str> {
        if self.call.stopping.is_cancelled() || self.call.cancel.is_cancelled() {
            Some("interrupted")
        } else if Instant::now() >= self.call.until {
            Some("out of time")
        } else {
            None
        }
    }

    /// Runs it; `live` hands its output on as it comes. `Err` when its end was not seen.
    pub(crate) fn run(&self, host: &Host, script: Script, live: bool) -> Result<Ran, WorkerOutcome> {
        self.with_connection(host, script, |connection, script| {
            if !live {
                return connection.run(script, None);
            }
            let mut lines = Lines { call: self.call, host, parts: Default::default() };
            let completion = connection.run(script, Some(&mut |stream, bytes| lines.take(stream, bytes)));
            lines.finish();
            completion
        })
    }

    /// Runs it with a payload on its standard input.
    pub(crate) fn send(
        &self,
        host: &Host,
        script: Script,
        payload: &mut dyn std::io::Read,
        length: u64,
    ) -> Result<Ran, WorkerOutcome> {
        self.with_connection(host, script, |connection, script| {
            connection.run_with_payload(script, payload, length)
        })
    }

    /// Forgets that a worker did not answer, for those who wait for it.
    pub(crate) fn forgive(&self, host: &Host) {
        lock(&self.unreachable).remove(host);
    }

    fn with_connection(
        &self,
        host: &Host,
        mut script: Script,
        run: impl FnOnce(&mut dyn Connection, &Script) -> Completion,
    ) -> Result<Ran, WorkerOutcome> {
        if let Some(error) = lock(&self.unreachable).get(host) {
            return Err(WorkerOutcome::Unreachable { error: error.clone() });
        }
        let kept = lock(&self.open).remove(host);
        let cancel = self.call.cuts.of(host, &self.call.cancel);
        if cancel.is_cancelled() && !self.call.cancel.is_cancelled() {
            return Err(WorkerOutcome::Unknown { why: CUT.to_owned() });
        }
        let mut connection = match kept {
            Some(connection) => connection,
            None => self.remote.connect(host, self.call.until, &cancel).map_err(|error| {
                if error == ConnectError::Cancelled && self.call.cancel.is_cancelled() {
                    return WorkerOutcome::not_begun("interrupted");
                }
                if error == ConnectError::Cancelled {
                    return WorkerOutcome::Unknown { why: CUT.to_owned() };
                }
                let error = error.told();
                lock(&self.unreachable).insert(host.clone(), error.clone());
                WorkerOutcome::Unreachable { error }
            })?,
        };
        let left = self.call.until.saturating_duration_since(Instant::now());
        script.deadline = script.deadline.min(left).max(Duration::from_millis(100));
        let completion = run(connection.as_mut(), &script);
        if connection.is_usable() {
            let mut open = lock(&self.open);
            if open.len() < KEPT_OPEN {
                open.insert(host.clone(), connection);
            }
        }
        match completion {
            Completion::NotRun { reason, stderr } => {
                Err(WorkerOutcome::Failed { error: reason.describe(host.as_str(), &stderr), output: None })
            }
            Completion::Exited { code, stdout, stderr } => Ok(Ran { code, stdout, stderr }),
            Completion::Unknown { why, stdout, stderr } => {
                let why = match why {
                    UnknownWhy::ConnectionLost(why) => format!("the connection was lost: {why}"),
                    UnknownWhy::Deadline(after) => {
                        format!(
                            "{} did not end within {:.0}s and was given up",
                            script.what,
                            after.as_secs_f64()
                        )
                    }
                    UnknownWhy::Silence(after) => {
                        format!("{} was silent for {:.0}s and was given up", script.what, after.as_secs_f64())
                    }
                    UnknownWhy::Cancelled => format!("{} was given up", script.what),
                };
                let tail = tail(&stdout, &stderr);
                let why = if tail.is_empty() {
                    why
                } else {
                    format!("{why}; its last output: {}", last_line(&tail))
                };
                Err(WorkerOutcome::Unknown { why })
            }
        }
    }
}

impl Ran {
    /// Standard output.
    pub(crate) fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// The last line that says something, for one line of evidence.
    pub(crate) fn last_line(&self) -> String {
        last_line(&self.stdout.text())
    }

    /// The last lines of output.
    pub(crate) fn tail(&self) -> Option<String> {
        let tail = tail(&self.stdout, &self.stderr);
        (!tail.is_empty()).then_some(tail)
    }

    /// The outcome for a code other than 0 of a command of the user's, which may be any.
    pub(crate) fn users_failure(&self, what: &str) -> WorkerOutcome {
        let stderr = self.stderr.text();
        let error = match stderr.trim() {
            "" => format!("{what} ended with {}", self.code),
            said => format!("{what} ended with {}: {}", self.code, last_line(said)),
        };
        WorkerOutcome::Failed { error, output: self.tail() }
    }

    /// The outcome for a code other than 0 of a script of ours.
    pub(crate) fn failure(&self, what: &str) -> WorkerOutcome {
        let stderr = self.stderr.text();
        let said = stderr.lines().rev().find_map(|line| line.strip_prefix("maand: ")).unwrap_or_default();
        let disk_full = stderr.contains("No space left on device");
        let error = match self.code {
            code::NO_FILES => "the job's files are not there: run `maand deploy` first".to_owned(),
            code::NO_TOOL => format!("{said}; install it on the worker and try again"),
            code::NOT_UNPACKED | code::FILES if disk_full => {
                format!("the disk of the worker is full: {said}; make room there and deploy again")
            }
            code::MAKE_FAILED | code::NOT_UNPACKED | code::FILES if !said.is_empty() => said.to_owned(),
            _ => return self.users_failure(what),
        };
        WorkerOutcome::Failed { error, output: self.tail() }
    }
}

fn last_line(text: &str) -> String {
    text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default().trim().to_owned()
}

/// The last lines of both streams: standard error last, as that is where the reason is.
fn tail(stdout: &Captured, stderr: &Captured) -> String {
    let mut lines: Vec<String> = Vec::new();
    for captured in [stdout, stderr] {
        let text = captured.text();
        let start = text.len().saturating_sub(TAIL_BYTES);
        let start = (start..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        let from = lines.len();
        lines.extend(text[start..].lines().rev().take(TAIL_LINES).map(str::to_owned));
        lines[from..].reverse();
        if captured.dropped > 0 {
            lines.push(format!("({} more bytes were not kept)", captured.dropped));
        }
    }
    lines.join("\n")
}

/// Cuts output into lines for [`Call::output`].
struct Lines<'a> {
    call: &'a Call,
    host: &'a Host,
    parts: [Vec<u8>; 2],
}

impl Lines<'_> {
    fn take(&mut self, stream: Stream, bytes: &[u8]) {
        let part = &mut self.parts[usize::from(stream == Stream::Stderr)];
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let room = LINE_BYTES.saturating_sub(part.len());
            part.extend_from_slice(&piece[..piece.len().min(room)]);
            if piece.ends_with(b"\n") {
                let line = String::from_utf8_lossy(part);
                (self.call.output)(Some(self.host), line.trim_end_matches(['\n', '\r']));
                part.clear();
            }
        }
    }

    fn finish(&mut self) {
        for part in &self.parts {
            if !part.is_empty() {
                (self.call.output)(Some(self.host), &String::from_utf8_lossy(part));
            }
        }
    }
}

/// A panic of another thread does not make the maps wrong: they are changed by single inserts.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

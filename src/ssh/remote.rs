//! The transport as the other rooms see it: [`Remote`] connects, a [`Connection`] runs scripts.
//!
//! All calls block, each on a thread of its caller; a [`Cancel`] ends them from elsewhere. Outcomes
//! are honest: a script whose trailer was not seen is [`Completion::Unknown`], whatever else was.

use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::{ConnectError, NotRun};
use crate::bucket::Host;
use crate::plan::duration;

/// Ends what is under way on a connection, from any thread; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Cancel {
    asked: Arc<AtomicBool>,
    /// Whatever ends these ends this one as well.
    above: Vec<Arc<AtomicBool>>,
}

impl Cancel {
    /// Not cancelled.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks for the end; each wait ends within 200 ms.
    pub fn cancel(&self) {
        self.asked.store(true, Ordering::SeqCst);
    }

    /// A part of this one: it ends with it, and can be ended alone.
    #[must_use]
    pub fn part(&self) -> Self {
        let above = self.above.iter().chain([&self.asked]).map(Arc::clone).collect();
        Self { asked: Arc::default(), above }
    }

    /// Whether the end was asked for.
    pub fn is_cancelled(&self) -> bool {
        std::iter::once(&self.asked).chain(&self.above).any(|asked| asked.load(Ordering::SeqCst))
    }
}

/// Where things are on a worker. A sandbox worker has another profile than a real one; nothing of it
/// is taken from the remote environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostProfile {
    /// `/opt/worker/<bucket_id>`.
    pub worker_dir: PathBuf,
    /// Where claims, receipts and locks are with sudo: `/var/lib/maand/<bucket_id>/<host>`.
    pub state_dir: PathBuf,
    /// Where they are without: relative to the home of the SSH user, `.maand/<bucket_id>/<host>`.
    pub state_dir_in_home: PathBuf,
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot_id: PathBuf,
    /// `/run/nologin`.
    pub nologin: PathBuf,
    /// Whether `sudo -n` is used where root is needed.
    pub use_sudo: bool,
    /// A throwaway worker: nothing on it is real.
    pub sandbox: bool,
}

/// Which shell reads a script from its standard input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shell {
    /// `sh -s`: our own scripts.
    Sh,
    /// `bash -s`: the user's commands.
    Bash,
}

/// A script for a worker.
#[derive(Clone, Debug)]
pub struct Script {
    /// For messages: what is being done, such as `deploy api`.
    pub what: String,
    /// Who reads it.
    pub shell: Shell,
    /// Under `sudo -n -E`.
    pub sudo: bool,
    /// Its text. Values never go in here; they go into `env`.
    pub text: String,
    /// Environment; names match `[A-Za-z_][A-Za-z0-9_]*`, values are any text without NUL.
    pub env: Vec<(String, String)>,
    /// The whole of it, from being sent to its trailer.
    pub deadline: Duration,
    /// The worker ends the script's process group at the deadline by itself, also when the connection is
    /// gone. Scripts with `lock` have one always; another without it ends like any command over SSH when
    /// its sender has gone.
    pub watchdog: bool,
    /// Ends without output for this long.
    pub silence: Option<Duration>,
    /// Text of the user's own (a plan's command, a Makefile, a probe), which a sandbox does not
    /// execute unless asked to.
    pub users_own: bool,
    /// Hold this lock file (below the state folder) while it runs: mutating scripts of one worker
    /// never overlap.
    pub lock: bool,
}

/// Output of one stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Captured {
    /// Of a script of ours the first bytes, at most [`OUTPUT_KEPT`]; of a command of the user's own the last ones,
    /// at least [`OUTPUT_TAIL`] where there were so many: errors come at the end.
    pub bytes: Vec<u8>,
    /// How many more there were.
    pub dropped: u64,
}

/// So much of each stream of a script of ours is kept; the rest is drained and counted.
pub const OUTPUT_KEPT: usize = 1024 * 1024;

/// So much of the end of each stream of a user's own command is kept: what an error shows is a part of it, and
/// hundreds of commands may print at once.
pub const OUTPUT_TAIL: usize = 8 * 1024;

impl Captured {
    /// Keeps the beginning.
    pub fn keep_first(&mut self, bytes: &[u8]) {
        let room = OUTPUT_KEPT.saturating_sub(self.bytes.len()).min(bytes.len());
        self.bytes.extend_from_slice(&bytes[..room]);
        self.dropped += (bytes.len() - room) as u64;
    }

    /// Keeps the end. It is cut when it has grown to twice what is kept, so that a byte is moved once at most.
    pub fn keep_last(&mut self, bytes: &[u8]) {
        let over = bytes.len().saturating_sub(OUTPUT_TAIL);
        let bytes = &bytes[over..];
        self.dropped += over as u64;
        if self.bytes.len() + bytes.len() > 2 * OUTPUT_TAIL {
            let over = self.bytes.len() + bytes.len() - OUTPUT_TAIL;
            self.bytes.drain(..over);
            self.dropped += over as u64;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// As text, invalid UTF-8 replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

/// How a script ended.
#[derive(Clone, Debug)]
#[must_use]
pub enum Completion {
    /// Its trailer was seen.
    Exited {
        /// The script's exit code.
        code: i32,
        /// Standard output, trailer removed.
        stdout: Captured,
        /// Standard error.
        stderr: Captured,
    },
    /// The worker said before the script began that it does not run it: nothing has happened.
    NotRun {
        /// Why it does not.
        reason: NotRun,
        /// What was printed about it on standard error.
        stderr: Captured,
    },
    /// It was sent and no trailer came back: it may have run, in part, wholly, or not at all, and it
    /// may still be running.
    Unknown {
        /// Why nothing more is known.
        why: UnknownWhy,
        /// Standard output so far.
        stdout: Captured,
        /// Standard error so far.
        stderr: Captured,
    },
}

/// A duration as one reads it: `0.3s`, `2.5s`, `48s`, `2m55s`.
pub(super) fn humane(time: Duration) -> String {
    // Rounded first: 9.96 s are 10 s.
    let tenths = (time.as_millis() + 50) / 100;
    if tenths < 100 && !tenths.is_multiple_of(10) {
        return format!("{}.{}s", tenths / 10, tenths % 10);
    }
    duration(Duration::from_secs(u64::try_from((time.as_millis() + 500) / 1000).unwrap_or(u64::MAX)))
}

/// Why nothing more is known of a script that was sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnknownWhy {
    /// The connection ended.
    #[error("the connection was lost ({0})")]
    ConnectionLost(String),
    /// The whole took longer than its deadline.
    #[error("no end within {}", humane(*.0))]
    Deadline(Duration),
    /// Nothing was heard for this long.
    #[error("nothing was heard for {}", humane(*.0))]
    Silence(Duration),
    /// We gave it up.
    #[error("it was given up")]
    Cancelled,
}

/// Which stream of a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Stream {
    Stdout,
    Stderr,
}

/// Takes output as it comes; called from the thread that runs the script.
pub type OutputSink<'a> = &'a mut (dyn FnMut(Stream, &[u8]) + Send);

/// The transport.
pub trait Remote: Send + Sync {
    /// A fresh, fully authenticated connection with a verified host key, before `until`.
    fn connect(
        &self,
        host: &Host,
        until: Instant,
        cancel: &Cancel,
    ) -> Result<Box<dyn Connection>, ConnectError>;

    /// Where things are on that worker.
    fn profile(&self, host: &Host) -> HostProfile;
}

/// One connection; it is used by one thread at a time, one script after the other.
pub trait Connection: Send {
    /// Runs a script to its trailer. `sink` sees output as it comes (trailer excluded).
    fn run(&mut self, script: &Script, sink: Option<OutputSink<'_>>) -> Completion;

    /// As [`Connection::run`] with bytes (a tar stream) that the script finds on its standard input.
    fn run_with_payload(&mut self, script: &Script, payload: &mut dyn Read, length: u64) -> Completion;

    /// `false` after an [`Completion::Unknown`]: nothing more can be run on it.
    fn is_usable(&self) -> bool;

    /// What the worker's startup files have printed at the login, before anything of ours; bounded.
    fn greeting(&self) -> &[u8] {
        &[]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_for_people() {
        let of = |seconds| humane(Duration::from_secs_f64(seconds));
        assert_eq!([of(0.3), of(1.0), of(2.49), of(9.96)], ["0.3s", "1s", "2.5s", "10s"]);
        assert_eq!([of(59.97), of(119.4), of(120.0), of(175.481_667_53)], ["1m", "1m59s", "2m", "2m55s"]);
        let why = UnknownWhy::Deadline(Duration::from_secs_f64(175.481_667_53));
        assert_eq!(why.to_string(), "no end within 2m55s");
    }

    #[test]
    fn a_part_ends_with_the_whole_and_alone() {
        let whole = Cancel::new();
        let (one, other) = (whole.part(), whole.part());
        let inner = one.part();
        one.cancel();
        assert!(one.is_cancelled() && inner.is_cancelled());
        assert!(!other.is_cancelled() && !whole.is_cancelled());
        whole.cancel();
        assert!(other.is_cancelled() && other.clone().part().is_cancelled());
    }
}

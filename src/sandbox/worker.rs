//! One sandbox worker as all its parts see it: address, keys, faults, connections, log.
//!
//! What is shared between the machine's loop, its connections and the sandbox's owner is here, behind
//! one short lock.

use std::collections::{HashMap, VecDeque};
use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use russh::keys::{PrivateKey, PublicKey};
use serde::Serialize;
use tokio::sync::{mpsc, oneshot, watch};

use super::files::Root;
use super::spawner::Guard;
use super::{Fault, FaultKind};
use crate::bucket::Host;

/// Maximum number of entries of a worker's log that are kept in memory; its file has all.
const LOG_KEPT: usize = 10_000;

/// Looks which steps of a plan have begun, and says so with
/// [`Sandbox::step_begins`](super::Sandbox::step_begins).
pub type Scout = Box<dyn Fn() + Send + Sync>;

/// What is the same for all workers of a sandbox.
pub(super) struct Common {
    /// Also the user's own text is executed.
    pub(super) execute: bool,
    /// From the port's closing to its opening again.
    pub(super) boot_time: Duration,
    /// How long a reboot command is at work that is to be late.
    pub(super) late: Duration,
    /// Our own binary.
    pub(super) program: PathBuf,
    /// Who may log in.
    pub(super) client_key: PublicKey,
    /// Text of the user's own kind that is ours all the same: the probes of the demo jobs.
    pub(super) demo_texts: Vec<String>,
    /// Tells which steps have begun, before a worker with a fault that waits for one does anything.
    pub(super) scout: OnceLock<Scout>,
    /// Says `true` once everything is to end.
    pub(super) stop: watch::Receiver<bool>,
}

/// One boot of a worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Boot {
    /// When it was up.
    pub at: Timestamp,
    /// Its boot id.
    pub boot_id: String,
}

/// One line of a worker's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LogEntry {
    /// The time of the event.
    pub at: Timestamp,
    /// The event.
    #[serde(flatten)]
    pub event: Event,
}

/// What [`Event::RebootAsked`] says of a worker that reboots by itself.
pub const ITSELF: &str = "the worker itself";

/// What happened on a worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// It is up.
    Booted {
        /// With this boot id.
        boot_id: String,
    },
    /// Its port is closed and its processes have ended.
    WentDown,
    /// A reboot was asked for.
    RebootAsked {
        /// The command that asked.
        by: String,
        /// Whether it reboots.
        obeyed: bool,
    },
    /// A reboot command has begun; what came of it is told by what follows.
    CommandBegun {
        /// The command.
        by: String,
    },
    /// A reboot command has ended, and takes nothing down any more.
    CommandEnded,
    /// A job was started, by a deploy or by a boot.
    JobStarted {
        /// Its name.
        job: String,
    },
    /// A job is being stopped. One that goes down with its worker is not.
    JobStopped {
        /// Its name.
        job: String,
    },
    /// Text was executed.
    Executed {
        /// It was of the user's own kind, and no demo job's probe: only where that was asked for.
        users_own: bool,
        /// Whether it asked for the worker's lock.
        lock: bool,
        /// How long it was.
        bytes: usize,
    },
    /// Text of the user's own was recorded and not executed.
    NotExecuted {
        /// The command or script that was recorded.
        text: String,
        /// What was answered.
        code: i32,
    },
    /// A fault happened.
    FaultHappened {
        /// The fault as it is written on the command line.
        fault: String,
    },
    /// What a stand-in has to say.
    Note {
        /// What it says.
        text: String,
    },
}

/// What the owner asks of a machine.
#[derive(Debug)]
pub(super) enum Control {
    Reboot(String),
    /// Closes the port, or opens it again.
    Refuse(bool),
    /// Logins are refused for a while.
    Nologin,
    /// It goes down by itself, at once.
    Reset,
}

/// An open connection.
struct Link {
    /// The socket's twin.
    stream: TcpStream,
    /// Of one behind a path that keeps it up: dropping this stops what goes over it.
    flow: Option<oneshot::Sender<()>>,
}

/// What changes.
struct Live {
    key: PrivateKey,
    guard: Option<Arc<Guard>>,
    connections: HashMap<u64, Link>,
    /// Those that stay up although nobody is behind them any more.
    kept: Vec<TcpStream>,
    next_connection: u64,
    boots: Vec<Boot>,
    log: VecDeque<LogEntry>,
    log_file: Option<std::fs::File>,
    /// Asked for and not yet spent; a fault with a step sleeps until the step begins.
    faults: Vec<(Fault, bool)>,
}

/// One sandbox worker.
pub(super) struct Worker {
    pub(super) host: Host,
    pub(super) address: SocketAddr,
    pub(super) root: Root,
    pub(super) common: Arc<Common>,
    pub(super) control: mpsc::UnboundedSender<Control>,
    live: Mutex<Live>,
}

impl Worker {
    pub(super) fn new(
        host: Host,
        address: SocketAddr,
        root: Root,
        key: PrivateKey,
        common: Arc<Common>,
        control: mpsc::UnboundedSender<Control>,
    ) -> Self {
        let log_file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(root.path().join("var/log/sandbox.jsonl"))
            .ok();
        let live = Live {
            key,
            guard: None,
            connections: HashMap::new(),
            kept: Vec::new(),
            next_connection: 0,
            boots: Vec::new(),
            log: VecDeque::new(),
            log_file,
            faults: Vec::new(),
        };
        Self { host, address, root, common, control, live: Mutex::new(live) }
    }

    fn live(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn key(&self) -> PrivateKey {
        self.live().key.clone()
    }

    pub(super) fn set_key(&self, key: PrivateKey) {
        self.live().key = key;
    }

    pub(super) fn guard(&self) -> Option<Arc<Guard>> {
        self.live().guard.clone()
    }

    pub(super) fn set_guard(&self, guard: Option<Guard>) -> Option<Arc<Guard>> {
        std::mem::replace(&mut self.live().guard, guard.map(Arc::new))
    }

    pub(super) fn boots(&self) -> Vec<Boot> {
        self.live().boots.clone()
    }

    pub(super) fn note_boot(&self, boot_id: String) {
        let boot = Boot { at: Timestamp::now(), boot_id: boot_id.clone() };
        self.live().boots.push(boot);
        self.note(Event::Booted { boot_id });
    }

    pub(super) fn log(&self) -> Vec<LogEntry> {
        self.live().log.iter().cloned().collect()
    }

    /// Adds to the log; a disk that is full costs the file its line, not the worker its life.
    pub(super) fn note(&self, event: Event) {
        self.note_at(Timestamp::now(), event);
    }

    /// Adds what happened a moment ago.
    pub(super) fn note_at(&self, at: Timestamp, event: Event) {
        let entry = LogEntry { at, event };
        let mut live = self.live();
        if let (Some(file), Ok(mut line)) = (live.log_file.as_mut(), serde_json::to_string(&entry)) {
            line.push('\n');
            let _ = file.write_all(line.as_bytes());
        }
        if live.log.len() == LOG_KEPT {
            live.log.pop_front();
        }
        live.log.push_back(entry);
    }

    /// Remembers a connection, so that it can be cut.
    pub(super) fn connected(&self, stream: TcpStream, flow: Option<oneshot::Sender<()>>) -> u64 {
        let mut live = self.live();
        live.next_connection += 1;
        let id = live.next_connection;
        live.connections.insert(id, Link { stream, flow });
        id
    }

    pub(super) fn disconnected(&self, id: u64) {
        self.live().connections.remove(&id);
    }

    /// Cuts one connection.
    pub(super) fn cut(&self, id: u64) {
        if let Some(link) = self.live().connections.remove(&id) {
            let _ = link.stream.shutdown(Shutdown::Both);
        }
    }

    /// A connection that nobody answers.
    pub(super) fn keep(&self, stream: TcpStream) {
        self.live().kept.push(stream);
    }

    /// Cuts all, but for those that the path keeps up.
    pub(super) fn cut_all(&self) {
        let mut live = self.live();
        let links: Vec<Link> = live.connections.drain().map(|(_, link)| link).collect();
        for link in links {
            if link.flow.is_some() {
                live.kept.push(link.stream);
                continue;
            }
            let _ = link.stream.shutdown(Shutdown::Both);
        }
    }

    /// Asks for a fault; without a step it is awake at once, unless the run has to say when.
    pub(super) fn inject(&self, fault: Fault) {
        let awake = fault.at_step.is_none() && !fault.kind.waits_for_run();
        self.live().faults.push((fault.clone(), awake));
        if awake {
            self.wakes(&fault);
        }
    }

    /// A step of the plan begins here: its faults wake up.
    pub(super) fn step_begins(&self, step: &str) {
        let mut woken = Vec::new();
        for (fault, awake) in &mut self.live().faults {
            if !*awake && fault.at_step.as_deref() == Some(step) {
                *awake = true;
                woken.push(fault.clone());
            }
        }
        for fault in &woken {
            self.wakes(fault);
        }
    }

    /// The moment has come for faults of this kind that wait for no step: the worker boots by itself.
    pub(super) fn boots_by_itself(&self, kind: FaultKind) {
        let waits = |(fault, awake): &mut (Fault, bool)| {
            let is_due = !*awake && fault.kind == kind && fault.at_step.is_none();
            *awake |= is_due;
            is_due
        };
        let is_due = self.live().faults.iter_mut().any(waits);
        if is_due && self.take(&[kind]).is_some() {
            let _ = self.control.send(Control::Reset);
        }
    }

    /// Where a fault waits for its step: asks first whether that has begun. A probe that only looks at
    /// the journal now and then would be too late for what the step does at once.
    pub(super) async fn ask_scout(self: &Arc<Self>) {
        let waits = self.live().faults.iter().any(|(_, awake)| !awake);
        if waits && self.common.scout.get().is_some() {
            let common = Arc::clone(&self.common);
            let ask = move || common.scout.get().map(|scout| scout());
            let _ = tokio::task::spawn_blocking(ask).await;
        }
    }

    /// Takes all faults away.
    pub(super) fn heal(&self) {
        let faults = std::mem::take(&mut self.live().faults);
        for (fault, _) in faults {
            if fault.kind.is_flag() {
                let _ = self.root.set_flag(fault.kind, None);
            }
            if fault.kind == FaultKind::Refuses {
                let _ = self.control.send(Control::Refuse(false));
            }
        }
    }

    /// What a fault does by itself when it wakes up; the others wait for a reboot or a command.
    fn wakes(&self, fault: &Fault) {
        let (kind, at_step) = (fault.kind, fault.at_step.is_some());
        let lasts = || self.note(Event::FaultHappened { fault: fault.to_string() });
        match kind {
            _ if kind.is_flag() => {
                let _ = self.root.set_flag(kind, Some(self.common.late.as_secs().max(1)));
                lasts();
            }
            FaultKind::Refuses => {
                let _ = self.control.send(Control::Refuse(true));
                lasts();
            }
            FaultKind::SlowLogins => lasts(),
            FaultKind::Nologin if at_step => {
                let _ = self.control.send(Control::Nologin);
                self.take(&[kind]);
            }
            FaultKind::ChangesHostKey if at_step => {
                if let Ok(key) = super::keys::generate() {
                    self.set_key(key);
                    self.take(&[kind]);
                }
            }
            _ => {}
        }
    }

    /// The first awake fault of these kinds, without spending it.
    pub(super) fn pending(&self, kinds: &[FaultKind]) -> Option<Fault> {
        let live = self.live();
        live.faults
            .iter()
            .find(|(fault, awake)| *awake && kinds.contains(&fault.kind))
            .map(|(f, _)| f.clone())
    }

    /// The first awake fault of these kinds happens now; it is spent when it happens once.
    pub(super) fn take(&self, kinds: &[FaultKind]) -> Option<Fault> {
        let fault = {
            let mut live = self.live();
            let at = live.faults.iter().position(|(fault, awake)| *awake && kinds.contains(&fault.kind))?;
            if live.faults[at].0.kind.happens_once() {
                live.faults.remove(at).0
            } else {
                live.faults[at].0.clone()
            }
        };
        self.note(Event::FaultHappened { fault: fault.to_string() });
        Some(fault)
    }
}

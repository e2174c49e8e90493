//! Looks at a rehearsal from outside, all the time: which workers are up, what `disabled.json` says,
//! and what the journal has learnt. It shares nothing with the engine.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::bucket::{Bucket, Disabled, Host};
use crate::engine::{Fact, Stamped};
use crate::graph::Lane;
use crate::journal::{Journal, Mode, RunId};
use crate::plan::Problem;
use crate::sandbox::{Event, Fault, Sandbox};

/// Between two looks.
const EVERY: Duration = Duration::from_millis(50);

/// One look.
pub(super) struct Look {
    pub(super) at: Duration,
    /// Workers whose port is closed, or that are drained.
    pub(super) down: BTreeSet<Host>,
}

/// What was seen.
#[derive(Default)]
pub(super) struct Seen {
    /// Looks at which something had changed.
    pub(super) looks: Vec<Look>,
    /// `disabled.json` at the start.
    pub(super) disabled_before: Option<Disabled>,
    /// At the end.
    pub(super) disabled_after: Option<Disabled>,
    /// How often `disabled.json` could not be read.
    pub(super) unreadable: u32,
    pub(super) facts: Vec<Stamped>,
    pub(super) run: Option<RunId>,
}

/// A watcher at work.
pub(super) struct Watcher {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Seen>,
}

impl Watcher {
    /// Begins. `faults` that name a step wake up when the journal says that the step has begun.
    pub(super) fn start(sandbox: Arc<Sandbox>, faults: Vec<Fault>) -> Result<Self, Problem> {
        for fault in faults {
            sandbox.inject(fault);
        }
        let stop = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("watcher".into())
            .spawn(move || watch(&sandbox, &asked))
            .map_err(|error| Problem::error("maand::rehearse::thread", error.to_string()))?;
        Ok(Self { stop, thread })
    }

    /// Ends, after one last look.
    pub(super) fn stop(self) -> Seen {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().unwrap_or_default()
    }
}

fn watch(sandbox: &Sandbox, stop: &AtomicBool) -> Seen {
    let started = Instant::now();
    let mut seen = Seen::default();
    let mut last: Option<BTreeSet<Host>> = None;
    let bucket_dir = sandbox.bucket_dir();
    loop {
        let last_look = stop.load(Ordering::SeqCst);
        let disabled = read_disabled(&bucket_dir, &mut seen);
        let down: BTreeSet<Host> = sandbox
            .hosts()
            .iter()
            .filter(|host| {
                is_away(sandbox, host)
                    || disabled.as_ref().is_some_and(|disabled| disabled.workers.contains(host.as_str()))
            })
            .cloned()
            .collect();
        if last.as_ref() != Some(&down) {
            seen.looks.push(Look { at: started.elapsed(), down: down.clone() });
            last = Some(down);
        }
        read_facts(sandbox, &bucket_dir, &mut seen);
        if last_look {
            seen.disabled_after = disabled;
            return seen;
        }
        std::thread::sleep(EVERY);
    }
}

fn is_away(sandbox: &Sandbox, host: &Host) -> bool {
    let log = sandbox.log(host);
    let last = log.iter().rev().find_map(|entry| match &entry.event {
        Event::Booted { .. } => Some(false),
        Event::WentDown => Some(true),
        _ => None,
    });
    last.unwrap_or(false)
}

fn read_disabled(bucket: &std::path::Path, seen: &mut Seen) -> Option<Disabled> {
    let loaded = Bucket::open(bucket).and_then(|bucket| bucket.load());
    match loaded {
        Ok((fleet, _)) => {
            seen.disabled_before.get_or_insert_with(|| fleet.disabled.clone());
            Some(fleet.disabled)
        }
        Err(_) => {
            seen.unreadable += 1;
            None
        }
    }
}

fn read_facts(sandbox: &Sandbox, bucket: &std::path::Path, seen: &mut Seen) {
    let data: PathBuf = bucket.join("data");
    let Ok(journal) = Journal::open(&data, Mode::ReadOnly) else { return };
    if seen.run.is_none() {
        seen.run = journal.find(None).ok();
    }
    let Some(run) = &seen.run else { return };
    let after = seen.facts.last().map_or(0, |fact| fact.seq);
    let Ok(facts) = journal.read_after(run, after) else { return };
    let new: Vec<Stamped> = facts.map_while(Result::ok).collect();
    let steps = journal.run(run).ok().map(|run| run.header);
    for stamped in new {
        if let (Fact::Issued { lane: Lane::Worker(target), step, .. }, Some(header)) = (&stamped.fact, &steps)
            && let Some(host) = header.hosts.get(target.0 as usize).and_then(|host| Host::parse(host))
            && let Some(kind) = header.kinds.steps.get(*step as usize)
        {
            sandbox.step_begins(&host, kind);
        }
        seen.facts.push(stamped);
    }
}

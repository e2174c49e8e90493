//! Whole runs without workers, and a terminal in memory, for the tests of this room.

use std::collections::VecDeque;
use std::io::Write;
use std::num::NonZeroU16;
use std::sync::{Arc, Mutex};

use super::{RunInfo, RunView};
use crate::engine::{
    AttemptId, AttemptSpec, Check, Effect, ErrorKind, Evidence, Fact, Intent, Millis, Options, Outcome,
    RunState, RunStatus, Stamped, StepError,
};
use crate::graph::testing::{compiled, fleet, located, plan, worker};
use crate::graph::{Lane, RolloutGraph};
use crate::plan::{Amount, Concurrency};

pub(crate) const START: Millis = 1_795_392_900_000;

pub(crate) fn boot_id(worker: u32, boot: u32) -> String {
    format!("{worker:08x}-0000-4000-8000-{boot:012x}")
}

/// `w2` never comes back.
pub(crate) fn some_fail(spec: &AttemptSpec) -> Option<Outcome> {
    let error = StepError {
        kind: ErrorKind::TimedOut,
        message: "it has not come back within 5m".into(),
        output: Some("ssh: connect to host w2 port 22: Connection timed out\n".into()),
    };
    let second = matches!(spec.lane, Lane::Worker(target) if target.0 == 1);
    let waits = matches!(spec.intent, Intent::AwaitBoot { .. });
    (second && waits).then_some(Outcome::Failed { error })
}

/// All facts of a run, one worker at a time, and an empty view of it.
pub(crate) fn rolled(
    workers: usize,
    fails: impl Fn(&AttemptSpec) -> Option<Outcome>,
) -> (Vec<Stamped>, RunView) {
    rolled_with(workers, 1, fails)
}

/// As [`rolled`], `k` at a time.
pub(super) fn rolled_with(
    workers: usize,
    k: u64,
    fails: impl Fn(&AttemptSpec) -> Option<Outcome>,
) -> (Vec<Stamped>, RunView) {
    let mut plan = plan();
    plan.rollout.concurrency = located(Concurrency::AtMost(Amount::Count(k)));
    let hosts = (1..=workers).map(|n| worker(&format!("w{n}"), &[], &[])).collect();
    let graph = Arc::new(compiled(&plan, &fleet(hosts, &[])));
    let facts = play(graph.clone(), fails);
    let info = RunInfo { run: "20261122-2315-ab3f".into(), started_at: START };
    (facts, RunView::new(info, graph))
}

/// All facts of a run of this graph in which every effect goes well, but those that `fails` says.
pub(crate) fn play(
    graph: Arc<RolloutGraph>,
    fails: impl Fn(&AttemptSpec) -> Option<Outcome>,
) -> Vec<Stamped> {
    let workers = graph.targets.len() as u32;
    let checks = (0..workers)
        .map(|n| Check::Ready { boot_id: boot_id(n, 0), state_dir: "/var/lib/maand".into() })
        .collect();
    let mut run = RunState::new(graph, Options::default());
    let started = Fact::RunStarted { workers, graph_hash: String::new(), seed: 1 };
    let mut todo = VecDeque::from([(START, started), (START, Fact::Preflight { checks })]);
    let mut stamped: Vec<Stamped> = Vec::new();
    // No timer comes before it is due.
    let mut at = START;
    while let Some((due, fact)) = todo.pop_front() {
        at = due.max(at + 1500);
        let decision = run.apply(at, fact).unwrap();
        for fact in decision.facts {
            stamped.push(Stamped { seq: stamped.len() as u64 + 1, at, epoch: 1, fact });
        }
        for effect in decision.effects {
            match effect {
                Effect::Execute(spec) => {
                    let outcome = fails(&spec).unwrap_or_else(|| well(&spec));
                    todo.push_back((at, Fact::Finished { attempt: spec.attempt, outcome }));
                }
                Effect::Wake { at: due, timer } => todo.push_back((due, Fact::Due { timer })),
                Effect::Observe { jobs } => {
                    todo.push_back((at, Fact::Observed { jobs, unavailable: Vec::new(), took: 0 }))
                }
            }
        }
    }
    assert_ne!(run.status(), RunStatus::Busy);
    stamped
}

fn well(spec: &AttemptSpec) -> Outcome {
    let AttemptSpec { attempt: AttemptId(_), lane: Lane::Worker(target), .. } = spec else {
        return Outcome::Ok { evidence: Evidence::note("done") };
    };
    let evidence = match &spec.intent {
        Intent::ReadBootId => Evidence::BootId { boot_id: boot_id(target.0, 0), kernel: None },
        Intent::Reboot { .. } => Evidence::Departed,
        Intent::AwaitBoot { .. } => Evidence::Back { boot_id: boot_id(target.0, 1), kernel: None },
        _ => Evidence::note("done"),
    };
    Outcome::Ok { evidence }
}

/// A terminal in memory, which keeps what scrolls out of it.
#[derive(Clone)]
pub(super) struct VirtualTerminal {
    parser: Arc<Mutex<vt100::Parser>>,
    /// Everything that was written to it.
    raw: Arc<Mutex<Vec<u8>>>,
}

impl VirtualTerminal {
    pub(super) fn new(columns: usize, lines: usize) -> Self {
        let size = |n: usize| NonZeroU16::new(n as u16).unwrap();
        let parser = vt100::Parser::new(size(lines), size(columns), 10_000);
        Self { parser: Arc::new(Mutex::new(parser)), raw: Arc::default() }
    }

    pub(super) fn feed(&mut self, text: &str) {
        self.write_all(text.as_bytes()).unwrap();
    }

    pub(super) fn size(&self) -> (usize, usize) {
        let (lines, columns) = self.parser.lock().unwrap().screen().size();
        (columns.get().into(), lines.get().into())
    }

    /// What is on the screen now, without empty lines below.
    pub(super) fn screen(&self) -> String {
        let parser = self.parser.lock().unwrap();
        let text = parser.screen().contents();
        text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n").trim_end().to_owned()
    }

    /// That, and what has scrolled out of it before.
    pub(super) fn text(&self) -> String {
        let mut parser = self.parser.lock().unwrap();
        let (lines, columns) = parser.screen().size();
        parser.screen_mut().set_scrollback(usize::MAX);
        let mut scrolled = parser.screen().scrollback();
        let mut all = Vec::new();
        while scrolled > 0 {
            parser.screen_mut().set_scrollback(scrolled);
            let rows: Vec<String> = parser.screen().rows(0, columns.get()).collect();
            let take = scrolled.min(lines.get().into());
            all.extend(rows[..take].iter().map(|row| row.trim_end().to_owned()));
            scrolled -= take;
        }
        parser.screen_mut().set_scrollback(0);
        all.extend(parser.screen().rows(0, columns.get()).map(|row| row.trim_end().to_owned()));
        all.join("\n").trim_end().to_owned()
    }

    /// All that was written, control sequences included.
    pub(super) fn raw(&self) -> String {
        String::from_utf8_lossy(&self.raw.lock().unwrap()).into_owned()
    }

    /// The same with another width, every line broken anew, as terminals do it; the cursor is below the last line.
    pub(super) fn resized(&self, columns: usize) -> Self {
        let (_, lines) = self.size();
        let mut resized = Self::new(columns, lines);
        for line in self.text().lines() {
            resized.feed(line);
            resized.feed("\r\n");
        }
        resized
    }
}

impl Write for VirtualTerminal {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.parser.lock().unwrap().process(bytes);
        self.raw.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

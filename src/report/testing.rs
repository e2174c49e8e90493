//! Whole runs without workers, and a terminal in memory, for the tests of this room.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex};

use indicatif::TermLike;

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
pub(super) fn rolled(
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
        Intent::ReadBootId => Evidence::BootId { boot_id: boot_id(target.0, 0) },
        Intent::Reboot { .. } => Evidence::Departed,
        Intent::AwaitBoot { .. } => Evidence::Back { boot_id: boot_id(target.0, 1) },
        _ => Evidence::note("done"),
    };
    Outcome::Ok { evidence }
}

/// A terminal with endless paper: lines that scroll out of the window are kept.
#[derive(Clone)]
pub(super) struct FakeTerminal {
    width: u16,
    height: u16,
    paper: Arc<Mutex<Paper>>,
}

#[derive(Default)]
struct Paper {
    lines: Vec<Vec<char>>,
    row: usize,
    column: usize,
}

impl FakeTerminal {
    pub(super) fn new(width: u16, height: u16) -> Self {
        Self { width, height, paper: Arc::default() }
    }

    pub(super) fn text(&self) -> String {
        let paper = self.paper.lock().unwrap();
        let lines = paper.lines.iter().map(|line| line.iter().collect::<String>().trim_end().to_owned());
        lines.collect::<Vec<_>>().join("\n")
    }

    /// Text with the control sequences that a screen uses.
    pub(super) fn interpret(&self, text: &str) {
        let mut rest = text;
        while let Some((plain, sequence)) = rest.split_once("\x1b[") {
            self.put(plain).unwrap();
            let end = sequence.find(|c: char| c.is_ascii_alphabetic()).unwrap();
            let n = sequence[..end].parse().unwrap_or(1);
            match sequence.as_bytes()[end] {
                b'A' => self.move_cursor_up(n).unwrap(),
                b'B' => self.move_cursor_down(n).unwrap(),
                b'C' => self.move_cursor_right(n).unwrap(),
                b'D' => self.move_cursor_left(n).unwrap(),
                b'K' => self.clear_line().unwrap(),
                other => panic!("unknown sequence {}", char::from(other)),
            }
            rest = &sequence[end + 1..];
        }
        self.put(rest).unwrap();
    }

    fn with(&self, act: impl FnOnce(&mut Paper)) -> std::io::Result<()> {
        act(&mut self.paper.lock().unwrap());
        Ok(())
    }

    fn put(&self, text: &str) -> std::io::Result<()> {
        let width = usize::from(self.width);
        self.with(|paper| {
            for c in text.chars() {
                match c {
                    '\r' => paper.column = 0,
                    '\n' => (paper.row, paper.column) = (paper.row + 1, 0),
                    c => {
                        if paper.column == width {
                            (paper.row, paper.column) = (paper.row + 1, 0);
                        }
                        let rows = paper.lines.len().max(paper.row + 1);
                        paper.lines.resize(rows, Vec::new());
                        let line = &mut paper.lines[paper.row];
                        let columns = line.len().max(paper.column + 1);
                        line.resize(columns, ' ');
                        line[paper.column] = c;
                        paper.column += 1;
                    }
                }
            }
        })
    }
}

impl fmt::Debug for FakeTerminal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FakeTerminal {}x{}", self.width, self.height)
    }
}

impl TermLike for FakeTerminal {
    fn width(&self) -> u16 {
        self.width
    }
    fn height(&self) -> u16 {
        self.height
    }
    fn move_cursor_up(&self, n: usize) -> std::io::Result<()> {
        self.with(|paper| {
            assert!(n < usize::from(self.height), "rows that have scrolled away cannot be reached");
            paper.row = paper.row.saturating_sub(n);
        })
    }
    fn move_cursor_down(&self, n: usize) -> std::io::Result<()> {
        self.with(|paper| paper.row += n)
    }
    fn move_cursor_right(&self, n: usize) -> std::io::Result<()> {
        self.with(|paper| paper.column += n)
    }
    fn move_cursor_left(&self, n: usize) -> std::io::Result<()> {
        self.with(|paper| paper.column = paper.column.saturating_sub(n))
    }
    fn write_line(&self, text: &str) -> std::io::Result<()> {
        self.put(text)?;
        self.put("\n")
    }
    fn write_str(&self, text: &str) -> std::io::Result<()> {
        self.put(text)
    }
    fn clear_line(&self) -> std::io::Result<()> {
        self.with(|paper| {
            let row = paper.row;
            if let Some(line) = paper.lines.get_mut(row) {
                line.clear();
            }
            paper.column = 0;
        })
    }
    fn flush(&self) -> std::io::Result<()> {
        Ok(())
    }
}

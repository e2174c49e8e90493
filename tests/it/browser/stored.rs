//! Runs in the journal of a bucket, as the engine leaves them, without workers: each step takes its usual time.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use maand::bucket::{Bucket, Fleet, init};
use maand::engine::{
    AttemptId, AttemptSpec, Check, Effect, ErrorKind, Evidence, Fact, Intent, Millis, Options, Outcome,
    RunState, RunStatus, StepError,
};
use maand::graph::{CompileOptions, Lane, RolloutGraph, compile, synthetic_fleet};
use maand::journal::{Journal, Mode, Output, OutputWriter, RunWriter};
use maand::plan::{Source, StepKind, parse};

use crate::support::run_header::run_header;

/// Seven steps, as in the usual rolling reboot, over two zones.
pub(crate) const PLAN: &str = "\
version: 1
name: rolling-reboot
rollout: {concurrency: 10%, max_failures: 0, waves: [1, rest], spread: {tag: zone, at_most: 1}}
targets: {tags: {zone: [a, b]}}
steps: [disable, deploy, reboot, wait_for_ssh, enable, deploy, health]
";

const START: Millis = 1_795_392_900_000;

/// A bucket with a journal.
pub(crate) struct Stored {
    folder: tempfile::TempDir,
}

/// What is not well in a run.
#[derive(Default)]
pub(crate) struct Wrong {
    /// This worker's wait for SSH fails, with what the step has written.
    pub(crate) worker: Option<(usize, String)>,
    /// Who started the run, if not the usual operator.
    pub(crate) who: Option<String>,
    /// Approves what waits for an approval, if not the usual operator.
    pub(crate) approver: Option<String>,
    /// Changed in the fleet before anything else.
    pub(crate) fleet: Option<fn(&mut Fleet)>,
}

impl Stored {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        init(folder.path()).unwrap();
        Self { folder }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Stores a run of this plan on so many workers, from its beginning to its end, and returns its name.
    pub(crate) fn run(&self, plan_text: &str, workers: u32, wrong: &Wrong) -> String {
        let mut begun = self.begin(plan_text, workers, wrong, usize::MAX);
        assert!(!begun.goes_on());
        std::mem::take(&mut begun.name)
    }

    /// As [`Stored::run`], but only the facts of its first `moments`, of which the last was just now, if there are more.
    pub(crate) fn begin(&self, plan_text: &str, workers: u32, wrong: &Wrong, moments: usize) -> Begun {
        let plan = Arc::new(parse(&Source::new("plan.yaml", plan_text), &[]).unwrap());
        let mut fleet = synthetic_fleet(&plan, workers);
        if let Some(change) = wrong.fleet {
            change(&mut fleet);
        }
        let graph = Arc::new(compile(&plan, &Arc::new(fleet), &CompileOptions::default()).unwrap());
        let bucket = Bucket::find(Some(self.path())).unwrap();
        let mut journal = Journal::open(&bucket.paths().data, Mode::ReadWrite).unwrap();
        let (Played(mut facts), outputs) = play(&graph, wrong);
        let rest = facts.split_off(moments.min(facts.len()));
        let later = if rest.is_empty() { 0 } else { now() - facts.last().unwrap().0 };
        let who = wrong.who.as_deref().unwrap_or("anna@control");
        let header = run_header(&graph, plan_text, who, START + later);
        let (run, begun) = journal.create_run(&header, &facts[0].1).unwrap();
        let mut writer = journal.writer(&run, 1, begun.len() as u64).unwrap();
        for (at, facts) in &facts[1..] {
            writer.append(at + later, facts, None).unwrap();
        }
        let mut output_writer = OutputWriter::open(&journal, &run).unwrap();
        for (attempt, host, text) in outputs {
            let mut output = Output::default();
            output.push(text.as_bytes());
            output_writer.write(attempt, &[(&host, output)]).unwrap();
        }
        Begun { name: run.as_str().to_owned(), writer, rest: rest.into() }
    }

    /// The page of the newest run, as a file; its address.
    pub(crate) fn report(&self) -> String {
        let file: PathBuf = self.path().join("run.html");
        let mut command = Command::new(env!("CARGO_BIN_EXE_maand"));
        command.current_dir(self.path()).args(["plan", "report", "--out"]).arg(&file);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        format!("file://{}", file.display())
    }
}

/// A run of which there may be more to come.
pub(crate) struct Begun {
    pub(crate) name: String,
    writer: RunWriter,
    rest: VecDeque<(Millis, Vec<Fact>)>,
}

impl Begun {
    /// Commits what happens in the next moment, as of now. Whether there is more.
    pub(crate) fn goes_on(&mut self) -> bool {
        let Some((_, facts)) = self.rest.pop_front() else { return false };
        self.writer.append(now(), &facts, None).unwrap();
        true
    }

    /// Goes on until a worker has succeeded; its host.
    pub(super) fn goes_on_until_one_is_done(&mut self) -> String {
        let done = |fact: &Fact| match fact {
            Fact::WorkerSucceeded { target } => Some(format!("worker-{}", target.0 + 1)),
            _ => None,
        };
        loop {
            let host = self.rest.front().expect("there is more").1.iter().find_map(done);
            self.goes_on();
            if let Some(host) = host {
                return host;
            }
        }
    }
}

fn now() -> Millis {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Millis::try_from(since.as_millis()).unwrap()
}

/// Facts by their time.
struct Played(Vec<(Millis, Vec<Fact>)>);

impl Played {
    fn push(&mut self, at: Millis, facts: Vec<Fact>) {
        match self.0.last_mut() {
            Some((last, all)) if *last == at => all.extend(facts),
            _ => self.0.push((at, facts)),
        }
    }
}

/// All facts of a run, and what failed attempts have written.
fn play(graph: &Arc<RolloutGraph>, wrong: &Wrong) -> (Played, Vec<(AttemptId, String, String)>) {
    let workers = graph.targets.len() as u32;
    let ready = |n| Check::Ready { boot_id: boot_id(n, 0), state_dir: "/var/lib/maand".into() };
    let started = Fact::RunStarted { workers, graph_hash: graph.hash(), seed: 1 };
    let mut run = RunState::new(Arc::clone(graph), Options::default());
    let mut todo = BTreeMap::from([
        ((START, 0), started),
        ((START + 2_000, 1), Fact::Preflight { checks: (0..workers).map(ready).collect() }),
    ]);
    let (mut played, mut outputs, mut number) = (Played(Vec::new()), Vec::new(), 1);
    let mut now = START;
    while let Some((at, fact)) = next(&mut todo, &run, now, wrong) {
        now = at;
        let decision = run.apply(at, fact).unwrap();
        played.push(at, decision.facts);
        for effect in decision.effects {
            let (due, fact) = match effect {
                Effect::Execute(spec) => {
                    let (took, outcome) = carried_out(graph, &spec, wrong, &mut outputs);
                    (at + took, Fact::Finished { attempt: spec.attempt, outcome })
                }
                Effect::Wake { at: due, timer } => (due.max(at), Fact::Due { timer }),
                Effect::Observe { jobs } => (at, Fact::Observed { jobs, unavailable: Vec::new(), took: 0 }),
            };
            number += 1;
            todo.insert((due, number), fact);
        }
    }
    (played, outputs)
}

/// What happens next; when nothing would, an operator approves what waits for that.
fn next(
    todo: &mut BTreeMap<(Millis, u64), Fact>,
    run: &RunState,
    now: Millis,
    wrong: &Wrong,
) -> Option<(Millis, Fact)> {
    if let Some(((at, _), fact)) = todo.pop_first() {
        return Some((at, fact));
    }
    let RunStatus::WaitsForOperator { gates, .. } = run.status() else { return None };
    let (lane, step) = *gates.first()?;
    let by = wrong.approver.clone().unwrap_or_else(|| "ben@control".into());
    Some((now + 30_000, Fact::Approved { lane, step, by }))
}

/// How long an attempt takes, in whole seconds, and what comes of it.
fn carried_out(
    graph: &RolloutGraph,
    spec: &AttemptSpec,
    wrong: &Wrong,
    outputs: &mut Vec<(AttemptId, String, String)>,
) -> (Millis, Outcome) {
    let Lane::Worker(target) = spec.lane else {
        return (3_000, Outcome::Ok { evidence: Evidence::note("done") });
    };
    let some = Millis::from(target.0.wrapping_mul(2_654_435_761) >> 20);
    let kind = &graph.plan.steps[spec.step.index()].kind;
    let (took, evidence) = match &spec.intent {
        Intent::ReadBootId => (1, Evidence::BootId { boot_id: boot_id(target.0, 0), kernel: None }),
        Intent::Reboot { .. } => (6, Evidence::Departed),
        Intent::AwaitBoot { .. } => {
            (40 + some % 60, Evidence::Back { boot_id: boot_id(target.0, 1), kernel: None })
        }
        _ if matches!(kind, StepKind::Disable { .. }) => {
            (1, Evidence::Disabled { own: vec![None], others: vec![] })
        }
        _ => (2 + some % 5, Evidence::note("done")),
    };
    if let (Intent::AwaitBoot { .. }, Some((worker, text))) = (&spec.intent, &wrong.worker)
        && target.0 as usize == *worker
    {
        outputs.push((spec.attempt, graph.host(target).to_owned(), text.clone()));
        let error = StepError {
            kind: ErrorKind::TimedOut,
            message: format!("it has not come back within 15m: {}", text.lines().next().unwrap_or_default()),
            output: Some(text.clone()),
        };
        return (900_000, Outcome::Failed { error });
    }
    (took * 1000, Outcome::Ok { evidence })
}

fn boot_id(worker: u32, boot: u32) -> String {
    format!("{worker:08x}-0000-4000-8000-{boot:012x}")
}

/// Markup in every text that comes from outside.
pub(crate) const HOSTILE: &str = "</pre></title></style></script><img src=x onerror=alert(1)><script>alert(2)</script>\
    <svg onload=alert(3)><a href=javascript:alert(4)>'\"&amp;<b id=hacked>";

/// A plan, and what is wrong with its run, with markup wherever text may come from outside.
pub(crate) fn hostile() -> (String, Wrong) {
    let yaml = serde_json::to_string(HOSTILE).unwrap();
    let plan = PLAN.replace("[a, b]", &format!("[a, {yaml}]")).replace(
        "steps: [",
        &format!("description: {yaml}\nbefore: [{{approve: {{message: {yaml}}}}}]\nsteps: ["),
    );
    let fleet = |fleet: &mut Fleet| {
        // As a journal may have it that somebody else wrote.
        fleet.workers[1].host = serde_json::from_value(HOSTILE.into()).unwrap();
    };
    let wrong = Wrong {
        worker: Some((1, HOSTILE.into())),
        who: Some(HOSTILE.into()),
        approver: Some(HOSTILE.into()),
        fleet: Some(fleet),
    };
    (plan, wrong)
}

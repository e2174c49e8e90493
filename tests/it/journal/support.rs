//! A header and facts to fill journals with.

use std::collections::BTreeMap;

use maand::bucket::{Disabled, Fleet, Host, Worker};
use maand::engine::{AttemptId, ErrorKind, Evidence, Fact, HaltReason, Intent, Outcome, RunEnd, StepError};
use maand::graph::{Lane, StepIx, TargetIx};
use maand::journal::{Journal, RunHeader, StepKinds};

pub(crate) fn worker(host: &str) -> Worker {
    Worker::new(Host::parse(host).unwrap())
}

pub(crate) fn header(workers: usize) -> RunHeader {
    let hosts: Vec<_> = (1..=workers).map(|n| format!("w{n}")).collect();
    RunHeader {
        plan: "rolling".into(),
        plan_file: "plans/rolling.yaml".into(),
        plan_text: "name: rolling\n".into(),
        plan_sha256: "00".into(),
        overrides: vec![("a".into(), "b".into())],
        only_workers: None,
        fleet: Fleet {
            bucket_id: "7d3c7f5e-0000-4000-8000-000000000000".into(),
            workers: hosts.iter().map(|host| worker(host)).collect(),
            jobs: Vec::new(),
            disabled: Disabled::default(),
            synthetic: false,
        },
        graph_hash: "11".into(),
        workers_sha256: "22".into(),
        workspace_hash: "33".into(),
        workspace_files: None,
        program: "0.1.0".into(),
        who: "me@here".into(),
        seed: 42,
        scripts: BTreeMap::new(),
        hosts,
        kinds: StepKinds { before: vec![], steps: vec!["disable".into(), "reboot".into()], after: vec![] },
        started_at: 1_795_392_900_000,
        reviewed: None,
    }
}

pub(crate) fn started() -> Fact {
    Fact::RunStarted { workers: 3, graph_hash: "11".into(), seed: 42 }
}

/// One worker succeeds, one fails and is skipped, one is never reached.
pub(crate) fn some_facts() -> Vec<Fact> {
    let error = || StepError {
        kind: ErrorKind::NotRebooted,
        message: "„still“ the same boot id".into(),
        output: Some("shutdown: permission denied\n".into()),
    };
    let (one, two) = (TargetIx(0), TargetIx(1));
    vec![
        Fact::BeforeDone,
        Fact::WaveStarted { wave: 0 },
        Fact::WorkerAdmitted { target: one },
        Fact::Issued {
            attempt: AttemptId(1),
            lane: Lane::Worker(one),
            step: StepIx(0),
            intent: Intent::Do { repeat: false },
        },
        Fact::Finished {
            attempt: AttemptId(1),
            outcome: Outcome::Ok { evidence: Evidence::Disabled { own: vec![None], others: vec![] } },
        },
        Fact::WorkerSucceeded { target: one },
        Fact::WorkerAdmitted { target: two },
        Fact::Issued {
            attempt: AttemptId(2),
            lane: Lane::Worker(two),
            step: StepIx(1),
            intent: Intent::Reboot { boot_id: "b0".into(), generation: 1 },
        },
        Fact::Finished { attempt: AttemptId(2), outcome: Outcome::Failed { error: error() } },
        Fact::StepFailed { lane: Lane::Worker(two), step: StepIx(1), error: error() },
        Fact::WorkerFailed { target: two, step: Some(StepIx(1)), error: error() },
        Fact::Halted { reason: HaltReason::TooManyFailures { failed: 1, allowed: 0 } },
        Fact::Skipped { target: two, by: "me@here".into() },
        Fact::RunFinished { end: RunEnd::Failed },
    ]
}

/// Forgets what is old enough; how many went.
pub(crate) fn prune(journal: &mut Journal, keep: u32, before: i64) -> usize {
    let old = journal.prunable(keep, before).unwrap();
    old.iter().filter(|run| journal.forget(&run.id, &[]).unwrap()).count()
}

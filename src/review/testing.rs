//! A reviewed plan made by hand.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{CatalogRow, Content, EngineUsed, Inputs, Lines, PlanPart, Reviewed, Workspace, WorkspaceFile};
use crate::bucket::{Fleet, HealthCheck, JobName, PortRef, Probe};
use crate::catalog::PendingChanges;
use crate::graph::testing::{fleet, worker};
use crate::graph::{self, CompileOptions};
use crate::os::hash::sha256;
use crate::plan::{self, Plan, Source};

pub(super) const PLAN: &str = "\
version: 1
name: monday
vars: {level: 3, names: [a, b]}
targets: {labels: [web]}
rollout:
  concurrency: 50%
  waves: [1, rest]
  spread: {tag: zone, at_most: 1}
  budgets: [{job: api, min_available: 50%}]
before:
  - local: {command: echo begin, idempotent: true}
steps:
  - disable
  - deploy
  - run: {script: fix.sh, idempotent: true, env: {TOKEN: {from_env: TOKEN}}}
  - enable
";

pub(super) fn plan() -> Plan {
    plan::parse(&Source::new("plans/monday.yaml", PLAN), &[]).unwrap()
}

/// Four workers in two zones, three of them with the label `web`, and two jobs.
pub(super) fn web_fleet() -> Fleet {
    let workers = (1..=4).map(|n| {
        let zone = format!("zone={}", if n % 2 == 0 { "b" } else { "a" });
        let labels: &[&str] = if n == 4 { &["db"] } else { &["web", "api"] };
        let mut worker = worker(&format!("10.0.0.{n}"), labels, &[&zone]);
        worker.position = n - 1;
        worker
    });
    let mut fleet = fleet(workers.collect(), &["api", "db"]);
    fleet.synthetic = false;
    fleet.jobs[0].resources.ports = BTreeMap::from([("http".to_owned(), Some(8080)), ("x".to_owned(), None)]);
    fleet.jobs[0].demands = BTreeSet::from([JobName::parse("db").unwrap()]);
    fleet.jobs[0].health_check = Some(HealthCheck {
        checks: vec![
            Probe::Tcp { port: PortRef::Name("http".into()) },
            Probe::Ssh { command: "true".into() },
        ],
        timeout_seconds: 5,
        wait_attempts: 3,
        wait_interval_seconds: 1,
    });
    fleet.disabled.jobs.insert("db".to_owned(), BTreeSet::from(["10.0.0.4".to_owned()]));
    fleet
}

pub(super) fn inputs(plan: &Plan, fleet: Fleet) -> Inputs {
    let file = |path: &str, kind: &str, content: Option<&str>| WorkspaceFile {
        path: path.to_owned(),
        kind: kind.to_owned(),
        sha256: content.map(sha256),
    };
    let row = |hosts: &[&str], version: Option<&str>| CatalogRow {
        job: "api".to_owned(),
        built: Content { version: Some("1.1.0".to_owned()), hash: Some(sha256("1.1.0")) },
        deployed: Content { version: version.map(str::to_owned), hash: version.map(sha256) },
        disabled: false,
        removed: false,
        deployment_seq: 1,
        workers: hosts.iter().map(|host| (*host).to_owned()).collect(),
    };
    Inputs {
        program: "0.1.0".to_owned(),
        engine: EngineUsed { kind: "builtin".to_owned(), program_sha256: None },
        newest_run: Some("20261123-0419-4b5b".to_owned()),
        plan: PlanPart::of(plan, Vec::new(), None),
        scripts: BTreeMap::from([("fix.sh".to_owned(), Lines::from("echo fixed\n".to_owned()))]),
        settings: BTreeMap::from([
            ("ssh_port".to_owned(), "22".to_owned()),
            ("theirs".to_owned(), format!("sha256 {}", sha256("x"))),
        ]),
        pending: Some(PendingChanges { built: true, ..PendingChanges::default() }),
        catalog: Some(vec![row(&["10.0.0.1", "10.0.0.2"], Some("1.0.0")), row(&["10.0.0.3"], None)]),
        workspace: Workspace {
            hash: sha256("workspace"),
            files: vec![
                file("jobs", "dir", None),
                file("jobs/api", "dir", None),
                file("jobs/api/Makefile", "file", Some("start:\n")),
                file("jobs/api/manifest.json", "file", Some("{}")),
                file("workers.json", "file", Some("[]")),
            ],
        },
        fleet: Arc::new(fleet),
    }
}

/// Reviewed, and the bytes of its file.
pub(super) fn reviewed(inputs: Inputs) -> (Reviewed, Vec<u8>) {
    let source = Source::new(inputs.plan.file.clone(), inputs.plan.text.text());
    let plan = Arc::new(plan::parse(&source, &inputs.plan.set).unwrap());
    let graph = graph::compile(&plan, &inputs.fleet, &CompileOptions::default()).unwrap();
    Reviewed::new(inputs, Arc::new(graph)).unwrap()
}

pub(super) fn example() -> (Reviewed, Vec<u8>) {
    reviewed(inputs(&plan(), web_fleet()))
}

//! The built-in catalog on a sandbox: what is deployed when one starts, and what a reboot does to it.

use std::sync::Arc;
use std::time::Instant;

use maand::bucket::Bucket;
use maand::catalog::{Builtin, Call, Catalog, Cuts, DeployRequest, HealthRequest, JobRequest};
use maand::sandbox::{Event, FaultKind};
use maand::ssh::Cancel;

use super::client::{PATIENCE, sandbox, until};
use super::remote::{connect, inject, remote};

fn call() -> Call {
    Call {
        stopping: Cancel::new(),
        cancel: Cancel::new(),
        until: Instant::now() + PATIENCE,
        output: Arc::new(|_, _| {}),
        fence: None,
        cuts: Cuts::default(),
    }
}

#[test]
fn the_demo_jobs_are_built_deployed_checked_and_come_back_with_a_boot() {
    let sandbox = sandbox(2);
    let bucket = Arc::new(Bucket::open(&sandbox.bucket_dir()).unwrap());
    let catalog = Builtin::new(bucket, Arc::new(remote(&sandbox)));
    let well = || catalog.health(&HealthRequest::default(), &call()).unwrap();
    catalog.build(&call()).unwrap();
    let report = catalog.deploy(&DeployRequest::default(), &call()).unwrap();
    assert!(report.all_ok(), "{report:?}");
    let health = well();
    assert_eq!(health.allocations.len(), 4);
    assert!(health.allocations.iter().all(|one| one.outcome.is_ok() && !one.without_probes), "{health:?}");

    let host = &sandbox.hosts()[0];
    inject(&sandbox, host, FaultKind::HealthFlaps, None);
    let seen: Vec<bool> = (0..4)
        .map(|_| well().allocations.iter().filter(|one| one.host == *host).all(|one| one.outcome.is_ok()))
        .collect();
    assert!(seen.contains(&false), "{seen:?}");
    sandbox.heal(host);

    inject(&sandbox, host, FaultKind::DeployFails, None);
    let restart = |target: &str| JobRequest {
        target: target.into(),
        jobs: Vec::new(),
        workers: Some(vec![host.clone()]),
    };
    assert!(!catalog.job(&restart("restart"), &call()).unwrap().all_ok());
    sandbox.heal(host);
    assert!(catalog.job(&restart("restart"), &call()).unwrap().all_ok());

    sandbox.reboot(host);
    until("the reboot", || (sandbox.boots(host).len() == 2).then_some(()));
    until("the worker to be back", || connect(&remote(&sandbox), host).ok());
    let all_well = || well().allocations.iter().all(|one| one.outcome.is_ok()).then_some(());
    until("its jobs to be back", all_well);

    // What was stopped in good order stays so, as a unit that is not enabled.
    assert!(catalog.job(&restart("stop"), &call()).unwrap().all_ok());
    sandbox.reboot(host);
    until("the second reboot", || (sandbox.boots(host).len() == 3).then_some(()));
    until("the worker to be back", || connect(&remote(&sandbox), host).ok());
    for one in &well().allocations {
        assert_eq!(one.outcome.is_ok(), one.host != *host, "{one:?}");
    }
    assert!(catalog.job(&restart("start"), &call()).unwrap().all_ok());
    all_well().unwrap();
    let log = sandbox.log(host);
    let of = |wanted: &Event| log.iter().filter(|entry| entry.event == *wanted).count();
    let job = || "api".to_owned();
    // Deployed, restarted (once by a target that failed before it began), booted, started.
    assert_eq!(of(&Event::JobStarted { job: job() }), 4);
    assert_eq!(of(&Event::JobStopped { job: job() }), 2);
}

#[test]
fn a_makefile_that_is_not_the_demos_is_not_executed() {
    let sandbox = sandbox(1);
    let marker = sandbox.dir().join("EXECUTED");
    let makefile = format!("start stop restart:\n\ttouch '{}'\n", marker.display());
    std::fs::write(sandbox.bucket_dir().join("workspace/jobs/api/Makefile"), makefile).unwrap();
    let bucket = Arc::new(Bucket::open(&sandbox.bucket_dir()).unwrap());
    let catalog = Builtin::new(bucket, Arc::new(remote(&sandbox)));
    catalog.build(&call()).unwrap();
    assert!(catalog.deploy(&DeployRequest::default(), &call()).unwrap().all_ok());
    assert!(!marker.exists());
    let noted = |event: &Event| matches!(event, Event::Note { text } if text == "not executed: make start");
    assert!(sandbox.log(&sandbox.hosts()[0]).iter().any(|entry| noted(&entry.event)));
}

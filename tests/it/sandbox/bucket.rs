//! The bucket that a sandbox generates, read by the bucket's own reader.

use std::collections::BTreeSet;

use maand::bucket::{Bucket, Fleet, Host, JobName, Probe};
use maand::sandbox::{Blueprint, DEMO_MAKEFILE, SSH_CONFIG, SandboxOptions, demo_probe};

use super::client::{Client, sandbox, sandbox_with};

fn load(folder: &std::path::Path) -> (Bucket, Fleet) {
    let bucket = Bucket::open(folder).unwrap();
    let (fleet, warnings) = bucket.load().unwrap();
    assert!(warnings.is_empty() && bucket.warnings().is_empty(), "{warnings:?}");
    (bucket, fleet)
}

#[test]
fn the_demo_bucket_is_a_bucket_without_a_flaw() {
    let sandbox = sandbox(4);
    let (bucket, fleet) = load(&sandbox.bucket_dir());
    assert_eq!(fleet.workers.iter().map(|w| w.host.clone()).collect::<Vec<_>>(), sandbox.hosts());
    let zones: Vec<_> = fleet.workers.iter().map(|worker| worker.tags["zone"].as_str()).collect();
    assert_eq!(zones, ["a", "b", "c", "a"]);
    assert_eq!(fleet.allocations().len(), 8);
    let settings = bucket.settings();
    assert!(settings.sandbox && settings.use_sudo && !settings.ssh_config);
    for host in sandbox.hosts() {
        assert_eq!(settings.root_of(host).unwrap(), sandbox.root(host).unwrap());
        assert_eq!(settings.ssh_port, sandbox.address(host).unwrap().port());
    }
    for job in ["api", "worker"] {
        let makefile = bucket.paths().root.join("workspace/jobs").join(job).join("Makefile");
        assert_eq!(std::fs::read_to_string(makefile).unwrap(), DEMO_MAKEFILE);
    }
}

/// A bucket as an operator has it, with everything that a copy keeps or leaves out.
fn operators_bucket() -> (tempfile::TempDir, Fleet) {
    let folder = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("maand.conf", "bucket_id = \"operator\"\n");
    write(
        "workspace/workers.json",
        r#"[{"host": "db-1.example", "labels": ["db"], "tags": {"rack": "r1"}, "memory": "2 gb", "position": 7},
            {"host": "10.0.0.9", "labels": ["web", "db"], "cpu": "1500 mhz", "ssh_port": 2222}]"#,
    );
    write("workspace/disabled.json", r#"{"jobs": {"db": {"allocations": ["10.0.0.9"]}}, "workers": []}"#);
    write("workspace/jobs/db/Makefile", "start:\n\trm -rf /\n");
    write(
        "workspace/jobs/db/manifest.json",
        r#"{"version": "2.1.0", "max_concurrent_upgrades": 2, "min_allocations_count": 2,
            "restart_policy": "reload", "restart_globs": ["*.bin"],
            "resources": {"memory": {"min": "64 mb", "max": "128 mb"}, "ports": {"sql": 5432}},
            "health_check": {"checks": [{"type": "tcp", "port": "sql"}], "timeout_seconds": 3,
                             "wait": {"attempts": 9, "interval_seconds": 2}}}"#,
    );
    write("workspace/jobs/web/Makefile", "start:\n\ttrue\n");
    write(
        "workspace/jobs/web/manifest.json",
        r#"{"resources": {"ports": {"http": {}}}, "commands": {"command_x": {"demands": {"job": "db", "command": "x"}}}}"#,
    );
    let (fleet, _) = Bucket::open(folder.path()).unwrap().load().unwrap();
    (folder, fleet)
}

#[test]
fn a_copy_keeps_what_decides_and_nothing_that_runs() {
    let (_folder, original) = operators_bucket();
    let options = SandboxOptions { speed: 20.0, ..SandboxOptions::new(Blueprint::mirror(&original)) };
    let sandbox = sandbox_with(options);
    let (_, copy) = load(&sandbox.bucket_dir());
    let mut wanted = original.clone();
    wanted.bucket_id.clone_from(&copy.bucket_id);
    for worker in &mut wanted.workers {
        worker.ssh_port = None;
    }
    for job in &mut wanted.jobs {
        let command = demo_probe(job.name.as_str());
        if let Some(check) = &mut job.health_check {
            check.checks = vec![Probe::Ssh { command }];
        }
    }
    assert_eq!(copy, wanted);
    assert_ne!(copy.bucket_id, original.bucket_id);
    let job = |name: &str| JobName::parse(name).unwrap();
    assert_eq!(copy.jobs[1].demands, BTreeSet::from([job("db")]));
    // A worker keeps its name, which says nothing of where it is.
    let host = Host::parse("db-1.example").unwrap();
    let config = std::fs::read_to_string(sandbox.bucket_dir().join(SSH_CONFIG)).unwrap();
    let entry = format!("Host db-1.example\n  HostName {}\n", sandbox.address(&host).unwrap().ip());
    assert!(config.contains(&entry), "{config}");
    assert_eq!(Client::connect(&sandbox, &host).unwrap().own("exit 4").code, 4);
}

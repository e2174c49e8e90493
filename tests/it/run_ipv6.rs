//! Workers that are called by an address of IPv6, wherever a host may stand. The servers stay on 127.0.0.0/8: their
//! addresses are written as the kernel writes one of IPv4 in IPv6.

use std::fs;

use serde_json::json;

use crate::run_bench::RunBench;

fn mapped(bench: &RunBench, i: usize) -> String {
    format!("::ffff:{}", bench.fleet.host(i))
}

#[test]
fn a_worker_may_be_called_by_an_address_of_ipv6() {
    let Some(bench) = RunBench::not_deployed(2) else { return };
    let hosts = [mapped(&bench, 0), mapped(&bench, 1)];
    let port = bench.fleet.port();
    // One as it is, one in brackets with its port; `maand.conf` has another one, of nobody.
    let conf = fs::read_to_string(bench.path("maand.conf")).unwrap();
    bench.write("maand.conf", &conf.replace(&format!("ssh_port = {port}"), "ssh_port = 1"));
    let workers = json!([
        {"host": hosts[0], "labels": ["app", "web"], "ssh_port": port},
        {"host": format!("[{}]:{port}", hosts[1]), "labels": ["app", "web"], "tags": {"zone": "b"}},
    ]);
    bench.write("workspace/workers.json", &workers.to_string());
    bench.expect(0, &["build"]);
    let report = bench.json(0, &["deploy"]);
    assert!(report["workers"].as_array().unwrap().iter().any(|one| one["host"] == hosts[1]), "{report:#}");
    assert!(bench.expect(0, &["cat", "workers"]).0.contains(&hosts[0]));
    let bracketed = format!("[{}]", hosts[1]);
    let (stdout, _) = bench.expect(0, &["run_command", "--workers", &bracketed, "echo $WORKER_IP"]);
    assert!(stdout.contains(&format!("{} | {}", hosts[1], hosts[1])), "{stdout}");
    assert!(!stdout.contains(&format!("{} |", hosts[0])), "{stdout}");
    let stored = fs::read_to_string(bench.path("secrets/known_hosts")).unwrap();
    for host in &hosts {
        assert!(stored.contains(&format!("[{host}]:{port} ")), "{stored}");
    }
    // A roll with everything that names a worker: the file of disabled ones, claims, reboots, probes, jobs.
    let plan = bench.own_plan(&format!(
        "version: 1
name: rolled
targets: {{workers: ['{}', '{bracketed}']}}
rollout: {{concurrency: 1}}
steps:
  - disable
  - deploy
  - reboot: {{down_within: 60s}}
  - wait_for_ssh: {{settle: 0s}}
  - enable
  - deploy
  - run: {{command: 'echo at $MAAND_HOST'}}
  - health
",
        hosts[0]
    ));
    let before = bench.boots();
    let (shown, _) = bench.expect(0, &["plan", "show", &plan]);
    assert!(shown.contains(&hosts[1]), "{shown}");
    bench.expect(0, &["plan", "apply", &plan, "--yes", "--workers", &bracketed]);
    assert_eq!(bench.boots(), [before[0], before[1] + 1], "--workers in brackets");
    bench.expect(0, &["plan", "apply", &plan, "--yes"]);
    bench.assert_rebooted_once(&[before[0], before[1] + 1], "both");
    let status = bench.status();
    assert_eq!(status["state"], "succeeded");
    let shown = bench.expect(0, &["plan", "logs", "--worker", &bracketed]).0;
    assert!(
        shown.contains(&format!("at {}", hosts[1])) && !shown.contains(&format!("at {}", hosts[0])),
        "{shown}"
    );
    assert!(bench.expect(0, &["plan", "explain", "--worker", &bracketed]).0.contains("done"));
    bench.expect(0, &["plan", "release", "--worker", &bracketed]);
    bench.expect(0, &["job", "restart", "web", "--workers", &bracketed]);
}

#[test]
fn a_worker_with_an_address_of_ipv6_is_mirrored_by_a_rehearsal() {
    let Some(bench) = RunBench::not_deployed(1) else { return };
    let host = mapped(&bench, 0);
    bench.write("workspace/workers.json", &json!([{"host": host, "labels": ["app", "web"]}]).to_string());
    bench.expect(0, &["build"]);
    let plan = bench.plan("rolling-reboot.yaml");
    let (stdout, stderr) = bench.expect(0, &["plan", "rehearse", &plan, "--speed", "20"]);
    assert!(stdout.contains("Every promise was kept."), "{stdout}{stderr}");
}

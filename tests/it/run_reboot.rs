//! Reboot commands that fail at once, that outlive the time they were given, or leave it to the system; workers that
//! share a boot id.

use std::fs;
use std::time::{Duration, Instant};

use crate::run_bench::RunBench;
use crate::run_faults::worker;

fn plan(bench: &RunBench, command: &str, down_within: u32) -> String {
    bench.own_plan(&format!(
        "version: 1\nname: own\nsteps:\n  - reboot: {{command: \"{command}\", down_within: {down_within}s}}\n  \
         - wait_for_ssh: {{settle: 0s}}\n"
    ))
}

#[test]
fn a_command_that_fails_at_once_is_said_at_once() {
    let Some(bench) = RunBench::new(1) else { return };
    for (command, code) in [("sudo rebot", 1), ("exit 3", 3)] {
        let plan = plan(&bench, command, 60);
        let began = Instant::now();
        let (stdout, _) = bench.expect(1, &["plan", "apply", &plan, "--yes"]);
        assert!(began.elapsed() < Duration::from_secs(60), "{command}: it has not waited for the whole time");
        assert!(stdout.contains(&format!("ended with exit code {code}")), "{command}: {stdout}");
        assert_eq!(worker(&bench.status(), &bench.host(0))["error"]["kind"], "not_rebooted", "{command}");
        bench.maand(&["plan", "abort"]);
    }
    assert_eq!(bench.requests(), [0]);
}

#[test]
fn a_command_that_outlives_its_time_is_adopted_by_a_retry() {
    let Some(bench) = RunBench::new(1) else { return };
    let boots = bench.boots();
    // The file is the test's word to go on.
    let plan = plan(&bench, "while [ ! -e /root/go ]; do sleep 0.2; done; reboot", 4);
    let (stdout, _) = bench.expect(1, &["plan", "apply", &plan, "--yes"]);
    assert!(stdout.contains("still runs there"), "{stdout}");
    bench.expect(0, &["plan", "retry", "--worker", &bench.host(0)]);
    let (stdout, _) = bench.expect(1, &["plan", "resume"]);
    assert!(stdout.contains("still runs there"), "{stdout}");
    fs::write(bench.fleet.disk(0).join("root/go"), "").unwrap();
    bench.expect(0, &["plan", "retry", "--worker", &bench.host(0)]);
    bench.expect(0, &["plan", "resume"]);
    assert_eq!((bench.boots(), bench.requests()), (vec![boots[0] + 1], vec![1]), "one command, one reboot");
}

#[test]
fn a_command_of_an_earlier_run_keeps_the_next_one_from_beginning() {
    let Some(bench) = RunBench::new(1) else { return };
    let plan = plan(&bench, "while [ ! -e /root/go ]; do sleep 0.2; done", 2);
    bench.expect(1, &["plan", "apply", &plan, "--yes"]);
    bench.maand(&["plan", "abort"]);
    let (_, stderr) = bench.expect(1, &["plan", "apply", &plan, "--yes"]);
    assert!(stderr.contains("maand::run::reboot_pending") && stderr.contains("still runs there"), "{stderr}");
    fs::write(bench.fleet.disk(0).join("root/go"), "").unwrap();
    crate::wait_until("it has ended", || {
        let again = bench.maand(&["plan", "apply", &plan, "--yes"]);
        !String::from_utf8_lossy(&again.stderr).contains("reboot_pending")
    });
}

#[test]
fn a_shutdown_that_the_system_has_scheduled_is_named_and_adopted() {
    let Some(bench) = RunBench::new(1) else { return };
    // As `shutdown -r +10` leaves it where systemd is.
    let scheduled = "mkdir -p /run/systemd/shutdown; printf 'USEC=1764457200000000\\\\nWARN_WALL=1\\\\nMODE=reboot\\\\n' \
                     >/run/systemd/shutdown/scheduled; echo x >>/root/sent";
    let plan = plan(&bench, scheduled, 2);
    let (stdout, _) = bench.expect(1, &["plan", "apply", &plan, "--yes"]);
    assert!(stdout.contains("shutdown scheduled (reboot at 2025-11-29T23:00:00Z)"), "{stdout}");
    bench.expect(0, &["plan", "retry", "--worker", &bench.host(0)]);
    bench.expect(1, &["plan", "resume"]);
    let sent = fs::read_to_string(bench.fleet.disk(0).join("root/sent")).unwrap();
    assert_eq!(sent, "x\n", "no second command was started");
    bench.maand(&["plan", "abort"]);
    let (_, stderr) = bench.expect(1, &["plan", "apply", &plan, "--yes"]);
    assert!(stderr.contains("a shutdown is scheduled there: reboot at"), "{stderr}");
}

#[test]
fn a_shared_boot_id_matters_where_something_is_rebooted() {
    let Some(bench) = RunBench::new(2) else { return };
    fs::write(bench.fleet.disk(1).join("boot_id"), format!("{}\n", bench.fleet.boot_id(0))).unwrap();
    let (_, stderr) = bench.expect(1, &["plan", "apply", &plan(&bench, "reboot", 9), "--yes"]);
    assert!(stderr.contains("maand::run::same_host"), "{stderr}");
    assert_eq!(bench.requests(), [0, 0]);
    let harmless = bench.own_plan("version: 1\nname: own\nsteps: [deploy]\n");
    let (_, stderr) = bench.expect(0, &["plan", "apply", &harmless, "--yes"]);
    assert!(stderr.contains("have the same boot id"), "{stderr}");
}

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
    let (_, stderr) = bench.expect(0, &["plan", "abort"]);
    assert!(stderr.contains("maand::run::reboot_pending") && stderr.contains("still runs there"), "{stderr}");
    assert!(stderr.contains("(`while [ ! -e /root/go ]"), "{stderr}");
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
    for command in [&["plan", "skip", "--worker", &bench.host(0)][..], &["plan", "abort"]] {
        let out = bench.maand(command);
        let stderr = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(
            stderr.contains("may go down at any time: a shutdown is scheduled there: reboot"),
            "{stderr}"
        );
    }
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

#[test]
fn health_that_fails_after_a_reboot_without_drain_says_what_starts_the_jobs() {
    let Some(bench) = RunBench::new(1) else { return };
    let steps = "steps:\n  - reboot\n  - wait_for_ssh: {settle: 0s}\n  - health\n";
    let plan = bench.own_plan(&format!("version: 1\nname: own\n{steps}"));
    let (stdout, _) = bench.expect(1, &["plan", "apply", &plan, "--yes"]);
    assert!(stdout.contains("what the reboot has ended is started by `maand job start JOB`"), "{stdout}");
    let (_, stderr) = bench.expect(1, &["health_check"]);
    assert!(stderr.contains("what a reboot has ended is started by `maand job start JOB`"), "{stderr}");
    bench.expect(0, &["job", "start", "web"]);
    bench.expect(0, &["health_check"]);
}

#[test]
fn the_machine_of_the_controller_is_not_rebooted() {
    let Some(bench) = RunBench::new(1) else { return };
    let own = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    fs::write(bench.fleet.disk(0).join("boot_id"), own).unwrap();
    let (_, stderr) = bench.expect(1, &["plan", "apply", &plan(&bench, "reboot", 9), "--yes"]);
    assert!(stderr.contains("maand::run::same_host") && stderr.contains("is this machine"), "{stderr}");
    assert_eq!(bench.requests(), [0]);
}

/// What may still tell something about the boot that runs is kept, however old it is.
#[test]
fn receipts_go_after_thirty_days_when_their_boot_is_over() {
    let Some(bench) = RunBench::new(1) else { return };
    bench.expect(0, &["plan", "apply", &plan(&bench, "reboot", 60), "--yes"]);
    let state = bench.fleet.sh_ok(0, "dirname $(find /root/.maand -name 'reboot-*' -type f | head -n 1)");
    let make = "for r in old of_this_boot recent; do echo 1 another-boot >reboot-$r; done; \
                echo 1 $(cat /proc/sys/kernel/random/boot_id) >reboot-of_this_boot; \
                touch -d '40 days ago' reboot-old reboot-of_this_boot";
    bench.fleet.sh_ok(0, &format!("cd {} && {make}", state.trim()));
    bench.expect(0, &["plan", "apply", &plan(&bench, "reboot", 60), "--yes"]);
    let left = bench.fleet.sh_ok(0, &format!("ls {}", state.trim()));
    let is_left = |name: &str| left.lines().any(|line| line.trim() == format!("reboot-{name}"));
    assert!(!is_left("old") && is_left("of_this_boot") && is_left("recent"), "{left}");
}

/// A machine that is reset: everything on it is gone at once, and it boots.
fn reset(bench: &RunBench) {
    let pid = bench.fleet.pid(0).unwrap();
    fs::write(bench.fleet.disk(0).join("reboot"), "").unwrap();
    let pid = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
}

/// As when firmware is updated.
#[test]
fn a_machine_that_boots_twice_for_one_command_settles_in_its_second_boot() {
    let Some(bench) = RunBench::new(1) else { return };
    let boots = bench.boots();
    let plan = bench.own_plan(
        "version: 1\nname: own\nsteps:\n  - reboot: {down_within: 60s}\n  - wait_for_ssh: {settle: 8s}\n",
    );
    let child = bench.spawn(&["plan", "apply", &plan, "--yes"]);
    let logins = || {
        let log = fs::read_to_string(bench.fleet.disk(0).join("sshd.log")).unwrap_or_default();
        log.matches("Accepted publickey").count()
    };
    crate::wait_until("it settles in its first boot", || {
        bench.boots() == [boots[0] + 1]
            && bench.status()["workers"][0]["step"] == "wait_for_ssh"
            && logins() >= 2
    });
    reset(&bench);
    let (code, stdout, stderr) = crate::run_faults::end(child);
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    assert_eq!(bench.boots(), [boots[0] + 2]);
    assert_eq!(bench.requests(), [1], "the command was sent once");
    // Whichever step has seen the first boot.
    let (logs, _) = bench.expect(0, &["plan", "logs"]);
    let told = bench.status()["workers"][0]["unplanned_boots"].as_array().map_or(0, Vec::len);
    assert!(logs.contains("it booted 2 times (") || told == 1, "{logs}{stdout}");
}

fn has_begun(bench: &RunBench) -> bool {
    bench
        .fleet
        .pid(0)
        .is_some_and(|pid| std::path::Path::new(&format!("/proc/{pid}/root/run/begun")).exists())
}

const LONG_STEP: &str = "version: 1\nname: own\nsteps:\n  - run: {command: touch /run/begun; sleep 900, disturbs: false}\n    \
                         timeout: 20m\n";

#[track_caller]
fn booted_by_itself(bench: &RunBench, child: std::process::Child, boots: &[usize]) {
    let (code, stdout, stderr) = crate::run_faults::end(child);
    assert_eq!(code, Some(5), "{stdout}{stderr}");
    assert!(stdout.contains("has booted by itself meanwhile"), "{stdout}{stderr}");
    let status = bench.status();
    let boots_seen = &status["workers"][0]["unplanned_boots"];
    assert_eq!(boots_seen.as_array().map(Vec::len), Some(1), "{status:#}");
    assert_eq!(boots_seen[0]["boot_id"], bench.fleet.boot_id(0));
    assert_eq!(bench.boots(), [boots[0] + 1]);
}

#[test]
fn a_machine_that_is_reset_in_the_middle_of_a_step_is_named() {
    let Some(bench) = RunBench::new(1) else { return };
    let boots = bench.boots();
    let child = bench.spawn(&["plan", "apply", &bench.own_plan(LONG_STEP), "--yes"]);
    crate::wait_until("the step has begun", || has_begun(&bench));
    reset(&bench);
    booted_by_itself(&bench, child, &boots);
}

/// Puts a NAT or a load balancer before the first worker: what ends behind it does not end before it.
fn behind_a_path_that_keeps_connections_up(bench: &RunBench) {
    let real = bench.host(0);
    let listener = (2..250)
        .find_map(|n| std::net::TcpListener::bind((format!("127.0.77.{n}"), bench.fleet.port())).ok());
    let listener = listener.unwrap();
    let front = listener.local_addr().unwrap();
    let back: std::net::SocketAddr = format!("{real}:{}", bench.fleet.port()).parse().unwrap();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let Ok(server) = std::net::TcpStream::connect(back) else { continue };
            for (mut from, mut to) in [
                (client.try_clone().unwrap(), server.try_clone().unwrap()),
                (server.try_clone().unwrap(), client.try_clone().unwrap()),
            ] {
                let kept = client.try_clone().unwrap();
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    // The end of one side is not told to the other one.
                    std::mem::forget(kept);
                });
            }
        }
    });
    let workers = fs::read_to_string(bench.path("workspace/workers.json")).unwrap();
    bench.write("workspace/workers.json", &workers.replace(&real, &front.ip().to_string()));
    bench.expect(0, &["build"]);
}

#[test]
fn a_path_that_keeps_the_connection_up_does_not_hide_a_reset() {
    let Some(bench) = RunBench::new(1) else { return };
    let boots = bench.boots();
    behind_a_path_that_keeps_connections_up(&bench);
    let began = Instant::now();
    let child = bench.spawn(&["plan", "apply", &bench.own_plan(LONG_STEP), "--yes"]);
    crate::wait_until("the step has begun", || has_begun(&bench));
    reset(&bench);
    booted_by_itself(&bench, child, &boots);
    assert!(began.elapsed() < Duration::from_secs(600), "long before the step's time-out");
}

#[test]
fn a_deploy_is_cut_where_its_worker_boots_by_itself_and_goes_on_elsewhere() {
    let Some(bench) = RunBench::new(2) else { return };
    let boots = bench.boots();
    behind_a_path_that_keeps_connections_up(&bench);
    // Slow in this boot of the first worker.
    let makefile = "start restart reload:\n\t@touch /run/web.up; mkdir -p data; echo $@ >> data/log\n\t@if [ -e \
                    /run/slow ]; then touch /run/begun; sleep 900; fi\nstop:\n\t@rm -f /run/web.up\n";
    bench.write("workspace/jobs/web/Makefile", makefile);
    bench.expect(0, &["build"]);
    bench.fleet.sh_ok(0, "touch /run/slow");
    let plan = bench.own_plan(
        "version: 1\nname: own\nrollout: {concurrency: 2}\nsteps:\n  - deploy:\n    timeout: 20m\n    \
         retries: {attempts: 3, delay: 1s}\n",
    );
    let began = Instant::now();
    let child = bench.spawn(&["plan", "apply", &plan, "--yes"]);
    crate::wait_until("make has begun", || has_begun(&bench));
    reset(&bench);
    let (code, stdout, stderr) = crate::run_faults::end(child);
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    assert!(stdout.contains("has booted by itself meanwhile"), "{stdout}{stderr}");
    assert!(began.elapsed() < Duration::from_secs(600), "long before the step's time-out");
    let status = bench.status();
    let unplanned = |at: usize| status["workers"][at]["unplanned_boots"].as_array().map_or(0, Vec::len);
    assert_eq!((unplanned(0), unplanned(1)), (1, 0), "{status:#}");
    assert_eq!(bench.boots(), [boots[0] + 1, boots[1]]);
    // What was at work elsewhere was seen to its end, once.
    assert_eq!(bench.done(1, "web").last().map(String::as_str), Some("restart"));
    assert_eq!(bench.done(1, "web").iter().filter(|what| *what == "restart").count(), 1);
}

/// The worker takes no further connection while its step runs: the look beside it hangs, and does not hold up the step's
/// end.
#[test]
fn a_look_that_hangs_delays_nothing() {
    let Some(bench) = RunBench::new(1) else { return };
    let plan = bench.own_plan(
        "version: 1\nname: own\nsteps:\n  - run: {command: touch /run/begun; sleep 33, disturbs: false}\n    timeout: 20m\n",
    );
    let child = bench.spawn(&["plan", "apply", &plan, "--yes"]);
    crate::wait_until("the step has begun", || has_begun(&bench));
    // sshd itself, not its sessions: whoever connects now gets no banner.
    let sshd = rustix::process::Pid::from_raw(bench.fleet.pid(0).unwrap().cast_signed()).unwrap();
    rustix::process::kill_process(sshd, rustix::process::Signal::STOP).unwrap();
    let began = Instant::now();
    crate::wait_until("the run has succeeded", || bench.status()["state"] == "succeeded");
    let took = began.elapsed();
    rustix::process::kill_process(sshd, rustix::process::Signal::CONT).unwrap();
    let (code, stdout, stderr) = crate::run_faults::end(child);
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    // The look begins after 30 s and may take 15 s; the step ends after 33.
    assert!(took < Duration::from_secs(42), "{took:?}");
}

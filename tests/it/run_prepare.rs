//! Workers that are prepared ahead, on real hosts: all of them before the first one is touched.

use std::fs;

use crate::run_bench::RunBench;
use crate::run_faults::worker;

/// Each step notes where it stands; a worker whose disk is full is not prepared.
fn plan(bench: &RunBench, more: &str, settings: &str) -> String {
    bench.own_plan(&format!(
        "version: 1\nname: own\n{more}prepare:\n  {settings}\n  steps:\n\
         \x20   - {{id: disk, run: {{command: 'test ! -e /root/full && echo $MAAND_LIST >> /root/lists'}}}}\n\
         \x20   - local: {{command: 'echo $MAAND_LIST $MAAND_STEP $MAAND_HOST >> order'}}\n\
         steps:\n  - local: {{command: 'echo $MAAND_LIST $MAAND_STEP $MAAND_HOST >> order'}}\n\
         \x20 - disable\n  - deploy\n  - enable\n  - deploy\n"
    ))
}

fn order(bench: &RunBench) -> Vec<String> {
    let text = fs::read_to_string(bench.path("order")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn all_are_prepared_first_and_one_that_fails_is_not_touched() {
    let Some(bench) = RunBench::new(3) else { return };
    let full = bench.fleet.disk(1).join("root/full");
    fs::write(&full, "").unwrap();
    let path = plan(&bench, "rollout: {max_failures: 1}\n", "concurrency: 2");
    let (stdout, _) = bench.expect(1, &["plan", "apply", &path, "--yes"]);
    let hosts: Vec<String> = (0..3).map(|i| bench.host(i)).collect();
    let order = order(&bench);
    let (ahead, then) = order.split_at(2);
    let mut ahead = ahead.to_vec();
    ahead.sort();
    let of = |list: &str, host: &str| match list {
        "prepare" => format!("prepare prepare-local {host}"),
        _ => format!("steps local {host}"),
    };
    let mut both = [of("prepare", &hosts[0]), of("prepare", &hosts[2])];
    both.sort();
    assert_eq!(ahead, both, "{order:?}");
    assert_eq!(then, [of("steps", &hosts[0]), of("steps", &hosts[2])], "{order:?}");
    assert!(stdout.contains("failed to prepare, at step disk, and was not touched"), "{stdout}");
    let status = bench.status();
    let failed = worker(&status, &hosts[1]);
    assert_eq!(
        (&failed["state"], &failed["failed_to_prepare"]),
        (&"failed".into(), &true.into()),
        "{failed}"
    );
    assert!(worker(&status, &hosts[0])["failed_to_prepare"].is_null());
    assert!(bench.is_up(1) && bench.disabled().is_empty());

    // With room on its disk it is taken up behind the end of the rollout, and nothing of the others is done again.
    fs::remove_file(&full).unwrap();
    bench.expect(0, &["plan", "resume", "--retry", &hosts[1], "--yes"]);
    let again = self::order(&bench);
    assert_eq!(again[4..], [of("prepare", &hosts[1]), of("steps", &hosts[1])], "{again:?}");
    let lists = fs::read_to_string(bench.fleet.disk(0).join("root/lists")).unwrap();
    assert_eq!(lists, "prepare\n");
}

#[test]
fn too_many_that_fail_halt_the_run_before_anybody_is_touched() {
    let Some(bench) = RunBench::new(2) else { return };
    fs::write(bench.fleet.disk(1).join("root/full"), "").unwrap();
    let path = plan(&bench, "", "concurrency: 1");
    let (stdout, _) = bench.expect(1, &["plan", "apply", &path, "--yes"]);
    let first = bench.host(0);
    assert_eq!(order(&bench), [format!("prepare prepare-local {first}")], "{stdout}");
    assert_eq!(bench.status()["state"], "halted");
    bench.expect(1, &["plan", "resume", "--skip", &bench.host(1), "--yes"]);
    assert_eq!(order(&bench)[1..], [format!("steps local {first}")]);
}

/// Killed wherever it stands in its beginning, it repeats what was under way, and nothing that was done.
#[test]
fn a_run_that_is_killed_while_it_prepares_continues_where_it_stood() {
    let Some(bench) = RunBench::new(2) else { return };
    let prepare = "prepare:\n  concurrency: 1\n  steps:\n    - run: {command: 'echo x >> /root/prepared', idempotent: true}\n";
    let steps = "steps:\n  - local: {command: 'echo $MAAND_HOST >> order', idempotent: true}\n";
    let path = bench.own_plan(&format!("version: 1\nname: own\n{prepare}{steps}"));
    let lines = |path: &std::path::Path| fs::read_to_string(path).unwrap_or_default().lines().count();
    let logs = [0, 1].map(|i| bench.fleet.disk(i).join("root/prepared"));
    for at in 3..10 {
        for log in logs.iter().chain([&bench.path("order")]) {
            let _ = fs::remove_file(log);
        }
        let mut command = bench.command(&["plan", "apply", &path, "--yes"]);
        let out =
            command.env("MAAND_CRASH_AT", at.to_string()).env("MAAND_CRASH_WHEN", "after").output().unwrap();
        let prepared = logs.each_ref().map(|log| lines(log));
        assert!(lines(&bench.path("order")) == 0 || prepared == [1, 1], "{at}: {prepared:?}");
        let again = if out.status.code().is_none() { vec!["plan", "resume"] } else { vec!["plan", "status"] };
        bench.expect(0, &again);
        assert_eq!(bench.status()["state"], "succeeded", "{at}");
        let done = logs.each_ref().map(|log| lines(log));
        assert!(done.iter().all(|times| *times >= 1) && done.iter().sum::<usize>() <= 3, "{at}: {done:?}");
        assert_eq!(order(&bench).len(), 2, "{at}");
    }
}

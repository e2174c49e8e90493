//! The shipped plans, and what of a plan's own a rehearsal executes.

use std::collections::BTreeSet;

use super::{Stage, held, shipped, side_by_side, text, verdict};

#[test]
fn the_shipped_plans_hold_their_promises() {
    let plans = [
        ("rolling-reboot.yaml", 1),
        ("fleet-reboot.yaml", 1),
        ("canary-by-zone.yaml", 1),
        ("kernel-patch.yaml", 0),
        ("restart-service.yaml", 0),
        ("ssh-only.yaml", 0),
    ];
    side_by_side(&plans, 6, |(plan, reboots)| {
        let stage = Stage::new();
        let (verdict, view) = held(&stage.run(&shipped(plan), &["--output", "json"]));
        assert_eq!((&view["state"], &verdict["run_exit_code"]), (&"succeeded".into(), &0.into()), "{plan}");
        let workers = verdict["workers"].as_array().unwrap();
        assert_eq!(workers.len(), 3, "{plan}");
        for worker in workers {
            let seen = (&worker["state"], &worker["reboots"]);
            assert_eq!(seen, (&"succeeded".into(), &(*reboots).into()), "{plan}: {worker}");
        }
        let names =
            verdict["promises"].as_array().unwrap().iter().map(|promise| promise["name"].as_str().unwrap());
        let names: BTreeSet<_> = names.collect();
        assert!(names.is_superset(&BTreeSet::from(["reboots", "down", "successes", "nothing_executed"])));
        // Whose jobs were stopped in good order before they went down, by their own logs.
        let drains = !matches!(
            *plan,
            "fleet-reboot.yaml" | "kernel-patch.yaml" | "restart-service.yaml" | "ssh-only.yaml"
        );
        assert_eq!(names.contains("drained_first"), drains, "{plan}");
    });
}

#[test]
fn what_it_says_to_people() {
    let stage = Stage::new();
    let output = stage.run(&shipped("rolling-reboot.yaml"), &[]);
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{stdout}{stderr}");
    assert!(stdout.ends_with("Every promise was kept. Nothing of the fleet is left.\n"), "{stdout}");
    assert!(!stdout.contains("BROKEN") && !stdout.contains('\x1b'), "{stdout}");
    assert_eq!(stdout.matches("\n  kept    ").count(), 11, "{stdout}");
    assert!(!stdout.contains("  held"), "{stdout}");
    assert!(stdout.contains("1 reboot ") && stdout.contains("down from "), "{stdout}");
    assert!(stderr.contains("3 throwaway workers") && stderr.contains("60 times shorter"), "{stderr}");
}

#[test]
fn a_copy_of_a_bucket_with_what_operators_disabled_there() {
    let stage = Stage::new();
    stage.write("bucket/maand.conf", "bucket_id = \"11111111-1111-4111-8111-111111111111\"\n");
    stage.write(
        "bucket/workspace/workers.json",
        r#"[{"host": "10.9.9.1", "labels": ["web"]}, {"host": "10.9.9.2", "labels": ["web"]}, {"host": "db.example"}]"#,
    );
    stage.write(
        "bucket/workspace/disabled.json",
        r#"{"workers": ["10.9.9.2"], "jobs": {"web": {"allocations": ["10.9.9.2"]}}}"#,
    );
    stage.write("bucket/workspace/jobs/web/manifest.json", r#"{"selectors": ["web"]}"#);
    stage.write("bucket/workspace/jobs/web/Makefile", "start stop restart:\n\ttouch /EXECUTED\n");
    let before = std::fs::read(stage.folder.path().join("bucket/workspace/disabled.json")).unwrap();
    let bucket = stage.folder.path().join("bucket");
    let more = ["--output", "json", "-C", bucket.to_str().unwrap()];
    let (verdict, view) = held(&stage.run(&shipped("rolling-reboot.yaml"), &more));
    let workers = view["workers"].as_array().unwrap();
    let state = |n: usize| (workers[n]["host"].as_str().unwrap(), workers[n]["state"].as_str().unwrap());
    assert_eq!(
        [state(0), state(1), state(2)],
        [("10.9.9.1", "succeeded"), ("10.9.9.2", "left_alone"), ("db.example", "succeeded")]
    );
    assert_eq!(verdict["workers"][1]["reboots"], 0);
    let others = verdict["promises"].as_array().unwrap().iter().find(|one| one["name"] == "others_entries");
    assert!(others.unwrap()["what"].as_str().unwrap().contains("the 2 entries of others are as before"));
    // The bucket itself is only read.
    assert_eq!(std::fs::read(bucket.join("workspace/disabled.json")).unwrap(), before);
    assert!(!bucket.join("data").exists());
}

#[test]
fn a_plans_own_commands_are_executed_only_when_asked() {
    side_by_side(&[false, true], 2, |execute| {
        let stage = Stage::new();
        let mark = stage.folder.path().join("mark");
        let command = |kind: &str, word: &str| {
            format!(
                "  - {kind}: {{command: 'echo {word} >> {}', undo: none, idempotent: true}}\n",
                mark.display()
            )
        };
        let plan = format!(
            "version: 1\nname: own\nbefore:\n{}steps:\n{}  - run: {{script: more/do.sh, undo: none, idempotent: true}}\n",
            command("local", "before"),
            command("run", "step")
        );
        let plan = stage.write("own.yaml", &plan);
        stage.write("more/do.sh", &format!("echo script >> {}\n", mark.display()));
        let mut more = vec!["--output", "json", "--workers", "1"];
        more.extend(execute.then_some("--execute"));
        let (verdict, _) = held(&stage.run(&plan, &more));
        let done = std::fs::read_to_string(&mark).unwrap_or_default();
        assert_eq!(done, if *execute { "before\nstep\nscript\n" } else { "" });
        let said = verdict["promises"].to_string().contains("3 commands of yours: recorded, not executed");
        assert_eq!(said, !execute, "{verdict:#}");
    });
}

/// A window that is closed now would hold the run for hours.
#[test]
fn a_window_is_moved_to_now() {
    let stage = Stage::new();
    let days = "days: [mon]";
    let now = "timezone: Pacific/Auckland, open: \"03:00\", close: \"03:30\"";
    let plan = format!(
        "version: 1\nname: night\nrollout:\n  concurrency: 1\n  window: {{{now}, {days}}}\nsteps:\n  - health\n"
    );
    let plan = stage.write("night.yaml", &plan);
    let output = stage.run(&plan, &["--output", "json", "--workers", "1"]);
    assert_eq!(held(&output).1["state"], "succeeded");
    assert!(text(&output.stderr).contains("the window is one that is open now"));
}

#[test]
fn what_can_not_be_rehearsed_is_said_before_anything_starts() {
    let stage = Stage::new();
    let plan = shipped("rolling-reboot.yaml");
    let script =
        |path: &str| format!("version: 1\nname: x\nsteps:\n  - run: {{script: {path}, undo: none}}\n");
    let outside = stage.write("plan/outside.yaml", &script("../evil.sh"));
    stage.write("evil.sh", "true\n");
    let missing = stage.write("plan/missing.yaml", &script("no/such.sh"));
    let broken = stage.write("broken.yaml", "version: 1\nname: x\nstep: []\n");
    let cases: [(_, &[&str], i32, &[&str]); 9] = [
        (&plan, &["--fault", "worker-2:never_return"], 3, &["did you mean `never_returns`?"]),
        (&plan, &["--fault", "worker-9:hangs"], 3, &["no worker `worker-9`", "worker-3"]),
        (&plan, &["--fault", "worker-2:hangs@rebot"], 3, &["did you mean `reboot`?", "`deploy-2`"]),
        (
            &plan,
            &["--fault", "worker-2", "--fault", "worker-7:hangs"],
            3,
            &["HOST:KIND", "no worker `worker-7`"],
        ),
        (&plan, &["--workers", "501"], 2, &["500"]),
        (&plan, &["--speed", "0"], 2, &["the speed cannot be 0"]),
        (&outside, &[], 3, &["../evil.sh", "not below the plan's folder"]),
        (&missing, &[], 3, &["no/such.sh", "missing.yaml", "there is no such file"]),
        (&broken, &[], 3, &["broken.yaml", "steps"]),
    ];
    for (plan, more, exit, words) in cases {
        let output = stage.run(plan, more);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(exit), "{more:?}: {stderr}");
        let stderr = stderr.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.iter().all(|words| stderr.contains(words)), "{more:?} {words:?}: {stderr}");
        assert!(output.stdout.is_empty(), "{}", text(&output.stdout));
    }
}

#[test]
fn two_rehearsals_at_once_do_not_meet() {
    side_by_side(&["a", "b"], 2, |_| {
        let stage = Stage::new();
        let (verdict, view) =
            verdict(&stage.run(&shipped("fleet-reboot.yaml"), &["--output", "json", "--workers", "2"]));
        assert_eq!(
            (&verdict["all_held"], &view["state"]),
            (&true.into(), &"succeeded".into()),
            "{verdict:#}"
        );
    });
}

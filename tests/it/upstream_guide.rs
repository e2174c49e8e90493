//! Patterns A, B and C of upstream's reboot guide, its shell lines as an operator types them, on three real
//! hosts: on a fresh bucket, on a workspace as upstream's program leaves it, and on a bucket of that program.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::external::bench::External;
use crate::run_bench::RunBench;

/// Runs shell lines in the bucket, with the program first on the path.
#[track_caller]
fn typed(bench: &RunBench, lines: &str) -> String {
    let program = Path::new(env!("CARGO_BIN_EXE_maand"));
    let path = format!("{}:{}", program.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let out = Command::new("bash")
        .args(["-e", "-c", lines])
        .current_dir(bench.path("."))
        .env("PATH", path)
        .env("MAAND_YES", "1")
        .envs(bench.env.iter().map(|(name, value)| (name, value)))
        .env_remove("SSH_AUTH_SOCK")
        .output()
        .unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{lines}\n{text}");
    text
}

/// The workspace as upstream writes it: its own keys, which we keep and ignore, and no `version`.
fn as_upstream_leaves_it(bench: &RunBench) {
    let workers: Vec<_> = (0..3)
        .map(|i| {
            serde_json::json!({
                "host": bench.host(i), "labels": ["App", "worker-pool"], "memory": "4096 MB", "cpu": "4 GHZ",
                "tags": {"Zone": "A"}, "position": i, "hostname": format!("w{i}"),
            })
        })
        .collect();
    bench.write("workspace/workers.json", &serde_json::to_string_pretty(&workers).unwrap());
    let conf = fs::read_to_string(bench.path("maand.conf")).unwrap();
    bench.write(
        "maand.conf",
        &format!(
            "{conf}certs_ttl = 60\nca_ttl = 3650\njob_config_selector = \"\"\ncerts_renewal_buffer = 10\n"
        ),
    );
    bench.write("workspace/bucket.conf", "port_min = \"30000\"\nport_max = \"39999\"\n");
    bench.write("workspace/disabled.json", "{}");
    bench.build_and_deploy();
}

fn three(bench: &RunBench) -> String {
    (0..3).map(|i| bench.host(i)).collect::<Vec<_>>().join(",")
}

fn patterns(bench: &RunBench) {
    let all = three(bench);
    // A, on one worker.
    let (host, boots) = (bench.host(2), bench.boots());
    typed(
        bench,
        &format!(
            "cat > workspace/disabled.json <<'EOF'\n{{ \"workers\": [\"{host}\"] }}\nEOF\nmaand build && maand deploy"
        ),
    );
    assert!(!bench.is_up(2) && bench.is_up(0));
    typed(bench, &format!("maand run_command \"sudo shutdown -r now\" --workers {host}"));
    typed(bench, "echo '{}' > workspace/disabled.json; maand build && maand deploy");
    typed(bench, "maand health_check --jobs web --wait");
    assert_eq!(bench.boots(), [boots[0], boots[1], boots[2] + 1]);
    assert!(bench.is_up(2));

    // B: processes are down after a hard reboot, until a deploy or `job start`.
    let boots = bench.boots();
    typed(bench, &format!("maand run_command \"sudo shutdown -r now\" --workers {all} --concurrency 1"));
    assert!(bench.boots().iter().zip(&boots).all(|(now, before)| *now == before + 1));
    typed(bench, "maand job start web && maand health_check --wait");
    assert!((0..3).all(|i| bench.is_up(i)));

    // C, and a command with a check after each batch.
    let boots = bench.boots();
    let two = format!("{},{}", bench.host(0), bench.host(1));
    typed(bench, &format!("maand run_command \"sudo shutdown -r now\" --workers {two} --concurrency 1"));
    assert_eq!(bench.boots(), [boots[0] + 1, boots[1] + 1, boots[2]]);
    typed(bench, "maand job start web; maand health_check --wait");
    typed(
        bench,
        &format!("maand run_command \"touch /opt/restarted\" --workers {two} --concurrency 1 --health_check"),
    );

    // The sync check afterwards.
    let said = typed(bench, &format!("maand job status web --allocations {host}"));
    if bench.path("data/maand.db").exists() {
        return;
    }
    let mut lines = said.lines();
    let heading: Vec<&str> = lines.next().unwrap().split_whitespace().collect();
    assert_eq!(heading, ["HOST", "JOB", "STATUS", "DETAIL"], "{said}");
    let row: Vec<&str> = lines.next().unwrap().split_whitespace().take(3).collect();
    assert_eq!(row, [host.as_str(), "web", "ok"], "{said}");
}

#[test]
fn the_guides_patterns_typed_on_a_bucket_of_the_upstream_program() {
    let Some(bench) = External::new(3) else { return };
    patterns(&bench);
    bench.assert_no_overlap();
}

#[test]
fn the_guides_patterns_typed_on_a_fresh_bucket() {
    let Some(bench) = RunBench::new(3) else { return };
    patterns(&bench);
}

#[test]
fn the_guides_patterns_typed_on_an_upstream_workspace() {
    let Some(bench) = RunBench::new(3) else { return };
    as_upstream_leaves_it(&bench);
    patterns(&bench);
}

//! What is pending in a bucket of the upstream program: from its database and the workspace, without its help.

use serde_json::{Value, json};

use super::bench::External;
use crate::run_bench::{MAKEFILE, web_manifest};

#[test]
fn what_can_be_known_is_told_and_the_program_is_not_asked() {
    let Some(bench) = External::new(2) else { return };
    let plan = bench.own_plan("version: 1\nname: roll\nsteps:\n  - deploy\n");
    let pending = || -> Value {
        let (stdout, _) = bench.expect(0, &["plan", "show", &plan, "--output", "json", "--diff"]);
        let shown = crate::document(&stdout);
        json!({"pending": shown["pending"], "diffs": shown["diffs"]})
    };
    let nothing = json!({"built": true, "jobs": [], "unbuilt": {"jobs": [], "workers": []}, "unknown": []});
    let before = bench.database();
    assert_eq!(pending()["pending"], nothing);
    bench.job("web", "1.1.0", web_manifest());
    bench.write("workspace/jobs/web/Makefile", &format!("{MAKEFILE}# new\n"));
    bench.write("workspace/jobs/web/conf/app", "x\n");
    bench.write("workspace/jobs/web/__pycache__/a.pyc", "left out");
    let (text, _) = bench.expect(0, &["plan", "show", &plan]);
    let line = "web 1.0.0 -> 1.1.0: Makefile, 3 more (1 added)";
    assert!(
        text.contains(&format!("  newer than the last build (a run builds before it deploys):\n    {line}")),
        "{text}"
    );
    let found = pending();
    let makefile = found["diffs"].as_array().unwrap().iter().find(|diff| diff["path"] == "Makefile").unwrap();
    assert!(makefile["text"].as_str().unwrap().ends_with("+# new\n"), "{makefile}");
    assert_eq!(bench.database(), before, "it was only looked at");
    // The program's own deploy does not tell.
    let (_, stderr) = bench.expect(0, &["deploy"]);
    assert!(stderr.contains("maand::deploy::not_built") && stderr.contains(line), "{stderr}");
    // Built, and not deployed yet: upstream knows what it would do, and not in which files.
    bench.upstream_ok(&["build"]);
    let (text, _) = bench.expect(0, &["plan", "show", &plan]);
    assert!(text.contains("\nPending: 1 change\n  web 1.0.0 -> 1.1.0"), "{text}");
    assert_eq!(pending()["pending"]["unbuilt"], nothing["unbuilt"]);
    bench.upstream_ok(&["deploy"]);
    assert_eq!(pending()["pending"], nothing);
    // Its own workers and entries of disabled.json.
    bench.write("workspace/disabled.json", &json!({"workers": [bench.host(0)]}).to_string());
    let (text, _) = bench.expect(0, &["plan", "show", &plan]);
    assert!(text.contains(&format!("web 1.1.0: disabled on {}", bench.host(0))), "{text}");
}

#[test]
fn the_ports_that_the_program_gave_are_listed() {
    let Some(bench) = External::new(1) else { return };
    bench.job("web", "1.0.0", json!({"resources": {"ports": {"http_port": {}, "admin_port": 8080}}}));
    bench.write("workspace/jobs/web/Makefile", MAKEFILE);
    let (text, _) = bench.expect(0, &["cat", "jobs", "--output", "json"]);
    let ports = |text: &str| crate::document(text)["jobs"][0]["ports"].clone();
    assert_eq!(ports(&text), json!({"admin_port": 8080, "http_port": null}));
    bench.upstream_ok(&["build"]);
    let (text, _) = bench.expect(0, &["cat", "jobs", "--output", "json"]);
    assert!(ports(&text)["http_port"].as_u64().is_some_and(|port| port >= 30_000), "{text}");
}

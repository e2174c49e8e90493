//! The dashboard and the alert rules of `examples/monitoring`: what they name is what is printed, and what they say can
//! be typed.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::tools::{self, tool};
use super::{maand, printed};
use crate::journal::played;

pub(super) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/monitoring")
}

pub(super) fn dashboard() -> Value {
    serde_json::from_str(&fs::read_to_string(folder().join("dashboard.json")).unwrap()).unwrap()
}

/// The expressions of the dashboard as Prometheus gets them.
pub(super) fn expressions() -> Vec<String> {
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().unwrap().clone());
    let exprs = targets.map(|target| target["expr"].as_str().unwrap().to_owned());
    exprs.map(|expr| expr.replace("$__rate_interval", "4m").replace("$bucket", ".+")).collect()
}

/// The names of ours in an expression.
fn names(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words.filter(|word| word.starts_with("maand_")).map(str::to_owned).collect()
}

#[test]
fn what_dashboard_and_rules_name_is_printed() {
    let (dir, _) = played::stored(&["w1", "w2", "w3"]);
    let text = printed(dir.path(), &["plan", "metrics"]);
    let mut known = BTreeSet::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').unwrap();
        known.insert(name.to_owned());
        if kind == "histogram" {
            known.extend(["_bucket", "_sum", "_count"].map(|part| format!("{name}{part}")));
        }
    }
    // Each is in the documentation, and nothing else is.
    let docs = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md")).unwrap();
    let table: BTreeSet<String> =
        docs.lines().filter(|line| line.starts_with("| `maand_")).flat_map(names).collect();
    let printed: BTreeSet<String> = known.iter().filter(|name| !known_part(name, &known)).cloned().collect();
    assert_eq!(table, printed);
    let rules = fs::read_to_string(folder().join("alerts.yml")).unwrap();
    let tests = fs::read_to_string(folder().join("alerts_test.yml")).unwrap();
    let variables = dashboard()["templating"].to_string();
    for (what, text) in [("rules", rules), ("tests", tests), ("variables", variables)] {
        let unknown: Vec<_> = names(&text).into_iter().filter(|name| !known.contains(name)).collect();
        assert!(unknown.is_empty() && !names(&text).is_empty(), "{what}: {unknown:?}");
    }
    for expr in expressions() {
        let unknown: Vec<_> = names(&expr).into_iter().filter(|name| !known.contains(name)).collect();
        assert!(unknown.is_empty() && !names(&expr).is_empty(), "{expr}: {unknown:?}");
    }
}

/// Whether it is a part of a histogram.
fn known_part(name: &str, known: &BTreeSet<String>) -> bool {
    ["_bucket", "_sum", "_count"]
        .iter()
        .any(|part| name.strip_suffix(part).is_some_and(|of| known.contains(of)))
}

#[test]
fn the_dashboard_is_one_that_grafana_takes() {
    let dashboard = dashboard();
    assert_eq!(
        (&dashboard["schemaVersion"], &dashboard["title"]),
        (&39.into(), &"maand: runs of a bucket".into())
    );
    let variables: Vec<_> = dashboard["templating"]["list"].as_array().unwrap().iter().collect();
    assert_eq!((&variables[0]["type"], &variables[0]["name"]), (&"datasource".into(), &"datasource".into()));
    let panels = dashboard["panels"].as_array().unwrap();
    let mut ids = BTreeSet::new();
    let mut taken = BTreeSet::new();
    for panel in panels {
        let title = panel["title"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}: its number is taken");
        assert!(["stat", "timeseries", "table"].contains(&panel["type"].as_str().unwrap()), "{title}");
        let at = |name: &str| panel["gridPos"][name].as_u64().unwrap();
        assert!(at("x") + at("w") <= 24, "{title} is wider than the page");
        for x in at("x")..at("x") + at("w") {
            for y in at("y")..at("y") + at("h") {
                assert!(taken.insert((x, y)), "{title} lies on another");
            }
        }
        let mut refs = BTreeSet::new();
        for target in panel["targets"].as_array().unwrap() {
            assert!(refs.insert(target["refId"].as_str().unwrap()), "{title}");
            for of in [&target["datasource"], &panel["datasource"]] {
                assert_eq!(
                    (&of["type"], &of["uid"]),
                    (&"prometheus".into(), &"${datasource}".into()),
                    "{title}"
                );
            }
        }
        assert!(!panel["fieldConfig"]["defaults"]["unit"].as_str().unwrap().is_empty(), "{title}");
    }
}

#[test]
fn promtool_takes_rules_their_tests_and_what_the_dashboard_asks() {
    let Some(promtool) = tool("promtool") else { return };
    let check = |args: &[&str], folder: &Path| {
        let output = Command::new(&promtool).args(args).current_dir(folder).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.contains("SUCCESS"), "{said}");
        said.into_owned()
    };
    let said = check(&["check", "rules", "alerts.yml"], &folder());
    assert!(said.contains("3 rules found"), "{said}");
    check(&["test", "rules", "alerts_test.yml"], &folder());
    // As rules, which is how promtool reads an expression.
    let rules: Vec<Value> = (0..).zip(expressions()).map(|(at, expr)| rule(at, &expr)).collect();
    let count = rules.len();
    let file = serde_json::json!({"groups": [{"name": "dashboard", "rules": rules}]});
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("rules.yml"), file.to_string()).unwrap();
    let said = check(&["check", "rules", "rules.yml"], dir.path());
    assert!(said.contains(&format!("{count} rules found")), "{said}");
    // It does refuse what is wrong.
    let broken = serde_json::json!({"groups": [{"name": "x", "rules": [rule(0, "sum by (maand_runs")]}]});
    fs::write(dir.path().join("broken.yml"), broken.to_string()).unwrap();
    let output =
        Command::new(&promtool).args(["check", "rules", "broken.yml"]).current_dir(dir.path()).output();
    assert!(!output.unwrap().status.success());
    let output = tools::fed(Command::new(&promtool).args(["check", "metrics"]), "maand_things_seconds 1\n");
    assert!(!output.status.success(), "no help text");
}

fn rule(at: usize, expr: &str) -> Value {
    serde_json::json!({"record": format!("panel:{at}"), "expr": expr})
}

/// Each line of a runbook that begins with `maand` is a command that there is, with options that it has.
#[test]
fn what_a_runbook_says_to_type_can_be_typed() {
    let dir = played::bucket();
    let rules = fs::read_to_string(folder().join("alerts.yml")).unwrap();
    let runbooks = rules.split("runbook: |").skip(1);
    let lines = runbooks.flat_map(str::lines).map(str::trim).filter(|line| line.starts_with("maand "));
    let commands: BTreeSet<&str> = lines.map(|line| line.split("   ").next().unwrap()).collect();
    assert!(commands.len() >= 8, "{commands:?}");
    for command in commands {
        let words: Vec<&str> = command.split(' ').skip(1).chain(["--help"]).collect();
        let output = maand(dir.path(), &words);
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
        let help = String::from_utf8_lossy(&output.stdout).into_owned();
        for option in words.iter().filter(|word| word.starts_with("--")) {
            assert!(help.contains(option), "{command}: {option} in {help}");
        }
    }
}

//! The integration tests, one binary: each module is one area.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod at_stake;
mod book;
mod browser;
mod bucket_cli;
mod bucket_read;
mod bundle;
mod catalog;
mod catalog_faults;
mod ci_examples;
mod completion;
mod deny;
mod docs;
mod docs_commands;
mod doctor;
mod external;
mod footprint;
mod graph;
mod hostile;
mod hostile_text;
mod installer;
mod inventories;
mod journal;
mod json_output;
mod layering;
mod load_balancers;
mod metrics;
mod newcomer;
mod notices;
mod operator_controls;
mod packages;
mod packaging;
mod pending;
mod plan;
mod plan_calendar;
mod plan_diff;
mod recording;
mod redfish;
mod rehearse;
mod release;
mod reviewed;
mod run_apply;
mod run_bench;
mod run_bundle;
mod run_command;
mod run_commands;
mod run_control;
mod run_controller;
mod run_crash;
mod run_edit;
mod run_faults;
mod run_gate;
mod run_going_on;
mod run_history;
mod run_http;
mod run_ipv6;
mod run_journal;
mod run_kernel;
mod run_library;
mod run_local;
mod run_output;
mod run_power;
mod run_prepare;
mod run_reboot;
mod run_silences;
mod run_standby;
mod run_terminal;
mod run_timeline;
mod sandbox;
mod scripts;
mod serve;
mod serve_control;
mod sim;
mod ssh;
mod ssh_faults;
mod ssh_hostile;
mod ssh_hosts;
mod ssh_identity;
mod ssh_shells;
mod ssh_trust;
mod ssh_world;
#[path = "../support/mod.rs"]
mod support;
mod upstream_guide;
mod words;
mod workflows;

/// Waits for a condition; a test that waits for ever names what it waits for.
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !holds() {
        assert!(std::time::Instant::now() < end, "timed out waiting for: {what}");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

/// A JSON document of a command, which has to be as the schema that it names says.
#[track_caller]
pub(crate) fn document(text: &str) -> serde_json::Value {
    let value: serde_json::Value =
        serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let name = value["schema"].as_str().and_then(|name| name.strip_prefix("maand/"));
    let name = name.unwrap_or_else(|| panic!("it names no schema: {text}")).replace("/v", ".v");
    let path = format!("{}/schemas/{name}.schema.json", env!("CARGO_MANIFEST_DIR"));
    let schema = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let validator = jsonschema::validator_for(&serde_json::from_str(&schema).unwrap()).unwrap();
    if let Err(error) = validator.validate(&value) {
        panic!("{path}: {error}: {value:#}");
    }
    value
}

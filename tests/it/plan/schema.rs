//! The JSON Schema: committed as generated, and of one mind with the parser.

use jsonschema::Validator;
use maand::plan::{Severity, code};
use serde_json::Value;

use super::{problems, read, stem, yaml_files};

pub(super) fn validator() -> Validator {
    jsonschema::validator_for(&maand::plan::schema()).unwrap()
}

/// A YAML text as JSON, as an editor's language server sees it.
pub(super) fn json(text: &str) -> Option<Value> {
    // As YAML 1.2: `yes` is a text.
    serde_saphyr::from_str_with_options(text, serde_saphyr::options! { strict_booleans: true }).ok()
}

#[test]
fn the_committed_schema_is_the_generated_one() {
    let path = super::root().join("schemas/plan.v1.schema.json");
    let generated = format!("{:#}\n", maand::plan::schema());
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(&path, &generated).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap();
    assert!(
        committed == generated,
        "run the tests with UPDATE_SCHEMA=1, or: maand plan schema > {}",
        path.display()
    );
}

#[test]
fn the_schema_is_itself_valid() {
    assert!(jsonschema::meta::is_valid(&maand::plan::schema()));
}

#[test]
fn whatever_the_parser_accepts_the_schema_accepts() {
    let validator = validator();
    for folder in ["plans", "tests/cases/plan/ok", "tests/cases/plan"] {
        for path in yaml_files(folder) {
            let bytes = std::fs::read(&path).unwrap();
            let (Some(source), Ok(_)) = read(stem(&path), &bytes) else { continue };
            let document = json(source.text()).unwrap_or_else(|| panic!("{} is not YAML", path.display()));
            let errors: Vec<String> =
                validator.iter_errors(&document).map(|e| format!("{} at {}", e, e.instance_path())).collect();
            assert!(errors.is_empty(), "{}: {errors:#?}", path.display());
        }
    }
}

/// Codes of problems that a schema can see: shapes, types, words and ranges.
const SEEN: &[&str] = &[
    code::UNKNOWN_KEY,
    code::MISSING_KEY,
    code::WRONG_TYPE,
    code::NO_VALUE,
    code::BAD_NUMBER,
    code::BAD_DURATION,
    code::BAD_PERCENTAGE,
    code::BAD_TIME,
    code::UNKNOWN_VALUE,
    code::EMPTY_LIST,
    code::EMPTY_TEXT,
    code::BAD_VERSION,
    code::BAD_NAME,
    code::BAD_ID,
    code::BAD_HOST,
    code::BAD_JOB,
    code::BAD_ENV,
    code::BAD_VARIABLE,
    code::WINDOW_NEVER_OPENS,
    code::BUDGET_BOUNDS,
    code::NO_STEPS,
    code::UNKNOWN_STEP,
    code::STEP_WITHOUT_KIND,
    code::SEVERAL_KINDS,
    code::NOT_ONCE,
    code::NOT_IN_PREPARE,
    code::COMMAND_OR_SCRIPT,
];

#[test]
fn what_a_schema_can_know_it_flags() {
    let validator = validator();
    let mut seen = 0;
    for path in yaml_files("tests/cases/plan") {
        let wanted = format!("maand::plan::{}", stem(&path).split('.').next().unwrap());
        if !SEEN.contains(&wanted.as_str()) {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        // `undefined: ,` and the like are for the parser alone.
        let Some(document) = json(&text) else { continue };
        assert!(!validator.is_valid(&document), "the schema accepts {}", path.display());
        seen += 1;
    }
    assert!(seen >= SEEN.len() - 1, "only {seen} cases were looked at");
}

/// One mistake each; the parser and the schema both refuse it.
#[test]
fn typical_mistakes_are_refused_by_both() {
    let validator = validator();
    let mistakes = [
        ("an unknown key", "rolout: {}"),
        ("a key of rollout one level too high", "concurrency: 2"),
        ("a wrong type", "rollout: {concurrency: [1]}"),
        ("YAML 1.1 no", "targets: {workers: no}"),
        ("a duration without a unit", "rollout: {soak: 30}"),
        ("a duration with a wrong unit", "rollout: {soak: 1d}"),
        ("a duration in the wrong order", "rollout: {soak: 30m1h}"),
        ("an empty duration", "rollout: {soak: ''}"),
        ("an unknown kind", "steps: [rebot]"),
        ("an unknown kind with options", "steps: [{rebot: {}}]"),
        ("two kinds", "steps: [{disable: , deploy: }]"),
        ("no kind", "steps: [{timeout: 5m}]"),
        ("an option beside its kind", "steps: [{deploy: , force: true}]"),
        ("a key of the step among the options", "steps: [{deploy: {timeout: 5m}}]"),
        ("options of a kind that has none", "steps: [{build: {x: 1}}]"),
        ("a percentage over 100", "rollout: {concurrency: 101%}"),
        ("a broken percentage", "rollout: {waves: [12.5%]}"),
        ("a wave without workers", "rollout: {waves: [0]}"),
        ("a wave that covers nothing", "rollout: {waves: [{cover: []}, rest]}"),
        ("a wave that covers a word", "rollout: {waves: [{cover: zone}, rest]}"),
        ("a wave of at most none", "rollout: {waves: [{cover: [zone], at_most: 0}, rest]}"),
        ("a wave with a limit alone", "rollout: {waves: [{at_most: 2}, rest]}"),
        ("no waves", "rollout: {waves: []}"),
        ("no worker at a time", "rollout: {concurrency: 0}"),
        ("a number as text", "rollout: {concurrency: '2'}"),
        ("a truth value of YAML 1.1", "steps: [{deploy: {force: yes}}]"),
        ("a bare run", "steps: [run]"),
        ("run with a text", "steps: [{run: uptime}]"),
        ("run with both", "steps: [{run: {command: a, script: b}}]"),
        ("a worker's step in before", "before: [disable]"),
        ("a reboot in prepare", "prepare: {steps: [reboot]}"),
        ("prepare as a list", "prepare: [health]"),
        ("prepare without steps", "prepare: {concurrency: 2}"),
        ("nobody is prepared", "prepare: {concurrency: 0, steps: [health]}"),
        ("prepare with a key of rollout", "prepare: {soak: 1m, steps: [health]}"),
        ("when in after", "after: [{health: , when: {labels: [a]}}]"),
        ("an option for ssh as host", "targets: {workers: ['-oProxyCommand=x']}"),
        ("a path as job", "targets: {jobs: ['../x']}"),
        ("both bounds", "rollout: {budgets: [{job: a, min_available: 1, max_unavailable: 1}]}"),
        ("no bound", "rollout: {budgets: [{job: a}]}"),
        ("an unknown order", "rollout: {order: random}"),
        ("a day in full", "rollout: {window: {timezone: UTC, open: '1:00', close: '2:00', days: [monday]}}"),
        ("no time zone", "rollout: {window: {open: '1:00', close: '2:00'}}"),
        ("a time that is none", "rollout: {window: {timezone: UTC, open: '24:00', close: '2:00'}}"),
        ("no attempts", "defaults: {retries: {attempts: 0}}"),
        ("a shrinking backoff", "defaults: {retries: {backoff: 0.5}}"),
        ("no failure domain", "rollout: {spread: {tag: zone, at_most: 0}}"),
        ("a map as variable", "vars: {a: {b: c}}"),
        ("a name that is no variable", "vars: {my-var: 1}"),
        ("another version", "version: 2"),
        ("a name with spaces", "name: my plan"),
    ];
    for (what, line) in mistakes {
        let key = line.split(':').next().unwrap();
        let rest: Vec<&str> = ["version: 1", "name: case", "steps: [deploy]"]
            .into_iter()
            .filter(|other| other.split(':').next() != Some(key))
            .collect();
        let text = format!("{}\n{line}\n", rest.join("\n"));
        let (_, result) = read("case", text.as_bytes());
        let errors = problems(&result).iter().filter(|problem| problem.severity == Severity::Error).count();
        assert!(errors > 0, "the parser accepts {what}: {line}");
        let document = json(&text).unwrap_or_else(|| panic!("{what} is not YAML: {line}"));
        assert!(!validator.is_valid(&document), "the schema accepts {what}: {line}");
    }
}

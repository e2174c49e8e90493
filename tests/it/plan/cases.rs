//! Every problem code has a case; its message, rendered, is a snapshot.

use maand::plan::{Plan, code};
use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme};
use serde_json::{Value, json};

use super::{problems, read, stem, yaml_files};

fn render(diagnostic: &dyn Diagnostic) -> String {
    let handler = GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor()).with_width(100);
    let mut text = String::new();
    handler.render_report(&mut text, diagnostic).unwrap();
    text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

/// The model of a plan without places and text.
fn model(plan: &Plan) -> Value {
    let mut model = json!({
        "name": plan.name,
        "description": plan.description,
        "vars": plan.vars,
        "targets": plan.targets,
        "rollout": plan.rollout,
        "before": plan.before,
        "steps": plan.steps,
        "after": plan.after,
    });
    if let Some(prepare) = &plan.prepare {
        model["prepare"] = json!(prepare);
    }
    if plan.notify != Default::default() {
        model["notify"] = json!(plan.notify);
    }
    model
}

/// `unknown_key` of `unknown_key.yaml` and of `unknown_key.deep.yaml`.
fn code_of(stem: &str) -> String {
    format!("maand::plan::{}", stem.split('.').next().unwrap())
}

#[test]
fn every_case_gives_its_problem() {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(super::root().join("tests/cases/plan/snapshots"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    for path in yaml_files("tests/cases/plan") {
        let stem = stem(&path);
        let (_, result) = read(&format!("{stem}.yaml"), &std::fs::read(&path).unwrap());
        let problems = problems(&result);
        assert!(problems.iter().any(|problem| problem.code == code_of(stem)), "{stem}: {problems:#?}");
        for problem in &problems {
            assert!(problem.help.is_some(), "{stem}: no help: {problem:?}");
            assert!(
                code::ALL.contains(&problem.code),
                "{stem}: {} is not in the list of codes",
                problem.code
            );
        }
        let text: Vec<String> = problems.iter().map(|problem| render(problem)).collect();
        settings.bind(|| insta::assert_snapshot!(stem, text.join("\n")));
    }
}

#[test]
fn every_code_has_a_case() {
    let cases: Vec<String> = yaml_files("tests/cases/plan").iter().map(|path| code_of(stem(path))).collect();
    let missing: Vec<&&str> =
        code::ALL.iter().filter(|code| !cases.iter().any(|case| case == *code)).collect();
    assert!(missing.is_empty(), "no case under tests/cases/plan for {missing:?}");
}

#[test]
fn the_style_of_the_yaml_changes_nothing() {
    let read = |path: &std::path::Path| {
        let (_, result) = read(stem(path), &std::fs::read(path).unwrap());
        model(&result.unwrap_or_else(|problems| panic!("{}: {}", path.display(), render(&problems))))
    };
    let files = yaml_files("tests/cases/plan/ok");
    let expected = read(files.iter().find(|path| stem(path) == "everything").unwrap());
    let variants: Vec<_> = files.iter().filter(|path| stem(path).starts_with("everything.")).collect();
    assert!(variants.len() >= 5);
    for path in variants {
        assert_eq!(read(path), expected, "{}", path.display());
    }
}

#[test]
fn accepted_cases_give_their_model() {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(super::root().join("tests/cases/plan/snapshots"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    for path in yaml_files("tests/cases/plan/ok") {
        let stem = stem(&path);
        if stem.starts_with("everything.") {
            continue;
        }
        let (_, result) = read(stem, &std::fs::read(&path).unwrap());
        let plan = result.unwrap_or_else(|problems| panic!("{stem}: {}", render(&problems)));
        let text = format!("{:#}", model(&plan));
        settings.bind(|| insta::assert_snapshot!(format!("ok_{stem}"), text));
    }
}

#[test]
fn the_plans_that_ship_are_valid() {
    let files = yaml_files("plans");
    assert_eq!(files.len(), 6);
    for path in files {
        let (_, result) = read(stem(&path), &std::fs::read(&path).unwrap());
        let plan = result.unwrap_or_else(|problems| panic!("{}: {}", path.display(), render(&problems)));
        assert_eq!(plan.name, stem(&path));
        let expected: &[&str] = if plan.name == "fleet-reboot" { &[code::REBOOT_WITHOUT_DRAIN] } else { &[] };
        assert_eq!(
            plan.warnings.iter().map(|warning| warning.code).collect::<Vec<_>>(),
            expected,
            "{}",
            plan.name
        );
    }
}

//! From text to a plan, or to everything that is wrong with it.

use super::check::{Needs, check};
use super::decode::{Draft, DraftStep, decode};
use super::yaml;
use super::{Plan, Problem, Problems, Source, Step, code};

/// More are counted, not shown: no reader gets that far, and each costs a search through the text.
const MAX_PROBLEMS: usize = 100;

/// Reads a plan; `overrides` are the `--set name=value` of the command line, the last of a name wins.
///
/// ```
/// use maand::plan::{Source, parse};
///
/// let text = "version: 1\nname: tidy\nsteps:\n  - run: {command: apt-get clean, idempotent: true}\n";
/// let plan = parse(&Source::new("tidy.yaml", text), &[]).expect("a valid plan");
/// assert_eq!(plan.steps[0].id, "run");
///
/// let problems = parse(&Source::new("tidy.yaml", text.replace("run", "rnu")), &[]).unwrap_err();
/// assert_eq!(problems.iter().next().unwrap().code, "maand::plan::unknown_step");
/// ```
///
/// # Errors
/// Every problem that can be found, warnings too, sorted by place, when at least one is an error. A plan
/// that is only doubtful is returned with its warnings in [`Plan::warnings`].
pub fn parse(source: &Source, overrides: &[(String, String)]) -> Result<Plan, Problems> {
    let mut problems = Problems::new();
    let Some(root) = yaml::read(source, &mut problems) else {
        return Err(problems);
    };
    let (draft, found) = decode(source, &root, overrides);
    problems.extend(found);
    let orders = check(source, &draft, &mut problems);
    problems.sort();
    let warnings = shortened(source, problems).into_result()?;
    let Draft { name, description, vars, targets, rollout, silence, notify, before, prepare, steps, after } =
        draft;
    let plan = (|| {
        Some(Plan {
            source: source.clone(),
            name: name?,
            description,
            vars,
            targets,
            rollout,
            silence,
            notify,
            before: finish(before, orders.before)?,
            prepare,
            steps: finish(steps, orders.steps)?,
            after: finish(after, orders.after)?,
            warnings,
        })
    })();
    // Whatever is missing has been reported as an error above; should one ever not have been, the plan
    // is still refused and not run in part.
    plan.ok_or_else(|| {
        Problem::error(code::SYNTAX, "the plan could not be understood")
            .in_file(source)
            .help("this is a bug in maand: please report it together with the plan")
            .into()
    })
}

/// The steps of the model; `None` when one was refused.
fn finish(drafts: Vec<DraftStep>, needs: Needs) -> Option<Vec<Step>> {
    let finish = |(draft, needs): (DraftStep, Vec<usize>)| {
        Some(Step {
            id: draft.id,
            name: draft.name,
            kind: draft.kind?,
            needs,
            timeout: draft.timeout.map(|timeout| timeout.value),
            retries: draft.retries,
            when: draft.when,
            on_failure: draft.on_failure.value,
            prepares: draft.prepares,
            span: draft.span,
        })
    };
    drafts.into_iter().zip(needs).map(finish).collect()
}

/// The first [`MAX_PROBLEMS`], errors before warnings where there are more, and how many were left out.
fn shortened(source: &Source, problems: Problems) -> Problems {
    let total = problems.iter().count();
    if total <= MAX_PROBLEMS {
        return problems;
    }
    let errors = |error: bool| {
        problems.iter().filter(move |problem| (problem.severity == super::Severity::Error) == error).cloned()
    };
    let mut shown = Problems::new();
    for problem in errors(true).chain(errors(false)).take(MAX_PROBLEMS) {
        shown.push(problem);
    }
    shown.sort();
    let more = total - shown.iter().count();
    let note = format!("{more} more problems are not shown");
    let note = if shown.has_errors() {
        Problem::error(code::TOO_MANY_PROBLEMS, note)
    } else {
        Problem::warning(code::TOO_MANY_PROBLEMS, note)
    };
    shown.push(note.in_file(source).help("fix those above and check again"));
    shown
}

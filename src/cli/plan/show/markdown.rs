//! A plan for a pull request that has nothing to compare it with: what it would do in a few lines, all else folded.

use super::commands::{EnvJson, RolloutGate, commands, env, in_words, rollout_gates};
use super::describe::{describe_halt, details};
use super::json::jobs;
use super::{Shown, pending_lines, probe, sentence};
use crate::cli::markdown::{Section, code, document};
use crate::compare::ranges;
use crate::graph::{Lane, RolloutGraph, StepIx, TargetIx};
use crate::plan::{Problem, Severity, Step, StepKind, counted, duration};
use crate::policy::Exposure;
use crate::report::describe_span;

/// Where to see what is left out.
const MORE: &str = "<code>maand plan show --format json</code> has all of it";

pub(super) fn render(shown: &Shown<'_>) -> String {
    let graph = shown.graph;
    let mut sections = vec![
        problems(shown),
        at_stake(graph),
        waves(graph),
        steps(graph),
        texts(graph),
        pending(shown),
        touched(graph),
    ];
    sections.extend(shown.probed.iter().flat_map(probe::markdown));
    document(&head(shown.graph), &headline(shown), &sections, MORE)
}

fn head(graph: &RolloutGraph) -> String {
    let about = graph.plan.description.as_deref().map(|text| format!("\n\n<p>{}</p>", code(text)));
    format!("<h3>Plan {}</h3>{}\n", code(&graph.plan.name), about.unwrap_or_default())
}

/// What it comes to, in a few sentences.
fn headline(shown: &Shown<'_>) -> Vec<String> {
    let graph = shown.graph;
    let (forecast, numbers) = (shown.forecast, graph.numbers());
    let mut items = Vec::new();
    let fleet = counted(graph.selection().fleet as usize, "worker");
    let made_up = if graph.fleet.synthetic { " of a made-up fleet" } else { "" };
    let waves = counted(graph.waves.len(), "wave");
    items.push(format!("{} of {fleet}{made_up}, in {waves}", graph.targets.len()));
    items.push(match &numbers.concurrency {
        None => "as many at a time as budgets, spread and wave allow".to_owned(),
        Some(resolved) => format!("{} at a time", counted(resolved.value as usize, "worker")),
    });
    items.push(match Exposure::of(graph).run.down {
        0 => "no worker goes down".to_owned(),
        down => format!("at most {down} down at once"),
    });
    items.push(describe_halt(numbers.max_failures.value, &numbers.max_failures.value.to_string()));
    match (forecast.stuck, &shown.expected) {
        (Some(stuck), _) => {
            items.push(format!("<b>never ends</b>: {} is never admitted", code(graph.host(stuck))));
        }
        (None, Some(expected)) => items.push(format!("takes about {}", describe_span(expected.millis))),
        (None, None) => {}
    }
    items
}

fn problems(shown: &Shown<'_>) -> Section {
    let all: Vec<&Problem> = shown.graph.warnings.iter().chain(shown.feasibility.iter()).collect();
    let mut section = Section::list(&format!("Problems: {}", all.len())).opened();
    for problem in all {
        let severity = match problem.severity {
            Severity::Error => "<b>error</b>",
            Severity::Warning => "warning",
        };
        section.item(&format!("{severity}: {}", code(&problem.message)));
    }
    section
}

/// How much may be down at once.
fn at_stake(graph: &RolloutGraph) -> Section {
    let mut section = Section::list("At stake").opened();
    let exposure = Exposure::of(graph);
    if exposure.run.down == 0 {
        section.item("nothing: no worker goes down");
        return section;
    }
    section.item(&format!("all: {}", code(&sentence(graph, " workers", &exposure.run))));
    for job in &exposure.jobs {
        let (name, keeps) = (code(graph.fleet.job(job.job).name.as_str()), job.keeps_without_a_worker);
        let zone = job.without_a_zone.as_ref();
        let zone = zone.map(|zone| format!("; if zone {} does, {}", code(&zone.zone), zone.keeps));
        section.item(&format!(
            "job {name}: {}; if one more worker goes down meanwhile, it keeps {keeps}{}",
            code(&sentence(graph, "", &job.stake)),
            zone.unwrap_or_default()
        ));
    }
    for zone in &exposure.zones {
        let text = code(&sentence(graph, " workers", &zone.stake));
        section.item(&format!("zone {}: {text}", code(&zone.zone)));
    }
    section
}

/// What its deploys carry out besides.
fn pending(shown: &Shown<'_>) -> Section {
    let lines = shown.pending.map(|pending| pending_lines(pending, usize::MAX)).unwrap_or_default();
    let mut section = Section::list(&format!("Pending in the workspace: {}", lines.len()));
    lines.iter().for_each(|line| section.item(&code(line)));
    section
}

fn waves(graph: &RolloutGraph) -> Section {
    const SHOWN: usize = 40;
    let mut section = Section::table("Workers and waves", &["wave", "workers", "hosts"]);
    for (number, wave) in graph.waves.iter().enumerate() {
        let hosts = ranges(wave.clone().map(|at| graph.host(TargetIx(at))));
        let mut cell = hosts.iter().take(SHOWN).map(|range| code(range)).collect::<Vec<_>>().join(", ");
        if hosts.len() > SHOWN {
            cell += &format!(", and {} more", hosts.len() - SHOWN);
        }
        section.row(&[(number + 1).to_string(), (wave.end - wave.start).to_string(), cell]);
    }
    section
}

/// All steps with the key of their list and their place in their lane.
fn lists(graph: &RolloutGraph) -> impl Iterator<Item = (&'static str, usize, &Step)> {
    let lanes = [Lane::Before, Lane::Worker(TargetIx(0)), Lane::After];
    lanes.into_iter().flat_map(move |lane| {
        let steps = graph.steps(lane).iter().enumerate();
        steps.map(move |(at, step)| (graph.list(lane, StepIx(at as u32)), at, step))
    })
}

fn steps(graph: &RolloutGraph) -> Section {
    let mut section = Section::table("Steps", &["", "step", "kind", "timeout", ""]).opened();
    for (list, at, step) in lists(graph) {
        let timeout = match (step.timeout, &step.kind) {
            (Some(timeout), _) => duration(timeout),
            (None, StepKind::Pause { duration: of }) => duration(*of),
            (None, _) => "no limit".to_owned(),
        };
        let mut notes = Vec::new();
        let what = details(&step.kind);
        if !what.is_empty() {
            notes.push(code(&what));
        }
        if matches!(list, "prepare" | "steps") {
            let on = graph.targets.iter().filter(|target| target.applies[at]).count();
            if on < graph.targets.len() {
                notes.push(format!("only on {on} of {}", counted(graph.targets.len(), "worker")));
            }
            if step.kind.traits().disturbs {
                notes.push("takes its worker down".to_owned());
            }
        }
        let row =
            [list.to_owned(), code(&step.id), step.kind.keyword().to_owned(), timeout, notes.join("; ")];
        section.row(&row);
    }
    section
}

/// All that a shell gets: whoever reviews a plan approves what it executes.
fn texts(graph: &RolloutGraph) -> Section {
    let mut section = Section::blocks("Commands").opened();
    let with = |env: Vec<EnvJson<'_>>| {
        let variable = |variable: &EnvJson<'_>| code(&in_words(variable));
        let variables: Vec<String> = env.iter().map(variable).collect();
        if variables.is_empty() { String::new() } else { format!(", with {}", variables.join(", ")) }
    };
    for RolloutGate { place, parts, env, .. } in rollout_gates(&graph.plan) {
        let with = with(env);
        for command in parts {
            section.text(&format!("rollout: {} ({}{with})", code(&place), command.part), &command.text);
        }
    }
    for (list, _, step) in lists(graph) {
        let with = with(env(step));
        for command in commands(step) {
            let title = format!("{list}: {} ({}{with})", code(&step.id), command.part);
            section.text(&title, &command.text);
        }
    }
    if let Some(silence) = &graph.plan.silence {
        section.text("silence", &silence.to_string());
    }
    for (target, what) in graph.plan.notify.describe() {
        section.text(&code(&target), &what);
    }
    section
}

fn touched(graph: &RolloutGraph) -> Section {
    let touched = jobs(graph);
    let title = format!("Jobs touched: {}", touched.len());
    let headings = ["job", "allocations on these workers", "of", "stay available"];
    let mut section = Section::table(&title, &headings);
    for job in touched {
        let stays = job.stays_available.map_or_else(|| "no budget".to_owned(), |stays| stays.to_string());
        section.row(&[code(job.job), job.on_targets.to_string(), job.allocations.to_string(), stays]);
    }
    section
}

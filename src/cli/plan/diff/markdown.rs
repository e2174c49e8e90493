//! A comparison for a pull request: what matters most in a few lines, all else folded.

use super::text::{NONE, in_words, mark};
use super::{Compared, Side};
use crate::cli::markdown::{Section, code, document};
use crate::compare::{Change, Effect, StepChange, StepHow, Workers, ranges};
use crate::plan::counted;

/// Where to see what is left out.
const MORE: &str = "<code>maand plan diff --all</code> shows everything";

pub(super) fn render(compared: &Compared) -> String {
    let diff = &compared.diff;
    let mut sections = vec![changes("Limits", &diff.limits)];
    sections.extend(diff.workers.as_ref().map(workers));
    sections.extend(steps(&diff.steps));
    sections.push(changes("Variables", &diff.vars));
    sections.push(changes("Jobs on workers that go down", &diff.jobs));
    sections.push(changes("May be down at once, at most", &diff.exposure));
    sections.push(changes("Pending in the workspace", &diff.pending));
    let mut reviewed = Section::list("Between the two reviews");
    diff.reviewed.iter().for_each(|line| reviewed.item(&code(line)));
    sections.push(reviewed);
    sections.push(changes("Time", &diff.time.iter().map(in_words).collect::<Vec<_>>()));
    sections.push(changes("Plan", &diff.plan));
    document(&head(compared), &headline(compared), &sections, MORE)
}

fn head(compared: &Compared) -> String {
    let diff = &compared.diff;
    let mut lines = vec![
        format!("<h3>Plan {}</h3>", code(&compared.new.outline.plan)),
        format!("<p>From {}<br>to {}</p>", side(&compared.old), side(&compared.new)),
    ];
    if !diff.different {
        lines.push("<p>No difference in what they would do.</p>".to_owned());
    }
    lines.join("\n\n") + "\n"
}

/// Notes, and what matters most.
fn headline(compared: &Compared) -> Vec<String> {
    let notes = compared.notes.iter().map(|note| format!("\u{26a0} {}", code(note)));
    let headline = compared.diff.headline.iter().map(|line| {
        let mark = match line.effect {
            Effect::Looser => "<b>looser</b>: ",
            Effect::Stricter => "stricter: ",
            Effect::Neutral => "",
        };
        format!("{mark}{}", line.render(code))
    });
    notes.chain(headline).collect()
}

fn side(side: &Side) -> String {
    let on = match &side.outline.on_fleet {
        Some(on) => format!(" on {} of {}", on.workers.len(), counted(on.fleet as usize, "worker")),
        None => String::new(),
    };
    format!("{} {}{on}", side.what, code(&side.name))
}

fn changes(title: &str, changes: &[Change]) -> Section {
    let title = format!("{title}: {} changed", changes.len());
    let mut section = Section::table(&title, &["", "old", "new", ""]);
    for change in changes {
        let cell = |side: &Option<String>| side.as_deref().map_or_else(|| NONE.to_owned(), code);
        section.row(&[
            code(&change.name),
            cell(&change.old),
            cell(&change.new),
            word(change.effect).to_owned(),
        ]);
    }
    section
}

fn word(effect: Effect) -> &'static str {
    match effect {
        Effect::Looser => "<b>looser</b>",
        Effect::Stricter => "stricter",
        Effect::Neutral => "",
    }
}

fn workers(workers: &Workers) -> Section {
    let mut section = Section::list(&format!("Workers: {} to {}", workers.old, workers.new));
    let lists =
        [("added", &workers.added), ("left out", &workers.removed), ("moved in the order", &workers.moved)];
    for (what, hosts) in lists.iter().filter(|(_, hosts)| !hosts.is_empty()) {
        section.item(&format!("{} {what}: {}", counted(hosts.len(), "worker"), in_ranges(hosts)));
    }
    for wave in &workers.waves {
        let side =
            |side: Option<u32>| side.map_or_else(|| NONE.to_owned(), |size| counted(size as usize, "worker"));
        section.item(&format!("wave {}: {} to {}", wave.number, side(wave.old), side(wave.new)));
    }
    for change in &workers.changed {
        let (old, new, hosts) = (code(&change.old), code(&change.new), in_ranges(&change.hosts));
        section.item(&format!("{}: {old} to {new}: {hosts}", change.what));
    }
    section
}

/// A list that a reader can take in; the text has all of it.
fn in_ranges(hosts: &[String]) -> String {
    const SHOWN: usize = 40;
    let all = ranges(hosts.iter().map(String::as_str));
    let mut text = all.iter().take(SHOWN).map(|range| code(range)).collect::<Vec<_>>().join(", ");
    if all.len() > SHOWN {
        text += &format!(", and {} more", all.len() - SHOWN);
    }
    text
}

/// What happened to the steps, and the commands among it in full.
fn steps(steps: &[StepChange]) -> [Section; 2] {
    let title = format!("Steps: {} changed", steps.len());
    let mut table = Section::table(&title, &["", "step", "what", "old", "new", ""]);
    let mut texts = Section::blocks("Commands and scripts that changed");
    for step in steps {
        let from =
            step.renamed_from.as_deref().map(|from| format!(", was {}", code(from))).unwrap_or_default();
        let down = if step.disturbs { ", takes its worker down" } else { "" };
        let name = format!("{}: {} ({}{down}{from})", step.list, code(&step.id), step.kind);
        let how = match step.how {
            StepHow::Added => "added",
            StepHow::Removed => "removed",
            StepHow::Changed => "changed",
            StepHow::Moved => "moved",
        };
        let mark = mark(step.how).trim_end_matches(':').to_owned();
        let (in_table, as_texts): (Vec<&Change>, Vec<&Change>) =
            step.fields.iter().partition(|field| !is_text(field));
        if step.how != StepHow::Changed {
            let given = |side: fn(&Change) -> &Option<String>| {
                let options = in_table
                    .iter()
                    .filter_map(|field| side(field).as_deref().map(|text| (&field.name, text)));
                options.map(|(name, text)| code(&format!("{name}: {text}"))).collect::<Vec<_>>().join(", ")
            };
            let (old, new) = (given(|field| &field.old), given(|field| &field.new));
            table.row(&[mark.clone(), name.clone(), how.to_owned(), old, new, word(step.effect).to_owned()]);
        } else {
            for field in in_table {
                let cell = |side: &Option<String>| side.as_deref().map_or_else(|| NONE.to_owned(), code);
                let (old, new) = (cell(&field.old), cell(&field.new));
                let effect = word(field.effect).to_owned();
                table.row(&[mark.clone(), name.clone(), code(&field.name), old, new, effect]);
            }
        }
        for field in as_texts {
            let title = format!("{mark}: {} of {name}", code(&field.name));
            let (old, new) = (field.old.as_deref(), field.new.as_deref());
            texts.changed_text(&title, old.unwrap_or_default(), new.unwrap_or_default());
        }
    }
    [table.opened(), texts.opened()]
}

/// What a shell gets is read line by line.
fn is_text(field: &Change) -> bool {
    let long =
        |side: &Option<String>| side.as_ref().is_some_and(|side| side.contains('\n') || side.len() > 80);
    long(&field.old)
        || long(&field.new)
        || matches!(field.name.as_str(), "command" | "undo" | "unless" | "script text")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::cli::markdown::tests::skeleton;
    use crate::compare::{
        Diff, JobOutline, OnFleet, Outline, Setting, StakeOutline, StepOutline, Times, WorkerOutline,
    };

    /// With this text wherever a plan, a fleet or a file can have one of its own. `side` makes the two differ.
    fn outline(text: &str, side: &str) -> Outline {
        let own = |what: &str| format!("{what}{side}{text}");
        let of = |name: &str, value: String| BTreeMap::from([(format!("{name}{text}"), value)]);
        let step =
            |id: String, fields| StepOutline { id, kind: "run", disturbs: true, fields, applies_to: Some(1) };
        let worker = |host: String, wave| WorkerOutline {
            host,
            wave,
            jobs: vec![own("job")],
            skips: vec![own("skip")],
            already_disabled: false,
        };
        let setting = |name: &str, shown: String, leeway| Setting {
            name: format!("{name}{text}"),
            shown,
            number: Some(1),
            leeway,
            absent: None,
            unit: String::new(),
        };
        let leeway = if side == "a" { 1 } else { 2 };
        let script = BTreeMap::from([("command".to_owned(), format!("{text}\n{side}\n{text}"))]);
        Outline {
            plan: own("p"),
            description: Some(own("d")),
            notify: of("t", own("target")),
            vars: of("v", own("v")),
            written: Vec::new(),
            lists: [
                vec![step(format!("same{text}"), of("f", own("f")))],
                Vec::new(),
                vec![step(format!("text{text}"), script.clone()), step(own("alone"), script)],
                Vec::new(),
            ],
            pending: Some(of("j", own("line"))),
            on_fleet: Some(OnFleet {
                fleet: 2,
                graph_hash: String::new(),
                settings: vec![setting("limit", own("l"), Some(leeway)), setting("other", own("o"), None)],
                workers: vec![worker(format!("h{text}"), leeway as u32), worker(own("w"), 1)],
                waves: vec![leeway as u32],
                jobs: vec![
                    JobOutline { job: own("new"), allocations: 1, on_targets: 1 },
                    JobOutline { job: format!("both{text}"), allocations: 2, on_targets: leeway as u32 },
                ],
                stakes: vec![StakeOutline { what: format!("job {text}"), down: leeway as u32, of: 2 }],
                times: Times { rounds: leeway as u32, ..Times::default() },
            }),
        }
    }

    fn rendered(text: &str) -> String {
        let side = |which| Side {
            what: "plan",
            name: format!("{which}{text}"),
            outline: outline(text, which),
            reviewed: None,
        };
        let (old, new) = (side("a"), side("b"));
        let diff = Diff::between(&old.outline, &new.outline).with_reviewed(vec![text.to_owned()]);
        render(&Compared { old, new, diff, notes: vec![text.to_owned()] })
    }

    proptest! {
        /// Whatever a host, a step, a job, a variable, a limit, a command or a file is called: the same elements.
        #[test]
        fn no_name_is_markup(text in "(\\PC|[<>&@`|\\[\\]()!#*_~\r \t-]|</pre>|</code>|<!--|```|@team|\\]\\(|www\\.){0,8}") {
            let (plain, hostile) = (skeleton(&rendered("x")), skeleton(&rendered(&text)));
            prop_assert!(plain.len() > 100);
            prop_assert_eq!(plain, hostile);
        }
    }

    #[test]
    fn it_fits_into_a_comment_however_long_names_are() {
        for text in ["@".repeat(10_000), "\n@".repeat(10_000), "\u{1f7e5}".repeat(10_000)] {
            let text = rendered(&text);
            skeleton(&text);
            assert!(text.len() <= 60_000, "{}", text.len());
        }
    }

    #[test]
    fn a_hostile_line_feed_is_no_paragraph() {
        for text in ["\n\n@team\n\n", "\n\n<img>\n", "a\n\n```\nb"] {
            skeleton(&rendered(text));
        }
    }
}

//! Whatever the text: reading it ends, never panics, and all places lie inside of it.

use std::sync::LazyLock;

use maand::plan::{Problem, Source, bare_host, is_host_name, is_job_name, parse, source_from_bytes};
use miette::{GraphicalReportHandler, GraphicalTheme};
use proptest::prelude::*;

/// Made once: it is looked at for every text that is a valid plan.
static SCHEMA: LazyLock<jsonschema::Validator> = LazyLock::new(super::schema::validator);

/// Holds for every text.
fn holds(bytes: &[u8]) -> Result<(), TestCaseError> {
    let problems = match source_from_bytes("plan.yaml", bytes) {
        Err(problem) => vec![problem],
        Ok(source) => {
            let result = parse(&source, &[]);
            if let Ok(plan) = &result {
                let document = super::schema::json(source.text());
                let flagged = document.as_ref().and_then(|document| SCHEMA.validate(document).err());
                prop_assert!(
                    flagged.is_none(),
                    "the schema does not accept it: {flagged:?}\n{}",
                    source.text()
                );
                let steps = plan.before.iter().chain(&plan.steps).chain(&plan.after);
                for step in steps {
                    prop_assert!(source.text().get(step.span.clone()).is_some(), "the place of {}", step.id);
                }
                for list in [&plan.before, &plan.steps, &plan.after] {
                    for step in list {
                        prop_assert!(step.needs.iter().all(|need| *need < list.len()));
                    }
                }
            }
            let found: Vec<Problem> = super::problems(&result);
            for problem in &found {
                for (span, _) in problem.labels_in_bytes() {
                    prop_assert!(source.text().get(span.clone()).is_some(), "{span:?} of {problem:?}");
                }
            }
            found
        }
    };
    let handler = GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor());
    for problem in &problems {
        let mut text = String::new();
        prop_assert!(handler.render_report(&mut text, problem).is_ok(), "{problem:?}");
        prop_assert!(!text.contains("Failed to read contents"), "{text}");
        prop_assert!(problem.help.is_some(), "{problem:?}");
    }
    Ok(())
}

/// The valid plans, from which mutations start.
fn seeds() -> Vec<String> {
    let files = ["plans", "tests/cases/plan/ok"].into_iter().flat_map(super::yaml_files);
    files.map(|path| std::fs::read_to_string(path).unwrap()).collect()
}

/// What is put into a valid plan.
fn splinter() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "\n",
            "\r\n",
            "\t",
            " ",
            "  ",
            ":",
            ": ",
            "- ",
            "-",
            "[",
            "]",
            "{",
            "}",
            ",",
            "#",
            "\"",
            "'",
            "|",
            ">",
            "&a ",
            "*a",
            "!",
            "!!str ",
            "%",
            "@",
            "`",
            "~",
            "null",
            "no",
            "99999999999999999999",
            "-1",
            "0",
            "101%",
            "${",
            "${x}",
            "${jobs}",
            "$${",
            "ü",
            "日本",
            "\u{feff}",
            "\u{0}",
            "\u{1b}",
            "\u{85}",
            "\u{2028}",
            "---\n",
            "...\n",
            "? ",
            "<<: ",
            "steps:",
            "needs: [a]",
            "id: a",
            "reboot",
            "enable",
        ])
        .prop_map(str::to_owned),
        "\\PC{0,8}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        holds(&bytes)?;
    }

    #[test]
    fn any_text(text in "(?s).{0,400}") {
        holds(text.as_bytes())?;
    }

    #[test]
    fn text_that_looks_like_yaml(parts in prop::collection::vec(splinter(), 0..60)) {
        holds(parts.concat().as_bytes())?;
    }

    #[test]
    fn plans_with_things_put_in_and_taken_out(
        seed in prop::sample::select(seeds()),
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..6, splinter()), 1..6),
    ) {
        let mut text = seed;
        for (at, removed, put_in) in edits {
            let boundaries: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
            let start = at.index(boundaries.len());
            let end = (start + removed).min(boundaries.len() - 1);
            text.replace_range(boundaries[start]..boundaries[end], &put_in);
        }
        holds(text.as_bytes())?;
    }

    #[test]
    fn overrides_of_any_kind(name in "[a-z]{1,5}|jobs|zone", value in "(?s).{0,30}") {
        let text = "version: 1\nname: x\nvars: {jobs: [a], zone: b}\ntargets: {jobs: \"${jobs}\", tags: {zone: \"${zone}\"}}\nsteps: [deploy]\n";
        let source = Source::new("plan.yaml", text);
        let result = parse(&source, &[(name, value)]);
        let handler = GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor());
        for problem in super::problems(&result) {
            let mut text = String::new();
            prop_assert!(handler.render_report(&mut text, &problem).is_ok());
            prop_assert!(!text.contains("Failed to read contents"), "{text}");
        }
    }

    /// The plan has rules of its own for names, because it must not know the bucket; they are the same.
    #[test]
    fn names_are_judged_as_in_the_bucket(text in "[-A-Za-z0-9._:/$ ü]{0,12}") {
        prop_assert_eq!(is_host_name(bare_host(&text)), maand::bucket::Host::parse(&text).is_some());
        prop_assert_eq!(is_job_name(&text), maand::bucket::JobName::parse(&text).is_some());
    }
}

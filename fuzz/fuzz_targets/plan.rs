//! Any bytes as a plan: reading never panics, all places lie in the text, all messages can be shown.
//!
//! `cargo +nightly fuzz run plan -- -max_len=8192`, best with `plans/` and `tests/cases/plan/` as corpus.
#![no_main]

use libfuzzer_sys::fuzz_target;
use maand::plan::{Problem, parse, source_from_bytes};

fuzz_target!(|bytes: &[u8]| {
    let problems: Vec<Problem> = match source_from_bytes("plan.yaml", bytes) {
        Err(problem) => vec![problem],
        Ok(source) => {
            let problems: Vec<Problem> = match parse(&source, &[]) {
                Ok(plan) => plan.warnings.iter().cloned().collect(),
                Err(problems) => problems.iter().cloned().collect(),
            };
            for problem in &problems {
                for (span, _) in problem.labels_in_bytes() {
                    assert!(source.text().get(span.clone()).is_some(), "{span:?} of {problem:?}");
                }
            }
            problems
        }
    };
    let handler = miette::GraphicalReportHandler::new_themed(miette::GraphicalTheme::unicode_nocolor());
    for problem in &problems {
        let mut text = String::new();
        handler.render_report(&mut text, problem).expect("every problem can be shown");
    }
});

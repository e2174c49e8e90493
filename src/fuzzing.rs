//! What fuzzers call, one function for each entry of the library that reads what others have written. Compiled for
//! them (`--cfg fuzzing`, as cargo-fuzz sets it) and for unit tests, and for nobody else.
//!
//! Each function takes any bytes, and fails by a panic. The bodies stand in the rooms whose parsers they try, with
//! properties beyond "it does not panic": places lie in the text, messages can be shown, what is printed is read
//! again, nothing harmful reaches a terminal. What fuzzers have found stands in `fuzz/seeds`, and is tried anew by
//! the tests below.

use miette::{GraphicalReportHandler, GraphicalTheme};

use crate::plan::{Problem, on_screen};
use crate::{
    bucket, bundle, calendar, catalog, controller, doctor, inventory, journal, page, plan, policy, power,
    report, review, run, runner, serve, ssh,
};

/// Takes any bytes, and panics where a property does not hold.
pub type Target = fn(&[u8]);

/// Every target by its name, which is that of its program in `fuzz/` and of its folder in `fuzz/seeds`.
pub const TARGETS: &[(&str, Target)] = &[
    ("answers", runner::fuzzing::answers),
    ("asked", runner::fuzzing::asked),
    ("bundle", bundle::fuzzing::bundle),
    ("calendar", calendar::fuzzing::calendar),
    ("catalog", catalog::fuzzing::catalog),
    ("conf", bucket::fuzzing::conf),
    ("disabled", bucket::fuzzing::disabled),
    ("doctor", doctor::fuzzing::doctor),
    ("fact", journal::fuzzing::fact),
    ("facts", run::fuzzing::facts),
    ("frames", ssh::fuzzing::frames),
    ("inventory", inventory::fuzzing::inventory),
    ("kernels", controller::fuzzing::kernels),
    ("known_hosts", ssh::fuzzing::known_hosts),
    ("manifest", bucket::fuzzing::manifest),
    ("masks", runner::fuzzing::masks),
    ("pages", page::fuzzing::pages),
    ("plan", plan::fuzzing::plan),
    ("power", power::fuzzing::power),
    ("reviewed", review::fuzzing::reviewed),
    ("screen", plan::fuzzing::screen),
    ("serve", serve::fuzzing::serve),
    ("ssh_config", ssh::fuzzing::ssh_config),
    ("text", report::fuzzing::text),
    ("values", plan::fuzzing::values),
    ("windows", policy::fuzzing::windows),
    ("wire", ssh::fuzzing::wire),
    ("workers", bucket::fuzzing::workers),
];

/// Gives the bytes to a target.
///
/// # Panics
/// A property of the target does not hold, or there is no target of this name.
pub fn run(name: &str, bytes: &[u8]) {
    match TARGETS.iter().find(|(known, _)| *known == name) {
        Some((_, target)) => target(bytes),
        None => panic!("there is no target `{name}`"),
    }
}

/// So many problems of one input are shown: rendering takes longer than reading.
const SHOWN: usize = 8;

/// Every place of a problem lies in its file, and each can be shown and harms no terminal.
pub(crate) fn can_be_shown<'p>(text: &str, problems: impl IntoIterator<Item = &'p Problem>) {
    let handler = GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor());
    for (at, problem) in problems.into_iter().enumerate() {
        if problem.file().is_some() {
            for (span, _) in problem.labels_in_bytes() {
                assert!(text.get(span.clone()).is_some(), "{span:?} is no place in the text: {problem:?}");
            }
        }
        if at < SHOWN {
            let mut shown = String::new();
            assert!(handler.render_report(&mut shown, problem).is_ok(), "cannot be shown: {problem:?}");
            // What prints it guards it once more, for carriage returns.
            let shown = shown.replace('\r', "");
            assert_eq!(on_screen(&shown), shown, "would change the terminal");
            assert!(serde_json::to_string(&problem.to_json()).is_ok(), "no JSON: {problem:?}");
        }
    }
}

/// Text that says something, and nothing that moves a cursor or hides text.
pub(crate) fn is_fit_to_print(text: &str) {
    assert_eq!(on_screen(text), text, "would change the terminal");
    assert!(!text.contains('\x1b'), "has an escape: {text:?}");
}

/// The next byte as a small number, for choices that are part of an input.
pub(crate) fn choice(bytes: &[u8], of: u8) -> (u8, &[u8]) {
    match bytes.split_first() {
        Some((first, rest)) => (first % of, rest),
        None => (0, bytes),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    /// A packaged source has no `fuzz`.
    fn fuzz() -> Option<std::path::PathBuf> {
        Some(Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")).filter(|folder| folder.is_dir())
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn what_fuzzers_have_kept_holds() {
        let Some(fuzz) = fuzz() else { return };
        for (name, target) in TARGETS {
            let folder = fuzz.join("seeds").join(name);
            let inputs = names(&folder);
            assert!(!inputs.is_empty(), "{} has no input", folder.display());
            for input in inputs {
                let bytes = fs::read(folder.join(&input)).unwrap();
                let tried = std::panic::catch_unwind(|| target(&bytes));
                assert!(tried.is_ok(), "the target {name} fails with fuzz/seeds/{name}/{input}");
            }
        }
    }

    #[test]
    fn nothing_and_noise_are_inputs_too() {
        for (_, target) in TARGETS {
            for bytes in
                [&b""[..], b"\0", b"\n", &[0xff; 40], &[b'{'; 5000], &[b'['; 5000], b"\xef\xbb\xbf{}"]
            {
                target(bytes);
            }
        }
    }

    #[test]
    fn each_target_has_a_program_and_a_folder() {
        let Some(fuzz) = fuzz() else { return };
        let expected: Vec<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert!(expected.is_sorted());
        assert_eq!(names(&fuzz.join("seeds")), expected);
        let programs: Vec<String> = expected.iter().map(|name| format!("{name}.rs")).collect();
        assert_eq!(names(&fuzz.join("fuzz_targets")), programs);
        let manifest = fs::read_to_string(fuzz.join("Cargo.toml")).unwrap();
        for name in &expected {
            assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name}");
        }
    }

    #[test]
    #[should_panic = "is no place in the text"]
    fn a_place_outside_of_the_text_is_noticed() {
        let source = crate::plan::Source::new("a", "a longer text");
        can_be_shown("short", [&Problem::error("maand::test", "x").at(&source, 7..9, "here")]);
    }
}

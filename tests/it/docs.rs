//! The texts for developers name files, types, recipes and tests; each of them has to be there.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::layering::PURE;

/// Folders whose files the texts name by their paths from the root.
const FOLDERS: &[&str] = &[
    "src/",
    "tests/",
    "docs/",
    "benches/",
    "examples/",
    "schemas/",
    "plans/",
    "fuzz/",
    "book/",
    "packaging/",
    ".ci/",
    ".github/",
];

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub(crate) fn files(folder: &Path, extensions: &[&str], found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, extensions, found);
        } else if path.extension().is_some_and(|one| extensions.iter().any(|extension| one == *extension)) {
            found.push(path);
        }
    }
}

/// Those beside `Cargo.toml`, and all of `docs/`.
pub(crate) fn markdown() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    files(&root().join("docs"), &["md"], &mut found);
    assert!(found.len() > 10, "{found:?}");
    found
}

/// The text without fenced blocks.
fn prose(text: &str) -> String {
    text.split("```").step_by(2).collect()
}

/// What stands between backquotes.
fn quoted(text: &str) -> Vec<String> {
    prose(text).split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The targets of `[text](target)`.
pub(crate) fn links(text: &str) -> Vec<String> {
    let prose = prose(text);
    let targets = prose.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    targets.map(|(target, _)| target.to_owned()).collect()
}

/// What GitHub makes of headings.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let anchor = |line: &str| {
        let line = line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
        line.chars().filter(|c| c.is_alphanumeric() || "-_".contains(*c)).collect()
    };
    headings.map(anchor).collect()
}

/// The link leads nowhere: why.
fn broken_link(from: &Path, target: &str) -> Option<String> {
    if target.starts_with("http") {
        return None;
    }
    let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
    let file = if path.is_empty() { from.to_owned() } else { from.parent().unwrap().join(path) };
    if !file.exists() {
        return Some(format!("{target}: there is no such file"));
    }
    let missing = !anchor.is_empty() && !anchors(&text(&file)).contains(anchor);
    missing.then(|| format!("{target}: there is no such heading"))
}

/// Names of code in a quoted text: `Type`, `Type::method`, `function_name`, `CONSTANT_NAME`.
fn names_of_code(quoted: &str) -> Vec<&str> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let is_path = quoted.split("::").all(|part| !part.is_empty() && part.chars().all(is_word));
    let is_name = |part: &&str| {
        let camel = part.starts_with(|c: char| c.is_ascii_uppercase()) && part.contains(char::is_lowercase);
        camel || part.contains('_')
    };
    if is_path { quoted.split("::").filter(is_name).collect() } else { Vec::new() }
}

/// A filter that picks no test of `tests/it`.
fn picks_nothing(filter: &str) -> bool {
    let it = root().join("tests/it");
    let (module, name) = filter.split_once("::").unwrap_or((filter, ""));
    let (file, folder) = (it.join(format!("{module}.rs")), it.join(module));
    if !file.is_file() {
        let mut all = Vec::new();
        files(&it, &["rs"], &mut all);
        return !all.iter().any(|file| file.file_stem().is_some_and(|stem| stem == module));
    }
    let has_file = folder.join(format!("{name}.rs")).is_file();
    !name.is_empty() && !has_file && !text(&file).contains(&format!("fn {name}"))
}

fn recipes() -> BTreeSet<String> {
    let justfile = text(&root().join("justfile"));
    let heads = justfile.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_lowercase()));
    let heads = heads.filter_map(|line| line.split_once(':')).filter(|(_, after)| !after.starts_with('='));
    heads.filter_map(|(head, _)| head.split_whitespace().next().map(str::to_owned)).collect()
}

#[test]
fn links_lead_somewhere() {
    for file in markdown() {
        let broken: Vec<_> =
            links(&text(&file)).iter().filter_map(|target| broken_link(&file, target)).collect();
        assert!(broken.is_empty(), "{}: {broken:#?}", file.display());
    }
}

#[test]
fn the_files_that_are_named_are_there() {
    for file in markdown() {
        let named = quoted(&text(&file)).into_iter().filter(|name| {
            // A packaged source has no `fuzz` and no `.github`.
            let is_below = |folder: &&&str| name.starts_with(**folder) && root().join(folder).is_dir();
            FOLDERS.iter().any(|folder| is_below(&folder)) && !name.contains(['<', ' ', '*'])
        });
        // Whoever makes the first release makes the key.
        let missing: Vec<_> =
            named.filter(|name| !root().join(name).exists() && name != "packaging/minisign.pub").collect();
        assert!(missing.is_empty(), "{}: {missing:?}", file.display());
    }
}

#[test]
fn the_names_of_code_that_are_quoted_exist() {
    let mut sources = Vec::new();
    for folder in ["src", "tests", "benches"] {
        files(&root().join(folder), &["rs"], &mut sources);
    }
    sources.retain(|path| !path.ends_with("tests/it/docs.rs"));
    // What is printed of runs as numbers.
    sources.push(root().join("src/metrics/snapshots/maand__metrics__tests__a_bucket_as_openmetrics.snap"));
    files(&root().join("examples"), &["yml"], &mut sources);
    // Scripts have no extension.
    let scripts = fs::read_dir(root().join("packaging")).unwrap().map(|entry| entry.unwrap().path());
    sources.extend(scripts.filter(|path| path.is_file()));
    sources.extend(["Cargo.toml", "deny.toml", "justfile"].map(|name| root().join(name)));
    let mut known = BTreeSet::new();
    for source in &sources {
        let words = text(source);
        let words = words.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        known.extend(words.map(str::to_owned));
    }
    let mut missing = Vec::new();
    let mut developers = markdown();
    // These name what other programs have, and what was.
    developers.retain(|file| {
        !["README.md", "CHANGELOG.md", "limits.md", "comparison.md"].iter().any(|name| file.ends_with(name))
    });
    for file in developers {
        let quoted = quoted(&text(&file));
        let names = quoted.iter().flat_map(|quoted| names_of_code(quoted));
        let unknown = names.filter(|name| !known.contains(*name));
        missing.extend(unknown.map(|name| format!("{}: {name}", file.display())));
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn the_readme_is_read_in_a_few_minutes_and_leads_to_every_page() {
    let readme = text(&root().join("README.md"));
    let words = readme.split_whitespace().count();
    assert!(words < 1500, "{words} words: what is longer is a page below docs/");
    let pages = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().file_name());
    let pages = pages.filter_map(|name| name.into_string().ok()).filter(|name| name.ends_with(".md"));
    let missing: Vec<_> = pages.filter(|name| !readme.contains(&format!("](docs/{name}"))).collect();
    assert!(missing.is_empty(), "the README does not lead to {missing:?}");
}

#[test]
fn recipes_that_are_named_exist_and_set_what_is_read() {
    let recipes = recipes();
    for file in markdown() {
        for quoted in quoted(&text(&file)) {
            let Some(recipe) = quoted.strip_prefix("just ").and_then(|rest| rest.split_whitespace().next())
            else {
                continue;
            };
            let known = recipe.starts_with('-') || recipes.contains(recipe);
            assert!(known, "{}: there is no recipe `{recipe}`", file.display());
        }
    }
    let mut sources = Vec::new();
    files(&root().join("src"), &["rs"], &mut sources);
    files(&root().join("tests"), &["rs"], &mut sources);
    let sources: String = sources.iter().map(|path| text(path)).collect();
    let justfile = text(&root().join("justfile"));
    let own = ["MAAND_", "UPDATE_"];
    for word in justfile.split_whitespace().filter(|word| own.iter().any(|own| word.starts_with(own))) {
        let (name, _) = word.split_once('=').expect("it is set");
        assert!(sources.contains(&format!("\"{name}\"")), "nobody reads {name}");
    }
    for line in justfile.lines().filter(|line| line.contains("--test it")) {
        let (_, filters) = line.split_once("--test it").unwrap();
        for filter in filters.split_whitespace().filter(|word| !word.starts_with('-')) {
            assert!(!picks_nothing(filter.trim_end_matches("::")), "no test is called `{filter}`: {line}");
        }
    }
}

/// What else would be known to its author only.
#[test]
fn every_switch_of_a_test_and_every_script_has_a_recipe() {
    let switches = ["MAAND_SIM_", "MAAND_UPDATE_", "UPDATE_", "MAAND_CRASH_SWEEP", "MAAND_TEST_WRITE_"];
    let justfile = text(&root().join("justfile"));
    let mut sources = Vec::new();
    files(&root().join("src"), &["rs"], &mut sources);
    files(&root().join("tests"), &["rs"], &mut sources);
    sources.retain(|path| !path.ends_with("tests/it/docs.rs"));
    let mut wanted = BTreeSet::new();
    for source in &sources {
        let is_name = |word: &&str| word.chars().all(|c| c.is_ascii_uppercase() || c == '_');
        let is_switch = |word: &&str| switches.iter().any(|switch| word.starts_with(switch));
        wanted.extend(text(source).split('"').filter(is_name).filter(is_switch).map(str::to_owned));
    }
    assert!(wanted.len() > 8, "{wanted:?}");
    let mut scripts = Vec::new();
    files(&root().join("benches"), &["sh"], &mut scripts);
    scripts.retain(|script| fs::metadata(script).unwrap().permissions().mode() & 0o111 != 0);
    wanted.extend(scripts.iter().map(|script| script.file_name().unwrap().to_str().unwrap().to_owned()));
    wanted.retain(|name| !justfile.contains(name));
    assert!(wanted.is_empty(), "no recipe for {wanted:?}");
}

#[test]
fn the_architecture_has_every_room_and_says_which_are_pure() {
    let architecture = text(&root().join("ARCHITECTURE.md"));
    let library = text(&root().join("src/lib.rs"));
    let modules = library.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    // A room is a folder; what fuzzers call is none.
    for room in modules.filter(|module| root().join("src").join(module).is_dir()) {
        let row = architecture.lines().find(|line| line.starts_with(&format!("| `src/{room}/`")));
        let row = row.unwrap_or_else(|| panic!("ARCHITECTURE.md has no row for `{room}`"));
        assert_eq!(row.contains("**pure**"), PURE.contains(&room), "{row}");
    }
}

#[test]
fn what_is_missing_is_noticed() {
    let here = root().join("ARCHITECTURE.md");
    assert_eq!(links("a [b](c.md#d) `x`\n```\n[e](f)\n```\n"), ["c.md#d"]);
    assert!(broken_link(&here, "no-such-file.md").is_some());
    assert!(broken_link(&here, "CONTRIBUTING.md#no-such-heading").is_some());
    assert_eq!(broken_link(&here, "CONTRIBUTING.md#a-step-kind"), None);
    assert_eq!(quoted("`src/a.rs` and `b`, not\n```\n`c`\n```\n"), ["src/a.rs", "b"]);
    assert_eq!(names_of_code("Controller::handle"), ["Controller"]);
    assert_eq!(names_of_code("RunWriter::take_over"), ["RunWriter", "take_over"]);
    for not_code in ["maand plan show", "disabled.json", "WAL", "src/a_b.rs", "NAME=VALUE_X"] {
        assert!(names_of_code(not_code).is_empty(), "{not_code}");
    }
    assert!(picks_nothing("no_such_module") && picks_nothing("sim::no_such_test"));
    assert!(!picks_nothing("sim::replay") && !picks_nothing("old_data") && !picks_nothing("plan::cases"));
    assert!(recipes().contains("sim-replay") && !recipes().contains("set"));
}

#[test]
fn the_figures_of_what_is_proven_are_those_of_the_code() {
    let proven = text(&root().join("docs/proven.md"));
    let row = |begin: &str| {
        let row = proven.lines().find(|line| line.starts_with(&format!("| {begin}")));
        row.unwrap_or_else(|| panic!("no row `{begin}`")).split('|').nth(2).unwrap().trim().to_owned()
    };
    assert_eq!(row("broken programs"), maand::sim::Mutation::ALL.len().to_string());
    let faults = maand::sandbox::FaultKind::ALL.len();
    assert!(row("kinds of faults").starts_with(&format!("{faults},")), "{faults}");
    let mut sources = Vec::new();
    files(&root().join("src"), &["rs"], &mut sources);
    files(&root().join("tests"), &["rs"], &mut sources);
    let tests: usize = sources.iter().map(|path| text(path).matches("#[test]").count()).sum();
    assert!(row("tests in all").starts_with("more than 1,300") && tests > 1300, "{tests}");
}

//! The moving pictures in README.md, which `just record` makes (`examples/recording/`): whether they are still true, and
//! harmless wherever they are shown.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

const PICTURES: [&str; 2] = ["docs/recording/run-light.svg", "docs/recording/run-dark.svg"];

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The tags, in order: `<a b="c">`, `<a/>` and `</a>` without their brackets.
fn tags(svg: &str) -> Vec<&str> {
    svg.split('<').skip(1).map(|rest| rest.split_once('>').expect("a tag ends").0).collect()
}

/// What makes it no XML of the kind that is written here, if anything.
fn flaw(svg: &str) -> Option<String> {
    let mut open = Vec::new();
    for tag in tags(svg) {
        let name = tag.trim_matches('/').split_whitespace().next().unwrap_or_default();
        if tag.starts_with('/') {
            let opened = open.pop();
            if opened != Some(name) {
                return Some(format!("{opened:?} is closed by </{name}>"));
            }
        } else if tag.matches('"').count() % 2 == 1 {
            return Some(format!("an open quote in <{tag}>"));
        } else if !tag.ends_with('/') {
            open.push(name);
        }
    }
    let entities =
        svg.split('&').skip(1).find(|rest| !["amp;", "lt;", "gt;"].iter().any(|it| rest.starts_with(it)));
    entities
        .map(|rest| format!("&{}", rest.chars().take(9).collect::<String>()))
        .or_else(|| open.pop().map(str::to_owned))
}

/// The lines that are shown, without colours; those of the picture for who wants no motion, or all.
fn lines(svg: &str, still: bool) -> Vec<String> {
    let texts = svg.split("<text ").skip(1).map(|rest| rest.split_once("</text>").unwrap().0);
    texts
        .filter(|text| !still || text.split('"').nth(1).unwrap().split(' ').any(|class| class == "z"))
        .map(|text| {
            let (_, text) = text.split_once('>').unwrap();
            let parts: String =
                text.split('<').map(|part| part.rsplit_once('>').map_or(part, |(_, text)| text)).collect();
            parts.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
        })
        .collect()
}

#[test]
fn the_pictures_are_small_whole_and_need_nothing_from_elsewhere() {
    for path in PICTURES {
        let svg = read(path);
        assert!(svg.len() < 200_000, "{path}: {} bytes", svg.len());
        assert_eq!(flaw(&svg), None, "{path}");
        let names: BTreeSet<_> =
            tags(&svg).iter().map(|tag| tag.trim_matches('/').split(' ').next().unwrap()).collect();
        let harmless = ["desc", "g", "rect", "style", "svg", "text", "title", "tspan"];
        assert_eq!(names.iter().copied().collect::<Vec<_>>(), harmless, "{path}");
        for elsewhere in ["href", "url(", "@import", "@font-face", " on", "src=", "&#"] {
            assert!(!tags(&svg).iter().any(|tag| tag.contains(elsewhere)), "{path}: {elsewhere}");
        }
        let style = svg.split("<style>").nth(1).unwrap().split("</style>").next().unwrap();
        assert!(!style.contains("url(") && !style.contains("@import"), "{path}");
        assert_eq!(svg.matches("://").count(), 1, "{path}: only the name of its language");
        assert!(style.contains("@media (prefers-reduced-motion:no-preference)"), "{path}");
    }
    assert_eq!(lines(&read(PICTURES[0]), false), lines(&read(PICTURES[1]), false), "one recording");
}

#[test]
fn what_is_not_whole_is_noticed() {
    assert_eq!(flaw("<svg><g a=\"b\"/><text>a &lt; b</text></svg>"), None);
    for broken in ["<svg><g></svg>", "<svg>", "<svg>a & b</svg>", "<svg a=\"b></svg>"] {
        assert!(flaw(broken).is_some(), "{broken}");
    }
    assert_eq!(
        lines("<text class=\"a z\" y=\"1\">$ <tspan class=\"b\">x</tspan> &lt;</text>", true),
        ["$ x <"]
    );
    assert!(lines("<text class=\"a\" y=\"1\">$</text>", true).is_empty());
}

/// Who sees only one picture, as one who wants no motion, sees how it ends.
#[test]
fn the_pictures_tell_of_a_run_that_is_stopped_and_resumed() {
    for path in PICTURES {
        let svg = read(path);
        let shown = lines(&svg, false);
        let still = lines(&svg, true);
        for words in ["$ maand plan apply monday.yaml", "stopping (SIGINT)", "was interrupted", "Ctrl-C"] {
            assert!(shown.iter().any(|line| line.contains(words)), "{path}: {words}");
        }
        for words in ["$ maand plan resume", "3 workers: 3 succeeded."] {
            assert!(still.iter().any(|line| line.contains(words)), "{path}: {words} in {still:#?}");
        }
        for machine in ["/tmp", "/work", "/root", "/home", "target/"] {
            assert!(!svg.contains(machine), "{path}: {machine}");
        }
        let widest = shown.iter().map(|line| line.chars().count()).max().unwrap();
        assert!(widest <= 100, "{path}: {widest} columns");
    }
}

#[test]
fn what_the_pictures_type_and_say_is_what_the_program_has() {
    let shown = lines(&read(PICTURES[0]), false);
    let typed: BTreeSet<_> = shown.iter().filter_map(|line| line.trim().strip_prefix("$ maand ")).collect();
    let commands: BTreeSet<_> = typed.iter().filter(|line| line.split(' ').count() >= 2).collect();
    assert!(
        commands.contains(&"plan resume") && commands.contains(&"plan apply monday.yaml"),
        "{commands:?}"
    );
    let mut program = String::new();
    for file in ["closing.rs", "derive.rs"] {
        program += &read(&format!("src/report/{file}"));
    }
    for words in
        ["Left disabled by this run in workspace/disabled.json", "steps in flight are finished first"]
    {
        assert!(shown.iter().any(|line| line.contains(words)) && program.contains(words), "{words}");
    }
    for command in ["apply", "resume"] {
        let help =
            Command::new(env!("CARGO_BIN_EXE_maand")).args(["plan", command, "--help"]).output().unwrap();
        assert!(help.status.success(), "plan {command}");
    }
}

#[test]
fn the_readme_shows_the_pictures_and_says_what_is_seen() {
    let readme = read("README.md");
    let picture = readme.split("<picture>").nth(1).expect("a picture").split("</picture>").next().unwrap();
    for path in PICTURES {
        assert!(picture.contains(path), "{path}");
    }
    assert!(picture.contains("(prefers-color-scheme: dark)"), "{picture}");
    let alt = picture.split("alt=\"").nth(1).unwrap().split('"').next().unwrap();
    assert!(alt.split(' ').count() > 10 && alt.contains("Ctrl-C"), "{alt}");
}

//! Every `maand ...` command that our messages, help texts, README and docs tell an operator to type exists, with these
//! flags.

use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::{Arg, ArgAction, Command};

use super::help;

/// Fills a placeholder of `format!`: a name and a number.
const FILLER: &str = "1";

/// What stands before a command that is not in backticks.
const BEFORE: [&str; 4] = [": ", "&& ", "$ ", "\\n  "];

/// The commands of one line of text, without `maand`: in backticks, after a colon, at the beginning of a line.
fn commands(line: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in line.match_indices("maand ") {
        let (before, after) = (&line[..at], &line[at + "maand ".len()..]);
        let printed = before.trim().is_empty() || BEFORE.iter().any(|text| before.ends_with(text));
        let ends: &[&str] = match before.ends_with('`') {
            true => &[" &&", " > ", " | ", "`"],
            false if printed => &[" &&", " > ", " | ", "`", " (", " #", "\\n", "\"", ",", ";"],
            false => continue,
        };
        let end = ends.iter().filter_map(|end| after.find(end)).min().unwrap_or(after.len());
        found.push(after[..end].trim().to_owned());
    }
    found
}

/// Fills placeholders in, and writes `pause|abort` out as two commands.
fn spelled_out(command: &str) -> Vec<Vec<String>> {
    let mut lines: Vec<Vec<String>> = vec![Vec::new()];
    let quotes = |c: char| c == '"' || c == '\\' || c == '\'';
    // Of a usage line only the verb is a command.
    let is_word = |word: &&str| *word != "..." && !word.starts_with(['[', '<']);
    for word in command.split_whitespace().filter(is_word) {
        // The one placeholder that is a part of a verb.
        let mut word = word.replace("{what}s", "workers");
        while let Some((start, rest)) = word.split_once('{') {
            let end = rest.split_once('}').map_or("", |(_, end)| end);
            word = format!("{start}{FILLER}{end}");
        }
        let each: Vec<&str> = word.trim_matches(quotes).split('|').collect();
        lines = lines
            .iter()
            .flat_map(|line| each.iter().map(|word| [&line[..], &[(*word).to_owned()]].concat()))
            .collect();
    }
    lines
}

/// Why clap does not know a command; `None`: it does. Arguments may be missing, as a text may name only the verb.
fn refused(program: &Command, words: &[String]) -> Option<String> {
    let line = std::iter::once("maand").chain(words.iter().map(String::as_str));
    let error = program.clone().try_get_matches_from(line).err()?;
    let named_only = matches!(
        error.kind(),
        ErrorKind::MissingRequiredArgument
            | ErrorKind::MissingSubcommand
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
            | ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
    );
    (!named_only).then(|| error.to_string())
}

/// The commands of the upstream program that our texts may name, with the flags that it has.
fn upstream() -> Command {
    let flag = |name: &'static str| Arg::new(name).long(name).action(ArgAction::SetTrue);
    let value = |name: &'static str| Arg::new(name).long(name);
    let job = |name: &'static str| {
        Command::new(name).arg(Arg::new("job")).arg(value("allocations")).arg(flag("health_check"))
    };
    let deploy = Command::new("deploy")
        .args([value("jobs"), flag("build").short('b'), flag("dry-run").short('n')])
        .args([flag("force"), flag("sync-only")]);
    Command::new("maand").subcommands([
        Command::new("init"),
        Command::new("build"),
        Command::new("info"),
        deploy,
        Command::new("health_check").args([value("jobs"), flag("wait"), flag("verbose")]),
        Command::new("job").subcommands([
            job("start"),
            job("stop"),
            job("restart"),
            job("status"),
            job("run").arg(value("target")),
        ]),
    ])
}

/// The commands of a text of which clap knows nothing, and how many were looked at. What is said by the room that
/// drives the upstream program is typed to that one.
fn unknown(name: &str, text: &str) -> (Vec<String>, usize) {
    let program = if name.contains("catalog/external") { upstream() } else { help::command() };

    // A literal that continues on the next line is one line.
    let text = text.split("\\\n").map(str::trim_start).collect::<String>();
    let all: Vec<_> = text.lines().flat_map(commands).flat_map(|command| spelled_out(&command)).collect();
    // Of the upstream program, whatever that knows.
    let ours = |words: &&Vec<String>| words.first().is_some_and(|word| word != FILLER);
    let wrong = all.iter().filter(ours).filter_map(|words| Some((words, refused(&program, words)?)));
    (wrong.map(|(words, why)| format!("{name}: maand {}: {why}", words.join(" "))).collect(), all.len())
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.file_name().is_some_and(|name| name != "named_commands.rs") {
            found.push(path);
        }
    }
}

fn helps(command: &mut Command, found: &mut String) {
    found.push_str(&command.render_long_help().to_string());
    command.get_subcommands_mut().for_each(|command| helps(command, found));
}

#[test]
fn every_command_that_is_named_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = vec![root.join("README.md")];
    let docs = std::fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    paths.extend(docs.filter(|path| path.is_file()));
    sources(&root.join("src"), &mut paths);
    // Comments are for readers of the code; what clap takes from them is in `--help`.
    let printed = |text: &str| {
        text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
    };
    let read =
        |path: &PathBuf| (path.display().to_string(), printed(&std::fs::read_to_string(path).unwrap()));
    let mut texts: Vec<(String, String)> = paths.iter().map(read).collect();
    // What a page puts into brackets is typed, too; what the shell puts in its place is not.
    for (_, text) in texts.iter_mut().filter(|(name, _)| name.ends_with(".md")) {
        *text = text.replace("](", ") (").replace(['[', ']'], "");
        while let Some((before, after)) = text.split_once("<(") {
            let after = after.split_once(')').map_or("", |(_, after)| after);
            *text = format!("{before}{FILLER}{after}");
        }
    }
    let mut help = String::new();
    helps(&mut super::help::command(), &mut help);
    texts.push(("--help".to_owned(), help));
    let (mut wrong, mut looked_at) = (Vec::new(), 0);
    for (name, text) in &texts {
        let (unknown, all) = unknown(name, text);
        wrong.extend(unknown);
        looked_at += all;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(looked_at > 100, "only {looked_at} commands were found");
}

#[test]
fn a_command_that_does_not_exist_is_found() {
    for (text, count) in [
        ("see `maand plan stauts`", 1),
        ("Continue with: maand plan resume {run} --in-dobut done (or rerun)", 1),
        ("  maand biuld && maand deploy --wrokers {hosts}", 2),
        ("    \"see `maand plan \\\n       lgos {run}`\"", 1),
        ("`maand plan pause|stop|abort`", 1),
        ("`maand cat {what}s`, a bug in maand is shown by `maand plan logs RUN --worker HOST`", 0),
    ] {
        assert_eq!(unknown("text", text).0.len(), count, "{text}");
    }
    let upstreams =
        "`maand deploy --workers h1`, `maand deploy --sync-only --force --jobs a`, `maand plan list`";
    assert_eq!(unknown("src/catalog/external/judge.rs", upstreams).0.len(), 2);
}

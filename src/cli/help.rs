//! What `--help` and the manual pages say beside the flags: examples, exit codes, environment and files.

use clap::{Command, CommandFactory};

use super::Cli;
use super::environment::VARIABLES;
use super::examples::{EXAMPLES, Example};

/// How the program ends; the numbers never change.
pub(super) const EXIT_STATUS: &[(&str, &str)] = &[
    ("0", "Done."),
    ("1", "It ran, and some worker, job or check failed; each is named."),
    ("2", "Wrong command line, or a wrong environment variable."),
    ("3", "Invalid plan, bucket or configuration; nothing was touched."),
    ("4", "Another operation holds the lock."),
    ("5", "Stopped before the end; it can be resumed."),
    ("6", "The answer to a question was no; nothing was touched."),
    ("70", "A bug in maand."),
];

/// Variables of other programs that count here too.
const OTHERS: &[(&str, &str)] = &[
    ("NO_COLOR, CLICOLOR, CLICOLOR_FORCE, TERM", "Whether there are colours, where --color is auto"),
    ("MAAND_PAGER, PAGER", "The pager of long output on a terminal [default: less -FRX]; `cat`: none"),
    ("TZ", "The zone in which times are told and taken"),
    ("SSH_AUTH_SOCK", "The agent that is asked for keys"),
    ("MAAND_BMC_USER, MAAND_BMC_PASSWORD", "Who asks BMCs, where maand.conf names no file of credentials"),
    ("TMPDIR", "The folder for temporary files"),
    ("GITHUB_WORKSPACE", "The folder that files of annotations are named from"),
];

/// The files of a bucket that matter most.
pub(super) const FILES: &[(&str, &str)] = &[
    ("maand.conf", "Settings of the bucket, and the mark of its folder."),
    ("workspace/workers.json", "The workers, with their labels and tags."),
    ("workspace/jobs/", "The jobs, a folder each."),
    ("workspace/disabled.json", "Workers and allocations that are disabled; runs add and remove their own."),
    ("secrets/", "The SSH key and known_hosts."),
    ("data/plan.db", "The journal: every run and all that it did."),
    ("data/catalog.db", "What was built and deployed."),
    ("~/.ssh/config", "The user's ssh config, as far as docs/ssh_config.md says."),
];

/// All variables with what they are for.
pub(super) fn environment() -> Vec<(&'static str, &'static str)> {
    VARIABLES.iter().chain(OTHERS).copied().collect()
}

/// A command with what is said of it.
pub(super) struct Page {
    /// As clap has it, with its full name.
    pub(super) command: Command,
    /// What is said of it by example.
    pub(super) examples: &'static [Example],
    /// As it is typed: `maand plan apply`.
    path: String,
    below: Vec<String>,
}

impl Page {
    /// Of its manual page: `maand-plan-apply`.
    pub(super) fn name(&self) -> String {
        self.path.replace(' ', "-")
    }

    /// The pages above it, below it, and those that an operator of this one needs next.
    pub(super) fn see_also(&self) -> Vec<String> {
        let above = self.path.rsplit_once(' ').map(|(above, _)| above.replace(' ', "-"));
        let mut all: Vec<String> = above.into_iter().chain(self.below.iter().cloned()).collect();
        if self.path.starts_with("maand plan ") {
            all.extend(["status", "resume", "logs"].map(|verb| format!("maand-plan-{verb}")));
        }
        all.push("ssh_config(5)".trim_end_matches("(5)").to_owned());
        all.retain(|name| *name != self.name());
        all
    }
}

/// Every command that is not hidden.
pub(super) fn pages() -> Vec<Page> {
    let mut root = Cli::command();
    root.build();
    let mut pages = Vec::new();
    collect(&root, "maand", &mut pages);
    pages
}

fn collect(command: &Command, path: &str, pages: &mut Vec<Page>) {
    let shown = || command.get_subcommands().filter(|one| !one.is_hide_set() && one.get_name() != "help");
    let below = shown().map(|one| format!("{path} {}", one.get_name()).replace(' ', "-")).collect();
    pages.push(Page { command: command.clone(), examples: examples(path), path: path.to_owned(), below });
    for one in shown() {
        collect(one, &format!("{path} {}", one.get_name()), pages);
    }
}

fn examples(path: &str) -> &'static [Example] {
    EXAMPLES.iter().find(|(of, _)| *of == path).map_or(&[], |(_, examples)| examples)
}

/// The command line with all that its help says.
pub(super) fn command() -> Command {
    explained(Cli::command(), "maand")
}

fn explained(command: Command, path: &str) -> Command {
    let names: Vec<String> = command.get_subcommands().map(|one| one.get_name().to_owned()).collect();
    let mut command = command;
    for name in names {
        let path = format!("{path} {name}");
        command = command.mut_subcommand(name, |one| explained(one, &path));
    }
    let short = shown_examples(examples(path));
    let long = format!(
        "{short}\n\n{}{}{}",
        section("Exit status", EXIT_STATUS),
        section("Environment", &environment()),
        section("Files", FILES)
    );
    match short.is_empty() {
        true => command,
        false => command.after_help(short).after_long_help(long.trim_end().to_owned()),
    }
}

fn shown_examples(examples: &[Example]) -> String {
    let mut text = if examples.is_empty() { String::new() } else { heading("Examples") };
    for (what, command) in examples {
        if !what.is_empty() {
            text.push_str(&format!("  {what}:\n"));
        }
        text.push_str(&format!("    {command}\n"));
    }
    text.trim_end().to_owned()
}

fn section(name: &str, entries: &[(&str, &str)]) -> String {
    let width =
        entries.iter().map(|(name, _)| name.len()).filter(|width| *width < 26).max().unwrap_or_default();
    let mut text = heading(name);
    for (name, meaning) in entries {
        let meaning = meaning.trim_end_matches('.');
        match name.len() > width {
            true => text.push_str(&format!("  {name}\n  {:width$}  {meaning}\n", "")),
            false => text.push_str(&format!("  {name:width$}  {meaning}\n")),
        }
    }
    text + "\n"
}

/// As clap's own headings; it takes the codes out where there are no colours.
fn heading(name: &str) -> String {
    format!("\u{1b}[1m\u{1b}[4m{name}:\u{1b}[0m\n")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// The words of a command, of which some are in single quotes.
    fn words(command: &str) -> Vec<String> {
        let mut words = vec![String::new()];
        let mut quoted = false;
        for c in command.chars() {
            match c {
                '\'' => quoted = !quoted,
                ' ' if !quoted => words.push(String::new()),
                c => words.last_mut().unwrap().push(c),
            }
        }
        assert!(!quoted, "{command}");
        words
    }

    #[test]
    fn every_command_has_examples_and_each_is_accepted() {
        for page in pages() {
            assert!(!page.examples.is_empty(), "{} has no example", page.path);
            for (what, line) in page.examples {
                let words = words(line);
                if let Err(error) = command().try_get_matches_from(&words) {
                    panic!("{line}: {error}");
                }
                assert!(line.len() <= 76, "{line} does not fit a terminal of 80 columns");
                // What one is for, unless it continues the one before.
                assert!(!what.is_empty() || *line != page.examples[0].1, "{line}");
            }
            let own = |(_, line): &&Example| line.starts_with(&page.path);
            assert!(page.examples.iter().any(|example| own(&example)), "{}: no example of itself", page.path);
        }
        for (path, _) in EXAMPLES {
            assert!(pages().iter().any(|page| page.path == *path), "{path} is no command");
        }
    }

    #[test]
    fn plans_of_examples_are_valid() {
        let plans = Path::new(env!("CARGO_MANIFEST_DIR")).join("plans");
        let mut seen = 0;
        for (_, line) in EXAMPLES.iter().flat_map(|(_, examples)| *examples) {
            let words = words(line);
            let sets = words.iter().zip(words.iter().skip(1)).filter(|(flag, _)| *flag == "--set");
            let sets: Vec<_> = sets
                .map(|(_, set)| set.split_once('=').unwrap())
                .map(|(a, b)| (a.into(), b.into()))
                .collect();
            for file in words.iter().filter(|word| word.ends_with(".yaml")) {
                let text =
                    std::fs::read_to_string(plans.join(file)).unwrap_or_else(|_| panic!("no plans/{file}"));
                crate::plan::parse(&crate::plan::Source::new(file.clone(), text), &sets)
                    .unwrap_or_else(|problems| panic!("{line}: {problems}"));
                seen += 1;
            }
        }
        assert!(seen > 5, "only {seen} plans were looked at");
    }

    #[test]
    fn every_global_flag_names_its_variable() {
        let root = Cli::command();
        let global = root.get_arguments().filter(|arg| arg.is_global_set());
        let mut named = 0;
        for arg in global {
            assert_eq!(arg.get_help_heading(), Some("Global options"), "{}", arg.get_id());
            let help = arg.get_help().unwrap().to_string();
            let variable = VARIABLES.iter().find(|(name, _)| help.contains(&format!("[env: {name}]")));
            assert!(variable.is_some(), "--{} names no variable", arg.get_id());
            named += 1;
        }
        // And --yes, which is not global.
        assert_eq!(named + 1, VARIABLES.len());
    }

    #[test]
    fn help_has_its_sections_and_fits_80_columns() {
        for page in pages() {
            let mut full = command().term_width(80);
            for word in page.path.split(' ').skip(1) {
                full = full.find_subcommand(word).unwrap().clone().term_width(80);
            }
            let help = full.render_long_help().to_string();
            for section in ["Examples:", "Exit status:", "Environment:", "Files:"] {
                assert!(help.contains(section), "{}: no {section}\n{help}", page.path);
            }
            for line in help.lines() {
                assert!(line.chars().count() <= 80, "{}: {line}", page.path);
            }
        }
    }

    #[test]
    fn verbs_of_plan_are_in_the_order_of_use() {
        let plan = Cli::command().find_subcommand("plan").unwrap().clone();
        let verbs: Vec<&str> = plan.get_subcommands().map(Command::get_name).collect();
        let at = |verb: &str| verbs.iter().position(|one| *one == verb).unwrap();
        let order = ["new", "validate", "show", "simulate", "rehearse", "apply", "status", "resume", "abort"];
        assert!(order.windows(2).all(|pair| at(pair[0]) < at(pair[1])), "{verbs:?}");
    }
}

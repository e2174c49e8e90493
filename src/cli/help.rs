//! What `--help` and the manual pages say beside the flags: examples, exit codes, environment and files.
//!
//! The examples are checked: each is a command line that is accepted, and each plan that one names is one of `plans/`.

use clap::{Command, CommandFactory};

use super::Cli;
use super::environment::VARIABLES;

/// What an example is for, and the command.
type Example = (&'static str, &'static str);

/// Examples of each command, in the order of `--help`.
const EXAMPLES: &[(&str, &[Example])] = &[
    (
        "maand",
        &[
            ("Try it without a fleet", "maand sandbox up --workers 3"),
            ("Write a plan, look at it, carry it out", "maand plan new rolling-reboot"),
            ("", "maand plan show rolling-reboot.yaml"),
            ("", "maand plan apply rolling-reboot.yaml"),
        ],
    ),
    (
        "maand init",
        &[
            ("Make a bucket in a folder", "maand init fleet"),
            ("Complete the one in this folder", "maand init"),
        ],
    ),
    ("maand build", &[("Check the workspace of a bucket", "maand build -C fleet")]),
    (
        "maand deploy",
        &[
            ("See what would be done, then do it", "maand deploy --dry-run"),
            ("", "maand deploy"),
            ("One job, on the workers with a label", "maand deploy --jobs web --workers label:api"),
        ],
    ),
    ("maand job", &[("Which allocations of a job are up", "maand job status web")]),
    ("maand job start", &[("On one worker", "maand job start web --workers 10.0.0.1")]),
    ("maand job stop", &[("On all workers of a network", "maand job stop web --workers '10.0.1.*'")]),
    ("maand job restart", &[("And wait until it is healthy", "maand job restart web --health_check")]),
    ("maand job status", &[("As JSON", "maand job status web --output json")]),
    ("maand job run", &[("`make backup` of a job", "maand job run db --target backup")]),
    (
        "maand health_check",
        &[
            ("Wait until all is well", "maand health_check --wait"),
            ("Two jobs", "maand health_check --jobs web,db"),
        ],
    ),
    (
        "maand doctor",
        &[
            ("The first look at a fleet", "maand doctor"),
            ("Some workers, for a program", "maand doctor --workers label:api --output json"),
        ],
    ),
    ("maand info", &[("Which bucket and engine are used here", "maand info")]),
    ("maand cat", &[("Workers with labels and tags", "maand cat workers")]),
    ("maand cat workers", &[("As JSON", "maand cat workers --output json")]),
    ("maand cat jobs", &[("All jobs", "maand cat jobs")]),
    ("maand cat allocations", &[("Of one worker", "maand cat allocations --workers 10.0.0.1")]),
    ("maand cat deployments", &[("Of one job", "maand cat deployments --jobs web")]),
    (
        "maand run_command",
        &[
            ("On all workers, one after the other", "maand run_command uptime"),
            ("Ten at a time, those with a label", "maand run_command -c 10 -w label:api uptime"),
            ("The text of workspace/command.sh", "maand run_command --workers '10.0.0.1*'"),
        ],
    ),
    (
        "maand plan",
        &[
            ("From the first look to the end", "maand plan new rolling-reboot"),
            ("", "maand plan validate rolling-reboot.yaml"),
            ("", "maand plan apply rolling-reboot.yaml"),
            ("", "maand plan status --watch"),
        ],
    ),
    (
        "maand plan new",
        &[
            ("A rolling reboot", "maand plan new rolling-reboot"),
            ("Patches, and reboots where they are needed", "maand plan new kernel-patch --from kernel-patch"),
        ],
    ),
    (
        "maand plan validate",
        &[
            ("Several plans", "maand plan validate rolling-reboot.yaml kernel-patch.yaml"),
            ("In GitHub Actions", "maand plan validate rolling-reboot.yaml --annotations github"),
        ],
    ),
    (
        "maand plan show",
        &[
            ("On this bucket's workers", "maand plan show rolling-reboot.yaml"),
            ("On a made-up fleet of 100", "maand plan show canary-by-zone.yaml --workers 100"),
            (
                "To be reviewed, and applied as it is",
                "maand plan show rolling-reboot.yaml --out monday.reviewed",
            ),
        ],
    ),
    (
        "maand plan diff",
        &[
            ("What one plan would do otherwise", "maand plan diff fleet-reboot.yaml rolling-reboot.yaml"),
            ("What changed since the newest run", "maand plan diff last rolling-reboot.yaml"),
            ("For a pull request", "maand plan diff - rolling-reboot.yaml --format markdown"),
        ],
    ),
    (
        "maand plan simulate",
        &[
            ("How long it takes, and what a failure does", "maand plan simulate rolling-reboot.yaml"),
            ("Every tenth step fails", "maand plan simulate kernel-patch.yaml --workers 50 --faults 10"),
            ("The expected run as a page", "maand plan simulate rolling-reboot.yaml --out forecast.html"),
        ],
    ),
    (
        "maand plan check",
        &[
            ("Whatever fails, in any order", "maand plan check rolling-reboot.yaml"),
            (
                "On a made-up fleet, with one failure",
                "maand plan check canary-by-zone.yaml --workers 12 --failures 1",
            ),
        ],
    ),
    (
        "maand plan rehearse",
        &[
            ("On three throwaway workers", "maand plan rehearse rolling-reboot.yaml"),
            (
                "The second never comes back",
                "maand plan rehearse rolling-reboot.yaml --fault 2:never_returns",
            ),
        ],
    ),
    (
        "maand plan apply",
        &[
            ("It asks before it begins", "maand plan apply rolling-reboot.yaml"),
            ("Some of the plan's workers", "maand plan apply rolling-reboot.yaml --workers '10.0.0.1*'"),
            ("What was reviewed, or nothing", "maand plan apply monday.reviewed"),
            ("In a script", "maand plan apply restart-service.yaml --set service=nginx --yes -q"),
        ],
    ),
    (
        "maand plan status",
        &[
            ("The newest run", "maand plan status"),
            ("Follow it", "maand plan status --watch"),
            ("As a picture: who did what when", "maand plan status --timeline"),
        ],
    ),
    (
        "maand plan report",
        &[
            ("The page of the newest run", "maand plan report --out run.html"),
            ("Of another one", "maand plan report 20261123-0419-4b5b --out monday.html"),
        ],
    ),
    (
        "maand plan metrics",
        &[
            ("What a Prometheus is told", "maand plan metrics"),
            ("For node_exporter", "maand plan metrics --out /var/lib/prometheus/node-exporter/maand.prom"),
        ],
    ),
    (
        "maand plan explain",
        &[
            ("Why one does not start", "maand plan explain --worker 10.0.0.3"),
            ("All with a label", "maand plan explain --worker label:api"),
        ],
    ),
    (
        "maand plan logs",
        &[
            ("What one worker's steps wrote", "maand plan logs --worker 10.0.0.1"),
            ("The last lines of what failed", "maand plan logs --failed --tail 20"),
            ("Follow one step of all", "maand plan logs --step reboot --follow"),
        ],
    ),
    ("maand plan pause", &[("With a reason", "maand plan pause --reason maintenance")]),
    (
        "maand plan resume",
        &[
            ("Continue after a Ctrl-C or a crash", "maand plan resume"),
            ("Failed workers continue at their failed steps", "maand plan resume --retry"),
            ("It was seen that the command did run", "maand plan resume --in-doubt done"),
            ("A run of another machine, which is dead", "maand plan resume --from run.bundle --take-over"),
        ],
    ),
    ("maand plan export", &[("For another machine", "maand plan export --out run.bundle")]),
    (
        "maand plan verify",
        &[
            ("A file of `plan export`", "maand plan verify run.bundle"),
            ("A run of this bucket", "maand plan verify 20261130-0512-ab12"),
        ],
    ),
    ("maand plan approve", &[("The gate of one worker", "maand plan approve --worker 10.0.0.1")]),
    ("maand plan retry", &[("After its cause was fixed", "maand plan retry --worker 10.0.0.2")]),
    ("maand plan skip", &[("Continue without it", "maand plan skip --worker 10.0.0.2")]),
    (
        "maand plan abort",
        &[("End a run for good", "maand plan abort"), ("And undo what it did", "maand plan abort --revert")],
    ),
    ("maand plan release", &[("Of a run whose bucket is lost", "maand plan release --worker 10.0.0.2")]),
    (
        "maand plan list",
        &[
            ("The newest runs", "maand plan list"),
            (
                "Those of a colleague that failed last week",
                "maand plan list --by alice --state failed --since 7d",
            ),
        ],
    ),
    (
        "maand plan history",
        &[
            ("What happened on a worker last week", "maand plan history --worker 10.0.0.1 --since 7d"),
            ("What failed on all with a label", "maand plan history --worker label:api --failed"),
        ],
    ),
    (
        "maand plan stats",
        &[
            ("How long steps take, and how often they fail", "maand plan stats"),
            ("The slowest workers of one step", "maand plan stats --plan rolling-reboot --step reboot"),
        ],
    ),
    (
        "maand plan prune",
        &[
            ("See what would go, then forget it", "maand plan prune --older-than 90d --dry-run"),
            ("", "maand plan prune --older-than 90d"),
            ("In a script", "maand plan prune --keep 50 --yes"),
        ],
    ),
    ("maand plan schema", &[("For an editor", "maand plan schema")]),
    (
        "maand serve",
        &[
            ("The runs of this bucket in a browser of this machine", "maand serve"),
            ("On a free port, for a program", "maand serve --listen 127.0.0.1:0 --output json"),
        ],
    ),
    ("maand sandbox", &[("Three throwaway workers", "maand sandbox up")]),
    (
        "maand sandbox up",
        &[
            ("Ten that boot at once", "maand sandbox up --workers 10 --speed 10"),
            ("One that refuses connections", "maand sandbox up --fault 1:refuses"),
        ],
    ),
    ("maand completions", &[("For bash", "maand completions bash")]),
    ("maand man", &[("For `man maand`", "maand man ~/.local/share/man/man1")]),
    ("maand self", &[("For a bug report", "maand self version")]),
    ("maand self version", &[("For a script", "maand self version --output json")]),
];

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

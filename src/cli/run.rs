//! Parses the command line, dispatches, shows errors, and turns all of it into an exit code.

use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::time::Instant;

use clap::error::ErrorKind;
use clap::{FromArgMatches, ValueEnum};

use super::args::{ColorChoice, Command, OutputFormat};
use super::environment::Environment;
use super::out::Manner;
use super::{Cli, CliError, Context, Exit, annotations, help, out};
use crate::os;
use crate::plan::{Problem, on_screen};
use crate::report;

/// The whole program.
pub fn main() -> ExitCode {
    let code = carry_out();
    report::drain();
    code
}

fn carry_out() -> ExitCode {
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    if let Some((first, command)) = args.split_first()
        && first == os::COMMAND_GUARD
    {
        return command_guard(command);
    }
    if super::complete::answer() {
        return ExitCode::SUCCESS;
    }
    let environment = Environment::of_process();
    let manner = early_manner(&args, environment);
    let code =
        guarded(|| run(&args, environment, manner)).unwrap_or_else(|error| out::fail(&error, manner) as u8);
    ExitCode::from(code)
}

fn run(args: &[OsString], environment: Environment<'_>, manner: Manner) -> u8 {
    match super::passthrough::run(args, environment) {
        Some(Ok(code)) => return code,
        Some(Err(error)) => return out::fail(&error, manner) as u8,
        None => {}
    }
    // Not for the upstream program, which knows what it needs.
    os::limits::raise_open_files();
    let parsed = help::command()
        .try_get_matches_from(std::iter::once(OsString::from("maand")).chain(args.iter().cloned()))
        .and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => return refuse(&error, manner),
    };
    let context = match Context::resolve(&cli.global, environment) {
        Ok(context) => context,
        Err(error) => return out::fail(&error, manner) as u8,
    };
    let began = Instant::now();
    if context.verbose > 0 {
        super::verbose::begin(&context);
    }
    let done = match dispatch(cli.command, &context) {
        Ok(Exit::Declined) if context.json => {
            let problem = Problem::error("maand::declined", "the answer was no").help("nothing was touched");
            Err(CliError::new(Exit::Declined, problem))
        }
        done => done,
    };
    let exit = done.unwrap_or_else(|error| out::fail(&error, context.manner()));
    if context.verbose > 0 {
        super::verbose::end(exit, began.elapsed());
    }
    exit as u8
}

/// Runs the program. A panic is a bug, and has an exit code of its own: what is on standard output is then what a
/// script can read. Rust's own message, with the place, is on standard error already.
fn guarded(program: impl FnOnce() -> u8) -> Result<u8, CliError> {
    std::panic::catch_unwind(AssertUnwindSafe(program)).map_err(|payload| {
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        let message = format!("the program has panicked: {}", text.unwrap_or("without a message"));
        let help = "this is a bug in maand: please report it with what is above. What a run has done is recorded: \
                    `maand plan status` shows it, and `maand plan resume` continues it";
        CliError::new(Exit::Bug, Problem::error("maand::bug", message).help(help))
    })
}

/// How errors are shown before the command line is parsed, and of one that cannot be: by the flags that can be made
/// out in it.
fn early_manner(args: &[OsString], environment: Environment<'_>) -> Manner {
    let typed = || args.iter().take_while(|arg| *arg != "--").filter_map(|arg| arg.to_str());
    let flag = |name: &str| -> Option<String> {
        let attached = typed().filter_map(|arg| Some(arg.strip_prefix(name)?.strip_prefix('=')?.to_owned()));
        let apart =
            typed().zip(typed().skip(1)).filter(|(arg, _)| *arg == name).map(|(_, value)| value.to_owned());
        attached.chain(apart).last()
    };
    fn value<T: ValueEnum + Default>(typed: Option<String>, variable: impl FnOnce() -> Option<T>) -> T {
        let typed = typed.map(|text| T::from_str(&text, false).unwrap_or_default());
        typed.or_else(variable).unwrap_or_default()
    }
    let output: OutputFormat = value(flag("--output"), || environment.choice("MAAND_OUTPUT").ok().flatten());
    let color: ColorChoice = value(flag("--color"), || environment.choice("MAAND_COLOR").ok().flatten());
    Manner {
        json: output == OutputFormat::Json,
        colors: colors_on_stderr(color),
        annotations: value(flag("--annotations"), || environment.choice("MAAND_ANNOTATIONS").ok().flatten()),
    }
}

/// A command line that clap does not take, or a question for help or the version. An error repeats what was typed.
fn refuse(error: &clap::Error, manner: Manner) -> u8 {
    if !error.use_stderr() {
        let _ = error.print();
        return Exit::Done as u8;
    }
    let text = error.render();
    let said = text.to_string();
    if manner.json || error.kind() == ErrorKind::MissingSubcommand {
        return out::fail(&as_problem(error.kind(), &said), manner) as u8;
    }
    annotations::write(as_problem(error.kind(), &said).problems(), manner.annotations);
    let text = if manner.colors { text.ansi().to_string() } else { said };
    let _ = std::io::stderr().lock().write_all(on_screen(&text).as_bytes());
    Exit::Usage as u8
}

/// What clap says, as a problem: its first paragraph is what happened, the others what to do.
fn as_problem(kind: ErrorKind, said: &str) -> CliError {
    if kind == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return CliError::usage("no command was given", "`maand --help` lists the commands");
    }
    if kind == ErrorKind::MissingSubcommand {
        // Clap's list has the hidden ones too.
        let typed = said.split('\'').nth(1).unwrap_or("maand");
        return CliError::usage(format!("`{typed}` needs a command"), format!("`{typed} --help` lists them"));
    }
    let one_line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut paragraphs = said.split("\n\n").map(one_line).filter(|paragraph| !paragraph.is_empty());
    let message = paragraphs.next().unwrap_or_default();
    let message = message.strip_prefix("error: ").unwrap_or(&message).to_owned();
    CliError::usage(message, paragraphs.collect::<Vec<_>>().join("\n"))
}

/// What a command on this machine runs under; it never gets to the command line's parser.
fn command_guard(command: &[OsString]) -> ExitCode {
    match os::guard_command(command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            super::operate::say(&format!("maand: {} is not for typing: {error}", os::COMMAND_GUARD));
            ExitCode::from(Exit::Usage as u8)
        }
    }
}

fn dispatch(command: Command, context: &Context) -> Result<Exit, CliError> {
    match command {
        Command::Init(args) => super::init::run(args, context),
        Command::Doctor(args) => super::doctor::run(&args, context),
        Command::Import(command) => super::import::run(&command, context),
        Command::Info => super::info::run(context),
        Command::Ledger(command) => super::ledger::run(&command, context),
        Command::Notify(command) => super::notify::run(&command, context),
        Command::Cat(command) => super::cat::run(command, context),
        Command::RunCommand(args) => super::run_command::run(args, context),
        Command::Build => super::build::run(context),
        Command::Deploy(args) => super::deploy::run(&args, context),
        Command::Job(command) => super::job::run(command, context),
        Command::HealthCheck(args) => super::health_check::run(&args, context),
        Command::Plan(command) => super::plan::run(command, context),
        Command::Serve(args) => super::serve::run(&args, context),
        Command::Sandbox(command) => super::sandbox::run(command, context),
        Command::Completions(args) => super::completions::run(&args, context),
        Command::Man(args) => super::man::run(&args, context),
        Command::Own(command) => super::own::run(&command, context),
        Command::Guard => super::sandbox::guard(),
    }
}

/// Whether messages on standard error get colours.
pub(super) fn colors_on_stderr(choice: ColorChoice) -> bool {
    colors(choice, std::io::stderr().is_terminal())
}

/// Whether there are colours on something that is a terminal or not.
pub(super) fn colors(choice: ColorChoice, is_terminal: bool) -> bool {
    match choice {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto => {
            let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
            if set("NO_COLOR") || std::env::var_os("TERM").is_some_and(|term| term == "dumb") {
                false
            } else if std::env::var_os("CLICOLOR").is_some_and(|value| value == "0") {
                set("CLICOLOR_FORCE")
            } else {
                set("CLICOLOR_FORCE") || is_terminal
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_a_bug_with_its_exit_code() {
        let error = guarded(|| panic!("the {} is empty", "list")).unwrap_err();
        assert_eq!(error.exit, Exit::Bug);
        let [problem] = error.problems()[..] else { panic!("{error}") };
        assert_eq!(
            (problem.code, problem.message.as_str()),
            ("maand::bug", "the program has panicked: the list is empty")
        );
        assert_eq!(guarded(|| 5).unwrap(), 5);
    }

    #[test]
    fn the_format_is_known_before_the_command_line_is() {
        let json = |line: &str, variable: &str| {
            let args: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            let look = |name: &str| (name == "MAAND_OUTPUT").then(|| OsString::from(variable));
            early_manner(&args, Environment(&look)).json
        };
        for (line, variable, expected) in [
            ("plan --output json nonsense", "", true),
            ("--output=json", "", true),
            ("plan status", "json", true),
            ("plan status --output text", "json", false),
            ("plan status --output text --output json", "", true),
            ("run_command -- echo --output json", "", false),
            ("plan status --output", "", false),
            ("plan status --output xml", "json", false),
            ("plan status", "xml", false),
        ] {
            assert_eq!(json(line, variable), expected, "{line} {variable}");
        }
    }

    #[test]
    fn what_clap_says_is_a_message_and_what_to_do() {
        let said = |line: &str| {
            let error = help::command().try_get_matches_from(line.split(' ')).unwrap_err();
            let error = as_problem(error.kind(), &error.to_string());
            let [problem] = error.problems()[..] else { panic!("{error}") };
            (problem.message.clone(), problem.help.clone().unwrap())
        };
        let (message, help) = said("maand plan stauts");
        assert_eq!(message, "unrecognized subcommand 'stauts'");
        assert!(help.contains("tip: some similar subcommands exist: 'pause', 'status'"), "{help}");
        let (message, _) = said("maand plan explain");
        assert_eq!(message, "the following required arguments were not provided: --worker <HOST,..>");
        assert_eq!(said("maand").0, "no command was given");
        let lists = "`maand plan --help` lists them".to_owned();
        assert_eq!(said("maand plan -q"), ("`maand plan` needs a command".to_owned(), lists));
    }
}

//! Parses the command line, dispatches, shows errors, and turns all of it into an exit code.

use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use clap::Parser;

use super::args::{ColorChoice, Command};
use super::{Cli, CliError, Context, Exit, out};
use crate::os;
use crate::plan::on_screen;

/// The whole program.
pub fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    if let Some((first, command)) = args.split_first()
        && first == os::COMMAND_GUARD
    {
        return command_guard(command);
    }
    match super::passthrough::run(&args) {
        Some(Ok(code)) => return ExitCode::from(code),
        Some(Err(error)) => {
            out::diagnose(error.report.as_ref(), colors_on_stderr(ColorChoice::Auto));
            return ExitCode::from(error.exit as u8);
        }
        None => {}
    }
    // Not for the upstream program, which knows what it needs.
    os::limits::raise_open_files();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refuse(&error),
    };
    let context = Context::from(&cli.global);
    let exit = match dispatch(cli.command, &context) {
        Ok(exit) => exit,
        Err(error) => {
            out::diagnose(error.report.as_ref(), context.colors);
            error.exit
        }
    };
    ExitCode::from(exit as u8)
}

/// A command line that clap does not take, or a question for help or the version. An error repeats what was typed.
fn refuse(error: &clap::Error) -> ExitCode {
    if error.use_stderr() {
        let text = error.render();
        let colors = colors_on_stderr(ColorChoice::Auto);
        let text = if colors { text.ansi().to_string() } else { text.to_string() };
        let _ = std::io::stderr().lock().write_all(on_screen(&text).as_bytes());
    } else {
        let _ = error.print();
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(Exit::Usage as u8))
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
        Command::Info => super::info::run(context),
        Command::Cat(command) => super::cat::run(command, context),
        Command::RunCommand(args) => super::run_command::run(args, context),
        Command::Build => super::build::run(context),
        Command::Deploy(args) => super::deploy::run(&args, context),
        Command::Job(command) => super::job::run(command, context),
        Command::HealthCheck(args) => super::health_check::run(&args, context),
        Command::Plan(command) => super::plan::run(command, context),
        Command::Sandbox(command) => super::sandbox::run(command, context),
        Command::Completions(args) => super::completions::run(&args),
        Command::Man(args) => super::man::run(&args, context),
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

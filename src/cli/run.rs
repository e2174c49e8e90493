//! Parses the command line, dispatches, shows errors, and turns all of it into an exit code.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use clap::Parser;
use miette::{GraphicalReportHandler, GraphicalTheme};

use super::args::{ColorChoice, Command};
use super::{Cli, CliError, Context, Exit};

/// The whole program.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let context = Context::from(&cli.global);
    let colors = colors_on_stderr(cli.global.color);
    let exit = match dispatch(cli.command, &context) {
        Ok(exit) => exit,
        Err(error) => {
            show(&error, colors, context.json);
            error.exit
        }
    };
    ExitCode::from(exit as u8)
}

fn dispatch(command: Command, context: &Context) -> Result<Exit, CliError> {
    match command {
        Command::Plan(command) => super::plan::run(command, context),
        Command::Sandbox(command) => super::sandbox::run(command, context),
        Command::Guard => super::sandbox::guard(),
    }
}

/// Shows an error on standard error, whole: a broken pipe there is nobody's problem any more.
fn show(error: &CliError, colors: bool, json: bool) {
    let theme = match (colors, utf8_locale()) {
        (true, true) => GraphicalTheme::unicode(),
        (false, true) => GraphicalTheme::unicode_nocolor(),
        (true, false) => GraphicalTheme::ascii(),
        (false, false) => GraphicalTheme::none(),
    };
    let width = miette_width();
    let handler = GraphicalReportHandler::new_themed(theme).with_width(width);
    let mut text = String::new();
    if handler.render_report(&mut text, error.report.as_ref()).is_err() {
        text = format!("{error}\n");
    }
    let _ = json;
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// Columns for messages: the terminal's, 40 to 120, or 100 without one.
fn miette_width() -> usize {
    if !std::io::stderr().is_terminal() {
        return 100;
    }
    match rustix::termios::tcgetwinsize(std::io::stderr()) {
        Ok(size) if size.ws_col > 0 => usize::from(size.ws_col).clamp(40, 120),
        _ => 100,
    }
}

/// Whether the locale lets us print box drawing; without a terminal: yes, files are UTF-8.
fn utf8_locale() -> bool {
    if !std::io::stderr().is_terminal() {
        return true;
    }
    ["LC_ALL", "LC_CTYPE", "LANG"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
        .is_some_and(|value| value.to_ascii_lowercase().replace('-', "").contains("utf8"))
}

fn colors_on_stderr(choice: ColorChoice) -> bool {
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
                set("CLICOLOR_FORCE") || std::io::stderr().is_terminal()
            }
        }
    }
}

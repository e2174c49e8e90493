//! Long text on a terminal goes through a pager, as with git(1): `$MAAND_PAGER`, `$PAGER`, or less(1) with the options
//! FRX, which ends by itself where all fits on one screen. Without a terminal there is none, and one that is missing or is
//! left early is no error.

use std::io::{self, IsTerminal, Write};
use std::process::{Child, Command, Stdio};

use clap::Args;

use super::{CliError, Context, out};
use crate::os::signals::{Signal, listen};
use crate::plan::on_screen;

/// Where neither variable names one.
const DEFAULT: &str = "less";

/// What less(1) and lv(1) are told where their own variables do not say it: end where all fits on one screen, pass
/// colours on, leave what was shown.
const OPTIONS: [(&str, &str); 2] = [("LESS", "FRX"), ("LV", "-c")];

/// A command with one of these is for a shell.
const FOR_SHELL: &[char] =
    &['|', '&', ';', '<', '>', '(', ')', '$', '`', '\\', '"', '\'', '\n', '*', '?', '[', '#', '~', '=', '%'];

/// A pager that was given more than this is there: a pipe that nobody reads holds less.
const KEPT: usize = 256 * 1024;

/// What a shell says where the command cannot be run.
const NOT_RUN: [i32; 2] = [126, 127];

/// `--no-pager` of commands whose output may be long.
#[derive(Clone, Copy, Debug, Default, Args)]
pub(super) struct PagerArgs {
    /// Do not pass the output to a pager, also on a terminal
    #[arg(long)]
    no_pager: bool,
}

/// Where text goes.
pub(super) struct Pager(Sink);

enum Sink {
    /// Standard output.
    Direct,
    Paged(Paged),
    /// Nobody reads any more.
    Closed,
}

struct Paged {
    child: Child,
    /// What was written, until the pager is known to be there.
    kept: Option<String>,
    command: String,
}

impl PagerArgs {
    /// Starts the pager, where there is a terminal to read on.
    pub(super) fn start(self, context: &Context) -> Pager {
        let dumb = || std::env::var_os("TERM").is_none_or(|term| term == "dumb" || term.is_empty());
        if self.no_pager || context.json || !io::stdout().is_terminal() || dumb() {
            return Pager::none();
        }
        let variable = |name: &str| {
            let value = std::env::var_os(name)?.to_string_lossy().trim().to_owned();
            (!value.is_empty()).then_some(value)
        };
        let named = variable("MAAND_PAGER").or_else(|| variable("PAGER"));
        let command = named.clone().unwrap_or_else(|| DEFAULT.to_owned());
        if command == "cat" {
            return Pager::none();
        }
        // Ctrl-C is for the pager: what it does not want to read any more, it leaves.
        let _ = listen(&[Signal::Interrupt], |_| std::ops::ControlFlow::Continue(()));
        match spawn(&command) {
            Ok(child) => Pager(Sink::Paged(Paged { child, kept: Some(String::new()), command })),
            Err(error) => {
                if named.is_some() {
                    missing(&command, &error.to_string());
                }
                Pager::none()
            }
        }
    }
}

fn missing(command: &str, why: &str) {
    let why = why.split(" (os error").next().unwrap_or_default();
    out::note(&format!("The pager `{command}` cannot be started ({why}); MAAND_PAGER and PAGER name one."));
}

fn spawn(command: &str) -> io::Result<Child> {
    let mut words = command.split_whitespace();
    let mut pager = match words.next() {
        Some(program) if !command.contains(FOR_SHELL) => {
            let mut pager = Command::new(program);
            pager.args(words);
            pager
        }
        _ => {
            let mut shell = Command::new("sh");
            shell.arg("-c").arg(command);
            shell
        }
    };
    for (variable, options) in OPTIONS {
        if std::env::var_os(variable).is_none() {
            pager.env(variable, options);
        }
    }
    crate::report::drain();
    pager.stdin(Stdio::piped()).spawn()
}

impl Pager {
    /// Standard output itself.
    pub(super) fn none() -> Self {
        Self(Sink::Direct)
    }

    /// Writes `text`, in which control characters are made visible; `false`: nobody reads any more.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub(super) fn print(&mut self, text: &str) -> Result<bool, CliError> {
        match &mut self.0 {
            Sink::Direct => out::print(text)?,
            Sink::Closed => {}
            Sink::Paged(paged) => {
                if !paged.write(&on_screen(text)) {
                    self.close()?;
                }
            }
        }
        Ok(!matches!(self.0, Sink::Closed))
    }

    /// Waits until it was read. What a pager that is missing has not shown, is shown now.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub(super) fn finish(mut self) -> Result<(), CliError> {
        self.close()
    }

    fn close(&mut self) -> Result<(), CliError> {
        let Sink::Paged(mut paged) = std::mem::replace(&mut self.0, Sink::Closed) else { return Ok(()) };
        drop(paged.child.stdin.take());
        let status = paged.child.wait();
        let not_run = status.is_ok_and(|status| status.code().is_some_and(|code| NOT_RUN.contains(&code)));
        if let Some(kept) = paged.kept.take().filter(|_| not_run) {
            missing(&paged.command, "the shell does not find it");
            out::print(&kept)?;
            self.0 = Sink::Direct;
        }
        Ok(())
    }
}

impl Drop for Pager {
    /// Also after an error: the terminal is the pager's until it has ended.
    fn drop(&mut self) {
        let _ = self.close();
    }
}

impl Paged {
    /// `false`: it does not read any more.
    fn write(&mut self, text: &str) -> bool {
        if let Some(kept) = &mut self.kept {
            kept.push_str(text);
        }
        let written = match &mut self.child.stdin {
            Some(stdin) => stdin.write_all(text.as_bytes()).is_ok(),
            None => false,
        };
        if written && self.kept.as_ref().is_some_and(|kept| kept.len() > KEPT) {
            self.kept = None;
        }
        written
    }
}

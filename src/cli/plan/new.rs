//! `maand plan new`: a commented plan file to start from; never overwrites.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use schemars::JsonSchema;
use serde::Serialize;

use super::super::document::{self, Document};
use super::super::{CliError, Context, Exit, out};
use crate::plan::Problem;

/// Arguments of `maand plan new`.
#[derive(Debug, Args)]
pub struct NewArgs {
    /// The plan's name, written to NAME.yaml here; or a path that ends in .yaml or .yml
    #[arg(value_name = "NAME")]
    name: String,
    /// Which plan to start from
    #[arg(long, value_enum, default_value_t)]
    from: Template,
}

/// The plans that come with the program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Template {
    /// Drain, reboot and re-enable every worker, one at a time
    #[default]
    RollingReboot,
    /// Reboot every worker without draining it, one at a time
    FleetReboot,
    /// A command on every worker, with a health check after each batch
    SshOnly,
    /// One worker, then one zone after the other
    CanaryByZone,
    /// Patch every worker and reboot only those that need it
    KernelPatch,
    /// Restart a service on every worker
    RestartService,
}

impl Template {
    /// Its name and text.
    fn get(self) -> (&'static str, &'static str) {
        match self {
            Self::RollingReboot => ("rolling-reboot", include_str!("../../../plans/rolling-reboot.yaml")),
            Self::FleetReboot => ("fleet-reboot", include_str!("../../../plans/fleet-reboot.yaml")),
            Self::SshOnly => ("ssh-only", include_str!("../../../plans/ssh-only.yaml")),
            Self::CanaryByZone => ("canary-by-zone", include_str!("../../../plans/canary-by-zone.yaml")),
            Self::KernelPatch => ("kernel-patch", include_str!("../../../plans/kernel-patch.yaml")),
            Self::RestartService => ("restart-service", include_str!("../../../plans/restart-service.yaml")),
        }
    }
}

const NAMES: &str = "names are 1 to 63 of a-z, 0-9 and -, such as `maand plan new rolling-reboot`";

/// As JSON.
#[derive(Serialize, JsonSchema)]
pub(in crate::cli) struct NewDocument<'a> {
    /// The file that was written.
    file: &'a str,
    /// The plan that it was made from.
    from: &'a str,
}

impl Document for NewDocument<'_> {
    const NAME: &'static str = "plan-new";
}

/// Writes the file.
pub(super) fn run(args: &NewArgs, context: &Context) -> Result<Exit, CliError> {
    if args.name.trim().is_empty() {
        return Err(CliError::usage("a plan needs a name", NAMES));
    }
    let path = path_of(&args.name);
    let name = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default().to_owned();
    let fine = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if !(1..=63).contains(&name.len()) || !name.bytes().all(fine) || name.starts_with('-') {
        return Err(CliError::usage(format!("`{name}` cannot be the name of a plan"), NAMES));
    }
    let (template_name, template) = args.from.get();
    let shown = path.display().to_string();
    write(&path, &renamed(template, template_name, &name, &shown))?;
    if context.json {
        document::print(&NewDocument { file: &shown, from: template_name })?;
    } else if !context.quiet {
        out::print(&format!("wrote {shown}; review it, then: maand plan validate {shown}\n"))?;
    }
    Ok(Exit::Done)
}

/// `NAME.yaml` in the current folder, or the path that was given.
fn path_of(name: &str) -> PathBuf {
    let path = Path::new(name);
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("yaml" | "yml") => path.to_owned(),
        _ => {
            let mut file = path.as_os_str().to_owned();
            file.push(".yaml");
            file.into()
        }
    }
}

/// The template with the new name, commands with the new file, and the schema where it can be found from anywhere.
fn renamed(template: &str, from: &str, name: &str, file: &str) -> String {
    let lines = template.lines().map(|line| {
        if line.starts_with("# yaml-language-server:") {
            "# For completion in an editor: `maand plan schema > plan.v1.schema.json`, then\n\
             # yaml-language-server: $schema=./plan.v1.schema.json"
                .to_owned()
        } else if line == format!("name: {from}") {
            format!("name: {name}")
        } else if line.starts_with("#   maand ") {
            line.replace(&format!(" {from}.yaml"), &format!(" {file}"))
        } else {
            line.to_owned()
        }
    });
    lines.collect::<Vec<_>>().join("\n") + "\n"
}

/// Writes a file that is not there yet.
fn write(path: &Path, text: &str) -> Result<(), Problem> {
    let shown = path.display();
    let failed = |what: &str, help: String| {
        Problem::error("maand::cli::plan_not_written", format!("`{shown}` cannot be written: {what}"))
            .help(help)
    };
    let mut file = match OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(file) => file,
        Err(error) => {
            return Err(match error.kind() {
                ErrorKind::AlreadyExists => failed(
                    "it already exists",
                    "choose another name, or remove the file first: nothing is ever overwritten".to_owned(),
                ),
                ErrorKind::NotFound => {
                    let folder = path.parent().map(|folder| folder.display().to_string()).unwrap_or_default();
                    failed("its folder does not exist", format!("make it first: mkdir -p {folder}"))
                }
                _ => failed(&error.to_string(), "check the path and its permissions".to_owned()),
            });
        }
    };
    if let Err(error) = file.write_all(text.as_bytes()) {
        // Half a plan is worse than none; it is ours, we have just made it.
        let _ = std::fs::remove_file(path);
        return Err(failed(&error.to_string(), "is the disk full?".to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_in_a_new_plan_name_the_new_file() {
        for template in Template::value_variants() {
            let (from, text) = template.get();
            let text = renamed(text, from, "mine", "plans/mine.yaml");
            let commands: Vec<&str> = text.lines().filter(|line| line.starts_with("#   maand ")).collect();
            assert!(commands.iter().all(|line| line.contains(" plans/mine.yaml")), "{commands:?}");
        }
    }
}

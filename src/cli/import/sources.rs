//! Where inventories come from: a file, standard input, an ssh config, a command.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::path::Path;
use std::time::Instant;

use super::super::open_bucket::connector;
use super::super::plan::shown_name;
use super::super::{CliError, Context, operate};
use super::{AnsibleArgs, SshConfigArgs};
use crate::bucket::{Bucket, Host};
use crate::inventory::{self, AnsibleOptions, Import, LeadsTo};
use crate::os::{CommandEnd, LocalCommand, OutputStream, open};
use crate::plan::{Problem, Source, duration, visible_line, visible_within, without_error_numbers};
use crate::ssh;

/// Bytes of an inventory that are read: some 10,000 hosts with all that Ansible has gathered of them.
const LONGEST: u64 = 64 << 20;

/// Bytes of a command's standard output that are read; as of `workers.json`.
const LONGEST_OUTPUT: usize = 24 << 20;

/// Bytes of its messages that are shown.
const SHOWN: usize = 2_000;

/// An inventory, and where it is from.
pub(super) struct Found {
    /// `ansible`, `ssh-config` or `command`.
    pub(super) kind: &'static str,
    /// How it is called in messages.
    pub(super) source: String,
    pub(super) import: Import,
}

/// `maand import ansible`.
pub(super) fn ansible(args: &AnsibleArgs) -> Result<Found, CliError> {
    let name = shown_name(&args.file);
    let source = text_of(name, &args.file)?;
    let named: BTreeSet<String> = args.tags.iter().map(|tag| tag.trim().to_owned()).collect();
    let options = AnsibleOptions {
        tags: (!named.is_empty()).then_some(named),
        groups: args.groups.iter().map(|group| group.trim().to_owned()).collect(),
    };
    let import = inventory::ansible(&source, &options)?;
    Ok(Found { kind: "ansible", source: name.to_owned(), import })
}

fn text_of(name: &str, path: &str) -> Result<Source, CliError> {
    let read = || -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let read = match path {
            "-" => io::stdin().lock().take(LONGEST + 1).read_to_end(&mut bytes)?,
            path => open::named_by_user(path.as_ref())?.take(LONGEST + 1).read_to_end(&mut bytes)?,
        };
        if read as u64 > LONGEST {
            let why = format!("it has more than {} MiB", LONGEST >> 20);
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
        }
        Ok(bytes)
    };
    let bytes = read().map_err(|error| {
        let why = without_error_numbers(&error.to_string());
        let help = match error.kind() {
            io::ErrorKind::FileTooLarge => {
                "leave the facts of hosts out, or import a part: `ansible-inventory --list --limit GROUP`"
            }
            _ => "name the file with the output of `ansible-inventory --list`; `-` reads standard input",
        };
        Problem::error("maand::inventory::unreadable", format!("{name} cannot be read: {why}")).help(help)
    })?;
    String::from_utf8(bytes).map(|text| Source::new(name, text)).map_err(|error| {
        let message =
            format!("{name} is not UTF-8 text: its byte {} is wrong", error.utf8_error().valid_up_to() + 1);
        Problem::error("maand::inventory::not_text", message).help("write it in UTF-8").into()
    })
}

/// `maand import ssh-config`.
pub(super) fn ssh_config(
    args: &SshConfigArgs,
    bucket: &Bucket,
    context: &Context,
) -> Result<Found, CliError> {
    let conf = bucket.settings();
    if !conf.ssh_config {
        let problem =
            Problem::error("maand::inventory::no_ssh_config", "maand.conf says `ssh_config = false`");
        let help = "names of an ssh config lead nowhere then: leave that line out of maand.conf";
        return Err(problem.help(help).into());
    }
    let mut settings = connector(context).looking(bucket, &[]);
    // A sandbox has nothing of the user's own.
    settings.home = std::env::home_dir().unwrap_or(settings.home);
    let usual = settings.home.join(".ssh/config");
    let file = args.file.clone().unwrap_or_else(|| usual.clone());
    let name = file.display().to_string();
    let unusable = |why: String, help: &str| Problem::error("maand::inventory::ssh_config", why).help(help);
    let lines = ssh::host_lines(&file, &settings.home).map_err(|error| {
        unusable(error.to_string(), "correct it; docs/ssh_config.md says what of an ssh config is understood")
    })?;
    let Some(lines) = lines else {
        let problem =
            unusable(format!("there is no {name}"), "name the file: `maand import ssh-config FILE`");
        return Err(problem.into());
    };
    // As the file has it, over which maand.conf wins.
    settings.ssh_config = Some(file.clone());
    (settings.port, settings.user) = (None, None);
    let leads_to = |host: &Host| -> Result<LeadsTo, String> {
        let destination = ssh::destination(&settings, host).map_err(|error| error.to_string())?;
        let hops = destination.jumps.iter().chain([&destination]);
        let machine: Vec<String> =
            hops.map(|hop| format!("{}:{}", hop.host.to_lowercase(), hop.port)).collect();
        let (port, user) = (destination.port, destination.user);
        // Without a word it is 22, which is no statement against another one for all.
        let port = (conf.states("ssh_port") && port != conf.ssh_port && port != 22).then_some(port);
        let user = (conf.states("ssh_user") && user != conf.ssh_user).then_some(user);
        Ok(LeadsTo { machine: machine.join(" > "), port, user })
    };
    let import = inventory::ssh_config(&name, &lines, &args.hosts, &leads_to)?;
    if !is_same_file(&file, &usual) {
        let message = format!("{name} is not read when a worker is connected to: ~/.ssh/config is");
        let help = format!("write `Include {}` into ~/.ssh/config", file.display());
        context.warn(&Problem::warning("maand::inventory::other_ssh_config", message).help(help).into());
    }
    Ok(Found { kind: "ssh-config", source: name, import })
}

fn is_same_file(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    real(one) == real(other)
}

/// `maand import command`.
pub(super) fn command(bucket: &Bucket, context: &Context) -> Result<Found, CliError> {
    let conf = bucket.settings();
    let refused = |message: String, help: &str| -> CliError {
        Problem::error("maand::inventory::command", message).help(help).into()
    };
    let Some(command) = &conf.inventory_command else {
        let help = "write into maand.conf what prints the workers: inventory_command = \"./inventory.py\"";
        return Err(refused("maand.conf names no `inventory_command`".to_owned(), help));
    };
    if !conf.executes_local() {
        let help = "write `execute = true` into its maand.conf, if its commands are meant";
        return Err(refused("a sandbox executes no commands of its own".to_owned(), help));
    }
    if context.verbose > 0 {
        operate::say(&format!("maand: inventory_command: {}", visible_line(command)));
    }
    let (printed, said) = printed_by(command, bucket)?;
    let name = "what inventory_command printed";
    let text = String::from_utf8(printed).map_err(|_| {
        refused(format!("{name} is not UTF-8 text"), "it has to print JSON, and nothing else")
    })?;
    if !said.trim().is_empty() && !context.quiet {
        operate::say(said.trim_end());
    }
    let import = inventory::listed(&Source::new(name, text))?;
    Ok(Found { kind: "command", source: name.to_owned(), import })
}

/// Standard output, and the beginning of standard error, of the command, which has ended well.
fn printed_by(command: &str, bucket: &Bucket) -> Result<(Vec<u8>, String), CliError> {
    let conf = bucket.settings();
    let (mut printed, mut said) = (Vec::new(), Vec::new());
    let too_much = std::cell::Cell::new(false);
    let mark = format!("import {}", std::process::id());
    let local = LocalCommand {
        guard: Some(Path::new("/proc/self/exe")),
        mark: &mark,
        program: "sh",
        arguments: vec!["-c".into(), command.into()],
        folder: &bucket.paths().root,
        environment: &[],
    };
    let until = Instant::now() + conf.inventory_timeout;
    let ended = local.run(until, &|| too_much.get(), &mut |stream, bytes| match stream {
        OutputStream::Stdout if printed.len() + bytes.len() > LONGEST_OUTPUT => too_much.set(true),
        OutputStream::Stdout => printed.extend_from_slice(bytes),
        OutputStream::Stderr if said.len() <= SHOWN => said.extend_from_slice(bytes),
        OutputStream::Stderr => {}
    });
    let said = visible_within(&String::from_utf8_lossy(&said), SHOWN);
    let why = match ended {
        Ok(CommandEnd::Exit(0)) if !too_much.get() => return Ok((printed, said)),
        _ if too_much.get() => format!("it printed more than {} MiB", LONGEST_OUTPUT >> 20),
        Ok(CommandEnd::Exit(code)) => format!("it ended with exit code {code}"),
        Ok(CommandEnd::Signal(signal)) => format!("signal {signal} ended it"),
        Ok(CommandEnd::Cut(_)) => format!(
            "it has not ended within {} (`inventory_timeout` in maand.conf, in seconds)",
            duration(conf.inventory_timeout)
        ),
        Ok(CommandEnd::Lost) => "something has killed it".to_owned(),
        Err(error) => format!("it cannot be started: {}", without_error_numbers(&error.to_string())),
    };
    let said = if said.trim().is_empty() { String::new() } else { format!(":\n{}", said.trim_end()) };
    let help = "run it by hand in the bucket's folder; it has to print JSON in the form of workspace/workers.json, and to end \
                with exit code 0";
    let message = format!("the `inventory_command` of maand.conf has failed: {why}{said}");
    Err(Problem::error("maand::inventory::command", message).help(help).into())
}

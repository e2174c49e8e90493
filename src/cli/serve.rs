//! `maand serve`: pages of the bucket's runs over HTTP.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::sync::Arc;

use clap::Args;
use schemars::JsonSchema;
use serde::Serialize;

use super::document::{self, Document};
use super::hint::hint;
use super::plan::control_from_page;
use super::{CliError, Context, Exit};
use crate::bucket::Bucket;
use crate::engine::Control;
use crate::journal::RunId;
use crate::os::signals::{Signal, listen};
use crate::plan::{Problem, visible_line};
use crate::run::{RunError, this_operator};
use crate::serve::{Authority, ServeControl, ServeError, ServeOptions, Server};

/// Arguments of `maand serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Address and port to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8808")]
    listen: SocketAddr,
    /// Listen on an address that other machines reach: whoever reaches it reads plans, hosts and outputs of all runs
    #[arg(long)]
    allow_remote: bool,
    /// Answer also to this name of the machine, or of a proxy in front
    #[arg(long, value_name = "NAME[:PORT]", value_delimiter = ',')]
    allow_host: Vec<Authority>,
    /// Let operators who log in control runs: pause, continue, approve, retry, skip, abort
    #[arg(long)]
    control: bool,
    /// With --control and --allow-remote: whoever sees the traffic, which is not encrypted, can control runs
    #[arg(long, requires = "control")]
    allow_remote_control: bool,
}

/// As JSON, in one line, once it listens.
#[derive(Serialize, JsonSchema)]
pub(super) struct ServeDocument<'a> {
    /// Always `serve`.
    r#type: &'static str,
    /// The bucket's folder.
    bucket: &'a std::path::Path,
    /// Where the pages are.
    url: &'a str,
    /// With --control: where operators log in. Whoever has this link can.
    #[serde(skip_serializing_if = "Option::is_none")]
    login: Option<&'a str>,
}

impl Document for ServeDocument<'_> {
    const NAME: &'static str = "serve";
}

/// Runs the command.
pub(super) fn run(args: &ServeArgs, context: &Context) -> Result<Exit, CliError> {
    let bucket = Arc::new(Bucket::find(context.bucket.as_deref())?);
    let is_remote = !args.listen.ip().is_loopback();
    if is_remote && !args.allow_remote {
        let message = format!("{} is reached by other machines", args.listen);
        return Err(CliError::usage(
            message,
            "whoever reaches it reads plans, hosts and outputs of all runs, unencrypted and without a password. Listen on \
             127.0.0.1 and let others come by `ssh -L 8808:127.0.0.1:8808`, or say --allow-remote",
        ));
    }
    if is_remote && args.control && !args.allow_remote_control {
        let message = format!("{} is reached by other machines, and nothing is encrypted", args.listen);
        return Err(CliError::usage(
            message,
            "whoever sees the traffic has the token, and can control all runs. Listen on 127.0.0.1 and let others come by \
             `ssh -L 8808:127.0.0.1:8808` or by a proxy with TLS, or say --allow-remote-control",
        ));
    }
    let options = ServeOptions {
        bucket: Arc::clone(&bucket),
        listen: args.listen,
        hint: hint(context.engine_for(&bucket)),
        words,
        allowed: args.allow_host.clone(),
        control: args.control.then(|| controlled(context)),
    };
    let mut server = Server::bind(options).map_err(|error| not_started(&error))?;
    let ending = server.ending();
    let mut asked = false;
    listen(&Signal::ENDING, move |_| {
        if std::mem::replace(&mut asked, true) {
            // Asked twice: nothing here has to be put away.
            std::process::exit(Exit::Done as i32);
        }
        ending.end();
        ControlFlow::Continue(())
    })
    .map_err(|error| Problem::error("maand::serve::start", format!("cannot listen for Ctrl-C: {error}")))?;
    announce(&mut server, &bucket, is_remote, context)?;
    server.run();
    Ok(Exit::Done)
}

/// Control by the functions of the commands.
fn controlled(context: &Context) -> ServeControl {
    let context = context.clone();
    let ask = move |run: &RunId, verb: Control, by: &str| control_from_page(run, verb, by, &context);
    ServeControl { served_by: this_operator(), ask: Arc::new(ask) }
}

fn announce(
    server: &mut Server,
    bucket: &Bucket,
    is_remote: bool,
    context: &Context,
) -> Result<(), CliError> {
    let url = format!("http://{}/", server.address());
    let login = server.take_token().map(|token| format!("{url}login#{token}"));
    let folder = &bucket.paths().root;
    let shown = visible_line(&folder.display().to_string());
    let text = match (&login, context.json) {
        (_, true) => {
            let login = login.as_deref();
            document::line(&ServeDocument { r#type: "serve", bucket: folder, url: &url, login })?
        }
        (None, false) if context.quiet => format!("{url}\n"),
        (Some(login), false) if context.quiet => format!("{url}\n{login}\n"),
        (None, false) => {
            format!("The runs of {shown} are at {url} (for reading only). Ctrl-C ends it.\n")
        }
        (Some(login), false) => format!(
            "The runs of {shown} are at {url}. Ctrl-C ends it.\n\
             Log in to control them (whoever has this link can; it is not shown again):\n  {login}\n"
        ),
    };
    // A closed standard output is no reason to end.
    let mut stdout = io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    if is_remote {
        super::operate::say(
            "WARNING: other machines reach this address. Whoever does reads plans, hosts and outputs of all runs: there \
             is no password, and nothing is encrypted.",
        );
        if login.is_some() {
            super::operate::say(
                "WARNING: the token of --control travels in clear: whoever sees the traffic can control all runs.",
            );
        }
    }
    Ok(())
}

/// What commands say of an error of a run.
fn words(error: RunError) -> (String, Option<String>) {
    let error = CliError::from(error);
    let first = error.problems().into_iter().next();
    first.map_or_else(
        || ("the run cannot be read".to_owned(), None),
        |problem| (problem.message.clone(), problem.help.clone()),
    )
}

fn not_started(error: &ServeError) -> Problem {
    let help = match error {
        ServeError::Listen { source, .. } => match source.kind() {
            io::ErrorKind::AddrInUse => {
                "another program listens there, perhaps another `maand serve`: choose another port, or 0 for a free one"
            }
            io::ErrorKind::AddrNotAvailable => "choose an address of this machine, such as 127.0.0.1:8808",
            io::ErrorKind::PermissionDenied => "ports below 1024 are for root: choose a higher one",
            _ => "choose another address and port",
        },
        ServeError::Token(_) => "the system has no random numbers: see whether /dev/urandom can be read",
        ServeError::Start(_) => {
            "the machine has too few threads or open files left: end other programs, and try again"
        }
    };
    Problem::error("maand::serve::start", error.to_string()).help(help)
}

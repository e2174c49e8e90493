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
use super::{CliError, Context, Exit};
use crate::bucket::Bucket;
use crate::os::signals::{Signal, listen};
use crate::plan::Problem;
use crate::run::RunError;
use crate::serve::{ServeError, ServeOptions, Server};

/// Arguments of `maand serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Address and port to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8808")]
    listen: SocketAddr,
    /// Listen on an address that other machines reach: whoever reaches it reads plans, hosts and outputs of all runs
    #[arg(long)]
    allow_remote: bool,
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
    let options = ServeOptions {
        bucket: Arc::clone(&bucket),
        listen: args.listen,
        hint: hint(context.engine_for(&bucket)),
        words,
    };
    let server = Server::bind(options).map_err(|error| not_started(&error))?;
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
    announce(&server, &bucket, is_remote, context)?;
    server.run();
    Ok(Exit::Done)
}

fn announce(server: &Server, bucket: &Bucket, is_remote: bool, context: &Context) -> Result<(), CliError> {
    let url = format!("http://{}/", server.address());
    let text = match context.json {
        true => document::line(&ServeDocument { r#type: "serve", bucket: &bucket.paths().root, url: &url })?,
        false if context.quiet => format!("{url}\n"),
        false => format!(
            "The runs of {} are at {url} (for reading only). Ctrl-C ends it.\n",
            bucket.paths().root.display()
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
        ServeError::Start(_) => {
            "the machine has too few threads or open files left: end other programs, and try again"
        }
    };
    Problem::error("maand::serve::start", error.to_string()).help(help)
}

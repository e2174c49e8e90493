//! `maand init`: makes a bucket, shows the public key and says where it goes.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use schemars::JsonSchema;
use serde::Serialize;

use super::document::{self, Document};
use super::{CliError, Context, Exit, out};
use crate::bucket::{self, Initialised};

/// Arguments of `maand init`.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// The folder, made if it is missing [default: that of -C, else the current one]
    #[arg(value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// As JSON.
#[derive(Serialize, JsonSchema)]
pub(super) struct InitDocument<'a> {
    /// The bucket's folder.
    bucket: &'a Path,
    /// The bucket's UUID.
    bucket_id: &'a str,
    /// What was made; empty: the bucket was complete, and nothing was changed.
    made: &'a [String],
    /// One line for `~ssh_user/.ssh/authorized_keys` on every worker.
    public_key: Option<&'a str>,
    /// The user whom the workers have to let in.
    ssh_user: &'a str,
}

impl Document for InitDocument<'_> {
    const NAME: &'static str = "init";
}

/// Runs the command.
pub(super) fn run(args: InitArgs, context: &Context) -> Result<Exit, CliError> {
    let dir = args.dir.or_else(|| context.bucket.clone()).unwrap_or_else(|| PathBuf::from("."));
    let done = bucket::init(&dir)?;
    if context.json {
        document::print(&InitDocument {
            bucket: &done.root,
            bucket_id: &done.bucket_id,
            made: &done.made,
            public_key: done.public_key.as_deref(),
            ssh_user: &done.ssh_user,
        })?;
    } else if !context.quiet {
        out::print(&text(&done))?;
    }
    Ok(Exit::Done)
}

fn text(done: &Initialised) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let root = done.root.display();
    let _ = match done.made.as_slice() {
        [] => writeln!(text, "{root} is already a bucket ({}); nothing was changed.", done.bucket_id),
        made => writeln!(text, "Bucket {} in {root}\nmade: {}", done.bucket_id, made.join(", ")),
    };
    if let Some(key) = &done.public_key {
        let user = &done.ssh_user;
        let _ = writeln!(
            text,
            "\nThe public key, one line for ~{user}/.ssh/authorized_keys on every worker:\n\n{key}"
        );
    }
    if !done.made.is_empty() {
        text.push_str(
            "\nNext: list the workers in workspace/workers.json, such as\n\n  \
             [{ \"host\": \"10.0.0.1\", \"labels\": [\"api\"] }]\n\n\
             and check that they answer: maand run_command true\n",
        );
    }
    text
}

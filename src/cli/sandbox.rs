//! `maand sandbox up`: a throwaway fleet in the foreground, and what to type next.

use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Receiver;

use clap::{Args, Subcommand};
use schemars::JsonSchema;
use serde::Serialize;

use super::document::{self, Document};
use super::open_bucket::connector;
use super::{CliError, Context, Exit};
use crate::bucket::Host;
use crate::os::signals::{Signal, listen};
use crate::plan::Problem;
use crate::rehearsal::deploy_jobs;
use crate::sandbox::{Blueprint, Fault, Sandbox, SandboxOptions};
use crate::ssh::{Cancel, quote};

/// The commands below `maand sandbox`.
#[derive(Debug, Subcommand)]
pub enum SandboxCommand {
    /// Start a throwaway fleet and keep it until Ctrl-C
    Up(Up),
}

/// Arguments of `maand sandbox up`.
#[derive(Debug, Args)]
pub struct Up {
    /// How many workers
    #[arg(long, alias = "worker", default_value_t = 3, value_name = "N")]
    workers: usize,
    /// Folder for all of it, kept afterwards [default: a temporary one, removed at the end]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Divide the simulated boot time of three seconds by this
    #[arg(long, default_value_t = 1.0, value_name = "FACTOR")]
    speed: f64,
    /// Inject a fault, at the start or when the worker next reboots; may be repeated
    #[arg(long, value_name = "HOST:KIND", add = crate::cli::complete::faults())]
    fault: Vec<String>,
    /// Also execute your own text (commands of plans, Makefiles, probes), as yourself and on THIS machine
    ///
    /// A throwaway worker is a folder: relative paths stay in it, but whatever your commands do by absolute
    /// paths, over the network or to processes reaches this machine. Without it they are only recorded.
    #[arg(long)]
    execute: bool,
}

/// Carries out one of them.
pub(super) fn run(command: SandboxCommand, context: &Context) -> Result<Exit, CliError> {
    match command {
        SandboxCommand::Up(up) => run_up(up, context),
    }
}

/// The hidden command: becomes a guard.
pub(super) fn guard() -> Result<Exit, CliError> {
    match crate::sandbox::guard_main() {
        Ok(()) => Ok(Exit::Done),
        Err(error) => Err(CliError::usage(
            format!("this command is for sandboxes only: {error}"),
            "type `maand sandbox up` to have one",
        )),
    }
}

fn run_up(up: Up, context: &Context) -> Result<Exit, CliError> {
    let signals = Signals::listen()?;
    let mut options = SandboxOptions::new(Blueprint::demo(up.workers));
    options.dir = up.dir;
    options.speed = up.speed;
    options.execute = up.execute;
    let sandbox = Sandbox::start(options)?;
    let faults =
        up.fault.iter().map(|text| Fault::parse(text, sandbox.hosts())).collect::<Result<Vec<_>, _>>()?;
    if let Some(fault) = faults.iter().find(|fault| fault.at_step.is_some()) {
        let message = format!("`{fault}` names a step, and a sandbox does not know which step has begun");
        return Err(Problem::error("maand::sandbox::fault", message)
            .help("leave the step out, or rehearse the plan: maand plan rehearse PLAN --fault HOST:KIND@STEP")
            .into());
    }
    if let Err(error) = deploy_jobs(&sandbox, &connector(context), &signals.cancel) {
        return Err(if signals.cancel.is_cancelled() { interrupted() } else { error.into() });
    }
    for fault in faults {
        sandbox.inject(fault);
    }
    let text = if context.json { announce_json(&sandbox)? } else { announce(&sandbox) };
    // A closed standard output is no reason to end the fleet: its bucket can be used all the same.
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    drop(stdout);
    signals.wait();
    if !context.quiet {
        let _ = writeln!(std::io::stderr().lock(), "ending the sandbox");
    }
    sandbox.stop();
    Ok(Exit::Done)
}

fn announce(sandbox: &Sandbox) -> String {
    let bucket = sandbox.bucket_dir();
    let bucket = quote(&bucket.to_string_lossy());
    let mut text = format!(
        "THIS IS A SANDBOX: {} throwaway workers on this machine. Nothing here is real.\n\n",
        sandbox.hosts().len()
    );
    for host in sandbox.hosts().iter().take(10) {
        let address = sandbox.address(host).map(|address| address.to_string()).unwrap_or_default();
        text.push_str(&format!("  {host}  listens on {address}\n"));
    }
    if sandbox.hosts().len() > 10 {
        text.push_str(&format!("  ... and {} more\n", sandbox.hosts().len() - 10));
    }
    text.push_str(&format!(
        "\nIts folder:  {}\n\nType in another terminal:\n\n\
           cd {bucket}\n\
           maand cat allocations\n\
           maand health_check\n\
           maand plan new reboot --from rolling-reboot\n\
           maand plan apply reboot.yaml\n\n\
         Ctrl-C ends it.\n",
        sandbox.dir().display(),
    ));
    text
}

/// As JSON, in one line, once it is up.
#[derive(Serialize, JsonSchema)]
pub(super) struct SandboxDocument {
    /// Always `sandbox`.
    r#type: &'static str,
    /// The sandbox's folder.
    dir: PathBuf,
    /// The bucket in it.
    bucket: PathBuf,
    /// Its workers.
    workers: Vec<SandboxWorker>,
}

/// A throwaway worker in JSON.
#[derive(Serialize, JsonSchema)]
struct SandboxWorker {
    /// The worker.
    host: String,
    /// Address and port that it listens on.
    address: Option<String>,
    /// The folder that plays its root.
    root: Option<PathBuf>,
}

impl Document for SandboxDocument {
    const NAME: &'static str = "sandbox";
}

fn announce_json(sandbox: &Sandbox) -> Result<String, CliError> {
    let worker = |host: &Host| SandboxWorker {
        host: host.to_string(),
        address: sandbox.address(host).map(|address| address.to_string()),
        root: sandbox.root(host).map(Path::to_owned),
    };
    document::line(&SandboxDocument {
        r#type: "sandbox",
        dir: sandbox.dir().to_owned(),
        bucket: sandbox.bucket_dir(),
        workers: sandbox.hosts().iter().map(worker).collect(),
    })
}

fn interrupted() -> CliError {
    let problem = Problem::error("maand::interrupted", "interrupted before the sandbox was ready")
        .help("nothing of it is left; start it again when you like");
    CliError::new(Exit::Resumable, problem)
}

/// The signals that end the foreground: Ctrl-C, a `kill`, a terminal that closes.
pub(super) struct Signals {
    /// Cancelled by the first of them.
    pub(super) cancel: Cancel,
    /// A message for each of them.
    pub(super) came: Receiver<()>,
}

impl Signals {
    /// From here on they no longer end the process by themselves.
    pub(super) fn listen() -> Result<Self, Problem> {
        let cancel = Cancel::new();
        let (sender, came) = std::sync::mpsc::channel();
        let listener = cancel.clone();
        listen(&Signal::ENDING, move |_| {
            listener.cancel();
            match sender.send(()) {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            }
        })
        .map_err(|error| {
            Problem::error("maand::sandbox::start", format!("cannot listen for Ctrl-C: {error}"))
        })?;
        Ok(Self { cancel, came })
    }

    fn wait(&self) {
        let _ = self.came.recv();
    }
}

//! Commands of the upstream program on a bucket of its own: handed to it as they were typed, under our
//! lock, with our standard streams and its exit code. So this program can stand first on PATH.
//!
//! This has to happen before clap reads the command line: the flags are the other program's, and its
//! commands are not all known here.

use std::ffi::{OsStr, OsString};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::{self, Pid, kill_process};

use super::args::Global;
use super::environment::Environment;
use super::open_bucket::{OpenBucket, take_lock};
use super::{CliError, Context, Exit};
use crate::bucket::{JobName, Paths, bucket_around, is_strangers};
use crate::catalog::external::{Beside, External, Watch};
use crate::catalog::{Call, CatalogError, Cuts, external};
use crate::os::limits;
use crate::os::signals::{Signal, Signals};
use crate::plan::Problem;
use crate::run::Engine;
use crate::sandbox;
use crate::ssh::Cancel;

/// Bringing `worker.json` up to date is one deploy that restarts nothing.
const PREPARE_WITHIN: Duration = Duration::from_secs(10 * 60);

/// A machine that has no process for that program has one soon, or says that it has none.
const ROOM_WITHIN: Duration = Duration::from_secs(10);

/// As long as for the lock.
const OTHERS_WAIT: Duration = Duration::from_secs(5);

/// Between two looks for other commands.
const LOOK: Duration = Duration::from_millis(20);

/// Ours on every bucket. `run_command` is a superset of upstream's with the same flags: it needs no
/// catalog, and a worker that it reboots keeps its place until it is back.
const OURS: &[&str] = &[
    "plan",
    "sandbox",
    "info",
    "doctor",
    "import",
    "notify",
    "run_command",
    "run-command",
    "completions",
    "man",
    "self",
    "help",
    sandbox::GUARD_COMMAND,
];
/// These only print: they need no lock, and a run must not keep an operator from looking. (`deploy
/// --dry-run` is not one of them: it deletes the staging folder of a deploy that runs.)
const HARMLESS: &[&str] = &["cat", "logs", "completion"];
/// What we can show as JSON ourselves.
const JSON: &[&str] = &["workers", "jobs", "allocations", "deployments"];

/// A command line cut into what is ours and what is the upstream program's.
#[derive(Debug, Default)]
struct Cut {
    ours: Global,
    /// The command and its arguments, without our flags.
    rest: Vec<OsString>,
}

/// Hands the command line over if it is for the upstream program; `None`: it is for us.
pub(super) fn run(args: &[OsString], environment: Environment<'_>) -> Option<Result<u8, CliError>> {
    let cut = cut(args)?;
    let command = cut.rest.first()?.to_str()?;
    let makes_new = command == "init" && cut.rest.iter().skip(1).any(|arg| !arg.as_bytes().starts_with(b"-"));
    if OURS.contains(&command) || command.starts_with('-') || makes_new {
        return None;
    }
    // What is wrong with the environment is said where it is read again.
    let context = Context::resolve(&cut.ours, environment).ok()?;
    let root = root(context.bucket.as_deref())?;
    let paths = Paths::of(&root);
    let external = match context.engine {
        Some(Engine::External) => true,
        Some(Engine::Builtin) => false,
        None => paths.upstream_db.symlink_metadata().is_ok(),
    };
    if !external {
        return None;
    }
    if context.json {
        let ours = command == "cat"
            && cut.rest.get(1).and_then(|word| word.to_str()).is_some_and(|word| JSON.contains(&word));
        if ours {
            return None;
        }
        let message = format!("`maand {command}` is the upstream program's here, and that writes no JSON");
        let help = "leave --output and MAAND_OUTPUT out; `maand cat workers|jobs|allocations|deployments`, `maand info` and `maand plan` know it";
        return Some(Err(CliError::usage(message, help)));
    }
    // The upstream program shows nothing live.
    let context = Context { bucket: Some(root), plain: true, live_colors: false, bell: false, ..context };
    Some(hand_over(&context, &paths, command, &cut.rest))
}

fn hand_over(context: &Context, paths: &Paths, command: &str, args: &[OsString]) -> Result<u8, CliError> {
    external::refuse_nested()?;
    let program = super::engine::program(context)?;
    let asks_for_help = args.iter().any(|arg| arg == "--help" || arg == "-h");
    if command == "job" && !asks_for_help && acts(args) {
        prepare_job(context)?;
    }
    let has = |flags: &[&str]| args.iter().any(|arg| flags.iter().any(|flag| arg == flag));
    let deploys = command == "deploy" && !asks_for_help && !has(&["--dry-run", "-n"]);
    if deploys && let Some((engine, call)) = quietly(context) {
        engine.before_deploy(&call).map_err(|problem| CliError::new(Exit::Failed, problem))?;
    }
    if command == "deploy" && !asks_for_help && !has(&["--build", "-b"]) {
        super::deploy::warn_before_upstream(&jobs(args), context);
    }
    let lock = if HARMLESS.contains(&command) || asks_for_help {
        None
    } else {
        let words: Vec<_> = args.iter().take(2).map(|arg| arg.to_string_lossy()).collect();
        let who = crate::ssh::visible(format!("maand {}", words.join(" ")).as_bytes());
        let guard = take_lock(paths, &who, &Cancel::new())?;
        wait_for_others(&program.path, &paths.root)?;
        // The command keeps the lock for as long as it lives, also when we do not. There is no other
        // thread here yet that could start something.
        fcntl_setfd(guard.as_fd(), FdFlags::empty()).map_err(|error| broken(&error.into()))?;
        Some(guard)
    };
    let mut process = Command::new(&program.path);
    process.args(args).current_dir(&paths.root).env(external::DEPTH, "1");
    // A build before it deletes tmp/ once more.
    let replaces = u8::from(deploys) + u8::from(has(&["--build", "-b"]));
    let mut watch = deploys.then(|| Watch::begin(&program.path, &paths.root, replaces));
    let (status, child) = wait(&mut process, watch.as_mut()).map_err(|error| {
        let message = format!("{} cannot be started: {error}", program.path.display());
        CliError::new(
            Exit::Failed,
            Problem::error("maand::external::start", message)
                .help("name another upstream program with --maand-bin or MAAND_BIN"),
        )
    })?;
    let beside = watch.map(|watch| watch.end(child));
    // What its hooks may have left running keeps no lock.
    if let Some(lock) = lock {
        lock.release();
    }
    if let Some(beside) = beside.filter(|_| status.success()) {
        check_deployed(context, &jobs(args), &beside)?;
    }
    // As shells say it: 128 and the signal.
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    Ok(u8::try_from(code).unwrap_or(u8::MAX))
}

/// Whether a `job` command changes something on workers. Before one that only looks or scaffolds nothing is
/// deployed, since that would run jobs' hooks.
fn acts(args: &[OsString]) -> bool {
    matches!(args.get(1).and_then(|word| word.to_str()), Some("start" | "stop" | "restart" | "run"))
}

/// A command that was started past our lock is given a moment to end, as the lock's holder is.
fn wait_for_others(program: &Path, root: &Path) -> Result<(), CliError> {
    let until = Instant::now() + OTHERS_WAIT;
    while let Some(other) = external::at_work(program, root) {
        if Instant::now() >= until {
            let message = format!("{other}, started by hand, is at work in this bucket");
            let problem = Problem::error("maand::locked", message)
                .help("two commands of the upstream program at once destroy each other's work: wait for its end, then try again");
            return Err(CliError::new(Exit::Locked, problem));
        }
        std::thread::sleep(LOOK);
    }
    Ok(())
}

/// The jobs that a `deploy` was for; empty: all.
fn jobs(args: &[OsString]) -> Vec<String> {
    let words: Vec<_> = args.iter().map(|arg| arg.to_string_lossy()).collect();
    let given = words.iter().enumerate().find_map(|(at, word)| match word.strip_prefix("--jobs") {
        Some("") => words.get(at + 1).map(ToString::to_string),
        Some(rest) => rest.strip_prefix('=').map(str::to_owned),
        None => None,
    });
    let given = given.unwrap_or_default();
    given.split(',').map(str::trim).filter(|job| !job.is_empty()).map(str::to_owned).collect()
}

/// The engine of the bucket, for what a handed-over command needs besides; `None`: it cannot be had, which that command
/// says itself.
fn quietly(context: &Context) -> Option<(External, Call)> {
    let quiet = Context { quiet: true, ..context.clone() };
    let world = OpenBucket::open(&quiet).ok()?;
    let engine = super::engine::upstream(&world, context).ok()?;
    let call = Call {
        stopping: Cancel::new(),
        cancel: Cancel::new(),
        until: Instant::now() + PREPARE_WITHIN,
        output: super::operate::printer(context),
        fence: None,
        cuts: Cuts::default(),
    };
    Some((engine, call))
}

/// A deploy that says that it went well, and whose files another command has taken away, has not.
fn check_deployed(context: &Context, jobs: &[String], beside: &Beside) -> Result<(), CliError> {
    let Some((engine, call)) = quietly(context) else { return Ok(()) };
    let in_scope = |job: &JobName| jobs.is_empty() || jobs.iter().any(|name| name == job.as_str());
    engine.check_deployed(&in_scope, beside, &call).map_err(|problem| CliError::new(Exit::Failed, problem))
}

/// After a deploy that rolled nothing out the upstream program's `job` would refuse to work. What keeps
/// us from helping is left for that program to judge, but not that another operation is under way.
fn prepare_job(context: &Context) -> Result<(), CliError> {
    let Some((engine, call)) = quietly(context) else { return Ok(()) };
    match engine.prepare_job(&call) {
        Err(error @ CatalogError::Locked { .. }) => Err(super::engine::catalog_error(error)),
        Err(_) | Ok(()) => Ok(()),
    }
}

/// Starts it in our process group, so that Ctrl-C reaches it as if it had been typed there, and waits for
/// its end; signals that only we get are passed on.
///
/// What else is at work meanwhile is looked for; also answers with the process.
fn wait(command: &mut Command, watch: Option<&mut Watch>) -> std::io::Result<(ExitStatus, u32)> {
    let asking = [Signal::Interrupt, Signal::Quit, Signal::Terminate, Signal::Hangup];
    let mut signals = Signals::of(&[&asking[..], &[Signal::Child]].concat())?;
    let mut child = limits::when_there_is_room(Instant::now() + ROOM_WITHIN, &|| false, || command.spawn())?;
    let number = child.id();
    let (done, is_done) = channel::<()>();
    std::thread::scope(|scope| {
        if let Some(watch) = watch {
            let looks = move || {
                while is_done.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
                    watch.look(number);
                }
            };
            // Without a thread nobody looks; what was deployed is compared all the same.
            let _ = std::thread::Builder::new().name("looks".into()).spawn_scoped(scope, looks);
        }
        let status = until_its_end(&mut child, &mut signals);
        drop(done);
        Ok((status?, number))
    })
}

fn until_its_end(child: &mut Child, signals: &mut Signals) -> std::io::Result<ExitStatus> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        match signals.next() {
            // The system stops both at Ctrl-Z: nobody listens for it here.
            None | Some(Signal::Child | Signal::Suspend) => {}
            // From a terminal they go to the whole group.
            Some(Signal::Interrupt) if !on_terminal() => pass_on(child, process::Signal::INT),
            Some(Signal::Quit) if !on_terminal() => pass_on(child, process::Signal::QUIT),
            Some(Signal::Interrupt | Signal::Quit) => {}
            Some(Signal::Terminate) => pass_on(child, process::Signal::TERM),
            Some(Signal::Hangup) => pass_on(child, process::Signal::HUP),
        }
    }
}

fn on_terminal() -> bool {
    use std::io::IsTerminal;
    std::io::stdin().is_terminal() || std::io::stderr().is_terminal()
}

fn pass_on(child: &Child, signal: process::Signal) {
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

fn broken(error: &std::io::Error) -> CliError {
    CliError::new(Exit::Failed, Problem::error("maand::bucket::lock", error.to_string()))
}

/// The bucket's folder, found as all commands find it; its files are not looked at, as they are the
/// other program's to judge.
fn root(named: Option<&Path>) -> Option<PathBuf> {
    if let Some(named) = named {
        return std::path::absolute(named).ok();
    }
    let here = std::env::current_dir().ok()?;
    bucket_around(&here).filter(|bucket| !is_strangers(bucket, &here)).map(Path::to_path_buf)
}

/// Takes our flags out. `None`: something about them is wrong, which clap will say better.
fn cut(args: &[OsString]) -> Option<Cut> {
    let mut cut = Cut::default();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let in_command = !cut.rest.is_empty();
        if arg == "--" && in_command {
            cut.rest.push(arg.clone());
            cut.rest.extend(args.cloned());
            break;
        }
        let bytes = arg.as_bytes();
        let (name, attached) = match bytes.iter().position(|byte| *byte == b'=') {
            Some(at) if bytes.starts_with(b"--") => (&bytes[..at], Some(OsStr::from_bytes(&bytes[at + 1..]))),
            _ if bytes.starts_with(b"-C") && bytes.len() > 2 => {
                (&bytes[..2], Some(OsStr::from_bytes(bytes[2..].strip_prefix(b"=").unwrap_or(&bytes[2..]))))
            }
            _ => (bytes, None),
        };
        let mut value = || attached.map(OsStr::to_owned).or_else(|| args.next().cloned());
        let ours = &mut cut.ours;
        match name {
            b"-C" | b"--bucket" => ours.bucket = Some(value()?.into()),
            b"--maand-bin" => ours.maand_bin = Some(value()?.into()),
            b"--engine" => ours.engine = Some(choice(&value()?)?),
            b"--output" => ours.output = Some(choice(&value()?)?),
            b"--color" => ours.color = Some(choice(&value()?)?),
            b"--annotations" => ours.annotations = Some(choice(&value()?)?),
            b"-q" | b"--quiet" => ours.quiet = true,
            b"--bell" => ours.bell = true,
            b"-v" => ours.verbose += 1,
            b"-vv" => ours.verbose += 2,
            // The other program has a flag of this name.
            b"--verbose" if !in_command => ours.verbose += 1,
            _ => cut.rest.push(arg.clone()),
        }
    }
    Some(cut)
}

fn choice<T: ValueEnum>(text: &OsStr) -> Option<T> {
    T::from_str(text.to_str()?, false).ok()
}

#[cfg(test)]
mod tests {
    use super::super::args::OutputFormat;
    use super::*;

    fn split(line: &str) -> Vec<OsString> {
        line.split_whitespace().map(OsString::from).collect()
    }

    #[test]
    fn only_our_own_flags_are_taken_out() {
        let line = "-C /b --engine=external -q deploy --jobs a,b --maand-bin /up --verbose --color never -n";
        let found = cut(&split(line)).unwrap();
        assert_eq!(found.ours.bucket.as_deref(), Some(Path::new("/b")));
        assert_eq!(found.ours.engine, Some(Engine::External));
        assert_eq!(found.ours.maand_bin.as_deref(), Some(Path::new("/up")));
        assert!(found.ours.quiet && found.ours.output.is_none());
        assert_eq!(found.rest, split("deploy --jobs a,b --verbose -n"));
        let found = cut(&split("-C/b --output json cat kv -- -C x")).unwrap();
        assert_eq!(found.ours.bucket.as_deref(), Some(Path::new("/b")));
        assert_eq!(found.ours.output, Some(OutputFormat::Json));
        assert_eq!(found.rest, split("cat kv -- -C x"));
        assert!(cut(&split("--engine nonsense build")).is_none());
        assert!(cut(&split("build -C")).is_none());
    }

    #[test]
    fn what_is_ours_stays_ours_whatever_the_bucket() {
        let bucket = tempfile::tempdir().unwrap();
        std::fs::write(bucket.path().join("maand.conf"), "").unwrap();
        std::fs::create_dir(bucket.path().join("data")).unwrap();
        std::fs::write(bucket.path().join("data/maand.db"), "").unwrap();
        let at = bucket.path().display();
        let run = |args: &[OsString]| run(args, Environment(&|_| None));
        for line in [
            "plan list",
            "info",
            "doctor",
            "doctor --workers w1 --output json",
            "import ansible -",
            "notify test",
            "run_command true",
            "--version",
            "--help",
            "help deploy",
            "init new",
            "cat jobs --output json",
        ] {
            assert!(run(&split(&format!("-C {at} {line}"))).is_none(), "{line}");
        }
        assert!(run(&split(&format!("-C {at} --engine builtin deploy"))).is_none());
        let Some(Err(error)) = run(&split(&format!("-C {at} deploy --output json"))) else { panic!() };
        assert_eq!(error.exit, Exit::Usage);
        for line in ["deploy", "cat kv", "gc", "anything --at all", "init"] {
            let line = format!("-C {at} --maand-bin /nowhere/maand {line}");
            let Some(Err(error)) = run(&split(&line)) else { panic!("{line}") };
            assert_eq!(error.exit, Exit::Invalid, "{line}: {error}");
        }
    }
}

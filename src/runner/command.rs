//! `run` and `local`: the user's own commands, on a worker or on this machine.
//!
//! Values go in as environment, never pasted into shell text. Secrets are read when the command runs
//! and masked in everything that is kept or shown.

use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use tempfile::NamedTempFile;

use crate::engine::{ErrorKind, Evidence, Millis, Outcome, StepError};
use crate::os::{CommandEnd, LocalCommand, OutputStream, end_marked, limits, quote};
use crate::plan::{Interpreter, interpreter};
use crate::ssh::{Cancel, Captured, Connection, Script, Stream, UnknownWhy};

use super::access::{Access, ScriptError, describe_unknown, last_lines, not_done, plain};
use super::environment::Environment;
use super::mask::{MaskedStream, Secrets};
use super::reboot::users_script;
use super::unless::{self, Needless};

/// A longer text is given to a shell in a file: the system takes 128 KiB as one argument (`MAX_ARG_STRLEN`).
const LONGEST_ARGUMENT: usize = 64 * 1024;

/// What is to be run.
#[derive(Clone, Copy)]
pub(super) struct CommandText<'a> {
    /// Shell text, or a script that may name another interpreter.
    pub(super) text: &'a str,
    /// Its first line may name who runs it.
    pub(super) is_script: bool,
    /// Exit code 0: it is not needed.
    pub(super) unless: Option<&'a str>,
}

impl CommandText<'_> {
    fn interpreter(&self) -> Option<Interpreter<'_>> {
        interpreter(self.text).filter(|_| self.is_script)
    }
}

/// Takes output as it comes.
pub(super) type Sink<'a> = &'a (dyn Fn(&[u8]) + Sync);

/// The output of a command: masked, given on, and its end kept.
pub(super) struct Live<'a> {
    streams: [(MaskedStream<'a>, Captured); 2],
    sink: Sink<'a>,
}

impl<'a> Live<'a> {
    pub(super) fn new(secrets: &'a Secrets, sink: Sink<'a>) -> Self {
        let stream = || (MaskedStream::new(secrets), Captured::default());
        Self { streams: [stream(), stream()], sink }
    }

    pub(super) fn push(&mut self, at: usize, bytes: &[u8]) {
        let ((masked, kept), sink) = (&mut self.streams[at], self.sink);
        // What is kept was masked before anything was left out: half a secret is not recognised.
        masked.push(bytes, &mut |bytes| {
            kept.keep_last(bytes);
            sink(bytes);
        });
    }

    /// The last lines of both streams, errors last.
    pub(super) fn end(mut self) -> Option<String> {
        let sink = self.sink;
        for (masked, kept) in &mut self.streams {
            masked.end(&mut |bytes| {
                kept.keep_last(bytes);
                sink(bytes);
            });
        }
        let [(_, stdout), (_, stderr)] = &self.streams;
        last_lines(stdout, stderr)
    }
}

/// Runs a script of the user's own; its output goes to `live`. Its exit code is its own affair.
pub(super) fn run_script(
    access: &Access,
    connection: &mut dyn Connection,
    script: &Script,
    live: &mut Live<'_>,
) -> Result<i32, ScriptError> {
    let mut take = |stream: Stream, bytes: &[u8]| live.push(usize::from(stream == Stream::Stderr), bytes);
    match plain(&access.host, connection.run(script, Some(&mut take))) {
        Ok(_) => Ok(0),
        Err(ScriptError::Exit { code, .. }) => Ok(code),
        Err(error) => Err(error),
    }
}

fn failed(message: String, output: Option<String>) -> Outcome {
    Outcome::Failed { error: StepError { kind: ErrorKind::Command, message, output } }
}

/// Runs a command on a worker, unless its `unless` says that there is nothing to do.
pub(super) fn on_worker(
    access: &Access,
    command: CommandText<'_>,
    environment: &Environment,
    timeout: Duration,
    sink: Sink<'_>,
) -> Outcome {
    environment.mask_outcome(unmasked_on_worker(access, command, environment, timeout, sink))
}

fn unmasked_on_worker(
    access: &Access,
    command: CommandText<'_>,
    environment: &Environment,
    timeout: Duration,
    sink: Sink<'_>,
) -> Outcome {
    let until = Instant::now() + timeout;
    let left = || until.saturating_duration_since(Instant::now());
    let sudo = access.profile.use_sudo;
    let mut connection = match access.connect(until) {
        Ok(connection) => connection,
        Err(error) => return ScriptError::Connect(error).into_outcome(&access.host, "connecting"),
    };
    if let Some(text) = command.unless {
        let script = users_script("unless", text, environment.values.clone(), sudo, left());
        match unless::on_worker(access, connection.as_mut(), &script, &environment.secrets, sink) {
            Ok(Needless(true)) => return Outcome::Ok { evidence: Evidence::NotNeeded { why: None } },
            Ok(Needless(false)) => {}
            // Nothing of the command itself was sent.
            Err(error) => return Outcome::Failed { error: error.into_error(&access.host) },
        }
    }
    // Asked before the text is sent, so that a refusal is not taken for the command's; and again with it (below), as a
    // controller may be asleep between the two.
    let mut fence = access.script("fence", ":", until.saturating_duration_since(Instant::now()));
    fence.lock = true;
    if let Err(trouble) = plain(&access.host, connection.run(&fence, None)) {
        return Outcome::Failed { error: trouble.into_error(&access.host, "the fence") };
    }
    let text = command.interpreter().map(|by| with_interpreter(command.text, by));
    let text = text.as_deref().unwrap_or(command.text);
    let mut script = users_script("run", text, environment.values.clone(), sudo, left());
    script.lock = true;
    script.env.push(("MAAND_EPOCH".into(), access.fence.epoch.to_string()));
    script.env.push(("MAAND_MARK".into(), access.fence.mark.clone()));
    let mut live = Live::new(&environment.secrets, sink);
    let ended = run_script(access, connection.as_mut(), &script, &mut live);
    let output = live.end();
    match ended {
        Ok(0) => Outcome::noted("exit code 0"),
        Ok(code) => failed(format!("the command ended with exit code {code}"), output),
        Err(ScriptError::Unknown(UnknownWhy::Deadline(_))) if left().is_zero() => {
            Outcome::unknown(format!("the command: no end within {}", crate::plan::duration(timeout)))
        }
        Err(ScriptError::Unknown(why)) => {
            Outcome::unknown(format!("the command: {}", describe_unknown(&why)))
        }
        Err(trouble) => trouble.into_outcome(&access.host, "the command"),
    }
}

/// Shell text that runs a script by its interpreter, as execve(2) would: from a file, which only its user can read
/// and which is gone afterwards. One worker runs one script at a time, so that the name is always the same.
fn with_interpreter(text: &str, by: Interpreter<'_>) -> String {
    let argument = by.argument.map(|argument| format!("{} ", quote(argument))).unwrap_or_default();
    format!(
        r#"maand_script=$MAAND_STATE_DIR/script
trap 'rm -f -- "$maand_script"' EXIT
(umask 077 && rm -f -- "$maand_script" && printf %s {text} >"$maand_script") || exit 126
{program} {argument}"$maand_script""#,
        text = quote(text),
        program = quote(by.program),
    )
}

/// How a command of this machine is kept within bounds.
pub(super) struct ThisMachine<'a> {
    /// Where it runs: the bucket's folder.
    pub(super) folder: &'a Path,
    /// See [`LocalCommand::guard`].
    pub(super) guard: Option<&'a Path>,
    /// See [`LocalCommand::mark`].
    pub(super) mark: String,
}

/// Runs a command on this machine, unless its `unless` says that there is nothing to do.
pub(super) fn on_this_machine(
    machine: &ThisMachine<'_>,
    command: CommandText<'_>,
    environment: &Environment,
    timeout: Duration,
    cancel: &Cancel,
    sink: Sink<'_>,
) -> Outcome {
    let until = Instant::now() + timeout;
    let run = |command| unmasked_on_this_machine(machine, command, environment, until, cancel, sink);
    let outcome = match command.unless.map(|text| CommandText { text, is_script: false, unless: None }) {
        None => Ok(()),
        Some(unless) => run(unless).and_then(|ended| unless::on_this_machine(&ended, sink)),
    }
    .and_then(|()| run(command));
    let outcome = match outcome {
        Err(outcome) => outcome,
        Ok(Ended { how: CommandEnd::Exit(0), .. }) => Outcome::noted("exit code 0"),
        Ok(Ended { how: CommandEnd::Exit(code), output }) => {
            failed(format!("the command ended with exit code {code}"), output)
        }
        Ok(Ended { how: CommandEnd::Signal(signal), output }) => {
            failed(format!("the command was ended by signal {signal}"), output)
        }
        Ok(Ended { how: CommandEnd::Lost, .. }) => Outcome::unknown(
            "something has killed the process that watched over the command, and so the command",
        ),
        Ok(Ended { how: CommandEnd::Cut(left), .. }) => {
            let left = match left.as_slice() {
                [] => String::new(),
                left => format!("; still there, and not ours to end: {}", left.join(", ")),
            };
            if cancel.is_cancelled() {
                Outcome::unknown(format!("the command was given up{left}"))
            } else {
                Outcome::TimedOut {
                    after: timeout.as_millis() as Millis,
                    doing: format!("the command on this machine{left}"),
                }
            }
        }
    };
    environment.mask_outcome(outcome)
}

/// A command of this machine that is no more.
pub(super) struct Ended {
    pub(super) how: CommandEnd,
    /// The last lines of its output. Secrets are masked.
    pub(super) output: Option<String>,
}

pub(super) fn unmasked_on_this_machine(
    machine: &ThisMachine<'_>,
    command: CommandText<'_>,
    environment: &Environment,
    until: Instant,
    cancel: &Cancel,
    sink: Sink<'_>,
) -> Result<Ended, Outcome> {
    let broken = |what: &str, error: std::io::Error| {
        let message = format!("{what} on this machine: {error}");
        if limits::is_exhaustion(&error) {
            // Until the end of the step's time, and no worker is to blame: the run pauses.
            return not_done(&message);
        }
        Outcome::Failed { error: StepError::new(ErrorKind::Controller, message) }
    };
    let by = command.interpreter();
    let in_file = command.is_script || command.text.len() > LONGEST_ARGUMENT;
    let file = in_file.then(|| script_file(command.text)).transpose();
    let file = file.map_err(|error| broken("a script cannot be written", error))?;
    let arguments: Vec<OsString> = match &file {
        None => vec!["-c".into(), command.text.into()],
        Some(file) => {
            let argument = by.and_then(|by| by.argument).map(OsString::from);
            argument.into_iter().chain([file.path().into()]).collect()
        }
    };
    let program = by.map_or("bash", |by| by.program);
    let local = LocalCommand {
        guard: machine.guard,
        mark: &machine.mark,
        program,
        arguments,
        folder: machine.folder,
        environment: &environment.values,
    };
    let mut live = Live::new(&environment.secrets, sink);
    let how = local
        .run(until, &|| cancel.is_cancelled(), &mut |stream, bytes| {
            live.push(usize::from(stream == OutputStream::Stderr), bytes);
        })
        .map_err(|error| broken(&format!("{program} cannot be started"), error))?;
    Ok(Ended { how, output: live.end() })
}

/// The beginning of the marks of a run's commands on this machine. A copy of a bucket has runs of the same names.
pub(super) fn mark_of(run: &str, data: &Path) -> String {
    use std::os::unix::fs::MetadataExt;
    let (device, inode) = std::fs::metadata(data).map_or((0, 0), |data| (data.dev(), data.ino()));
    format!("{run}@{device}:{inode}/")
}

/// Ends the commands on this machine that an earlier controller of this run has left: it may be stopped, or whatever
/// killed it has killed their guards, too. Answers with those of their processes that are not ours to end.
pub fn end_commands_of(run: &str, data: &Path) -> Vec<String> {
    let mark = mark_of(run, data);
    end_marked(|value| value.starts_with(&mark))
}

/// A file that only its user can read, gone when it is dropped.
fn script_file(text: &str) -> std::io::Result<NamedTempFile> {
    let mut file = tempfile::Builder::new().prefix("maand-script-").tempfile()?;
    file.write_all(text.as_bytes())?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(secrets: &[&str]) -> Environment {
        Environment { values: vec![("GREETING".into(), "it's $HOME".into())], secrets: Secrets::of(secrets) }
    }

    fn command(text: &str) -> CommandText<'_> {
        CommandText { text, is_script: false, unless: None }
    }

    fn on(folder: &Path, command: CommandText<'_>, cancel: &Cancel, timeout: Duration) -> (Outcome, String) {
        let machine = ThisMachine { folder, guard: None, mark: "test".to_owned() };
        let log = std::sync::Mutex::new(String::new());
        let sink = |bytes: &[u8]| log.lock().unwrap().push_str(&String::from_utf8_lossy(bytes));
        let environment = environment(&["hunter22"]);
        let outcome = on_this_machine(&machine, command, &environment, timeout, cancel, &sink);
        (outcome, log.into_inner().unwrap())
    }

    fn run(text: &str, timeout: Duration) -> Outcome {
        let folder = tempfile::tempdir().unwrap();
        on(folder.path(), command(text), &Cancel::new(), timeout).0
    }

    #[test]
    fn values_come_as_environment_and_secrets_are_masked() {
        let long = Duration::from_secs(60);
        assert!(matches!(run(r#"[ "$GREETING" = "it's \$HOME" ]"#, long), Outcome::Ok { .. }));
        let Outcome::Failed { error } = run("echo token hunter22; exit 3", long) else { panic!() };
        assert_eq!(error.output.as_deref(), Some("token ****"));
        assert!(error.message.contains("exit code 3"));
    }

    #[test]
    fn a_command_that_a_signal_ends_has_failed_and_was_in_time() {
        let Outcome::Failed { error } = run("echo so far; kill -SEGV $$", Duration::from_secs(60)) else {
            panic!()
        };
        assert_eq!(
            (error.message.as_str(), error.output.as_deref()),
            ("the command was ended by signal 11", Some("so far"))
        );
    }

    #[test]
    fn a_secret_at_which_the_output_is_cut_is_masked_all_the_same() {
        for filler in 32_760..32_772 {
            let text = format!(
                "printf 'hunter22'; head -c {filler} /dev/zero | tr '\\0' x; printf '%040000d' 0; exit 1"
            );
            let Outcome::Failed { error } = run(&text, Duration::from_secs(60)) else { panic!() };
            assert!(!error.output.unwrap().contains("ter22"), "{filler}");
        }
    }

    #[test]
    fn a_command_without_end_is_ended_with_all_its_children() {
        let folder = tempfile::tempdir().unwrap();
        let marker = folder.path().join("pid");
        let text = format!("sleep 1000 & echo $! > {}; wait", marker.display());
        let cancel = Cancel::new();
        let outcome = std::thread::scope(|scope| {
            let run = scope.spawn(|| on(folder.path(), command(&text), &cancel, Duration::from_secs(3600)).0);
            while !std::fs::read_to_string(&marker).is_ok_and(|pid| pid.ends_with('\n')) {
                std::thread::sleep(Duration::from_millis(5));
            }
            cancel.cancel();
            run.join().unwrap()
        });
        assert!(matches!(outcome, Outcome::Unknown { .. }));
        let pid = std::fs::read_to_string(&marker).unwrap();
        // SIGKILL is delivered in its own time: wait for the end, not for a moment.
        let gone = || {
            let state = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
            state.map_or(true, |state| state.contains(") Z "))
        };
        let limit = Instant::now() + Duration::from_secs(60);
        while !gone() {
            assert!(Instant::now() < limit, "the child outlives its command");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn unless_decides_or_cannot_tell_and_is_in_the_log() {
        let folder = tempfile::tempdir().unwrap();
        let with = |unless| {
            let command = CommandText { text: "exit 9", is_script: false, unless: Some(unless) };
            on(folder.path(), command, &Cancel::new(), Duration::from_secs(60))
        };
        let (outcome, log) = with("echo seen hunter22; true");
        assert_eq!(outcome, Outcome::Ok { evidence: Evidence::NotNeeded { why: None } });
        assert_eq!(log, "seen ****\n`unless` ended with exit code 0: nothing to do\n");
        let (outcome, log) = with("echo no >&2; false");
        let Outcome::Failed { error } = outcome else { panic!() };
        assert!(error.message.contains("exit code 9"), "{error:?}");
        assert_eq!(log, "no\n`unless` ended with exit code 1: it is needed\n");
        for (unless, why) in [
            ("/etc/passwd", "126"),
            ("no-such-command --at-all", "127"),
            ("kill -KILL $$", "signal 9"),
            ("sh -c 'kill -TERM $$'; exit $?", "143"),
        ] {
            let (outcome, log) = with(unless);
            let Outcome::Failed { error } = outcome else { panic!("{unless}") };
            assert!(
                error.message.contains("cannot tell") && error.message.contains(why),
                "{unless}: {error:?}"
            );
            assert!(!error.message.contains("exit code 9") && log.contains("cannot tell"), "{log}");
        }
    }

    #[test]
    fn a_script_is_run_by_its_interpreter_and_of_any_size() {
        let folder = tempfile::tempdir().unwrap();
        let with = |text: &str| {
            let command = CommandText { text, is_script: true, unless: None };
            on(folder.path(), command, &Cancel::new(), Duration::from_secs(60))
        };
        assert_eq!(with("#!/usr/bin/env -S awk -f\nBEGIN { print \"awk\" }\n").1, "awk\n");
        let (outcome, log) = with("#!/bin/bash -e\nfalse\necho half way\n");
        assert!(matches!(outcome, Outcome::Failed { .. }) && log.is_empty(), "{outcome:?} {log}");
        let (outcome, _) = with("#!/nowhere/interpreter\necho\n");
        let Outcome::Failed { error } = outcome else { panic!() };
        assert!(error.message.contains("/nowhere/interpreter cannot be started"), "{error:?}");
        // As large as a script may be, and far beyond what an argument may be.
        let filler = "# filler\n".repeat(1024 * 1024 / 9 - 10);
        assert_eq!(with(&format!("echo first\n{filler}echo last")).1, "first\nlast\n");
        let long = format!("echo first\n{filler}echo last");
        assert_eq!(
            on(folder.path(), command(&long), &Cancel::new(), Duration::from_secs(60)).1,
            "first\nlast\n"
        );
        // In a command a first line is a comment.
        assert_eq!(
            on(folder.path(), command("#!/bin/false\necho hi"), &Cancel::new(), Duration::from_secs(60)).1,
            "hi\n"
        );
    }
}

//! `run` and `local`: the user's own commands, on a worker or on this machine.
//!
//! Values go in as environment, never pasted into shell text. Secrets are read when the command runs
//! and masked in everything that is kept or shown.

use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::engine::{ErrorKind, Evidence, Millis, Outcome, StepError};
use crate::os::process_group;
use crate::plan::{CommandStep, EnvValue, Plan, VarValue};
use crate::ssh::{Cancel, Captured, Stream};

use super::access::{Access, ScriptError, command_error, describe_unknown, last_lines, plain};
use super::mask::{MaskedStream, masked};
use super::reboot::users_script;

/// A command that is given up gets this long to end by itself.
const GRACE: Duration = Duration::from_secs(2);

/// As much as a pipe holds: fewer, larger reads.
const PIPE: usize = 64 * 1024;

/// The environment of a command: the plan's variables, then its own `env`.
pub(super) struct Environment {
    pub(super) values: Vec<(String, String)>,
    secrets: Vec<String>,
}

impl Environment {
    /// Reads secrets from the environment of this process.
    ///
    /// # Errors
    /// The name of a variable that is not set.
    pub(super) fn of(plan: &Plan, step: Option<&CommandStep>) -> Result<Self, StepError> {
        let mut all = Self { values: Vec::new(), secrets: Vec::new() };
        for (name, value) in &plan.vars {
            all.values.push((name.replace('-', "_"), env_text(value)));
        }
        for (name, value) in step.iter().flat_map(|step| &step.env) {
            let value = match value {
                EnvValue::Plain(value) => value.clone(),
                EnvValue::FromEnv(from) => {
                    let secret = std::env::var(from).map_err(|_| {
                        let message = format!(
                            "the environment variable {from} is not set here: `env: {name}` is read from it"
                        );
                        StepError::new(ErrorKind::Controller, message)
                    })?;
                    all.secrets.push(secret.clone());
                    secret
                }
            };
            all.values.retain(|(other, _)| other != name);
            all.values.push((name.clone(), value));
        }
        Ok(all)
    }

    /// `text` without secrets.
    pub(super) fn mask(&self, text: &str) -> String {
        masked(text, &self.secrets)
    }

    fn mask_outcome(&self, outcome: Outcome) -> Outcome {
        outcome.masked(|text| self.mask(text))
    }
}

fn env_text(value: &VarValue) -> String {
    match value {
        VarValue::String(text) => text.clone(),
        VarValue::Integer(number) => number.to_string(),
        VarValue::Float(number) => number.to_string(),
        VarValue::Bool(yes) => yes.to_string(),
        VarValue::List(items) => items.iter().map(env_text).collect::<Vec<_>>().join(","),
    }
}

/// Takes output as it comes.
pub(super) type Sink<'a> = &'a (dyn Fn(&[u8]) + Sync);

/// Runs a command on a worker, unless its `unless` says that there is nothing to do.
pub(super) fn on_worker(
    access: &Access,
    text: &str,
    unless: Option<&str>,
    environment: &Environment,
    timeout: Duration,
    sink: Sink<'_>,
) -> Outcome {
    let until = Instant::now() + timeout;
    let sudo = access.profile.use_sudo;
    let mut connection = match access.connect(until) {
        Ok(connection) => connection,
        Err(error) => return ScriptError::Connect(error).into_outcome(&access.host, "connecting"),
    };
    if let Some(unless) = unless {
        let left = until.saturating_duration_since(Instant::now());
        let script = users_script("unless", unless, environment.values.clone(), sudo, left);
        match plain(&access.host, connection.run(&script, None)) {
            Ok(_) => return Outcome::Ok { evidence: Evidence::NotNeeded },
            Err(ScriptError::Exit { code, stdout, stderr }) => {
                let error = command_error(&access.host, "`unless`", code, &stdout, &stderr);
                if error.kind != ErrorKind::Command {
                    return environment.mask_outcome(Outcome::Failed { error });
                }
            }
            Err(trouble) => {
                // Nothing of the command itself was sent.
                return Outcome::Failed { error: trouble.into_error(&access.host, "`unless`") };
            }
        }
    }
    // The user's text knows nothing of the run, so the fence is asked just before it.
    let mut fence = access.script("fence", ":", until.saturating_duration_since(Instant::now()));
    fence.lock = true;
    if let Err(trouble) = plain(&access.host, connection.run(&fence, None)) {
        return Outcome::Failed { error: trouble.into_error(&access.host, "the fence") };
    }
    let left = until.saturating_duration_since(Instant::now());
    let mut script = users_script("run", text, environment.values.clone(), sudo, left);
    script.lock = true;
    let (mut stdout, mut stderr) =
        (MaskedStream::new(&environment.secrets), MaskedStream::new(&environment.secrets));
    // What is kept was masked before anything was left out: half a secret is not recognised.
    let (mut kept_out, mut kept_err) = (Captured::default(), Captured::default());
    let mut live = |stream: Stream, bytes: &[u8]| {
        let (masked, kept) = match stream {
            Stream::Stdout => (&mut stdout, &mut kept_out),
            Stream::Stderr => (&mut stderr, &mut kept_err),
        };
        masked.push(bytes, &mut |bytes| {
            kept.keep_last(bytes);
            sink(bytes);
        });
    };
    let ended = connection.run(&script, Some(&mut live));
    for (masked, kept) in [(&mut stdout, &mut kept_out), (&mut stderr, &mut kept_err)] {
        masked.end(&mut |bytes| {
            kept.keep_last(bytes);
            sink(bytes);
        });
    }
    let outcome = match plain(&access.host, ended) {
        Ok(_) => Outcome::noted("exit code 0"),
        Err(ScriptError::Exit { code, .. }) => {
            Outcome::Failed { error: command_error(&access.host, "the command", code, &kept_out, &kept_err) }
        }
        Err(ScriptError::Unknown(why)) => {
            Outcome::unknown(format!("the command: {}", describe_unknown(&why)))
        }
        Err(trouble) => trouble.into_outcome(&access.host, "the command"),
    };
    environment.mask_outcome(outcome)
}

/// Runs a command on this machine, in `folder`, in a process group of its own.
pub(super) fn on_this_machine(
    folder: &Path,
    text: &str,
    unless: Option<&str>,
    environment: &Environment,
    timeout: Duration,
    cancel: &Cancel,
    sink: Sink<'_>,
) -> Outcome {
    let until = Instant::now() + timeout;
    if let Some(unless) = unless {
        match spawn(folder, unless, environment, until, cancel, &|_| {}) {
            Ok(Ended { how: How::Exit(0), .. }) => return Outcome::Ok { evidence: Evidence::NotNeeded },
            Ok(Ended { how: How::Exit(_), .. }) => {}
            Ok(Ended { how: how @ (How::Signal(_) | How::Cut), .. }) => {
                let message = match how {
                    How::Signal(signal) => format!("`unless` was ended by signal {signal}"),
                    _ => "`unless` has not ended in time".to_owned(),
                };
                return Outcome::Failed { error: StepError::new(ErrorKind::Command, message) };
            }
            Err(error) => return Outcome::Failed { error },
        }
    }
    let outcome = match spawn(folder, text, environment, until, cancel, sink) {
        Ok(Ended { how: How::Exit(0), .. }) => Outcome::noted("exit code 0"),
        Ok(Ended { how: How::Exit(code), output }) => {
            failed(format!("the command ended with exit code {code}"), &output)
        }
        Ok(Ended { how: How::Signal(signal), output }) => {
            failed(format!("the command was ended by signal {signal}"), &output)
        }
        Ok(Ended { how: How::Cut, .. }) if cancel.is_cancelled() => {
            Outcome::unknown("the command was given up")
        }
        Ok(Ended { how: How::Cut, .. }) => Outcome::TimedOut {
            after: timeout.as_millis() as Millis,
            doing: "the command on this machine".into(),
        },
        Err(error) => Outcome::Failed { error },
    };
    environment.mask_outcome(outcome)
}

fn failed(message: String, output: &Captured) -> Outcome {
    let output = last_lines(output, &Captured::default());
    Outcome::Failed { error: StepError { kind: ErrorKind::Command, message, output } }
}

/// A command of this machine that is no more.
struct Ended {
    how: How,
    /// Secrets are masked.
    output: Captured,
}

enum How {
    Exit(i32),
    /// By nobody of ours: it crashed, or the machine had no memory left.
    Signal(i32),
    /// By us: its time was up, or it was given up.
    Cut,
}

fn spawn(
    folder: &Path,
    text: &str,
    environment: &Environment,
    until: Instant,
    cancel: &Cancel,
    sink: Sink<'_>,
) -> Result<Ended, StepError> {
    let broken = |what: &str, error: std::io::Error| {
        StepError::new(ErrorKind::Controller, format!("{what} on this machine: {error}"))
    };
    let mut child = Command::new("bash")
        .arg("-c")
        .arg(text)
        .current_dir(folder)
        .envs(environment.values.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(|error| broken("bash cannot be started", error))?;
    let kept = Arc::new(Mutex::new(Captured::default()));
    let streams: Vec<Box<dyn Read + Send>> = [
        child.stdout.take().map(|stream| Box::new(stream) as Box<dyn Read + Send>),
        child.stderr.take().map(|stream| Box::new(stream) as Box<dyn Read + Send>),
    ]
    .into_iter()
    .flatten()
    .collect();
    let status = std::thread::scope(|scope| {
        for mut stream in streams {
            let kept = Arc::clone(&kept);
            scope.spawn(move || {
                let mut buffer = vec![0; PIPE];
                let mut masked = MaskedStream::new(&environment.secrets);
                // Masked before anything is left out: half a secret is not recognised.
                let mut take = |bytes: &[u8]| {
                    kept.lock().unwrap_or_else(PoisonError::into_inner).keep_last(bytes);
                    sink(bytes);
                };
                while let Ok(read @ 1..) = stream.read(&mut buffer) {
                    masked.push(&buffer[..read], &mut take);
                }
                masked.end(&mut take);
            });
        }
        let mut cut = false;
        while !process_group::has_ended(&child) {
            if Instant::now() >= until || cancel.is_cancelled() {
                cut = true;
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        // A background process that kept the pipes would keep the readers: it ends with the step.
        let status = process_group::end(&mut child, if cut { GRACE } else { Duration::ZERO });
        status.map(|status| (!cut).then_some(status)).map_err(|error| broken("waiting for a command", error))
    })?;
    let output = std::mem::take(&mut *kept.lock().unwrap_or_else(PoisonError::into_inner));
    let how = match status {
        None => How::Cut,
        Some(status) => match (status.code(), status.signal()) {
            (Some(code), _) => How::Exit(code),
            (None, signal) => How::Signal(signal.unwrap_or_default()),
        },
    };
    Ok(Ended { how, output })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(secrets: &[&str]) -> Environment {
        Environment {
            values: vec![("GREETING".into(), "it's $HOME".into())],
            secrets: secrets.iter().map(|s| (*s).to_owned()).collect(),
        }
    }

    fn run(text: &str, timeout: Duration) -> Outcome {
        let folder = tempfile::tempdir().unwrap();
        let environment = environment(&["hunter22"]);
        on_this_machine(folder.path(), text, None, &environment, timeout, &Cancel::new(), &|_| {})
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
        let environment = environment(&[]);
        let cancel = Cancel::new();
        let outcome = std::thread::scope(|scope| {
            let run = scope.spawn(|| {
                let hour = Duration::from_secs(3600);
                on_this_machine(folder.path(), &text, None, &environment, hour, &cancel, &|_| {})
            });
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
    fn unless_decides() {
        let folder = tempfile::tempdir().unwrap();
        let environment = environment(&[]);
        let with = |unless| {
            let minute = Duration::from_secs(60);
            on_this_machine(
                folder.path(),
                "false",
                Some(unless),
                &environment,
                minute,
                &Cancel::new(),
                &|_| {},
            )
        };
        assert_eq!(with("true"), Outcome::Ok { evidence: Evidence::NotNeeded });
        assert!(matches!(with("false"), Outcome::Failed { .. }));
    }
}

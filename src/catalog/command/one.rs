//! A command on one worker, from the connection to the moment when the worker is known to be up.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::boot::{
    Departure, DepartureWatch, Look, LookError, LookFailure, Next, NotYet, Probe, Return, ReturnSpec,
    ReturnWatch, soft_reboot_note,
};

use super::lines::Lines;
use super::reboot_intent::RebootIntent;
use super::{CommandOutcome, CommandRequest, Observer};
use crate::bucket::Host;
use crate::ssh::{
    Cancel, Completion, ConnectError, Connection, HostProfile, Remote, SUDO_FOR_ROOT, Script, Shell, Stream,
    UnknownWhy,
};

/// The bound of a connection before the command: a worker that does not answer by then is not up.
const CONNECT_WITHIN: Duration = Duration::from_secs(30);
/// The bound of a short script of our own.
const PROBE_WITHIN: Duration = Duration::from_secs(10);
/// Between two probes.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);
/// A reboot that was ordered begins within this: systemd gives services 90 s to stop
/// (`DefaultTimeoutStopSec`), and some seconds before sshd's turn comes.
const GONE_WITHIN: Duration = Duration::from_secs(120);
/// A command that only mentions a reboot, or that failed, is believed when the worker is still there
/// after this.
const STAYS_FOR: Duration = Duration::from_secs(20);

/// What every worker of one call shares.
pub(super) struct Shared<'a> {
    pub(super) remote: &'a dyn Remote,
    pub(super) request: &'a CommandRequest,
    pub(super) reboot_intent: RebootIntent,
    pub(super) observer: &'a dyn Observer,
    pub(super) cancel: &'a Cancel,
    /// Boot ids that were seen, and of whom.
    pub(super) boots: Mutex<HashMap<String, Host>>,
}

impl Shared<'_> {
    /// Runs the command on one worker, unless it is one that was rebooted by it already under another name. The place
    /// of the worker is free when this returns.
    pub(super) fn run_on(&self, host: &Host) -> CommandOutcome {
        let outcome = self.run_command(host);
        if let CommandOutcome::Rebooted { boot_id } = &outcome {
            self.seen_as(boot_id, host);
        }
        outcome
    }

    /// Who has shown this boot id first.
    fn seen_as(&self, boot_id: &str, host: &Host) -> Host {
        let mut boots = self.boots.lock().unwrap_or_else(PoisonError::into_inner);
        boots.entry(boot_id.to_owned()).or_insert_with(|| host.clone()).clone()
    }

    fn run_command(&self, host: &Host) -> CommandOutcome {
        let mut connection = match self.remote.connect(host, Instant::now() + CONNECT_WITHIN, self.cancel) {
            Ok(connection) => connection,
            Err(ConnectError::Cancelled) => return CommandOutcome::NotStarted { why: "interrupted".into() },
            Err(error) => return CommandOutcome::Unreachable { why: error.told() },
        };
        let profile = self.remote.profile(host);
        // Only where it may be needed: it costs a round trip.
        let before = match self.reboot_intent {
            RebootIntent::None => None,
            RebootIntent::Possible | RebootIntent::Certain => {
                match read_boot_id(connection.as_mut(), &profile) {
                    Ok(id) => Some(id),
                    Err(why) => {
                        return CommandOutcome::Unreachable {
                            why: format!("{why}; the command was not sent"),
                        };
                    }
                }
            }
        };
        if let (Some(boot_id), RebootIntent::Certain) = (&before, self.reboot_intent) {
            let first = self.seen_as(boot_id, host);
            if first != *host {
                let why = format!(
                    "{host} and {first} are one machine, or containers on one (both have the boot id {boot_id}): it was \
                     not rebooted once more; take one of the two out of workers.json, or name the other alone with \
                     --workers"
                );
                return CommandOutcome::NotRun { why };
            }
        }
        if self.cancel.is_cancelled() {
            return CommandOutcome::NotStarted { why: "interrupted".into() };
        }
        self.observer.started(host);
        let sent = Instant::now();
        let completion = self.send(connection.as_mut(), host, &profile);
        drop(connection);
        let after = After { shared: self, host, profile, before, sent };
        match completion {
            Completion::NotRun { reason, stderr } => {
                CommandOutcome::NotRun { why: reason.describe(host.as_str(), &stderr) }
            }
            Completion::Exited { code: 0, .. } => match self.reboot_intent {
                RebootIntent::None => CommandOutcome::Succeeded,
                RebootIntent::Possible => after.stays_or_comes_back(STAYS_FOR, CommandOutcome::Succeeded),
                RebootIntent::Certain => after.comes_back(),
            },
            Completion::Exited { code, .. } => match self.reboot_intent {
                RebootIntent::None => CommandOutcome::Failed { code },
                // It may have been ended by the very reboot that it ordered.
                _ => after.stays_or_comes_back(STAYS_FOR, CommandOutcome::Failed { code }),
            },
            Completion::Unknown { why: UnknownWhy::ConnectionLost(why), .. } => {
                self.observer.note(host, "the connection was cut; waiting for the worker to answer again");
                after.was_cut(&why)
            }
            Completion::Unknown { why: UnknownWhy::Deadline(_), .. } => {
                CommandOutcome::TimedOut { after: self.request.timeout }
            }
            Completion::Unknown { why: UnknownWhy::Silence(after), .. } => CommandOutcome::TimedOut { after },
            Completion::Unknown { why: UnknownWhy::Cancelled, .. } => {
                CommandOutcome::Unknown { why: "interrupted while it ran; it was told to end".into() }
            }
        }
    }

    fn send(&self, connection: &mut dyn Connection, host: &Host, profile: &HostProfile) -> Completion {
        let script = Script {
            what: "run_command".into(),
            shell: Shell::Bash,
            sudo: profile.use_sudo,
            // The folder is there once something was deployed. No variable of ours is left behind.
            text: format!(
                "{SUDO_FOR_ROOT}[ ! -d \"$MAAND_FOLDER\" ] || cd -- \"$MAAND_FOLDER\" || exit 1; unset MAAND_FOLDER\n{}\n",
                self.request.command
            ),
            env: vec![
                ("BUCKET_ID".into(), self.request.bucket_id.clone()),
                ("WORKER_IP".into(), host.to_string()),
                ("MAAND_FOLDER".into(), profile.worker_dir.to_string_lossy().into_owned()),
            ],
            deadline: self.request.timeout,
            watchdog: self.request.watchdog,
            silence: None,
            users_own: true,
            lock: false,
        };
        let (mut out, mut err) = (Lines::default(), Lines::default());
        let mut sink = |stream: Stream, bytes: &[u8]| {
            let lines = match stream {
                Stream::Stdout => &mut out,
                Stream::Stderr => &mut err,
            };
            lines.take(bytes, |text| self.observer.lines(host, stream, text));
        };
        let completion = connection.run(&script, Some(&mut sink));
        out.finish(|text| self.observer.lines(host, Stream::Stdout, text));
        err.finish(|text| self.observer.lines(host, Stream::Stderr, text));
        completion
    }
}

/// A worker after the command.
struct After<'a> {
    shared: &'a Shared<'a>,
    host: &'a Host,
    profile: HostProfile,
    /// Its boot id before, where it was read.
    before: Option<String>,
    sent: Instant,
}

impl After<'_> {
    /// One probe, for at most `bound`.
    fn probe(&self, bound: Duration) -> Look<String> {
        let lost = |error| LookError { failure: LookFailure::Lost, error };
        let remote = self.shared.remote;
        let mut connection = remote
            .connect(self.host, Instant::now() + bound, self.shared.cancel)
            .map_err(|error| LookError { failure: error.look_failure(), error: error.to_string() })?;
        let boot_id = read_boot_id(connection.as_mut(), &self.profile).map_err(lost)?;
        Ok(Probe::settled(boot_id))
    }

    /// Waits between two probes; `false` when the wait was interrupted.
    fn pause(&self, pause: Duration) -> bool {
        let until = Instant::now() + pause;
        while !self.shared.cancel.is_cancelled() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            std::thread::sleep(left.min(Duration::from_millis(50)));
        }
        false
    }

    fn interrupted() -> CommandOutcome {
        CommandOutcome::Unknown { why: "interrupted while waiting for the worker to come back".into() }
    }

    /// After an ordered reboot: until the boot id is another one.
    fn comes_back(&self) -> CommandOutcome {
        let within = GONE_WITHIN.min(self.shared.request.back_within).saturating_sub(self.sent.elapsed());
        self.watch(within, |id| CommandOutcome::NotRebooted {
            why: format!(
                "the worker answers with the same boot id {id}: it has not gone down{}",
                soft_reboot_note(&self.shared.request.command)
            ),
        })
    }

    /// After a command that may or may not reboot: `otherwise` when the worker stays where it is.
    fn stays_or_comes_back(&self, stays: Duration, otherwise: CommandOutcome) -> CommandOutcome {
        let note = format!("it speaks of a reboot: the worker is watched for {}s", stays.as_secs());
        self.shared.observer.note(self.host, &note);
        self.watch(stays.min(self.shared.request.back_within), |_| otherwise.clone())
    }

    /// Until the boot id is new, or the worker has been there all the time, with the boot id of before, for as
    /// long as `within`; then `same` says what that means.
    fn watch(&self, within: Duration, same: impl Fn(&str) -> CommandOutcome) -> CommandOutcome {
        // Without the boot id of before every boot is the one that was asked for.
        let Some(before) = &self.before else { return self.returns(None, Duration::ZERO, &same) };
        let stays_until = self.sent.elapsed() + within;
        let began = Instant::now();
        let mut watch = DepartureWatch::new(before.clone(), within);
        let (mut pause, mut bound) = (Duration::ZERO, watch.bound());
        loop {
            if !self.pause(pause) {
                return Self::interrupted();
            }
            let looked = began.elapsed();
            let look = self.probe(bound);
            match watch.next(looked, began.elapsed(), look) {
                Next::LookAgain { pause: next, bound: next_bound } => (pause, bound) = (next, next_bound),
                Next::Done(Departure::Rebooted { boot_id }) => return CommandOutcome::Rebooted { boot_id },
                Next::Done(Departure::StillThere { seen: true, .. }) => return same(before),
                Next::Done(Departure::Failed(why)) => return CommandOutcome::NotBack { why },
                Next::Done(gone @ (Departure::Departed | Departure::StillThere { seen: false, .. })) => {
                    let what = match gone {
                        Departure::Departed => "the worker has gone away; waiting for it",
                        // A shutdown that is due closes the logins minutes before it begins.
                        _ => "the worker lets nobody in; waiting for it",
                    };
                    self.shared.observer.note(self.host, what);
                    return self.returns(Some(before.clone()), stays_until, &same);
                }
            }
        }
    }

    /// Watches until the worker answers with another boot id than `not`. One that answers with the same boot id is
    /// looked at again, until `stays_until` (from when the command was sent) and for [`STAYS_FOR`] after it was
    /// away: sshd may have been stopped first, or the network lost some packets before the shutdown.
    fn returns(
        &self,
        not: Option<String>,
        stays_until: Duration,
        same: &dyn Fn(&str) -> CommandOutcome,
    ) -> CommandOutcome {
        let back_within = self.shared.request.back_within;
        let (began, passed) = (Instant::now(), self.sent.elapsed());
        let mut watch = ReturnWatch::new(ReturnSpec {
            not,
            down_within: stays_until,
            ordered_before: passed,
            grace_after_absence: STAYS_FOR,
            away_at_first: true,
            // It is waited for as long as the operator said, whatever keeps it from letting us in.
            auth_refused_for: back_within,
            settle: Duration::ZERO,
            interval: PROBE_INTERVAL,
            timeout: back_within.saturating_sub(passed),
            seed: u64::from(std::process::id()),
        });
        let (mut pause, mut bound) = (Duration::ZERO, watch.bound());
        loop {
            if !self.pause(pause) {
                return Self::interrupted();
            }
            let looked = began.elapsed();
            let look = self.probe(bound);
            if self.shared.cancel.is_cancelled() {
                return Self::interrupted();
            }
            let not_back = |why: String| CommandOutcome::NotBack {
                why: format!("not back within {} s: {why}", back_within.as_secs()),
            };
            match watch.next(looked, began.elapsed(), look) {
                Next::LookAgain { pause: next, bound: next_bound } => (pause, bound) = (next, next_bound),
                Next::Done(Return::Back { boot_id, .. } | Return::CrashLoop { then: boot_id, .. }) => {
                    return CommandOutcome::Rebooted { boot_id };
                }
                Next::Done(Return::NotRebooted { boot_id, .. }) => return same(&boot_id),
                Next::Done(Return::Failed(why)) => return CommandOutcome::NotBack { why },
                Next::Done(Return::TimedOut { last: Some(NotYet::Unseen(why)) }) => return not_back(why),
                Next::Done(Return::TimedOut { last: Some(NotYet::OldBoot { boot_id, .. }) }) => {
                    return same(&boot_id);
                }
                Next::Done(Return::TimedOut { .. }) => return not_back("it was not seen".to_owned()),
            }
        }
    }

    /// After a connection that was cut while the command ran.
    fn was_cut(&self, why: &str) -> CommandOutcome {
        let there = |words: &str| CommandOutcome::Unknown {
            why: format!("the connection was cut ({why}); the worker is there {words}"),
        };
        if self.before.is_some() {
            return self
                .watch(STAYS_FOR.min(self.shared.request.back_within), |_| there("and has not rebooted"));
        }
        // The boot id from before is not known, but the worker can tell how long it has been up.
        match self.returns(None, Duration::ZERO, &|_| there("again")) {
            CommandOutcome::Rebooted { .. } if !self.booted_since() => there("again"),
            outcome => outcome,
        }
    }

    /// Whether the worker has been up for less time than has passed since the command was sent.
    fn booted_since(&self) -> bool {
        let until = Instant::now() + PROBE_WITHIN;
        let Ok(mut connection) = self.shared.remote.connect(self.host, until, self.shared.cancel) else {
            return false;
        };
        let passed = self.sent.elapsed();
        let text = "read -r up rest </proc/uptime && echo \"$up\"";
        match own_script(connection.as_mut(), "read the uptime", text, Vec::new()) {
            Ok(text) => text.trim().parse::<f64>().is_ok_and(|up| up < passed.as_secs_f64()),
            Err(_) => false,
        }
    }
}

/// Reads the boot id over a connection.
fn read_boot_id(connection: &mut dyn Connection, profile: &HostProfile) -> Result<String, String> {
    let env = vec![("MAAND_BOOT_ID".into(), profile.boot_id.to_string_lossy().into_owned())];
    let text = own_script(connection, "read the boot id", "cat -- \"$MAAND_BOOT_ID\"", env)?;
    let id = text.trim();
    match uuid::Uuid::try_parse(id) {
        Ok(_) => Ok(id.to_owned()),
        Err(_) => Err("the boot id cannot be read".to_owned()),
    }
}

/// A short script of our own that changes nothing; its standard output.
fn own_script(
    connection: &mut dyn Connection,
    what: &str,
    text: &str,
    env: Vec<(String, String)>,
) -> Result<String, String> {
    let script = Script {
        what: what.to_owned(),
        shell: Shell::Sh,
        sudo: false,
        text: text.to_owned(),
        env,
        deadline: PROBE_WITHIN,
        watchdog: false,
        silence: None,
        users_own: false,
        lock: false,
    };
    match connection.run(&script, None) {
        Completion::Exited { code: 0, stdout, .. } => Ok(stdout.text()),
        Completion::Exited { code, stderr, .. } => {
            Err(format!("could not {what} (exit code {code}): {}", stderr.text().trim()))
        }
        Completion::NotRun { reason, stderr } => {
            Err(format!("could not {what} ({reason}): {}", stderr.text().trim()))
        }
        Completion::Unknown { .. } => Err(format!("could not {what}: the connection was lost")),
    }
}

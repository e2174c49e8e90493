//! A command on one worker, from the connection to the moment when the worker is known to be up.

use std::time::{Duration, Instant};

use super::lines::Lines;
use super::reboot_intent::RebootIntent;
use super::{CommandOutcome, CommandRequest, Observer};
use crate::bucket::Host;
use crate::ssh::{
    Cancel, Completion, ConnectError, Connection, HostProfile, NotRun, Remote, SUDO_FOR_ROOT, Script, Shell,
    Stream, UnknownWhy, sudo_refused,
};

/// The bound of a connection before the command: a worker that does not answer by then is not up.
const CONNECT_WITHIN: Duration = Duration::from_secs(30);
/// The bound of one look at a worker that may be down.
const LOOK_WITHIN: Duration = Duration::from_secs(10);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);
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
    pub(super) speech: RebootIntent,
    pub(super) observer: &'a dyn Observer,
    pub(super) cancel: &'a Cancel,
}

impl Shared<'_> {
    /// Runs the command on one worker. The place of the worker is free when this returns.
    pub(super) fn run_on(&self, host: &Host) -> CommandOutcome {
        let mut connection = match self.remote.connect(host, Instant::now() + CONNECT_WITHIN, self.cancel) {
            Ok(connection) => connection,
            Err(ConnectError::Cancelled) => return CommandOutcome::NotStarted { why: "interrupted".into() },
            Err(error) => return CommandOutcome::Unreachable { why: error.to_string() },
        };
        let profile = self.remote.profile(host);
        // Only where it may be needed: it costs a round trip.
        let before = match self.speech {
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
        if self.cancel.is_cancelled() {
            return CommandOutcome::NotStarted { why: "interrupted".into() };
        }
        self.observer.started(host);
        let sent = Instant::now();
        let completion = self.send(connection.as_mut(), host, &profile);
        drop(connection);
        if let Some(why) = refused(host, &completion) {
            return CommandOutcome::NotRun { why };
        }
        let after = After { shared: self, host, profile, before, sent };
        match completion {
            Completion::Exited { code: 0, .. } => match self.speech {
                RebootIntent::None => CommandOutcome::Succeeded,
                RebootIntent::Possible => after.stays_or_comes_back(STAYS_FOR, CommandOutcome::Succeeded),
                RebootIntent::Certain => after.comes_back(),
            },
            Completion::Exited { code, .. } => match self.speech {
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

/// Why the worker did not run the command at all, where it has said so.
fn refused(host: &Host, completion: &Completion) -> Option<String> {
    let why = NotRun::of(completion)?;
    sudo_refused(host.as_str(), completion).or_else(|| Some(why.to_string()))
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

/// What one look at the worker showed.
enum Look {
    /// It answered, and this is its boot id.
    Up(String),
    /// It did not answer, or lets nobody in.
    Away(String),
    /// Looking again can not help.
    Final(String),
}

impl After<'_> {
    fn look(&self) -> Look {
        let remote = self.shared.remote;
        match remote.connect(self.host, Instant::now() + LOOK_WITHIN, self.shared.cancel) {
            Ok(mut connection) => match read_boot_id(connection.as_mut(), &self.profile) {
                Ok(id) => Look::Up(id),
                Err(why) => Look::Away(why),
            },
            Err(error) if error.is_final() => Look::Final(error.to_string()),
            Err(error) => Look::Away(error.to_string()),
        }
    }

    /// Waits between two looks; `false` when the wait was interrupted.
    fn pause(&self) -> bool {
        let until = Instant::now() + LOOK_EVERY;
        while Instant::now() < until {
            if self.shared.cancel.is_cancelled() {
                return false;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        !self.shared.cancel.is_cancelled()
    }

    fn interrupted() -> CommandOutcome {
        CommandOutcome::Unknown { why: "interrupted while waiting for the worker to come back".into() }
    }

    /// `id` is not the boot id of before. Where that was not read, a worker that has been up for less
    /// time than has passed since the command was sent has booted in between.
    fn is_new(&self, id: &str) -> bool {
        self.before.as_deref().is_some_and(|before| before != id)
    }

    /// After an ordered reboot: until the boot id is another one.
    fn comes_back(&self) -> CommandOutcome {
        let gone_by = self.sent + GONE_WITHIN.min(self.shared.request.back_within);
        self.watch(gone_by, |id| CommandOutcome::NotRebooted {
            why: format!("the worker answers with the same boot id {id}: it has not gone down"),
        })
    }

    /// After a command that may or may not reboot: `otherwise` when the worker stays where it is.
    fn stays_or_comes_back(&self, stays: Duration, otherwise: CommandOutcome) -> CommandOutcome {
        let note = format!("it speaks of a reboot: the worker is watched for {} s", stays.as_secs());
        self.shared.observer.note(self.host, &note);
        self.watch(Instant::now() + stays.min(self.shared.request.back_within), |_| otherwise.clone())
    }

    /// Looks until the boot id is new, or until it is the same by `gone_by` and the worker has been
    /// there all the time; then `same` says what that means. A worker that was away and is back with
    /// the same boot id is looked at on: it may have been sshd alone that was stopped first.
    fn watch(&self, gone_by: Instant, same: impl Fn(&str) -> CommandOutcome) -> CommandOutcome {
        let back_by = self.sent + self.shared.request.back_within;
        let mut was_away: Option<Instant> = None;
        loop {
            let look = self.look();
            let now = Instant::now();
            match look {
                Look::Up(id) if self.is_new(&id) => return CommandOutcome::Rebooted { boot_id: id },
                Look::Up(id) => {
                    let patience = was_away.map_or(gone_by, |away| gone_by.max(away + STAYS_FOR));
                    if now >= patience || now >= back_by {
                        return same(&id);
                    }
                }
                Look::Away(why) => {
                    if was_away.is_none() {
                        self.shared.observer.note(self.host, "the worker has gone away; waiting for it");
                    }
                    was_away = Some(now);
                    if now >= back_by && !self.shared.cancel.is_cancelled() {
                        let waited = self.shared.request.back_within.as_secs();
                        return CommandOutcome::NotBack { why: format!("not back within {waited} s: {why}") };
                    }
                }
                Look::Final(why) => return CommandOutcome::NotBack { why },
            }
            if !self.pause() {
                return Self::interrupted();
            }
        }
    }

    /// After a connection that was cut while the command ran.
    fn was_cut(&self, why: &str) -> CommandOutcome {
        if self.before.is_some() {
            return self.watch(Instant::now() + STAYS_FOR.min(self.shared.request.back_within), |_| {
                CommandOutcome::Unknown {
                    why: format!("the connection was cut ({why}); the worker is there and has not rebooted"),
                }
            });
        }
        // The boot id of before is not known, but the time of the boot is to be had.
        let back_by = self.sent + self.shared.request.back_within;
        loop {
            match self.look() {
                Look::Up(id) => {
                    return match self.booted_since() {
                        true => CommandOutcome::Rebooted { boot_id: id },
                        false => CommandOutcome::Unknown {
                            why: format!("the connection was cut ({why}); the worker is there again"),
                        },
                    };
                }
                Look::Final(why) => return CommandOutcome::NotBack { why },
                Look::Away(last) if Instant::now() >= back_by && !self.shared.cancel.is_cancelled() => {
                    let waited = self.shared.request.back_within.as_secs();
                    return CommandOutcome::NotBack { why: format!("not back within {waited} s: {last}") };
                }
                Look::Away(_) => {}
            }
            if !self.pause() {
                return Self::interrupted();
            }
        }
    }

    /// Whether the worker has been up for less time than has passed since the command was sent.
    fn booted_since(&self) -> bool {
        let until = Instant::now() + LOOK_WITHIN;
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
        Err(_) => Err("the boot id can not be read".to_owned()),
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
        deadline: LOOK_WITHIN,
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
        Completion::Unknown { .. } => Err(format!("could not {what}: the connection was lost")),
    }
}

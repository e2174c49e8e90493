//! One worker: the connection, layer by layer, and the one script that looks around there.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::answer::Answer;
use super::finding::{Finding, State};
use super::judge::{Facts, judge, judge_reboot};
use super::power::Beside;
use super::reboots;
use crate::boot::RebootNeed;
use crate::bucket::Host;
use crate::plan::{visible_line, visible_within};
use crate::power::HARDWARE_LOOK;
use crate::ssh::{
    Cancel, Cause, Completion, ConnectError, Connection, Destination, HostProfile, Layer, Notice, Remote,
    Script, Shell, Show, Stream,
};

const LOOK: &str = include_str!("look.sh");
const PLACES: &str = include_str!("places.sh");

/// The script's own bound: what it runs is `df` and the like, which stand still where a disk does.
const SCRIPT: Duration = Duration::from_secs(20);
/// So much of what startup files print is shown.
const NOISE: usize = 120;

/// First keys that were shown and not stored, by the name under which they would be.
#[derive(Clone, Default)]
pub struct FirstKeys(Arc<Mutex<BTreeMap<String, (String, String)>>>);

impl FirstKeys {
    /// For [`crate::ssh::Settings::show`].
    pub fn hear(&self) -> Show {
        let keys = Arc::clone(&self.0);
        Arc::new(move |notice: &Notice| {
            if let Notice::HostKeyNew { host, fingerprint, kind } = notice {
                let mut keys = keys.lock().unwrap_or_else(PoisonError::into_inner);
                keys.insert(host.clone(), (fingerprint.clone(), kind.clone()));
            }
        })
    }

    fn of(&self, name: &str) -> Option<(String, String)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }
}

/// What all workers are looked at with.
pub struct Look<'a> {
    /// The way to them; it stores no host keys.
    pub remote: &'a dyn Remote,
    /// What it hears of keys that are not known.
    pub first_keys: FirstKeys,
    /// Programs that scripts need there.
    pub tools: &'a [&'a str],
    /// For the connection to one worker, retries of a dropped one included.
    pub patience: Duration,
    /// Ends it.
    pub cancel: &'a Cancel,
}

/// One worker, looked at.
#[derive(Clone, Debug)]
pub struct Examined {
    /// As `workers.json` has it.
    pub host: Host,
    /// Where the login goes; `None`: the ssh config cannot be used for it.
    pub destination: Option<Destination>,
    /// How each layer is.
    pub layers: BTreeMap<Layer, State>,
    /// What was found.
    pub findings: Vec<Finding>,
    /// What it has answered.
    pub answer: Answer,
    /// The kernel that would boot, as far as its files say.
    pub next_kernel: Option<String>,
    /// Whether it needs a reboot; `None`: it was not asked.
    pub reboot: Option<RebootNeed>,
    /// What its BMC says; `None`: it names none, or none is asked.
    pub power: Option<Beside>,
}

impl Examined {
    /// Whether the login has worked.
    pub fn is_in(&self) -> bool {
        matches!(self.layers.get(&Layer::Login), Some(State::Ok | State::Warning))
    }
}

/// Looks at one worker, and changes nothing there.
pub fn look_at(look: &Look<'_>, host: &Host, destination: Result<Destination, ConnectError>) -> Examined {
    let mut seen = Examined {
        host: host.clone(),
        destination: destination.as_ref().ok().cloned(),
        layers: BTreeMap::new(),
        findings: Vec::new(),
        answer: Answer::default(),
        next_kernel: None,
        reboot: None,
        power: None,
    };
    let connected = match destination {
        Ok(_) => look.remote.connect(host, Instant::now() + look.patience, look.cancel),
        Err(error) => Err(error),
    };
    seen.first_keys(&look.first_keys);
    match connected {
        Err(error) => seen.not_connected(&error),
        Ok(mut connection) => {
            for layer in Layer::ALL.into_iter().filter(|layer| *layer < Layer::Sudo && *layer > Layer::Here) {
                seen.layers.insert(layer, State::Ok);
            }
            seen.noise(connection.greeting());
            seen.examine(look, connection.as_mut());
        }
    }
    let has_jumps = seen.destination.as_ref().is_some_and(|to| !to.jumps.is_empty());
    if !has_jumps && seen.layers.get(&Layer::JumpHost) == Some(&State::Ok) {
        seen.layers.remove(&Layer::JumpHost);
    }
    seen
}

/// The script for a worker with this profile.
pub fn script(profile: &HostProfile, tools: &[&str]) -> Script {
    let path = |path: &std::path::Path| path.to_string_lossy().into_owned();
    let yes = |is: bool| if is { "yes" } else { "no" }.to_owned();
    let state = if profile.use_sudo { &profile.state_dir } else { &profile.state_dir_in_home };
    Script {
        what: "doctor".into(),
        shell: Shell::Sh,
        // It asks for sudo by itself, to tell what that says.
        sudo: false,
        text: LOOK.into(),
        env: vec![
            ("BOOT_ID_FILE".into(), path(&profile.boot_id)),
            ("NOLOGIN_FILE".into(), path(&profile.nologin)),
            ("WORKER_DIR".into(), path(&profile.worker_dir)),
            ("STATE_DIR".into(), path(state)),
            ("USE_SUDO".into(), yes(profile.use_sudo)),
            ("REAL".into(), yes(!profile.sandbox)),
            ("TOOLS".into(), tools.join(" ")),
            // A sandbox's machine is this one.
            (
                "PLACES".into(),
                if profile.sandbox { PLACES.into() } else { format!("{PLACES}{HARDWARE_LOOK}") },
            ),
        ],
        deadline: SCRIPT,
        watchdog: true,
        silence: None,
        users_own: false,
        lock: false,
    }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

impl Examined {
    /// By the layer at which it failed: those before it were passed, those behind it were not reached.
    fn not_connected(&mut self, error: &ConnectError) {
        let cause = error.cause();
        let failed = match (cause.layer, cause.code) {
            // The host key was good when our own keys were looked at.
            (Layer::Here, "key_file" | "no_key") if !matches!(error, ConnectError::Jump { .. }) => {
                Layer::Login
            }
            (Layer::Here, _) => Layer::JumpHost,
            (layer, _) => layer,
        };
        for layer in Layer::ALL.into_iter().filter(|layer| *layer > Layer::Here) {
            let state = match layer.cmp(&failed) {
                std::cmp::Ordering::Less => State::Ok,
                std::cmp::Ordering::Equal if cause.layer == failed => State::Problem,
                _ => State::NotLookedAt(cause.layer),
            };
            self.layers.insert(layer, state);
        }
        self.findings.push(Finding::problem(cause));
    }

    /// Keys that are not known yet, of the worker and of the jump hosts before it.
    fn first_keys(&mut self, keys: &FirstKeys) {
        let Some(destination) = self.destination.clone() else { return };
        for (to, is_jump) in destination.jumps.iter().map(|to| (to, true)).chain([(&destination, false)]) {
            let Some((fingerprint, kind)) = keys.of(&to.known_as) else { continue };
            let what = match is_jump {
                true => format!("jump host {}: the host key is not known yet", to.host),
                false => "the host key is not known yet".to_owned(),
            };
            // What a server says of its key goes into nothing that is typed.
            let kind_of_file = match kind.as_str() {
                kind if kind.contains("rsa") => "rsa",
                kind if kind.contains("ecdsa") => "ecdsa",
                _ => "ed25519",
            };
            let remedy = format!(
                "compare each with the worker's own: `ssh-keygen -lf /etc/ssh/ssh_host_{kind_of_file}_key.pub` at its \
                 console; the first command that does something there, such as `maand deploy`, stores it in \
                 secrets/known_hosts"
            );
            let cause = Cause::new("host_key_new", Layer::HostKey, what, remedy);
            self.findings.push(Finding::note(cause.detail(format!("{fingerprint} ({kind})"))));
        }
    }

    fn noise(&mut self, greeting: &[u8]) {
        let text = String::from_utf8_lossy(greeting);
        // sshd's own words, which the home is asked about.
        let mut lines = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with("Could not chdir"));
        let Some(first) = lines.next() else { return };
        let user = self.destination.as_ref().map_or("", |to| to.user.as_str());
        let (what, remedy) = if first.contains("locale") {
            let remedy = format!(
                "on {}: make the locale (`sudo locale-gen`), or take LC_* out of /etc/environment",
                self.host
            );
            ("the login shell complains about the locale", remedy)
        } else {
            let remedy = format!(
                "in ~{user}/.bashrc on {} (or /etc/bash.bashrc, ~/.profile): print only where somebody reads, \
                 `case $- in *i*) ... ;; esac`",
                self.host
            );
            ("startup files print something at every login", remedy)
        };
        let cause = Cause::new("login_noise", Layer::Shell, what, remedy);
        self.findings.push(Finding::warning(cause.detail(visible_within(&visible_line(first), NOISE))));
        self.layers.insert(Layer::Shell, State::Warning);
    }

    fn examine(&mut self, look: &Look<'_>, connection: &mut dyn Connection) {
        let profile = look.remote.profile(&self.host);
        let script = script(&profile, look.tools);
        let sent = now();
        let (mut heard, mut said) = (None, Vec::new());
        let mut sink = |stream: Stream, bytes: &[u8]| {
            if stream == Stream::Stdout && heard.is_none() {
                said.extend_from_slice(&bytes[..bytes.len().min(4096)]);
                let text = String::from_utf8_lossy(&said);
                let clock = text.split("\nclock ").nth(1);
                if clock.is_some_and(|rest| rest.contains('\n')) || said.len() > 64 * 1024 {
                    heard = Some(now());
                }
            }
        };
        let completion = connection.run(&script, Some(&mut sink));
        let asked = (sent, heard.unwrap_or_else(now));
        let (bytes, why) = match completion {
            Completion::Exited { code: 0, stdout, .. } => (stdout.bytes, None),
            Completion::Exited { code, stdout, stderr } => {
                (stdout.bytes, Some(format!("exit code {code} {}", visible_line(stderr.text().trim()))))
            }
            Completion::Unknown { why, stdout, .. } => (stdout.bytes, Some(why.to_string())),
            Completion::NotRun { reason, stderr } => {
                (Vec::new(), Some(format!("{reason} {}", visible_line(stderr.text().trim()))))
            }
        };
        self.answer = Answer::read(&bytes);
        let user = self.destination.as_ref().map_or_else(String::new, |to| to.user.clone());
        let facts = Facts {
            host: self.host.as_str(),
            user: &user,
            use_sudo: profile.use_sudo,
            tools: look.tools,
            asked,
            is_sandbox: profile.sandbox,
        };
        let (mut findings, states) = judge(&self.answer, &facts);
        if let Some(why) = why {
            for finding in findings.iter_mut().filter(|finding| finding.cause.code == "unknown") {
                finding.cause.detail = Some(visible_within(why.trim(), 4 * NOISE));
            }
        }
        self.findings.extend(findings);
        self.layers.extend(states);
        // One whose answer cannot be read is not asked more.
        if self.answer.is_whole && !profile.sandbox {
            let (kernels, need) = reboots::ask(connection, &profile, reboots::Tools::Quiet);
            self.findings.extend(judge_reboot(&need));
            self.next_kernel = kernels.would_boot().or(kernels.newest()).map(str::to_owned);
            self.reboot = Some(need);
        }
    }
}

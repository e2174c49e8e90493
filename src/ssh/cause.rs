//! Causes and remedies: one table of what keeps a worker from being worked on, and of what to type about it. It is
//! read by `maand doctor`, which shows all of a fleet at once, and by the message of a single failure.
//!
//! `what` is the same for all workers with the same trouble, so that they can be said together; a remedy has the
//! worker's own host, user and port in it.

mod login;

use login::{auth_refused, not_executed};
pub use login::{missing_tools, sudo_cause};

use super::{ConnectError, Stage};
use crate::os::quote;
use crate::plan::without_error_numbers;

/// What is looked at, in the order in which a connection gets to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Layer {
    /// What this machine brings along: keys, agent, ssh config, known hosts.
    Here,
    /// The jump hosts before it.
    JumpHost,
    /// The name has an address.
    Address,
    /// The port is open, and an SSH server greets there.
    Port,
    /// It is the machine that is meant.
    HostKey,
    /// The user is let in.
    Login,
    /// The login shell executes what it is told.
    Shell,
    /// Root is to be had without a password.
    Sudo,
    /// The programs that our scripts need.
    Tools,
    /// Where files are written.
    Folders,
    /// Room on the disks.
    Disk,
    /// The clock, against this machine's.
    Clock,
    /// The boot: its id, logins that are off, a reboot that is due.
    Boot,
    /// The machine beside the worker that can switch it on and off: no connection to the worker gets there.
    Power,
}

impl Layer {
    /// All that a connection gets to, in order.
    pub const ALL: [Self; 13] = [
        Self::Here,
        Self::JumpHost,
        Self::Address,
        Self::Port,
        Self::HostKey,
        Self::Login,
        Self::Shell,
        Self::Sudo,
        Self::Tools,
        Self::Folders,
        Self::Disk,
        Self::Clock,
        Self::Boot,
    ];

    /// As it is written in JSON and shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Here => "here",
            Self::JumpHost => "jump_host",
            Self::Address => "address",
            Self::Port => "port",
            Self::HostKey => "host_key",
            Self::Login => "login",
            Self::Shell => "shell",
            Self::Sudo => "sudo",
            Self::Tools => "tools",
            Self::Folders => "folders",
            Self::Disk => "disk",
            Self::Clock => "clock",
            Self::Boot => "boot",
            Self::Power => "power",
        }
    }
}

/// What is wrong, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// Names the kind; never changes.
    pub code: &'static str,
    /// Where it shows.
    pub layer: Layer,
    /// One sentence without the worker's name.
    pub what: String,
    /// What to type, or to look at.
    pub remedy: String,
    /// What of it is this worker's own: a fingerprint, what a server said.
    pub detail: Option<String>,
}

impl Cause {
    /// Without detail.
    pub fn new(code: &'static str, layer: Layer, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        let what = without_error_numbers(&what.into());
        Self { code, layer, what, remedy: remedy.into(), detail: None }
    }

    /// With what is this worker's own.
    #[must_use]
    pub fn detail(self, detail: impl Into<String>) -> Self {
        Self { detail: Some(without_error_numbers(&detail.into())), ..self }
    }
}

/// Where somebody logs in, as it is typed.
struct At<'a> {
    user: &'a str,
    host: &'a str,
    port: &'a str,
}

impl<'a> At<'a> {
    fn of(user: &'a str, addr: &'a str) -> Self {
        let (host, port) = addr.rsplit_once(':').unwrap_or((addr, "22"));
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        Self { user, host, port }
    }

    /// `-p 2222 user@host`, for ssh and ssh-copy-id.
    fn ssh(&self) -> String {
        let port = if self.port == "22" { String::new() } else { format!("-p {} ", self.port) };
        let user = if self.user.is_empty() { String::new() } else { format!("{}@", self.user) };
        format!("{port}{}", quote(&format!("{user}{}", self.host)))
    }

    fn nc(&self) -> String {
        format!("`nc -vz -w 5 {} {}`", quote(self.host), self.port)
    }

    fn scan(&self, file: &str) -> String {
        let port = if self.port == "22" { String::new() } else { format!("-p {} ", self.port) };
        format!("`ssh-keyscan {port}{} >> {file}`", quote(self.host))
    }
}

/// What the worker's own log says of a login.
const LOG: &str = "`sudo journalctl -u ssh -u sshd -n 20` there";
/// At the worker's console.
const OWN_KEY: &str = "`ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub`";

/// How another port is said, for a worker or for a jump host.
fn other_port(host: &str, jump: bool) -> String {
    if jump {
        return format!("say `Port 2222` for {host} in ~/.ssh/config");
    }
    format!(
        "say `\"ssh_port\": 2222` for {host} in workspace/workers.json, or `ssh_port = 2222` in maand.conf"
    )
}

fn other_user(host: &str, jump: bool) -> String {
    if jump {
        return format!("`User` for {host} in ~/.ssh/config");
    }
    format!("`\"ssh_user\": \"NAME\"` for {host} in workspace/workers.json, or `ssh_user` in maand.conf")
}

impl ConnectError {
    /// What it comes to, and what to do about it.
    pub fn cause(&self) -> Cause {
        self.cause_of(false)
    }

    /// The error with what to do about it, for a message that stands alone.
    pub fn told(&self) -> String {
        match self {
            Self::Cancelled => self.to_string(),
            error => format!("{}; {}", without_error_numbers(&error.to_string()), error.cause().remedy),
        }
    }

    /// Whether this machine is to blame, so that it is one trouble however many workers meet it.
    pub fn is_ours(&self) -> bool {
        self.cause().layer == Layer::Here
    }

    fn cause_of(&self, jump: bool) -> Cause {
        match self {
            Self::Unresolved { addr, why } => {
                let host = At::of("", addr).host;
                let place = if jump { "~/.ssh/config" } else { "workspace/workers.json" };
                let remedy = format!(
                    "correct {host} in {place}, or give the name an address: `getent hosts {}` has to print it (DNS, \
                     /etc/hosts, or HostName in ~/.ssh/config)",
                    quote(host)
                );
                Cause::new("name_unknown", Layer::Address, "the name has no address", remedy)
                    .detail(why.clone())
            }
            Self::Refused { addr } => {
                let at = At::of("", addr);
                let what = format!("the connection to port {} is refused", at.port);
                let remedy = format!(
                    "start sshd there (`sudo systemctl enable --now ssh || sudo systemctl enable --now sshd`); if it has \
                     another port, {}",
                    other_port(at.host, jump)
                );
                Cause::new("port_refused", Layer::Port, what, remedy)
            }
            Self::Unreachable { addr, why, .. } => {
                let at = At::of("", addr);
                let remedy = format!(
                    "see that it is up and that this machine has a way to it: `ping -c 1 {0}`, `ip route get {0}`",
                    quote(at.host)
                );
                Cause::new("unreachable", Layer::Port, format!("it cannot be reached: {why}"), remedy)
            }
            Self::TimedOut { addr, .. } => {
                let at = At::of("", addr);
                let what = format!("no answer from port {}", at.port);
                let remedy = format!(
                    "see that it is up and that no firewall drops the port: {}; a slow way needs a longer \
                     `connect_timeout` in maand.conf; if sshd has another port, {}",
                    at.nc(),
                    other_port(at.host, jump)
                );
                Cause::new("port_silent", Layer::Port, what, remedy)
            }
            Self::Config { source, .. } => {
                let remedy = "correct that line (docs/ssh_config.md says what is honoured and what is refused), or set \
                              `ssh_config = false` in maand.conf";
                Cause::new("ssh_config", Layer::Here, source.to_string(), remedy)
            }
            Self::Handshake { addr, stage, why } | Self::LoginTimedOut { addr, stage, why } => {
                cut(&At::of("", addr), *stage, why, jump, matches!(self, Self::LoginTimedOut { .. }))
            }
            Self::HostKeyChanged { host, known, shown } => {
                // `SHA256:... (file:line)`, as it was read.
                let noted = known.rsplit_once(" (").map(|(_, noted)| noted.trim_end_matches(')'));
                let file =
                    noted.and_then(|noted| noted.rsplit_once(':')).map_or("known_hosts", |(file, _)| file);
                let remedy = format!(
                    "compare with the worker's own ({OWN_KEY} at its console); only if that is the one shown, as after a \
                     reinstallation: `ssh-keygen -R {} -f {}`",
                    quote(host),
                    quote(file)
                );
                Cause::new("host_key_changed", Layer::HostKey, "the host key has changed", remedy)
                    .detail(format!("known {known}, shown {shown}"))
            }
            Self::HostKeyUnknown { host, shown, why } => {
                let at = At::of("", host);
                let remedy = format!(
                    "compare it with the worker's own ({OWN_KEY} at its console), then {}",
                    at.scan("secrets/known_hosts")
                );
                let what = format!("the host key is not known, and {why}");
                Cause::new("host_key_unknown", Layer::HostKey, what, remedy).detail(shown.clone())
            }
            Self::HostKeyRefused { host, shown, why, passes } => {
                let remedy = match passes {
                    true => {
                        format!("renew the certificate of {host} there, and see that both clocks are right")
                    }
                    false => format!(
                        "give {host} another host key or certificate, or correct the file that says so"
                    ),
                };
                Cause::new(
                    "host_key_refused",
                    Layer::HostKey,
                    format!("the host key is refused: {why}"),
                    remedy,
                )
                .detail(shown.clone())
            }
            Self::AuthRefused { offered: 0, why, .. } => {
                let remedy =
                    "`ssh-add` the key, `maand init` to make one, or name one with `ssh_key` in maand.conf";
                Cause::new("no_key", Layer::Here, format!("no key can be offered: {why}"), remedy)
            }
            Self::AuthRefused { user, addr, key, why, .. } => {
                auth_refused(user, addr, key.as_deref(), why, jump)
            }
            Self::NotExecuted { user, addr, why } => not_executed(user, addr, why),
            Self::KeyFile { path, why } => {
                let file = quote(path);
                let remedy = if why.contains("passphrase") {
                    format!("`ssh-add {file}`, or use a key without a passphrase (`ssh_key` in maand.conf)")
                } else if why.contains("mode") {
                    format!("`chmod 600 {file}`")
                } else if why.contains("No such file") {
                    "`maand init` makes one; or put it there, or name another with `ssh_key` in maand.conf"
                        .to_owned()
                } else {
                    format!("see that it is a private key that you can read: `ssh-keygen -yf {file}`")
                };
                Cause::new("key_file", Layer::Here, format!("key file {path}: {why}"), remedy)
            }
            Self::KnownHosts { why } => {
                let remedy = format!("make it a plain file that you can read (`ls -l {}`)", file_of(why));
                Cause::new(
                    "known_hosts",
                    Layer::Here,
                    format!("known host keys cannot be read: {why}"),
                    remedy,
                )
            }
            Self::NoLogin { addr, message } => {
                let host = At::of("", addr).host;
                let remedy = format!(
                    "wait until {host} is up; if it is, `sudo rm -f /run/nologin /etc/nologin` there, at its console"
                );
                Cause::new("no_login", Layer::Login, "logins are off (nologin)", remedy)
                    .detail(message.clone())
            }
            Self::Jump { hop, source } => {
                let inner = source.cause_of(true);
                let layer = if inner.layer == Layer::Here { Layer::Here } else { Layer::JumpHost };
                Cause { layer, what: format!("jump host {hop}: {}", inner.what), ..inner }
            }
            Self::Exhausted { why } => {
                let what = format!("this machine has run out of what a connection needs: {why}");
                Cause::new(
                    "exhausted",
                    Layer::Here,
                    what,
                    "end something else here, or raise `ulimit -n` (4096)",
                )
            }
            Self::Cancelled => Cause::new("interrupted", Layer::Here, "interrupted", "try again"),
        }
    }
}

/// The path in `path: what the system says`.
fn file_of(why: &str) -> String {
    quote(why.split(": ").next().unwrap_or(why))
}

/// Cut, or stood still: by how far it had come.
fn cut(at: &At<'_>, stage: Stage, why: &str, jump: bool, late: bool) -> Cause {
    let port = at.port;
    match stage {
        Stage::Greeting => {
            let how =
                if late { "no SSH server greets there" } else { "it is closed before an SSH server greets" };
            let remedy = format!(
                "see what listens there (`sudo ss -ltnp 'sport = :{port}'`) and what sshd says ({LOG}: MaxStartups, \
                 PerSourcePenalties, hosts.deny); if sshd has another port, {}",
                other_port(at.host, jump)
            );
            Cause::new("port_no_ssh", Layer::Port, format!("port {port} is open, and {how}"), remedy)
                .detail(why)
        }
        Stage::KeyExchange => {
            let remedy = format!(
                "`ssh -v {}` says which algorithms both sides have; the ssh config here and sshd_config there choose them",
                at.ssh()
            );
            Cause::new("handshake", Layer::HostKey, format!("the SSH handshake fails: {why}"), remedy)
        }
        Stage::Login => {
            let remedy = format!("`ssh -v {}` shows how far it comes; see what sshd says ({LOG})", at.ssh());
            Cause::new("login_cut", Layer::Login, "the login does not come to its end", remedy).detail(why)
        }
        Stage::Shell if late => {
            let remedy = format!(
                "`ssh {} true </dev/null` has to end by itself: look for what waits for input in the user's startup files \
                 there (~/.bashrc, /etc/bash.bashrc), and for ForceCommand in sshd_config",
                at.ssh()
            );
            Cause::new(
                "shell_waits",
                Layer::Shell,
                "logged in, and the shell does not get to our command",
                remedy,
            )
        }
        Stage::Shell => {
            let remedy = format!(
                "see what sshd and PAM say ({LOG}); MaxSessions in sshd_config has to be 1 or more, and PAM's session \
                 modules have to succeed"
            );
            Cause::new("no_session", Layer::Shell, "logged in, and no session is opened", remedy).detail(why)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key_refused(key: Option<&str>, addr: &str) -> ConnectError {
        let why = "it takes none of: x".to_owned();
        let key = key.map(str::to_owned);
        ConnectError::AuthRefused { user: "agent".into(), addr: addr.into(), offered: 1, key, why }
    }

    #[test]
    fn a_remedy_has_host_user_and_port_in_it() {
        let told = ConnectError::Refused { addr: "w1:2222".into() }.told();
        assert!(told.contains("`\"ssh_port\": 2222` for w1 in workspace/workers.json"), "{told}");
        let told = key_refused(Some("secrets/worker.key"), "w1:2222").told();
        assert!(told.contains("`ssh-copy-id -i secrets/worker.key -p 2222 agent@w1`"), "{told}");
        assert!(told.contains("\"ssh_user\""), "{told}");
        let told = key_refused(None, "[2001:db8::1]:22").told();
        assert!(told.contains("`ssh-copy-id agent@2001:db8::1`"), "{told}");
        let unknown =
            ConnectError::HostKeyUnknown { host: "[w1]:2222".into(), shown: "S".into(), why: "y".into() };
        assert!(
            unknown.told().contains("`ssh-keyscan -p 2222 w1 >> secrets/known_hosts`"),
            "{}",
            unknown.told()
        );
        let known = "SHA256:a (/b/secrets/known_hosts:7)".to_owned();
        let changed =
            ConnectError::HostKeyChanged { host: "[w1]:2222".into(), known, shown: "SHA256:b".into() };
        let remedy = changed.cause().remedy;
        assert!(remedy.contains("`ssh-keygen -R '[w1]:2222' -f /b/secrets/known_hosts`"), "{remedy}");
    }

    #[test]
    fn what_is_said_together_does_not_name_the_worker() {
        let of = |host: &str| {
            let addr = format!("{host}:22");
            let why = "because".to_owned();
            let (user, key) = ("agent".to_owned(), None);
            [
                ConnectError::Refused { addr: addr.clone() },
                ConnectError::Unresolved { addr: addr.clone(), why: why.clone() },
                ConnectError::Unreachable { addr: addr.clone(), why: why.clone(), here: false },
                ConnectError::TimedOut { addr: addr.clone(), after: std::time::Duration::from_secs(10) },
                ConnectError::Handshake { addr: addr.clone(), stage: Stage::Greeting, why: why.clone() },
                ConnectError::LoginTimedOut { addr: addr.clone(), stage: Stage::Shell, why: why.clone() },
                ConnectError::HostKeyChanged { host: host.into(), known: "a".into(), shown: "b".into() },
                ConnectError::HostKeyUnknown { host: host.into(), shown: "b".into(), why: why.clone() },
                ConnectError::NoLogin { addr: addr.clone(), message: why.clone() },
                ConnectError::NotExecuted { user: user.clone(), addr: addr.clone(), why: why.clone() },
                ConnectError::AuthRefused { user, addr, offered: 1, key, why },
            ]
        };
        for (one, other) in of("w1").iter().zip(of("another")) {
            let (one, other) = (one.cause(), other.cause());
            assert_eq!((one.code, one.layer, &one.what), (other.code, other.layer, &other.what));
            assert!(one.remedy.contains("w1") || one.code == "no_session", "{one:?}");
        }
    }

    #[test]
    fn who_is_to_blame_is_told() {
        let why = "No such file or directory (os error 2)".into();
        let missing = ConnectError::KeyFile { path: "k".into(), why };
        assert!(!missing.told().contains("os error"), "{}", missing.told());
        assert!(missing.is_ours() && missing.told().contains("maand init"));
        let behind = |source| ConnectError::Jump { hop: "b1:22".into(), source: Box::new(source) };
        assert!(behind(missing).is_ours());
        let cause = behind(ConnectError::Refused { addr: "b1:22".into() }).cause();
        assert_eq!((cause.layer, cause.code), (Layer::JumpHost, "port_refused"));
        assert!(
            cause.what.starts_with("jump host b1:22: ") && cause.remedy.contains("~/.ssh/config"),
            "{cause:?}"
        );
        assert!(!key_refused(None, "w1:22").is_ours());
    }

    #[test]
    fn the_words_of_sudo() {
        for (printed, code) in [
            ("sudo: a password is required", "sudo_password"),
            ("sudo: sorry, you must have a tty to run sudo", "sudo_tty"),
            ("sh: 1: sudo: not found", "sudo_absent"),
            ("agent is not in the sudoers file.", "sudo_denied"),
            ("sudo: sorry, you are not allowed to preserve the environment", "sudo_denied"),
            ("Sorry, user agent may not run sudo on w1.", "sudo_denied"),
            ("sudo: Konto abgelaufen", "sudo_refuses"),
        ] {
            assert_eq!(sudo_cause("agent", "w1", printed).code, code, "{printed}");
        }
    }
}

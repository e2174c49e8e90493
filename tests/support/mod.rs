//! A fleet of real OpenSSH servers for tests: [`Fleet::start`] gives `n` hosts on loopback addresses.
//!
//! Each host is an sshd as pid 1 of pid, mount and uts namespaces of its own (`host.sh`), with private
//! `/opt`, `/root`, `/home`, `/run`, `/var/lib`, `/boot` and `/etc`, its own host name and boot id, a user `agent`
//! (without root but by `sudo`) beside `root`, and stand-ins for `reboot`, `shutdown`, `sudo` and `uname`. Shared with
//! this machine are `/tmp`, `/usr` and the network: two hosts' jobs cannot listen on one 0.0.0.0 port.
//!
//! ```ignore
//! let Some(fleet) = Fleet::start(3) else { return };   // says why it skips; with CI=true it fails instead
//! let remote = Ssh2Remote::new(fleet.settings());      // or fleet.key(), fleet.port(), fleet.host(i)
//! fleet.set(1, Fault::ShutdownSecs(3));                // before the reboot that it is meant for
//! fleet.sh(1, "make -C /opt/x status");                // inside, without SSH
//! fleet.wait_for_boot(1, 2);                           // boots are counted from 1
//! ```
//! Everything ends with the [`Fleet`], and also when the test process is killed.

pub(crate) mod alertmanager;
pub(crate) mod bmc;
pub(crate) mod browser;
mod faults;
pub(crate) mod file_server;
pub(crate) mod hostile;
pub(crate) mod http;
pub(crate) mod postgres;
pub(crate) mod prometheus;
pub(crate) mod run_header;
pub(crate) mod serve;
mod skip;

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

pub(crate) use faults::Fault;
use maand::bucket::Host;
use maand::ssh::{HostProfile, Settings};
pub(crate) use skip::{may_skip, skipped, unpacked};

/// Waits are bounded by this; a loaded machine may need most of it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The port of every host.
pub(crate) const PORT: u16 = 2222;

/// The port that the upstream program goes to, and one instead where something here listens on 22.
const UPSTREAM_PORTS: [u16; 2] = [22, 2022];

/// Waits until `done`, else fails with what was waited for.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < until, "timed out after {PATIENCE:?} waiting for: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Why the fleet cannot be started here, if so.
fn obstacle() -> Option<String> {
    if !cfg!(target_os = "linux") {
        return Some("the fleet needs Linux".into());
    }
    if !rustix_root() {
        return Some("the fleet needs root (namespaces)".into());
    }
    let missing = |tool: &&str| {
        !["/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/local/bin"]
            .iter()
            .any(|folder| Path::new(folder).join(tool).exists())
    };
    let missing: Vec<_> = ["sshd", "ssh-keygen", "unshare", "nsenter", "setpriv", "setsid", "flock", "bash"]
        .into_iter()
        .filter(|tool| missing(tool))
        .collect();
    (!missing.is_empty()).then(|| format!("not installed: {} (run tests/setup.sh)", missing.join(", ")))
}

fn rustix_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}

/// What the hosts of a fleet have in common.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// sshd's `MaxStartups`.
    pub(crate) max_startups: String,
    /// sshd asks PAM; what PAM asks is up to the host's `/etc/pam.d/sshd`.
    pub(crate) pam: bool,
    /// More lines for `sshd_config`.
    pub(crate) sshd: String,
    /// Also what the upstream program needs: its port, and a `python3` for what it brings along, which
    /// is a shell here ([`Fleet::upstream_port`]).
    pub(crate) upstream: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { max_startups: "200:30:400".into(), pam: false, sshd: String::new(), upstream: false }
    }
}

/// Running hosts; dropped, they end.
pub(crate) struct Fleet {
    /// Owns the files; after the hosts, as they write into it.
    hosts: Vec<Running>,
    folder: tempfile::TempDir,
    upstream_port: Option<u16>,
}

struct Running {
    address: Ipv4Addr,
    folder: PathBuf,
    supervisor: Child,
}

impl Fleet {
    /// `n` hosts, up and listening. `None` where that is not possible, which is said on standard error;
    /// with `CI=true` it fails instead.
    #[track_caller]
    pub(crate) fn start(n: usize) -> Option<Self> {
        Self::start_with(n, &Options::default())
    }

    /// As [`Fleet::start`], with other options.
    #[track_caller]
    pub(crate) fn start_with(n: usize, options: &Options) -> Option<Self> {
        if let Some(why) = obstacle() {
            skipped(&why);
            return None;
        }
        // Not below /run, /root, /opt, /home or /var/lib, which a host sees its own of.
        let folder = tempfile::Builder::new().prefix("maand-fleet-").tempdir_in("/tmp").unwrap();
        open_up(folder.path());
        keygen(&folder.path().join("worker.key"), "worker");
        let authorized = folder.path().join("authorized_keys");
        fs::copy(folder.path().join("worker.key.pub"), &authorized).unwrap();
        fs::set_permissions(&authorized, fs::Permissions::from_mode(0o644)).unwrap();
        let upstream_port = options.upstream.then(|| {
            let free = |port: &u16| TcpListener::bind((Ipv4Addr::new(127, 64, 0, 1), *port)).is_ok();
            UPSTREAM_PORTS.into_iter().find(free).unwrap_or(UPSTREAM_PORTS[0])
        });
        let mut fleet = Self { hosts: Vec::new(), folder, upstream_port };
        for address in free_addresses(n) {
            fleet.add(address, options);
        }
        for i in 0..n {
            fleet.wait_up(i);
        }
        Some(fleet)
    }

    fn add(&mut self, address: Ipv4Addr, options: &Options) {
        let name = format!("w{}", self.hosts.len() + 1);
        let folder = self.folder.path().join(&name);
        for part in ["opt", "root", "home", "varlib", "boot", "modules", "bin"] {
            fs::create_dir_all(folder.join(part)).unwrap();
            open_up(&folder.join(part));
        }
        open_up(&folder);
        fs::write(folder.join("name"), &name).unwrap();
        fs::write(folder.join("nothing"), "").unwrap();
        fs::write(folder.join("sshd_config"), self.sshd_config(&folder, address, options)).unwrap();
        keygen(&folder.join("host_key"), &name);
        let stand_in = |to: &str, text: &str| {
            let path = folder.join("bin").join(to);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        };
        stand_in("reboot", include_str!("reboot.sh"));
        stand_in("shutdown", include_str!("reboot.sh"));
        stand_in("sudo", include_str!("sudo.sh"));
        stand_in("uname", include_str!("uname.sh"));
        if options.upstream {
            stand_in("python3", "#!/bin/sh\nexec sh \"$@\"\n");
        }
        let log = fs::File::create(folder.join("supervisor.log")).unwrap();
        let supervisor = Command::new("bash")
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/host.sh"))
            .arg(&folder)
            // The pipe whose end tells the supervisor that the test has gone.
            .stdin(Stdio::piped())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.hosts.push(Running { address, folder, supervisor });
    }

    fn sshd_config(&self, folder: &Path, address: Ipv4Addr, options: &Options) -> String {
        let fleet = self.folder.path().display();
        let folder = folder.display();
        // Newer sshd punishes an address whose connections fail, and all tests come from one.
        let penalties = if knows_penalties() { "PerSourcePenalties no\n" } else { "" };
        let upstream =
            self.upstream_port.map_or_else(String::new, |port| format!("ListenAddress {address}:{port}\n"));
        format!(
            "ListenAddress {address}:{PORT}\n{upstream}HostKey {folder}/host_key\nPidFile none\n\
             AuthorizedKeysFile {fleet}/authorized_keys\nPermitRootLogin yes\nPasswordAuthentication no\n\
             KbdInteractiveAuthentication no\nUsePAM {pam}\nUseDNS no\nStrictModes no\nPrintMotd no\n\
             MaxStartups {startups}\nMaxSessions 100\nLogLevel INFO\nAllowTcpForwarding yes\n{penalties}\
             SetEnv PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n{more}\n",
            pam = if options.pam { "yes" } else { "no" },
            startups = options.max_startups,
            more = options.sshd,
        )
    }

    /// How many.
    pub(crate) fn len(&self) -> usize {
        self.hosts.len()
    }

    /// Its address, as `workers.json` names it. Hosts are counted from 0.
    pub(crate) fn host(&self, i: usize) -> Host {
        Host::parse(&self.hosts[i].address.to_string()).unwrap()
    }

    /// The port of all.
    pub(crate) fn port(&self) -> u16 {
        PORT
    }

    /// The port for the upstream program: 22 where it is free.
    pub(crate) fn upstream_port(&self) -> u16 {
        self.upstream_port.expect("Options::upstream is set")
    }

    /// The private key that lets `root` and `agent` in.
    pub(crate) fn key(&self) -> PathBuf {
        self.folder.path().join("worker.key")
    }

    /// A folder of the fleet's own, gone with it.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where a host's files are: its disks `opt`, `root`, `home`, `varlib`, and its logs.
    pub(crate) fn disk(&self, i: usize) -> &Path {
        &self.hosts[i].folder
    }

    /// Settings of the transport for this fleet, as root, with a known_hosts of its own and nothing of the
    /// user's.
    pub(crate) fn settings(&self) -> Settings {
        let profiles =
            Arc::new(|host: &Host| HostProfile::real(Path::new("/opt/worker"), "test-bucket", host, true));
        Settings {
            port: Some(PORT),
            user: Some("root".into()),
            key: Some(self.key()),
            ..Settings::bare(self.folder.path().join("known_hosts"), profiles)
        }
    }

    /// How often it has booted, the first time included.
    pub(crate) fn boots(&self, i: usize) -> usize {
        let boots = fs::read_to_string(self.hosts[i].folder.join("boots")).unwrap_or_default();
        boots.lines().count()
    }

    /// The boot id that it shows now.
    pub(crate) fn boot_id(&self, i: usize) -> String {
        fs::read_to_string(self.hosts[i].folder.join("boot_id")).unwrap_or_default().trim().to_owned()
    }

    /// Commands that asked for a reboot or shutdown, oldest first.
    pub(crate) fn reboot_requests(&self, i: usize) -> Vec<String> {
        let asked = fs::read_to_string(self.hosts[i].folder.join("reboot-requests")).unwrap_or_default();
        asked.lines().map(str::to_owned).collect()
    }

    /// From here on it misbehaves (or, for [`Fault::Healthy`], no more).
    pub(crate) fn set(&self, i: usize, fault: Fault) {
        fault.write(&self.hosts[i].folder);
    }

    /// Pulls the plug: everything on it is killed at once, its port is closed, and it stays off.
    pub(crate) fn unplug(&self, i: usize) {
        fs::write(self.hosts[i].folder.join("unplugged"), "").unwrap();
        if let Some(unshare) = self.unshare_pid(i) {
            kill("KILL", unshare);
        }
        wait_until("the host is off", || self.pid(i).is_none() && !listens(self.hosts[i].address));
    }

    /// Plugs it in again and waits until it is up: a new boot.
    pub(crate) fn plug(&self, i: usize) {
        // In this order: the supervisor renames the one to the other.
        let _ = fs::remove_file(self.hosts[i].folder.join("never-back"));
        let _ = fs::remove_file(self.hosts[i].folder.join("unplugged"));
        self.wait_up(i);
    }

    /// Stops sshd and its children where they are: the kernel still answers, they do not.
    pub(crate) fn freeze(&self, i: usize) {
        self.signal_all(i, "STOP");
    }

    /// Lets them continue.
    pub(crate) fn thaw(&self, i: usize) {
        self.signal_all(i, "CONT");
    }

    fn signal_all(&self, i: usize, signal: &str) {
        // Pid 1 cannot be stopped from inside, so all are signalled from out here.
        let pid = self.pid(i).unwrap();
        let mut family = vec![pid];
        let mut at = 0;
        while at < family.len() {
            let path = format!("/proc/{0}/task/{0}/children", family[at]);
            let children = fs::read_to_string(path).unwrap_or_default();
            family.extend(children.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
            at += 1;
        }
        for pid in family {
            kill(signal, pid);
        }
    }

    /// Pid of its sshd in our namespace, while it is up.
    pub(crate) fn pid(&self, i: usize) -> Option<u32> {
        let unshare = self.unshare_pid(i)?;
        let children = fs::read_to_string(format!("/proc/{unshare}/task/{unshare}/children")).ok()?;
        children.split_whitespace().next()?.parse().ok()
    }

    fn unshare_pid(&self, i: usize) -> Option<u32> {
        fs::read_to_string(self.hosts[i].folder.join("unshare.pid")).ok()?.trim().parse().ok()
    }

    /// Runs a command inside, as root, without SSH.
    #[track_caller]
    pub(crate) fn sh(&self, i: usize, command: &str) -> Output {
        let pid = self.pid(i).expect("the host is up").to_string();
        Command::new("nsenter")
            .args(["-t", &pid, "-m", "-p", "-u", "sh", "-c", command])
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .output()
            .unwrap()
    }

    /// What a command inside prints; it must succeed.
    #[track_caller]
    pub(crate) fn sh_ok(&self, i: usize, command: &str) -> String {
        let out = self.sh(i, command);
        assert!(out.status.success(), "{command}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8_lossy(&out.stdout).trim_end().to_owned()
    }

    /// Waits until it has booted `n` times and is up.
    #[track_caller]
    pub(crate) fn wait_for_boot(&self, i: usize, n: usize) {
        wait_until("the host has booted", || self.boots(i) >= n);
        self.wait_up(i);
    }

    #[track_caller]
    fn wait_up(&self, i: usize) {
        let folder = &self.hosts[i].folder;
        let until = Instant::now() + PATIENCE;
        // An SSH banner, not only an open port.
        while self.pid(i).is_none() || !greets(self.hosts[i].address) {
            if Instant::now() >= until {
                let log = |name: &str| fs::read_to_string(folder.join(name)).unwrap_or_default();
                panic!("host {i} did not come up:\n{}{}", log("supervisor.log"), log("sshd.log"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for host in &mut self.hosts {
            drop(host.supervisor.stdin.take());
        }
        for host in &mut self.hosts {
            let _ = host.supervisor.wait();
        }
        let addresses: Vec<_> = self.hosts.iter().map(|host| host.address).collect();
        let until = Instant::now() + Duration::from_secs(10);
        while addresses.iter().any(|address| listens(*address)) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn kill(signal: &str, pid: u32) {
    let _ = Command::new("kill").args(["-s", signal, &pid.to_string()]).stderr(Stdio::null()).status();
}

fn open_up(folder: &Path) {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
}

/// An ed25519 key pair without a passphrase.
pub(crate) fn keygen(path: &Path, comment: &str) {
    let done = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", comment, "-f"])
        .arg(path)
        .status();
    assert!(done.unwrap().success());
}

fn knows_penalties() -> bool {
    let out = Command::new("/usr/sbin/sshd")
        .args(["-G", "-f", "/dev/null", "-o", "PerSourcePenalties=no"])
        .output();
    out.is_ok_and(|out| out.status.success())
}

fn listens(address: Ipv4Addr) -> bool {
    TcpStream::connect_timeout(&SocketAddr::from((address, PORT)), Duration::from_secs(1)).is_ok()
}

fn greets(address: Ipv4Addr) -> bool {
    let to = SocketAddr::from((address, PORT));
    let Ok(stream) = TcpStream::connect_timeout(&to, Duration::from_secs(1)) else { return false };
    let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
    let mut line = String::new();
    let mut reader = BufReader::new(stream);
    reader.read_line(&mut line).is_ok() && line.starts_with("SSH-")
}

/// Addresses in 127.64.0.0/10 that nothing listens on. Processes begin far apart; within one, none is
/// given out twice. In the order of their texts, which is that of a deploy without weights: worker 0 comes first.
fn free_addresses(n: usize) -> Vec<Ipv4Addr> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let start = std::process::id().wrapping_mul(4099);
    let mut found = Vec::new();
    while found.len() < n {
        let number = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % (1 << 22);
        let address = Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 64, 0, 0)) + number);
        if TcpListener::bind((address, PORT)).is_ok() {
            found.push(address);
        }
    }
    found.sort_by_key(ToString::to_string);
    found
}

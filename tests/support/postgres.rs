//! A real PostgreSQL on loopback, in a temporary folder, that ends with the test.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use maand::journal::Address;
use rustix::process::{Pid, Signal, kill_process};

use super::{skipped, wait_until};

/// It refuses to run as root: then it is this user, who is called nobody.
const NOBODY: u32 = 65_534;

pub(crate) struct Postgres {
    child: Child,
    address: SocketAddr,
    dir: tempfile::TempDir,
    settings: Vec<String>,
}

impl Postgres {
    /// An empty one, with these settings, such as `synchronous_commit=off`.
    pub(crate) fn start(settings: &[&str]) -> Option<Self> {
        let Some(initdb) = program("initdb") else {
            skipped("no PostgreSQL: tests/setup.sh installs it");
            return None;
        };
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let data = dir.path().join("data");
        fs::create_dir(&data).unwrap();
        if rustix::process::geteuid().is_root() {
            chown(&data, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let mut init = Command::new(initdb);
        init.args(["--no-sync", "--auth=trust", "--username=maand", "--encoding=UTF8", "--locale=C", "-D"])
            .arg(&data);
        let made = as_nobody(&mut init).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let address = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
        let settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
        let child = spawn(&data, address, &settings);
        let mut postgres = Self { child, address, dir, settings };
        postgres.wait();
        Some(postgres)
    }

    /// Another server that follows this one and does not hold it up: what it lags behind is lost when it is promoted.
    pub(crate) fn replica(&self) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let data = dir.path().join("data");
        fs::create_dir(&data).unwrap();
        fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).unwrap();
        if rustix::process::geteuid().is_root() {
            chown(&data, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let (host, port) = (self.address.ip().to_string(), self.address.port().to_string());
        let mut copy = Command::new(program("pg_basebackup").unwrap());
        copy.args(["-U", "maand", "-h", &host, "-p", &port, "-c", "fast", "-X", "stream", "-R", "-D"])
            .arg(&data);
        let made = as_nobody(&mut copy).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let address = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
        let settings = self.settings.clone();
        let child = spawn(&data, address, &settings);
        let mut replica = Self { child, address, dir, settings };
        replica.wait();
        replica
    }

    /// It follows nobody any more, and takes what is written.
    pub(crate) fn promote(&self) {
        self.sql("SELECT pg_promote()");
        wait_until("the replica is promoted", || self.sql("SELECT pg_is_in_recovery()") == "f");
    }

    /// For a bucket with this id.
    pub(crate) fn ledger(&self, bucket_id: &str) -> Address {
        Address::parse(&self.url(), bucket_id).unwrap()
    }

    /// As `maand.conf` has it.
    pub(crate) fn url(&self) -> String {
        format!("postgres://maand@{}/postgres?sslmode=disable", self.address)
    }

    /// What `psql` answers.
    #[track_caller]
    pub(crate) fn sql(&self, sql: &str) -> String {
        self.try_sql(sql).unwrap()
    }

    /// The same of what may be refused.
    pub(crate) fn try_sql(&self, sql: &str) -> Result<String, String> {
        let done = Command::new(program("psql").unwrap())
            .args(["-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql])
            .arg(self.url())
            .output()
            .unwrap();
        let said = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().trim().to_owned();
        if done.status.success() { Ok(said(done.stdout)) } else { Err(said(done.stderr)) }
    }

    /// Stopped in its tracks: its sockets stay open, and say nothing.
    pub(crate) fn signal(&self, signal: Signal) {
        let main = Pid::from_raw(self.child.id().cast_signed()).unwrap();
        let children = Command::new("pgrep").args(["-P", &self.child.id().to_string()]).output().unwrap();
        for pid in String::from_utf8_lossy(&children.stdout).lines() {
            // One that has ended meanwhile needs no signal.
            let _ = kill_process(Pid::from_raw(pid.parse().unwrap()).unwrap(), signal);
        }
        kill_process(main, signal).unwrap();
    }

    /// As a power cut ends it.
    pub(crate) fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.child.wait().unwrap();
    }

    /// The same one again, after it was killed.
    pub(crate) fn start_again(&mut self) {
        self.child = spawn(&self.dir.path().join("data"), self.address, &self.settings);
        self.wait();
    }

    fn wait(&mut self) {
        let ready = program("pg_isready").unwrap();
        let (host, port) = (self.address.ip().to_string(), self.address.port().to_string());
        let log = self.dir.path().join("log");
        wait_until("PostgreSQL is ready", || {
            let log = || fs::read_to_string(&log).unwrap_or_default();
            assert!(self.child.try_wait().unwrap().is_none(), "PostgreSQL has ended: {}", log());
            let asked = Command::new(&ready).args(["-q", "-h", &host, "-p", &port]).status();
            asked.unwrap().success()
        });
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            self.signal(Signal::CONT);
            // Its children end with it, at once.
            let _ = kill_process(Pid::from_raw(self.child.id().cast_signed()).unwrap(), Signal::QUIT);
            let _ = self.child.wait();
        }
    }
}

fn spawn(data: &Path, address: SocketAddr, settings: &Vec<String>) -> Child {
    let log = fs::File::create(data.parent().unwrap().join("log")).unwrap();
    let mut command = Command::new(program("postgres").unwrap());
    command.arg("-D").arg(data).args(["-h", &address.ip().to_string(), "-p", &address.port().to_string()]);
    for setting in ["unix_socket_directories=", "shared_buffers=16MB", "dynamic_shared_memory_type=mmap"] {
        command.args(["-c", setting]);
    }
    for setting in settings {
        command.args(["-c", setting]);
    }
    as_nobody(&mut command).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap()
}

fn as_nobody(command: &mut Command) -> &mut Command {
    // Its own folder: it would not find the one of this test's user.
    command.current_dir("/").env("LC_ALL", "C");
    if rustix::process::geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

/// Of Debian's packages, which have several versions beside each other, the newest; or of the path.
fn program(name: &str) -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = versions.map(|version| version.path().join("bin").join(name)).collect();
    found.sort_by_key(|path| {
        let version = path
            .ancestors()
            .nth(2)
            .and_then(Path::file_name)
            .map(|version| version.to_string_lossy().into_owned());
        version.and_then(|version| version.parse::<u32>().ok())
    });
    found.reverse();
    let path = std::env::var_os("PATH").unwrap_or_default();
    found.extend(std::env::split_paths(&path).map(|folder| folder.join(name)));
    found.into_iter().find(|path| path.is_file())
}

//! A plain SSH client on the bare ssh2 crate: what the sandbox speaks must not depend on our own.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use maand::bucket::Host;
use maand::sandbox::{Blueprint, Sandbox, SandboxOptions};

/// Long enough for a loaded machine; nothing waits for it to pass.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A fast sandbox of demo workers.
pub(crate) fn sandbox(workers: usize) -> Sandbox {
    sandbox_with(SandboxOptions { speed: 20.0, ..SandboxOptions::new(Blueprint::demo(workers)) })
}

pub(crate) fn sandbox_with(options: SandboxOptions) -> Sandbox {
    let program = Some(PathBuf::from(env!("CARGO_BIN_EXE_maand")));
    Sandbox::start(SandboxOptions { program, ..options }).unwrap()
}

/// Waits until `condition` gives something.
pub(crate) fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(start.elapsed() < PATIENCE, "timed out waiting for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

pub(crate) struct Client(pub(crate) ssh2::Session);

pub(crate) struct Answer {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Client {
    pub(crate) fn connect(sandbox: &Sandbox, host: &Host) -> Result<Self, String> {
        let stream = TcpStream::connect(sandbox.address(host).unwrap()).map_err(|error| error.to_string())?;
        let mut session = ssh2::Session::new().unwrap();
        session.set_tcp_stream(stream);
        session.set_timeout(PATIENCE.as_millis() as u32);
        session.handshake().map_err(|error| error.to_string())?;
        let key = sandbox.bucket_dir().join("secrets/worker.key");
        session.userauth_pubkey_file("anybody", None, &key, None).map_err(|error| error.to_string())?;
        Ok(Self(session))
    }

    /// Runs `command` with `input`, as it is.
    pub(crate) fn raw(&self, command: &str, input: &[u8]) -> Result<Answer, String> {
        let mut channel = self.0.channel_session().map_err(|error| error.to_string())?;
        channel.exec(command).map_err(|error| error.to_string())?;
        channel.write_all(input).map_err(|error| error.to_string())?;
        finish(channel)
    }

    /// Runs a script, framed as our transport does it, by a bootstrap that is much simpler.
    pub(crate) fn script(&self, users_own: bool, script: &str, payload: &[u8]) -> Result<Answer, String> {
        let input = [framed(users_own, script).as_bytes(), payload].concat();
        self.raw(BOOTSTRAP, &input)
    }

    /// Runs a script of our own.
    pub(crate) fn own(&self, script: &str) -> Answer {
        self.script(false, script, b"").unwrap()
    }
}

/// Takes the header and becomes the script.
pub(crate) const BOOTSTRAP: &str = "echo maand-ready-1 >/dev/null; read a; read b e s l d n o a; read c; \
     script=$(head -c \"$n\"); eval \"$script\"";

pub(crate) fn framed(users_own: bool, script: &str) -> String {
    let (length, own) = (script.len() + "\n#BEGIN".len(), u8::from(users_own));
    format!("maand1 0 END\nBEGIN END sh 0 60 {length} {own} 1\n.maand\n{script}\n#BEGIN")
}

pub(crate) fn finish(mut channel: ssh2::Channel) -> Result<Answer, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    channel.send_eof().map_err(|error| text(&error))?;
    let (mut stdout, mut stderr) = (String::new(), String::new());
    channel.read_to_string(&mut stdout).map_err(|error| text(&error))?;
    channel.stderr().read_to_string(&mut stderr).map_err(|error| text(&error))?;
    channel.wait_close().map_err(|error| text(&error))?;
    let code = channel.exit_status().map_err(|error| text(&error))?;
    Ok(Answer { code, stdout, stderr })
}

/// Every process whose environment names this folder: all that a sandbox has started.
pub(crate) fn processes_of(folder: &Path) -> Vec<u32> {
    let needle = folder.to_str().unwrap().as_bytes();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
        if pid != std::process::id() && environment.windows(needle.len()).any(|window| window == needle) {
            found.push(pid);
        }
    }
    found
}

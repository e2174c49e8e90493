//! A real Alertmanager on a port of its own on 127.0.0.1, without a cluster. `tests/setup.sh` unpacks it.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use super::http::{Answer, answer_from, connected};
use super::{unpacked, wait_until};

/// Notifies nobody: what a test wants to know it asks.
const CONFIG: &str = "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n";

/// Until it is dropped.
pub(crate) struct Alertmanager {
    child: Child,
    address: SocketAddr,
    dir: tempfile::TempDir,
}

impl Alertmanager {
    /// A new one; where it is not here, that is said, and with `CI=true` it fails.
    #[track_caller]
    pub(crate) fn start() -> Option<Self> {
        let program = unpacked("alertmanager", "prometheus-alertmanager")?;
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("alertmanager.yml"), CONFIG).unwrap();
        // One that is installed has them elsewhere.
        let templates = program.parent().unwrap().join("templates");
        std::os::unix::fs::symlink(templates, dir.path().join("templates")).unwrap();
        // It is free when it is asked for; who takes it meanwhile makes the test fail and not lie.
        let address = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
        let child = begin(&program, dir.path(), address);
        let mut started = Self { child, address, dir };
        started.wait();
        Some(started)
    }

    /// Ends it at once, and starts one at the same address that knows nothing of what this one knew.
    pub(crate) fn forget(&mut self) {
        self.end();
        fs::remove_dir_all(self.dir.path().join("data")).unwrap();
        self.begin_again();
    }

    /// Ends it; nothing listens at its address.
    pub(crate) fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it again, with what it has written.
    pub(crate) fn begin_again(&mut self) {
        let program = unpacked("alertmanager", "prometheus-alertmanager").unwrap();
        self.child = begin(&program, self.dir.path(), self.address);
        self.wait();
    }

    fn wait(&mut self) {
        let address = self.address;
        wait_until("Alertmanager is ready", || {
            let ended = self.child.try_wait().unwrap();
            let said = || fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
            assert!(ended.is_none(), "Alertmanager has ended: {}", said());
            std::net::TcpStream::connect(address).is_ok()
                && super::http::get(address, "/-/ready").status == 200
        });
    }

    /// Where it is.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What its own tool says.
    #[track_caller]
    pub(crate) fn amtool(&self, args: &[&str]) -> String {
        let url = format!("--alertmanager.url={}", self.url());
        let tool = unpacked("alertmanager", "amtool").unwrap();
        // No file of the operator's own is read.
        let output = Command::new(tool).arg(url).args(args).env("HOME", self.dir.path()).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// An exchange in JSON; an answer that is none is a text.
    #[track_caller]
    pub(crate) fn ask(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let (host, length) = (self.address, body.len());
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        );
        let mut stream = connected(self.address);
        std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
        let Answer { status, body, .. } = answer_from(stream).expect("an answer");
        (status, serde_json::from_str(&body).unwrap_or(Value::String(body)))
    }

    /// Alerts that fire from now on, each with these labels, until they are resolved or five minutes have passed.
    #[track_caller]
    pub(crate) fn fire(&self, alerts: &[&[(&str, &str)]]) {
        let alert = |labels: &&[(&str, &str)]| {
            let labels: serde_json::Map<String, Value> =
                labels.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
            json!({"labels": labels})
        };
        let alerts: Vec<Value> = alerts.iter().map(alert).collect();
        let (status, said) = self.ask("POST", "/api/v2/alerts", &Value::Array(alerts));
        assert_eq!(status, 200, "{said}");
    }

    /// All alerts, with `status.state` (`active`, `suppressed`) and `status.silencedBy`.
    #[track_caller]
    pub(crate) fn alerts(&self) -> Vec<Value> {
        self.list("/api/v2/alerts")
    }

    /// All silences, ended ones, too (`status.state`: `active`, `pending`, `expired`).
    #[track_caller]
    pub(crate) fn silences(&self) -> Vec<Value> {
        self.list("/api/v2/silences")
    }

    #[track_caller]
    fn list(&self, path: &str) -> Vec<Value> {
        match self.ask("GET", path, &Value::Null) {
            (200, Value::Array(list)) => list,
            (status, said) => panic!("{path}: {status} {said}"),
        }
    }
}

fn begin(program: &Path, dir: &Path, address: SocketAddr) -> Child {
    let log = fs::OpenOptions::new().create(true).append(true).open(dir.join("log")).unwrap();
    Command::new(program)
        .current_dir(dir)
        .args(["--config.file=alertmanager.yml", "--storage.path=data", "--cluster.listen-address="])
        .arg(format!("--web.listen-address={address}"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap()
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        self.end();
    }
}

//! A real Prometheus on a port of its own on 127.0.0.1, and what it scrapes. `tests/setup.sh` unpacks it.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::file_server::{FileServer, Served};
use super::{unpacked, wait_until};

/// Until it is dropped.
pub(crate) struct Prometheus {
    child: Child,
    address: SocketAddr,
    scraped: FileServer,
    dir: tempfile::TempDir,
}

impl Prometheus {
    /// A new one, which scrapes what [`Prometheus::tells`] five times a second; where it is not here, that is said, and
    /// with `CI=true` it fails.
    #[track_caller]
    pub(crate) fn start() -> Option<Self> {
        let program = unpacked("prometheus", "prometheus")?;
        let dir = tempfile::tempdir().unwrap();
        let scraped = FileServer::start();
        let target = scraped.url().replace("http://", "");
        let config = format!(
            "global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}\n\
             scrape_configs: [{{job_name: test, static_configs: [{{targets: ['{target}']}}]}}]\n"
        );
        fs::write(dir.path().join("prometheus.yml"), config).unwrap();
        // It is free when it is asked for; who takes it meanwhile makes the test fail and not lie.
        let address = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
        let child = Command::new(program)
            .current_dir(dir.path())
            .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data"])
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(dir.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        let mut started = Self { child, address, scraped, dir };
        wait_until("Prometheus is ready", || {
            let ended = started.child.try_wait().unwrap();
            let said = || fs::read_to_string(started.dir.path().join("log")).unwrap_or_default();
            assert!(ended.is_none(), "Prometheus has ended: {}", said());
            std::net::TcpStream::connect(address).is_ok()
                && super::http::get(address, "/-/ready").status == 200
        });
        Some(started)
    }

    /// Where it is.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on these are the series that it scrapes; back when it has.
    pub(crate) fn tells(&self, series: &str) {
        self.scraped.put("metrics", Served::Whole(format!("{series}\n").into_bytes()));
        let wanted: Vec<(&str, f64)> = series
            .lines()
            .map(|line| line.rsplit_once(' ').unwrap())
            .map(|(name, value)| (name, value.parse().unwrap()))
            .collect();
        wait_until("Prometheus has scraped it", || {
            wanted.iter().all(|(name, value)| self.value(name) == Some(value.to_string()))
        });
    }

    /// The one value of a query.
    fn value(&self, query: &str) -> Option<String> {
        let escaped: String = query.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let answer = super::http::get(self.address, &format!("/api/v1/query?query={escaped}"));
        let answer: Value = serde_json::from_str(&answer.body).ok()?;
        Some(answer.pointer("/data/result/0/value/1")?.as_str()?.to_owned())
    }

    /// Stops it where it is: it takes connections, and says nothing. It is not ended.
    pub(crate) fn hang(&self) {
        self.signal(rustix::process::Signal::STOP);
    }

    /// It continues.
    pub(crate) fn wake(&self) {
        self.signal(rustix::process::Signal::CONT);
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(self.child.id().cast_signed()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

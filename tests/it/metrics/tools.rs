//! Programs that read numbers. `tests/setup.sh` unpacks them beside what is built.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use crate::support::http::get;
use crate::support::unpacked;
use crate::wait_until;

/// The program of this name; where it is not here, that is said, and with `CI=true` it fails.
pub(super) fn tool(name: &str) -> Option<PathBuf> {
    unpacked("prometheus", name)
}

/// What a command says that reads this.
pub(super) fn fed(command: &mut Command, input: &str) -> Output {
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// Series and values, but for comments.
pub(super) fn samples(text: &str) -> BTreeMap<String, f64> {
    let mut found = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
        assert!(found.insert(sorted(series), value.parse().unwrap()).is_none(), "twice: {line}");
    }
    found
}

/// The value of the one series whose name and labels, but for the bucket's, are these.
#[track_caller]
pub(super) fn value(text: &str, wanted: &str) -> f64 {
    let wanted = sorted(wanted);
    let of_bucket = |series: &str| {
        let (name, labels) = series.split_once('{').unwrap();
        let labels = labels.trim_end_matches('}').split(',').filter(|label| !label.starts_with("bucket="));
        sorted(&format!("{name}{{{}}}", labels.collect::<Vec<_>>().join(","))) == wanted
    };
    let samples = samples(text).into_iter().filter(|(series, _)| of_bucket(series));
    let found: Vec<f64> = samples.map(|(_, value)| value).collect();
    assert_eq!(found.len(), 1, "{wanted} in {text}");
    found[0]
}

/// A series with its labels in the order of their names, and bounds of buckets in one form.
fn sorted(series: &str) -> String {
    let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
    let mut labels: Vec<String> = labels.trim_end_matches('}').split("\",").map(canonical).collect();
    labels.sort();
    format!("{name}{{{}}}", labels.join(","))
}

/// A label, whose value ends with a quote that may have been cut off.
fn canonical(label: &str) -> String {
    let label = label.trim_end_matches('"');
    if label.is_empty() {
        return String::new();
    }
    match label.strip_prefix("le=\"").and_then(|bound| bound.parse::<f64>().ok()) {
        Some(bound) => format!("le=\"{bound}\""),
        None => format!("{label}\""),
    }
}

/// A server on the loopback address, for as long as it lives.
pub(super) struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    /// Starts it at a free port, and waits until it listens.
    pub(super) fn start(mut command: Command, listen: impl Fn(SocketAddr) -> String) -> Self {
        // It is free when it is asked for; who takes it meanwhile makes the test fail and not lie.
        let address = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
        command.arg(listen(address)).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut server = Self { child: command.spawn().unwrap(), address };
        wait_until("the server listens", || {
            assert!(server.child.try_wait().unwrap().is_none(), "it has ended: {command:?}");
            TcpStream::connect(address).is_ok()
        });
        server
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The body of an answer.
    #[track_caller]
    pub(super) fn get(&self, path: &str) -> String {
        let answer = get(self.address, path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        answer.body
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

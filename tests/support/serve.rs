//! A real `maand serve` on a port of its own.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use serde_json::Value;

use rustix::process::{Pid, Signal, kill_process};

/// A server that ends with the test.
pub(crate) struct Serve {
    pub(crate) child: Child,
    pub(crate) address: SocketAddr,
    /// What it has said when it began to listen.
    pub(crate) told: Value,
}

impl Serve {
    /// Of a bucket.
    #[track_caller]
    pub(crate) fn of(bucket: &Path) -> Self {
        Self::with(bucket, &[])
    }

    /// With more arguments.
    #[track_caller]
    pub(crate) fn with(bucket: &Path, more: &[&str]) -> Self {
        Self::at("127.0.0.1:0", bucket, more)
    }

    /// At this address.
    #[track_caller]
    pub(crate) fn at(address: &str, bucket: &Path, more: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_maand"))
            .args(["serve", "--listen", address, "--output", "json"])
            .args(more)
            .current_dir(bucket)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let told = crate::document(&line);
        let url = told["url"].as_str().unwrap();
        let address = url.trim_start_matches("http://").trim_end_matches('/').parse().unwrap();
        Self { child, address, told }
    }

    /// Its end after a signal.
    pub(crate) fn signal(&mut self, signal: Signal) -> ExitStatus {
        kill_process(Pid::from_raw(self.child.id().cast_signed()).unwrap(), signal).unwrap();
        self.child.wait().unwrap()
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

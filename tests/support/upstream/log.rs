//! The log by which a test sees that two commands ran at once, the places where a command can be held,
//! and the two output streams.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::{Result, text};

/// Standard output.
pub(crate) fn out(line: &str) {
    die_if(writeln!(std::io::stdout().lock(), "{line}"));
}

/// Standard error, where upstream writes almost everything.
pub(crate) fn err(line: &str) {
    die_if(writeln!(std::io::stderr().lock(), "{line}"));
}

/// A Go program is killed by the signal when its output is not read any more: in the middle of
/// whatever it does, and without a word in the log.
fn die_if(written: std::io::Result<()>) {
    if written.is_err() {
        std::process::exit(141);
    }
}

/// The log of all commands in this bucket.
pub(crate) struct Log {
    folder: PathBuf,
    pid: u32,
    since: u64,
}

impl Log {
    /// Notes the start, and who else is running.
    pub(crate) fn start(root: &Path, arguments: &[String]) -> Result<Self> {
        let folder = root.join("stand-in");
        fs::create_dir_all(&folder).map_err(|error| text("stand-in")(&error))?;
        let pid = std::process::id();
        let log = Self { folder, pid, since: process(pid).unwrap_or_default() };
        // What only prints disturbs nothing.
        let prints = matches!(arguments.first().map(String::as_str), None | Some("cat" | "info" | "help"));
        log.write(json!({"event": "start", "args": arguments, "since": log.since, "prints": prints}))?;
        // After our own line is there: of two that start together, at least one sees the other.
        let beside = if prints { Vec::new() } else { log.others()? };
        if !beside.is_empty() {
            log.write(json!({"event": "beside", "others": beside}))?;
        }
        Ok(log)
    }

    /// Notes the end.
    pub(crate) fn end(&self, code: i32) -> Result<()> {
        self.write(json!({"event": "end", "code": code}))
    }

    /// Notes that this phase is reached, and waits there while a test wants it.
    pub(crate) fn phase(&self, name: &str) -> Result<()> {
        self.write(json!({"event": "phase", "phase": name}))?;
        while self.folder.join(format!("hold.{name}")).exists() {
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Notes that a job's hook has run.
    pub(crate) fn hook(&self, job: &str, command: &str) -> Result<()> {
        self.write(json!({"event": "hook", "job": job, "command": command}))
    }

    fn write(&self, mut line: Value) -> Result<()> {
        line["pid"] = self.pid.into();
        let line = format!("{line}\n");
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.folder.join("log"))
            .and_then(|mut file| file.write_all(line.as_bytes()))
            .map_err(|error| text("stand-in/log")(&error))
    }

    /// Commands that have begun, have not noted their end, and are alive.
    fn others(&self) -> Result<Vec<Value>> {
        let all =
            fs::read_to_string(self.folder.join("log")).map_err(|error| text("stand-in/log")(&error))?;
        let mut running: Vec<Value> = Vec::new();
        for line in all.lines() {
            let Ok(line) = serde_json::from_str::<Value>(line) else { continue };
            running.retain(|other| other["pid"] != line["pid"] || line["event"] != "end");
            if line["event"] == "start" && line["pid"] != self.pid && line["prints"] == false {
                running.push(line);
            }
        }
        running.retain(|other| {
            let pid = other["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()).unwrap_or_default();
            process(pid).is_some_and(|since| other["since"] == since)
        });
        Ok(running)
    }
}

/// When a living process was started, in clock ticks after boot.
fn process(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in brackets, may have spaces in it.
    let mut fields = stat.rsplit(')').next()?.split_whitespace();
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

//! Running one command of the upstream program: in a process group of its own, holding the catalog's
//! lock, with an end that comes for certain.
//!
//! Its output goes into files without a name and is read from there, so that it can finish what it does
//! (and is not ended by a closed pipe) when this program is killed. The lock file is its descriptor 3
//! and that of all that it starts: whatever happens to us, the lock lives as long as the command.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::{File, Permissions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::identity::{DEPTH, Program};
use super::watch::{Beside, Watch};
use crate::bucket::Host;
use crate::bucket::lock::Guard;
use crate::catalog::{BrokenCatalog, Call, CatalogError};
use crate::os::{limits, process_group};
use crate::ssh::visible;

/// Between two looks at a command that runs.
const TICK: Duration = Duration::from_millis(20);
/// From SIGTERM to SIGKILL: enough to roll a transaction back.
const GRACE: Duration = Duration::from_secs(5);
/// What is kept of the end of its output, for messages.
const TAIL_LINES: usize = 40;
const TAIL_BYTES: usize = 8 * 1024;
/// A longer line is cut: output without line ends is not kept.
const LINE_BYTES: usize = 4096;
/// So much of standard output is kept, for those who read it.
const STDOUT_KEPT: usize = 256 * 1024;
/// A command that writes more than this is out of its mind, and the disk is not for it alone.
const MOST_OUTPUT: u64 = 512 * 1024 * 1024;

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// By itself.
    Exit(i32),
    /// By a signal that was not ours.
    Signal(i32),
    /// We gave it up.
    Cancelled,
    /// It took too long, and was ended.
    Deadline,
    /// It wrote without end, and was ended.
    Flood,
}

/// A command that has ended, with all that it had started.
#[derive(Clone, Debug)]
pub(super) struct Ended {
    pub(super) how: How,
    /// The last lines of both streams.
    pub(super) tail: VecDeque<String>,
    /// The last lines of each worker, without rsync's and python's, of both streams.
    pub(super) of_workers: BTreeMap<Host, VecDeque<String>>,
    /// The last lines that are of no worker.
    pub(super) own_words: VecDeque<String>,
    /// The first part of standard output.
    pub(super) stdout: String,
    /// It said that jobs have failed: a deploy does so when it has come to its end and committed.
    pub(super) jobs_failed: bool,
    /// A template could not be rendered, as a value that it names is not there.
    pub(super) unrendered: bool,
    /// What else was at work meanwhile.
    pub(super) beside: Beside,
}

/// What the program prints on a line of its own before it lists the jobs that have failed.
const JOBS_FAILED: &str = "deploy failed:";
/// In what it prints of a template that needs a value that is not there.
const NO_VALUE: &str = "error calling get: key not found";

impl Ended {
    pub(super) fn succeeded(&self) -> bool {
        self.how == How::Exit(0)
    }

    /// Whether we ended it, so that what it did is not known.
    pub(super) fn was_cut(&self) -> bool {
        !matches!(self.how, How::Exit(_))
    }

    /// How it ended, in one sentence.
    pub(super) fn describe(&self, what: &str) -> String {
        match &self.how {
            How::Exit(code) => match self.last_line() {
                "" => format!("`maand {what}` of the upstream program ended with {code}"),
                last => format!("`maand {what}` of the upstream program ended with {code}: {last}"),
            },
            How::Signal(signal) => {
                format!("`maand {what}` of the upstream program was ended by signal {signal}")
            }
            How::Cancelled => format!("`maand {what}` of the upstream program was given up and ended"),
            How::Deadline => {
                format!("`maand {what}` of the upstream program did not end in time and was ended")
            }
            How::Flood => format!("`maand {what}` of the upstream program wrote without end and was ended"),
        }
    }

    /// The last lines about one worker, for a report: what its jobs have said, else the program itself.
    pub(super) fn output_of(&self, host: &Host) -> Option<String> {
        let own = self.of_workers.get(host);
        let lines = [own, Some(&self.own_words), Some(&self.tail)].into_iter().flatten();
        let lines = lines.into_iter().find(|lines| !lines.is_empty())?;
        Some(lines.iter().cloned().collect::<Vec<_>>().join("\n"))
    }

    /// The last lines, for a report.
    pub(super) fn output(&self) -> Option<String> {
        (!self.tail.is_empty()).then(|| self.tail.iter().cloned().collect::<Vec<_>>().join("\n"))
    }

    fn last_line(&self) -> &str {
        self.tail.iter().rev().map(|line| line.trim()).find(|line| !line.is_empty()).unwrap_or_default()
    }
}

/// Runs `maand ARGS` of the upstream program in `folder` to its end. Lines go to the call's output, those
/// of one of `hosts` as that host's.
pub(super) fn run(
    program: &Program,
    folder: &Path,
    args: &[String],
    lock: &Guard,
    hosts: &dyn Fn(&Host) -> bool,
    call: &Call,
) -> Result<Ended, CatalogError> {
    let deploys = args.first().is_some_and(|word| word == "deploy");
    let mut watch = Watch::begin(&program.path, folder, u8::from(deploys));
    if call.cancel.is_cancelled() || Instant::now() >= call.until {
        return Err(CatalogError::Cancelled("not begun: cancelled or out of time".to_owned()));
    }
    let broken =
        |source: io::Error| CatalogError::from(BrokenCatalog::Program { path: program.path.clone(), source });
    let mut streams = [Stream::new().map_err(broken)?, Stream::new().map_err(broken)?];
    // The shell puts the lock from standard input, where it gets there without any other child of ours
    // inheriting it, to 3, gives the limit of open files back that we were started with, and becomes the program.
    let soft = limits::inherited_open_files().map_or_else(String::new, |soft| soft.to_string());
    let mut start = || {
        Command::new("/bin/sh")
            .args(["-c", r#"exec 3<&0 </dev/null; [ -z "$0" ] || ulimit -S -n "$0"; exec "$@""#])
            .arg(&soft)
            .arg(&program.path)
            .args(args)
            .current_dir(folder)
            .env(DEPTH, "1")
            .stdin(Stdio::from(lock.as_fd().try_clone_to_owned()?))
            .stdout(Stdio::from(streams[0].writer()?))
            .stderr(Stdio::from(streams[1].writer()?))
            .process_group(0)
            .spawn()
    };
    let mut child =
        limits::when_there_is_room(call.until, &|| call.cancel.is_cancelled(), &mut start).map_err(broken)?;
    let mut heard = Heard::default();
    let mut show = |line: &str| {
        let (host, text) = split(line, hosts);
        (call.output)(host.as_ref(), text);
        heard.take(line, host, text);
    };
    let mut given_up = None;
    while !process_group::has_ended(&child) {
        watch.look(child.id());
        for stream in &mut streams {
            stream.take(&mut show).map_err(broken)?;
        }
        let flood = streams.iter().any(|stream| stream.read > MOST_OUTPUT);
        given_up = match () {
            () if call.cancel.is_cancelled() => Some(How::Cancelled),
            () if Instant::now() >= call.until => Some(How::Deadline),
            () if flood => Some(How::Flood),
            () => None,
        };
        if given_up.is_some() {
            break;
        }
        std::thread::sleep(TICK);
    }
    let beside = watch.end(child.id());
    // Also after its own end: what it left behind in its group must not overlap the next command.
    let status = process_group::end(&mut child, GRACE).map_err(broken)?;
    for stream in &mut streams {
        stream.take(&mut show).map_err(broken)?;
        stream.finish(&mut show);
    }
    let how = given_up.unwrap_or_else(|| match (status.code(), status.signal()) {
        (Some(code), _) => How::Exit(code),
        (None, signal) => How::Signal(signal.unwrap_or(0)),
    });
    let stdout = String::from_utf8_lossy(&streams[0].kept).into_owned();
    let Heard { tail, of_workers, own_words, jobs_failed, unrendered, .. } = heard;
    Ok(Ended { how, tail, of_workers, own_words, stdout, jobs_failed, unrendered, beside })
}

/// What was printed, as far as it is kept.
#[derive(Default)]
struct Heard {
    tail: VecDeque<String>,
    of_workers: BTreeMap<Host, VecDeque<String>>,
    own_words: VecDeque<String>,
    /// Workers whose python is telling where it was when make failed, which make has said better.
    traces: BTreeSet<Host>,
    jobs_failed: bool,
    unrendered: bool,
}

impl Heard {
    fn take(&mut self, line: &str, host: Option<Host>, text: &str) {
        keep(&mut self.tail, line);
        let Some(host) = host else {
            self.jobs_failed |= line.ends_with(JOBS_FAILED);
            self.unrendered |= line.contains(NO_VALUE);
            keep(&mut self.own_words, line);
            return;
        };
        if text.starts_with("Traceback (most recent call last)") {
            self.traces.insert(host);
        } else if self.traces.contains(&host) && !text.starts_with(' ') {
            // Its last line, which says how make ended.
            self.traces.remove(&host);
        } else if !self.traces.contains(&host) && !of_rsync(text) {
            keep(self.of_workers.entry(host).or_default(), text);
        }
    }
}

fn keep(tail: &mut VecDeque<String>, line: &str) {
    tail.push_back(line.to_owned());
    while tail.len() > TAIL_LINES || tail.iter().map(String::len).sum::<usize>() > TAIL_BYTES {
        tail.pop_front();
    }
}

/// What `rsync --verbose` prints where nothing is wrong, but for the names of files.
fn of_rsync(text: &str) -> bool {
    let begins =
        ["building file list", "sending incremental file list", "created directory ", "total size is "];
    let text = text.trim();
    text.is_empty()
        || begins.iter().any(|begin| text.starts_with(begin))
        || (text.starts_with("sent ") && text.ends_with(" bytes/sec"))
        || text.starts_with("deleting jobs/")
        || text.starts_with("cannot delete non-empty directory: jobs/")
        || (text.starts_with("jobs/") && !text.contains(' '))
        || matches!(
            text,
            "worker.json" | "jobs.json" | "./" | "bin/" | "bin/runner.py" | "bin/worker.py" | "jobs/"
        )
}

impl Program {
    /// What it answers to `--version`, within a moment; `None`: nothing useful (no build until June 2026
    /// knows the flag).
    pub fn version(&self) -> Option<String> {
        let folder = tempfile::Builder::new().permissions(Permissions::from_mode(0o700)).tempdir().ok()?;
        let mut stdout = Stream::new().ok()?;
        let mut child = Command::new(&self.path)
            .arg("--version")
            .current_dir(folder.path())
            .env(DEPTH, "1")
            .stdin(Stdio::null())
            .stdout(Stdio::from(stdout.writer().ok()?))
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .ok()?;
        let until = Instant::now() + GRACE;
        while !process_group::has_ended(&child) && Instant::now() < until {
            std::thread::sleep(TICK);
        }
        let status = process_group::end(&mut child, GRACE).ok()?;
        let mut first = None;
        stdout
            .take(&mut |line| {
                first.get_or_insert_with(|| line.trim().to_owned());
            })
            .ok()?;
        first.filter(|line| status.success() && !line.is_empty()).map(|line| visible(line.as_bytes()))
    }
}

/// One stream of a command: a file without a name that it appends to, and how far we have read.
struct Stream {
    file: File,
    read: u64,
    line: Vec<u8>,
    kept: Vec<u8>,
}

impl Stream {
    fn new() -> io::Result<Self> {
        Ok(Self { file: tempfile::tempfile()?, read: 0, line: Vec::new(), kept: Vec::new() })
    }

    fn writer(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// Hands on all whole lines that have come.
    fn take(&mut self, each: &mut dyn FnMut(&str)) -> io::Result<()> {
        let mut buffer = [0; 16 * 1024];
        loop {
            let read = std::os::unix::fs::FileExt::read_at(&self.file, &mut buffer, self.read)?;
            if read == 0 {
                return Ok(());
            }
            self.read += read as u64;
            let room = STDOUT_KEPT.saturating_sub(self.kept.len());
            self.kept.extend_from_slice(&buffer[..read.min(room)]);
            for piece in buffer[..read].split_inclusive(|byte| *byte == b'\n') {
                let room = LINE_BYTES.saturating_sub(self.line.len());
                self.line.extend_from_slice(&piece[..piece.len().min(room)]);
                if piece.ends_with(b"\n") {
                    self.finish(each);
                }
            }
        }
    }

    /// Hands on what is left of a line.
    fn finish(&mut self, each: &mut dyn FnMut(&str)) {
        if !self.line.is_empty() {
            each(String::from_utf8_lossy(&self.line).trim_end_matches(['\n', '\r']));
            self.line.clear();
        }
    }
}

/// The host that a line belongs to, and the line: the upstream program writes `host | line` (with the
/// date before it, and `job@` before the host, and `!` for standard error, in some builds).
fn split<'l>(line: &'l str, hosts: &dyn Fn(&Host) -> bool) -> (Option<Host>, &'l str) {
    for bar in [" | ", " ! "] {
        let Some((before, text)) = line.split_once(bar) else { continue };
        let word = before.rsplit([' ', '@']).next().unwrap_or_default();
        if let Some(host) = Host::parse(word).filter(|host| hosts(host)) {
            return (Some(host), text);
        }
    }
    (None, line)
}

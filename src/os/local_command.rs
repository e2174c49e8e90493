//! Running a command of this machine to its end: its output as it comes, an end that comes for certain, and
//! nothing of it that outlives this process, as far as there is a guard ([`super::command_guard`]).

use std::ffi::OsString;
use std::io::{self, ErrorKind, Read};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, getpid};

use super::command_guard::{COMMAND_GUARD, GRACE, Said, is_guard, send_environment};
use super::descendants::{Listed, descendants_of, kill_all, marked};
use super::{limits, process_group};

/// Between two looks at a command that prints nothing, and whether it was given up.
const TICK: Duration = Duration::from_millis(20);

/// As much as a pipe holds: fewer, larger reads.
const PIPE: usize = 64 * 1024;

/// Reads of one stream before the other has its turn.
const READS: usize = 16;

/// After its end a command's output is read for as long as there is some, but no longer than this: what it has left
/// behind may hold the pipe, and write to it for ever.
const DRAIN: Duration = Duration::from_secs(1);

/// A guard that a signal has ended before it could begin is started again, so often.
const STARTS: u32 = 5;

/// By this variable all processes of a run's commands are found again.
const MARK: &str = "MAAND_COMMAND_OF";

/// What is run.
pub struct LocalCommand<'a> {
    /// Our own program, which becomes the guard; `None`: the command outlives this process when that is killed.
    pub guard: Option<&'a Path>,
    /// Names, for a later process, whom the command belongs to: see [`end_marked`].
    pub mark: &'a str,
    /// Looked for on PATH.
    pub program: &'a str,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Where it starts.
    pub folder: &'a Path,
    /// Added to the environment of this process.
    pub environment: &'a [(String, String)],
}

/// Which stream of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// How a command has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandEnd {
    /// By itself, with this exit code.
    Exit(i32),
    /// By this signal, which was not ours.
    Signal(i32),
    /// By us: its time was up, or it was given up. These of its processes are still there: another user's, or one
    /// that does not die.
    Cut(Vec<String>),
    /// Something has killed its guard: what was left of it is ended, and what it did is not known.
    Lost,
}

impl LocalCommand<'_> {
    /// Runs it until it ends, until `until`, or until it is given up, whichever comes first. A machine without a
    /// process or descriptor to spare is waited for.
    ///
    /// # Errors
    /// It was not started.
    pub fn run(
        &self,
        until: Instant,
        given_up: &dyn Fn() -> bool,
        sink: &mut dyn FnMut(OutputStream, &[u8]),
    ) -> io::Result<CommandEnd> {
        for _ in 0..=STARTS {
            // The guard may have been started, and find no room for the command itself.
            let ended = limits::when_there_is_room(until, given_up, || {
                self.start()?.follow(until, given_up, &mut *sink)
            })?;
            if ended == Some(CommandEnd::Lost) {
                let _ = kill_all(|| self.left_behind(), Some(GRACE));
            }
            if let Some(end) = ended {
                return Ok(end);
            }
        }
        Err(io::Error::other("its guard ends before it has begun"))
    }

    fn left_behind(&self) -> Vec<Listed> {
        marked(MARK, |value| value == self.mark)
    }

    fn start(&self) -> io::Result<Running> {
        let (mut command, guard) = match self.guard {
            Some(program) => {
                let (ours, theirs) = UnixStream::pair()?;
                let mut command = Command::new(program);
                let soft =
                    limits::inherited_open_files().map_or_else(|| "-".to_owned(), |soft| soft.to_string());
                command.arg0("maand").arg(COMMAND_GUARD).arg(soft).arg(self.program);
                command.stdin(Stdio::from(OwnedFd::from(theirs)));
                (command, Some(ours))
            }
            None => {
                let mut command = Command::new(self.program);
                command.stdin(Stdio::null()).process_group(0);
                (command, None)
            }
        };
        if guard.is_none() {
            command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        }
        let mut child = command
            .args(&self.arguments)
            .current_dir(self.folder)
            .env(MARK, self.mark)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        // With it goes our copy of the guard's end of the socket.
        drop(command);
        if let Some(guard) = &guard {
            // A guard that is gone by now is noticed when it is listened to.
            let _ = send_environment(guard, self.environment);
            guard.set_nonblocking(true)?;
        }
        let streams = [child.stdout.take().map(OwnedFd::from), child.stderr.take().map(OwnedFd::from)];
        // Ours alone, as the other ends are the command's.
        for stream in streams.iter().flatten() {
            rustix::io::ioctl_fionbio(stream, true)?;
        }
        let streams = streams.map(|stream| stream.map(std::fs::File::from));
        Ok(Running { child, guard, heard: Vec::new(), begun: false, streams, buffer: vec![0; PIPE] })
    }
}

struct Running {
    /// The guard, or without one the command.
    child: Child,
    /// The guard's socket. It stays open when the command has left something behind: see [`Running::leave`].
    guard: Option<UnixStream>,
    heard: Vec<u8>,
    begun: bool,
    /// Standard output and error, while they are open.
    streams: [Option<std::fs::File>; 2],
    buffer: Vec<u8>,
}

/// What a look at a command's end has shown.
enum Heard {
    Nothing,
    End(CommandEnd),
    /// The guard is gone without a word of it.
    Gone,
}

impl Running {
    /// `None`: a signal has ended the guard before it could begin.
    fn follow(
        mut self,
        until: Instant,
        given_up: &dyn Fn() -> bool,
        sink: &mut dyn FnMut(OutputStream, &[u8]),
    ) -> io::Result<Option<CommandEnd>> {
        let mut ended: Option<(CommandEnd, Instant)> = None;
        loop {
            let came = self.read(sink);
            if let Some((end, at)) = &ended {
                // What was in the pipes at its end has been read when no more comes.
                if came && at.elapsed() < DRAIN {
                    continue;
                }
                let end = end.clone();
                self.leave();
                return Ok(Some(end));
            }
            match self.hear()? {
                Heard::Nothing if Instant::now() >= until || given_up() => return self.cut(sink).map(Some),
                Heard::Nothing if came => {}
                Heard::Nothing => self.wait(),
                Heard::End(end) => ended = Some((end, Instant::now())),
                Heard::Gone => {
                    self.child.wait()?;
                    return Ok(self.begun.then_some(CommandEnd::Lost));
                }
            }
        }
    }

    /// Hands on what there is, a bounded part of it; whether there was something.
    fn read(&mut self, sink: &mut dyn FnMut(OutputStream, &[u8])) -> bool {
        let mut came = false;
        for (at, which) in [OutputStream::Stdout, OutputStream::Stderr].into_iter().enumerate() {
            for _ in 0..READS {
                let Some(stream) = &mut self.streams[at] else { break };
                match stream.read(&mut self.buffer) {
                    Ok(0) => self.streams[at] = None,
                    Ok(read) => {
                        came = true;
                        sink(which, &self.buffer[..read]);
                    }
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(_) => self.streams[at] = None,
                }
            }
        }
        came
    }

    /// Whether the command has ended.
    fn hear(&mut self) -> io::Result<Heard> {
        let Some(guard) = &mut self.guard else {
            if !process_group::has_ended(&self.child) {
                return Ok(Heard::Nothing);
            }
            let status = process_group::end(&mut self.child, Duration::ZERO)?;
            return Ok(Heard::End(match status.code() {
                Some(code) => CommandEnd::Exit(code),
                None => CommandEnd::Signal(status.signal().unwrap_or_default()),
            }));
        };
        let mut bytes = [0; 512];
        let gone = loop {
            match guard.read(&mut bytes) {
                Ok(0) => break true,
                Ok(read) => self.heard.extend_from_slice(&bytes[..read]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => break error.kind() != ErrorKind::WouldBlock,
            }
        };
        while let Some(length) = self.heard.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.heard.drain(..=length).collect();
            match Said::read(String::from_utf8_lossy(&line).trim_end()) {
                Some(Said::Begun) => self.begun = true,
                Some(Said::Exit(code)) => return Ok(Heard::End(CommandEnd::Exit(code))),
                Some(Said::Signal(signal)) => return Ok(Heard::End(CommandEnd::Signal(signal))),
                Some(Said::NotStarted(code, why)) => {
                    self.child.wait()?;
                    return Err(if code == 0 {
                        io::Error::other(why)
                    } else {
                        io::Error::from_raw_os_error(code)
                    });
                }
                None => {}
            }
        }
        Ok(if gone { Heard::Gone } else { Heard::Nothing })
    }

    /// Until something may have changed.
    fn wait(&self) {
        let mut all: Vec<PollFd<'_>> =
            self.streams.iter().flatten().map(|stream| PollFd::new(stream, PollFlags::IN)).collect();
        all.extend(self.guard.iter().map(|guard| PollFd::new(guard, PollFlags::IN)));
        let tick = Timespec { tv_sec: 0, tv_nsec: i64::from(TICK.subsec_nanos()) };
        let _ = poll(&mut all, Some(&tick));
    }

    /// Ends it, and all below it.
    fn cut(mut self, sink: &mut dyn FnMut(OutputStream, &[u8])) -> io::Result<CommandEnd> {
        let Some(guard) = &self.guard else {
            process_group::end(&mut self.child, GRACE)?;
            self.read(sink);
            return Ok(CommandEnd::Cut(Vec::new()));
        };
        guard.shutdown(Shutdown::Write)?;
        let until = Instant::now() + GRACE + DRAIN;
        loop {
            self.read(sink);
            match self.hear()? {
                Heard::Gone => {
                    self.child.wait()?;
                    self.read(sink);
                    return Ok(CommandEnd::Cut(Vec::new()));
                }
                _ if Instant::now() >= until => {
                    let left = descendants_of(Pid::from_child(&self.child));
                    return Ok(CommandEnd::Cut(left.into_iter().map(Listed::describe).collect()));
                }
                _ => self.wait(),
            }
        }
    }

    /// The command has ended. What it has put into a session of its own may continue; its guard's socket stays open
    /// until this process ends, and ends it then.
    fn leave(mut self) {
        let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain_mut(|(guard, _)| !matches!(guard.try_wait(), Ok(Some(_)) | Err(_)));
        let Some(socket) = self.guard.take() else { return };
        // With nothing below it the guard ends at once: what is asked first mostly finds it so.
        let _ = poll(
            &mut [PollFd::new(&socket, PollFlags::IN)],
            Some(&Timespec { tv_sec: 0, tv_nsec: 50_000_000 }),
        );
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            kept.push((self.child, socket));
        }
    }
}

/// Guards of commands that have left something behind.
static KEPT: Mutex<Vec<(Child, UnixStream)>> = Mutex::new(Vec::new());

/// Ends the commands of an earlier process, by what [`LocalCommand::mark`] was: it may be stopped, or its guard may
/// have been killed with it. Answers with what is still there after a while: another user's, or one that does not die.
pub fn end_marked(matches: impl Fn(&str) -> bool) -> Vec<String> {
    let ours = || descendants_of(getpid());
    let found = || -> Vec<Listed> {
        let ours = ours();
        let is_ours = |found: &Listed| ours.iter().any(|own| own.pid == found.pid);
        marked(MARK, &matches).into_iter().filter(|found| !is_ours(found)).collect()
    };
    let first = found();
    if first.is_empty() {
        return Vec::new();
    }
    // A guard ends what is below it, also what has lost the mark; whose guard is gone is ended here.
    first.iter().for_each(|process| process.signal(Signal::TERM));
    let until = Instant::now() + GRACE + DRAIN;
    while !found().is_empty() && Instant::now() < until {
        std::thread::sleep(TICK);
    }
    let _ = kill_all(|| found().into_iter().filter(|process| !is_guard(process.pid)).collect(), Some(DRAIN));
    let below = |process: Listed| {
        if is_guard(process.pid) { descendants_of(process.pid) } else { vec![process] }
    };
    let mut left: Vec<String> = found().into_iter().flat_map(below).map(Listed::describe).collect();
    left.sort();
    left.dedup();
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(text: &str, within: Duration) -> (CommandEnd, String) {
        let command = LocalCommand {
            guard: None,
            mark: "test",
            program: "bash",
            arguments: vec!["-c".into(), text.into()],
            folder: Path::new("/"),
            environment: &[("GREETING".into(), "hello".into())],
        };
        let mut output = String::new();
        let mut sink = |_, bytes: &[u8]| output.push_str(&String::from_utf8_lossy(bytes));
        let end = command.run(Instant::now() + within, &|| false, &mut sink).unwrap();
        (end, output)
    }

    #[test]
    fn output_is_whole_and_ends_with_the_command() {
        let text = "seq 100000; echo $GREETING >&2; exit 3";
        let (end, output) = run(text, Duration::from_secs(60));
        assert_eq!(end, CommandEnd::Exit(3));
        assert_eq!(output.lines().count(), 100_001);
        assert!(output.contains("hello\n"), "{}", output.len());
    }

    #[test]
    fn what_holds_the_pipes_and_prints_without_end_holds_nothing() {
        // Not in the group, so that it outlives the command; it ends with its pipe.
        let text = "setsid sh -c 'while echo more; do :; done' & sleep 0.2; exit 0";
        let began = Instant::now();
        let (end, _) = run(text, Duration::from_secs(600));
        assert_eq!(end, CommandEnd::Exit(0));
        assert!(began.elapsed() < Duration::from_secs(300), "{:?}", began.elapsed());
    }

    #[test]
    fn what_is_not_there_is_not_started() {
        let command = LocalCommand {
            guard: None,
            mark: "test",
            program: "/nowhere/program",
            arguments: Vec::new(),
            folder: Path::new("/"),
            environment: &[],
        };
        let until = Instant::now() + Duration::from_secs(60);
        let error = command.run(until, &|| false, &mut |_, _| {}).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
}

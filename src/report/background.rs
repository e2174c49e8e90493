//! Writing to a terminal or a pipe that may take nothing for hours (Ctrl-S, a pager, a terminal multiplexer that is
//! scrolled back): a thread of its own waits for it, and nobody else does.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// At most so many bytes wait for a reader: the events of some thousand workers. Then the oldest lines go.
const MOST: usize = 8 * 1024 * 1024;

/// A [`Write`] that never waits. What it was given is written in order, by a thread of its own; a reader that takes
/// nothing loses the oldest lines, and is told how many. After the first error nothing more is written.
#[derive(Clone, Debug)]
pub struct BackgroundWriter {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    /// What is written in place of lines that are left out.
    left_out: fn(usize) -> String,
}

#[derive(Debug, Default)]
struct State {
    /// Whole lines; the last one may still grow.
    waiting: VecDeque<Vec<u8>>,
    bytes: usize,
    left_out: usize,
    is_writing: bool,
    is_broken: bool,
}

/// Standard output and standard error, for everybody the same ones.
static STDOUT: OnceLock<BackgroundWriter> = OnceLock::new();
static STDERR: OnceLock<BackgroundWriter> = OnceLock::new();

/// Waits until both have been written: before somebody else writes to the same place, and before the process ends. A
/// reader that takes nothing is waited for, as every program does that ends: there is nothing left to hold up.
pub fn drain() {
    STDOUT.get().into_iter().chain(STDERR.get()).for_each(|writer| writer.drain(None));
}

/// As [`drain`], for at most `within` each.
pub fn drain_within(within: Duration) {
    let until = Instant::now() + within;
    STDOUT.get().into_iter().chain(STDERR.get()).for_each(|writer| writer.drain(Some(until)));
}

impl BackgroundWriter {
    /// On standard output.
    pub fn stdout() -> Self {
        STDOUT.get_or_init(|| Self::new(io::stdout(), say_left_out)).clone()
    }

    /// As [`BackgroundWriter::stdout`], for a reader that takes nothing but JSON: its `seq` tells what is missing.
    pub fn json_stdout() -> Self {
        STDOUT.get_or_init(|| Self::new(io::stdout(), |_| String::new())).clone()
    }

    /// On standard error.
    pub fn stderr() -> Self {
        STDERR.get_or_init(|| Self::new(io::stderr(), say_left_out)).clone()
    }

    fn new(mut to: impl Write + Send + 'static, left_out: fn(usize) -> String) -> Self {
        let shared = Arc::new(Shared { state: Mutex::default(), changed: Condvar::new(), left_out });
        let of_thread = Arc::clone(&shared);
        let serve = move || {
            loop {
                let text = of_thread.next();
                let written = to.write_all(&text).and_then(|()| to.flush());
                of_thread.written(written.is_ok());
            }
        };
        let thread = std::thread::Builder::new().name("writer".into()).stack_size(256 * 1024);
        if thread.spawn(serve).is_err() {
            // Nothing can be shown, which is no reason to stop what is at work.
            shared.state().is_broken = true;
        }
        Self { shared }
    }

    /// Whether all that it was given has been written, or never will be.
    pub fn is_idle(&self) -> bool {
        self.shared.state().is_idle()
    }

    /// So many bytes wait for the reader.
    pub fn waiting(&self) -> usize {
        self.shared.state().bytes
    }

    fn drain(&self, until: Option<Instant>) {
        let mut state = self.shared.state();
        while !state.is_idle() {
            let left = until
                .map_or(Duration::from_secs(3600), |until| until.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return;
            }
            state = self.shared.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Write for BackgroundWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.shared.state();
        if state.is_broken {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        state.add(bytes);
        self.shared.changed.notify_all();
        Ok(bytes.len())
    }

    /// It is on its way.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is to be written next; waits for it.
    fn next(&self) -> Vec<u8> {
        let waited = self.changed.wait_while(self.state(), |state| state.waiting.is_empty());
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        state.is_writing = true;
        state.bytes = 0;
        let mut text = match std::mem::take(&mut state.left_out) {
            0 => Vec::new(),
            lines => (self.left_out)(lines).into_bytes(),
        };
        std::mem::take(&mut state.waiting).iter().for_each(|line| text.extend_from_slice(line));
        text
    }

    fn written(&self, is_ok: bool) {
        let mut state = self.state();
        state.is_writing = false;
        if !is_ok {
            *state = State { is_broken: true, ..State::default() };
        }
        self.changed.notify_all();
    }
}

impl State {
    fn is_idle(&self) -> bool {
        self.is_broken || (self.waiting.is_empty() && !self.is_writing)
    }

    fn add(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len();
        match self.waiting.back_mut() {
            Some(last) if !last.ends_with(b"\n") => last.extend_from_slice(bytes),
            _ => self.waiting.push_back(bytes.to_vec()),
        }
        while self.bytes > MOST && self.waiting.len() > 1 {
            let gone = self.waiting.pop_front().unwrap_or_default();
            self.bytes -= gone.len();
            self.left_out += gone.iter().filter(|byte| **byte == b'\n').count();
        }
    }
}

fn say_left_out(lines: usize) -> String {
    format!("({lines} lines are left out: they were not taken in time)\n")
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// Takes what it is given when it is let.
    struct Reader {
        let_it: Receiver<io::Result<()>>,
        taken: Sender<String>,
    }

    impl Write for Reader {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.let_it.recv().unwrap_or(Ok(()))?;
            let _ = self.taken.send(String::from_utf8_lossy(bytes).into_owned());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn writer() -> (BackgroundWriter, Sender<io::Result<()>>, Receiver<String>) {
        let ((lets, let_it), (taken, takes)) = (channel(), channel());
        (BackgroundWriter::new(Reader { let_it, taken }, say_left_out), lets, takes)
    }

    #[test]
    fn a_reader_that_takes_nothing_holds_nobody_up_and_gets_all_of_it_later() {
        let (mut writer, lets, takes) = writer();
        writer.write_all(b"one\n").unwrap();
        for line in 0..1000 {
            writeln!(writer, "line {line}").unwrap();
        }
        assert!(!writer.is_idle());
        writer.drain(Some(Instant::now()));
        drop(lets);
        writer.drain(None);
        let all: String = takes.try_iter().collect();
        assert!(all.starts_with("one\nline 0\n") && all.ends_with("line 999\n"), "{all}");
        assert!(writer.is_idle() && writer.waiting() == 0);
    }

    #[test]
    fn what_waits_is_bounded_and_what_is_left_out_is_said() {
        let (mut writer, lets, takes) = writer();
        let line = "x".repeat(1023) + "\n";
        // The first is taken out of the queue at once; then a bit more than there is room for.
        writer.write_all(b"first\n").unwrap();
        while writer.waiting() > 0 {
            std::thread::yield_now();
        }
        for _ in 0..MOST / 1024 + 7 {
            writer.write_all(line.as_bytes()).unwrap();
        }
        writer.write_all(b"last\n").unwrap();
        assert!(writer.waiting() <= MOST);
        drop(lets);
        writer.drain(None);
        let all: String = takes.try_iter().collect();
        assert!(
            all.starts_with("first\n(8 lines are left out: they were not taken in time)\nxxx"),
            "{}",
            &all[..99]
        );
        assert!(all.ends_with("x\nlast\n"));
    }

    #[test]
    fn a_reader_that_is_gone_is_not_written_to_again() {
        let (mut writer, lets, _takes) = writer();
        writer.write_all(b"one\n").unwrap();
        lets.send(Err(io::ErrorKind::BrokenPipe.into())).unwrap();
        writer.drain(None);
        assert!(writer.write_all(b"two\n").is_err());
    }
}

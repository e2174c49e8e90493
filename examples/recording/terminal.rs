//! A shell at a terminal of its own (`script` of util-linux), and what it writes when.

use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::Result;

/// What readers have beside the text of a page, in characters.
pub(crate) const COLUMNS: u16 = 92;
pub(crate) const LINES: u16 = 30;

/// No wait of the scene is longer.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two keys of somebody who types well.
const KEYSTROKE: Duration = Duration::from_millis(45);

/// What was seen at a terminal.
pub(crate) struct Recording {
    /// What was written, and when since the start.
    pub(crate) chunks: Vec<(Duration, Vec<u8>)>,
    /// What a viewer needs besides.
    pub(crate) marks: Vec<(Duration, Mark)>,
}

/// Something at a moment of a recording.
pub(crate) enum Mark {
    /// There is something to read, for so many seconds.
    Reads(f64),
    /// A key that prints nothing.
    Key(&'static str),
}

/// What was printed, and when since the beginning; one thread reads, the other looks.
type Chunks = Arc<Mutex<Vec<(Duration, Vec<u8>)>>>;

pub(crate) struct Terminal {
    script: Child,
    keyboard: Option<ChildStdin>,
    begin: Instant,
    chunks: Chunks,
    marks: Vec<(Duration, Mark)>,
}

/// An empty terminal.
pub(crate) fn screen() -> Result<vt100::Parser> {
    let size = |n| NonZeroU16::new(n).ok_or("a terminal has a size");
    Ok(vt100::Parser::new(size(LINES)?, size(COLUMNS)?, 0))
}

impl Terminal {
    /// A shell in this folder that finds programs in `path` first, on a machine called `laptop`.
    pub(crate) fn start(folder: &Path, path: &Path) -> Result<Self> {
        let shell = format!("stty rows {LINES} cols {COLUMNS}; PS1='$ ' exec bash --norc --noprofile");
        let others = std::env::var("PATH").unwrap_or_default();
        let mut script = Command::new("unshare")
            .args(["--map-root-user", "--uts", "sh", "-c"])
            .args(["hostname laptop && exec script -q -e -c \"$0\" /dev/null", &shell])
            .current_dir(folder)
            .env_clear()
            .env("PATH", format!("{}:{others}", path.display()))
            .env("HOME", folder)
            .env("SHELL", "/bin/bash")
            .env("TERM", "xterm-256color")
            .env("LANG", "C.UTF-8")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let keyboard = script.stdin.take();
        let mut stdout = script.stdout.take().ok_or("no output")?;
        let begin = Instant::now();
        let chunks = Arc::<Mutex<Vec<_>>>::default();
        let written = Arc::clone(&chunks);
        std::thread::spawn(move || {
            let mut buffer = [0; 65536];
            while let Ok(n @ 1..) = stdout.read(&mut buffer) {
                let mut written = written.lock().unwrap_or_else(PoisonError::into_inner);
                written.push((begin.elapsed(), buffer[..n].to_vec()));
            }
        });
        Ok(Self { script, keyboard, begin, chunks, marks: Vec::new() })
    }

    fn chunks(&self) -> Vec<(Duration, Vec<u8>)> {
        self.chunks.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Until the screen shows this.
    pub(crate) fn wait_for(&self, text: &str) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        loop {
            let mut screen = screen()?;
            self.chunks().iter().for_each(|(_, bytes)| screen.process(bytes));
            let shown: Vec<_> =
                screen.screen().contents().lines().map(|line| line.trim_end().to_owned()).collect();
            if shown.join("\n").contains(text.trim_end()) {
                return Ok(());
            }
            if Instant::now() > end {
                return Err(format!("timed out waiting for `{text}`:\n{}", shown.join("\n")).into());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn types(&mut self, keys: &str) -> Result<()> {
        for key in keys.bytes() {
            std::thread::sleep(KEYSTROKE);
            self.send(&[key])?;
        }
        Ok(())
    }

    /// A key that prints nothing, which a viewer is told of.
    pub(crate) fn presses(&mut self, name: &'static str, key: &[u8]) -> Result<()> {
        self.marks.push((self.begin.elapsed(), Mark::Key(name)));
        self.send(key)
    }

    fn send(&mut self, keys: &[u8]) -> Result<()> {
        let keyboard = self.keyboard.as_mut().ok_or("it has ended")?;
        keyboard.write_all(keys)?;
        Ok(keyboard.flush()?)
    }

    /// A viewer has so many seconds to read.
    pub(crate) fn reads(&mut self, seconds: f64) {
        std::thread::sleep(Duration::from_millis(200));
        self.marks.push((self.begin.elapsed(), Mark::Reads(seconds)));
    }

    /// Closes the terminal.
    pub(crate) fn end(mut self) -> Result<Recording> {
        let chunks = self.chunks();
        self.keyboard = None;
        self.script.wait()?;
        Ok(Recording { chunks, marks: self.marks })
    }
}

//! The keyboard of the terminal that a run is shown on: keys without Enter and without echo, as long as the process is
//! in the foreground there. Signals of keys (Ctrl-C, Ctrl-Z) stay signals.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::stdio::{stdin, stdout};
use rustix::termios::{LocalModes, OptionalActions, Termios, isatty, tcgetattr, tcgetpgrp, tcsetattr};

/// Whether the terminal is still ours is asked this often.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// Where the run stands.
    Status,
    /// Start no further worker, or continue.
    Pause,
    /// Stop, as the first Ctrl-C does.
    Quit,
    /// Which keys there are.
    Help,
}

impl Key {
    fn of(byte: u8) -> Option<Self> {
        Some(match byte {
            b's' | b'\n' | b'\r' => Self::Status,
            b'p' => Self::Pause,
            b'q' => Self::Quit,
            b'h' | b'?' => Self::Help,
            _ => return None,
        })
    }
}

/// The modes of the terminal, and whether they are as this process wants them.
#[derive(Debug, Default)]
pub(super) struct Modes {
    /// As they were before.
    saved: Option<Termios>,
}

impl Modes {
    /// Whether this process is in the foreground of the terminal that it writes to: only then may it change the
    /// terminal, and only then are the keys meant for it.
    pub(super) fn is_foreground() -> bool {
        tcgetpgrp(stdout()).is_ok_and(|group| group == rustix::process::getpgrp())
    }

    /// No echo, and keys come one by one. A terminal that does not want to changes nothing: keys need Enter then.
    pub(super) fn silence(&mut self) {
        if self.saved.is_some() || !Self::is_foreground() {
            return;
        }
        let Ok(before) = tcgetattr(stdout()) else { return };
        let mut silent = before.clone();
        silent.local_modes -= LocalModes::ECHO | LocalModes::ECHONL | LocalModes::ICANON;
        if tcsetattr(stdout(), OptionalActions::Now, &silent).is_ok() {
            self.saved = Some(before);
        }
    }

    /// As before.
    pub(super) fn restore(&mut self) {
        if let Some(before) = self.saved.take()
            && Self::is_foreground()
        {
            // Nobody is left to be told that it failed.
            let _ = tcsetattr(stdout(), OptionalActions::Now, &before);
        }
    }

    /// Another program has had the terminal meanwhile, and may have left it otherwise.
    pub(super) fn forget(&mut self) {
        self.saved = None;
    }
}

/// Hears keys until it is dropped.
#[derive(Debug)]
pub(super) struct Keyboard {
    closed: Arc<AtomicBool>,
}

impl Keyboard {
    /// Sends each key that means something; `None`: standard input is no terminal.
    pub(super) fn listen(modes: &Arc<Mutex<Modes>>, keys: Sender<Key>) -> Option<Self> {
        if !isatty(stdin()) {
            return None;
        }
        let closed = Arc::new(AtomicBool::new(false));
        let (until, modes) = (Arc::clone(&closed), Arc::clone(modes));
        let hear = move || {
            while !until.load(Ordering::Relaxed) {
                for key in pressed(&modes) {
                    if keys.send(key).is_err() {
                        return;
                    }
                }
            }
        };
        std::thread::Builder::new().name("keyboard".into()).spawn(hear).ok()?;
        Some(Self { closed })
    }
}

impl Drop for Keyboard {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::Relaxed);
    }
}

/// The keys that were pressed, after a short wait for one.
fn pressed(modes: &Mutex<Modes>) -> Vec<Key> {
    let input = stdin();
    let mut ready = [PollFd::new(&input, PollFlags::IN)];
    let patience = Timespec::try_from(LOOK_EVERY).ok();
    let is_ready = poll(&mut ready, patience.as_ref()).is_ok_and(|n| n > 0);
    // Held while reading: whoever gives the terminal back waits until nothing is read from it any more.
    let modes = modes.lock().unwrap_or_else(PoisonError::into_inner);
    // In the background reading would stop the process; the shell reads there.
    if !is_ready || modes.saved.is_none() || !Modes::is_foreground() {
        if is_ready {
            drop(modes);
            std::thread::sleep(LOOK_EVERY);
        }
        return Vec::new();
    }
    let mut bytes = [0; 64];
    match rustix::io::read(input, &mut bytes) {
        // The end of it: a terminal that has closed is a signal as well.
        Ok(0) | Err(_) => {
            drop(modes);
            std::thread::sleep(LOOK_EVERY);
            Vec::new()
        }
        // A key with a name of several characters, such as an arrow.
        Ok(_) if bytes[0] == b'\x1b' => Vec::new(),
        Ok(n) => bytes[..n].iter().filter_map(|byte| Key::of(*byte)).collect(),
    }
}

//! Signals as an iterator, or as calls on a thread of their own.

use std::ffi::c_int;
use std::io;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP};

use super::limits;

/// A signal that is listened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGINT: Ctrl-C.
    Interrupt,
    /// SIGQUIT: Ctrl-\.
    Quit,
    /// SIGTERM: a polite `kill`.
    Terminate,
    /// SIGHUP: the terminal has closed.
    Hangup,
    /// SIGCHLD: a child has ended, or was stopped.
    Child,
    /// SIGTSTP: Ctrl-Z.
    Suspend,
}

/// A machine that has no thread to serve has one soon, or says that it has none.
const ROOM_WITHIN: Duration = Duration::from_secs(10);

const NUMBERS: [(Signal, c_int); 6] = [
    (Signal::Interrupt, SIGINT),
    (Signal::Quit, SIGQUIT),
    (Signal::Terminate, SIGTERM),
    (Signal::Hangup, SIGHUP),
    (Signal::Child, SIGCHLD),
    (Signal::Suspend, SIGTSTP),
];

impl Signal {
    /// What asks a program in the foreground to end.
    pub const ENDING: [Self; 3] = [Self::Interrupt, Self::Terminate, Self::Hangup];

    /// As in signal(7): `SIGINT`.
    pub fn name(self) -> &'static str {
        signal_hook::low_level::signal_name(self.number()).unwrap_or("a signal")
    }

    fn number(self) -> c_int {
        // The table has them all, in this order.
        NUMBERS[self as usize].1
    }
}

static LEFT_TO_PARENT: AtomicBool = AtomicBool::new(false);

/// From now on SIGINT and SIGHUP do nothing here: our parent takes the terminal's signals, which reach both of
/// us, and hands on what is meant for us as SIGTERM. Else one Ctrl-C would count twice.
pub fn leave_interrupts_to_parent() {
    LEFT_TO_PARENT.store(true, Ordering::Relaxed);
}

/// Signals in the order of their arrival; two of one kind in quick succession may be one. It never ends.
#[derive(Debug)]
pub struct Signals(signal_hook::iterator::Signals);

impl Signals {
    /// From now on these signals do not end the process by themselves any more, also when this is gone.
    ///
    /// # Errors
    /// The system refuses to tell us.
    pub fn of(signals: &[Signal]) -> io::Result<Self> {
        // Under nohup(1) the end of the terminal is not to be heard, and where Ctrl-Z does nothing it stays so.
        let kept = |signal: Signal| matches!(signal, Signal::Hangup | Signal::Suspend);
        let heard = signals.iter().filter(|signal| !kept(**signal) || !is_ignored(signal.number()));
        signal_hook::iterator::Signals::new(heard.map(|signal| signal.number())).map(Self)
    }
}

impl Iterator for Signals {
    type Item = Signal;

    fn next(&mut self) -> Option<Signal> {
        self.0.forever().find_map(|number| {
            let (signal, _) = NUMBERS.into_iter().find(|(_, known)| *known == number)?;
            let of_terminal = matches!(signal, Signal::Interrupt | Signal::Hangup);
            let left = of_terminal && LEFT_TO_PARENT.load(Ordering::Relaxed);
            (!left).then_some(signal)
        })
    }
}

/// Stops this process until it is continued, as SIGTSTP does by default; for whoever listens for
/// [`Signal::Suspend`]. That it cannot be stopped changes nothing.
pub fn suspend() {
    let _ = signal_hook::low_level::emulate_default_handler(SIGTSTP);
}

/// What Ctrl-C at the terminal does: SIGINT for this process and those that it shares a foreground with.
pub fn interrupt() {
    // Somebody who may not be signalled hears nothing.
    let _ = rustix::process::kill_current_process_group(rustix::process::Signal::INT);
}

/// Whether this process ignores a signal, by `SigIgn` of proc_pid_status(5).
fn is_ignored(number: c_int) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask & (1 << (number - 1)) != 0
}

/// Calls `each` for each of these signals that arrives, on a thread of its own, until it breaks off.
///
/// A SIGHUP that comes after another one of [`Signal::ENDING`] is not told: a terminal that closes makes several of
/// them, and the end of a session a SIGTERM as well, but nobody has asked twice.
///
/// # Errors
/// As [`Signals::of`]; or no thread can be started.
pub fn listen(
    signals: &[Signal],
    mut each: impl FnMut(Signal) -> ControlFlow<()> + Send + 'static,
) -> io::Result<()> {
    let mut arriving = Signals::of(signals)?;
    let serve = move || {
        let mut asked = false;
        for signal in &mut arriving {
            let again = signal == Signal::Hangup && asked;
            asked |= Signal::ENDING.contains(&signal);
            if !again && each(signal).is_break() {
                return;
            }
        }
    };
    let serve = Arc::new(Mutex::new(Some(serve)));
    limits::when_there_is_room(Instant::now() + ROOM_WITHIN, &|| false, || {
        let serve = Arc::clone(&serve);
        let begin = move || {
            let serve = serve.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(mut serve) = serve {
                serve();
            }
        };
        std::thread::Builder::new().name("signals".into()).spawn(begin)
    })
    .map(drop)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use super::*;

    #[test]
    fn names_are_those_of_the_system() {
        for (at, (signal, number)) in NUMBERS.into_iter().enumerate() {
            assert_eq!((signal as usize, signal.number()), (at, number));
        }
        assert_eq!(
            NUMBERS.map(|(s, _)| s.name()),
            ["SIGINT", "SIGQUIT", "SIGTERM", "SIGHUP", "SIGCHLD", "SIGTSTP"]
        );
    }

    #[test]
    fn each_signal_is_a_call() {
        let (sender, arrived) = channel();
        // Nothing else in this test program uses it.
        listen(&[Signal::Hangup, Signal::Quit], move |signal| match sender.send(signal) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        })
        .unwrap();
        let send = |signal| rustix::process::kill_process(rustix::process::getpid(), signal).unwrap();
        send(rustix::process::Signal::HUP);
        assert_eq!(arrived.recv_timeout(Duration::from_secs(60)).unwrap().name(), "SIGHUP");
        // The second one is not told.
        send(rustix::process::Signal::HUP);
        send(rustix::process::Signal::QUIT);
        assert_eq!(arrived.recv_timeout(Duration::from_secs(60)).unwrap().name(), "SIGQUIT");
    }
}

//! Death on demand: the process kills itself at a chosen point, for crash tests and rehearsals.
//!
//! It is honoured in every build, so that what is tested is the program that is shipped. It gives
//! no power that is lacking: who sets the environment of a process can kill it as well.

use std::sync::atomic::{AtomicU64, Ordering};

use rustix::process::{Signal, getpid, kill_process};

/// A point of the program, for a `static`.
pub struct Failpoint {
    reached: AtomicU64,
    wanted: fn() -> Option<u64>,
}

impl Failpoint {
    /// `wanted` reads from the environment at the how manieth time, counted from 1, the process is to
    /// end here; `None`: never.
    pub const fn new(wanted: fn() -> Option<u64>) -> Self {
        Self { reached: AtomicU64::new(0), wanted }
    }

    /// The process is at this point; this may be its end.
    pub fn reach(&self) {
        let times = self.reached.fetch_add(1, Ordering::Relaxed) + 1;
        if (self.wanted)() == Some(times) {
            die();
        }
    }
}

/// Ends this process by SIGKILL: no handler, no destructor, no flush; the next best thing to a power
/// cut.
fn die() -> ! {
    let _ = kill_process(getpid(), Signal::KILL);
    loop {
        std::thread::park();
    }
}

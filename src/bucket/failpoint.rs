//! Death on demand between the parts of an edit of `disabled.json`, for crash tests of the program that
//! is shipped. It gives nobody power that they lack: who sets the environment of a process can kill it
//! as well.

use std::sync::atomic::{AtomicU64, Ordering};

use rustix::process::{Signal, getpid, kill_process};

/// `MAAND_CRASH_EDIT=POINT[:N]` with `recorded`, `swapped` or `noted`: this process ends by SIGKILL when
/// an edit of `disabled.json` has come to that point for the Nth time (1 unless given).
pub const CRASH_EDIT: &str = "MAAND_CRASH_EDIT";

/// The points of an edit between which a crash makes a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Point {
    /// What is about to be done is recorded.
    Recorded,
    /// The file is changed.
    Swapped,
    /// The record says so.
    Noted,
}

impl Point {
    fn word(self) -> &'static str {
        match self {
            Self::Recorded => "recorded",
            Self::Swapped => "swapped",
            Self::Noted => "noted",
        }
    }
}

/// The process is at this point.
pub(super) fn reach(point: Point) {
    #[cfg(test)]
    testing::reach(point);
    static REACHED: [AtomicU64; 3] = [const { AtomicU64::new(0) }; 3];
    let Ok(wanted) = std::env::var(CRASH_EDIT) else { return };
    let (word, nth) = wanted.split_once(':').unwrap_or((&wanted, "1"));
    let times = REACHED[point as usize].fetch_add(1, Ordering::Relaxed) + 1;
    if word == point.word() && nth.parse() == Ok(times) {
        die();
    }
}

/// Ends this process by SIGKILL: no handler, no destructor, no flush; the next best thing to a power
/// cut.
pub fn die() -> ! {
    let _ = kill_process(getpid(), Signal::KILL);
    loop {
        std::thread::park();
    }
}

#[cfg(test)]
pub(super) mod testing {
    use std::cell::RefCell;

    use super::Point;

    type Hook = Box<dyn FnMut(Point)>;

    thread_local! {
        static HOOK: RefCell<Option<Hook>> = const { RefCell::new(None) };
    }

    pub(super) fn reach(point: Point) {
        HOOK.with_borrow_mut(|hook| {
            if let Some(hook) = hook {
                hook(point);
            }
        });
    }

    /// Runs `work`; it ends where `hook` panics, with everything on disk as it is then: an edit has no
    /// destructor that would tidy up.
    pub(in crate::bucket) fn crash<T>(hook: impl FnMut(Point) + 'static, work: impl FnOnce() -> T) -> bool {
        HOOK.set(Some(Box::new(hook)));
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        HOOK.set(None);
        ended.is_err()
    }
}

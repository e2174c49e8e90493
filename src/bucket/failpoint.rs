//! The points of an edit of `disabled.json` between which a crash makes a difference, for crash tests.

use crate::os::failpoint::Failpoint;

/// `MAAND_CRASH_EDIT=POINT[:N]` with `recorded`, `swapped` or `noted`: this process ends by SIGKILL when
/// an edit of `disabled.json` has come to that point for the Nth time (1 unless given).
const CRASH_EDIT: &str = "MAAND_CRASH_EDIT";

/// The points of an edit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Point {
    /// What is about to be done is recorded.
    Recorded,
    /// The file is changed.
    Swapped,
    /// The record says so.
    Noted,
}

static RECORDED: Failpoint = Failpoint::new(|| wanted("recorded"));
static SWAPPED: Failpoint = Failpoint::new(|| wanted("swapped"));
static NOTED: Failpoint = Failpoint::new(|| wanted("noted"));

fn wanted(point: &str) -> Option<u64> {
    let wanted = std::env::var(CRASH_EDIT).ok()?;
    let (word, nth) = wanted.split_once(':').unwrap_or((&wanted, "1"));
    if word == point { nth.parse().ok() } else { None }
}

/// The process is at this point.
pub(super) fn reach(point: Point) {
    #[cfg(test)]
    testing::reach(point);
    match point {
        Point::Recorded => RECORDED.reach(),
        Point::Swapped => SWAPPED.reach(),
        Point::Noted => NOTED.reach(),
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

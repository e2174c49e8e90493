//! How many files, processes and threads this process may have, and what it means when there is no more of anything.

use std::cell::Cell;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, getuid, setrlimit};

/// What this machine has run out of comes back when something else has ended: the next try is after this.
const AGAIN: Duration = Duration::from_millis(200);

static INHERITED: OnceLock<Rlimit> = OnceLock::new();

/// Raises the soft limit of open files to the hard one. It is often 1,024, for the sake of programs that use
/// select(2); a controller of a thousand workers needs more. Commands get [`inherited_open_files`] back.
pub fn raise_open_files() {
    let limit = *INHERITED.get_or_init(|| getrlimit(Resource::Nofile));
    // Where it is refused, the lower limit does: whoever runs out of it waits.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

/// The soft limit of open files that this process was started with, where it was raised since; `None`: it was not,
/// or there is none.
pub fn inherited_open_files() -> Option<u64> {
    INHERITED.get().and_then(|limit| limit.current)
}

/// Sets the soft limit of open files, for this process and those that it starts.
pub fn lower_open_files(soft: u64) {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(soft), ..limit });
}

/// The soft limit of open files as it is now; `None`: there is none.
pub fn open_files() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// How many more processes and threads this user may have; `None`: as many as it likes, as root may.
pub fn processes_left() -> Option<u64> {
    let user = getuid();
    let soft = getrlimit(Resource::Nproc).current.filter(|_| !user.is_root())?;
    let is_ours = |entry: &std::fs::DirEntry| entry.metadata().is_ok_and(|data| data.uid() == user.as_raw());
    let threads = |entry: std::fs::DirEntry| std::fs::read_dir(entry.path().join("task")).ok();
    let ours = std::fs::read_dir("/proc").into_iter().flatten().flatten().filter(is_ours);
    let used: usize = ours.filter_map(threads).map(Iterator::count).sum();
    Some(soft.saturating_sub(used as u64))
}

/// Starts something as soon as this machine has room for it, at the latest at `until`, unless it is given up first.
///
/// # Errors
/// It cannot be started, or there was no room ([`is_exhaustion`]).
pub fn when_there_is_room<T>(
    until: Instant,
    given_up: &dyn Fn() -> bool,
    mut start: impl FnMut() -> io::Result<T>,
) -> io::Result<T> {
    loop {
        match start() {
            Err(error) if is_exhaustion(&error) && Instant::now() + AGAIN < until && !given_up() => {
                std::thread::sleep(AGAIN);
            }
            done => return done,
        }
    }
}

/// Whether the error says that this machine has no more descriptors, processes, threads or memory at the moment. It
/// passes when something else ends, and says nothing about whom the work was for.
pub fn is_exhaustion(error: &io::Error) -> bool {
    let exhausted = [Errno::MFILE, Errno::NFILE, Errno::AGAIN, Errno::NOMEM, Errno::NOBUFS];
    // EAGAIN of fork(2) and clone(2); of a read or write it is `WouldBlock` too, and nobody asks about those.
    error.raw_os_error().is_some_and(|code| exhausted.iter().any(|errno| errno.raw_os_error() == code))
}

thread_local! {
    static EXHAUSTED: Cell<bool> = const { Cell::new(false) };
}

/// Remembers for this thread that one of its calls has met [`is_exhaustion`]: by the time an error of many layers is
/// judged, it may be words.
pub fn note_exhaustion(error: &io::Error) {
    if is_exhaustion(error) {
        EXHAUSTED.set(true);
    }
}

/// Whether a call of this thread has met it since this was asked last.
pub fn take_exhaustion() -> bool {
    EXHAUSTED.take()
}

/// Whether this process, or the machine, has no descriptor left right now.
pub fn out_of_descriptors() -> bool {
    // Two: a library may have needed more than the one that is free again by now.
    let one = || std::fs::File::open("/dev/null");
    matches!((one(), one()), (Err(error), _) | (_, Err(error)) if is_exhaustion(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_told_from_what_stays() {
        for (errno, exhausted) in
            [(Errno::MFILE, true), (Errno::NFILE, true), (Errno::AGAIN, true), (Errno::NOENT, false)]
        {
            assert_eq!(is_exhaustion(&io::Error::from(errno)), exhausted, "{errno}");
        }
        assert!(!out_of_descriptors());
    }

    #[test]
    fn what_finds_no_room_is_tried_until_there_is_some() {
        fn no_room<T>() -> io::Result<T> {
            Err(Errno::AGAIN.into())
        }
        let long = Instant::now() + Duration::from_secs(600);
        let mut tries = 0;
        let found = when_there_is_room(long, &|| false, || {
            tries += 1;
            if tries < 3 { no_room() } else { Ok(tries) }
        });
        assert_eq!(found.unwrap(), 3);
        assert!(is_exhaustion(&when_there_is_room::<()>(Instant::now(), &|| false, no_room).unwrap_err()));
        assert!(is_exhaustion(&when_there_is_room::<()>(long, &|| true, no_room).unwrap_err()));
        let other = when_there_is_room::<()>(long, &|| false, || Err(Errno::NOENT.into())).unwrap_err();
        assert_eq!(other.kind(), io::ErrorKind::NotFound);
    }
}

//! A bounded number of threads over a list: what blocks (a connection, a command) blocks one of them.

use std::sync::{Mutex, PoisonError};

/// Stack of one thread. libssh2 and OpenSSL keep their buffers on the heap; measured use stays below
/// 100 KiB in a debug build. Pages that are not touched cost nothing.
const STACK: usize = 512 * 1024;

/// Calls `work` for each item on at most `at_most` threads (at least one), as a sliding window; the
/// results are in the order of the items. `work` decides by itself when the rest is to be skipped.
/// Where no thread can be started the caller's own does the work.
///
/// # Panics
/// When `work` does, after the other threads have ended.
pub fn parallel_map<T, I, R>(items: I, at_most: usize, work: impl Fn(T) -> R + Sync) -> Vec<R>
where
    I: IntoIterator<Item = T, IntoIter: ExactSizeIterator + Send>,
    R: Send,
{
    let items = items.into_iter();
    let threads = at_most.clamp(1, items.len().max(1));
    let done = Mutex::new(Vec::with_capacity(items.len()));
    let waiting = Mutex::new(items.enumerate());
    let serve = || {
        loop {
            let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((at, item)) = next else { return };
            let result = work(item);
            done.lock().unwrap_or_else(PoisonError::into_inner).push((at, result));
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            let builder = std::thread::Builder::new().name("parallel".into()).stack_size(STACK);
            if builder.spawn_scoped(scope, serve).is_err() {
                break;
            }
        }
        serve();
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_unstable_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn keeps_the_order_and_the_bound() {
        let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let results = parallel_map(0..100, 7, |n| {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            std::thread::yield_now();
            now.fetch_sub(1, Ordering::SeqCst);
            n * 2
        });
        assert_eq!(results, (0..100).map(|n| n * 2).collect::<Vec<_>>());
        assert!(most.into_inner() <= 7);
        assert_eq!(parallel_map(Vec::<u8>::new(), 3, |n| n), Vec::<u8>::new());
    }

    #[test]
    fn items_are_handled_at_the_same_time() {
        // Each waits for all the others: with fewer threads this would never end.
        let all_are_here = std::sync::Barrier::new(4);
        assert_eq!(parallel_map(vec!["a"; 4], 4, |item| (all_are_here.wait(), item).1), vec!["a"; 4]);
        assert_eq!(parallel_map(&[1, 2], 0, |n| n + 1), [2, 3], "no thread is one");
    }
}

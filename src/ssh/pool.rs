//! A bounded pool of threads over a list of workers: one connection blocks one thread.
//!
//! It must not know what is done for each.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

/// Stack of one thread. libssh2 and OpenSSL keep their buffers on the heap; measured use stays below
/// 100 KiB in a debug build. Pages that are not touched cost nothing.
const STACK: usize = 512 * 1024;

/// Calls `f` for each item on at most `concurrency` threads, as a sliding window; the results are in
/// the order of the items. `f` decides by itself (a [`super::Cancel`]) when the rest is to be skipped.
/// Where no thread can be started the caller's own does the work.
pub fn for_each_host<T, R, F>(items: Vec<T>, concurrency: usize, f: F) -> Vec<R>
where
    T: Send,
    R: Send,
    F: Fn(T) -> R + Sync,
{
    let count = items.len();
    let waiting: Mutex<VecDeque<(usize, T)>> = Mutex::new(items.into_iter().enumerate().collect());
    let done: Mutex<Vec<(usize, R)>> = Mutex::new(Vec::with_capacity(count));
    let work = || {
        loop {
            let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let Some((at, item)) = next else { return };
            let result = f(item);
            done.lock().unwrap_or_else(PoisonError::into_inner).push((at, result));
        }
    };
    let threads = concurrency.clamp(1, count.max(1));
    std::thread::scope(|scope| {
        for _ in 1..threads {
            let builder = std::thread::Builder::new().name("ssh".into()).stack_size(STACK);
            if builder.spawn_scoped(scope, work).is_err() {
                break;
            }
        }
        work();
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
        let results = for_each_host((0..100).collect(), 7, |n| {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            std::thread::yield_now();
            now.fetch_sub(1, Ordering::SeqCst);
            n * 2
        });
        assert_eq!(results, (0..100).map(|n| n * 2).collect::<Vec<_>>());
        assert!(most.into_inner() <= 7);
        assert_eq!(for_each_host(Vec::<u8>::new(), 3, |n| n), Vec::<u8>::new());
    }
}

//! Bounds how many handshakes are in flight per address and per jump host.
//!
//! sshd's `MaxStartups` drops connections at random when more than 10 are not yet authenticated
//! (`sshd_config(5)`), so we keep below it.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::Cancel;

/// All limiters, by address.
#[derive(Debug)]
pub(super) struct HandshakeLimiters {
    limit: usize,
    by_address: Mutex<HashMap<String, Arc<HandshakeLimiter>>>,
}

#[derive(Debug, Default)]
struct HandshakeLimiter {
    inside: Mutex<usize>,
    left: Condvar,
}

/// A place inside; dropped, it is free again.
#[derive(Debug)]
pub(super) struct Pass(Arc<HandshakeLimiter>);

impl HandshakeLimiters {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit: limit.max(1), by_address: Mutex::default() }
    }

    /// Waits for a place; `None` when cancelled or too late.
    pub(super) fn enter(&self, address: &str, until: Instant, cancel: &Cancel) -> Option<Pass> {
        let limiter = {
            let mut by_address = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(by_address.entry(address.to_owned()).or_default())
        };
        let mut inside = limiter.inside.lock().unwrap_or_else(PoisonError::into_inner);
        while *inside >= self.limit {
            let left = until.checked_duration_since(Instant::now())?;
            if cancel.is_cancelled() {
                return None;
            }
            let tick = left.min(Duration::from_millis(100));
            inside = limiter.left.wait_timeout(inside, tick).unwrap_or_else(PoisonError::into_inner).0;
        }
        *inside += 1;
        drop(inside);
        Some(Pass(limiter))
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut inside = self.0.inside.lock().unwrap_or_else(PoisonError::into_inner);
        *inside -= 1;
        drop(inside);
        self.0.left.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_back_the_one_too_many() {
        let by_address = HandshakeLimiters::new(2);
        let cancel = Cancel::new();
        let soon = || Instant::now() + Duration::from_millis(20);
        let one = by_address.enter("a", soon(), &cancel).unwrap();
        let _two = by_address.enter("a", soon(), &cancel).unwrap();
        assert!(by_address.enter("a", soon(), &cancel).is_none());
        assert!(by_address.enter("b", soon(), &cancel).is_some());
        drop(one);
        assert!(by_address.enter("a", soon(), &cancel).is_some());
    }

    #[test]
    fn a_cancelled_one_does_not_wait() {
        let by_address = HandshakeLimiters::new(1);
        let cancel = Cancel::new();
        let far = Instant::now() + Duration::from_secs(3600);
        let _one = by_address.enter("a", far, &cancel).unwrap();
        cancel.cancel();
        assert!(by_address.enter("a", far, &cancel).is_none());
    }
}

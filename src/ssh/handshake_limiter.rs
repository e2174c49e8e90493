//! Bounds how many handshakes are in flight per address and per jump host.
//!
//! sshd's `MaxStartups` drops connections at random when more than 10 are not yet authenticated
//! (`sshd_config(5)`), so we keep below it.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::Cancel;

/// All gates, by address.
#[derive(Debug)]
pub(super) struct Gates {
    limit: usize,
    gates: Mutex<HashMap<String, Arc<HandshakeLimiter>>>,
}

#[derive(Debug, Default)]
struct HandshakeLimiter {
    inside: Mutex<usize>,
    left: Condvar,
}

/// A place inside; dropped, it is free again.
#[derive(Debug)]
pub(super) struct Pass(Arc<HandshakeLimiter>);

impl Gates {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit: limit.max(1), gates: Mutex::default() }
    }

    /// Waits for a place; `None` when cancelled or too late.
    pub(super) fn enter(&self, address: &str, until: Instant, cancel: &Cancel) -> Option<Pass> {
        let gate = {
            let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(gates.entry(address.to_owned()).or_default())
        };
        let mut inside = gate.inside.lock().unwrap_or_else(PoisonError::into_inner);
        while *inside >= self.limit {
            let left = until.checked_duration_since(Instant::now())?;
            if cancel.is_cancelled() {
                return None;
            }
            let tick = left.min(Duration::from_millis(100));
            inside = gate.left.wait_timeout(inside, tick).unwrap_or_else(PoisonError::into_inner).0;
        }
        *inside += 1;
        drop(inside);
        Some(Pass(gate))
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
        let gates = Gates::new(2);
        let cancel = Cancel::new();
        let soon = || Instant::now() + Duration::from_millis(20);
        let one = gates.enter("a", soon(), &cancel).unwrap();
        let _two = gates.enter("a", soon(), &cancel).unwrap();
        assert!(gates.enter("a", soon(), &cancel).is_none());
        assert!(gates.enter("b", soon(), &cancel).is_some());
        drop(one);
        assert!(gates.enter("a", soon(), &cancel).is_some());
    }

    #[test]
    fn a_cancelled_one_does_not_wait() {
        let gates = Gates::new(1);
        let cancel = Cancel::new();
        let far = Instant::now() + Duration::from_secs(3600);
        let _one = gates.enter("a", far, &cancel).unwrap();
        cancel.cancel();
        assert!(gates.enter("a", far, &cancel).is_none());
    }
}

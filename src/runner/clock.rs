//! The controller's clock. It must not know what is timed.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::engine::Millis;

/// Milliseconds since 1970-01-01 UTC.
pub fn now() -> Millis {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| Millis::try_from(since.as_millis()).unwrap_or(Millis::MAX))
}

/// The time of a run: that of the system, and when that is set back, as much later as has really passed. Else
/// a retry would wait an hour longer after a clock was set back by one, and a look at the fleet would count as
/// fresh for that hour. (The other way round, a machine that slept has its system's time when it wakes.)
#[derive(Debug)]
pub(super) struct Clock {
    /// The latest time that the system said, or that the run had reached before, and when that was.
    reached: (Millis, Instant),
}

impl Clock {
    /// Begins no earlier than this: the newest fact of a run that another process has led.
    pub(super) fn not_before(reached: Millis) -> Self {
        Self { reached: (reached, Instant::now()) }
    }

    /// Milliseconds since 1970-01-01 UTC; never less than before.
    pub(super) fn now(&mut self) -> Millis {
        self.read(now(), Instant::now())
    }

    fn read(&mut self, system: Millis, at: Instant) -> Millis {
        let (reached, since) = self.reached;
        let passed = at.saturating_duration_since(since).as_millis();
        let least = reached.saturating_add(Millis::try_from(passed).unwrap_or(Millis::MAX));
        if system >= least {
            self.reached = (system, at);
        }
        system.max(least)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn it_goes_on_when_the_system_is_set_back() {
        let start = Instant::now();
        let after = |ms| start + Duration::from_millis(ms);
        let mut clock = Clock { reached: (1_000_000, start) };
        assert_eq!(clock.read(1_000_500, after(500)), 1_000_500);
        // Set back by 900 s: what has passed has passed, however small the pieces.
        assert_eq!(clock.read(100_600, after(600)), 1_000_600);
        for ms in 601..1_000 {
            assert_eq!(clock.read(100_000 + ms, after(ms as u64)), 1_000_000 + ms);
        }
        // Set right again, and the machine slept.
        assert_eq!(clock.read(1_001_500, after(1_500)), 1_001_500);
        assert_eq!(clock.read(9_000_000, after(1_600)), 9_000_000);
        assert_eq!(clock.read(8_000_000, after(1_650)), 9_000_050);
    }

    #[test]
    fn it_begins_where_the_run_was() {
        let ahead = now() + 3_600_000;
        assert!(Clock::not_before(ahead).now() >= ahead);
        assert!(Clock::not_before(0).now() >= ahead - 3_600_000);
    }
}

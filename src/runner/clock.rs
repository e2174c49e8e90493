//! The controller's clock.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::engine::Millis;

/// Milliseconds since 1970-01-01 UTC.
pub fn now() -> Millis {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| Millis::try_from(since.as_millis()).unwrap_or(Millis::MAX))
}

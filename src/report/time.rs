//! Times and spans as people and programs read them.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};

use crate::engine::Millis;

/// A time that is written as RFC 3339 in UTC, with milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub Millis);

impl Time {
    /// `2026-11-22T23:15:02.123Z`.
    pub fn rfc3339(self) -> String {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(time) => format!("{time:.3}"),
            Err(_) => "-".to_owned(),
        }
    }

    /// To the second, for lines that people read: `2026-11-22T23:15:02Z`.
    pub fn to_second(self) -> String {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(time) => format!("{time:.0}"),
            Err(_) => "-".to_owned(),
        }
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.rfc3339())
    }
}

impl JsonSchema for Time {
    fn schema_name() -> Cow<'static, str> {
        "Time".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "date-time", "description": "RFC 3339, UTC." })
    }
}

/// A span in words of at most two units: `42s`, `3m 05s`, `2h 10m`, `4d 03h`.
pub fn span_in_words(millis: Millis) -> String {
    let seconds = millis.max(0) / 1000;
    match (seconds / 86_400, seconds / 3600, seconds / 60) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, minutes) => format!("{minutes}m {:02}s", seconds % 60),
        (0, hours, minutes) => format!("{hours}h {:02}m", minutes % 60),
        (days, hours, _) => format!("{days}d {:02}h", hours % 24),
    }
}

/// How long something took that has ended: below ten seconds with a tenth (`0.4s`), else as
/// [`span_in_words`].
pub fn took_in_words(millis: Millis) -> String {
    let tenths = millis.max(0) / 100;
    if tenths < 100 { format!("{}.{}s", tenths / 10, tenths % 10) } else { span_in_words(millis) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_spans_are_written_alike_everywhere() {
        assert_eq!(Time(1_795_392_900_007).rfc3339(), "2026-11-23T00:15:00.007Z");
        assert_eq!(Time(1_795_392_900_007).to_second(), "2026-11-23T00:15:00Z");
        assert_eq!(Time(i64::MAX).rfc3339(), "-");
        assert_eq!(span_in_words(-5), "0s");
        assert_eq!(span_in_words(42_999), "42s");
        assert_eq!(took_in_words(-5), "0.0s");
        assert_eq!(took_in_words(449), "0.4s");
        assert_eq!(took_in_words(9_999), "9.9s");
        assert_eq!(took_in_words(10_000), "10s");
        assert_eq!(span_in_words(185_000), "3m 05s");
        assert_eq!(span_in_words(7_805_000), "2h 10m");
        assert_eq!(span_in_words(4 * 86_400_000 + 3 * 3_600_000), "4d 03h");
    }
}

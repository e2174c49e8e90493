//! Times and spans as text and in JSON.

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

    /// To the second, for lines of text: `2026-11-22T23:15:02Z`.
    pub fn to_second(self) -> String {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(time) => format!("{time:.0}"),
            Err(_) => "-".to_owned(),
        }
    }

    /// The time of day in UTC, for a line that begins with the time `now`: `23:15:02`; a day or more later as
    /// [`Time::to_second`].
    pub(super) fn of_day(self, now: Self) -> String {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(time) if self.0 - now.0 < 86_400_000 => time.strftime("%H:%M:%S").to_string(),
            _ => self.to_second(),
        }
    }
}

/// A time to come, and how far off it is: `17:25:07Z (8m 20s left)`.
pub(super) fn describe_due(due: Millis, now: Millis) -> String {
    let at = Time(due);
    let at = if (0..86_400_000).contains(&(due - now)) { at.of_day(Time(now)) + "Z" } else { at.to_second() };
    // What is left is rounded up: "0s left" is over.
    match due - now {
        left @ 1.. => format!("{at} ({} left)", describe_span(left + 999)),
        _ => at,
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

/// A span as it is written in a plan, in at most two units: `42s`, `3m5s`, `2h10m`, `4d3h`.
pub fn describe_span(millis: Millis) -> String {
    let seconds = millis.max(0) / 1000;
    let (first, second) = match (seconds / 86_400, seconds / 3600, seconds / 60) {
        (0, 0, 0) => ((seconds, "s"), (0, "")),
        (0, 0, minutes) => ((minutes, "m"), (seconds % 60, "s")),
        (0, hours, minutes) => ((hours, "h"), (minutes % 60, "m")),
        (days, hours, _) => ((days, "d"), (hours % 24, "h")),
    };
    match second {
        (0, _) => format!("{}{}", first.0, first.1),
        (rest, unit) => format!("{}{}{rest}{unit}", first.0, first.1),
    }
}

/// How long something took that has ended: below ten seconds with a tenth (`0.4s`), else as
/// [`describe_span`].
pub fn describe_elapsed(millis: Millis) -> String {
    let tenths = millis.max(0) / 100;
    if tenths < 100 { format!("{}.{}s", tenths / 10, tenths % 10) } else { describe_span(millis) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_spans_are_written_alike_everywhere() {
        assert_eq!(Time(1_795_392_900_007).rfc3339(), "2026-11-23T00:15:00.007Z");
        assert_eq!(Time(1_795_392_900_007).to_second(), "2026-11-23T00:15:00Z");
        assert_eq!(Time(i64::MAX).rfc3339(), "-");
        assert_eq!(describe_span(-5), "0s");
        assert_eq!(describe_span(42_999), "42s");
        assert_eq!(describe_elapsed(-5), "0.0s");
        assert_eq!(describe_elapsed(449), "0.4s");
        assert_eq!(describe_elapsed(9_999), "9.9s");
        assert_eq!(describe_elapsed(10_000), "10s");
        assert_eq!(describe_span(185_000), "3m5s");
        assert_eq!(describe_span(180_999), "3m");
        assert_eq!(describe_span(7_805_000), "2h10m");
        assert_eq!(describe_span(4 * 86_400_000 + 3 * 3_600_000), "4d3h");
    }

    #[test]
    fn a_time_to_come_says_how_far_off_it_is() {
        let now = 1_795_392_900_000;
        assert_eq!(describe_due(now + 500_001, now), "00:23:20Z (8m 21s left)");
        assert_eq!(describe_due(now, now), "00:15:00Z");
        assert_eq!(describe_due(now - 61_000, now), "2026-11-23T00:13:59Z");
        assert_eq!(describe_due(now + 90_000_000, now), "2026-11-24T01:15:00Z (1d 01h left)");
    }
}

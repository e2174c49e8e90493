//! `Retry-After` (RFC 9110, section 10.2.3): how long whoever answered wants to be left alone.

use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::fmt::{rfc2822, strtime};
use jiff::tz::TimeZone;

/// The two old forms of a date that have to be understood (RFC 9110, section 5.6.7).
const OLD: [&str; 2] = ["%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"];

/// The value of the header, in seconds or as a date; a date that has passed is no wait. `None`: it is neither. `now` is the
/// time by the clock of whoever answered, or by this one.
pub(super) fn retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // More than fits is longer than anybody waits.
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let wait = date(value)?.as_second().saturating_sub(now.as_second());
    Some(Duration::from_secs(u64::try_from(wait).unwrap_or(0)))
}

/// A date of HTTP.
pub(super) fn date(value: &str) -> Option<Timestamp> {
    if let Ok(at) = rfc2822::parse(value) {
        return Some(at.timestamp());
    }
    let old = |form: &&str| strtime::parse(form, value).ok()?.to_datetime().ok();
    let at: DateTime = OLD.iter().find_map(old)?;
    TimeZone::UTC.to_timestamp(at).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read_and_nothing_else() {
        let now: Timestamp = "2026-11-30T15:00:00Z".parse().unwrap();
        let seconds = |value: &str| retry_after(value, now).map(|wait| wait.as_secs());
        for (value, expected) in [
            ("0", Some(0)),
            (" 120 ", Some(120)),
            ("99999999999999999999999999", Some(u64::MAX)),
            ("Mon, 30 Nov 2026 15:01:30 GMT", Some(90)),
            ("Monday, 30-Nov-26 15:01:30 GMT", Some(90)),
            ("Mon Nov 30 15:01:30 2026", Some(90)),
            ("Mon, 30 Nov 2026 14:00:00 GMT", Some(0)),
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
            ("-5", None),
            ("+5", None),
            ("1.5", None),
            ("5 s", None),
            ("5, 6", None),
            ("soon", None),
            ("", None),
            ("Mon, 99 Nov 2026 15:01:30 GMT", None),
            ("\u{661}", None),
        ] {
            assert_eq!(seconds(value), expected, "{value}");
        }
        // As late as a date can be.
        assert!(seconds("Fri, 31 Dec 9999 23:59:59 GMT").is_none_or(|wait| wait > 1_000_000_000));
    }
}

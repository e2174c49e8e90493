//! Times on a command line, and times in text: in the zone of this machine. What is computed from is an argument, so that
//! tests have clocks and zones of their own.
//!
//! A time is, as journalctl(1) and git(1) take it: how long ago (`7d`, `2h30m`, `2 weeks ago`, `last month`), a day
//! (`today`, `yesterday`, `monday`, `2026-11-20`) from its first moment, a day with a time (`yesterday 14:30`), a time of
//! today (`14:30`), one with its own zone (RFC 3339), or `@` and seconds since 1970. A day of the calendar is a day, also
//! where the clock is changed in the middle of it.

use std::str::FromStr;

use jiff::civil::{Date, DateTime, Time as TimeOfDay, Weekday};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, ZonedDateTime};

use crate::engine::Millis;

/// What is said of a text that is none of these.
const FORMS: &str = "write how long ago (7d, 2h30m), a day (yesterday, monday, 2026-11-20), a time (14:30, \
                     \"2026-11-20 14:30\"), or one with its zone (2026-11-20T14:30:00Z)";

/// A time that was typed, as it was when the command began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct When(pub(super) Millis);

impl FromStr for When {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parse(text, &ZonedDateTime::now()).map(|at| Self(at.as_millisecond()))
    }
}

fn parse(text: &str, now: &ZonedDateTime) -> Result<Timestamp, String> {
    let lower = text.trim().to_lowercase();
    if lower.is_empty() {
        return Err(format!("the time is empty: {FORMS}"));
    }
    let found = seconds(&lower)
        .or_else(|| (lower == "now").then(|| now.timestamp()))
        .or_else(|| with_zone(text.trim()))
        .or_else(|| of_calendar(&lower, now))
        .or_else(|| ago(&lower, now));
    let number = lower.bytes().all(|byte| byte.is_ascii_digit());
    found.ok_or_else(|| match number {
        true => format!("a number without a unit is no time: {FORMS}"),
        false => FORMS.to_owned(),
    })
}

/// `@1795392900`.
fn seconds(text: &str) -> Option<Timestamp> {
    Timestamp::from_second(text.strip_prefix('@')?.trim().parse().ok()?).ok()
}

/// RFC 3339, also with a blank instead of the `T`, and with a zone in brackets.
fn with_zone(text: &str) -> Option<Timestamp> {
    text.parse::<Timestamp>()
        .ok()
        .or_else(|| text.parse::<ZonedDateTime>().ok().map(|zoned| zoned.timestamp()))
}

/// A day, a time of today, or both.
fn of_calendar(text: &str, now: &ZonedDateTime) -> Option<Timestamp> {
    let local =
        |at: DateTime| at.to_zoned_datetime(now.time_zone().clone()).ok().map(|zoned| zoned.timestamp());
    if let Some(day) = day(text, now.date()) {
        return day.to_zoned_datetime(now.time_zone().clone()).ok().map(|zoned| zoned.timestamp());
    }
    if let Some(time) = time_of_day(text) {
        return local(now.date().to_datetime(time));
    }
    let (first, time) = text.rsplit_once([' ', 't'])?;
    local(day(first.trim(), now.date())?.to_datetime(time_of_day(time)?))
}

fn day(text: &str, today: Date) -> Option<Date> {
    let days = |days: i64| today.checked_sub(Span::new().days(days)).ok();
    match text {
        "today" => Some(today),
        "yesterday" => days(1),
        "tomorrow" => days(-1),
        _ => match text.strip_prefix("last ").map_or((text, false), |day| (day.trim(), true)) {
            (name, before_today) if weekday(name).is_some() => {
                let back = i64::from(today.weekday().since(weekday(name)?));
                days(if back == 0 && before_today { 7 } else { back })
            }
            // With its hyphens: eight digits may be anything.
            (text, false) if text.contains('-') && text.len() <= 10 => text.parse().ok(),
            _ => None,
        },
    }
}

fn weekday(name: &str) -> Option<Weekday> {
    let days = [
        ("monday", Weekday::Monday),
        ("tuesday", Weekday::Tuesday),
        ("wednesday", Weekday::Wednesday),
        ("thursday", Weekday::Thursday),
        ("friday", Weekday::Friday),
        ("saturday", Weekday::Saturday),
        ("sunday", Weekday::Sunday),
    ];
    days.into_iter().find(|(day, _)| *day == name || day[..3] == *name).map(|(_, day)| day)
}

/// `14:30`, `14:30:05`.
fn time_of_day(text: &str) -> Option<TimeOfDay> {
    let mut parts = text.trim().split(':').map(|part| match part.len() {
        1 | 2 => part.parse::<i8>().ok(),
        _ => None,
    });
    let (hour, minute) = (parts.next()??, parts.next()??);
    let second = parts.next().unwrap_or(Some(0))?;
    if parts.next().is_some() {
        return None;
    }
    TimeOfDay::new(hour, minute, second, 0).ok()
}

/// `7d`, `-7d`, `2 weeks ago`, `2.weeks.ago`, `last week`.
fn ago(text: &str, now: &ZonedDateTime) -> Option<Timestamp> {
    let text = match text.ends_with(".ago") {
        true => text.replace('.', " "),
        false => text.to_owned(),
    };
    let text = text.strip_suffix("ago").unwrap_or(&text).trim();
    let text = match text.strip_prefix("last ") {
        Some(unit) if !unit.starts_with(|c: char| c.is_ascii_digit()) => format!("1 {unit}"),
        Some(span) => span.to_owned(),
        None => text.strip_prefix('-').unwrap_or(text).to_owned(),
    };
    // Not the forms of ISO 8601, nor a time to come.
    if !text.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let span: Span = text.parse().ok()?;
    now.checked_sub(span).ok().map(|then| then.timestamp())
}

/// The time and the zone by which times are told.
#[derive(Clone, Debug)]
pub(super) struct LocalClock {
    /// When it is.
    pub(super) now: Millis,
    zone: TimeZone,
}

impl LocalClock {
    /// That of this machine, by `TZ` or `/etc/localtime`.
    pub(super) fn here() -> Self {
        Self { now: crate::runner::now(), zone: TimeZone::system() }
    }

    fn told(&self, at: Millis, how: &str) -> String {
        match Timestamp::from_millisecond(at) {
            Ok(time) => time.to_zoned_datetime(self.zone.clone()).strftime(how).to_string(),
            Err(_) => "-".to_owned(),
        }
    }

    /// `2026-11-23 01:15`.
    pub(super) fn minute(&self, at: Millis) -> String {
        self.told(at, "%Y-%m-%d %H:%M")
    }

    /// `2026-11-23 01:15:02`.
    pub(super) fn second(&self, at: Millis) -> String {
        self.told(at, "%Y-%m-%d %H:%M:%S")
    }

    /// `01:15:02`.
    pub(super) fn of_day(&self, at: Millis) -> String {
        self.told(at, "%H:%M:%S")
    }

    /// Whether two times are of one day here.
    pub(super) fn same_day(&self, a: Millis, b: Millis) -> bool {
        self.told(a, "%Y-%m-%d") == self.told(b, "%Y-%m-%d")
    }

    /// `2 h ago`; of a time to come `in 2 h`.
    pub(super) fn ago(&self, at: Millis) -> String {
        let span = self.now.saturating_sub(at);
        let seconds = span.unsigned_abs() / 1000;
        let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
        let (number, unit) = match (minutes, hours, days) {
            (0, ..) => (seconds, "s"),
            (_, 0, _) => (minutes, "min"),
            (.., 0) if hours < 48 => (hours, "h"),
            (.., 1) if hours < 48 => (hours, "h"),
            (.., days @ 0..=59) => (days, "d"),
            (.., days @ 60..=729) => (days / 30, "mo"),
            (.., days) => (days / 365, "y"),
        };
        match (span < 0, number) {
            (_, 0) => "just now".to_owned(),
            (true, _) => format!("in {number} {unit}"),
            (false, _) => format!("{number} {unit} ago"),
        }
    }

    /// `2026-11-23 01:15 (2 h ago)`.
    pub(super) fn both(&self, at: Millis) -> String {
        format!("{} ({})", self.minute(at), self.ago(at))
    }
}

#[cfg(test)]
impl LocalClock {
    /// One that stands still.
    pub(super) fn at(now: Millis, zone: &str) -> Self {
        Self { now, zone: TimeZone::get(zone).unwrap() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str, now: &str) -> Result<String, String> {
        let now: ZonedDateTime = now.parse().unwrap();
        let zone = now.time_zone().clone();
        parse(text, &now).map(|at| at.to_zoned_datetime(zone).to_string())
    }

    #[test]
    fn phrases_are_told_from_a_clock() {
        // A Thursday.
        let now = "2026-11-26T15:20:30+01:00[Europe/Berlin]";
        for (text, expected) in [
            ("now", "2026-11-26T15:20:30"),
            ("7d", "2026-11-19T15:20:30"),
            ("-7d", "2026-11-19T15:20:30"),
            ("2h", "2026-11-26T13:20:30"),
            ("2h30m", "2026-11-26T12:50:30"),
            ("90s", "2026-11-26T15:19:00"),
            ("2 weeks ago", "2026-11-12T15:20:30"),
            ("2.weeks.ago", "2026-11-12T15:20:30"),
            ("1 hour ago", "2026-11-26T14:20:30"),
            ("last week", "2026-11-19T15:20:30"),
            ("last month", "2026-10-26T15:20:30"),
            ("last 3 days", "2026-11-23T15:20:30"),
            ("3mo", "2026-08-26T15:20:30"),
            ("today", "2026-11-26T00:00:00"),
            ("Yesterday", "2026-11-25T00:00:00"),
            ("yesterday 14:30", "2026-11-25T14:30:00"),
            ("thursday", "2026-11-26T00:00:00"),
            ("last thursday", "2026-11-19T00:00:00"),
            ("fri", "2026-11-20T00:00:00"),
            ("mon 8:05", "2026-11-23T08:05:00"),
            ("14:30", "2026-11-26T14:30:00"),
            ("14:30:05", "2026-11-26T14:30:05"),
            ("2026-11-20", "2026-11-20T00:00:00"),
            (" 2026-11-20 14:30 ", "2026-11-20T14:30:00"),
            ("2026-11-20T14:30", "2026-11-20T14:30:00"),
            ("2026-11-20 14:30:15", "2026-11-20T14:30:15"),
            ("2026-11-20T14:30:00Z", "2026-11-20T15:30:00"),
            ("2026-11-20T14:30:00+05:30", "2026-11-20T10:00:00"),
            ("@1795392900", "2026-11-23T01:15:00"),
        ] {
            assert_eq!(at(text, now).map(|time| time[..19].to_owned()).as_deref(), Ok(expected), "{text}");
        }
        for wrong in [
            "",
            "  ",
            "7",
            "soon",
            "h",
            "7x",
            "25:00",
            "2026-13-01",
            "2026-02-30",
            "20261120",
            "@x",
            "P7D",
            "99999999999999d",
            "yesterday 99:00",
            "last",
            "ago",
            "\u{1b}[2J",
            "9999999y",
        ] {
            assert!(
                at(wrong, now).is_err_and(|said| said.contains("2h30m")),
                "{wrong:?}: {:?}",
                at(wrong, now)
            );
        }
    }

    #[test]
    fn a_day_is_a_day_of_the_calendar_where_the_clock_is_changed() {
        // The night of 2026-10-25 has an hour more in Berlin, that of 2026-03-29 one less.
        for (now, text, expected) in [
            ("2026-10-25T12:00:00+01:00[Europe/Berlin]", "1d", "2026-10-24T12:00:00+02:00[Europe/Berlin]"),
            ("2026-10-25T12:00:00+01:00[Europe/Berlin]", "24h", "2026-10-24T13:00:00+02:00[Europe/Berlin]"),
            ("2026-10-25T12:00:00+01:00[Europe/Berlin]", "today", "2026-10-25T00:00:00+02:00[Europe/Berlin]"),
            (
                "2026-03-30T12:00:00+02:00[Europe/Berlin]",
                "yesterday",
                "2026-03-29T00:00:00+01:00[Europe/Berlin]",
            ),
            // There is no 02:30: the clock shows 03:30 then.
            (
                "2026-03-30T12:00:00+02:00[Europe/Berlin]",
                "yesterday 02:30",
                "2026-03-29T03:30:00+02:00[Europe/Berlin]",
            ),
            // There are two: the first one.
            (
                "2026-10-26T12:00:00+01:00[Europe/Berlin]",
                "yesterday 02:30",
                "2026-10-25T02:30:00+02:00[Europe/Berlin]",
            ),
            // A day that has no midnight.
            (
                "2018-11-05T12:00:00-02:00[America/Sao_Paulo]",
                "yesterday",
                "2018-11-04T01:00:00-02:00[America/Sao_Paulo]",
            ),
        ] {
            assert_eq!(at(text, now).as_deref(), Ok(expected), "{text} at {now}");
        }
    }

    #[test]
    fn times_are_local_and_ages_are_rounded_down() {
        const MINUTE: Millis = 60_000;
        const DAY: Millis = 24 * 60 * MINUTE;
        let now = 1_795_392_900_000;
        let clock = LocalClock::at(now, "Asia/Kolkata");
        assert_eq!(clock.minute(now), "2026-11-23 05:45");
        assert_eq!(clock.second(now + 1_999), "2026-11-23 05:45:01");
        assert_eq!(clock.both(now - 2 * 60 * MINUTE), "2026-11-23 03:45 (2 h ago)");
        assert!(clock.same_day(now, now - 5 * 60 * MINUTE) && !clock.same_day(now, now - 6 * 60 * MINUTE));
        for (age, expected) in [
            (0, "just now"),
            (999, "just now"),
            (1_000, "1 s ago"),
            (2 * MINUTE - 1, "1 min ago"),
            (60 * MINUTE, "1 h ago"),
            (47 * 60 * MINUTE, "47 h ago"),
            (2 * DAY, "2 d ago"),
            (59 * DAY, "59 d ago"),
            (60 * DAY, "2 mo ago"),
            (729 * DAY, "24 mo ago"),
            (730 * DAY, "2 y ago"),
            (-3 * MINUTE, "in 3 min"),
        ] {
            assert_eq!(clock.ago(now - age), expected, "{age}");
        }
        assert_eq!((clock.minute(i64::MAX).as_str(), clock.ago(i64::MIN).is_empty()), ("-", false));
        assert_eq!(LocalClock::at(now, "America/New_York").second(now), "2026-11-22 19:15:00");
    }
}

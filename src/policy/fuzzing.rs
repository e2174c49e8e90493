//! What fuzzers call of this room.

use super::window::{Schedule, ever_opens, is_open, left, next_length, next_opening};
use crate::plan::{Weekday, Window};

/// Nine days: no window is open for longer (seven openings without a gap, and what clocks do to them).
const LONGEST: i64 = 9 * 24 * 3_600_000;

/// Zones with odd rules: half an hour, no daylight saving, a day that was left out, changes at midnight.
const ZONES: [&str; 10] = [
    "UTC",
    "Europe/Berlin",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "Pacific/Apia",
    "America/Havana",
    "Africa/Casablanca",
    "Antarctica/Troll",
    "America/Sao_Paulo",
    "Asia/Gaza",
];

/// A window at any moment of any year: what is said of its openings fits together.
pub(crate) fn windows(bytes: &[u8]) {
    let Some((head, rest)) = bytes.split_first_chunk::<14>() else { return };
    let number = |at: usize| u16::from_le_bytes([head[at], head[at + 1]]) % (24 * 60);
    let days =
        [Weekday::Mon, Weekday::Tue, Weekday::Wed, Weekday::Thu, Weekday::Fri, Weekday::Sat, Weekday::Sun];
    let days: Vec<Weekday> =
        days.into_iter().enumerate().filter(|(at, _)| head[4] & (1 << at) != 0).map(|(_, day)| day).collect();
    let named = std::str::from_utf8(rest).ok().filter(|name| !name.is_empty());
    let timezone = named.unwrap_or(ZONES[usize::from(head[5]) % ZONES.len()]).to_owned();
    let window = Window { timezone, open: number(0), close: number(2), days };
    let mut moment = [0; 8];
    moment.copy_from_slice(&head[6..14]);
    let now = i64::from_le_bytes(moment);
    let Some(schedule) = Schedule::new(&window) else { return };
    let still = left(&schedule, now);
    assert_eq!(is_open(&schedule, now), still.is_some());
    if let Some(still) = still {
        assert!((1..=LONGEST).contains(&still), "open for {still} ms at {now}: {window:?}");
        // It closes just then, unless it would count as longer than a week.
        assert!(is_open(&schedule, now + still - 1), "{window:?} at {now}");
    }
    match next_opening(&schedule, now) {
        Some(opens) => {
            assert!(opens > now, "{window:?} at {now} opens at {opens}");
            assert!(is_open(&schedule, opens), "{window:?} opens at {opens}, and is closed");
            assert!(still.is_some() || !is_open(&schedule, opens - 1), "{window:?} is open before {opens}");
            assert!(next_length(&schedule, now).is_some_and(|length| length > 0));
        }
        None => assert_eq!(next_length(&schedule, now), None),
    }
    if window.days.is_empty() {
        assert!(!ever_opens(&schedule) && still.is_none());
    }
}

//! What fuzzers call of this room.

use super::window::{Schedule, ever_opens, is_open, left, next_opening, openings};
use crate::calendar::Busy;
use crate::plan::{NthOfMonth, Weekday, Window, WindowDay};

/// 66 days: no window is open for longer (64 openings without a gap, and what clocks do to them).
const LONGEST: i64 = 66 * 24 * 3_600_000;

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

/// A window, and a freeze after it has opened, at any moment of any year: what is said of its openings fits together.
pub(crate) fn windows(bytes: &[u8]) {
    let Some((head, rest)) = bytes.split_first_chunk::<14>() else { return };
    let number = |at: usize| u16::from_le_bytes([head[at], head[at + 1]]) % (24 * 60);
    let days =
        [Weekday::Mon, Weekday::Tue, Weekday::Wed, Weekday::Thu, Weekday::Fri, Weekday::Sat, Weekday::Sun];
    let nth = NthOfMonth::ALL.get(usize::from(head[5]) / 16).copied();
    let named_days = days.into_iter().enumerate().filter(|(at, _)| head[4] & (1 << at) != 0);
    let days: Vec<WindowDay> = named_days.map(|(_, weekday)| WindowDay { nth, weekday }).collect();
    let named = std::str::from_utf8(rest).ok().filter(|name| !name.is_empty());
    let timezone = named.unwrap_or(ZONES[usize::from(head[5]) % ZONES.len()]).to_owned();
    let window = Window { timezone, open: number(0), close: number(2), days };
    let mut moment = [0; 8];
    moment.copy_from_slice(&head[6..14]);
    let now = i64::from_le_bytes(moment);
    let freeze =
        Busy { from: now.saturating_add(7_200_000), to: now.saturating_add(90_000_000), name: String::new() };
    let frozen = if head[4] & 128 == 0 { Vec::new() } else { vec![freeze] };
    let Ok(schedule) = Schedule::new([&window], &frozen) else { return };
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
        }
        None => assert!(openings(&schedule, now).count() <= 1),
    }
    let mut last = i64::MIN;
    for (from, to) in openings(&schedule, now).take(5) {
        assert!(from >= now && from > last && from < to, "{window:?} at {now}");
        last = from;
    }
    if window.days.is_empty() {
        assert!(!ever_opens(&schedule) && still.is_none());
    }
}

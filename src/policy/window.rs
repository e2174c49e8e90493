//! Windows: when one is open, how long still, and when it opens next, across midnight and clock changes.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{Timestamp, ToSpan as _};

use crate::plan::{Weekday, Window};

/// How many days ahead a next opening is searched. Days repeat weekly, and a clock change can empty
/// one week's opening; five weeks leave room for several in a row.
const DAYS_AHEAD: i64 = 35;

/// Openings that follow each other without a gap count as one up to this many.
const MERGED: usize = 8;

/// A window with its time zone looked up.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    zone: TimeZone,
    open: Time,
    close: Time,
    /// `close` is on the next day.
    overnight: bool,
    /// Monday first.
    days: [bool; 7],
}

impl Schedule {
    /// Looks the time zone up in the database that is built in, so that the answer is the same on
    /// every machine; `None`: it is not there.
    pub fn new(window: &Window) -> Option<Self> {
        let zone = TimeZoneDatabase::bundled().get(&window.timezone).ok()?;
        let time = |minutes: u16| Time::new((minutes / 60) as i8, (minutes % 60) as i8, 0, 0).ok();
        let mut days = [false; 7];
        for day in &window.days {
            days[*day as usize] = true;
        }
        Some(Self {
            zone,
            open: time(window.open)?,
            close: time(window.close)?,
            overnight: window.close <= window.open,
            days,
        })
    }

    /// The opening that belongs to this local day, as [from, to) in milliseconds since 1970; `None`:
    /// it does not open on that day, or a clock change leaves nothing of it.
    fn on(&self, day: Date) -> Option<(i64, i64)> {
        if !self.days[day.weekday().to_monday_zero_offset() as usize] {
            return None;
        }
        let end = if self.overnight { day.tomorrow().ok()? } else { day };
        let from = self.instant(day.to_datetime(self.open))?;
        let to = self.instant(end.to_datetime(self.close))?;
        (from < to).then_some((from, to))
    }

    /// A local time that a clock change skips moves forward by the size of the gap; one that happens
    /// twice is the earlier.
    fn instant(&self, local: DateTime) -> Option<i64> {
        Some(self.zone.to_ambiguous_timestamp(local).compatible().ok()?.as_millisecond())
    }

    /// Openings whose end is after `now_ms`, in order, of the days around it and those ahead.
    fn ahead(&self, now_ms: i64) -> impl Iterator<Item = (i64, i64)> + '_ {
        let today = Timestamp::from_millisecond(now_ms).ok().map(|now| self.zone.to_datetime(now).date());
        let first = today.and_then(|today| today.checked_sub(2.days()).ok());
        let days = first.into_iter().flat_map(|first| {
            (0..DAYS_AHEAD + 2).filter_map(move |offset| first.checked_add(offset.days()).ok())
        });
        days.filter_map(|day| self.on(day)).filter(move |(_, to)| *to > now_ms)
    }
}

/// Whether the window is open at `now_ms` (milliseconds since 1970, UTC).
pub fn is_open(schedule: &Schedule, now_ms: i64) -> bool {
    left(schedule, now_ms).is_some()
}

/// The first moment after `now_ms` at which the window opens; while it is open: the next time after
/// it has closed. `None`: never again.
pub fn next_opening(schedule: &Schedule, now_ms: i64) -> Option<i64> {
    let after = now_ms.saturating_add(left(schedule, now_ms).unwrap_or(0));
    schedule.ahead(after).map(|(from, _)| from).find(|from| *from > now_ms)
}

/// Milliseconds until the window closes; `None`: it is closed. Openings that follow each other
/// without a gap count as one, up to a week.
pub fn left(schedule: &Schedule, now_ms: i64) -> Option<i64> {
    let mut until = None;
    for (from, to) in schedule.ahead(now_ms).take(MERGED) {
        if from > until.unwrap_or(now_ms) {
            break;
        }
        until = Some(until.map_or(to, |until: i64| until.max(to)));
    }
    until.map(|until| until - now_ms)
}

/// How long the next opening after `now_ms` is, in milliseconds.
pub fn next_length(schedule: &Schedule, now_ms: i64) -> Option<i64> {
    left(schedule, next_opening(schedule, now_ms)?)
}

const _: () = assert!(Weekday::Mon as usize == 0 && Weekday::Sun as usize == 6);

/// Whether the window opens at all. Looked at from a fixed day, so that the answer depends on the plan
/// alone; the rules of time zones since then are the same.
pub fn ever_opens(schedule: &Schedule) -> bool {
    /// 2026-01-01T00:00:00Z.
    const SOME_DAY_MS: i64 = 1_767_225_600_000;
    left(schedule, SOME_DAY_MS).or_else(|| next_opening(schedule, SOME_DAY_MS)).is_some()
}

#[cfg(test)]
mod tests {
    use jiff::civil;
    use proptest::prelude::*;

    use super::*;

    const MINUTE: i64 = 60_000;
    const ALL: [Weekday; 7] =
        [Weekday::Mon, Weekday::Tue, Weekday::Wed, Weekday::Thu, Weekday::Fri, Weekday::Sat, Weekday::Sun];

    fn window(timezone: &str, open: &str, close: &str, days: &[Weekday]) -> Window {
        let minutes = |clock: &str| {
            let (hours, minutes) = clock.split_once(':').unwrap();
            hours.parse::<u16>().unwrap() * 60 + minutes.parse::<u16>().unwrap()
        };
        Window {
            timezone: timezone.to_owned(),
            open: minutes(open),
            close: minutes(close),
            days: days.to_vec(),
        }
    }

    fn schedule(timezone: &str, open: &str, close: &str, days: &[Weekday]) -> Schedule {
        Schedule::new(&window(timezone, open, close, days)).unwrap()
    }

    fn at(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_millisecond()
    }

    #[test]
    fn it_crosses_midnight_and_belongs_to_the_day_on_which_it_opens() {
        // 2026-11-20 is a Friday.
        let night = schedule("UTC", "22:00", "05:00", &[Weekday::Fri]);
        assert!(!is_open(&night, at("2026-11-20T21:59:59Z")));
        assert!(is_open(&night, at("2026-11-20T22:00:00Z")));
        assert!(is_open(&night, at("2026-11-21T04:59:59Z")));
        assert!(!is_open(&night, at("2026-11-21T05:00:00Z")));
        assert!(!is_open(&night, at("2026-11-21T22:30:00Z")), "Saturday night is not Friday's");
        assert_eq!(left(&night, at("2026-11-21T04:00:00Z")), Some(60 * MINUTE));
        assert_eq!(next_opening(&night, at("2026-11-20T23:00:00Z")), Some(at("2026-11-27T22:00:00Z")));
        assert_eq!(next_opening(&night, at("2026-11-20T12:00:00Z")), Some(at("2026-11-20T22:00:00Z")));
    }

    #[test]
    fn clock_changes_move_forward_and_take_the_earlier() {
        // Berlin, 2026-03-29: 02:00 becomes 03:00. 2026-10-25: 03:00 becomes 02:00.
        let gap = schedule("Europe/Berlin", "02:30", "06:00", &ALL);
        assert_eq!(
            next_opening(&gap, at("2026-03-29T00:00:00Z")),
            Some(at("2026-03-29T01:30:00Z")),
            "03:30 there"
        );
        assert_eq!(left(&gap, at("2026-03-29T01:30:00Z")), Some(150 * MINUTE));
        let fold = schedule("Europe/Berlin", "02:30", "03:30", &ALL);
        assert_eq!(next_opening(&fold, at("2026-10-25T00:00:00Z")), Some(at("2026-10-25T00:30:00Z")));
        assert_eq!(
            left(&fold, at("2026-10-25T00:30:00Z")),
            Some(120 * MINUTE),
            "an hour happens twice inside"
        );
        let emptied = schedule("Europe/Berlin", "02:30", "03:10", &[Weekday::Sun]);
        assert!(!is_open(&emptied, at("2026-03-29T01:05:00Z")));
        assert_eq!(next_opening(&emptied, at("2026-03-28T12:00:00Z")), Some(at("2026-04-05T00:30:00Z")));
    }

    #[test]
    fn openings_without_a_gap_count_as_one() {
        let always = schedule("UTC", "00:00", "00:00", &ALL);
        assert!(left(&always, at("2026-11-20T12:00:00Z")).unwrap() > 6 * 24 * 60 * MINUTE);
        let weekend = schedule("UTC", "00:00", "00:00", &[Weekday::Sat, Weekday::Sun]);
        assert_eq!(left(&weekend, at("2026-11-21T00:00:00Z")), Some(48 * 60 * MINUTE));
        assert_eq!(next_opening(&weekend, at("2026-11-21T12:00:00Z")), Some(at("2026-11-28T00:00:00Z")));
    }

    #[test]
    fn what_cannot_be_is_said() {
        assert!(Schedule::new(&window("Europe/Berln", "22:00", "05:00", &ALL)).is_none());
        let never = schedule("UTC", "22:00", "05:00", &[]);
        assert!(!ever_opens(&never));
        assert_eq!((left(&never, 0), next_opening(&never, 0)), (None, None));
        assert_eq!(next_opening(&schedule("UTC", "22:00", "05:00", &ALL), i64::MAX), None);
        assert_eq!(left(&schedule("UTC", "22:00", "05:00", &ALL), i64::MIN), None);
    }

    /// The moment at which a local clock shows this, found by looking at every minute of three days.
    fn by_looking(zone: &TimeZone, local: civil::DateTime) -> i64 {
        let around = zone.to_ambiguous_timestamp(local).compatible().unwrap().as_millisecond() / MINUTE;
        let shown = |minute: i64| zone.to_datetime(Timestamp::from_millisecond(minute * MINUTE).unwrap());
        let minutes = || around - 36 * 60..around + 36 * 60;
        // The first time that the clock shows it; when it never does, as if it had not been changed.
        minutes().find(|minute| shown(*minute) == local).map_or_else(
            || {
                let last_before = minutes().filter(|minute| shown(*minute) < local).max().unwrap();
                let missing = local.duration_since(shown(last_before)).as_mins();
                (last_before + missing) * MINUTE
            },
            |minute| minute * MINUTE,
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

        #[test]
        fn it_agrees_with_looking_at_every_minute(
            zone in prop::sample::select(vec!["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "America/St_Johns"]),
            // Around clock changes of both directions in these zones, and an ordinary week.
            start in prop::sample::select(vec!["2026-03-06", "2026-03-27", "2026-04-03", "2026-10-02", "2026-10-23", "2026-10-30", "2026-07-01"]),
            open in 0_u16..1440,
            length in 1_u16..=1440,
            days in prop::collection::btree_set(0_usize..7, 1..8),
        ) {
            let close = (open + length) % 1440;
            let days: Vec<_> = days.into_iter().map(|day| ALL[day]).collect();
            let window = Window { timezone: zone.to_owned(), open, close, days: days.clone() };
            let schedule = Schedule::new(&window).unwrap();
            let tz = TimeZoneDatabase::bundled().get(zone).unwrap();
            let first: civil::Date = start.parse().unwrap();
            let clock = |minutes: u16| civil::time((minutes / 60) as i8, (minutes % 60) as i8, 0, 0);
            let mut spans = Vec::new();
            for offset in -3..8 {
                let day = first.checked_add(offset.days()).unwrap();
                let number = day.weekday().to_monday_zero_offset() as usize;
                if !days.iter().any(|day| *day as usize == number) {
                    continue;
                }
                let end = if close <= open { day.tomorrow().unwrap() } else { day };
                let from = by_looking(&tz, day.to_datetime(clock(open)));
                let to = by_looking(&tz, end.to_datetime(clock(close)));
                spans.push(from..to);
            }
            let begin = first.to_zoned_datetime(tz.clone()).unwrap().timestamp().as_millisecond();
            let mut expected_next = None;
            for minute in (0..4 * 24 * 60).rev() {
                let now = begin + minute * MINUTE;
                let expected = spans.iter().any(|span| span.contains(&now));
                prop_assert_eq!(is_open(&schedule, now), expected, "{} {:?}", now, spans);
                let before = spans.iter().any(|span| span.contains(&(now - MINUTE)));
                if expected && !before {
                    expected_next = Some(now);
                }
                if let (false, Some(next)) = (expected, expected_next) {
                    prop_assert_eq!(next_opening(&schedule, now), Some(next));
                }
                if let Some(left) = left(&schedule, now) {
                    prop_assert!(is_open(&schedule, now + left - 1));
                }
            }
        }
    }
}

//! Windows: when one is open, how long still, and when it opens next, across midnight and clock
//! changes. It must not know what is done inside.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{Timestamp, ToSpan as _};

use crate::plan::{Weekday, Window};

/// So many days ahead a next opening is looked for. Days repeat weekly, and a clock change can empty
/// one week's opening; five weeks leave room for several in a row.
const DAYS_AHEAD: i64 = 35;

/// Openings that follow each other without a gap count as one up to this many.
const MERGED: usize = 8;

/// A window with its time zone looked up.
#[derive(Clone, Debug)]
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

//! Windows and freezes: whether workers may be started, how long still, and when next; across midnight and clock changes.

use std::iter::Peekable;

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{Timestamp, ToSpan as _};

use crate::calendar::Busy;
use crate::graph::RolloutGraph;
use crate::plan::{NthOfMonth, Weekday, Window, WindowDay};

/// How many days ahead a next opening is searched: one that opens on each fifth Friday of a month opens several times in a
/// year, also when a clock change empties one of them.
const DAYS_AHEAD: i64 = 400;

/// Openings that follow each other without a gap count as one up to this many.
const MERGED: usize = 64;

/// So many freezes that leave nothing of openings are looked behind.
const FREEZES_AHEAD: usize = 1000;

/// The windows of a plan with their time zones looked up, and its freezes. All times are milliseconds since 1970, UTC, and
/// spans are [from, to).
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// None: open at all times.
    daily: Vec<Daily>,
    /// In order; they may overlap.
    freezes: Vec<Busy>,
    /// The same, joined where they touch.
    frozen: Vec<(i64, i64)>,
}

/// One window.
#[derive(Clone, Debug, PartialEq)]
struct Daily {
    zone: TimeZone,
    open: Time,
    close: Time,
    /// `close` is on the next day.
    overnight: bool,
    days: Vec<WindowDay>,
}

impl Schedule {
    /// That of a graph; `None`: workers may be started at any time.
    ///
    /// # Errors
    /// The name of a time zone that is not in the database.
    pub fn of(graph: &RolloutGraph) -> Option<Result<Self, String>> {
        let rollout = &graph.plan.rollout;
        if rollout.windows.is_empty() && graph.frozen.is_empty() {
            return None;
        }
        Some(Self::new(rollout.windows.iter().map(|window| &window.value), &graph.frozen))
    }

    /// That of a graph without its windows; `None`: nothing is frozen.
    ///
    /// # Errors
    /// None: no time zone is looked up.
    pub(super) fn of_freezes(graph: &RolloutGraph) -> Option<Result<Self, String>> {
        (!graph.frozen.is_empty()).then(|| Self::new([], &graph.frozen))
    }

    /// Looks the time zones up in the database that is built in, so that the answer is the same on every machine.
    ///
    /// # Errors
    /// The name of a time zone that is not there.
    pub(super) fn new<'a>(
        windows: impl IntoIterator<Item = &'a Window>,
        frozen: &[Busy],
    ) -> Result<Self, String> {
        let daily = |window: &Window| Daily::new(window).ok_or_else(|| window.timezone.clone());
        let daily = windows.into_iter().map(daily).collect::<Result<_, _>>()?;
        let mut apart: Vec<(i64, i64)> = Vec::new();
        for Busy { from, to, .. } in frozen {
            match apart.last_mut() {
                Some((_, last)) if *from <= *last => *last = (*last).max(*to),
                _ => apart.push((*from, *to)),
            }
        }
        Ok(Self { daily, freezes: frozen.to_vec(), frozen: apart })
    }

    /// What is frozen for at this moment: dates, or the name of an event.
    pub fn frozen_for(&self, at_ms: i64) -> Option<&str> {
        let begun = self.freezes.iter().take_while(|freeze| freeze.from <= at_ms);
        begun.filter(|freeze| at_ms < freeze.to).map(|freeze| freeze.name.as_str()).next()
    }

    /// The freeze that holds at this moment, or else the first one after it.
    fn freeze_at_or_after(&self, at: i64) -> Option<(i64, i64)> {
        self.frozen.get(self.frozen.partition_point(|(_, to)| *to <= at)).copied()
    }

    /// Openings of windows, whatever freezes say, whose end is after `now`, by their beginning.
    fn ahead(&self, now: i64) -> impl Iterator<Item = (i64, i64)> + '_ {
        let mut all: Vec<Peekable<_>> = self.daily.iter().map(|daily| daily.ahead(now).peekable()).collect();
        let always = self.daily.is_empty().then_some((i64::MIN, i64::MAX));
        let merged = std::iter::from_fn(move || {
            let heads = all.iter_mut().enumerate().filter_map(|(at, spans)| Some((*spans.peek()?, at)));
            let (_, first) = heads.min()?;
            all[first].next()
        });
        always.into_iter().chain(merged)
    }
}

impl Daily {
    fn new(window: &Window) -> Option<Self> {
        let zone = TimeZoneDatabase::bundled().get(&window.timezone).ok()?;
        let time = |minutes: u16| Time::new((minutes / 60) as i8, (minutes % 60) as i8, 0, 0).ok();
        Some(Self {
            zone,
            open: time(window.open)?,
            close: time(window.close)?,
            overnight: window.close <= window.open,
            days: window.days.clone(),
        })
    }

    /// The opening that belongs to this local day; `None`: it does not open on that day, or a clock change leaves nothing
    /// of it.
    fn on(&self, day: Date) -> Option<(i64, i64)> {
        if !self.days.iter().any(|one| names(*one, day)) {
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

    /// Openings whose end is after `now`, in order, of the days around it and those ahead.
    fn ahead(&self, now: i64) -> impl Iterator<Item = (i64, i64)> + '_ {
        let today = Timestamp::from_millisecond(now).ok().map(|now| self.zone.to_datetime(now).date());
        let first = today.and_then(|today| today.checked_sub(2.days()).ok());
        let days = first.into_iter().flat_map(|first| {
            (0..DAYS_AHEAD + 2).filter_map(move |offset| first.checked_add(offset.days()).ok())
        });
        days.filter_map(|day| self.on(day)).filter(move |(_, to)| *to > now)
    }
}

/// Whether the day is one of those that are named.
fn names(one: WindowDay, day: Date) -> bool {
    let from_start = (day.day() - 1) / 7;
    let is_nth = match one.nth {
        None => true,
        Some(NthOfMonth::Last) => day.day() + 7 > day.days_in_month(),
        Some(nth) => nth as i8 == from_start,
    };
    is_nth && one.weekday as i8 == day.weekday().to_monday_zero_offset()
}

const _: () = assert!(Weekday::Mon as usize == 0 && Weekday::Sun as usize == 6);
const _: () = assert!(NthOfMonth::First as usize == 0 && NthOfMonth::Fifth as usize == 4);

/// Whether workers may be started at `now_ms`.
pub fn is_open(schedule: &Schedule, now_ms: i64) -> bool {
    left(schedule, now_ms).is_some()
}

/// The first moment after `now_ms` from which workers may be started; while they may be: the next time after that has
/// ended. `None`: never again.
pub fn next_opening(schedule: &Schedule, now_ms: i64) -> Option<i64> {
    let mut at = now_ms.saturating_add(left(schedule, now_ms).unwrap_or(0));
    for _ in 0..FREEZES_AHEAD {
        let (from, _) = schedule.ahead(at).next()?;
        at = at.max(from);
        match schedule.freeze_at_or_after(at) {
            Some((from, to)) if from <= at => at = to,
            _ if at > now_ms && at < i64::MAX => return Some(at),
            _ => return None,
        }
    }
    None
}

/// Milliseconds until no worker may be started; `None`: none may be now. Openings that follow each other
/// without a gap count as one.
pub fn left(schedule: &Schedule, now_ms: i64) -> Option<i64> {
    let freeze = schedule.freeze_at_or_after(now_ms).map(|(from, _)| from);
    if freeze.is_some_and(|from| from <= now_ms) {
        return None;
    }
    let mut until = None;
    for (from, to) in schedule.ahead(now_ms).take(MERGED) {
        if from > until.unwrap_or(now_ms) {
            break;
        }
        until = Some(until.map_or(to, |until: i64| until.max(to)));
    }
    let until = until?;
    Some(freeze.map_or(until, |freeze| freeze.min(until)).saturating_sub(now_ms))
}

/// The next times after `now_ms` in which workers may be started, in order; of one that has begun what is left of it.
pub fn openings(schedule: &Schedule, now_ms: i64) -> impl Iterator<Item = (i64, i64)> + '_ {
    let mut at = Some(now_ms);
    std::iter::from_fn(move || {
        let now = at?;
        let from = if is_open(schedule, now) { now } else { next_opening(schedule, now)? };
        let to = from.saturating_add(left(schedule, from)?);
        at = Some(to).filter(|to| *to < i64::MAX);
        Some((from, to))
    })
}

/// One of the next times in which workers may be started, after what is left of this one, is as long as this.
pub fn opens_for(schedule: &Schedule, now_ms: i64, length_ms: i64) -> bool {
    /// Nobody waits for more openings than a year of nights has.
    const LOOKED_AT: usize = 400;
    let later = next_opening(schedule, now_ms).map(|next| openings(schedule, next));
    later.into_iter().flatten().take(LOOKED_AT).any(|(from, to)| to.saturating_sub(from) >= length_ms)
}

/// Whether workers may ever be started. Looked at from a fixed day, so that the answer depends on the plan
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
            days: days.iter().copied().map(Into::into).collect(),
        }
    }

    fn schedule(timezone: &str, open: &str, close: &str, days: &[Weekday]) -> Schedule {
        Schedule::new([&window(timezone, open, close, days)], &[]).unwrap()
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
        let unknown = Schedule::new([&window("Europe/Berln", "22:00", "05:00", &ALL)], &[]);
        assert_eq!(unknown.unwrap_err(), "Europe/Berln");
        let never = schedule("UTC", "22:00", "05:00", &[]);
        assert!(!ever_opens(&never));
        assert_eq!((left(&never, 0), next_opening(&never, 0)), (None, None));
        assert_eq!(next_opening(&schedule("UTC", "22:00", "05:00", &ALL), i64::MAX), None);
        assert_eq!(left(&schedule("UTC", "22:00", "05:00", &ALL), i64::MIN), None);
    }

    fn frozen(spans: &[(&str, &str)]) -> Vec<Busy> {
        spans.iter().map(|(from, to)| Busy { from: at(from), to: at(to), name: (*from).to_owned() }).collect()
    }

    #[test]
    fn days_of_a_month_are_counted_from_its_first_and_its_last() {
        let opens = |nth: NthOfMonth, weekday: Weekday, from: &str| {
            let mut window = window("UTC", "22:00", "23:00", &[]);
            window.days = vec![WindowDay { nth: Some(nth), weekday }];
            let schedule = Schedule::new([&window], &[]).unwrap();
            let next = next_opening(&schedule, at(from)).unwrap();
            Timestamp::from_millisecond(next).unwrap().to_string()
        };
        // Patch Tuesday.
        assert_eq!(opens(NthOfMonth::Second, Weekday::Tue, "2026-12-01T00:00:00Z"), "2026-12-08T22:00:00Z");
        assert_eq!(opens(NthOfMonth::First, Weekday::Tue, "2026-12-02T00:00:00Z"), "2027-01-05T22:00:00Z");
        assert_eq!(opens(NthOfMonth::Last, Weekday::Fri, "2027-02-01T00:00:00Z"), "2027-02-26T22:00:00Z");
        assert_eq!(opens(NthOfMonth::Last, Weekday::Mon, "2027-05-01T00:00:00Z"), "2027-05-31T22:00:00Z");
        // February to April have no fifth Saturday.
        assert_eq!(opens(NthOfMonth::Fifth, Weekday::Sat, "2027-01-31T00:00:00Z"), "2027-05-29T22:00:00Z");
    }

    #[test]
    fn several_windows_open_in_the_order_of_time_in_any_zones() {
        let (auckland, la) = (
            window("Pacific/Auckland", "01:00", "03:00", &ALL),
            window("America/Los_Angeles", "04:00", "05:30", &ALL),
        );
        let both = Schedule::new([&la, &auckland], &[]).unwrap();
        let from = at("2026-07-01T00:00:00Z");
        let spans: Vec<_> = openings(&both, from).take(3).collect();
        // 04:00 in Los Angeles is 11:00 UTC, 01:00 in Auckland is 13:00 UTC.
        let hours = |n: i64| from + n * 60 * MINUTE;
        assert_eq!(
            spans,
            [
                (hours(11), hours(12) + 30 * MINUTE),
                (hours(13), hours(15)),
                (hours(35), hours(36) + 30 * MINUTE)
            ]
        );
        let touching = Schedule::new(
            [&window("UTC", "02:00", "03:00", &ALL), &window("UTC", "01:00", "02:00", &ALL)],
            &[],
        );
        assert_eq!(left(&touching.unwrap(), at("2026-07-01T01:30:00Z")), Some(90 * MINUTE));
    }

    #[test]
    fn a_freeze_closes_whatever_is_open() {
        let nights = window("UTC", "22:00", "05:00", &ALL);
        let freeze = frozen(&[
            ("2026-12-24T00:00:00Z", "2027-01-03T00:00:00Z"),
            ("2027-01-02T12:00:00Z", "2027-01-04T02:00:00Z"),
        ]);
        let schedule = Schedule::new([&nights], &freeze).unwrap();
        let eve = at("2026-12-23T23:00:00Z");
        assert_eq!(left(&schedule, eve), Some(60 * MINUTE), "until the freeze");
        assert_eq!(
            next_opening(&schedule, eve),
            Some(at("2027-01-04T02:00:00Z")),
            "what the freeze leaves of a night"
        );
        assert!(
            !is_open(&schedule, at("2026-12-30T23:00:00Z")) && is_open(&schedule, at("2027-01-04T02:00:00Z"))
        );
        assert_eq!(schedule.frozen_for(at("2027-01-03T12:00:00Z")), Some("2027-01-02T12:00:00Z"));
        assert_eq!(schedule.frozen_for(eve), None);
        assert!(
            opens_for(&schedule, eve, 7 * 60 * MINUTE) && !opens_for(&schedule, eve, 7 * 60 * MINUTE + 1)
        );
        // Without windows all other times are open.
        let always = Schedule::new([], &freeze).unwrap();
        assert_eq!(next_opening(&always, eve), Some(at("2027-01-04T02:00:00Z")));
        assert_eq!(left(&always, eve), Some(60 * MINUTE));
        assert!(left(&always, at("2027-01-05T00:00:00Z")).unwrap() > 1_000_000 * MINUTE);
        assert_eq!(next_opening(&always, at("2027-01-05T00:00:00Z")), None);
        assert_eq!(openings(&always, eve).count(), 2);
        let never = Schedule::new([], &frozen(&[("1970-01-01T00:00:00Z", "9000-01-01T00:00:00Z")])).unwrap();
        assert!(ever_opens(&always) && ever_opens(&never), "in the year 9000");
        let nobody =
            Schedule::new([&nights], &frozen(&[("1970-01-01T00:00:00Z", "9999-12-01T00:00:00Z")])).unwrap();
        assert!(!is_open(&nobody, eve));
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
            let named = days.iter().copied().map(Into::into).collect();
            let window = Window { timezone: zone.to_owned(), open, close, days: named };
            let schedule = Schedule::new([&window], &[]).unwrap();
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

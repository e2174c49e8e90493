//! Recurrence rules (RFC 5545, section 3.3.10) as far as calendars of people and teams use them; any other part of a
//! rule is refused, because an event that is left out would let a run start.

use std::ops::RangeInclusive;

use jiff::ToSpan as _;
use jiff::civil::{Date, Weekday};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Frequency {
    Daily,
    Weekly,
    Monthly,
    Yearly,
}

/// A rule, less its end (`COUNT`, `UNTIL`), which its event applies.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    frequency: Frequency,
    interval: i32,
    months: Vec<i8>,
    month_days: Vec<i8>,
    days: Vec<(Option<i8>, Weekday)>,
    /// Which of a period's days, from 1, or from its end.
    positions: Vec<i16>,
    week_starts: Weekday,
    pub(super) count: Option<u32>,
    /// As it is written.
    pub(super) until: Option<String>,
}

impl Rule {
    /// Reads the value of an `RRULE`; the error says what of it is not understood.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut frequency = None;
        let mut rule = Self {
            frequency: Frequency::Daily,
            interval: 1,
            months: Vec::new(),
            month_days: Vec::new(),
            days: Vec::new(),
            positions: Vec::new(),
            week_starts: Weekday::Monday,
            count: None,
            until: None,
        };
        for part in text.split(';').filter(|part| !part.is_empty()) {
            let unknown = || format!("`{part}` of a recurrence rule is not understood");
            let (key, value) = part.split_once('=').ok_or_else(unknown)?;
            let value = value.to_ascii_uppercase();
            match key.to_ascii_uppercase().as_str() {
                "FREQ" => {
                    frequency = Some(match value.as_str() {
                        "DAILY" => Frequency::Daily,
                        "WEEKLY" => Frequency::Weekly,
                        "MONTHLY" => Frequency::Monthly,
                        "YEARLY" => Frequency::Yearly,
                        _ => return Err(unknown()),
                    });
                }
                "INTERVAL" => rule.interval = number(&value, 1..=9999).ok_or_else(unknown)?,
                "COUNT" => rule.count = Some(number(&value, 1..=1_000_000).ok_or_else(unknown)?),
                "UNTIL" => rule.until = Some(value),
                "BYMONTH" => rule.months = list(&value, |one| number(one, 1..=12)).ok_or_else(unknown)?,
                "BYMONTHDAY" => rule.month_days = list(&value, |one| signed(one, 31)).ok_or_else(unknown)?,
                "BYDAY" => rule.days = list(&value, day).ok_or_else(unknown)?,
                "BYSETPOS" => rule.positions = list(&value, |one| signed(one, 366)).ok_or_else(unknown)?,
                "WKST" => rule.week_starts = weekday(&value).ok_or_else(unknown)?,
                _ => return Err(unknown()),
            }
        }
        for list in [&mut rule.months, &mut rule.month_days] {
            list.sort_unstable();
            list.dedup();
        }
        rule.positions.sort_unstable();
        rule.positions.dedup();
        rule.days.sort_unstable_by_key(|(nth, day)| (day.to_monday_zero_offset(), *nth));
        rule.days.dedup();
        rule.frequency = frequency.ok_or("a recurrence rule has no `FREQ`")?;
        let counted = rule.days.iter().any(|(nth, _)| nth.is_some());
        if counted && matches!(rule.frequency, Frequency::Daily | Frequency::Weekly) {
            return Err("a numbered day in a daily or weekly recurrence rule is not understood".to_owned());
        }
        // Whether they are counted in the month or in the year, programs do not agree.
        if counted && !rule.month_days.is_empty() {
            return Err(
                "a numbered day beside `BYMONTHDAY` in a recurrence rule is not understood".to_owned()
            );
        }
        if rule.frequency == Frequency::Weekly && !rule.month_days.is_empty() {
            return Err("`BYMONTHDAY` in a weekly recurrence rule is not understood".to_owned());
        }
        Ok(rule)
    }

    /// How much work it is to look at one period, in days that are compared with one value: a period itself, each of its
    /// days with all that the rule names, and what becomes of those that were `found`.
    pub(super) fn cost(&self, found: usize) -> u32 {
        let days = match self.frequency {
            Frequency::Daily => 1,
            Frequency::Weekly => 7,
            Frequency::Monthly => 31,
            Frequency::Yearly => 366,
        };
        let named = self.months.len() + self.month_days.len() + self.days.len() + self.positions.len();
        u32::try_from(15 + days * (1 + named) + 4 * found).unwrap_or(u32::MAX)
    }

    /// The period with this number, counted from that of `start`: its first day, and the days in it that the rule names,
    /// in order, also those before `start`; `None`: there are no days so late.
    pub(super) fn period(&self, start: Date, number: i32) -> Option<(Date, Vec<Date>)> {
        let steps = number.checked_mul(self.interval)?;
        let (first, mut days) = match self.frequency {
            Frequency::Daily => {
                let day = start.checked_add(steps.days()).ok()?;
                let fits = self.in_month(day) && self.is_month_day(day) && self.is_day(day);
                (day, if fits { vec![day] } else { Vec::new() })
            }
            Frequency::Weekly => {
                let into = i32::from(start.weekday().since(self.week_starts));
                let first = start.checked_add(steps.checked_mul(7)?.checked_sub(into)?.days()).ok()?;
                let week = (0..7_i32).filter_map(|day| first.checked_add(day.days()).ok());
                let fits = |day: &Date| match self.days.is_empty() {
                    true => day.weekday() == start.weekday(),
                    false => self.is_day(*day),
                };
                (first, week.filter(|day| self.in_month(*day)).filter(fits).collect())
            }
            Frequency::Monthly => {
                let month = start.first_of_month().checked_add(steps.months()).ok()?;
                (month, if self.in_month(month) { self.of_month(month, start) } else { Vec::new() })
            }
            Frequency::Yearly => {
                let year = start.first_of_year().checked_add(steps.years()).ok()?;
                (year, self.of_year(year, start))
            }
        };
        if !self.positions.is_empty() {
            days = self.positions.iter().filter_map(|at| nth(&days, *at)).collect();
            days.sort_unstable();
            days.dedup();
        }
        Some((first, days))
    }

    fn of_month(&self, first: Date, start: Date) -> Vec<Date> {
        let month =
            (1..=first.days_in_month()).filter_map(|day| Date::new(first.year(), first.month(), day).ok());
        if self.days.is_empty() && self.month_days.is_empty() {
            return month.filter(|day| day.day() == start.day()).collect();
        }
        let is_nth = |day: &Date| {
            let (from_start, from_end) = ((day.day() - 1) / 7 + 1, (day.days_in_month() - day.day()) / 7 + 1);
            self.has_nth(*day, from_start, from_end)
        };
        month.filter(|day| self.is_month_day(*day)).filter(is_nth).collect()
    }

    fn of_year(&self, first: Date, start: Date) -> Vec<Date> {
        let months =
            |months: RangeInclusive<i8>| months.filter_map(|month| Date::new(first.year(), month, 1).ok());
        if !self.months.is_empty() {
            return months(1..=12)
                .filter(|month| self.in_month(*month))
                .flat_map(|m| self.of_month(m, start))
                .collect();
        }
        if !self.month_days.is_empty() {
            return months(1..=12).flat_map(|month| self.of_month(month, start)).collect();
        }
        if self.days.is_empty() {
            return months(start.month()..=start.month())
                .flat_map(|month| self.of_month(month, start))
                .collect();
        }
        let length = first.days_in_year();
        let year = (0..i32::from(length)).filter_map(|day| first.checked_add(day.days()).ok());
        let is_nth = |day: &Date| {
            let at = day.day_of_year();
            let narrow = |week: i16| i8::try_from(week).unwrap_or(i8::MAX);
            self.has_nth(*day, narrow((at - 1) / 7 + 1), narrow((length - at) / 7 + 1))
        };
        year.filter(is_nth).collect()
    }

    /// The day is one of `BYDAY`: the `from_start`th of its weekday, and the `from_end`th from the end.
    fn has_nth(&self, day: Date, from_start: i8, from_end: i8) -> bool {
        let fits = |nth: Option<i8>| nth.is_none_or(|nth| nth == from_start || nth == -from_end);
        self.days.is_empty() || self.days.iter().any(|(nth, one)| *one == day.weekday() && fits(*nth))
    }

    fn is_day(&self, day: Date) -> bool {
        self.days.is_empty() || self.days.iter().any(|(_, one)| *one == day.weekday())
    }

    fn in_month(&self, day: Date) -> bool {
        self.months.is_empty() || self.months.contains(&day.month())
    }

    fn is_month_day(&self, day: Date) -> bool {
        let from_end = day.day() - day.days_in_month() - 1;
        self.month_days.is_empty() || self.month_days.iter().any(|one| *one == day.day() || *one == from_end)
    }
}

/// The `at`th, from 1, or from the end.
fn nth(days: &[Date], at: i16) -> Option<Date> {
    let (at, from_end) = (usize::from(at.unsigned_abs()), at < 0);
    let index = if from_end { days.len().checked_sub(at)? } else { at - 1 };
    days.get(index).copied()
}

fn number<T: std::str::FromStr + PartialOrd>(text: &str, range: RangeInclusive<T>) -> Option<T> {
    text.parse().ok().filter(|number| range.contains(number))
}

/// From 1 to `most`, or from the end.
fn signed<T>(text: &str, most: T) -> Option<T>
where
    T: std::str::FromStr + PartialOrd + std::ops::Neg<Output = T> + Default + Copy,
{
    let number: T = text.parse().ok()?;
    (number != T::default() && number <= most && number >= -most).then_some(number)
}

fn list<T>(text: &str, one: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
    text.split(',').map(|part| one(part.trim())).collect()
}

fn weekday(text: &str) -> Option<Weekday> {
    Some(match text {
        "MO" => Weekday::Monday,
        "TU" => Weekday::Tuesday,
        "WE" => Weekday::Wednesday,
        "TH" => Weekday::Thursday,
        "FR" => Weekday::Friday,
        "SA" => Weekday::Saturday,
        "SU" => Weekday::Sunday,
        _ => return None,
    })
}

/// `FR`, `2TU`, `-1FR`.
fn day(text: &str) -> Option<(Option<i8>, Weekday)> {
    let (nth, day) = text.split_at_checked(text.len().checked_sub(2)?)?;
    let nth = if nth.is_empty() { None } else { Some(signed(nth, 53)?) };
    Some((nth, weekday(day)?))
}

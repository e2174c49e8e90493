//! Events: when each of them is, with its repetitions.

use std::cell::OnceCell;
use std::collections::BTreeSet;

use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, ToSpan as _};

use super::line::{CalendarError, Line};
use super::rule::Rule;
use super::zone::Zones;

/// So many bytes of a name are kept, as each repetition has it.
const NAME: usize = 60;

/// Repetitions are counted up to this day.
const HORIZON: Date = jiff::civil::date(2100, 1, 1);

/// A day, or a moment of one in a time zone.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Moment {
    date: Date,
    /// `None`: the whole day.
    time: Option<Time>,
    zone: TimeZone,
}

impl Moment {
    /// Milliseconds since 1970; of a day its beginning. A time that a clock change skips moves forward.
    fn at(&self) -> Option<i64> {
        let local = self.date.to_datetime(self.time.unwrap_or_default());
        Some(self.zone.to_ambiguous_timestamp(local).compatible().ok()?.as_millisecond())
    }

    fn on(&self, date: Date) -> Self {
        Self { date, ..self.clone() }
    }
}

/// What the moments of a calendar are read with.
pub(super) struct Times<'a> {
    pub(super) zones: &'a Zones,
    /// Of days, and of times that name none.
    pub(super) floating: TimeZone,
}

impl Times<'_> {
    /// All moments of a line, as `DTSTART` has one and `EXDATE` several.
    fn moments(&self, line: &Line) -> Result<Vec<Moment>, CalendarError> {
        if line.parameter("VALUE").is_some_and(|kind| kind == "PERIOD") {
            return Err(line.error("periods are not understood"));
        }
        let named = OnceCell::new();
        line.value.split(',').map(|text| self.moment(line, text.trim(), &named)).collect()
    }

    /// `named`: the zone that the line names, once it was asked for.
    fn moment(&self, line: &Line, text: &str, named: &OnceCell<TimeZone>) -> Result<Moment, CalendarError> {
        let wrong =
            || line.error(format!("`{text}` is no date or time of a calendar, such as 20261224T180000Z"));
        let (day, time) = text.split_once('T').map_or((text, None), |(day, time)| (day, Some(time)));
        let date = Date::strptime("%Y%m%d", day).map_err(|_| wrong())?;
        let Some(time) = time else {
            return Ok(Moment { date, time: None, zone: self.floating.clone() });
        };
        let (time, utc) = time.strip_suffix('Z').map_or((time, false), |time| (time, true));
        let time = Time::strptime("%H%M%S", time).map_err(|_| wrong())?;
        let zone = match (utc, line.parameter("TZID")) {
            (true, _) => TimeZone::UTC,
            (false, Some(name)) => match named.get() {
                Some(zone) => zone.clone(),
                None => {
                    let zone = self.zones.get(name, line)?;
                    named.get_or_init(|| zone).clone()
                }
            },
            (false, None) => self.floating.clone(),
        };
        Ok(Moment { date, time: Some(time), zone })
    }
}

/// How long each repetition is: so many days by the calendar, then so much time.
#[derive(Clone, Copy)]
struct Length {
    days: i64,
    exact: SignedDuration,
}

impl Length {
    fn end(self, start: &Moment) -> Option<i64> {
        let date = start.date.checked_add(self.days.days()).ok()?;
        start.on(date).at()?.checked_add(i64::try_from(self.exact.as_millis()).ok()?)
    }
}

/// One `VEVENT`.
pub(super) struct Event {
    pub(super) name: String,
    pub(super) uid: String,
    /// It stands for this repetition of the event with the same `uid`, in milliseconds since 1970.
    pub(super) instead_of: Option<i64>,
    pub(super) cancelled: bool,
    start: Moment,
    length: Length,
    rule: Option<Rule>,
    until: Option<Until>,
    extra: Vec<Moment>,
    except: BTreeSet<i64>,
    line: usize,
}

/// The last moment at which a repetition may begin.
enum Until {
    Day(Date),
    At(i64),
}

impl Event {
    /// Reads the lines between `BEGIN:VEVENT` and its end; parts inside of it, such as alarms, are left out already.
    pub(super) fn read(lines: &[Line], first: usize, times: &Times<'_>) -> Result<Self, CalendarError> {
        let find = |name: &str| lines.iter().find(|line| line.name == name);
        let all = |name: &'static str| lines.iter().filter(move |line| line.name == name);
        let one = |line: &Line| {
            let moments = times.moments(line)?;
            match <[Moment; 1]>::try_from(moments) {
                Ok([moment]) => Ok(moment),
                Err(_) => Err(line.error(format!("`{}` has several values", line.name))),
            }
        };
        if let Some(line) = find("EXRULE") {
            return Err(line.error("`EXRULE` is not understood"));
        }
        let start = find("DTSTART").ok_or_else(|| CalendarError::new(first, "an event has no `DTSTART`"))?;
        let start = one(start)?;
        let length = length(find("DTEND"), find("DURATION"), &start, one)?;
        let rule = match find("RRULE") {
            None => None,
            Some(line) => Some((line, Rule::parse(&line.value).map_err(|why| line.error(why))?)),
        };
        if all("RRULE").count() > 1 {
            return Err(CalendarError::new(first, "an event has several recurrence rules"));
        }
        let until = match &rule {
            Some((line, Rule { until: Some(text), .. })) => {
                Some(until(times.moment(line, text, &OnceCell::new())?, &start, line)?)
            }
            _ => None,
        };
        let mut moments = [Vec::new(), Vec::new()];
        for (name, list) in ["RDATE", "EXDATE"].into_iter().zip(&mut moments) {
            for line in all(name) {
                list.extend(times.moments(line)?);
            }
        }
        let [extra, except] = moments;
        let instead_of = match find("RECURRENCE-ID") {
            None => None,
            Some(line) if line.parameter("RANGE").is_some() => {
                return Err(line.error("a change of all later repetitions is not understood"));
            }
            Some(line) => one(line)?.at(),
        };
        let text = |name: &str| find(name).map(|line| line.value.clone()).unwrap_or_default();
        Ok(Self {
            name: name(&text("SUMMARY")),
            uid: text("UID"),
            instead_of,
            cancelled: text("STATUS").eq_ignore_ascii_case("cancelled"),
            start,
            length,
            rule: rule.map(|(_, rule)| rule),
            until,
            extra,
            except: except.iter().filter_map(Moment::at).collect(),
            line: first,
        })
    }

    /// The times of all its repetitions, as [from, to) in milliseconds since 1970. What it takes to find them is taken from
    /// `budget`.
    pub(super) fn spans(&self, budget: &mut u32) -> Result<Vec<(i64, i64)>, CalendarError> {
        let mut starts = vec![self.start.clone()];
        starts.extend(self.extra.iter().cloned());
        if let Some(rule) = &self.rule {
            self.repeat(rule, &mut starts, budget)?;
        }
        let late = || CalendarError::new(self.line, "a time of this event is out of range");
        let mut spans = Vec::new();
        for start in starts {
            let (from, to) = (start.at().ok_or_else(late)?, self.length.end(&start).ok_or_else(late)?);
            if from < to && !self.except.contains(&from) {
                spans.push((from, to));
            }
        }
        Ok(spans)
    }

    fn repeat(&self, rule: &Rule, starts: &mut Vec<Moment>, budget: &mut u32) -> Result<(), CalendarError> {
        let mut left = rule.count.unwrap_or(u32::MAX) - 1;
        for number in 0.. {
            let Some((first, days)) = rule.period(self.start.date, number) else { return Ok(()) };
            *budget = budget.checked_sub(rule.cost(days.len())).ok_or_else(|| {
                CalendarError::new(self.line, "the events of this calendar repeat too often")
            })?;
            if first >= HORIZON {
                return Ok(());
            }
            for day in days.into_iter().filter(|day| *day > self.start.date) {
                let moment = self.start.on(day);
                let is_over = match &self.until {
                    None => false,
                    Some(Until::Day(last)) => day > *last,
                    Some(Until::At(last)) => moment.at().is_none_or(|at| at > *last),
                };
                if left == 0 || is_over || day >= HORIZON {
                    return Ok(());
                }
                left -= 1;
                starts.push(moment);
            }
        }
        Ok(())
    }
}

/// A summary without the signs of its format, and without its end where it is long.
fn name(text: &str) -> String {
    let name = text.replace("\\n", " ").replace("\\N", " ").replace('\\', "");
    if name.len() <= NAME {
        return name;
    }
    let end = (0..=NAME - 3).rev().find(|at| name.is_char_boundary(*at)).unwrap_or_default();
    format!("{}...", &name[..end])
}

fn until(moment: Moment, start: &Moment, line: &Line) -> Result<Until, CalendarError> {
    if moment.time.is_none() || start.time.is_none() {
        return Ok(Until::Day(moment.date));
    }
    // A local time is that of the event.
    let utc = line
        .value
        .to_ascii_uppercase()
        .split(';')
        .any(|part| part.starts_with("UNTIL=") && part.ends_with('Z'));
    let moment = if utc { moment } else { Moment { zone: start.zone.clone(), ..moment } };
    moment.at().map(Until::At).ok_or_else(|| line.error("the end of a recurrence rule is out of range"))
}

fn length(
    end: Option<&Line>,
    duration: Option<&Line>,
    start: &Moment,
    one: impl Fn(&Line) -> Result<Moment, CalendarError>,
) -> Result<Length, CalendarError> {
    let length = match (end, duration) {
        (Some(line), _) => {
            let end = one(line)?;
            if start.time.is_none() && end.time.is_none() {
                let days = start.date.until(end.date).map_or(0, |span| i64::from(span.get_days()));
                Length { days, exact: SignedDuration::ZERO }
            } else {
                let late = || line.error("the end of this event is out of range");
                let (from, to) = (start.at().ok_or_else(late)?, end.at().ok_or_else(late)?);
                Length { days: 0, exact: SignedDuration::from_millis(to.saturating_sub(from)) }
            }
        }
        (None, Some(line)) => nominal(line)?,
        (None, None) if start.time.is_none() => Length { days: 1, exact: SignedDuration::ZERO },
        (None, None) => Length { days: 0, exact: SignedDuration::ZERO },
    };
    match (length.days < 0 || length.exact.is_negative(), end.or(duration)) {
        (true, Some(line)) => Err(line.error("this event ends before it begins")),
        _ => Ok(length),
    }
}

/// `P1W`, `P2DT3H30M`.
fn nominal(line: &Line) -> Result<Length, CalendarError> {
    let wrong = || line.error(format!("`{}` is no duration of a calendar, such as P2DT3H", line.value));
    let span: jiff::Span = line.value.parse().map_err(|_| wrong())?;
    let days = i64::from(span.get_weeks()) * 7 + i64::from(span.get_days());
    let exact = SignedDuration::from_hours(i64::from(span.get_hours()))
        + SignedDuration::from_mins(span.get_minutes())
        + SignedDuration::from_secs(span.get_seconds());
    if span.get_years() != 0 || span.get_months() != 0 {
        return Err(wrong());
    }
    Ok(Length { days, exact })
}

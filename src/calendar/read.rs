//! A calendar as a whole.

use std::collections::{BTreeMap, BTreeSet};

use jiff::tz::TimeZone;

use super::event::{Event, Times};
use super::line::{CalendarError, Line, lines};
use super::zone::Zones;

/// So much work are the repetitions of one calendar, as [`Rule::cost`](super::rule::Rule::cost) counts it: a day each for
/// three centuries, ten times.
pub(super) const WORK: u32 = 20_000_000;

/// Components in each other: a calendar has three, and a file of more bytes than sense has thousands.
const DEEPEST: usize = 8;

/// A time that an event covers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Busy {
    /// Milliseconds since 1970.
    pub from: i64,
    /// Milliseconds since 1970, exclusive.
    pub to: i64,
    /// The beginning of the event's summary; text of others.
    pub name: String,
}

/// The times that the events of a calendar cover, in order, up to the year 2100. Events that are cancelled do not count;
/// those that are marked as free do, because that is how many programs mark events of whole days. Days, and times
/// without a zone, are those of the calendar's own zone, else of `floating`.
///
/// # Errors
/// It is no calendar, is cut off, or has something that is not understood.
pub fn read(text: &str, floating: &TimeZone) -> Result<Vec<Busy>, CalendarError> {
    read_within(text, floating, WORK)
}

/// As [`read`], with so much work at most.
pub(super) fn read_within(text: &str, floating: &TimeZone, work: u32) -> Result<Vec<Busy>, CalendarError> {
    let lines = lines(text)?;
    let is =
        |line: &Line, name: &str, value: &str| line.name == name && line.value.eq_ignore_ascii_case(value);
    if !lines.first().is_some_and(|line| is(line, "BEGIN", "VCALENDAR")) {
        return Err(CalendarError::new(1, "this is no calendar: it does not begin with `BEGIN:VCALENDAR`"));
    }
    let mut zones = Zones::default();
    for block in blocks(&lines, "VTIMEZONE")? {
        zones.define(block);
    }
    let own = lines.iter().find(|line| line.name == "X-WR-TIMEZONE");
    let floating = own.map_or_else(|| Ok(floating.clone()), |line| zones.get(&line.value, line))?;
    let times = Times { zones: &zones, floating };
    let mut events = Vec::new();
    for block in blocks(&lines, "VEVENT")? {
        events.push(Event::read(&without_parts(block), block[0].number, &times)?);
    }
    let replaced: BTreeSet<(&str, i64)> =
        events.iter().filter_map(|event| Some((event.uid.as_str(), event.instead_of?))).collect();
    let mut found = BTreeMap::new();
    let mut budget = work;
    for event in events.iter().filter(|event| !event.cancelled) {
        for (from, to) in event.spans(&mut budget)? {
            let is_replaced = event.instead_of.is_none() && replaced.contains(&(event.uid.as_str(), from));
            if !is_replaced {
                found.entry((from, to)).or_insert_with(|| event.name.clone());
            }
        }
    }
    Ok(found.into_iter().map(|((from, to), name)| Busy { from, to, name }).collect())
}

/// The lines of each such component, from its `BEGIN` to before its `END`; every component has to have an end.
fn blocks<'a>(lines: &'a [Line], name: &str) -> Result<Vec<&'a [Line]>, CalendarError> {
    let mut open: Vec<(usize, &str)> = Vec::new();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        match line.name.as_str() {
            "BEGIN" if open.len() >= DEEPEST => {
                return Err(line.error("components are nested deeper than in any calendar"));
            }
            "BEGIN" => open.push((at, &line.value)),
            "END" => match open.pop() {
                Some((from, began)) if began.eq_ignore_ascii_case(&line.value) => {
                    if began.eq_ignore_ascii_case(name) {
                        found.push(&lines[from..at]);
                    }
                }
                _ => return Err(line.error(format!("`END:{}` ends nothing", line.value))),
            },
            _ => {}
        }
    }
    match open.last() {
        None => Ok(found),
        Some((at, began)) => Err(lines[*at].error(format!("`{began}` has no end: the calendar is cut off"))),
    }
}

/// An event's own lines.
fn without_parts(block: &[Line]) -> Vec<Line> {
    let mut depth = 0_usize;
    let mut own = Vec::new();
    for line in &block[1..] {
        match line.name.as_str() {
            "BEGIN" => depth += 1,
            "END" => depth = depth.saturating_sub(1),
            _ if depth == 0 => own.push(line.clone()),
            _ => {}
        }
    }
    own
}

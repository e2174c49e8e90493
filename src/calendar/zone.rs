//! Time zones of a calendar: by their IANA names, or as the calendar itself defines them.

use std::collections::BTreeMap;

use jiff::tz::{TimeZone, TimeZoneDatabase};

use super::line::{CalendarError, Line};

/// Each part behind a slash is tried, for each time that names the zone.
const LONGEST_NAME: usize = 255;

/// The zones that a calendar defines, by their names there.
#[derive(Default)]
pub(super) struct Zones(BTreeMap<String, Definition>);

/// A `VTIMEZONE`.
#[derive(Default)]
struct Definition {
    standard: Option<Observance>,
    daylight: Option<Observance>,
}

/// The newest `STANDARD` or `DAYLIGHT` part of a zone.
struct Observance {
    /// When it begins for the first time, as it is written; later ones replace earlier ones.
    since: String,
    /// As POSIX writes it: hours to be added to local time for UTC.
    offset: String,
    /// `M3.5.0/2`, where it begins each year.
    begins: Option<String>,
}

impl Zones {
    /// The zone of this name.
    ///
    /// # Errors
    /// Nobody knows it, or it is defined in a way that is not understood.
    pub(super) fn get(&self, name: &str, line: &Line) -> Result<TimeZone, CalendarError> {
        if name.len() > LONGEST_NAME {
            return Err(line.error("the time zone is not known: its name is longer than any"));
        }
        let database = TimeZoneDatabase::bundled();
        // Some programs put a registry before the name: /freeassociation.sourceforge.net/Europe/Berlin.
        let tails = name.match_indices('/').map(|(at, _)| &name[at + 1..]);
        if let Some(zone) = std::iter::once(name).chain(tails).find_map(|name| database.get(name).ok()) {
            return Ok(zone);
        }
        let unknown = || {
            line.error(format!(
                "the time zone `{name}` is not known, and not defined in a way that is understood"
            ))
        };
        let definition = self.0.get(name).ok_or_else(unknown)?;
        definition.posix().and_then(|posix| TimeZone::posix(&posix).ok()).ok_or_else(unknown)
    }

    /// Takes in the lines of one `VTIMEZONE`.
    pub(super) fn define(&mut self, lines: &[Line]) {
        let Some(name) = lines.iter().find(|line| line.name == "TZID") else { return };
        let definition = self.0.entry(name.value.clone()).or_default();
        for part in lines.split(|line| line.name == "BEGIN").skip(1) {
            let Some(end) = part.iter().find(|line| line.name == "END") else { continue };
            let slot = match end.value.to_ascii_uppercase().as_str() {
                "STANDARD" => &mut definition.standard,
                "DAYLIGHT" => &mut definition.daylight,
                _ => continue,
            };
            if let Some(observance) = Observance::of(part)
                && slot.as_ref().is_none_or(|known| known.since < observance.since)
            {
                *slot = Some(observance);
            }
        }
    }
}

impl Definition {
    /// As a POSIX time zone, which says the rule of today for all times. Freezes lie ahead.
    fn posix(&self) -> Option<String> {
        let standard = self.standard.as_ref()?;
        let Some(daylight) = &self.daylight else { return Some(format!("<std>{}", standard.offset)) };
        let (to_daylight, to_standard) = (daylight.begins.as_ref()?, standard.begins.as_ref()?);
        Some(format!("<std>{}<dst>{},{to_daylight},{to_standard}", standard.offset, daylight.offset))
    }
}

impl Observance {
    fn of(lines: &[Line]) -> Option<Self> {
        let value = |name: &str| lines.iter().find(|line| line.name == name).map(|line| line.value.as_str());
        let since = value("DTSTART")?;
        let begins = value("RRULE").and_then(|rule| {
            let part = |key: &str| rule.split(';').find_map(|part| part.strip_prefix(key));
            let month: u8 = part("BYMONTH=")?.parse().ok()?;
            let (nth, day) = part("BYDAY=")?.split_at_checked(part("BYDAY=")?.len().checked_sub(2)?)?;
            let week = match nth.trim_start_matches('+').parse::<i8>().ok()? {
                -1 => 5,
                nth @ 1..=4 => nth,
                _ => return None,
            };
            let day = ["SU", "MO", "TU", "WE", "TH", "FR", "SA"].iter().position(|name| *name == day)?;
            let (hour, minute) = (since.get(9..11)?, since.get(11..13)?);
            Some(format!("M{month}.{week}.{day}/{hour}:{minute}"))
        });
        Some(Self { since: since.to_owned(), offset: posix_offset(value("TZOFFSETTO")?)?, begins })
    }
}

/// `+0130` east of Greenwich is `-01:30` for POSIX.
fn posix_offset(text: &str) -> Option<String> {
    let sign = match text.get(..1)? {
        "+" => '-',
        "-" => '+',
        _ => return None,
    };
    let (hours, minutes) = (text.get(1..3)?, text.get(3..5)?);
    let is_number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    (is_number(hours) && is_number(minutes)).then(|| format!("{sign}{hours}:{minutes}"))
}

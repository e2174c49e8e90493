//! When a plan's freeze holds: its dates, and the events of its calendars, as moments.

use std::collections::BTreeMap;

use jiff::ToSpan as _;
use jiff::tz::{TimeZone, TimeZoneDatabase};

use crate::calendar::{self, Busy};
use crate::plan::{FrozenDates, Located, Plan, Problem, Problems, visible_line};

/// The times in which a plan is frozen, in order; they may overlap. `files` has the calendars by the paths in the plan.
pub(super) fn frozen(plan: &Plan, files: &BTreeMap<String, String>, problems: &mut Problems) -> Vec<Busy> {
    let Some(freeze) = &plan.rollout.freeze else { return Vec::new() };
    let Ok(zone) = TimeZoneDatabase::bundled().get(&freeze.value.timezone) else {
        let message = format!("there is no time zone `{}`", freeze.value.timezone);
        problems.push(
            Problem::error("maand::plan::bad_timezone", message)
                .at(&plan.source, freeze.span.clone(), "unknown time zone")
                .help("write a name of the IANA database, such as `Europe/Berlin` or `UTC`"),
        );
        return Vec::new();
    };
    let mut all: Vec<Busy> = freeze.value.dates.iter().filter_map(|dates| of_dates(*dates, &zone)).collect();
    for path in &freeze.value.calendars {
        match events(path, files, &zone) {
            Ok(events) => all.extend(events),
            Err(why) => problems.push(
                Problem::error(
                    "maand::plan::calendar",
                    format!("the calendar `{}` cannot be used: {why}", path.value),
                )
                .at(&plan.source, path.span.clone(), "named here")
                .help(
                    "a freeze that cannot be read could hide a time in which nothing may be started: export the calendar \
                     anew, change that event, or write its dates into `dates`",
                ),
            ),
        }
    }
    all.sort();
    all
}

fn events(
    path: &Located<String>,
    files: &BTreeMap<String, String>,
    zone: &TimeZone,
) -> Result<Vec<Busy>, String> {
    let text = files.get(&path.value).ok_or("its text is not there")?;
    let events = calendar::read(text, zone).map_err(|error| error.to_string())?;
    Ok(events.into_iter().map(|event| Busy { name: visible_line(&event.name), ..event }).collect())
}

fn of_dates(dates: FrozenDates, zone: &TimeZone) -> Option<Busy> {
    let start = |day: jiff::civil::Date| {
        Some(
            zone.to_ambiguous_timestamp(day.to_datetime(jiff::civil::Time::midnight()))
                .compatible()
                .ok()?
                .as_millisecond(),
        )
    };
    let after = dates.last.checked_add(1.day()).ok()?;
    Some(Busy { from: start(dates.first)?, to: start(after)?, name: dates.to_string() })
}

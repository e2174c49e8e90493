//! What fuzzers call of this room.

use std::sync::LazyLock;

use jiff::tz::{TimeZone, TimeZoneDatabase};

use super::read::read_within;
use super::{Busy, CalendarError};
use crate::fuzzing::is_fit_to_print;
use crate::plan::visible_line;

static BERLIN: LazyLock<Option<TimeZone>> =
    LazyLock::new(|| TimeZoneDatabase::bundled().get("Europe/Berlin").ok());

/// Less than what a calendar may take: many are read in a second.
const WORK: u32 = 200_000;

/// An event that no calendar has: an hour of a day in 2026.
const ANOTHER: &str =
    "BEGIN:VEVENT\nUID:another of ours\nDTSTART:20260701T120000Z\nDURATION:PT1H\nEND:VEVENT\n";
const ANOTHER_AT: (i64, i64) = (1_782_907_200_000, 1_782_910_800_000);

/// A calendar of anybody: how its lines end and are folded decides nothing, and one event more takes nothing away.
pub(crate) fn calendar(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let found = times(&text);
    match &found {
        Ok(busy) => assert!(busy.is_sorted() && busy.iter().all(|one| one.from < one.to), "{busy:?}"),
        Err(error) => {
            assert!((1..=text.lines().count().max(1)).contains(&error.line), "{error}");
            assert!(!error.why.is_empty());
            is_fit_to_print(&visible_line(&error.why));
        }
    }
    if text.contains('\r') || text.starts_with('\u{feff}') {
        return;
    }
    assert_eq!(times(&text.replace('\n', "\r\n")), found, "with the line ends of the RFC");
    let (folded, found) = (times(&folded(&text)).ok(), found.ok());
    assert_eq!(folded, found, "folded");
    if let Some(before) = text.trim_end().strip_suffix("END:VCALENDAR")
        && before.ends_with('\n')
        && !before.contains("another of ours")
        && let Some(found) = found
    {
        let more = times(&format!("{before}{ANOTHER}END:VCALENDAR\n"));
        let spans: Vec<_> = more.iter().flatten().map(|one| (one.from, one.to)).collect();
        assert!(found.iter().all(|one| spans.contains(&(one.from, one.to))), "{found:?} and {more:?}");
        assert!(spans.contains(&ANOTHER_AT), "{more:?}");
    }
}

fn times(text: &str) -> Result<Vec<Busy>, CalendarError> {
    let Some(berlin) = &*BERLIN else { panic!("there are no time zones") };
    read_within(text, berlin, WORK)
}

/// Each line cut once, as programs cut long ones.
fn folded(text: &str) -> String {
    let fold = |line: &str| match line.char_indices().nth(7) {
        Some((at, _)) => format!("{}\n {}\n", &line[..at], &line[at..]),
        None => format!("{line}\n"),
    };
    text.lines().map(fold).collect()
}

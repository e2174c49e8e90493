use jiff::Timestamp;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use proptest::prelude::*;

use super::{Busy, read};

fn berlin() -> TimeZone {
    TimeZoneDatabase::bundled().get("Europe/Berlin").unwrap()
}

fn calendar(events: &str) -> String {
    format!("BEGIN:VCALENDAR\r\nVERSION:2.0\r\n{}END:VCALENDAR\r\n", events.replace('\n', "\r\n"))
}

fn event(lines: &str) -> String {
    calendar(&format!("BEGIN:VEVENT\nUID:1\n{lines}END:VEVENT\n"))
}

/// Each event as `from..to name`, in Berlin where days are meant.
fn spans(text: &str) -> Vec<String> {
    let at = |ms: i64| Timestamp::from_millisecond(ms).unwrap().strftime("%Y-%m-%dT%H:%MZ").to_string();
    let one = |busy: Busy| format!("{}..{} {}", at(busy.from), at(busy.to), busy.name).trim_end().to_owned();
    read(text, &berlin()).unwrap().into_iter().map(one).collect()
}

fn refused(text: &str) -> String {
    read(text, &berlin()).unwrap_err().to_string()
}

#[test]
fn days_are_those_of_the_zone_and_times_those_of_their_own() {
    let days = event("SUMMARY:Year\\, end\nDTSTART;VALUE=DATE:20261224\nDTEND;VALUE=DATE:20270103\n");
    assert_eq!(spans(&days), ["2026-12-23T23:00Z..2027-01-02T23:00Z Year, end"]);
    assert_eq!(spans(&event("DTSTART;VALUE=DATE:20261224\n")), ["2026-12-23T23:00Z..2026-12-24T23:00Z"]);
    let utc = event("DTSTART:20260701T120000Z\nDURATION:P1DT30M\n");
    assert_eq!(spans(&utc), ["2026-07-01T12:00Z..2026-07-02T12:30Z"]);
    let named =
        event("DTSTART;TZID=America/New_York:20260701T120000\nDTEND;TZID=America/New_York:20260701T130000\n");
    assert_eq!(spans(&named), ["2026-07-01T16:00Z..2026-07-01T17:00Z"]);
    assert_eq!(
        spans(&event("DTSTART:20260701T120000\nDTEND:20260701T130000\n")),
        ["2026-07-01T10:00Z..2026-07-01T11:00Z"]
    );
    let own = calendar("X-WR-TIMEZONE:Asia/Tokyo\nBEGIN:VEVENT\nDTSTART;VALUE=DATE:20260701\nEND:VEVENT\n");
    assert_eq!(spans(&own), ["2026-06-30T15:00Z..2026-07-01T15:00Z"]);
    assert_eq!(spans(&event("DTSTART:20260701T120000Z\n")), [""; 0], "it takes no time");
}

#[test]
fn what_is_free_counts_and_what_is_cancelled_does_not() {
    let free = event("DTSTART;VALUE=DATE:20260701\nTRANSP:TRANSPARENT\nX-MICROSOFT-CDO-BUSYSTATUS:FREE\n");
    assert_eq!(spans(&free).len(), 1);
    assert_eq!(spans(&event("DTSTART;VALUE=DATE:20260701\nSTATUS:CANCELLED\n")).len(), 0);
}

#[test]
fn lines_are_unfolded_and_parts_of_events_are_none_of_them() {
    let text = "SUMMARY:Quarter\n  end\nDTSTART;VALUE=DATE:202609\n 30\nBEGIN:VALARM\nTRIGGER:-PT15M\nDURATION:PT1H\nEND:VALARM\n";
    assert_eq!(spans(&event(text)), ["2026-09-29T22:00Z..2026-09-30T22:00Z Quarter end"]);
    let quoted = event("DTSTART;X-A=\"a;b:c\";TZID=\"UTC\":20260701T120000\nDURATION:PT1H\n");
    assert_eq!(spans(&quoted), ["2026-07-01T12:00Z..2026-07-01T13:00Z"]);
}

#[test]
fn zones_that_a_calendar_defines_are_those_of_outlook() {
    let zone = "BEGIN:VTIMEZONE\nTZID:W. Europe Standard Time\n\
                BEGIN:STANDARD\nDTSTART:16010101T030000\nTZOFFSETFROM:+0200\nTZOFFSETTO:+0100\n\
                RRULE:FREQ=YEARLY;INTERVAL=1;BYDAY=-1SU;BYMONTH=10\nEND:STANDARD\n\
                BEGIN:DAYLIGHT\nDTSTART:16010101T020000\nTZOFFSETFROM:+0100\nTZOFFSETTO:+0200\n\
                RRULE:FREQ=YEARLY;INTERVAL=1;BYDAY=-1SU;BYMONTH=3\nEND:DAYLIGHT\nEND:VTIMEZONE\n";
    let at = |time: &str| {
        let event =
            format!("BEGIN:VEVENT\nDTSTART;TZID=W. Europe Standard Time:{time}\nDURATION:PT1H\nEND:VEVENT\n");
        spans(&calendar(&format!("{zone}{event}"))).join("")
    };
    assert_eq!(at("20260701T120000"), "2026-07-01T10:00Z..2026-07-01T11:00Z");
    assert_eq!(at("20261201T120000"), "2026-12-01T11:00Z..2026-12-01T12:00Z");
    assert_eq!(at("20261025T040000"), "2026-10-25T03:00Z..2026-10-25T04:00Z", "after the change");
    let fixed = "BEGIN:VTIMEZONE\nTZID:Customized\nBEGIN:STANDARD\nDTSTART:19700101T000000\nTZOFFSETFROM:+0530\n\
                 TZOFFSETTO:+0530\nEND:STANDARD\nEND:VTIMEZONE\n\
                 BEGIN:VEVENT\nDTSTART;TZID=Customized:20260701T120000\nDURATION:PT1H\nEND:VEVENT\n";
    assert_eq!(spans(&calendar(fixed)), ["2026-07-01T06:30Z..2026-07-01T07:30Z"]);
    let prefixed =
        event("DTSTART;TZID=/freeassociation.sourceforge.net/Europe/Berlin:20260701T120000\nDURATION:PT1H\n");
    assert_eq!(spans(&prefixed), ["2026-07-01T10:00Z..2026-07-01T11:00Z"]);
    assert!(refused(&event("DTSTART;TZID=Nowhere:20260701T120000\n")).contains("`Nowhere` is not known"));
}

#[test]
fn repetitions_keep_their_local_time_and_have_exceptions() {
    let weekly = event(
        "DTSTART;TZID=Europe/Berlin:20261023T180000\nDURATION:PT1H\nRRULE:FREQ=WEEKLY;COUNT=4\n\
         EXDATE;TZID=Europe/Berlin:20261106T180000\nRDATE:20261201T100000Z\n",
    );
    let expected = [
        "2026-10-23T16:00Z..2026-10-23T17:00Z",
        "2026-10-30T17:00Z..2026-10-30T18:00Z",
        "2026-11-13T17:00Z..2026-11-13T18:00Z",
        "2026-12-01T10:00Z..2026-12-01T11:00Z",
    ];
    assert_eq!(spans(&weekly), expected);
    let moved = calendar(
        "BEGIN:VEVENT\nUID:a\nDTSTART:20260701T120000Z\nDURATION:PT1H\nRRULE:FREQ=DAILY;UNTIL=20260703T120000Z\nEND:VEVENT\n\
         BEGIN:VEVENT\nUID:a\nRECURRENCE-ID:20260702T120000Z\nDTSTART:20260702T200000Z\nDURATION:PT2H\nEND:VEVENT\n",
    );
    let expected = [
        "2026-07-01T12:00Z..2026-07-01T13:00Z",
        "2026-07-02T20:00Z..2026-07-02T22:00Z",
        "2026-07-03T12:00Z..2026-07-03T13:00Z",
    ];
    assert_eq!(spans(&moved), expected);
    let years = event("DTSTART;VALUE=DATE:20241224\nDTEND;VALUE=DATE:20241227\nRRULE:FREQ=YEARLY\n");
    assert_eq!(spans(&years).len(), 76, "up to 2099");
}

#[test]
fn what_is_not_understood_is_refused_with_its_line() {
    let rule = |rule: &str| refused(&event(&format!("DTSTART;VALUE=DATE:20260701\nRRULE:{rule}\n")));
    assert!(rule("FREQ=HOURLY").starts_with("line 6: `FREQ=HOURLY`"), "{}", rule("FREQ=HOURLY"));
    assert!(rule("FREQ=YEARLY;BYWEEKNO=20").contains("`BYWEEKNO=20`"));
    assert!(rule("FREQ=DAILY;INTERVAL=0").contains("`INTERVAL=0`"));
    assert!(rule("COUNT=3").contains("no `FREQ`"));
    assert!(rule("FREQ=WEEKLY;BYDAY=2TU").contains("numbered day"));
    assert!(rule("FREQ=YEARLY;BYDAY=2TU;BYMONTHDAY=13").contains("numbered day"));
    for (text, why) in [
        (String::new(), "line 1: this is no calendar"),
        ("<html>".to_owned(), "it has no `:`"),
        ("BEGIN:VCARD\nEND:VCARD\n".to_owned(), "this is no calendar"),
        ("BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART:20260701T000000Z\n".to_owned(), "cut off"),
        ("BEGIN:VCALENDAR\nEND:VEVENT\n".to_owned(), "ends nothing"),
        (event("SUMMARY:x\n"), "no `DTSTART`"),
        (event("DTSTART:tomorrow\n"), "`tomorrow` is no date"),
        (event("DTSTART:20260230T000000Z\n"), "is no date"),
        (event("DTSTART:20260701T120000Z\nDTEND:20260701T110000Z\n"), "ends before it begins"),
        (event("DTSTART:20260701T120000Z\nDURATION:P1Y\n"), "`P1Y` is no duration"),
        (event("DTSTART:20260701T120000Z\nRDATE;VALUE=PERIOD:20260701T120000Z/PT1H\n"), "periods"),
        (
            event("DTSTART:20260701T120000Z\nRECURRENCE-ID;RANGE=THISANDFUTURE:20260701T120000Z\n"),
            "later repetitions",
        ),
        (event("DTSTART:20260701T120000Z\nEXRULE:FREQ=DAILY\n"), "`EXRULE`"),
    ] {
        assert!(refused(&text).contains(why), "{text:?}: {}", refused(&text));
    }
    let endless =
        "BEGIN:VEVENT\nDTSTART:00010101T000000Z\nDURATION:PT1S\nRRULE:FREQ=DAILY\nEND:VEVENT\n".repeat(20);
    assert!(refused(&calendar(&endless)).contains("too often"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// Against a library of others.
    #[test]
    fn repetitions_are_those_of_another_implementation(
        start in prop::sample::select(vec!["20260101", "20260228", "20240229", "20260131", "20261231", "20260615"]),
        frequency in prop::sample::select(vec!["DAILY", "WEEKLY", "MONTHLY", "YEARLY"]),
        interval in 1..4_u8,
        days in prop::collection::btree_set(prop::sample::select(vec!["MO", "TU", "FR", "SU"]), 0..3),
        nth in prop::sample::select(vec!["", "1", "2", "-1", "5"]),
        months in prop::collection::btree_set(1..13_u8, 0..3),
        month_days in prop::collection::btree_set(prop::sample::select(vec![1_i8, 13, 29, 31, -1]), 0..2),
        position in prop::sample::select(vec!["", ";BYSETPOS=1", ";BYSETPOS=-1", ";BYSETPOS=2,-1"]),
        week_starts in prop::sample::select(vec!["", ";WKST=SU"]),
    ) {
        let numbered = matches!(frequency, "MONTHLY" | "YEARLY");
        let join = |key: &str, values: Vec<String>| {
            if values.is_empty() { String::new() } else { format!(";{key}={}", values.join(",")) }
        };
        let nth = if numbered { nth } else { "" };
        let by_day = join("BYDAY", days.iter().map(|day| format!("{nth}{day}")).collect());
        let counted = !nth.is_empty() && !days.is_empty();
        let by_month_day = if frequency == "WEEKLY" || counted { String::new() } else {
            join("BYMONTHDAY", month_days.iter().map(ToString::to_string).collect())
        };
        // Alone it chooses from nothing.
        let position = if by_day.is_empty() && by_month_day.is_empty() { "" } else { position };
        let by_month = join("BYMONTH", months.iter().map(ToString::to_string).collect());
        let rule = format!(
            "FREQ={frequency};INTERVAL={interval}{by_day}{by_month}{by_month_day}{position}{week_starts};UNTIL=20320101T000000Z"
        );
        let text = format!("DTSTART:{start}T100000Z\nRRULE:{rule}");
        let known: rrule::RRuleSet = text.parse().unwrap();
        let mut expected: Vec<i64> =
            known.all(10_000).dates.iter().map(|date| date.timestamp_millis()).collect();
        // The first one counts here, whether its rule names it or not.
        let first = format!("{start}T100000Z");
        let first = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", &first).unwrap();
        expected.push(TimeZone::UTC.to_timestamp(first).unwrap().as_millisecond());
        expected.sort_unstable();
        expected.dedup();
        let found = read(&event(&format!("{text}\nDURATION:PT1H\n")), &TimeZone::UTC).unwrap();
        let found: Vec<i64> = found.iter().map(|busy| busy.from).collect();
        prop_assert_eq!(found, expected, "{}", rule);
    }
}

/// A file that somebody has put there may be made for it: none of these has more bytes than a calendar may have.
#[test]
fn no_calendar_of_a_megabyte_takes_long_or_much_memory() {
    let days = |name: &str, count: usize| {
        let day = |at: usize| format!("2{:03}{:02}{:02}", at / 336 % 1000, at / 28 % 12 + 1, at % 28 + 1);
        format!("{name}:{}\n", (0..count).map(day).collect::<Vec<_>>().join(","))
    };
    let began = std::time::Instant::now();
    let daily = "DTSTART;VALUE=DATE:19600101\nRRULE:FREQ=DAILY\n";
    // Each day that is excluded, for each day.
    let excluded = spans(&event(&format!("{daily}{}", days("EXDATE;VALUE=DATE", 100_000))));
    assert!(excluded.len() < 51_200, "{}", excluded.len());
    // Each day of a list, for each day of a year.
    let list = vec!["1MO,-1FR,53SU"; 70_000].join(",");
    assert!(
        !spans(&event(&format!("DTSTART:19000101T000000Z\nDURATION:PT1H\nRRULE:FREQ=YEARLY;BYDAY={list}\n")))
            .is_empty()
    );
    let weekdays = (1..=53).flat_map(|at| ["MO", "TU", "WE"].map(|day| format!("{at}{day},-{at}{day}")));
    let rule = format!("RRULE:FREQ=YEARLY;BYDAY={}\n", weekdays.collect::<Vec<_>>().join(","));
    let one = format!("BEGIN:VEVENT\nDTSTART:00010101T000000Z\nDURATION:PT1H\n{rule}END:VEVENT\n");
    assert!(refused(&calendar(&one.repeat(400))).contains("too often"));
    // Each slash of a name, for each moment.
    let name = "a/".repeat(200_000);
    let times = vec!["20260701T120000"; 30_000].join(",");
    let zoned = format!("DTSTART:20260701T120000Z\nRDATE;TZID={name}:{times}\n");
    assert!(refused(&event(&zoned)).contains("is not known"));
    // What is in what is in what.
    let nested = format!(
        "{}{}",
        "BEGIN:VEVENT\nDTSTART:20260701T120000Z\n".repeat(15_000),
        "END:VEVENT\n".repeat(15_000)
    );
    assert!(refused(&calendar(&nested)).contains("nested"));
    // A name, for each day.
    let named = event(&format!("SUMMARY:{}\n{daily}", "é".repeat(4_000)));
    let names: usize = read(&named, &berlin()).unwrap().iter().map(|busy| busy.name.len()).sum();
    assert!(names < 10_000_000, "{names} bytes of names");
    assert!(began.elapsed() < std::time::Duration::from_secs(30), "{:?}", began.elapsed());
}

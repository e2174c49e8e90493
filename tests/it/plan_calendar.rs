//! Windows and freezes from an operator's command line: shown with what they mean for a run that is started now, kept with
//! a reviewed plan, and refused where they cannot be read.

use std::fs;
use std::process::Command;

use jiff::{Timestamp, ToSpan as _};

/// A bucket with one worker that nobody has to reach, and a plan beside it.
struct Calendars {
    dir: tempfile::TempDir,
    /// Looked at once: midnight may come in the middle of a test.
    today: jiff::civil::Date,
}

/// Exit code, what was printed, and what was said beside it.
type Said = (Option<i32>, String, String);

impl Calendars {
    fn new(rollout: &str) -> Self {
        let calendars = Self {
            dir: tempfile::tempdir().unwrap(),
            today: Timestamp::now().to_zoned_datetime(jiff::tz::TimeZone::UTC).date(),
        };
        assert_eq!(calendars.said(&["init"]).0, Some(0));
        calendars.put("workspace/workers.json", r#"[{"host": "127.9.9.1"}]"#);
        let plan = format!(
            "version: 1\nname: freeze\nrollout: {rollout}\nsteps:\n  - run: {{command: uptime, idempotent: true}}\n"
        );
        calendars.put("plan.yaml", &plan);
        calendars
    }

    fn put(&self, path: &str, text: &str) {
        fs::write(self.dir.path().join(path), text).unwrap();
    }

    fn said(&self, args: &[&str]) -> Said {
        let output = Command::new(env!("CARGO_BIN_EXE_maand"))
            .args(args)
            .current_dir(self.dir.path())
            .env("COLUMNS", "300")
            .output()
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        // A message is wrapped at the width of a terminal.
        let stderr = text(output.stderr).replace('│', " ").split_whitespace().collect::<Vec<_>>().join(" ");
        (output.status.code(), text(output.stdout), stderr)
    }

    /// The whole days from `from` to `to`, counted from today, as a calendar of one event.
    fn put_freeze(&self, from: i64, to: i64) {
        let day = |days: i64| self.today.checked_add(days.days()).unwrap().strftime("%Y%m%d").to_string();
        self.put(
            "freezes.ics",
            &format!(
                "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nSUMMARY:Year end\r\nDTSTART;VALUE=DATE:{}\r\n\
                 DTEND;VALUE=DATE:{}\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n",
                day(from),
                day(to)
            ),
        );
    }
}

/// The next openings that the JSON form of `plan show` has: from and to.
fn openings(said: &Said) -> Vec<(i64, Option<i64>)> {
    let document = crate::document(&said.1);
    let next = document["forecast"]["openings"]["next"].as_array().unwrap();
    next.iter().map(|one| (one["from_ms"].as_i64().unwrap(), one["to_ms"].as_i64())).collect()
}

#[test]
fn a_freeze_of_a_calendar_closes_the_days_that_it_names() {
    let calendars = Calendars::new("{freeze: {timezone: UTC, calendars: [freezes.ics]}}");
    calendars.put_freeze(-1, 3);
    let shown = calendars.said(&["plan", "show", "plan.yaml"]);
    assert_eq!(shown.0, Some(0), "{}", shown.2);
    assert!(shown.1.contains("frozen") && shown.1.contains("freezes.ics"), "{}", shown.1);
    let json = calendars.said(&["plan", "show", "plan.yaml", "--format", "json"]);
    let after =
        calendars.today.checked_add(3.days()).unwrap().to_zoned_datetime(jiff::tz::TimeZone::UTC).unwrap();
    let after = after.timestamp().as_millisecond();
    assert_eq!(openings(&json), [(after, None)]);
    calendars.put_freeze(10, 12);
    let json = calendars.said(&["plan", "show", "plan.yaml", "--format", "json"]);
    let found = openings(&json);
    assert!(found.len() == 2 && found[0].1.is_some() && found[1].1.is_none(), "{found:?}");
    assert_eq!(crate::document(&json.1)["forecast"]["openings"]["takes"], 1);
}

#[test]
fn a_calendar_that_cannot_be_read_is_refused_wherever_it_would_be_needed() {
    let calendars = Calendars::new("{freeze: {timezone: UTC, calendars: [freezes.ics]}}");
    for (text, why) in [
        (None, "there is no such file"),
        (Some("<html>"), "no line of a calendar"),
        (Some("BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART:20260701T000000Z\n"), "cut off"),
        (Some("BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART:\u{1b}[2J\nEND:VEVENT\nEND:VCALENDAR\n"), "is no date"),
    ] {
        if let Some(text) = text {
            calendars.put("freezes.ics", text);
        }
        for command in [
            &["plan", "validate", "plan.yaml"][..],
            &["plan", "show", "plan.yaml"],
            &["plan", "simulate", "plan.yaml"],
            &["plan", "apply", "plan.yaml", "--yes"],
        ] {
            let (code, stdout, stderr) = calendars.said(command);
            assert_ne!(code, Some(0), "{command:?}: {stdout}");
            assert!(
                stderr.contains("`freezes.ics` cannot be used") && stderr.contains(why),
                "{command:?}: {stderr}"
            );
            assert!(!stderr.contains('\u{1b}'), "{stderr:?}");
        }
    }
}

#[test]
fn a_reviewed_plan_keeps_its_calendars_and_notices_that_they_have_changed() {
    let calendars = Calendars::new("{freeze: {timezone: UTC, calendars: [freezes.ics]}}");
    calendars.put_freeze(10, 12);
    let written = calendars.said(&["plan", "show", "plan.yaml", "--out", "plan.reviewed"]);
    assert_eq!(written.0, Some(0), "{}", written.2);
    calendars.put_freeze(11, 13);
    let (code, _, stderr) = calendars.said(&["plan", "apply", "plan.reviewed", "--yes"]);
    assert_ne!(code, Some(0));
    assert!(stderr.contains("file freezes.ics has changed"), "{stderr}");
}

#[test]
fn windows_of_several_zones_are_shown_with_the_next_three_openings() {
    let windows = "{window: [{timezone: Europe/Berlin, open: \"22:00\", close: \"05:00\", days: [2nd tue]}, \
                   {timezone: UTC, open: \"01:00\", close: \"02:00\", days: [last fri]}]}";
    let calendars = Calendars::new(windows);
    let (code, shown, stderr) = calendars.said(&["plan", "show", "plan.yaml"]);
    assert_eq!(code, Some(0), "{stderr}");
    for part in [
        "22:00 to 05:00 of the next day, Europe/Berlin (2nd tue)",
        "01:00 to 02:00, UTC (last fri)",
        "openings",
    ] {
        assert!(shown.contains(part), "no {part}: {shown}");
    }
    let json = calendars.said(&["plan", "show", "plan.yaml", "--format", "json"]);
    let found = openings(&json);
    assert!(found.len() == 3 && found.is_sorted(), "{found:?}");
}

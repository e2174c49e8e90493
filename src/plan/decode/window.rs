//! `window:` and `freeze:`, when new workers are admitted.

use jiff::civil::Date;
use jiff::tz::TimeZoneDatabase;

use super::super::suggest::did_you_mean;
use super::super::yaml::{Node, Value, shorten};
use super::super::{Freeze, FrozenDates, Located, NthOfMonth, Problem, Weekday, Window, WindowDay, code};
use super::common::Decoder;
use super::keys::{FREEZE, WINDOW};

const DAYS: [(&str, Weekday); 7] = [
    ("mon", Weekday::Mon),
    ("tue", Weekday::Tue),
    ("wed", Weekday::Wed),
    ("thu", Weekday::Thu),
    ("fri", Weekday::Fri),
    ("sat", Weekday::Sat),
    ("sun", Weekday::Sun),
];

/// For how many minutes a window is open each time.
pub(crate) fn open_minutes(window: &Window) -> u16 {
    const DAY: u16 = 24 * 60;
    (window.close + DAY - window.open) % DAY
}

impl Decoder<'_> {
    /// Reads `window:`, one or a list of them.
    pub(super) fn windows(&mut self, node: &Node) -> Vec<Located<Window>> {
        if !matches!(node.value, Value::List(_)) {
            return self.window(node).into_iter().collect();
        }
        let example = "window: [{timezone: UTC, open: \"22:00\", close: \"05:00\"}]";
        let items = self.items(node, "window", "windows", example).unwrap_or_default();
        items.iter().filter_map(|item| self.window(item)).collect()
    }

    /// Reads `freeze:`. Its time zone is that of the first window where it names none.
    pub(super) fn freeze(&mut self, node: &Node, windows: &[Located<Window>]) -> Option<Located<Freeze>> {
        let example = "freeze: {timezone: Europe/Berlin, dates: [2026-12-24..2027-01-02]}";
        let fields = self.fields(node, "freeze", FREEZE, example)?;
        let timezone = match (fields.get("timezone"), windows.first()) {
            (Some(node), _) => self.timezone(node),
            (None, Some(window)) => Some(window.value.timezone.clone()),
            (None, None) => {
                let help = "name the time zone of the dates, such as `timezone: Europe/Berlin`";
                self.missing("`freeze` without a window", "timezone", fields.span.clone(), help);
                None
            }
        };
        if fields.get("dates").is_none() && fields.get("calendars").is_none() {
            let help = "say when, such as `dates: [2026-12-24..2027-01-02]` or `calendars: [freezes.ics]`";
            self.missing("`freeze`", "dates", fields.span.clone(), help);
            return None;
        }
        let dates = fields.get("dates").and_then(|node| {
            let example = "dates: [2026-12-24..2027-01-02, 2027-05-01]";
            let items = self.items(node, "dates", "dates", example)?;
            let dates: Vec<_> = items.iter().map(|item| self.frozen_dates(item)).collect();
            dates.into_iter().collect::<Option<Vec<_>>>()
        });
        let calendars = fields.get("calendars").and_then(|node| {
            let example = "calendars: [freezes.ics]";
            let items = self.items(node, "calendars", "iCalendar files", example)?;
            let paths: Vec<_> = items.iter().map(|item| self.text(item, "calendars", example)).collect();
            paths.into_iter().collect::<Option<Vec<_>>>()
        });
        let (Some(dates), Some(calendars)) = (
            if fields.get("dates").is_none() { Some(Vec::new()) } else { dates },
            if fields.get("calendars").is_none() { Some(Vec::new()) } else { calendars },
        ) else {
            return None;
        };
        Some(Located { value: Freeze { timezone: timezone?, dates, calendars }, span: fields.span })
    }

    /// `2026-12-24`, or `2026-12-24..2027-01-02`.
    fn frozen_dates(&mut self, node: &Node) -> Option<FrozenDates> {
        let text = self.text(node, "dates", "dates: [2026-12-24..2027-01-02]")?;
        let (first, last) = text.value.split_once("..").unwrap_or((&text.value, &text.value));
        let date = |text: &str| Date::strptime("%Y-%m-%d", text.trim()).ok();
        let help =
            "write a date such as 2027-05-01, or the first and the last one such as 2026-12-24..2027-01-02";
        let Some((first, last)) = date(first).zip(date(last)) else {
            let message = format!("`{}` is no date and no range of dates", shorten(&text.value));
            self.error(code::BAD_DATE, message, text.span, "not a date", help.to_owned());
            return None;
        };
        if last < first {
            let message = format!("`{}` ends before it begins", shorten(&text.value));
            self.error(
                code::BAD_DATE,
                message,
                text.span,
                "the first date is the later one",
                help.to_owned(),
            );
            return None;
        }
        Some(FrozenDates { first, last })
    }

    fn window(&mut self, node: &Node) -> Option<Located<Window>> {
        let example = "window: {timezone: Europe/Berlin, open: \"22:00\", close: \"05:00\"}";
        let fields = self.fields(node, "window", WINDOW, example)?;
        for (key, help) in [
            (
                "timezone",
                "name the time zone of the times, such as `timezone: Europe/Berlin` or `timezone: UTC`",
            ),
            ("open", "say from when workers are admitted, such as `open: \"22:00\"`"),
            ("close", "say until when workers are admitted, such as `close: \"05:00\"`"),
        ] {
            if fields.get(key).is_none() {
                self.missing("`window`", key, fields.span.clone(), help);
            }
        }
        let timezone = fields.get("timezone").and_then(|node| self.timezone(node));
        let open = fields.get("open").and_then(|node| self.time_of_day(node, "open"));
        let close = fields.get("close").and_then(|node| self.time_of_day(node, "close"));
        let days = match fields.get("days") {
            None => Some(DAYS.iter().map(|(_, day)| (*day).into()).collect()),
            Some(node) => self.days(node),
        };
        if let (Some(open), Some(close), Some(place)) = (open, close, fields.get("close"))
            && open == close
        {
            let problem =
                Problem::error(code::EMPTY_WINDOW, "the window opens and closes at the same minute")
                    .at(self.source, place.span.clone(), "closes")
                    .at(
                        self.source,
                        fields.get("open").map_or(place.span.clone(), |open| open.span.clone()),
                        "opens",
                    )
                    .help("make them differ; for the whole day leave `window` out");
            self.problems.push(problem);
            return None;
        }
        let value = Window { timezone: timezone?, open: open?, close: close?, days: days? };
        Some(Located { value, span: fields.span })
    }

    fn timezone(&mut self, node: &Node) -> Option<String> {
        let name = self.text(node, "timezone", "timezone: Europe/Berlin")?;
        // The bundled database only: what a plan means must not depend on the machine that reads it.
        let database = TimeZoneDatabase::bundled();
        if let Some(known) =
            database.get(&name.value).ok().and_then(|zone| zone.iana_name().map(str::to_owned))
        {
            return Some(known);
        }
        let names: Vec<String> = database.available().map(|zone| zone.to_string()).collect();
        let city = names.iter().find(|zone| {
            let last = zone.rsplit('/').next().unwrap_or_default();
            last.eq_ignore_ascii_case(&name.value.replace(' ', "_"))
        });
        let help = match city {
            Some(zone) => format!("did you mean `{zone}`?"),
            None => did_you_mean(&name.value, names.iter().map(String::as_str), || {
                "write a name of the IANA database, such as `Europe/Berlin`, `America/New_York` or `UTC`"
                    .to_owned()
            }),
        };
        let message = format!("there is no time zone `{}`", shorten(&name.value));
        self.error(code::BAD_TIMEZONE, message, name.span, "unknown time zone", help);
        None
    }

    fn days(&mut self, node: &Node) -> Option<Vec<WindowDay>> {
        let node = self.resolve(node);
        if let Value::List(items) = &node.value
            && items.is_empty()
        {
            self.error(
                code::WINDOW_NEVER_OPENS,
                "the window never opens: `days` is empty",
                node.span.clone(),
                "no day",
                "name the days on which it opens, such as `days: [mon, tue]`, or leave `days` out for every day",
            );
            return None;
        }
        let items = self.items(&node, "days", "days", "days: [mon, tue]")?;
        let mut days = Vec::new();
        let mut fine = true;
        for item in &items {
            match self.day(item) {
                Some(day) if days.contains(&day) => {
                    let text = item.text().unwrap_or_default();
                    let problem =
                        Problem::warning(code::REPEATED_ENTRY, format!("`{text}` is in `days` twice"))
                            .at(self.source, item.span.clone(), "again here")
                            .help("keep one of them");
                    self.problems.push(problem);
                }
                Some(day) => days.push(day),
                None => fine = false,
            }
        }
        days.sort_unstable();
        fine.then_some(days)
    }

    /// `tue`, `2nd tue`, `last fri`.
    fn day(&mut self, node: &Node) -> Option<WindowDay> {
        let text = self.resolve(node);
        let Some((nth, day)) = text.text().and_then(|text| text.trim().split_once(char::is_whitespace))
        else {
            let words = DAYS.map(|(word, _)| word);
            if let Some(days) = text.text().and_then(range) {
                let message =
                    format!("`days` takes no range such as `{}`", shorten(text.text().unwrap_or_default()));
                let help = format!("write each of them: `days: [{}]`", days.join(", "));
                self.error(code::UNKNOWN_VALUE, message, node.span.clone(), "a range", help);
                return None;
            }
            return self.word(node, "days", &words).map(|at| DAYS[at].1.into());
        };
        let nth = NthOfMonth::ALL.into_iter().find(|known| known.as_str() == nth);
        let day = DAYS.iter().find(|(word, _)| *word == day.trim());
        let found = nth.zip(day);
        if found.is_none() {
            let message = format!("`days` takes no `{}`", shorten(text.text().unwrap_or_default()));
            let help = "write a day such as `tue`, or which one of each month: `1st`, `2nd`, `3rd`, `4th`, `5th` or `last`, \
                        such as `2nd tue`";
            self.error(code::UNKNOWN_VALUE, message, node.span.clone(), "unknown value", help.to_owned());
        }
        found.map(|(nth, (_, weekday))| WindowDay { nth: Some(nth), weekday: *weekday })
    }
}

/// The days of `mon-fri`, `mon..fri` or `sat - mon`; `None`: it is no such range.
fn range(text: &str) -> Option<Vec<&'static str>> {
    let (first, last) = text.split_once("..").or_else(|| text.split_once(['-', '\u{2013}']))?;
    let at = |day: &str| DAYS.iter().position(|(word, _)| day.trim().eq_ignore_ascii_case(word));
    let (first, last) = (at(first)?, at(last)?);
    let length = (last + DAYS.len() - first) % DAYS.len() + 1;
    Some((first..first + length).map(|at| DAYS[at % DAYS.len()].0).collect())
}

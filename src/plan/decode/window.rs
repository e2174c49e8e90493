//! `window:` when new workers are admitted.

use jiff::tz::TimeZoneDatabase;

use super::super::suggest::did_you_mean;
use super::super::yaml::{Node, shorten};
use super::super::{Located, Problem, Weekday, Window, code};
use super::common::Decoder;
use super::keys::WINDOW;

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
    /// Reads `window:`.
    pub(super) fn window(&mut self, node: &Node) -> Option<Located<Window>> {
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
            None => Some(DAYS.iter().map(|(_, day)| *day).collect()),
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

    fn days(&mut self, node: &Node) -> Option<Vec<Weekday>> {
        let node = self.resolve(node);
        if let super::super::yaml::Value::List(items) = &node.value
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
        let words: Vec<&str> = DAYS.iter().map(|(word, _)| *word).collect();
        let mut days = Vec::new();
        let mut fine = true;
        for item in &items {
            match self.word(item, "days", &words).map(|at| DAYS[at].1) {
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
}

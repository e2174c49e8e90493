//! When workers may be started: windows, and freezes.

use std::fmt;

use jiff::civil::Date;
use serde::Serialize;

use super::Located;

/// A daily time span in a time zone; it may cross midnight.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Window {
    /// IANA name.
    pub timezone: String,
    /// Minutes after local midnight at which it opens, 0 to 1439.
    pub open: u16,
    /// Minutes after local midnight at which it closes; at or before `open`: on the next day.
    pub close: u16,
    /// The days on which it opens, Monday first, then those of months; never empty.
    pub days: Vec<WindowDay>,
}

/// `22:00 to 05:00 of the next day, Europe/Berlin (mon, 2nd tue)`.
impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let clock = |minutes: u16| format!("{:02}:{:02}", minutes / 60, minutes % 60);
        let days = self.days.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let next = if self.close <= self.open { " of the next day" } else { "" };
        write!(f, "{} to {}{next}, {} ({days})", clock(self.open), clock(self.close), self.timezone)
    }
}

/// `tue`: every Tuesday; `2nd tue`: the second one of each month.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WindowDay {
    /// `None`: each one.
    pub nth: Option<NthOfMonth>,
    /// Of the week.
    pub weekday: Weekday,
}

impl From<Weekday> for WindowDay {
    fn from(weekday: Weekday) -> Self {
        Self { nth: None, weekday }
    }
}

impl fmt::Display for WindowDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.nth {
            None => f.write_str(self.weekday.as_str()),
            Some(nth) => write!(f, "{} {}", nth.as_str(), self.weekday.as_str()),
        }
    }
}

impl Serialize for WindowDay {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Which of a month's days of one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names say it")]
pub enum NthOfMonth {
    First,
    Second,
    Third,
    Fourth,
    /// Months without a fifth one have none.
    Fifth,
    Last,
}

impl NthOfMonth {
    /// All, in order.
    pub const ALL: [Self; 6] =
        [Self::First, Self::Second, Self::Third, Self::Fourth, Self::Fifth, Self::Last];

    /// As in a plan.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::First => "1st",
            Self::Second => "2nd",
            Self::Third => "3rd",
            Self::Fourth => "4th",
            Self::Fifth => "5th",
            Self::Last => "last",
        }
    }
}

/// Times in which no worker is started, whatever the windows say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Freeze {
    /// IANA name: of the dates, and of what in the calendars has no zone of its own.
    pub timezone: String,
    /// Whole days.
    pub dates: Vec<FrozenDates>,
    /// Paths of iCalendar files, as written: every event in them is a freeze.
    pub calendars: Vec<Located<String>>,
}

/// `2026-12-24..2027-01-02, 2027-05-01 (Europe/Berlin), freezes.ics`.
impl fmt::Display for Freeze {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if !self.dates.is_empty() {
            let dates: Vec<_> = self.dates.iter().map(ToString::to_string).collect();
            parts.push(format!("{} ({})", dates.join(", "), self.timezone));
        }
        parts.extend(self.calendars.iter().map(|path| path.value.clone()));
        f.write_str(&parts.join(", "))
    }
}

/// From the first of these days to the last, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct FrozenDates {
    pub first: Date,
    pub last: Date,
}

impl fmt::Display for FrozenDates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}..{}", self.first, self.last)
        }
    }
}

/// A day on which a window opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Weekday {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

impl Weekday {
    /// As in a plan.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mon => "mon",
            Self::Tue => "tue",
            Self::Wed => "wed",
            Self::Thu => "thu",
            Self::Fri => "fri",
            Self::Sat => "sat",
            Self::Sun => "sun",
        }
    }
}

impl super::RolloutSettings {
    /// In which its times are shown: the IANA name that the first window has, else the freeze.
    pub fn timezone(&self) -> Option<&str> {
        let window = self.windows.first().map(|window| window.value.timezone.as_str());
        window.or_else(|| self.freeze.as_ref().map(|freeze| freeze.value.timezone.as_str()))
    }
}

impl super::Plan {
    /// The paths of the calendars that it names, as they are written in it.
    pub fn calendars(&self) -> impl Iterator<Item = &Located<String>> {
        self.rollout.freeze.iter().flat_map(|freeze| &freeze.value.calendars)
    }
}

//! Content lines: unfolding, names, parameters (RFC 5545, section 3.1).

/// Why a calendar cannot be used, with the line of the file at which that shows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct CalendarError {
    /// Counted from 1.
    pub line: usize,
    /// Without the line, and made of the calendar's own text in part.
    pub why: String,
}

impl CalendarError {
    pub(super) fn new(line: usize, why: impl Into<String>) -> Self {
        Self { line, why: why.into() }
    }
}

/// One property, as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// In capitals.
    pub(super) name: String,
    /// Names in capitals, values without quotes.
    pub(super) parameters: Vec<(String, String)>,
    pub(super) value: String,
    /// Of the file, from 1.
    pub(super) number: usize,
}

impl Line {
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn error(&self, why: impl Into<String>) -> CalendarError {
        CalendarError::new(self.number, why)
    }

    fn parse(text: &str, number: usize) -> Result<Self, CalendarError> {
        let mut quoted = false;
        let at = text.find(|c: char| {
            quoted ^= c == '"';
            c == ':' && !quoted
        });
        let at =
            at.ok_or_else(|| CalendarError::new(number, "this is no line of a calendar: it has no `:`"))?;
        let mut quoted = false;
        let mut parts = text[..at].split(|c: char| {
            quoted ^= c == '"';
            c == ';' && !quoted
        });
        let name = parts.next().unwrap_or_default().to_ascii_uppercase();
        let parameter = |part: &str| {
            let (key, value) = part.split_once('=')?;
            Some((key.to_ascii_uppercase(), value.trim_matches('"').to_owned()))
        };
        Ok(Self {
            name,
            parameters: parts.filter_map(parameter).collect(),
            value: text[at + 1..].trim_end().to_owned(),
            number,
        })
    }
}

/// All lines of a calendar. A line that begins with a space or a tab continues the one before.
pub(super) fn lines(text: &str) -> Result<Vec<Line>, CalendarError> {
    let mut unfolded: Vec<(usize, String)> = Vec::new();
    for (at, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        match (line.strip_prefix([' ', '\t']), unfolded.last_mut()) {
            (Some(rest), Some((_, last))) => last.push_str(rest.trim_end_matches('\r')),
            _ if line.trim().is_empty() => {}
            _ => unfolded.push((at + 1, line.trim_end_matches('\r').to_owned())),
        }
    }
    unfolded.iter().map(|(number, line)| Line::parse(line, *number)).collect()
}

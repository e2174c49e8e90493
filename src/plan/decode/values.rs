//! Numbers, percentages, durations and times of day.

use std::time::Duration;

use super::super::yaml::{Node, Scalar, ScalarKind, shorten};
use super::super::{Amount, code};
use super::common::Decoder;

/// No wait of a plan is longer; keeps all sums of durations far from overflow.
pub(super) const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

impl Decoder<'_> {
    /// A whole number that is at least `min`.
    pub(super) fn count(&mut self, node: &Node, key: &str, min: u64) -> Option<u64> {
        let node = self.resolve(node);
        match node.scalar().map(|scalar| scalar.kind) {
            Some(ScalarKind::Integer(value)) => self.at_least(&node, key, value, min),
            Some(ScalarKind::Huge) => {
                self.huge(&node, key);
                None
            }
            _ => {
                self.wrong_type(&node, key, "a whole number", &format!("{key}: {}", min.max(1)));
                None
            }
        }
    }

    fn at_least(&mut self, node: &Node, key: &str, value: i64, min: u64) -> Option<u64> {
        let found = u64::try_from(value).ok().filter(|value| *value >= min);
        if found.is_none() {
            let message = format!("`{key}` must be at least {min}, not {value}");
            let help = format!("write {min} or more");
            self.error(code::BAD_NUMBER, message, node.span.clone(), format!("less than {min}"), help);
        }
        found
    }

    fn huge(&mut self, node: &Node, key: &str) {
        let text = node.scalar().map_or(String::new(), |scalar| shorten(&scalar.text));
        let message = format!("the number {text} of `{key}` does not fit into 64 bits");
        self.error(
            code::BAD_NUMBER,
            message,
            node.span.clone(),
            "too large",
            "write a smaller number; for text put it in quotes",
        );
    }

    /// A number of times that fits into 32 bits.
    pub(super) fn small_count(&mut self, node: &Node, key: &str, min: u64) -> Option<u32> {
        let value = self.count(node, key, min)?;
        let small = u32::try_from(value).ok();
        if small.is_none() {
            let message = format!("`{key}` must be below 2^32, not {value}");
            self.error(code::BAD_NUMBER, message, node.span.clone(), "too large", "write a smaller number");
        }
        small
    }

    /// A number.
    pub(super) fn number(&mut self, node: &Node, key: &str) -> Option<f64> {
        let node = self.resolve(node);
        match node.scalar().map(|scalar| scalar.kind) {
            #[expect(
                clippy::cast_precision_loss,
                reason = "what is compared with it is a floating-point number, too"
            )]
            Some(ScalarKind::Integer(value)) => Some(value as f64),
            Some(ScalarKind::Float(value)) => Some(value),
            Some(ScalarKind::Huge) => {
                self.huge(&node, key);
                None
            }
            _ => {
                self.wrong_type(&node, key, "a number", &format!("{key}: 2"));
                None
            }
        }
    }

    /// A factor that is at least 1.
    pub(super) fn factor(&mut self, node: &Node, key: &str) -> Option<f64> {
        let value = self.number(node, key)?;
        if (1.0..=1000.0).contains(&value) {
            return Some(value);
        }
        let message = format!("`{key}` must be from 1 to 1000, not {value}");
        let help = "1 keeps the delay as it is, 2 doubles it after each try";
        self.error(code::BAD_NUMBER, message, node.span.clone(), "outside", help);
        None
    }

    /// A number that is at least `min`, or a percentage.
    pub(super) fn amount(&mut self, node: &Node, key: &str, min: u64, also: Option<&str>) -> Option<Amount> {
        let node = self.resolve(node);
        let expected = match also {
            None => "a number or a percentage".to_owned(),
            Some(word) => format!("a number, a percentage or `{word}`"),
        };
        match node.scalar() {
            Some(Scalar { kind: ScalarKind::Integer(value), .. }) => {
                self.at_least(&node, key, *value, min).map(Amount::Count)
            }
            Some(Scalar { kind: ScalarKind::Huge, .. }) => {
                self.huge(&node, key);
                None
            }
            Some(Scalar { text, kind: ScalarKind::Text }) if text.trim_end().ends_with('%') => {
                self.percentage(&node, key, text)
            }
            Some(Scalar { text, kind: ScalarKind::Text }) if text.parse::<u64>().is_ok() => {
                let message = format!("`{key}` takes {expected}, not {}", node.describe());
                let help = format!("write the number without quotes: {key}: {text}");
                self.error(code::WRONG_TYPE, message, node.span.clone(), "this is text", help);
                None
            }
            Some(Scalar { text, kind: ScalarKind::Float(value) }) => {
                let message = format!("`{key}` takes {expected}, not the fraction {text}");
                let help = if (0.0..=1.0).contains(value) {
                    format!("write a share as a percentage: \"{}%\"", (value * 100.0).round())
                } else {
                    "write a whole number".to_owned()
                };
                self.error(code::WRONG_TYPE, message, node.span.clone(), "this is a fraction", help);
                None
            }
            _ => {
                self.wrong_type(&node, key, &expected, &format!("{key}: \"10%\""));
                None
            }
        }
    }

    fn percentage(&mut self, node: &Node, key: &str, text: &str) -> Option<Amount> {
        let number = text.strip_suffix('%').unwrap_or(text);
        let digits = (1..=3).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit());
        if let Some(value) = number.parse::<u8>().ok().filter(|value| digits && *value <= 100) {
            return Some(Amount::Percent(value));
        }
        let over = number.parse::<f64>().is_ok_and(|value| value > 100.0);
        let message = format!("`{}` is not a percentage from 0% to 100%", shorten(text));
        let (label, help) = if over {
            ("more than all", format!("at most \"100%\"; for a fixed number leave out the sign: {key}: 3"))
        } else {
            (
                "not a whole percentage",
                "write a whole number from 0 to 100 before the sign: \"10%\"".to_owned(),
            )
        };
        self.error(code::BAD_PERCENTAGE, message, node.span.clone(), label, help);
        None
    }

    /// A duration such as `1h30m`; `zero`: 0 is fine.
    pub(super) fn duration(&mut self, node: &Node, key: &str, zero: bool) -> Option<Duration> {
        let node = self.resolve(node);
        let example = format!("{key}: 30s");
        match node.scalar() {
            Some(Scalar { text, kind: ScalarKind::Text }) => match parse_duration(text) {
                Ok(value) if zero || !value.is_zero() => Some(value),
                Ok(_) => {
                    let message = format!("`{key}` must be longer than 0");
                    self.error(
                        code::BAD_DURATION,
                        message,
                        node.span.clone(),
                        "no time at all",
                        "write 1s or more",
                    );
                    None
                }
                Err(why) => {
                    let message = format!("`{}` is not a duration", shorten(text));
                    let help = "write whole numbers with units, largest first: 500ms, 30s, 10m, 1h30m";
                    self.error(code::BAD_DURATION, message, node.span.clone(), why, help);
                    None
                }
            },
            Some(Scalar { text, kind: ScalarKind::Integer(_) | ScalarKind::Float(_) | ScalarKind::Huge }) => {
                let text = shorten(text);
                let message = format!("`{key}` takes a duration, and {text} has no unit");
                let help = format!("write the unit: {text}s, {text}m or {text}h");
                self.error(code::BAD_DURATION, message, node.span.clone(), "seconds? minutes?", help);
                None
            }
            _ => {
                self.wrong_type(&node, key, "a duration", &example);
                None
            }
        }
    }

    /// A time of day: minutes after midnight.
    pub(super) fn time_of_day(&mut self, node: &Node, key: &str) -> Option<u16> {
        let node = self.resolve(node);
        let Some(text) = node.text() else {
            self.wrong_type(&node, key, "a time of day", &format!("{key}: \"22:00\""));
            return None;
        };
        let parsed = text.split_once(':').and_then(|(hours, minutes)| {
            let two = |part: &str, longest: usize, below: u16| {
                let digits =
                    !part.is_empty() && part.len() <= longest && part.bytes().all(|b| b.is_ascii_digit());
                part.parse::<u16>().ok().filter(|value| digits && *value < below)
            };
            Some(two(hours, 2, 24)? * 60 + (minutes.len() == 2).then(|| two(minutes, 2, 60))??)
        });
        if parsed.is_none() {
            let message = format!("`{}` is not a time of day", shorten(text));
            let help = if text == "24:00" {
                "midnight is \"00:00\"; a window may cross it"
            } else {
                "write hours and minutes, \"00:00\" to \"23:59\""
            };
            self.error(code::BAD_TIME, message, node.span.clone(), "not HH:MM", help);
        }
        parsed
    }
}

/// Reads `1h30m`: whole numbers with the units h, m, s, ms, each at most once, largest first.
///
/// # Errors
/// What is wrong with it, in a few words.
pub fn parse_duration(text: &str) -> Result<Duration, &'static str> {
    const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];
    let mut rest = text;
    let mut next_unit = 0;
    let mut total: u64 = 0;
    if rest.is_empty() {
        return Err("nothing inside");
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        if digits == 0 {
            return Err(if rest.starts_with('-') {
                "a duration cannot be negative"
            } else {
                "a number is missing"
            });
        }
        let number: u64 = rest[..digits].parse().map_err(|_| "too long")?;
        rest = &rest[digits..];
        let letters = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        let unit = &rest[..letters];
        let Some(index) = UNITS.iter().position(|(name, _)| *name == unit) else {
            return Err(match unit {
                "d" | "day" | "days" | "w" => "days are not a unit; write 24h for one",
                "" if rest.starts_with(['.', ',']) => "fractions are not a duration; take a smaller unit",
                "" if rest.starts_with(' ') => "a duration has no spaces",
                "" => "the unit is missing",
                "S" | "M" | "H" | "MS" => "units are lower case",
                _ => "unknown unit; the units are ms, s, m and h",
            });
        };
        if index < next_unit {
            return Err("each unit once, largest first");
        }
        next_unit = index + 1;
        rest = &rest[letters..];
        let part = number.checked_mul(UNITS[index].1).ok_or("too long")?;
        total = total.checked_add(part).ok_or("too long")?;
    }
    let total = Duration::from_millis(total);
    if total > LONGEST { Err("longer than a year") } else { Ok(total) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read() {
        for (text, millis) in
            [("500ms", 500), ("30s", 30_000), ("10m", 600_000), ("1h30m", 5_400_000), ("0s", 0)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in
            ["", "s", "1", "1d", "30m1h", "1s1s", "-1s", "1.5h", "1 h", "1hé", "é", "99999999999999999999s"]
        {
            assert!(parse_duration(text).is_err(), "{text}");
        }
        assert_eq!(parse_duration("9000h"), Err("longer than a year"));
    }
}

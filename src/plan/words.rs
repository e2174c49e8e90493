//! Numbers with their nouns, and durations as a plan writes them. Knows English plurals of the field's own
//! nouns and nothing else; every room that writes messages may use it.

use std::time::Duration;

/// "1 worker", "2 workers"; "1 entry", "2 entries".
pub fn counted(number: usize, what: &str) -> String {
    if number == 1 {
        return format!("1 {what}");
    }
    match what.strip_suffix('y') {
        Some(stem) if !stem.ends_with(['a', 'e', 'o', 'u']) => format!("{number} {stem}ies"),
        _ => format!("{number} {what}s"),
    }
}

/// As it is written in a plan: "1h30m", "1s500ms", "0s".
pub fn duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    if millis == 0 {
        return "0s".to_owned();
    }
    let parts = [
        (millis / 3_600_000, "h"),
        (millis / 60_000 % 60, "m"),
        (millis / 1000 % 60, "s"),
        (millis % 1000, "ms"),
    ];
    parts.iter().filter(|(number, _)| *number > 0).map(|(number, unit)| format!("{number}{unit}")).collect()
}

/// Without the numbers that the standard library puts behind what the system says ("Permission denied
/// (os error 13)"): an operator has no use for them.
pub fn without_error_numbers(text: &str) -> String {
    const BEFORE: &str = " (os error ";
    let mut parts = text.split(BEFORE);
    let mut shown = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.len() - part.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        match part[digits..].strip_prefix(')').filter(|_| digits > 0) {
            Some(rest) => shown.push_str(rest),
            None => shown.extend([BEFORE, part]),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::parse_duration;

    #[test]
    fn a_duration_is_read_as_it_is_written() {
        for millis in [0, 1, 999, 1000, 1500, 60_000, 5_400_000, 3_661_001, 8_760 * 3_600_000] {
            let written = duration(Duration::from_millis(millis));
            assert_eq!(parse_duration(&written), Ok(Duration::from_millis(millis)), "{written}");
        }
        assert_eq!(duration(Duration::from_millis(5_400_000)), "1h30m");
    }

    #[test]
    fn one_is_singular_and_all_else_plural() {
        assert_eq!(counted(0, "worker"), "0 workers");
        assert_eq!(counted(1, "entry"), "1 entry");
        assert_eq!(counted(2, "entry"), "2 entries");
        assert_eq!(counted(3, "day"), "3 days");
    }
}

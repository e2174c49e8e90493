//! The core schema of YAML 1.2: which plain scalars are numbers, truth values or nothing.
//!
//! `no`, `yes`, `on` and `off` are text here, as in YAML 1.2 (<https://yaml.org/spec/1.2.2/#1032-tag-resolution>).

use super::node::ScalarKind;

/// The type of a scalar that was written without quotes.
pub(crate) fn resolve_plain(text: &str) -> ScalarKind {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return ScalarKind::Null,
        "true" | "True" | "TRUE" => return ScalarKind::Bool(true),
        "false" | "False" | "FALSE" => return ScalarKind::Bool(false),
        ".nan" | ".NaN" | ".NAN" => return ScalarKind::Float(f64::NAN),
        _ => {}
    }
    number(text).unwrap_or(ScalarKind::Text)
}

/// The number that `text` is, if it is one.
fn number(text: &str) -> Option<ScalarKind> {
    let fits = |value: Option<i64>| value.map_or(ScalarKind::Huge, ScalarKind::Integer);
    for (prefix, radix) in [("0x", 16), ("0o", 8)] {
        if let Some(digits) = text.strip_prefix(prefix) {
            let all = !digits.is_empty() && digits.chars().all(|digit| digit.is_digit(radix));
            return all.then(|| fits(i64::from_str_radix(digits, radix).ok()));
        }
    }
    let (negative, unsigned) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") {
        return Some(ScalarKind::Float(if negative { f64::NEG_INFINITY } else { f64::INFINITY }));
    }
    let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
        Some(at) => (&unsigned[..at], Some(&unsigned[at + 1..])),
        None => (unsigned, None),
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent_digits = exponent.map(|text| text.strip_prefix(['-', '+']).unwrap_or(text));
    if whole.len() + fraction.len() == 0
        || !digits(whole)
        || !digits(fraction)
        || exponent_digits.is_some_and(|text| text.is_empty() || !digits(text))
    {
        return None;
    }
    if exponent.is_none() && !mantissa.contains('.') {
        return Some(fits(text.parse().ok()));
    }
    let value: f64 = text.parse().ok()?;
    Some(if value.is_finite() { ScalarKind::Float(value) } else { ScalarKind::Huge })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_core_schema_decides() {
        use ScalarKind::*;
        for (text, kind) in [
            ("no", Text),
            ("yes", Text),
            ("on", Text),
            ("~", Null),
            ("true", Bool(true)),
            ("12", Integer(12)),
            ("+12", Integer(12)),
            ("-3", Integer(-3)),
            ("007", Integer(7)),
            ("0x1F", Integer(31)),
            ("0o17", Integer(15)),
            ("0b1", Text),
            ("1_000", Text),
            ("9223372036854775807", Integer(i64::MAX)),
            ("9223372036854775808", Huge),
            ("0xFFFFFFFFFFFFFFFFF", Huge),
            ("1.5", Float(1.5)),
            (".5", Float(0.5)),
            ("1e3", Float(1000.0)),
            ("1e999", Huge),
            ("22:00", Text),
            ("10%", Text),
            ("10.0.0.1", Text),
            ("1h", Text),
            ("-", Text),
            (".", Text),
            ("e", Text),
            ("infinity", Text),
            (".inf", Float(f64::INFINITY)),
        ] {
            assert_eq!(resolve_plain(text), kind, "{text}");
        }
    }
}

//! Templates: a text in which `$NAME` stands for a value of a notice.

use serde_json::Value;

use crate::plan::http::{Piece, placeholders};

use super::document::Notice;

/// Fills a template; each value is encoded for the place where the text goes.
pub(super) fn fill(template: &str, notice: &Notice, encode: impl Fn(&str) -> String) -> String {
    let piece = |piece: Piece<'_>| match piece {
        Piece::Text(text) => text.to_owned(),
        Piece::Name(name) => encode(&notice.value(name)),
    };
    placeholders(template).map(piece).collect()
}

/// Fills all texts of a document.
pub(super) fn fill_json(value: &Value, notice: &Notice) -> Value {
    match value {
        Value::String(text) => fill(text, notice, str::to_owned).into(),
        Value::Array(items) => items.iter().map(|item| fill_json(item, notice)).collect(),
        Value::Object(map) => {
            Value::Object(map.iter().map(|(key, value)| (key.clone(), fill_json(value, notice))).collect())
        }
        other => other.clone(),
    }
}

/// The first bytes of a text, `most` at most, whole characters, with a word of it where something is left out.
pub(super) fn cut(text: &str, most: usize) -> String {
    const MORE: &str = " [...]";
    if text.len() <= most {
        return text.to_owned();
    }
    let room = most.saturating_sub(MORE.len());
    let end = (0..=room).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
    format!("{}{MORE}", &text[..end])
}

/// The longest body of at most `most` bytes that `build` makes of a beginning of `text`.
pub(super) fn within(text: &str, most: usize, build: impl Fn(&str) -> Vec<u8>) -> Vec<u8> {
    let whole = build(text);
    if whole.len() <= most {
        return whole;
    }
    // How long a piece becomes depends on what is in it.
    let (mut fits, mut longer) = (0, text.len());
    while fits + 1 < longer {
        let middle = (fits + longer) / 2;
        match build(&cut(text, middle)).len() <= most {
            true => fits = middle,
            false => longer = middle,
        }
    }
    build(&cut(text, fits))
}

//! Text as a list of its lines, so that a change of one line is a change of one line of the file.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A text, byte for byte; written as the list of what stands between its newlines.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[schemars(transparent)]
pub struct Lines(#[schemars(with = "Vec<String>")] String);

impl Lines {
    /// The whole text.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// The number, counted from 1, of the first line in which the two differ; `None`: they are the same.
    pub fn first_difference(&self, other: &Self) -> Option<usize> {
        let (mut ours, mut theirs) = (self.0.split('\n'), other.0.split('\n'));
        (1..).find_map(|number| match (ours.next(), theirs.next()) {
            (None, None) => Some(None),
            (one, another) => (one != another).then_some(Some(number)),
        })?
    }
}

impl From<String> for Lines {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl Serialize for Lines {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.split('\n'))
    }
}

impl<'de> Deserialize<'de> for Lines {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::<String>::deserialize(deserializer).map(|lines| Self(lines.join("\n")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_comes_back_byte_for_byte() {
        for text in ["", "\n", "a", "a\n", "\n\na\r\nb\u{2028}\0", "a\n\n"] {
            let lines = Lines::from(text.to_owned());
            let written = serde_json::to_string(&lines).unwrap();
            assert_eq!(serde_json::from_str::<Lines>(&written).unwrap().text(), text, "{written}");
        }
    }

    #[test]
    fn the_first_line_that_differs_has_a_number() {
        let first = |one: &str, another: &str| {
            Lines::from(one.to_owned()).first_difference(&Lines::from(another.to_owned()))
        };
        assert_eq!(first("a\nb\n", "a\nb\n"), None);
        assert_eq!(first("a\nb\n", "a\nc\n"), Some(2));
        assert_eq!(first("a\nb", "a\nb\n"), Some(3));
    }
}

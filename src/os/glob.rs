//! Patterns for names and paths, as in glob(7), and `**` for any folders.
//!
//! Own code, although crates have it: those that keep to a bound in time, whatever the pattern, bring a whole engine for
//! regular expressions (half a megabyte, and twenty seconds of the build), and those that do not can be made to search
//! for hours by a manifest. Here every part of a pattern is looked at once for each character.

/// What a part of a pattern takes from the text.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    /// This character.
    One(char),
    /// Any character but a slash.
    Any,
    /// One of these, or none of these; never a slash.
    Class { negated: bool, ranges: Vec<(char, char)> },
    /// Any number of characters but slashes.
    Many,
    /// Nothing, or what the next part takes.
    Maybe,
    /// Any text that ends with a slash.
    Folders,
    /// All that is left.
    Rest,
}

/// No path is longer; the time that a pattern takes grows with its length.
const LONGEST: usize = 4_096;

/// A pattern for a whole text: `*` and `?` stand for characters but slashes, `[a-z]`, `[^a-z]`, `[!a-z]` and
/// `[[:digit:]]` for one of a class, `\` makes what follows it plain. `**` as a whole part of a path is any number of parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob(Vec<Part>);

impl Glob {
    /// Reads a pattern.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(pattern: &str) -> Result<Self, String> {
        let text: Vec<char> = pattern.chars().collect();
        if text.len() > LONGEST {
            return Err(format!("it is longer than {LONGEST} characters"));
        }
        let mut parts = Vec::new();
        let mut at = 0;
        while let Some(&char) = text.get(at) {
            at += 1;
            match char {
                '?' => parts.push(Part::Any),
                '[' => {
                    let (class, end) = class(&text, at)?;
                    parts.push(class);
                    at = end;
                }
                '\\' => {
                    let plain =
                        text.get(at).ok_or("a backslash comes last, with nothing that it makes plain")?;
                    parts.push(Part::One(*plain));
                    at += 1;
                }
                '*' => {
                    let begins = at == 1 || text[at - 2] == '/';
                    let stars = text[at - 1..].iter().take_while(|char| **char == '*').count();
                    at += stars - 1;
                    match text.get(at) {
                        Some('/') if stars == 2 && begins => {
                            parts.extend([Part::Maybe, Part::Folders]);
                            at += 1;
                        }
                        None if stars == 2 && begins => parts.push(Part::Rest),
                        _ => parts.push(Part::Many),
                    }
                }
                plain => parts.push(Part::One(plain)),
            }
        }
        Ok(Self(parts))
    }

    /// Whether the whole text is as the pattern says.
    pub fn is_match(&self, text: &str) -> bool {
        // The parts that may come next; the last place is behind all of them.
        let mut next = vec![false; self.0.len() + 1];
        next[0] = true;
        self.pass_over(&mut next);
        for char in text.chars() {
            let mut after = vec![false; next.len()];
            for (at, part) in self.0.iter().enumerate().filter(|(at, _)| next[*at]) {
                let (stays, leaves) = part.takes(char);
                after[at] |= stays;
                after[at + 1] |= leaves;
            }
            self.pass_over(&mut after);
            next = after;
        }
        next.last() == Some(&true)
    }

    /// Parts that may take nothing.
    fn pass_over(&self, next: &mut [bool]) {
        for (at, part) in self.0.iter().enumerate() {
            if next[at] {
                next[at + 1] |= matches!(part, Part::Many | Part::Rest | Part::Maybe);
                if *part == Part::Maybe {
                    next[at + 2] = true;
                }
            }
        }
    }
}

impl Part {
    /// Whether it takes this character and may take more, and whether it takes it as its last one.
    fn takes(&self, char: char) -> (bool, bool) {
        match self {
            Self::One(plain) => (false, *plain == char),
            Self::Any => (false, char != '/'),
            Self::Class { negated, ranges } => {
                let is_in = ranges.iter().any(|(first, last)| (*first..=*last).contains(&char));
                (false, char != '/' && is_in != *negated)
            }
            Self::Many => (char != '/', false),
            Self::Maybe => (false, false),
            Self::Folders => (true, char == '/'),
            Self::Rest => (true, false),
        }
    }
}

/// A class, from behind its `[`, and where it ends.
fn class(text: &[char], mut at: usize) -> Result<(Part, usize), String> {
    let negated = matches!(text.get(at), Some('!' | '^'));
    at += usize::from(negated);
    let begin = at;
    let mut ranges = Vec::new();
    loop {
        let first = *text.get(at).ok_or("`[` without `]`")?;
        at += 1;
        match first {
            ']' if at > begin + 1 => break,
            '[' if text.get(at) == Some(&':') => match named(&text[at + 1..]) {
                Some((name, ranges_of_name)) => {
                    ranges.extend(ranges_of_name);
                    at += name + 3;
                    continue;
                }
                None => ranges.push(('[', '[')),
            },
            _ => {}
        }
        match (text.get(at), text.get(at + 1)) {
            (Some('-'), Some(last)) if *last != ']' => {
                if *last < first {
                    return Err(format!("`{first}-{last}` is no range: its end comes before its begin"));
                }
                ranges.push((first, *last));
                at += 2;
            }
            _ => ranges.push((first, first)),
        }
    }
    Ok((Part::Class { negated, ranges }, at))
}

/// A named class from behind its `[:`: how long the name is, and what is in it.
fn named(text: &[char]) -> Option<(usize, &'static [(char, char)])> {
    let name: String = text.iter().take_while(|char| char.is_ascii_lowercase()).collect();
    if !text[name.len()..].starts_with(&[':', ']']) {
        return None;
    }
    let ranges: &[_] = match name.as_str() {
        "alnum" => &[('0', '9'), ('A', 'Z'), ('a', 'z')],
        "alpha" => &[('A', 'Z'), ('a', 'z')],
        "blank" => &[('\t', '\t'), (' ', ' ')],
        "cntrl" => &[('\0', '\x1f'), ('\x7f', '\x7f')],
        "digit" => &[('0', '9')],
        "graph" => &[('!', '~')],
        "lower" => &[('a', 'z')],
        "print" => &[(' ', '~')],
        "punct" => &[('!', '/'), (':', '@'), ('[', '`'), ('{', '~')],
        "space" => &[('\t', '\r'), (' ', ' ')],
        "upper" => &[('A', 'Z')],
        "xdigit" => &[('0', '9'), ('A', 'F'), ('a', 'f')],
        _ => return None,
    };
    Some((name.len(), ranges))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use globset::GlobBuilder;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn named_classes_and_characters_of_more_than_one_byte() {
        for (glob, text, expected) in [
            ("v[[:digit:]]", "v7", true),
            ("v[[:digit:]]", "vx", false),
            ("v[^[:digit:]]", "vx", true),
            ("v[[:digit:]x-z.]", "vy", true),
            ("v[[:no:]]", "v:]", true),
            ("v[[:", "v", false),
            ("?", "\u{e4}", true),
            ("[\u{e0}-\u{ef}]", "\u{e4}", true),
            ("\\*", "*", true),
            ("\\*", "x", false),
            ("a**b", "axb", true),
            ("a**b", "a/b", false),
            ("***", "a/b", false),
        ] {
            let found = Glob::parse(glob).is_ok_and(|glob| glob.is_match(text));
            assert_eq!(found, expected, "{glob} {text}");
        }
        assert!(Glob::parse(&"*".repeat(LONGEST + 1)).is_err());
        assert_eq!(Glob::parse("[z-a]").unwrap_err(), "`z-a` is no range: its end comes before its begin");
    }

    #[test]
    fn no_pattern_takes_long() {
        let text = "a".repeat(4_000);
        let began = Instant::now();
        assert!(!Glob::parse(&"*a".repeat(500)).unwrap().is_match(&format!("{text}/")));
        assert!(!Glob::parse(&"**/*a".repeat(300)).unwrap().is_match(&text));
        assert!(began.elapsed() < Duration::from_secs(20));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        /// For ASCII, which is all that it knows in a class; and a path does not begin with a slash.
        #[test]
        fn the_same_as_by_another_program(
            pattern in r"([a-c/*?^!\\.]|\*\*/|/\*\*|\[[\^!]?\]?[a-c.]{0,2}(a-c|c-a|b-)?[a-c.]?\]|\[){0,8}",
            texts in proptest::collection::vec("([a-c.*^!-]|[a-c]/){0,6}", 1..8),
        ) {
            // It takes these for everything; no path that we ask for ends with a slash.
            prop_assume!(pattern.is_empty() || !pattern.replace("**/", "").is_empty());
            let theirs = GlobBuilder::new(&pattern).literal_separator(true).backslash_escape(true).build();
            let ours = Glob::parse(&pattern);
            prop_assert_eq!(ours.is_ok(), theirs.is_ok(), "{} {:?} {:?}", pattern, ours, theirs);
            if let (Ok(ours), Ok(theirs)) = (ours, theirs) {
                // It takes these for everything; no path that we ask for ends with a slash.
            prop_assume!(pattern.is_empty() || !pattern.replace("**/", "").is_empty());
            let theirs = theirs.compile_matcher();
                for text in texts {
                    prop_assert_eq!(ours.is_match(&text), theirs.is_match(&text), "{} {}", pattern, text);
                }
            }
        }
    }
}

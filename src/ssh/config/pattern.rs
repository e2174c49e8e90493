//! Patterns of `ssh_config(5)`: `*`, `?`, and `!` before one that must not match. They are ssh's own: to
//! `os::Glob` the brackets of an address are a class.

/// Whether a list speaks of `text`: one pattern does, and none that is negated does.
pub(in crate::ssh) fn matches_any<'a>(patterns: impl Iterator<Item = &'a str>, text: &str) -> bool {
    let mut found = false;
    for pattern in patterns {
        match pattern.strip_prefix('!') {
            Some(not) if matches_pattern(not, text) => return false,
            Some(_) => {}
            None => found |= matches_pattern(pattern, text),
        }
    }
    found
}

/// `*` is any text, `?` any one character (`ssh_config(5)`, PATTERNS). Linear, whatever the pattern.
pub(crate) fn matches_pattern(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t, mut retry) = (0, 0, None);
    while t < text.len() {
        if p < pattern.len() && pattern[p] == b'*' {
            retry = Some((p, t));
            p += 1;
        } else if p < pattern.len() && (pattern[p] == b'?' || pattern[p] == text[t]) {
            p += 1;
            t += 1;
        } else if let Some((star, from)) = retry {
            p = star + 1;
            t = from + 1;
            retry = Some((star, t));
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn star_matches_all(text in "[a-z.]{0,20}") {
            prop_assert!(matches_pattern("*", &text));
            let (longer, other) = (format!("{text}*"), format!("{text}?"));
            prop_assert!(matches_pattern(&longer, &text));
            prop_assert!(matches_pattern(&text, &text));
            prop_assert!(!matches_pattern(&other, &text));
        }
    }
}

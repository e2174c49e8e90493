//! Patterns with `*` (anything) and `?` (one sign).

/// Whether a text fits a pattern as a whole. Linear in time but for the last `*`, to which alone it goes back.
pub fn fits(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut at, mut of) = (0, 0);
    // The last `*`, and from where in the text what follows it was tried.
    let mut star: Option<(usize, usize)> = None;
    while at < text.len() {
        match pattern.get(of) {
            Some('*') => {
                star = Some((of, at));
                of += 1;
            }
            Some(sign) if *sign == '?' || *sign == text[at] => (at, of) = (at + 1, of + 1),
            _ => {
                let Some((last, from)) = star else { return false };
                star = Some((last, from + 1));
                (at, of) = (from + 1, last + 1);
            }
        }
    }
    pattern[of..].iter().all(|sign| *sign == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_as_a_whole() {
        for (pattern, text, fit) in [
            ("6.1.*", "6.1.0-52-amd64", true),
            ("6.1.*", "6.12.38+deb13-amd64", false),
            ("6.1.*-amd64", "6.1.0-52-cloud-amd64", true),
            ("6.1.0-??-amd64", "6.1.0-52-amd64", true),
            ("6.1.0-?-amd64", "6.1.0-52-amd64", false),
            ("6.1.0", "6.1.0-52", false),
            ("*", "", true),
            ("", "", true),
            ("", "x", false),
            ("hugepages=*", "hugepages=64", true),
            ("hugepages=*", "hugepagesz=1G", false),
            ("*a*b*c", "aabbc", true),
            ("*a*b*c", "aabb", false),
        ] {
            assert_eq!(fits(pattern, text), fit, "{pattern} {text}");
        }
        let long = "a".repeat(4000);
        assert!(!fits(&format!("{}b", "*a".repeat(500)), &long), "and it ends");
    }
}

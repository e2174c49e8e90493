//! "Did you mean ...?": finds the known word that is nearest to a mistyped one.
//!
//! Knows words only, not what they stand for; every room that reads typed input may use it.

/// Longer words are not compared: the cost grows with the product of the lengths.
const LONGEST: usize = 64;

/// How many edits (insert, delete, replace, swap two neighbours) lead from `a` to `b`.
///
/// The "optimal string alignment" variant of the Damerau-Levenshtein distance; it counts characters.
pub fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before_last = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before_last[j - 2] + 1);
            }
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

/// The candidate that `word` was most likely meant to be; `None` when none is near.
///
/// Near is: equal but for upper and lower case, `-` and `_`; or at most one edit per three characters (at
/// least one); or a beginning of at least three characters. The first of equally near ones wins.
pub fn suggest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let word = normal(word);
    let length = word.chars().count();
    if length == 0 || length > LONGEST {
        return None;
    }
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        let other = normal(candidate);
        let other_length = other.chars().count();
        if other_length > LONGEST {
            continue;
        }
        let allowed = (length.max(other_length) / 3).max(1);
        let begins = length.min(other_length) >= 3 && (other.starts_with(&word) || word.starts_with(&other));
        let edits = if length.abs_diff(other_length) > allowed && !begins {
            continue;
        } else {
            distance(&word, &other)
        };
        let near = edits <= allowed && edits < length;
        // A common beginning is weaker evidence than any small number of edits.
        let cost = match (near, begins) {
            (true, _) => edits,
            (false, true) => LONGEST + edits,
            (false, false) => continue,
        };
        if best.is_none_or(|(lowest, _)| cost < lowest) {
            best = Some((cost, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// ``did you mean `x`?`` for the nearest candidate, else `otherwise`.
pub fn did_you_mean<'c>(
    word: &str,
    candidates: impl IntoIterator<Item = &'c str>,
    otherwise: impl FnOnce() -> String,
) -> String {
    match suggest(word, candidates) {
        Some(candidate) => format!("did you mean `{candidate}`?"),
        None => otherwise(),
    }
}

fn normal(word: &str) -> String {
    word.trim().to_lowercase().replace('-', "_")
}

/// `` `a`, `b` or `c` ``, to choose from.
pub fn one_of<'c>(words: impl IntoIterator<Item = &'c str>) -> String {
    listed(words, "or")
}

/// `` `a`, `b` and `c` ``, all that there are.
pub fn all_of<'c>(words: impl IntoIterator<Item = &'c str>) -> String {
    listed(words, "and")
}

fn listed<'c>(words: impl IntoIterator<Item = &'c str>, conjunction: &str) -> String {
    let words: Vec<String> = words.into_iter().map(|word| format!("`{word}`")).collect();
    match words.split_last() {
        None => String::new(),
        Some((only, [])) => only.clone(),
        Some((last, rest)) => format!("{} {conjunction} {last}", rest.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn swapped_neighbours_are_one_edit() {
        assert_eq!(distance("reboot", "reobot"), 1);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("zone", "zone"), 0);
        assert_eq!(distance("köche", "koche"), 1);
    }

    #[test]
    fn the_nearest_is_suggested_and_the_far_is_not() {
        let kinds = ["disable", "enable", "deploy", "reboot", "wait_for_ssh"];
        assert_eq!(suggest("diasble", kinds), Some("disable"));
        assert_eq!(suggest("wait-for-ssh", kinds), Some("wait_for_ssh"));
        assert_eq!(suggest("REBOOT", kinds), Some("reboot"));
        assert_eq!(suggest("wait", kinds), Some("wait_for_ssh"));
        assert_eq!(suggest("frobnicate", kinds), None);
        assert_eq!(suggest("", kinds), None);
        assert_eq!(suggest("x", ["y"]), None);
        assert_eq!(suggest(&"a".repeat(1_000_000), kinds), None);
    }

    #[test]
    fn words_are_listed() {
        assert_eq!(one_of(["a"]), "`a`");
        assert_eq!(one_of(["a", "b", "c"]), "`a`, `b` or `c`");
        assert_eq!(all_of(["a", "b", "c"]), "`a`, `b` and `c`");
    }
}

//! "Did you mean": the nearest of many names. It must not know what the names stand for.

/// The name nearest to `wanted`, when it is near enough to be a slip of the fingers.
///
/// Near enough: at most a third of the longer length, and at most 3 edits; letters next to each
/// other that changed places are one edit (optimal string alignment). Of equally near names the
/// first in alphabetical order wins, so that the answer does not depend on the order of `names`.
pub(super) fn nearest<'a>(wanted: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted_chars: Vec<char> = wanted.to_lowercase().chars().collect();
    let mut best: Option<(usize, &'a str)> = None;
    for name in names {
        let length = wanted_chars.len().max(name.chars().count());
        let allowed = (length / 3).clamp(1, 3).min(best.map_or(3, |(distance, _)| distance));
        if name.chars().count().abs_diff(wanted_chars.len()) > allowed {
            continue;
        }
        let distance = edits(&wanted_chars, &name.to_lowercase().chars().collect::<Vec<_>>());
        let better = best.is_none_or(|(least, first)| (distance, name) < (least, first));
        if distance <= allowed && better {
            best = Some((distance, name));
        }
    }
    best.map(|(_, name)| name)
}

/// Insertions, deletions, replacements and swaps of neighbours that turn `a` into `b`.
fn edits(a: &[char], b: &[char]) -> usize {
    let mut before_last = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1; b.len() + 1];
        for (j, y) in b.iter().enumerate() {
            let replaced = last[j] + usize::from(x != y);
            row[j + 1] = replaced.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                row[j + 1] = row[j + 1].min(before_last[j - 1] + 1);
            }
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_found_and_far_ones_are_not() {
        let names = ["worker", "database", "api", "10.0.0.1"];
        assert_eq!(nearest("wroker", names), Some("worker"));
        assert_eq!(nearest("Api", names), Some("api"));
        assert_eq!(nearest("10.0.0.11", names), Some("10.0.0.1"));
        assert_eq!(nearest("cache", names), None);
        assert_eq!(nearest("", names), None);
    }

    #[test]
    fn equally_near_names_do_not_depend_on_the_order() {
        assert_eq!(nearest("zone-x", ["zone-b", "zone-a"]), Some("zone-a"));
        assert_eq!(nearest("zone-x", ["zone-a", "zone-b"]), Some("zone-a"));
    }
}

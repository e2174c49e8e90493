//! Two texts line by line, for commands and scripts.

use similar::DiffTag;

use crate::plan::line_operations;

/// Of longer texts lines are not matched with one another: the time for it grows with the product of what differs.
const MATCHED: usize = 2_000;

/// One line of a comparison, without its line feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line<'t> {
    /// In both, near to one that is not.
    Same(&'t str),
    /// So many lines that are in both.
    LeftOut(usize),
    /// Only in the old text.
    Old(&'t str),
    /// Only in the new text.
    New(&'t str),
}

/// So many lines around one that is not the same are shown, as by diff(1).
const AROUND: usize = 3;

/// What is not the same in two texts, what is gone before what is new, with some lines around it.
pub fn line_diff<'t>(old: &'t str, new: &'t str) -> Vec<Line<'t>> {
    if old.lines().take(MATCHED + 1).count().max(new.lines().take(MATCHED + 1).count()) > MATCHED {
        return old.lines().map(Line::Old).chain(new.lines().map(Line::New)).collect();
    }
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let mut lines = Vec::new();
    for operation in line_operations(&old, &new) {
        let same = &old[operation.old_range()];
        if operation.tag() != DiffTag::Equal {
            lines.extend(same.iter().map(|line| Line::Old(line)));
            lines.extend(new[operation.new_range()].iter().map(|line| Line::New(line)));
            continue;
        }
        let is_last = operation.old_range().end == old.len() && operation.new_range().end == new.len();
        let (before, after) = (if lines.is_empty() { 0 } else { AROUND }, if is_last { 0 } else { AROUND });
        if same.len() <= before + after + 1 {
            lines.extend(same.iter().map(|line| Line::Same(line)));
        } else {
            lines.extend(same[..before].iter().map(|line| Line::Same(line)));
            lines.push(Line::LeftOut(same.len() - before - after));
            lines.extend(same[same.len() - after..].iter().map(|line| Line::Same(line)));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn what_is_gone_comes_before_what_is_new() {
        use Line::{New, Old, Same};
        assert_eq!(line_diff("a\nb\nc\n", "a\nx\nc"), [Same("a"), Old("b"), New("x"), Same("c")]);
        assert_eq!(line_diff("", "a\n"), [New("a")]);
        assert_eq!(line_diff("a", "a\n"), [Same("a")]);
        let long = |middle: &str| format!("1\n2\n3\n4\n5\n{middle}\n6\n7\n8\n9\n10\n");
        let (old, new) = (long("x"), long("y"));
        let around = [Old("x"), New("y")];
        let expected: Vec<_> = [Line::LeftOut(2), Same("3"), Same("4"), Same("5")]
            .into_iter()
            .chain(around)
            .chain([Same("6"), Same("7"), Same("8"), Line::LeftOut(2)])
            .collect();
        assert_eq!(line_diff(&old, &new), expected);
    }

    #[test]
    fn large_texts_take_no_longer_than_reading_them() {
        let text = |step: usize| (0..400_000).map(|n| format!("{}\n", n * step)).collect::<String>();
        let (old, new) = (text(3), text(7));
        let began = Instant::now();
        assert_eq!(line_diff(&old, &new).len(), 800_000);
        assert!(began.elapsed() < Duration::from_secs(5));
    }
}

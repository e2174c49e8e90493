//! Numbers with their nouns, as people write them. Knows English plurals of the field's own nouns and
//! nothing else; every room that speaks to people may use it.

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

#[cfg(test)]
mod tests {
    use super::counted;

    #[test]
    fn one_is_singular_and_all_else_plural() {
        assert_eq!(counted(0, "worker"), "0 workers");
        assert_eq!(counted(1, "entry"), "1 entry");
        assert_eq!(counted(2, "entry"), "2 entries");
        assert_eq!(counted(3, "day"), "3 days");
    }
}

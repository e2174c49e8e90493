//! `restart_globs` of a job: patterns for paths below its folder.

use globset::{Glob, GlobBuilder, GlobSet};

/// One set of these patterns. `*`, `?` and `[a-z]` stay within a part of a path, `**` crosses parts; a
/// pattern without a slash is for the last part of a path.
///
/// # Errors
/// The first that is no pattern.
pub fn path_globs(patterns: &[String]) -> Result<GlobSet, globset::Error> {
    let globs = patterns.iter().map(|pattern| path_glob(pattern)).collect::<Result<Vec<_>, _>>()?;
    GlobSet::new(globs)
}

pub(super) fn path_glob(pattern: &str) -> Result<Glob, globset::Error> {
    let anywhere = if pattern.contains('/') { "" } else { "**/" };
    let pattern = format!("{anywhere}{}", pattern.trim_start_matches('/'));
    GlobBuilder::new(&pattern).literal_separator(true).build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_for_a_whole_path_or_for_its_last_part() {
        for (glob, path, expected) in [
            ("*.conf", "a.conf", true),
            ("*.conf", "etc/a.conf", true),
            ("etc/*.conf", "etc/a.conf", true),
            ("etc/*.conf", "etc/x/a.conf", false),
            ("etc/**", "etc/x/a.conf", true),
            ("/etc/**", "etc/a.conf", true),
            ("**/a.conf", "a.conf", true),
            ("**/a.conf", "x/y/a.conf", true),
            ("**/a.conf", "x/ya.conf", false),
            ("**", "x/y", true),
            ("Makefile", "Makefile", true),
            ("Make?ile", "Makefile", true),
            ("Makefile", "Makefile2", false),
            ("a/*/b", "a/x/b", true),
            ("conf.[a-c]", "x/conf.b", true),
            ("conf.[a-c]", "x/conf.d", false),
        ] {
            let found = path_globs(&[glob.to_owned()]).unwrap().is_match(path);
            assert_eq!(found, expected, "{glob} {path}");
        }
        assert!(path_globs(&["*.conf".to_owned(), "[".to_owned()]).is_err());
        assert!(!path_globs(&[]).unwrap().is_match("a"));
    }
}

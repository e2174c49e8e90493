//! `restart_globs` of a job: patterns for paths below its folder, as the upstream program reads them.

use crate::os::Glob;

/// One set of these patterns. `*`, `?` and `[a-z]` stay within a part of a path, `**` crosses parts; a
/// pattern without a slash is for the last part of a path, and one that ends with a slash for all below a folder.
///
/// # Errors
/// The first that is no pattern, in words.
pub fn path_globs(patterns: &[String]) -> Result<PathGlobs, String> {
    Ok(PathGlobs(patterns.iter().map(|pattern| path_glob(pattern)).collect::<Result<_, _>>()?))
}

/// What [`path_globs`] has read.
pub struct PathGlobs(Vec<Glob>);

impl PathGlobs {
    /// Whether one of them is for this path.
    pub fn is_match(&self, path: &str) -> bool {
        self.0.iter().any(|glob| glob.is_match(path))
    }
}

pub(super) fn path_glob(pattern: &str) -> Result<Glob, String> {
    let pattern = pattern.trim();
    if pattern.is_empty() {
        return Err("it is empty".to_owned());
    }
    // Those of Go's path.Match that are read otherwise here.
    for class in pattern.split('[').skip(1) {
        match class.strip_prefix('^').unwrap_or(class).chars().next() {
            Some(']' | '-') => return Err("a bracket or a dash comes first in `[..]`".to_owned()),
            Some('!') => return Err("`[^..]` is what says `none of these`, not `[!..]`".to_owned()),
            _ => {}
        }
    }
    let anywhere = if pattern.contains('/') { "" } else { "**/" };
    let below = if pattern.ends_with('/') { "**" } else { "" };
    Glob::parse(&format!("{anywhere}{}{below}", pattern.trim_start_matches('/')))
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
            ("conf.[^a-c]", "x/conf.d", true),
            ("conf/", "conf/x/y", true),
            ("conf/", "x/conf/y", false),
            (" *.conf ", "a.conf", true),
            ("{a,b}", "a", false),
            ("{a,b}", "{a,b}", true),
        ] {
            let found = path_globs(&[glob.to_owned()]).unwrap().is_match(path);
            assert_eq!(found, expected, "{glob} {path}");
        }
        for bad in ["[", "", "  ", "a[]", "[]a]", "[-a]", "[^]", "[^-a]", "[!a]", "a\\"] {
            assert!(path_globs(&["*.conf".to_owned(), bad.to_owned()]).is_err(), "{bad}");
        }
        assert!(!path_globs(&[]).unwrap().is_match("a"));
    }
}

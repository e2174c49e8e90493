//! Which hosts an ssh config names, and where: for whoever wants to know whom it is for, not how one of them is reached.

use std::path::Path;

use super::line::split_line;
use super::{BadLine, ConfigError, INCLUDE_DEPTH, Whose, include, included};

/// A line that begins a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostLine {
    /// `~/.ssh/config:12`.
    pub place: String,
    /// What stands behind `Host`, or the criteria of a `Match`.
    pub words: Vec<String>,
    /// It is a `Match`.
    pub is_match: bool,
    /// It is in a file that another block includes, so that it counts only where that one does.
    pub is_nested: bool,
}

/// More lines than this are not looked at: files that include each other can have any number.
const MOST: usize = 20_000;

/// All of a user's file and of those that it includes, in their order. `None`: there is no such file.
///
/// # Errors
/// A file cannot be read, or a line of it cannot be understood; as for a login.
pub fn host_lines(file: &Path, home: &Path) -> Result<Option<Vec<HostLine>>, ConfigError> {
    let mut found = Vec::new();
    let is_there = of_file(file, home, false, 0, &mut found)?;
    Ok(is_there.then_some(found))
}

fn of_file(
    file: &Path,
    home: &Path,
    nested: bool,
    depth: usize,
    found: &mut Vec<HostLine>,
) -> Result<bool, ConfigError> {
    let Some(text) = include::read(file, true)? else { return Ok(false) };
    // Whether what is included here counts for some hosts only.
    let mut inner = nested;
    for (number, line) in text.lines().enumerate() {
        let place = format!("{}:{}", file.display(), number + 1);
        let bad = |line| ConfigError::Line { place: place.clone(), line };
        let Some((keyword, words)) = split_line(line).map_err(bad)? else { continue };
        match keyword.as_str() {
            "host" | "match" => {
                let is_match = keyword == "match";
                let is_all =
                    words.len() == 1 && words[0].eq_ignore_ascii_case(if is_match { "all" } else { "*" });
                inner = nested || !is_all;
                if found.len() < MOST {
                    found.push(HostLine { place, words, is_match, is_nested: nested });
                }
            }
            "include" if depth >= INCLUDE_DEPTH => return Err(bad(BadLine::IncludeDepth)),
            "include" => {
                for value in &words {
                    let pattern = included(value, Whose::User, home).map_err(bad)?;
                    for path in include::glob(&pattern) {
                        of_file(&path, home, inner, depth + 1, found)?;
                    }
                }
            }
            _ => {}
        }
        if found.len() >= MOST {
            break;
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn blocks_of_all_files_are_found_with_their_places() {
        let home = tempfile::tempdir().unwrap();
        let at = |name: &str| home.path().join(".ssh").join(name);
        fs::create_dir(at("")).unwrap();
        let write = |name: &str, text: &str| {
            fs::write(at(name), text).unwrap();
            fs::set_permissions(at(name), fs::Permissions::from_mode(0o600)).unwrap();
        };
        write(
            "config",
            "Include one\nHost a \"b c\" !d\n Port 5\nHost x\n Include two\nHost *\nMatch all\n Include one\n",
        );
        write("one", "Host e\n");
        write("two", "Host f\nMatch user g\n");
        let found = host_lines(&at("config"), home.path()).unwrap().unwrap();
        let shown: Vec<_> = found
            .iter()
            .map(|line| {
                (line.place.rsplit('/').next().unwrap(), line.words.join("|"), line.is_match, line.is_nested)
            })
            .collect();
        let expected = [
            ("one:1", "e".to_owned(), false, false),
            ("config:2", "a|b c|!d".to_owned(), false, false),
            ("config:4", "x".to_owned(), false, false),
            ("two:1", "f".to_owned(), false, true),
            ("two:2", "user|g".to_owned(), true, true),
            ("config:6", "*".to_owned(), false, false),
            ("config:7", "all".to_owned(), true, false),
            ("one:1", "e".to_owned(), false, false),
        ];
        assert_eq!(shown, expected);
        assert_eq!(host_lines(&at("none"), home.path()).unwrap(), None);
        write("config", "Include config config\n");
        assert!(host_lines(&at("config"), home.path()).is_err(), "for ever");
    }
}

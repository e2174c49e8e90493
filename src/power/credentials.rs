//! User and password of a BMC: from a file of mode 0600, or from the environment.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::os::open;

use super::PowerError;

/// The variables of this machine's environment where there is no file.
const USER: &str = "MAAND_BMC_USER";
const PASSWORD: &str = "MAAND_BMC_PASSWORD";
/// A line for each worker of a large fleet.
const LARGEST_FILE: u64 = 8 * 1024 * 1024;

/// Who asks a BMC.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Credentials {
    pub(super) user: String,
    pub(super) password: String,
}

impl Credentials {
    /// Of the BMC of the worker `host`.
    pub(super) fn of(host: &str, file: Option<&Path>) -> Result<Self, PowerError> {
        let found = match file {
            Some(path) => {
                let wrong =
                    |why: String| PowerError::here(format!("{} cannot be used: {why}", path.display()));
                let text = read(path).map_err(wrong)?;
                find(&text, host).map_err(wrong)?
            }
            None => Self { user: variable(USER)?, password: variable(PASSWORD)? },
        };
        // RFC 7617: the first colon ends the user.
        if found.user.contains(':') || found.user.is_empty() {
            return Err(PowerError::here(format!(
                "the user of the BMC of {host} is empty or has a colon in it"
            )));
        }
        Ok(found)
    }

    /// The value of `Authorization` (RFC 7617).
    pub(super) fn header(&self) -> String {
        use base64ct::{Base64, Encoding};
        format!("Basic {}", Base64::encode_string(format!("{}:{}", self.user, self.password).as_bytes()))
    }
}

fn variable(name: &str) -> Result<String, PowerError> {
    std::env::var(name).map_err(|error| {
        let what = match error {
            std::env::VarError::NotPresent => "is not set here",
            std::env::VarError::NotUnicode(_) => "is not UTF-8 text",
        };
        PowerError::here(format!(
            "the environment variable {name} {what}, and maand.conf names no `bmc_credentials` file"
        ))
    })
}

fn read(path: &Path) -> Result<String, String> {
    // What others can put there is refused there already.
    open::check_own_file(path).map_err(|error| error.to_string())?;
    let file = open::plain_no_link(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => "it is not there".to_owned(),
        _ => error.to_string(),
    })?;
    let mode = file.metadata().map_or(0o777, |meta: fs::Metadata| meta.permissions().mode()) & 0o777;
    if mode & 0o077 != 0 {
        return Err(format!("it can be read by others (mode {mode:03o}); do `chmod 600` on it"));
    }
    let bytes = open::read_all(&file, LARGEST_FILE).map_err(|error| error.to_string())?;
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned())
}

/// The first line for this worker; `*` is for all.
fn find(text: &str, host: &str) -> Result<Credentials, String> {
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let word = |text: &str| {
            text.split_once(char::is_whitespace)
                .map(|(word, rest)| (word.to_owned(), rest.trim_start().to_owned()))
        };
        // A password may have blanks in it.
        let fields =
            word(line).and_then(|(whose, rest)| word(&rest).map(|(user, password)| (whose, user, password)));
        let Some((whose, user, password)) = fields else {
            return Err(format!("line {} is not of the form HOST USER PASSWORD", at + 1));
        };
        if whose == "*" || whose.eq_ignore_ascii_case(host) {
            return Ok(Credentials { user, password });
        }
    }
    Err(format!("it has no line for {host}, and none for all (`*`)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_for_a_worker_counts() {
        let text = "# ours\n\n10.0.0.1 admin  s3cret with blanks\n* root calvin\n10.0.0.2 never read\n";
        let of = |host: &str| find(text, host).unwrap();
        assert_eq!(
            (of("10.0.0.1").user.as_str(), of("10.0.0.1").password.as_str()),
            ("admin", "s3cret with blanks")
        );
        assert_eq!(of("10.0.0.2").user, "root");
        assert_eq!(of("10.0.0.2").header(), "Basic cm9vdDpjYWx2aW4=");
        assert!(find("a b c\n", "x").err().unwrap().contains("no line for x"));
        assert!(find("a b c\n\nx y\n", "x").err().unwrap().contains("line 3"));
    }

    #[test]
    fn a_file_that_others_can_read_or_write_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bmc");
        let of =
            || Credentials::of("w1", Some(&path)).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(of().contains("it is not there"), "{}", of());
        fs::write(&path, "* admin secret\n").unwrap();
        for (mode, why) in [(0o644, "chmod 600"), (0o640, "chmod 600"), (0o602, "chmod"), (0o600, "")] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert!(of().contains(why) && of().is_empty() == why.is_empty(), "{mode:o}: {}", of());
        }
        std::os::unix::fs::symlink(&path, folder.path().join("link")).unwrap();
        assert!(Credentials::of("w1", Some(&folder.path().join("link"))).is_err());
        fs::write(&path, "* ad:min secret\n").unwrap();
        assert!(of().contains("colon") && !of().contains("secret"), "{}", of());
    }
}

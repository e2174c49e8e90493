//! Environment variables that stand for flags: every global one, and `--yes`.
//!
//! A flag wins over its variable, and a variable that is set to nothing is not set. Read here and not by clap, whose
//! messages name the flag that nobody has typed.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::ValueEnum;

use super::CliError;
use crate::plan::suggest::{did_you_mean, one_of};

/// The variables that we read ourselves, and what each is for. Those of other programs' are in `help`.
pub(super) const VARIABLES: &[(&str, &str)] = &[
    ("MAAND_BUCKET", "The bucket's folder, as --bucket"),
    ("MAAND_ENGINE", "The engine that builds and deploys, as --engine"),
    ("MAAND_BIN", "The upstream program, as --maand-bin"),
    ("MAAND_OUTPUT", "The format of standard output, as --output"),
    ("MAAND_COLOR", "When to use colours, as --color"),
    ("MAAND_ANNOTATIONS", "Annotations for logs of CI systems, as --annotations"),
    ("MAAND_VERBOSE", "1: as --verbose"),
    ("MAAND_QUIET", "1: as --quiet"),
    ("MAAND_BELL", "1: as --bell"),
    ("MAAND_YES", "1: as --yes, of commands that ask"),
];

/// Where variables are looked up.
#[derive(Clone, Copy)]
pub(super) struct Environment<'e>(pub(super) &'e dyn Fn(&str) -> Option<OsString>);

impl Environment<'static> {
    /// That of this process.
    pub(super) fn of_process() -> Self {
        Self(&|name| std::env::var_os(name))
    }
}

impl Environment<'_> {
    fn raw(self, name: &str) -> Option<OsString> {
        debug_assert!(VARIABLES.iter().any(|(known, _)| *known == name), "{name} is not documented");
        (self.0)(name).filter(|value| !value.is_empty())
    }

    fn text(self, name: &str, expected: &str) -> Result<Option<String>, CliError> {
        let into = |value: OsString| {
            value.into_string().map_err(|value| bad(name, &value.to_string_lossy(), expected))
        };
        self.raw(name).map(into).transpose()
    }

    /// A path, taken as it is.
    pub(super) fn path(self, name: &str) -> Option<PathBuf> {
        self.raw(name).map(PathBuf::from)
    }

    /// One of the values of a flag.
    ///
    /// # Errors
    /// It is none of them.
    pub(super) fn choice<T: ValueEnum>(self, name: &str) -> Result<Option<T>, CliError> {
        let values: Vec<String> = T::value_variants()
            .iter()
            .filter_map(T::to_possible_value)
            .map(|value| value.get_name().to_owned())
            .collect();
        let all = || format!("it can be {}", one_of(values.iter().map(String::as_str)));
        let Some(text) = self.text(name, &all())? else { return Ok(None) };
        let expected = did_you_mean(&text, values.iter().map(String::as_str), all);
        T::from_str(&text, false).map(Some).map_err(|_| bad(name, &text, &expected))
    }

    /// A flag without a value.
    ///
    /// # Errors
    /// It says neither yes nor no.
    pub(super) fn switch(self, name: &str) -> Result<bool, CliError> {
        let expected = "`1`, `true`, `yes` and `on` say yes; `0`, `false`, `no` and `off` say no";
        let Some(text) = self.text(name, expected)? else { return Ok(false) };
        match text.trim().to_ascii_lowercase().as_str() {
            "1" | "true" | "yes" | "y" | "on" => Ok(true),
            "0" | "false" | "no" | "n" | "off" => Ok(false),
            _ => Err(bad(name, &text, expected)),
        }
    }
}

fn bad(name: &str, value: &str, expected: &str) -> CliError {
    CliError::usage(
        format!("the environment variable {name} is `{value}`, which it cannot be"),
        format!("{expected}; `unset {name}` takes it back"),
    )
}

#[cfg(test)]
mod tests {
    use super::super::args::{ColorChoice, OutputFormat};
    use super::super::{Exit, environment::*};

    fn with<T>(value: &str, read: impl Fn(Environment<'_>) -> Result<T, CliError>) -> Result<T, String> {
        let look = |_: &str| Some(OsString::from(value));
        read(Environment(&look)).map_err(|error| {
            assert_eq!(error.exit, Exit::Usage);
            let [problem] = error.problems()[..] else { panic!("{error}") };
            format!("{problem}: {}", problem.help.as_deref().unwrap())
        })
    }

    #[test]
    fn a_bad_value_is_said_with_its_variable() {
        let output = |environment: Environment<'_>| environment.choice::<OutputFormat>("MAAND_OUTPUT");
        assert_eq!(with("json", output).unwrap(), Some(OutputFormat::Json));
        assert_eq!(with("", output).unwrap(), None);
        let said = with("jsno", output).unwrap_err();
        assert_eq!(
            said,
            "the environment variable MAAND_OUTPUT is `jsno`, which it cannot be: did you mean `json`?; `unset \
             MAAND_OUTPUT` takes it back"
        );
        let color = |environment: Environment<'_>| environment.choice::<ColorChoice>("MAAND_COLOR");
        assert!(with("rainbow", color).unwrap_err().contains("it can be `auto`, `always` or `never`"));
    }

    #[test]
    fn a_switch_says_yes_or_no() {
        let yes = |environment: Environment<'_>| environment.switch("MAAND_YES");
        for (value, expected) in [
            ("", false),
            ("0", false),
            ("No", false),
            ("off", false),
            ("1", true),
            ("YES", true),
            (" on ", true),
        ] {
            assert_eq!(with(value, yes).unwrap(), expected, "{value:?}");
        }
        assert!(with("maybe", yes).unwrap_err().contains("MAAND_YES is `maybe`"));
    }
}

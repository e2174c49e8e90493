//! `maand self`: about this program and what it was built from.

use clap::Subcommand;
use schemars::JsonSchema;
use serde::Serialize;

use super::document::{self, Document};
use super::{CliError, Context, Exit, out};

/// The commands about the program itself.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum OwnCommand {
    /// What this program is and what it was built from: commit, target, and the libraries in C
    Version,
}

/// As JSON.
#[derive(Serialize, JsonSchema)]
pub(super) struct VersionDocument {
    /// Of the program.
    version: &'static str,
    /// The commit that it was built from; missing where the source did not say.
    commit: Option<&'static str>,
    /// What it was built for, such as `x86_64-unknown-linux-gnu`.
    target: &'static str,
    /// `release`, `debug` or another profile of cargo's.
    profile: &'static str,
    /// The libraries that are not in Rust.
    libraries: Vec<Library>,
}

impl Document for VersionDocument {
    const NAME: &'static str = "self-version";
}

/// A library in C.
#[derive(Serialize, JsonSchema)]
struct Library {
    /// `libssh2`, `OpenSSL` or `SQLite`.
    name: &'static str,
    /// The version that it was compiled against; missing where the build could not tell.
    version: Option<String>,
    /// Whether it is a part of this program; else the system's is used, which may be a newer one.
    built_in: bool,
}

/// Runs the command.
pub(super) fn run(command: &OwnCommand, context: &Context) -> Result<Exit, CliError> {
    let OwnCommand::Version = command;
    let about = about();
    if context.json {
        document::print(&about)?;
    } else {
        out::print(&text(&about))?;
    }
    Ok(Exit::Done)
}

/// What build.rs has found out.
fn about() -> VersionDocument {
    let said = |text: &'static str| Some(text).filter(|text| !text.is_empty());
    VersionDocument {
        version: env!("CARGO_PKG_VERSION"),
        commit: said(env!("MAAND_BUILT_FROM")),
        target: env!("MAAND_BUILT_FOR"),
        profile: env!("MAAND_BUILT_AS"),
        libraries: vec![
            Library {
                name: "libssh2",
                version: said(env!("MAAND_LIBSSH2")).map(str::to_owned),
                built_in: env!("MAAND_LIBSSH2_BUILT_IN") == "true",
            },
            Library {
                name: "OpenSSL",
                version: said(env!("MAAND_OPENSSL")).map(str::to_owned),
                built_in: env!("MAAND_OPENSSL_BUILT_IN") == "true",
            },
            Library { name: "SQLite", version: Some(rusqlite::version().to_owned()), built_in: true },
        ],
    }
}

fn text(about: &VersionDocument) -> String {
    let mut text = format!("maand {}", about.version);
    if let Some(commit) = about.commit {
        text += &format!(" ({commit})");
    }
    text += &format!("\nbuilt for {}, {}\n", about.target, about.profile);
    for library in &about.libraries {
        let version = library.version.as_deref().unwrap_or("of an unknown version");
        let whose = if library.built_in { "built in" } else { "the system's" };
        text += &format!("{} {version}, {whose}\n", library.name);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_build_knows_what_it_was_built_from() {
        let about = about();
        assert_eq!(about.libraries.len(), 3);
        for library in &about.libraries {
            let version =
                library.version.as_deref().unwrap_or_else(|| panic!("{}: no version", library.name));
            let numbers = version.split(['.', '_', '-']).take(2).map(str::parse::<u32>);
            assert!(numbers.into_iter().all(|number| number.is_ok()), "{}: {version}", library.name);
        }
        let text = text(&about);
        assert!(text.starts_with("maand ") && text.contains("SQLite 3."), "{text}");
    }
}

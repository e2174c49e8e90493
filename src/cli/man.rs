//! `maand man`: one manual page per command, made from the same definitions as `--help`.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};
use schemars::JsonSchema;
use serde::Serialize;

use super::document::{self, Document};
use super::help::{self, Page};
use super::{CliError, Context, Exit, out};
use crate::plan::Problem;

/// Arguments of `maand man`.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// The folder, made if it is missing, such as ~/.local/share/man/man1
    #[arg(value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    dir: PathBuf,
}

/// As JSON.
#[derive(Serialize, JsonSchema)]
pub(super) struct ManDocument<'a> {
    /// The folder.
    dir: &'a Path,
    /// The pages in it that were written.
    pages: Vec<String>,
}

impl Document for ManDocument<'_> {
    const NAME: &'static str = "man";
}

/// Runs the command.
pub(super) fn run(args: &ManArgs, context: &Context) -> Result<Exit, CliError> {
    let written = std::fs::create_dir_all(&args.dir).and_then(|()| {
        let mut pages = Vec::new();
        for page in help::pages() {
            let file = format!("{}.1", page.name());
            std::fs::write(args.dir.join(&file), text(&page)?)?;
            pages.push(file);
        }
        Ok(pages)
    });
    let pages = written.map_err(|error| {
        let message = format!("manual pages cannot be written to {}: {error}", args.dir.display());
        Problem::error("maand::cli::man", message).help("name a folder that you may write to")
    })?;
    if context.json {
        document::print(&ManDocument { dir: &args.dir, pages })?;
    } else if !context.quiet {
        out::note(&format!("manual pages are in {}; read one with: man maand", args.dir.display()));
    }
    Ok(Exit::Done)
}

/// One page.
fn text(page: &Page) -> std::io::Result<Vec<u8>> {
    let man = Man::new(page.command.clone());
    let mut text = Vec::new();
    title(page, &mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    if page.command.has_subcommands() {
        man.render_subcommands_section(&mut text)?;
    }
    examples(page, &mut text)?;
    for (heading, entries) in [
        ("EXIT STATUS", help::EXIT_STATUS.to_vec()),
        ("ENVIRONMENT", help::environment()),
        ("FILES", help::FILES.to_vec()),
    ] {
        list(heading, &entries, &mut text)?;
    }
    let mut roff = Roff::new();
    roff.control("SH", ["SEE ALSO"]);
    roff.text([roman(
        page.see_also().iter().map(|name| format!("{name}(1)")).collect::<Vec<_>>().join(", "),
    )]);
    roff.to_writer(&mut text)?;
    Ok(without_empty_lines(text))
}

/// By hand: `Man` leaves an empty argument out, and what comes after it takes its place. There is no date: the program
/// does not know when it was built.
fn title(page: &Page, text: &mut impl Write) -> std::io::Result<()> {
    let (name, version) = (page.name(), env!("CARGO_PKG_VERSION"));
    writeln!(text, ".TH {name} 1 \"\" \"maand {version}\" \"Manual of maand\"")
}

/// `Man` parts paragraphs by an empty line between two breaks, of which each is one too many.
fn without_empty_lines(text: Vec<u8>) -> Vec<u8> {
    String::from_utf8_lossy(&text).replace("\n.br\n\n.br\n", "\n.sp\n").into_bytes()
}

fn examples(page: &Page, text: &mut impl Write) -> std::io::Result<()> {
    let mut roff = Roff::new();
    roff.control("SH", ["EXAMPLES"]);
    for (what, command) in page.examples {
        roff.control("TP", []);
        roff.text([roman(format!("{what}:"))]);
        roff.text([bold(*command)]);
    }
    roff.to_writer(text)
}

fn list(heading: &str, entries: &[(&str, &str)], text: &mut impl Write) -> std::io::Result<()> {
    let mut roff = Roff::new();
    roff.control("SH", [heading]);
    for (name, meaning) in entries {
        roff.control("TP", []);
        roff.text([bold(*name)]);
        roff.text([roman(*meaning)]);
    }
    roff.to_writer(text)
}

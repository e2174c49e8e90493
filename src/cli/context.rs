//! The global flags, resolved once.

use std::io::IsTerminal;
use std::path::PathBuf;

use super::args::{Global, OutputFormat};
use crate::bucket::Bucket;
use crate::plan::Problems;
use crate::run::Engine;

/// What every command gets.
#[derive(Clone, Debug)]
pub struct Context {
    /// `-C/--bucket`; `None`: the nearest parent with `maand.conf`.
    pub bucket: Option<PathBuf>,
    /// `--engine`; `None`: chosen by what the bucket has.
    pub engine: Option<Engine>,
    /// `--maand-bin` or `MAAND_BIN`.
    pub maand_bin: Option<PathBuf>,
    /// `--output json`: only JSON goes to standard output.
    pub json: bool,
    /// `--output plain`: a run is shown line by line, also on a terminal.
    pub plain: bool,
    /// Whether messages on standard error get colours.
    pub colors: bool,
    /// Whether the live view, which is on standard output, gets colours.
    pub live_colors: bool,
    /// `--bell`.
    pub bell: bool,
    /// `-v` count.
    pub verbose: u8,
    /// `-q`.
    pub quiet: bool,
}

impl Context {
    /// Shows warnings on standard error, unless `-q`.
    pub(super) fn warn(&self, warnings: &Problems) {
        if !self.quiet && !warnings.is_empty() {
            super::out::diagnose(warnings, self.colors);
        }
    }

    /// Who builds and deploys here: `--engine`, else whoever the bucket's files belong to.
    pub(super) fn engine_for(&self, bucket: &Bucket) -> Engine {
        self.engine.unwrap_or_else(|| Engine::of(bucket))
    }
}

impl From<&Global> for Context {
    fn from(global: &Global) -> Self {
        Self {
            bucket: global.bucket.clone(),
            engine: global.engine,
            maand_bin: global.maand_bin.clone(),
            json: global.output == OutputFormat::Json,
            plain: global.output == OutputFormat::Plain,
            colors: super::run::colors_on_stderr(global.color),
            live_colors: super::run::colors(global.color, std::io::stdout().is_terminal()),
            bell: global.bell,
            verbose: global.verbose,
            quiet: global.quiet,
        }
    }
}

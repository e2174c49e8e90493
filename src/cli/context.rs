//! The global flags, resolved once.

use std::path::PathBuf;

use super::args::{Engine, Global, OutputFormat};

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
    /// Whether messages on standard error get colours.
    pub colors: bool,
    /// `-v` count.
    pub verbose: u8,
    /// `-q`.
    pub quiet: bool,
}

impl From<&Global> for Context {
    fn from(global: &Global) -> Self {
        Self {
            bucket: global.bucket.clone(),
            engine: global.engine,
            maand_bin: global.maand_bin.clone(),
            json: global.output == OutputFormat::Json,
            colors: super::run::colors_on_stderr(global.color),
            verbose: global.verbose,
            quiet: global.quiet,
        }
    }
}

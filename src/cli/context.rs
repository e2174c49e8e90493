//! The global flags, resolved once.

use std::io::IsTerminal;
use std::path::PathBuf;

use super::CliError;
use super::annotations;
use super::args::{Annotations, Global, OutputFormat};
use super::environment::Environment;
use super::out::Manner;
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
    /// Annotations are written for this CI system.
    pub annotations: Annotations,
    /// How often `-v` was given.
    pub verbose: u8,
    /// `-q`.
    pub quiet: bool,
}

impl Context {
    /// The flags, and the environment for those that were not given.
    ///
    /// # Errors
    /// A variable that was looked at has a value that it cannot have.
    pub(super) fn resolve(global: &Global, environment: Environment<'_>) -> Result<Self, CliError> {
        let Global { bucket, engine, maand_bin, .. } = global;
        let output = flag_or(global.output, || environment.choice("MAAND_OUTPUT"))?;
        let color = flag_or(global.color, || environment.choice("MAAND_COLOR"))?;
        // Either of the two flags wins over both variables.
        let flagged = global.quiet || global.verbose > 0;
        let quiet = global.quiet || (!flagged && environment.switch("MAAND_QUIET")?);
        let verbose = !flagged && !quiet && environment.switch("MAAND_VERBOSE")?;
        Ok(Self {
            bucket: bucket.clone().or_else(|| environment.path("MAAND_BUCKET")),
            engine: flag_or(*engine, || environment.choice("MAAND_ENGINE"))?,
            maand_bin: maand_bin.clone().or_else(|| environment.path("MAAND_BIN")),
            json: output.unwrap_or_default() == OutputFormat::Json,
            plain: output == Some(OutputFormat::Plain),
            colors: super::run::colors_on_stderr(color.unwrap_or_default()),
            live_colors: super::run::colors(color.unwrap_or_default(), std::io::stdout().is_terminal()),
            bell: global.bell || environment.switch("MAAND_BELL")?,
            annotations: flag_or(global.annotations, || environment.choice("MAAND_ANNOTATIONS"))?
                .unwrap_or_default(),
            verbose: global.verbose.max(u8::from(verbose)),
            quiet,
        })
    }

    /// How its errors are shown.
    pub(super) fn manner(&self) -> Manner {
        Manner { json: self.json, colors: self.colors, annotations: self.annotations }
    }

    /// Shows warnings on standard error, unless `-q`.
    pub(super) fn warn(&self, warnings: &Problems) {
        annotations::write(warnings.iter(), self.annotations);
        if !self.quiet && !warnings.is_empty() {
            super::out::diagnose(warnings, self.colors);
        }
    }

    /// Who builds and deploys here: `--engine`, else whoever the bucket's files belong to.
    pub(super) fn engine_for(&self, bucket: &Bucket) -> Engine {
        self.engine.unwrap_or_else(|| Engine::of(bucket))
    }
}

fn flag_or<T>(
    flag: Option<T>,
    variable: impl FnOnce() -> Result<Option<T>, CliError>,
) -> Result<Option<T>, CliError> {
    flag.map_or_else(variable, |flag| Ok(Some(flag)))
}

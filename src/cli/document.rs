//! The JSON documents that commands print: each says its schema first, and `schemas/` describes it.
//!
//! The shape of a document stands beside the command that prints it; here is what all have in common.

use schemars::JsonSchema;
use serde::Serialize;

use super::{CliError, Exit, out};
use crate::plan::{Problem, ProblemJson, json_on_screen};

/// What one command prints with `--output json`. New fields may come, none goes or changes its meaning.
pub(super) trait Document: Serialize + JsonSchema {
    /// Its `schema` is `maand/NAME/v1`, described by `schemas/NAME.v1.schema.json`, where its version is 1.
    const NAME: &'static str;
    /// Goes up when a field goes or changes its meaning.
    const VERSION: u32 = 1;
}

/// A document behind the name of its schema.
#[derive(Serialize)]
struct Marked<'d, D> {
    schema: String,
    #[serde(flatten)]
    document: &'d D,
}

fn marked<D: Document>(document: &D) -> Marked<'_, D> {
    Marked { schema: format!("maand/{}/v{}", D::NAME, D::VERSION), document }
}

/// Writes a document, indented, to standard output.
///
/// # Errors
/// As [`out::print`].
pub(super) fn print<D: Document>(document: &D) -> Result<(), CliError> {
    let text =
        serde_json::to_string_pretty(&marked(document)).map_err(|error| unwritable(D::NAME, &error))?;
    out::print(&json_on_screen(&format!("{text}\n")))
}

/// The error of a document that serde cannot write: a bug, as none has what JSON lacks.
pub(super) fn unwritable(what: &str, error: &serde_json::Error) -> CliError {
    let problem = Problem::error("maand::cli::json", format!("{what} cannot be written as JSON: {error}"));
    CliError::new(Exit::Bug, problem.help("this is a bug in maand: please report it"))
}

/// A document in one line, for commands that print several.
pub(super) fn line<D: Document>(document: &D) -> Result<String, CliError> {
    let text = serde_json::to_string(&marked(document)).map_err(|error| unwritable(D::NAME, &error))?;
    Ok(json_on_screen(&text).into_owned() + "\n")
}

/// Why a command did not do what it was asked to, or not all of it. Always in one line, and the last on standard
/// output: what a command prints before it is lines of JSON too.
#[derive(Serialize, JsonSchema)]
pub(super) struct ErrorDocument<'a> {
    /// Always `error`.
    r#type: &'static str,
    /// The exit code: 1 something failed, 2 wrong command line, 3 invalid plan or bucket, 4 locked, 5 stopped and
    /// resumable, 6 the answer was no, 70 a bug in maand.
    exit_code: u8,
    /// Each thing that is wrong, and warnings that belong to it.
    problems: Vec<ProblemJson<'a>>,
}

impl Document for ErrorDocument<'_> {
    const NAME: &'static str = "error";
}

/// Writes an error to standard output.
///
/// # Errors
/// As [`out::print`].
pub(super) fn print_error(error: &CliError) -> Result<(), CliError> {
    out::print(&error_line(error)?)
}

/// An error in one line.
pub(super) fn error_line(error: &CliError) -> Result<String, CliError> {
    let problems = error.problems().into_iter().map(Problem::to_json).collect();
    line(&ErrorDocument { r#type: "error", exit_code: error.exit as u8, problems })
}

#[cfg(test)]
mod tests {
    use super::super::{
        build, cat, completions, deploy, doctor, health_check, import, info, init, job, ledger, man, notify,
        own, plan, run_command, sandbox, serve,
    };
    use super::*;

    /// Compares with the file; `MAAND_UPDATE_SCHEMAS=1` writes it.
    fn kept<D: Document>(title: &str) {
        let mut schema = schemars::schema_for!(D).to_value();
        schema["title"] = title.into();
        let marker = serde_json::json!({
            "description": "Name and version of this document.",
            "const": format!("maand/{}/v{}", D::NAME, D::VERSION),
        });
        let fields = schema["properties"].as_object_mut().unwrap();
        assert!(fields.insert("schema".to_owned(), marker).is_none(), "{title}: `schema` is taken");
        if !schema["required"].is_array() {
            schema["required"] = serde_json::json!([]);
        }
        schema["required"].as_array_mut().unwrap().insert(0, "schema".into());
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(format!(
            "schemas/{}.v{}.schema.json",
            D::NAME,
            D::VERSION
        ));
        let text = format!("{schema:#}\n");
        if std::env::var_os("MAAND_UPDATE_SCHEMAS").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            kept == text,
            "{} is not what the code says; MAAND_UPDATE_SCHEMAS=1 writes it",
            path.display()
        );
    }

    #[test]
    fn the_schemas_are_those_of_the_code() {
        kept::<ErrorDocument<'_>>("An error of any command of maand");
        kept::<init::InitDocument<'_>>("Output of `maand init`");
        kept::<completions::CompletionsDocument>("Output of `maand completions`");
        kept::<man::ManDocument<'_>>("Output of `maand man`");
        kept::<own::VersionDocument>("Output of `maand self version`");
        kept::<build::BuildDocument>("Output of `maand build`");
        kept::<deploy::DeployDocument<'_>>("Output of `maand deploy`");
        kept::<job::JobDocument<'_>>("Output of `maand job`");
        kept::<health_check::HealthDocument<'_>>("Output of `maand health_check`");
        kept::<run_command::RunCommandDocument<'_>>("Output of `maand run_command`");
        kept::<cat::WorkersDocument<'_>>("Output of `maand cat workers`");
        kept::<cat::JobsDocument<'_>>("Output of `maand cat jobs`");
        kept::<cat::AllocationsDocument<'_>>("Output of `maand cat allocations`");
        kept::<cat::DeploymentsDocument<'_>>("Output of `maand cat deployments`");
        kept::<import::ImportDocument<'_>>("Output of `maand import`");
        kept::<info::InfoDocument<'_>>("Output of `maand info`");
        kept::<doctor::DoctorDocument<'_>>("Output of `maand doctor`");
        kept::<notify::NotifyDocument>("Output of `maand notify`");
        kept::<ledger::LedgerDocument>("Output of `maand ledger check` and `maand ledger migrate`");
        kept::<ledger::LedgerCopyDocument>("Output of `maand ledger copy`");
        kept::<sandbox::SandboxDocument>("Output of `maand sandbox up`");
        kept::<serve::ServeDocument<'_>>("Output of `maand serve`");
        kept::<plan::NewDocument<'_>>("Output of `maand plan new`");
        kept::<plan::ValidateDocument<'_>>("Output of `maand plan validate`");
        kept::<plan::DiffDocument<'_>>("Output of `maand plan diff`");
        kept::<plan::ListDocument<'_>>("Output of `maand plan list`");
        kept::<plan::HistoryDocument<'_>>("Output of `maand plan history`");
        kept::<plan::StatsDocument<'_>>("Output of `maand plan stats`");
        kept::<plan::PruneDocument<'_>>("Output of `maand plan prune`");
        kept::<plan::RequestDocument>("Output of `maand plan pause`, `abort`, `approve`, `retry` and `skip`");
        kept::<plan::ReleaseDocument<'_>>("Output of `maand plan release`");
        kept::<plan::ReportDocument<'_>>("Output of `maand plan report`");
        kept::<plan::MetricsDocument<'_>>("Output of `maand plan metrics --out FILE`");
        kept::<plan::TimelineDocument<'_>>("Output of `maand plan status --timeline`");
        kept::<plan::ExplainDocument<'_>>("Output of `maand plan explain`");
        kept::<plan::ExportDocument<'_>>("Output of `maand plan export`");
        kept::<plan::VerifyDocument<'_>>("Output of `maand plan verify`");
        kept::<plan::AttemptDocument<'_>>("A line of `maand plan logs`");
        kept::<plan::SimulateDocument<'_>>("Output of `maand plan simulate`");
        kept::<plan::CheckDocument<'_>>("Output of `maand plan check`");
    }
}

//! `maand info`: what this bucket is. It reads, never waits, never writes.

use std::fmt::Write;
use std::path::Path;

use schemars::JsonSchema;
use serde::Serialize;

use super::document::{self, Document};
use super::{CliError, Context, Exit, out};
use crate::bucket::{Bucket, HostKeyCheck, lock};
use crate::catalog::external::{self, Program, SchemaVersion};
use crate::journal::{Holder, Location};
use crate::plan::Problem;
use crate::run::Engine;

/// As JSON.
#[derive(Serialize, JsonSchema)]
pub(super) struct InfoDocument<'a> {
    /// The bucket's folder.
    bucket: &'a Path,
    /// The bucket's UUID.
    bucket_id: &'a str,
    /// `builtin` or `external`.
    engine: &'static str,
    /// Why it is that engine.
    engine_why: &'static str,
    /// With the external engine: what is known of the program.
    upstream: Option<UpstreamJson<'a>>,
    /// It was built at least once.
    built: bool,
    /// The user to log in as, where a worker has none of its own.
    ssh_user: &'a str,
    /// The port to connect to, where a worker has none of its own.
    ssh_port: u16,
    /// The private key to log in with.
    ssh_key: &'a Path,
    /// Whether commands that need root use sudo.
    use_sudo: bool,
    /// `accept-new` or `strict`.
    host_key_check: &'static str,
    /// The folder on workers below which the bucket's is.
    worker_root: &'a Path,
    /// Its workers are not real.
    sandbox: bool,
    /// Number of workers.
    workers: usize,
    /// Number of jobs.
    jobs: usize,
    /// Number of allocations, disabled ones included.
    allocations: usize,
    /// Number of disabled allocations.
    disabled_allocations: usize,
    /// SHA-256 over what the files of the workspace say.
    content_hash: String,
    /// The process that is changing the catalog now.
    catalog_lock: Option<&'a lock::Holder>,
    /// The process that is carrying a run out now.
    plan_lock: Option<&'a Holder>,
}

/// What is known of the upstream program, in JSON.
#[derive(Serialize, JsonSchema)]
struct UpstreamJson<'a> {
    /// The program's path.
    program: Option<&'a Path>,
    /// How it was found.
    found: Option<&'a str>,
    /// The version that the program reports.
    version: Option<&'a str>,
    /// Version of its database's schema.
    schema_version: Option<i64>,
    /// How often its database was updated by a build.
    update_seq: Option<i64>,
    /// Why the program or its database cannot be used.
    error: Option<&'a str>,
}

impl Document for InfoDocument<'_> {
    const NAME: &'static str = "info";
}

/// Runs the command.
pub(super) fn run(context: &Context) -> Result<Exit, CliError> {
    let bucket = Bucket::find(context.bucket.as_deref())?;
    let (fleet, warnings) = bucket.load()?;
    context.warn(&warnings);
    context.warn(&bucket.secrets_problems());
    let settings = bucket.settings();
    let paths = bucket.paths();
    let (engine, built, upstream) = match context.engine_for(&bucket) {
        Engine::Builtin => ("builtin", paths.catalog_db.exists(), None),
        Engine::External => ("external", bucket.is_upstream(), Some(Upstream::of(&bucket, context))),
    };
    let why = super::engine::why(&bucket, context);
    let allocations = fleet.allocations();
    let disabled = allocations.iter().filter(|allocation| allocation.disabled).count();
    let catalog = lock::holder(&bucket.paths().catalog_lock);
    let plan = Location::of(&bucket)?.holder().unwrap_or_else(|error| {
        // What a bucket is is known without its database.
        let Problem { code, message, help, .. } = Problem::from(error);
        let problem = Problem::warning(code, message);
        out::diagnose(&help.into_iter().fold(problem, Problem::help), context.colors);
        None
    });
    let check = match settings.host_key_check {
        HostKeyCheck::AcceptNew => "accept-new",
        HostKeyCheck::Strict => "strict",
    };
    if context.json {
        document::print(&InfoDocument {
            bucket: &bucket.paths().root,
            bucket_id: &fleet.bucket_id,
            engine,
            engine_why: why,
            upstream: upstream.as_ref().map(Upstream::json),
            built,
            ssh_user: &settings.ssh_user,
            ssh_port: settings.ssh_port,
            ssh_key: &settings.ssh_key,
            use_sudo: settings.use_sudo,
            host_key_check: check,
            worker_root: &settings.worker_root,
            sandbox: settings.sandbox,
            workers: fleet.workers.len(),
            jobs: fleet.jobs.len(),
            allocations: allocations.len(),
            disabled_allocations: disabled,
            content_hash: fleet.content_hash(),
            catalog_lock: catalog.as_ref(),
            plan_lock: plan.as_ref(),
        })?;
        return Ok(Exit::Done);
    }
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name:<12} {value}");
    };
    line("bucket", bucket.paths().root.display().to_string());
    line("id", fleet.bucket_id.clone());
    line("engine", format!("{engine}, {why}; {}", if built { "built" } else { "not built yet" }));
    if let Some(upstream) = upstream {
        line("program", upstream.describe_program());
        line("database", upstream.describe_database());
    }
    let sudo = if settings.use_sudo { "with sudo" } else { "without sudo" };
    line("ssh", format!("{}, port {}, {sudo}, host keys {check}", settings.ssh_user, settings.ssh_port));
    line("key", settings.ssh_key.display().to_string());
    if settings.sandbox {
        line("sandbox", "yes: its workers are not real".to_owned());
    }
    line("workers", fleet.workers.len().to_string());
    line("jobs", fleet.jobs.len().to_string());
    line("allocations", format!("{}, of which {disabled} disabled", allocations.len()));
    if let Some(holder) = catalog {
        line("locked", format!("by {holder}"));
    }
    if let Some(holder) = plan {
        line("run", format!("controlled by {}", holder.describe()));
    }
    out::print(&text)?;
    Ok(Exit::Done)
}

/// What is known of the upstream program, before it is shown.
struct Upstream {
    program: Result<(Program, Option<String>), Problem>,
    database: Result<Option<SchemaVersion>, String>,
}

impl Upstream {
    fn of(bucket: &Bucket, context: &Context) -> Self {
        let program = super::engine::program(context).map(|program| {
            let version = program.version();
            (program, version)
        });
        let seen = external::read_version(&bucket.paths().upstream_db);
        let database = seen.map_err(|error| error.describe());
        Self { program, database }
    }

    fn describe_program(&self) -> String {
        match &self.program {
            Ok((program, version)) => {
                let version = version.as_deref().unwrap_or("it does not tell its version");
                format!("{} ({}), {version}", program.path.display(), program.found)
            }
            Err(problem) => problem.message.clone(),
        }
    }

    fn describe_database(&self) -> String {
        match &self.database {
            Ok(Some(seen)) => {
                format!("schema version {}, update_seq {}", seen.schema, seen.update_seq)
            }
            Ok(None) => "none yet".to_owned(),
            Err(why) => why.clone(),
        }
    }

    fn json(&self) -> UpstreamJson<'_> {
        let (program, version) = match &self.program {
            Ok((program, version)) => (Some(program), version.as_deref()),
            Err(_) => (None, None),
        };
        let seen = self.database.as_ref().ok().and_then(Option::as_ref);
        UpstreamJson {
            program: program.map(|program| program.path.as_path()),
            found: program.map(|program| program.found.as_str()),
            version,
            schema_version: seen.map(|seen| seen.schema),
            update_seq: seen.map(|seen| seen.update_seq),
            error: self.program.as_ref().err().map(|problem| problem.message.as_str()).or(self
                .database
                .as_ref()
                .err()
                .map(String::as_str)),
        }
    }
}

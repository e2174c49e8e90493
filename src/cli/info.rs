//! `maand info`: what this bucket is. It reads, never waits, never writes.

use std::fmt::Write;

use serde_json::{Value, json};

use super::args::Engine;
use super::{CliError, Context, Exit, out};
use crate::bucket::{Bucket, HostKeyCheck, lock};
use crate::catalog::external::{self, Program, Seen};
use crate::plan::Problem;

/// Carries it out.
pub(super) fn run(context: &Context) -> Result<Exit, CliError> {
    let bucket = Bucket::find(context.bucket.as_deref())?;
    let (fleet, warnings) = bucket.load()?;
    context.warn(&warnings);
    let settings = bucket.settings();
    let (engine, upstream) = match context.engine_for(&bucket) {
        Engine::Builtin => ("builtin", None),
        Engine::External => ("external", Some(Upstream::of(&bucket, context))),
    };
    let why = super::engine::why(&bucket, context);
    let allocations = fleet.allocations();
    let disabled = allocations.iter().filter(|allocation| allocation.disabled).count();
    let held = |path: &std::path::Path| lock::holder(path);
    let (catalog, plan) = (held(&bucket.paths().catalog_lock), held(&bucket.paths().plan_lock));
    let built = match engine {
        "builtin" => bucket.paths().catalog_db.exists(),
        _ => bucket.is_upstream(),
    };
    let check = match settings.host_key_check {
        HostKeyCheck::AcceptNew => "accept-new",
        HostKeyCheck::Strict => "strict",
    };
    if context.json {
        out::print_json(&json!({
            "schema": "info.v1",
            "bucket": bucket.paths().root,
            "bucket_id": fleet.bucket_id,
            "engine": engine,
            "engine_why": why,
            "upstream": upstream.as_ref().map(Upstream::json),
            "built": built,
            "ssh_user": settings.ssh_user,
            "ssh_port": settings.ssh_port,
            "ssh_key": settings.ssh_key,
            "use_sudo": settings.use_sudo,
            "host_key_check": check,
            "worker_root": settings.worker_root,
            "sandbox": settings.sandbox,
            "workers": fleet.workers.len(),
            "jobs": fleet.jobs.len(),
            "allocations": allocations.len(),
            "disabled_allocations": disabled,
            "content_hash": fleet.content_hash(),
            "catalog_lock": catalog,
            "plan_lock": plan,
        }))?;
        return Ok(Exit::Done);
    }
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        // Writing to a string can not fail.
        let _ = writeln!(text, "{name:<12} {value}");
    };
    line("bucket", bucket.paths().root.display().to_string());
    line("id", fleet.bucket_id.clone());
    line("engine", format!("{engine}, {why}; {}", if built { "built" } else { "not built yet" }));
    if let Some(upstream) = upstream {
        line("program", upstream.program_words());
        line("database", upstream.database_words());
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
    for (name, holder) in [("locked", catalog), ("run", plan)] {
        if let Some(holder) = holder {
            line(name, format!("by {holder}"));
        }
    }
    out::print(&text)?;
    Ok(Exit::Done)
}

/// What there is to say of the upstream program.
struct Upstream {
    program: Result<(Program, Option<String>), Problem>,
    database: Result<Option<Seen>, String>,
}

impl Upstream {
    fn of(bucket: &Bucket, context: &Context) -> Self {
        let program = super::engine::program(context).map(|program| {
            let version = program.version();
            (program, version)
        });
        let seen = external::look(&bucket.paths().upstream_db);
        let database = seen.map_err(|error| error.words());
        Self { program, database }
    }

    fn program_words(&self) -> String {
        match &self.program {
            Ok((program, version)) => {
                let version = version.as_deref().unwrap_or("it does not tell its version");
                format!("{} ({}), {version}", program.path.display(), program.found)
            }
            Err(problem) => problem.message.clone(),
        }
    }

    fn database_words(&self) -> String {
        match &self.database {
            Ok(Some(seen)) => {
                format!("schema version {}, update_seq {}", seen.schema, seen.update_seq)
            }
            Ok(None) => "none yet".to_owned(),
            Err(why) => why.clone(),
        }
    }

    fn json(&self) -> Value {
        let (program, version) = match &self.program {
            Ok((program, version)) => (Some(program), version.as_deref()),
            Err(_) => (None, None),
        };
        let seen = self.database.as_ref().ok().and_then(Option::as_ref);
        json!({
            "program": program.map(|program| &program.path),
            "found": program.map(|program| &program.found),
            "version": version,
            "schema_version": seen.map(|seen| seen.schema),
            "update_seq": seen.map(|seen| seen.update_seq),
            "error": self.program.as_ref().err().map(|problem| problem.message.as_str())
                .or(self.database.as_ref().err().map(String::as_str)),
        })
    }
}

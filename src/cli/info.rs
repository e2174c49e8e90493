//! `maand info`: what this bucket is. It reads, never waits, never writes.

use std::fmt::Write;

use serde_json::json;

use super::args::Engine;
use super::{CliError, Context, Exit, out};
use crate::bucket::{Bucket, HostKeyCheck, lock};

/// Carries it out.
pub(super) fn run(context: &Context) -> Result<Exit, CliError> {
    let bucket = Bucket::find(context.bucket.as_deref())?;
    let (fleet, warnings) = bucket.load()?;
    context.warn(&warnings);
    let settings = bucket.settings();
    let engine = match context.engine_for(&bucket) {
        Engine::Builtin => "builtin",
        Engine::External => "external",
    };
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
    line("engine", format!("{engine}, {}", if built { "built" } else { "not built yet" }));
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

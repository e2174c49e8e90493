//! What a run is compiled from, gathered at one moment: for a reviewed plan file that is written, and for the
//! comparison of one that is carried out.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use crate::bucket::{Bucket, Fleet};
use crate::catalog::{CatalogAllocation, CatalogError, PendingChanges};
use crate::graph::RolloutGraph;
use crate::journal::{Journal, Location, RunId};
use crate::os::hash::sha256_of_file;
use crate::os::open;
use crate::plan::{MAX_BYTES, Plan, Problem, Problems, source_from_bytes};
use crate::policy::Limits;
use crate::review::{
    self, CatalogJob, CatalogRow, Content, EngineUsed, Inputs, Lines, PlanPart, Reviewed, Rollout, Workspace,
};

use super::files::files_now;
use super::header::workspace;
use super::pending::pending_changes;
use super::take_up::unfinished;
use super::{Engine, RunError, Site, read_files};

/// What is reviewed of a compiled plan besides its graph.
#[derive(Clone, Debug, Default)]
pub struct ReviewPart {
    /// `--set`, in the order given.
    pub set: Vec<(String, String)>,
    /// The plan's workers were narrowed to these.
    pub only_workers: Option<Vec<String>>,
    /// What its deploys would carry out: [`super::pending_changes`].
    pub pending: Option<PendingChanges>,
}

/// A plan that was compiled for a bucket, as a reviewed plan and the bytes of its file. No worker is contacted.
///
/// # Errors
/// A script, the workspace, the catalog or the journal cannot be read.
pub fn review(
    site: &Site,
    graph: &Arc<RolloutGraph>,
    part: ReviewPart,
) -> Result<(Reviewed, Vec<u8>), RunError> {
    let plan = &graph.plan;
    let ReviewPart { set, only_workers, pending } = part;
    let scripts = read_files(plan, Some(&site.bucket.paths().root))?;
    let inputs = Inputs {
        plan: PlanPart::of(plan, set, only_workers),
        pending,
        scripts: scripts.into_iter().map(|(path, text)| (path, Lines::from(text))).collect(),
        ..of_this_bucket(site, plan, &graph.fleet)?
    };
    Reviewed::new(inputs, Arc::clone(graph)).map_err(RunError::Encode)
}

/// Refuses a reviewed plan of which anything has changed since. `fleet` is the snapshot of now and `compiled` what the
/// plan compiles to with it: the run uses these very values. What is worth knowing and makes nothing stale is returned.
///
/// # Errors
/// [`RunError::Stale`] with all changes; or what is there now cannot be read.
pub(super) fn check(
    site: &Site,
    reviewed: &Reviewed,
    fleet: &Arc<Fleet>,
    compiled: Result<&RolloutGraph, &Problems>,
) -> Result<Problems, RunError> {
    let then = &reviewed.document().inputs;
    let mut notes = Problems::new();
    let mut unreadable = Vec::new();
    let mut plan = then.plan.clone();
    let plan_is_here = match plan_now(&then.plan.file) {
        PlanNow::Text(text) => {
            plan.text = text;
            true
        }
        PlanNow::Gone => {
            let file = &then.plan.file;
            notes.push(
                Problem::warning(
                    "maand::review::plan_gone",
                    format!("the plan {file} is not here: it is carried out as it was reviewed"),
                )
                .help("the reviewed plan file holds its text"),
            );
            false
        }
        PlanNow::Unreadable(why) => {
            unreadable.push(format!("{} cannot be read: {why}", then.plan.file));
            true
        }
    };
    let mut scripts = BTreeMap::new();
    for (path, text) in files_now(reviewed.plan(), Some(&site.bucket.paths().root)) {
        match text {
            Ok(Some(text)) => {
                scripts.insert(path, Lines::from(text));
            }
            Ok(None) if plan_is_here => {}
            // It was beside the plan.
            Ok(None) => {
                scripts.extend(then.scripts.get_key_value(&path).map(|(p, text)| (p.clone(), text.clone())))
            }
            Err(why) => {
                unreadable.push(format!("{}'s file {path} cannot be used any more: {why}", then.plan.file));
                scripts.extend(then.scripts.get_key_value(&path).map(|(p, text)| (p.clone(), text.clone())));
            }
        }
    }
    let pending = match compiled {
        Ok(graph) => {
            let engine = site.connector.engine_for(&site.bucket);
            pending_changes(&site.bucket, engine, graph).map_err(RunError::Catalog)?
        }
        // What is wrong with it is said.
        Err(_) => then.pending.clone(),
    };
    let now = Inputs { plan, scripts, pending, ..of_this_bucket(site, reviewed.plan(), fleet)? };
    let rollout = compiled.map(|graph| Rollout::of(graph, &Limits::resolve(graph)));
    let mut changes =
        review::changes(reviewed.document(), &now, rollout.as_ref().map_err(|problems| *problems));
    changes.extend(unreadable);
    if !changes.is_empty() {
        return Err(RunError::Stale { changes });
    }
    if now.newest_run != then.newest_run
        && let Some(run) = now.newest_run
    {
        notes.push(
            Problem::warning(
                "maand::review::later_run",
                format!("run {run} has begun since it was reviewed"),
            )
            .help(format!("`maand plan status {run}` shows it")),
        );
    }
    Ok(notes)
}

/// Refuses a reviewed plan beside an unfinished run, which may be its own and has changed what was reviewed, and, unless
/// it is to be carried out `again`, one that a run has carried out.
pub(super) fn refuse_earlier_run(site: &Site, reviewed: &Reviewed, again: bool) -> Result<(), RunError> {
    let Some(journal) = journal(&site.bucket)? else { return Ok(()) };
    if let Some(other) = journal.unfinished()? {
        // If its process is alive, that is what to say.
        drop(site.lock(None)?);
        return Err(unfinished(&journal, other)?);
    }
    match journal.run_of_reviewed(reviewed.sha256())? {
        Some(run) if !again => Err(RunError::CarriedOut { run }),
        _ => Ok(()),
    }
}

/// The journal, where there is one.
fn journal(bucket: &Bucket) -> Result<Option<Journal>, RunError> {
    Ok(Location::of(bucket)?.open_if_any()?)
}

/// Everything but the plan, its scripts and what is pending.
fn of_this_bucket(site: &Site, plan: &Plan, fleet: &Arc<Fleet>) -> Result<Inputs, RunError> {
    let bucket = &site.bucket;
    let path = &bucket.paths().workspace;
    // The hash is what a run is held to; the files say which of them is another one.
    let hash = workspace(bucket)?.hash;
    let files = review::workspace_files(path)
        .map_err(|source| RunError::Unreadable { path: path.clone(), source })?;
    Ok(Inputs {
        program: env!("CARGO_PKG_VERSION").to_owned(),
        engine: engine(site)?,
        newest_run: newest_run(bucket)?.map(|run| run.to_string()),
        plan: PlanPart::of(plan, Vec::new(), None),
        scripts: BTreeMap::new(),
        pending: None,
        settings: bucket.settings().stated().clone(),
        catalog: if uses_catalog(plan) { catalog(site, fleet)? } else { None },
        workspace: Workspace { hash, files },
        fleet: Arc::clone(fleet),
    })
}

/// The plan file as it is now.
enum PlanNow {
    Text(Lines),
    /// There is none, or (a pipe, standard input) nothing that could be read again.
    Gone,
    Unreadable(String),
}

fn plan_now(file: &str) -> PlanNow {
    let read = open::plain(Path::new(file)).and_then(|opened| open::read_all(&opened, MAX_BYTES as u64));
    match read {
        Ok(bytes) => match source_from_bytes(file, &bytes) {
            Ok(source) => PlanNow::Text(Lines::from(source.text().to_owned())),
            Err(problem) => PlanNow::Unreadable(problem.message),
        },
        Err(error) => match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::InvalidInput => PlanNow::Gone,
            _ => PlanNow::Unreadable(error.to_string()),
        },
    }
}

fn engine(site: &Site) -> Result<EngineUsed, RunError> {
    let engine = site.connector.engine_for(&site.bucket);
    let program_sha256 = match engine {
        Engine::Builtin => None,
        Engine::External => {
            let path = site.connector.program()?.path;
            let hash = path.canonicalize().and_then(|path| sha256_of_file(&path));
            hash.map_err(|source| RunError::Unreadable { path, source })?
        }
    };
    Ok(EngineUsed { kind: engine.as_str().to_owned(), program_sha256 })
}

/// The newest run that this machine knows of.
fn newest_run(bucket: &Bucket) -> Result<Option<RunId>, RunError> {
    let Some(journal) = journal(bucket)? else { return Ok(None) };
    Ok(journal.runs()?.into_iter().next().map(|run| run.id))
}

/// Whether a step builds, deploys or asks what was deployed. What others deploy means nothing to a plan without one.
pub(super) fn uses_catalog(plan: &Plan) -> bool {
    use crate::plan::StepKind;
    let mut steps = plan.before.iter().chain(&plan.steps).chain(&plan.after);
    steps.any(|step| step.kind.traits().catalog_operation || matches!(step.kind, StepKind::Build))
}

/// What the catalog says; `None`: nothing was ever built.
fn catalog(site: &Site, fleet: &Fleet) -> Result<Option<Vec<CatalogRow>>, RunError> {
    let connected = site.connector.connect(&site.bucket, fleet)?;
    let allocations = match connected.catalog.allocations() {
        Ok(allocations) => allocations,
        Err(CatalogError::NotBuilt { .. }) => return Ok(None),
        Err(error) => return Err(RunError::Catalog(error)),
    };
    let job = |allocation: CatalogAllocation| {
        let CatalogAllocation {
            job,
            host,
            disabled,
            removed,
            deployment_seq,
            current_hash,
            new_hash,
            current_version,
            new_version,
        } = allocation;
        let job = CatalogJob {
            job: job.to_string(),
            built: Content { version: new_version, hash: new_hash },
            deployed: Content { version: current_version, hash: current_hash },
            disabled,
            removed,
            deployment_seq,
        };
        (host.to_string(), job)
    };
    Ok(Some(CatalogRow::rows(allocations.into_iter().map(job))))
}

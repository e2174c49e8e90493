//! [`Builtin`]: the catalog that this program keeps itself, in `data/catalog.db`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::reading::Reading;
use super::state::State;
use super::store::Store;
use super::{build, content, deploy, health, job, planning, sync};
use crate::bucket::{Bucket, Host, JobName, Worker};
use crate::catalog::{
    AllocationReport, AssignedPorts, Call, Capabilities, Catalog, CatalogAllocation, CatalogError,
    DeployRequest, HealthReport, HealthRequest, JobRequest, Report,
};
use crate::plan::suggest::suggest;
use crate::plan::{Problem, Problems, counted};
use crate::ssh::Remote;

/// One run of `make` may take this long unless the caller says otherwise.
pub const MAKE_TIMEOUT: Duration = Duration::from_secs(15 * 60);

/// The built-in catalog of a bucket.
pub struct Builtin {
    pub(super) bucket: Arc<Bucket>,
    pub(super) remote: Arc<dyn Remote>,
    pub(super) make_timeout: Duration,
}

impl Builtin {
    /// That of this bucket, with workers reached by `remote`.
    pub fn new(bucket: Arc<Bucket>, remote: Arc<dyn Remote>) -> Self {
        Self { bucket, remote, make_timeout: MAKE_TIMEOUT }
    }

    /// How long one run of `make` may take before it is ended and its outcome counts as unknown.
    #[must_use]
    pub fn with_make_timeout(mut self, make_timeout: Duration) -> Self {
        self.make_timeout = make_timeout;
        self
    }

    /// The catalog for reading; an error where nothing was built yet.
    pub(super) fn read_state(&self) -> Result<(Store, State), CatalogError> {
        let built = Store::open_read_only(&self.bucket.paths().catalog_db)?
            .map(|store| store.load().map(|state| (store, state)))
            .transpose()?
            .filter(|(_, state)| !state.bucket_id.is_empty());
        built.ok_or_else(|| self.not_built())
    }

    /// The catalog for writing; an error where nothing was built yet. The caller holds the lock.
    pub(super) fn write_state(&self) -> Result<(Store, State), CatalogError> {
        if self.bucket.paths().catalog_db.symlink_metadata().is_err() {
            return Err(self.not_built());
        }
        let store = Store::open(&self.bucket.paths().catalog_db)?;
        let state = store.load()?;
        if state.bucket_id.is_empty() {
            return Err(self.not_built());
        }
        Ok((store, state))
    }

    fn not_built(&self) -> CatalogError {
        build::refuse_upstream(&self.bucket).err().unwrap_or(CatalogError::NotBuilt { upstream: false })
    }

    /// Every name must be known, with a suggestion where one is close.
    pub(super) fn check_names(
        &self,
        state: &State,
        jobs: Option<&[JobName]>,
        workers: Option<&[Host]>,
    ) -> Result<(), CatalogError> {
        build::refuse_upstream(&self.bucket)?;
        let mut problems = Problems::new();
        for job in jobs.unwrap_or_default().iter().filter(|job| !state.jobs.contains_key(*job)) {
            let known: Vec<&str> = state.jobs.keys().map(JobName::as_str).collect();
            problems.push(unknown("maand::catalog::unknown_job", "job", job.as_str(), &known));
        }
        for host in workers.unwrap_or_default().iter().filter(|host| !state.workers.contains_key(*host)) {
            let known: Vec<&str> = state.workers.keys().map(Host::as_str).collect();
            problems.push(unknown("maand::catalog::unknown_worker", "worker", host.as_str(), &known));
        }
        if problems.is_empty() { Ok(()) } else { Err(CatalogError::Invalid(problems)) }
    }
}

/// The workers of the last build, with those that wait for their removal; none before the first.
///
/// # Errors
/// When the catalog cannot be read.
pub fn built_workers(bucket: &Bucket) -> Result<Vec<Worker>, CatalogError> {
    let Some(store) = Store::open_read_only(&bucket.paths().catalog_db)? else { return Ok(Vec::new()) };
    Ok(store.load()?.workers.into_values().map(|row| row.worker).collect())
}

/// What was done on workers by another checkout of the bucket is not in this catalog: from now on the next deploy to each
/// looks at what its jobs' receipts say. The caller holds the catalog's lock.
///
/// # Errors
/// When the catalog cannot be read or written.
pub fn doubt_all_workers(bucket: &Bucket) -> Result<(), CatalogError> {
    if Store::open_read_only(&bucket.paths().catalog_db)?.is_none() {
        return Ok(());
    }
    let mut store = Store::open(&bucket.paths().catalog_db)?;
    let mut state = store.load()?;
    let workers: Vec<Host> = state.workers.keys().cloned().collect();
    super::sync::note(&mut store, &mut state, &workers)
}

/// The ports that the last build gave, written ones too; none before the first.
///
/// # Errors
/// When the catalog cannot be read.
pub fn assigned_ports(bucket: &Bucket) -> Result<AssignedPorts, CatalogError> {
    let Some(store) = Store::open_read_only(&bucket.paths().catalog_db)? else {
        return Ok(AssignedPorts::new());
    };
    Ok(store.load()?.ports())
}

fn unknown(code: &'static str, what: &str, name: &str, known: &[&str]) -> Problem {
    let help = match suggest(name, known.iter().copied()) {
        Some(close) => format!("did you mean `{close}`?"),
        None if known.is_empty() => format!("the catalog has no {what} at all"),
        None => {
            let some: BTreeSet<&str> = known.iter().take(8).copied().collect();
            let some: Vec<&str> = some.into_iter().collect();
            format!("known: {}{}", some.join(", "), if known.len() > 8 { ", ..." } else { "" })
        }
    };
    Problem::error(code, format!("there is no {what} `{name}` in the catalog"))
        .help(format!("{help} (after a change of the workspace run `maand build`)"))
}

impl Catalog for Builtin {
    fn capabilities(&self) -> Capabilities {
        Capabilities { contacts_every_worker: false }
    }

    fn build(&self, call: &Call) -> Result<(), CatalogError> {
        build::refuse_upstream(&self.bucket)?;
        let _lock = crate::catalog::locking::take(&self.bucket, "build", call)?;
        let paths = self.bucket.paths();
        // The workspace is checked before a data folder is made.
        let exists = paths.catalog_db.symlink_metadata().is_ok();
        let old = if exists { Store::open(&paths.catalog_db)?.load()? } else { State::default() };
        let built = build::build(&self.bucket, &old, &mut Reading::new(call))?;
        for warning in built.warnings.iter() {
            let place = warning.place().map(|(file, line, column)| format!(" ({file}:{line}:{column})"));
            (call.output)(None, &format!("warning: {warning}{}", place.unwrap_or_default()));
        }
        let mut store = Store::open(&paths.catalog_db)?;
        store.save(&old, &built.state, &built.trees)?;
        if let Err(error) = content::keep(&self.bucket, &mut store, &built.state, &built.trees) {
            // It is built: this is only to be shown one day.
            (call.output)(None, &format!("note: contents were not kept: {}", error.describe()));
        }
        let live = |row: &&super::state::AllocationRow| !row.removed;
        (call.output)(
            None,
            &format!(
                "built: {}, {}, {} ({} disabled, {} to be removed)",
                counted(built.state.workers.values().filter(|row| !row.removed).count(), "worker"),
                counted(built.state.jobs.values().filter(|row| !row.removed).count(), "job"),
                counted(built.state.allocations.values().filter(live).count(), "allocation"),
                built.state.allocations.values().filter(|row| row.disabled).count(),
                built.state.allocations.values().filter(|row| row.removed).count(),
            ),
        );
        Ok(())
    }

    fn deploy(&self, request: &DeployRequest, call: &Call) -> Result<Report, CatalogError> {
        deploy::deploy(self, request, call)
    }

    fn pending(&self, request: &DeployRequest) -> Result<Vec<AllocationReport>, CatalogError> {
        let (store, state) = self.read_state()?;
        self.check_names(&state, request.jobs.as_deref(), request.workers.as_deref())?;
        let plan = planning::plan(&state, request, |hash| store.tree(hash).ok().flatten());
        Ok(plan
            .allocations
            .into_iter()
            .map(|planned| AllocationReport {
                job: planned.job,
                host: planned.host,
                action: planned.action,
                reason: planned.reason,
                outcome: None,
            })
            .collect())
    }

    fn job(&self, request: &JobRequest, call: &Call) -> Result<Report, CatalogError> {
        job::job(self, request, call)
    }

    fn health(&self, request: &HealthRequest, call: &Call) -> Result<HealthReport, CatalogError> {
        health::health(self, request, call)
    }

    fn sync_check(&self, workers: &[Host], call: &Call) -> Result<Report, CatalogError> {
        let (_, state) = self.read_state()?;
        self.check_names(&state, None, Some(workers))?;
        sync::sync_check(self, &state, workers, call)
    }

    fn allocations(&self) -> Result<Vec<CatalogAllocation>, CatalogError> {
        let (_, state) = self.read_state()?;
        Ok(state
            .allocations
            .iter()
            .map(|(key, row)| {
                let job = state.jobs.get(&key.job).filter(|_| !row.removed);
                CatalogAllocation {
                    job: key.job.clone(),
                    host: key.host.clone(),
                    disabled: row.disabled,
                    removed: row.removed,
                    deployment_seq: state.jobs.get(&key.job).map_or(0, |job| job.deployment_seq),
                    current_hash: row.current_hash.clone(),
                    new_hash: job.map(|job| job.hash.clone()),
                    current_version: row.current_version.clone(),
                    new_version: job.map(|job| job.job.version.clone()),
                }
            })
            .collect())
    }
}

//! What every operation on workers needs: the bucket, its fleet, the transport, the lock, and which
//! workers were asked for.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::hosts::{self, HostPattern};
use super::{CliError, Context, Exit, ask, operate};
use crate::bucket::lock::{self, Guard, LockError};
use crate::bucket::{Bucket, Fleet, Host, Paths};
use crate::catalog::external::Say;
use crate::plan::Problem;
use crate::run::Connector;
use crate::ssh::{Cancel, Notice, Remote, visible};

/// A moment for another command to end; then it is said who holds the lock.
const LOCK_WAIT: Duration = Duration::from_secs(5);

/// An opened bucket with the way to its workers.
pub(super) struct OpenBucket {
    /// The bucket.
    pub(super) bucket: Arc<Bucket>,
    /// One snapshot of its workspace.
    pub(super) fleet: Arc<Fleet>,
    /// The way to the workers; nothing is connected yet.
    pub(super) remote: Arc<dyn Remote>,
}

impl OpenBucket {
    /// Opens the bucket of `-C`, or the nearest one; warnings are shown.
    pub(super) fn open(context: &Context) -> Result<Self, CliError> {
        let bucket = Bucket::find(context.bucket.as_deref())?;
        let (fleet, warnings) = bucket.load()?;
        context.warn(&warnings);
        Self::of(bucket, fleet, context)
    }

    /// Of a bucket that was loaded already.
    pub(super) fn of(bucket: Bucket, fleet: Fleet, context: &Context) -> Result<Self, CliError> {
        let remote = connector(context).transport(&bucket, &fleet.workers)?;
        Ok(Self { bucket: Arc::new(bucket), fleet: Arc::new(fleet), remote })
    }

    /// The workers that were asked for, in the fleet's order; all, where nothing was asked for.
    pub(super) fn select(&self, items: &[HostPattern]) -> Result<Vec<Host>, CliError> {
        let chosen = hosts::of_fleet(items, &self.fleet)?;
        let all = self.fleet.workers.iter().map(|worker| &worker.host);
        Ok(all
            .filter(|host| items.is_empty() || chosen.iter().any(|one| one == host.as_str()))
            .cloned()
            .collect())
    }

    /// Takes the bucket's lock for `who`, or says who has it (exit 4).
    pub(super) fn lock(&self, who: &str, cancel: &Cancel) -> Result<Guard, CliError> {
        take_lock(self.bucket.paths(), who, cancel)
    }
}

/// Takes a bucket's lock for `who`, or says who has it (exit 4).
pub(super) fn take_lock(paths: &Paths, who: &str, cancel: &Cancel) -> Result<Guard, CliError> {
    let path = &paths.catalog_lock;
    lock::acquire(path, who, LOCK_WAIT, &|| cancel.is_cancelled()).map_err(|error| match error {
        LockError::Held { .. } => CliError::new(
            Exit::Locked,
            Problem::error("maand::locked", error.to_string())
                .help("wait until it has ended, or end it; then try again"),
        ),
        LockError::Cancelled => CliError::new(
            Exit::Resumable,
            Problem::error("maand::interrupted", "interrupted; nothing was done"),
        ),
        LockError::Io { .. } => Problem::error("maand::bucket::lock", error.to_string())
            .help("check the permissions of the bucket's data folder")
            .into(),
    })
}

/// What this user brings along to reach workers.
pub(super) fn connector(context: &Context) -> Connector {
    let quiet = context.quiet;
    Connector {
        engine: context.engine,
        upstream_program: context.maand_bin.clone(),
        ask_passphrase: Some(Arc::new(|key: &Path| ask::passphrase(key))),
        show: Some(Arc::new(move |notice: &Notice| show(notice, quiet))),
        say: (!quiet).then(|| {
            let say: Say = Arc::new(|words| operate::say(&format!("maand: {}", visible(words.as_bytes()))));
            say
        }),
    }
}

fn show(notice: &Notice, quiet: bool) {
    let text = match notice {
        // Who only looks shows them by itself.
        Notice::HostKeyNew { .. } => return,
        Notice::HostKeyStored { .. } if quiet => return,
        Notice::HostKeyStored { host, fingerprint, file } => {
            format!("maand: {host}: new host key {fingerprint} stored in {}", file.display())
        }
        Notice::HostKeyNotStored { host, fingerprint, file, why } => {
            format!(
                "maand: {host}: new host key {fingerprint} could not be stored in {}: {why}",
                file.display()
            )
        }
    };
    operate::say(&visible(text.as_bytes()));
}

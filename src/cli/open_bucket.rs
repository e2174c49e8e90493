//! What every operation on workers needs: the bucket, its fleet, the transport, the lock, and which
//! workers were asked for.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::{CliError, Context, Exit, ask, operate};
use crate::bucket::lock::{self, Guard, LockError};
use crate::bucket::{self, Bucket, Fleet, Host, Paths, Worker};
use crate::plan::Problem;
use crate::ssh::{self, Cancel, Endpoint, HostProfile, Notice, Remote, Ssh2Remote, visible};

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
        let remote = transport(&bucket, &fleet.workers, context)?;
        Ok(Self { bucket: Arc::new(bucket), fleet: Arc::new(fleet), remote })
    }

    /// The workers that were asked for, in the fleet's order: those of `hosts` (all, where it is empty)
    /// that carry any one of `labels` (all, where that is empty).
    pub(super) fn select(&self, hosts: &[String], labels: &[String]) -> Result<Vec<Host>, CliError> {
        operate::not_blank(hosts, "worker")?;
        let asked: Vec<&str> = hosts.iter().map(|host| host.trim()).filter(|host| !host.is_empty()).collect();
        let known = |host: &&str| self.fleet.workers.iter().any(|worker| worker.host.as_str() == *host);
        if let Some(unknown) = asked.iter().find(|host| !known(host)) {
            return Err(Problem::error("maand::unknown_worker", format!("there is no worker `{unknown}`"))
                .help("see `maand cat workers`; hosts are written as in workers.json")
                .into());
        }
        let labels: Vec<String> = labels.iter().map(|label| label.trim().to_lowercase()).collect();
        if let Some(unknown) = labels
            .iter()
            .find(|label| !self.fleet.workers.iter().any(|worker| worker.labels.contains(*label)))
        {
            return Err(Problem::error(
                "maand::unknown_label",
                format!("no worker has the label `{unknown}`"),
            )
            .help("see `maand cat workers`")
            .into());
        }
        let chosen = |worker: &&Worker| {
            (asked.is_empty() || asked.contains(&worker.host.as_str()))
                && (labels.is_empty() || labels.iter().any(|label| worker.labels.contains(label)))
        };
        Ok(self.fleet.workers.iter().filter(chosen).map(|worker| worker.host.clone()).collect())
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

/// The transport to these workers, as `maand.conf`, `workers.json` and this user's own files say.
pub(super) fn transport(
    bucket: &Bucket,
    workers: &[Worker],
    context: &Context,
) -> Result<Arc<dyn Remote>, CliError> {
    bucket::check_secrets(&bucket.paths().secrets, &bucket.settings().ssh_key)?;
    let settings = ssh_settings(bucket, bucket.bucket_id()?, workers, context);
    Ok(Arc::new(Ssh2Remote::new(settings)))
}

fn ssh_settings(bucket: &Bucket, id: &str, workers: &[Worker], context: &Context) -> ssh::Settings {
    let conf = bucket.settings().clone();
    let paths = bucket.paths();
    let profiles = {
        let (conf, id) = (conf.clone(), id.to_owned());
        Arc::new(move |host: &Host| profile(&conf, &id, host))
    };
    let mut settings = if conf.sandbox {
        // Nothing of the user's own has a part in a sandbox; its hosts are found by this file.
        let mut settings = ssh::Settings::bare(paths.known_hosts.clone(), profiles);
        settings.ssh_config = Some(paths.secrets.join("ssh_config"));
        settings
    } else {
        let mut settings = ssh::Settings::of_this_user(paths.known_hosts.clone(), profiles);
        if !conf.ssh_config {
            settings.ssh_config = None;
        }
        settings
    };
    settings.endpoints = endpoints(bucket, workers);
    settings.port = conf.states("ssh_port").then_some(conf.ssh_port);
    settings.user = conf.states("ssh_user").then(|| conf.ssh_user.clone());
    settings.default_user = conf.ssh_user.clone();
    settings.key = Some(conf.ssh_key.clone());
    settings.host_key_check = conf.host_key_check;
    settings.deadlines.connect = conf.connect_timeout;
    settings.handshakes = conf.max_handshakes as usize;
    settings.ask_passphrase = Some(Arc::new(|key: &Path| ask::passphrase(key)));
    let quiet = context.quiet;
    settings.show = Some(Arc::new(move |notice: &Notice| show(notice, quiet)));
    settings
}

fn endpoints(bucket: &Bucket, workers: &[Worker]) -> BTreeMap<Host, Endpoint> {
    // A worker that has left workers.json is still reached once, for its jobs to be removed. A catalog
    // that can not be read is told of by the commands that need it.
    let left = crate::catalog::built_workers(bucket).unwrap_or_default();
    let own =
        left.iter().chain(workers).filter(|worker| worker.ssh_port.is_some() || worker.ssh_user.is_some());
    own.map(|worker| (worker.host.clone(), Endpoint { port: worker.ssh_port, user: worker.ssh_user.clone() }))
        .collect()
}

/// Where things are on a worker, or in the folder that plays it.
fn profile(conf: &bucket::Settings, id: &str, host: &Host) -> HostProfile {
    let mut profile = HostProfile::real(&conf.worker_root, id, host, conf.use_sudo);
    if let Some(root) = conf.root_of(host) {
        let below = |path: &Path| root.join(path.strip_prefix("/").unwrap_or(path));
        let paths: [&mut PathBuf; 4] =
            [&mut profile.worker_dir, &mut profile.state_dir, &mut profile.boot_id, &mut profile.nologin];
        for path in paths {
            *path = below(path);
        }
        profile.sandbox = true;
    }
    profile
}

fn show(notice: &Notice, quiet: bool) {
    let text = match notice {
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
    let _ = writeln!(std::io::stderr().lock(), "{}", visible(text.as_bytes()));
}

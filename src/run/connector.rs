//! How the workers of a bucket are reached, and which engine builds and deploys there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::bucket::{self, Bucket, Fleet, Host, HostKeyCheck, Worker};
use crate::catalog::external::{self, Program, Say};
use crate::catalog::{Builtin, Catalog, External, MAKE_TIMEOUT};
use crate::graph::RolloutGraph;
use crate::journal::RunLock;
use crate::plan::{Problem, Problems, Severity};
use crate::runner::LeasedRemote;
use crate::ssh::{self, AskPassphrase, Endpoint, HostProfile, Remote, Show, Ssh2Remote};

use super::{Engine, RunError, engine_choice, power};

/// What is needed besides the bucket's own files to reach its workers and to deploy to them. The default asks for no
/// passphrase and reports no host keys.
#[derive(Clone, Default)]
pub struct Connector {
    /// The engine that builds and deploys; `None`: [`Engine::of`] the bucket.
    pub engine: Option<Engine>,
    /// The upstream program, for [`Engine::External`]; `None`: the first `maand` on PATH that is not this one.
    pub upstream_program: Option<PathBuf>,
    /// Asked for the passphrase of the bucket's key; `None`: a key with one is left to the SSH agent.
    pub ask_passphrase: Option<AskPassphrase>,
    /// Told of host keys that were stored, or could not be.
    pub show: Option<Show>,
    /// Told at once of what an operation of the upstream program waits for.
    pub say: Option<Say>,
}

/// The way to the workers of one bucket: the transport and its engine. Nothing is connected yet.
pub(super) struct Connected {
    pub(super) remote: Arc<dyn Remote>,
    pub(super) catalog: Arc<dyn Catalog>,
}

impl Connector {
    /// The engine that builds and deploys for a bucket.
    pub fn engine_for(&self, bucket: &Bucket) -> Engine {
        self.engine.unwrap_or_else(|| Engine::of(bucket))
    }

    /// What keeps a compiled plan from being carried out on its bucket, or is doubtful about it there, as far as files
    /// tell. [`crate::run::Run::prepare`] refuses what is an error here.
    pub fn problems(&self, graph: &RolloutGraph, bucket: &Bucket) -> Problems {
        let engine = self.engine_for(bucket);
        let mut problems = engine_choice::differences(graph, bucket, engine);
        if graph.fleet.synthetic {
            return problems;
        }
        problems.extend(bucket.secrets_problems());
        problems.extend(power::problems(graph, bucket));
        if engine == Engine::External
            && let Err(mut problem) = self.program()
        {
            // Who looks at a plan may be on another machine than who applies it.
            problem.severity = Severity::Warning;
            problems.push(problem);
        }
        problems
    }

    /// The transport to these workers, as `maand.conf`, `workers.json` and this user's own files say.
    ///
    /// # Errors
    /// The bucket's secrets are open to others, or the bucket has no id yet.
    pub fn transport(&self, bucket: &Bucket, workers: &[Worker]) -> Result<Arc<dyn Remote>, RunError> {
        bucket.secrets_problems().into_result()?;
        // A worker that has left workers.json is still reached once, for its jobs to be removed. A catalog
        // that cannot be read is told of by the commands that need it.
        let left = crate::catalog::built_workers(bucket).unwrap_or_default();
        let endpoints = endpoints(left.iter().chain(workers));
        Ok(Arc::new(Ssh2Remote::new(self.settings(bucket, bucket.bucket_id()?, endpoints))))
    }

    /// The engine of a bucket. One run of make takes at most `make_timeout` with the built-in one; the upstream
    /// program has its own bounds.
    ///
    /// # Errors
    /// There is no upstream program, or this process was started by one.
    pub fn catalog(
        &self,
        bucket: &Arc<Bucket>,
        fleet: &Fleet,
        remote: &Arc<dyn Remote>,
        make_timeout: Option<Duration>,
    ) -> Result<Arc<dyn Catalog>, Problem> {
        match self.engine_for(bucket) {
            Engine::External => Ok(Arc::new(self.upstream(bucket, fleet, remote)?)),
            Engine::Builtin => {
                let builtin = Builtin::new(Arc::clone(bucket), Arc::clone(remote));
                Ok(Arc::new(builtin.with_make_timeout(make_timeout.unwrap_or(MAKE_TIMEOUT))))
            }
        }
    }

    /// The upstream program as the engine of a bucket.
    ///
    /// # Errors
    /// As [`Connector::catalog`].
    pub fn upstream(
        &self,
        bucket: &Arc<Bucket>,
        fleet: &Fleet,
        remote: &Arc<dyn Remote>,
    ) -> Result<External, Problem> {
        external::refuse_nested()?;
        let workers = fleet.workers.iter().map(|worker| worker.host.clone()).collect();
        let external = External::new(Arc::clone(bucket), Arc::clone(remote), self.program()?, workers);
        Ok(external.telling(self.say.clone()))
    }

    /// The upstream program.
    ///
    /// # Errors
    /// There is none.
    pub fn program(&self) -> Result<Program, Problem> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        Program::find(self.upstream_program.as_deref(), &path)
    }

    /// Both for the fleet that a plan was compiled for.
    pub(super) fn connect(&self, bucket: &Arc<Bucket>, fleet: &Fleet) -> Result<Connected, RunError> {
        let remote = self.transport(bucket, &fleet.workers)?;
        let catalog = self.catalog(bucket, fleet, &remote, None)?;
        Ok(Connected { remote, catalog })
    }

    /// The same for who carries a run out under this lock.
    pub(super) fn connect_under(
        &self,
        lock: &Arc<RunLock>,
        bucket: &Arc<Bucket>,
        fleet: &Fleet,
    ) -> Result<Connected, RunError> {
        let remote = LeasedRemote::over(self.transport(bucket, &fleet.workers)?, lock);
        let catalog = self.catalog(bucket, fleet, &remote, None)?;
        Ok(Connected { remote, catalog })
    }

    /// What the transport to these workers is made of, for who only looks: it stores no host key, and is had also where
    /// secrets are open to others, which is for the caller to say.
    pub fn looking(&self, bucket: &Bucket, workers: &[Worker]) -> ssh::Settings {
        let id = bucket.settings().bucket_id.as_deref().unwrap_or("unknown");
        ssh::Settings { stores_host_keys: false, ..self.settings(bucket, id, endpoints(workers.iter())) }
    }

    fn settings(&self, bucket: &Bucket, id: &str, endpoints: BTreeMap<Host, Endpoint>) -> ssh::Settings {
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
                settings.system_ssh_config = None;
            }
            settings
        };
        settings.endpoints = endpoints;
        settings.port = conf.states("ssh_port").then_some(conf.ssh_port);
        settings.user = conf.states("ssh_user").then(|| conf.ssh_user.clone());
        settings.default_user = conf.ssh_user.clone();
        settings.key = Some(conf.ssh_key.clone());
        settings.host_key_check = match conf.host_key_check {
            HostKeyCheck::AcceptNew => ssh::HostKeyCheck::AcceptNew,
            HostKeyCheck::Strict => ssh::HostKeyCheck::Strict,
        };
        settings.deadlines.connect = conf.connect_timeout;
        settings.handshakes = conf.max_handshakes as usize;
        settings.ask_passphrase = self.ask_passphrase.clone();
        settings.show = self.show.clone();
        settings
    }
}

fn endpoints<'w>(workers: impl Iterator<Item = &'w Worker>) -> BTreeMap<Host, Endpoint> {
    let own = workers.filter(|worker| worker.ssh_port.is_some() || worker.ssh_user.is_some());
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

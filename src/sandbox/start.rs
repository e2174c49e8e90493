//! Starting and ending a sandbox, and its owner's view of it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc as std_mpsc};
use std::time::Duration;

use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};

use super::bucket::{self, Facts};
use super::files::{Root, demo_probe};
use super::options::{Folder, hold};
use super::worker::{Boot, Common, Control, LogEntry, Scout, Worker};
use super::{Fault, SandboxError, SandboxOptions, WORKERS_MAX, keys, machine};
use crate::bucket::Host;
use crate::os::LockFile;

/// How long the end may take before the rest is left to the guards, which end by themselves.
const END_WITHIN: Duration = Duration::from_secs(10);

/// A throwaway fleet that lives as long as this value; all calls are synchronous.
pub struct Sandbox {
    hosts: Vec<Host>,
    workers: Vec<Arc<Worker>>,
    stop: watch::Sender<bool>,
    // In a mutex so that others may look at the sandbox while it lives.
    ended: std::sync::Mutex<std_mpsc::Receiver<()>>,
    runtime: Option<Runtime>,
    // Dropped in this order, after everything has ended.
    _held: LockFile,
    folder: Folder,
}

impl Sandbox {
    /// Makes the folder, the bucket and the workers, and returns when all of them can be reached.
    ///
    /// # Errors
    /// A wrong option, a folder that cannot be used, no `make`, no address
    /// that could be listened on, a worker that cannot start. Nothing is left behind.
    pub fn start(options: SandboxOptions) -> Result<Self, SandboxError> {
        let boot_time = options.boot_time()?;
        check_count(options.blueprint.workers())?;
        let make = find_make()?;
        let program = options.program.clone().unwrap_or_else(|| PathBuf::from("/proc/self/exe"));
        allow_many_files();
        let folder = Folder::create(options.dir.as_deref())?;
        let held = hold(folder.path())?;
        let client_key = keys::generate().map_err(SandboxError::start("its client key"))?;
        let (listeners, port) = listen(options.blueprint.workers())?;
        let hosts: Vec<Host> = options
            .blueprint
            .workers
            .iter()
            .zip(&listeners)
            .filter_map(|(made, (address, _))| {
                made.name.clone().or_else(|| Host::parse(&address.ip().to_string()))
            })
            .collect();

        let addresses: Vec<IpAddr> = listeners.iter().map(|(address, _)| address.ip()).collect();

        let (stop, stopped) = watch::channel(false);
        let common = Arc::new(Common {
            execute: options.execute,
            boot_time,
            program,
            client_key: client_key.public_key().clone(),
            demo_texts: options.blueprint.jobs.iter().map(|job| demo_probe(job.name.as_str())).collect(),
            scout: std::sync::OnceLock::new(),
            stop: stopped,
        });
        let hosts_dir = folder.path().join("hosts");
        let (ending, ended) = std_mpsc::channel();
        let mut workers = Vec::new();
        let mut host_keys = Vec::new();
        let mut machines = Vec::new();
        for (host, (address, listener)) in hosts.iter().zip(listeners) {
            let root = Root::new(hosts_dir.join(host.without_colons()));
            root.create(&make, options.execute).map_err(SandboxError::folder("write to", root.path()))?;
            let key = keys::generate().map_err(SandboxError::start("a host key"))?;
            host_keys.push(keys::public_line(key.public_key()).map_err(SandboxError::start("a host key"))?);
            let (control, asked) = mpsc::unbounded_channel();
            let worker =
                Arc::new(Worker::new(host.clone(), address, root, key, Arc::clone(&common), control));
            workers.push(Arc::clone(&worker));
            machines.push((worker, listener, asked, ending.clone()));
        }
        let client_text = keys::private_text(&client_key).map_err(SandboxError::start("its client key"))?;
        let facts = Facts {
            hosts: &hosts,
            addresses: &addresses,
            host_keys: &host_keys,
            port,
            execute: options.execute,
            client_key: &client_text,
            hosts_dir: &hosts_dir,
        };
        let bucket_dir = folder.path().join("bucket");
        bucket::write(&bucket_dir, &options.blueprint, &facts)
            .map_err(SandboxError::folder("write to", &bucket_dir))?;

        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("sandbox")
            .enable_all()
            .build()
            .map_err(SandboxError::start("its threads"))?;
        // Each machine has one: the channel is closed when the last machine has ended.
        drop(ending);
        // From here on dropping it ends what has been started.
        let mut sandbox =
            Self { hosts, workers, stop, ended: ended.into(), runtime: Some(runtime), _held: held, folder };
        if let Some(runtime) = &sandbox.runtime {
            for (worker, listener, asked, ending) in machines {
                let start = async {
                    listener.set_nonblocking(true)?;
                    let listener = tokio::net::TcpListener::from_std(listener)?;
                    let up = machine::boot(&worker, false).await?;
                    Ok::<_, std::io::Error>((up, listener))
                };
                let (up, listener) = runtime
                    .block_on(start)
                    .map_err(SandboxError::start(format!("worker {}", worker.host)))?;
                runtime.spawn(async move {
                    machine::live(worker, up, listener, asked).await;
                    drop(ending);
                });
            }
        }
        if options.dir.is_some() {
            sandbox.folder.keep();
        }
        Ok(sandbox)
    }

    /// Everything of it is in here.
    pub fn dir(&self) -> &Path {
        self.folder.path()
    }

    /// Its bucket.
    pub fn bucket_dir(&self) -> PathBuf {
        self.folder.path().join("bucket")
    }

    /// Its workers, as the bucket names them.
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// Where a worker listens; `None`: there is no such worker.
    pub fn address(&self, host: &Host) -> Option<SocketAddr> {
        self.worker(host).map(|worker| worker.address)
    }

    /// The folder that plays a worker's root; `None`: there is no such worker.
    pub fn root(&self, host: &Host) -> Option<&Path> {
        self.worker(host).map(|worker| worker.root.path())
    }

    /// All boots of a worker, the first one included, oldest first.
    pub fn boots(&self, host: &Host) -> Vec<Boot> {
        self.worker(host).map(|worker| worker.boots()).unwrap_or_default()
    }

    /// What happened on a worker, oldest first; of a long life the last ten thousand entries.
    pub fn log(&self, host: &Host) -> Vec<LogEntry> {
        self.worker(host).map(|worker| worker.log()).unwrap_or_default()
    }

    /// Asks for a fault. `false`: there is no such worker.
    pub fn inject(&self, fault: Fault) -> bool {
        let worker = self.worker(&fault.host).cloned();
        worker.map(|worker| worker.inject(fault)).is_some()
    }

    /// Tells a worker that a step of the plan begins there: its faults for that step wake up.
    pub fn step_begins(&self, host: &Host, step: &str) {
        if let Some(worker) = self.worker(host) {
            worker.step_begins(step);
        }
    }

    /// Who is asked which steps have begun, before a worker with a fault for a step does anything; only
    /// the first one is taken. It must not keep the sandbox alive.
    pub fn ask(&self, scout: Scout) {
        if let Some(worker) = self.workers.first() {
            let _ = worker.common.scout.set(scout);
        }
    }

    /// Takes all faults of a worker away; one that never returns stays away.
    pub fn heal(&self, host: &Host) {
        if let Some(worker) = self.worker(host) {
            worker.heal();
        }
    }

    /// Reboots a worker from outside, as an operator or a power cut would.
    pub fn reboot(&self, host: &Host) {
        if let Some(worker) = self.worker(host) {
            let _ = worker.control.send(Control::Reboot("the sandbox's owner".into()));
        }
    }

    /// Ends everything; the folder goes if it was a temporary one.
    pub fn stop(self) {}

    fn worker(&self, host: &Host) -> Option<&Arc<Worker>> {
        self.workers.iter().find(|worker| worker.host == *host)
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
        // Machines never send: the channel is closed when the last one has ended.
        let ended = self.ended.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        let _ = ended.recv_timeout(END_WITHIN);
        for worker in &self.workers {
            drop(worker.set_guard(None));
        }
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn check_count(workers: usize) -> Result<(), SandboxError> {
    if (1..=WORKERS_MAX).contains(&workers) {
        return Ok(());
    }
    Err(SandboxError::Workers(workers))
}

/// The machine's own make, which runs the demo jobs.
fn find_make() -> Result<PathBuf, SandboxError> {
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
    std::env::split_paths(&path)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join("make"))
        .find(|make| make.is_file())
        .ok_or(SandboxError::NoMake)
}

/// Three descriptors for each worker and a few for each command: more than the usual soft limit lets
/// a large fleet have. Raising it up to the hard limit needs no rights and does no harm.
fn allow_many_files() {
    let mut limit = getrlimit(Resource::Nofile);
    let wanted = 65_536;
    if limit.current.is_some_and(|current| current < wanted) {
        limit.current = Some(limit.maximum.map_or(wanted, |maximum| maximum.min(wanted)));
        let _ = setrlimit(Resource::Nofile, limit);
    }
}

/// An address for each worker, all on one port. The net and the port are random, so that sandboxes
/// side by side do not meet; where they do, binding fails and another net is tried.
fn listen(workers: usize) -> Result<(Vec<(SocketAddr, TcpListener)>, u16), SandboxError> {
    let mut last = std::io::Error::other("no net was tried");
    for _ in 0..50 {
        let random = uuid::Uuid::new_v4().into_bytes();
        let (a, b) = (1 + random[0] % 250, random[1] % 250);
        // Below the ports that the system gives to clients (from 32768 on), which could be in the way
        // while a worker is down.
        let port = 20_000 + u16::from_be_bytes([random[2], random[3]]) % 10_000;
        let bound: std::io::Result<Vec<_>> = (0..workers)
            .map(|index| {
                let net = b + (index / 250) as u8;
                let address =
                    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, a, net, 1 + (index % 250) as u8)), port);
                Ok((address, TcpListener::bind(address)?))
            })
            .collect();
        match bound {
            Ok(listeners) => return Ok((listeners, port)),
            Err(error) => last = error,
        }
    }
    Err(SandboxError::Listen(last))
}

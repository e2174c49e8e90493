//! Workers as they are reached under a lease: nothing is connected to or sent while the lease may have ended.

use std::io::Read;
use std::sync::Arc;
use std::time::Instant;

use crate::bucket::Host;
use crate::journal::RunLock;
use crate::ssh::{
    Cancel, Captured, Completion, ConnectError, Connection, HostProfile, NotRun, OutputSink, Remote, Script,
};

/// A transport whose scripts wait while it is not known whether the lease is held, and are not sent once it is lost.
pub struct LeasedRemote {
    remote: Arc<dyn Remote>,
    lock: Arc<RunLock>,
}

impl LeasedRemote {
    /// Over `remote`, under `lock`; the same transport where that is no lease.
    pub fn over(remote: Arc<dyn Remote>, lock: &Arc<RunLock>) -> Arc<dyn Remote> {
        match lock.is_lease() {
            true => Arc::new(Self { remote, lock: Arc::clone(lock) }),
            false => remote,
        }
    }
}

impl Remote for LeasedRemote {
    fn connect(
        &self,
        host: &Host,
        until: Instant,
        cancel: &Cancel,
    ) -> Result<Box<dyn Connection>, ConnectError> {
        let began = Instant::now();
        if !self.lock.wait_until_held(&|| cancel.is_cancelled()) {
            return Err(ConnectError::Cancelled);
        }
        // A worker is not to blame for a database that is away.
        let connection = self.remote.connect(host, until + began.elapsed(), cancel)?;
        Ok(Box::new(LeasedConnection { connection, lock: Arc::clone(&self.lock), cancel: cancel.clone() }))
    }

    fn profile(&self, host: &Host) -> HostProfile {
        self.remote.profile(host)
    }
}

struct LeasedConnection {
    connection: Box<dyn Connection>,
    lock: Arc<RunLock>,
    cancel: Cancel,
}

impl LeasedConnection {
    /// Why a script is not sent.
    fn objection(&self) -> Option<Completion> {
        if self.lock.wait_until_held(&|| self.cancel.is_cancelled()) {
            return None;
        }
        let reason = if self.cancel.is_cancelled() { NotRun::NoChannel } else { NotRun::Fenced };
        Some(Completion::NotRun { reason, stderr: Captured::default() })
    }
}

impl Connection for LeasedConnection {
    fn run(&mut self, script: &Script, sink: Option<OutputSink<'_>>) -> Completion {
        match self.objection() {
            None => self.connection.run(script, sink),
            Some(refused) => refused,
        }
    }

    fn run_with_payload(&mut self, script: &Script, payload: &mut dyn Read, length: u64) -> Completion {
        match self.objection() {
            None => self.connection.run_with_payload(script, payload, length),
            Some(refused) => refused,
        }
    }

    fn is_usable(&self) -> bool {
        self.connection.is_usable()
    }

    fn greeting(&self) -> &[u8] {
        self.connection.greeting()
    }
}

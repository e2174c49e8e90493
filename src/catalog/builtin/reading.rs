//! Reading many or large files: said every few seconds, and ended by Ctrl-C.

use std::io;
use std::time::{Duration, Instant};

use crate::catalog::{Call, CatalogError};

/// Between two words about it.
const PAUSE: Duration = Duration::from_secs(5);

/// What one operation reads of the workspace's files.
pub(crate) struct Reading<'c> {
    call: &'c Call,
    bytes: u64,
    next: Instant,
}

impl<'c> Reading<'c> {
    /// Nothing is read yet.
    pub(crate) fn new(call: &'c Call) -> Self {
        Self { call, bytes: 0, next: Instant::now() + PAUSE }
    }

    /// So many bytes more were read of the files of `job`.
    ///
    /// # Errors
    /// [`io::ErrorKind::Interrupted`] where it is to end.
    pub(crate) fn more(&mut self, job: &str, bytes: u64) -> io::Result<()> {
        if self.is_cancelled() {
            return Err(io::Error::new(io::ErrorKind::Interrupted, "cancelled"));
        }
        self.bytes += bytes;
        if Instant::now() >= self.next {
            self.next = Instant::now() + PAUSE;
            (self.call.output)(None, &format!("reading the files of {job}: {} MiB so far", self.bytes >> 20));
        }
        Ok(())
    }

    /// The error of an operation that was cancelled while it read; nothing was changed yet.
    ///
    /// # Errors
    /// It was cancelled.
    pub(crate) fn check(&self) -> Result<(), CatalogError> {
        if !self.is_cancelled() {
            return Ok(());
        }
        Err(CatalogError::Cancelled("cancelled while the files of the jobs were read".to_owned()))
    }

    fn is_cancelled(&self) -> bool {
        self.call.stopping.is_cancelled() || self.call.cancel.is_cancelled()
    }
}

//! Reading many or large files: said every few seconds, and ended by Ctrl-C.

use std::io;
use std::time::{Duration, Instant};

use crate::catalog::{Call, CatalogError};

/// Between two words about it.
const PAUSE: Duration = Duration::from_secs(5);

/// What one operation reads of the workspace's files.
pub(crate) struct Reading<'c> {
    /// `None`: nobody listens, and nobody ends it.
    call: Option<&'c Call>,
    bytes: u64,
    /// More than this are not read.
    most: u64,
    next: Instant,
}

impl<'c> Reading<'c> {
    /// Nothing is read yet.
    pub(crate) fn new(call: &'c Call) -> Self {
        Self { call: Some(call), bytes: 0, most: u64::MAX, next: Instant::now() + PAUSE }
    }

    /// Of at most so many bytes, for a look that nothing is said of.
    pub(crate) fn bounded(most: u64) -> Self {
        Self { call: None, bytes: 0, most, next: Instant::now() + PAUSE }
    }

    /// So many bytes more were read of the files of `job`.
    ///
    /// # Errors
    /// [`io::ErrorKind::Interrupted`] where it is to end.
    pub(crate) fn more(&mut self, job: &str, bytes: u64) -> io::Result<()> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.is_cancelled() || self.bytes > self.most {
            return Err(io::Error::new(io::ErrorKind::Interrupted, "cancelled"));
        }
        let Some(call) = self.call else { return Ok(()) };
        let now = Instant::now();
        if now >= self.next {
            self.next = now + PAUSE;
            (call.output)(None, &format!("reading the files of {job}: {} MiB so far", self.bytes >> 20));
        }
        Ok(())
    }

    /// The error of an operation that was cancelled while it read; nothing was changed yet.
    ///
    /// # Errors
    /// It was cancelled.
    pub(crate) fn check(&self) -> Result<(), CatalogError> {
        if self.bytes > self.most {
            let most = self.most >> 30;
            return Err(CatalogError::Cancelled(format!("the files of the jobs have more than {most} GiB")));
        }
        if !self.is_cancelled() {
            return Ok(());
        }
        Err(CatalogError::Cancelled("cancelled while the files of the jobs were read".to_owned()))
    }

    fn is_cancelled(&self) -> bool {
        self.call.is_some_and(|call| call.stopping.is_cancelled() || call.cancel.is_cancelled())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::catalog::Cuts;
    use crate::ssh::Cancel;

    #[test]
    fn long_reading_is_said_and_can_be_cancelled() {
        let said = Arc::new(Mutex::new(Vec::new()));
        let lines = said.clone();
        let call = Call {
            stopping: Cancel::new(),
            cancel: Cancel::new(),
            until: Instant::now() + PAUSE,
            output: Arc::new(move |_, line| lines.lock().unwrap().push(line.to_owned())),
            fence: None,
            cuts: Cuts::default(),
        };
        let mut reading = Reading::new(&call);
        reading.more("api", 3 << 20).unwrap();
        assert!(said.lock().unwrap().is_empty() && reading.check().is_ok());
        reading.next = Instant::now();
        reading.more("api", 4 << 20).unwrap();
        reading.more("api", 1).unwrap();
        assert_eq!(*said.lock().unwrap(), ["reading the files of api: 7 MiB so far"]);
        call.stopping.cancel();
        assert_eq!(reading.more("api", 1).unwrap_err().kind(), io::ErrorKind::Interrupted);
        assert!(matches!(reading.check(), Err(CatalogError::Cancelled(_))));
    }
}

//! Whether a request may have arrived: from the moment at which a connection stands that it can be sent on.
//!
//! By the error alone that cannot be told: a deadline for everything passes in the middle of a connect as it does behind it,
//! and a network says of a connection that stands what it says of one that was never made.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use ureq::Error;
use ureq::http::Uri;
use ureq::unversioned::transport::{ConnectionDetails, Connector, DefaultConnector, Transport};

const CLOSED: u8 = 0;
const OPEN: u8 = 1;
/// Nothing passes any more.
const SHUT: u8 = 2;

/// What a request has to pass to be sent. Either it is opened or it is shut, for good.
#[derive(Clone, Debug, Default)]
pub(super) struct Passage(Arc<AtomicU8>);

impl Passage {
    /// The connection stands. `false`: the passage was shut before, and nothing may be sent.
    fn open(&self) -> bool {
        let before = self.0.compare_exchange(CLOSED, OPEN, Ordering::AcqRel, Ordering::Acquire);
        !matches!(before, Err(SHUT))
    }

    /// Nobody waits any longer. `true`: nothing was sent, nor will it be.
    pub(super) fn shut(&self) -> bool {
        let before = self.0.compare_exchange(CLOSED, SHUT, Ordering::AcqRel, Ordering::Acquire);
        !matches!(before, Err(OPEN))
    }

    /// Something may have been sent.
    pub(super) fn is_open(&self) -> bool {
        self.0.load(Ordering::Acquire) == OPEN
    }
}

/// Connects as usual, TLS and proxies included, and opens the passage when that is done.
#[derive(Debug)]
pub(super) struct Watched {
    inner: DefaultConnector,
    /// Where the request goes. A proxy before it is connected to by the same connector, under another name.
    to: Uri,
    passage: Passage,
}

impl Watched {
    pub(super) fn new(to: Uri, passage: Passage) -> Self {
        Self { inner: DefaultConnector::default(), to, passage }
    }
}

impl Connector for Watched {
    type Out = Box<dyn Transport>;

    fn connect(&self, details: &ConnectionDetails, chained: Option<()>) -> Result<Option<Self::Out>, Error> {
        let connected = self.inner.connect(details, chained)?;
        if *details.uri == self.to && !self.passage.open() {
            return Err(Error::ConnectionFailed);
        }
        Ok(connected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_shut_first_lets_nothing_pass_and_what_was_opened_first_stays_open() {
        let passage = Passage::default();
        assert!(
            !passage.is_open() && passage.shut() && !passage.open() && passage.shut() && !passage.is_open()
        );
        let passage = Passage::default();
        assert!(passage.open() && !passage.shut() && passage.open() && passage.is_open());
    }
}

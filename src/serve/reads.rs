//! Reads of the journal and the making of pages, on threads of their own: few at a time, none for long.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::answer::Trouble;

/// So many at the same time.
pub(super) const AT_ONCE: usize = 3;
/// Whoever waits for longer is told to come again. What was begun ends by itself.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// Who may read.
#[derive(Clone)]
pub(super) struct Reads(Arc<Semaphore>);

impl Reads {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }

    /// Does something that blocks.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        what: impl FnOnce() -> Result<T, Trouble> + Send + 'static,
    ) -> Result<T, Trouble> {
        let places = Arc::clone(&self.0);
        let done = async move {
            // It is never closed.
            let place = places.acquire_owned().await.map_err(|_| Trouble::busy("the server is ending"))?;
            let done = tokio::task::spawn_blocking(move || {
                let done = what();
                drop(place);
                done
            });
            done.await.unwrap_or_else(|_| Err(broken()))
        };
        within(done).await
    }
}

/// An answer in time.
pub(super) async fn within<T>(answer: impl Future<Output = Result<T, Trouble>>) -> Result<T, Trouble> {
    timeout(ANSWER_WITHIN, answer)
        .await
        .unwrap_or_else(|_| Err(Trouble::busy("reading the journal takes too long")))
}

/// A thread has panicked: its words are on standard error.
pub(super) fn broken() -> Trouble {
    Trouble::new(
        axum::http::StatusCode::INTERNAL_SERVER_ERROR,
        "the page could not be made",
        "this is a bug in maand: please report it with what the server has written to its terminal",
    )
}

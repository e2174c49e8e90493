//! Reads of the journal and the making of pages, on threads of their own: few at a time, none for long.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::answer::Trouble;

/// So many at the same time.
pub(super) const AT_ONCE: usize = 3;
/// Whoever waits for longer is told to come again. What was begun ends by itself.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// A page is given to all who ask for it within this time,
const SHARED: Duration = Duration::from_secs(1);
/// or within so many times what it took to make it.
const SHARED_TIMES: u32 = 20;
/// So many pages are kept for that.
const PAGES: usize = 32;
/// None that is larger than this.
const PAGE_BYTES: usize = 1 << 20;

/// Who may read.
#[derive(Clone)]
pub(super) struct Reads {
    places: Arc<Semaphore>,
    /// Pages by their paths, and until when they are given.
    recent: Arc<Mutex<HashMap<String, (Instant, Bytes)>>>,
}

impl Reads {
    pub(super) fn new() -> Self {
        Self { places: Arc::new(Semaphore::new(AT_ONCE)), recent: Arc::default() }
    }

    /// A page that is made by reading, or that was made a moment ago.
    pub(super) async fn page(
        &self,
        path: &str,
        make: impl FnOnce() -> Result<String, Trouble> + Send + 'static,
    ) -> Result<Bytes, Trouble> {
        let (path, reads) = (path.to_owned(), self.clone());
        let done = async move {
            let place = reads.place().await?;
            if let Some(page) = reads.recent(&path) {
                return Ok(page);
            }
            let done = tokio::task::spawn_blocking(move || {
                let began = Instant::now();
                let page = make().map(Bytes::from);
                if let Ok(page) = &page {
                    let lasts = (began.elapsed() * SHARED_TIMES).max(SHARED);
                    reads.keep(path, page, Instant::now() + lasts);
                }
                drop(place);
                page
            });
            done.await.unwrap_or_else(|_| Err(broken()))
        };
        within(done).await
    }

    /// What is read for one who asks.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        make: impl FnOnce() -> Result<T, Trouble> + Send + 'static,
    ) -> Result<T, Trouble> {
        within(async {
            let place = self.place().await?;
            let done = tokio::task::spawn_blocking(move || {
                let made = make();
                drop(place);
                made
            });
            done.await.unwrap_or_else(|_| Err(broken()))
        })
        .await
    }

    async fn place(&self) -> Result<OwnedSemaphorePermit, Trouble> {
        // It is never closed.
        self.places.clone().acquire_owned().await.map_err(|_| Trouble::busy("the server is ending"))
    }

    fn recent(&self, path: &str) -> Option<Bytes> {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.get(path).filter(|(until, _)| Instant::now() < *until).map(|(_, page)| page.clone())
    }

    fn keep(&self, path: String, page: &Bytes, until: Instant) {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        recent.retain(|_, (until, _)| now < *until);
        if recent.len() < PAGES && page.len() <= PAGE_BYTES {
            recent.insert(path, (until, page.clone()));
        }
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

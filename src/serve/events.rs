//! The stream of events of one browser.

use std::collections::VecDeque;

use axum::body::Body;
use axum::body::Bytes;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, broadcast, watch};

use super::connection::closed;
use super::frames::reload;

/// After a connection is lost a browser tries again in so many milliseconds.
const RETRY: &str = "retry: 2000\n\n";

/// One that looks at a run.
pub(super) struct Viewer {
    /// What it gets before all that follows.
    pub(super) first: VecDeque<Bytes>,
    /// What follows.
    pub(super) rest: broadcast::Receiver<Bytes>,
    /// The server ends.
    pub(super) closing: watch::Receiver<bool>,
    /// Its place among all that look.
    pub(super) _place: OwnedSemaphorePermit,
}

/// Its answer, which ends when the run's watcher does, when the server does, or when it is too slow.
pub(super) fn stream_to(mut viewer: Viewer) -> Response {
    viewer.first.push_front(Bytes::from_static(RETRY.as_bytes()));
    let frames = stream::unfold(Some(viewer), |viewer| async {
        let mut viewer = viewer?;
        if let Some(frame) = viewer.first.pop_front() {
            return Some((Ok::<_, std::convert::Infallible>(frame), Some(viewer)));
        }
        let told = tokio::select! {
            told = viewer.rest.recv() => told,
            () = closed(&mut viewer.closing) => return None,
        };
        match told {
            Ok(frame) => Some((Ok(frame), Some(viewer))),
            Err(RecvError::Lagged(_)) => Some((Ok(reload()), None)),
            Err(RecvError::Closed) => None,
        }
    });
    ([(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(frames)).into_response()
}

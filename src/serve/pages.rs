//! The page of a run: live, as events, as a file.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::answer::{Trouble, html};
use super::control_pages::{Visit, control_panel_of, with_panel};
use super::events::{Viewer, stream_to};
use super::routes::App;
use crate::journal::RunId;
use crate::page::{self, run_page};
use crate::run::FollowedRun;
use crate::runner::now;

/// The page of a run.
pub(super) async fn run(
    State(app): State<App>,
    Path(run): Path<String>,
    request: Request,
) -> Result<Response, Trouble> {
    let (run, visit) = (named(&run)?, Visit::of(&request));
    let page = app.watchers.page(&run).await?;
    let Some(controls) = &app.controls else { return Ok(html(page)) };
    Ok(with_panel(&page, control_panel_of(&app, controls, &run, visit).await?))
}

/// From when on events are asked for.
#[derive(Deserialize)]
pub(super) struct Since {
    #[serde(default)]
    since: String,
}

/// What happens in a run, as it happens.
pub(super) async fn events(
    State(app): State<App>,
    Path(run): Path<String>,
    since: Result<Query<Since>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Trouble> {
    let run = named(&run)?;
    let place = Arc::clone(&app.viewers).try_acquire_owned();
    let place = place.map_err(|_| Trouble::busy("too many look at runs at the same time"))?;
    // A browser that comes again says what it has seen last; the address says what its page had.
    let seen = headers.get("last-event-id").and_then(|seen| seen.to_str().ok()).map(str::to_owned);
    let since = seen.or_else(|| since.ok().map(|Query(query)| query.since)).unwrap_or_default();
    let (first, rest) = app.watchers.listen(&run, since).await?;
    Ok(stream_to(Viewer { first, rest, closing: app.closing, _place: place }))
}

/// The page of a run as a file that needs nothing else.
pub(super) async fn report(
    State(app): State<App>,
    Path(run): Path<String>,
    uri: Uri,
) -> Result<Response, Trouble> {
    let run = named(&run)?;
    let name = format!("attachment; filename=\"maand-{run}.html\"");
    let watchers = app.watchers.clone();
    let page = app.reads.page(uri.path(), move || {
        let run = FollowedRun::open(watchers.bucket(), Some(run.as_str()), watchers.hint(), now());
        let run = run.map_err(|error| Trouble::of(error, watchers.words()))?;
        Ok(run_page(&run.page()))
    });
    Ok(([(header::CONTENT_DISPOSITION, name)], html(page.await?)).into_response())
}

/// The program's sign.
pub(super) async fn icon() -> Response {
    ([(header::CONTENT_TYPE, "image/svg+xml")], page::ICON).into_response()
}

/// A run's name, as a whole.
pub(super) fn named(text: &str) -> Result<RunId, Trouble> {
    RunId::parse(text).ok_or_else(|| {
        Trouble::new(StatusCode::NOT_FOUND, "this is not the name of a run", "choose one in the list of runs")
    })
}

//! Which path has what.

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio::sync::{Semaphore, watch};

use super::answer::{Trouble, policy, with_headers};
use super::control::Controls;
use super::guard::{MOST_OF_A_FORM, OwnNames};
use super::metrics::{self, Metrics};
use super::reads::Reads;
use super::watchers::Watchers;
use super::{control_pages, history, index, pages};

/// Bytes of a path with its query.
const PATH_BYTES: usize = 2 << 10;
/// Bytes of what a request brings besides.
const BODY_BYTES: usize = 16 << 10;

/// What answers need.
#[derive(Clone)]
pub(super) struct App {
    pub(super) watchers: Watchers,
    pub(super) reads: Reads,
    pub(super) metrics: Metrics,
    pub(super) viewers: Arc<Semaphore>,
    pub(super) closing: watch::Receiver<bool>,
    pub(super) names: Arc<OwnNames>,
    /// `None`: there is nothing that could be asked of a run.
    pub(super) controls: Option<Arc<Controls>>,
}

/// All paths.
pub(super) fn router(app: App) -> Router {
    let policy = policy();
    let guarded = (Arc::clone(&app.names), app.controls.is_some());
    let mut pages = Router::new()
        .route("/", get(index::index))
        .route("/favicon.svg", get(pages::icon))
        .route("/metrics", get(metrics::metrics))
        .route("/runs/{run}", get(pages::run))
        .route("/runs/{run}/events", get(pages::events))
        .route("/runs/{run}/report.html", get(pages::report))
        .route("/runs/{run}/workers/{host}", get(history::worker_of_run))
        .route("/runs/{run}/attempts/{attempt}", get(history::attempt))
        .route("/workers/{host}", get(history::worker));
    if app.controls.is_some() {
        pages = pages.merge(control_routes());
    }
    pages
        .fallback(nothing)
        .method_not_allowed_fallback(wrong_method)
        .with_state(app)
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .layer(middleware::from_fn(bounded))
        .layer(middleware::from_fn_with_state(guarded, guard))
        // Outermost: also what is refused has the headers.
        .layer(middleware::from_fn_with_state(policy, headers))
}

/// What is there where runs can be controlled.
fn control_routes() -> Router<App> {
    Router::new()
        .route("/login", get(control_pages::login).post(control_pages::log_in))
        .route("/logout", post(control_pages::log_out))
        .route("/runs/{run}/control", post(control_pages::act))
        .route("/runs/{run}/control/panel", get(control_pages::panel))
        .layer(DefaultBodyLimit::max(MOST_OF_A_FORM))
}

/// Refuses what comes from a page of somebody else. Only a POST changes anything, and only where runs can be controlled.
async fn guard(
    State((names, is_controlled)): State<(Arc<OwnNames>, bool)>,
    request: Request,
    next: Next,
) -> Response {
    let is_form = is_controlled && request.method() == Method::POST;
    let named = names.check_host(request.headers(), request.uri());
    let checked =
        named.and_then(|host| if is_form { names.check_form(request.headers(), &host) } else { Ok(()) });
    match checked {
        Ok(()) => next.run(request).await,
        Err(refusal) => Trouble::from(&refusal).into_response(),
    }
}

async fn headers(State(policy): State<axum::http::HeaderValue>, request: Request, next: Next) -> Response {
    with_headers(next.run(request).await, &policy)
}

async fn bounded(request: Request, next: Next) -> Response {
    let path = request.uri().path_and_query().map_or(0, |path| path.as_str().len());
    if path > PATH_BYTES {
        let what = format!("the address is longer than {PATH_BYTES} bytes");
        return Trouble::new(StatusCode::URI_TOO_LONG, what, "begin with the list of runs").into_response();
    }
    next.run(request).await
}

async fn nothing() -> Trouble {
    Trouble::new(StatusCode::NOT_FOUND, "there is nothing under this address", "begin with the list of runs")
}

async fn wrong_method(method: Method) -> Trouble {
    let what = format!("{method} is not what this address takes");
    Trouble::new(StatusCode::METHOD_NOT_ALLOWED, what, "begin with the list of runs")
}

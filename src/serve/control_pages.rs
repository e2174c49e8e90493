//! What the paths of control answer.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Deserialize;

use super::answer::{Trouble, html};
use super::control::{Controls, bad, draw_ticket, fields_of};
use super::pages::named;
use super::routes::App;
use super::wanted::Wanted;
use crate::journal::RunId;
use crate::page::{CONTROL_MARK, ControlPanel, Operator, control_panel, links, login_page, question_page};

/// What a page of a run shows besides.
#[derive(Default, Deserialize)]
pub(super) struct Shown {
    /// What came of this request.
    answer: Option<u64>,
    /// The ticket that its forms have already.
    ticket: Option<String>,
}

/// Where an operator logs in.
pub(super) async fn login(State(app): State<App>) -> Result<Response, Trouble> {
    Ok(html(login_page(None, controls(&app)?.served_by())))
}

/// Opens a session.
pub(super) async fn log_in(State(app): State<App>, request: Request) -> Result<Response, Trouble> {
    let controls = controls(&app)?;
    let origin = request.headers().get(header::ORIGIN);
    let is_secure = origin.is_some_and(|origin| origin.as_bytes().starts_with(b"https:"));
    let fields = fields_of(request).await?;
    match controls.log_in(&fields, is_secure).await {
        Ok(response) => Ok(response),
        Err(trouble) => {
            let page = login_page(Some((&trouble.what, trouble.help.as_deref())), controls.served_by());
            let mut response = (trouble.status, html(page)).into_response();
            if trouble.status == StatusCode::TOO_MANY_REQUESTS {
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("6"));
            }
            Ok(response)
        }
    }
}

/// Ends a session.
pub(super) async fn log_out(State(app): State<App>, request: Request) -> Result<Response, Trouble> {
    let headers = request.headers().clone();
    controls(&app)?.log_out(&headers, &fields_of(request).await?)
}

/// Does what a form of a run's page asks for, or asks whether to do it.
pub(super) async fn act(
    State(app): State<App>,
    Path(run): Path<String>,
    request: Request,
) -> Result<Response, Trouble> {
    let (controls, run) = (controls(&app)?, named(&run)?);
    let headers = request.headers().clone();
    let fields = fields_of(request).await?;
    let who = controls.own(&headers, &fields)?;
    match fields.wanted().map_err(bad)? {
        Wanted::Now(verb) => {
            let ticket = fields.ticket().map_err(bad)?;
            controls.carry_out(run.clone(), &links::run(run.as_str()), who, verb, ticket).await
        }
        Wanted::Question(asked) => {
            let (path, ticket) = (links::run(run.as_str()), draw_ticket()?);
            let decisions = app.watchers.decisions(&run).await?;
            let operator = Operator { name: who.name.as_str(), form: &who.form, ticket: &ticket };
            let panel = ControlPanel { run: &decisions, path: &path, operator: Some(operator), answer: None };
            Ok(html(question_page(&panel, operator, &asked)))
        }
    }
}

/// The panel of a run alone, as of now.
pub(super) async fn panel(
    State(app): State<App>,
    Path(run): Path<String>,
    shown: Result<Query<Shown>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Trouble> {
    let (controls, run) = (controls(&app)?, named(&run)?);
    let shown = shown.map(|Query(shown)| shown).unwrap_or_default();
    Ok(html(control_panel_of(&app, controls, &run, &headers, &shown).await?))
}

/// What the operator who sends a request can decide about a run.
pub(super) async fn control_panel_of(
    app: &App,
    controls: &Controls,
    run: &RunId,
    headers: &HeaderMap,
    shown: &Shown,
) -> Result<String, Trouble> {
    let decisions = app.watchers.decisions(run).await?;
    let (path, who) = (links::run(run.as_str()), controls.who(headers));
    let is_ticket =
        |ticket: &&String| ticket.len() == 64 && ticket.bytes().all(|byte| byte.is_ascii_hexdigit());
    let ticket = match shown.ticket.as_ref().filter(is_ticket) {
        Some(ticket) => ticket.clone(),
        None => draw_ticket()?,
    };
    let answered = who.as_ref().zip(shown.answer).and_then(|(who, number)| controls.answered(who, number));
    let number = shown.answer.filter(|_| answered.is_some());
    let number = number.map_or_else(String::new, |number| format!("&answer={number}"));
    let panel = ControlPanel {
        run: &decisions,
        path: &path,
        operator: who.as_ref().map(|who| Operator {
            name: who.name.as_str(),
            form: &who.form,
            ticket: &ticket,
        }),
        answer: answered.as_ref().map(Option::as_ref),
    };
    Ok(control_panel(&panel, &format!("{path}/control/panel?ticket={ticket}{number}")))
}

/// A page that was made for everybody, with the panel of one operator in it.
pub(super) fn with_panel(page: &Bytes, panel: String) -> Response {
    let mark = CONTROL_MARK.as_bytes();
    let Some(at) = page.windows(mark.len()).position(|window| window == mark) else {
        return html(page.clone());
    };
    let parts = [page.slice(..at), Bytes::from(panel), page.slice(at + mark.len()..)];
    let body = Body::from_stream(stream::iter(parts.map(Ok::<_, Infallible>)));
    ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], body).into_response()
}

fn controls(app: &App) -> Result<&Arc<Controls>, Trouble> {
    // Without control there is no path that leads here.
    let none =
        || Trouble::new(StatusCode::NOT_FOUND, "runs are only looked at here", "maand serve --control");
    app.controls.as_ref().ok_or_else(none)
}

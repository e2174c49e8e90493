//! What the paths of control answer.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Deserialize;

use super::answer::{Trouble, html};
use super::control::{Controls, Origin, bad, draw_ticket, fields_of};
use super::pages::named;
use super::routes::App;
use super::wanted::Wanted;
use crate::journal::RunId;
use crate::page::{CONTROL_MARK, ControlPanel, Operator, control_panel, links, login_page, question_page};

/// What a page of a run shows besides.
#[derive(Default, Deserialize)]
struct Shown {
    /// What came of this request.
    answer: Option<u64>,
    /// The ticket that its forms have already.
    ticket: Option<String>,
}

/// A request for a page of a run.
pub(super) struct Visit {
    origin: Origin,
    shown: Shown,
}

impl Visit {
    /// Of a request.
    pub(super) fn of(request: &Request) -> Self {
        let shown = Query::try_from_uri(request.uri()).map(|Query(shown)| shown).unwrap_or_default();
        Self { origin: Origin::of(request), shown }
    }
}

/// What a login leads to.
#[derive(Deserialize)]
struct To {
    /// The page of this run; else the list of runs.
    run: Option<String>,
}

/// Where an operator logs in.
pub(super) async fn login(State(app): State<App>, request: Request) -> Result<Response, Trouble> {
    let to = Query::<To>::try_from_uri(request.uri()).ok().and_then(|Query(to)| to.run);
    Ok(html(login_page(None, controls(&app)?.served_by(), to.as_deref())))
}

/// Opens a session.
pub(super) async fn log_in(State(app): State<App>, request: Request) -> Result<Response, Trouble> {
    let (controls, origin) = (controls(&app)?, Origin::of(&request));
    let fields = fields_of(request).await?;
    match controls.log_in(&origin, &fields).await {
        Ok(response) => Ok(response),
        Err(trouble) => {
            let refused = Some((trouble.what.as_str(), trouble.help.as_deref()));
            let run = fields.one("run").ok().flatten();
            let page = login_page(refused, controls.served_by(), run);
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
    let origin = Origin::of(&request);
    controls(&app)?.log_out(&origin, &fields_of(request).await?)
}

/// Does what a form of a run's page asks for, or asks whether to do it.
pub(super) async fn act(
    State(app): State<App>,
    Path(run): Path<String>,
    request: Request,
) -> Result<Response, Trouble> {
    let (controls, run) = (controls(&app)?, named(&run)?);
    let origin = Origin::of(&request);
    let fields = fields_of(request).await?;
    let who = controls.own(&origin, &fields)?;
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
    request: Request,
) -> Result<Response, Trouble> {
    let (controls, run) = (controls(&app)?, named(&run)?);
    Ok(html(control_panel_of(&app, controls, &run, Visit::of(&request)).await?))
}

/// What the operator who sends a request can decide about a run.
pub(super) async fn control_panel_of(
    app: &App,
    controls: &Controls,
    run: &RunId,
    Visit { origin, shown }: Visit,
) -> Result<String, Trouble> {
    let decisions = app.watchers.decisions(run).await?;
    let (path, who) = (links::run(run.as_str()), controls.who(&origin));
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

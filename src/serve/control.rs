//! Control of runs from their pages: who is logged in, and one request after another.
//!
//! A request does what a command does, by the same function, and is answered by a redirect to the run's page, where what
//! came of it can be read.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::Form;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};
use tokio::time::{sleep, timeout};

use super::answer::Trouble;
use super::connection::Ends;
use super::sessions::{Begun, LoggedIn, NoLogin, NoRandomness, Sender, Sessions, WebName, draw_secret};
use super::wanted::Fields;
use crate::engine::Control;
use crate::journal::RunId;
use crate::page::{Answer, links};
use crate::plan::Problem;
use crate::runner::now;

/// Who gives a wrong token gets the answer so much later.
const WRONG_TOKEN: Duration = Duration::from_secs(1);
/// A form has come within this.
const FORM_WITHIN: Duration = Duration::from_secs(10);

/// Does what an operator asks of a run, in the name of `by`. It may take seconds.
pub type Ask = dyn Fn(&RunId, Control, &str) -> Answer + Send + Sync;

/// How the runs of a server are controlled.
pub struct ServeControl {
    /// The user who serves, `user@host`: it is recorded with what operators ask for.
    pub served_by: String,
    /// Does what they ask for.
    pub ask: Arc<Ask>,
}

/// Who may control the runs of a server.
pub(super) struct Controls {
    how: ServeControl,
    sessions: Mutex<Sessions<Answer>>,
    /// One request after the other: each may take the run lock.
    turn: tokio::sync::Mutex<()>,
}

impl Controls {
    /// And the token that opens it.
    pub(super) fn new(port: u16, how: ServeControl) -> Result<(Arc<Self>, String), NoRandomness> {
        let (sessions, token) = Sessions::new(port, Instant::now())?;
        let controls = Self { how, sessions: Mutex::new(sessions), turn: tokio::sync::Mutex::default() };
        Ok((Arc::new(controls), token))
    }

    /// The user who serves, `user@host`.
    pub(super) fn served_by(&self) -> &str {
        &self.how.served_by
    }

    /// Who sends a request.
    pub(super) fn who(&self, origin: &Origin) -> Option<LoggedIn> {
        self.sessions().of(Sender { headers: &origin.headers, user: &|| origin.user() }, Instant::now())
    }

    /// What came of a request of this operator; `Some(None)`: nothing yet.
    pub(super) fn answered(&self, who: &LoggedIn, number: u64) -> Option<Option<Answer>> {
        self.sessions().answered(who, number)
    }

    fn sessions(&self) -> MutexGuard<'_, Sessions<Answer>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a session, and shows all runs.
    pub(super) async fn log_in(&self, origin: &Origin, fields: &Fields) -> Result<Response, Trouble> {
        let name = WebName::parse(fields.one("name").map_err(bad)?.unwrap_or_default());
        let name = name.map_err(|rule| Trouble::new(StatusCode::BAD_REQUEST, "this is no name", rule))?;
        let run = fields.one("run").map_err(bad)?.and_then(RunId::parse);
        let token = fields.one("token").map_err(bad)?.unwrap_or_default();
        let opened = self.sessions().log_in(token, (name, origin.user()), origin.is_secure(), Instant::now());
        match opened {
            Ok(cookie) => {
                Ok(to(&run.map_or_else(|| "/".to_owned(), |run| links::run(run.as_str())), Some(&cookie)))
            }
            Err(NoLogin::WrongToken) => {
                sleep(WRONG_TOKEN).await;
                Err(Trouble::new(
                    StatusCode::FORBIDDEN,
                    "this is not the token of the server that runs now",
                    "it is in what `maand serve --control` has printed at its start; each start has another one",
                ))
            }
            Err(NoLogin::TooMany(wait)) => Err(Trouble::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too many logins have failed",
                format!("try again in {} seconds", wait.as_secs().max(1)),
            )),
            Err(NoLogin::NoRandomness) => Err(Trouble::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                NoRandomness.to_string(),
                "use the command line: `maand plan --help`",
            )),
        }
    }

    /// Ends the session that a form comes from.
    pub(super) fn log_out(&self, origin: &Origin, fields: &Fields) -> Result<Response, Trouble> {
        self.own(origin, fields)?;
        let cookie = self
            .sessions()
            .log_out(Sender { headers: &origin.headers, user: &|| origin.user() }, Instant::now());
        Ok(to("/", Some(&cookie)))
    }

    /// Who sends a form of a page that was made for them.
    pub(super) fn own(&self, origin: &Origin, fields: &Fields) -> Result<LoggedIn, Trouble> {
        let who = self.who(origin).ok_or_else(not_logged_in)?;
        let form = fields.one("form").map_err(bad)?.unwrap_or_default();
        if self.sessions().is_own_form(&who, form) {
            Ok(who)
        } else {
            Err(Trouble::new(
                StatusCode::FORBIDDEN,
                "the form is not one of this session: nothing was done",
                "load the run's page again, and use the buttons that it has then",
            ))
        }
    }

    /// Does what a form asks for, unless the form was sent before, and leads to the run's page at `path`.
    pub(super) async fn carry_out(
        self: &Arc<Self>,
        run: RunId,
        path: &str,
        who: LoggedIn,
        verb: Control,
        ticket: &str,
    ) -> Result<Response, Trouble> {
        let asked = serde_json::to_string(&verb).map_err(|error| {
            let help = "this is a bug in maand: please report it";
            Trouble::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                format!("the request cannot be written: {error}"),
                help,
            )
        })?;
        let what = hex::encode(Sha256::digest(format!("{ticket} {run} {asked}")));
        let begun = self.sessions().begin(&who, &what).ok_or_else(not_logged_in)?;
        let number = match begun {
            Begun::Again(number) => number,
            Begun::New(number) => {
                let controls = Arc::clone(self);
                // It is done to its end also when the browser goes away meanwhile.
                let done = tokio::spawn(async move { controls.do_once(run, verb, who, number).await });
                let _ = done.await;
                number
            }
        };
        Ok(to(&format!("{path}?answer={number}#control"), None))
    }

    async fn do_once(self: Arc<Self>, run: RunId, verb: Control, who: LoggedIn, number: u64) {
        let turn = self.turn.lock().await;
        let (ask, by) = (Arc::clone(&self.how.ask), who.name.recorded(&self.how.served_by));
        let done = tokio::task::spawn_blocking(move || ask(&run, verb, &by)).await;
        drop(turn);
        // A thread has panicked: its words are on standard error.
        let answer = done.unwrap_or_else(|_| Answer {
            at: now(),
            done: None,
            problems: vec![(
                "the server has failed".to_owned(),
                Some("this is a bug in maand: please report it with what the server has written to its terminal".into()),
            )],
        });
        self.sessions().answer(&who, number, answer);
    }
}

/// Where a request comes from.
pub(super) struct Origin {
    headers: HeaderMap,
    ends: Option<Ends>,
}

impl Origin {
    /// Of a request.
    pub(super) fn of(request: &Request) -> Self {
        Self { headers: request.headers().clone(), ends: request.extensions().get::<Ends>().copied() }
    }

    fn user(&self) -> Option<u32> {
        self.ends.and_then(Ends::user)
    }

    fn is_secure(&self) -> bool {
        self.headers.get(header::ORIGIN).is_some_and(|origin| origin.as_bytes().starts_with(b"https:"))
    }
}

/// A ticket for the forms of one page.
pub(super) fn draw_ticket() -> Result<String, Trouble> {
    draw_secret().map_err(|error| {
        let help = "load the page again, or use the command line: `maand plan --help`";
        Trouble::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string(), help)
    })
}

/// The fields of the form that a request brings.
pub(super) async fn fields_of(request: Request) -> Result<Fields, Trouble> {
    let read = Form::<Vec<(String, String)>>::from_request(request, &());
    match timeout(FORM_WITHIN, read).await {
        Ok(Ok(Form(pairs))) => Ok(Fields(pairs)),
        Ok(Err(wrong)) => Err(Trouble::new(
            wrong.into_response().status(),
            "the form cannot be read: nothing was done",
            "load the page again, and choose fewer workers at a time",
        )),
        Err(_) => Err(Trouble::new(
            StatusCode::REQUEST_TIMEOUT,
            "the form did not come: nothing was done",
            "load the page again",
        )),
    }
}

/// See other: what the form has done is read there, and loading it again does nothing.
fn to(path: &str, cookie: Option<&str>) -> Response {
    let mut response = StatusCode::SEE_OTHER.into_response();
    let headers = response.headers_mut();
    for (name, value) in [(header::LOCATION, Some(path)), (header::SET_COOKIE, cookie)] {
        if let Some(value) = value.and_then(|value| HeaderValue::from_str(value).ok()) {
            headers.insert(name, value);
        }
    }
    response
}

fn not_logged_in() -> Trouble {
    Trouble::new(
        StatusCode::FORBIDDEN,
        "nobody is logged in here: nothing was done",
        "log in at /login first",
    )
}

/// A form that is none.
pub(super) fn bad(problem: Problem) -> Trouble {
    Trouble::new(StatusCode::BAD_REQUEST, problem.message, problem.help.unwrap_or_default())
}

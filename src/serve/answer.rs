//! What is answered: pages, with the headers that all answers have.

use axum::body::Body;
use axum::body::Bytes;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::guard::Refusal;
use crate::journal::JournalError;
use crate::page;
use crate::run::RunError;

/// Headers of every answer. Nothing is kept by anybody: who may read a page now may not for ever.
const HEADERS: [(HeaderName, &str); 6] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    // With `no-referrer` browsers send a form with `Origin: null`, which says nothing.
    (header::REFERRER_POLICY, "same-origin"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::CACHE_CONTROL, "no-store"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Gives an answer the headers that all have.
pub(super) fn with_headers(mut response: Response, policy: &HeaderValue) -> Response {
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(header::CONTENT_SECURITY_POLICY, policy.clone());
    response
}

/// The policy of all pages.
pub(super) fn policy() -> HeaderValue {
    // Hashes and words; if it had another character, nothing at all would be allowed.
    HeaderValue::from_str(&page::served_policy())
        .unwrap_or_else(|_| HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"))
}

/// A page.
pub(super) fn html(text: impl Into<Bytes>) -> Response {
    ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], Body::from(text.into())).into_response()
}

/// Why there is no page, as a page.
#[derive(Clone, Debug)]
pub struct Trouble {
    /// The answer's status.
    pub(super) status: StatusCode,
    /// What is wrong, in one sentence.
    pub(super) what: String,
    /// What to do about it.
    pub(super) help: Option<String>,
}

impl Trouble {
    /// `what` is a sentence without its full stop, as diagnostics are.
    pub(super) fn new(status: StatusCode, what: impl Into<String>, help: impl Into<String>) -> Self {
        Self { status, what: what.into(), help: Some(help.into()) }
    }

    /// Of an error about a run, with the words that commands have for it.
    pub(super) fn of(error: RunError, words: Words) -> Self {
        let status = match &error {
            RunError::Journal(
                JournalError::NoJournal { .. } | JournalError::NoRun | JournalError::UnknownRun { .. },
            )
            | RunError::UnknownWorker { .. } => StatusCode::NOT_FOUND,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let (what, help) = words(error);
        Self { status, what, help }
    }

    /// It takes too long, or too many ask.
    pub(super) fn busy(what: &str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, what, "load the page again in a moment")
    }
}

/// What commands say of an error: what is wrong, and what to do about it.
pub(super) type Words = fn(RunError) -> (String, Option<String>);

impl From<&Refusal> for Trouble {
    fn from(refusal: &Refusal) -> Self {
        let problem = refusal.problem();
        Self { status: refusal.status(), what: problem.message, help: problem.help }
    }
}

impl IntoResponse for Trouble {
    fn into_response(self) -> Response {
        let reason = self.status.canonical_reason().unwrap_or("error");
        let page = page::message_page(reason, &self.what, self.help.as_deref());
        let mut response = html(page);
        *response.status_mut() = self.status;
        response
    }
}

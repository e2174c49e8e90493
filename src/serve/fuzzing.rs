//! What fuzzers call of this room.

use std::net::{Ipv4Addr, SocketAddr};

use axum::http::Uri;
use axum::http::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderValue, ORIGIN};

use super::guard::{Authority, OwnNames};
use super::index::span_of;
use super::sessions::WebName;
use super::wanted::{Fields, Wanted};
use crate::engine::Control;
use crate::fuzzing::{choice, is_fit_to_print};

/// What requests say of themselves, and what forms ask for.
pub(crate) fn serve(bytes: &[u8]) {
    let (which, bytes) = choice(bytes, 3);
    let text = String::from_utf8_lossy(bytes);
    match which {
        0 => headers(bytes, &text),
        1 => form(&text),
        _ => {
            if let Ok(name) = WebName::parse(&text) {
                is_fit_to_print(name.as_str());
                assert!(!name.as_str().contains(['@', '(', ')', '<', '>', '&', '"']));
                assert_eq!(WebName::parse(name.as_str()).as_ref(), Ok(&name));
            }
            assert!(span_of(&text).is_none_or(|span| span >= 0));
        }
    }
}

/// Three lines: Host, Origin and the request's target.
fn headers(bytes: &[u8], text: &str) {
    if let Ok(authority) = text.parse::<Authority>() {
        let again = authority.to_string().parse::<Authority>();
        assert_eq!(again.as_ref(), Ok(&authority), "{authority}");
    }
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let mut headers = HeaderMap::new();
    let (host, origin) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    if let Ok(value) = HeaderValue::from_bytes(host) {
        headers.insert(HOST, value);
    }
    if let Ok(value) = HeaderValue::from_bytes(origin)
        && !origin.is_empty()
    {
        headers.insert(ORIGIN, value);
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    let target =
        String::from_utf8_lossy(lines.next().unwrap_or(b"/")).parse().unwrap_or(Uri::from_static("/"));
    let listening = SocketAddr::from((Ipv4Addr::LOCALHOST, 8080));
    let allowed = "ops.example".parse::<Authority>().into_iter().collect();
    let names = OwnNames::new(listening, allowed);
    match names.check_host(&headers, &target) {
        Ok(authority) => {
            let said = String::from_utf8_lossy(host).to_ascii_lowercase();
            let own = ["127.0.0.1", "localhost", "[", "ops.example"];
            assert!(own.iter().any(|own| said.starts_with(own)), "{said} is taken for this server");
            if names.check_form(&headers, &authority).is_ok() {
                let from = String::from_utf8_lossy(origin).to_ascii_lowercase();
                assert!(from.starts_with("http://") || from.starts_with("https://ops.example"), "{from}");
                assert!(own.iter().any(|own| from.contains(own)), "{from} is taken for this server");
            }
        }
        Err(refusal) => {
            is_fit_to_print(&refusal.problem().message);
            assert!(refusal.status().is_client_error());
        }
    }
}

/// What a form asks for is bounded, and what cannot be taken back is asked first.
fn form(text: &str) {
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    let pairs: Vec<_> = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let confirmed = pairs.iter().any(|(name, value)| name == "confirmed" && value == "yes");
    let fields = Fields(pairs);
    let _ = fields.ticket();
    match fields.wanted() {
        Ok(Wanted::Now(Control::Pause { reason })) => {
            reason.iter().for_each(|reason| {
                is_fit_to_print(reason);
                assert!(!reason.contains('\n') && reason.len() <= 5000);
            });
        }
        Ok(Wanted::Now(Control::Retry { hosts } | Control::Skip { hosts })) => {
            assert!(confirmed && !hosts.is_empty() && hosts.len() <= 2000);
        }
        Ok(Wanted::Now(Control::Abort { .. })) => assert!(confirmed, "aborted without a question"),
        Ok(_) => {}
        Err(problem) => is_fit_to_print(&problem.message),
    }
}

//! What is around every page: head, style and script, which are parts of the program.

use base64ct::{Base64, Encoding};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");
/// The program's sign, of served pages.
pub const ICON: &str = include_str!("icon.svg");
/// What keeps a served page up to date.
const LIVE: &str = include_str!("live.js");
/// How forms look.
const CONTROL_STYLE: &str = include_str!("control.css");
/// What keeps the forms of a run's page up to date.
const CONTROL: &str = include_str!("control.js");
/// What takes the token out of the address.
const LOGIN: &str = include_str!("login.js");
/// Of served pages: with `no-referrer` browsers send a form with `Origin: null`, which says nothing.
const REFERRER: &str = "same-origin";

/// A whole document that needs nothing else, with its policy in it.
pub(super) fn document(title: &str, body: &Markup) -> String {
    let policy = format!(
        "default-src 'none'; style-src '{}'; script-src '{}'; base-uri 'none'; form-action 'none'",
        digest(STYLE),
        digest(SCRIPT)
    );
    let policy = html! { meta http-equiv="Content-Security-Policy" content=(policy); };
    html(title, "no-referrer", &policy, body, &[SCRIPT])
}

/// The policy of all pages that are served; it is a header's value.
pub fn served_policy() -> String {
    let scripts = [SCRIPT, LIVE, CONTROL, LOGIN].map(|script| format!("'{}'", digest(script))).join(" ");
    format!(
        "default-src 'none'; style-src '{}' '{}'; script-src {scripts}; img-src 'self'; connect-src 'self'; \
         form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        digest(STYLE),
        digest(CONTROL_STYLE)
    )
}

/// A whole document that is served: its policy comes as a header. `refresh`: seconds after which a browser without script
/// loads it anew.
pub(super) fn served(title: &str, refresh: Option<u32>, body: &Markup) -> String {
    let head = html! {
        (served_head())
        @if let Some(seconds) = refresh { noscript { meta http-equiv="refresh" content=(seconds); } }
    };
    html(title, REFERRER, &head, body, &[SCRIPT, LIVE, CONTROL])
}

/// The page where an operator logs in.
pub(super) fn login(title: &str, body: &Markup) -> String {
    html(title, REFERRER, &served_head(), body, &[LOGIN])
}

fn served_head() -> Markup {
    html! {
        link rel="icon" href="/favicon.svg" type="image/svg+xml";
        style { (PreEscaped(CONTROL_STYLE)) }
    }
}

fn html(title: &str, referrer: &str, head: &Markup, body: &Markup, scripts: &[&str]) -> String {
    let served = scripts.contains(&LIVE);
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                (head)
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="referrer" content=(referrer);
                title #title data-live[served] { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                (body)
                @for script in scripts { script { (PreEscaped(script)) } }
            }
        }
    }
    .into_string()
}

/// As a content security policy names an inline part.
fn digest(text: &str) -> String {
    format!("sha256-{}", Base64::encode_string(&Sha256::digest(text.as_bytes())))
}

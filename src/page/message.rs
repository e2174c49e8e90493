//! A page that says why there is no other.

use maud::html;

use super::shell;
use crate::plan::visible_line;

/// What is wrong, and what to do about it.
pub fn message_page(title: &str, what: &str, help: Option<&str>) -> String {
    let body = html! {
        nav.bar aria-label="Pages" { a href="/" { "All runs" } }
        main {
            h1 { (visible_line(title)) }
            p { (sentence(what)) }
            @if let Some(help) = help {
                h2 { "What to do" }
                pre { @for line in help.lines() { (visible_line(line)) "\n" } }
            }
        }
    };
    shell::served(title, None, &body)
}

/// A diagnostic's text as a sentence.
fn sentence(text: &str) -> String {
    let line = visible_line(text);
    let mut rest = line.chars();
    let first = rest.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    let end = if line.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{first}{}{end}", rest.as_str())
}

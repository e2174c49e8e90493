//! What fuzzers call of this room.

use super::links;
use super::message_page;

/// Foreign text in a page is text, and in a path one piece of it.
pub(crate) fn pages(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let page = message_page(&text, &text, Some(&text));
    let marks = |page: &str| page.matches('<').count();
    let plain = "x\n".repeat(text.lines().count());
    assert_eq!(marks(&page), marks(&message_page("x", "x", Some(&plain))), "text became markup: {text:?}");
    let path = links::worker(&text);
    let segment = path.strip_prefix("/workers/");
    assert_eq!(segment.and_then(decoded).as_deref(), Some(text.as_bytes()), "{path}");
    assert!(
        path.is_ascii() && path.matches('/').count() == 2 && !path.contains(['?', '#', '"', '<', '&', ' ']),
        "{path}"
    );
}

fn decoded(segment: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = segment.as_bytes();
    while let [first, tail @ ..] = rest {
        if *first == b'%' {
            let digits = std::str::from_utf8(tail.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &tail[2..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    Some(bytes)
}

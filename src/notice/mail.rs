//! A notice as a mail (RFC 5322): headers in ASCII, everything foreign encoded.

use base64ct::{Base64, Encoding};

use super::document::Notice;

/// A line with an encoded word has at most 76 characters (RFC 2047, section 2): 12 are around it, 9 before the first, and
/// base64 makes 4 of 3.
const WORD: usize = 36;
/// A line of a body in base64 (RFC 2045, section 6.8).
const LINE: usize = 76;

/// The whole mail. Addresses were judged when the plan was read.
pub(super) fn mail(to: &[String], from: &str, title: &str, text: &str, notice: &Notice) -> String {
    let domain = from.rsplit_once('@').map_or("localhost", |(_, domain)| domain);
    let id = notice.id().replace('/', ".");
    let date = jiff::Timestamp::from_millisecond(notice.at)
        .ok()
        .and_then(|at| jiff::fmt::rfc2822::to_string(&at.to_zoned_datetime(jiff::tz::TimeZone::UTC)).ok());
    let date = date.map_or_else(String::new, |date| format!("Date: {date}\n"));
    let body = Base64::encode_string(text.as_bytes());
    let lines: Vec<&str> =
        (0..body.len()).step_by(LINE).map(|at| &body[at..body.len().min(at + LINE)]).collect();
    format!(
        "From: {from}\nTo: {}\nSubject: {}\n{date}Message-ID: <{id}@{domain}>\nAuto-Submitted: auto-generated\n\
         X-Maand-Notice: {}\nX-Maand-Event: {}\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\
         Content-Transfer-Encoding: base64\n\n{}\n",
        to.join(",\n "),
        subject(title),
        notice.id(),
        notice.event_name(),
        lines.join("\n")
    )
}

/// As it is where that is plain and short, else in encoded words, a line for each.
fn subject(title: &str) -> String {
    let is_plain = |c: char| c == ' ' || c.is_ascii_graphic();
    if title.len() <= 60 && title.chars().all(is_plain) && !title.contains("=?") {
        return title.to_owned();
    }
    let (mut words, mut word) = (Vec::new(), String::new());
    for c in title.chars() {
        if word.len() + c.len_utf8() > WORD {
            words.push(std::mem::take(&mut word));
        }
        word.push(c);
    }
    words.push(word);
    let encode = |word: &String| format!("=?UTF-8?B?{}?=", Base64::encode_string(word.as_bytes()));
    words.iter().map(encode).collect::<Vec<_>>().join("\n ")
}

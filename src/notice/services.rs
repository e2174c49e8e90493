//! The bodies that Slack, Teams and ntfy take, within their limits.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::document::Notice;
use super::template::{cut, within};

/// Slack cuts a text of more characters (changelog of April 2018); bytes are fewer characters.
const SLACK: usize = 40_000;
/// A message that a webhook hands to Teams has at most 28 KB; the flow adds something of its own.
const TEAMS: usize = 26 * 1024;
/// A longer message becomes an attached file (`message-size-limit` of ntfy).
const NTFY: usize = 4096;
/// So many lines become paragraphs of a card; more are one.
const CARD_LINES: usize = 40;

/// A value in a text of Slack: `&`, `<` and `>` make mentions and links. Others that take such messages (Mattermost) read
/// Markdown and words behind `@`: a link or a mention cannot be made by foreign text either.
pub(super) fn for_slack(value: &str) -> String {
    let mut text = value.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace("](", "] (");
    for word in ["channel", "here", "all", "everyone", "group"] {
        // A character that takes no room: it does not become another word.
        text = text.replace(&format!("@{word}"), &format!("@\u{200b}{word}"));
    }
    text
}

/// Title and text are encoded already. Without `mrkdwn` no `*` or `_` of a name formats anything.
pub(super) fn slack(title: &str, text: &str) -> Vec<u8> {
    let all = format!("{}\n{text}", whole_entities(title));
    json!({ "text": whole_entities(&cut(&all, SLACK)), "mrkdwn": false }).to_string().into_bytes()
}

/// Where a cut has gone through `&amp;`, its beginning goes too.
fn whole_entities(text: &str) -> String {
    let Some((head, rest)) = text.rsplit_once('&') else { return text.to_owned() };
    let is_whole = ["amp;", "lt;", "gt;"].iter().any(|entity| rest.starts_with(entity));
    let is_cut = rest.ends_with(" [...]") && !rest.contains(';');
    if is_whole || !is_cut { text.to_owned() } else { format!("{head} [...]") }
}

/// What the Workflows of Teams take: a message with an Adaptive Card. Its `TextBlock` would read Markdown, its `TextRun`
/// does not.
pub(super) fn teams(title: &str, text: &str, is_urgent: bool) -> Vec<u8> {
    let color = if is_urgent { "attention" } else { "default" };
    let paragraph = |run: Value| json!({ "type": "RichTextBlock", "inlines": [run] });
    within(text, TEAMS, |text| {
        let head = json!({
            "type": "TextRun", "text": title, "weight": "bolder", "size": "medium", "color": color,
        });
        let mut body = vec![paragraph(head)];
        let lines = text.splitn(CARD_LINES, '\n').filter(|line| !line.trim().is_empty());
        body.extend(lines.map(|line| paragraph(json!({ "type": "TextRun", "text": line }))));
        let card = json!({
            "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
            "type": "AdaptiveCard",
            "version": "1.4",
            "body": body,
        });
        let attachment = json!({
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": card,
        });
        json!({ "type": "message", "attachments": [attachment] }).to_string().into_bytes()
    })
}

/// To the root of a server: in JSON any text is fine, which in the headers of its other form would not be so.
/// `sequence_id` is what ntfy (2.16 and later) knows a repeated message by, and shows it in the place of the first.
pub(super) fn ntfy(topic: &str, title: &str, text: &str, priority: Option<u8>, notice: &Notice) -> Vec<u8> {
    let sequence = hex::encode(&Sha256::digest(notice.id())[..16]);
    let usual = if notice.is_urgent() { 4 } else { 3 };
    let tag = match (notice.is_urgent(), notice.state) {
        (true, _) => "warning",
        (false, Some(_)) => "white_check_mark",
        (false, None) => "information_source",
    };
    let body = json!({
        "topic": topic,
        "title": title,
        "message": cut(text, NTFY),
        "priority": priority.unwrap_or(usual),
        "tags": [tag],
        "sequence_id": sequence,
    });
    body.to_string().into_bytes()
}

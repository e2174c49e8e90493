use serde_json::Value;

use super::*;
use crate::engine::{Fact, HaltReason, Millis, Stamped};
use crate::plan::{EnvValue, NoticeEvent, NoticeTarget, Source, parse_notify};
use crate::report::testing::{rolled, some_fail};
use crate::report::{Overdue, RunView};

fn notices(facts: &[Stamped], view: &mut RunView) -> Vec<Notice> {
    let mut all = Vec::new();
    for stamped in facts {
        view.fold(stamped).unwrap();
        all.extend(notice_of(stamped, view));
    }
    all
}

fn target(yaml: &str) -> NoticeTarget {
    let notify = parse_notify(&Source::new("notify.yaml", format!("x: {{{yaml}}}\n"))).unwrap();
    notify.targets["x"].clone().unwrap()
}

fn made(yaml: &str, notice: &Notice) -> Message {
    let mut read = |_: &str, value: &EnvValue| match value {
        EnvValue::Plain(text) => Ok(text.clone()),
        EnvValue::FromEnv(name) => Ok::<_, ()>(format!("<{name}>")),
    };
    message(&target(yaml), notice, &mut read).unwrap()
}

fn body(yaml: &str, notice: &Notice) -> Value {
    match made(yaml, notice) {
        Message::Post { body, .. } => serde_json::from_slice(&body).unwrap(),
        other => panic!("{other:?}"),
    }
}

fn notice() -> Notice {
    let mut notice = test_notice("bucket", 1_795_392_900_000, "me@here");
    (notice.event, notice.run, notice.plan) = (Some(NoticeEvent::Halted), "r1".into(), "rolling".into());
    notice.seq = 7;
    notice
}

#[test]
fn what_an_operator_wants_to_hear_follows_from_facts_and_nothing_else_does() {
    let (facts, mut view) = rolled(3, some_fail);
    let told = notices(&facts, &mut view);
    let short: Vec<_> = told.iter().map(|notice| (notice.event_name(), notice.title.as_str())).collect();
    assert_eq!(short, [("worker_failed", "test: w2 failed"), ("halted", "test: HALTED")]);
    let failed = &told[0];
    assert_eq!((failed.host.as_deref(), failed.step.as_deref()), (Some("w2"), Some("wait_for_ssh")));
    assert_eq!(failed.reason.as_deref(), Some("it has not come back within 5m"));
    assert!(
        failed.text.starts_with("w2: FAILED: it has not come back within 5m\n2 of 3 workers"),
        "{}",
        failed.text
    );
    assert!(failed.is_urgent() && told[1].is_urgent());
    assert_eq!(told[1].id(), format!("20261122-2315-ab3f/{}/halted", told[1].seq));

    // The same facts, the same notices: that is what a process after a crash goes by.
    let (_, mut again) = rolled(3, some_fail);
    assert_eq!(notices(&facts, &mut again), told);

    let (facts, mut view) = rolled(2, |_| None);
    let told = notices(&facts, &mut view);
    let short: Vec<_> = told.iter().map(|notice| notice.title.as_str()).collect();
    assert_eq!(short, ["test: wave 1 of 1 done", "test: succeeded"]);
    assert_eq!((told[0].wave, told[1].state), (Some((1, 1)), Some("succeeded")));
    assert!(told[1].text.contains("2 of 2 workers ended, 2 succeeded."), "{}", told[1].text);
    assert!(!told[1].is_urgent());
}

#[test]
fn foreign_text_is_fit_for_a_terminal_before_it_goes_anywhere() {
    let (facts, mut view) = rolled(3, some_fail);
    let mut hostile = facts;
    for stamped in &mut hostile {
        if let Fact::WorkerFailed { error, .. } = &mut stamped.fact {
            error.message = format!("\u{1b}[2J\u{202e}evil\r\nBcc: x@y {}", "long ".repeat(1000));
        }
        if let Fact::Halted { reason: HaltReason::TooManyFailures { failed, .. } } = &mut stamped.fact {
            *failed = 1;
        }
    }
    let told = notices(&hostile, &mut view);
    let failed = &told[0];
    for text in [&failed.title, &failed.text, failed.reason.as_ref().unwrap()] {
        assert!(!text.contains(['\u{1b}', '\u{202e}', '\r']), "{text:?}");
        assert!(text.len() < 2500, "{}", text.len());
    }
    assert!(failed.text.contains("\\x1b[2J"), "{}", failed.text);
}

#[test]
fn a_document_has_what_is_known_and_every_try_the_same_id() {
    let notice = notice();
    let Message::Post { url, headers, body } =
        made("webhook: {url: 'https://h/x', headers: {Authorization: {from_env: TOKEN}}}", &notice)
    else {
        panic!()
    };
    assert_eq!(url, "https://h/x");
    let header =
        |name: &str| headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str());
    assert_eq!(header("Idempotency-Key"), Some("\"r1/7/halted\""));
    assert_eq!(header("X-Maand-Notice"), Some("r1/7/halted"));
    assert_eq!(header("Authorization"), Some("<TOKEN>"));
    assert_eq!(header("Content-Type"), Some("application/json"));
    let document: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((&document["schema"], &document["id"]), (&NOTICE_SCHEMA.into(), &"r1/7/halted".into()));
    assert_eq!(document["test"], false);
    let schema = schemars::schema_for!(NoticeDocument<'_>).to_value();
    jsonschema::validator_for(&schema).unwrap().validate(&document).unwrap();
}

#[test]
fn the_schema_is_that_of_the_code() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/notice.v1.schema.json");
    let text = format!("{:#}\n", schemars::schema_for!(NoticeDocument<'_>).as_value());
    if std::env::var_os("MAAND_UPDATE_SCHEMAS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == text,
        "schemas/notice.v1.schema.json is not what the code says; MAAND_UPDATE_SCHEMAS=1 writes it"
    );
}

#[test]
fn templates_are_filled_and_values_are_only_values() {
    let mut notice = notice();
    notice.reason = Some("\"}, $MAAND_RUN <!here> `x`".into());
    let own = body(
        "webhook: {url: 'https://h/x', json: {a: [$MAAND_REASON, 1], 'on $MAAND_RUN': '${MAAND_EVENT}'}}"
            .replace("${MAAND_EVENT}", "it $MAAND_EVENT/$MAAND_WAVE.")
            .as_str(),
        &notice,
    );
    assert_eq!(own["a"][0], "\"}, $MAAND_RUN <!here> `x`", "a value is not filled again");
    assert_eq!((&own["a"][1], &own["on $MAAND_RUN"]), (&1.into(), &"it halted/.".into()));
    let slack =
        body("slack: {url: 'https://s/x'}, title: '<!here> $MAAND_PLAN', text: '$MAAND_REASON'", &notice);
    assert_eq!(
        slack["text"], "<!here> rolling\n\"}, $MAAND_RUN &lt;!here&gt; `x`",
        "the template's own markup counts"
    );
    assert_eq!(slack["mrkdwn"], false);
}

#[test]
fn a_template_may_have_any_character_but_those_that_control() {
    let slack =
        body(r#"slack: {url: 'https://s/x'}, title: "⚠️ \e[2J\0 $MAAND_TEXT", text: "a\tb\a""#, &notice());
    let text = slack["text"].as_str().unwrap();
    assert!(text.starts_with("⚠️  [2J  This is a test") && text.ends_with("\na\tb "), "{text:?}");
    let mut about = notice();
    about.title = "resumed by me@here".into();
    assert!(
        body("slack: {url: 'https://s/x'}", &about)["text"]
            .as_str()
            .unwrap()
            .starts_with("resumed by me@\u{200b}here")
    );
}

#[test]
fn markup_of_a_service_cannot_be_made_by_foreign_text() {
    let mut notice = notice();
    notice.text = "a & b <https://evil|click> [click](https://evil) @channel **x**\n@here".into();
    let slack = body("slack: {url: 'https://s/x'}", &notice);
    let text = slack["text"].as_str().unwrap();
    assert!(text.contains("a &amp; b &lt;https://evil|click&gt; [click] (https://evil)"), "{text}");
    assert!(!text.contains("@channel") && !text.contains("@here"), "{text}");
    let teams = body("teams: {url: 'https://t/x'}", &notice);
    let card = &teams["attachments"][0];
    assert_eq!(card["contentType"], "application/vnd.microsoft.card.adaptive");
    let blocks = card["content"]["body"].as_array().unwrap();
    assert_eq!(blocks.len(), 3);
    for block in blocks {
        assert_eq!(
            (&block["type"], &block["inlines"][0]["type"]),
            (&"RichTextBlock".into(), &"TextRun".into())
        );
    }
    assert_eq!(blocks[1]["inlines"][0]["text"], notice.text.lines().next().unwrap());
}

#[test]
fn no_service_gets_more_than_it_takes() {
    let mut notice = notice();
    for filler in ["x", "ä\"\\", "&", "<\n", "\u{1f600}"] {
        notice.text = filler.repeat(200_000 / filler.len());
        notice.title = filler.replace('\n', " ").repeat(500);
        let bytes = |yaml: &str| match made(yaml, &notice) {
            Message::Post { body, .. } => {
                let value: Value = serde_json::from_slice(&body).unwrap();
                (body.len(), value)
            }
            other => panic!("{other:?}"),
        };
        let (_, slack) = bytes("slack: {url: 'https://s/x'}");
        let text = slack["text"].as_str().unwrap();
        assert!(text.len() <= 40_000 && text.ends_with(" [...]"), "{}", text.len());
        let whole = text.replace("&amp;", "").replace("&lt;", "").replace("&gt;", "");
        assert!(!whole.contains('&'), "an entity is cut: {}", &text[text.len() - 20..]);
        let (teams, _) = bytes("teams: {url: 'https://t/x'}");
        assert!((20_000..=28 * 1024).contains(&teams), "{filler:?}: {teams}");
        let (_, ntfy) = bytes("ntfy: {url: 'https://n', topic: ops}");
        assert!(ntfy["message"].as_str().unwrap().len() <= 4096);
        assert!(ntfy["title"].as_str().unwrap().len() <= 250);
        let (webhook, _) = bytes("webhook: {url: 'https://h/x'}");
        assert!(webhook < 512 * 1024, "{webhook}");
    }
}

#[test]
fn ntfy_knows_a_repetition_and_what_is_urgent() {
    let mut notice = notice();
    let one = body("ntfy: {url: 'https://n', topic: {from_env: TOPIC}}", &notice);
    assert_eq!(
        (&one["topic"], &one["priority"], &one["tags"][0]),
        (&"<TOPIC>".into(), &4.into(), &"warning".into())
    );
    let sequence = one["sequence_id"].as_str().unwrap();
    assert!(sequence.len() == 32 && sequence.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    notice.seq += 1;
    assert_ne!(body("ntfy: {url: 'https://n', topic: ops}", &notice)["sequence_id"], one["sequence_id"]);
    (notice.event, notice.state) = (Some(NoticeEvent::Finished), Some("succeeded"));
    let good = body("ntfy: {url: 'https://n', topic: ops, priority: 1}", &notice);
    assert_eq!((&good["priority"], &good["tags"][0]), (&1.into(), &"white_check_mark".into()));
    let Message::Post { headers, .. } =
        made("ntfy: {url: 'https://n', topic: ops, token: {from_env: T}}", &notice)
    else {
        panic!()
    };
    assert!(headers.contains(&("Authorization".into(), "Bearer <T>".into())));
}

#[test]
fn no_text_adds_a_header_to_a_mail() {
    let mut notice = notice();
    notice.title = "x\r\nBcc: evil@example.org\r\n\r\nbody =?UTF-8?B?eA==?= ä".into();
    notice.text = "line\r\n.\r\nBcc: evil@example.org\n".into();
    let Message::Mail { program, text } =
        made("mail: {to: [a@b.c, d@e.f], from: maand@example.org}", &notice)
    else {
        panic!()
    };
    assert_eq!(program, "/usr/sbin/sendmail");
    let (head, body) = text.split_once("\n\n").unwrap();
    assert!(text.is_ascii() && !text.contains('\r'), "{text}");
    let names: Vec<_> = head
        .lines()
        .filter(|line| !line.starts_with(' '))
        .map(|line| line.split(':').next().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "From",
            "To",
            "Subject",
            "Date",
            "Message-ID",
            "Auto-Submitted",
            "X-Maand-Notice",
            "X-Maand-Event",
            "MIME-Version",
            "Content-Type",
            "Content-Transfer-Encoding"
        ]
    );
    assert!(
        head.contains("To: a@b.c,\n d@e.f\n") && head.contains("\nMessage-ID: <r1.7.halted@example.org>\n"),
        "{head}"
    );
    assert!(
        head.contains("\nDate: Mon, 23 Nov 2026 ") || head.contains("\nDate: Sun, 22 Nov 2026 "),
        "{head}"
    );
    assert!(head.lines().all(|line| line.len() <= 78) && body.lines().all(|line| line.len() <= 76), "{text}");
    assert!(!body.contains("Bcc") && body.lines().all(|line| line != "."));
    notice.title = "plain".into();
    let Message::Mail { text, .. } = made("mail: {to: a@b.c, from: m@n.o}", &notice) else { panic!() };
    assert!(text.contains("\nSubject: plain\n"));
}

#[test]
fn a_command_finds_the_notice_in_its_environment_and_on_standard_input() {
    let Message::Command { command, environment, input } =
        made("command: 'page $MAAND_PLAN', title: 'on $MAAND_EVENT'", &notice())
    else {
        panic!()
    };
    assert_eq!(command, "page $MAAND_PLAN", "the shell does that");
    let value =
        |name: &str| environment.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str());
    assert_eq!((value("MAAND_EVENT"), value("MAAND_TITLE")), (Some("halted"), Some("on halted")));
    assert_eq!((value("MAAND_NOTICE"), value("MAAND_HOST")), (Some("r1/7/halted"), Some("")));
    let document: Value = serde_json::from_slice(&input).unwrap();
    assert_eq!(document["title"], "on halted");
}

#[test]
fn what_takes_longer_is_told_with_what_is_under_way() {
    let (facts, mut view) = rolled(2, |_| None);
    let issued = facts.iter().position(|stamped| matches!(stamped.fact, Fact::Issued { .. })).unwrap();
    notices(&facts[..=issued], &mut view);
    let at: Millis = facts[issued].at + 3_600_000;
    let notice = longer_than_usual(&view, Overdue { so_far: 3_600_000, expected: 60_000 }, at);
    assert_eq!((notice.seq, notice.event_name()), (0, "longer_than_usual"));
    assert!(notice.text.contains("1h") && notice.text.contains("\nw1: "), "{}", notice.text);
}

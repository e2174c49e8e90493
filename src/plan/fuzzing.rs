//! What fuzzers call of this room.

use std::time::Duration;

use super::{
    Plan, Problem, Source, bare_host, duration, interpreter, is_host_name, is_ipv6, is_job_name,
    json_on_screen, on_screen, parse, parse_duration, script_text, source_from_bytes, visible, visible_line,
    visible_within,
};
use crate::fuzzing::{can_be_shown, is_fit_to_print};

/// Any bytes as a plan; what is read twice is the same.
pub(crate) fn plan(bytes: &[u8]) {
    let source = match source_from_bytes("plan.yaml", bytes) {
        Ok(source) => source,
        Err(problem) => return can_be_shown(&String::from_utf8_lossy(bytes), [&problem]),
    };
    let (plan, problems) = read(&source);
    can_be_shown(source.text(), &problems);
    let (again, same) = read(&source);
    assert_eq!(format!("{plan:?}"), format!("{again:?}"), "read twice");
    assert_eq!(problems.len(), same.len(), "read twice");
    // Nothing but the ends of lines differs.
    if let Some(plan) = plan
        && !source.text().contains('\r')
    {
        let lines = Source::new("plan.yaml", source.text().replace('\n', "\r\n"));
        let other = parse(&lines, &[]);
        assert!(other.is_ok(), "not with the line ends of Windows: {:?}", other.err());
        assert_eq!(other.map(|other| other.steps.len()).ok(), Some(plan.steps.len()));
    }
}

fn read(source: &Source) -> (Option<Plan>, Vec<Problem>) {
    match parse(source, &[]) {
        Ok(plan) => {
            let warnings = plan.warnings.iter().cloned().collect();
            (Some(plan), warnings)
        }
        Err(problems) => {
            assert!(problems.has_errors(), "refused without an error");
            (None, problems.iter().cloned().collect())
        }
    }
}

/// Durations, names and scripts: what is printed is read again.
pub(crate) fn values(bytes: &[u8]) {
    if let Ok(script) = script_text(bytes) {
        assert!(!script.contains('\0'));
        assert_eq!(
            script_text(script.as_bytes()).ok().as_ref(),
            Some(&script),
            "a script that was read is one"
        );
        if script.starts_with("#!") {
            assert!(interpreter(&script).is_some_and(|by| by.program.starts_with('/')), "{script:?}");
        }
    }
    let text = String::from_utf8_lossy(bytes);
    if let Ok(value) = parse_duration(&text) {
        assert!(value <= Duration::from_secs(366 * 24 * 3600));
        let printed = duration(value);
        is_fit_to_print(&printed);
        assert_eq!(parse_duration(&printed), Ok(value), "{printed} is not {text}");
    }
    if is_host_name(&text) {
        is_fit_to_print(&text);
        assert!(
            !text.contains(['/', '\\', ' ', '\'', '"', '$', '`', '@']) && !text.starts_with('-'),
            "{text}"
        );
        assert!(is_host_name(bare_host(&text)), "{text}");
        assert_eq!(bare_host(bare_host(&text)), bare_host(&text));
        assert!(!is_ipv6(&text) || text.contains(':'));
    }
    if is_job_name(&text) {
        is_fit_to_print(&text);
        assert!(!text.contains(['/', '\\', ' ', '\'', '"', '$', '`']) && !text.starts_with('-'), "{text}");
        assert!(text != "." && text != "..");
    }
}

/// Foreign text on its way to a terminal.
pub(crate) fn screen(bytes: &[u8]) {
    let shown = visible(bytes);
    is_fit_to_print(&shown);
    assert_eq!(visible(shown.as_bytes()), shown, "made visible twice");
    let text = String::from_utf8_lossy(bytes);
    let line = visible_line(&text);
    is_fit_to_print(&line);
    assert!(!line.contains(['\n', '\t']));
    let within = visible_within(&text, 40);
    is_fit_to_print(&within);
    // Every byte becomes ten at most (`\u{e0fff}`).
    assert!(within.len() <= 40 * 10 + 40, "{}", within.len());
    let screen = on_screen(&text);
    assert_eq!(on_screen(&screen), screen, "guarded twice");
    only_colours(&screen);
    if let Ok(json) = serde_json::from_str::<serde_json::Value>(&text) {
        let json = json.to_string();
        let shown = json_on_screen(&json);
        is_fit_to_print(&shown);
        // Both are read again: the last digit of a number may be lost by that.
        let value = |json: &str| serde_json::from_str::<serde_json::Value>(json).ok();
        assert_eq!(value(&shown), value(&json), "another value");
    }
}

/// By rules of its own: an escape is `ESC [`, digits and semicolons, `m`, and nothing else controls anything.
fn only_colours(text: &str) {
    let mut parts = text.split('\x1b');
    let plain = |text: &str| {
        assert!(!text.contains(|c: char| c.is_control() && !matches!(c, '\n' | '\t')), "{text:?}");
    };
    plain(parts.next().unwrap_or_default());
    for part in parts {
        let colour = part.strip_prefix('[').and_then(|rest| rest.split_once('m'));
        let Some((numbers, rest)) = colour else { panic!("an escape that is no colour: {part:?}") };
        assert!(numbers.bytes().all(|byte| byte.is_ascii_digit() || byte == b';'), "no colour: {part:?}");
        plain(rest);
    }
}

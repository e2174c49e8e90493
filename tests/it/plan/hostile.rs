//! Input that wants to hurt: each is refused with the right message (how fast is `benches/plan.rs`'s matter).

use maand::plan::{MAX_BYTES, code};

use super::{problems, read};

const HEAD: &str = "version: 1\nname: hostile\n";

/// The codes that reading gives.
fn codes(text: &str) -> Vec<&'static str> {
    let (_, result) = read("hostile.yaml", text.as_bytes());
    assert!(result.is_err(), "accepted: {}", text.chars().take(80).collect::<String>());
    problems(&result).iter().map(|problem| problem.code).collect()
}

#[test]
fn alias_bombs() {
    let mut text = format!("{HEAD}vars:\n  a0: &a0 [x, x]\n");
    for level in 1..30 {
        let below = level - 1;
        text.push_str(&format!("  a{level}: &a{level} [*a{below}, *a{below}, *a{below}, *a{below}]\n"));
    }
    text.push_str("steps: [deploy]\n");
    assert!(codes(&text).contains(&code::ALIAS));
}

#[test]
fn an_alias_of_itself() {
    assert!(codes(&format!("{HEAD}steps: &a [*a]\n")).contains(&code::ALIAS));
}

#[test]
fn variables_that_grow() {
    let mut text = format!("{HEAD}vars:\n  a0: {}\n", "x".repeat(100));
    for level in 1..30 {
        let below = level - 1;
        text.push_str(&format!("  a{level}: \"{}\"\n", format!("${{a{below}}}").repeat(10)));
    }
    text.push_str("steps: [{approve: {message: \"${a29}\"}}]\n");
    assert!(codes(&text).contains(&code::TOO_LARGE));
}

#[test]
fn deep_nesting() {
    let deep = 100_000;
    assert_eq!(codes(&"[".repeat(deep)), [code::TOO_DEEP]);
    assert_eq!(codes(&"{a: ".repeat(deep)), [code::TOO_DEEP]);
    assert_eq!(codes(&"- ".repeat(deep)), [code::TOO_DEEP]);
    assert_eq!(codes(&"? ".repeat(deep)), [code::TOO_DEEP]);
    let stairs: String = (0..1000).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
    assert_eq!(codes(&stairs), [code::TOO_DEEP]);
}

#[test]
fn sheer_size() {
    assert_eq!(codes(&" ".repeat(MAX_BYTES)), [code::EMPTY]);
    assert_eq!(codes(&" ".repeat(MAX_BYTES + 1)), [code::TOO_LARGE]);
    assert_eq!(codes(&"\n".repeat(MAX_BYTES)), [code::EMPTY]);
    assert_eq!(codes(&"#".repeat(MAX_BYTES)), [code::EMPTY]);
    let steps = format!("{HEAD}steps:\n{}", "- a\n".repeat(1_000_000));
    assert_eq!(codes(&steps), [code::TOO_LARGE]);
    let steps = format!("{HEAD}steps:\n{}", "- a\n".repeat(200_000));
    assert_eq!(codes(&steps), [code::TOO_MANY_NODES]);
}

#[test]
fn many_problems_are_counted_not_shown() {
    let text = format!("{HEAD}steps: [{}]\n", "x, ".repeat(9000));
    let codes = codes(&text);
    assert_eq!(codes.len(), 101);
    assert_eq!(codes.last(), Some(&code::TOO_MANY_PROBLEMS));
}

#[test]
fn one_endless_line_is_cut() {
    let text =
        format!("{HEAD}steps: [{}deploy, xyz, {}deploy]\n", "health, ".repeat(4000), "health, ".repeat(900));
    let (_, result) = read("hostile.yaml", text.as_bytes());
    let problems = problems(&result);
    let mut rendered = String::new();
    let handler = miette::GraphicalReportHandler::new_themed(miette::GraphicalTheme::unicode_nocolor());
    handler.render_report(&mut rendered, &problems[0]).unwrap();
    assert!(rendered.contains("xyz"), "{rendered}");
    assert!(rendered.len() < 2000, "{} bytes", rendered.len());
}

#[test]
fn thousands_of_reboots_and_loose_steps() {
    let mut text = format!("{HEAD}steps:\n");
    for at in 0..1100 {
        text.push_str(&format!("  - {{id: r{at}, reboot: , needs: []}}\n"));
    }
    assert!(codes(&text).contains(&code::BESIDE_REBOOT));
}

#[test]
fn a_long_chain_and_a_long_cycle() {
    let mut text = format!("{HEAD}steps:\n");
    for at in 0..1100 {
        text.push_str(&format!("  - {{id: s{at}, health: , needs: [s{}]}}\n", (at + 1) % 1100));
    }
    assert!(codes(&text).contains(&code::CYCLE));
}

#[test]
fn places_after_multi_byte_text_bom_and_crlf_are_exact() {
    let text = "\u{feff}# Grüße 日本\r\nversion: 1\r\nname: x\r\ndescription: \"ü 日本\"\r\nvars: {ä: 1}\r\nsteps: [deploy, \"日本\", rebot]\r\n";
    let (source, result) = read("plan.yaml", text.as_bytes());
    let source = source.unwrap();
    let found: Vec<(&str, &str, usize, usize)> = problems(&result)
        .iter()
        .map(|problem| {
            let span = problem.labels_in_bytes()[0].0.clone();
            let line_column = source.line_column(span.start);
            (problem.code, source.text().get(span).unwrap().to_owned(), line_column)
        })
        .map(|(code, text, (line, column))| (code, &*text.leak(), line, column))
        .collect();
    assert_eq!(
        found,
        [
            (code::BAD_VARIABLE, "ä", 5, 8),
            (code::UNKNOWN_STEP, "\"日本\"", 6, 17),
            (code::UNKNOWN_STEP, "rebot", 6, 23),
        ]
    );
}

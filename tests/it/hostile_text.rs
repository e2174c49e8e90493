//! Text of workers, plans and files that would do something to a terminal: wherever it is shown, it is only text.

use std::fs;

use crate::catalog::Bench;
use crate::run_bench::RunBench;

/// A title, a clear screen, C1, an override of the direction, a zero-width space, a tag, a return and a backspace.
const HOSTILE: &str = "\u{1b}]0;title\u{7}\u{1b}[2J\u{9b}2J\u{202e}\u{200b}\u{e0041}\r\u{8}";

/// The same in a double-quoted string of YAML or JSON.
const ESCAPED: &str = "\\u001b]0;title\\u0007\\u001b[2J\\u009b2J\\u202e\\u200b\\udb40\\udc41\\r\\b";

fn is_hostile(c: char) -> bool {
    c != '\n' && c != '\t' && (c.is_control() || HOSTILE.contains(c) && !c.is_ascii())
}

/// Runs a command, whatever its end, and looks at both of its streams.
#[track_caller]
fn shows_text_only(bench: &Bench, arguments: &[&str]) -> String {
    let out = bench.maand(arguments);
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let (stdout, stderr) = (text(&out.stdout), text(&out.stderr));
    for (stream, text) in [("stdout", &stdout), ("stderr", &stderr)] {
        let found = text.find(is_hostile).map(|at| text[at..].chars().take(40).collect::<String>());
        assert_eq!(found, None, "{arguments:?}: {stream}");
    }
    stdout + &stderr
}

#[test]
fn what_a_worker_prints_is_text_wherever_it_is_shown() {
    let Some(bench) = RunBench::new(1) else { return };
    let printf = "\\033]0;title\\007\\033[2J\\302\\2332J\\342\\200\\256\\342\\200\\213\\r\\b";
    let plan = bench.own_plan(&format!(
        "version: 1\nname: own\nsteps:\n  - run:\n      command: |\n        printf 'out{printf}\\n'; printf 'err{printf}\\n' >&2; \
         exit 3\n"
    ));
    let shown = shows_text_only(&bench, &["plan", "apply", &plan, "--yes"]);
    assert!(shown.contains("err\\x1b]0;title\\x07\\x1b[2J\\u{9b}2J\\u{202e}\\u{200b}\\r\\x08"), "{shown}");
    let host = bench.host(0);
    for arguments in [
        &["plan", "status"][..],
        &["plan", "status", "--output", "json"],
        &["plan", "explain"],
        &["plan", "logs", "--worker", &host],
        &["plan", "logs", "--worker", &host, "--output", "json"],
        &["plan", "list"],
        &["plan", "abort"],
        &["run_command", &format!("printf '{printf}'; exit 1")],
    ] {
        shows_text_only(&bench, arguments);
    }
    shows_text_only(&bench, &["plan", "apply", &plan, "--yes", "--output", "json"]);
}

#[test]
fn what_a_worker_says_is_bounded_wherever_it_is_kept() {
    let Some(bench) = RunBench::new(1) else { return };
    fs::write(bench.fleet.disk(0).join("boot_id"), "\u{1b}x".repeat(1 << 19)).unwrap();
    let plan = bench.own_plan("version: 1\nname: own\nsteps: [deploy]\n");
    let shown = shows_text_only(&bench, &["plan", "apply", &plan, "--yes"]);
    assert!(shown.contains("no stable boot id") && shown.contains("more bytes]"), "{}", &shown[..500]);
    assert!(shown.len() < 200_000, "{} bytes", shown.len());
}

#[test]
fn what_files_say_is_text_wherever_it_is_shown() {
    let Some(bench) = RunBench::new(1) else { return };
    let good = "version: 1\nname: own\nsteps: [deploy]\n";
    let plans = [
        good.replace("name: own", &format!("name: \"own{ESCAPED}\"")),
        good.replace("name: own", &format!("name: own\ndescription: \"what it does{ESCAPED}\"")),
        good.replace("[deploy]", &format!("[\"deploy{ESCAPED}\"]")),
        good.replace("steps:", &format!("\"steps{ESCAPED}\":")),
        format!("{good}vars: {{\"a{ESCAPED}\": \"b{ESCAPED}\"}}\n"),
        format!(
            "{good}targets: {{workers: [\"w{ESCAPED}\"], labels: [\"l{ESCAPED}\"], tags: {{\"t{ESCAPED}\": \"v{ESCAPED}\"}}}}\n"
        ),
        good.replace("[deploy]", &format!("[{{approve: {{message: \"sure?{ESCAPED}\"}}}}]")),
        good.replace(
            "[deploy]",
            &format!(
                "[{{run: {{command: \"true{ESCAPED}\", undo: \"x{ESCAPED}\", unless: \"y{ESCAPED}\"}}}}]"
            ),
        ),
        good.replace("[deploy]", &format!("[{{run: {{script: \"true{ESCAPED}\"}}}}]")),
        good.replace(
            "[deploy]",
            &format!("[{{id: \"i{ESCAPED}\", name: \"n{ESCAPED}\", deploy: {{jobs: [\"j{ESCAPED}\"]}}}}]"),
        ),
        // Not escaped: as it is in the file.
        format!("# {HOSTILE}\n{good}"),
        format!("{good}# {HOSTILE}\nx{HOSTILE}: 1\n"),
    ];
    for text in plans {
        let plan = bench.own_plan(&text);
        for arguments in [
            &["plan", "validate", &plan][..],
            &["plan", "validate", &plan, "--output", "json"],
            &["plan", "show", &plan],
            &["plan", "show", &plan, "--output", "json"],
            &["plan", "show", &plan, "--format", "dot"],
            &["plan", "show", &plan, "--format", "mermaid"],
            &["plan", "simulate", &plan],
            &["plan", "check", &plan],
            &["plan", "apply", &plan],
        ] {
            shows_text_only(&bench, arguments);
        }
    }
    let workers = fs::read_to_string(bench.path("workspace/workers.json")).unwrap();
    let plan = bench.own_plan(good);
    for (from, to) in [("\"host\": \"", "\"host\": \"h"), ("\"labels\": [\"", "\"labels\": [\"l")] {
        bench.write("workspace/workers.json", &workers.replace(from, &format!("{to}{ESCAPED}")));
        for arguments in [
            &["info"][..],
            &["cat", "workers"],
            &["cat", "workers", "--output", "json"],
            &["build"],
            &["plan", "show", &plan],
            &["plan", "check", &plan],
            &["plan", "apply", &plan],
        ] {
            shows_text_only(&bench, arguments);
        }
    }
    for argument in ["x", "plan", "deploy"] {
        shows_text_only(&bench, &[&format!("{argument}{HOSTILE}")]);
    }
    shows_text_only(&bench, &["plan", "show", &format!("not-there{HOSTILE}")]);
    shows_text_only(&bench, &["plan", "status", &format!("not-there{HOSTILE}")]);
    shows_text_only(&bench, &["deploy", "--jobs", &format!("j{HOSTILE}")]);
}

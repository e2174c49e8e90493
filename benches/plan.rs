//! How long reading a plan takes: usual ones, large ones, and input that wants to hurt.
//!
//! The goals: a usual plan below 20 ms, hostile input refused within 100 ms (`cargo bench --bench plan`).

use maand::plan::{Source, parse};

fn main() {
    divan::main();
}

#[divan::bench(args = ["rolling-reboot", "canary-by-zone", "restart-service"])]
fn usual(bencher: divan::Bencher<'_, '_>, name: &str) {
    let path = format!("{}/plans/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let source = Source::new(path, text);
    bencher.bench_local(|| parse(&source, &[]).is_ok());
}

#[divan::bench(args = [10, 100, 1000, 4500])]
fn steps(bencher: divan::Bencher<'_, '_>, number: usize) {
    let steps = "  - health\n  - build\n".repeat(number / 2);
    let source = Source::new("steps.yaml", format!("version: 1\nname: long\nsteps:\n{steps}"));
    bencher.bench_local(|| parse(&source, &[]).is_ok());
}

/// What is refused, with its messages rendered.
#[divan::bench(args = ["brackets", "stairs", "spaces", "nodes", "problems", "keys", "quotes", "aliases", "loose", "line"])]
fn hostile(bencher: divan::Bencher<'_, '_>, what: &str) {
    let head = "version: 1\nname: hostile\n";
    let text = match what {
        "brackets" => "[".repeat(1024 * 1024),
        "stairs" => (0..1000).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect(),
        "spaces" => " ".repeat(1024 * 1024),
        "nodes" => format!("{head}steps:\n{}", "- a\n".repeat(250_000)),
        "problems" => format!("{head}steps: [{}]\n", "x, ".repeat(9900)),
        "keys" => (0..4900).map(|at| format!("key{at}: 1\n")).collect(),
        "quotes" => format!("{head}description: \"{}\n", "a ".repeat(500_000)),
        "aliases" => format!("{head}vars:\n  a: &a [x]\n  b: [{}]\n", "*a, ".repeat(9000)),
        "loose" => {
            let steps: String =
                (0..1100).map(|at| format!("- {{id: r{at}, reboot: , needs: []}}\n")).collect();
            format!("{head}steps:\n{steps}")
        }
        _ => format!("{head}description: {}\nstep: 1\n", "x".repeat(1_000_000)),
    };
    let source = Source::new("hostile.yaml", text);
    let handler = miette::GraphicalReportHandler::new_themed(miette::GraphicalTheme::unicode_nocolor());
    bencher.bench_local(|| {
        let problems = parse(&source, &[]).err();
        let mut rendered = String::new();
        if let Some(problems) = &problems {
            let _ = handler.render_report(&mut rendered, problems);
        }
        rendered.len()
    });
}

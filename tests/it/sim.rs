//! The simulator as a test: fixed seeds, fresh seeds, crash sweeps, broken engines, and one seed again
//! by name.
// The simulator's test machinery is not in release builds; long runs have the profile `sim`.
#![cfg(debug_assertions)]
#![expect(clippy::print_stdout, reason = "what was drawn and replayed is shown with --nocapture")]

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use maand::engine::Fact;
use maand::sim::{Mutation, SimConfig, admission_efficiency, run, shrink, sweep};

/// A number from the environment.
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// `None`: the draws make no feasible plan; else how many facts.
fn must_hold(config: &SimConfig) -> Option<usize> {
    let report = run(config)?;
    if report.broken.is_some() {
        panic!("{}", shrink(report));
    }
    Some(report.journal.len())
}

fn many(name: &str, seeds: impl Iterator<Item = u64>) {
    let (mut facts, mut feasible, mut tried) = (0, 0, 0);
    for seed in seeds {
        tried += 1;
        if let Some(more) = must_hold(&SimConfig::random(seed)) {
            facts += more;
            feasible += 1;
        }
    }
    println!("{name}: {feasible} runs of {tried} seeds, {facts} facts");
    assert!(feasible * 4 > tried, "most draws should be feasible plans");
}

#[test]
fn fixed_seeds_keep_the_invariants() {
    many("fixed", 1..1001);
}

/// Seeds that nobody has tried before, for `MAAND_SIM_SECONDS` seconds or `MAAND_SIM_RUNS` seeds;
/// `MAAND_SIM_SEED` makes it begin there. Without these less than a minute where `CI` is set, and some
/// seconds elsewhere. A long run: `MAAND_SIM_SECONDS=3600 cargo test --profile sim --test it sim::fresh`.
#[test]
fn fresh_seeds_keep_the_invariants() {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
    let first = number("MAAND_SIM_SEED").unwrap_or(since_1970 << 20);
    let seconds = match (number("MAAND_SIM_SECONDS"), number("MAAND_SIM_RUNS")) {
        (Some(seconds), _) => seconds,
        (None, Some(_)) => u64::MAX,
        (None, None) if std::env::var("CI").is_ok_and(|ci| ci == "true" || ci == "1") => 40,
        (None, None) => 5,
    };
    let runs = number("MAAND_SIM_RUNS").unwrap_or(u64::MAX - first).max(1);
    let began = Instant::now();
    let seeds = (first..first + runs).enumerate();
    let in_time = |(at, _): &(usize, u64)| *at < 20 || began.elapsed().as_secs() < seconds;
    many(&format!("fresh from {first}"), seeds.take_while(in_time).map(|(_, seed)| seed));
}

/// Silences in a monitoring system that hangs, lies, refuses and forgets: they keep their own promise, and all else that a
/// run does is what it does without them, at the same times. `MAAND_SIM_SILENCES=2000` tries more seeds.
#[test]
fn a_monitoring_system_that_hangs_lies_and_forgets_changes_nothing_of_a_run() {
    let (mut runs, mut events) = (0, 0);
    for seed in 1..number("MAAND_SIM_SILENCES").unwrap_or(120) {
        let config = SimConfig { silences: true, ..SimConfig::random(seed) };
        let calm = SimConfig { crashes: 0, ..config.clone() };
        let (Some(with), Some(without)) = (run(&calm), run(&SimConfig { silences: false, ..calm.clone() }))
        else {
            continue;
        };
        if with.broken.is_some() {
            panic!("{}", shrink(with));
        }
        let is_silence = |(_, fact): &&(i64, Fact)| matches!(fact, Fact::Silence { .. });
        events += with.journal.iter().filter(is_silence).count();
        let rest: Vec<_> = with.journal.iter().filter(|fact| !is_silence(fact)).collect();
        let same = rest.iter().zip(&without.journal).take_while(|(a, b)| **a == *b).count();
        assert!(
            same == without.journal.len() && rest.len() == same,
            "seed {seed}: fact {same} is {:?} with silences, and {:?} without",
            rest.get(same),
            without.journal.get(same)
        );
        // The same with crashes: resumes take up the silences of the process before.
        must_hold(&config);
        runs += 1;
    }
    println!("{runs} runs, {events} facts of silences");
    assert!(runs > 30 && events > 60, "{runs} runs, {events} facts of silences");
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let mut all = Vec::new();
    for seed in 1..60 {
        let hash = || run(&SimConfig::random(seed)).map(|report| report.hash());
        assert_eq!(hash(), hash(), "seed {seed}");
        all.extend(hash());
    }
    all.sort_unstable();
    all.dedup();
    assert!(all.len() > 20, "different seeds give different traces");
}

/// Of the first 300 seeds: the same on every machine, and until a change of what a run does. Then the
/// number changes here, and the commit says what changed. `MAAND_SIM_TRACES=6000` prints the hash of each seed
/// below 6,000, so that two versions can be compared with `diff`.
const TRACES: &str = "e5479adcaa44089a6b63ae43c488deb12828f7bde2988fd5e748be24a574af84";

#[test]
fn traces_are_the_same_on_every_machine() {
    use sha2::{Digest, Sha256};
    let mut all = Sha256::new();
    let seeds = number("MAAND_SIM_TRACES");
    for seed in 1..seeds.unwrap_or(300) {
        if let Some(report) = run(&SimConfig::random(seed)) {
            let hash = report.hash();
            if seeds.is_some() {
                println!("{seed} {hash}");
            }
            all.update(hash);
        }
    }
    let all: String = all.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    println!("the traces: {all}");
    assert!(seeds.is_some() || all == TRACES, "the traces of the first 300 seeds have changed: {all}");
}

/// Every place, and a sample of pairs; `MAAND_SIM_SWEEP=1` takes every pair.
#[test]
fn a_crash_anywhere_changes_nothing_in_the_end() {
    let stride = number("MAAND_SIM_SWEEP").unwrap_or(41) as usize;
    for (exclusive, stops) in [(false, false), (true, false), (false, true)] {
        let config = SimConfig { exclusive, stops, ..SimConfig::pattern_a(2) };
        match sweep(&config, stride) {
            Ok(swept) => {
                println!("{} single crashes and {} pairs", swept.singles, swept.pairs);
                assert!(swept.singles > 50 && swept.pairs > 50);
            }
            Err(report) => panic!("{report}"),
        }
    }
}

/// The time that admission takes over the least that the limits allow.
/// `MAAND_SIM_PACES=1000 cargo test --profile sim --test it sim::auto -- --nocapture` for many.
#[test]
fn auto_comes_near_the_shortest_time() {
    let seeds = number("MAAND_SIM_PACES").unwrap_or(60);
    let mut all: Vec<f64> = (0..seeds).filter_map(admission_efficiency).collect();
    all.sort_by(f64::total_cmp);
    let at = |share: usize| all[(all.len() - 1) * share / 100];
    println!(
        "over the lower bound on {} fleets: median {:.3}, three quarters {:.3}, nine tenths {:.3}, worst {:.3}",
        all.len(),
        at(50),
        at(75),
        at(90),
        at(100)
    );
    assert!(all.len() as u64 * 2 > seeds && at(50) < 1.05, "median {}", at(50));
}

#[test]
fn runs_without_faults_end_well() {
    for workers in [1, 3, 10] {
        let report = run(&SimConfig::pattern_a(workers)).unwrap();
        assert_eq!(report.broken, None, "{report}");
        assert_eq!(report.end, Some(maand::engine::RunEnd::Succeeded), "{report}");
    }
}

/// Engines that are broken on purpose: each has to be noticed.
#[test]
fn every_broken_engine_is_caught() {
    let mut missed = Vec::new();
    for mutation in Mutation::ALL {
        let caught = (1..4000).find_map(|seed| {
            // Only with silences can those be broken; otherwise they are left out, as they have no part in anything else.
            let silences = *mutation == Mutation::ReturnUntold;
            let config = SimConfig { mutation: Some(*mutation), silences, ..SimConfig::random(seed) };
            run(&config)?.broken.map(|broken| (seed, broken))
        });
        match caught {
            Some((seed, broken)) => {
                println!("{mutation:?}: seed {seed}: {broken}");
            }
            None => missed.push(mutation),
        }
    }
    assert!(missed.is_empty(), "nobody noticed {missed:?}");
}

/// Runs that broke something once, as long as the draws make the same of them: a postponed step of a worker that
/// failed beside it and was retried; a halt although sick peers could recover; a worker that was skipped
/// before it was looked at; a reboot that overtook a pending operation; a worker that never answered and was
/// reverted, which counted as up; two that were away, had come back by themselves, and were retried together.
const FOUND: &[&str] = &[
    "seed=100107779,salt=0,workers=4,jobs=1,faults=2,crashes=0,stops=0,operators=0,exclusive=0,without=959,shape=Random",
    "seed=13744,salt=1,workers=6,jobs=3,faults=1,crashes=0,stops=0,operators=0,exclusive=0,without=3112955,shape=Random",
    "seed=7007125,salt=0,workers=1,jobs=1,faults=1,crashes=1,stops=0,operators=3,exclusive=0,without=65535,shape=Random",
    "seed=7054068,salt=0,workers=5,jobs=1,faults=0,crashes=0,stops=0,operators=8,exclusive=0,without=1048575,shape=Random",
    "seed=700067764,salt=0,workers=5,jobs=1,faults=1,crashes=0,stops=0,operators=0,exclusive=0,without=1989,shape=Random,recovers=1",
    "seed=30201825,salt=0,workers=7,jobs=3,faults=2,crashes=0,stops=0,operators=0,exclusive=0,without=36826,shape=Random,recovers=1",
];

#[test]
fn what_was_found_once_stays_fixed() {
    for line in FOUND {
        must_hold(&line.parse().unwrap());
    }
    for seed in [1478, 2019] {
        must_hold(&SimConfig { recovers: false, ..SimConfig::random(seed) });
    }
}

/// `MAAND_SIM_REPLAY='seed=..' cargo test --test it sim::replay -- --nocapture`
#[test]
fn replay() {
    let Ok(line) = std::env::var("MAAND_SIM_REPLAY") else { return };
    let report = run(&line.parse().unwrap()).expect("a feasible plan");
    println!("{report}");
    assert!(report.broken.is_none());
}

/// `maand plan simulate` on a plan that ships.
#[test]
fn a_plan_is_simulated_from_the_command_line() {
    let ask = |seed: &str| {
        let plan = concat!(env!("CARGO_MANIFEST_DIR"), "/plans/rolling-reboot.yaml");
        let args =
            ["--output", "json", "plan", "simulate", plan, "--workers", "6", "--runs", "5", "--seed", seed];
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_maand")).args(args).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        crate::document(std::str::from_utf8(&output.stdout).unwrap())
    };
    let answer = ask("7");
    assert_eq!(answer, ask("7"), "the same seed gives the same answer");
    assert_ne!(answer, ask("8"));
    assert_eq!(answer["workers"], 6);
    assert_eq!(answer["most_down"], 1, "one at a time");
    assert!(answer["worst_ms"].as_i64() >= answer["expected_ms"].as_i64());
    let succeed = |rate: usize| answer["rates"][rate]["succeed"].as_f64().unwrap();
    assert!(succeed(2) <= succeed(0), "more failures do not help");
}

/// What `maand plan simulate` writes for a fleet of that size.
fn simulated(more: &[&str]) -> (Option<i32>, String, String) {
    let plan = concat!(env!("CARGO_MANIFEST_DIR"), "/plans/rolling-reboot.yaml");
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_maand"))
        .args(["plan", "simulate", plan, "--runs", "2"])
        .args(more)
        // Pictures are drawn in ASCII where the locale has nothing else.
        .env("LC_ALL", "C.UTF-8")
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn bad_rates_and_durations_are_told_at_once() {
    for rates in ["101", "-1", "nan", "some", "1,,5"] {
        let (code, _, said) = simulated(&["--workers", "3", "--faults", rates]);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains("not a percentage") && said.contains("0 to 100"), "{said}");
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("durations.json");
    std::fs::write(&file, r#"{"deploy": "soon", "teleport": "1s"}"#).unwrap();
    let (code, _, said) = simulated(&["--workers", "3", "--durations", file.to_str().unwrap()]);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("`soon` of `deploy`") && said.contains("teleport"), "all together: {said}");
}

#[test]
fn durations_of_a_file_count() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("durations.json");
    let expected = |boot: &str| {
        std::fs::write(&file, format!(r#"{{"boot": "{boot}"}}"#)).unwrap();
        let path = file.to_str().unwrap();
        let (code, json, said) =
            simulated(&["--workers", "2", "--output", "json", "--durations", path, "--faults", "0"]);
        assert_eq!(code, Some(0), "{said}");
        let answer: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(answer["durations"]["from"], "file");
        answer["expected_ms"].as_i64().unwrap()
    };
    let (short, long) = (expected("10s"), expected("100s"));
    assert!(long - short > 100_000, "two boots of 90 s more: {short}, {long}");
}

#[test]
fn long_lists_are_shortened_for_operators() {
    let (code, text, said) = simulated(&["--workers", "1"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(text.contains("over 1 worker (made up)") && !text.contains("(none)"), "{text}");
    let (code, text, _) = simulated(&["--workers", "40", "--faults", "0"]);
    assert_eq!(code, Some(0));
    assert!(text.lines().count() < 60, "{text}");
}

#[test]
fn the_expected_run_is_charts_in_text_and_a_page() {
    let dir = tempfile::tempdir().unwrap();
    let page = |name: &str, seed: &str| {
        let file = dir.path().join(name);
        let (code, text, said) =
            simulated(&["--workers", "5", "--seed", seed, "--faults", "0", "--out", file.to_str().unwrap()]);
        assert_eq!(code, Some(0), "{said}");
        (text, std::fs::read_to_string(file).unwrap())
    };
    let (text, first) = page("a.html", "7");
    assert!(text.contains("\nDown at once, in the run in the middle\n     1 "), "{text}");
    assert!(text.contains(" expected\n") && text.contains("╷+0s") && text.contains("a.html"), "{text}");
    assert!(!text.contains('\u{1b}') && text.lines().all(|line| line.chars().count() <= 100), "{text}");
    assert_eq!(first, page("b.html", "7").1, "the same seed gives the same page");
    assert_ne!(first, page("c.html", "8").1);
    assert!(first.contains("A forecast: nothing of this has happened"));
    let (code, stdout, _) = simulated(&["--workers", "5", "--seed", "7", "--faults", "0", "--out", "-"]);
    assert_eq!((code, stdout), (Some(0), first));
    let (code, json, _) = simulated(&["--workers", "5", "--output", "json"]);
    let answer: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(code, Some(0));
    let runs: u64 =
        answer["finishes"].as_array().unwrap().iter().map(|part| part["runs"].as_u64().unwrap()).sum();
    assert_eq!(runs, 2, "{answer:#}");
    let (code, _, said) = simulated(&["--workers", "5", "--out", "/nowhere/x.html"]);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("/nowhere/x.html cannot be written"), "{said}");
}

//! A run in a file: what went in comes out, whatever was done to the file is noticed, and nothing in it is believed.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use maand::bucket::{DisabledEntry, Host};
use maand::bundle::{Bundle, Check, Controller, LIMIT, Verdict, verify, verify_facts};
use maand::engine::{AttemptId, Control, Fact, Intent, Options, Stamped};
use maand::graph::{Lane, RolloutGraph, TargetIx};
use maand::journal::{Journal, Mode, RunHeader, RunId, RunText, Standing};
use maand::plan::Problems;
use maand::sim;
use proptest::prelude::*;
use serde_json::Value;

use crate::journal::played::{graph, header_of, play};

fn header(graph: &RolloutGraph) -> RunHeader {
    let mut header = header_of(graph);
    header.seed = 1;
    header.plan_sha256 = maand::os::hash::sha256(&header.plan_text);
    header
}

/// A run in a journal, with these facts, each with the second after the one before.
fn stored(graph: &RolloutGraph, facts: &[Fact]) -> (tempfile::TempDir, Journal, RunId) {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(dir.path(), Mode::ReadWrite).unwrap();
    let (run, _) = journal.create_run(&header(graph), &facts[..1]).unwrap();
    let mut writer = journal.writer(&run, 1, 1).unwrap();
    writer.append(header(graph).started_at + 1000, &facts[1..], None).unwrap();
    (dir, journal, run)
}

fn facts(graph: &Arc<RolloutGraph>) -> Vec<Fact> {
    play(graph).into_iter().flatten().collect()
}

fn text_of(graph: &RolloutGraph, facts: &[Fact]) -> RunText {
    let (_dir, journal, run) = stored(graph, facts);
    journal.text_of(&run).unwrap()
}

fn bundle(text: RunText) -> Bundle {
    let own = BTreeSet::from([DisabledEntry::Worker(Host::parse("w1").unwrap())]);
    Bundle::new(text, Controller::Left, Some(own)).unwrap()
}

fn said(problems: &Problems) -> String {
    problems.iter().map(|problem| format!("{} {}\n", problem.code, problem.message)).collect()
}

#[track_caller]
fn refused(bytes: &[u8]) -> String {
    said(&Bundle::parse("b", bytes).unwrap_err())
}

fn verified(text: &RunText) -> Verdict {
    verify(text, &serde_json::from_str(&text.header).unwrap())
}

/// All that a check has found.
fn found(verdict: &Verdict, check: Check) -> String {
    let of = verdict.findings.iter().filter(|finding| finding.check == check);
    of.map(|finding| finding.what.as_str()).collect::<Vec<_>>().join("\n")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn what_goes_in_comes_out(workers in 1..5_usize, cut in 1..400_usize, asks: bool) {
        let hosts: Vec<String> = (1..=workers).map(|n| format!("w{n}")).collect();
        let graph = graph(&hosts.iter().map(String::as_str).collect::<Vec<_>>());
        let facts = facts(&graph);
        let (_dir, mut journal, run) = stored(&graph, &facts[..cut.min(facts.len())]);
        if asks && cut < facts.len() {
            journal.request(&run, &Control::Pause { reason: Some("„why“\n".into()) }, "me@here", 7).unwrap();
        }
        let made = bundle(journal.text_of(&run).unwrap());
        let text = made.to_text().unwrap();
        prop_assert_eq!(&bundle(journal.text_of(&run).unwrap()).to_text().unwrap(), &text, "deterministic");
        let read = Bundle::parse("b", text.as_bytes()).unwrap();
        prop_assert_eq!((&read.about, &read.text, &read.sha256), (&made.about, &made.text, &made.sha256));
        prop_assert_eq!(read.to_text().unwrap(), text);
        let verdict = verify(&read.text, &read.header);
        prop_assert!(verdict.is_ok(), "{:?}", verdict.findings);

        // Into another journal, whole, and behind what that has of it already.
        for here in [0, 1, cut / 2] {
            let other = tempfile::tempdir().unwrap();
            let mut there = Journal::open(other.path(), Mode::ReadWrite).unwrap();
            let mut part = read.text.clone();
            part.facts.truncate(here);
            part.requests.clear();
            if !part.facts.is_empty() {
                there.put_in(&part, 1, (9, &[])).unwrap();
            }
            there.put_in(&read.text, 5, (9, &[])).unwrap();
            let put = there.text_of(&run).unwrap();
            prop_assert_eq!((&put.facts, &put.requests, put.epoch), (&read.text.facts, &read.text.requests, 5));
            prop_assert_eq!(there.read(&run).unwrap().filter(Result::is_ok).count(), read.text.facts.len());
            let (here, there) = (&journal.runs().unwrap()[0], &there.runs().unwrap()[0]);
            prop_assert_eq!((here.state, here.succeeded, here.failed), (there.state, there.succeeded, there.failed));
            prop_assert_eq!(here.finished_at, there.finished_at);
        }
    }
}

#[test]
fn every_byte_that_is_changed_or_missing_is_noticed() {
    let graph = graph(&["w1"]);
    let text = bundle(text_of(&graph, &facts(&graph)[..12])).to_text().unwrap();
    let mut bytes = text.clone().into_bytes();
    for at in 0..bytes.len() {
        let kept = bytes[at];
        for flip in [0x01, 0x20, 0x80] {
            bytes[at] = kept ^ flip;
            assert!(Bundle::parse("b", &bytes).is_err(), "byte {at} ^ {flip:#x}");
        }
        bytes[at] = kept;
        let said = refused(&bytes[..at]);
        assert!(said.contains("altered") || said.contains("not_a_bundle"), "cut at {at}: {said}");
    }
    for more in ["\n", " ", "{}", "\0"] {
        refused((text.clone() + more).as_bytes());
    }
    assert!(Bundle::parse("b", &bytes).is_ok());
}

#[test]
fn a_refusal_says_what_is_wrong_with_the_file() {
    let graph = graph(&["w1", "w2"]);
    let text = bundle(text_of(&graph, &facts(&graph)[..9])).to_text().unwrap();
    let altered = text.replace("\"type\":\"before_done\"", "\"type\":\"before_gone\"");
    let said = refused(altered.as_bytes());
    assert!(said.contains("maand::bundle::altered") && said.contains("is not what was written"), "{said}");
    let line = text.lines().find(|line| line.starts_with("{\"seq\":4")).unwrap();
    let said = refused(text.replace(&format!("{line}\n"), "").as_bytes());
    assert!(said.contains("fact 4 is missing"), "{said}");
    let said = refused(&text.as_bytes()[..text.len() / 2]);
    assert!(said.contains("its end is missing"), "{said}");
    let said = refused(text.replacen("bundle/v1", "bundle/v2", 1).as_bytes());
    assert!(said.contains("maand::bundle::newer") && said.contains("maand/bundle/v2"), "{said}");
    for (what, other) in [
        ("another document", "{\"schema\":\"maand/run-view/v1\",\"run\":1}\n"),
        ("a plan", "version: 1\nname: x\n"),
        ("nothing", ""),
        ("bytes", "\u{0}\u{1}\u{7f}ELF"),
        ("an escape", "{\"schema\":\"maand/\u{1b}[2Jx\",\n"),
    ] {
        let said = refused(other.as_bytes());
        assert!(said.contains("not_a_bundle") && !said.contains('\u{1b}'), "{what}: {said}");
    }
    // Not even a right hash makes a document of it.
    let nested = "[".repeat(200_000);
    for content in [nested.as_str(), "\"about\":{}}\n", &format!("\"about\":{nested}\n")] {
        let hash = maand::os::hash::sha256(content);
        let said =
            refused(format!("{{\"schema\":\"maand/bundle/v1\",\"sha256\":\"{hash}\",\n{content}").as_bytes());
        assert!(said.contains("not_a_bundle"), "{said}");
    }
}

#[test]
fn a_file_that_is_no_plain_one_or_too_large_is_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::File::create(at("large")).unwrap().set_len(LIMIT + 1).unwrap();
    fs::create_dir(at("folder")).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, at("pipe"), rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0)
        .unwrap();
    for (name, words) in
        [("large", "256 MiB"), ("folder", "folder"), ("pipe", "pipe"), ("none", "No such file")]
    {
        let said = said(&Bundle::read(&at(name)).unwrap_err());
        assert!(said.contains("maand::bundle::unreadable"), "{name}: {said}");
        assert!(said.contains(words) || said.contains("cannot be read"), "{name}: {said}");
    }
}

#[test]
fn facts_that_do_not_follow_from_one_another_are_found() {
    let graph = graph(&["w1", "w2", "w3"]);
    let good = facts(&graph);
    let at = |wanted: fn(&Fact) -> bool| good.iter().position(wanted).unwrap();
    assert!(verified(&text_of(&graph, &good)).is_ok());

    // An answer without its question.
    let issued = at(|fact| matches!(fact, Fact::Issued { .. }));
    let mut without = good.clone();
    without.remove(issued);
    let verdict = verified(&text_of(&graph, &without));
    assert!(found(&verdict, Check::Legality).contains("breaks a rule"), "{:?}", verdict.findings);
    assert!(verdict.run.is_none() && verdict.state().is_none());

    // One that is admitted beside another.
    let admitted = at(|fact| matches!(fact, Fact::WorkerAdmitted { .. }));
    let mut two = good[..=admitted].to_vec();
    two.push(Fact::WorkerAdmitted { target: TargetIx(1) });
    let verdict = verified(&text_of(&graph, &two));
    assert!(found(&verdict, Check::Limits).contains("admits w2"), "{:?}", verdict.findings);
    assert_eq!(found(&verdict, Check::Legality), "", "places are the policy's");

    // A second boot id to compare with.
    let reboot = at(|fact| matches!(fact, Fact::Issued { intent: Intent::Reboot { .. }, .. }));
    let mut again = good[..=reboot].to_vec();
    let Fact::Issued { lane, step, .. } = good[reboot].clone() else { panic!() };
    let intent = Intent::Reboot { boot_id: "another".into(), generation: 0 };
    again.push(Fact::Issued { attempt: AttemptId(99), lane, step, intent });
    let verdict = verified(&text_of(&graph, &again));
    assert!(
        found(&verdict, Check::Reboots).contains("w1 is to be rebooted a second time"),
        "{:?}",
        verdict.findings
    );

    // What names no worker of the run.
    for fact in [
        Fact::WorkerAdmitted { target: TargetIx(77) },
        Fact::Issued {
            attempt: AttemptId(1),
            lane: Lane::Worker(TargetIx(u32::MAX)),
            step: maand::graph::StepIx(9),
            intent: Intent::Do { repeat: false },
        },
    ] {
        let mut wrong = good[..issued].to_vec();
        wrong.push(fact);
        assert!(!verified(&text_of(&graph, &wrong)).is_ok());
    }
    // Another run's first fact.
    let mut other = good.clone();
    other[0] = Fact::RunStarted { workers: 3, graph_hash: graph.hash(), seed: 2 };
    assert!(found(&verified(&text_of(&graph, &other)), Check::Legality).contains("does not start the run"));
}

#[test]
fn another_graph_than_the_one_that_was_begun_is_found() {
    let graph = graph(&["w1", "w2"]);
    let text = text_of(&graph, &facts(&graph)[..5]);
    let changed = |change: fn(&mut RunHeader)| {
        let mut header: RunHeader = serde_json::from_str(&text.header).unwrap();
        change(&mut header);
        let verdict = verify(&text, &header);
        assert!(verdict.checks.iter().any(|checked| checked.ok.is_none()), "the rest was not looked at");
        found(&verdict, Check::Graph)
    };
    assert!(changed(|header| header.graph_hash = "00".into()).contains("to another graph than 0.1.0"));
    assert!(changed(|header| header.plan_text = "version: 1\nname: [\n".into()).contains("does not compile"));
    assert!(changed(|header| header.hosts.reverse()).contains("are not those of the plan"));
    let twice = changed(|header| header.fleet.workers[1].host = header.fleet.workers[0].host.clone());
    assert!(twice.contains("named twice"), "{twice}");
    let bad =
        changed(|header| header.fleet.workers[1].host = serde_json::from_value("-x y\u{1b}".into()).unwrap());
    assert!(bad.contains("cannot be the host") && !bad.contains('\u{1b}'), "{bad}");
}

/// Facts of simulated runs with faults, crashes and operators keep every rule that is verified.
#[cfg(debug_assertions)]
#[test]
fn simulated_runs_are_lawful() {
    let (mut runs, mut admitted) = (0, 0);
    for seed in 1..400 {
        let config = sim::SimConfig { check: false, ..sim::SimConfig::random(seed) };
        let Some(graph) = sim::graph(&config) else { continue };
        let report = sim::run_on(&config, &graph);
        let facts: Vec<Stamped> =
            (1..).zip(report.journal).map(|(seq, (at, fact))| Stamped { seq, at, epoch: 1, fact }).collect();
        let options = Options { exclusive_catalog: config.exclusive, ..Options::default() };
        let (findings, state) = verify_facts(&graph, options, &facts);
        assert!(findings.is_empty() && state.is_some(), "seed {seed}: {findings:?}");
        admitted +=
            facts.iter().filter(|stamped| matches!(stamped.fact, Fact::WorkerAdmitted { .. })).count();
        runs += 1;
    }
    assert!(runs > 100 && admitted > 200, "{runs} runs, {admitted} admissions");
}

/// Changes one value somewhere in it.
fn mutate(value: &mut Value, pick: &mut impl FnMut(usize) -> usize) {
    match value {
        Value::Array(items) if !items.is_empty() && pick(5) > 0 => {
            let at = pick(items.len());
            mutate(&mut items[at], pick);
        }
        Value::Object(fields) if !fields.is_empty() && pick(8) > 0 => {
            let at = pick(fields.len());
            mutate(fields.values_mut().nth(at).unwrap(), pick);
        }
        other => {
            let words = ["", "w1", "reboot", "before", "\u{0}", "…", "11111111-0000-4000-8000-000000000001"];
            *other = match pick(9) {
                0 => Value::Null,
                1 => Value::from(pick(usize::MAX) as u64),
                2 => Value::from(-(pick(i64::MAX as usize) as i64)),
                3 => Value::from(pick(4)),
                4 => Value::from(words[pick(words.len())]),
                5 => Value::Array(Vec::new()),
                6 => Value::from(i64::MAX),
                7 => Value::from(1.5e300),
                _ => Value::Bool(true),
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Whoever makes hashes anew can write what they like: it is judged, and nothing else happens.
    #[test]
    fn hostile_facts_and_headers_are_judged(seed: u64, times in 1..6_u32) {
        let mut state = seed | 1;
        let mut pick = move |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 16) as usize) % below.max(1)
        };
        let example = Bundle::read(&kept()).unwrap();
        let (mut text, mut header) = (example.text, serde_json::to_value(&example.header).unwrap());
        for _ in 0..times {
            let at = pick(text.facts.len());
            match pick(6) {
                0 => { text.facts.remove(at); }
                1 => { let to = pick(text.facts.len()); text.facts.swap(at, to); }
                2 => { let copy = text.facts[at].clone(); text.facts.insert(at, copy); }
                3 => mutate(&mut header, &mut pick),
                _ => {
                    let mut fact: Value = serde_json::from_str(&text.facts[at].fact).unwrap();
                    mutate(&mut fact, &mut pick);
                    text.facts[at].fact = fact.to_string();
                }
            }
        }
        if let Ok(header) = serde_json::from_value::<RunHeader>(header)
            && let Ok(bundle) = Bundle::new(text.clone(), Controller::Unknown, None)
            && let Ok(written) = bundle.to_text()
        {
            let judged = verify(&text, &header);
            prop_assert!(judged.checks.len() == 5);
            let _ = Bundle::parse("b", written.as_bytes());
        }
    }
}

fn kept() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/bundle-v1.json")
}

/// `MAAND_WRITE_BUNDLE=1` writes the example of this version; one that was released is never written again.
#[test]
fn the_example_of_this_version_loads_for_ever() {
    if std::env::var_os("MAAND_WRITE_BUNDLE").is_some() {
        let graph = graph(&["w1", "w2", "w3"]);
        let all = facts(&graph);
        let (_dir, mut journal, run) = stored(&graph, &all[..all.len() - 4]);
        journal.request(&run, &Control::Pause { reason: None }, "me@here", 7).unwrap();
        fs::write(kept(), bundle(journal.text_of(&run).unwrap()).to_text().unwrap()).unwrap();
    }
    let text = fs::read_to_string(kept()).unwrap();
    let example = Bundle::read(&kept()).unwrap();
    assert_eq!(example.to_text().unwrap(), text);
    assert_eq!((example.about.controller.clone(), example.text.requests.len()), (Controller::Left, 1));
    let verdict = verify(&example.text, &example.header);
    assert!(verdict.is_ok(), "{:?}", verdict.findings);
    crate::document(&text);
}

#[test]
fn a_journal_knows_how_it_stands_to_a_bundle() {
    let graph = graph(&["w1", "w2"]);
    let all = facts(&graph);
    let (_dir, mut journal, run) = stored(&graph, &all[..10]);
    let older = journal.text_of(&run).unwrap();
    let other = tempfile::tempdir().unwrap();
    let mut there = Journal::open(other.path(), Mode::ReadWrite).unwrap();
    assert_eq!(there.standing(&older).unwrap(), (Standing::Absent, 0));
    let resumed = Fact::Resumed { by: "me".into(), fresh_process: true, bundle: Some("ab".into()) };
    there.put_in(&older, 4, (9, &[resumed])).unwrap();
    assert_eq!(there.standing(&older).unwrap(), (Standing::Ahead(11), 4));
    assert!(there.put_in(&older, 5, (9, &[])).is_err(), "what is newer is never replaced by what is older");
    let newer = there.text_of(&run).unwrap();
    assert_eq!(journal.standing(&newer).unwrap(), (Standing::Has(10), 1));
    journal.writer(&run, 1, 10).unwrap().append(9, &[all[10].clone()], None).unwrap();
    assert_eq!(journal.standing(&newer).unwrap(), (Standing::Diverged(11), 1));
    assert!(journal.put_in(&newer, 6, (9, &[])).is_err());
    // A request that waited here is answered.
    let (_dir, mut journal, run) = stored(&graph, &all[..10]);
    let asked = journal.request(&run, &Control::Pause { reason: None }, "me", 1).unwrap();
    let same = journal.text_of(&run).unwrap();
    let mut without = same.clone();
    without.requests.clear();
    journal.put_in(&without, 7, (9, &[])).unwrap();
    assert!(matches!(journal.request_state(asked).unwrap(), maand::journal::RequestState::Refused(_)));
}

//! A verdict that cannot fail is worth nothing: made-up evidence against each promise.

#[path = "verdict_made.rs"]
mod made;

use super::super::history::Testimony;
use super::super::watcher::Look;
use super::*;
use crate::bucket::Disabled;
use crate::engine::{AttemptSpec, Evidence as Shown, Fact, Millis, Outcome};
use crate::graph::testing::{budget, located, spread, step};
use crate::graph::{Lane, TargetIx};
use crate::plan::{Amount, BudgetBound, Concurrency, StepKind};
use crate::report::testing::{START, boot_id, some_fail};
use crate::sandbox::{Boot, Event, FaultKind, ITSELF, LogEntry};
use std::collections::{BTreeMap, BTreeSet};

use self::made::*;

#[test]
fn all_is_well() {
    let verdict = well().verdict();
    let text = said(&verdict);
    assert!(verdict.all_held, "{text}");
    assert!(text.contains("3 workers are reported as done, rebooted"), "{text}");
    assert!(text.contains("each of the 3 workers that were rebooted was drained"), "{text}");
    assert!(text.contains("3 commands of yours: recorded, not executed"), "{text}");
    let json = serde_json::to_value(&verdict).unwrap();
    assert_eq!((&json["most_down_at_once"], &json["promises"][0]["name"]), (&1.into(), &"reboots".into()));
    assert!(json["workers"][1]["down"][0]["to"].as_f64() > json["workers"][1]["down"][0]["from"].as_f64());
}

#[test]
fn a_worker_that_booted_twice() {
    let mut case = well();
    let boot = case.told("w2").boots[1].clone();
    case.told("w2").boots.push(boot);
    case.breaks("reboots", "w2 was 2 times and not 1");
    // Unless it did so by itself.
    let late = case.seen.facts.last().unwrap().at + 10;
    case.fault("w2", FaultKind::RebootsTwice);
    case.told("w2").log.extend([asked(late, "the worker itself"), entry(late + 1, Event::WentDown)]);
    case.holds();
}

#[test]
fn a_worker_that_was_told_twice_and_did_not_come_back() {
    let mut case = well();
    let again = case.at(0, 3) + 15;
    case.told("w1").log.insert(4, asked(again, "x"));
    let verdict = case.verdict();
    let broken: Vec<_> = verdict.promises.iter().filter(|promise| !promise.held).map(|p| p.name).collect();
    // The journal had not noted the second time.
    assert_eq!(broken, ["reboots", "intent_first"]);
}

#[test]
fn a_reboot_command_beside_another() {
    let mut case = well();
    let begun = |at| entry(at, Event::CommandBegun { by: "reboot".into() });
    let at = case.at(0, 3);
    let before_it_goes = case.told("w1").log.iter().position(|one| one.event == Event::WentDown).unwrap();
    case.told("w1").log.insert(before_it_goes, begun(at + 12));
    case.holds();
    case.told("w1").log.insert(before_it_goes, begun(at + 11));
    case.breaks("one_command", "w1 had two at work");
    // One that has ended is at work no more.
    case.told("w1").log.insert(before_it_goes + 1, entry(at + 11, Event::CommandEnded));
    case.holds();
}

/// The command of the first worker ends like this at first; while it was under way the worker booted by itself.
fn booted_in_a_step(outcome: Outcome) -> Made {
    let first = std::cell::Cell::new(Some(outcome));
    let this = |order: &AttemptSpec| order.step.0 == 2 && matches!(order.lane, Lane::Worker(TargetIx(0)));
    // The reboot step finds it in that boot.
    let reads = |order: &AttemptSpec| {
        let first_worker = matches!(order.lane, Lane::Worker(TargetIx(0)));
        first_worker && order.intent == crate::engine::Intent::ReadBootId
    };
    let now = || Outcome::Ok { evidence: Shown::BootId { boot_id: boot_id(0, 7), kernel: None } };
    let mut case = made(rolling(), |order| if this(order) { first.take() } else { reads(order).then(now) });
    let at = case.at(0, 2);
    let told = case.told("w1");
    told.boots.insert(1, Boot { at: time(at + 3), boot_id: boot_id(0, 7) });
    let place = told.log.iter().position(|one| millis_of(one) > at).unwrap();
    for (n, event) in [
        Event::RebootAsked { by: ITSELF.into(), obeyed: true },
        Event::WentDown,
        Event::Booted { boot_id: boot_id(0, 7) },
    ]
    .into_iter()
    .enumerate()
    {
        told.log.insert(place + n, entry(at + 1 + n as i64, event));
    }
    case.fault("w1", FaultKind::RebootsItself);
    case
}

fn millis_of(entry: &LogEntry) -> Millis {
    entry.at.as_millisecond()
}

#[test]
fn a_worker_that_booted_by_itself_in_a_step() {
    let unknown = |boot_id| Outcome::Unknown { why: "lost".into(), boot_id };
    booted_in_a_step(unknown(Some(boot_id(0, 7)))).holds();
    booted_in_a_step(unknown(None)).breaks("unplanned_boots", "`s2` does not say that w1 has booted");
    let late = Outcome::TimedOut { after: 1000, doing: "it".into() };
    let said = said(&booted_in_a_step(late).verdict());
    assert!(said.contains("`s2` noticed a boot of w1 only at its time-out"), "{said}");
}

#[test]
fn a_boot_that_never_was() {
    let outcome = Outcome::Unknown { why: "lost".into(), boot_id: Some(boot_id(0, 7)) };
    let first = std::cell::Cell::new(Some(outcome));
    let case = made(rolling(), |order| if order.step.0 == 2 { first.take() } else { None });
    case.breaks("unplanned_boots", "w1 is said to have booted by itself, and has not");
}

#[test]
fn nobody_is_drained_before_all_are_prepared() {
    let case = made(prepared(), |_| None);
    case.holds();
    let text = said(&case.verdict());
    assert!(text.contains("3 workers were drained, after all were prepared"), "{text}");
    // What `before` has deployed is no drain.
    let mut case = case;
    let before = case.seen.facts.iter().find(|stamped| matches!(stamped.fact, Fact::BeforeDone)).unwrap().at;
    for (place, event) in [(2, stopped(before - 20)), (3, started(before - 10))] {
        case.told("w2").log.insert(place, event);
    }
    case.holds();
    // A program for which `prepare` is nothing but the first steps of each worker.
    let mut plan = prepared();
    plan.steps[0].prepares = false;
    plan.prepare = None;
    let mut broken = made(plan, |_| None);
    // Its steps are all its own; only the evidence is looked at.
    broken.graph = case.graph.clone();
    let verdict = broken.verdict();
    let promise = verdict.promises.iter().find(|promise| promise.name == "prepared_first").unwrap();
    assert!(
        !promise.held && promise.what.contains("w1 was drained while w3 was still to be prepared"),
        "{promise:?}"
    );
    // One that drains a worker before it is prepared.
    let mut case = made(prepared(), |_| None);
    let mut disabled = Disabled::default();
    disabled.workers.insert("w2".into());
    case.seen.looks.insert(1, Look { at: START + 1, disabled });
    let verdict = case.verdict();
    let promise = verdict.promises.iter().find(|promise| promise.name == "prepared_first").unwrap();
    assert!(!promise.held && promise.what.contains("w2 was drained before it was prepared"), "{promise:?}");
    // One that takes an answer for granted: no command ran there.
    let mut case = made(prepared(), |_| None);
    let is_command = |one: &LogEntry| matches!(one.event, Event::NotExecuted { .. });
    let first = case.told("w2").log.iter().position(is_command).unwrap();
    case.told("w2").log.remove(first);
    let verdict = case.verdict();
    let promise = verdict.promises.iter().find(|promise| promise.name == "prepared_first").unwrap();
    assert!(!promise.held && promise.what.contains("w2 was drained, and knows of no command"), "{promise:?}");
}

#[test]
fn a_worker_that_fails_to_prepare_is_never_drained() {
    let fails = |order: &AttemptSpec| {
        let this = order.step.0 == 0 && matches!(order.lane, Lane::Worker(TargetIx(1)));
        let error = crate::engine::StepError::new(crate::engine::ErrorKind::Command, "exit code 1");
        this.then_some(Outcome::Failed { error })
    };
    let one_may_fail = |mut plan: crate::plan::Plan| {
        plan.rollout.max_failures = located(Amount::Count(1));
        plan
    };
    let case = || {
        let mut case = made(one_may_fail(prepared()), fails);
        case.exit = Some(1);
        case.fault("w2", FaultKind::Refuses);
        case
    };
    let promise = |case: &Made| {
        let verdict = case.verdict();
        verdict.promises.into_iter().find(|promise| promise.name == "prepared_first").unwrap()
    };
    assert!(promise(&case()).held, "{:?}", promise(&case()));
    let mut drained = case();
    let late = drained.seen.facts.last().unwrap().at;
    drained.told("w2").log.push(stopped(late));
    let promise = promise(&drained);
    assert!(
        !promise.held && promise.what.contains("w2 was drained though it had failed to prepare"),
        "{promise:?}"
    );
}

/// Too many workers were unusable: the plan was refused.
fn refused(case: &Made) -> Option<Verdict> {
    let carried = Carried { exit: case.exit, kills: 0 };
    super::super::refusal::refusal(&case.evidence, &case.seen, &case.faults, &carried)
}

#[test]
fn a_plan_that_is_refused_leaves_the_workers_as_they_were() {
    let mut case = well();
    for told in case.evidence.values_mut() {
        told.log.truncate(2);
    }
    case.seen.looks.truncate(1);
    case.exit = Some(1);
    assert!(refused(&case).is_none(), "without a fault it is no rehearsal of one");
    case.fault("w2", FaultKind::Refuses);
    let verdict = refused(&case).unwrap();
    assert!(
        verdict.all_held && verdict.promises[0].what.contains("all 3 workers were left as found"),
        "{verdict:?}"
    );
    case.told("w3").log.push(stopped(START + 5));
    let verdict = refused(&case).unwrap();
    assert!(!verdict.all_held && verdict.promises[0].what.contains("w3 was touched"), "{verdict:?}");
    case.exit = Some(2);
    assert!(refused(&case).is_none(), "the plan itself was wrong");
}

#[test]
fn a_worker_that_the_plan_does_not_select() {
    let mut case = well();
    case.evidence.insert(host("w9"), Testimony { boots: Vec::new(), log: vec![started(START - 10)] });
    case.holds();
    case.told("w9").log.push(stopped(START + 5000));
    let verdict = case.verdict();
    assert!(verdict.promises[0].what.contains("w9 was touched"), "{}", said(&verdict));
}

#[test]
fn two_down_where_one_is_allowed() {
    let mut case = well();
    let during = case.at(0, 3) + 100;
    case.told("w3").log.extend([stopped(during), started(during + 1)]);
    case.breaks("down", "2 and not 1");
}

#[test]
fn a_worker_whose_turn_has_not_come_is_not_excused() {
    // The run halts at w2: w3 is not started, and yet down.
    let mut case = made(rolling(), |order| if order.step.0 == 4 { some_fail(order) } else { None });
    case.exit = Some(1);
    case.fault("w2", FaultKind::NeverReturns);
    case.holds();
    let during = case.at(1, 3) + 100;
    case.told("w3").log.push(stopped(during));
    case.breaks("down", "2 and not 1");
}

#[test]
fn a_failed_worker_takes_no_place_from_its_failure_on_but_not_before() {
    let mut plan = rolling();
    plan.rollout.max_failures = located(Amount::Count(1));
    let mut case = made(plan, |order| if order.step.0 == 4 { some_fail(order) } else { None });
    case.exit = Some(1);
    case.fault("w2", FaultKind::NeverReturns);
    case.holds();
    let failed =
        case.seen.facts.iter().find(|fact| matches!(fact.fact, Fact::WorkerFailed { .. })).unwrap().at;
    case.told("w3").log.insert(2, stopped(failed - 1));
    case.breaks("down", "2 and not 1");
}

#[test]
fn a_job_with_less_than_its_budget() {
    let mut plan = rolling();
    plan.rollout.concurrency = located(Concurrency::Auto);
    plan.rollout.budgets = vec![budget("api", BudgetBound::MinAvailable(Amount::Count(2)))];
    let mut case = made(plan, |_| None);
    case.holds();
    let during = case.at(0, 3) + 100;
    case.told("w3").log.extend([stopped(during), started(during + 1)]);
    case.breaks("down", "job api had 1 of 3, wants 2");
}

#[test]
fn two_zones_where_one_is_allowed() {
    let mut plan = rolling();
    plan.rollout.concurrency = located(Concurrency::Auto);
    plan.rollout.spread = spread("zone", 1);
    let mut case = made(plan, |_| None);
    case.holds();
    let during = case.at(0, 3) + 100;
    case.told("w2").log.extend([stopped(during), started(during + 1)]);
    case.breaks("down", "2 values of the tag zone and not 1");
}

#[test]
fn an_entry_of_others_that_is_gone_for_a_moment() {
    let mut case = well();
    for look in &mut case.seen.looks {
        look.disabled.workers.insert("w7".into());
        look.disabled.jobs =
            BTreeMap::from([("db".to_owned(), only("w1")), ("all".to_owned(), BTreeSet::new())]);
    }
    case.holds();
    assert!(said(&case.verdict()).contains("the 3 entries of others are as before"));
    let look = |case: &mut Made, change: fn(&mut Disabled)| change(&mut case.seen.looks[2].disabled);
    look(&mut case, |now| now.workers.retain(|host| host != "w7"));
    case.breaks("others_entries", "w7 was removed");
    look(&mut case, |now| now.workers.extend(only("w7")));
    // The whole job, and one of its hosts, are two things.
    look(&mut case, |now| now.jobs.insert("all".into(), only("w1")).map_or((), drop));
    case.breaks("others_entries", "job all was changed");
    look(&mut case, |now| now.jobs.extend([("all".into(), BTreeSet::new()), ("db".into(), BTreeSet::new())]));
    case.breaks("others_entries", "job db was changed");
}

#[test]
fn a_file_that_could_not_be_read() {
    let mut case = well();
    case.seen.unreadable = 1;
    case.breaks("others_entries", "could not be read at 1 look");
    case.seen.unreadable = 0;
    case.seen.looks.clear();
    assert!(case.verdict().any_broken());
}

#[test]
fn an_entry_of_the_runs_own_that_is_not_named() {
    let mut case = well();
    case.disabled().workers = only("w3");
    let verdict = case.verdict();
    let left = verdict.promises.iter().find(|promise| promise.name == "left_disabled").unwrap();
    assert!(
        !left.held && left.what.contains("w3 is left and not named") && left.what.contains("exit code is 0")
    );
    case.exit = Some(1);
    let mut case = well();
    case.disabled().jobs = BTreeMap::from([("api".to_owned(), only("w1"))]);
    case.breaks("left_disabled", "w1 is left and not named");
    case.disabled().jobs = BTreeMap::from([("api".to_owned(), BTreeSet::new())]);
    case.breaks("left_disabled", "all of job api is disabled");
}

#[test]
fn a_success_without_a_boot() {
    let mut case = well();
    case.told("w3").boots.pop();
    case.told("w3").log.retain(|entry| !matches!(entry.event, Event::RebootAsked { .. } | Event::WentDown));
    case.breaks("successes", "w3 has not rebooted");
}

#[test]
fn a_boot_id_that_the_worker_never_had() {
    let mut case = well();
    case.told("w1").boots[1].boot_id = boot_id(7, 7);
    case.breaks("successes", "w1 never had the boot id");
}

#[test]
fn a_success_whose_job_does_not_run() {
    let mut case = well();
    assert!(matches!(case.told("w3").log.pop().unwrap().event, Event::JobStarted { .. }));
    case.breaks("successes", "w3 is not as it was");
}

#[test]
fn a_reboot_before_the_journal_knew() {
    let mut case = well();
    let early = case.at(0, 3) - 1;
    let log = &mut case.told("w1").log;
    let at = log.iter().position(|entry| matches!(entry.event, Event::RebootAsked { .. })).unwrap();
    log[at] = asked(early, "x");
    case.breaks("intent_first", "w1");
}

#[test]
fn a_reboot_with_a_job_running() {
    let mut case = well();
    let reboot = case.at(1, 3);
    case.told("w2").log.retain(|entry| !matches!(entry.event, Event::JobStopped { .. }));
    case.breaks("drained_first", "w2 had api");
    case.told("w2").log.push(stopped(reboot + 15));
    case.breaks("drained_first", "w2 had api");
}

#[test]
fn a_worker_that_was_enabled_before_it_was_back() {
    let mut case = well();
    let early = case.at(0, 3) + 500;
    case.seen.looks.insert(2, Look { at: early, disabled: Disabled::default() });
    case.breaks("drained_first", "w1 was enabled before it was back");
}

#[test]
fn something_was_sent_after_the_host_key_had_changed() {
    let mut case = well();
    case.fault("w3", FaultKind::ChangesHostKey);
    let happened = Event::FaultHappened { fault: "w3:changes_host_key".into() };
    case.told("w3").log.push(entry(START + 900_000, happened));
    case.holds();
    let sent = Event::Executed { users_own: false, lock: false, bytes: 1 };
    case.told("w3").log.push(entry(START + 900_001, sent));
    case.breaks("host_key", "w3");
}

#[test]
fn a_journal_with_a_hole_or_an_illegal_fact() {
    let mut case = well();
    let last = case.seen.facts.len() - 1;
    case.seen.facts[last].seq += 1;
    case.breaks("journal", "there is a gap");
    let mut case = well();
    let mut again = case.seen.facts[3].clone();
    again.seq = case.seen.facts.len() as u64 + 1;
    case.seen.facts.push(again);
    case.breaks("journal", "one of them breaks a rule");
}

#[test]
fn an_exit_code_that_does_not_fit() {
    let mut case = well();
    case.exit = Some(1);
    case.breaks("exit_code", "expected 0");
    case.exit = None;
    case.breaks("exit_code", "by a signal");
    // A controller that is killed right after the end of its run.
    case.kills = 1;
    case.holds();
}

#[test]
fn a_command_that_left_no_trace_or_was_executed() {
    let mut case = well();
    case.told("w2").log.retain(|entry| !matches!(entry.event, Event::NotExecuted { .. }));
    case.breaks("nothing_executed", "`s2` left no trace on w2");
    let other = Event::NotExecuted { text: "upgrade".into(), code: 0 };
    case.told("w2").log.push(entry(START + 1, other));
    case.breaks("nothing_executed", "`s2` left no trace on w2");
    let mut case = well();
    case.told("w1").log.push(entry(START + 1, Event::Executed { users_own: true, lock: true, bytes: 9 }));
    case.breaks("nothing_executed", "w1 executed one");
    // Which is what was asked for.
    case.execute = true;
    case.holds();
}

#[test]
fn a_command_on_this_machine_that_was_executed() {
    let mut plan = rolling();
    plan.after = vec![step("tell", command(StepKind::Local), &[])];
    let said = |text: &str| Outcome::Ok { evidence: Shown::note(text) };
    let after =
        |text: &'static str| move |order: &AttemptSpec| (order.lane == Lane::After).then(|| said(text));
    made(plan.clone(), after("recorded and not executed: this fleet is a sandbox")).holds();
    made(plan, after("exit code 0")).breaks("nothing_executed", "`tell` ran on this machine");
}

#[test]
fn a_run_that_failed_without_a_fault_is_not_well() {
    let mut case = made(rolling(), |order| if order.step.0 == 4 { some_fail(order) } else { None });
    case.exit = Some(1);
    let verdict = case.verdict();
    assert!(!verdict.all_held && !verdict.any_broken(), "{}", said(&verdict));
}

#[test]
fn a_fault_that_never_happened_is_named() {
    let mut case = well();
    case.fault("w1", FaultKind::NeverReturns);
    assert_eq!(case.verdict().faults_that_never_happened, ["w1:never_returns"]);
    let happened = Event::FaultHappened { fault: "w1:never_returns".into() };
    case.told("w1").log.push(entry(START, happened));
    assert!(case.verdict().faults_that_never_happened.is_empty());
}

#[test]
fn the_schema_of_the_verdict() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/verdict.v1.schema.json");
    let schema = schemars::schema_for!(Verdict);
    let text = serde_json::to_string_pretty(&schema).unwrap() + "\n";
    if std::env::var_os("MAAND_UPDATE_SCHEMAS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == text, "{} is not what the code says; MAAND_UPDATE_SCHEMAS=1 writes it", path.display());
}

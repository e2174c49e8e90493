//! Where the engine contacts every worker, its operations and workers that are down exclude each other, and workers are
//! drained and enabled in turns.

use super::case::{Case, command, ok};
use crate::engine::{Evidence, Intent, Outcome};
use crate::graph::testing::{self, step};
use crate::plan::{Amount, Concurrency, Plan, StepKind};

/// `deploy`, `reboot`, `wait_for_ssh`.
fn deploy_and_reboot(plan: &mut Plan) {
    let [mut reboot, mut wait] = testing::plan().steps.try_into().unwrap();
    (reboot.needs, wait.needs) = (vec![0], vec![1]);
    plan.steps = vec![step("deploy", StepKind::Deploy { jobs: None, force: false }, &[]), reboot, wait];
}

fn read() -> Outcome {
    ok(Evidence::BootId { boot_id: "old".to_owned(), kernel: None })
}

#[test]
fn a_worker_does_not_go_down_while_an_operation_is_under_way() {
    let mut case = Case::new(2, deploy_and_reboot);
    case.succeeds([1]);
    case.answers(1, read());
    assert!(case.in_flight(1).is_empty(), "w2 is being deployed");
    case.succeeds([2]);
    assert!(matches!(case.intent(1), Intent::Reboot { .. }));
}

#[test]
fn an_operation_does_not_begin_while_a_worker_is_down() {
    let mut case = Case::new(2, |plan| {
        deploy_and_reboot(plan);
        plan.steps.push(step("check", StepKind::SyncCheck { repair: false }, &[2]));
    });
    case.succeeds([1, 2]);
    case.answers(1, read());
    case.answers(2, read());
    for worker in [1, 2] {
        case.answers(worker, ok(Evidence::Departed));
    }
    case.answers(1, ok(Evidence::Back { boot_id: "new".to_owned(), kernel: None }));
    assert!(case.in_flight(1).is_empty(), "w2 is away");
    case.answers(2, ok(Evidence::Back { boot_id: "newer".to_owned(), kernel: None }));
    assert_eq!((case.in_flight(1), case.in_flight(2)), (vec!["check"], vec!["check"]));
}

/// `disable`, `stop` (a deploy), `reboot`, `wait`, `enable`, `start` (a deploy), two workers at a time.
fn rolling(plan: &mut Plan) {
    let [mut reboot, mut wait] = testing::plan().steps.try_into().unwrap();
    (reboot.needs, wait.needs) = (vec![1], vec![2]);
    let deploy = || StepKind::Deploy { jobs: None, force: false };
    plan.steps = vec![
        step("disable", StepKind::Disable { jobs: None }, &[]),
        step("stop", deploy(), &[0]),
        reboot,
        wait,
        step("enable", StepKind::Enable, &[3]),
        step("start", deploy(), &[4]),
    ];
    plan.rollout.concurrency.value = Concurrency::AtMost(Amount::Count(2));
}

fn drained() -> Outcome {
    ok(Evidence::Disabled { own: vec![None], others: Vec::new() })
}

fn back(boot_id: &str) -> Outcome {
    ok(Evidence::Back { boot_id: boot_id.to_owned(), kernel: None })
}

/// Each of the workers is drained, and away.
fn sends_away(case: &mut Case, workers: &[u32]) {
    let all = || workers.iter().copied();
    all().for_each(|worker| case.answers(worker, drained()));
    case.succeeds(all());
    all().for_each(|worker| case.answers(worker, read()));
    all().for_each(|worker| case.answers(worker, ok(Evidence::Departed)));
}

#[test]
fn what_comes_back_together_is_started_by_one_deploy() {
    let mut case = Case::new(2, rolling);
    sends_away(&mut case, &[1, 2]);
    case.answers(1, back("new"));
    assert_eq!(case.in_flight(1), ["enable"], "an edit contacts no worker");
    case.succeeds([1]);
    assert!(case.in_flight(1).is_empty(), "w2 is away");
    case.answers(2, back("newer"));
    assert_eq!((case.in_flight(1), case.in_flight(2)), (vec![], vec!["enable"]), "w2 is still disabled");
    case.succeeds([2]);
    assert_eq!((case.in_flight(1), case.in_flight(2)), (vec!["start"], vec!["start"]));
}

#[test]
fn nobody_is_drained_while_another_is_away_or_waits_for_its_start() {
    let mut case = Case::new(3, rolling);
    sends_away(&mut case, &[1, 2]);
    case.answers(2, back("newer"));
    case.succeeds([2]);
    case.answers(1, back("new"));
    case.succeeds([1]);
    case.succeeds([1]);
    assert!(case.active() == [2, 3] && case.in_flight(3).is_empty(), "w2 is not started yet");
    case.succeeds([2]);
    assert_eq!(case.in_flight(3), ["disable"]);
}

#[test]
fn a_reboot_waits_for_one_that_is_being_drained() {
    let mut case = Case::new(2, rolling);
    case.answers(1, drained());
    case.succeeds([1]);
    case.answers(1, read());
    assert!(case.in_flight(1).is_empty(), "w2 is being drained");
    case.answers(2, drained());
    case.succeeds([2]);
    case.answers(2, read());
    assert!([1, 2].into_iter().all(|worker| matches!(case.intent(worker), Intent::Reboot { .. })));
}

#[test]
fn nobody_waits_for_one_that_is_stuck_on_its_way_back() {
    let mut case = Case::new(3, rolling);
    sends_away(&mut case, &[1, 2]);
    case.answers(1, back("new"));
    case.answers(2, back("newer"));
    case.succeeds([1]);
    case.fails(2);
    assert_eq!(case.in_flight(1), ["start"], "w2 waits for its next attempt, or has failed");
}

#[test]
fn after_a_crash_the_turns_are_as_they_were() {
    let mut case = Case::new(3, rolling);
    sends_away(&mut case, &[1, 2]);
    case.answers(1, back("new"));
    case.answers(2, back("newer"));
    case.taken_over();
    assert_eq!((case.in_flight(1), case.in_flight(2)), (vec!["enable"], vec!["enable"]));
    case.succeeds([1]);
    assert!(case.in_flight(1).is_empty());
    case.succeeds([2]);
    assert_eq!((case.in_flight(1), case.in_flight(2)), (vec!["start"], vec!["start"]));
}

#[test]
fn what_takes_long_between_the_turns_is_not_waited_for() {
    let mut case = Case::new(2, |plan| {
        rolling(plan);
        plan.steps.push(command("upgrade"));
        plan.steps[6].needs = vec![1];
        plan.steps[2].needs = vec![6];
    });
    [1, 2].into_iter().for_each(|worker| case.answers(worker, drained()));
    case.succeeds([1, 2]);
    case.succeeds([1]);
    case.answers(1, read());
    case.answers(1, ok(Evidence::Departed));
    case.answers(1, back("new"));
    case.succeeds([1]);
    assert_eq!((case.in_flight(1), case.in_flight(2)), (vec!["start"], vec!["upgrade"]));
}

#[test]
fn one_that_has_booted_and_settles_is_waited_for_too() {
    let mut case = Case::new(3, rolling);
    [1, 2].into_iter().for_each(|worker| case.answers(worker, drained()));
    case.succeeds([1, 2]);
    [1, 2].into_iter().for_each(|worker| case.answers(worker, read()));
    let quick = |boot_id: &str| ok(Evidence::Rebooted { boot_id: boot_id.to_owned() });
    case.answers(1, quick("new"));
    case.answers(2, quick("newer"));
    case.answers(1, back("new"));
    case.succeeds([1]);
    assert_eq!((case.in_flight(1), case.in_flight(2)), (vec![], vec!["wait_for_ssh"]), "w2 settles");
    case.answers(2, back("newer"));
    case.succeeds([2]);
    assert_eq!((case.in_flight(1), case.in_flight(2)), (vec!["start"], vec!["start"]));
}

//! Where the engine contacts every worker, its operations and workers that are down exclude each other.

use super::case::{Case, ok};
use crate::engine::{Evidence, Intent, Outcome};
use crate::graph::testing::{self, step};
use crate::plan::{Plan, StepKind};

/// `deploy`, `reboot`, `wait_for_ssh`.
fn deploy_and_reboot(plan: &mut Plan) {
    let [mut reboot, mut wait] = testing::plan().steps.try_into().unwrap();
    (reboot.needs, wait.needs) = (vec![0], vec![1]);
    plan.steps = vec![step("deploy", StepKind::Deploy { jobs: None, force: false }, &[]), reboot, wait];
}

fn read() -> Outcome {
    ok(Evidence::BootId { boot_id: "old".to_owned() })
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
    case.answers(1, ok(Evidence::Back { boot_id: "new".to_owned() }));
    assert!(case.in_flight(1).is_empty(), "w2 is away");
    case.answers(2, ok(Evidence::Back { boot_id: "newer".to_owned() }));
    assert_eq!((case.in_flight(1), case.in_flight(2)), (vec!["check"], vec!["check"]));
}

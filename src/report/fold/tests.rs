//! Facts in, view out.

use super::*;
use crate::report::testing::{boot_id, rolled, some_fail};

#[test]
fn a_whole_run_is_told() {
    let (facts, mut view) = rolled(3, some_fail);
    let mut last_counts = view.counts;
    for stamped in &facts {
        view.fold(stamped).unwrap();
        let c = view.counts;
        let sum = c.queued + c.active + c.succeeded + c.failed + c.reverted + c.skipped + c.left_alone;
        assert_eq!(sum + c.cancelled, c.total, "after {:?}", stamped.fact);
        last_counts = c;
    }
    view.refresh(facts.last().unwrap().at);
    assert_eq!((last_counts.succeeded, last_counts.failed, last_counts.queued), (1, 1, 1));
    assert_eq!(view.state, PublicRunState::Halted);
    assert!(view.resumable && view.finished_at.is_none());
    assert!(view.reason.as_ref().unwrap().contains("1 worker failed"), "{:?}", view.reason);
    let [one, two, three] = view.workers.as_slice() else { panic!() };
    assert_eq!(one.boot_id_before, Some(boot_id(0, 0)));
    assert_eq!(one.boot_id_after, Some(boot_id(0, 1)));
    assert_eq!((one.step.as_ref(), one.error.as_ref()), (None, None));
    assert!(one.took().unwrap() > 0);
    assert_eq!(two.state, PublicWorkerState::Failed);
    assert_eq!(two.step.as_deref(), Some("wait_for_ssh"));
    assert_eq!((two.boot_id_before.clone(), two.boot_id_after.clone()), (Some(boot_id(1, 0)), None));
    assert_eq!(two.error.as_ref().unwrap().kind, "timed_out");
    assert_eq!((three.state, three.started_at), (PublicWorkerState::Queued, None));
}

#[test]
fn boots_that_no_reboot_step_has_made_are_kept() {
    let (mut facts, mut view) = rolled(2, |_| None);
    // The first worker is in another boot than at preflight when its reboot begins.
    for stamped in &mut facts {
        if let Fact::Finished {
            outcome: Outcome::Ok { evidence: Evidence::BootId { boot_id: id, .. } }, ..
        } = &mut stamped.fact
            && *id == boot_id(0, 0)
        {
            *id = boot_id(0, 7);
        }
        if let Fact::Issued {
            intent: Intent::Reboot { boot_id: id, .. } | Intent::AwaitBoot { not: Some(id), .. },
            ..
        } = &mut stamped.fact
            && *id == boot_id(0, 0)
        {
            *id = boot_id(0, 7);
        }
    }
    facts.iter().for_each(|stamped| view.fold(stamped).unwrap());
    let boots = &view.workers[0].unplanned_boots;
    assert_eq!(boots.len(), 1, "the boot of the reboot step is none: {boots:?}");
    assert_eq!((&boots[0].before, &boots[0].boot_id), (&boot_id(0, 0), &boot_id(0, 7)));
    assert!(view.workers[1].unplanned_boots.is_empty());
    let text = crate::report::closing(0, &view, None);
    assert!(text.contains("booted by itself") && text.contains("not by this run"), "{text}");
}

#[test]
fn attempts_are_counted_and_reading_the_boot_id_is_part_of_one() {
    let (facts, mut view) = rolled(1, |_| None);
    let mut attempts = Vec::new();
    for stamped in &facts {
        view.fold(stamped).unwrap();
        if let Fact::Issued { step, .. } = stamped.fact {
            attempts.push((step.0, view.workers[0].attempt.unwrap()));
        }
    }
    assert_eq!(attempts, [(0, 1), (0, 1), (1, 1)]);
}

#[test]
fn a_run_without_a_controller_is_interrupted() {
    let (facts, mut view) = rolled(3, |_| None);
    for stamped in &facts[..facts.len() / 2] {
        view.fold(stamped).unwrap();
    }
    view.refresh(0);
    assert_eq!(view.state, PublicRunState::Running);
    view.set_orphaned(true);
    view.refresh(0);
    assert_eq!(view.state, PublicRunState::Interrupted);
}

#[test]
fn an_illegal_fact_changes_nothing() {
    let (facts, mut view) = rolled(3, |_| None);
    view.fold(&facts[0]).unwrap();
    let before = serde_json::to_string(&view).unwrap();
    assert!(view.fold(&facts[0]).is_err());
    assert_eq!(serde_json::to_string(&view).unwrap(), before);
}

use proptest::prelude::*;

use super::super::testing::state;
use super::super::tree::{Entry, Kind};
use super::*;

fn one() -> State {
    state(&["a"], &["10.0.0.1"])
}

/// The only allocation of [`one`], after `change`; deployed as built unless `change` says otherwise.
fn decided(change: impl FnOnce(&mut State, &mut AllocationRow), force: bool) -> Planned {
    let mut state = one();
    let mut row = AllocationRow {
        current_hash: Some("hash-of-a".into()),
        current_version: Some("1.0.0".into()),
        ..AllocationRow::default()
    };
    change(&mut state, &mut row);
    if let Some(slot) = state.allocations.values_mut().next() {
        *slot = row;
    }
    let request = DeployRequest { force, ..DeployRequest::default() };
    let mut plan = plan(&state, &request, tree_of);
    assert_eq!(plan.allocations.len(), 1);
    plan.allocations.remove(0)
}

/// `old` differs from `hash-of-a` by `conf/app.conf` alone; other hashes are forgotten.
fn tree_of(hash: &str) -> Option<Tree> {
    let entry = |text: &str| Entry { kind: Kind::File(text.into()), mode: 0o644 };
    let tree =
        |conf: &str| Tree([("Makefile".into(), entry("m")), ("conf/app.conf".into(), entry(conf))].into());
    match hash {
        "hash-of-a" => Some(tree("new")),
        "old" => Some(tree("old")),
        _ => None,
    }
}

fn job_of(state: &mut State) -> &mut super::super::state::JobRow {
    state.jobs.values_mut().next().unwrap()
}

fn attempt(action: Action, hash: &str, failed: bool) -> Option<Attempt> {
    Some(Attempt { deploy_id: "before".into(), action, hash: hash.into(), failed })
}

#[test]
fn what_is_as_it_should_be_is_left_alone() {
    assert_eq!(decided(|_, _| {}, false).action, Action::Skip);
    assert_eq!(decided(|_, row| (row.disabled, row.stopped) = (true, true), false).action, Action::Skip);
    // Never started, also not by force.
    assert_eq!(decided(|_, row| (row.disabled, row.stopped) = (true, true), true).action, Action::Skip);
}

#[test]
fn new_disabled_removed_and_enabled_again() {
    assert_eq!(decided(|_, row| row.current_hash = None, false).action, Action::Start);
    assert_eq!(decided(|_, row| row.disabled = true, false).action, Action::Stop);
    assert_eq!(decided(|_, row| row.removed = true, false).action, Action::Remove);
    let again = decided(|_, row| row.stopped = true, false);
    assert_eq!((again.action, again.has_files), (Action::Start, true));
    let again = decided(|_, row| (row.stopped, row.current_hash) = (true, Some("old".into())), false);
    assert_eq!((again.action, again.has_files), (Action::Start, false));
}

#[test]
fn a_change_is_restarted_reloaded_or_copied() {
    let changed = |policy, globs: &[&str], from: &str| {
        decided(
            |state, row| {
                let job = &mut job_of(state).job;
                job.restart_policy = policy;
                job.restart_globs = globs.iter().map(|glob| (*glob).to_owned()).collect();
                row.current_hash = Some(from.to_owned());
            },
            false,
        )
    };
    let restart = changed(RestartPolicy::Always, &[], "old");
    assert_eq!((restart.action, restart.reason.as_str()), (Action::Restart, "changed: conf/app.conf"));
    assert_eq!(changed(RestartPolicy::Reload, &["bin/*"], "old").action, Action::Reload);
    assert_eq!(changed(RestartPolicy::Reload, &["*.conf"], "old").action, Action::Restart);
    // What has changed is not known any more.
    assert_eq!(changed(RestartPolicy::Reload, &[], "forgotten").action, Action::Restart);
    assert_eq!(changed(RestartPolicy::Reload, &["["], "old").action, Action::Restart, "no pattern");
    assert_eq!(changed(RestartPolicy::Never, &[], "old").action, Action::Sync);
}

#[test]
fn what_is_in_doubt_is_looked_for_and_what_failed_is_done_again() {
    let doubt = decided(
        |_, row| {
            row.current_hash = Some("old".into());
            row.attempt = attempt(Action::Restart, "hash-of-a", false);
        },
        false,
    );
    assert_eq!(
        (doubt.action, doubt.receipt_check, doubt.has_files),
        (Action::Restart, ReceiptCheck::SameTree, true)
    );
    assert_eq!(doubt.takes_up.as_deref(), Some("before"));
    let failed = decided(
        |_, row| {
            row.current_hash = Some("old".into());
            row.attempt = attempt(Action::Restart, "hash-of-a", true);
        },
        false,
    );
    assert_eq!(
        (failed.action, failed.receipt_check, failed.takes_up),
        (Action::Restart, ReceiptCheck::Never, None)
    );
    // A forced restart of what was current: only its own receipt proves anything.
    let forced = decided(|_, row| row.attempt = attempt(Action::Restart, "hash-of-a", false), false);
    assert_eq!((forced.action, forced.receipt_check), (Action::Restart, ReceiptCheck::SameAttempt));
    assert_eq!(forced.takes_up.as_deref(), Some("before"));
    let stop = decided(
        |_, row| {
            row.disabled = true;
            row.attempt = attempt(Action::Stop, "hash-of-a", false);
        },
        false,
    );
    assert_eq!(
        (stop.action, stop.receipt_check, stop.takes_up.as_deref()),
        (Action::Stop, ReceiptCheck::SameAttempt, Some("before"))
    );
}

#[test]
fn a_start_in_doubt_that_is_disabled_now_is_stopped() {
    let planned = decided(
        |_, row| {
            (row.current_hash, row.disabled) = (None, true);
            row.attempt = attempt(Action::Start, "hash-of-a", false);
        },
        false,
    );
    assert_eq!(planned.action, Action::Stop);
}

#[test]
fn going_back_to_what_was_promoted_undoes_a_failed_change() {
    let planned = decided(|_, row| row.attempt = attempt(Action::Restart, "other", true), false);
    assert_eq!((planned.action, planned.has_files), (Action::Restart, false));
}

#[test]
fn a_worker_that_disagrees_is_looked_at_job_by_job() {
    let out_of_sync = |state: &mut State, _: &mut AllocationRow| {
        state.workers.values_mut().for_each(|row| row.out_of_sync = true);
    };
    let planned = decided(out_of_sync, false);
    assert_eq!((planned.action, planned.receipt_check), (Action::Start, ReceiptCheck::SameTree));
    let mut state = state(&[], &["10.0.0.1", "10.0.0.2"]);
    if let Some(row) = state.workers.values_mut().next() {
        row.sent_seq = 3;
    }
    let plan = plan(&state, &DeployRequest::default(), tree_of);
    assert_eq!(plan.resync.iter().map(Host::as_str).collect::<Vec<_>>(), ["10.0.0.1"]);
    assert!(!plan.is_empty());
}

fn row() -> impl Strategy<Value = AllocationRow> {
    let hash = || proptest::option::of(prop_oneof![Just("hash-of-a".to_owned()), Just("old".to_owned())]);
    let action = prop_oneof![
        Just(Action::Start),
        Just(Action::Restart),
        Just(Action::Reload),
        Just(Action::Stop),
        Just(Action::Sync),
        Just(Action::Remove),
    ];
    let attempt = proptest::option::of((action, hash(), any::<bool>()).prop_map(|(action, hash, failed)| {
        Attempt { deploy_id: "before".into(), action, hash: hash.unwrap_or_default(), failed }
    }));
    (any::<(bool, bool, bool)>(), hash(), attempt).prop_map(
        |((disabled, removed, stopped), current_hash, attempt)| AllocationRow {
            disabled,
            removed,
            stopped: stopped && current_hash.is_some(),
            current_hash,
            attempt,
            ..AllocationRow::default()
        },
    )
}

proptest! {
    /// Whatever the catalog holds: what may not run is never started, what is not known to be right
    /// is never skipped, and after a deploy in which all goes well nothing is left to do.
    #[test]
    fn safe_and_convergent(rows in proptest::collection::vec(row(), 6), force: bool, out_of_sync: bool) {
        let mut state = state(&["a"], &["1", "2", "3", "4", "5", "6"]);
        for (slot, row) in state.allocations.values_mut().zip(&rows) {
            *slot = row.clone();
        }
        if out_of_sync {
            state.workers.values_mut().for_each(|row| row.out_of_sync = true);
        }
        let request = DeployRequest { force, ..DeployRequest::default() };
        let first = plan(&state, &request, tree_of);
        for planned in &first.allocations {
            let key = AllocationKey { host: planned.host.clone(), job: planned.job.clone() };
            let row = &state.allocations[&key];
            let up = !matches!(planned.action, Action::Stop | Action::Remove | Action::Skip);
            prop_assert!(!(up && (row.disabled || row.removed)), "{planned:?} {row:?}");
            if planned.action == Action::Skip && !row.disabled {
                prop_assert_eq!(row.current_hash.as_deref(), Some("hash-of-a"));
                prop_assert!(row.attempt.is_none() && !row.stopped && !force);
            }
            // Only an attempt in doubt is taken up, never one that is known to have failed.
            if planned.takes_up.is_some() {
                prop_assert!(row.attempt.as_ref().is_some_and(|attempt| !attempt.failed));
            }
            prop_assert!(planned.receipt_check != ReceiptCheck::SameTree || !force || row.attempt.is_some());
        }
        for planned in first.work() {
            let key = AllocationKey { host: planned.host.clone(), job: planned.job.clone() };
            if planned.action == Action::Remove {
                state.allocations.remove(&key);
            } else if let Some(row) = state.allocations.get_mut(&key) {
                row.attempt = None;
                row.stopped = planned.action == Action::Stop;
                if !row.stopped {
                    row.current_hash = Some("hash-of-a".into());
                }
            }
        }
        state.workers.values_mut().for_each(|row| row.out_of_sync = false);
        let second = plan(&state, &DeployRequest::default(), tree_of);
        prop_assert!(second.is_empty(), "{:?}", second.work().collect::<Vec<_>>());
    }
}

use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::sync::atomic::{AtomicBool, Ordering};

use super::super::fleet::{Host, JobName};
use super::super::{failpoint, lock};
use super::*;
use crate::os::LockFile;

fn bucket() -> (tempfile::TempDir, DisabledFile, Guard) {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("workspace")).unwrap();
    fs::write(dir.path().join("maand.conf"), "bucket_id = 'b'\n").unwrap();
    let file = DisabledFile::of(&Bucket::open(dir.path()).unwrap(), "r1", BTreeSet::new());
    let guard = lock::acquire(&dir.path().join("data/catalog.lock"), "t", Duration::ZERO, &|| false).unwrap();
    (dir, file, guard)
}

fn host(name: &str) -> Host {
    Host::parse(name).unwrap()
}

fn worker(name: &str) -> DisabledEntry {
    DisabledEntry::Worker(host(name))
}

#[test]
fn what_was_there_is_not_ours() {
    let (_dir, file, lock) = bucket();
    fs::write(&file.path, "{\"workers\": [\"h1\"], \"x\": 1}").unwrap();
    fs::set_permissions(&file.path, Permissions::from_mode(0o664)).unwrap();
    let wanted =
        [worker("h1"), worker("h2"), DisabledEntry::Allocation(JobName::parse("api").unwrap(), host("h3"))];
    let change = file.disable(&lock, &wanted, &mut no_fence).unwrap();
    assert_eq!((change.changed.as_slice(), change.unchanged.as_slice()), (&wanted[1..], &wanted[..1]));
    assert_eq!(fs::metadata(&file.path).unwrap().mode() & 0o777, 0o664);
    // Once more, as after a lost answer: the same.
    let again = file.disable(&lock, &wanted, &mut no_fence).unwrap();
    assert_eq!((&again.changed, &again.unchanged), (&change.changed, &change.unchanged));
    fs::write(&file.path, "{\"workers\": [\"h1\"]}").unwrap();
    let back = file.ensure(&lock, &mut no_fence).unwrap();
    assert_eq!(back.own, wanted[1..].iter().cloned().collect());
    assert_eq!(file.enable(&lock, &host("h1"), &mut no_fence).unwrap().changed, []);
    assert_eq!(file.enable(&lock, &host("h2"), &mut no_fence).unwrap().changed, wanted[1..2]);
    let last = file.enable(&lock, &host("h3"), &mut no_fence).unwrap();
    assert_eq!((last.changed.as_slice(), last.own.len()), (&wanted[2..], 0));
    assert_eq!(fs::read_to_string(&file.path).unwrap(), "{\"workers\": [\"h1\"]}");
    let files: Vec<_> = fs::read_dir(file.path.parent().unwrap()).unwrap().collect();
    assert_eq!(files.len(), 1, "nothing is left beside it");
}

#[test]
fn an_operators_file_is_byte_for_byte_as_before_when_all_of_ours_is_gone() {
    for text in [
        "{}",
        "{}\n",
        "{\"note\": \"mine\"}",
        "{\"workers\": []}",
        "{\"jobs\": {}, \"workers\": []}",
        "{\n  \"jobs\": {\n    \"db\": {\"allocations\": [\"h4\"]}\n  },\n  \"note\": \"mine\"\n}\n",
        "{\"workers\": [\"h9\"], \"jobs\": {\"api\": {\"allocations\": [\"h9\"]}}}\n",
    ] {
        let (_dir, file, lock) = bucket();
        fs::write(&file.path, text).unwrap();
        let api = DisabledEntry::Allocation(JobName::parse("api").unwrap(), host("h2"));
        // Two rounds, as in two waves.
        for name in ["h1", "h2"] {
            let _ = file.disable(&lock, &[worker(name), api.clone()], &mut no_fence).unwrap();
            let _ = file.enable(&lock, &host(name), &mut no_fence).unwrap();
        }
        assert_eq!(fs::read_to_string(&file.path).unwrap(), text);
    }
}

#[test]
fn a_key_that_an_operator_wrote_meanwhile_is_theirs() {
    let (_dir, file, lock) = bucket();
    fs::write(&file.path, "{\"x\": 1}").unwrap();
    let path = file.path.clone();
    let mut first = true;
    let mut operator = || {
        if std::mem::take(&mut first) {
            by_rename(&path, "{\"x\": 1, \"workers\": []}");
        }
        true
    };
    let _ = file.disable(&lock, &[worker("h1")], &mut operator).unwrap();
    let _ = file.enable(&lock, &host("h1"), &mut no_fence).unwrap();
    assert_eq!(fs::read_to_string(&file.path).unwrap(), "{\"x\": 1, \"workers\": []}");
}

#[test]
fn a_file_that_is_only_ours_goes_with_the_last_entry() {
    let (_dir, file, lock) = bucket();
    let ours = [worker("h1"), worker("h2")];
    let _ = file.disable(&lock, &ours, &mut no_fence).unwrap();
    let _ = file.enable(&lock, &host("h1"), &mut no_fence).unwrap();
    assert!(file.path.exists());
    // An operator gets in between reading and changing.
    let path = file.path.clone();
    let mut operator = || {
        fs::write(&path, "{\"workers\": [\"h2\", \"p\"]}").unwrap();
        true
    };
    let _ = file.enable(&lock, &host("h2"), &mut operator).unwrap();
    assert_eq!(fs::read_to_string(&file.path).unwrap(), "{\"workers\": [\"p\"]}");
    fs::remove_file(&file.path).unwrap();
    let job = DisabledEntry::Allocation(JobName::parse("api").unwrap(), host("h3"));
    for entry in [worker("h3"), job] {
        let all = [entry];
        let _ = file.disable(&lock, &all, &mut no_fence).unwrap();
        let _ = file.enable(&lock, &host("h3"), &mut no_fence).unwrap();
        assert!(!file.path.exists());
        // An operator's own empty list, in another hand, stays.
        fs::write(&file.path, "{\"workers\": []}").unwrap();
        let _ = file.disable(&lock, &all, &mut no_fence).unwrap();
        let _ = file.enable(&lock, &host("h3"), &mut no_fence).unwrap();
        assert!(file.path.exists());
        fs::remove_file(&file.path).unwrap();
    }
    let files = fs::read_dir(file.path.parent().unwrap()).unwrap().count();
    assert_eq!(files, 0, "nothing is left beside it");
}

#[test]
fn nothing_changes_when_the_fence_or_the_lock_says_no() {
    let (dir, file, lock) = bucket();
    let refused = file.disable(&lock, &[worker("h")], &mut || false);
    assert!(matches!(refused, Err(DisabledError::GivenUp)));
    assert!(!file.path.exists());
    let _new = LockFile::replace(&dir.path().join("data/catalog.lock"), &"other").unwrap();
    let lost = file.disable(&lock, &[worker("h")], &mut no_fence);
    assert!(matches!(lost, Err(DisabledError::LockLost)));
}

#[test]
fn an_edit_between_reading_and_renaming_is_merged() {
    let (_dir, file, lock) = bucket();
    fs::write(&file.path, "{\"workers\": []}").unwrap();
    // The fence is asked between reading and renaming: an operator is as fast as can be.
    let mut operator = 0;
    let mut fence = || {
        operator += 1;
        if operator <= 3 {
            fs::write(&file.path, format!("{{\"workers\": [\"p{operator}\"]}}")).unwrap();
        }
        true
    };
    let change = file.disable(&lock, &[worker("h")], &mut fence).unwrap();
    assert_eq!(change.changed, [worker("h")]);
    assert_eq!(fs::read_to_string(&file.path).unwrap(), "{\"workers\": [\"p3\", \"h\"]}");
}

#[test]
fn a_broken_file_stays_as_the_operator_left_it() {
    let (_dir, file, lock) = bucket();
    fs::write(&file.path, "{\"workers\": [").unwrap();
    assert!(file.disable(&lock, &[worker("h")], &mut no_fence).is_err());
    assert_eq!(fs::read_to_string(&file.path).unwrap(), "{\"workers\": [");
}

#[test]
fn with_people_at_it_all_the_time_it_parses_at_every_instant_and_nobody_loses() {
    let (_dir, file, lock) = bucket();
    fs::write(&file.path, "{\"workers\": []}").unwrap();
    let done = AtomicBool::new(false);
    let mut last = 0;
    std::thread::scope(|scope| {
        let operator = scope.spawn(|| {
            let mut count = 0;
            while !done.load(Ordering::SeqCst) {
                // As an editor does: a whole new file by rename. What it holds of ours is lost
                // with that, as with a git checkout.
                count += 1;
                let beside = file.path.with_extension("operator");
                fs::write(&beside, format!("{{\"workers\": [\"p{count}\"], \"n\": {count}}}")).unwrap();
                fs::rename(&beside, &file.path).unwrap();
                std::thread::yield_now();
            }
            count
        });
        let reader = scope.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                let text = fs::read_to_string(&file.path).unwrap();
                serde_json::from_str::<serde_json::Value>(&text).expect("whole at every instant");
            }
        });
        for _ in 0..200 {
            // Losing against a loop is no harm, only a problem.
            if let Ok(change) = file.disable(&lock, &[worker("ours")], &mut no_fence) {
                assert_eq!(change.changed, [worker("ours")]);
                let _ = file.enable(&lock, &host("ours"), &mut no_fence);
            }
        }
        done.store(true, Ordering::SeqCst);
        last = operator.join().unwrap();
        reader.join().unwrap();
    });
    let _ = file.enable(&lock, &host("ours"), &mut no_fence).unwrap();
    let value: serde_json::Value = serde_json::from_str(&fs::read_to_string(&file.path).unwrap()).unwrap();
    assert_eq!(
        value,
        serde_json::json!({"workers": [format!("p{last}")], "n": last}),
        "the last edit stands"
    );
}

/// What an operator does in the instant of a crash.
type Operator = fn(&Path);

fn by_rename(path: &Path, text: &str) {
    let beside = path.with_extension("operator");
    fs::write(&beside, text).unwrap();
    fs::rename(&beside, path).unwrap();
}

/// A crash of `disable h` at `point`, then an operator's change, then the repeat and an `enable`.
fn after_a_crash(text: Option<&str>, point: Point, operator: Operator) -> (DisabledChange, Option<String>) {
    let (_dir, file, lock) = bucket();
    if let Some(text) = text {
        fs::write(&file.path, text).unwrap();
    }
    let crashed = failpoint::testing::crash(
        move |at| assert_ne!(at, point, "the crash that is wanted"),
        || file.disable(&lock, &[worker("h")], &mut no_fence),
    );
    assert!(crashed);
    operator(&file.path);
    let repeat = file.disable(&lock, &[worker("h")], &mut no_fence).unwrap();
    let _ = file.enable(&lock, &host("h"), &mut no_fence).unwrap();
    let _ = file.enable(&lock, &host("h"), &mut no_fence).unwrap();
    (repeat, fs::read_to_string(&file.path).ok())
}

const POINTS: [Point; 3] = [Point::Recorded, Point::Swapped, Point::Noted];

#[test]
fn after_a_crash_anywhere_ours_is_ours() {
    for point in POINTS {
        for text in [None, Some("{\"workers\": [\"p\"]}")] {
            let (repeat, end) = after_a_crash(text, point, |_| {});
            assert_eq!(repeat.changed, [worker("h")], "{point:?} {text:?}");
            assert_eq!(end.as_deref(), text, "{point:?}");
        }
    }
}

#[test]
fn what_an_operator_added_after_a_crash_before_the_change_stays() {
    let texts: [(Option<&str>, Operator); 3] = [
        (None, |path| by_rename(path, "{\"workers\": [\"h\"]}")),
        (Some("{\"workers\": []}"), |path| by_rename(path, "{\"workers\": [\"h\"]}")),
        // The very same change as ours, to the byte.
        (Some("{\"workers\": [\"p\"]}"), |path| fs::write(path, "{\"workers\": [\"p\", \"h\"]}").unwrap()),
    ];
    for (text, operator) in texts {
        let (repeat, end) = after_a_crash(text, Point::Recorded, operator);
        assert_eq!(repeat.unchanged, [worker("h")], "{text:?}");
        assert!(end.unwrap().contains("\"h\""), "{text:?}");
    }
}

#[test]
fn what_an_operator_writes_around_our_entry_after_a_crash_does_not_make_it_theirs() {
    for point in [Point::Swapped, Point::Noted] {
        let text = Some("{\"workers\": []}");
        let edited = |path: &Path| by_rename(path, "{\"workers\": [\"h\", \"p\"]}");
        let (repeat, end) = after_a_crash(text, point, edited);
        assert_eq!(repeat.changed, [worker("h")]);
        assert_eq!(end.as_deref(), Some("{\"workers\": [\"p\"]}"), "{point:?}");
    }
}

#[test]
fn what_cannot_be_told_stays_and_is_said_until_an_operator_removes_it() {
    let (_dir, file, lock) = bucket();
    // There was no file, so nothing came out of the exchange; and an operator has put another one there.
    let crashed = failpoint::testing::crash(
        |at| assert_ne!(at, Point::Swapped, "the crash that is wanted"),
        || file.disable(&lock, &[worker("h")], &mut no_fence),
    );
    assert!(crashed);
    by_rename(&file.path, "{\"workers\": [\"h\", \"p\"]}");
    for _ in 0..2 {
        let repeat = file.disable(&lock, &[worker("h")], &mut no_fence).unwrap();
        assert_eq!((repeat.ambiguous.as_slice(), repeat.own.len()), (&[worker("h")][..], 0));
        let change = file.enable(&lock, &host("h"), &mut no_fence).unwrap();
        assert_eq!((change.changed.as_slice(), change.ambiguous.as_slice()), (&[][..], &[worker("h")][..]));
    }
    by_rename(&file.path, "{\"workers\": [\"p\"]}");
    assert_eq!(file.disable(&lock, &[worker("h")], &mut no_fence).unwrap().changed, [worker("h")]);
    assert_eq!(file.enable(&lock, &host("h"), &mut no_fence).unwrap().changed, [worker("h")]);
}

#[test]
fn a_crash_in_enable_takes_nothing_of_anybody_else() {
    for point in POINTS {
        let (_dir, file, lock) = bucket();
        fs::write(&file.path, "{\"workers\": [\"p\"]}").unwrap();
        let _ = file.disable(&lock, &[worker("h")], &mut no_fence).unwrap();
        let crashed = failpoint::testing::crash(
            move |at| assert_ne!(at, point, "the crash that is wanted"),
            || file.enable(&lock, &host("h"), &mut no_fence),
        );
        assert!(crashed);
        if point != Point::Recorded {
            // From now on an operator wants it disabled.
            by_rename(&file.path, "{\"workers\": [\"p\", \"h\"]}");
        }
        let repeat = file.enable(&lock, &host("h"), &mut no_fence).unwrap();
        assert!(repeat.own.is_empty());
        let theirs = fs::read_to_string(&file.path).unwrap().contains("\"h\"");
        assert_eq!(theirs, point != Point::Recorded, "{point:?}");
    }
}

#[test]
fn an_operators_edit_that_was_pushed_out_in_the_instant_of_a_crash_goes_back() {
    let (_dir, file, lock) = bucket();
    fs::write(&file.path, "{\"workers\": []}").unwrap();
    let path = file.path.clone();
    // As it is on disk when an operator wrote between our read and the exchange, and the power went.
    let crashed = failpoint::testing::crash(
        move |at| {
            assert_eq!(at, Point::Recorded);
            let beside = path.with_file_name(exchange::name_beside(&path, "maand"));
            let ours = fs::read_to_string(&beside).unwrap();
            fs::write(&path, ours).unwrap();
            fs::write(&beside, "{\"workers\": [\"p\", \"h\"]}").unwrap();
            panic!("the crash that is wanted");
        },
        || file.disable(&lock, &[worker("h")], &mut no_fence),
    );
    assert!(crashed);
    let repeat = file.disable(&lock, &[worker("h")], &mut no_fence).unwrap();
    assert_eq!(repeat.unchanged, [worker("h")]);
    assert_eq!(fs::read_to_string(&file.path).unwrap(), "{\"workers\": [\"p\", \"h\"]}");
    assert_eq!(fs::read_dir(file.path.parent().unwrap()).unwrap().count(), 1);
}

#[test]
fn the_record_of_another_run_counts_for_nothing_and_a_broken_one_stops() {
    let (dir, file, lock) = bucket();
    let _ = file.disable(&lock, &[worker("h")], &mut no_fence).unwrap();
    let bucket = Bucket::open(dir.path()).unwrap();
    let next = DisabledFile::of(&bucket, "r2", BTreeSet::new());
    assert_eq!(next.disable(&lock, &[worker("h")], &mut no_fence).unwrap().unchanged, [worker("h")]);
    fs::remove_file(&file.record).unwrap();
    // Without a record the journal counts.
    let known = DisabledFile::of(&bucket, "r1", BTreeSet::from([worker("h")]));
    assert_eq!(known.disable(&lock, &[worker("h")], &mut no_fence).unwrap().changed, [worker("h")]);
    fs::write(&file.record, "{").unwrap();
    let problems = known.enable(&lock, &host("h"), &mut no_fence).unwrap_err();
    let DisabledError::File(problems) = problems else { panic!("{problems:?}") };
    assert_eq!(problems.iter().next().unwrap().code, "maand::bucket::record");
}

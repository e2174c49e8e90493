//! A journal that an earlier version wrote must load for ever.

use maand::journal::{FILE, Journal, Mode, StoredState};

use super::support::{header, some_facts, started};

const KEPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/journal-v1.db");

#[test]
fn version_1_loads() {
    let dir = assert_fs::TempDir::new().unwrap();
    std::fs::copy(KEPT, dir.path().join(FILE)).unwrap();
    let mut journal = Journal::open(dir.path(), Mode::ReadWrite).unwrap();
    journal.verify().unwrap();
    let run = journal.find(None).unwrap();
    let stored = journal.run(&run).unwrap();
    assert_eq!((stored.state, stored.epoch, stored.last_seq), (StoredState::Failed, 1, 15));
    assert_eq!(stored.header, header(3));
    let facts: Vec<_> = journal.read(&run).unwrap().map(|fact| fact.unwrap().fact).collect();
    assert_eq!(facts[0], started());
    assert_eq!(facts[1..], some_facts());
    journal.create_run(&header(1), &[started()]).unwrap();
}

/// Writes the file anew: `MAAND_TEST_WRITE_OLD_DATA=1 cargo test --test it old_data`. Only for a new
/// format, under a new name.
#[test]
fn write() {
    if std::env::var_os("MAAND_TEST_WRITE_OLD_DATA").is_none() {
        return;
    }
    let dir = assert_fs::TempDir::new().unwrap();
    let mut journal = Journal::open(dir.path(), Mode::ReadWrite).unwrap();
    let (run, _) = journal.create_run(&header(3), &[started()]).unwrap();
    journal.append(&run, 1, 7, &some_facts(), None).unwrap();
    journal.back_up(std::path::Path::new(KEPT)).unwrap();
}

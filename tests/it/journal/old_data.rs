//! A journal that an earlier version wrote must load for ever.

use std::path::{Path, PathBuf};

use maand::engine::PublicRunState;
use maand::engine::{AttemptId, Control};
use maand::journal::{
    FILE, Holder, Journal, JournalError, Mode, Output, OutputWriter, RequestState, RunId, RunLock,
};
use rusqlite::Connection;

use super::support::{header, prune, some_facts, started};

/// The format that this program writes.
const NEWEST: u32 = 3;

fn kept(version: u32) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/data/journal-v{version}.db"))
}

/// A folder with a journal of that version.
fn stored(version: u32) -> assert_fs::TempDir {
    let dir = assert_fs::TempDir::new().unwrap();
    std::fs::copy(kept(version), dir.path().join(FILE)).unwrap();
    dir
}

fn version_of(dir: &Path) -> u32 {
    let db = Connection::open(dir.join(FILE)).unwrap();
    db.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap()
}

/// Everything that was written into it comes out.
fn is_whole(journal: &Journal) -> RunId {
    journal.verify().unwrap();
    let run = journal.find(None).unwrap();
    let stored = journal.run(&run).unwrap();
    assert_eq!((stored.state, stored.epoch, stored.last_seq), (PublicRunState::Failed, 1, 15));
    assert_eq!(stored.header, header(3));
    let facts: Vec<_> = journal.read(&run).unwrap().map(|fact| fact.unwrap().fact).collect();
    assert_eq!(facts[0], started());
    assert_eq!(facts[1..], some_facts());
    run
}

#[test]
fn every_version_loads_and_takes_new_runs() {
    for version in 1..=NEWEST {
        let dir = stored(version);
        let mut journal = Journal::open(dir.path(), Mode::ReadWrite).unwrap();
        let run = is_whole(&journal);
        assert_eq!(version_of(dir.path()), NEWEST);
        if version >= 2 {
            let (host, output) = &journal.read_output(&run, AttemptId(2)).unwrap()[0];
            assert_eq!((host.as_str(), output.text().as_str()), ("w2", "shutdown: permission denied\n"));
            assert_eq!(journal.request_state(1).unwrap(), RequestState::Pending);
        }
        let (new, _) = journal.create_run(&header(1), &[started()]).unwrap();
        journal.writer(&new, 1, 1).unwrap().append(7, &some_facts(), None).unwrap();
        assert_eq!(journal.read(&new).unwrap().map(Result::unwrap).count(), 15);
    }
}

#[test]
fn version_1_is_read_without_being_migrated() {
    let dir = stored(1);
    let reader = Journal::open(dir.path(), Mode::ReadOnly).unwrap();
    is_whole(&reader);
    assert_eq!(version_of(dir.path()), 1);
    assert_eq!(reader.durations().unwrap()["disable"], [0]);

    // Another process migrates it while it is being read.
    Journal::open(dir.path(), Mode::ReadWrite).unwrap();
    assert_eq!(version_of(dir.path()), NEWEST);
    is_whole(&reader);
}

#[test]
fn an_older_journal_is_not_migrated_while_a_run_is_carried_out() {
    let dir = stored(1);
    let mut another = Holder::this_process(None, 0);
    another.process.pid += 1;
    let lock = RunLock::acquire(dir.path(), &another).unwrap();
    let refused = Journal::open(dir.path(), Mode::ReadWrite).unwrap_err();
    assert!(matches!(refused, JournalError::OlderInUse { .. }), "{refused}");
    assert_eq!(version_of(dir.path()), 1);
    is_whole(&Journal::open(dir.path(), Mode::ReadOnly).unwrap());
    // Who holds the lock itself has no run under way: it has just come to open the journal.
    lock.write(&Holder::this_process(None, 0)).unwrap();
    is_whole(&Journal::open(dir.path(), Mode::ReadWrite).unwrap());
    assert_eq!(version_of(dir.path()), NEWEST);
}

#[test]
fn a_migrated_run_is_forgotten_with_its_header() {
    let dir = stored(1);
    let mut journal = Journal::open(dir.path(), Mode::ReadWrite).unwrap();
    assert_eq!(prune(&mut journal, 0, i64::MAX), 1);
    drop(journal);
    let db = Connection::open(dir.path().join(FILE)).unwrap();
    for table in ["run", "run_header", "fact", "worker_end", "output", "request"] {
        let left: i64 = db.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap();
        assert_eq!(left, 0, "{table}");
    }
}

/// Writes the file of the newest format: `MAAND_TEST_WRITE_OLD_DATA=1 cargo test --test it old_data`. Only
/// for a new format, under a new name.
#[test]
fn write() {
    if std::env::var_os("MAAND_TEST_WRITE_OLD_DATA").is_none() {
        return;
    }
    let dir = assert_fs::TempDir::new().unwrap();
    let mut journal = Journal::open(dir.path(), Mode::ReadWrite).unwrap();
    let (run, _) = journal.create_run(&header(3), &[started()]).unwrap();
    let mut output = Output::default();
    output.push(b"shutdown: permission denied\n");
    OutputWriter::open(&journal, &run).unwrap().write(AttemptId(2), &[("w2", output)]).unwrap();
    journal.request(&run, &Control::Pause { reason: None }, "me@here", 6).unwrap();
    journal.writer(&run, 1, 1).unwrap().append(7, &some_facts(), None).unwrap();
    drop(journal);
    let db = Connection::open(dir.path().join(FILE)).unwrap();
    db.execute("VACUUM INTO ?1", [kept(NEWEST).to_string_lossy()]).unwrap();
}

//! Damaged, foreign, newer and unwritable journals: each is told from the others.

use std::os::unix::fs::PermissionsExt;

use maand::engine::Fact;
use maand::journal::{FILE, Journal, JournalError, Mode, RunId, codes};
use rusqlite::Connection;

use super::support::{header, some_facts, started};

fn filled() -> (assert_fs::TempDir, RunId) {
    let dir = assert_fs::TempDir::new().unwrap();
    let mut journal = Journal::open(dir.path(), Mode::ReadWrite).unwrap();
    let (run, _) = journal.create_run(&header(2), &[started()]).unwrap();
    journal.writer(&run, 1, 1).unwrap().append(7, &some_facts(), None).unwrap();
    (dir, run)
}

/// What reading says after `sql` was done behind the journal's back.
fn after(sql: &str) -> JournalError {
    let (dir, run) = filled();
    let db = Connection::open(dir.path().join(FILE)).unwrap();
    db.execute_batch("DROP TRIGGER fact_is_append_only").unwrap();
    assert!(db.execute(sql, []).unwrap() > 0, "{sql} changed nothing");
    let journal = Journal::open(dir.path(), Mode::ReadOnly).unwrap();
    journal.read(&run).unwrap().find_map(Result::err).expect("reading said nothing")
}

#[test]
fn a_changed_fact_is_named() {
    for (sql, said) in [
        ("UPDATE fact SET fact = replace(fact, 'false', 'true') WHERE seq = 5", "fact 5 is not"),
        ("UPDATE fact SET at = at + 1 WHERE seq = 6", "fact 6 is not"),
        ("UPDATE fact SET epoch = 9 WHERE seq = 7", "fact 7 is not"),
        ("UPDATE fact SET chain = x'00' WHERE seq = 8", "fact 8 is not"),
        ("DELETE FROM fact WHERE seq = 9", "fact 9 is missing"),
        ("DELETE FROM fact WHERE seq = 15", "fact 15 is missing"),
        ("UPDATE run SET chain = zeroblob(16)", "fact 15, the newest, is not"),
        ("UPDATE run_header SET header = replace(header, 'w1', 'w9')", "the header or fact 1"),
    ] {
        let error = after(sql);
        assert!(matches!(error, JournalError::Corrupt { .. }), "{sql}: {error}");
        assert!(error.to_string().contains(said), "{sql}: {error}");
    }
}

#[test]
fn a_fact_can_not_be_changed_by_accident() {
    let (dir, _) = filled();
    let db = Connection::open(dir.path().join(FILE)).unwrap();
    let refused = db.execute("UPDATE fact SET at = 0", []).unwrap_err();
    assert!(refused.to_string().contains("never changed"), "{refused}");
}

#[test]
fn a_fact_of_a_newer_program_is_no_damage() {
    // Written by appending a fact whose text is then known to this program no more: the chain is right.
    use sha2::{Digest, Sha256};
    let (dir, run) = filled();
    let db = Connection::open(dir.path().join(FILE)).unwrap();
    let (n, last, chain): (i64, i64, Vec<u8>) = db
        .query_row("SELECT n, last_seq, chain FROM run", [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .unwrap();
    let text = r#"{"type":"from_the_future","x":1}"#;
    let next = &Sha256::new()
        .chain_update(chain)
        .chain_update((last as u64 + 1).to_le_bytes())
        .chain_update(8_i64.to_le_bytes())
        .chain_update(1_u64.to_le_bytes())
        .chain_update(text)
        .finalize()[..16];
    db.execute("INSERT INTO fact VALUES (?1, ?2, 8, 1, ?3, ?4)", rusqlite::params![n, last + 1, text, next])
        .unwrap();
    db.execute("UPDATE run SET last_seq = ?1, chain = ?2", rusqlite::params![last + 1, next]).unwrap();
    let journal = Journal::open(dir.path(), Mode::ReadOnly).unwrap();
    let error = journal.read(&run).unwrap().find_map(Result::err).unwrap();
    assert!(matches!(error, JournalError::NewerFact { seq: 16, .. }), "{error}");
    assert!(error.to_string().contains("from_the_future"), "{error}");
}

#[test]
fn files_that_are_not_ours_are_refused_and_left_alone() {
    let dir = assert_fs::TempDir::new().unwrap();
    let path = dir.path().join(FILE);
    std::fs::write(&path, "this is not a database at all, and it is long enough to be looked at").unwrap();
    let before = std::fs::read(&path).unwrap();
    assert!(matches!(Journal::open(dir.path(), Mode::ReadWrite), Err(JournalError::Foreign { .. })));
    assert_eq!(std::fs::read(&path).unwrap(), before);

    std::fs::remove_file(&path).unwrap();
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE theirs (x)").unwrap();
    assert!(matches!(Journal::open(dir.path(), Mode::ReadWrite), Err(JournalError::Foreign { .. })));

    let (dir, _) = filled();
    Connection::open(dir.path().join(FILE)).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let error = Journal::open(dir.path(), Mode::ReadWrite).unwrap_err();
    assert!(matches!(error, JournalError::NewerFormat { found: 99, .. }), "{error}");
}

#[test]
fn a_torn_page_is_found_when_a_run_is_taken_up_again() {
    let dir = assert_fs::TempDir::new().unwrap();
    let mut journal = Journal::open(dir.path(), Mode::ReadWrite).unwrap();
    let (run, _) = journal.create_run(&header(2), &[started()]).unwrap();
    let mut writer = journal.writer(&run, 1, 1).unwrap();
    for wave in 0..200 {
        writer.append(7, &[Fact::WaveStarted { wave }], None).unwrap();
    }
    drop((journal, writer));
    let path = dir.path().join(FILE);
    let mut bytes = std::fs::read(&path).unwrap();
    let pages = bytes.len() / 4096;
    assert!(pages > 6, "the WAL went into the file when it was closed");
    for page in 3..pages {
        bytes[page * 4096..page * 4096 + 64].fill(0xa5);
    }
    std::fs::write(&path, bytes).unwrap();
    let mut journal = Journal::open(dir.path(), Mode::ReadWrite).unwrap();
    assert!(matches!(journal.raise_epoch(&run), Err(JournalError::Corrupt { .. })));
}

#[test]
fn a_missing_or_unwritable_journal_is_said() {
    let dir = assert_fs::TempDir::new().unwrap();
    assert!(matches!(Journal::open(dir.path(), Mode::ReadOnly), Err(JournalError::NoJournal { .. })));
    // Its first writer is about to fill it.
    std::fs::write(dir.path().join(FILE), "").unwrap();
    assert!(matches!(Journal::open(dir.path(), Mode::ReadOnly), Err(JournalError::NoJournal { .. })));
    drop(Journal::open(dir.path(), Mode::ReadWrite).unwrap());
    assert_eq!(Journal::open(dir.path(), Mode::ReadOnly).unwrap().runs().unwrap().len(), 0);
    std::fs::write(dir.path().join("file"), "").unwrap();
    let below_a_file = Journal::open(&dir.path().join("file/data"), Mode::ReadWrite).unwrap_err();
    assert!(matches!(below_a_file, JournalError::Create { .. }), "{below_a_file}");
    assert_eq!(below_a_file.code(), codes::READ_ONLY);
}

#[test]
fn only_the_owner_may_read_it() {
    let (dir, _) = filled();
    let mode = std::fs::metadata(dir.path().join(FILE)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let journal = Journal::open(dir.path(), Mode::ReadWrite).unwrap();
    for beside in std::fs::read_dir(dir.path()).unwrap() {
        let beside = beside.unwrap();
        assert_eq!(beside.metadata().unwrap().permissions().mode() & 0o077, 0, "{:?}", beside.path());
    }
    drop(journal);
}

#[test]
fn too_little_room_is_said_before_a_run() {
    let (dir, _) = filled();
    let journal = Journal::open(dir.path(), Mode::ReadWrite).unwrap();
    let error = journal.check_space(u64::MAX).unwrap_err();
    assert_eq!(error.code(), codes::FULL);
    assert!(error.to_string().contains("MiB free"), "{error}");
    journal.check_space(1).unwrap();
    assert!(Journal::space_for(10_000, 7) > Journal::space_for(3, 7));
}

/// A small disk of its own, where this user may mount one.
struct SmallDisk(assert_fs::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let dir = assert_fs::TempDir::new().unwrap();
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=512k,mode=700", "tmpfs"])
            .arg(dir.path())
            .output()
            .is_ok_and(|output| output.status.success());
        mounted.then(|| Self(dir))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_refuses_the_append_and_keeps_what_it_has() {
    let Some(disk) = SmallDisk::mount() else {
        crate::support::skipped("this user may not mount a tmpfs");
        return;
    };
    let dir = disk.0.path();
    let ballast = dir.join("ballast");
    std::fs::write(&ballast, vec![0; 128 << 10]).unwrap();
    let mut journal = Journal::open(dir, Mode::ReadWrite).unwrap();
    let (run, _) = journal.create_run(&header(2), &[started()]).unwrap();
    let mut writer = journal.writer(&run, 1, 1).unwrap();
    let mut appended = 1;
    let error = loop {
        match writer.append(7, &some_facts()[..3], None) {
            Ok(stamped) => appended += stamped.len(),
            Err(error) => break error,
        }
        assert!(appended < 100_000, "the disk does not get full");
    };
    assert!(matches!(error, JournalError::DiskFull { .. }), "{error}");
    assert_eq!(journal.read(&run).unwrap().map(Result::unwrap).count(), appended);
    std::fs::remove_file(ballast).unwrap();
    let next = writer.append(8, &[Fact::BeforeDone], None).unwrap();
    assert_eq!(next[0].seq as usize, appended + 1);
    journal.verify().unwrap();
}

//! The journal in a real PostgreSQL: it keeps the promises that it keeps in a file, holds the same bytes, and does not
//! believe a server that may forget.

use std::io::Write;
use std::time::{Duration, Instant};

use maand::engine::{AttemptId, Control, Fact};
use maand::journal::{Address, Journal, JournalError, Mode, NoticeStore, Output, OutputWriter, RunText};
use rustix::process::Signal;

use super::PROMISES;
use super::support::{header, some_facts, started};
use crate::support::postgres::Postgres;

#[test]
fn it_keeps_every_promise_that_a_file_does() {
    let Some(postgres) = Postgres::start(&[]) else { return };
    for (n, (name, promise)) in PROMISES.iter().enumerate() {
        // Of the one that fails it is the last.
        let _ = writeln!(std::io::stderr(), "{name}");
        // A bucket of its own.
        let address = postgres.ledger(&format!("b-{n}"));
        promise(&|mode| Journal::open_server(&address, mode).unwrap());
    }
}

/// A run that was written to one, in the other: facts, hashes and all, and both go on alike.
#[test]
fn both_have_the_same_bytes() {
    let Some(postgres) = Postgres::start(&[]) else { return };
    let dir = assert_fs::TempDir::new().unwrap();
    let mut file = Journal::open(dir.path(), Mode::ReadWrite).unwrap();
    let mut server = Journal::open_server(&postgres.ledger("b"), Mode::ReadWrite).unwrap();
    let (run, _) = file.create_run(&header(3), &[started()]).unwrap();
    file.request(&run, &Control::Pause { reason: None }, "me@here", 5).unwrap();
    let begun: RunText = file.text_of(&run).unwrap();
    server.put_in(&begun, 1, (6, &[])).unwrap();
    assert_eq!(server.text_of(&run).unwrap(), begun);
    for journal in [&file, &server] {
        let mut writer = journal.writer(&run, 1, 1).unwrap();
        for (n, facts) in some_facts().chunks(3).enumerate() {
            writer.append(1_000 + n as i64, facts, None).unwrap();
        }
    }
    let whole = file.text_of(&run).unwrap();
    assert_eq!(whole.facts.len(), some_facts().len() + 1);
    assert_eq!(server.text_of(&run).unwrap(), whole);
    assert_eq!(whole.chain_faults(), Vec::<String>::new());
    assert_eq!(file.runs().unwrap(), server.runs().unwrap());
    assert_eq!(file.marks(&run).unwrap().newest(), server.marks(&run).unwrap().newest());
    assert_eq!(file.attempts(&run).unwrap(), server.attempts(&run).unwrap());
}

/// All that a file keeps gets into a PostgreSQL and back: no row is another one.
#[test]
fn a_copy_is_the_same_and_goes_both_ways() {
    let Some(postgres) = Postgres::start(&[]) else { return };
    let (dir, back) = (assert_fs::TempDir::new().unwrap(), assert_fs::TempDir::new().unwrap());
    let mut file = Journal::open(dir.path(), Mode::ReadWrite).unwrap();
    let mut runs = Vec::new();
    for n in 0..3 {
        let (run, _) = file.create_run(&header(3), &[started()]).unwrap();
        file.request(&run, &Control::Pause { reason: None }, "me@here", 5).unwrap();
        let facts = if n < 2 { some_facts() } else { some_facts()[..3].to_vec() };
        file.writer(&run, 1, 1).unwrap().append(1_000 + n, &facts, None).unwrap();
        let mut output = Output::default();
        output.push(b"\0\xffnot text");
        OutputWriter::open(&file, &run).unwrap().write(AttemptId(4), &[("w1", output)]).unwrap();
        NoticeStore::open(&file, &run).unwrap().settle("ops", &(3, "halted".into()), 7, Some("no")).unwrap();
        runs.push(run);
    }
    file.raise_epoch(&runs[2]).unwrap();
    let mut server = Journal::open_server(&postgres.ledger("b"), Mode::ReadWrite).unwrap();
    let copied = file.copy_into(&mut server, &mut |_| {}).unwrap();
    assert_eq!(copied.runs, 3);
    let mut again = Journal::open(back.path(), Mode::ReadWrite).unwrap();
    assert_eq!(server.copy_into(&mut again, &mut |_| {}).unwrap(), copied);
    for other in [&server, &again] {
        assert_eq!(file.runs().unwrap(), other.runs().unwrap());
        for run in &runs {
            assert_eq!(file.text_of(run).unwrap(), other.text_of(run).unwrap());
            let output = |journal: &Journal| journal.read_output(run, AttemptId(4)).unwrap().remove(0).1;
            let (here, there) = (output(&file), output(other));
            assert_eq!((here.total(), here.head()), (there.total(), there.head()));
            assert_eq!(file.undelivered_notices(run).unwrap(), other.undelivered_notices(run).unwrap());
            assert_eq!(file.attempts(run).unwrap(), other.attempts(run).unwrap());
        }
        assert_eq!(other.inspect().unwrap().damage, Vec::<String>::new());
    }
    // What is there is not overwritten, and nothing of what is damaged is taken.
    let refused = file.copy_into(&mut server, &mut |_| {}).unwrap_err();
    assert!(matches!(refused, JournalError::NotEmpty { .. }), "{refused}");
    postgres.sql("DELETE FROM maand_b.fact WHERE seq = 4");
    let empty = assert_fs::TempDir::new().unwrap();
    let mut empty = Journal::open(empty.path(), Mode::ReadWrite).unwrap();
    let refused = server.copy_into(&mut empty, &mut |_| {}).unwrap_err();
    assert!(matches!(refused, JournalError::Corrupt { .. }), "{refused}");
    assert_eq!(empty.runs().unwrap(), []);
    let damage = server.inspect().unwrap().damage;
    assert!(damage.iter().any(|damage| damage.contains("fact 4 is missing")), "{damage:?}");
}

#[test]
fn facts_are_append_only_and_damage_is_noticed() {
    let Some(postgres) = Postgres::start(&[]) else { return };
    let mut journal = Journal::open_server(&postgres.ledger("b"), Mode::ReadWrite).unwrap();
    let (run, _) = journal.create_run(&header(1), &[started()]).unwrap();
    journal.writer(&run, 1, 1).unwrap().append(5, &some_facts(), None).unwrap();
    let refused = postgres.try_sql("UPDATE maand_b.fact SET at = 7").unwrap_err();
    assert!(refused.contains("facts are never changed"), "{refused}");
    let damage = |sql: &str| {
        postgres.sql(sql);
        match journal.read(&run).unwrap().find_map(Result::err) {
            Some(JournalError::Corrupt { what, .. }) => what,
            other => panic!("{sql}: {other:?}"),
        }
    };
    assert!(damage("DELETE FROM maand_b.fact WHERE seq = 4").contains("fact 4 is missing"));
    assert!(
        damage("UPDATE maand_b.run_header SET header = replace(header, 'rolling', 'rollin')")
            .contains("the header or fact 1 is not what was written")
    );
}

#[test]
fn a_server_that_may_forget_is_refused() {
    let Some(postgres) = Postgres::start(&["synchronous_commit=off", "full_page_writes=off"]) else { return };
    let error = Journal::open_server(&postgres.ledger("b"), Mode::ReadWrite).unwrap_err();
    let JournalError::UnsafeSettings { settings, .. } = &error else { panic!("{error}") };
    assert_eq!(settings, "synchronous_commit off, full_page_writes off");
}

#[test]
fn what_cannot_be_opened_is_said() {
    let Some(mut postgres) = Postgres::start(&[]) else { return };
    let open = |address: &Address, mode| Journal::open_server(address, mode).unwrap_err();
    let address = postgres.ledger("b");
    assert!(matches!(open(&address, Mode::ReadOnly), JournalError::NoTables { .. }));
    drop(Journal::open_server(&address, Mode::ReadWrite).unwrap());
    postgres.sql("UPDATE maand_b.ledger SET version = 99");
    assert!(matches!(open(&address, Mode::ReadWrite), JournalError::NewerFormat { found: 99, .. }));
    let other = postgres.url().replace("maand@", "nobody@");
    let said = open(&Address::parse(&other, "b").unwrap(), Mode::ReadWrite).to_string();
    assert!(said.contains("role \"nobody\" does not exist"), "{said}");
    // What it may not look into is not "no run yet": a second one could be begun beside the first.
    postgres.sql("CREATE ROLE visitor LOGIN");
    let visitor = Address::parse(&postgres.url().replace("maand@", "visitor@"), "b").unwrap();
    for mode in [Mode::ReadOnly, Mode::ReadWrite] {
        let error = open(&visitor, mode);
        assert!(matches!(error, JournalError::NoRight { .. }), "{error}");
        assert!(error.to_string().contains("permission denied for schema maand_b"), "{error}");
    }
    // It has no TLS, and nobody has said that this is fine.
    let checked = postgres.url().replace("?sslmode=disable", "");
    let error = open(&Address::parse(&checked, "b").unwrap(), Mode::ReadWrite);
    assert!(error.to_string().contains("TLS"), "{error}");
    postgres.kill();
    let error = open(&address, Mode::ReadOnly);
    assert!(matches!(error, JournalError::Away { .. }), "{error}");
}

/// It keeps its sockets open, and takes what is sent.
#[test]
fn a_server_that_is_stopped_costs_a_bounded_time() {
    let Some(postgres) = Postgres::start(&[]) else { return };
    let mut journal = Journal::open_server(&postgres.ledger("b"), Mode::ReadWrite).unwrap();
    let (run, _) = journal.create_run(&header(1), &[started()]).unwrap();
    postgres.signal(Signal::STOP);
    let began = Instant::now();
    let error = journal.runs().unwrap_err();
    assert!(matches!(error, JournalError::Away { .. }), "{error}");
    assert!(began.elapsed() < Duration::from_secs(40), "{:?}", began.elapsed());
    postgres.signal(Signal::CONT);
    assert_eq!(journal.find(None).unwrap(), run);
}

#[test]
fn what_was_acknowledged_survives_the_servers_death() {
    let Some(mut postgres) = Postgres::start(&[]) else { return };
    let address = postgres.ledger("b");
    let mut journal = Journal::open_server(&address, Mode::ReadWrite).unwrap();
    let (run, _) = journal.create_run(&header(1), &[started()]).unwrap();
    let mut writer = journal.writer(&run, 1, 1).unwrap();
    for wave in 0..20 {
        writer.append(5, &[Fact::WaveStarted { wave }], None).unwrap();
    }
    postgres.kill();
    postgres.start_again();
    let journal = Journal::open_server(&address, Mode::ReadOnly).unwrap();
    assert_eq!(journal.read(&run).unwrap().map(Result::unwrap).count(), 21);
    // The connection was lost with it: it makes another one.
    writer.append(6, &[Fact::BeforeDone], None).unwrap();
    assert_eq!(journal.read(&run).unwrap().map(Result::unwrap).count(), 22);
}

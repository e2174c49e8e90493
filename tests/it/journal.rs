//! The journal on a real disk: what goes in comes out, damage is noticed, a crash loses nothing that
//! was acknowledged, and only the newest controller may write.

mod cli;
mod crash;
mod damage;
mod history;
mod lock;
mod old_data;
pub(crate) mod played;
mod postgres;
pub(crate) mod support;

use maand::engine::{AttemptId, Control, Fact, Outcome, PublicRunState};
use maand::journal::{
    Journal, JournalError, Mode, OUTPUT_HEAD, OUTPUT_TAIL, Output, OutputWriter, RequestState,
};
use support::{header, prune, some_facts, started};

/// Opens the one journal that a promise is tried on.
pub(crate) type Open<'o> = &'o (dyn Fn(Mode) -> Journal + Sync);

/// What a journal promises wherever it is: each is a test with a file, and all of them are tried with a PostgreSQL
/// (`postgres.rs`).
macro_rules! promises {
    ($($name:ident),* $(,)?) => {
        const PROMISES: &[(&str, fn(Open<'_>))] = &[$((stringify!($name), $name)),*];

        mod in_a_file {
            $(#[test]
            fn $name() {
                let dir = assert_fs::TempDir::new().unwrap();
                super::$name(&|mode| maand::journal::Journal::open(dir.path(), mode).unwrap());
            })*
        }
    };
}

promises! {
    facts_come_out_as_they_went_in,
    the_list_tells_how_runs_and_workers_ended,
    a_controller_of_a_lower_epoch_is_refused,
    a_request_is_taken_with_the_facts_that_follow_from_it,
    output_is_kept_bounded_and_says_what_it_left_out,
    output_is_written_in_a_thread_of_its_own_while_facts_are_appended,
    a_reader_sees_whole_appends_while_a_writer_writes,
}

fn facts_come_out_as_they_went_in(open: Open<'_>) {
    let mut journal = open(Mode::ReadWrite);
    let (run, mut written) = journal.create_run(&header(3), &[started()]).unwrap();
    let mut writer = journal.writer(&run, 1, 1).unwrap();
    for (n, facts) in some_facts().chunks(4).enumerate() {
        written.extend(writer.append(1_000 + n as i64, facts, None).unwrap());
    }
    assert_eq!(written.len(), some_facts().len() + 1);
    assert!(written.iter().zip(1..).all(|(stamped, seq)| stamped.seq == seq));
    let read: Vec<_> = journal.read(&run).unwrap().map(Result::unwrap).collect();
    assert_eq!(read, written);
    let late: Vec<_> = journal.read_after(&run, 5).unwrap().map(Result::unwrap).collect();
    assert_eq!(late, written[5..]);
    drop((journal, writer));

    let journal = open(Mode::ReadOnly);
    assert_eq!(journal.run(&run).unwrap().header, header(3));
    assert_eq!(journal.read(&run).unwrap().map(Result::unwrap).collect::<Vec<_>>(), written);
    assert_eq!(journal.find(None).unwrap(), run);
    assert_eq!(journal.find(Some(&run.as_str()[..9])).unwrap(), run);
    assert_eq!(journal.find(Some(&run.as_str()[14..])).unwrap(), run);
    match journal.find(Some("19990101")).unwrap_err() {
        JournalError::UnknownRun { name, newest } => {
            assert_eq!((name.as_str(), &newest[0].id), ("19990101", &run));
        }
        error => panic!("{error}"),
    }
}

fn the_list_tells_how_runs_and_workers_ended(open: Open<'_>) {
    let mut journal = open(Mode::ReadWrite);
    let (first, _) = journal.create_run(&header(3), &[started()]).unwrap();
    let list = journal.runs().unwrap();
    assert_eq!((list[0].workers, list[0].state), (3, PublicRunState::Running));
    assert_eq!(journal.unfinished().unwrap(), Some(first.clone()));
    let mut writer = journal.writer(&first, 1, 1).unwrap();
    writer.append(9, &some_facts(), None).unwrap();
    let run = &journal.runs().unwrap()[0];
    assert_eq!((run.succeeded, run.failed, run.skipped), (1, 0, 1));
    assert_eq!((run.state, run.finished_at), (PublicRunState::Failed, Some(9)));
    assert_eq!(journal.unfinished().unwrap(), None);
    let over = writer.append(9, &[Fact::BeforeDone], None).unwrap_err();
    assert!(matches!(over, JournalError::Finished { .. }), "{over}");
    let late = Fact::Finished { attempt: AttemptId(9), outcome: Outcome::unknown("late") };
    writer.append(20, &[late], None).unwrap();
    assert_eq!(journal.runs().unwrap()[0].finished_at, Some(9));
    assert!(matches!(journal.raise_epoch(&first), Err(JournalError::Finished { .. })));
    let durations = journal.durations().unwrap();
    assert_eq!(durations["disable"], [0]);
    assert!(!durations.contains_key("reboot"), "it had not gone well");

    let (second, _) = journal.create_run(&header(1), &[started()]).unwrap();
    let ids: Vec<_> = journal.runs().unwrap().into_iter().map(|run| run.id).collect();
    assert_eq!(ids, [second.clone(), first]);
    assert_eq!(prune(&mut journal, 0, 9), 0, "not old enough");
    assert_eq!(prune(&mut journal, 1, 10), 0, "among the newest");
    assert_eq!(prune(&mut journal, 0, 10), 1, "the unfinished one stays");
    assert_eq!(journal.find(None).unwrap(), second);
}

fn a_controller_of_a_lower_epoch_is_refused(open: Open<'_>) {
    let mut journal = open(Mode::ReadWrite);
    let (run, _) = journal.create_run(&header(1), &[started()]).unwrap();
    let mut old = journal.writer(&run, 1, 1).unwrap();
    old.append(5, &[Fact::BeforeDone], None).unwrap();
    let mut other = open(Mode::ReadWrite);
    let epoch = other.raise_epoch(&run).unwrap();
    // Where several machines count, a part of it is random.
    assert!(epoch == 2 || other.is_shared() && epoch > 2, "{epoch}");
    let mut new = other.writer(&run, epoch, 2).unwrap();
    let fenced = old.append(6, &[Fact::BeforeDone], None).unwrap_err();
    assert!(matches!(fenced, JournalError::Fenced { newest, own: 1, .. } if newest == epoch), "{fenced}");
    let stamped = new.append(7, &[Fact::WaveStarted { wave: 0 }], None).unwrap();
    assert_eq!((stamped[0].seq, stamped[0].epoch), (3, epoch));
    let fenced = old.append(8, &[Fact::BeforeDone], None).unwrap_err();
    assert!(matches!(fenced, JournalError::Fenced { .. }), "{fenced}");
    assert_eq!(other.read(&run).unwrap().map(Result::unwrap).count(), 3);
}

fn a_request_is_taken_with_the_facts_that_follow_from_it(open: Open<'_>) {
    let mut journal = open(Mode::ReadWrite);
    let (run, _) = journal.create_run(&header(1), &[started()]).unwrap();
    let mut runner = journal.writer(&run, 1, 1).unwrap();
    let mut other = open(Mode::ReadWrite);
    let pause = other.request(&run, &Control::Pause { reason: None }, "me@here", 5).unwrap();
    let retry = other.request(&run, &Control::Retry { hosts: vec!["w1".into()] }, "me@here", 6).unwrap();
    let pending = runner.pending_requests().unwrap();
    assert_eq!(pending.iter().map(|request| request.n).collect::<Vec<_>>(), [pause, retry]);
    assert_eq!(other.request_state(pause).unwrap(), RequestState::Pending);
    let paused = Fact::Paused { by: "me@here".into(), reason: "asked".into() };
    runner.append(7, &[paused], Some(pause)).unwrap();
    runner.refuse_request(retry, 8, "w1 has not failed").unwrap();
    assert_eq!(other.request_state(pause).unwrap(), RequestState::Taken);
    assert_eq!(other.request_state(retry).unwrap(), RequestState::Refused("w1 has not failed".into()));
    assert!(runner.pending_requests().unwrap().is_empty());
    assert_eq!(journal.runs().unwrap()[0].state, PublicRunState::Paused);
}

fn output_is_kept_bounded_and_says_what_it_left_out(open: Open<'_>) {
    let mut journal = open(Mode::ReadWrite);
    let (run, _) = journal.create_run(&header(1), &[started()]).unwrap();
    let attempt = AttemptId(7);
    let mut writer = OutputWriter::open(&journal, &run).unwrap();
    let (mut small, mut big) = (Output::default(), Output::default());
    for piece in ["grüß", " dich\n"] {
        small.push(piece.as_bytes());
        writer.write(attempt, &[("w1", small.clone())]).unwrap();
    }
    assert_eq!(journal.read_output(&run, attempt).unwrap()[0].1.text(), "grüß dich\n");
    for _ in 0..64 {
        big.push(&[b'x'; 4096]);
        writer.write(attempt, &[("w1", small.clone()), ("w2", big.clone())]).unwrap();
    }
    big.push(b"the end");
    writer.write(attempt, &[("w1", small.clone()), ("w2", big.clone())]).unwrap();
    let outputs = journal.read_output(&run, attempt).unwrap();
    let (host, big) = &outputs[1];
    assert_eq!(host, "w2");
    assert_eq!((big.head().len(), big.tail().len()), (OUTPUT_HEAD, OUTPUT_TAIL));
    assert_eq!(big.total(), 64 * 4096 + 7);
    assert!(big.text().ends_with("xthe end"));
    assert!(big.text().contains(&format!("[... {} bytes were not kept ...]", big.left_out())));
    let late = OutputWriter::open(&open(Mode::ReadOnly), &run);
    let refused = late.unwrap().write(attempt, &[("w3", big.clone())]).unwrap_err();
    assert!(matches!(refused, JournalError::ReadOnly { .. }), "{refused}");
    journal.writer(&run, 1, 1).unwrap().append(5, &[Fact::BeforeDone], None).unwrap();
    assert_eq!(journal.read(&run).unwrap().map(Result::unwrap).count(), 2);
}

fn output_is_written_in_a_thread_of_its_own_while_facts_are_appended(open: Open<'_>) {
    let mut journal = open(Mode::ReadWrite);
    let (run, _) = journal.create_run(&header(1), &[started()]).unwrap();
    let mut output = OutputWriter::open(&journal, &run).unwrap();
    let writing = std::thread::spawn(move || {
        let mut all = Output::default();
        for n in 0..200 {
            all.push(format!("line {n}\n").as_bytes());
            output.write(AttemptId(1), &[("w1", all.clone())]).unwrap();
        }
    });
    let mut writer = journal.writer(&run, 1, 1).unwrap();
    for wave in 0..200 {
        writer.append(5, &[Fact::WaveStarted { wave }], None).unwrap();
    }
    writing.join().unwrap();
    assert_eq!(journal.read(&run).unwrap().map(Result::unwrap).count(), 201);
    assert!(journal.read_output(&run, AttemptId(1)).unwrap()[0].1.text().ends_with("line 199\n"));
    journal.verify().unwrap();
}

fn a_reader_sees_whole_appends_while_a_writer_writes(open: Open<'_>) {
    let mut journal = open(Mode::ReadWrite);
    let (run, _) = journal.create_run(&header(1), &[started()]).unwrap();
    let mut writer = journal.writer(&run, 1, 1).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let journal = open(Mode::ReadOnly);
            let mut seen = 0;
            while seen < 301 {
                let count = journal.read(&run).unwrap().map(Result::unwrap).count();
                assert!(count >= seen && count % 3 == 1, "{count} facts: half an append was seen");
                seen = count;
            }
        });
        for _ in 0..100 {
            writer.append(5, &[Fact::BeforeDone, Fact::BeforeDone, Fact::BeforeDone], None).unwrap();
        }
    });
}

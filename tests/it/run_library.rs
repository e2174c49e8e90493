//! Runs as another program drives them, by the library: prepared, agreed to, started, watched, paused and
//! resumed, without a command line.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};

use maand::engine::{Control, PublicWorkerState, RunEnd, RunStatus, Stamped};
use maand::plan::source_from_bytes;
use maand::report::{PublicRunState, Reporter, RunView};
use maand::run::{
    Connector, Consent, Controlled, Left, Looked, Prepared, Resume, Run, RunError, RunOptions, RunReader,
    RunRequest, Site, explain, runs,
};

use crate::run_bench::RunBench;
use crate::run_faults::plan;
use crate::support::wait_until;

fn site(bench: &RunBench) -> Site {
    Site::find(Some(bench.dir.path()), Connector::default()).unwrap()
}

fn request(plan: &str) -> RunRequest {
    let source = source_from_bytes(plan, &std::fs::read(plan).unwrap()).unwrap();
    RunRequest::new(&source, Vec::new()).unwrap()
}

fn prepare(site: &Site, plan: &str) -> Result<Prepared, RunError> {
    Run::prepare(site, &request(plan), &|_| {})
}

/// Keeps the numbers of the facts, and how the run was left.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<(Vec<u64>, Option<PublicRunState>)>>);

/// Who holds the lock when it is said that the run has ended.
#[derive(Clone)]
struct Locks(std::path::PathBuf, Arc<Mutex<Vec<Option<maand::journal::Holder>>>>);

impl Reporter for Locks {
    fn fact(&mut self, stamped: &Stamped, _: &RunView) {
        if matches!(stamped.fact, maand::engine::Fact::RunFinished { .. }) {
            self.1.lock().unwrap().push(maand::journal::holder_of(&self.0));
        }
    }

    fn finish(&mut self, _: i64, _: &RunView) {}
}

impl Reporter for Kept {
    fn fact(&mut self, stamped: &Stamped, _: &RunView) {
        self.0.lock().unwrap().0.push(stamped.seq);
    }

    fn finish(&mut self, _: i64, view: &RunView) {
        self.0.lock().unwrap().1 = Some(view.state);
    }
}

#[test]
fn a_run_that_is_prepared_and_not_started_leaves_nothing() {
    let Some(bench) = RunBench::new(2) else { return };
    let plan = plan(&bench, 1);
    let (site, looked_at) = (site(&bench), Mutex::new(BTreeSet::new()));
    let boots = bench.boots();
    let progress = |looked: Looked<'_>| match looked {
        Looked::Begins(hosts) => assert_eq!(hosts.len(), 2),
        Looked::Ends(host, _) => assert!(looked_at.lock().unwrap().insert(host.to_owned())),
    };
    let prepared = Run::prepare(&site, &request(&plan), &progress).unwrap();
    let hosts = [bench.host(0), bench.host(1)];
    assert_eq!(*looked_at.lock().unwrap(), BTreeSet::from(hosts.clone()));
    let summary = &prepared.summary;
    assert_eq!((&summary.workers[..], summary.waves, summary.max_failures), (&hosts[..], 1, 1));
    assert_eq!((summary.steps.first().map(String::as_str), summary.steps.len()), (Some("disable"), 7));
    assert!(summary.unreachable.is_empty() && prepared.checks.len() == 2);
    // It holds the lock: no other process prepares one meanwhile.
    match prepare(&site, &plan) {
        Err(RunError::Locked(holder)) => assert_eq!(holder.process.pid, std::process::id()),
        other => panic!("{:?}", other.err()),
    }
    drop(prepared);
    assert!(runs(&site.bucket).unwrap().is_empty());
    assert_eq!((bench.claim(0), bench.claim(1)), (None, None));
    // Pending work is said, and workers that are away are, too, as far as they may fail.
    bench.write("workspace/jobs/web/notes", "pending work\n");
    bench.expect(0, &["build"]);
    bench.fleet.unplug(1);
    let prepared = prepare(&site, &plan).unwrap();
    assert!(
        prepared.pending.iter().flat_map(|pending| &pending.jobs).any(|change| change.job.as_str() == "web"),
        "{:?}",
        prepared.pending
    );
    assert_eq!(prepared.summary.unreachable[0].0, bench.host(1));
    drop(prepared);
    bench.fleet.unplug(0);
    match prepare(&site, &plan) {
        Err(RunError::NotReady(bad)) => assert_eq!((bad.refused.len(), bad.workers, bad.allowed), (2, 2, 1)),
        other => panic!("{:?}", other.err()),
    }
    assert_eq!(bench.boots(), boots);
}

#[test]
fn another_program_starts_pauses_reads_and_resumes_a_run() {
    let Some(bench) = RunBench::new(2) else { return };
    let plan = plan(&bench, 0);
    let (site, kept, boots) = (site(&bench), Kept::default(), bench.boots());
    let asked = bench.requests();
    let consent = Consent { by: "alice@web".to_owned() };
    let run = prepare(&site, &plan).unwrap().start(&consent).unwrap();
    let (id, reporter) = (run.id().clone(), kept.clone());
    let controller = std::thread::spawn(move || run.carry_out(RunOptions::new(reporter)));
    wait_until("a worker reboots", || bench.requests() != asked);
    assert!(bench.claim(0).unwrap().contains("alice@web"));
    let pause = Control::Pause { reason: Some("lunch".to_owned()) };
    match Run::control(&site, None, pause, "bob@web").unwrap() {
        Controlled::Taken(run) => assert_eq!(run, id),
        Controlled::Recorded { .. } | Controlled::ToCarryOut(_) => panic!("a controller is at work"),
    }
    let result = controller.join().unwrap().unwrap();
    assert!(matches!(&result.left, Left::Idle(RunStatus::Paused(_))), "{result:?}");
    let (seqs, state) = kept.0.lock().unwrap().clone();
    assert_eq!(state, Some(PublicRunState::Paused));
    assert!(seqs.is_sorted() && seqs.len() > 10, "{seqs:?}");
    // Read from outside, it is the same.
    let reader = RunReader::open(&site.bucket, Some(id.as_str())).unwrap();
    let (view, last) = reader.view().unwrap();
    assert_eq!((view.state, Some(&last)), (PublicRunState::Paused, seqs.last()));
    assert_eq!((reader.header.who.as_str(), reader.controller().is_none()), ("alice@web", true));
    assert_eq!(Path::new(&reader.header.plan_file), Path::new(&plan));
    let listed = runs(&site.bucket).unwrap();
    assert_eq!((listed.len(), listed[0].state), (1, PublicRunState::Paused));
    let waiting = explain(&site.bucket, None, &bench.host(1)).unwrap();
    assert!(waiting.why.contains("paused"), "{waiting:?}");
    // A second one is refused, and without a controller a request is recorded at once.
    assert!(matches!(prepare(&site, &plan), Err(RunError::Unfinished { run, .. }) if run == id));
    let again = Control::Pause { reason: Some("dinner".to_owned()) };
    let control = Run::control(&site, None, again, "bob@web");
    assert!(matches!(control, Ok(Controlled::Recorded { .. }) | Err(RunError::Refused(_))));
    let resume = || Resume { by: "bob@web".to_owned(), ..Resume::default() };
    let run = Run::resume(&site, resume()).unwrap();
    assert!(run.changes().is_empty());
    let locks = Locks(site.bucket.paths().data.clone(), Arc::default());
    let result = run.carry_out(RunOptions::new(locks.clone())).unwrap();
    assert!(matches!(result.left, Left::Idle(RunStatus::Finished(RunEnd::Succeeded))), "{result:?}");
    assert_eq!(
        *locks.1.lock().unwrap(),
        [None],
        "another run may begin when it is said that this one has ended"
    );
    bench.assert_rebooted_once(&boots, "by the library");
    assert_eq!((bench.claim(0), bench.claim(1)), (None, None));
    let named = Resume { run: Some(id.to_string()), ..resume() };
    let again = Run::resume(&site, named).err();
    assert!(matches!(again, Some(RunError::Finished { end: RunEnd::Succeeded, .. })), "{again:?}");
    let done = explain(&site.bucket, Some(id.as_str()), &bench.host(1)).unwrap();
    assert_eq!(done.state, PublicWorkerState::Succeeded);
}

//! A worker that boots by itself in the middle of a deploy of several.

use std::sync::mpsc::{Sender, channel};

use super::*;
use crate::catalog::{
    AllocationReport, Capabilities, CatalogAllocation, Cuts, HealthReport, HealthRequest, JobRequest, Report,
};
use crate::ssh::Cancel;

/// Says when it deploys. Where it is for `all` it ends when it is cancelled, else when it is ended on `h1`.
struct Made {
    all: bool,
    begun: Mutex<Sender<()>>,
}

impl Catalog for Made {
    fn capabilities(&self) -> Capabilities {
        Capabilities { contacts_every_worker: self.all }
    }

    fn build(&self, _: &Call) -> Result<(), CatalogError> {
        Ok(())
    }

    fn deploy(&self, request: &DeployRequest, call: &Call) -> Result<Report, CatalogError> {
        self.begun.lock().unwrap().send(()).unwrap();
        let ended = if self.all { call.cancel.clone() } else { call.cuts.of(&host("h1"), &call.cancel) };
        while !ended.is_cancelled() {
            std::thread::sleep(Duration::from_millis(5));
        }
        if self.all {
            return Err(CatalogError::Cancelled("deploy was cancelled".to_owned()));
        }
        let mut report = Report::default();
        for host in request.workers.iter().flatten() {
            let outcome = match call.cuts.of(host, &call.cancel).is_cancelled() {
                true => WorkerOutcome::Unknown { why: "ended".to_owned() },
                false => WorkerOutcome::Ok { evidence: "1 started".to_owned() },
            };
            report.workers.insert(host.clone(), outcome);
        }
        Ok(report)
    }

    fn pending(&self, _: &DeployRequest) -> Result<Vec<AllocationReport>, CatalogError> {
        unreachable!()
    }

    fn job(&self, _: &JobRequest, _: &Call) -> Result<Report, CatalogError> {
        unreachable!()
    }

    fn health(&self, _: &HealthRequest, _: &Call) -> Result<HealthReport, CatalogError> {
        unreachable!()
    }

    fn sync_check(&self, _: &[Host], _: &Call) -> Result<Report, CatalogError> {
        unreachable!()
    }

    fn allocations(&self) -> Result<Vec<CatalogAllocation>, CatalogError> {
        unreachable!()
    }
}

fn host(name: &str) -> Host {
    Host::parse(name).unwrap()
}

/// What a deploy of `h1` and `h2` comes to when `h1` has booted in its middle, and stands still since.
fn booted(all: bool, meanwhile: impl FnOnce(&Deployer)) -> BTreeMap<Host, Outcome> {
    let (begun, has_begun) = channel();
    let made = Made { all, begun: Mutex::new(begun) };
    let deployer = Deployer::new(Arc::new(made), Box::new(|| Ok(())));
    let call = Call {
        stopping: Cancel::new(),
        cancel: Cancel::new(),
        until: Instant::now() + Duration::from_secs(600),
        output: Arc::new(|_, _| ()),
        fence: None,
        cuts: Cuts::default(),
    };
    std::thread::scope(|scope| {
        let hosts = BTreeSet::from([host("h1"), host("h2")]);
        let kind = DeployKind { jobs: None, force: false };
        let deploys = scope.spawn(|| deployer.deploy(kind, hosts, &call, &|_| {}));
        has_begun.recv().unwrap();
        meanwhile(&deployer);
        deploys.join().unwrap()
    })
}

#[test]
fn one_that_is_for_single_workers_is_ended_on_that_one() {
    let outcomes = booted(false, |deployer| {
        assert!(deployer.cut(&host("h3"), Duration::ZERO), "nothing is under way there");
        assert!(deployer.cut(&host("h1"), Duration::from_secs(3600)), "whatever the others say");
    });
    assert!(matches!(outcomes[&host("h1")], Outcome::Unknown { .. }), "{outcomes:?}");
    assert_eq!(outcomes[&host("h2")], Outcome::noted("1 started"));
}

#[test]
fn one_that_is_for_all_is_ended_where_it_stands_still() {
    let outcomes = booted(true, |deployer| {
        assert!(!deployer.cut(&host("h1"), Duration::from_secs(3600)), "it may end by itself");
        assert!(deployer.cut(&host("h1"), Duration::ZERO));
    });
    for outcome in outcomes.values() {
        let Outcome::Unknown { why, .. } = outcome else { panic!("{outcome:?}") };
        assert!(why.starts_with("h1 has booted by itself in the middle of a deploy"), "{why}");
    }
    assert_eq!(outcomes.len(), 2);
}

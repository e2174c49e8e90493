//! What a deploy of the upstream program did to each worker, told from what its database said before
//! and after. Its exit code belongs to no worker and decides nothing alone.
//!
//! Two facts about it carry this. It commits its database at its end, also when jobs have failed, but
//! not when it gives up at the check of all workers or while it stops disabled allocations: so a row
//! that has changed shows that it got past both. And it promotes a job only when all of that job went
//! well. What neither shows is a failure, which can be tried again; unknown is never success.

use std::collections::{BTreeMap, BTreeSet};

use super::database::{Row, Snapshot};
use super::process::{Ended, How};
use super::verify::{self, Missing};
use crate::bucket::{Host, JobName};
use crate::catalog::{Action, AllocationReport, DeployRequest, WorkerOutcome};

/// The evidence of a deploy that found everything as it should be.
pub(super) const NOTHING: &str = "nothing to do";

/// What to do where two deploys were at work at the same time, and nothing is missing yet.
pub(super) const AFTER_OVERLAP: &str =
    "wait for its end, and run `maand deploy --force`: it may yet lose the files of its jobs on every worker";

/// A deploy with what was seen around it.
#[derive(Clone, Copy)]
pub(super) struct Deploy<'a> {
    pub(super) request: &'a DeployRequest,
    pub(super) before: &'a Snapshot,
    pub(super) after: &'a Snapshot,
    pub(super) ended: &'a Ended,
    /// Workers of the bucket that do not answer us, with why.
    pub(super) down: &'a BTreeMap<Host, String>,
    /// What was promoted, and is not on the workers.
    pub(super) missing: &'a Missing,
}

impl Deploy<'_> {
    /// Whether it got to its end, so that its database tells what it did.
    pub(super) fn committed(&self) -> bool {
        self.ended.succeeded() || self.ended.jobs_failed || self.before.rows != self.after.rows
    }

    /// What shows that another process deployed at the same time, or took the staged files away. Each deploy
    /// raises the number by one, unless it finds the database locked.
    pub(super) fn overlap(&self) -> Option<String> {
        let (before, after) = (self.before.update_seq, self.after.update_seq);
        let counted = (after > before + 1)
            .then(|| format!("another process deployed at the same time (update_seq {before} -> {after})"));
        self.ended.beside.harmful.clone().or(counted)
    }

    /// The outcome of each worker that was asked for.
    pub(super) fn workers(&self) -> BTreeMap<Host, WorkerOutcome> {
        let asked: BTreeSet<Host> = match &self.request.workers {
            Some(hosts) => hosts.iter().cloned().collect(),
            None => self.after.workers.keys().cloned().collect(),
        };
        asked.into_iter().map(|host| (host.clone(), self.worker(&host))).collect()
    }

    fn worker(&self, host: &Host) -> WorkerOutcome {
        if self.ended.was_cut() {
            return WorkerOutcome::Unknown {
                why: format!("{}{}", self.others_down(), self.ended.describe("deploy")),
            };
        }
        if let Some(jobs) = self.missing.get(host) {
            let why = self.overlap().map_or_else(String::new, |why| format!("; {why}"));
            let names = jobs.iter().map(|job| job.as_str()).collect::<Vec<_>>().join(", ");
            return self.failed(
                host,
                format!("files of {names} that were deployed are not there: {}{why}", verify::repair(jobs)),
            );
        }
        if let Some(why) = self.overlap() {
            let jobs: BTreeSet<JobName> = self.missing.values().flatten().cloned().collect();
            let then = if jobs.is_empty() {
                AFTER_OVERLAP.to_owned()
            } else {
                let hosts = self.missing.keys().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                format!("files of jobs are gone on {hosts}: {}", verify::repair(&jobs))
            };
            return self.failed(host, format!("{why}: {then}"));
        }
        if let Some(why) = self.down.get(host) {
            return WorkerOutcome::Unreachable { error: why.clone() };
        }
        if !self.committed() {
            return self.failed(host, format!("{}{}", self.others_down(), self.ended.describe("deploy")));
        }
        let mine = || self.after.rows.iter().filter(|((job, on), _)| on == host && self.in_scope(job));
        let pending: Vec<&str> = mine()
            .filter(|(_, row)| !row.disabled && !row.removed && !row.is_promoted())
            .map(|((job, _), _)| job.as_str())
            .collect();
        match pending.as_slice() {
            [] => WorkerOutcome::Ok { evidence: self.evidence(host) },
            jobs if self.ended.succeeded() => self.failed(
                host,
                format!(
                    "the upstream program says that it deployed, and its database that {} is not",
                    jobs.join(", ")
                ),
            ),
            jobs => self.failed(
                host,
                format!(
                    "not deployed: {}: {}{}",
                    jobs.join(", "),
                    self.others_down(),
                    self.ended.describe("deploy")
                ),
            ),
        }
    }

    /// First of all who is to blame, where that is another worker.
    fn others_down(&self) -> String {
        if self.down.is_empty() {
            return String::new();
        }
        // The program contacts all of them.
        let names: Vec<String> = self.down.iter().map(|(host, why)| format!("{host} ({why})")).collect();
        format!("a worker that does not answer fails it for every worker: {}; ", names.join(", "))
    }

    fn failed(&self, host: &Host, error: String) -> WorkerOutcome {
        WorkerOutcome::Failed { error, output: self.ended.output_of(host) }
    }

    /// Whether the deploy was for this job, too.
    pub(super) fn in_scope(&self, job: &JobName) -> bool {
        self.request.jobs.as_ref().is_none_or(|jobs| jobs.contains(job))
    }

    /// For whom a deploy has failed that did its part for this worker.
    fn failed_for(&self) -> String {
        let jobs: Vec<&str> = self.after.disabled_everywhere().iter().map(|job| job.as_str()).collect();
        match jobs.is_empty() || !self.ended.unrendered {
            true => "the deploy failed for others".to_owned(),
            false => format!("the rest failed, as {} is disabled on all workers", jobs.join(", ")),
        }
    }

    fn evidence(&self, host: &Host) -> String {
        let (mut started, mut changed, mut stopped) = (0, 0, 0);
        for ((job, on), row) in &self.after.rows {
            let before = self.before.rows.get(&(job.clone(), on.clone()));
            match before {
                _ if on != host => {}
                _ if row.disabled && !row.removed => stopped += u32::from(row.was_started()),
                Some(before) if !before.was_started() && row.was_started() => started += 1,
                Some(before) if before.previous_hash != row.previous_hash => changed += 1,
                Some(before) if before.current_version != row.current_version => changed += 1,
                _ => {}
            }
        }
        let mut words = Vec::new();
        for (count, what) in [(started, "started"), (changed, "updated"), (stopped, "stopped")] {
            if count > 0 {
                words.push(format!("{count} {what}"));
            }
        }
        match words.as_slice() {
            [] if self.ended.succeeded() => NOTHING.to_owned(),
            [] => format!("nothing to do here; {}", self.failed_for()),
            words if self.ended.succeeded() => words.join(", "),
            words => format!("{}; {}", words.join(", "), self.failed_for()),
        }
    }
}

/// What the next deploy does to an allocation, as far as the database tells; changes of files that no
/// deploy has staged yet are not in it.
pub(super) fn pending(job: &JobName, host: &Host, row: &Row) -> AllocationReport {
    let (action, reason) = match row {
        row if row.removed && row.was_started() => (Action::Remove, "no longer selected for this worker"),
        row if row.removed => (Action::Skip, "removed"),
        row if row.disabled => (Action::Skip, "disabled"),
        row if !row.was_started() => (Action::Start, "new, or enabled again"),
        row if row.previous_hash != row.current_hash => (Action::Restart, "changed"),
        row if !row.has_version() => (Action::Restart, "another version"),
        _ => (Action::Skip, "deployed as built"),
    };
    AllocationReport {
        job: job.clone(),
        host: host.clone(),
        action,
        reason: reason.to_owned(),
        outcome: None,
    }
}

/// The same outcome for all that were asked for.
pub(super) fn all(
    request: &DeployRequest,
    snapshot: &Snapshot,
    outcome: &WorkerOutcome,
) -> BTreeMap<Host, WorkerOutcome> {
    let hosts: Vec<&Host> = match &request.workers {
        Some(hosts) => hosts.iter().collect(),
        None => snapshot.workers.keys().collect(),
    };
    hosts.into_iter().map(|host| (host.clone(), outcome.clone())).collect()
}

/// Whether it is worth to wait for workers that are down and to try again.
pub(super) fn waits_for_workers(deploy: &Deploy<'_>) -> bool {
    matches!(deploy.ended.how, How::Exit(code) if code != 0) && !deploy.committed() && !deploy.down.is_empty()
}

/// Whether what was asked for has to be started, and waits for a job that is disabled everywhere: that program
/// drops the ports of such a job, and cannot render a template that names one.
pub(super) fn waits_for_jobs(deploy: &Deploy<'_>) -> bool {
    let hosts = deploy.request.workers.as_deref();
    let asked = |host: &Host| hosts.is_none_or(|hosts| hosts.contains(host));
    let waits = |((job, host), row): (&(JobName, Host), &Row)| {
        !row.disabled && !row.removed && !row.was_started() && asked(host) && deploy.in_scope(job)
    };
    deploy.ended.unrendered
        && deploy.committed()
        && deploy.overlap().is_none()
        && !deploy.after.disabled_everywhere().is_empty()
        && deploy.after.rows.iter().any(waits)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{ended, host, row, snapshot};
    use super::*;

    struct Case {
        before: Snapshot,
        after: Snapshot,
        ended: Ended,
        down: BTreeMap<Host, String>,
        missing: Missing,
        request: DeployRequest,
    }

    impl Case {
        /// Two jobs on two workers, all deployed; h1 is asked for.
        fn new(code: i32) -> Self {
            let before = snapshot(7, &["api", "db"], &["h1", "h2"]);
            let mut after = before.clone();
            after.update_seq += 1;
            Self {
                before,
                after,
                ended: ended(How::Exit(code), "sad"),
                down: BTreeMap::new(),
                missing: Missing::new(),
                request: DeployRequest { workers: Some(vec![host("h1")]), ..DeployRequest::default() },
            }
        }

        fn outcome(&self) -> WorkerOutcome {
            let Self { before, after, ended, down, missing, request } = self;
            let workers = Deploy { request, before, after, ended, down, missing }.workers();
            assert_eq!(workers.len(), 1);
            workers[&host("h1")].clone()
        }

        fn error(&self) -> String {
            match self.outcome() {
                WorkerOutcome::Failed { error, .. } => error,
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_success_is_what_the_database_says() {
        let mut case = Case::new(0);
        assert_eq!(case.outcome(), WorkerOutcome::Ok { evidence: "nothing to do".into() });
        row(&mut case.before, "api", "h1").previous_hash = None;
        row(&mut case.before, "db", "h1").current_version = None;
        row(&mut case.before, "db", "h2").previous_hash = None;
        assert_eq!(case.outcome(), WorkerOutcome::Ok { evidence: "1 started, 1 updated".into() });
        row(&mut case.after, "api", "h1").disabled = true;
        assert_eq!(case.outcome(), WorkerOutcome::Ok { evidence: "1 updated, 1 stopped".into() });
        row(&mut case.after, "db", "h1").previous_hash = Some("old".into());
        assert!(case.error().contains("its database that db is not"), "{}", case.error());
        case.request.jobs = Some(vec![JobName::parse("api").unwrap()]);
        assert!(case.outcome().is_ok(), "what was not asked for does not count");
    }

    #[test]
    fn without_a_commit_nothing_is_known_to_have_happened() {
        let mut case = Case::new(1);
        assert!(case.error().contains("ended with 1: sad"), "all was current before, and still is");
        // It may not have been stopped.
        row(&mut case.before, "api", "h1").disabled = true;
        row(&mut case.after, "api", "h1").disabled = true;
        assert!(case.error().contains("ended with 1"));
        case.down.insert(host("h2"), "no answer".into());
        assert!(case.error().contains("h2 (no answer)"));
        case.down.insert(host("h1"), "no answer".into());
        assert_eq!(case.outcome(), WorkerOutcome::Unreachable { error: "no answer".into() });
    }

    #[test]
    fn a_deploy_that_failed_for_others_has_done_its_part_here() {
        let mut case = Case::new(1);
        for (job, on) in [("api", "h1"), ("db", "h2")] {
            row(&mut case.before, job, on).previous_hash = None;
        }
        row(&mut case.after, "db", "h2").previous_hash = None;
        let WorkerOutcome::Ok { evidence } = case.outcome() else { panic!() };
        assert_eq!(evidence, "1 started; the deploy failed for others");
        row(&mut case.after, "db", "h1").previous_hash = Some("old".into());
        assert!(case.error().starts_with("not deployed: db: "), "{}", case.error());
    }

    #[test]
    fn what_was_cut_or_disturbed_is_never_a_success() {
        for how in [How::Cancelled, How::Deadline, How::Signal(9), How::Flood] {
            let mut case = Case::new(0);
            case.ended = ended(how, "");
            assert!(matches!(case.outcome(), WorkerOutcome::Unknown { .. }));
        }
        let mut case = Case::new(0);
        case.after.update_seq += 1;
        assert!(case.error().contains("another process deployed at the same time"));
        // One that finds the database locked has raised nothing.
        let mut case = Case::new(0);
        case.ended.beside.harmful = Some("`maand deploy` (process 7) ran".into());
        assert!(
            case.error().starts_with("`maand deploy` (process 7) ran: wait for its end"),
            "{}",
            case.error()
        );
        let api = BTreeSet::from([JobName::parse("api").unwrap()]);
        case.missing.insert(host("h2"), api.clone());
        let repair = "`maand deploy --sync-only --force --jobs api`";
        assert!(case.error().contains(&format!("gone on h2: {repair}")), "{}", case.error());
        // Nothing has shown it but what is not there.
        case.ended.beside.harmful = None;
        assert!(case.outcome().is_ok(), "it has its own files");
        case.missing.insert(host("h1"), api);
        assert!(case.error().contains(&format!("api that were deployed are not there: {repair}")));
    }

    #[test]
    fn a_deploy_that_only_disables_has_done_its_part_when_it_came_to_its_end() {
        let mut case = Case::new(1);
        for job in ["api", "db"] {
            for snapshot in [&mut case.before, &mut case.after] {
                row(snapshot, job, "h1").disabled = true;
            }
        }
        assert!(case.error().contains("ended with 1"), "it may have died before or in the stops");
        case.ended.jobs_failed = true;
        let WorkerOutcome::Ok { evidence } = case.outcome() else { panic!("{:?}", case.outcome()) };
        assert_eq!(evidence, "2 stopped; the deploy failed for others");
        case.ended.unrendered = true;
        for snapshot in [&mut case.before, &mut case.after] {
            row(snapshot, "db", "h2").disabled = true;
        }
        let WorkerOutcome::Ok { evidence } = case.outcome() else { panic!("{:?}", case.outcome()) };
        assert_eq!(evidence, "2 stopped; the rest failed, as db is disabled on all workers");
    }

    #[test]
    fn pending_is_told_from_the_database() {
        let mut now = snapshot(7, &["api"], &["h1"]);
        let mut action = |change: &dyn Fn(&mut Row)| {
            let mut row = now.rows.values_mut().next().unwrap().clone();
            change(&mut row);
            pending(&JobName::parse("api").unwrap(), &host("h1"), &row).action
        };
        assert_eq!(action(&|_| {}), Action::Skip);
        assert_eq!(action(&|row| row.previous_hash = None), Action::Start);
        assert_eq!(action(&|row| row.current_hash = Some("new".into())), Action::Restart);
        assert_eq!(action(&|row| row.new_version = Some("2".into())), Action::Restart);
        assert_eq!(action(&|row| row.disabled = true), Action::Skip);
        assert_eq!(action(&|row| row.removed = true), Action::Remove);
    }
}

//! The rules of the loop as examples. Each rule says whether a loop keeps it: the real one does, and one with a
//! fault that concerns the rule does not.

use std::sync::Arc;
use std::time::Duration;

use super::fault::LoopFault;
use super::{Controller, ControllerError, Ended, Input, Ledger, MemoryLedger, Output, offline_facts};
use crate::bucket::{JobIx, WorkerIx};
use crate::engine::{
    AttemptId, Check, Control, DoubtAnswers, Fact, GateStanding, Millis, Options, Outcome, Request,
    Resolution, RunEnd, RunState, RunStatus, Timer,
};
use crate::graph::testing::{budget, command, compiled, fleet, gate, located, plan, step, worker};
use crate::graph::{Lane, StepIx, TargetIx};
use crate::plan::{Amount, BudgetBound, Concurrency, Plan, Reading, Step, StepKind, WaveSize};

fn pause(id: &str, seconds: u64) -> Step {
    step(id, StepKind::Pause { duration: Duration::from_secs(seconds) }, &[])
}

/// A loop that has begun a run of some workers, all at once, each with one command.
struct Case<L: Ledger> {
    controller: Controller<L>,
    now: Millis,
    /// What was handed out last.
    outputs: Vec<Output>,
}

impl Case<MemoryLedger> {
    fn new(workers: u32, fault: Option<LoopFault>, edit: impl FnOnce(&mut Plan)) -> Self {
        Self::begun(workers, MemoryLedger::default(), true, fault, edit).0
    }

    fn facts(&self) -> impl Iterator<Item = &Fact> {
        self.controller.ledger().facts.iter().map(|(_, fact)| fact)
    }

    fn ask(&mut self, n: i64, verb: Control) {
        let request = Request { n, verb, by: "operator@desk".to_owned(), at: self.now };
        self.controller.ledger_mut().requests.push(request);
    }
}

impl<L: Ledger> Case<L> {
    /// `false`: the ledger did not take the beginning.
    fn begun(
        workers: u32,
        ledger: L,
        interactive: bool,
        fault: Option<LoopFault>,
        edit: impl FnOnce(&mut Plan),
    ) -> (Self, bool) {
        let mut plan = plan();
        plan.rollout.concurrency.value = Concurrency::AtMost(Amount::Percent(100));
        plan.steps = vec![command("upgrade")];
        edit(&mut plan);
        let hosts = (1..=workers).map(|at| worker(&format!("w{at}"), &["api"], &[]));
        let graph = Arc::new(compiled(&plan, &fleet(hosts.collect(), &["api"])));
        let run = RunState::new(graph, Options { exclusive_catalog: false, time_scale: 1 });
        let controller = Controller::new(run, ledger, interactive).broken(fault);
        let mut case = Self { controller, now: 0, outputs: Vec::new() };
        let ready = |at| Check::Ready { boot_id: format!("boot-{at}"), state_dir: "/state".to_owned() };
        let facts = vec![
            Fact::RunStarted { workers, graph_hash: String::new(), seed: 1 },
            Fact::Preflight { checks: (1..=workers).map(ready).collect() },
        ];
        let taken = case.told(Input::Begin { facts, in_doubt: DoubtAnswers::default() }).is_ok();
        (case, taken)
    }

    fn told(&mut self, input: Input) -> Result<(), ControllerError<L::Error>> {
        self.outputs.clear();
        self.controller.handle(self.now, input, &mut self.outputs)
    }

    fn succeeds(&mut self, attempt: u64) -> bool {
        let (attempt, outcome) = (AttemptId(attempt), Outcome::noted("done"));
        self.told(Input::Finished { attempt, outcome }).is_ok()
    }

    fn ended(&self) -> Option<&Ended> {
        self.outputs.iter().find_map(|output| match output {
            Output::End(ended) => Some(ended),
            _ => None,
        })
    }
}

/// A gate that fails when nobody has opened it after so many seconds.
fn approval(id: &str, seconds: u64) -> Step {
    let mut approval = step(id, StepKind::Approve { message: None }, &[]);
    approval.timeout = Some(Duration::from_secs(seconds));
    approval
}

/// The real loop keeps the rule, and each of these does not.
#[track_caller]
fn only_broken_by(rule: impl Fn(Option<LoopFault>) -> bool, faults: &[LoopFault]) {
    assert!(rule(None), "the loop does not keep its rule");
    for fault in faults {
        assert!(!rule(Some(*fault)), "{fault:?} is not noticed");
    }
}

/// A ledger on a disk that is full from the first intent on.
#[derive(Default)]
struct FullDisk(MemoryLedger);

impl Ledger for FullDisk {
    type Error = &'static str;

    fn append(&mut self, at: Millis, facts: Vec<Fact>, answers: Option<i64>) -> Result<(), Self::Error> {
        if facts.iter().any(|fact| matches!(fact, Fact::Issued { .. })) {
            return Err("the disk is full");
        }
        self.0.append(at, facts, answers).map_err(|never| match never {})
    }

    fn pending_requests(&mut self) -> Result<Vec<Request>, Self::Error> {
        Ok(Vec::new())
    }

    fn refuse(&mut self, _: i64, _: Millis, _: &str) -> Result<(), Self::Error> {
        Ok(())
    }
}

#[test]
fn nothing_is_handed_out_that_is_not_durable() {
    let rule = |fault| {
        let (case, taken) = Case::begun(3, FullDisk::default(), true, fault, |_| {});
        !taken && case.outputs.is_empty()
    };
    only_broken_by(rule, &[LoopFault::DispatchBeforeCommit]);
}

#[test]
fn what_is_handed_out_was_stored_just_before() {
    let case = Case::new(3, None, |_| {});
    let executed = case.outputs.iter().filter_map(|output| match output {
        Output::Execute(spec) => Some(spec.attempt),
        _ => None,
    });
    let issued = case.facts().filter_map(|fact| match fact {
        Fact::Issued { attempt, .. } => Some(*attempt),
        _ => None,
    });
    let executed: Vec<_> = executed.collect();
    assert_eq!(executed, issued.collect::<Vec<_>>());
    assert_eq!(executed.len(), 3);
}

#[test]
fn the_first_signal_is_stored_and_the_second_gives_all_up() {
    let rule = |fault| {
        let mut case = Case::new(2, fault, |_| {});
        assert!(case.told(Input::Signal { name: "SIGINT" }).is_ok());
        let heard = matches!(case.facts().last(), Some(Fact::Interrupted { by }) if by == "SIGINT");
        assert_eq!(case.ended(), None, "attempts in flight are waited for");
        let stored = case.facts().count();
        assert!(case.told(Input::Signal { name: "SIGINT" }).is_ok());
        let first = StepIx(0);
        let in_flight = [0, 1].map(|target| (Lane::Worker(TargetIx(target)), first)).to_vec();
        assert_eq!(case.outputs, [Output::GiveUp, Output::End(Ended::ForcedStop(in_flight))]);
        assert_eq!(case.facts().count(), stored, "a resume looks: nothing is claimed about them");
        heard
    };
    only_broken_by(rule, &[LoopFault::SignalIgnored]);
}

#[test]
fn a_request_is_answered_once() {
    let rule = |fault| {
        let mut case = Case::new(1, fault, |_| {});
        case.ask(1, Control::Pause { reason: Some("lunch".to_owned()) });
        if case.told(Input::Requests).and_then(|()| case.told(Input::Requests)).is_err() {
            return false;
        }
        let paused = case.facts().filter(|fact| matches!(fact, Fact::Paused { .. })).count();
        paused == 1 && case.controller.ledger().requests.is_empty()
    };
    only_broken_by(rule, &[LoopFault::RequestAppliedTwice, LoopFault::RequestLost]);
}

#[test]
fn a_request_that_came_before_the_loop_is_taken_before_it_ends() {
    let rule = |fault| {
        let approve = Control::Approve { host: None, step: None };
        let request = Request { n: 1, verb: approve, by: "operator@desk".to_owned(), at: 0 };
        let ledger = MemoryLedger { requests: vec![request], ..MemoryLedger::default() };
        let (case, _) = Case::begun(1, ledger, false, fault, |plan| {
            plan.steps = vec![step("approve", StepKind::Approve { message: None }, &[])];
            plan.steps[0].timeout = None;
        });
        matches!(case.ended(), Some(Ended::Idle(RunStatus::Finished(_))))
            && case.controller.ledger().requests.is_empty()
    };
    only_broken_by(rule, &[LoopFault::RequestLost]);
}

#[test]
fn a_request_that_cannot_be_carried_out_is_refused_with_the_reason() {
    let mut case = Case::new(1, None, |_| {});
    case.ask(7, Control::Retry { hosts: vec!["w9".to_owned()] });
    case.ask(8, Control::Retry { hosts: vec!["w1".to_owned()] });
    case.ask(9, Control::Skip { hosts: vec!["w1".to_owned()] });
    let before = case.controller.run().clone();
    assert!(case.told(Input::Requests).is_ok());
    let refused = &case.controller.ledger().refused;
    assert_eq!(refused[0], (7, "w9 is no worker of this run".to_owned()));
    assert_eq!(refused[1], (8, "w1 is running: it has not failed".to_owned()));
    let only = "w1 is running: only a worker that has failed or is queued can be skipped";
    assert_eq!(refused[2], (9, only.to_owned()));
    assert!(case.controller.ledger().requests.is_empty() && *case.controller.run() == before);
}

#[test]
fn what_comes_after_an_abort_is_refused_in_words() {
    let mut case = Case::new(1, None, |_| {});
    case.ask(1, Control::Abort { revert: false });
    case.ask(2, Control::Abort { revert: false });
    assert!(case.told(Input::Requests).is_ok());
    assert_eq!(case.controller.ledger().refused, [(2, "the run is being aborted already".to_owned())]);
    assert!(case.succeeds(1));
    let mut run = case.controller.run().clone();
    let refused = offline_facts(&mut run, 9, &Control::Pause { reason: None }, "me").unwrap_err();
    assert_eq!(refused, "the run was aborted, and has ended");
}

/// Found by the simulator: the second timer has nothing to say to a run that the first has ended.
#[test]
fn a_timer_that_is_due_with_the_end_of_the_run_is_left_alone() {
    let mut case = Case::new(1, None, |plan| {
        plan.rollout.max_failures = located(Amount::Count(1));
        plan.steps = ["one", "other"].map(|id| approval(id, 10)).to_vec();
    });
    case.now = 10_000;
    assert!(case.told(Input::Tick).is_ok());
    assert_eq!(case.ended(), Some(&Ended::Idle(RunStatus::Finished(RunEnd::Failed))));
}

#[test]
fn timers_fire_in_their_order_and_not_early() {
    let rule = |fault| {
        let mut case = Case::new(1, fault, |plan| plan.steps = vec![pause("long", 21), pause("short", 9)]);
        if case.controller.next_wake() != Some(9_000) {
            return false;
        }
        case.now = 8_999;
        assert!(case.told(Input::Tick).is_ok());
        assert!(!case.facts().any(|fact| matches!(fact, Fact::Due { .. })), "it is too early");
        case.now = 30_000;
        assert!(case.told(Input::Tick).is_ok());
        let fired = case.facts().filter_map(|fact| match fact {
            Fact::Due { timer: Timer::Gate { step, .. } } => Some(*step),
            _ => None,
        });
        fired.collect::<Vec<_>>() == [StepIx(1), StepIx(0)]
    };
    only_broken_by(rule, &[LoopFault::TimerForgotten, LoopFault::AllTimersForgotten]);
}

#[test]
fn the_loop_ends_when_nothing_is_left_to_wait_for() {
    let rule = |fault| {
        let mut case = Case::new(2, fault, |_| {});
        let early = case.ended().is_some();
        assert!(case.succeeds(1) && case.succeeds(2));
        !early && matches!(case.ended(), Some(Ended::Idle(RunStatus::Finished(_))))
    };
    only_broken_by(rule, &[LoopFault::EndsEarly]);
}

#[test]
fn an_approval_is_waited_for_only_where_an_operator_sits() {
    let ended = |interactive| {
        let (case, _) = Case::begun(1, MemoryLedger::default(), interactive, None, |plan| {
            plan.steps = vec![step("approve", StepKind::Approve { message: None }, &[])];
            plan.steps[0].timeout = None;
        });
        case.ended().cloned()
    };
    assert_eq!(ended(true), None);
    assert!(matches!(ended(false), Some(Ended::Idle(RunStatus::WaitsForOperator { .. }))));
}

#[test]
fn every_outcome_is_stored_and_told() {
    let rule = |fault| {
        let mut case = Case::new(4, fault, |_| {});
        assert!((1..=3).all(|attempt| case.succeeds(attempt)));
        case.facts().filter(|fact| matches!(fact, Fact::Finished { .. })).count() == 3
    };
    only_broken_by(rule, &[LoopFault::OutcomeDropped]);
}

#[test]
fn what_an_operator_says_of_attempts_in_doubt_holds_for_all_of_them() {
    let crashed = Case::new(3, None, |_| {});
    let run = crashed.controller.run().clone();
    let mut case = Case {
        controller: Controller::new(run, MemoryLedger::default(), false),
        now: 1,
        outputs: Vec::new(),
    };
    let resumed = vec![Fact::Resumed { by: "me".to_owned(), fresh_process: true, bundle: None }];
    assert!(case.told(Input::Begin { facts: resumed, in_doubt: Some(Resolution::Done).into() }).is_ok());
    let resolved = case.facts().filter(|fact| matches!(fact, Fact::InDoubtResolved { .. })).count();
    assert_eq!((resolved, case.controller.run().undecided().len()), (3, 0));
    assert!(matches!(case.ended(), Some(Ended::Idle(RunStatus::Finished(_)))));
}

#[test]
fn a_stale_outcome_is_stored_and_changes_nothing() {
    let mut case = Case::new(2, None, |_| {});
    assert!(case.succeeds(1));
    let (before, stored) = (case.controller.run().clone(), case.facts().count());
    assert!(case.succeeds(1));
    assert_eq!(case.facts().count(), stored + 1);
    assert!(*case.controller.run() == before && case.outputs.is_empty());
}

#[test]
fn a_worker_that_was_down_during_a_round_counts_as_not_seen() {
    let rule = |fault| {
        let two_down = BudgetBound::MaxUnavailable(Amount::Count(2));
        let mut case = Case::new(4, fault, |plan| plan.rollout.budgets = vec![budget("api", two_down)]);
        let seen = |unavailable| Input::Observed { jobs: vec![JobIx(0)], unavailable };
        assert!(case.told(seen(Vec::new())).is_ok());
        let active: Vec<TargetIx> = case.controller.run().active().iter().collect();
        assert_eq!(active, [TargetIx(0), TargetIx(1)]);
        // The look is too old for the next worker: another round begins, while w2 is down.
        case.now = 60_000;
        assert!(case.succeeds(1));
        assert!(matches!(&case.outputs[..], [Output::Observe { skip, .. }] if skip.contains(TargetIx(1))));
        // It is up again when the round ends, and was not looked at.
        assert!(case.succeeds(2));
        assert!(case.told(seen(Vec::new())).is_ok());
        let last = case.facts().filter_map(|fact| match fact {
            Fact::ObservedChanges { added, removed, .. } => Some((added.clone(), removed.len())),
            _ => None,
        });
        last.last() == Some((vec![(WorkerIx(1), JobIx(0))], 0))
    };
    only_broken_by(rule, &[LoopFault::DisturbedCountAsSeen]);
}

fn guarded(plan: &mut Plan) {
    plan.rollout.gates.guard = vec![gate()];
}

/// The measurement that was handed out last.
fn measuring<L: Ledger>(case: &Case<L>) -> Option<u64> {
    case.outputs.iter().rev().find_map(|output| match output {
        Output::Measure { id, .. } => Some(*id),
        _ => None,
    })
}

fn has_started(case: &Case<MemoryLedger>) -> bool {
    case.facts().any(|fact| matches!(fact, Fact::WorkerAdmitted { .. }))
}

#[test]
fn what_says_nothing_is_no_pass() {
    let rule = |fault| {
        let mut case = Case::new(2, fault, guarded);
        let id = measuring(&case).unwrap();
        let input = Input::Measured { id, reading: Reading::Inconclusive, says: "no answer".to_owned() };
        case.told(input).is_ok() && !has_started(&case)
    };
    only_broken_by(rule, &[LoopFault::SilenceIsPass]);
}

#[test]
fn a_measurement_that_never_comes_back_is_waited_for_and_then_halts_the_run() {
    let mut case = Case::new(2, None, guarded);
    let mut measurements = 0;
    while !matches!(case.controller.run().status(), RunStatus::Halted(_)) {
        measurements += usize::from(measuring(&case).is_some());
        assert!(!has_started(&case) && measurements < 10);
        case.now = case.controller.next_wake().unwrap();
        case.told(Input::Tick).unwrap();
    }
    let gates: Vec<_> = case.facts().filter(|fact| matches!(fact, Fact::GateMeasured { .. })).collect();
    let [Fact::GateMeasured { standing: GateStanding::Waiting, .. }, Fact::GateMeasured { says, .. }] =
        gates[..]
    else {
        panic!("{gates:?}");
    };
    assert!(says.contains("no measurement has come back; it has waited for 1m"), "{says}");
    // It has no name: which one it is, its command says.
    assert!(says.starts_with(&format!("is inconclusive: {}: ", gate().measure)), "{says}");
    // What comes at last changes nothing.
    case.told(Input::Measured { id: 1, reading: Reading::Pass, says: String::new() }).unwrap();
    assert!(!has_started(&case));
}

#[test]
fn a_guard_is_measured_all_the_time_and_stored_when_it_changes() {
    let mut case = Case::new(1, None, guarded);
    let tells = |case: &mut Case<MemoryLedger>, reading| {
        let id = measuring(case).expect("it is measured");
        let says = "0.01".to_owned();
        case.told(Input::Measured { id, reading, says }).unwrap();
        if matches!(case.controller.run().status(), RunStatus::Busy) {
            case.now = case.controller.next_wake().unwrap();
            case.told(Input::Tick).unwrap();
        }
    };
    for _ in 0..50 {
        tells(&mut case, Reading::Pass);
    }
    assert_eq!(case.now, 500_000);
    let count = |case: &Case<MemoryLedger>| {
        case.facts().filter(|fact| matches!(fact, Fact::GateMeasured { .. })).count()
    };
    assert_eq!(count(&case), 1);
    for _ in 0..3 {
        tells(&mut case, Reading::Inconclusive);
    }
    tells(&mut case, Reading::Pass);
    assert_eq!(count(&case), 3);
}

/// It was begun while a worker was under way, and says something about those that start next.
#[test]
fn what_a_guard_says_counts_also_when_nobody_is_under_way_any_more() {
    for (reading, expected) in
        [(Reading::Inconclusive, GateStanding::Waiting), (Reading::Fail, GateStanding::Failed)]
    {
        let mut case = Case::new(2, None, |plan| {
            guarded(plan);
            plan.rollout.waves = vec![located(WaveSize::Of(Amount::Count(1))), located(WaveSize::Rest)];
            plan.rollout.soak = Duration::from_secs(60);
        });
        let id = measuring(&case).unwrap();
        case.told(Input::Measured { id, reading: Reading::Pass, says: String::new() }).unwrap();
        case.now = case.controller.next_wake().unwrap();
        case.told(Input::Tick).unwrap();
        let id = measuring(&case).expect("it is measured while a worker is under way");
        assert!(case.succeeds(1), "and the worker ends");
        assert!(case.controller.run().active().is_empty() && measuring(&case).is_none());
        case.told(Input::Measured { id, reading, says: "late".to_owned() }).unwrap();
        let last = case.facts().filter_map(|fact| match fact {
            Fact::GateMeasured { standing, .. } => Some(*standing),
            _ => None,
        });
        assert_eq!(last.last(), Some(expected));
        // The loop does not spin for what it keeps.
        assert!(case.controller.next_wake().is_none_or(|at| at > case.now));
    }
}

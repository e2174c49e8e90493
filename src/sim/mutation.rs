//! Deliberately broken programs, which show that each invariant can be violated and that the checker notices. Some
//! give the engine another plan than the one that the checker looks at; the others break the loop, the watch of a
//! return, the stored journal or the simulated world.

use std::sync::Arc;

#[cfg(debug_assertions)]
use crate::boot::InjectedWatchFault;
#[cfg(debug_assertions)]
use crate::controller::LoopFault;
use crate::graph::{CompileOptions, RolloutGraph, compile};
use crate::plan::{Amount, BudgetBound, Concurrency, Plan, RolloutGates, StepKind};

/// What is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it, as far as no comment does")]
pub enum Mutation {
    BudgetOffByOne,
    ConcurrencyOffByOne,
    FailuresOffByOne,
    SpreadIgnored,
    WindowIgnored,
    FreezeIgnored,
    WavesIgnored,
    SoakIgnored,
    NeedsIgnored,
    WhenIgnored,
    SettleIgnored,
    /// A fact is applied and never stored.
    FactLost,
    /// A restarted controller continues with what the old one had in memory.
    MemoryTrusted,
    /// `enable` removes every entry of the worker.
    EnableRemovesOthers,
    /// A repeated reboot compares with the boot id of the moment.
    FreshBootId,
    UnknownIsOk,
    /// `wait_for_ssh` is content with the first answer, whatever its boot id.
    BootNotVerified,
    /// The loop hands out what is to be done before its facts are stored.
    DispatchBeforeCommit,
    /// The loop does not tell the engine what came of an attempt, once in a while.
    OutcomeDropped,
    /// The loop does not set a timer, once in a while.
    TimerForgotten,
    /// The loop applies a request of an operator twice.
    RequestAppliedTwice,
    /// The loop does not answer requests of operators.
    RequestLost,
    /// The loop hears a signal and does nothing about it.
    SignalIgnored,
    /// The loop ends while attempts are in flight.
    EndsEarly,
    /// Workers that were down during a round of observation count as seen.
    DisturbedCountAsSeen,
    /// One deploy answers for workers that it did not include.
    DeployAnswersForOthers,
    /// Settling does not begin anew, whatever is seen.
    SettleNeverRestarts,
    /// A slow login makes settling begin anew.
    SlowLoginRestarts,
    /// Timers that were set before a crash are not set again.
    TimersLost,
    /// Workers that an operator has disabled are taken as any other.
    OthersCordonIgnored,
    /// Observations always say that all is well.
    ObservationsInvented,
    /// The failure of an attempt is not stored and not told.
    FailureSwallowed,
    /// Workers and bucket take orders from a controller that was replaced.
    EpochIgnored,
    /// The journal takes facts from a controller that was replaced.
    AppendUnfenced,
    /// A resume compiles what is on disk now.
    PlanReadAgain,
    /// The output of a command is stored without masking its secrets.
    SecretsTold,
    /// Operations of the catalog reach workers that are not selected.
    OthersContacted,
    /// `disabled.json` is written from what was read, whatever became of it since.
    EditsBlindly,
    /// `disabled.json` is written in place.
    WritesInPlace,
    /// A worker starts a second reboot command beside one that is still at work.
    LateCommandForgotten,
    /// Nobody looks at a worker beside its step, or after a lost answer.
    ResetsUnnoticed,
    /// A step is taken to have begun in the boot that was seen last, whenever the worker has booted since.
    OldBootsTrusted,
    /// What a plan expects of a boot is not looked at.
    ExpectationIgnored,
    /// Every request is sent again when its answer was lost.
    RequestsRepeated,
    /// What prepares a worker is done in its turn, with its other steps.
    PrepareIgnored,
    /// One more worker is prepared at a time than the plan says.
    PreparesTooMany,
    /// Workers are prepared whatever the windows say.
    PrepareWindowIgnored,
    /// A worker that cannot tell whether it needs a reboot is taken for one that does not.
    CannotTellIsNo,
    /// Gates of the rollout are not measured.
    GatesIgnored,
    /// A measurement that says nothing is taken for a pass.
    SilenceIsPass,
    /// A measurement that fails is taken for a pass.
    FailureIsPass,
    /// An order to a BMC whose answer was lost is sent again.
    ResetSentAgain,
    /// Nobody looks at a worker before its BMC is told to reset it.
    ResetUnlooked,
    /// Whoever keeps silences is not told who is back.
    ReturnUntold,
}

impl Mutation {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::BudgetOffByOne,
        Self::ConcurrencyOffByOne,
        Self::FailuresOffByOne,
        Self::SpreadIgnored,
        Self::WindowIgnored,
        Self::FreezeIgnored,
        Self::WavesIgnored,
        Self::SoakIgnored,
        Self::NeedsIgnored,
        Self::WhenIgnored,
        Self::SettleIgnored,
        Self::FactLost,
        Self::MemoryTrusted,
        Self::EnableRemovesOthers,
        Self::FreshBootId,
        Self::UnknownIsOk,
        Self::BootNotVerified,
        Self::DispatchBeforeCommit,
        Self::OutcomeDropped,
        Self::TimerForgotten,
        Self::RequestAppliedTwice,
        Self::RequestLost,
        Self::SignalIgnored,
        Self::EndsEarly,
        Self::DisturbedCountAsSeen,
        Self::DeployAnswersForOthers,
        Self::SettleNeverRestarts,
        Self::SlowLoginRestarts,
        Self::TimersLost,
        Self::OthersCordonIgnored,
        Self::ObservationsInvented,
        Self::FailureSwallowed,
        Self::EpochIgnored,
        Self::AppendUnfenced,
        Self::PlanReadAgain,
        Self::SecretsTold,
        Self::OthersContacted,
        Self::EditsBlindly,
        Self::WritesInPlace,
        Self::LateCommandForgotten,
        Self::ResetsUnnoticed,
        Self::OldBootsTrusted,
        Self::ExpectationIgnored,
        Self::CannotTellIsNo,
        Self::RequestsRepeated,
        Self::PrepareIgnored,
        Self::PreparesTooMany,
        Self::PrepareWindowIgnored,
        Self::GatesIgnored,
        Self::SilenceIsPass,
        Self::FailureIsPass,
        Self::ResetSentAgain,
        Self::ResetUnlooked,
        Self::ReturnUntold,
    ];

    /// The fault of the controller's loop, for the process with this number.
    #[cfg(debug_assertions)]
    pub(super) fn of_the_loop(self, process: u32) -> Option<LoopFault> {
        Some(match self {
            Self::DispatchBeforeCommit => LoopFault::DispatchBeforeCommit,
            Self::OutcomeDropped => LoopFault::OutcomeDropped,
            Self::TimerForgotten => LoopFault::TimerForgotten,
            Self::TimersLost if process > 0 => LoopFault::AllTimersForgotten,
            Self::RequestAppliedTwice => LoopFault::RequestAppliedTwice,
            Self::RequestLost => LoopFault::RequestLost,
            Self::SignalIgnored => LoopFault::SignalIgnored,
            Self::EndsEarly => LoopFault::EndsEarly,
            Self::DisturbedCountAsSeen => LoopFault::DisturbedCountAsSeen,
            Self::SilenceIsPass => LoopFault::SilenceIsPass,
            _ => return None,
        })
    }

    /// The fault of the watch of a return.
    #[cfg(debug_assertions)]
    pub(super) fn of_the_watch(self) -> Option<InjectedWatchFault> {
        Some(match self {
            Self::SettleIgnored => InjectedWatchFault::SettleIgnored,
            Self::BootNotVerified => InjectedWatchFault::OldBootTaken,
            Self::SettleNeverRestarts => InjectedWatchFault::SettleNeverRestarts,
            Self::SlowLoginRestarts => InjectedWatchFault::SlowLoginRestarts,
            _ => return None,
        })
    }

    /// The graph that the broken engine is given.
    pub(super) fn graph(self, graph: &Arc<RolloutGraph>) -> Arc<RolloutGraph> {
        let mut plan = Plan::clone(&graph.plan);
        let rollout = &mut plan.rollout;
        match self {
            Self::BudgetOffByOne => {
                for budget in &mut rollout.budgets {
                    budget.value.bound = looser(budget.value.bound);
                }
            }
            Self::ConcurrencyOffByOne => {
                let now = graph.numbers().concurrency.as_ref().map(|resolved| u64::from(resolved.value));
                rollout.concurrency.value =
                    now.map_or(Concurrency::Auto, |now| Concurrency::AtMost(Amount::Count(now + 1)));
            }
            Self::FailuresOffByOne => {
                let now = u64::from(graph.numbers().max_failures.value);
                rollout.max_failures.value = Amount::Count(now + 1);
            }
            Self::RequestsRepeated => {
                let lists = [&mut plan.before, &mut plan.steps, &mut plan.after];
                for step in lists.into_iter().flatten() {
                    if let StepKind::Http(http) = &mut step.kind {
                        http.idempotent = true;
                    }
                }
            }
            Self::PrepareIgnored => {
                plan.prepare = None;
                plan.steps.iter_mut().for_each(|step| step.prepares = false);
            }
            Self::PreparesTooMany => {
                if let (Some(prepare), Some(now)) = (&mut plan.prepare, &graph.numbers().prepare) {
                    prepare.concurrency.value = Amount::Count(u64::from(now.value) + 1);
                }
            }
            Self::PrepareWindowIgnored => {
                if let Some(prepare) = &mut plan.prepare {
                    prepare.outside_window = true;
                }
            }
            Self::SpreadIgnored => rollout.spread = None,
            Self::WindowIgnored => rollout.windows.clear(),
            Self::FreezeIgnored => rollout.freeze = None,
            Self::GatesIgnored => rollout.gates = RolloutGates::default(),
            Self::WavesIgnored => rollout.waves.clear(),
            Self::SoakIgnored => rollout.soak = std::time::Duration::ZERO,
            Self::NeedsIgnored => plan.steps.iter_mut().for_each(|step| step.needs.clear()),
            Self::WhenIgnored => plan.steps.iter_mut().for_each(|step| step.when = Default::default()),
            _ => return Arc::clone(graph),
        }
        compile(&Arc::new(plan), &graph.fleet, &CompileOptions::default())
            .map_or_else(|_| Arc::clone(graph), Arc::new)
    }
}

fn looser(bound: BudgetBound) -> BudgetBound {
    match bound {
        BudgetBound::MinAvailable(Amount::Count(n)) => {
            BudgetBound::MinAvailable(Amount::Count(n.saturating_sub(1)))
        }
        BudgetBound::MinAvailable(Amount::Percent(n)) => {
            BudgetBound::MinAvailable(Amount::Percent(n.saturating_sub(40)))
        }
        BudgetBound::MaxUnavailable(Amount::Count(n)) => BudgetBound::MaxUnavailable(Amount::Count(n + 1)),
        BudgetBound::MaxUnavailable(Amount::Percent(n)) => {
            BudgetBound::MaxUnavailable(Amount::Percent((n + 40).min(100)))
        }
    }
}

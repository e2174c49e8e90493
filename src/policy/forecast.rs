//! How long a rollout may take and is likely to take, by admitting a fleet on paper. It must not
//! promise: it knows time-outs and rules of thumb, not the fleet.

use std::collections::HashMap;
use std::time::Duration;

use super::{Admission, Conditions, Pick, Queue};
use crate::graph::{Lane, RolloutGraph, TargetIx};
use crate::plan::{Step, StepKind};

/// On paper no time passes between an observation and what it is used for.
const EPOCH_MS: i64 = 0;

/// What the rollout on paper came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forecast {
    /// Every step on the way takes all its tries and the whole time-out of each. `None`: a step
    /// waits for an approval without a time-out, or the rollout does not end.
    pub longest: Option<Duration>,
    /// Every step takes what such a step usually takes ([`crate::plan::StepTraits::usual_duration`]). `None`: the rollout does not end.
    pub expected: Option<Duration>,
    /// Rounds: workers that start together and, on paper, end together.
    pub rounds: u32,
    /// The most workers active at one moment.
    pub most_active: u32,
    /// The most workers down at one moment.
    pub most_down: u32,
    /// An approval is waited for; not counted in either time.
    pub approvals: bool,
    /// The first worker that is never admitted even when all else is well.
    pub stuck: Option<TargetIx>,
}

impl Forecast {
    /// Takes the workers in rounds, as many at once as concurrency, budgets and spread allow; a round
    /// lasts as long as its slowest worker. Windows are left out, no worker fails, all jobs are well.
    pub fn of(graph: &RolloutGraph) -> Self {
        let mut forecast = Self::default();
        let mut times: HashMap<&[bool], Times> = HashMap::new();
        let mut total = lane_times(graph.steps(Lane::Before), &vec![true; graph.plan.before.len()]);
        total = total.then(lane_times(graph.steps(Lane::After), &vec![true; graph.plan.after.len()]));
        let soaks = graph.waves.len().saturating_sub(1) as u32;
        total = total.then(Times::both(graph.plan.rollout.soak.saturating_mul(soaks)));

        total = total.then(preparation(graph));
        let ahead = graph.plan.prepares();

        let mut admission = Admission::new(graph);
        admission.ignore_window();
        let mut queue = Queue::new(graph, &admission);
        let jobs: Vec<_> = admission.limits().budgets.iter().map(|budget| budget.job).collect();
        let mut wave = 0;
        let mut left_in_wave = graph.waves.first().map_or(0, |wave| wave.end - wave.start);
        while !queue.is_empty() {
            admission.observed(&jobs, &[], EPOCH_MS);
            let conditions = Conditions { current_wave: wave, ..Conditions::default() };
            let mut round = Vec::new();
            while let Pick::Admit(target) = queue.pick(&admission, EPOCH_MS, &conditions) {
                admission.admitted(target);
                round.push(target);
            }
            if round.is_empty() {
                forecast.stuck = queue.first();
                break;
            }
            forecast.rounds += 1;
            forecast.most_active = forecast.most_active.max(round.len() as u32);
            forecast.most_down = forecast.most_down.max(admission.down_now().len() as u32);
            let mut slowest = Times::default();
            for target in &round {
                let applies = &graph.target(*target).applies;
                let one = times.entry(applies).or_insert_with(|| {
                    // What has prepared it lies behind it.
                    let here: Vec<bool> = (0..).zip(applies).map(|(at, here)| at >= ahead && *here).collect();
                    lane_times(&graph.plan.steps, &here)
                });
                slowest = slowest.max(*one);
                admission.succeeded(*target);
            }
            total = total.then(slowest);
            left_in_wave -= round.len() as u32;
            if left_in_wave == 0 {
                wave += 1;
                left_in_wave = graph.waves.get(wave as usize).map_or(0, |wave| wave.end - wave.start);
            }
        }
        forecast.approvals = total.approval;
        if forecast.stuck.is_none() {
            forecast.longest = total.longest;
            forecast.expected = Some(total.expected);
        }
        forecast
    }
}

/// All workers are prepared ahead, in rounds of as many as the plan says.
fn preparation(graph: &RolloutGraph) -> Times {
    let Some(at_once) = graph.numbers().prepare.as_ref().map(|resolved| resolved.value) else {
        return Times::default();
    };
    let ahead = graph.plan.prepares();
    let mut slowest: HashMap<&[bool], Times> = HashMap::new();
    let mut total = Times::default();
    let busy: Vec<&[bool]> = (graph.targets.iter().map(|target| &target.applies[..ahead]))
        .filter(|applies| applies.contains(&true))
        .collect();
    for round in busy.chunks(at_once.max(1) as usize) {
        let times = round.iter().map(|applies| {
            *slowest.entry(applies).or_insert_with(|| lane_times(graph.plan.prepare_steps(), applies))
        });
        total = total.then(times.fold(Times::default(), Times::max));
    }
    total
}

/// Times of a lane or a part of it.
#[derive(Clone, Copy, Debug)]
struct Times {
    /// `None`: no bound.
    longest: Option<Duration>,
    expected: Duration,
    approval: bool,
}

impl Default for Times {
    fn default() -> Self {
        Self::both(Duration::ZERO)
    }
}

impl Times {
    fn both(duration: Duration) -> Self {
        Self { longest: Some(duration), expected: duration, approval: false }
    }

    fn then(self, next: Self) -> Self {
        Self {
            longest: self.longest.zip(next.longest).map(|(a, b)| a.saturating_add(b)),
            expected: self.expected.saturating_add(next.expected),
            approval: self.approval || next.approval,
        }
    }

    fn max(self, other: Self) -> Self {
        Self {
            longest: self.longest.zip(other.longest).map(|(a, b)| a.max(b)),
            expected: self.expected.max(other.expected),
            approval: self.approval || other.approval,
        }
    }
}

/// Along the critical path through `needs`; a step that does not apply takes no time.
fn lane_times(steps: &[Step], applies: &[bool]) -> Times {
    let mut ends: Vec<Option<Times>> = vec![None; steps.len()];
    // A need may stand later in the list; each pass settles at least one step of an acyclic list.
    for _ in 0..steps.len() {
        for (at, step) in steps.iter().enumerate() {
            if ends[at].is_some() {
                continue;
            }
            let ready: Option<Vec<Times>> = step.needs.iter().map(|need| ends[*need]).collect();
            if let Some(before) = ready {
                let begin = before.into_iter().fold(Times::default(), Times::max);
                let own = if applies[at] { step_times(step) } else { Times::default() };
                ends[at] = Some(begin.then(own));
            }
        }
        if ends.iter().all(Option::is_some) {
            break;
        }
    }
    ends.into_iter().flatten().fold(Times::default(), Times::max)
}

fn step_times(step: &Step) -> Times {
    let approval = matches!(step.kind, StepKind::Approve { .. });
    let longest = longest(step);
    let expected = step.kind.traits().usual_duration.min(longest.unwrap_or(Duration::MAX));
    // How long an operator takes cannot be foretold: it is counted as nothing, and reported.
    Times { longest: if approval { Some(Duration::ZERO) } else { longest }, expected, approval }
}

/// All tries of a step with the pauses between them; `None`: it has no time-out.
pub fn longest(step: &Step) -> Option<Duration> {
    let one = match step.kind {
        StepKind::Pause { duration } => step.timeout.unwrap_or(duration),
        _ => step.timeout?,
    };
    let mut all = one;
    let mut delay = step.retries.delay.min(step.retries.max_delay);
    // Once the delay has reached its bound the rest is a product.
    let mut tries = step.retries.attempts.saturating_sub(1);
    while tries > 0 {
        if delay >= step.retries.max_delay || step.retries.backoff <= 1.0 || delay.is_zero() {
            return Some(all.saturating_add(one.saturating_add(delay).saturating_mul(tries)));
        }
        all = all.saturating_add(one).saturating_add(delay);
        let seconds = delay.as_secs_f64() * step.retries.backoff;
        delay = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX).min(step.retries.max_delay);
        tries -= 1;
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::testing::{budget, compiled, fleet, located, plan, spread, step, worker};
    use crate::plan::{Amount, BudgetBound, Concurrency, Retries};

    fn tries(attempts: u32, delay: u64, backoff: f64, max_delay: u64) -> Option<u64> {
        let mut step = step("s", StepKind::Build, &[]);
        step.timeout = Some(Duration::from_secs(10));
        let seconds = Duration::from_secs;
        step.retries = Retries { attempts, delay: seconds(delay), backoff, max_delay: seconds(max_delay) };
        longest(&step).map(|longest| longest.as_secs())
    }

    #[test]
    fn all_tries_and_the_pauses_between_them_are_counted() {
        assert_eq!(tries(1, 5, 2.0, 100), Some(10));
        assert_eq!(tries(3, 5, 1.0, 100), Some(10 + 5 + 10 + 5 + 10));
        assert_eq!(tries(4, 5, 2.0, 12), Some(40 + 5 + 10 + 12));
        assert_eq!(tries(u32::MAX, 1, 1.0, 1), Some(11 * u64::from(u32::MAX) - 1));
    }

    #[test]
    fn rounds_follow_places_budgets_and_spread() {
        let zones = ["zone=a", "zone=a", "zone=b", "zone=b", "zone=b", "zone=c"];
        let workers: Vec<_> =
            zones.iter().enumerate().map(|(at, zone)| worker(&format!("w{at}"), &["api"], &[zone])).collect();
        let fleet = fleet(workers, &["api"]);
        let mut plan = plan();
        let rounds = |plan: &_| {
            let forecast = Forecast::of(&compiled(plan, &fleet));
            (forecast.rounds, forecast.most_down, forecast.stuck)
        };
        assert_eq!(rounds(&plan), (6, 1, None));
        plan.rollout.concurrency = located(Concurrency::Auto);
        assert_eq!(rounds(&plan), (1, 6, None));
        plan.rollout.spread = spread("zone", 1);
        assert_eq!(rounds(&plan), (3, 3, None));
        plan.rollout.budgets = vec![budget("api", BudgetBound::MaxUnavailable(Amount::Count(2)))];
        assert_eq!(rounds(&plan), (4, 2, None));
        plan.rollout.budgets = vec![budget("api", BudgetBound::MaxUnavailable(Amount::Count(0)))];
        assert_eq!(rounds(&plan), (0, 0, Some(TargetIx(0))));
    }

    #[test]
    fn the_critical_path_counts_and_skipped_steps_do_not() {
        let mut plan = plan();
        let pause = |seconds| StepKind::Pause { duration: Duration::from_secs(seconds) };
        plan.steps = vec![
            step("a", pause(10), &[]),
            step("b", pause(30), &[]),
            step("c", pause(5), &[0, 1]),
            step("d", pause(500), &[2]),
        ];
        for step in &mut plan.steps {
            step.timeout = None;
        }
        plan.steps[3].when.labels = vec![located("big".to_owned())];
        let fleet = fleet(vec![worker("w1", &[], &[]), worker("w2", &["big"], &[])], &[]);
        let forecast = Forecast::of(&compiled(&plan, &fleet));
        assert_eq!(forecast.expected, Some(Duration::from_secs(35 + 535)));
        assert_eq!(forecast.longest, Some(Duration::from_secs(35 + 535)));
        plan.steps[2].kind = StepKind::Approve { message: None };
        let forecast = Forecast::of(&compiled(&plan, &fleet));
        assert!(forecast.approvals);
        assert_eq!(forecast.expected, Some(Duration::from_secs(30 + 530)));
    }
}

//! Random plans that cover the language. Made as values and not as text: what the parser refuses is
//! the parser's to test.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::ToSpan as _;
use jiff::civil::{Date, date};

use super::config::Shape;
use super::fleets::ZONES;
use super::rng::Rng;
use crate::bucket::Fleet;
use crate::plan::{
    Amount, Budget, BudgetBound, CommandSource, CommandStep, Concurrency, EnvValue, Freeze, FrozenDates,
    HealthScope, JobAction, Located, OnFailure, OnNoReturn, OnStepFailure, Order, Plan, Problems,
    RebootUnless, Retries, RolloutGates, RolloutSettings, Source, Spread, Step, StepKind, Targets, Undo,
    WaveSize, Weekday, When, Window,
};

/// What commands are told and must not be told by anybody.
pub(super) const SECRET: &str = "hunter2-of-the-simulator";

/// The label of workers that plans leave out.
pub(super) const OUTSIDE: &str = "outside";

pub(super) fn located<T>(value: T) -> Located<T> {
    Located { value, span: 0..0 }
}

pub(super) fn seconds(n: i64) -> Duration {
    Duration::from_secs(n.max(0) as u64)
}

/// Steps with nothing special: needs are set by the caller.
pub(super) fn step(kind: StepKind) -> Step {
    let bounded = !matches!(kind, StepKind::Pause { .. } | StepKind::Approve { .. });
    Step {
        id: kind.keyword().to_owned(),
        name: None,
        timeout: bounded.then_some(Duration::from_secs(600)),
        kind,
        needs: Vec::new(),
        retries: Retries {
            attempts: 1,
            delay: Duration::from_secs(5),
            backoff: 2.0,
            max_delay: Duration::from_secs(60),
        },
        when: When::default(),
        on_failure: OnStepFailure::Fail,
        prepares: false,
        span: 0..0,
    }
}

pub(super) fn disable() -> StepKind {
    StepKind::Disable { jobs: None }
}

pub(super) fn deploy() -> StepKind {
    StepKind::Deploy { jobs: None, force: false }
}

pub(super) fn reboot() -> StepKind {
    StepKind::Reboot {
        command: "sudo shutdown -r now".to_owned(),
        down_within: Duration::from_secs(120),
        unless: None,
        expect: None,
    }
}

pub(super) fn wait_for_ssh() -> StepKind {
    let (settle, interval) = (Duration::from_secs(10), Duration::from_secs(1));
    StepKind::WaitForSsh { settle, interval, on_no_return: OnNoReturn::Fail }
}

pub(super) fn health() -> StepKind {
    StepKind::Health { jobs: None, wait: true, scope: HealthScope::Worker }
}

/// A plan with these steps in a row, and everything else as by default.
pub(super) fn in_a_row(kinds: Vec<StepKind>) -> Plan {
    let mut steps: Vec<Step> = kinds.into_iter().map(step).collect();
    chain(&mut steps);
    Plan {
        source: Source::new("made up", ""),
        name: "made-up".to_owned(),
        description: None,
        vars: BTreeMap::new(),
        targets: Targets::default(),
        silence: None,
        notify: crate::plan::Notify::default(),
        rollout: RolloutSettings {
            concurrency: located(Concurrency::AtMost(Amount::Count(1))),
            waves: Vec::new(),
            order: Order::Position,
            spread: None,
            budgets: Vec::new(),
            max_failures: located(Amount::Count(0)),
            on_failure: OnFailure::Halt,
            soak: Duration::ZERO,
            windows: Vec::new(),
            freeze: None,
            gates: RolloutGates::default(),
        },
        before: Vec::new(),
        prepare: None,
        steps,
        after: Vec::new(),
        warnings: Problems::new(),
    }
}

/// The first day on which simulated runs begin; the others are within a week.
const FIRST_DAY: Date = date(2026, 3, 2);

/// Drain, reboot, back: Pattern A.
pub(super) fn pattern_a() -> Plan {
    in_a_row(vec![disable(), deploy(), reboot(), wait_for_ssh(), StepKind::Enable, deploy(), health()])
}

/// [`pattern_a`] with the limits of that shape.
pub(super) fn shaped(shape: Shape) -> Plan {
    let mut plan = pattern_a();
    let rollout = &mut plan.rollout;
    match shape {
        Shape::Random | Shape::OneByOne => {}
        Shape::Wide => rollout.concurrency.value = Concurrency::AtMost(Amount::Percent(10)),
        Shape::Auto => {
            rollout.concurrency.value = Concurrency::Auto;
            let bound = BudgetBound::MaxUnavailable(Amount::Percent(10));
            rollout.budgets.push(located(Budget { job: located("*".to_owned()), bound }));
        }
    }
    plan
}

/// Each needs the one before; ids are made unique.
fn chain(steps: &mut [Step]) {
    for (at, step) in steps.iter_mut().enumerate() {
        step.id = format!("{}-{at}", step.kind.keyword());
        step.needs = at.checked_sub(1).into_iter().collect();
    }
}

pub(super) fn command(rng: &mut Rng) -> CommandStep {
    CommandStep {
        action: CommandSource::Command("true".to_owned()),
        idempotent: rng.coin(),
        disturbs: rng.coin(),
        fenced: false,
        unless: rng.per_mille(250).then(|| "test -e done".to_owned()),
        env: if rng.per_mille(300) {
            BTreeMap::from([("TOKEN".to_owned(), EnvValue::FromEnv("TOKEN".to_owned()))])
        } else {
            BTreeMap::new()
        },
        undo: if rng.coin() { Undo::Command("undo".to_owned()) } else { Undo::Nothing },
    }
}

/// Anything that may stand anywhere on a worker.
fn filler(rng: &mut Rng, fleet: &Fleet) -> StepKind {
    let jobs = |rng: &mut Rng| {
        let name = fleet.jobs[rng.index(fleet.jobs.len())].name.as_str().to_owned();
        rng.coin().then(|| vec![located(name)])
    };
    match rng.below(11) {
        0..=2 => StepKind::Run(command(rng)),
        3 => StepKind::Local(command(rng)),
        4 => StepKind::Build,
        5 => StepKind::Job { action: JobAction::Restart, jobs: jobs(rng) },
        6 => StepKind::Pause { duration: seconds(rng.between(1, 90)) },
        7 => StepKind::Approve { message: None },
        8 => StepKind::SyncCheck { repair: true },
        9 => StepKind::Job { action: JobAction::Stop, jobs: jobs(rng) },
        _ => deploy(),
    }
}

/// Groups in a row, each a random DAG; a group begins when the one before has ended.
pub(super) fn lay_out(rng: &mut Rng, groups: Vec<Vec<StepKind>>, wide: bool) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut before: Vec<usize> = Vec::new();
    for group in groups.into_iter().filter(|group| !group.is_empty()) {
        let first = steps.len();
        let mut needed = std::collections::BTreeSet::new();
        for (offset, kind) in group.into_iter().enumerate() {
            let mut needs: Vec<usize> = Vec::new();
            if offset > 0 && !wide {
                needs.push(first + offset - 1);
            } else {
                needs.extend((first..first + offset).filter(|_| rng.per_mille(400)));
            }
            needed.extend(needs.iter().copied());
            if needs.is_empty() {
                needs.clone_from(&before);
            }
            let mut one = step(kind);
            one.id = format!("{}-{}", one.kind.keyword(), first + offset);
            one.needs = needs;
            steps.push(one);
        }
        before = (first..steps.len()).filter(|at| !needed.contains(at)).collect();
    }
    steps
}

/// A random plan for this fleet. It need not be feasible: the caller asks.
pub(super) fn random(rng: &mut Rng, fleet: &Fleet) -> Plan {
    let mut plan = in_a_row(Vec::new());
    let fillers = |rng: &mut Rng, most: u64| -> Vec<StepKind> {
        (0..rng.below(most + 1)).map(|_| filler(rng, fleet)).collect()
    };
    let drains = rng.per_mille(650);
    let reboots = rng.per_mille(750);
    let wide = rng.per_mille(350);
    // Side by side some continue while another fails.
    let most = if wide { 4 } else { 2 };
    let mut groups = vec![fillers(rng, most)];
    if drains {
        let some = rng.per_mille(200);
        let job = fleet.jobs[rng.index(fleet.jobs.len())].name.as_str().to_owned();
        let jobs = some.then(|| vec![located(job)]);
        groups.extend([vec![StepKind::Disable { jobs }], vec![deploy()]]);
    }
    groups.push(fillers(rng, most));
    if reboots {
        for _ in 0..1 + rng.below(8) / 7 {
            let mut kind = reboot();
            if let StepKind::Reboot { unless, .. } = &mut kind
                && rng.per_mille(200)
            {
                *unless = Some(RebootUnless::Command("test ! -e reboot-required".to_owned()));
            }
            groups.extend([vec![kind], vec![wait_for_ssh()]]);
            groups.push(fillers(rng, 1));
        }
    }
    if drains && rng.per_mille(950) {
        groups.extend([vec![StepKind::Enable], vec![deploy()]]);
    }
    groups.push(if rng.coin() { vec![health()] } else { fillers(rng, 2) });
    plan.steps = lay_out(rng, groups, wide);
    if plan.steps.is_empty() {
        plan.steps = lay_out(rng, vec![vec![health()]], false);
    }
    for step in &mut plan.steps {
        step_settings(rng, step);
    }
    if rng.per_mille(250) {
        let kind = match rng.below(4) {
            0 => StepKind::Build,
            1 => StepKind::Approve { message: None },
            2 => StepKind::Local(command(rng)),
            _ => StepKind::Health { jobs: None, wait: false, scope: HealthScope::Fleet },
        };
        plan.before = lay_out(rng, vec![vec![kind]], false);
    }
    if rng.per_mille(250) {
        let health = StepKind::Health { jobs: None, wait: true, scope: HealthScope::Fleet };
        let pause = StepKind::Pause { duration: seconds(rng.between(1, 60)) };
        let kinds = if rng.coin() { vec![vec![pause], vec![health]] } else { vec![vec![StepKind::Build]] };
        plan.after = lay_out(rng, kinds, false);
    }
    settings(rng, fleet, &mut plan.rollout);
    if fleet.workers.iter().any(|worker| worker.labels.contains(OUTSIDE)) {
        let outside = Targets { labels: vec![located(OUTSIDE.to_owned())], ..Targets::default() };
        plan.targets.exclude = Some(Box::new(outside));
    }
    plan
}

pub(super) fn step_settings(rng: &mut Rng, step: &mut Step) {
    step.retries.attempts = 1 + rng.below(5) as u32;
    step.retries.delay = seconds([0, 5, 5, 30][rng.index(4)]);
    let strict = matches!(
        step.kind,
        StepKind::Disable { .. }
            | StepKind::Enable
            | StepKind::Deploy { .. }
            | StepKind::Reboot { .. }
            | StepKind::WaitForSsh { .. }
    );
    if !strict && rng.per_mille(150) {
        step.on_failure = OnStepFailure::Ignore;
    }
    if matches!(step.kind, StepKind::Approve { .. }) && rng.coin() {
        step.timeout = Some(seconds(rng.between(30, 4000)));
    }
    let may_be_absent = !matches!(step.kind, StepKind::Enable | StepKind::WaitForSsh { .. });
    if may_be_absent && rng.per_mille(120) {
        let zones = 1 + rng.index(ZONES.len());
        let zones = ZONES[..zones].iter().map(|zone| located((*zone).to_owned())).collect();
        step.when.tags.push((located("zone".to_owned()), zones));
    }
}

pub(super) fn amount(rng: &mut Rng, most: i64) -> Amount {
    if rng.per_mille(300) {
        Amount::Percent(rng.between(10, 100) as u8)
    } else {
        Amount::Count(rng.between(1, most.max(1)) as u64)
    }
}

fn settings(rng: &mut Rng, fleet: &Fleet, rollout: &mut RolloutSettings) {
    let workers = fleet.workers.len() as i64;
    rollout.concurrency.value =
        if rng.per_mille(400) { Concurrency::Auto } else { Concurrency::AtMost(amount(rng, workers)) };
    if rng.per_mille(400) {
        for _ in 0..1 + rng.below(2) {
            rollout.waves.push(located(WaveSize::Of(amount(rng, workers))));
        }
        if rng.coin() {
            rollout.waves.push(located(WaveSize::Rest));
        }
        rollout.soak = seconds(rng.between(0, 600));
    }
    if rng.per_mille(350) {
        rollout.spread = Some(located(Spread { tag: "zone".to_owned(), at_most: 1 + rng.below(2) }));
    }
    if rng.per_mille(600) {
        for job in &fleet.jobs {
            if rng.coin() {
                let job = located(job.name.as_str().to_owned());
                rollout.budgets.push(located(Budget { job, bound: bound(rng, workers) }));
            }
        }
        if rng.coin() {
            let bound = bound(rng, workers);
            rollout.budgets.push(located(Budget { job: located("*".to_owned()), bound }));
        }
        // Of several that name a job the strictest binds.
        if rng.per_mille(250)
            && let Some(first) = rollout.budgets.first().map(|budget| budget.value.job.value.clone())
        {
            let bound = bound(rng, workers);
            rollout.budgets.push(located(Budget { job: located(first), bound }));
        }
    }
    rollout.max_failures.value = if rng.coin() { Amount::Count(0) } else { amount(rng, workers) };
    if rng.per_mille(300) {
        rollout.on_failure = OnFailure::Revert;
    }
    rollout.order = match rng.below(3) {
        0 => Order::Reverse,
        1 => Order::Host,
        _ => Order::Position,
    };
    if rng.per_mille(120) {
        let (open, length) = (rng.below(1440) as u16, rng.between(60, 600) as u16);
        // Some have room for two or three workers only, or for none that has trouble.
        let length = if length < 240 { length / 12 } else { length };
        let days = [Weekday::Mon, Weekday::Wed, Weekday::Thu, Weekday::Sun];
        let mut window = |open: u16| {
            let days = days[rng.index(days.len())..].iter().copied().map(Into::into).collect();
            let close = (open + length) % 1440;
            located(Window { timezone: "UTC".to_owned(), open, close, days })
        };
        rollout.windows = vec![window(open)];
        // Windows may overlap.
        if open % 2 == 0 {
            rollout.windows.push(window((open * 7 + 100) % 1440));
        }
    }
    if rng.per_mille(60) {
        let first = FIRST_DAY.saturating_add(i64::from(rng.below(9) as u8).days());
        let dates = FrozenDates { first, last: first.saturating_add(i64::from(rng.below(3) as u8).days()) };
        let freeze = Freeze { timezone: "UTC".to_owned(), dates: vec![dates], calendars: Vec::new() };
        rollout.freeze = Some(located(freeze));
    }
}

fn bound(rng: &mut Rng, workers: i64) -> BudgetBound {
    if rng.coin() {
        BudgetBound::MaxUnavailable(amount(rng, workers / 2))
    } else {
        BudgetBound::MinAvailable(amount(rng, workers - 1))
    }
}

/// Settings that the shrinker can take out, by the low bits; steps follow.
const SETTINGS: u32 = 11;

/// Takes out what the bits name; a step's own needs take its place.
pub(super) fn leave_out(plan: &mut Plan, without: u64) {
    let has = |bit: u32| bit < 64 && without >> bit & 1 == 1;
    let rollout = &mut plan.rollout;
    if has(0) {
        rollout.windows.clear();
        rollout.freeze = None;
    }
    if has(1) {
        rollout.spread = None;
    }
    if has(2) {
        rollout.budgets.clear();
    }
    if has(3) {
        rollout.waves.clear();
    }
    if has(4) {
        rollout.on_failure = OnFailure::Halt;
    }
    if has(5) {
        rollout.concurrency.value = Concurrency::AtMost(Amount::Count(1));
    }
    if has(6) {
        plan.before.clear();
    }
    if has(7) {
        plan.after.clear();
    }
    if has(10) {
        plan.rollout.gates = RolloutGates::default();
    }
    for step in &mut plan.steps {
        if has(8) {
            step.when = When::default();
        }
        if has(9) {
            step.retries.attempts = 1;
        }
    }
    for at in (0..plan.steps.len()).rev() {
        if has(SETTINGS + at as u32) && may_go(&plan.steps, at) {
            let gone = plan.steps.remove(at);
            for step in &mut plan.steps {
                if let Some(place) = step.needs.iter().position(|need| *need == at) {
                    step.needs.remove(place);
                    step.needs.extend(gone.needs.iter().copied());
                }
                step.needs.sort_unstable();
                step.needs.dedup();
                for need in step.needs.iter_mut().filter(|need| **need > at) {
                    *need -= 1;
                }
            }
        }
    }
}

/// A plan without it would be refused: a reboot wants its wait, an enable its disable.
fn may_go(steps: &[Step], at: usize) -> bool {
    let before = &steps[..at];
    match steps[at].kind {
        StepKind::WaitForSsh { .. } => !before.iter().any(|s| matches!(s.kind, StepKind::Reboot { .. })),
        StepKind::Disable { .. } => !steps[at..].iter().any(|s| matches!(s.kind, StepKind::Enable)),
        _ => true,
    }
}

/// How many bits [`leave_out`] reads for this plan.
#[cfg(debug_assertions)]
pub(super) fn parts(plan: &Plan) -> u32 {
    (SETTINGS + plan.steps.len() as u32).min(64)
}

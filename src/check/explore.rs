//! The search: states by the number of events that lead to them, the fewest first.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;

use serde::Serialize;

use super::books::{Books, Life};
use super::classes::Classes;
use super::moves::{Endings, Move};
use super::promise::{Broken, Most, Promise, Promises};
use super::story::{Event, Happening};
use super::world::{Bug, Witness, World};
use crate::engine::{Fact, HaltReason, PublicRunState, RunPhase, RunStatus};
use crate::graph::{RolloutGraph, TargetIx};
use crate::policy::Exposure;

/// How far the search goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// How many workers may fail. One more than the plan allows covers any number: nobody starts after that.
    pub failures: u32,
    /// How many states are looked at, at most.
    pub states: usize,
    /// How many bytes the states may take that are still to be looked at, roughly.
    pub bytes: usize,
}

/// Why a search ended before all was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CutShort {
    /// As many states as were allowed.
    States,
    /// As much memory as was allowed.
    Memory,
    /// The caller said so: time is up, or an operator wants it to end.
    Stopped,
}

/// What a search has found.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked {
    /// What was promised.
    pub exposure: Exposure,
    /// The promise that is broken soonest.
    pub broken: Option<Broken>,
    /// Why it is not known whether there is a broken promise further on; `None`: all was looked at.
    pub cut_short: Option<CutShort>,
    /// How many workers could fail.
    pub failures: u32,
    /// They stand for any number of failures: nobody starts after that many.
    pub any_failures: bool,
    /// Different states.
    pub states: usize,
    /// Moves from one to another.
    pub moves: usize,
    /// Everything that happens within so many starts and ends of workers was looked at.
    pub depth: usize,
    /// The most that was seen down at once.
    pub reached: Reached,
}

/// The most that was seen down at once. No bound: where peers are not well, workers start in another order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reached {
    /// Workers.
    pub run: u32,
    /// In the order of [`Exposure::jobs`].
    pub jobs: Vec<u32>,
    /// In the order of [`Exposure::zones`].
    pub zones: Vec<u32>,
}

/// A state that was found, and what has led to it.
struct Found {
    /// `u32::MAX`: it is the first.
    parent: u32,
    by: Move,
}

/// A state to be looked at.
enum Node {
    /// Before the start; these do not answer.
    Away(Vec<TargetIx>),
    Running(Box<World>),
}

struct Search<'a> {
    engine: &'a Arc<RolloutGraph>,
    promises: Promises<'a>,
    classes: Classes,
    endings: Endings,
    options: Options,
    known: HashSet<Box<[u8]>>,
    found: Vec<Found>,
    /// By the number of events.
    open: BTreeMap<usize, VecDeque<(u32, Node)>>,
    /// What those take in memory.
    held: usize,
    most: Most,
    moves: usize,
    /// With the number of events.
    broken: Option<(usize, Broken)>,
    cut_short: Option<CutShort>,
    stop: &'a mut dyn FnMut(usize) -> bool,
}

/// Looks at all that can happen. `stop` is asked now and then, with the number of states, and ends the search.
///
/// `engine` is what is carried out, `promised` what is promised: the same graph, but for a test of the search itself.
///
/// # Errors
/// The engine does what no run may: a bug in maand.
pub fn check(
    engine: &Arc<RolloutGraph>,
    promised: &RolloutGraph,
    options: Options,
    stop: &mut dyn FnMut(usize) -> bool,
) -> Result<Checked, String> {
    let promises = Promises::new(promised);
    let classes = Classes::new(promised, promises.exposure.zones_by.as_ref());
    let most = promises.nothing();
    let mut search = Search {
        endings: Endings::new(),
        engine,
        promises,
        classes,
        options,
        known: HashSet::new(),
        found: Vec::new(),
        open: BTreeMap::new(),
        held: 0,
        most,
        moves: 0,
        broken: None,
        cut_short: None,
        stop,
    };
    let depth = search.run().map_err(|Bug(what)| what)?;
    let any_failures = options.failures > promised.numbers().max_failures.value;
    let Most { run, jobs, zones } = search.most;
    Ok(Checked {
        exposure: search.promises.exposure,
        broken: search.broken.map(|(_, broken)| broken),
        cut_short: search.cut_short,
        failures: options.failures,
        any_failures,
        states: search.found.len(),
        moves: search.moves,
        depth,
        reached: Reached { run, jobs, zones },
    })
}

impl Search<'_> {
    fn run(&mut self) -> Result<usize, Bug> {
        self.found.push(Found { parent: u32::MAX, by: Move::Begin });
        self.open.entry(0).or_default().push_back((0, Node::Away(Vec::new())));
        let mut depth = 0;
        while let Some(mut entry) = self.open.first_entry() {
            depth = *entry.key();
            if self.broken.as_ref().is_some_and(|(at, _)| *at <= depth) {
                // What follows takes longer.
                self.open.clear();
                break;
            }
            let Some((number, node)) = entry.get_mut().pop_front() else {
                entry.remove();
                continue;
            };
            self.held = self.held.saturating_sub(self.size(&node));
            self.look(number, node, depth)?;
            if self.cut_short.is_some() {
                // All that leads to fewer events was followed to its next event.
                return Ok(depth);
            }
        }
        Ok(depth)
    }

    /// Makes every move from a state.
    fn look(&mut self, number: u32, node: Node, depth: usize) -> Result<(), Bug> {
        match node {
            Node::Away(away) => {
                if (away.len() as u32) < self.options.failures {
                    let first = away.last().map_or(0, |last| last.0 + 1);
                    for target in (first..self.engine.targets.len() as u32).map(TargetIx) {
                        if self.engine.target(target).already_disabled {
                            continue;
                        }
                        let mut more = away.clone();
                        more.push(target);
                        self.found_one(number, Move::Away(target), Node::Away(more), depth + 1);
                        if self.cut_short.is_some() {
                            return Ok(());
                        }
                    }
                }
                let (world, events) = self.made(number, depth, |graph, promises, told| {
                    World::begin(graph, promises, &away, told).map(Some)
                })?;
                if let Some(world) = world {
                    self.arrive(number, Move::Begin, world, depth + events);
                }
            }
            Node::Running(world) => {
                let may_fail = world.books.failures < self.options.failures;
                let moves = self.endings.moves(&world, &self.classes, self.promises.graph(), may_fail)?;
                if moves.is_empty() {
                    self.at_rest(number, &world, depth);
                }
                let last = moves.len().saturating_sub(1);
                let mut world = Some(world);
                for (at, by) in moves.into_iter().enumerate() {
                    // The last move may have the state itself.
                    let next = if at == last { world.take() } else { world.clone() };
                    let Some(mut next) = next else { break };
                    let (next, events) = self.made(number, depth, |_, _, told| {
                        let went_on = match by {
                            Move::End(target, ending) => next.end(target, ending, told)?,
                            Move::LookEnds => next.look_ends(told)?,
                            Move::AsksAgain => next.asks_again(told)?,
                            Move::Away(_) | Move::Begin => false,
                        };
                        Ok(went_on.then_some(*next))
                    })?;
                    if let Some(next) = next {
                        self.arrive(number, by, next, depth + events);
                    } else if let Move::End(target, _) = by {
                        self.stands_still(number, depth, target);
                    }
                    if self.cut_short.is_some() {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    /// Makes a move and looks at each worker that starts by it; how many events it takes.
    fn made(
        &mut self,
        from: u32,
        depth: usize,
        make: impl FnOnce(&Arc<RolloutGraph>, &Promises<'_>, &mut Witness<'_, '_>) -> Result<Option<World>, Bug>,
    ) -> Result<(Option<World>, usize), Bug> {
        self.moves += 1;
        if (self.stop)(self.found.len()) {
            self.cut_short = Some(CutShort::Stopped);
        }
        let mut events: Vec<Event> = Vec::new();
        let mut broken: Option<(usize, Promise, String)> = None;
        let (promises, most) = (&self.promises, &mut self.most);
        let mut told = |fact: &Fact, books: &Books| {
            events.extend(Event::of(fact));
            if let Fact::WorkerAdmitted { target } = fact
                && let Some((promise, what)) = promises.look(books, *target, most)
            {
                broken.get_or_insert((events.len(), promise, what));
            }
        };
        let mut witness = Witness { promised: promises.graph(), told: &mut told };
        let world = make(self.engine, promises, &mut witness)?;
        let count = events.len();
        if let Some((after, promise, what)) = broken {
            events.truncate(after);
            self.breaks(from, depth + after, promise, what, events);
        }
        Ok((world, count))
    }

    /// A state is reached: a new one is to be looked at.
    fn arrive(&mut self, from: u32, by: Move, world: World, depth: usize) {
        if self.broken.as_ref().is_some_and(|(at, _)| *at <= depth) {
            return;
        }
        let key = self.key(&world);
        if self.known.insert(key) {
            self.found_one(from, by, Node::Running(Box::new(world)), depth);
        }
    }

    fn found_one(&mut self, parent: u32, by: Move, node: Node, depth: usize) {
        if self.found.len() >= self.options.states.min(u32::MAX as usize - 1) {
            self.cut_short = Some(CutShort::States);
            return;
        }
        self.held += self.size(&node);
        if self.held > self.options.bytes {
            self.cut_short = Some(CutShort::Memory);
            return;
        }
        let number = self.found.len() as u32;
        self.found.push(Found { parent, by });
        self.open.entry(depth).or_default().push_back((number, node));
    }

    /// What a state takes in memory while it is still to be looked at, roughly: most of it is the steps of workers.
    fn size(&self, node: &Node) -> usize {
        let workers = self.engine.targets.len();
        match node {
            Node::Away(away) => 64 + 4 * away.len(),
            Node::Running(_) => 1024 + workers * (280 + 104 * self.engine.plan.steps.len()),
        }
    }

    /// A state in which nothing is under way: the end, a halt that was promised, or a rollout that stands still.
    fn at_rest(&mut self, number: u32, world: &World, depth: usize) {
        let why = match world.status() {
            RunStatus::Finished(_) | RunStatus::Halted(HaltReason::TooManyFailures { .. }) => return,
            RunStatus::Halted(HaltReason::NobodyAdmissible { target, reason }) => {
                format!("{} never starts: {reason}", self.engine.host(target))
            }
            RunStatus::Halted(HaltReason::LaneFailed { .. }) => return,
            status => {
                let state = PublicRunState::of(&status, false).as_str();
                format!("nothing happens any more, and the run is {state}")
            }
        };
        let queued = self.engine.target_indices().filter(|one| world.books.life(*one) == Life::Queued);
        let failures = world.books.failures;
        let what = format!(
            "the rollout stands still after {} with {} queued: {why}",
            crate::plan::counted(failures as usize, "failure"),
            crate::plan::counted(queued.count(), "worker"),
        );
        self.breaks(number, depth, Promise::Ends, what, Vec::new());
    }

    fn stands_still(&mut self, number: u32, depth: usize, target: TargetIx) {
        let what = format!("{} has started, and can do no further step", self.engine.host(target));
        self.breaks(number, depth, Promise::Ends, what, Vec::new());
    }

    fn breaks(&mut self, from: u32, depth: usize, promise: Promise, what: String, last: Vec<Event>) {
        if self.broken.as_ref().is_none_or(|(at, _)| depth < *at) {
            let mut story = self.story(from);
            story.extend(last);
            self.broken = Some((depth, Broken { promise, what, story }));
        }
    }

    /// Makes the moves that lead to a state once more, and notes what happens.
    fn story(&self, number: u32) -> Vec<Event> {
        let mut moves = Vec::new();
        let mut at = number;
        while let Some(found) = self.found.get(at as usize).filter(|found| found.parent != u32::MAX) {
            moves.push(found.by);
            at = found.parent;
        }
        let mut events: Vec<Event> = Vec::new();
        let (mut away, mut world) = (Vec::new(), None);
        for by in moves.into_iter().rev() {
            let mut told = |fact: &Fact, _: &Books| events.extend(Event::of(fact));
            let mut told = Witness { promised: self.promises.graph(), told: &mut told };
            // They were made before, and none was refused.
            let _ = match (by, &mut world) {
                (Move::Away(target), _) => {
                    away.push(target);
                    Ok(true)
                }
                (Move::Begin, _) => {
                    World::begin(self.engine, &self.promises, &away, &mut told).map(|begun| {
                        world = Some(begun);
                        true
                    })
                }
                (Move::End(target, ending), Some(world)) => world.end(target, ending, &mut told),
                (Move::LookEnds, Some(world)) => world.look_ends(&mut told),
                (Move::AsksAgain, Some(world)) => world.asks_again(&mut told),
                (_, None) => Ok(false),
            };
        }
        let silent = away.into_iter().map(|target| Event { target, what: Happening::DoesNotAnswer });
        silent.chain(events).collect()
    }

    /// What makes two states the same: who is queued, how many of each class are how, what the queue has counted, and
    /// what is known and asked about jobs.
    fn key(&self, world: &World) -> Box<[u8]> {
        let mut key: Vec<u8> = Vec::with_capacity(64);
        let mut put = |number: usize| {
            let mut left = number;
            while left >= 0x80 {
                key.push(0x80 | (left & 0x7f) as u8);
                left >>= 7;
            }
            key.push(left as u8);
        };
        put(world.run.phase() as usize);
        put(world.run.wave().map_or(0, |wave| wave as usize + 1));
        let mut counts = vec![[0_usize; 5]; self.classes.count];
        let mut bits = 0_usize;
        let preparing = world.run.phase() == RunPhase::Preparing;
        for (at, life) in world.books.lives.iter().enumerate() {
            let of = &mut counts[self.classes.of(TargetIx(at as u32)) as usize];
            match life {
                Life::Queued => bits |= 1 << (at % 7),
                Life::Active => of[0] += 1,
                Life::Failed(true) => of[1] += 1,
                Life::Failed(false) => of[2] += 1,
                // It holds a domain and budgets even where no step takes it down.
                Life::Away => of[3] += 1,
                Life::Preparing => of[4] += 1,
                Life::Succeeded | Life::LeftAlone => {}
            }
            if at % 7 == 6 {
                put(std::mem::take(&mut bits));
            }
        }
        put(bits);
        // Before the first wave it makes a difference who of those that are queued is prepared.
        if preparing {
            for of_some in world.books.prepared.chunks(7) {
                put(of_some.iter().fold(0, |bits, prepared| bits << 1 | usize::from(*prepared)));
            }
        }
        counts.iter().flatten().for_each(|count| put(*count));
        for (passed, in_this_round) in world.run.passed_over() {
            put(passed as usize * 2 + usize::from(in_this_round));
        }
        let budgets = self.engine.numbers().budgets.iter();
        let known = budgets.filter_map(|budget| world.run.job_now(budget.job, world.now()));
        for now in known {
            put(now.unhealthy as usize);
            put(now.unverified as usize * 2 + usize::from(now.fresh));
        }
        put(usize::from(world.wants_to_ask()));
        if let Some(look) = &world.look {
            for budget in &self.engine.numbers().budgets {
                put(usize::from(look.jobs.contains(&budget.job)));
                let returned = |target: &TargetIx| {
                    let life = world.books.life(*target);
                    matches!(life, Life::Succeeded | Life::Failed(false))
                        && self.engine.target(*target).jobs.contains(&budget.job)
                };
                put(look.disturbed.iter().filter(returned).count());
            }
        }
        key.into_boxed_slice()
    }
}

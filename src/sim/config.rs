//! What a simulated run is made from: a seed and a few bounds, written as one line that replays it.

use std::fmt;

use super::mutation::Mutation;

/// The kind of plan that is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Drawn from the seed.
    Random,
    /// Drain, reboot, back, one worker at a time.
    OneByOne,
    /// The same, a tenth of the fleet at a time.
    Wide,
    /// The same, as many as a budget of 10 % for each job allows.
    Auto,
}

impl Shape {
    const ALL: [Self; 4] = [Self::Random, Self::OneByOne, Self::Wide, Self::Auto];
}

/// All choices of a run follow from these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimConfig {
    /// Fleet, plan, durations and faults are drawn from it.
    pub seed: u64,
    /// Changes the draws of faults, crashes and operators, and leaves fleet and plan as they are.
    pub salt: u64,
    /// How many workers the fleet has.
    pub workers: u32,
    /// How many jobs at most.
    pub jobs: u32,
    /// How many faults may happen at most.
    pub faults: u32,
    /// In 100,000 attempts so many fail, without end; beside `faults`.
    pub trouble: u32,
    /// How often the controller may die at random.
    pub crashes: u32,
    /// A controller that dies may only have been stopped, and continues when another has taken over.
    pub stops: bool,
    /// How often operators interfere.
    pub operators: u32,
    /// What they make sick gets well by itself after a while.
    pub recovers: bool,
    /// How often machines boot by themselves: in the middle of a step, between two, when they have ended or not begun.
    pub resets: u32,
    /// Some paths to workers keep connections up while the machine behind them is gone.
    pub holds: bool,
    /// Silences are kept in a monitoring system that hangs, lies, refuses and forgets.
    pub silences: bool,
    /// The catalog contacts every worker.
    pub exclusive: bool,
    /// Places, counted from 1, at which the controller dies.
    pub crash_at: Vec<u64>,
    /// Which of the plan's steps and settings are left out (a bit each), by the shrinker.
    pub without: u64,
    /// Which plan.
    pub shape: Shape,
    /// The engine is broken in this way.
    pub mutation: Option<Mutation>,
    /// Invariants are checked.
    pub check: bool,
}

impl SimConfig {
    /// A random run of a small fleet with faults, crashes and operators.
    pub fn random(seed: u64) -> Self {
        let mix = |shift: u32, n: u64| (seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> shift) % n;
        Self {
            seed,
            salt: 0,
            workers: 1 + mix(8, 7) as u32,
            jobs: 3,
            faults: [0, 2, 5, 12][mix(20, 4) as usize],
            trouble: 0,
            crashes: [0, 1, 2, 4][mix(28, 4) as usize],
            stops: mix(52, 2) == 0,
            operators: [0, 0, 3, 8][mix(36, 4) as usize],
            recovers: mix(58, 2) == 1,
            resets: [0, 0, 1, 4][mix(12, 4) as usize],
            holds: mix(16, 3) == 1,
            silences: false,
            exclusive: mix(44, 4) == 0,
            crash_at: Vec::new(),
            without: 0,
            shape: Shape::Random,
            mutation: None,
            check: true,
        }
    }

    /// An operator sits at the controller's terminal, so that it waits for approvals.
    pub fn interactive(&self) -> bool {
        self.seed % 3 != 1
    }

    /// Drain, reboot, back, without any disturbance.
    pub fn pattern_a(workers: u32) -> Self {
        Self {
            seed: 1,
            salt: 0,
            workers,
            jobs: 2,
            faults: 0,
            trouble: 0,
            crashes: 0,
            stops: false,
            operators: 0,
            recovers: false,
            resets: 0,
            holds: false,
            silences: false,
            exclusive: false,
            crash_at: Vec::new(),
            without: 0,
            shape: Shape::OneByOne,
            mutation: None,
            check: true,
        }
    }
}

impl fmt::Display for SimConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "seed={},salt={},workers={},jobs={},faults={},crashes={},stops={},operators={},exclusive={},without={},shape={:?}",
            self.seed,
            self.salt,
            self.workers,
            self.jobs,
            self.faults,
            self.crashes,
            u8::from(self.stops),
            self.operators,
            u8::from(self.exclusive),
            self.without,
            self.shape
        )?;
        if self.trouble > 0 {
            write!(f, ",trouble={}", self.trouble)?;
        }
        if self.recovers {
            write!(f, ",recovers=1")?;
        }
        if self.resets > 0 {
            write!(f, ",resets={}", self.resets)?;
        }
        if self.holds {
            write!(f, ",holds=1")?;
        }
        if self.silences {
            write!(f, ",silences=1")?;
        }
        for point in &self.crash_at {
            write!(f, ",crash_at={point}")?;
        }
        if let Some(mutation) = self.mutation {
            write!(f, ",mutation={mutation:?}")?;
        }
        Ok(())
    }
}

impl std::str::FromStr for SimConfig {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut config = Self::random(0);
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (key, value) = part.split_once('=').ok_or_else(|| format!("`{part}` is not key=value"))?;
            if key == "mutation" {
                let known = Mutation::ALL.iter().find(|mutation| format!("{mutation:?}") == value);
                config.mutation = Some(*known.ok_or_else(|| format!("no mutation `{value}`"))?);
                continue;
            }
            if key == "shape" {
                let known = Shape::ALL.iter().find(|shape| format!("{shape:?}") == value);
                config.shape = *known.ok_or_else(|| format!("no shape `{value}`"))?;
                continue;
            }
            let number: u64 = value.parse().map_err(|_| format!("`{value}` is not a number"))?;
            match key {
                "seed" => config.seed = number,
                "salt" => config.salt = number,
                "workers" => config.workers = number as u32,
                "jobs" => config.jobs = number as u32,
                "faults" => config.faults = number as u32,
                "trouble" => config.trouble = number as u32,
                "crashes" => config.crashes = number as u32,
                "stops" => config.stops = number != 0,
                "operators" => config.operators = number as u32,
                "recovers" => config.recovers = number != 0,
                "resets" => config.resets = number as u32,
                "holds" => config.holds = number != 0,
                "silences" => config.silences = number != 0,
                "exclusive" => config.exclusive = number != 0,
                "without" => config.without = number,
                "crash_at" => config.crash_at.push(number),
                _ => return Err(format!("no setting `{key}`")),
            }
        }
        Ok(config)
    }
}

//! Seeded draws. It must not know what is drawn for.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

/// A stream of draws; each purpose has a stream of its own, so that one more draw for one purpose
/// does not change another.
#[derive(Clone, Debug)]
pub(super) struct Rng(ChaCha8Rng);

/// The purposes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stream {
    Fleet = 1,
    Plan = 2,
    Faults = 3,
    Crashes = 4,
    Operators = 5,
    Durations = 6,
    Recoveries = 7,
    Machines = 8,
    Kernels = 9,
    Prepare = 10,
    Requests = 11,
    Gates = 12,
    Monitor = 13,
    Power = 14,
    Bmcs = 16,
    Monitoring = 15,
}

impl Rng {
    pub(super) fn new(seed: u64, stream: Stream) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream as u64);
        Self(rng)
    }

    /// 0 to `n - 1`; 0 for no choice at all. The bias of the remainder is below 2^-32 for all that is
    /// drawn here.
    pub(super) fn below(&mut self, n: u64) -> u64 {
        if n == 0 { 0 } else { self.0.next_u64() % n }
    }

    /// Both ends included.
    pub(super) fn between(&mut self, low: i64, high: i64) -> i64 {
        low + self.below((high - low + 1).max(1) as u64) as i64
    }

    /// True so often in 1,000 draws.
    pub(super) fn per_mille(&mut self, chance: u32) -> bool {
        self.below(1000) < u64::from(chance)
    }

    pub(super) fn coin(&mut self) -> bool {
        self.below(2) == 0
    }

    pub(super) fn index(&mut self, length: usize) -> usize {
        self.below(length as u64) as usize
    }
}

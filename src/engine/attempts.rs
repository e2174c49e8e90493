//! Maps by attempt.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::AttemptId;

/// A map by attempt: nobody chooses their numbers to do harm, so the hash may be a cheap one.
pub type AttemptMap<V> = HashMap<AttemptId, V, BuildHasherDefault<AttemptHasher>>;

/// Spreads numbers that follow each other (Knuth's multiplicative hashing, TAOCP 6.4), over the low bits,
/// which choose the place in a map, and the high ones, which tell its neighbours apart.
#[derive(Clone, Copy, Debug, Default)]
pub struct AttemptHasher(u64);

/// 2^64 over the golden ratio, odd.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

impl Hasher for AttemptHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0.rotate_left(5) ^ number).wrapping_mul(GOLDEN).rotate_left(26);
    }
}

//! Waves: which one is open, who is left in each, and the soak between two.

use crate::engine::Millis;
use crate::graph::RolloutGraph;

/// The waves of a run, counted from 0.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::engine) struct Waves {
    /// The wave that is open or was last open.
    current: Option<u32>,
    /// Workers of each that have not ended.
    left: Vec<u32>,
    soak_until: Millis,
}

impl Waves {
    pub(in crate::engine) fn new(graph: &RolloutGraph) -> Self {
        let left = graph.waves.iter().map(|wave| wave.end - wave.start).collect();
        Self { current: None, left, soak_until: 0 }
    }

    /// The one that is open or was last open.
    pub(in crate::engine) fn current(&self) -> Option<u32> {
        self.current
    }

    /// The one after [`Self::current`]; `None` behind the last.
    pub(in crate::engine) fn next(&self) -> Option<u32> {
        let next = self.current.map_or(0, |wave| wave + 1);
        ((next as usize) < self.left.len()).then_some(next)
    }

    pub(in crate::engine) fn is_last(&self, wave: u32) -> bool {
        wave as usize + 1 == self.left.len()
    }

    /// Whether all workers that this wave waits for have ended.
    pub(in crate::engine) fn is_done(&self, wave: u32) -> bool {
        self.left.get(wave as usize) == Some(&0)
    }

    /// When the next wave may begin.
    pub(in crate::engine) fn soak_until(&self) -> Millis {
        self.soak_until
    }

    pub(in crate::engine) fn start(&mut self, wave: u32) {
        self.current = Some(wave);
    }

    /// The last wave is to begin once more.
    pub(in crate::engine) fn reopen_last(&mut self) {
        self.current = self.left.len().checked_sub(2).map(|wave| wave as u32);
        self.soak_until = 0;
    }

    pub(in crate::engine) fn finish(&mut self, soak_until: Millis) {
        self.soak_until = soak_until;
    }

    pub(in crate::engine) fn worker_ended(&mut self, wave: u32) {
        let left = &mut self.left[wave as usize];
        *left = left.saturating_sub(1);
    }

    /// A worker that had ended is taken up again, and this wave waits for it.
    pub(in crate::engine) fn worker_returns(&mut self, wave: u32) {
        self.left[wave as usize] += 1;
    }
}
